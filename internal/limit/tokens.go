package limit

import (
	"math/bits"
	"time"
)

// minute is how far a key's tokens may be ahead: the bucket holds one minute's
// worth.
const minute = int64(time.Minute)

// MaxDebt is how far tokens that were used beyond what was taken may put a key
// behind: the next request waits no longer.
const MaxDebt = 24 * time.Hour

// Lease is what one request has taken of a key's tokens per minute. The zero
// Lease has taken nothing of nothing. It belongs to one goroutine. It keeps no
// memory alive and need not be ended; whoever used less than it took gives the
// rest back with Correct.
type Lease struct {
	l     *Limiter
	key   int64
	tpm   int64 // of the rule it was taken under
	taken int64
}

// TakeTokens admits a request of key that is expected to use n tokens, or
// refuses it and takes nothing. More than a minute's worth is taken for that, so
// that what is too large for the rule passes while nothing else is used. A rule
// without TokensPerMinute admits everything.
//
// Over any span w the tokens taken are at most w's share of the rate, one
// minute's worth, and what was given back within w.
func (l *Limiter) TakeTokens(key int64, r Rule, n int64) (Lease, *Exceeded) {
	if r.TokensPerMinute <= 0 {
		return Lease{}, nil
	}
	now := l.elapsed()
	l.sweepSometimes(now)
	tpm := r.tokens()
	n = clamp(n, 0, tpm)
	sh := l.of(key)
	st := sh.pin(key)
	defer sh.mu.RUnlock()
	for {
		st.tokens.respace(l, tpm, minute, byRate)
		switch wait, stale := st.tokens.pass(now, tpm, span(n, tpm, true), minute); {
		case stale:
		case wait > 0:
			return Lease{}, &Exceeded{Wait: time.Duration(wait), Limit: tpm, Per: time.Minute, Source: Tokens}
		default:
			return Lease{l: l, key: key, tpm: tpm, taken: n}, nil
		}
	}
}

// Correct makes the lease one of n tokens: what was taken beyond them is given
// back, and what is missing is taken although nothing may be left, which delays
// the next request. It may be called again.
func (t *Lease) Correct(n int64) {
	if n = max(n, 0); t.l == nil || n == t.taken {
		return
	}
	now := t.l.elapsed()
	sh := t.l.of(t.key)
	st := sh.pin(t.key)
	defer sh.mu.RUnlock()
	st.tokens.mark.CompareAndSwap(0, t.tpm) // it was forgotten in between
	if n < t.taken {
		st.tokens.giveBack(now, t.taken-n)
	} else {
		st.tokens.owe(now, n-t.taken)
	}
	t.taken = n
}

// giveBack gives back n tokens, as far as they are still used: time gives them
// back as well.
func (s *slot) giveBack(now, n int64) {
	s.shift(func(tat, tpm int64) int64 { return max(min(tat, now), tat-span(n, tpm, false)) })
}

// owe takes n tokens whatever is left.
func (s *slot) owe(now, n int64) {
	s.shift(func(tat, tpm int64) int64 {
		return min(max(tat, now)+span(n, tpm, true), max(tat, now+int64(MaxDebt)))
	})
}

// span is how long n tokens take to come back, at most MaxDebt: rounded up or
// down, against the caller.
func span(n, tpm int64, up bool) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(minute))
	if hi >= uint64(tpm) {
		return int64(MaxDebt)
	}
	q, rest := bits.Div64(hi, lo, uint64(tpm))
	if up && rest > 0 {
		q++
	}
	return int64(min(q, uint64(MaxDebt)))
}

// tokensIn is how many tokens a span is, rounded up.
func tokensIn(ahead, tpm int64) int64 {
	hi, lo := bits.Mul64(uint64(ahead), uint64(tpm))
	q, rest := bits.Div64(hi, lo, uint64(minute)) // ahead and tpm are bounded, so that hi is less
	if rest > 0 {
		q++
	}
	return int64(q)
}
