package openai

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// losses are the members of other dialects that may be left out.
var losses = provider.Losses{Always: harmless, As: harmlessAs}

var harmless = map[string]bool{
	"cache_control":                                     true, // Anthropic: marks the last block for caching
	"metadata":                                          true,
	"metadata.user_id":                                  true,
	"inference_geo":                                     true,
	"thinking.budget_tokens":                            true, // beside an effort, which says the same
	"thinking.display":                                  true,
	"tools.#.eager_input_streaming":                     true,
	"tools.#.input_examples":                            true,
	"tools.#.type":                                      true,
	"messages.#.content.#.title":                        true, // of a document
	"messages.#.content.#.context":                      true,
	"messages.#.content.#.caller":                       true, // of a tool call
	"messages.#.content.#.content.#.title":              true,
	"messages.#.content.#.content.#.context":            true,
	"messages.#.name":                                   true, // a prefix to the text would intrude
	"messages.#.id":                                     true,
	"safetySettings":                                    true, // Google: thresholds of its own filters
	"labels":                                            true,
	"generationConfig.mediaResolution":                  true,
	"tools.#.functionDeclarations.#.response":           true,
	"tools.#.functionDeclarations.#.responseJsonSchema": true,
	"contents.#.parts.#.videoMetadata":                  true,
	"contents.#.parts.#.mediaResolution":                true,
	"contents.#.parts.#.partMetadata":                   true,
	"stream_options":                                    true,
	"stream_options.include_obfuscation":                true,
}

var harmlessAs = map[string][]string{
	"toolConfig.functionCallingConfig.mode":       {`"VALIDATED"`, `4`}, // AUTO, and calls that match their schemas
	"toolConfig.includeServerSideToolInvocations": {`false`, `true`},    // there are none
	"generationConfig.responseLogprobs":           {`false`},
	"generationConfig.logprobs":                   {`0`},
	"serviceTier":                                 {`"unspecified"`, `"standard"`, `"SERVICE_TIER_UNSPECIFIED"`, `"SERVICE_TIER_STANDARD"`},
	"store":                                       {`false`},
	"service_tier":                                {`"auto"`, `"standard_only"`, `"default"`},
	"messages.#.content.#.citations":              {`{"enabled":false}`},
	"messages.#.content.#.content.#.citations":    {`{"enabled":false}`},
	"tools.#.allowed_callers":                     {`["direct"]`},
	"tools.#.defer_loading":                       {`false`},
	"speed":                                       {`"standard"`},
	"output_config":                               {`{}`},
	"mcp_servers":                                 {`[]`},
	"fallbacks":                                   {`[]`},
	"context_management":                          {`{}`, `{"edits":[]}`},
}

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
	e.Extras(e.chat.Extra, losses, pass)
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
