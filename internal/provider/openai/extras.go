package openai

import "github.com/pontage/pontage/internal/llm"

// own are members of OpenAI's dialect that the simple one may carry as they are.
var own = map[string]bool{
	"logprobs": true, "top_logprobs": true, "logit_bias": true, "verbosity": true, "service_tier": true,
	"metadata": true, "store": true, "prediction": true, "prompt_cache_key": true,
	"prompt_cache_retention": true, "safety_identifier": true, "web_search_options": true, "min_p": true,
	"repetition_penalty": true,
}

// extras settles what has no field.
func (e *encoder) extras() {
	var pass func(x llm.Extra) bool
	if e.call.Request.Dialect == llm.Simple {
		pass = e.pass
	}
	e.Extras(e.chat.Extra, pass)
}

// pass writes a member that both dialects have.
func (e *encoder) pass(x llm.Extra) bool {
	switch {
	case !own[x.Path]:
		return false
	case e.refuses(x.Path):
		e.Drop(x.Path)
	default:
		e.Raw(x.Path, x.Value)
	}
	return true
}
