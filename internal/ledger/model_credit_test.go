package ledger_test

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func (m *model) Credit(t *rapid.T) {
	m.t = t
	c := ledger.Credit{Account: rapid.Int64Range(1, 2).Draw(t, "account"), Kind: ledger.KindTopup, Amount: money.Amount(rapid.Int64Range(1, 300).Draw(t, "amount"))}
	c.Test = rapid.Bool().Draw(t, "test")
	c.Reference = rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, "reference")
	p := m.pocket(c.Account, c.Test)
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		c.Kind = ledger.KindAdjust
		if rapid.Bool().Draw(t, "down") {
			c.Amount = -c.Amount
		}
	case 1:
		c.Kind = ledger.KindGrant
		c.ExpiresAt = m.h.clock.now().Add(time.Duration(rapid.IntRange(1, 48).Draw(t, "hours")) * time.Hour)
	}
	e, err := m.h.Credit(background, c)
	if m.known(c.Account, c.Reference, e, err, func(before ledger.Entry) bool {
		kind := c.Kind
		if c.Amount < 0 {
			kind = ledger.KindReduce
		}
		return before.Kind == kind && before.Effect() == c.Amount && before.Test == c.Test
	}) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.refs[keyName(c.Account)+c.Reference] = e
	p.posted += c.Amount
	if c.Amount < 0 {
		p.spend(-c.Amount)
	}
	if left := min(c.Amount, p.posted); !c.ExpiresAt.IsZero() && left > 0 {
		p.grants = append(p.grants, modelGrant{left, c.ExpiresAt, int(e.Seq)})
		slices.SortFunc(p.grants, func(a, b modelGrant) int {
			if o := a.at.Compare(b.at); o != 0 {
				return o
			}
			return a.n - b.n
		})
	}
}

// known reports whether a reference was used before, and checks that it gave the
// entry of that time, as the same one or as another.
func (m *model) known(account int64, reference string, e ledger.Entry, err error, same func(ledger.Entry) bool) bool {
	before, used := m.refs[keyName(account)+reference]
	if !used || reference == "" {
		return false
	}
	if before.Seq != e.Seq || before.Amount != e.Amount || (err == nil) != same(before) || (err != nil && !errors.Is(err, ledger.ErrReferenceTaken)) {
		m.t.Fatalf("the reference %q of account %d gave %+v, %v, want %+v", reference, account, e, err, before)
	}
	return true
}

func (m *model) Refund(t *rapid.T) {
	m.t = t
	m.age()
	if len(m.old) > 0 {
		if e, err := m.h.Refund(background, ledger.Refund{Request: m.old[len(m.old)-1]}); !errors.Is(err, ledger.ErrTooOld) {
			t.Fatalf("Refund of an old request = %+v, %v", e, err)
		}
	}
	if len(m.paid) == 0 {
		t.Skip("nothing was paid")
	}
	p := m.paid[rapid.IntRange(0, len(m.paid)-1).Draw(t, "payment")]
	amount := money.Amount(rapid.Int64Range(0, 100).Draw(t, "amount"))
	r := ledger.Refund{Request: p.request, Amount: amount, Reference: rapid.SampledFrom([]string{"", "", "x", "z"}).Draw(t, "reference")}
	e, err := m.h.Refund(background, r)
	if m.known(p.account, r.Reference, e, err, func(before ledger.Entry) bool {
		return before.Kind == ledger.KindRefund && before.Request == p.request && (before.Amount == amount || (amount == 0 && p.left == 0))
	}) {
		return
	}
	want, fails := amount, error(nil)
	switch {
	case p.left == 0:
		fails = ledger.ErrNothingToRefund
	case amount == 0:
		want = p.left
	case amount > p.left:
		fails = ledger.ErrRefundTooLarge
	}
	if !errors.Is(err, fails) || (err == nil && e.Amount != want) {
		t.Fatalf("Refund(%d) of %d = %+v, %v; want %v", amount, p.left, e, err, fails)
	}
	if err == nil {
		p.left -= want
		p.p.posted += want
		m.refs[keyName(p.account)+r.Reference] = e
	}
}
