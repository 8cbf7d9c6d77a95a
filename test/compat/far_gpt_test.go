package compat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
)

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
