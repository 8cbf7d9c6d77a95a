package limit

import "time"

// Allowance is what is left of one limit, as callers are told it.
type Allowance struct {
	Policy    string        // the limit's name
	Unit      string        // what is counted; empty: requests
	Limit     int64         // of the unit, in Window
	Remaining int64         // what is neither used nor taken by requests in flight; not negative
	Window    time.Duration // in which Limit may be used
	Reset     time.Duration // until more remains; 0: nothing is used
}

// The policies of a [Rule], named as its members are in configuration files and
// in the admin API.
const (
	PolicyRPS      = "rps"
	PolicyRequests = "requests"
	PolicyTokens   = "tokens_per_minute"
)

// Allowances appends what is left of each of a key's limits that counts by time.
func (l *Limiter) Allowances(dst []Allowance, key int64, r Rule) []Allowance {
	if r.RPS <= 0 && r.Requests <= 0 && r.TokensPerMinute <= 0 {
		return dst
	}
	for _, u := range l.Uses(key, r) {
		a := Allowance{Limit: u.Limit, Remaining: max(u.Limit-u.Used, 0), Window: u.Per, Reset: u.Next}
		switch {
		case u.Source == Concurrency:
			continue
		case u.Source == Tokens:
			a.Policy, a.Unit = PolicyTokens, "tokens"
		case u.GCRA:
			a.Policy = PolicyRPS
		default:
			a.Policy = PolicyRequests
		}
		dst = append(dst, a)
	}
	return dst
}
