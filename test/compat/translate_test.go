package compat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

// sent is what the upstream received under a note, decoded.
func sent(t *testing.T, name string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(upstream.noted(t, name).Body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// has checks that the value at a path of member names and indexes is want.
func has(t *testing.T, m any, want any, path ...any) {
	t.Helper()
	v := m
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(map[string]any)
			v = o[p]
		case int:
			a, _ := v.([]any)
			if p >= len(a) {
				t.Errorf("nothing at %v in %v", path, m)
				return
			}
			v = a[p]
		}
	}
	if n, ok := want.(int); ok {
		want = float64(n)
	}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("at %v: %v, want %v", path, v, want)
	}
}

// sameJSON compares two JSON texts by what they mean.
func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Errorf("%v in %q", err, got)
		return
	}
	_ = json.Unmarshal([]byte(want), &b)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s, want %s", got, want)
	}
}

// --- callers of OpenAI, a model of Anthropic ---------------------------------

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

// secretive checks that the words of an upstream about our account stay with us.
func secretive(t *testing.T, err error) {
	t.Helper()
	for _, word := range []string{"org-secret", "sk-prov", "x-api-key", "credit balance", "billing details", "platform.openai"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("the caller is told %q: %v", word, err)
		}
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

// --- callers of Anthropic, a model of OpenAI ---------------------------------

func TestAGPTModelAnswersAnthropicCallers(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	tools := [][3]string{{"call_paris", "weather", `{"city":"Paris","days":2}`}, {"call_oslo", "weather", `{"city":"Oslo"}`}}
	for _, c := range []struct {
		play, text, stop, thinking string
		calls                      [][3]string
		reasoning, output          int64
		streamOnly                 bool
	}{
		{play: "text", text: "Bonjour, ça va?", stop: "end_turn", output: 9},
		{play: "tools", stop: "tool_use", calls: tools, output: 9},
		{play: "tools-mixed", stop: "tool_use", calls: tools, output: 9, streamOnly: true},
		{play: "thinking", text: "Done.", thinking: "First, then second.", stop: "end_turn", reasoning: 21, output: 30},
		{play: "length", text: "Cut sh", stop: "max_tokens", output: 9},
		{play: "filter", text: "I", stop: "refusal", output: 9},
		{play: "refusal", text: "I cannot help.", stop: "refusal", output: 9},
		{play: "json", text: `{"n": 7}`, stop: "end_turn", output: 9},
	} {
		t.Run(c.play, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				if c.streamOnly && !stream {
					return
				}
				got, err := message(t, g.anthropic(g.key), tell(farGPT, play(c.play)), stream)
				if err != nil {
					t.Fatal(err)
				}
				var thinking string
				var calls [][3]string
				for _, b := range got.Content {
					thinking += b.Thinking
					if b.Type == "tool_use" {
						calls = append(calls, [3]string{b.ID, b.Name, string(b.Input)})
					}
				}
				if spoken(got) != c.text || string(got.StopReason) != c.stop || thinking != c.thinking || string(got.Model) != farGPT || len(calls) != len(c.calls) {
					t.Fatalf("%+v", got)
				}
				for i, want := range c.calls {
					if calls[i][0] != want[0] || calls[i][1] != want[1] {
						t.Errorf("%v", calls[i])
					}
					sameJSON(t, calls[i][2], want[2])
				}
				if u := got.Usage; u.InputTokens != 16 || u.CacheReadInputTokens != 4 || u.CacheCreationInputTokens != 0 || u.OutputTokens != c.output || u.OutputTokensDetails.ThinkingTokens != c.reasoning {
					t.Errorf("usage %+v", u.RawJSON())
				}
			})
		})
	}
}

// Everything that an Anthropic caller can say and OpenAI can hear arrives.
func TestAGPTModelIsAskedWhatTheAnthropicCallerAsked(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := tell(farGPT, play("text")+note(t.Name()))
		p.System = []anthropic.TextBlockParam{{Text: "Be brief.", CacheControl: anthropic.NewCacheControlEphemeralParam()}}
		p.Messages = append(p.Messages,
			anthropic.NewAssistantMessage(
				anthropic.NewThinkingBlock("c2lnbmVk", "Hm."),
				anthropic.NewToolUseBlock("toolu_1", json.RawMessage(`{"city":"Paris","big":12345678901234567890}`), "weather"),
				anthropic.NewToolUseBlock("toolu_2", map[string]any{"city": "Oslo"}, "weather"),
			),
			anthropic.NewUserMessage(
				anthropic.NewToolResultBlock("toolu_1", "sunny", false), anthropic.NewToolResultBlock("toolu_2", "<rain> & wind", true),
				anthropic.NewTextBlock("And this?"), anthropic.NewImageBlockBase64("image/png", pixel),
				anthropic.NewDocumentBlock(anthropic.Base64PDFSourceParam{Data: "JVBERi0="}),
			),
		)
		p.Tools, p.ToolChoice = weatherTool(), anthropic.ToolChoiceUnionParam{OfTool: &anthropic.ToolChoiceToolParam{Name: "weather", DisableParallelToolUse: anthropic.Bool(true)}}
		p.Temperature, p.TopP = anthropic.Float(0.5), anthropic.Float(0.9)
		p.StopSequences = []string{"END"}
		p.MaxTokens = 321
		p.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: map[string]any{"type": "object", "properties": map[string]any{}, "additionalProperties": false}}
		p.Metadata.UserID = anthropic.String("someone@example.com")
		if _, err := message(t, g.anthropic(g.key), p, stream); err != nil {
			t.Fatal(err)
		}
		m := sent(t, t.Name())
		has(t, m, "gpt-upstream", "model")
		has(t, m, 321, "max_completion_tokens")
		has(t, m, 0.5, "temperature")
		has(t, m, 0.9, "top_p")
		has(t, m, []any{"END"}, "stop")
		has(t, m, "weather", "tools", 0, "function", "name")
		has(t, m, map[string]any{"type": "function", "function": map[string]any{"name": "weather"}}, "tool_choice")
		has(t, m, false, "parallel_tool_calls")
		has(t, m, "json_schema", "response_format", "type")
		has(t, m, "system", "messages", 0, "role")
		has(t, m, "toolu_1", "messages", 2, "tool_calls", 0, "id")
		has(t, m, `{"city":"Oslo"}`, "messages", 2, "tool_calls", 1, "function", "arguments")
		has(t, m, "tool", "messages", 3, "role")
		has(t, m, "toolu_1", "messages", 3, "tool_call_id")
		has(t, m, "sunny", "messages", 3, "content")
		has(t, m, "toolu_2", "messages", 4, "tool_call_id")
		has(t, m, "user", "messages", 5, "role")
		has(t, m, "And this?", "messages", 5, "content", 0, "text")
		has(t, m, "data:image/png;base64,"+pixel, "messages", 5, "content", 1, "image_url", "url")
		has(t, m, "data:application/pdf;base64,JVBERi0=", "messages", 5, "content", 2, "file", "file_data")
		if stream {
			has(t, m, true, "stream_options", "include_usage")
		}
		n := upstream.noted(t, t.Name())
		if !strings.Contains(string(n.Body), "12345678901234567890") || !strings.Contains(string(n.Body), "<rain> & wind") {
			t.Error("numbers or texts did not arrive as they were written")
		}
		for _, never := range []string{"someone@example.com", "c2lnbmVk", g.key} {
			if strings.Contains(string(n.Body), never) {
				t.Errorf("%q went to the provider", never)
			}
		}
		if n.Header.Get("Authorization") != "Bearer "+farKey || n.Header.Get("X-Api-Key") != "" || n.Header.Get("Anthropic-Version") != "" || n.Path != "/openai/v1/chat/completions" {
			t.Errorf("%s with %v", n.Path, n.Header)
		}
	})
}

func TestAnthropicThinkingBecomesReasoningEffort(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	for name, c := range map[string]struct {
		set  func(p *anthropic.MessageNewParams)
		want any
	}{
		"budget":   {func(p *anthropic.MessageNewParams) { p.Thinking = anthropic.ThinkingConfigParamOfEnabled(4000) }, "medium"},
		"effort":   {func(p *anthropic.MessageNewParams) { p.OutputConfig.Effort = "high" }, "high"},
		"disabled": {func(p *anthropic.MessageNewParams) { p.Thinking.OfDisabled = &anthropic.ThinkingConfigDisabledParam{} }, "none"},
		"nothing":  {func(*anthropic.MessageNewParams) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tell(farGPT, play("text")+note(t.Name()))
			p.MaxTokens = 8000
			c.set(&p)
			if _, err := message(t, g.anthropic(g.key), p, false); err != nil {
				t.Fatal(err)
			}
			has(t, sent(t, t.Name()), c.want, "reasoning_effort")
		})
	}
}

// The whole loop of an agent: the answer goes back as it came.
func TestAnswersOfTheOtherFamilyCanBeSentBack(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := tell(farGPT, play("tools"))
		p.Tools = weatherTool()
		got, err := message(t, g.anthropic(g.key), p, stream)
		if err != nil {
			t.Fatal(err)
		}
		mark := play("text") + note(t.Name()+"-gpt")
		p.Messages = []anthropic.MessageParam{
			anthropic.NewUserMessage(anthropic.NewTextBlock("Compare.")), got.ToParam(),
			anthropic.NewUserMessage(anthropic.NewToolResultBlock(got.Content[0].ID, "sunny"+mark, false), anthropic.NewToolResultBlock(got.Content[1].ID, "rain", false)),
		}
		if _, err := message(t, g.anthropic(g.key), p, stream); err != nil {
			t.Fatal(err)
		}
		m := sent(t, t.Name()+"-gpt")
		has(t, m, "call_paris", "messages", 1, "tool_calls", 0, "id")
		has(t, m, "call_paris", "messages", 2, "tool_call_id")
		has(t, m, "call_oslo", "messages", 3, "tool_call_id")

		q := say(farClaude, play("tools"))
		q.Tools = []openai.ChatCompletionToolUnionParam{weather()}
		said, err := complete(t, g.openai(g.key), q, stream)
		if err != nil {
			t.Fatal(err)
		}
		mark = play("text") + note(t.Name()+"-claude")
		q.Messages = []openai.ChatCompletionMessageParamUnion{
			openai.UserMessage("Compare."), said.Choices[0].Message.ToParam(),
			openai.ToolMessage("sunny"+mark, said.Choices[0].Message.ToolCalls[0].ID), openai.ToolMessage("rain", said.Choices[0].Message.ToolCalls[1].ID),
		}
		if _, err := complete(t, g.openai(g.key), q, stream); err != nil {
			t.Fatal(err)
		}
		m = sent(t, t.Name()+"-claude")
		has(t, m, "Let me look.", "messages", 1, "content", 0, "text")
		has(t, m, "toolu_paris", "messages", 1, "content", 1, "id")
		has(t, m, "toolu_oslo", "messages", 2, "content", 1, "tool_use_id")
	})
}

func TestAnthropicParametersThatOpenAILacksAreRefused(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	p := tell(farGPT, play("text"))
	p.TopK = anthropic.Int(5)
	_, err := message(t, g.anthropic(g.key), p, false)
	raises(t, err, 400, "invalid_request_error")
	if !strings.Contains(err.Error(), "top_k") {
		t.Errorf("the error does not name top_k: %v", err)
	}
}

func TestOpenAIFailuresReachAnthropicCallersAsTheirs(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	for _, c := range []struct {
		play   string
		status int
		typ    string
		retry  string
	}{
		{"status-400", 400, "invalid_request_error", ""},
		{"status-400-policy", 400, "invalid_request_error", ""},
		{"status-401", 502, "api_error", "false"},
		{"status-429", 429, "rate_limit_error", "true"},
		{"status-429-quota", 503, "api_error", "false"},
		{"status-500", 502, "api_error", "true"},
		{"status-503", 529, "overloaded_error", ""},
	} {
		t.Run(c.play, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				_, err := message(t, g.anthropic(g.key), tell(own(farGPT, c.play, stream), play(c.play)), stream)
				raises(t, err, c.status, c.typ)
				secretive(t, err)
				var e *anthropic.Error
				if errors.As(err, &e) && e.Response.Header.Get("X-Should-Retry") != c.retry && c.retry != "" {
					t.Errorf("x-should-retry %q, want %q", e.Response.Header.Get("X-Should-Retry"), c.retry)
				}
			})
		})
	}
}

func TestABrokenOpenAIStreamRaisesAtAnthropicCallers(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	for _, name := range []string{"cut", "cut-error"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := g.anthropic(g.key)
			var resp *http.Response
			s := c.Messages.NewStreaming(context.Background(), tell(own(farGPT, name, true), play(name)), anthropicoption.WithResponseInto(&resp))
			text, last := "", ""
			for s.Next() {
				text += s.Current().Delta.Text
				last = s.Current().Type
			}
			var e *anthropic.Error
			if !errors.As(s.Err(), &e) || text != "Half an answer" || last != "content_block_delta" {
				t.Fatalf("text %q, last event %q, error %v", text, last, s.Err())
			}
			secretive(t, s.Err())
			g.charged(t, resp.Header.Get("X-Request-Id"), "0.00")
		})
	}
}

func TestTokensAreCountedForBothFamilies(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	c := g.anthropic(g.key)
	ask := func(model, prompt string) int64 {
		t.Helper()
		n, err := c.Messages.CountTokens(context.Background(), anthropic.MessageCountTokensParams{Model: anthropic.Model(model), Messages: tell(model, prompt).Messages})
		if err != nil {
			t.Fatal(err)
		}
		return n.InputTokens
	}
	if n := ask(farClaude, play("count")); n != 1234 {
		t.Errorf("Anthropic counted 1234, the caller is told %d", n)
	}
	if n := ask(farGPT, strings.Repeat("word ", 300)); n < 300 || n > 320 {
		t.Errorf("300 words are %d tokens", n)
	}
}

// OpenAI's callers ask for base64 by themselves; a provider may not know it.
func TestNumbersArePackedForWhoAsks(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	c := g.openai(g.key)
	for _, format := range []openai.EmbeddingNewParamsEncodingFormat{"float", "base64"} {
		got, err := c.Embeddings.New(context.Background(), openai.EmbeddingNewParams{
			Model: farEmbed, EncodingFormat: format, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{play("numbers"), "two"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Data) != 2 || got.Model != farEmbed || got.Usage.PromptTokens != 2 {
			t.Fatalf("%s", got.RawJSON())
		}
		want := []float64{0.125, 2, -3}
		if format == "base64" {
			same(t, want, got.Data[1].RawJSON())
		} else if !reflect.DeepEqual(got.Data[1].Embedding, want) {
			t.Errorf("%v", got.Data[1].Embedding)
		}
	}
}

// --- the same dialect on both sides --------------------------------------------

// Members that nobody here has heard of reach the provider, and the caller.
func TestNewMembersPassBetweenEqualDialects(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	both(t, func(t *testing.T, stream bool) {
		c := g.openai(g.key, option.WithJSONSet("brand_new", map[string]any{"x": []int{1}}), option.WithJSONSet("messages.0.extra", "kept"))
		got, err := complete(t, c, say(farGPT, play("thinking")+note(t.Name()+"-gpt")), stream)
		if err != nil {
			t.Fatal(err)
		}
		if !stream && !strings.Contains(got.RawJSON(), `"reasoning_content": "First, then second."`) {
			t.Errorf("%s", got.RawJSON())
		}
		m := sent(t, t.Name()+"-gpt")
		has(t, m, map[string]any{"x": []any{1.0}}, "brand_new")
		has(t, m, "kept", "messages", 0, "extra")

		a := g.anthropic(g.key, anthropicoption.WithJSONSet("brand_new", true))
		p := tell(farClaude, play("thinking")+note(t.Name()+"-claude"))
		p.Messages = append(p.Messages, anthropic.NewAssistantMessage(anthropic.NewThinkingBlock("c2ln", "Hm."), anthropic.NewRedactedThinkingBlock("b3BhcXVl"), anthropic.NewTextBlock("Well.")), anthropic.NewUserMessage(anthropic.NewTextBlock("And?")))
		p.System = []anthropic.TextBlockParam{{Text: "Be brief.", CacheControl: anthropic.CacheControlEphemeralParam{TTL: "1h"}}}
		message, err := message(t, a, p, stream)
		if err != nil || message.Content[0].Signature != "c2lnbmVk" {
			t.Fatalf("%+v, %v", message, err)
		}
		m = sent(t, t.Name()+"-claude")
		has(t, m, true, "brand_new")
		has(t, m, "claude-sonnet-4-5", "model")
		has(t, m, "1h", "system", 0, "cache_control", "ttl")
		has(t, m, map[string]any{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, "messages", 1, "content", 0)
		has(t, m, "b3BhcXVl", "messages", 1, "content", 1, "data")
		if string(message.Model) != farClaude {
			t.Errorf("model %q", message.Model)
		}
	})
}

// --- versions -----------------------------------------------------------------

// Newer SDKs send version 2026-10-21 and a bearer token in place of x-api-key.
func TestAnthropicVersion20261021WithABearerToken(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	beta := "context-1m-2025-08-07,interleaved-thinking-2025-05-14"
	c := anthropic.NewClient(anthropicoption.WithBaseURL(g.base), anthropicoption.WithAuthToken(g.key), anthropicoption.WithMaxRetries(0),
		anthropicoption.WithHeader("anthropic-version", "2026-10-21"), anthropicoption.WithHeader("anthropic-beta", beta))
	both(t, func(t *testing.T, stream bool) {
		got, err := message(t, c, tell(farClaude, play("text")+note(t.Name())), stream)
		if err != nil || spoken(got) != "Bonjour, ça va?" {
			t.Fatalf("%+v, %v", got, err)
		}
		n := upstream.noted(t, t.Name())
		if n.Header.Get("Anthropic-Version") != "2026-10-21" || n.Header.Get("Anthropic-Beta") != beta || n.Header.Get("X-Api-Key") != farKey || n.Header.Get("Authorization") != "" {
			t.Errorf("the provider got %v", n.Header)
		}
		if got, err := message(t, c, tell(farGPT, play("text")), stream); err != nil || spoken(got) != "Bonjour, ça va?" {
			t.Errorf("of the other family: %+v, %v", got, err)
		}
	})
}
