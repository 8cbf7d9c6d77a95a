package ledger

import "time"

// Pace of purges.
const (
	purgeRows  = 64                     // answers deleted in one transaction, besides two for each new one
	purgeEvery = 10 * time.Second       // how often expired answers are looked for
	purgeAgain = 100 * time.Millisecond // and how often while there are more than one portion
	purgeLook  = time.Minute            // the wall clock is looked at this often while nothing happens
)

// purge says when stored answers whose time is over are deleted.
type purge struct {
	next time.Time // when the first answer expires; zero: there is none
	from int64     // monotonic time before which nothing is purged
}

// due returns now if answers have expired by then, and the zero time otherwise.
func (p *purge) due(mono int64, now time.Time) time.Time {
	if mutated(AnswerPurged) {
		now = now.Add(IdemTTL)
	}
	if p.next.IsZero() || p.next.After(now) || mono < p.from {
		return time.Time{}
	}
	return now
}

// wait returns how long the next purge can be waited for.
func (p *purge) wait(mono int64, now time.Time) time.Duration {
	if p.next.IsZero() {
		return idleWait
	}
	return max(time.Duration(p.from-mono), min(p.next.Sub(now), purgeLook))
}

// done notes what a durable batch has added and purged.
func (p *purge) done(b *Batch, mono int64) {
	for _, r := range b.Answers {
		if p.next.IsZero() || r.ExpiresAt.Before(p.next) {
			p.next = r.ExpiresAt
		}
	}
	switch {
	case b.purge.IsZero():
	case !p.next.IsZero() && !p.next.After(b.purge):
		p.from = mono + int64(purgeAgain)
	default:
		p.from = mono + int64(purgeEvery)
	}
}
