package compat

import (
	"context"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
)

// events reads a stream up to so many events, which follow the one with that
// number, or to its end.
func events(t *testing.T, s *ssestream.Stream[responses.ResponseStreamEventUnion], after int64, most int) (out []responses.ResponseStreamEventUnion) {
	t.Helper()
	defer func() { _ = s.Close() }()
	for len(out) < most && s.Next() {
		ev := s.Current()
		if ev.Type == "keepalive" {
			continue
		}
		if after++; ev.SequenceNumber != after {
			t.Errorf("event %d is %s", after, ev.RawJSON())
		}
		out = append(out, ev)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func told(list []responses.ResponseStreamEventUnion) string {
	var b strings.Builder
	for _, ev := range list {
		b.WriteString(ev.RawJSON())
	}
	return b.String()
}

// A stream of a response in the background is left, and read on, with models of
// every provider.
func TestOpenAIResponsesAreStreamedInTheBackground(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			c, ctx := g.openai(g.key), context.Background()
			p := asking(model, "Hello")
			p.Background = openai.Bool(true)
			p.MaxOutputTokens = openai.Int(200)
			begun := events(t, c.Responses.NewStreaming(ctx, p), -1, 5)
			id := begun[0].AsResponseCreated().Response.ID
			if begun[1].Type != "response.queued" || begun[2].Type != "response.in_progress" {
				t.Errorf("it begins with %s", told(begun))
			}
			rest := events(t, c.Responses.GetStreaming(ctx, id, responses.ResponseGetParams{StartingAfter: openai.Int(4)}), 4, 1<<20)
			last := rest[len(rest)-1].AsResponseCompleted()
			if last.Response.ID != id || last.Response.OutputText() == "" || last.Response.Usage.OutputTokens == 0 {
				t.Errorf("it ends with %s", rest[len(rest)-1].RawJSON())
			}
			kept, err := c.Responses.Get(ctx, id, responses.ResponseGetParams{})
			if err != nil || kept.RawJSON() != last.Response.RawJSON() {
				t.Errorf("kept: %v, %v", kept, err)
			}
			if again := events(t, c.Responses.GetStreaming(ctx, id, responses.ResponseGetParams{}), -1, 1<<20); told(again) != told(begun)+told(rest) {
				t.Errorf("again: %s", told(again))
			}
		})
	}
}

func TestOpenAICountsInputTokens(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c := g.openai(g.key)
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		count := func(text string) int64 {
			t.Helper()
			n, err := c.Responses.InputTokens.Count(context.Background(), responses.InputTokenCountParams{
				Model: openai.String(model), Input: responses.InputTokenCountParamsInputUnion{OfString: openai.String(text)},
			})
			if err != nil {
				t.Fatal(err)
			}
			return n.InputTokens
		}
		if short, long := count("Hello"), count(strings.Repeat("word ", 500)); short < 1 || long < short+400 {
			t.Errorf("%s: %d and %d tokens", model, short, long)
		}
	}
}
