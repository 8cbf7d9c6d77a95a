package openai

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

// cutOff is how the gate ends an answer before the frame with this payload.
func cutOff(data string) llm.Event {
	return llm.Event{Data: []byte(data), Finish: llm.FinishLength, Cut: true}
}

// An answer of the provider's own bytes that is cut off ends with chunks that
// look like the others.
func TestAPassedStreamThatIsCutOffEndsForItsLength(t *testing.T) {
	t.Parallel()
	const (
		asked  = `,"stream_options":{"include_usage":true}`
		head   = `{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[`
		say    = head + `{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}],"service_tier":"default"}`
		saying = head + `{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}],"service_tier":"default","usage":{"prompt_tokens":1}}`
		other  = head + `{"index":1,"delta":{"content":"b"},"logprobs":null,"finish_reason":null}],"service_tier":"default"}`
		stop0  = head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"service_tier":"default"}`
		end0   = head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"service_tier":"default"}`
		end1   = head + `{"index":1,"delta":{},"logprobs":null,"finish_reason":"length"}],"service_tier":"default"}`
		counts = `"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}`
	)
	with := func(chunk, member string) string { return chunk[:len(chunk)-1] + "," + member + "}" }
	warning := []llm.Edit{{Name: "balance_warning", Value: []byte(`{"w":1}`)}}
	for _, c := range []struct {
		name, members string
		extras        []llm.Edit
		events        []llm.Event
		want          []string
	}{
		{"plain", ``, nil, []llm.Event{raw(say), cutOff(say)}, []string{say, end0, marker}},
		{"a usage that was not asked for", ``, nil, []llm.Event{raw(say), cutOff(saying)}, []string{say, end0, marker}},
		{"an error that is none", ``, nil, []llm.Event{raw(say), cutOff(with(say, `"error":null`))}, []string{say, end0, marker}},
		{"usage asked for", asked, nil, []llm.Event{raw(say), cutOff(say)}, []string{
			say, with(end0, `"usage":null`), with(head+`],"service_tier":"default"}`, counts), marker,
		}},
		{"extras in the finish", ``, warning, []llm.Event{raw(say), cutOff(say)}, []string{say, with(end0, `"balance_warning":{"w":1}`), marker}},
		{"extras in the usage", asked, warning, []llm.Event{raw(say), cutOff(say)}, []string{
			say, with(end0, `"usage":null`), with(with(head+`],"service_tier":"default"}`, counts), `"balance_warning":{"w":1}`), marker,
		}},
		{"two choices", `,"n":2`, nil, []llm.Event{raw(say), raw(other), cutOff(say)}, []string{say, other, end0, end1, marker}},
		{"two choices, one has ended", `,"n":2`, nil, []llm.Event{raw(say), raw(stop0), raw(other), cutOff(other)}, []string{say, stop0, other, end1, marker}},
		{"two choices, one has just ended", `,"n":2`, nil, []llm.Event{raw(other), raw(stop0), cutOff(other)}, []string{other, stop0, end1, marker}},
	} {
		e := NewChat(Options{}).Encoder(request(t, `,"stream":true`+c.members))
		got := run(t, e, wire.Final{Usage: llm.Usage{Input: 7, Output: 5}, Extras: c.extras}, c.events...)
		if want := "data: " + strings.Join(c.want, "\n\ndata: ") + "\n\n"; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
		schema := testkit.LoadSchema(t, "openai.json#CreateChatCompletionStreamResponse")
		for _, p := range payloads(t, got) {
			if p != marker && strings.Contains(p, `"length"`) && schema.Check([]byte(p)) != nil {
				t.Errorf("%s: %s: %v", c.name, p, schema.Check([]byte(p)))
			}
		}
	}
	e := NewChat(Options{}).Encoder(request(t, `,"stream":true`))
	if out, err := e.Event(nil, llm.Event{Cut: true}); err == nil {
		t.Errorf("cut off before anything came: %s", out)
	}
}

// So does one that was translated: a tool call stays half told, and a choice
// that has ended keeps its end.
func TestATranslatedStreamThatIsCutOffEndsForItsLength(t *testing.T) {
	t.Parallel()
	e := NewChat(Options{Now: at(1)}).Encoder(request(t, `,"stream":true,"n":3,"stream_options":{"include_usage":true}`))
	got := payloads(t, run(t, e, wire.Final{Usage: llm.Usage{Input: 7, Output: 5}},
		llm.Event{Deltas: []llm.Delta{
			{Kind: llm.DeltaText, Text: "a"},
			{Kind: llm.DeltaToolCall, Choice: 1, ToolID: "id", ToolName: "f"},
			{Kind: llm.DeltaText, Choice: 2, Text: "c"},
			{Kind: llm.DeltaFinish, Finish: llm.FinishStop},
		}}, llm.Event{Deltas: nil, Cut: true, Finish: llm.FinishLength}))
	schema := testkit.LoadSchema(t, "openai.json#CreateChatCompletionStreamResponse")
	var ends []string
	for _, p := range got[:len(got)-1] {
		if err := schema.Check([]byte(p)); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		for _, reason := range []string{"stop", "length", "tool_calls"} {
			if strings.Contains(p, `"finish_reason":"`+reason+`"`) {
				_, at, _ := strings.Cut(p, `"index":`)
				ends = append(ends, at[:1]+" "+reason)
			}
		}
	}
	if s := strings.Join(ends, ", "); s != "0 stop, 1 length, 2 length" {
		t.Errorf("the choices end with %s", s)
	}
	if strings.Contains(strings.Join(got, ""), `"arguments":"{}"`) {
		t.Error("a call of which no argument came looks whole")
	}
	if n := len(got); !strings.Contains(got[n-2], `"choices":[],"usage":{"prompt_tokens":7,`) || got[n-1] != marker {
		t.Errorf("the stream ends with %s", got[n-2:])
	}
}

// What notes the ends of choices costs one choice nothing.
func TestTheEndOfOneChoiceAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	e := NewChat(Options{}).Encoder(request(t, `,"stream":true`))
	buf, ev := make([]byte, 0, 4096), raw(last)
	_, _ = e.Event(buf, ev)
	if got := testing.AllocsPerRun(100, func() { _, _ = e.Event(buf, ev) }); got > 0 {
		t.Errorf("an end that passes allocates %v times, want none", got)
	}
}
