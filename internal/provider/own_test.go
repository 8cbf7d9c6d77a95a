package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// TestWhoseMemberItIs has for each family what was asked, what was sent, and what
// the provider says of it.
func TestWhoseMemberItIs(t *testing.T) {
	t.Parallel()
	limit := int64(5)
	for _, c := range []struct {
		name, family, asked string
		chat                llm.Chat
		sent                string
		status              int
		answer              string
		own                 bool
	}{
		{"OpenAI, a member of its own", "openai", `{"messages":[]}`, llm.Chat{}, `{"messages":[],"stream_options":{}}`, 400, `{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options","code":"unknown_parameter"}}`, true},
		{"OpenAI, without param", "openai", `{"messages":[]}`, llm.Chat{}, `{"messages":[],"stream_options":{}}`, 400, `{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error"}}`, true},
		{"OpenAI, one that was not sent", "openai", `{"messages":[]}`, llm.Chat{}, `{"messages":[]}`, 400, `{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options","code":"unknown_parameter"}}`, false},
		{"OpenAI, another spelling of the caller's", "openai", `{"max_tokens":5}`, llm.Chat{MaxOutput: &limit}, `{"max_completion_tokens":5}`, 400, `{"error":{"message":"m","param":"max_completion_tokens","code":"unsupported_parameter"}}`, false},
		{"OpenAI, a status of its own trouble", "openai", `{}`, llm.Chat{}, `{"store":false}`, 500, `{"error":{"message":"m","param":"store","code":"unknown_parameter"}}`, false},
		{"a router that counts, FastAPI", "mistral", `{}`, llm.Chat{}, `{"stream_options":{}}`, 422, `{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}`, true},
		{"Groq", "groq", `{}`, llm.Chat{}, `{"parallel_tool_calls":true}`, 400, `{"error":{"message":"property 'parallel_tool_calls' is unsupported","type":"invalid_request_error"}}`, true},
		{"xAI", "xai", `{"reasoning_effort":"low"}`, llm.Chat{Reasoning: &llm.Reasoning{Effort: "low"}}, `{"reasoning_effort":"low"}`, 400, `{"code":"Client specified an invalid argument","error":"Argument not supported on this model: reasoningEffort"}`, false},
		{"Anthropic", "anthropic", `{}`, llm.Chat{}, `{"max_tokens":9,"output_config":{}}`, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"output_config: Extra inputs are not permitted"}}`, true},
		{"Anthropic, of a format", "anthropic", `{}`, llm.Chat{Format: &llm.Format{JSON: true}}, `{"output_config":{}}`, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"output_config.format: Extra inputs are not permitted"}}`, false},
		{"Anthropic, in words", "anthropic", `{}`, llm.Chat{}, `{"temperature":1}`, 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`temperature` is deprecated for this model.\"}}", true},
		{"Google", "gemini", `{}`, llm.Chat{}, `{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}`, 400, `{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"thinkingBudget\" at 'generation_config.thinking_config': Cannot find field.","status":"INVALID_ARGUMENT"}}`, true},
		{"Google, of an effort", "gemini", `{}`, llm.Chat{Reasoning: &llm.Reasoning{Effort: "low"}}, `{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}`, 400, `{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"thinkingBudget\" at 'generation_config.thinking_config': Cannot find field.","status":"INVALID_ARGUMENT"}}`, false},
		{"Google, at the top", "gemini", `{}`, llm.Chat{}, `{"contents":[],"labels":{}}`, 400, `{"error":{"code":400,"message":"Unknown name \"labels\": Cannot find field.","status":"INVALID_ARGUMENT"}}`, true},
		{"Google, of a tool", "gemini", `{}`, llm.Chat{Tools: []llm.Tool{{}}}, `{"tools":[]}`, 400, `{"error":{"code":400,"message":"Unknown name \"const\" at 'tools[0].function_declarations[0].parameters': Cannot find field.","status":"INVALID_ARGUMENT"}}`, false},
		{"Bedrock", "bedrock", `{}`, llm.Chat{}, `{"messages":[],"inferenceConfig":{"maxTokens":9000}}`, 400, `{"message":"Malformed input request: #/inferenceConfig/maxTokens: 9000 is not less or equal to 8192, please reformat your input and try again."}`, true},
		{"Bedrock, of a limit", "bedrock", `{}`, llm.Chat{MaxOutput: &limit}, `{"inferenceConfig":{"maxTokens":9000}}`, 400, `{"message":"Malformed input request: #/inferenceConfig/maxTokens: 9000 is not less or equal to 8192, please reformat your input and try again."}`, false},
		{"Bedrock, a key", "bedrock", `{}`, llm.Chat{}, `{"requestMetadata":{}}`, 400, `{"message":"Malformed input request: #: extraneous key [requestMetadata] is not permitted"}`, true},
		{"Google, of the modalities that were asked for", "gemini", `{"modalities":["text","image"]}`, llm.Chat{}, `{"contents":[],"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}`, 400, `{"error":{"code":400,"message":"Unknown name \"responseModalities\" at 'generation_config': Cannot find field.","status":"INVALID_ARGUMENT"}}`, false},
		{"Bedrock, a flag of a header", "bedrock", `{}`, llm.Chat{}, `{"additionalModelRequestFields":{"anthropic_beta":["x"]}}`, 400, `{"message":"The model returned the following errors: anthropic_beta: Extra inputs are not permitted"}`, false},
		{"OpenAI, log probabilities by their number", "openai", `{"top_logprobs":3}`, llm.Chat{}, `{"logprobs":true,"top_logprobs":3}`, 400, `{"error":{"message":"m","param":"logprobs","code":"unsupported_parameter"}}`, false},
		{"OpenAI, the same to responses", "openai", `{"top_logprobs":3}`, llm.Chat{}, `{"include":["message.output_text.logprobs"],"top_logprobs":3}`, 400, `{"error":{"message":"m","param":"include","code":"unsupported_parameter"}}`, false},
		{"OpenAI, the caller's by param, and words beside it", "openai", `{"temperature":1}`, llm.Chat{}, `{"temperature":1,"store":false}`, 400, `{"error":{"message":"` + "`store` is of no use with `temperature`" + `","param":"temperature","code":"unsupported_parameter"}}`, false},
		{"words of the prompt", "openai", `{"messages":[]}`, llm.Chat{}, `{"messages":[],"store":false}`, 400, `{"error":{"message":"messages[0] is wrong: Unknown parameter: 'shop'","param":"messages[0].content","code":"invalid_value"}}`, false},
	} {
		raw, err := jsonx.Scan([]byte(c.asked))
		if err != nil || !json.Valid([]byte(c.sent)) || !json.Valid([]byte(c.answer)) {
			t.Fatal(c.name, err)
		}
		r := &llm.Request{Raw: raw, DecodeChat: func() (*llm.Chat, error) { return &c.chat, nil }}
		given := Classify(c.family, c.status, http.Header{}, []byte(c.answer))
		got := Own(r, []byte(c.sent), given)
		var f *Failure
		if !errors.As(got, &f) {
			t.Fatalf("%s: %v", c.name, got)
		}
		if own := f.Fault.Code == fault.TranslationError; own != c.own {
			t.Errorf("%s: %v", c.name, got)
			continue
		}
		switch {
		case !c.own && f != given:
			t.Errorf("%s: another error has come back: %v", c.name, got)
		case c.own && (f.Fault.Param != "" || f.Fault.Message != "" || f.Fault.Said != "" || f.Fault.UpstreamStatus != c.status || f.Fault.Upstream == "" || f.Fault.Cause == nil || f.Added == "" || !f.Failover || f.Retry || f.Breaker || f.Quarantine || f.Sent):
			t.Errorf("%s: %+v %+v", c.name, f, f.Fault)
		}
	}
	if err := errors.New("of something else"); Own(&llm.Request{}, nil, err) != err {
		t.Error("another error has come back")
	}
}
