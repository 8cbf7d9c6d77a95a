package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// Every page of transactions holds for any journal: it is what the entries of
// one balance are, read one by one.
func TestTransactionsArePagesOfTheJournal(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, a := range []int64{1, 2} {
		for _, test := range []bool{false, true} {
			if _, err := h.Credit(background, ledger.Credit{Account: a, Kind: ledger.KindTopup, Amount: money.Dollar, Test: test}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 40 {
		r := reserve(money.Cent)
		r.Account, r.Key, r.Test = int64(1+i%2), int64(1+i%2), i%5 == 0
		actual := money.Cent
		if i == 38 {
			actual = 2 * money.Dollar // more than there is: some of it is absorbed
		}
		h.charge(r, actual)
	}
	all := map[bool][]ledger.Entry{}
	for seq := h.Stats().LastSeq; seq > 0; seq-- {
		e, err := h.Entry(background, seq)
		if err != nil {
			t.Fatal(err)
		}
		if e.Account == 1 && e.Kind != ledger.KindAbsorbed {
			all[e.Test] = append(all[e.Test], *e)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		test := rapid.Bool().Draw(rt, "test")
		limit, offset := rapid.IntRange(1, 60).Draw(rt, "limit"), rapid.IntRange(0, 60).Draw(rt, "offset")
		got, whole, err := h.Transactions(background, 1, test, limit, offset)
		if err != nil || !whole {
			rt.Fatalf("Transactions: whole %t, %v", whole, err)
		}
		want := all[test][min(offset, len(all[test])):]
		want = want[:min(limit, len(want))]
		if diff := cmp.Diff(append([]ledger.Entry{}, want...), append([]ledger.Entry{}, got...)); diff != "" {
			rt.Errorf("limit %d, offset %d (-want +got):\n%s", limit, offset, diff)
		}
	})
	if got, whole, err := h.Transactions(background, 3, false, 5, 0); len(got) > 0 || !whole || err != nil {
		t.Errorf("of an unknown account: %v, %t, %v", got, whole, err)
	}
}
