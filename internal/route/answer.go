package route

import (
	"io"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/provider"
)

// Bounds of what is kept back while waiting for content.
const (
	peekEvents = 512
	peekBytes  = 4 << 20
	peekPings  = 64 // the others are as good as told
)

// Answer is an answer whose first content is in hand. It is an llm.Stream; the
// verdict on the target is given when it ends.
type Answer struct {
	stream llm.Stream
	target *Target
	held   []llm.Event // read while waiting for content, copied
	end    error       // what came after them, if the stream ended while waiting
	ended  bool        // verdict given
	moved  bool
	record obs.Attempt
	start  time.Time
}

// Target returns the id of the target that answers.
func (a *Answer) Target() string { return a.target.ID }

// Moved reports whether another target than where the conversation was had to
// answer, so that what its provider has cached is of no use.
func (a *Answer) Moved() bool { return a.moved }

// Dropped lists the members of the request that the target's protocol cannot
// say and that were left out as harmless.
func (a *Answer) Dropped(req *llm.Request) []string {
	if d, ok := a.target.Provider.(provider.Dropper); ok {
		own := *req
		own.Model = a.target.Model // by which a provider knows what the model takes
		return d.Dropped(&own)
	}
	return nil
}

// peek reads on until an event has content, keeping what it reads, and noting it
// in seen. none tells that the caller asked for no token at all, so that none need
// come.
func (a *Answer) peek(none bool, seen *Seen) error {
	size := 0
	for {
		ev, err := a.stream.Next()
		if err == io.EOF {
			if !a.finishedWithout(none) {
				return empty()
			}
			a.end = io.EOF
			return nil
		}
		if err != nil {
			return err
		}
		if ev.Content {
			a.held = append(a.held, ev)
			return nil
		}
		if ev.Ping && len(a.held) >= peekPings {
			continue // the timers bound how long that may go on
		}
		seen.add(ev)
		size += sizeOf(ev)
		if len(a.held) >= peekEvents || size > peekBytes {
			return &provider.Failure{Fault: fault.New(fault.UpstreamFailed, ""), Failover: true, Breaker: true, Sent: true}
		}
		a.held = append(a.held, keep(ev))
	}
}

// add adds what an event has to be accounted for.
func (s *Seen) add(ev llm.Event) {
	s.Bytes, s.Split = s.Bytes+int64(ev.OutputBytes), s.Split.Add(ev.Bytes)
	if ev.Calls != nil {
		s.Calls = *ev.Calls
	}
	s.Tier = max(s.Tier, ev.Tier)
	if ev.Usage != nil {
		u := *ev.Usage
		s.Usage = &u
	}
}

// sizeOf is how many bytes it takes to keep ev, nearly.
func sizeOf(ev llm.Event) int {
	n := len(ev.Raw) + len(ev.Data)
	for i := range ev.Deltas {
		d := &ev.Deltas[i]
		n += len(d.Text) + len(d.Signature) + len(d.Value) + len(d.Logprobs)
	}
	return n
}

// finishedWithout reports whether an answer without content ended in a way that
// is an answer all the same: the length was reached while thinking, a filter
// stopped it, or it began with what it was told to stop at. Where the provider
// says that it made no token, it did not answer; but for a filter, and for who asked
// for none. Not all say which of their tokens were thoughts: those that reached the
// length unseen were. Those of a turn that was paused must be told to have been.
func (a *Answer) finishedWithout(none bool) bool {
	ended, cut, paused, stopped := false, false, false, false
	var used *llm.Usage // told with the end, or after it
	for _, ev := range a.held {
		switch ev.Finish {
		case llm.FinishContentFilter:
			return true
		case llm.FinishLength, llm.FinishContextWindow:
			cut = true
		case llm.FinishPause:
			paused = true
		case llm.FinishStopSequence:
			stopped = true
		}
		ended = ended || ev.Finish != ""
		if ended && ev.Usage != nil {
			used = ev.Usage
		}
	}
	switch {
	case none:
		return cut || paused || stopped
	case cut || stopped:
		return used == nil || used.Output > 0
	}
	return paused && (used == nil || used.Reasoning > 0)
}

func empty() *provider.Failure {
	return &provider.Failure{Fault: fault.New(fault.EmptyResponse, ""), Retry: true, Failover: true, Breaker: true, Sent: true}
}

// keep copies what ev refers to, since the provider uses its buffers again.
func keep(ev llm.Event) llm.Event {
	ev.Raw = slices.Clone(ev.Raw)
	ev.Data = slices.Clone(ev.Data)
	ev.Deltas = slices.Clone(ev.Deltas)
	ev.More = true
	if ev.Usage != nil {
		u := *ev.Usage
		ev.Usage = &u
	}
	if ev.Calls != nil {
		c := *ev.Calls
		ev.Calls = &c
	}
	return ev
}

// Next returns what was kept first, then what comes. See llm.Stream. Its error
// is a *fault.Error or io.EOF.
func (a *Answer) Next() (llm.Event, error) {
	if len(a.held) > 0 {
		ev := a.held[0]
		if a.held = a.held[1:]; len(a.held) == 0 {
			a.held = nil // a stream may be open for long
		}
		return ev, nil
	}
	if a.end != nil {
		a.conclude(nil)
		return llm.Event{}, a.end
	}
	ev, err := a.stream.Next()
	if err == nil {
		return ev, nil
	}
	if err == io.EOF {
		a.conclude(nil)
		return llm.Event{}, io.EOF
	}
	f := asFailure(err, a.target.Key)
	a.conclude(f)
	e := *f.Fault
	if e.Code != fault.StreamInterrupted {
		e.Cause = f.Fault
	}
	if e.Code == fault.UpstreamTimeout {
		// A status for that can be sent no more: to the caller an answer that
		// goes quiet breaks off as one that is cut.
		e.Code = fault.StreamInterrupted
	}
	return llm.Event{}, &e
}

// conclude gives the verdict, once.
func (a *Answer) conclude(f *provider.Failure) {
	if a.ended {
		return
	}
	a.ended = true
	if f == nil {
		a.target.Health.succeeded()
	} else {
		a.target.Health.failed(false, judge(f))
		a.record.Outcome = f.Fault.Code.String()
	}
	a.record.Took = time.Since(a.start)
}

// Close cancels what has not ended, which says nothing of the target.
func (a *Answer) Close() error {
	if !a.ended {
		a.ended = true
		a.record.Outcome, a.record.Took = "cancelled", time.Since(a.start)
	}
	return a.stream.Close()
}

// Attempt returns the attempt as it ended, for the receipt.
func (a *Answer) Attempt() obs.Attempt { return a.record }
