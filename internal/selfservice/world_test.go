package selfservice

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	site   = "ninja.localhost"
	prefix = "nj_sk_"
)

// world is a desk on a real database, with two accounts.
type world struct {
	*testing.T
	*Desk
	engine     *ledger.Engine
	ada, bob   *account.Account
	key        *account.Key // ada's inference key of the site
	owner      *account.Key // ada's billing key
	receipts   []*ledger.Receipt
	mu         sync.Mutex
	at         time.Time
	asked      int // pages of receipts
	unrecorded error
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) set(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = t
}

// Balance, Receipts, Usage and Transactions make a world a Ledger.
func (w *world) Balance(a int64) ledger.Balance { return w.engine.Balance(a) }

func (w *world) Receipts(ctx context.Context, f ledger.Filter) ([]*ledger.Receipt, string, error) {
	w.asked++
	return w.engine.Receipts(ctx, f)
}

func (w *world) Usage(ctx context.Context, f ledger.UsageFilter) ([]ledger.UsageRow, error) {
	if w.unrecorded != nil {
		return nil, w.unrecorded
	}
	return w.engine.Usage(ctx, f)
}

func (w *world) Transactions(ctx context.Context, a int64, test bool, limit, offset int) ([]ledger.Entry, error) {
	var out []ledger.Entry
	for seq := w.engine.Stats().LastSeq; seq > 0 && len(out) < limit; seq-- {
		e, err := w.engine.Entry(ctx, seq)
		if err != nil {
			return nil, err
		}
		if e.Account != a || e.Test != test || e.Kind == ledger.KindAbsorbed {
			continue
		}
		if offset--; offset < 0 {
			out = append(out, *e)
		}
	}
	return out, nil
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, at: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pontage.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if w.engine, err = ledger.Open(t.Context(), db.Journal(), ledger.Options{Now: w.time}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.engine.Close() })
	accounts, err := account.Open(t.Context(), db.Accounts(), []byte("a pepper for tests only"), w.time)
	if err != nil {
		t.Fatal(err)
	}
	w.Desk = New(Deps{Accounts: accounts, Ledger: w, Now: w.time})
	w.ada, w.bob = w.account("ada"), w.account("bob")
	w.key = w.newKey(account.NewKey{Account: w.ada.ID, Name: "first", Site: site})
	w.owner = w.newKey(account.NewKey{Account: w.ada.ID, Name: "owner", Site: site, Kind: account.KindBilling})
	return w
}

func (w *world) account(name string) *account.Account {
	w.Helper()
	a, err := w.accounts.CreateAccount(w.Context(), account.NewAccount{Name: name})
	if err != nil {
		w.Fatal(err)
	}
	for _, test := range []bool{false, true} {
		w.credit(a, ledger.Credit{Kind: ledger.KindTopup, Amount: 100 * money.Dollar, Test: test})
	}
	return a
}

func (w *world) credit(a *account.Account, c ledger.Credit) {
	w.Helper()
	c.Account = int64(a.ID)
	if _, err := w.engine.Credit(w.Context(), c); err != nil {
		w.Fatal(err)
	}
}

func (w *world) newKey(n account.NewKey) *account.Key {
	w.Helper()
	n.Prefix = prefix
	k, _, err := w.accounts.CreateKey(w.Context(), n)
	if err != nil {
		w.Fatal(err)
	}
	return k
}

// hold is a request in flight.
func (w *world) hold(k *account.Key, amount money.Amount) *ledger.Hold {
	w.Helper()
	h, err := w.engine.Hold(ledger.Reservation{Account: int64(k.Account), Key: int64(k.ID), Request: obs.NewRequestID(w.time()), Amount: amount, Test: k.Test})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(h.Abort)
	return h
}

// spend charges a key for one request that begins now.
func (w *world) spend(k *account.Key, model string, charge money.Amount, used ledger.Tokens) *ledger.Receipt {
	w.Helper()
	id := obs.NewRequestID(w.time())
	h, err := w.engine.Hold(ledger.Reservation{Account: int64(k.Account), Key: int64(k.ID), Request: id, Amount: max(1, charge), Test: k.Test})
	if err != nil {
		w.Fatal(err)
	}
	r := &ledger.Receipt{Model: model, Outcome: "ok", Status: 200, Usage: used, Started: w.time()}
	if charge == 0 {
		r.Outcome, r.Status = "refused", 400
		h.Void(r)
		return r
	}
	if _, err := h.Settle(context.WithoutCancel(w.Context()), ledger.Settlement{Actual: charge, Receipt: r}); err != nil {
		w.Fatal(err)
	}
	w.receipts = append(w.receipts, r)
	return r
}

// as is a request of a key.
func (w *world) as(k *account.Key, surface, method string) Request {
	w.Helper()
	a, err := w.accounts.Account(k.Account)
	if err != nil {
		w.Fatal(err)
	}
	return Request{Surface: surface, Method: method, Who: account.Principal{Account: a, Key: k}, Site: site, Prefix: prefix}
}

// get answers a GET with parameters in pairs.
func (w *world) get(k *account.Key, surface string, params ...string) contract.Data {
	w.Helper()
	r := w.as(k, surface, "GET")
	r.Query = pairs(params...)
	return w.must(r)
}

func pairs(params ...string) map[string][]string {
	q := map[string][]string{}
	for i := 0; i < len(params); i += 2 {
		q[params[i]] = append(q[params[i]], params[i+1])
	}
	return q
}

func (w *world) must(r Request) contract.Data {
	w.Helper()
	data, err := w.Answer(w.Context(), r)
	if err != nil {
		w.Fatalf("%s %s %s %s %v: %v", r.Method, r.Surface, r.ID, r.Body, r.Query, err)
	}
	return data
}

// fails fails the test unless the request is refused with the given fields and
// codes, in that order. A field stands before its code, with a space; a fault of
// no field is its code alone.
func (w *world) fails(r Request, want ...string) *fault.Error {
	w.Helper()
	data, err := w.Answer(w.Context(), r)
	var e *fault.Error
	if !errors.As(err, &e) {
		w.Fatalf("%s %s %s %s %v = %v, %v; want %v", r.Method, r.Surface, r.ID, r.Body, r.Query, data, err, want)
	}
	var got []string
	for _, d := range e.Details {
		got = append(got, d.Field+" "+d.Code.String())
	}
	if got == nil {
		got = []string{e.Code.String()}
		if e.Param != "" {
			got[0] = e.Param + " " + got[0]
		}
	}
	if !slices.Equal(got, want) {
		w.Errorf("%s %s %s %s %v: %q, want %q", r.Method, r.Surface, r.ID, r.Body, r.Query, got, want)
	}
	if data.Values != nil || data.Lists != nil || e.Public() == "" {
		w.Errorf("%s %s: %v with %v", r.Method, r.Surface, e, data)
	}
	return e
}

// raw looks into a value, which only templates can show.
func raw(v contract.Value) (text string, n int64) {
	r := reflect.ValueOf(v)
	return r.FieldByName("text").String(), r.FieldByName("n").Int()
}

func text(v contract.Value) string {
	s, _ := raw(v)
	return s
}

func number(v contract.Value) int64 {
	_, n := raw(v)
	return n
}

// column returns the texts of one name in a list.
func column(rows []contract.Values, name string) []string {
	out := []string{}
	for _, row := range rows {
		out = append(out, text(row[name]))
	}
	return out
}

// same compares the values that want names.
func (w *world) same(what string, got, want contract.Values) {
	w.Helper()
	for name, v := range want {
		if got[name] != v {
			w.Errorf("%s: %s = %v, want %v", what, name, got[name], v)
		}
	}
}

func names(v contract.Values) string { return fmt.Sprint(slices.Sorted(keysOf(v))) }

func keysOf(v contract.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range v {
			if !yield(name) {
				return
			}
		}
	}
}

// detailsOf returns the bad fields of a fault, one of which may stand alone.
func detailsOf(err error) []fault.Detail {
	if err == nil {
		return nil
	}
	e := fault.From(err)
	if e.Details == nil && e.Param != "" {
		return []fault.Detail{{Field: e.Param, Code: e.Code, Message: e.Message}}
	}
	return e.Details
}
