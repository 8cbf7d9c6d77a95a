package ledger_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// model is what the ledger promises, in the simplest words: one map per thing,
// no concurrency, no disk.
type model struct {
	t     *rapid.T
	h     *house
	dir   func() string
	purse map[pocket]*pocketState
	use   map[dayOf]*dayState
	holds []*modelHold
	paid  []*payment
	old   [][16]byte // requests of payments that only statements are kept of
	refs  map[string]ledger.Entry
	keys  map[ledger.IdemKey]modelAnswer
	jobs  [][]*modelHold
}

// modelAnswer is what an idempotency key stands for.
type modelAnswer struct {
	request [16]byte
	at      time.Time
}

type pocket struct {
	account int64
	test    bool
}

type pocketState struct {
	posted, held money.Amount
	grants       []modelGrant
}

type modelGrant struct {
	left money.Amount
	at   time.Time
	n    int
}

type dayOf struct {
	day  ledger.Day
	name string // of a key, or of a plan's class
}

type dayState struct {
	requests, requestsHeld int64
	spent, spentHeld       money.Amount
}

type modelHold struct {
	hold   *ledger.Hold
	r      ledger.Reservation
	amount money.Amount
	p      *pocketState
	key    *dayState
	plan   *dayState // may be nil

	durable bool
	state   ledger.DurableState
	charge  money.Amount
}

type payment struct {
	account int64
	request [16]byte
	left    money.Amount
	p       *pocketState
	hold    *ledger.Hold // nil: of an engine that is gone
	day     ledger.Day   // it was charged
}

func (m *model) pocket(account int64, test bool) *pocketState {
	k := pocket{account, test}
	if m.purse[k] == nil {
		m.purse[k] = new(pocketState)
	}
	return m.purse[k]
}

func (m *model) day(name string) *dayState {
	k := dayOf{ledger.DayOf(m.h.clock.now()), name}
	if m.use[k] == nil {
		m.use[k] = new(dayState)
	}
	return m.use[k]
}

func keyName(key int64) string { return string(rune('a' + key)) }

// spend takes n out of the grants that expire soonest.
func (p *pocketState) spend(n money.Amount) {
	for i := range p.grants {
		took := min(n, p.grants[i].left)
		p.grants[i].left -= took
		n -= took
	}
	p.grants = slices.DeleteFunc(p.grants, func(g modelGrant) bool { return g.left == 0 })
}

// expire takes back what is left of expired grants, but for what is held.
func (p *pocketState) expire(now time.Time) {
	for i := range p.grants {
		g := &p.grants[i]
		if g.at.After(now) {
			continue
		}
		n := max(0, min(g.left, p.posted-p.held))
		g.left -= n
		p.posted -= n
	}
	p.grants = slices.DeleteFunc(p.grants, func(g modelGrant) bool { return g.left == 0 })
}

// Account 1 has keys 1 (live) and 2 (test), account 2 has key 3.
func (m *model) drawReservation() ledger.Reservation {
	t := m.t
	key := rapid.Int64Range(1, 3).Draw(t, "key")
	r := ledger.Reservation{Account: 1, Key: key, Test: key == 2, Request: request()}
	if key == 3 {
		r.Account = 2
	}
	r.Amount = money.Amount(rapid.Int64Range(0, 100).Draw(t, "amount"))
	if r.Amount > 0 && rapid.Bool().Draw(t, "elastic") {
		r.Floor = money.Amount(rapid.Int64Range(1, int64(r.Amount)).Draw(t, "floor"))
		r.Share = rapid.Int64Range(0, 4).Draw(t, "share")
	}
	if rapid.Bool().Draw(t, "limited") {
		r.KeyRequestsPerDay = rapid.Int64Range(1, 5).Draw(t, "requests/day")
		r.KeyUSDPerDay = money.Amount(rapid.Int64Range(1, 300).Draw(t, "usd/day"))
	}
	if rapid.Bool().Draw(t, "planned") {
		r.Quotas = []ledger.Quota{{Class: "open", PerDay: rapid.Int64Range(-1, 5).Draw(t, "quota")}}
	}
	return r
}

// states returns the model's buckets of r.
func (m *model) states(r ledger.Reservation) *modelHold {
	h := &modelHold{r: r, p: m.pocket(r.Account, r.Test), key: m.day(keyName(r.Key))}
	if len(r.Quotas) > 0 {
		h.plan = m.day(planName(r.Account, r.Test))
	}
	return h
}

func planName(account int64, test bool) string {
	name := "plan of " + keyName(account)
	if test {
		name += ", test"
	}
	return name
}

// free is what is free of every money bucket of the hold; it may be negative.
func (h *modelHold) free() money.Amount {
	free := h.p.posted - h.p.held
	if h.r.KeyUSDPerDay > 0 {
		free = min(free, h.r.KeyUSDPerDay-h.key.spent-h.key.spentHeld)
	}
	return free
}

// expect returns the amount that a hold takes, and how far it reaches, or the
// buckets that are short.
func (h *modelHold) expect() (amount, reach money.Amount, short []ledger.Bucket) {
	r := h.r
	amount, need := r.Amount, r.Amount
	if r.Floor > 0 && r.Floor < r.Amount {
		need = r.Floor
		amount = min(amount, h.free())
	}
	reach = amount
	if need < r.Amount && r.Share > 1 && amount > r.Floor && amount > h.free()/money.Amount(r.Share) {
		amount = max(r.Floor, h.free()/money.Amount(r.Share))
	}
	if need > 0 && h.p.posted-h.p.held < need {
		short = append(short, ledger.BucketBalance)
	}
	if need > 0 && r.KeyUSDPerDay > 0 && r.KeyUSDPerDay-h.key.spent-h.key.spentHeld < need {
		short = append(short, ledger.BucketKeyUSD)
	}
	if r.KeyRequestsPerDay > 0 && r.KeyRequestsPerDay-h.key.requests-h.key.requestsHeld < 1 {
		short = append(short, ledger.BucketKeyRequests)
	}
	if h.plan != nil && r.Quotas[0].PerDay >= 0 && r.Quotas[0].PerDay-h.plan.requests-h.plan.requestsHeld < 1 {
		short = append(short, ledger.BucketPlan)
	}
	return amount, reach, short
}

func (h *modelHold) move(amount money.Amount, requests int64) {
	h.p.held += amount
	h.key.spentHeld += amount
	h.key.requestsHeld += requests
	if h.plan != nil {
		h.plan.requestsHeld += requests
	}
}

func (m *model) Hold(t *rapid.T) {
	m.t = t
	want := m.states(m.drawReservation())
	amount, reach, short := want.expect()
	got, err := m.h.Hold(want.r)
	m.compare(want, got, err, amount, reach, short)
}

// compare holds the outcome of a Hold or Exchange against what was expected.
func (m *model) compare(want *modelHold, got *ledger.Hold, err error, amount, reach money.Amount, short []ledger.Bucket) bool {
	if len(short) > 0 {
		var s *ledger.Short
		if !errors.As(err, &s) {
			m.t.Fatalf("Hold(%+v) = %v, want it to be short of %v", want.r, err, short)
		}
		var kinds []ledger.Bucket
		for _, b := range s.Buckets {
			kinds = append(kinds, b.Bucket)
		}
		if !slices.Equal(kinds, short) {
			m.t.Fatalf("Hold(%+v) is short of %v, want %v", want.r, kinds, short)
		}
		return false
	}
	if err != nil || got.Amount() != amount || got.Reach() != reach {
		m.t.Fatalf("Hold(%+v) = %+v, %v, want %d of %d", want.r, got, err, amount, reach)
	}
	want.hold, want.amount = got, amount
	want.move(amount, 1)
	m.holds = append(m.holds, want)
	return true
}

// pick takes a hold out of the open ones.
func (m *model) pick() *modelHold {
	if len(m.holds) == 0 {
		m.t.Skip("no open hold")
	}
	i := rapid.IntRange(0, len(m.holds)-1).Draw(m.t, "hold")
	h := m.holds[i]
	m.holds = slices.Delete(m.holds, i, i+1)
	return h
}

func (m *model) Settle(t *rapid.T) {
	m.t = t
	h := m.pick()
	actual := money.Amount(rapid.Int64Range(0, 150).Draw(t, "actual"))
	excess := money.Amount(rapid.Int64Range(0, int64(actual)).Draw(t, "excess"))
	charge := min(actual-excess, h.amount+max(0, h.free()))
	settlement := ledger.Settlement{Actual: actual, Excess: excess}
	if name := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "key"); name != "" {
		if settlement.Claim = m.claim(ledger.IdemKey{Account: h.r.Account, Test: h.r.Test, Key: name}, h.r.Request); settlement.Claim == nil {
			m.holds = append(m.holds, h)
			return
		}
		settlement.Render = func(s ledger.Settled) (*ledger.Stored, error) {
			return &ledger.Stored{Status: 200, Body: []byte(s.Balance.String()), Kept: true}, nil
		}
	}
	s, err := h.hold.Settle(background, settlement)
	if err != nil || s.Charge != charge || s.Absorbed != actual-charge {
		t.Fatalf("Settle(%d, of it %d in excess) = %+v, %v; want charge %d", actual, excess, s, err, charge)
	}
	h.move(-h.amount, -1)
	h.p.posted -= charge
	h.state, h.charge = ledger.DurablePosted, charge
	h.p.spend(charge)
	h.key.spent += charge
	h.key.requests++
	if h.plan != nil {
		h.plan.requests++
	}
	if s.Balance != h.p.posted {
		t.Fatalf("Settle(%d) = %+v, want balance %d", actual, s, h.p.posted)
	}
	p := &payment{h.r.Account, h.r.Request, charge, h.p, h.hold, ledger.DayOf(m.h.clock.now())}
	if h.durable {
		p.hold = nil // it cannot be revoked
	}
	m.paid = append(m.paid, p)
}

func (m *model) Void(t *rapid.T) {
	m.t = t
	h := m.pick()
	h.hold.Void(nil) // which a durable hold does not mind
	if h.durable {
		if err := h.hold.VoidDurably(background, nil, nil); err != nil {
			t.Fatal(err)
		}
		h.state = ledger.DurableVoided
	}
	h.move(-h.amount, -1)
	if _, err := h.hold.Settle(background, ledger.Settlement{}); !errors.Is(err, ledger.ErrEnded) {
		t.Fatalf("Settle after Void = %v", err)
	}
}

func (m *model) Exchange(t *rapid.T) {
	m.t = t
	old := m.pick()
	r := m.drawReservation()
	r.Account, r.Key, r.Test, r.Request = old.r.Account, old.r.Key, old.r.Test, old.r.Request
	if old.durable {
		if _, err := old.hold.Exchange(r); err == nil {
			t.Fatal("Exchange of a durable hold")
		}
		m.holds = append(m.holds, old)
		return
	}
	next := &modelHold{r: r, p: old.p, key: old.key}
	if len(r.Quotas) > 0 {
		if next.plan = old.plan; next.plan == nil {
			if old.hold.Day() != ledger.DayOf(m.h.clock.now()) {
				next.plan = m.use[dayOf{old.hold.Day(), planName(r.Account, r.Test)}]
			} else {
				next.plan = m.day(planName(r.Account, r.Test))
			}
			if next.plan == nil {
				next.plan = new(dayState)
				m.use[dayOf{old.hold.Day(), planName(r.Account, r.Test)}] = next.plan
			}
		}
	}
	old.move(-old.amount, -1)
	amount, reach, short := next.expect()
	got, err := old.hold.Exchange(r)
	if !m.compare(next, got, err, amount, reach, short) {
		old.move(old.amount, 1)
		m.holds = append(m.holds, old)
	}
}

func (m *model) Advance(t *rapid.T) {
	m.h.clock.advance(time.Duration(rapid.IntRange(1, 30).Draw(t, "hours")) * time.Hour)
}

// Reopen closes the house in order; Crash leaves it as it is, and goes on with
// what the disk would hold. Both lose the holds that are not durable.
func (m *model) Reopen(t *rapid.T) {
	m.t = t
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		t.Skip("too dear to do it often")
	}
	m.h.reopen()
	m.forget()
}

func (m *model) Crash(t *rapid.T) {
	m.t = t
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		t.Skip("too dear to do it often")
	}
	c := m.h.crashTo(m.dir())
	m.h.close()
	c.reopen()
	m.h = c
	m.forget()
}

// Check runs after every step. Verification passes the committer, which takes
// back what has expired on the way.
func (m *model) Check(t *rapid.T) {
	m.t = t
	m.h.verify()
	for k, p := range m.purse {
		p.expire(m.h.clock.now())
		b := m.h.Balance(k.account)
		posted, held, free := b.Posted, b.Held, b.Available
		if k.test {
			posted, held, free = b.TestPosted, b.TestHeld, b.TestAvailable
		}
		if posted != p.posted || held != p.held || free != p.posted-p.held {
			t.Fatalf("%+v: posted %d, held %d, available %d; want %d and %d", k, posted, held, free, p.posted, p.held)
		}
	}
	for key := int64(1); key <= 3; key++ {
		want := m.day(keyName(key))
		got := m.h.KeyDay(key)
		if got.Requests != want.requests || got.RequestsHeld != want.requestsHeld || got.USD != want.spent || got.USDHeld != want.spentHeld {
			t.Fatalf("key %d: %+v, want %+v", key, got, want)
		}
	}
	m.checkJobs()
	if m.h.Idle() != (len(m.holds) == 0) {
		t.Fatalf("Idle = %t with %d holds", m.h.Idle(), len(m.holds))
	}
}

// The product against the model, on a real file that is closed, killed and
// opened again.
func TestTheLedgerDoesWhatTheModelSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var dirs []string
		dir := func() string {
			d, err := os.MkdirTemp("", "ledger-model-")
			if err != nil {
				t.Fatal(err)
			}
			dirs = append(dirs, d)
			return d
		}
		m := &model{t: rt, dir: dir, purse: map[pocket]*pocketState{}, use: map[dayOf]*dayState{}, refs: map[string]ledger.Entry{}, keys: map[ledger.IdemKey]modelAnswer{}}
		m.h = build(t, dir())
		defer func() {
			m.h.close()
			for _, d := range dirs {
				_ = os.RemoveAll(d)
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"hold": m.Hold, "hold again": m.Hold, "hold durably": m.HoldDurably, "settle": m.Settle, "void": m.Void, "exchange": m.Exchange, "extend": m.Extend,
			"credit": m.Credit, "refund": m.Refund, "revoke": m.Revoke, "fact": m.Fact, "advance": m.Advance, "retain": m.Retain,
			"reopen": m.Reopen, "crash": m.Crash, "": m.Check,
		})
	})
}
