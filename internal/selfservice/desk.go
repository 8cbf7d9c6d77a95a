// Package selfservice answers what callers ask about their own account: what it
// has, its keys, what was used, what its balance moved by.
//
// It knows neither paths nor shapes. An answer is a [contract.Data] with the
// names that the vocabulary of its surface lists, and each contract says how
// that looks. A caller sees his own account only, and of it the balance, live or
// test, that his key spends.
package selfservice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
)

// The surfaces that a desk answers, as contracts name them.
const (
	SurfaceBalance      = "account.balance"
	SurfaceKeys         = "account.keys"
	SurfaceUsage        = "account.usage"
	SurfaceUsageSummary = "account.usage_summary"
	SurfaceTransactions = "account.transactions"
)

// Ledger is what a desk reads of the ledger.
type Ledger interface {
	Balance(account int64) ledger.Balance

	// Receipts returns a page, newest first, and the cursor of the next page,
	// which is empty at the end. A page may be short while there is a next one.
	Receipts(ctx context.Context, f ledger.Filter) (page []*ledger.Receipt, next string, err error)

	Usage(ctx context.Context, f ledger.UsageFilter) ([]ledger.UsageRow, error)

	// Transactions returns the entries that move one balance of an account,
	// newest first: at most limit of them, after the offset newest ones. Absorbed
	// costs move no balance and are not among them.
	Transactions(ctx context.Context, account int64, test bool, limit, offset int) ([]ledger.Entry, error)
}

// Deps are what a desk works with. All of them are required.
type Deps struct {
	Accounts *account.Registry
	Ledger   Ledger
	Now      func() time.Time
}

// Desk answers callers. It is used by many goroutines at once, and nothing is to
// be closed.
type Desk struct {
	accounts *account.Registry
	ledger   Ledger
	now      func() time.Time

	keys sync.Mutex // held by changes to keys, so that what they rest on stays true
}

// New returns a desk.
func New(d Deps) *Desk { return &Desk{accounts: d.Accounts, ledger: d.Ledger, now: d.Now} }

// Request is one question of a caller about his own account. That his key is
// valid at the site and of a kind that the route takes was checked before.
type Request struct {
	Surface string              // one of the Surface constants
	Method  string              // GET, POST, PUT or DELETE, as the route says
	Who     account.Principal   // whose key asks
	Site    string              // where the key works, as in account.Key.Site; new keys are bound to it
	Prefix  string              // how new inference keys of the site start
	Rate    limit.Rule          // throughput in force for the key
	ID      string              // the rest of the path: a key's id; empty: none
	Query   map[string][]string // nil: none
	Body    []byte              // of a POST or PUT

	Plain     bool         // names of keys are letters, digits, spaces, dashes and underscores
	MaxKeys   int          // at most so many keys of the site are active at once; 0: no bound but the registry's
	MinCredit money.Amount // making a key takes at least this posted balance; 0: none

	// Once is called before what may be done only once under an idempotency key;
	// undo takes that back, if it was not done after all. Nil: there is no key.
	Once func(ctx context.Context) (undo func(), err error)
}

// once calls Once, if it is there.
func (r *Request) once(ctx context.Context) (undo func(), err error) {
	if r.Once == nil {
		return func() {}, nil
	}
	return r.Once(ctx)
}

// test tells which balance the request is about.
func (r *Request) test() bool { return r.Who.Key.Test }

// account returns the account's number in the ledger. There a 0 would choose
// every account; no account has it.
func (r *Request) account() int64 { return int64(r.Who.Account.ID) }

// Answer answers one request. The error is a *fault.Error that names the field
// at fault, where there is one.
func (d *Desk) Answer(ctx context.Context, r Request) (contract.Data, error) {
	data, err := d.answer(ctx, &r)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, ledger.ErrUnavailable):
		return contract.Data{}, fault.Wrap(fault.LedgerUnavailable, err)
	}
	return contract.Data{}, fault.From(err)
}

func (d *Desk) answer(ctx context.Context, r *Request) (contract.Data, error) {
	// Whoever asks without a key has an empty account, which to the ledger is all of them.
	if r.Who.Account == nil || r.Who.Key == nil || r.Who.Account.ID == 0 {
		return contract.Data{}, fault.New(fault.KeyMissing, "")
	}
	switch r.Surface {
	case SurfaceBalance:
		return d.balance(r)
	case SurfaceKeys:
		return d.keyring(ctx, r)
	}
	if err := r.only("GET"); err != nil {
		return contract.Data{}, err
	}
	switch r.Surface {
	case SurfaceUsage:
		return d.usage(ctx, r)
	case SurfaceUsageSummary:
		return d.summary(ctx, r)
	case SurfaceTransactions:
		return d.transactions(ctx, r)
	}
	return contract.Data{}, fmt.Errorf("selfservice: there is no surface %q", r.Surface)
}

// only refuses other methods than the given ones, and an id, which only keys
// have.
func (r *Request) only(methods ...string) error {
	if r.ID != "" {
		return fault.New(fault.NotFound, "")
	}
	return r.allow(methods...)
}

func (r *Request) allow(methods ...string) error {
	if slices.Contains(methods, r.Method) {
		return nil
	}
	allow := strings.Join(methods, ", ")
	return fault.NoMethod(allow, r.Method)
}

// balance answers a GET, and a POST whose body is empty or an object, whatever
// its members are.
func (d *Desk) balance(r *Request) (contract.Data, error) {
	if err := r.only("GET", "POST"); err != nil {
		return contract.Data{}, err
	}
	if r.Method == "POST" && len(strings.TrimSpace(string(r.Body))) > 0 {
		if _, err := fields.Parse(r.Body); err != nil {
			return contract.Data{}, err
		}
	}
	values := contract.Values{}
	d.purse(r).show(values)
	return contract.Data{Values: values}, nil
}

// purse is one balance of an account.
type purse struct{ posted, available, held money.Amount }

// purse returns the balance that the asking key spends.
func (d *Desk) purse(r *Request) purse {
	b := d.ledger.Balance(r.account())
	if r.test() {
		return purse{b.TestPosted, b.TestAvailable, b.TestHeld}
	}
	return purse{b.Posted, b.Available, b.Held}
}

func (p purse) show(v contract.Values) {
	v["balance"], v["available"], v["held"] = contract.USD(p.posted), contract.USD(p.available), contract.USD(p.held)
}
