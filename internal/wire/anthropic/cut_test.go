package anthropic

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// names lists the events of a stream, with the index that they tell.
func names(stream string) string {
	var out []string
	for _, f := range strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		name, data, _ := strings.Cut(f, "\ndata: ")
		name = strings.TrimPrefix(strings.TrimPrefix(name, "event: "), "content_block_")
		if _, index, ok := strings.Cut(data, `"index":`); ok {
			name += " " + index[:1]
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

// A message that is cut off ends for its length, with no block open: the one
// that the event which is not told would have continued is closed.
func TestAMessageThatIsCutOffEndsForItsLength(t *testing.T) {
	t.Parallel()
	const (
		open   = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
		stop   = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
		call   = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n"
		args   = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\"}}\n\n"
		ending = `{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null,"stop_details":null,"container":null},"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":5,"output_tokens_details":{"thinking_tokens":0},"server_tool_use":null},"w":1}`
	)
	cut := func(frame string) llm.Event {
		ev := raw(frame)
		return llm.Event{Name: ev.Name, Data: ev.Data, Finish: llm.FinishLength, Cut: true}
	}
	unnamed := cut(text)
	unnamed.Name = ""
	say := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a"}}}
	calls := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolCall, ToolID: "t", ToolName: "f"}, {Kind: llm.DeltaToolArgs, Text: `{"a`}}}
	for _, c := range []struct {
		name   string
		events []llm.Event
		want   string
	}{
		{"in a text", []llm.Event{raw(start), raw(open), raw(text), cut(text)}, "message_start, start 0, delta 0, stop 0, message_delta, message_stop"},
		{"in a text, by an event without a name", []llm.Event{raw(start), raw(open), raw(text), unnamed}, "message_start, start 0, delta 0, stop 0, message_delta, message_stop"},
		{"between two blocks", []llm.Event{raw(start), raw(open), raw(text), raw(stop), cut(call)}, "message_start, start 0, delta 0, stop 0, message_delta, message_stop"},
		{"in a tool call", []llm.Event{raw(start), raw(open), raw(text), raw(stop), raw(call), raw(args), cut(args)}, "message_start, start 0, delta 0, stop 0, start 1, delta 1, stop 1, message_delta, message_stop"},
		{"translated", []llm.Event{say, {Cut: true, Finish: llm.FinishLength}}, "message_start, start 0, delta 0, stop 0, message_delta, message_stop"},
		{"translated, in a tool call", []llm.Event{say, calls, {Cut: true, Finish: llm.FinishLength}}, "message_start, start 0, delta 0, stop 0, start 1, delta 1, stop 1, message_delta, message_stop"},
	} {
		e := NewMessages().Encoder(request(`,"stream":true`))
		got := run(t, e, wire.Final{Usage: llm.Usage{Input: 7, Output: 5}, Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}}, c.events...)
		if n := names(got); n != c.want {
			t.Errorf("%s: %s, want %s", c.name, n, c.want)
		}
		if want := "event: message_delta\ndata: " + ending + "\n\n" + messageStop; !strings.HasSuffix(got, want) {
			t.Errorf("%s: the stream ends with\n%s\nwant\n%s", c.name, got[max(0, len(got)-len(want)):], want)
		}
	}
	e := NewMessages().Encoder(request(`,"stream":true`))
	if out, err := e.Event(nil, llm.Event{Cut: true}); err == nil {
		t.Errorf("cut off before anything came: %s", out)
	}
}
