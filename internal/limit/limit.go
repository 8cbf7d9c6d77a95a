// Package limit decides how fast and how many at once: requests per second and
// tokens per minute (GCRA), requests in any window of time (an exact log), and
// requests in flight. It counts nothing that is money or that must survive a
// restart.
//
// GCRA keeps one number per key, the theoretical arrival time of the request
// after the last one: a request moves it forward by 1/rate and is refused if
// that would put it more than burst/rate ahead of now. So over any span w at
// most rate·w + burst requests are admitted, and the wait is exact.
package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	shards     = 64
	sweepEvery = int64(time.Second) // between visits of the sweep to a shard
)

// Limiter holds the state of all keys, by number. Keys of the house are
// numbers already; whoever limits something else hashes it. It is used by many
// goroutines at once.
//
// State of a key that could not refuse anything any more is forgotten by and
// by, one shard a second as requests come.
type Limiter struct {
	now   func() time.Time
	start time.Time

	nextSweep atomic.Int64
	nextShard atomic.Uint32
	shard     [shards]shard
}

type shard struct {
	mu   sync.RWMutex // held for reading while a state is used, for writing to add and forget
	keys map[int64]*state
}

// state is one key's. Its GCRA times change by CAS under the shard's read lock;
// the logs need mu.
type state struct {
	inflight atomic.Int64
	slots    [MaxRules]slot
	tokens   slot

	mu   sync.Mutex
	logs *[MaxRules]log // mu; nil until a rule needs one
}

// log is the window of one rule.
type log struct {
	window
	per int64 // the span it must keep
}

// New returns an empty limiter that reads the time from now.
func New(now func() time.Time) *Limiter {
	l := &Limiter{now: now, start: now()}
	l.nextSweep.Store(sweepEvery)
	for i := range l.shard {
		l.shard[i].keys = make(map[int64]*state)
	}
	return l
}

// nothing releases nothing.
func nothing() {}

// Take admits one request of key under all rules, or refuses it and takes
// nothing. Each rule keeps its own count by its place in the list, so a key's
// rules come in the same order every time; the requests in flight are one count
// per key. A rule may change between calls: what was used stays used.
//
// On success release is never nil; it frees the concurrency slot, once, however
// often it is called. On refusal release is nil. Take panics if there are more
// than [MaxRules] rules; rules out of bounds are brought within them, so check
// with [Rule.Validate] before.
func (l *Limiter) Take(key int64, rules ...Rule) (release func(), exceeded *Exceeded) {
	now := l.elapsed()
	l.sweepSometimes(now)
	only, free := shape(rules)
	if free {
		return nothing, nil
	}
	sh := l.of(key)
	st := sh.pin(key)
	defer sh.mu.RUnlock()
	if only >= 0 {
		if e := st.slots[only].take(l, now, rules[only]); e != nil {
			return nil, e
		}
		return nothing, nil
	}
	counted, e := st.take(l, rules)
	if e != nil {
		return nil, e
	}
	if !counted {
		return nothing, nil
	}
	var done atomic.Bool
	return func() {
		if done.CompareAndSwap(false, true) {
			st.inflight.Add(-1)
		}
	}, nil
}

// shape tells the short ways from the long one: free if the rules limit nothing,
// and only the place of the one GCRA if that is all there is, else -1.
func shape(rules []Rule) (only int, free bool) {
	if len(rules) > MaxRules {
		panic("limit: more rules than MaxRules")
	}
	only, free = -1, true
	for i, r := range rules {
		switch {
		case r.Requests > 0 || r.Concurrency > 0:
			return -1, false
		case r.RPS > 0 && !free:
			return -1, false
		case r.RPS > 0:
			only, free = i, false
		}
	}
	return only, free
}

func (l *Limiter) elapsed() int64 { return int64(l.now().Sub(l.start)) }

func (l *Limiter) of(key int64) *shard {
	h := uint64(key) * 0x9e3779b97f4a7c15 // Fibonacci hashing spreads keys that count up
	return &l.shard[h>>58]
}

// pin returns the key's state with the shard locked for reading.
func (s *shard) pin(key int64) *state {
	s.mu.RLock()
	st := s.keys[key]
	for st == nil {
		s.mu.RUnlock()
		s.mu.Lock()
		if s.keys[key] == nil {
			s.keys[key] = new(state)
		}
		s.mu.Unlock()
		s.mu.RLock()
		st = s.keys[key] // nil if the sweep was here in between
	}
	return st
}

func throughput(wait, limit, per int64) *Exceeded {
	return &Exceeded{Wait: time.Duration(wait), Limit: limit, Per: time.Duration(per), Source: Throughput}
}

// take admits one request under all rules. counted says that it is in flight.
func (s *state) take(l *Limiter, rules []Rule) (counted bool, e *Exceeded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.elapsed() // here, so that the logs are in the order of time
	if e := s.refusal(l, now, rules); e != nil {
		return false, e
	}
	// A GCRA may have moved since, by a Take on the short way. What was taken
	// from the others goes back, unless they moved as well.
	var was, is [MaxRules]int64
	for i, r := range rules {
		if r.RPS <= 0 {
			continue
		}
		was[i] = s.slots[i].tat.Load()
		e := s.slots[i].take(l, now, r)
		is[i] = max(was[i], now) + r.every()
		if e == nil {
			continue
		}
		for j := range i {
			if rules[j].RPS > 0 {
				s.slots[j].tat.CompareAndSwap(is[j], was[j])
			}
		}
		return false, e
	}
	for i, r := range rules {
		if r.Requests > 0 {
			s.log(i).add(now)
		}
		counted = counted || r.Concurrency > 0
	}
	if counted {
		s.inflight.Add(1)
	}
	return counted, nil
}

// log returns the log of the i-th rule. s.mu is held.
func (s *state) log(i int) *log {
	if s.logs == nil {
		s.logs = new([MaxRules]log)
	}
	return &s.logs[i]
}

// refusal returns the limit that refuses longest, or nil.
func (s *state) refusal(l *Limiter, now int64, rules []Rule) *Exceeded {
	var worst *Exceeded
	for i, r := range rules {
		if r.RPS > 0 {
			if wait := s.slots[i].wait(l, now, r); wait > 0 && (worst == nil || wait > int64(worst.Wait)) {
				worst = throughput(wait, r.burst(), r.burst()*r.every())
			}
		}
		if r.Requests > 0 {
			log := s.log(i)
			log.per = int64(r.Per)
			limit := min(r.Requests, MaxRequests)
			if wait := log.wait(now, limit, int64(r.Per)); wait > 0 && (worst == nil || wait > int64(worst.Wait)) {
				worst = throughput(wait, limit, int64(r.Per))
			}
		}
	}
	if worst != nil {
		return worst
	}
	for _, r := range rules {
		if r.Concurrency > 0 && s.inflight.Load() >= r.Concurrency {
			return &Exceeded{Limit: r.Concurrency, Source: Concurrency}
		}
	}
	return nil
}

// Len returns how many keys have state.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shard {
		l.shard[i].mu.RLock()
		n += len(l.shard[i].keys)
		l.shard[i].mu.RUnlock()
	}
	return n
}

// sweepSometimes visits the next shard if the last visit is long enough ago.
func (l *Limiter) sweepSometimes(now int64) {
	due := l.nextSweep.Load()
	if now < due || !l.nextSweep.CompareAndSwap(due, now+sweepEvery) {
		return
	}
	l.shard[l.nextShard.Add(1)%shards].sweep(now)
}

// sweep forgets the keys that could not refuse anything.
func (s *shard) sweep(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, st := range s.keys {
		if st.idle(now) {
			delete(s.keys, key)
		}
	}
}

// idle reports whether a fresh state would behave the same. The shard is
// locked, so nobody is using the state.
func (s *state) idle(now int64) bool {
	if s.inflight.Load() > 0 || s.tokens.tat.Load() > now {
		return false
	}
	for i := range s.slots {
		if s.slots[i].tat.Load() > now {
			return false
		}
		if s.logs == nil {
			continue
		}
		if w := &s.logs[i]; w.n > 0 && w.at(w.n-1) > now-w.per {
			return false
		}
	}
	return true
}
