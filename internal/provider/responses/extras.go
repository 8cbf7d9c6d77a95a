package responses

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// losses are the members of other dialects that may be left out.
var losses = provider.Losses{Always: harmless, As: harmlessAs}

var harmless = map[string]bool{
	"cache_control":                           true, // Anthropic: marks the last block for caching
	"metadata":                                true, // where it is not this protocol's own
	"metadata.user_id":                        true,
	"inference_geo":                           true,
	"thinking.budget_tokens":                  true, // beside an effort, which says the same
	"thinking.display":                        true,
	"tools.#.eager_input_streaming":           true,
	"tools.#.input_examples":                  true,
	"tools.#.type":                            true,
	"messages.#.content.#.title":              true, // of a document
	"messages.#.content.#.context":            true,
	"messages.#.content.#.caller":             true, // of a tool call
	"messages.#.content.#.content.#.title":    true,
	"messages.#.content.#.content.#.context":  true,
	"messages.#.name":                         true, // a prefix to the text would intrude
	"messages.#.id":                           true,
	"messages.#.reasoning_details":            true, // sealed by another provider
	"usage":                                   true, // OpenRouter: {"include": true}
	"include_reasoning":                       true,
	"reasoning_format":                        true,
	"transforms":                              true,
	"safetySettings":                          true, // Google: thresholds of its own filters
	"labels":                                  true,
	"generationConfig.mediaResolution":        true,
	"tools.#.functionDeclarations.#.response": true,
	"tools.#.functionDeclarations.#.responseJsonSchema": true,
	"contents.#.parts.#.videoMetadata":                  true,
	"contents.#.parts.#.mediaResolution":                true,
	"contents.#.parts.#.partMetadata":                   true,
	"stream_options":                                    true,
	"stream_options.include_obfuscation":                true,
	"store":                                             true, // the gateway's own affair
}

var harmlessAs = map[string][]string{
	"toolConfig.functionCallingConfig.mode":       {`"VALIDATED"`, `4`}, // AUTO, and calls that match their schemas
	"toolConfig.includeServerSideToolInvocations": {`false`, `true`},    // there are none
	"generationConfig.responseLogprobs":           {`false`},
	"generationConfig.logprobs":                   {`0`},
	"serviceTier":                                 {`"unspecified"`, `"standard"`, `"SERVICE_TIER_UNSPECIFIED"`, `"SERVICE_TIER_STANDARD"`},
	"modalities":                                  {`["text"]`},
	"safe_prompt":                                 {`false`},
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
	"logprobs":                                    {`false`},
	"top_logprobs":                                {`0`},
	"logit_bias":                                  {`{}`},
}

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
	e.Extras(e.chat.Extra, losses, pass)
}

// pass writes a member that both protocols have.
func (e *encoder) pass(x llm.Extra) bool {
	switch {
	case x.Path == "verbosity":
		e.verbosity = x.Value
	case own[x.Path]:
		e.Raw(x.Path, x.Value)
	default:
		return false
	}
	return true
}
