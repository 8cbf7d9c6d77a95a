package openai

import (
	"strings"

	"github.com/pontage/pontage/internal/llm"
)

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
	switch e.call.Request.Dialect {
	case llm.Simple:
		pass = e.pass
	case llm.OpenAIResponses:
		pass = e.ofResponses
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

// ofResponses writes what responses have, too: log probabilities, and where the
// vendor has OpenAI's, the tier.
func (e *encoder) ofResponses(x llm.Extra) bool {
	switch {
	case x.Path == "top_logprobs":
		e.logs()
		e.Raw("top_logprobs", x.Value)
	case strings.HasPrefix(x.Path, "include.") && string(x.Value) == `"message.output_text.logprobs"`:
		e.logs()
	case x.Path == "service_tier" && e.vendor.custom && string(x.Value) != `"ultrafast"`:
		e.Raw(x.Path, x.Value)
	default:
		return false
	}
	return true
}

// logs writes, once, that log probabilities are wanted.
func (e *encoder) logs() {
	if !e.logged {
		e.logged = true
		e.Bool("logprobs", true)
	}
}
