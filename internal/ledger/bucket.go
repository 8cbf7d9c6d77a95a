package ledger

import (
	"fmt"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// This file is the core: what an account has, what is held of it, and the rules
// by which both change. It knows no time, no locks and no input or output, so
// that tests can drive it directly.

// Reservation is what a request needs before it may go upstream.
type Reservation struct {
	Account, Key int64
	Test         bool     // use the test balance
	Request      [16]byte // the request's id

	// Amount is the worst case in money. Floor makes the hold elastic: it takes
	// what is free, but no more than Amount and no less than Floor. Floor 0, and
	// Floor equal to Amount, mean Amount exactly. An Amount of 0 needs no money
	// at all, and is granted on an empty or overdrawn balance too.
	Amount, Floor money.Amount

	// Share bounds an elastic hold to one part in so many of what is free, where
	// that is more than Floor: what remains is for others, and for [Hold.Extend].
	// 0, and 1, mean all of it.
	Share int64

	KeyRequestsPerDay int64        // 0: no limit
	KeyUSDPerDay      money.Amount // 0: no limit
	Quotas            []Quota      // at most 8
}

// maxQuotas bounds Reservation.Quotas.
const maxQuotas = 8

// Quota is a bucket of a plan: so many requests of a class per day.
type Quota struct {
	Class  string
	PerDay int64 // 0: none are allowed; negative: counted, not limited
}

func (r *Reservation) check() error {
	switch {
	case r.Account == 0:
		return fmt.Errorf("reservation: account: missing")
	case r.Key == 0:
		return fmt.Errorf("reservation: key: missing")
	case r.Amount < 0:
		return fmt.Errorf("reservation: amount: %s is negative", r.Amount)
	case r.Floor < 0 || r.Floor > r.Amount:
		return fmt.Errorf("reservation: floor: %s is not between 0 and %s", r.Floor, r.Amount)
	case r.Share < 0:
		return fmt.Errorf("reservation: share: %d is negative", r.Share)
	case r.KeyRequestsPerDay < 0:
		return fmt.Errorf("reservation: key requests per day: %d is negative", r.KeyRequestsPerDay)
	case r.KeyUSDPerDay < 0:
		return fmt.Errorf("reservation: key dollars per day: %s is negative", r.KeyUSDPerDay)
	case len(r.Quotas) > maxQuotas:
		return fmt.Errorf("reservation: quotas: %d are more than %d", len(r.Quotas), maxQuotas)
	}
	return nil
}

// Bucket names a kind of bucket.
type Bucket string

// The kinds of buckets.
const (
	BucketBalance     Bucket = "balance"
	BucketKeyUSD      Bucket = "key_usd_per_day"
	BucketKeyRequests Bucket = "key_requests_per_day"
	BucketPlan        Bucket = "plan_requests_per_day"
)

// ShortBucket is a bucket that did not have what was needed. Its numbers are
// nano-dollars for the balance and the key's dollars, and requests otherwise.
// With Need free the same reservation passes; with one less it does not.
type ShortBucket struct {
	Bucket                  Bucket
	Class                   string // of a plan
	Limit, Used, Held, Need int64
	ResetsAt                time.Time // end of its day; zero for the balance
}

// Free returns what was free; it may be negative.
func (b ShortBucket) Free() int64 { return b.Limit - b.Used - b.Held }

// HeldOnly reports that only what others hold stands in the way: the need would
// fit if they spent nothing.
func (b ShortBucket) HeldOnly() bool { return b.Need <= b.Limit-b.Used }

// Short reports every bucket that was too short for a reservation.
type Short struct{ Buckets []ShortBucket }

// Error names the buckets.
func (s *Short) Error() string {
	var b strings.Builder
	b.WriteString("short of")
	for i, k := range s.Buckets {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, " %s (needs %d, has %d)", k.Bucket, k.Need, k.Free())
	}
	return b.String()
}

// Find returns the short bucket of that kind.
func (s *Short) Find(kind Bucket) (ShortBucket, bool) {
	for _, b := range s.Buckets {
		if b.Bucket == kind {
			return b, true
		}
	}
	return ShortBucket{}, false
}

// purse is one balance of an account.
type purse struct {
	credit, used money.Amount // committed
	held         money.Amount
	incoming     money.Amount // credits on their way to the journal
	grants       []grant      // with an expiry and something left, soonest first
}

func (p *purse) posted() money.Amount { return p.credit - p.used }
func (p *purse) free() money.Amount   { return p.credit - p.used - p.held }

// use is what was used of one day, by a key or in a plan's class.
type use struct {
	requests, requestsHeld int64
	spent, spentHeld       money.Amount
}

// account is everything the ledger knows of one account.
type account struct {
	id     int64
	purses [2]purse           // live, test
	days   map[CounterID]*use // nil until there is one
	today  Day                // newest day seen

	fold accountFold
}

func (a *account) purse(test bool) *purse {
	if test {
		return &a.purses[1]
	}
	return &a.purses[0]
}

func (a *account) use(id CounterID) *use {
	u := a.days[id]
	if u == nil {
		if a.days == nil {
			a.days = map[CounterID]*use{}
		}
		u = new(use)
		a.days[id] = u
	}
	return u
}

// enter moves the account to a new day, and forgets the days before yesterday
// that nobody holds anything of. Yesterday stays for requests that were admitted
// then and exchange their hold.
func (a *account) enter(today Day) {
	if today <= a.today {
		return
	}
	a.today = today
	for id, u := range a.days {
		if id.Day < today-1 && u.requestsHeld == 0 {
			delete(a.days, id)
		}
	}
}

func planScope(test bool) Scope {
	if test {
		return ScopePlanTest
	}
	return ScopePlan
}

// stake is what a hold has taken. Every stake holds one request of its key's
// day, which keeps that day from being forgotten.
type stake struct {
	purse  *purse
	key    *use
	plans  []*use
	amount money.Amount
	reach  money.Amount // what it would have taken of everything that was free
	keyUSD money.Amount // the key's limit; 0: none
}

// take takes what r needs on that day into c, or takes nothing and returns every
// bucket that is short.
func (a *account) take(r *Reservation, day Day, c *stake) *Short {
	p := a.purse(r.Test)
	key := a.use(CounterID{Day: day, Scope: ScopeKey, ID: r.Key})
	need, amount, reach := r.Amount, r.Amount, r.Amount
	if r.Floor != 0 && r.Floor < r.Amount {
		free := p.free()
		if r.KeyUSDPerDay > 0 {
			free = min(free, r.KeyUSDPerDay-key.spent-key.spentHeld)
		}
		need = r.Floor
		amount, reach = r.elastic(free), min(reach, free)
	}
	var plans []*use
	if len(r.Quotas) > 0 {
		plans = make([]*use, len(r.Quotas))
		for i, q := range r.Quotas {
			plans[i] = a.use(CounterID{Day: day, Scope: planScope(r.Test), ID: a.id, Class: q.Class})
		}
	}
	if !mutated(HoldUnchecked) {
		if s := shortage(r, need, 1, nil, p, key, plans); s != nil {
			s.of(day)
			return s
		}
	}
	*c = stake{purse: p, key: key, plans: plans, amount: max(amount, need), reach: max(reach, need), keyUSD: r.KeyUSDPerDay}
	p.held += c.amount
	key.requestsHeld++
	key.spentHeld += c.amount
	for _, u := range plans {
		u.requestsHeld++
	}
	return nil
}

// elastic is what an elastic hold takes of what is free.
func (r *Reservation) elastic(free money.Amount) money.Amount {
	amount := min(r.Amount, free)
	if r.Share > 1 {
		amount = min(amount, max(r.Floor, free/money.Amount(r.Share)))
	}
	return amount
}

// of says that the buckets are of that day.
func (s *Short) of(day Day) {
	for i := range s.Buckets {
		if s.Buckets[i].Bucket != BucketBalance {
			s.Buckets[i].ResetsAt = (day + 1).Start()
		}
	}
}

// short returns every bucket that has less than d needs, or nil.
func (a *account) short(d *demand, day Day) *Short {
	plans := make([]*use, len(d.Quotas))
	for i, q := range d.Quotas {
		plans[i] = a.use(CounterID{Day: day, Scope: planScope(d.Test), ID: a.id, Class: q.Class})
	}
	key := a.use(CounterID{Day: day, Scope: ScopeKey, ID: d.Key})
	s := shortage(&d.Reservation, d.Amount, d.requests, d.counts, a.purse(d.Test), key, plans)
	if s != nil {
		s.of(day)
	}
	return s
}

// shortage returns every bucket that has less than is needed, or nil. counts are
// the requests of each quota; nil: one of each.
func shortage(r *Reservation, need money.Amount, requests int64, counts []int64, p *purse, key *use, plans []*use) *Short {
	var s *Short
	add := func(b ShortBucket) {
		if b.Need <= b.Free() {
			return
		}
		if s == nil {
			s = new(Short)
		}
		s.Buckets = append(s.Buckets, b)
	}
	if need > 0 {
		if p.free() < need {
			add(ShortBucket{Bucket: BucketBalance, Limit: int64(p.credit), Used: int64(p.used), Held: int64(p.held), Need: int64(need)})
		}
		if r.KeyUSDPerDay > 0 {
			add(ShortBucket{Bucket: BucketKeyUSD, Limit: int64(r.KeyUSDPerDay), Used: int64(key.spent), Held: int64(key.spentHeld), Need: int64(need)})
		}
	}
	if r.KeyRequestsPerDay > 0 {
		add(ShortBucket{Bucket: BucketKeyRequests, Limit: r.KeyRequestsPerDay, Used: key.requests, Held: key.requestsHeld, Need: requests})
	}
	for i, u := range plans {
		if q := r.Quotas[i]; q.PerDay >= 0 {
			n := int64(1)
			if counts != nil {
				n = counts[i]
			}
			add(ShortBucket{Bucket: BucketPlan, Class: q.Class, Limit: q.PerDay, Used: u.requests, Held: u.requestsHeld, Need: n})
		}
	}
	return s
}

// free returns what else c could take right now, of every money bucket.
func (c *stake) free() money.Amount {
	free := c.purse.free()
	if c.keyUSD > 0 {
		free = min(free, c.keyUSD-c.key.spent-c.key.spentHeld)
	}
	return max(free, 0)
}

// charge returns how much of the actual cost can be charged: all of it if the
// stake and what is free cover it. The stake grows to it, so that nobody else
// takes the difference before it is durable.
func (c *stake) charge(actual money.Amount) money.Amount {
	if mutated(ChargeAboveFunds) {
		return actual
	}
	if actual <= c.amount {
		return actual
	}
	c.grow(min(actual-c.amount, c.free()))
	return c.amount
}

// grow takes that much more, which must be free.
func (c *stake) grow(more money.Amount) {
	c.amount += more
	c.purse.held += more
	c.key.spentHeld += more
}

// shrink returns what a charge that will not be has added.
func (c *stake) shrink(amount money.Amount) {
	more := c.amount - amount
	c.amount = amount
	c.purse.held -= more
	c.key.spentHeld -= more
}

// giveBack returns everything the stake holds.
func (c *stake) giveBack() {
	c.purse.held -= c.amount
	if c.key != nil {
		c.key.requestsHeld--
		c.key.spentHeld -= c.amount
	}
	for _, u := range c.plans {
		u.requestsHeld--
	}
}

// takeAgain takes back what giveBack returned a moment ago.
func (c *stake) takeAgain() {
	c.purse.held += c.amount
	c.key.requestsHeld++
	c.key.spentHeld += c.amount
	for _, u := range c.plans {
		u.requestsHeld++
	}
}

// post applies a durable entry.
func (a *account) post(e *Entry) {
	a.postBalance(e)
	for _, id := range e.counters() {
		a.use(id).add(e)
	}
}

// postBalance applies a durable entry to the balance it moves.
func (a *account) postBalance(e *Entry) {
	p := a.purse(e.Test)
	switch e.Kind {
	case KindUsage:
		p.used += e.Amount
		p.consume(e.Amount)
	case KindTopup, KindRefund, KindAdjust:
		p.credit += e.Amount
	case KindGrant:
		p.credit += e.Amount
		p.grant(e)
	case KindReduce:
		p.credit -= e.Amount
		p.consume(e.Amount)
	case KindExpire:
		p.credit -= e.Amount
		p.expire(e.Grant, e.Amount)
	case KindAbsorbed:
	}
}

// add counts a usage entry.
func (u *use) add(e *Entry) {
	u.requests++
	u.spent += e.Amount
}
