package dash

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// Bounds of a credit; the ledger has the same.
const (
	maxCredit    = 1_000_000_000 * money.Dollar
	maxReference = 255  // bytes
	maxNote      = 1024 // bytes
)

// entryJSON is an entry of the journal that moved money to or from an account.
type entryJSON struct {
	Entry      int64        `json:"entry"` // its place in the journal
	Account    string       `json:"account"`
	Kind       string       `json:"kind"`
	AmountUSD  money.Amount `json:"amount_usd"` // negative: taken from the account
	Test       bool         `json:"test"`
	Request    *string      `json:"request"`
	ExpiresAt  *time.Time   `json:"expires_at"`
	Reference  *string      `json:"reference"`
	Note       *string      `json:"note"`
	Actor      *string      `json:"actor"` // who caused it; null: written before that was noted
	CreatedAt  *time.Time   `json:"created_at"`
	BalanceUSD money.Amount `json:"balance_usd"` // now, of the balance that was moved
}

func (s *server) entry(e ledger.Entry) entryJSON {
	kind := e.Kind
	if kind == ledger.KindReduce {
		kind = ledger.KindAdjust
	}
	b := s.Ledger.Balance(e.Account)
	out := entryJSON{
		Entry: e.Seq, Account: account.ID(e.Account).String(), Kind: string(kind), AmountUSD: e.Effect(), Test: e.Test,
		ExpiresAt: stampOf(e.ExpiresAt), Reference: orNull(e.Reference), Note: orNull(e.Note), Actor: actorOf(&e), CreatedAt: stampOf(e.Time),
		BalanceUSD: b.Posted,
	}
	if e.Test {
		out.BalanceUSD = b.TestPosted
	}
	if e.Request != [16]byte{} {
		out.Request = orNull(obs.RequestID(e.Request).String())
	}
	return out
}

// actorOf tells who caused an entry: operator, operator:NAME, key:ID or system.
func actorOf(e *ledger.Entry) *string {
	if e.Actor == ledger.ActorKey {
		return orNull(string(e.Actor) + ":" + account.KeyID(e.Key).String())
	}
	return orNull(string(e.Actor))
}

// creditIn is the body of a credit.
type creditIn struct {
	AmountUSD *money.Amount `json:"amount_usd"`
	Kind      *string       `json:"kind"`
	Test      *bool         `json:"test"`
	ExpiresAt *time.Time    `json:"expires_at"`
	Reference *string       `json:"reference"`
	Note      *string       `json:"note"`
}

// check makes a credit of the body.
func (in *creditIn) check(now time.Time) (c ledger.Credit, err error) {
	c = ledger.Credit{
		Amount: deref(in.AmountUSD), Kind: ledger.Kind(deref(in.Kind)), Test: deref(in.Test),
		ExpiresAt: deref(in.ExpiresAt), Reference: deref(in.Reference), Note: deref(in.Note),
	}
	switch {
	case in.AmountUSD == nil:
		return c, missing("amount_usd")
	case in.Kind == nil:
		return c, missing("kind")
	case !slices.Contains([]ledger.Kind{ledger.KindTopup, ledger.KindGrant, ledger.KindAdjust}, c.Kind):
		return c, invalid("kind", "must be one of topup, grant, adjust")
	case c.Kind != ledger.KindAdjust && c.Amount <= 0:
		return c, invalid("amount_usd", "must be greater than 0; only an adjust takes money away")
	case c.Amount == 0:
		return c, invalid("amount_usd", "must not be 0")
	case c.Amount > maxCredit || c.Amount < -maxCredit:
		return c, invalid("amount_usd", "must be within ±%s", maxCredit)
	case in.ExpiresAt != nil && c.Kind != ledger.KindGrant:
		return c, invalid("expires_at", "only a grant expires")
	case in.ExpiresAt != nil && !c.ExpiresAt.After(now):
		return c, invalid("expires_at", "must be in the future")
	case c.ExpiresAt.Year() >= account.LastYear:
		return c, invalid("expires_at", "must be before the year %d", account.LastYear)
	case in.Reference != nil && (c.Reference == "" || len(c.Reference) > maxReference):
		return c, invalid("reference", "must be 1 to %d bytes", maxReference)
	case len(c.Note) > maxNote:
		return c, invalid("note", "must be at most %d bytes", maxNote)
	}
	return c, nil
}

// credit gives money to an account, or takes it away. The same reference twice
// is one entry, and the same answer.
func (s *server) credit(c *call) error {
	a, err := s.accountOf(c)
	if err != nil {
		return err
	}
	var in creditIn
	if err := c.read(&in); err != nil {
		return err
	}
	want, err := in.check(s.Now())
	if err != nil {
		return err
	}
	want.Account, want.Actor = int64(a.ID), c.actor
	e, err := s.Ledger.Credit(c.ctx(), want)
	switch {
	case errors.Is(err, ledger.ErrReferenceTaken):
		return s.taken(e)
	case err != nil:
		return argument(err, "credit: ", map[string]string{"amount": "amount_usd"})
	}
	return c.write(http.StatusCreated, s.entry(e))
}

// taken is the fault of a reference that stands for another entry.
func (s *server) taken(e ledger.Entry) error {
	out := s.entry(e)
	what := fmt.Sprintf("a %s of %s", out.Kind, out.AmountUSD)
	if out.Request != nil {
		what += " for " + *out.Request
	}
	if out.Test {
		what += " on the test balance"
	}
	return fail(http.StatusConflict, codeConflict, "reference", "this reference stands for %s", what)
}

// argument makes a fault of the ledger's words about an argument: an error that
// wraps nothing and reads "operation: argument: what is wrong". Others stay.
func argument(err error, operation string, params map[string]string) error {
	words, ok := strings.CutPrefix(err.Error(), operation)
	if !ok || errors.Unwrap(err) != nil {
		return err
	}
	name, what, found := strings.Cut(words, ": ")
	if p, ok := params[name]; found && ok {
		return invalid(p, "%s", what)
	}
	return invalid("", "%s", words)
}

// requestOf reads the request id of the path.
func requestOf(c *call) (obs.RequestID, error) {
	id, err := obs.ParseRequestID(c.r.PathValue("request"))
	if err != nil {
		return id, noRequest()
	}
	return id, nil
}

func noRequest() error {
	return fail(http.StatusNotFound, codeNotFound, "", "there is no such request")
}

// refund gives back what a request was charged. The same reference twice is one
// entry, and the same answer.
func (s *server) refund(c *call) error {
	id, err := requestOf(c)
	if err != nil {
		return err
	}
	var in struct {
		AmountUSD *money.Amount `json:"amount_usd"`
		Reference *string       `json:"reference"`
		Note      *string       `json:"note"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	switch {
	case in.AmountUSD != nil && *in.AmountUSD <= 0:
		return invalid("amount_usd", "must be greater than 0; leave it out to refund all that is left")
	case in.Reference != nil && (*in.Reference == "" || len(*in.Reference) > maxReference):
		return invalid("reference", "must be 1 to %d bytes", maxReference)
	case in.Note == nil:
		return missing("note")
	case strings.TrimSpace(*in.Note) == "" || len(*in.Note) > maxNote:
		return invalid("note", "must be 1 to %d bytes", maxNote)
	}
	e, err := s.Ledger.Refund(c.ctx(), ledger.Refund{
		Request: id, Amount: deref(in.AmountUSD), Reference: deref(in.Reference), Note: *in.Note, Actor: c.actor,
	})
	switch {
	case errors.Is(err, ledger.ErrReferenceTaken):
		return s.taken(e)
	case errors.Is(err, ledger.ErrRefundTooLarge):
		return invalid("amount_usd", "is more than is left of the charge")
	case errors.Is(err, ledger.ErrNothingToRefund):
		return fail(http.StatusConflict, codeConflict, "", "the charge was refunded entirely")
	case errors.Is(err, ledger.ErrTooOld):
		return fail(http.StatusNotFound, codeNotFound, "", "the request is older than what is kept of single requests (store.retention)")
	case errors.Is(err, ledger.ErrNoCharge):
		if r, err := s.Ledger.Receipt(c.ctx(), id); err == nil && r != nil {
			return fail(http.StatusConflict, codeConflict, "", "the request was not charged")
		}
		return noRequest()
	case err != nil:
		return err
	}
	return c.write(http.StatusCreated, s.entry(e))
}
