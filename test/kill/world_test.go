package kill

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/test/harness"
)

// What the accounts begin with, in nano-dollars.
const (
	richMoney  = 10_000_000_000_000
	tightMoney = 5_000_000 // some fifteen requests at their worst
)

// Limits of the keys that have limits.
const (
	countedPerDay = 25        // requests
	cappedPerDay  = 4_000_003 // nano-dollars
)

// world is one database and everybody who spends from it, over many lives of
// the process.
type world struct {
	up   *upstream
	rng  *rand.Rand
	bulk int          // percent of the jobs that are small and quick
	next atomic.Int64 // numbers of jobs and credits
	book *book

	accounts []*payer
	rich     []*key
	tight    *key
	counted  *key // so many requests a day; a new one for each life
	capped   *key // so many dollars a day; a new one for each life
	limited  *payer

	ahead   time.Duration // of the gateway's clock, which tests may put forward
	unsure  []*credit     // asked for and not acknowledged
	unpaid  []string      // requests whose refund was asked for and not acknowledged
	credits []*credit     // acknowledged, not yet seen in the book
	closed  int64         // entries up to this one belong to shifts that were closed
}

// settle makes the accounts and their keys.
func (w *world) settle(t testing.TB, g *harness.Gateway) {
	t.Helper()
	for i := range 3 {
		a := w.newAccount(t, g, fmt.Sprintf("rich %d", i), richMoney)
		w.rich = append(w.rich, w.newKey(t, g, a, 0, 0))
	}
	w.tight = w.newKey(t, g, w.newAccount(t, g, "tight", tightMoney), 0, 0)
	w.limited = w.newAccount(t, g, "limited", richMoney)
}

func (w *world) newAccount(t testing.TB, g *harness.Gateway, name string, money int64) *payer {
	t.Helper()
	made := g.NewAccount(t, name, "0")
	id, err := account.ParseID(made.ID)
	if err != nil {
		t.Fatal(err)
	}
	a := &payer{id: made.ID, num: int64(id), name: name}
	w.accounts = append(w.accounts, a)
	var e entryAnswer
	g.MustAdmin(t, "POST", "/admin/v1/accounts/"+a.id+"/credits", map[string]any{"amount_usd": usd(money), "kind": "topup"}, &e)
	w.credits = append(w.credits, &credit{account: a, kind: "topup", amount: money, entry: e.Entry})
	return a
}

// newKey makes a key with limits of the day; 0: none.
func (w *world) newKey(t testing.TB, g *harness.Gateway, a *payer, requests, nano int64) *key {
	t.Helper()
	more := map[string]any{}
	if requests > 0 || nano > 0 {
		limits := map[string]any{}
		if requests > 0 {
			limits["requests_per_day"] = requests
		}
		if nano > 0 {
			limits["usd_per_day"] = usd(nano)
		}
		more["limits"] = limits
	}
	k := w.newKeyFor(t, g, a, more)
	k.requestsPerDay, k.usdPerDay = requests, nano
	return k
}

// newKeyFor makes a key; more holds members beside its name.
func (w *world) newKeyFor(t testing.TB, g *harness.Gateway, a *payer, more map[string]any) *key {
	t.Helper()
	made := g.NewKey(t, a.id, more)
	num, err := account.ParseKeyID(made.ID)
	if err != nil {
		t.Fatal(err)
	}
	k := &key{account: a, id: made.ID, secret: made.Key, num: int64(num)}
	w.book.keys[k.num] = k
	return k
}

// renew makes the keys with limits for a new life of the process.
func (w *world) renew(t testing.TB, g *harness.Gateway) {
	t.Helper()
	w.counted = w.newKey(t, g, w.limited, countedPerDay, 0)
	w.capped = w.newKey(t, g, w.limited, 0, cappedPerDay)
}

// close compares a shift that has ended with the book, which has every entry
// of it. Credits that were not acknowledged are asked for again in the next.
func (w *world) close(s *shift, f *findings) {
	asked := make(map[requestID]bool, len(s.jobs))
	unread := 0
	for _, j := range s.jobs {
		w.up.jobs.Delete(j.n)
		fate, id, charged := w.closeJob(j, f)
		asked[id] = true
		if fate == broken && charged {
			unread++
		}
	}
	if unread > inFlight {
		f.add(wrong, "%d requests were charged and not delivered, with at most %d in flight", unread, inFlight)
	}
	for id, c := range w.book.charges {
		if c.line.seq > w.closed && !asked[id] {
			f.add(wrong, "entry %d charges request %x, which nobody made", c.line.seq, id)
		}
	}
	w.closed = w.book.last
	f.undelivered += unread
	f.mostUndelivered = max(f.mostUndelivered, unread)
	for _, odd := range s.odd {
		f.add(wrong, "%s", odd)
	}
	w.unsure = nil
	for _, c := range s.credits {
		if c.entry == 0 {
			w.unsure = append(w.unsure, c)
		}
	}
	w.acknowledged(s, f)
}

// closeJob compares what the client saw of a job with what it was charged.
func (w *world) closeJob(j *job, f *findings) (fate, requestID, bool) {
	saw, text := j.outcome()
	if text == "" {
		// It never came to the upstream, nor was it answered.
		return saw, requestID{}, false
	}
	id, err := obs.ParseRequestID(text)
	if err != nil {
		f.add(wrong, "%v: the request id is malformed", j)
		return saw, requestID{}, false
	}
	if j.attempts > attempts {
		f.add(wrong, "%v: it was tried %d times, and %d are allowed", j, j.attempts, attempts)
	}
	c := w.book.charges[requestID(id)]
	f.bill.add(j, saw, c, f)
	switch saw {
	case acked:
		w.closeAcked(j, c, f)
	case refused:
		f.refusals++
		if c != nil {
			f.add(wrong, "%v: it is charged %s", j, usd(c.line.amount))
		}
	case left:
		f.gone++
		if c != nil {
			w.closeLeft(j, c, f)
		}
	case broken:
		f.cut++
		if c != nil {
			w.closeBroken(j, c, f)
		}
	default:
		f.add(wrong, "%v: it never ended", j)
	}
	return saw, requestID(id), c != nil
}

// closeAcked is about a job whose final bytes came.
func (w *world) closeAcked(j *job, c *charge, f *findings) {
	f.acks++
	if f.surfaces == nil {
		f.surfaces = map[string]int{}
	}
	f.surfaces[j.surface]++
	if j.wasCut() {
		w.closeCut(j, c, f)
		return
	}
	price := j.price()
	if price == 0 {
		if c != nil {
			f.add(wrong, "%v: it is free, and charged %s", j, usd(c.line.amount))
		}
		return
	}
	if c == nil {
		f.add(lost, "%v: its final bytes came, and it is not charged", j)
		return
	}
	w.exact(j, c, f)
	if told, err := nano(j.toldUSD); j.toldUSD != "" && (err != nil || told != c.line.amount) {
		f.add(wrong, "%v: X-Charge-USD was %s, charged is %s", j, j.toldUSD, usd(c.line.amount))
	}
}

// closeCut is about a job that was ended where the money was: it is charged what
// was produced, which is never more than the hold.
func (w *world) closeCut(j *job, c *charge, f *findings) {
	switch {
	case !j.grows():
		f.add(wrong, "%v: it was cut off, and had a limit", j)
	case c == nil:
		f.add(lost, "%v: it was cut off, and is not charged", j)
	case c.line.amount <= 0 || c.absorbed != 0 || c.line.receipt != nil && c.line.amount > c.line.receipt.hold:
		f.add(wrong, "%v: it was cut off and is charged %s, and %s was absorbed", j, usd(c.line.amount), usd(c.absorbed))
	}
}

// closeLeft is about a job whose client went away and was charged: exactly, if
// the answer came to its end all the same, or else by an estimate of what was
// produced, which is never more than the hold.
func (w *world) closeLeft(j *job, c *charge, f *findings) {
	if !j.reached {
		f.add(wrong, "%v: it is charged, and its client left before it was at the provider", j)
	}
	r := c.line.receipt
	if r == nil {
		return // the book has said so
	}
	if r.outcome == "ok" && c.line.amount+c.absorbed == j.price() {
		w.exact(j, c, f)
		return
	}
	if r.outcome == "ok" && j.grows() { // it was ended where the money was, and may have gone out whole before that
		w.closeCut(j, c, f)
		return
	}
	if c.line.amount > r.hold || c.absorbed != 0 && j.ending != overruns {
		f.add(wrong, "%v: it is charged %s of a hold of %s, and %s was absorbed", j, usd(c.line.amount), usd(r.hold), usd(c.absorbed))
	}
	if r.delivery == deliveryComplete {
		f.add(wrong, "%v: its receipt says that all was delivered", j)
	}
}

// closeBroken is about a job that was charged, and whose final bytes did not
// come: the one gap, and the receipt must say so.
func (w *world) closeBroken(j *job, c *charge, f *findings) {
	if j.grows() && c.line.amount+c.absorbed != j.price() {
		w.closeCut(j, c, f) // its client has not heard of it
	} else {
		w.exact(j, c, f)
	}
	if !j.reached {
		f.add(wrong, "%v: it is charged, and never was at the provider", j)
	}
	if r := c.line.receipt; r != nil && r.delivery != deliveryUnknown && r.delivery != deliveryPartial {
		f.add(wrong, "%v: its receipt says delivery %d", j, r.delivery)
	}
}

// exact holds a charge against the exact price. What is above the client's limit
// is absorbed, and what is above the hold may be, where there was no money. Where
// the client set no limit, the one that the gateway set in its place is not known.
func (w *world) exact(j *job, c *charge, f *findings) {
	price := j.price()
	if c.line.amount+c.absorbed != price {
		f.add(wrong, "%v: it cost %s, is charged %s, and %s was absorbed", j, usd(price), usd(c.line.amount), usd(c.absorbed))
	}
	if c.absorbed > 0 {
		f.absorbed++
		if r := c.line.receipt; r != nil && (j.ending != overruns || c.line.amount < min(r.hold, j.owed()) && j.limited()) {
			f.add(wrong, "%v: %s was absorbed of a charge of %s with a hold of %s", j, usd(c.absorbed), usd(c.line.amount), usd(r.hold))
		}
	}
	if c.line.amount > j.owed() {
		f.add(wrong, "%v: it is charged %s, and allowed %s", j, usd(c.line.amount), usd(j.owed()))
	}
	if c.line.account != j.key.account.num || c.line.key != j.key.num {
		f.add(wrong, "%v: somebody else is charged", j)
	}
}

// acknowledged looks for every credit and every refund that was acknowledged,
// and makes sure that no credit happened twice.
func (w *world) acknowledged(s *shift, f *findings) {
	s.credits = append(s.credits, w.credits...)
	w.credits = nil
	entries := map[[2]int64]int64{} // by account and amount
	for seq, l := range w.book.credits {
		at := [2]int64{l.account, l.amount}
		if other := entries[at]; other != 0 {
			f.add(double, "entries %d and %d are the same credit of %s", other, seq, usd(l.amount))
		}
		entries[at] = seq
	}
	for _, c := range s.credits {
		if c.entry == 0 {
			continue
		}
		f.credits++
		kind := int64(kindTopup)
		if c.kind == "grant" {
			kind = kindGrant
		}
		if l, ok := w.book.credits[c.entry]; !ok || l.amount != c.amount || l.account != c.account.num || l.kind != kind {
			f.add(lost, "a %s of %s was acknowledged as entry %d, which is %+v", c.kind, usd(c.amount), c.entry, l)
		}
	}
	w.unpaid = s.unpaid
	for id := range s.repaid {
		if c := w.book.charges[id]; c == nil || c.refunded != c.line.amount {
			f.add(lost, "all that was left of the charge of request %x was given back, and of its entry: %+v", id, c)
		}
	}
	for _, r := range s.refunds {
		f.refunds++
		id, err := obs.ParseRequestID(r.request)
		if l, ok := w.book.refunds[r.entry]; err != nil || !ok || l.amount != r.amount || l.request != requestID(id) {
			f.add(lost, "a refund of %s was acknowledged as entry %d, which is %+v", usd(r.amount), r.entry, l)
		}
	}
}
