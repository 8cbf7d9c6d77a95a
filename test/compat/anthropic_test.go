package compat

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

func (g *gateway) anthropic(key string, more ...option.RequestOption) anthropic.Client {
	return anthropic.NewClient(append([]option.RequestOption{option.WithBaseURL(g.base), option.WithAPIKey(key), option.WithMaxRetries(0)}, more...)...)
}

func greet(model string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:     anthropic.Model(model),
		MaxTokens: 200,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hello"))},
	}
}

func TestAnthropicMessages(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.anthropic(g.key)
	for _, model := range []string{"claude-sonnet-4-5", "gpt-5-mini"} {
		got, err := c.Messages.New(context.Background(), greet(model))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Content) == 0 || got.Content[0].Text == "" || got.StopReason != "end_turn" || string(got.Model) != model || got.Usage.OutputTokens == 0 {
			t.Errorf("%s: %s", model, got.RawJSON())
		}
	}
}

func TestAnthropicBearer(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := anthropic.NewClient(option.WithBaseURL(g.base), option.WithAuthToken(g.key), option.WithMaxRetries(0))
	if _, err := c.Messages.New(context.Background(), greet("claude-sonnet-4-5")); err != nil {
		t.Error(err)
	}
}

func TestAnthropicStream(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.anthropic(g.key)
	s := c.Messages.NewStreaming(context.Background(), greet("claude-sonnet-4-5"))
	var m anthropic.Message
	for s.Next() {
		if err := m.Accumulate(s.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if len(m.Content) == 0 || m.Content[0].Text == "" || m.StopReason != "end_turn" || m.Usage.OutputTokens == 0 {
		t.Errorf("%+v", m)
	}
}

func TestAnthropicTools(t *testing.T) {
	t.Parallel()
	g := start(t)
	p := greet("claude-sonnet-4-5")
	p.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
		Name:        "weather",
		InputSchema: anthropic.ToolInputSchemaParam{Properties: map[string]any{"city": map[string]any{"type": "string"}}, Required: []string{"city"}},
	}}}
	p.ToolChoice = anthropic.ToolChoiceUnionParam{OfAny: &anthropic.ToolChoiceAnyParam{}}
	c := g.anthropic(g.key)
	got, err := c.Messages.New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, b := range got.Content {
		if b.Type == "tool_use" {
			found = true
			var args struct{ City string }
			if err := json.Unmarshal(b.Input, &args); err != nil || args.City == "" || b.Name != "weather" {
				t.Errorf("call of %q with %s: %v", b.Name, b.Input, err)
			}
		}
	}
	if !found || got.StopReason != "tool_use" {
		t.Errorf("%s", got.RawJSON())
	}
}

func TestAnthropicThinking(t *testing.T) {
	t.Parallel()
	g := start(t)
	p := greet("claude-sonnet-4-5")
	p.MaxTokens = 2000
	p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
	c := g.anthropic(g.key)
	got, err := c.Messages.New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Content) < 2 || got.Content[0].Type != "thinking" || got.Content[0].Signature == "" {
		t.Errorf("%s", got.RawJSON())
	}
}

func TestAnthropicCountTokens(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.anthropic(g.key)
	for _, model := range []string{"claude-sonnet-4-5", "gpt-5-mini"} {
		got, err := c.Messages.CountTokens(context.Background(), anthropic.MessageCountTokensParams{
			Model: anthropic.Model(model), Messages: greet(model).Messages,
		})
		if err != nil || got.InputTokens == 0 {
			t.Errorf("%s: %v, %+v", model, err, got)
		}
	}
}

func anthropicFails(t *testing.T, err error, status int) {
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
	if e.StatusCode != status || body.Type != "error" || body.Error.Type == "" || body.Error.Message == "" || body.RequestID == "" {
		t.Errorf("%d %s, want status %d", e.StatusCode, e.RawJSON(), status)
	}
	if e.RequestID == "" {
		t.Error("the SDK found no request id")
	}
}

func TestAnthropicErrors(t *testing.T) {
	t.Parallel()
	g := start(t)
	ctx := context.Background()
	poor, _ := g.newKey(t, "", nil)
	bad := greet("claude-sonnet-4-5")
	bad.Messages = nil
	for _, c := range []struct {
		name, key string
		params    anthropic.MessageNewParams
		status    int
	}{
		{"unknown key", "sk-pontage-nobody", greet("claude-sonnet-4-5"), 401},
		{"no balance", poor, greet("claude-sonnet-4-5"), 402},
		{"unknown model", g.key, greet("claude-nothing"), 404},
		{"bad parameter", g.key, bad, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := g.anthropic(c.key)
			_, err := cl.Messages.New(ctx, c.params)
			anthropicFails(t, err, c.status)
		})
	}
	for _, f := range append([]broken{{"overloaded", 529, "upstream_overloaded"}}, upstreamFaults...) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			status := f.status
			if f.simulate == "upstream_quota" || f.simulate == "no_target" {
				status = 0 // 503 or 529: both classes are right for this dialect
			}
			c := g.anthropic(g.testKey, option.WithHeader("X-Pontage-Simulate", f.simulate))
			_, err := c.Messages.New(ctx, greet("claude-sonnet-4-5"))
			var e *anthropic.Error
			if status == 0 && errors.As(err, &e) && (e.StatusCode == 503 || e.StatusCode == 529) {
				status = e.StatusCode
			}
			anthropicFails(t, err, status)
		})
	}
}

func TestAnthropicRaisesWhenAStreamBreaksOff(t *testing.T) {
	t.Parallel()
	g := start(t)
	model := "claude-opus-4-1"
	g.script(t, model, map[string]any{"fault": "cut", "after": 2})
	c := g.anthropic(g.key)
	s := c.Messages.NewStreaming(context.Background(), greet(model))
	events := 0
	for s.Next() {
		events++
	}
	if s.Err() == nil || events == 0 {
		t.Errorf("%d events, error %v; want some and an error", events, s.Err())
	}
}
