package ledger_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// both is the journal in memory beside the one on disk. Whatever the engine asks
// of one it asks of the other, and they must not differ: what the simulator
// shows with the one then holds for the other.
type both struct {
	ledger.Journal
	mem     *ledger.MemoryJournal
	t       *testing.T
	commits int
}

// same compares what the two have returned.
func (b *both) same(what string, x, y any, errX, errY error) {
	b.t.Helper()
	if fmt.Sprintf("%+v", x) != fmt.Sprintf("%+v", y) || (errX == nil) != (errY == nil) {
		b.t.Errorf("%s: the disk has %+v, %v; memory has %+v, %v", what, x, errX, y, errY)
	}
}

func (b *both) Start(ctx context.Context) (ledger.Mark, error) {
	x, errX := b.Journal.Start(ctx)
	y, errY := b.mem.Start(ctx)
	b.same("start", x, y, errX, errY)
	return x, errX
}

func (b *both) ReadReceipt(ctx context.Context, id [16]byte) (*ledger.ReceiptRow, error) {
	x, errX := b.Journal.ReadReceipt(ctx, id)
	y, errY := b.mem.ReadReceipt(ctx, id)
	if y != nil && y.Delivery == "" {
		y.Delivery = ledger.DeliveryUnknown
	}
	b.same("receipt", deref(x), deref(y), errX, errY)
	return x, errX
}

func (b *both) ReadReference(ctx context.Context, account int64, ref string) (*ledger.Entry, error) {
	x, errX := b.Journal.ReadReference(ctx, account, ref)
	y, errY := b.mem.ReadReference(ctx, account, ref)
	b.same("reference", deref(x), deref(y), errX, errY)
	return x, errX
}

func (b *both) ReadRefund(ctx context.Context, request [16]byte, ref string) (*ledger.Entry, error) {
	x, errX := b.Journal.ReadRefund(ctx, request, ref)
	y, errY := b.mem.ReadRefund(ctx, request, ref)
	b.same("refund", deref(x), deref(y), errX, errY)
	return x, errX
}

func (b *both) ReadIdem(ctx context.Context, k ledger.IdemKey) (*ledger.IdemRow, error) {
	x, errX := b.Journal.ReadIdem(ctx, k)
	y, errY := b.mem.ReadIdem(ctx, k)
	b.same("answer", deref(x), deref(y), errX, errY)
	return x, errX
}

func (b *both) ReadHolds(ctx context.Context, group [16]byte) ([]ledger.HoldRow, error) {
	x, errX := b.Journal.ReadHolds(ctx, group)
	y, errY := b.mem.ReadHolds(ctx, group)
	b.same("holds", x, y, errX, errY)
	return x, errX
}

func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func (b *both) Begin() (ledger.Tx, error) {
	x, errX := b.Journal.Begin()
	y, errY := b.mem.Begin()
	if errX != nil || errY != nil {
		b.same("begin", nil, nil, errX, errY)
		return nil, errX
	}
	return &bothTx{x, y, b}, nil
}

type bothTx struct {
	x, y ledger.Tx
	b    *both
}

func (t *bothTx) Insert(batch *ledger.Batch) error {
	errX, errY := t.x.Insert(batch), t.y.Insert(batch)
	t.b.same("insert", nil, nil, errX, errY)
	return errX
}

func (t *bothTx) Purge(by time.Time, limit int) (time.Time, error) {
	x, errX := t.x.Purge(by, limit)
	y, errY := t.y.Purge(by, limit)
	t.b.same("purge", x, y, errX, errY)
	return x, errX
}

func (t *bothTx) Fold(f *ledger.Fold) error {
	errX, errY := t.x.Fold(f), t.y.Fold(f)
	t.b.same("fold", nil, nil, errX, errY)
	return errX
}

func (t *bothTx) Summarise(p *ledger.Pruning) error {
	errX, errY := t.x.Summarise(p), t.y.Summarise(p)
	t.b.same("summarise", nil, nil, errX, errY)
	return errX
}

func (t *bothTx) Prune(p *ledger.Pruning) error {
	errX, errY := t.x.Prune(p), t.y.Prune(p)
	t.b.same("prune", nil, nil, errX, errY)
	return errX
}

func (t *bothTx) Rollback() error {
	errX, errY := t.x.Rollback(), t.y.Rollback()
	t.b.same("rollback", nil, nil, errX, errY)
	return errX
}

func (t *bothTx) Commit() error {
	errX, errY := t.x.Commit(), t.y.Commit()
	t.b.same("commit", nil, nil, errX, errY)
	if t.b.commits++; t.b.commits%10 == 0 {
		t.b.compare()
	}
	return errX
}

// compare holds all that one has against all that the other has.
func (b *both) compare() {
	if x, y := b.dump(b.Journal), b.dump(b.mem); x != y {
		b.t.Errorf("after %d commits the disk has\n%s\nmemory has\n%s", b.commits, x, y)
	}
}

// dump writes down everything that a journal holds, in some order.
func (b *both) dump(j ledger.Journal) string {
	ctx := context.Background()
	snap, err := j.Snapshot(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	defer snap.Close()
	var lines []string
	errs := []error{
		snap.Balances(ctx, 0, math.MaxInt64, func(r ledger.BalanceRow) error {
			r.Grants, r.HasGrants = nil, false // they are rows of their own
			lines = append(lines, fmt.Sprintf("balance %+v", r))
			return nil
		}),
		snap.Grants(ctx, func(r ledger.GrantRow) error { lines = append(lines, fmt.Sprintf("grant %+v", r)); return nil }),
		snap.Counters(ctx, 0, func(r ledger.CounterRow) error { lines = append(lines, fmt.Sprintf("counter %+v", r)); return nil }),
		snap.Usage(ctx, 0, func(r ledger.UsageRow) error { lines = append(lines, fmt.Sprintf("usage %+v", r)); return nil }),
		snap.Entries(ctx, 0, func(r *ledger.Entry) error { lines = append(lines, fmt.Sprintf("entry %+v", *r)); return nil }),
		snap.Openings(ctx, func(r ledger.BalanceRow) error { lines = append(lines, fmt.Sprintf("opening %+v", r)); return nil }),
		snap.OpeningGrants(ctx, func(r ledger.GrantRow) error {
			lines = append(lines, fmt.Sprintf("opening grant %+v", r))
			return nil
		}),
		snap.Statements(ctx, func(r ledger.UsageRow) error { lines = append(lines, fmt.Sprintf("statement %+v", r)); return nil }),
		snap.Digests(ctx, func(r ledger.Digest) error { lines = append(lines, fmt.Sprintf("digest %+v", r)); return nil }),
		snap.Warned(ctx, func(r ledger.WarnedRow) error { lines = append(lines, fmt.Sprintf("warned %+v", r)); return nil }),
		snap.Rows(ctx, 3, 200, func(r *ledger.Entry, row []byte) error {
			lines = append(lines, fmt.Sprintf("row %d %x", r.Seq, row))
			return nil
		}),
		snap.OpenHolds(ctx, func(r ledger.HoldRow) error { lines = append(lines, fmt.Sprintf("hold %+v", r)); return nil }),
	}
	for account := int64(0); account <= 2; account++ {
		opening, err := snap.Opening(ctx, account)
		lines, errs = append(lines, fmt.Sprintf("opening of %d %+v", account, opening)), append(errs, err)
	}
	floor, err4 := snap.Floor(ctx)
	mark, err := snap.Mark(ctx)
	first, err2 := snap.Expiry(ctx)
	found, err3 := snap.Mismatches(ctx, 10)
	for _, err := range append(errs, err, err2, err3, err4) {
		if err != nil {
			b.t.Error(err)
		}
	}
	slices.Sort(lines)
	return fmt.Sprintf("%+v, %+v, %v, %q\n%s", mark, floor, first.UTC(), found, strings.Join(lines, "\n"))
}

// The journal in memory does what the one on disk does. In fake time the ledger
// is ready however busy the machine is.
func TestTheJournalInMemoryIsTheOneOnDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &both{mem: ledger.NewMemoryJournal(), t: t}
		h := &house{t: t, path: filepath.Join(t.TempDir(), "pontage.db"), clock: newClock()}
		h.front = func(j ledger.Journal) ledger.Journal {
			b.Journal = j
			return b
		}
		h.reopen()
		t.Cleanup(h.close)
		steps := 400
		if ledger.RaceEnabled {
			steps = 100
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		var paid []*ledger.Hold
		for n := range steps {
			if n%60 == 59 {
				paid = nil
				h.reopen()
			}
			paid = h.anything(rnd, n, paid)
			if n%50 == 49 { // what is not old yet will be the next time
				h.clock.advance(ledger.MinRetention / 2)
				h.topup(1, 1)
				time.Sleep(time.Minute) // the digester does the rest by itself
			}
		}
		if rep := h.verify(); rep.OldDigests == 0 {
			t.Error("nothing was replaced")
		}
		b.compare()
	})
}

// anything does one of the things there are to do. It returns what was paid for.
func (h *house) anything(rnd *rand.Rand, n int, paid []*ledger.Hold) []*ledger.Hold {
	account := 1 + rnd.Int64N(2)
	r := ledger.Reservation{Account: account, Key: 10 * account, Request: request(), Amount: money.Amount(rnd.IntN(40)), Quotas: []ledger.Quota{{Class: "c", PerDay: -1}}}
	r.Test = rnd.IntN(4) == 0
	switch rnd.IntN(10) {
	case 0:
		h.clock.advance(time.Duration(rnd.IntN(9)) * time.Hour)
	case 1, 2:
		h.anyCredit(rnd, account, n)
	case 3:
		h.anyJob(rnd, r)
	case 4:
		if len(paid) == 0 {
			break
		}
		p := paid[rnd.IntN(len(paid))]
		if rnd.IntN(2) == 0 {
			_ = p.Revoke(background)
		} else {
			_, _ = h.Refund(background, ledger.Refund{Request: p.Request(), Amount: money.Amount(rnd.IntN(10))})
		}
	default:
		if hold := h.anyCharge(rnd, r); hold != nil {
			paid = append(paid, hold)
		}
	}
	return paid
}

func (h *house) anyCredit(rnd *rand.Rand, account int64, n int) {
	c := ledger.Credit{Account: account, Kind: ledger.KindTopup, Amount: money.Amount(1 + rnd.IntN(200)), Test: rnd.IntN(4) == 0}
	switch rnd.IntN(4) {
	case 0:
		c.Kind, c.ExpiresAt = ledger.KindGrant, h.clock.now().Add(time.Duration(1+rnd.IntN(30))*time.Hour)
	case 1:
		c.Kind, c.Amount = ledger.KindAdjust, -c.Amount
	case 2:
		c = ledger.Credit{Account: account, Kind: ledger.KindTopup, Amount: money.Amount(1 + n/20), Reference: fmt.Sprint("r", n/20)}
	}
	if _, err := h.Credit(background, c); err != nil {
		h.t.Error(err)
	}
}

func (h *house) anyJob(rnd *rand.Rand, r ledger.Reservation) {
	other := r
	other.Request = request()
	_, err := h.HoldDurably(background, []ledger.Reservation{r, other}, ledger.DurableOptions{Group: r.Request})
	if err != nil {
		return // short
	}
	for _, hold := range h.OpenHolds() {
		switch rnd.IntN(3) {
		case 0:
			err = hold.VoidDurably(background, nil, []byte("nothing"))
		case 1:
			_, err = hold.Settle(background, ledger.Settlement{Actual: money.Amount(rnd.IntN(60)), Result: []byte("done")})
		}
		if err != nil {
			h.t.Error(err)
		}
	}
	if _, err := h.HoldsOf(background, r.Request); err != nil {
		h.t.Error(err)
	}
}

func (h *house) anyCharge(rnd *rand.Rand, r ledger.Reservation) *ledger.Hold {
	s := ledger.Settlement{Actual: money.Amount(rnd.IntN(60)), Alerts: ledger.Alerts{WarnBelow: 50}, Receipt: &ledger.Receipt{Model: "m", Usage: ledger.Tokens{Input: 3, Output: 4}}}
	if rnd.IntN(2) == 0 {
		c, _, err := h.Claim(background, ledger.IdemKey{Account: r.Account, Test: r.Test, Key: fmt.Sprint("k", rnd.IntN(4))}, [32]byte{}, 0)
		if err != nil {
			h.t.Error(err)
		}
		if c == nil {
			return nil
		}
		defer c.Release()
		s.Claim = c
	}
	hold, err := h.Hold(r)
	if err != nil {
		return nil // short
	}
	if rnd.IntN(4) == 0 {
		hold.Void(&ledger.Receipt{Model: "m", Outcome: "failed"})
		return nil
	}
	if _, err := hold.Settle(background, s); err != nil {
		h.t.Error(err)
	}
	h.Delivered(r.Request)
	return hold
}
