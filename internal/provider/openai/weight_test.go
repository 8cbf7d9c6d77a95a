package openai

import "testing"

// What a stream says is weighed as it comes, whatever member it comes in; whole
// answers are not, since there is nothing to wait for.
func TestEventsOfStreamsAreWeighed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		delta string
		want  int // sixths of a token
	}{
		{`{"role":"assistant","content":""}`, 0},
		{`{"content":"ab c"}`, 8},
		{`{"content":"a\n1"}`, 12},
		{`{"reasoning_content":"abc"}`, 6},
		{`{"refusal":"no"}`, 4},
		{`{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}`, 96},
		{`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]}`, 10},
		{`{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":{"a":1}}}]}`, 96 + 28},
	} {
		for stream, want := range map[bool]int{true: c.want, false: 0} {
			s := scanner{quirks: &vendor{}, stream: stream}
			if !s.scan([]byte(`{"choices":[{"index":0,"delta":` + c.delta + `}]}`)) {
				t.Fatal(c.delta)
			}
			if s.weight != want {
				t.Errorf("%s, stream %t: weighs %d, want %d", c.delta, stream, s.weight, want)
			}
		}
	}
}
