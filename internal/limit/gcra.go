package limit

import "sync/atomic"

// slot is one GCRA, in nanoseconds since the limiter's start.
type slot struct {
	tat  atomic.Int64 // when nothing will be used any more
	mark atomic.Int64 // the rate that tat was reckoned with: of requests their spacing, of tokens how many a minute; 0: none yet
}

// pass moves the slot by cost, or returns how long to wait until that leaves it
// at most depth ahead of now.
func (s *slot) pass(now, cost, depth int64) (wait int64) {
	for {
		tat := s.tat.Load()
		next := max(tat, now) + cost
		if wait := next - depth - now; wait > 0 {
			return wait
		}
		if s.tat.CompareAndSwap(tat, next) {
			return 0
		}
	}
}

// take admits one request.
func (s *slot) take(now int64, r Rule) *Exceeded {
	every, burst := r.every(), r.burst()
	s.respace(now, every, burst*every, bySpacing)
	if wait := s.pass(now, every, burst*every); wait > 0 {
		return throughput(wait, burst, burst*every)
	}
	return nil
}

// wait is what take would say, without taking.
func (s *slot) wait(now int64, r Rule) int64 {
	every, depth := r.every(), r.burst()*r.every()
	s.respace(now, every, depth, bySpacing)
	return max(s.tat.Load(), now) + every - depth - now
}

// How much longer what was used lasts when a mark changes.
func bySpacing(was, is int64) float64 { return float64(is) / float64(was) }
func byRate(was, is int64) float64    { return float64(was) / float64(is) }

// respace keeps what was used, counted in requests or tokens, when a rule's rate
// has changed: at most all of the new bucket, so that who lowers a limit does
// not lock its key out for longer than the new limit would.
func (s *slot) respace(now, mark, depth int64, longer func(was, is int64) float64) {
	old := s.mark.Load()
	if old == mark || !s.mark.CompareAndSwap(old, mark) || old == 0 {
		return
	}
	for {
		tat := s.tat.Load()
		if tat <= now {
			return
		}
		ahead := min(float64(tat-now)*longer(old, mark)+1, float64(depth))
		if s.tat.CompareAndSwap(tat, now+int64(ahead)) {
			return
		}
	}
}
