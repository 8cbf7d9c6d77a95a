package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

var job = ledger.DurableOptions{Group: [16]byte{15: 7}}

// several are reservations like r, of amounts.
func several(r ledger.Reservation, amounts ...money.Amount) []ledger.Reservation {
	var rs []ledger.Reservation
	for _, n := range amounts {
		r.Amount, r.Request = n, request()
		rs = append(rs, r)
	}
	return rs
}

// durably takes durable holds, and fails the test if it cannot.
func (h *house) durably(rs ...ledger.Reservation) []*ledger.Hold {
	h.t.Helper()
	holds, err := h.HoldDurably(background, rs, job)
	if err != nil {
		h.t.Fatalf("HoldDurably: %v", err)
	}
	return holds
}

// rows returns the group's holds without their times.
func (h *house) rows() []ledger.HoldRow {
	h.t.Helper()
	rows, err := h.HoldsOf(background, job.Group)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range rows {
		if rows[i].Created.IsZero() || rows[i].Ended.IsZero() != (rows[i].State == ledger.DurableOpen) {
			h.t.Errorf("hold %d is of %v to %v", i, rows[i].Created, rows[i].Ended)
		}
		rows[i].Created, rows[i].Ended = time.Time{}, time.Time{}
	}
	return rows
}

func TestDurableHoldsSurvive(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	r := reserve(0)
	r.KeyUSDPerDay, r.KeyRequestsPerDay, r.Quotas = 90, 10, []ledger.Quota{{Class: "open", PerDay: 10}, {Class: "all", PerDay: -1}}
	rs := several(r, 30, 0, 20, 10)
	holds := h.durably(rs...)
	day := holds[0].Day()
	var want []ledger.HoldRow
	for i, r := range rs {
		want = append(want, ledger.HoldRow{ID: r.Request, Group: job.Group, Account: 1, Key: 1, Day: day, Amount: r.Amount, KeyUSD: 90, Classes: []string{"open", "all"}, State: ledger.DurableOpen})
		if !holds[i].Durable() || holds[i].Group() != job.Group || holds[i].Request() != r.Request || holds[i].Amount() != r.Amount {
			t.Errorf("hold %d: %t, %x, %x, %d", i, holds[i].Durable(), holds[i].Group(), holds[i].Request(), holds[i].Amount())
		}
	}
	check := func(held money.Amount, open int64) {
		t.Helper()
		if diff := cmp.Diff(want, h.rows(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("HoldsOf (-want +got):\n%s", diff)
		}
		b, d, p := h.Balance(1), h.KeyDay(1), h.PlanDay(1, false, "open")
		if b.Held != held || d.RequestsHeld != open || d.USDHeld != held || p.RequestsHeld != open || h.Stats().OpenHolds != open || h.Idle() != (open == 0) {
			t.Errorf("want %d held by %d: Balance = %+v, KeyDay = %+v, PlanDay = %+v, %+v, Idle %t", held, open, b, d, p, h.Stats(), h.Idle())
		}
		h.verify()
	}
	// restart leaves the process as a crash does, and returns what is open.
	restart := func(ids ...[16]byte) []*ledger.Hold {
		t.Helper()
		c := h.crashCopy()
		c.reopen()
		h = c
		open := h.OpenHolds()
		var got [][16]byte
		for _, o := range open {
			got = append(got, o.Request())
		}
		if diff := cmp.Diff(ids, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("OpenHolds (-want +got):\n%s", diff)
		}
		return open
	}
	check(60, 4)
	holds = restart(rs[0].Request, rs[1].Request, rs[2].Request, rs[3].Request)
	check(60, 4)

	s, err := holds[2].Settle(background, ledger.Settlement{Actual: 15, Result: []byte("third")})
	if err != nil || s.Charge != 15 || s.Balance != 85 {
		t.Errorf("Settle = %+v, %v", s, err)
	}
	want[2].State, want[2].Charge, want[2].Result = ledger.DurablePosted, 15, []byte("third")
	check(40, 3)
	receipt := &ledger.Receipt{Model: "m", Outcome: "failed", Charge: 5, Started: h.clock.now()}
	if err := holds[0].VoidDurably(background, receipt, []byte("first")); err != nil {
		t.Errorf("VoidDurably = %v", err)
	}
	if got, err := h.Receipt(background, rs[0].Request); err != nil || got == nil || got.Outcome != "failed" || got.Charge != 0 || got.Hold != 30 {
		t.Errorf("Receipt = %+v, %v", got, err)
	}
	want[0].State, want[0].Result = ledger.DurableVoided, []byte("first")
	check(10, 2)
	restart(rs[1].Request, rs[3].Request)
	check(10, 2)

	// What is held stays held, also if it is more than there is.
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindAdjust, Amount: -80}); err != nil {
		t.Fatal(err)
	}
	holds = restart(rs[1].Request, rs[3].Request)
	if b := h.Balance(1); b.Posted != 5 || b.Available != -5 {
		t.Errorf("Balance = %+v", b)
	}
	for i, hold := range holds {
		if _, err := hold.Settle(background, ledger.Settlement{Actual: 1}); err != nil {
			t.Error(err)
		}
		want[1+2*i].State, want[1+2*i].Charge = ledger.DurablePosted, money.Amount(i) // the first held nothing, and nothing was free
	}
	check(0, 0)
	restart()
	check(0, 0)
	if rows, err := h.HoldsOf(background, [16]byte{1}); err != nil || len(rows) != 0 {
		t.Errorf("HoldsOf of nobody = %+v, %v", rows, err)
	}
}

func TestARefusedJobNamesWhatAllOfItNeeds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	r := reserve(0)
	r.KeyUSDPerDay, r.KeyRequestsPerDay = 110, 2
	rs := several(r, 40, 40, 40)
	rs[0].Quotas = []ledger.Quota{{Class: "open", PerDay: 1}, {Class: "all", PerDay: 3}}
	rs[1].Quotas = []ledger.Quota{{Class: "all", PerDay: 3}}
	rs[2].Quotas = []ledger.Quota{{Class: "all", PerDay: 3}, {Class: "open", PerDay: 1}}
	refused := func(want ...ledger.ShortBucket) {
		t.Helper()
		_, err := h.HoldDurably(background, rs, job)
		var short *ledger.Short
		if !errors.As(err, &short) {
			t.Fatalf("HoldDurably = %v, want it to be short", err)
		}
		if diff := cmp.Diff(want, short.Buckets, cmpopts.IgnoreFields(ledger.ShortBucket{}, "ResetsAt")); diff != "" {
			t.Errorf("short of (-want +got):\n%s", diff)
		}
		for _, b := range short.Buckets {
			if b.ResetsAt.IsZero() != (b.Bucket == ledger.BucketBalance) {
				t.Errorf("%s resets at %v", b.Bucket, b.ResetsAt)
			}
		}
		if !h.Idle() || h.Stats().LastSeq > 2 || len(h.rows()) != 0 {
			t.Errorf("something was taken: %+v", h.Stats())
		}
	}
	all := []ledger.ShortBucket{
		{Bucket: ledger.BucketBalance, Limit: 100, Need: 120},
		{Bucket: ledger.BucketKeyUSD, Limit: 110, Need: 120},
		{Bucket: ledger.BucketKeyRequests, Limit: 2, Need: 3},
		{Bucket: ledger.BucketPlan, Class: "open", Limit: 1, Need: 2},
	}
	refused(all...)
	for i := range rs {
		rs[i].KeyUSDPerDay, rs[i].KeyRequestsPerDay = 119, 3
	}
	all[1].Limit = 119
	refused(all[0], all[1], all[3])
	for i := range rs {
		rs[i].KeyUSDPerDay = 120
		for k := range rs[i].Quotas {
			rs[i].Quotas[k].PerDay = 3
		}
	}
	refused(all[0])
	h.topup(1, 19)
	all[0].Limit = 119
	refused(all[0])
	h.topup(1, 1)
	h.durably(rs...)
	h.verify()
}

func TestAJobMustMakeSense(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.topup(2, money.Dollar)
	for name, change := range map[string]func(rs *[]ledger.Reservation){
		"nothing":             func(rs *[]ledger.Reservation) { *rs = nil },
		"too many":            func(rs *[]ledger.Reservation) { *rs = several(reserve(0), make([]money.Amount, 101)...) },
		"no amount":           func(rs *[]ledger.Reservation) { (*rs)[1].Amount = -1 },
		"two accounts":        func(rs *[]ledger.Reservation) { (*rs)[1].Account = 2 },
		"two keys":            func(rs *[]ledger.Reservation) { (*rs)[1].Key = 2 },
		"two balances":        func(rs *[]ledger.Reservation) { (*rs)[1].Test = true },
		"two limits":          func(rs *[]ledger.Reservation) { (*rs)[1].KeyUSDPerDay = 7 },
		"two request limits":  func(rs *[]ledger.Reservation) { (*rs)[1].KeyRequestsPerDay = 7 },
		"elastic":             func(rs *[]ledger.Reservation) { (*rs)[1].Floor = 1 },
		"no request":          func(rs *[]ledger.Reservation) { (*rs)[1].Request = [16]byte{} },
		"one request twice":   func(rs *[]ledger.Reservation) { (*rs)[1].Request = (*rs)[0].Request },
		"two quotas":          func(rs *[]ledger.Reservation) { (*rs)[1].Quotas = []ledger.Quota{{Class: "open", PerDay: 8}} },
		"a sum beyond bounds": func(rs *[]ledger.Reservation) { (*rs)[0].Amount, (*rs)[1].Amount = money.Max-1, money.Max-1 },
		"another's key":       func(rs *[]ledger.Reservation) { (*rs)[0].Key, (*rs)[1].Key = 5, 5 },
	} {
		h.charge(ledger.Reservation{Account: 2, Key: 5, Request: request(), Amount: 1}, 1)
		r := reserve(0)
		r.Quotas = []ledger.Quota{{Class: "open", PerDay: 9}}
		rs := several(r, 2, 2)
		change(&rs)
		_, err := h.HoldDurably(background, rs, job)
		var short *ledger.Short
		if err == nil || errors.As(err, &short) || errors.Is(err, ledger.ErrUnavailable) {
			t.Errorf("%s: HoldDurably = %v, want an error about it", name, err)
		}
	}
	if _, err := h.HoldDurably(background, several(reserve(0), 1), ledger.DurableOptions{}); err == nil {
		t.Error("without a group: want an error")
	}
	if !h.Idle() {
		t.Error("something is held")
	}
	h.durably(several(reserve(0), make([]money.Amount, 100)...)...)
}

// Nothing but Settle and VoidDurably ends a durable hold.
func TestADurableHoldIsNotGivenUp(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	hold := h.durably(several(reserve(0), 40)...)[0]
	hold.Abort()
	hold.Void(&ledger.Receipt{})
	r := reserve(10)
	r.Request = hold.Request()
	if _, err := hold.Exchange(r); err == nil {
		t.Error("Exchange: want an error")
	}
	no := errors.New("no")
	_, err := hold.Settle(background, ledger.Settlement{Actual: 90, Render: func(ledger.Settled) (*ledger.Stored, error) { return nil, no }})
	if !errors.Is(err, no) {
		t.Errorf("Settle = %v", err)
	}
	if _, err := hold.Settle(background, ledger.Settlement{Result: make([]byte, ledger.MaxResult+1)}); err == nil {
		t.Error("Settle with too long a result: want an error")
	}
	if err := hold.VoidDurably(background, nil, make([]byte, ledger.MaxResult+1)); err == nil {
		t.Error("VoidDurably with too long a result: want an error")
	}
	if b := h.Balance(1); b.Held != 40 || len(h.OpenHolds()) != 1 {
		t.Errorf("Balance = %+v, %d open", b, len(h.OpenHolds()))
	}
	if s, err := hold.Settle(background, ledger.Settlement{Actual: 30}); err != nil || s.Charge != 30 || s.Absorbed != 0 {
		t.Errorf("Settle = %+v, %v", s, err)
	}
	if err := hold.Revoke(background); err == nil {
		t.Error("Revoke: want an error")
	}
	if err := hold.VoidDurably(background, nil, nil); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("VoidDurably after Settle = %v", err)
	}
	plain := h.hold(reserve(1))
	if plain.Durable() || plain.Group() != [16]byte{} {
		t.Error("a plain hold is durable")
	}
	if err := plain.VoidDurably(background, nil, nil); err == nil {
		t.Error("VoidDurably of a plain hold: want an error")
	}
	if _, err := plain.Settle(background, ledger.Settlement{Result: []byte{}}); err == nil {
		t.Error("Settle of a plain hold with a result: want an error")
	}
	plain.Abort()

	hold = h.durably(several(reserve(0), 40)...)[0]
	if err := h.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	if err := hold.VoidDurably(background, nil, nil); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("VoidDurably after Close = %v", err)
	}
	if _, err := hold.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Settle after Close = %v", err)
	}
	h.reopen()
	if b := h.Balance(1); b.Posted != 70 || b.Held != 40 || len(h.OpenHolds()) != 1 {
		t.Errorf("Balance = %+v, %d open", b, len(h.OpenHolds()))
	}
	h.verify()
}

// A job may take days. It counts on the day of its admission, and stays within
// what its key may spend on that day.
func TestADurableHoldStaysOnItsDay(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	r := reserve(3)
	r.KeyUSDPerDay, r.Quotas = 15, []ledger.Quota{{Class: "open", PerDay: 9}}
	h.charge(r, 3)
	h.durably(several(r, 10)...)
	for range 2 {
		h.clock.advance(72 * time.Hour)
		h.reopen()
		h.charge(several(r, 15)[0], 15) // on another day
	}
	hold := h.OpenHolds()[0]
	if free := hold.Free(); free != 2 {
		t.Errorf("Free = %d", free)
	}
	s, err := hold.Settle(background, ledger.Settlement{Actual: 40})
	if err != nil || s.Charge != 12 || s.Absorbed != 28 {
		t.Errorf("Settle = %+v, %v", s, err)
	}
	if d := h.KeyDay(1); d.Requests != 1 || d.USD != 15 {
		t.Errorf("KeyDay = %+v", d)
	}
	if n := h.number(fmt.Sprintf("SELECT day FROM entries WHERE seq = %d", s.Seq)); ledger.Day(n) != hold.Day() {
		t.Errorf("the charge is of day %d, want %d", n, hold.Day())
	}
	h.verify()
}

func TestAJobHasItsKey(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	o := job
	o.Claim, o.Stored = h.claim(keyA, one), &ledger.Stored{Status: 202, Body: []byte("job"), Kept: true}
	if _, err := h.HoldDurably(background, several(reserve(0), 60, 60), o); err == nil {
		t.Error("want it to be short")
	}
	h.refused(keyA, one, ledger.ErrIdemInProgress) // the claim is still ours
	if _, err := h.HoldDurably(background, several(reserve(0), 50, 50), o); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		want := &ledger.Stored{Fingerprint: one, Status: 202, Body: []byte("job"), Kept: true, Request: job.Group, At: h.clock.now()}
		if diff := cmp.Diff(want, h.replay(keyA, one)); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		h.reopen()
	}
	o.Claim = h.claim(ledger.IdemKey{Account: 2, Key: "a"}, one)
	if _, err := h.HoldDurably(background, several(reserve(0), 0), o); err == nil {
		t.Error("with a claim of another account: want an error")
	}
	if b := h.Balance(1); b.Held != 100 || len(h.rows()) != 2 {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

// Whoever gives up on HoldDurably holds nothing, now or after a restart, and has
// not used the key.
func TestDurableHoldsThatAreGivenUpAreVoided(t *testing.T) {
	t.Parallel()
	for name, inQueue := range map[string]bool{"in the queue": true, "on their way": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, 100)
			o := job
			o.Claim = h.claim(keyA, one)
			committing := h.slow()
			if inQueue {
				h.Record(&ledger.Receipt{ID: request()})
				committing()
			}
			ctx, cancel := context.WithCancel(background)
			go func() {
				defer cancel()
				committing()
			}()
			if _, err := h.HoldDurably(ctx, several(reserve(0), 30, 30), o); !errors.Is(err, context.Canceled) {
				t.Fatalf("HoldDurably = %v", err)
			}
			if b := h.Balance(1); b.Held != 60 {
				t.Errorf("while it is not known whether they are durable: Balance = %+v", b)
			}
			eventually(t, "nothing is held", h.Idle)
			eventually(t, "the key is free", func() bool {
				c, _, err := h.Claim(background, keyA, one, 0)
				return err == nil && c != nil
			})
			want := 2
			if inQueue {
				want = 0
			}
			if rows := h.rows(); len(rows) != want || (want > 0 && rows[1].State != ledger.DurableVoided) {
				t.Errorf("HoldsOf = %+v", rows)
			}
			if len(h.OpenHolds()) != 0 || h.number("SELECT count(*) FROM idem") != 0 {
				t.Error("holds are open, or an answer is stored")
			}
			h.verify()
			h.reopen()
			if !h.Idle() {
				t.Error("something is held after a restart")
			}
		})
	}
}

func TestDurableHoldsOfAFailedCommitAreUnknown(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	_ = h.fp.Arm(failpoint.CommitError, 1)
	if _, err := h.HoldDurably(background, several(reserve(0), 30), job); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("HoldDurably = %v", err)
	}
	eventually(t, "Fatal is called", func() bool { return h.fatal.Load() != nil })
	if _, err := h.HoldDurably(background, several(reserve(0), 30), job); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("HoldDurably = %v", err)
	}
	h.reopen()
	if !h.Idle() || len(h.OpenHolds()) != 0 {
		t.Error("the holds were not committed, and are there")
	}
}

func TestManyJobsAtOnceDrainADollarExactly(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	together(100, func(i int) {
		for h.fatal.Load() == nil {
			holds, err := h.HoldDurably(background, several(reserve(0), money.Cent, money.Cent/2, money.Cent/2), ledger.DurableOptions{Group: [16]byte{byte(i), 1}})
			var short *ledger.Short
			if errors.As(err, &short) {
				if b, _ := short.Find(ledger.BucketBalance); !b.HeldOnly() {
					return
				}
				<-time.After(time.Millisecond)
				continue
			}
			if errors.Is(err, ledger.ErrUnavailable) {
				<-time.After(time.Millisecond)
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			for k, hold := range holds {
				together(2, func(n int) { // only one of them can
					if n == 0 && k > 0 {
						_ = hold.VoidDurably(background, nil, nil)
					} else {
						_, _ = hold.Settle(background, ledger.Settlement{Actual: hold.Amount()})
					}
				})
			}
		}
	})
	charged := h.number("SELECT coalesce(sum(charge), 0) FROM holds")
	if b := h.Balance(1); b.Posted+money.Amount(charged) != money.Dollar || b.Held != 0 || b.Posted >= 2*money.Cent {
		t.Errorf("Balance = %+v after charges of %d", b, charged)
	}
	if !h.Idle() || h.number("SELECT count(*) FROM holds WHERE state = 1") != 0 {
		t.Error("holds are open")
	}
	h.verify()
}
