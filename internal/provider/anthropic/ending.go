package anthropic

import (
	"errors"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// ending reads the delta of a message_delta.
func (s *scanner) ending(v []byte) {
	c := provider.Walk(v)
	if c.Kind() != '{' {
		return
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		s.why(&c, key)
	}
}

// why reads one of the members that say why an answer ended.
func (s *scanner) why(c *provider.Cursor, key []byte) {
	switch string(key) {
	case "stop_reason":
		if reason, ok := c.Text(); ok {
			s.finish = finishOf(reason)
		}
	case "stop_sequence":
		if text, ok := c.Text(); ok && s.translate {
			s.sequence = provider.Unescape(text)
		}
	case "stop_details":
		s.explanation(c)
	default:
		c.Skip()
	}
}

func (s *scanner) explanation(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		text, ok := c.Text()
		if ok && string(key) == "explanation" && s.translate {
			s.refusal = provider.Unescape(text)
		}
	}
}

// finishOf maps a stop reason; what nobody knows is a natural end.
func finishOf(reason []byte) llm.Finish {
	switch string(reason) {
	case "":
		return ""
	case "stop_sequence":
		return llm.FinishStopSequence
	case "max_tokens":
		return llm.FinishLength
	case "model_context_window_exceeded":
		return llm.FinishContextWindow
	case "tool_use":
		return llm.FinishToolCalls
	case "refusal":
		return llm.FinishContentFilter
	case "pause_turn":
		return llm.FinishPause
	}
	return llm.FinishStop
}

// paused is the failure of an answer that has not ended: Anthropic waits for the
// caller to hand its own tool calls back, for which no other dialect has words.
func paused(body []byte) *provider.Failure {
	f := provider.BadAnswer(http.StatusOK, body, errors.New("the answer paused in a turn of the provider's own tools"))
	f.Retry, f.Failover, f.Breaker = false, false, false
	return f
}

// end passes on why the answer ended. Whether there were tool calls is seen
// from the calls.
func (s *scanner) end() {
	if s.finish == "" || !s.translate {
		return
	}
	if s.refusal != "" {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaRefusal, Text: s.refusal})
	}
	f := s.finish
	if f == llm.FinishStop && s.tools > 0 {
		f = llm.FinishToolCalls
	}
	s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaFinish, Finish: f, StopSequence: s.sequence})
}
