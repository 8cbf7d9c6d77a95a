package compat

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func TestAClaudeModelAnswersOpenAICallers(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	for _, c := range []struct {
		play, content, finish string
		calls                 [][3]string // id, name, arguments
		reasoning, output     int64
	}{
		{play: "text", content: "Bonjour, ça va?", finish: "stop", output: 9},
		{play: "tools", content: "Let me look.", finish: "tool_calls", output: 9, calls: [][3]string{
			{"toolu_paris", "weather", `{"city":"Paris","days":2}`}, {"toolu_oslo", "weather", `{"city":"Oslo"}`},
		}},
		{play: "noargs", finish: "tool_calls", output: 9, calls: [][3]string{{"toolu_now", "now", `{}`}}},
		{play: "thinking", content: "Done.", finish: "stop", reasoning: 21, output: 30},
		{play: "length", content: "Cut sh", finish: "length", output: 9},
		{play: "stop", content: "One ", finish: "stop", output: 9},
		{play: "refusal", content: "I", finish: "content_filter", output: 9},
		{play: "json", content: `{"n": 7}`, finish: "stop", output: 9},
	} {
		t.Run(c.play, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				got, err := complete(t, g.openai(g.key), say(farClaude, play(c.play)), stream)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Choices) != 1 || got.Choices[0].FinishReason != c.finish || got.Choices[0].Message.Content != c.content || got.Model != farClaude {
					t.Fatalf("model %q, %+v", got.Model, got.Choices)
				}
				u := got.Usage
				if u.PromptTokens != 22 || u.PromptTokensDetails.CachedTokens != 7 || u.PromptTokensDetails.CacheWriteTokens != 5 || u.CompletionTokens != c.output || u.TotalTokens != 22+c.output || u.CompletionTokensDetails.ReasoningTokens != c.reasoning {
					t.Errorf("usage %s", u.RawJSON())
				}
				calls := got.Choices[0].Message.ToolCalls
				if len(calls) != len(c.calls) {
					t.Fatalf("%d calls: %+v", len(calls), calls)
				}
				for i, want := range c.calls {
					if calls[i].ID != want[0] || calls[i].Function.Name != want[1] || calls[i].Type != "function" {
						t.Errorf("%+v", calls[i])
					}
					sameJSON(t, calls[i].Function.Arguments, want[2])
				}
			})
		})
	}
}

// Everything that an OpenAI caller can say and Anthropic can hear arrives.
func TestAClaudeModelIsAskedWhatTheOpenAICallerAsked(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := say(farClaude, play("text")+note(t.Name()))
		p.Messages = append(p.Messages,
			openai.ChatCompletionMessageParamUnion{OfAssistant: &openai.ChatCompletionAssistantMessageParam{ToolCalls: []openai.ChatCompletionMessageToolCallUnionParam{
				{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{ID: "call_1", Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: "weather", Arguments: `{"city":"Paris","big":12345678901234567890}`}}},
				{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{ID: "call_2", Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: "weather", Arguments: `{"city":"Oslo"}`}}},
			}}},
			openai.ToolMessage("sunny", "call_1"), openai.ToolMessage("<rain> & wind", "call_2"),
			openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.TextContentPart("And this?"),
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64," + pixel}),
				openai.FileContentPart(openai.ChatCompletionContentPartFileFileParam{Filename: openai.String("a.pdf"), FileData: openai.String("data:application/pdf;base64,JVBERi0=")}),
			}),
		)
		p.Tools, p.ToolChoice = []openai.ChatCompletionToolUnionParam{weather()}, required()
		p.ParallelToolCalls = openai.Bool(false)
		p.Temperature, p.TopP = openai.Float(0.5), openai.Float(0.9)
		p.Stop.OfString = openai.String("END")
		p.MaxCompletionTokens = openai.Int(321)
		p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "answer", Schema: map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer"}}, "required": []string{"n"}, "additionalProperties": false},
		}}
		if _, err := complete(t, g.openai(g.key), p, stream); err != nil {
			t.Fatal(err)
		}
		m := sent(t, t.Name())
		has(t, m, "claude-sonnet-4-5", "model")
		has(t, m, 321, "max_tokens")
		has(t, m, 0.5, "temperature")
		has(t, m, 0.9, "top_p")
		has(t, m, []any{"END"}, "stop_sequences")
		has(t, m, "weather", "tools", 0, "name")
		has(t, m, "object", "tools", 0, "input_schema", "type")
		has(t, m, map[string]any{"type": "any", "disable_parallel_tool_use": true}, "tool_choice")
		has(t, m, "json_schema", "output_config", "format", "type")
		if b, _ := json.Marshal(m["system"]); !strings.Contains(string(b), "Be brief.") {
			t.Errorf("system %s", b)
		}
		messages, _ := m["messages"].([]any)
		if len(messages) != 3 {
			t.Fatalf("%d messages: %v", len(messages), messages)
		}
		has(t, m, "assistant", "messages", 1, "role")
		has(t, m, "call_1", "messages", 1, "content", 0, "id")
		has(t, m, "Oslo", "messages", 1, "content", 1, "input", "city")
		has(t, m, "user", "messages", 2, "role") // both results in one turn, before what the user says
		has(t, m, "call_1", "messages", 2, "content", 0, "tool_use_id")
		has(t, m, "call_2", "messages", 2, "content", 1, "tool_use_id")
		has(t, m, "And this?", "messages", 2, "content", 2, "text")
		has(t, m, map[string]any{"type": "base64", "media_type": "image/png", "data": pixel}, "messages", 2, "content", 3, "source")
		has(t, m, map[string]any{"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "messages", 2, "content", 4, "source")
		n := upstream.noted(t, t.Name())
		for _, exact := range []string{"12345678901234567890", "<rain> & wind"} {
			if !strings.Contains(string(n.Body), exact) {
				t.Errorf("%q did not arrive as it was written", exact)
			}
		}
		if n.Header.Get("Anthropic-Version") != "2023-06-01" || n.Header.Get("X-Api-Key") != farKey || n.Header.Get("Authorization") != "" || n.Path != "/anthropic/v1/messages" {
			t.Errorf("%s with %v", n.Path, n.Header)
		}
	})
}

func TestOpenAIReasoningEffortBecomesThinking(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	p := say(farClaude, play("thinking")+note(t.Name()))
	p.ReasoningEffort = shared.ReasoningEffortLow
	p.MaxCompletionTokens = openai.Int(8000)
	got, err := complete(t, g.openai(g.key), p, false)
	if err != nil {
		t.Fatal(err)
	}
	m := sent(t, t.Name())
	has(t, m, "enabled", "thinking", "type")
	has(t, m, 2048, "thinking", "budget_tokens")
	if !strings.Contains(got.RawJSON(), `"reasoning_content":"First, then second."`) {
		t.Errorf("%s", got.RawJSON())
	}
}

// What cannot be said to Anthropic is refused by name, and nothing is sent.
func TestOpenAIParametersThatAnthropicLacksAreRefused(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	for param, set := range map[string]func(p *openai.ChatCompletionNewParams){
		"logprobs":          func(p *openai.ChatCompletionNewParams) { p.Logprobs = openai.Bool(true) },
		"n":                 func(p *openai.ChatCompletionNewParams) { p.N = openai.Int(2) },
		"frequency_penalty": func(p *openai.ChatCompletionNewParams) { p.FrequencyPenalty = openai.Float(1) },
		"logit_bias":        func(p *openai.ChatCompletionNewParams) { p.LogitBias = map[string]int64{"50256": -100} },
	} {
		t.Run(param, func(t *testing.T) {
			t.Parallel()
			p := say(farClaude, play("text"))
			set(&p)
			_, err := complete(t, g.openai(g.key), p, false)
			fails(t, err, 400, "unsupported_parameter")
			var e *openai.Error
			if errors.As(err, &e) && e.Param != param {
				t.Errorf("param %q, want %q", e.Param, param)
			}
		})
	}
}

func TestAnthropicFailuresReachOpenAICallersAsTheirs(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	for _, c := range []struct {
		play   string
		status int
		code   string
		retry  string
	}{
		{"status-400", 400, "context_length_exceeded", ""},
		{"status-401", 502, "upstream_authentication_failed", "false"},
		{"status-403", 502, "upstream_authentication_failed", "false"},
		{"status-400-credit", 503, "upstream_quota_exhausted", "false"},
		{"status-429", 429, "upstream_rate_limited", "true"},
		{"status-500", 502, "upstream_error", "true"},
		{"status-529", 503, "server_is_overloaded", "true"},
	} {
		t.Run(c.play, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				_, err := complete(t, g.openai(g.key), say(own(farClaude, c.play, stream), play(c.play)), stream)
				fails(t, err, c.status, c.code)
				secretive(t, err)
				var e *openai.Error
				if errors.As(err, &e) && c.retry != "" && e.Response.Header.Get("X-Should-Retry") != c.retry {
					t.Errorf("x-should-retry %q, want %q", e.Response.Header.Get("X-Should-Retry"), c.retry)
				}
			})
		})
	}
}

func TestABrokenAnthropicStreamRaisesAtOpenAICallers(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	for _, name := range []string{"cut", "overloaded-midway"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var resp *http.Response
			got, err := complete(t, g.openai(g.key, option.WithResponseInto(&resp)), say(own(farClaude, name, true), play(name)), true)
			if err == nil || len(got.Choices) != 1 || got.Choices[0].Message.Content != "Half an answer" || got.Choices[0].FinishReason != "" {
				t.Fatalf("%+v, error %v; want the content so far, and an error", got.Choices, err)
			}
			secretive(t, err)
			g.charged(t, resp.Header.Get("X-Request-Id"), "0.00")
		})
	}
}
