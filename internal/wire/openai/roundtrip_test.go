package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

// chunk is what a client reads of a chunk.
type chunk struct {
	ID      string
	Object  string
	Created int64
	Model   string
	Choices []struct {
		Index int
		Delta struct {
			Role, Content, Refusal string
			Reasoning              string           `json:"reasoning_content"`
			Blocks                 []map[string]any `json:"thinking_blocks"`
			ToolCalls              []struct {
				Index    int
				ID, Type string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason *string `json:"finish_reason"`
	}
	Usage *struct {
		Prompt int64 `json:"prompt_tokens"`
		Output int64 `json:"completion_tokens"`
	}
}

// summary is what is left of the parts of an answer in a chat completion.
type summary struct {
	Text, Refusal, Reasoning string
	Blocks                   []string
	Calls                    []string
	Finish                   string
}

func summarize(parts []llm.Part, finish llm.Finish) summary {
	s := summary{Finish: string(finish)}
	var since string
	for _, p := range parts {
		switch p.Kind {
		case llm.PartText:
			s.Text += p.Text
		case llm.PartRefusal:
			s.Refusal += p.Text
		case llm.PartReasoning:
			s.Reasoning += p.Text
			since += p.Text
			if p.Signature != "" {
				s.Blocks = append(s.Blocks, since+"|"+p.Signature)
				since = ""
			}
		case llm.PartRedacted:
			s.Blocks = append(s.Blocks, "redacted|"+p.Data)
		case llm.PartToolCall:
			s.Calls = append(s.Calls, p.ToolID+"|"+p.ToolName+"|"+string(p.Args))
			if finish == llm.FinishStop {
				s.Finish = "tool_calls"
			}
		}
	}
	return s
}

func block(b map[string]any) string {
	if b["type"] == "redacted_thinking" {
		return fmt.Sprint("redacted|", b["data"])
	}
	return fmt.Sprint(b["thinking"], "|", b["signature"])
}

func TestNothingIsLostInATranslatedStream(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "openai.json#CreateChatCompletionStreamResponse")
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "choices")
		var deltas []llm.Delta
		var want []summary
		for i := range n {
			ds := testkit.Deltas(t, i)
			deltas = append(deltas, ds...)
			want = append(want, summarize(testkit.Collect(ds)))
		}
		asked := rapid.Bool().Draw(t, "usage")
		members := `,"stream":true`
		if asked {
			members += `,"stream_options":{"include_usage":true}`
		}
		var out []byte
		var err error
		e := NewChat(Options{Now: at(7)}).Encoder(requestOf(members))
		for _, ev := range testkit.Events(t, deltas) {
			if out, err = e.Event(out, ev); err != nil {
				t.Fatal(err)
			}
		}
		out, err = e.Finish(out, wire.Final{Usage: llm.Usage{Input: 11, Output: 22}, Extras: []llm.Edit{{Name: "extra", Value: []byte(`{"a":1}`)}}})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]summary, n)
		frames := strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n")
		if frames[len(frames)-1] != "data: [DONE]" {
			t.Fatalf("the last frame is %q", frames[len(frames)-1])
		}
		frames = frames[:len(frames)-1]
		var first *chunk
		usages := 0
		for i, f := range frames {
			if strings.HasPrefix(f, ":") {
				continue
			}
			data := []byte(strings.TrimPrefix(f, "data: "))
			if err := schema.Check(data); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			var c chunk
			if err := json.Unmarshal(data, &c); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			if first == nil {
				first = &c
			}
			if c.ID != first.ID || c.Created != 7 || c.Model != "m" || c.Object != "chat.completion.chunk" || !strings.HasPrefix(c.ID, "chatcmpl-") {
				t.Fatalf("head of %s", data)
			}
			if has := bytes.Contains(data, []byte(`"extra":{"a":1}`)); has != (i == len(frames)-1) {
				t.Fatalf("extras in frame %d of %d: %v", i, len(frames), has)
			}
			if c.Usage != nil {
				usages++
				if c.Usage.Prompt != 11 || c.Usage.Output != 22 || len(c.Choices) != 0 {
					t.Fatalf("usage chunk %s", data)
				}
			}
			for _, ch := range c.Choices {
				s := &got[ch.Index]
				s.Text += ch.Delta.Content
				s.Refusal += ch.Delta.Refusal
				s.Reasoning += ch.Delta.Reasoning
				for _, b := range ch.Delta.Blocks {
					s.Blocks = append(s.Blocks, block(b))
				}
				for _, call := range ch.Delta.ToolCalls {
					if call.ID != "" {
						if call.Index != len(s.Calls) {
							t.Fatalf("tool call %d begins as number %d", len(s.Calls), call.Index)
						}
						s.Calls = append(s.Calls, call.ID+"|"+call.Function.Name+"|")
					}
					s.Calls[call.Index] += call.Function.Arguments
				}
				if ch.FinishReason != nil {
					s.Finish = *ch.FinishReason
				}
			}
		}
		if (usages == 1) != asked || usages > 1 {
			t.Fatalf("%d usage chunks, asked %v", usages, asked)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("answer (-want +got):\n%s", diff)
		}
	})
}

func requestOf(members string) *llm.Request {
	r, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]`+members+`}`), nil)
	if err != nil {
		panic(err)
	}
	return r
}

func TestNothingIsLostInATranslatedWhole(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "openai.json#CreateChatCompletionResponse")
	rapid.Check(t, func(t *rapid.T) {
		a := &llm.Answer{Created: 99}
		var want []summary
		for i := range rapid.IntRange(1, 3).Draw(t, "choices") {
			parts, finish := testkit.Collect(testkit.Deltas(t, i))
			a.Choices = append(a.Choices, llm.Choice{Parts: parts, Finish: finish})
			s := summarize(parts, finish)
			s.Blocks = nil // one block per part here
			for _, p := range parts {
				if p.Kind == llm.PartReasoning && p.Signature != "" {
					s.Blocks = append(s.Blocks, p.Text+"|"+p.Signature)
				} else if p.Kind == llm.PartRedacted {
					s.Blocks = append(s.Blocks, "redacted|"+p.Data)
				}
			}
			want = append(want, s)
		}
		e := NewChat(Options{Now: at(7)}).Encoder(requestOf(``))
		if out, err := e.Event(nil, llm.Event{Whole: a, Last: true}); err != nil || len(out) > 0 {
			t.Fatalf("Event = %q, %v", out, err)
		}
		out, err := e.Finish(nil, wire.Final{Model: "fallback", Usage: llm.Usage{Input: 11, CachedInput: 5, CacheWrite: 2, CacheWrite1h: 1, Output: 22, Reasoning: 3}})
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Check(out); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		var got struct {
			ID, Object, Model string
			Created           int64
			Choices           []struct {
				Message struct {
					Content, Refusal *string
					Reasoning        string           `json:"reasoning_content"`
					Blocks           []map[string]any `json:"thinking_blocks"`
					ToolCalls        []struct {
						ID       string
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
				FinishReason string `json:"finish_reason"`
			}
			Usage json.RawMessage
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if got.Model != "fallback" || got.Created != 99 || got.Object != "chat.completion" {
			t.Fatalf("head of %s", out)
		}
		if want := `{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":3}}`; string(got.Usage) != want {
			t.Fatalf("usage = %s, want %s", got.Usage, want)
		}
		var have []summary
		for _, c := range got.Choices {
			s := summary{Reasoning: c.Message.Reasoning, Finish: c.FinishReason}
			if c.Message.Content != nil {
				s.Text = *c.Message.Content
			}
			if c.Message.Refusal != nil {
				s.Refusal = *c.Message.Refusal
			}
			for _, b := range c.Message.Blocks {
				s.Blocks = append(s.Blocks, block(b))
			}
			for _, call := range c.Message.ToolCalls {
				s.Calls = append(s.Calls, call.ID+"|"+call.Function.Name+"|"+call.Function.Arguments)
			}
			have = append(have, s)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("answer (-want +got):\n%s", diff)
		}
	})
}

func TestAConversationComesBackUnchanged(t *testing.T) {
	t.Parallel()
	// What we answer, sent back as the assistant's message, is what the
	// provider said: seals, refusals and arguments included.
	rapid.Check(t, func(t *rapid.T) {
		parts, _ := testkit.Collect(testkit.Deltas(t, 0))
		e := NewChat(Options{}).Encoder(requestOf(``))
		if _, err := e.Event(nil, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: parts, Finish: llm.FinishStop}}}}); err != nil {
			t.Fatal(err)
		}
		out, err := e.Finish(nil, wire.Final{})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Choices []struct{ Message json.RawMessage }
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		r, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"q"},`+string(got.Choices[0].Message)+`]}`), nil)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		chat, err := r.DecodeChat()
		if err != nil || len(chat.Extra) > 0 {
			t.Fatalf("%s: %v, extras %v", out, err, chat.Extra)
		}
		want, have := summarize(parts, ""), summarize(chat.Messages[1].Parts, "")
		var sealed string
		for _, p := range parts {
			if p.Kind == llm.PartReasoning && p.Signature != "" {
				sealed += p.Text
			}
		}
		if len(have.Blocks) > 0 {
			want.Reasoning = sealed // beside sealed reasoning the rest has no place
			want.Blocks, have.Blocks = nil, nil
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
