package ledger_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
	}
	if dir := os.Getenv(retainDir); dir != "" {
		retainChild(dir)
	}
	if ledger.RaceEnabled {
		// Each check opens files and passes the disk many times.
		if err := flag.Set("rapid.checks", "25"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// clock is a wall clock that a test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// house is an engine on a real file, which can be opened again.
type house struct {
	t     testing.TB
	path  string
	clock *clock
	fp    *failpoint.Set
	fatal atomic.Pointer[error]
	front func(ledger.Journal) ledger.Journal // nil: the engine has the real journal

	db *sqlite.DB
	*ledger.Engine
}

func setup(t testing.TB) *house {
	t.Helper()
	h := build(t, t.TempDir())
	t.Cleanup(h.close)
	return h
}

func build(t testing.TB, dir string) *house {
	t.Helper()
	h := &house{t: t, path: filepath.Join(dir, "pontage.db"), clock: newClock(), fp: failpoint.New()}
	h.reopen()
	return h
}

func (h *house) reopen() {
	h.t.Helper()
	h.close()
	if err := h.tryOpen(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) tryOpen() error {
	db, err := sqlite.Open(context.Background(), h.path)
	if err != nil {
		return err
	}
	j := db.Journal()
	if h.front != nil {
		j = h.front(j)
	}
	e, err := ledger.Open(context.Background(), j, ledger.Options{
		Now: h.clock.now, Failpoints: h.fp, Retention: ledger.MinRetention, Fatal: func(err error) { h.fatal.Store(&err) },
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	h.db, h.Engine = db, e
	return nil
}

func (h *house) close() {
	if h.Engine == nil {
		return
	}
	if err := h.Engine.Close(); err != nil && h.fatal.Load() == nil {
		h.t.Errorf("close engine: %v", err)
	}
	if err := h.db.Close(); err != nil {
		h.t.Errorf("close database: %v", err)
	}
	h.Engine, h.db = nil, nil
}

// topup gives the account money.
func (h *house) topup(account int64, amount money.Amount) {
	h.t.Helper()
	if _, err := h.Credit(context.Background(), ledger.Credit{Account: account, Kind: ledger.KindTopup, Amount: amount}); err != nil {
		h.t.Fatal(err)
	}
}

// verify fails the test unless everything can be recomputed from the entries.
func (h *house) verify() ledger.Report {
	h.t.Helper()
	r, err := h.Verify(context.Background())
	if err != nil {
		h.t.Fatalf("verify: %v", err)
	}
	if !r.OK {
		h.t.Fatalf("verify: %d differences: %q", len(r.Differences), r.Differences)
	}
	return r
}

var requests atomic.Uint64

// request returns a new request id, in the order of its making.
func request() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(time.Now().UnixMilli())<<16|0x7000)
	binary.BigEndian.PutUint64(id[8:], requests.Add(1))
	return id
}

// reserve is a reservation of amount for key 1 of account 1.
func reserve(amount money.Amount) ledger.Reservation {
	return ledger.Reservation{Account: 1, Key: 1, Request: request(), Amount: amount}
}

// hold takes a hold, and fails the test if it cannot.
func (h *house) hold(r ledger.Reservation) *ledger.Hold {
	h.t.Helper()
	hold, err := h.Hold(r)
	if err != nil {
		h.t.Fatalf("Hold(%+v): %v", r, err)
	}
	return hold
}

// charge holds and settles, and fails the test if it cannot.
func (h *house) charge(r ledger.Reservation, actual money.Amount) ledger.Settled {
	h.t.Helper()
	hold := h.hold(r)
	defer hold.Abort()
	s, err := hold.Settle(context.Background(), ledger.Settlement{Actual: actual, Receipt: &ledger.Receipt{Model: "m", Outcome: "ok", Started: h.clock.now()}})
	if err != nil {
		h.t.Fatalf("Settle: %v", err)
	}
	return s
}

// charged gives account 1 a dollar, charges ten cents of it, and returns for what.
func (h *house) charged() ledger.Reservation {
	h.t.Helper()
	h.topup(1, money.Dollar)
	r := reserve(10 * money.Cent)
	h.charge(r, 10*money.Cent)
	return r
}

// settling settles the hold on a goroutine of its own.
func settling(hold *ledger.Hold, s ledger.Settlement) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := hold.Settle(background, s)
		done <- err
	}()
	return done
}

// slow makes the next commit slow, and returns what waits until it has begun.
func (h *house) slow() (begun func()) {
	h.t.Helper()
	if err := h.fp.Arm(failpoint.SlowFsync, 1); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		eventually(h.t, "a batch is being committed", func() bool { return h.fp.Left(failpoint.SlowFsync) == 0 })
	}
}

// givenUp makes the next commit slow, and is the context of who gives up once it
// has begun.
func (h *house) givenUp() context.Context {
	h.t.Helper()
	begun := h.slow()
	ctx, giveUp := context.WithCancel(background)
	go func() {
		defer giveUp()
		begun()
	}()
	return ctx
}

// number returns the number that a query gives.
func (h *house) number(q string, args ...any) (n int) {
	h.t.Helper()
	if err := h.db.Read().QueryRowContext(background, q, args...).Scan(&n); err != nil {
		h.t.Fatalf("%s: %v", q, err)
	}
	return n
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s in vain: %s", what)
		}
		<-tick.C
	}
}

// together runs n goroutines and waits for them.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

var background = context.Background()
