package compat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func (g *gateway) openai(key string, more ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{option.WithBaseURL(g.base + "/v1"), option.WithAPIKey(key), option.WithMaxRetries(0)}, more...)...)
}

func hello(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage("Hello")},
	}
}

func TestOpenAIChat(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.openai(g.key)
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		got, err := c.Chat.Completions.New(context.Background(), hello(model))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Choices) != 1 || got.Choices[0].Message.Content == "" || got.Choices[0].FinishReason != "stop" || got.Model != model || got.Usage.TotalTokens == 0 {
			t.Errorf("%s: %s", model, got.RawJSON())
		}
	}
}

func TestOpenAIStream(t *testing.T) {
	t.Parallel()
	g := start(t)
	p := hello("gpt-5-mini")
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	c := g.openai(g.key)
	s := c.Chat.Completions.NewStreaming(context.Background(), p)
	var acc openai.ChatCompletionAccumulator
	for s.Next() {
		acc.AddChunk(s.Current())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if len(acc.Choices) != 1 || acc.Choices[0].Message.Content == "" || acc.Choices[0].FinishReason != "stop" || acc.Usage.CompletionTokens == 0 {
		t.Errorf("%+v", acc.ChatCompletion)
	}
}

func TestOpenAITools(t *testing.T) {
	t.Parallel()
	g := start(t)
	p := hello("gpt-5-mini")
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name:       "weather",
		Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}},
	})}
	p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("required")}
	c := g.openai(g.key)
	got, err := c.Chat.Completions.New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	calls := got.Choices[0].Message.ToolCalls
	if len(calls) != 1 || calls[0].Function.Name != "weather" || got.Choices[0].FinishReason != "tool_calls" {
		t.Fatalf("%s", got.RawJSON())
	}
	var args struct{ City string }
	if err := json.Unmarshal([]byte(calls[0].Function.Arguments), &args); err != nil || args.City == "" {
		t.Errorf("arguments %q: %v", calls[0].Function.Arguments, err)
	}
	// The conversation goes on with the result.
	p.Messages = append(p.Messages, got.Choices[0].Message.ToParam(), openai.ToolMessage("sunny", calls[0].ID))
	p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{}
	if got, err = c.Chat.Completions.New(context.Background(), p); err != nil || len(got.Choices) != 1 {
		t.Errorf("after the tool's result: %v", err)
	}
}

func TestOpenAIStructuredOutput(t *testing.T) {
	t.Parallel()
	g := start(t)
	p := hello("gpt-5-mini")
	p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
		Name: "answer", Strict: openai.Bool(true),
		Schema: map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer"}}, "required": []string{"n"}, "additionalProperties": false},
	}}}
	c := g.openai(g.key)
	got, err := c.Chat.Completions.New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ N *int }
	if err := json.Unmarshal([]byte(got.Choices[0].Message.Content), &v); err != nil || v.N == nil {
		t.Errorf("%q: %v", got.Choices[0].Message.Content, err)
	}
}

func TestOpenAIEmbeddings(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.openai(g.key)
	got, err := c.Embeddings.New(context.Background(), openai.EmbeddingNewParams{
		Model: "text-embedding-3-small",
		Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two"}}, Dimensions: openai.Int(8),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Data) != 2 || len(got.Data[0].Embedding) != 8 || got.Usage.PromptTokens == 0 {
		t.Errorf("%s", got.RawJSON())
	}
}

func TestOpenAIModels(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.openai(g.key)
	page, err := c.Models.List(context.Background())
	if err != nil || len(page.Data) < 100 {
		t.Fatalf("%v, %d models", err, len(page.Data))
	}
	one, err := c.Models.Get(context.Background(), page.Data[0].ID)
	if err != nil || one.ID != page.Data[0].ID {
		t.Errorf("%v, %+v", err, one)
	}
}

// fails checks that err is the SDK's own error type with the status and a code.
func fails(t *testing.T, err error, status int) {
	t.Helper()
	var e *openai.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want an *openai.Error with status %d", err, err, status)
	}
	if e.StatusCode != status || e.Message == "" || e.Type == "" || strings.Contains(e.Code+e.Type+e.Param, "None") {
		t.Errorf("status %d, type %q, code %q, message %q; want status %d", e.StatusCode, e.Type, e.Code, e.Message, status)
	}
	if e.Response.Header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
}

func TestOpenAIErrors(t *testing.T) {
	t.Parallel()
	g := start(t)
	ctx := context.Background()
	poor, _ := g.newKey(t, "", nil)
	off, offID := g.newKey(t, "1", nil)
	g.call(t, "PATCH", "/admin/v1/keys/"+offID, map[string]any{"active": false}, nil)
	narrow, _ := g.newKey(t, "1", map[string]any{"models": []string{"gpt-4o"}})
	slow, _ := g.newKey(t, "1", map[string]any{"limits": map[string]any{"rps": 0.01, "burst": 1}})
	hot := hello("gpt-5-mini")
	hot.Temperature = openai.Float(3)
	for _, c := range []struct {
		name   string
		key    string
		params openai.ChatCompletionNewParams
		status int
	}{
		{"unknown key", "sk-pontage-nobody", hello("gpt-5-mini"), 401},
		{"no balance", poor, hello("gpt-5-mini"), 402},
		{"inactive key", off, hello("gpt-5-mini"), 403},
		{"model not allowed", narrow, hello("gpt-5-mini"), 403},
		{"unknown model", g.key, hello("gpt-nothing"), 404},
		{"bad parameter", g.key, hot, 400},
		{"over the rate", slow, hello("gpt-5-mini"), 429},
	} {
		if c.status == 429 {
			one := g.openai(c.key)
			_, _ = one.Chat.Completions.New(ctx, c.params)
		}
		cl := g.openai(c.key)
		_, err := cl.Chat.Completions.New(ctx, c.params)
		t.Run(c.name, func(t *testing.T) { fails(t, err, c.status) })
	}
	for _, f := range upstreamFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := g.openai(g.testKey, option.WithHeader("X-Pontage-Simulate", f.simulate))
			_, err := c.Chat.Completions.New(ctx, hello("gpt-5-mini"))
			fails(t, err, f.status)
			s := c.Chat.Completions.NewStreaming(ctx, hello("gpt-5-mini"))
			for s.Next() {
				t.Error("a stream that is refused has events")
			}
			fails(t, s.Err(), f.status)
		})
	}
}

func TestOpenAIRaisesWhenAStreamBreaksOff(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, how := range []string{"simulated", "a real cut"} {
		key, opts, model := g.testKey, []option.RequestOption{option.WithHeader("X-Pontage-Simulate", "stream_interrupted;after=2")}, "gpt-5-mini"
		if how != "simulated" {
			key, opts, model = g.key, nil, "gpt-4.1"
			g.script(t, model, map[string]any{"fault": "cut", "after": 2})
		}
		c := g.openai(key, opts...)
		s := c.Chat.Completions.NewStreaming(context.Background(), hello(model))
		content, finish := "", ""
		for s.Next() {
			for _, ch := range s.Current().Choices {
				content += ch.Delta.Content
				finish += string(ch.FinishReason)
			}
		}
		if s.Err() == nil || content == "" || finish != "" {
			t.Errorf("%s: content %q, finish %q, error %v; want some content, no finish, an error", how, content, finish, s.Err())
		}
	}
}

func TestOpenAIRetriesWhatIsWorthIt(t *testing.T) {
	t.Parallel()
	g := start(t)
	model := "gpt-4.1-nano"
	// More failures than the gateway's own attempts for the first call, then good.
	g.script(t, model, map[string]any{"fault": "error_500", "times": 3})
	c := g.openai(g.key, option.WithMaxRetries(2))
	if _, err := c.Chat.Completions.New(context.Background(), hello(model)); err != nil {
		t.Errorf("after a failure that is worth a retry: %v", err)
	}
	var tries int
	count := option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		tries++
		return next(r)
	})
	c = g.openai(g.testKey, option.WithMaxRetries(2), count, option.WithHeader("X-Pontage-Simulate", "upstream_auth"))
	_, err := c.Chat.Completions.New(context.Background(), hello("gpt-5-mini"))
	fails(t, err, 502)
	if tries != 1 {
		t.Errorf("%d tries of what a retry cannot help", tries)
	}
}
