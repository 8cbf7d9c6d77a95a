package compat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// anthropic returns the SDK's client, without its own retries.
func (g *gateway) anthropic(key string, more ...option.RequestOption) anthropic.Client {
	return anthropic.NewClient(append([]option.RequestOption{option.WithBaseURL(g.base), option.WithAPIKey(key), option.WithMaxRetries(0)}, more...)...)
}

func greet(model string) anthropic.MessageNewParams { return tell(model, "Hello") }

func tell(model, prompt string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:     anthropic.Model(model),
		MaxTokens: 2000,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))},
	}
}

// message asks for an answer, whole or streamed and put together by the SDK's
// own accumulator, which must accept every event.
func message(t *testing.T, c anthropic.Client, p anthropic.MessageNewParams, stream bool) (anthropic.Message, error) {
	t.Helper()
	if !stream {
		got, err := c.Messages.New(context.Background(), p)
		if got == nil {
			got = &anthropic.Message{}
		}
		return *got, err
	}
	s := c.Messages.NewStreaming(context.Background(), p)
	defer func() { _ = s.Close() }()
	var m anthropic.Message
	last := ""
	for s.Next() {
		last = s.Current().Type
		if err := m.Accumulate(s.Current()); err != nil {
			t.Errorf("the accumulator does not take %s: %v", s.Current().RawJSON(), err)
		}
	}
	if s.Err() == nil && last != "message_stop" {
		t.Errorf("the stream ended with %q", last)
	}
	return m, s.Err()
}

// spoken is all text of a message.
func spoken(m anthropic.Message) string {
	var b strings.Builder
	for _, c := range m.Content {
		b.WriteString(c.Text)
	}
	return b.String()
}

func weatherTool() []anthropic.ToolUnionParam {
	return []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
		Name: "weather", Description: anthropic.String("The weather of a city"),
		InputSchema: anthropic.ToolInputSchemaParam{Properties: map[string]any{"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"}}, Required: []string{"city"}},
	}}}
}

func TestAnthropicMessages(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, model := range []string{"claude-sonnet-4-5", "gpt-5-mini"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				got, err := message(t, g.anthropic(g.key), greet(model), stream)
				if err != nil {
					t.Fatal(err)
				}
				if spoken(got) == "" || got.StopReason != "end_turn" || string(got.Model) != model || got.ID == "" || got.Role != "assistant" {
					t.Errorf("%+v", got)
				}
				if got.Usage.InputTokens == 0 || got.Usage.OutputTokens == 0 {
					t.Errorf("%+v", got.Usage)
				}
			})
		})
	}
}

// Successes, too, have the header that the SDKs look for.
func TestAnthropicRequestIDIsOnEveryAnswer(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	var whole, stream, list, count *http.Response
	c := g.anthropic(g.key)
	ctx := context.Background()
	_, err := c.Messages.New(ctx, greet("claude-sonnet-4-5"), option.WithResponseInto(&whole))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Messages.NewStreaming(ctx, greet("claude-sonnet-4-5"), option.WithResponseInto(&stream))
	for s.Next() {
	}
	if _, err := c.Models.List(ctx, anthropic.ModelListParams{}, option.WithResponseInto(&list)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: "claude-sonnet-4-5", Messages: greet("").Messages}, option.WithResponseInto(&count)); err != nil {
		t.Fatal(err)
	}
	for name, resp := range map[string]*http.Response{"whole": whole, "stream": stream, "models": list, "count_tokens": count} {
		if id := resp.Header.Get("Request-Id"); !strings.HasPrefix(id, "req_") || id != resp.Header.Get("X-Request-Id") {
			t.Errorf("%s: request-id %q, X-Request-ID %q", name, id, resp.Header.Get("X-Request-Id"))
		}
	}
}

func TestAnthropicBearer(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := anthropic.NewClient(option.WithBaseURL(g.base), option.WithAuthToken(g.key), option.WithMaxRetries(0))
	if _, err := c.Messages.New(context.Background(), greet("claude-sonnet-4-5")); err != nil {
		t.Error(err)
	}
}

// The beta resource posts to the same path with a query.
func TestAnthropicBetaMessages(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.anthropic(g.key)
	p := anthropic.BetaMessageNewParams{
		Model: "claude-sonnet-4-5", MaxTokens: 100, Betas: []anthropic.AnthropicBeta{"context-1m-2025-08-07", "interleaved-thinking-2025-05-14"},
		Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("Hello"))},
	}
	got, err := c.Beta.Messages.New(context.Background(), p)
	if err != nil || len(got.Content) == 0 || got.Content[0].Text == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	s := c.Beta.Messages.NewStreaming(context.Background(), p)
	var m anthropic.BetaMessage
	for s.Next() {
		if err := m.Accumulate(s.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if s.Err() != nil || len(m.Content) == 0 || m.Content[0].Text != got.Content[0].Text {
		t.Errorf("%+v, %v", m, s.Err())
	}
}

func TestAnthropicTools(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	model := "claude-opus-4-6" // scripted by this test
	call := map[string]any{"tool_calls": []map[string]any{
		{"name": "weather", "arguments": map[string]any{"city": "Paris"}}, {"name": "weather", "arguments": map[string]any{"city": "Oslo"}},
	}, "chunks": 5}
	g.script(t, model, call, call)
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		t.Run(name, func(t *testing.T) { // in turn: the script is common to both
			c := g.anthropic(g.key)
			p := tell(model, "What is it like in Paris and in Oslo?")
			p.Tools, p.ToolChoice = weatherTool(), anthropic.ToolChoiceUnionParam{OfAny: &anthropic.ToolChoiceAnyParam{}}
			got, err := message(t, c, p, stream)
			if err != nil {
				t.Fatal(err)
			}
			var results []anthropic.ContentBlockParamUnion
			for _, b := range got.Content {
				if b.Type != "tool_use" {
					continue
				}
				var args struct{ City string }
				want := []string{"Paris", "Oslo"}[len(results)%2]
				if err := json.Unmarshal(b.Input, &args); err != nil || args.City != want || b.Name != "weather" || b.ID == "" {
					t.Errorf("call of %q with %s: %v", b.Name, b.Input, err)
				}
				results = append(results, anthropic.NewToolResultBlock(b.ID, "sunny", false))
			}
			if len(results) != 2 || got.StopReason != "tool_use" {
				t.Fatalf("%+v", got)
			}
			p.Messages = append(p.Messages, got.ToParam(), anthropic.NewUserMessage(results...))
			p.Model, p.ToolChoice = "claude-sonnet-4-5", anthropic.ToolChoiceUnionParam{}
			if got, err = message(t, c, p, stream); err != nil || spoken(got) == "" {
				t.Errorf("after the tools' results: %+v, %v", got, err)
			}
		})
	}
}

func TestAnthropicThinking(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := greet("claude-sonnet-4-5")
		p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
		got, err := message(t, g.anthropic(g.key), p, stream)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Content) != 2 || got.Content[0].Type != "thinking" || got.Content[0].Thinking == "" || got.Content[0].Signature == "" || got.Content[1].Text == "" {
			t.Fatalf("%+v", got)
		}
		if n := got.Usage.OutputTokensDetails.ThinkingTokens; n == 0 || n >= got.Usage.OutputTokens {
			t.Errorf("%d of %d output tokens are thinking", n, got.Usage.OutputTokens)
		}
		p.Messages = append(p.Messages, got.ToParam(), anthropic.NewUserMessage(anthropic.NewTextBlock("And now?")))
		if _, err := message(t, g.anthropic(g.key), p, stream); err != nil {
			t.Errorf("with the thoughts sent back: %v", err)
		}
	})
}

func TestAnthropicImages(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := greet("claude-sonnet-4-5")
		p.Messages[0].Content = append(p.Messages[0].Content, anthropic.NewImageBlockBase64("image/png", pixel))
		if got, err := message(t, g.anthropic(g.key), p, stream); err != nil || !strings.Contains(spoken(got), "one image") {
			t.Errorf("%+v, %v", got, err)
		}
		p.Model = "o3-mini"
		_, err := message(t, g.anthropic(g.key), p, stream)
		raises(t, err, 400, "invalid_request_error")
	})
}

func TestAnthropicStructuredOutput(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := greet("claude-sonnet-4-5")
		p.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: map[string]any{
			"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer"}}, "required": []string{"n"}, "additionalProperties": false,
		}}
		got, err := message(t, g.anthropic(g.key), p, stream)
		var v struct{ N *int }
		if err != nil || json.Unmarshal([]byte(spoken(got)), &v) != nil || v.N == nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestAnthropicCacheUsage(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		mark := anthropic.NewCacheControlEphemeralParam()
		p := greet("claude-sonnet-4-5")
		p.System = []anthropic.TextBlockParam{{Text: strings.Repeat("Know this. ", 200), CacheControl: mark}}
		first, err := message(t, g.anthropic(g.key), p, stream)
		if err != nil {
			t.Fatal(err)
		}
		if u := first.Usage; u.CacheCreationInputTokens < 400 || u.CacheReadInputTokens != 0 || u.InputTokens == 0 || u.InputTokens > 50 || u.CacheCreation.Ephemeral5mInputTokens != u.CacheCreationInputTokens {
			t.Errorf("one mark writes: %+v", u)
		}
		p.Messages[0].Content[0].OfText.CacheControl = mark
		second, err := message(t, g.anthropic(g.key), p, stream)
		if err != nil {
			t.Fatal(err)
		}
		if u := second.Usage; u.CacheReadInputTokens != first.Usage.CacheCreationInputTokens || u.CacheCreationInputTokens == 0 {
			t.Errorf("two marks read and write: %+v, before %+v", u, first.Usage)
		}
	})
}

func TestAnthropicLimitsAndStops(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := greet("claude-sonnet-4-5")
		p.MaxTokens = 4
		if got, err := message(t, g.anthropic(g.key), p, stream); err != nil || got.StopReason != "max_tokens" || got.Usage.OutputTokens != 4 {
			t.Errorf("max_tokens 4: %+v, %v", got, err)
		}
		p = greet("claude-sonnet-4-5")
		p.StopSequences = []string{" simulated"}
		if got, err := message(t, g.anthropic(g.key), p, stream); err != nil || got.StopReason != "stop_sequence" || got.StopSequence != " simulated" {
			t.Errorf("stop_sequences: %+v, %v", got, err)
		}
	})
}

func TestAnthropicCountTokens(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.anthropic(g.key)
	for _, model := range []string{"claude-sonnet-4-5", "gpt-5-mini"} {
		short, err := c.Messages.CountTokens(context.Background(), anthropic.MessageCountTokensParams{Model: anthropic.Model(model), Messages: greet(model).Messages})
		if err != nil || short.InputTokens == 0 {
			t.Fatalf("%s: %v, %+v", model, err, short)
		}
		long, err := c.Messages.CountTokens(context.Background(), anthropic.MessageCountTokensParams{Model: anthropic.Model(model), Messages: tell(model, strings.Repeat("word ", 500)).Messages})
		if err != nil || long.InputTokens < short.InputTokens+400 {
			t.Errorf("%s: %v, %+v after %+v", model, err, long, short)
		}
	}
	_, err := c.Messages.CountTokens(context.Background(), anthropic.MessageCountTokensParams{Model: "claude-nothing", Messages: greet("").Messages})
	raises(t, err, 404, "not_found_error")
}

func TestAnthropicModels(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.anthropic(g.key)
	ctx := context.Background()
	pages := c.Models.ListAutoPaging(ctx, anthropic.ModelListParams{Limit: anthropic.Int(30)})
	seen := map[string]bool{}
	for pages.Next() {
		m := pages.Current()
		if seen[m.ID] || m.ID == "" || m.DisplayName == "" || m.Type != "model" || m.CreatedAt.IsZero() {
			t.Errorf("%s", m.RawJSON())
		}
		seen[m.ID] = true
	}
	if err := pages.Err(); err != nil || len(seen) < 100 {
		t.Errorf("%d models, %v", len(seen), err)
	}
	one, err := c.Models.Get(ctx, "claude-sonnet-4-5", anthropic.ModelGetParams{})
	if err != nil || one.ID != "claude-sonnet-4-5" || one.MaxInputTokens == 0 {
		t.Errorf("%v, %+v", err, one)
	}
	_, err = c.Models.Get(ctx, "claude-nothing", anthropic.ModelGetParams{})
	raises(t, err, 404, "not_found_error")
	stranger := g.anthropic("sk-pontage-nobody")
	_, err = stranger.Models.List(ctx, anthropic.ModelListParams{})
	raises(t, err, 401, "authentication_error")
}

func TestAnthropicModelsComeInPages(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.anthropic(g.key)
	ctx := context.Background()
	page, err := c.Models.List(ctx, anthropic.ModelListParams{Limit: anthropic.Int(5)})
	if err != nil || len(page.Data) != 5 || !page.HasMore || page.FirstID != page.Data[0].ID || page.LastID != page.Data[4].ID {
		t.Fatalf("%v, %d models, more: %v", err, len(page.Data), page.HasMore)
	}
	next, err := page.GetNextPage()
	if err != nil || len(next.Data) != 5 || next.Data[0].ID == page.Data[0].ID {
		t.Fatalf("%v, %d models", err, len(next.Data))
	}
	back, err := c.Models.List(ctx, anthropic.ModelListParams{Limit: anthropic.Int(5), BeforeID: anthropic.String(next.FirstID)})
	if err != nil || len(back.Data) != 5 || back.Data[0].ID != page.Data[0].ID {
		t.Errorf("%v, %d models", err, len(back.Data))
	}
}

// raises checks that err is the SDK's own error type, with all that it holds.
func raises(t *testing.T, err error, status int, typ string) {
	t.Helper()
	var e *anthropic.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want an *anthropic.Error with status %d", err, err, status)
	}
	var body struct {
		Type      string
		Error     struct{ Type, Message string }
		RequestID string `json:"request_id"`
	}
	if uerr := json.Unmarshal([]byte(e.RawJSON()), &body); uerr != nil {
		t.Fatalf("%v in %s", uerr, e.RawJSON())
	}
	if e.StatusCode != status || body.Type != "error" || body.Error.Type != typ || body.Error.Message == "" || body.RequestID == "" {
		t.Errorf("%d %s, want status %d and type %s", e.StatusCode, e.RawJSON(), status, typ)
	}
	if e.RequestID == "" || e.RequestID != body.RequestID {
		t.Errorf("the SDK found request id %q, the body has %q", e.RequestID, body.RequestID)
	}
}

func TestAnthropicErrors(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	poor, _ := g.newKey(t, "", nil)
	off, offID := g.newKey(t, "1", nil)
	g.call(t, "PATCH", "/admin/v1/keys/"+offID, map[string]any{"active": false}, nil)
	narrow, _ := g.newKey(t, "1", map[string]any{"models": []string{"gpt-4o"}})
	slow, _ := g.newKey(t, "1", map[string]any{"limits": map[string]any{"requests": 1, "per": "1h"}})
	if _, err := message(t, g.anthropic(slow), greet("claude-sonnet-4-5"), false); err != nil {
		t.Fatal(err)
	}
	mute, cold, huge := greet("claude-sonnet-4-5"), greet("claude-sonnet-4-5"), tell("claude-sonnet-4-5", strings.Repeat("word ", 1_100_000))
	mute.Messages = nil
	cold.Temperature = anthropic.Float(-1)
	for _, c := range []struct {
		name, key string
		params    anthropic.MessageNewParams
		status    int
		typ       string
	}{
		{"unknown key", "sk-pontage-nobody", greet("claude-sonnet-4-5"), 401, "authentication_error"},
		{"no balance", poor, greet("claude-sonnet-4-5"), 402, "billing_error"},
		{"inactive key", off, greet("claude-sonnet-4-5"), 403, "permission_error"},
		{"model not allowed", narrow, greet("claude-sonnet-4-5"), 403, "permission_error"},
		{"unknown model", g.key, greet("claude-nothing"), 404, "not_found_error"},
		{"no messages", g.key, mute, 400, "invalid_request_error"},
		{"bad parameter", g.key, cold, 400, "invalid_request_error"},
		{"too long", g.key, huge, 400, "invalid_request_error"},
		{"over the rate", slow, greet("claude-sonnet-4-5"), 429, "rate_limit_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, stream := range []bool{false, true} {
				_, err := message(t, g.anthropic(c.key), c.params, stream)
				raises(t, err, c.status, c.typ)
				if c.name == "too long" && !strings.Contains(err.Error(), "prompt is too long: ") {
					t.Errorf("clients look for other words than %v", err) // protocols.md §2.1
				}
			}
		})
	}
}

func TestAnthropicSimulatedFaults(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, f := range faults {
		t.Run(f.fault, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				_, err := message(t, g.anthropic(g.testKey, option.WithHeader("X-Pontage-Simulate", f.fault)), greet("claude-sonnet-4-5"), stream)
				raises(t, err, f.anthropic, f.typ)
			})
		})
	}
}

func TestAnthropicARealOverloadIs529(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	g.script(t, "claude-opus-4-1", map[string]any{"fault": "error_529", "times": -1})
	both(t, func(t *testing.T, stream bool) {
		_, err := message(t, g.anthropic(g.key), greet("claude-opus-4-1"), stream)
		raises(t, err, 529, "overloaded_error")
	})
}

func TestAnthropicRaisesWhenAStreamBreaksOff(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for how, model := range map[string]string{"simulated": "claude-sonnet-4-5", "cut": "claude-3-opus-20240229", "error_529": "claude-opus-4-0", "truncated": "claude-3-7-sonnet-20250219"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := g.anthropic(g.testKey, option.WithHeader("X-Pontage-Simulate", "stream_interrupted;after=2"))
			if how != "simulated" {
				c = g.anthropic(g.key)
				g.script(t, model, map[string]any{"fault": how, "after": 2})
			}
			var resp *http.Response
			s := c.Messages.NewStreaming(context.Background(), greet(model), option.WithResponseInto(&resp))
			text, stops := "", 0
			for s.Next() {
				text += s.Current().Delta.Text
				if typ := s.Current().Type; typ == "message_delta" || typ == "message_stop" {
					stops++
				}
			}
			var e *anthropic.Error
			if !errors.As(s.Err(), &e) || text == "" || stops > 0 {
				t.Fatalf("text %q, %d ends, error %v; want some text, no end, an error", text, stops, s.Err())
			}
			if !strings.Contains(e.RawJSON(), `"type":"error"`) || e.Type() == "" {
				t.Errorf("%s", e.RawJSON())
			}
			if how != "simulated" {
				g.charged(t, resp.Header.Get("X-Request-Id"), "0.00")
			}
		})
	}
}
