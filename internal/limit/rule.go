package limit

import (
	"fmt"
	"math"
	"time"
)

// Bounds of a [Rule]. They keep every sum of nanoseconds far inside an int64,
// and the memory of one key's window below a megabyte.
const (
	MinRPS         = 0.001
	MaxRPS         = 1e6
	MaxBurst       = 1_000_000
	MaxRequests    = 100_000
	MaxPer         = 7 * 24 * time.Hour
	MaxConcurrency = 1_000_000
	MaxTokens      = 10_000_000_000 // a minute

	// MaxRules is how many rules one Take may carry.
	MaxRules = 4
)

// Rule is what one key may do. A zero field sets no limit; the zero Rule
// allows everything. The two ways to limit throughput may stand together:
//
//   - RPS and Burst: Burst requests at once, then RPS a second (GCRA).
//     Burst 0 means RPS rounded up.
//   - Requests and Per: at most Requests in any window as long as Per.
//
// TokensPerMinute counts what requests use instead: a minute's worth at once,
// then so many a minute (GCRA by weight, [Limiter.TakeTokens]). Concurrency
// bounds how many requests run at the same time.
type Rule struct {
	RPS         float64       // requests per second, MinRPS … MaxRPS
	Burst       int64         // requests, 1 … MaxBurst
	Requests    int64         // requests per Per, 1 … MaxRequests
	Per         time.Duration // 1 ms … MaxPer
	Concurrency int64         // requests in flight, 1 … MaxConcurrency

	TokensPerMinute int64 // tokens, 1 … MaxTokens
}

// Validate checks the rule against the bounds. The error names the field as
// configuration files and the admin API do.
func (r Rule) Validate() error {
	switch {
	case r.RPS != 0 && !(r.RPS >= MinRPS && r.RPS <= MaxRPS):
		return fmt.Errorf("rps: must be between %v and %v", MinRPS, int64(MaxRPS))
	case r.Burst < 0 || r.Burst > MaxBurst:
		return fmt.Errorf("burst: must be between 1 and %d", MaxBurst)
	case r.Burst > 0 && r.RPS == 0:
		return fmt.Errorf("burst: has no meaning without rps")
	case r.Requests < 0 || r.Requests > MaxRequests:
		return fmt.Errorf("requests: must be between 1 and %d", MaxRequests)
	case r.Requests > 0 && r.Per == 0:
		return fmt.Errorf("per: is required with requests")
	case r.Requests == 0 && r.Per != 0:
		return fmt.Errorf("per: has no meaning without requests")
	case r.Per != 0 && (r.Per < time.Millisecond || r.Per > MaxPer):
		return fmt.Errorf("per: must be between 1ms and %v", MaxPer)
	case r.TokensPerMinute < 0 || r.TokensPerMinute > MaxTokens:
		return fmt.Errorf("tokens_per_minute: must be between 1 and %d", int64(MaxTokens))
	case r.Concurrency < 0 || r.Concurrency > MaxConcurrency:
		return fmt.Errorf("concurrency: must be between 1 and %d", MaxConcurrency)
	}
	return nil
}

// every is the time one request takes off the bucket, rounded up so that no
// fraction of a request is given away; 0: no GCRA.
func (r Rule) every() int64 {
	if r.RPS <= 0 {
		return 0
	}
	return int64(math.Ceil(float64(time.Second) / clamp(r.RPS, MinRPS, MaxRPS)))
}

// burst is how many requests may come at once; at least one.
func (r Rule) burst() int64 {
	b := r.Burst
	if b <= 0 {
		b = int64(math.Ceil(min(r.RPS, MaxRPS)))
	}
	return clamp(b, 1, MaxBurst)
}

// tokens is how many tokens a minute may use.
func (r Rule) tokens() int64 { return clamp(r.TokensPerMinute, 1, MaxTokens) }

func clamp[T int64 | float64](v, lo, hi T) T { return max(lo, min(v, hi)) }

// Source says which part of a rule refused.
type Source string

// The sources.
const (
	Throughput  Source = "throughput" // requests per time
	Tokens      Source = "tokens"     // tokens per minute
	Concurrency Source = "concurrency"
)

// Exceeded is a refusal. When several limits refuse, it is the one that
// refuses longest, and a throughput limit before a concurrency limit.
type Exceeded struct {
	Wait   time.Duration // until the same Take succeeds if nobody else takes; 0 for Concurrency: unknown
	Limit  int64         // how many requests, or tokens, are allowed …
	Per    time.Duration // … in this time; 0 for Concurrency
	Source Source
}

// Error describes the limit, for the log.
func (e *Exceeded) Error() string {
	if e.Source == Concurrency {
		return fmt.Sprintf("more than %d requests at once", e.Limit)
	}
	what := "requests"
	if e.Source == Tokens {
		what = "tokens"
	}
	return fmt.Sprintf("more than %d %s in %v, wait %v", e.Limit, what, e.Per, e.Wait)
}
