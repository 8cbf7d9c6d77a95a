package ledger_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestTheSameReferenceIsOneCredit(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar, Reference: "pay_1", Note: "first"}
	first, err := h.Credit(background, c)
	if err != nil {
		t.Fatal(err)
	}
	if first.Kind != ledger.KindTopup || first.Amount != money.Dollar || first.Reference != "pay_1" || first.Note != "first" || first.Seq == 0 {
		t.Errorf("Credit = %+v", first)
	}
	again := c
	again.Note, again.Actor = "second", ledger.ActorOperator
	h.reopen()
	second, err := h.Credit(background, again)
	if err != nil || second.Seq != first.Seq || second.Amount != money.Dollar || second.Note != "first" || second.Actor != ledger.ActorSystem {
		t.Errorf("the same reference = %+v, %v; want entry %d", second, err, first.Seq)
	}
	other := c
	other.Account = 2
	third, err := h.Credit(background, other)
	if err != nil || third.Seq == first.Seq {
		t.Errorf("the same reference of another account = %+v, %v; want its own entry", third, err)
	}
	if b := h.Balance(1); b.Posted != money.Dollar {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestACreditUnderATakenReferenceIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar, Reference: "pay_1"}
	first, err := h.Credit(background, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ledger.Credit){
		"amount":   func(c *ledger.Credit) { c.Amount++ },
		"kind":     func(c *ledger.Credit) { c.Kind = ledger.KindGrant },
		"sign":     func(c *ledger.Credit) { c.Kind, c.Amount = ledger.KindAdjust, -c.Amount },
		"balance":  func(c *ledger.Credit) { c.Test = true },
		"anything": func(c *ledger.Credit) { c.Kind, c.Amount, c.Test = ledger.KindGrant, 1, true },
	} {
		changed := c
		change(&changed)
		if e, err := h.Credit(background, changed); !errors.Is(err, ledger.ErrReferenceTaken) || e.Seq != first.Seq {
			t.Errorf("the same reference with another %s = %+v, %v", name, e, err)
		}
	}
	if b := h.Balance(1); b.Posted != money.Dollar || b.TestPosted != 0 {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestManyWithTheSameReferenceAtOnceAreOneCredit(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_ = h.fp.Arm(failpoint.DiskFull, 1) // so that they all meet
	var seq atomic.Int64
	together(32, func(int) {
		e, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar, Reference: "pay_1"})
		if errors.Is(err, ledger.ErrUnavailable) {
			return // came while the disk was full
		}
		if err != nil {
			t.Error(err)
			return
		}
		if old := seq.Swap(e.Seq); old != 0 && old != e.Seq {
			t.Errorf("entries %d and %d for one reference", old, e.Seq)
		}
	})
	if b := h.Balance(1); b.Posted != money.Dollar {
		t.Errorf("Balance = %+v, want one credit", b)
	}
	h.verify()
}

func TestOnlyAnAdjustMayOverdraw(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	e, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindAdjust, Amount: -3 * money.Dollar, Note: "chargeback"})
	if err != nil || e.Kind != ledger.KindReduce || e.Amount != 3*money.Dollar || e.Effect() != -3*money.Dollar {
		t.Fatalf("Credit = %+v, %v", e, err)
	}
	if b := h.Balance(1); b.Posted != -2*money.Dollar || b.Available != -2*money.Dollar {
		t.Errorf("Balance = %+v", b)
	}
	if b := h.short(reserve(1), ledger.BucketBalance); b.Free() != int64(-2*money.Dollar) || b.HeldOnly() {
		t.Errorf("short bucket = %+v", b)
	}
	// What costs nothing is not refused.
	h.charge(reserve(0), 0)
	// And what then costs something after all is absorbed.
	if s := h.charge(reserve(0), 5); s.Charge != 0 || s.Absorbed != 5 {
		t.Errorf("Settle = %+v", s)
	}
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindAdjust, Amount: 2 * money.Dollar}); err != nil {
		t.Fatal(err)
	}
	if b := h.Balance(1); b.Posted != 0 {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestCreditsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	later := h.clock.now().Add(time.Hour)
	for field, c := range map[string]ledger.Credit{
		"account":    {Kind: ledger.KindTopup, Amount: 1},
		"kind":       {Account: 1, Kind: "gift", Amount: 1},
		"kind:":      {Account: 1, Kind: ledger.KindUsage, Amount: 1},
		"amount":     {Account: 1, Kind: ledger.KindTopup},
		"amount:":    {Account: 1, Kind: ledger.KindGrant, Amount: -1},
		"amount: an": {Account: 1, Kind: ledger.KindAdjust},
		"beyond":     {Account: 1, Kind: ledger.KindTopup, Amount: math.MaxInt64},
		"expires_at": {Account: 1, Kind: ledger.KindTopup, Amount: 1, ExpiresAt: later},
		"future":     {Account: 1, Kind: ledger.KindGrant, Amount: 1, ExpiresAt: h.clock.now()},
		"reference":  {Account: 1, Kind: ledger.KindTopup, Amount: 1, Reference: strings.Repeat("x", 256)},
		"note":       {Account: 1, Kind: ledger.KindTopup, Amount: 1, Note: strings.Repeat("x", 1025)},
	} {
		if e, err := h.Credit(background, c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Credit(%+v) = %+v, %v; want an error naming %s", c, e, err, field)
		}
	}
	for range 4 {
		h.topup(1, 1_000_000_000*money.Dollar)
	}
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 1_000_000_000 * money.Dollar}); err == nil {
		t.Error("a fifth billion: want an error")
	}
	h.verify()
}

// grantTo gives account 1 a grant that expires after d.
func (h *house) grantTo(amount money.Amount, d time.Duration) ledger.Entry {
	h.t.Helper()
	e, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindGrant, Amount: amount, ExpiresAt: h.clock.now().Add(d)})
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

func TestWhatIsLeftOfAGrantExpires(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.grantTo(50*money.Cent, 2*time.Hour)
	soon := h.grantTo(30*money.Cent, time.Hour)
	h.charge(reserve(20*money.Cent), 20*money.Cent) // out of the one that expires soonest
	h.verify()
	h.clock.advance(time.Hour)
	eventually(t, "the first grant expires", func() bool { return h.Balance(1).Posted == 150*money.Cent })
	e, err := h.Entry(background, h.Stats().LastSeq)
	if err != nil || e.Kind != ledger.KindExpire || e.Grant != soon.Seq || e.Amount != 10*money.Cent {
		t.Errorf("Entry = %+v, %v", e, err)
	}
	h.charge(reserve(80*money.Cent), 80*money.Cent) // the second grant and 30 cents more
	h.reopen()
	h.clock.advance(2 * time.Hour)
	h.charge(reserve(0), 0) // a batch in which nothing is left to expire
	if b := h.Balance(1); b.Posted != 70*money.Cent {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestAGrantExpiresAfterARestart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.grantTo(30*money.Cent, time.Hour)
	h.reopen()
	h.verify()
	h.clock.advance(2 * time.Hour)
	eventually(t, "the grant expires", func() bool { return h.Balance(1).Posted == 0 })
	h.verify()
}

// A request that was admitted before a grant expired may still spend it.
func TestAnExpiryLeavesWhatIsHeld(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.grantTo(money.Dollar, time.Hour)
	spends := h.hold(reserve(30 * money.Cent))
	voids := h.hold(reserve(20 * money.Cent))
	h.clock.advance(time.Hour)
	eventually(t, "what is free expires", func() bool { return h.Balance(1).Posted == 50*money.Cent })
	if b := h.Balance(1); b.Available != 0 {
		t.Errorf("Balance = %+v", b)
	}
	if _, err := spends.Settle(background, ledger.Settlement{Actual: 30 * money.Cent}); err != nil {
		t.Fatal(err)
	}
	voids.Void(nil)
	eventually(t, "the rest expires", func() bool { return h.Balance(1).Posted == 0 })
	if !h.Idle() {
		t.Error("something is held")
	}
	h.verify()
}

// A debt is paid from the next grant, so less of it is left to expire.
func TestAGrantPaysADebtFirst(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindAdjust, Amount: -30 * money.Cent}); err != nil {
		t.Fatal(err)
	}
	h.grantTo(money.Dollar, time.Hour)
	h.topup(1, 10*money.Cent)
	h.clock.advance(time.Hour)
	eventually(t, "70 cents expire", func() bool { return h.Balance(1).Posted == 10*money.Cent })
	h.verify()
}

func TestSeveralGrantsExpireTogether(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.grantTo(17*money.Cent, 2*time.Hour)
	h.grantTo(money.Dollar, time.Hour)
	h.clock.advance(3 * time.Hour)
	eventually(t, "both expire", func() bool { return h.Balance(1).Posted == 0 })
	h.topup(1, money.Cent)
	h.verify()
	h.charge(reserve(money.Cent), money.Cent)
	h.verify()
}

// givenUp is a journal that looks for references until whoever asks gives up.
type givenUp struct {
	ledger.Journal
	asked chan struct{}
	once  sync.Once
}

func (j *givenUp) ReadReference(ctx context.Context, account int64, reference string) (*ledger.Entry, error) {
	first := false
	j.once.Do(func() { first = true })
	if !first {
		return j.Journal.ReadReference(ctx, account, reference)
	}
	close(j.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

// watched is a context that tells when somebody first waits for its end.
type watched struct {
	context.Context
	waits chan struct{}
	once  sync.Once
}

func (w *watched) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}

// A caller who gives up and asks again must not be told that it has given up.
func TestACreditIsNotHeldUpByOneThatWasGivenUp(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if err := h.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	j := &givenUp{Journal: h.db.Journal(), asked: make(chan struct{})}
	e, err := ledger.Open(background, j, ledger.Options{Now: h.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	h.Engine = e
	c := ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar, Reference: "r"}
	ctx, cancel := context.WithCancel(background)
	patient := &watched{Context: background, waits: make(chan struct{})}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := h.Credit(ctx, c)
		first <- err
	}()
	<-j.asked
	go func() {
		_, err := h.Credit(patient, c)
		second <- err
	}()
	<-patient.waits
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	if err := <-second; err != nil || h.Balance(1).Posted != money.Dollar {
		t.Errorf("the second: %v, %+v", err, h.Balance(1))
	}
}
