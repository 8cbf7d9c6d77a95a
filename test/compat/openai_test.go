package compat

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

// openai returns the SDK's client, without its own retries.
func (g *gateway) openai(key string, more ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{option.WithBaseURL(g.base + "/v1"), option.WithAPIKey(key), option.WithMaxRetries(0)}, more...)...)
}

func hello(model string) openai.ChatCompletionNewParams { return say(model, "Hello") }

func say(model, prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage(prompt)},
	}
}

// both runs a test with whole and with streamed answers.
func both(t *testing.T, test func(t *testing.T, stream bool)) {
	t.Helper()
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, stream)
		})
	}
}

// complete asks for an answer, whole or streamed: a stream with usage, put
// together by the SDK's own accumulator, which must accept every chunk.
func complete(t *testing.T, c openai.Client, p openai.ChatCompletionNewParams, stream bool) (openai.ChatCompletion, error) {
	t.Helper()
	if !stream {
		got, err := c.Chat.Completions.New(context.Background(), p)
		if got == nil {
			got = &openai.ChatCompletion{}
		}
		return *got, err
	}
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	s := c.Chat.Completions.NewStreaming(context.Background(), p)
	defer func() { _ = s.Close() }()
	var acc openai.ChatCompletionAccumulator
	var usage openai.CompletionUsage
	for s.Next() {
		if u := s.Current().Usage; u.TotalTokens > 0 {
			usage = u
		}
		if !acc.AddChunk(s.Current()) {
			t.Errorf("the accumulator does not take %s", s.Current().RawJSON())
		}
	}
	acc.Usage = usage // the accumulator does not take over all of it
	return acc.ChatCompletion, s.Err()
}

// weather is a tool.
func weather() openai.ChatCompletionToolUnionParam {
	return openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "weather", Description: openai.String("The weather of a city"),
		Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"}}, "required": []string{"city"}},
	})
}

func required() openai.ChatCompletionToolChoiceOptionUnionParam {
	return openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("required")}
}

func TestOpenAIChat(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				got, err := complete(t, g.openai(g.key), hello(model), stream)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Choices) != 1 || got.Choices[0].Message.Content == "" || got.Choices[0].FinishReason != "stop" || got.Choices[0].Message.Role != "assistant" {
					t.Errorf("%+v", got.Choices)
				}
				if got.Model != model || got.ID == "" || got.Created == 0 || got.Usage.CompletionTokens == 0 || got.Usage.TotalTokens != got.Usage.PromptTokens+got.Usage.CompletionTokens {
					t.Errorf("id %q, model %q, created %d, usage %+v", got.ID, got.Model, got.Created, got.Usage)
				}
			})
		})
	}
}

// Without stream_options no chunk may be without a choice: callers index into it.
func TestOpenAIUsageIsStreamedOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, ask := range []bool{false, true} {
		p := hello("gpt-5-mini")
		if ask {
			p.StreamOptions.IncludeUsage = openai.Bool(true)
		}
		c := g.openai(g.key)
		s := c.Chat.Completions.NewStreaming(context.Background(), p)
		var empty, usage int
		for s.Next() {
			if len(s.Current().Choices) == 0 {
				empty++
			}
			if s.Current().Usage.CompletionTokens > 0 {
				usage++
			}
		}
		want := 0
		if ask {
			want = 1
		}
		if err := s.Err(); err != nil || empty != want || usage != want {
			t.Errorf("include_usage %v: %d chunks without choice, %d with usage, error %v", ask, empty, usage, err)
		}
	}
}

func TestOpenAISeveralChoices(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := hello("gpt-4.1-mini")
		p.N = openai.Int(3)
		got, err := complete(t, g.openai(g.key), p, stream)
		if err != nil || len(got.Choices) != 3 {
			t.Fatalf("%d choices, %v", len(got.Choices), err)
		}
		for i, c := range got.Choices {
			if c.Index != int64(i) || c.Message.Content == "" || c.FinishReason != "stop" {
				t.Errorf("choice %d: %+v", i, c)
			}
		}
	})
}

func TestOpenAILimitsAndStops(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := hello("gpt-4.1-mini")
		p.MaxCompletionTokens = openai.Int(4)
		got, err := complete(t, g.openai(g.key), p, stream)
		if err != nil || got.Choices[0].FinishReason != "length" || got.Usage.CompletionTokens != 4 {
			t.Errorf("max_completion_tokens 4: %v, %+v", err, got.Usage)
		}
		p = hello("gpt-4.1-mini")
		p.Stop.OfStringArray = []string{" simulated"}
		got, err = complete(t, g.openai(g.key), p, stream)
		if err != nil || got.Choices[0].FinishReason != "stop" || strings.Contains(got.Choices[0].Message.Content, "simulated") {
			t.Errorf("stop: %v, %+v", err, got.Choices)
		}
	})
}

// Two tools are called at once, and the conversation goes on with both results.
func TestOpenAITools(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	model := "gpt-4.1" // scripted by this test
	call := map[string]any{"tool_calls": []map[string]any{
		{"name": "weather", "arguments": map[string]any{"city": "Paris"}}, {"name": "weather", "arguments": map[string]any{"city": "Oslo"}},
	}, "chunks": 5}
	g.script(t, model, call, call)
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		t.Run(name, func(t *testing.T) { // in turn: the script is common to both
			c := g.openai(g.key)
			p := say(model, "What is it like in Paris and in Oslo?")
			p.Tools, p.ToolChoice = []openai.ChatCompletionToolUnionParam{weather()}, required()
			got, err := complete(t, c, p, stream)
			if err != nil {
				t.Fatal(err)
			}
			calls := got.Choices[0].Message.ToolCalls
			if len(calls) != 2 || got.Choices[0].FinishReason != "tool_calls" || calls[0].ID == calls[1].ID {
				t.Fatalf("%+v", got.Choices)
			}
			p.Messages = append(p.Messages, got.Choices[0].Message.ToParam())
			for i, city := range []string{"Paris", "Oslo"} {
				var args struct{ City string }
				if err := json.Unmarshal([]byte(calls[i].Function.Arguments), &args); err != nil || args.City != city || calls[i].Function.Name != "weather" || calls[i].ID == "" {
					t.Errorf("call %d: %+v, %v", i, calls[i], err)
				}
				p.Messages = append(p.Messages, openai.ToolMessage("sunny", calls[i].ID))
			}
			g := near.get(t)
			p.Model, p.ToolChoice = "gpt-4.1-mini", openai.ChatCompletionToolChoiceOptionUnionParam{}
			if got, err = complete(t, g.openai(g.key), p, stream); err != nil || got.Choices[0].Message.Content == "" {
				t.Errorf("after the tools' results: %+v, %v", got.Choices, err)
			}
		})
	}
}

func TestOpenAIAForcedToolIsCalledWithArgumentsOfItsSchema(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := hello("gpt-5-mini")
		p.Tools, p.ToolChoice = []openai.ChatCompletionToolUnionParam{weather()}, openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "weather"})
		got, err := complete(t, g.openai(g.key), p, stream)
		if err != nil || len(got.Choices[0].Message.ToolCalls) != 1 {
			t.Fatalf("%+v, %v", got.Choices, err)
		}
		var args struct{ City *string }
		if err := json.Unmarshal([]byte(got.Choices[0].Message.ToolCalls[0].Function.Arguments), &args); err != nil || args.City == nil {
			t.Errorf("%+v, %v", got.Choices[0].Message.ToolCalls, err)
		}
	})
}

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

func TestOpenAIImages(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	picture := func(model string) openai.ChatCompletionNewParams {
		p := hello(model)
		p.Messages = append(p.Messages, openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart("What is this?"),
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64," + pixel, Detail: "low"}),
		}))
		return p
	}
	both(t, func(t *testing.T, stream bool) {
		got, err := complete(t, g.openai(g.key), picture("gpt-5-mini"), stream)
		if err != nil || !strings.Contains(got.Choices[0].Message.Content, "one image") {
			t.Errorf("%+v, %v", got.Choices, err)
		}
		_, err = complete(t, g.openai(g.key), picture("o3-mini"), stream)
		fails(t, err, 400, "image_input_not_supported")
	})
}

func TestOpenAIStructuredOutput(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		p := hello("gpt-5-mini")
		p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "answer", Strict: openai.Bool(true),
			Schema: map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer"}}, "required": []string{"n"}, "additionalProperties": false},
		}}
		got, err := complete(t, g.openai(g.key), p, stream)
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ N *int }
		if err := json.Unmarshal([]byte(got.Choices[0].Message.Content), &v); err != nil || v.N == nil {
			t.Errorf("%q: %v", got.Choices[0].Message.Content, err)
		}
	})
}

func TestOpenAIEmbeddings(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.openai(g.key)
	ask := func(format openai.EmbeddingNewParamsEncodingFormat) *openai.CreateEmbeddingResponse {
		t.Helper()
		got, err := c.Embeddings.New(context.Background(), openai.EmbeddingNewParams{
			Model: "text-embedding-3-small", EncodingFormat: format,
			Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two"}}, Dimensions: openai.Int(8),
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Data) != 2 || got.Data[1].Index != 1 || got.Usage.PromptTokens == 0 || got.Model != "text-embedding-3-small" {
			t.Fatalf("%s", got.RawJSON())
		}
		return got
	}
	floats := ask(openai.EmbeddingNewParamsEncodingFormatFloat)
	packed := ask(openai.EmbeddingNewParamsEncodingFormatBase64)
	for i := range floats.Data {
		same(t, floats.Data[i].Embedding, packed.Data[i].RawJSON())
	}
}

// same checks that raw is an embedding in base64 of the same numbers.
func same(t *testing.T, want []float64, raw string) {
	t.Helper()
	var e struct{ Embedding string }
	if err := json.Unmarshal([]byte(raw), &e); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	b, err := base64.StdEncoding.DecodeString(e.Embedding)
	if err != nil || len(b) != 4*len(want) || len(want) == 0 {
		t.Fatalf("%d bytes for %d numbers, %v", len(b), len(want), err)
	}
	for i := range want {
		if f := math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])); f != float32(want[i]) {
			t.Errorf("number %d is %v, want %v", i, f, want[i])
		}
	}
}

func TestOpenAIModels(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.openai(g.key)
	page, err := c.Models.List(context.Background())
	if err != nil || len(page.Data) < 100 {
		t.Fatalf("%v, %d models", err, len(page.Data))
	}
	slash := ""
	for _, m := range page.Data {
		if m.ID == "" || m.OwnedBy == "" || m.Object != "model" {
			t.Errorf("%s", m.RawJSON())
		}
		if strings.Contains(m.ID, "/") {
			slash = m.ID
		}
	}
	if slash == "" {
		t.Error("no model with a slash in its name")
	}
	for _, id := range []string{page.Data[0].ID, slash} {
		if one, err := c.Models.Get(context.Background(), id); err != nil || one.ID != id {
			t.Errorf("%v, %+v", err, one)
		}
	}
	_, err = c.Models.Get(context.Background(), "gpt-nothing")
	fails(t, err, 404, "model_not_found")
}

// fails checks that err is the SDK's own error type, with all that it holds.
func fails(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *openai.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want an *openai.Error with status %d", err, err, status)
	}
	if e.StatusCode != status || e.Code != code || e.Message == "" || e.Type == "" || strings.Contains(e.Code+e.Type+e.Param, "None") {
		t.Errorf("status %d, type %q, code %q, param %q, message %q; want status %d, code %q", e.StatusCode, e.Type, e.Code, e.Param, e.Message, status, code)
	}
	if !strings.HasPrefix(e.Response.Header.Get("X-Request-Id"), "req_") {
		t.Error("no X-Request-Id")
	}
}

func TestOpenAIErrors(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	poor, _ := g.newKey(t, "", nil)
	off, offID := g.newKey(t, "1", nil)
	g.call(t, "PATCH", "/admin/v1/keys/"+offID, map[string]any{"active": false}, nil)
	narrow, _ := g.newKey(t, "1", map[string]any{"models": []string{"gpt-4o"}})
	slow, _ := g.newKey(t, "1", map[string]any{"limits": map[string]any{"requests": 1, "per": "1h"}})
	spent, _ := g.newKey(t, "1", map[string]any{"limits": map[string]any{"requests_per_day": 1}})
	for _, key := range []string{slow, spent} {
		if _, err := complete(t, g.openai(key), hello("gpt-5-mini"), false); err != nil {
			t.Fatal(err)
		}
	}
	hot, mute, huge := hello("gpt-4.1-mini"), hello("gpt-4.1-mini"), hello("gpt-4.1-mini")
	hot.Temperature = openai.Float(3)
	mute.Messages = nil
	huge.Messages = append(huge.Messages, openai.UserMessage(strings.Repeat("word ", 1_100_000)))
	for _, c := range []struct {
		name   string
		key    string
		params openai.ChatCompletionNewParams
		status int
		code   string
		retry  string // x-should-retry
	}{
		{"unknown key", "sk-pontage-nobody", hello("gpt-5-mini"), 401, "invalid_api_key", ""},
		{"no balance", poor, hello("gpt-5-mini"), 402, "insufficient_balance", "false"},
		{"inactive key", off, hello("gpt-5-mini"), 403, "key_inactive", ""},
		{"model not allowed", narrow, hello("gpt-5-mini"), 403, "model_not_allowed", ""},
		{"unknown model", g.key, hello("gpt-nothing"), 404, "model_not_found", ""},
		{"bad parameter", g.key, hot, 400, "invalid_value", ""},
		{"no messages", g.key, mute, 400, "missing_required_parameter", ""},
		{"too long", g.key, huge, 400, "context_length_exceeded", ""},
		{"over the rate", slow, hello("gpt-5-mini"), 429, "rate_limit_exceeded", "false"}, // a wait of an hour
		{"over the day", spent, hello("gpt-5-mini"), 429, "daily_requests_exceeded", "false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, stream := range []bool{false, true} {
				_, err := complete(t, g.openai(c.key), c.params, stream)
				fails(t, err, c.status, c.code)
				var e *openai.Error
				if errors.As(err, &e) && c.retry != "" && e.Response.Header.Get("X-Should-Retry") != c.retry {
					t.Errorf("x-should-retry %q, want %q", e.Response.Header.Get("X-Should-Retry"), c.retry)
				}
			}
		})
	}
}

// faults are what a test key can ask for, and what each family's SDK must make
// of it.
var faults = []struct {
	fault     string
	openai    int
	code      string
	anthropic int
	typ       string
}{
	{"content_policy", 400, "content_policy_violation", 400, "invalid_request_error"},
	{"context_length_exceeded", 400, "context_length_exceeded", 400, "invalid_request_error"},
	{"body_too_large", 413, "request_too_large", 413, "request_too_large"},
	{"balance_held", 402, "balance_held", 402, "billing_error"},
	{"daily_requests_exceeded", 429, "daily_requests_exceeded", 429, "rate_limit_error"},
	{"upstream_rate_limited", 429, "upstream_rate_limited", 429, "rate_limit_error"},
	{"upstream_failed", 502, "upstream_error", 502, "api_error"},
	{"upstream_auth", 502, "upstream_authentication_failed", 502, "api_error"},
	{"empty_response", 502, "empty_response", 502, "api_error"},
	{"upstream_quota", 503, "upstream_quota_exhausted", 503, "api_error"},
	{"upstream_overloaded", 503, "server_is_overloaded", 529, "overloaded_error"},
	{"no_target", 503, "no_healthy_upstream", 503, "api_error"},
	{"ledger_unavailable", 503, "ledger_unavailable", 503, "api_error"},
	{"upstream_timeout", 504, "upstream_timeout", 504, "timeout_error"},
	{"internal", 500, "internal_error", 500, "api_error"},
}

func TestOpenAISimulatedFaults(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, f := range faults {
		t.Run(f.fault, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				c := g.openai(g.testKey, option.WithHeader("X-Pontage-Simulate", f.fault))
				got, err := complete(t, c, hello("gpt-5-mini"), stream)
				fails(t, err, f.openai, f.code)
				if len(got.Choices) > 0 {
					t.Errorf("an answer beside the error: %+v", got.Choices)
				}
			})
		})
	}
}

func TestOpenAIALiveKeyCannotSimulate(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	_, err := complete(t, g.openai(g.key, option.WithHeader("X-Pontage-Simulate", "internal")), hello("gpt-5-mini"), false)
	fails(t, err, 400, "invalid_value")
}

func TestOpenAIRaisesWhenAStreamBreaksOff(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for how, model := range map[string]string{"simulated": "gpt-5-mini", "cut": "o4-mini", "error_in_stream": "gpt-4.1-nano", "truncated": "gpt-4o"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := g.openai(g.testKey, option.WithHeader("X-Pontage-Simulate", "stream_interrupted;after=2"))
			if how != "simulated" {
				c = g.openai(g.key)
				g.script(t, model, map[string]any{"fault": how, "after": 2})
			}
			var resp *http.Response
			s := c.Chat.Completions.NewStreaming(context.Background(), hello(model), option.WithResponseInto(&resp))
			content, finish := "", ""
			for s.Next() {
				for _, ch := range s.Current().Choices {
					content += ch.Delta.Content
					finish += ch.FinishReason
				}
			}
			if s.Err() == nil || content == "" || finish != "" {
				t.Errorf("content %q, finish %q, error %v; want some content, no finish, an error", content, finish, s.Err())
			}
			if how != "simulated" {
				g.charged(t, resp.Header.Get("X-Request-Id"), "0.00")
			}
		})
	}
}
