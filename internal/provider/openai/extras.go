package openai

import (
	"bytes"
	"strings"

	"github.com/pontage/pontage/internal/llm"
)

// harmless lists the members without a field of their own that may be left out:
// the answer is the same, or differs in cost, records and speed only. A number
// in a path is written #. Everything that is not here, and not among the
// members of OpenAI's own dialect, is refused.
var harmless = map[string]bool{
	"cache_control":                          true, // Anthropic: marks the last block for caching
	"metadata":                               true,
	"metadata.user_id":                       true,
	"inference_geo":                          true,
	"thinking.display":                       true,
	"tools.#.eager_input_streaming":          true,
	"tools.#.input_examples":                 true,
	"tools.#.type":                           true,
	"messages.#.content.#.title":             true, // of a document
	"messages.#.content.#.context":           true,
	"messages.#.content.#.caller":            true, // of a tool call
	"messages.#.content.#.content.#.title":   true,
	"messages.#.content.#.content.#.context": true,
	"messages.#.name":                        true, // a prefix to the text would intrude
	"messages.#.id":                          true,
	"stream_options":                         true,
	"stream_options.include_obfuscation":     true,
}

// harmlessAs lists members that may be left out if they have just this value,
// which is what holds without them.
var harmlessAs = map[string][]string{
	"service_tier":                             {`"auto"`, `"standard_only"`, `"default"`},
	"messages.#.content.#.citations":           {`{"enabled":false}`},
	"messages.#.content.#.content.#.citations": {`{"enabled":false}`},
	"tools.#.allowed_callers":                  {`["direct"]`},
	"tools.#.defer_loading":                    {`false`},
	"speed":                                    {`"standard"`},
	"output_config":                            {`{}`},
	"mcp_servers":                              {`[]`},
	"fallbacks":                                {`[]`},
	"context_management":                       {`{}`, `{"edits":[]}`},
}

// own are members of OpenAI's dialect that the simple one may carry as they are.
var own = map[string]bool{
	"logprobs": true, "top_logprobs": true, "logit_bias": true, "verbosity": true, "service_tier": true,
	"metadata": true, "store": true, "prediction": true, "prompt_cache_key": true,
	"prompt_cache_retention": true, "safety_identifier": true, "web_search_options": true, "min_p": true,
	"repetition_penalty": true,
}

// extras goes through what has no field: passed on, dropped or refused.
func (e *encoder) extras() {
	simple := e.call.Request.Dialect == llm.Simple
	for _, x := range e.chat.Extra {
		path := pattern(x.Path)
		value := compact(x.Value)
		switch {
		case value == "null":
		case simple && own[path]:
			if e.refuses(x.Path) {
				e.drop(x.Path)
			} else {
				e.raw(x.Path, x.Value)
			}
		case harmless[path], oneOf(harmlessAs[path], value):
			e.drop(x.Path)
		default:
			e.unsupported(x.Path)
		}
	}
}

// pattern writes # for the numbers of a path.
func pattern(path string) string {
	parts := strings.Split(path, ".")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "#"
		}
	}
	return strings.Join(parts, ".")
}

// compact returns JSON without spaces, if it is short; long values equal none
// of those that are looked for.
func compact(v []byte) string {
	if len(v) > 64 {
		return string(v[:1])
	}
	return string(bytes.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\t' || r == '\r' {
			return -1
		}
		return r
	}, v))
}

func oneOf(list []string, v string) bool {
	for _, s := range list {
		if s == v {
			return true
		}
	}
	return false
}
