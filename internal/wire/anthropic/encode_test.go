package anthropic

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

func request(members string) *llm.Request {
	r, err := NewMessages().Decode([]byte(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]`+members+`}`), nil)
	if err != nil {
		panic(err)
	}
	return r
}

func run(t testing.TB, e wire.Encoder, f wire.Final, events ...llm.Event) string {
	t.Helper()
	var out []byte
	var err error
	for _, ev := range events {
		if out, err = e.Event(out, ev); err != nil {
			t.Fatalf("Event(%+v) = %v", ev, err)
		}
	}
	if out, err = e.Finish(out, f); err != nil {
		t.Fatalf("Finish = %v", err)
	}
	return string(out)
}

func TestToolCallsSideBySideGoOutOneAfterAnother(t *testing.T) {
	t.Parallel()
	e := NewMessages().Encoder(request(`,"stream":true`))
	call := func(n int, id string) llm.Delta {
		return llm.Delta{Kind: llm.DeltaToolCall, Tool: n, ToolID: id, ToolName: "f"}
	}
	args := func(n int, s string) llm.Delta { return llm.Delta{Kind: llm.DeltaToolArgs, Tool: n, Text: s} }
	step := func(want string, ds ...llm.Delta) {
		t.Helper()
		out, err := e.Event(nil, llm.Event{Deltas: ds})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
			var ev event
			_, data, _ := strings.Cut(f, "\ndata: ")
			if json.Unmarshal([]byte(data), &ev) == nil {
				got = append(got, fmt.Sprintf("%s %d%s%s", strings.TrimPrefix(ev.Type, "content_block_"), ev.Index, ev.Delta.Text, ev.Delta.Partial))
			}
		}
		if g := strings.Join(got, ", "); g != want {
			t.Errorf("step = %q, want %q", g, want)
		}
	}
	step("message_start 0, start 0, delta 0hi", llm.Delta{Kind: llm.DeltaText, Text: "hi"})
	step("stop 0, start 1", call(0, "a"))
	step("delta 1{\"x\":", args(0, `{"x":`))
	step("", call(1, "b"))               // waits: the first is not complete
	step("", args(1, `{"s":"}`))         // still
	step("delta 1\"}\"", args(0, `"}"`)) // a brace in a string does not end it
	step("delta 1}, stop 1, start 2, delta 2{\"s\":\"}", args(0, `}`))
	step("delta 2\"}", args(1, `"}`))
	step("stop 2, start 3, delta 3done", llm.Delta{Kind: llm.DeltaText, Text: "done"})
}

func TestAToolCallThatHasEndedStaysEnded(t *testing.T) {
	t.Parallel()
	e := NewMessages().Encoder(request(`,"stream":true`))
	ds := []llm.Delta{
		{Kind: llm.DeltaToolCall, ToolName: "f"},
		{Kind: llm.DeltaToolArgs, Text: "{}"},
		{Kind: llm.DeltaText, Text: "x"},
		{Kind: llm.DeltaToolArgs, Text: " \n"},
	}
	if _, err := e.Event(nil, llm.Event{Deltas: ds}); err != nil {
		t.Errorf("space after the end: %v", err)
	}
	if _, err := e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolArgs, Text: "{}"}}}); err == nil {
		t.Error("arguments after the end are lost without an error")
	}
}

func TestAToolCallWithoutAnIDGetsOne(t *testing.T) {
	t.Parallel()
	parts := []llm.Part{{Kind: llm.PartToolCall, ToolName: "f", Args: json.RawMessage(`"not json"`)}, {Kind: llm.PartToolCall, ToolID: "x", ToolName: "g"}}
	got := run(t, NewMessages().Encoder(request(``)), wire.Final{}, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: parts, Finish: llm.FinishStop}}}})
	for _, want := range []string{`"id":"toolu_`, `"input":{"_raw":"not json"}`, `"id":"x","name":"g","input":{}`, `"stop_reason":"tool_use"`} {
		if !strings.Contains(got, want) {
			t.Errorf("message = %s, want %s in it", got, want)
		}
	}
}

func TestFinishesHaveTheirStopReasons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		finish          llm.Finish
		called, refused bool
		want            string
	}{
		{llm.FinishStop, false, false, "end_turn"},
		{llm.FinishStop, true, false, "tool_use"},
		{llm.FinishStop, false, true, "refusal"},
		{llm.FinishStopSequence, false, false, "stop_sequence"},
		{llm.FinishToolCalls, true, false, "tool_use"},
		{llm.FinishLength, true, false, "max_tokens"},
		{llm.FinishContextWindow, false, false, "model_context_window_exceeded"},
		{llm.FinishContentFilter, false, false, "refusal"},
		{llm.FinishPause, false, false, "pause_turn"},
	} {
		if got, err := stopReason(c.finish, c.called, c.refused); got != c.want || err != nil {
			t.Errorf("stopReason(%s, %v, %v) = %s, %v, want %s", c.finish, c.called, c.refused, got, err, c.want)
		}
	}
	if got, err := stopReason("", false, false); err == nil {
		t.Errorf("stopReason of nothing = %s, want an error", got)
	}
	got := run(t, NewMessages().Encoder(request(`,"stream":true`)), wire.Final{}, llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStopSequence, StopSequence: `E"`},
	}})
	if !strings.Contains(got, `"stop_reason":"stop_sequence","stop_sequence":"E\""`) {
		t.Errorf("stream = %s", got)
	}
}

const (
	start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"x\"}}\n\n"
	text  = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"},\"new\":1.50}\n\n"
	delta = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\n"
)

// raw makes the event of one frame of the provider's.
func raw(frame string) llm.Event {
	name, data, _ := strings.Cut(strings.TrimSuffix(frame, "\n\n"), "\ndata: ")
	ev := llm.Event{Raw: []byte(frame), Data: []byte(data), Name: strings.TrimPrefix(name, "event: ")}
	switch ev.Name {
	case "ping":
		ev.Ping = true
	case "message_delta":
		ev.Finish = llm.FinishStop
	case "message_stop":
		ev.Last = true
	}
	return ev
}

func TestPassthroughKeepsBytes(t *testing.T) {
	t.Parallel()
	warning := []llm.Edit{{Name: "balance_warning", Value: []byte(`{"w":1}`)}}
	warned := strings.Replace(delta, "}}\n\n", "},\"balance_warning\":{\"w\":1}}\n\n", 1)
	metrics := "event: message_stop\ndata: {\"type\":\"message_stop\",\"metrics\":{\"a\":1}}\n\n"
	for _, c := range []struct {
		name   string
		extras []llm.Edit
		events []llm.Event
		want   string
	}{
		{"plain", nil, []llm.Event{raw(start), raw(text), raw(delta), raw(messageStop)}, start + text + delta + messageStop},
		{"ping", nil, []llm.Event{raw(start), raw(ping), raw(text), raw(delta), raw(messageStop)}, start + ping + text + delta + messageStop},
		{"extras", warning, []llm.Event{raw(start), raw(text), raw(delta), raw(messageStop)}, start + text + warned + messageStop},
		{"extras without a delta", warning, []llm.Event{raw(start), raw(messageStop)}, start + "event: message_stop\ndata: {\"type\":\"message_stop\",\"balance_warning\":{\"w\":1}}\n\n"},
		{"no end", nil, []llm.Event{raw(start), raw(text), raw(delta)}, start + text + delta + messageStop},
		{"more in the end", nil, []llm.Event{raw(start), raw(delta), raw(metrics)}, start + delta + metrics},
		{"two deltas", warning, []llm.Event{raw(delta), raw(delta), raw(messageStop)}, delta + warned + messageStop},
		{"no event line", nil, []llm.Event{{Raw: []byte("data: {\"type\":\"ping2\"}\n\n"), Data: []byte(`{"type":"ping2"}`)}}, "event: ping2\ndata: {\"type\":\"ping2\"}\n\n" + messageStop},
		{"id line", nil, []llm.Event{{Raw: []byte("id: 1\nevent: x\ndata: {}\n\n"), Data: []byte(`{}`), Name: "x"}}, "event: x\ndata: {}\n\n" + messageStop},
		{"comment", nil, []llm.Event{{Raw: []byte(": hello\n\n"), Ping: true}}, ping + messageStop},
	} {
		e := NewMessages().Encoder(request(`,"stream":true`))
		if got := run(t, e, wire.Final{Extras: c.extras}, c.events...); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
	body := ` {"id":"msg_1","new":1.50} `
	if got := run(t, NewMessages().Encoder(request(``)), wire.Final{}, llm.Event{Raw: []byte(body)}); got != body {
		t.Errorf("whole = %q, want %q", got, body)
	}
	if got := run(t, NewMessages().Encoder(request(``)), wire.Final{Extras: warning}, llm.Event{Raw: []byte(body)}); got != ` {"id":"msg_1","new":1.50,"balance_warning":{"w":1}} ` {
		t.Errorf("whole with extras = %q", got)
	}
}

func TestRecordedStreamsPassByteForByte(t *testing.T) {
	t.Parallel()
	n := 0
	for _, x := range testkit.Recorded(t, "anthropic.messages") {
		if x.Response.Kind != "sse" || x.Has("sse_crlf") || !strings.HasSuffix(x.Response.Text, messageStop) || strings.Contains(x.Response.Text, "\n\n\n") {
			continue
		}
		var events []llm.Event
		for _, f := range strings.SplitAfter(x.Response.Text, "\n\n") {
			if f != "" {
				events = append(events, raw(f))
			}
		}
		got := run(t, NewMessages().Encoder(request(`,"stream":true`)), wire.Final{}, events...)
		if got != x.Response.Text {
			t.Errorf("%s: %s", x.ID, cmp.Diff(x.Response.Text, got))
		}
		n++
	}
	if n < 20 {
		t.Errorf("only %d streams were tried", n)
	}
}

func TestAnswersThatCannotBeExpressedAreErrors(t *testing.T) {
	t.Parallel()
	whole, stream := request(``), request(`,"stream":true`)
	one := llm.Choice{Parts: []llm.Part{{Kind: llm.PartText, Text: "a"}}, Finish: llm.FinishStop}
	for name, c := range map[string]struct {
		r  *llm.Request
		ev llm.Event
	}{
		"two choices":     {whole, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{one, one}}}},
		"no choice":       {whole, llm.Event{Whole: &llm.Answer{}}},
		"image":           {whole, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.PartImage}}, Finish: llm.FinishStop}}}}},
		"no finish":       {whole, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: one.Parts}}}}},
		"second choice":   {stream, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a", Choice: 1}}}},
		"whole as stream": {stream, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{one}}}},
		"stream as whole": {whole, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText}}}},
	} {
		if out, err := NewMessages().Encoder(c.r).Event(nil, c.ev); err == nil {
			t.Errorf("%s: Event = %q, want an error", name, out)
		}
	}
	e := NewMessages().Encoder(stream)
	_, _ = e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a"}}})
	if out, err := e.Finish(nil, wire.Final{}); err == nil {
		t.Errorf("Finish without a finish = %q, want an error", out)
	}
	if out, err := NewMessages().Encoder(whole).Finish(nil, wire.Final{}); err == nil {
		t.Errorf("Finish of nothing = %q, want an error", out)
	}
	e = NewMessages().Encoder(stream)
	many := make([]llm.Delta, maxWaiting+2)
	for i := range many {
		many[i] = llm.Delta{Kind: llm.DeltaToolCall, Tool: i}
	}
	if _, err := e.Event(nil, llm.Event{Deltas: many}); err == nil {
		t.Error("any number of open tool calls is kept")
	}
}

func TestCitationsStayWithTheirText(t *testing.T) {
	t.Parallel()
	cite := `{"type":"char_location","cited_text":"x","document_index":0,"document_title":null,"start_char_index":0,"end_char_index":1,"file_id":null}`
	stream := run(t, NewMessages().Encoder(request(`,"stream":true`)), wire.Final{}, llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaText, Text: "a"},
		{Kind: llm.DeltaCitation, Value: json.RawMessage(cite)},
		{Kind: llm.DeltaCitation, Value: json.RawMessage(`{"type":"url_citation"}`)},
		{Kind: llm.DeltaFinish, Finish: llm.FinishStop},
	}})
	if !strings.Contains(stream, `"delta":{"type":"citations_delta","citation":`+cite+`}}`) || strings.Contains(stream, "url_citation") {
		t.Errorf("stream = %s", stream)
	}
	if err := new(client).read(stream, testkit.LoadSchema(t, "anthropic.RawMessageStreamEvent.json")); err != nil {
		t.Error(err)
	}
	whole := run(t, NewMessages().Encoder(request(``)), wire.Final{}, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{
		Finish: llm.FinishStop,
		Parts:  []llm.Part{{Kind: llm.PartText, Text: "a", Citations: json.RawMessage(`[` + cite + `,{"type":"url_citation"}]`)}},
	}}}})
	if !strings.Contains(whole, `"citations":[`+cite+`]`) {
		t.Errorf("whole = %s", whole)
	}
	whole = run(t, NewMessages().Encoder(request(``)), wire.Final{}, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{
		Finish: llm.FinishStop, Parts: []llm.Part{{Kind: llm.PartText, Text: "a"}},
	}}}})
	if !strings.Contains(whole, `{"type":"text","text":"a","citations":[]}`) { // null breaks @ai-sdk/anthropic 3
		t.Errorf("without citations: %s", whole)
	}
}

func TestExtrasStandInMessageDelta(t *testing.T) {
	t.Parallel()
	got := run(t, NewMessages().Encoder(request(`,"stream":true`)), wire.Final{Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}}, llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop},
	}})
	var c client
	if err := c.read(got, nil); err != nil || !strings.HasSuffix(c.last, `,"w":1}`) {
		t.Errorf("last = %s, %v", c.last, err)
	}
}

func TestCountsAreTheProvidersOrOurs(t *testing.T) {
	t.Parallel()
	d := NewCountTokens()
	if got := run(t, d.Encoder(nil), wire.Final{}, llm.Event{Raw: []byte(`{"input_tokens":5,"x":1}`)}); got != `{"input_tokens":5,"x":1}` {
		t.Errorf("provider's = %s", got)
	}
	if got := run(t, d.Encoder(nil), wire.Final{Usage: llm.Usage{Input: 12}}); got != `{"input_tokens":12}` {
		t.Errorf("ours = %s", got)
	}
	if out, err := d.Encoder(nil).Finish(nil, wire.Final{}); err == nil {
		t.Errorf("nothing = %s, want an error", out)
	}
}

func TestHeartbeatIsAPing(t *testing.T) {
	t.Parallel()
	if got := string(NewMessages().Encoder(request(``)).Heartbeat(nil)); got != "event: ping\ndata: {\"type\":\"ping\"}\n\n" {
		t.Errorf("Heartbeat = %q", got)
	}
}

func TestModelsAreListed(t *testing.T) {
	t.Parallel()
	list := []wire.Model{{ID: "a/b", Name: "A B", Created: time.Unix(1_700_000_000, 0), Context: 200_000, MaxOutput: 8192}, {ID: "c"}}
	want := `{"data":[{"type":"model","id":"a/b","display_name":"A B","created_at":"2023-11-14T22:13:20Z","max_input_tokens":200000,"max_tokens":8192},` +
		`{"type":"model","id":"c","display_name":"c","created_at":"1970-01-01T00:00:00Z","max_input_tokens":null,"max_tokens":null}],"has_more":false,"first_id":"a/b","last_id":"c"}`
	if got := string(Models{}.List(nil, list)); got != want {
		t.Errorf("List = %s\nwant %s", got, want)
	}
	if got := string(Models{}.List(nil, nil)); got != `{"data":[],"has_more":false,"first_id":null,"last_id":null}` {
		t.Errorf("List of none = %s", got)
	}
}

func TestTheHotPathAllocatesLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	line := "The quick brown fox jumps over the lazy dog, and says \\\"hello\\\".\\n"
	body := []byte(`{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"` + strings.Repeat(line, 1500) + `"}]}`)
	d := NewMessages()
	if got := testing.AllocsPerRun(100, func() { _, _ = d.Decode(body, nil) }); got > 9 {
		t.Errorf("Decode allocates %v times, want at most 9", got)
	}
	e := d.Encoder(request(`,"stream":true`))
	ev := raw(text)
	buf := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(100, func() { _, _ = e.Event(buf, ev) }); got > 0 {
		t.Errorf("a frame that passes allocates %v times, want none", got)
	}
	e = d.Encoder(request(`,"stream":true`))
	ev = llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "hello"}}}
	_, _ = e.Event(nil, ev)
	if got := testing.AllocsPerRun(100, func() { _, _ = e.Event(buf, ev) }); got > 1 {
		t.Errorf("a translated delta allocates %v times, want at most 1", got)
	}
}

func BenchmarkDecode(b *testing.B) {
	line := "The quick brown fox jumps over the lazy dog, and says \\\"hello\\\".\\n"
	body := []byte(`{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"` + strings.Repeat(line, 1500) + `"}]}`)
	d := NewMessages()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(body, nil); err != nil {
			b.Fatal(err)
		}
	}
}
