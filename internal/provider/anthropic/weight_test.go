package anthropic

import "testing"

// What a stream says is weighed as it comes, whatever block it comes in; whole
// answers are not, since there is nothing to wait for.
func TestEventsOfStreamsAreWeighed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event string
		want  int // sixths of a token
	}{
		{`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, 0},
		{`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ab c"}}`, 8},
		{`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a\n1"}}`, 12},
		{`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"x","name":"f","input":{}}}`, 96},
		{`{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"x","name":"f","input":{"a":1}}}`, 28},
		{`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}`, 10},
		{`{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`, 0},
	} {
		s := scanner{stream: true}
		if !s.scan([]byte(c.event)) {
			t.Fatal(c.event)
		}
		if s.weight != c.want {
			t.Errorf("%s weighs %d, want %d", c.event, s.weight, c.want)
		}
	}
	s := scanner{}
	if s.scan([]byte(`{"type":"message","content":[{"type":"text","text":"abc"},{"type":"tool_use","id":"x","name":"f","input":{}}]}`)); s.weight != 0 || s.bytes != 3 {
		t.Errorf("a whole answer of %d bytes weighs %d", s.bytes, s.weight)
	}
}
