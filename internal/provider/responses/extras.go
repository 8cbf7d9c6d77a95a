package responses

import "github.com/pontage/pontage/internal/llm"

// own are members of chat completions that this protocol has under the same
// name and with the same meaning.
var own = map[string]bool{
	"metadata": true, "service_tier": true, "prompt_cache_key": true, "prompt_cache_retention": true, "prompt_cache_options": true,
}

// extras settles what has no field.
func (e *encoder) extras() {
	var pass func(x llm.Extra) bool
	switch e.call.Request.Dialect {
	case llm.OpenAIChat, llm.Simple:
		pass = e.pass
	}
	e.Extras(e.chat.Extra, pass)
}

// pass writes a member that both protocols have.
func (e *encoder) pass(x llm.Extra) bool {
	switch {
	case x.Path == "verbosity":
		e.verbosity = x.Value
	case x.Path == "logprobs" && string(x.Value) == "true":
		e.logprobs = true
	case x.Path == "top_logprobs":
		e.logprobs = true
		e.Raw(x.Path, x.Value)
	case own[x.Path]:
		e.Raw(x.Path, x.Value)
	default:
		return false
	}
	return true
}
