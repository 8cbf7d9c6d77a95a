package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// maxGrants bounds how many expiring grants a balance may have at once.
const maxGrants = 1000

// grant is an expiring grant of which something is left. What is used is taken
// from the grant that expires soonest, and from plain credit last. So a debt,
// which only an operator's reduction can make, goes with no grant left at all.
type grant struct {
	seq       int64
	remaining money.Amount
	expires   time.Time
}

// consume takes n out of the grants as far as they go. credit and used already
// reflect n.
func (p *purse) consume(n money.Amount) {
	for i := range p.grants {
		took := min(n, p.grants[i].remaining)
		p.grants[i].remaining -= took
		if n -= took; n == 0 {
			break
		}
	}
	p.drop()
}

// drop forgets the grants of which nothing is left.
func (p *purse) drop() {
	p.grants = slices.DeleteFunc(p.grants, func(g grant) bool { return g.remaining == 0 })
}

// grant adds the grant of an entry. credit already includes it. What the balance
// was overdrawn by is paid from it at once.
func (p *purse) grant(e *Entry) {
	if e.ExpiresAt.IsZero() {
		return
	}
	left := min(e.Amount, max(0, p.posted()))
	if left == 0 {
		return
	}
	p.insert(grant{seq: e.Seq, remaining: left, expires: e.ExpiresAt})
}

func (p *purse) insert(g grant) {
	i, _ := slices.BinarySearchFunc(p.grants, g, func(a, b grant) int {
		if c := a.expires.Compare(b.expires); c != 0 {
			return c
		}
		return cmp.Compare(a.seq, b.seq)
	})
	p.grants = slices.Insert(p.grants, i, g)
}

// expire takes n out of the grant with that entry.
func (p *purse) expire(seq int64, n money.Amount) {
	for i := range p.grants {
		if p.grants[i].seq == seq {
			p.grants[i].remaining -= min(n, p.grants[i].remaining)
		}
	}
	p.drop()
}

// part is what is to be taken out of a grant.
type part struct {
	grant  int64 // its entry
	amount money.Amount
}

// expired returns what of expired grants can be taken now: what is left of them,
// but never what is held or not there. more: something is left that cannot.
func (p *purse) expired(now time.Time) (parts []part, more bool) {
	free := p.free()
	if mutated(ExpireHeld) {
		free = p.posted()
	}
	for _, g := range p.grants {
		if g.expires.After(now) {
			break
		}
		n := max(0, min(g.remaining, free))
		free -= n
		more = more || n < g.remaining
		if n > 0 {
			parts = append(parts, part{grant: g.seq, amount: n})
		}
	}
	return parts, more
}
