package compat

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

func asking(model, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
}

// answered asks for a response, whole or streamed; of a stream it is the one that
// the last event holds, and what its events told must be the same.
func answered(t *testing.T, c openai.Client, p responses.ResponseNewParams, stream bool) *responses.Response {
	t.Helper()
	if !stream {
		r, err := c.Responses.New(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	s := c.Responses.NewStreaming(context.Background(), p)
	defer func() { _ = s.Close() }()
	var text, args string
	var last *responses.Response
	next := int64(0)
	for s.Next() {
		ev := s.Current()
		if ev.SequenceNumber != next || last != nil {
			t.Errorf("event %d is %s", next, ev.RawJSON())
		}
		next++
		switch ev := ev.AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text += ev.Delta
		case responses.ResponseFunctionCallArgumentsDeltaEvent:
			args += ev.Delta
		case responses.ResponseCompletedEvent:
			last = &ev.Response
		}
	}
	if err := s.Err(); err != nil || last == nil {
		t.Fatalf("the stream ends without a response: %v", err)
	}
	var called string
	for _, item := range last.Output {
		if item.Type == "function_call" {
			called += item.AsFunctionCall().Arguments
		}
	}
	if last.OutputText() != text || called != args {
		t.Errorf("told %q and %q, and the response has %q and %q", text, args, last.OutputText(), called)
	}
	return last
}

// What the SDK does with responses works with models of every provider.
func TestOpenAIResponses(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				c := g.openai(g.key)
				p := asking(model, "Hello")
				p.Instructions = openai.String("Be brief.")
				got := answered(t, c, p, stream)
				if got.OutputText() == "" || got.Status != "completed" || got.Model != model {
					t.Errorf("%s", got.RawJSON())
				}
				if u := got.Usage; u.OutputTokens == 0 || u.TotalTokens != u.InputTokens+u.OutputTokens {
					t.Errorf("usage %+v", u)
				}
				next := asking(model, "And?")
				next.PreviousResponseID = openai.String(got.ID)
				if more := answered(t, c, next, stream); more.PreviousResponseID != got.ID || more.Usage.InputTokens <= got.Usage.InputTokens {
					t.Errorf("continued: %s", more.RawJSON())
				}
				kept, err := c.Responses.Get(context.Background(), got.ID, responses.ResponseGetParams{})
				if err != nil || kept.OutputText() != got.OutputText() {
					t.Errorf("kept: %v, %v", kept, err)
				}
				items, err := c.Responses.InputItems.List(context.Background(), got.ID, responses.InputItemListParams{})
				if err != nil || len(items.Data) != 1 || items.Data[0].AsMessage().Content[0].Text != "Hello" {
					t.Errorf("input items: %v, %v", items, err)
				}
				if err := c.Responses.Delete(context.Background(), got.ID); err != nil {
					t.Errorf("delete: %v", err)
				}
				var e *openai.Error
				if _, err := c.Responses.Get(context.Background(), got.ID, responses.ResponseGetParams{}); !errors.As(err, &e) || e.StatusCode != 404 {
					t.Errorf("deleted: %v", err)
				}
				if _, err := c.Responses.New(context.Background(), next); !errors.As(err, &e) || e.Code != "previous_response_not_found" || e.Param != "previous_response_id" {
					t.Errorf("continued without its beginning: %v", err)
				}
			})
		})
	}
}

func TestOpenAIResponsesCallTools(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				c := g.openai(g.key)
				p := asking(model, "What is the weather like in Bergen?")
				p.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("weather", map[string]any{
					"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
				}, false)}
				p.ToolChoice = responses.ResponseNewParamsToolChoiceUnion{OfToolChoiceMode: param.NewOpt(responses.ToolChoiceOptionsRequired)}
				got := answered(t, c, p, stream)
				var call responses.ResponseFunctionToolCall
				for _, item := range got.Output {
					if item.Type == "function_call" {
						call = item.AsFunctionCall()
					}
				}
				if call.Name != "weather" || call.CallID == "" || !json.Valid([]byte(call.Arguments)) {
					t.Fatalf("%s", got.RawJSON())
				}
				result := responses.ResponseInputItemUnionParam{OfFunctionCallOutput: &responses.ResponseInputItemFunctionCallOutputParam{
					CallID: openai.String(call.CallID),
					Output: responses.ResponseInputItemFunctionCallOutputOutputUnionParam{OfString: openai.String("sunny")},
				}}
				next := responses.ResponseNewParams{
					Model: model, PreviousResponseID: openai.String(got.ID), Tools: p.Tools,
					Input: responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{result}},
				}
				if more := answered(t, c, next, stream); more.OutputText() == "" {
					t.Errorf("with the result: %s", more.RawJSON())
				}
			})
		})
	}
}

func TestOpenAIResponsesInTheBackground(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.openai(g.key)
	p := asking("gpt-5-mini", "Hello")
	p.Background = openai.Bool(true)
	p.MaxOutputTokens = openai.Int(200)
	r, err := c.Responses.New(context.Background(), p)
	if err != nil || r.Status != "queued" {
		t.Fatalf("%v, %v", r, err)
	}
	for deadline := time.Now().Add(time.Minute); r.Status == "queued" || r.Status == "in_progress"; time.Sleep(20 * time.Millisecond) {
		if r, err = c.Responses.Get(context.Background(), r.ID, responses.ResponseGetParams{}); err != nil || time.Now().After(deadline) {
			t.Fatalf("%v, %v", r, err)
		}
	}
	if r.Status != "completed" || r.OutputText() == "" || !r.Background {
		t.Errorf("%s", r.RawJSON())
	}
	if again, err := c.Responses.Cancel(context.Background(), r.ID); err != nil || again.Status != "completed" {
		t.Errorf("cancelled when it had ended: %v, %v", again, err)
	}
}

// A stream that fails is an error to the SDK, and not an end.
func TestOpenAIResponsesThatBreak(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.openai(g.testKey, option.WithHeader("X-Pontage-Simulate", "stream_interrupted;after=2"))
	s := c.Responses.NewStreaming(context.Background(), asking("gpt-5-mini", "Hello"))
	defer func() { _ = s.Close() }()
	said := 0
	for s.Next() {
		if s.Current().Type == "response.output_text.delta" {
			said++
		}
	}
	if s.Err() == nil || said == 0 {
		t.Errorf("after %d pieces: %v", said, s.Err())
	}
}
