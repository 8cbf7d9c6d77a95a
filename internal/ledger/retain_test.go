package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// retain has everything replaced that is old enough.
func (h *house) retain() {
	h.t.Helper()
	h.digests()
	if err := h.Retain(background); err != nil {
		h.t.Fatal(err)
	}
}

// busy is a day on which there is something of everything. It returns a request
// that was charged.
func (h *house) busy() [16]byte {
	h.t.Helper()
	h.topup(1, 10*money.Cent)
	h.topup(2, money.Cent)
	if _, err := h.Credit(background, ledger.Credit{Account: 2, Kind: ledger.KindTopup, Amount: 50, Test: true}); err != nil {
		h.t.Fatal(err)
	}
	h.grantTo(5*money.Cent, 20*day)
	h.grantTo(money.Cent, 200*day)
	r := reserve(money.Cent)
	r.Quotas = []ledger.Quota{{Class: "open", PerDay: -1}}
	h.charge(r, money.Cent)
	if _, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: 3}); err != nil {
		h.t.Fatal(err)
	}
	for range 3 {
		h.charge(reserve(money.Cent), money.Cent/2)
	}
	h.charge(ledger.Reservation{Account: 2, Key: 2, Request: request(), Amount: money.Cent}, 2*money.Cent) // of which something is absorbed
	h.charge(ledger.Reservation{Account: 2, Key: 3, Test: true, Request: request(), Amount: 5}, 5)
	h.hold(reserve(1)).Void(&ledger.Receipt{Model: "m", Outcome: "upstream_failed", Started: h.clock.now()})
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindAdjust, Amount: -7}); err != nil {
		h.t.Fatal(err)
	}
	return r.Request
}

// report is everything that must not change when usage is replaced.
func (h *house) report() (lines []ledger.UsageRow, balances [2]ledger.Balance) {
	h.t.Helper()
	for _, test := range []bool{false, true} {
		rows, err := h.Usage(background, ledger.UsageFilter{Test: test, GroupBy: []string{"day", "account", "key", "model"}})
		if err != nil {
			h.t.Fatal(err)
		}
		lines = append(lines, rows...)
	}
	return lines, [2]ledger.Balance{h.Balance(1), h.Balance(2)}
}

func TestOldUsageIsReplacedByStatements(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var charged [][16]byte
	for range 3 {
		charged = append(charged, h.busy())
		h.clock.advance(day)
	}
	total := h.verify().Entries
	usage := h.number("SELECT count(*) FROM entries WHERE kind IN (1, 7)")
	h.clock.advance(34 * day) // the first two days are 35 days back, the third is not
	h.verify()                // a grant expires
	lines, balances := h.report()
	h.retain()

	check := func() {
		t.Helper()
		rep := h.verify()
		if rep.OldDigests != 2 || rep.Digests < 1 {
			t.Errorf("%d digests cannot be recomputed, and %d were; want 2 and at least 1", rep.OldDigests, rep.Digests)
		}
		gotLines, gotBalances := h.report()
		if diff := cmp.Diff(lines, gotLines); diff != "" {
			t.Errorf("usage (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(balances, gotBalances); diff != "" {
			t.Errorf("balances (-before +after):\n%s", diff)
		}
		if left := h.number("SELECT count(*) FROM entries WHERE kind IN (1, 7)"); left != usage/3 || usage != 21 || rep.Entries >= total {
			t.Errorf("%d of %d entries of usage are left, and %d of %d in all", left, usage, rep.Entries, total)
		}
		for i, id := range charged {
			r, err := h.Receipt(background, id)
			if err != nil || (r != nil) != (i == 2) {
				t.Errorf("receipt of day %d: %+v, %v", i+1, r, err)
			}
		}
	}
	check()
	if n := h.number("SELECT count(*) FROM receipts WHERE seq = 0"); n != 2 { // that of the second day is newer than any that was charged on it
		t.Errorf("%d receipts of uncharged requests are left, want 2", n)
	}
	if n := h.number("SELECT count(DISTINCT day) FROM day_counters"); n != 1 {
		t.Errorf("there are counters of %d days", n)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: charged[0]}); !errors.Is(err, ledger.ErrTooOld) || !errors.Is(err, ledger.ErrNoCharge) {
		t.Errorf("Refund of a request that is gone = %v", err)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: request()}); !errors.Is(err, ledger.ErrNoCharge) || errors.Is(err, ledger.ErrTooOld) {
		t.Errorf("Refund of a request that never was = %v", err)
	}
	h.retain() // again: there is nothing more to do
	check()
	h.reopen()
	check()

	if _, err := h.Refund(background, ledger.Refund{Request: charged[2]}); err != nil {
		t.Error(err)
	}
}

// What was replaced once is not all: the rest grows old too, on top of the
// openings that there are.
func TestStatementsGrow(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.busy()
	h.clock.advance(40 * day)
	h.busy()
	h.retain()
	h.verify()
	h.clock.advance(50 * day)
	h.verify() // a grant expires
	lines, balances := h.report()
	h.retain()
	gotLines, gotBalances := h.report()
	if diff := cmp.Diff([]any{lines, balances}, []any{gotLines, gotBalances}); diff != "" {
		t.Errorf("after all of it (-before +after):\n%s", diff)
	}
	if left := h.number("SELECT count(*) FROM entries WHERE kind IN (1, 7)"); left != 0 {
		t.Errorf("%d entries of usage are left", left)
	}
	h.verify()
	h.reopen()
	h.charge(reserve(money.Cent), money.Cent)
	h.verify()
}

// What moved a balance is listed without the usage that is gone, in the same
// pages as before.
func TestTransactionsThatAreKeptAreListed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 3 {
		h.busy()
		h.clock.advance(day)
	}
	list := func() (all []ledger.Entry) {
		t.Helper()
		f := ledger.TransactionFilter{Account: 1, Limit: 4}
		for {
			page, err := h.Transactions(background, f)
			if err != nil {
				t.Fatal(err)
			}
			if all = append(all, page...); len(page) < f.Limit {
				return all
			}
			f.Before = page[len(page)-1].Seq
		}
	}
	before := list()
	h.clock.advance(34 * day)
	h.retain()
	floor := int64(h.number("SELECT seq FROM ledger_floor"))
	var want []ledger.Entry
	for _, e := range before {
		if e.Kind != ledger.KindUsage || e.Seq > floor {
			want = append(want, e)
		}
	}
	if floor == 0 || len(want) == len(before) {
		t.Fatal("nothing was replaced")
	}
	got := slices.DeleteFunc(list(), func(e ledger.Entry) bool { return e.Seq > before[0].Seq }) // a grant has expired since
	if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("transactions (-want +got):\n%s", diff)
	}
}

// Nobody has to ask: the end of a day is enough.
func TestOldUsageIsReplacedByItself(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.busy()
	h.clock.advance(40 * day)
	h.topup(1, 1)
	eventually(t, "the old usage is gone", func() bool { return h.number("SELECT count(*) FROM entries WHERE kind = 1") == 0 })
	h.verify()
}

// Usage of a day stays as long as a job holds something of it.
func TestADayThatAJobHoldsStays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.charge(reserve(1), 1)
	h.clock.advance(day)
	h.charge(reserve(1), 1)
	holds, err := h.HoldDurably(background, []ledger.Reservation{reserve(money.Cent)}, ledger.DurableOptions{Group: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	h.clock.advance(60 * day)
	h.retain()
	if n := h.number("SELECT count(*) FROM entries WHERE kind = 1"); n != 1 {
		t.Errorf("%d entries of usage are left, want that of the job's day", n)
	}
	if _, err := holds[0].Settle(background, ledger.Settlement{Actual: 5}); err != nil {
		t.Fatal(err)
	}
	h.verify()
	h.retain()
	if n := h.number("SELECT count(*) FROM entries WHERE kind = 1"); n != 1 {
		t.Errorf("%d entries of usage are left, want that of today", n)
	}
	h.verify()
}

func TestARetentionThatIsTooShortIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.close()
	if e, err := ledger.Open(background, &hung{}, ledger.Options{Retention: ledger.MinRetention - 1}); err == nil || !strings.Contains(err.Error(), "retention") {
		t.Errorf("Open = %v, %v", e, err)
	}
}

func TestVerifyFindsWhatWasTamperedWithBelowTheFloor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ do, finds string }{
		"a statement":              {"UPDATE statements SET nano = nano + 1 WHERE account_id = 1", "account 1"},
		"a statement's tokens":     {"UPDATE statements SET output = output + 1 WHERE account_id = 1", "usage"},
		"a statement removed":      {"DELETE FROM statements WHERE account_id = 1", "account 1"},
		"a statement added":        {"INSERT INTO statements SELECT day, 9, key_id, test, model, 1, 0, 0, 0, 0, 0, 0, 0, 0 FROM statements WHERE key_id = 1", "usage"},
		"an opening":               {"UPDATE openings SET credit = credit + 1 WHERE account_id = 1", "account 1"},
		"an opening of both":       {"UPDATE openings SET credit = credit + 1, used = used + 1 WHERE account_id = 1", "account 1"},
		"an opening removed":       {"DELETE FROM openings WHERE account_id = 1", "account 1"},
		"what was left of a grant": {"UPDATE opening_grants SET remaining = remaining - 1", "grant"},
		"a credit removed":         {"DELETE FROM entries WHERE seq = 1", "account 1"},
		"a refund's amount":        {"UPDATE entries SET amount = amount + 1 WHERE kind = 4", "account 1"},
		"the floor lowered":        {"UPDATE ledger_floor SET seq = seq - 1", "account 1"},
		"the floor raised":         {"UPDATE ledger_floor SET seq = seq + 3", "replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.busy()
			h.clock.advance(40 * day)
			h.charge(reserve(5), 5)
			h.charge(reserve(5), 5)
			h.charge(reserve(5), 5)
			h.retain()
			h.verify()
			h.close()
			rep := tamper(t, h.path, c.do)
			if rep.OK || !strings.Contains(strings.Join(rep.Differences, "\n"), c.finds) {
				t.Errorf("Verify = %+v, want it to find %q", rep, c.finds)
			}
		})
	}
}

// The environment of the process that is to die while it replaces usage.
const retainDir = "PONTAGE_TEST_RETAIN_DIR"

// retainChild replaces usage in dir until it dies. It never returns.
func retainChild(dir string) {
	c := newClock()
	c.advance(60 * day)
	fp := failpoint.New()
	err := fp.Arm(failpoint.CrashMidRetention, 1)
	h := &house{t: quietly{}, path: filepath.Join(dir, "pontage.db"), clock: c, fp: fp}
	if err == nil {
		err = h.tryOpen()
	}
	if err == nil {
		<-time.After(20 * time.Second)
		err = errors.New("lived on")
	}
	_, _ = os.Stderr.WriteString("retain child: " + err.Error() + "\n")
	os.Exit(3)
}

// quietly is a testing.TB for a process that is no test.
type quietly struct{ testing.TB }

func TestAKillWhileUsageIsReplacedLosesNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 2 {
		h.busy()
		h.clock.advance(day)
	}
	h.digests()
	lines, _ := h.report()
	total := h.verify().Entries
	h.close()
	dir := filepath.Dir(h.path)
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), retainDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the process ended with %v: %s", err, out)
	}
	h.reopen()
	if rep := h.verify(); rep.Entries < total || rep.OldDigests != 0 {
		t.Errorf("after the kill: %+v, there were %d entries before", rep, total)
	}
	gotLines, _ := h.report()
	if diff := cmp.Diff(lines, gotLines); diff != "" {
		t.Errorf("after the kill (-before +after):\n%s", diff)
	}
	h.clock.advance(60 * day)
	h.retain()
	if rep := h.verify(); rep.OldDigests != 2 {
		t.Errorf("after another start: %+v", rep)
	}
	gotLines, _ = h.report()
	if diff := cmp.Diff(lines, gotLines); diff != "" {
		t.Errorf("after another start (-before +after):\n%s", diff)
	}
}

// Who asks again for a refund gets the same answer, however old the request is.
func TestARefundWithAReferenceOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(money.Cent)
	h.charge(r, money.Cent)
	first, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: 7, Reference: "r-1"})
	if err != nil {
		t.Fatal(err)
	}
	h.clock.advance(40 * day)
	h.retain()
	if got, err := h.Receipt(background, r.Request); err != nil || got != nil {
		t.Fatalf("the request is still there: %+v, %v", got, err)
	}
	for _, c := range []struct {
		again ledger.Refund
		err   error
	}{
		{ledger.Refund{Amount: 7, Reference: "r-1"}, nil},
		{ledger.Refund{Reference: "r-1"}, nil}, // nothing else can be given any more
		{ledger.Refund{Amount: 8, Reference: "r-1"}, ledger.ErrReferenceTaken},
		{ledger.Refund{Amount: 7, Reference: "r-2"}, ledger.ErrTooOld},
	} {
		c.again.Request = r.Request
		got, err := h.Refund(background, c.again)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || (got.Seq == first.Seq) != !errors.Is(c.err, ledger.ErrTooOld) {
			t.Errorf("Refund(%+v) = entry %d, %v; want entry %d, %v", c.again, got.Seq, err, first.Seq, c.err)
		}
	}
	if _, err := h.Refund(background, ledger.Refund{Request: request(), Amount: 7, Reference: "r-1"}); !errors.Is(err, ledger.ErrNoCharge) {
		t.Errorf("Refund of a request that never was, under that reference = %v", err)
	}
	h.verify()
}

// pruning has a request go between two looks at it.
type pruning struct {
	ledger.Journal
	looks atomic.Int32 // left until it is gone
}

func (j *pruning) ReadReceipt(ctx context.Context, id [16]byte) (*ledger.ReceiptRow, error) {
	if j.looks.Add(-1) < 0 {
		return nil, nil
	}
	return j.Journal.ReadReceipt(ctx, id)
}

func TestARequestMayGoWhileItIsRefundedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	j := new(pruning)
	j.looks.Store(100)
	h.front = func(real ledger.Journal) ledger.Journal { j.Journal = real; return j }
	h.reopen()
	h.topup(1, money.Dollar)
	r := reserve(money.Cent)
	h.charge(r, money.Cent)
	again := ledger.Refund{Request: r.Request, Reference: "r-1"}
	first, err := h.Refund(background, again)
	if err != nil {
		t.Fatal(err)
	}
	j.looks.Store(1)
	if got, err := h.Refund(background, again); err != nil || got.Seq != first.Seq {
		t.Errorf("Refund = entry %d, %v; want entry %d", got.Seq, err, first.Seq)
	}
	j.looks.Store(100)
}

// A clock that was ahead for a moment leaves entries of a day to come among those
// of today. They stay until their own day is old, and so does what came after.
func TestUsageOfADayThatIsToComeStays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.charge(reserve(1), 1)
	h.clock.advance(365 * day)
	h.charge(reserve(2), 2)
	h.clock.advance(-364 * day)
	h.reopen() // the day never moves back in one process
	h.charge(reserve(3), 3)
	h.reopen()
	h.clock.advance(40 * day)
	h.charge(reserve(4), 4)
	used := h.KeyDay(1)
	h.report() // which has everything folded
	h.retain()
	if n := h.number("SELECT count(*) FROM entries WHERE kind = 1"); n != 3 {
		t.Errorf("%d entries of usage are left, want all but the first", n)
	}
	h.verify()
	h.reopen()
	if got := h.KeyDay(1); got != used {
		t.Errorf("after a start the key has used %+v of today, want %+v", got, used)
	}
	h.clock.advance(400 * day)
	h.charge(reserve(5), 5)
	h.retain()
	if n := h.number("SELECT count(*) FROM entries WHERE kind = 1"); n != 1 {
		t.Errorf("%d entries of usage are left, want that of today", n)
	}
	h.verify()
}

// What goes with the usage of a day may be more than that usage.
func TestAllThatGoesWithOldUsageGoes(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	for range 1100 {
		h.hold(reserve(1)).Void(&ledger.Receipt{Model: "m", Outcome: "upstream_failed", Started: h.clock.now()})
	}
	together(100, func(i int) {
		r := reserve(1)
		r.Key = int64(1 + i)
		for k := range 8 {
			r.Quotas = append(r.Quotas, ledger.Quota{Class: fmt.Sprint(i, "-", k), PerDay: -1})
		}
		h.charge(r, 1)
	})
	h.report() // which has everything folded
	if n, m := h.number("SELECT count(*) FROM receipts WHERE seq = 0"), h.number("SELECT count(*) FROM day_counters"); n != 1100 || m != 900 {
		t.Fatalf("%d receipts of uncharged requests and %d counters, want 1100 and 900", n, m)
	}
	h.clock.advance(40 * day)
	h.charge(reserve(1), 1)
	h.retain()
	if n, m := h.number("SELECT count(*) FROM receipts WHERE seq = 0"), h.number("SELECT count(*) FROM day_counters WHERE day < ?", int64(ledger.DayOf(h.clock.now()))); n != 0 || m != 0 {
		t.Errorf("%d receipts of uncharged requests and %d old counters are left", n, m)
	}
	h.verify()
}
