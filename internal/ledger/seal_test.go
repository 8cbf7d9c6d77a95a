package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// sealed is a receipt with something of everything. It is charged, and of it
// something is absorbed.
func (h *house) sealed() *ledger.Receipt {
	h.t.Helper()
	h.topup(1, money.Dollar)
	r := &ledger.Receipt{
		Site: "s", Surface: "u", Model: "m", AnsweredBy: "n", Outcome: "client_left", Fault: "f", Status: 200, Started: h.clock.now(), Took: time.Second, Price: "p",
		Usage:    ledger.Tokens{Input: 10, CachedInput: 8, Output: 20, Reasoning: 3},
		Lines:    []ledger.Line{{Kind: "input", Units: 10, Rate: 2e9, Rated: true, Amount: 20_000}, {Kind: "output", Units: 20, Rate: 2e9, Rated: true, Amount: 40_000}},
		Attempts: []ledger.Attempt{{Target: "t/n", Outcome: "ok", Status: 200, Took: time.Second}},
	}
	if _, err := h.hold(reserve(money.Cent)).Settle(background, ledger.Settlement{Actual: 60_000, Excess: 8, Receipt: r}); err != nil {
		h.t.Fatal(err)
	}
	h.verify()
	return r
}

// rewrite replaces a receipt, but for what other entries say of it.
func (h *house) rewrite(r *ledger.Receipt) {
	h.t.Helper()
	h.update("UPDATE receipts SET model = ?, key_id = ?, outcome = ?, hold = ?, started = ?, doc = ?", r.Model, r.Key, r.Outcome, int64(r.Hold), r.Started.UnixNano(), r.Doc())
}

func (h *house) update(q string, args ...any) {
	h.t.Helper()
	err := h.db.Update(background, func(tx *sql.Tx) error {
		_, err := tx.Exec(q, args...)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

const details = "its outcome, hold or details"

func TestVerifyFindsThatAReceiptWasAltered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(r *ledger.Receipt)
		finds string
	}{
		"the model":      {func(r *ledger.Receipt) { r.Model = "other" }, "its model"},
		"the key":        {func(r *ledger.Receipt) { r.Key++ }, "its key"},
		"the outcome":    {func(r *ledger.Receipt) { r.Outcome = "ok" }, details},
		"aborted":        {func(r *ledger.Receipt) { r.Outcome = "aborted" }, details},
		"no outcome":     {func(r *ledger.Receipt) { r.Outcome = "" }, details},
		"the hold":       {func(r *ledger.Receipt) { r.Hold++ }, details},
		"the start":      {func(r *ledger.Receipt) { r.Started = r.Started.Add(1) }, details},
		"the tokens":     {func(r *ledger.Receipt) { r.Usage.Input++ }, "its tokens"},
		"the estimate":   {func(r *ledger.Receipt) { r.Usage.Estimated = true }, "its tokens"},
		"the site":       {func(r *ledger.Receipt) { r.Site = "" }, details},
		"who answered":   {func(r *ledger.Receipt) { r.AnsweredBy = "" }, details},
		"the fault":      {func(r *ledger.Receipt) { r.Fault = "" }, details},
		"the status":     {func(r *ledger.Receipt) { r.Status = 500 }, details},
		"a stream":       {func(r *ledger.Receipt) { r.Stream = true }, details},
		"a line":         {func(r *ledger.Receipt) { r.Lines[0].Amount--; r.Lines[1].Amount++ }, details},
		"a rate":         {func(r *ledger.Receipt) { r.Lines[0].Rate++ }, details},
		"the price":      {func(r *ledger.Receipt) { r.Price = "q" }, details},
		"an attempt":     {func(r *ledger.Receipt) { r.Attempts = nil }, details},
		"what it took":   {func(r *ledger.Receipt) { r.Took++ }, details},
		"nothing at all": {func(*ledger.Receipt) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			r := h.sealed()
			c.do(r)
			h.rewrite(r)
			if got := h.found(); (c.finds == "" && got != "") || (c.finds != "" && !strings.HasPrefix(got, "receipt req_")) || !strings.HasSuffix(got, c.finds) || strings.Contains(got, "\n") {
				t.Errorf("found %q, want %q", got, c.finds)
			}
		})
	}
}

func TestVerifyFindsAReceiptThatCannotBeRead(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.sealed()
	h.update("UPDATE receipts SET doc = x'07'")
	if got := h.found(); !strings.HasSuffix(got, "its tokens") {
		t.Errorf("found %q", got)
	}
}

// Entries from before there were seals know less.
func TestVerifyComparesReceiptsWithEntriesWithoutSeals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(r *ledger.Receipt)
		finds string
	}{
		"the model":  {func(r *ledger.Receipt) { r.Model = "other" }, "its model"},
		"the key":    {func(r *ledger.Receipt) { r.Key++ }, "its key"},
		"the tokens": {func(r *ledger.Receipt) { r.Usage.Reasoning++ }, "its tokens"},
		"the rest":   {func(r *ledger.Receipt) { r.Hold++ }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			r := h.sealed()
			e, err := h.db.Journal().ReadEntry(background, 2)
			if err != nil || e == nil || e.Seal == [16]byte{} {
				t.Fatalf("entry %+v, %v", e, err)
			}
			e.Seal = [16]byte{}
			h.update("UPDATE entries SET detail = ? WHERE seq = 2", e.Detail())
			h.verify()
			c.do(r)
			h.rewrite(r)
			if got := h.found(); (c.finds == "" && got != "") || !strings.HasSuffix(got, c.finds) {
				t.Errorf("found %q, want %q", got, c.finds)
			}
		})
	}
}

// What is told of a receipt later does not break its seal.
func TestASealOutlastsDeliveriesRefundsAndRevocations(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.sealed()
	h.DeliveredPart(r.ID)
	h.verify()
	if _, err := h.Refund(background, ledger.Refund{Request: r.ID, Amount: 5}); err != nil {
		t.Fatal(err)
	}
	h.verify()
	ctx, leave := context.WithCancel(background)
	leave()
	hold := h.hold(reserve(money.Cent))
	if _, err := hold.Settle(ctx, ledger.Settlement{Actual: 7, Receipt: receipt(h.clock.now())}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	h.verify() // by when it is durable
	if err := hold.Revoke(background); err != nil {
		t.Fatal(err)
	}
	h.verify()
	if n := h.number("SELECT count(*) FROM receipts WHERE outcome = 'aborted' AND refunded = 7"); n != 1 {
		t.Errorf("%d charges were taken back, want 1", n)
	}
}

// An entry that lost its request is a difference, not an error.
func TestVerifyFindsWhatWasAbsorbedOfNoRequest(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.sealed()
	h.update("UPDATE entries SET req = NULL WHERE kind = 7")
	if got := h.found(); !strings.Contains(got, "what was absorbed of request req_00000000000000000000000000 does not agree") {
		t.Errorf("found %q", got)
	}
}
