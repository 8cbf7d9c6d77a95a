package provider

import (
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
)

// harmless are the members of the callers' dialects that have no counterpart in a
// protocol and may be left out of a conversation, whatever their value: the answer
// is the same without them, or differs in cost, records and speed only. A family
// that has a counterpart writes it down first; see [Encoding.Extras]. Numbers in
// paths are written #.
var harmless = map[string]bool{
	// of chat completions
	"messages.#.name":                    true, // a prefix to the text would intrude
	"messages.#.reasoning_details":       true, // sealed by another provider
	"messages.#.id":                      true,
	"messages.#.content.#.id":            true,
	"metadata":                           true,
	"store":                              true, // the gateway's own affair
	"user":                               true, // beside another
	"safety_identifier":                  true,
	"prompt_cache_key":                   true,
	"prompt_cache_retention":             true,
	"prompt_cache_options":               true,
	"verbosity":                          true,
	"stream_options":                     true,
	"stream_options.include_obfuscation": true,
	"usage":                              true, // OpenRouter: {"include": true}
	"include_reasoning":                  true,
	"reasoning_format":                   true,
	"transforms":                         true,
	"thinking.clear_thinking":            true, // Z.ai: what becomes of earlier thoughts

	// copies of members of a message or of its call, which clients of chat completions make
	"messages.#.extra_content":               true,
	"messages.#.content.#.role":              true,
	"messages.#.content.#.tool_calls":        true,
	"messages.#.content.#.annotations":       true,
	"messages.#.content.#.extra_content":     true,
	"messages.#.content.#.reasoning_details": true,

	// of responses: how much to write, what to keep of a prompt and of its records,
	// how to tell of thoughts, a bound on the tools that run at the provider, which
	// are refused anyhow
	"text.verbosity":                true,
	"client_metadata":               true, // what codex tells of its installation and session, in every request
	"max_tool_calls":                true,
	"reasoning.summary":             true,
	"reasoning.generate_summary":    true,
	"reasoning.context":             true,
	"input.#.phase":                 true,
	"input.#.action":                true, // of an image that was made: how, and from which words
	"input.#.background":            true,
	"input.#.prompt":                true,
	"input.#.quality":               true,
	"input.#.revised_prompt":        true,
	"input.#.size":                  true,
	"tools.#.output_schema":         true, // as of Google's functions
	"tools.#.tools.#.output_schema": true,

	// of Anthropic's messages
	"cache_control":                          true, // marks the last block for caching
	"metadata.user_id":                       true,
	"thinking.budget_tokens":                 true, // beside an effort, which says the same
	"thinking.display":                       true,
	"tools.#.eager_input_streaming":          true,
	"tools.#.input_examples":                 true,
	"messages.#.content.#.title":             true, // of a document
	"messages.#.content.#.context":           true,
	"messages.#.content.#.caller":            true, // of a tool call
	"messages.#.content.#.content.#.title":   true,
	"messages.#.content.#.content.#.context": true,

	// of Google's protocol
	"safetySettings":                   true, // thresholds of its own filters
	"labels":                           true,
	"generationConfig.mediaResolution": true,
	"tools.#.functionDeclarations.#.response":           true,
	"tools.#.functionDeclarations.#.responseJsonSchema": true,
	"contents.#.parts.#.videoMetadata":                  true,
	"contents.#.parts.#.mediaResolution":                true,
	"contents.#.parts.#.partMetadata":                   true,
}

// onlyThoughts reports whether Anthropic's edits of the conversation are only about
// which of its earlier thoughts the model reads again.
func onlyThoughts(v []byte) bool {
	doc, err := jsonx.Parse(v)
	if err != nil {
		return false
	}
	edits := doc.Root().Get("edits")
	for name := range doc.Root().Members() {
		if string(name) != "edits" {
			return false
		}
	}
	for _, edit := range edits.Items() {
		if !strings.HasPrefix(edit.Get("type").Text(), "clear_thinking_") {
			return false
		}
	}
	return edits.Len() > 0 && edits.Kind() == jsonx.Array
}

// harmlessAs are such members that are harmless with one of these values, as JSON
// without spaces: what holds without them.
var harmlessAs = map[string][]string{
	// of chat completions, and of responses
	"service_tier":       {`"auto"`, `"default"`, `"standard_only"`},
	"logprobs":           {`false`},
	"top_logprobs":       {`0`},
	"logit_bias":         {`{}`},
	"modalities":         {`["text"]`},
	"functions":          {`[]`},
	"function_call":      {`"auto"`, `"none"`},
	"messages.#.prefix":  {`false`},
	"repetition_penalty": {`1`, `1.0`},
	"min_p":              {`0`, `0.0`},
	"safe_prompt":        {`false`},

	// of Anthropic's messages
	"inference_geo":                            {`"global"`}, // any other is a wish about where data go
	"messages.#.content.#.citations":           {`{"enabled":false}`},
	"messages.#.content.#.content.#.citations": {`{"enabled":false}`},
	"tools.#.allowed_callers":                  {`["direct"]`},
	"tools.#.defer_loading":                    {`false`},
	"tools.#.tools.#.allowed_callers":          {`["direct"]`}, // of a namespace
	"tools.#.tools.#.defer_loading":            {`false`},
	"speed":                                    {`"standard"`},
	"output_config":                            {`{}`},
	"mcp_servers":                              {`[]`},
	"fallbacks":                                {`[]`},
	"context_management":                       {`{}`, `{"edits":[]}`},

	// of Google's protocol
	"toolConfig.functionCallingConfig.mode":       {`"VALIDATED"`, `4`}, // AUTO, and calls that match their schemas
	"toolConfig.includeServerSideToolInvocations": {`false`, `true`},    // there are none
	"generationConfig.responseLogprobs":           {`false`},
	"generationConfig.logprobs":                   {`0`},
	"serviceTier":                                 {`"unspecified"`, `"standard"`, `"SERVICE_TIER_UNSPECIFIED"`, `"SERVICE_TIER_STANDARD"`},
}
