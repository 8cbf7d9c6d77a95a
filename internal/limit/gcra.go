package limit

import (
	"runtime"
	"sync/atomic"
)

// slot is one GCRA, in nanoseconds since the limiter's start.
//
// tat is reckoned with mark, and the two change apart. Who changes mark makes it
// changing first, so that nobody takes one for the other: tat is good for the
// mark that is read after it, and a change in between makes the CAS of tat fail.
type slot struct {
	tat  atomic.Int64 // when nothing will be used any more
	mark atomic.Int64 // the rate: of requests their spacing, of tokens how many a minute; 0: none yet
}

// changing is the mark while tat is fitted to another.
const changing = -1

// pass moves the slot by cost, or returns how long to wait until that leaves it
// at most depth ahead of now. stale says that the mark is not the given one any
// more, and nothing was done.
func (s *slot) pass(now, mark, cost, depth int64) (wait int64, stale bool) {
	for {
		tat := s.tat.Load()
		if s.mark.Load() != mark {
			return 0, true
		}
		next := max(tat, now) + cost
		if wait := next - depth - now; wait > 0 {
			return wait, false
		}
		if s.tat.CompareAndSwap(tat, next) {
			return 0, false
		}
	}
}

// take admits one request.
func (s *slot) take(l *Limiter, now int64, r Rule) *Exceeded {
	every, burst := r.every(), r.burst()
	for {
		s.respace(l, every, burst*every, bySpacing)
		switch wait, stale := s.pass(now, every, every, burst*every); {
		case stale:
		case wait > 0:
			return throughput(wait, burst, burst*every)
		default:
			return nil
		}
	}
}

// wait is what take would say, without taking.
func (s *slot) wait(l *Limiter, now int64, r Rule) int64 {
	every, depth := r.every(), r.burst()*r.every()
	s.respace(l, every, depth, bySpacing)
	return max(s.tat.Load(), now) + every - depth - now
}

// How much longer what was used lasts when a mark changes.
func bySpacing(was, is int64) float64 { return float64(is) / float64(was) }
func byRate(was, is int64) float64    { return float64(was) / float64(is) }

// respace keeps what was used, counted in requests or tokens, when a rule's rate
// has changed: at most all of the new bucket, so that who lowers a limit does
// not lock its key out for longer than the new limit would. It reads the time
// itself: by an older one, time that has passed would be fitted as well.
func (s *slot) respace(l *Limiter, mark, depth int64, longer func(was, is int64) float64) {
	for {
		old := s.mark.Load()
		switch {
		case old == mark:
			return
		case old == changing:
			runtime.Gosched()
			continue
		case !s.mark.CompareAndSwap(old, changing):
			continue
		}
		now := l.elapsed()
		for tat := s.tat.Load(); old != 0 && tat > now; tat = s.tat.Load() {
			ahead := min(float64(tat-now)*longer(old, mark)+1, float64(depth))
			if s.tat.CompareAndSwap(tat, now+int64(ahead)) {
				break
			}
		}
		s.mark.Store(mark)
		return
	}
}

// shift moves tat to where to puts it, for the mark in force.
func (s *slot) shift(to func(tat, mark int64) int64) {
	for {
		tat, mark := s.tat.Load(), s.mark.Load()
		if mark == changing {
			runtime.Gosched()
			continue
		}
		if s.tat.CompareAndSwap(tat, to(tat, mark)) {
			return
		}
	}
}
