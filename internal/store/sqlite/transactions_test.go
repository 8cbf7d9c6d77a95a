package sqlite

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/ledger"
)

func TestAListingLooksThroughEntriesInPortions(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	db.scanned = 10
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &ledger.Batch{Epoch: m.Epoch}
	for seq := range int64(95) {
		e := &ledger.Entry{Seq: seq + 1, Time: time.Unix(seq, 0), Kind: ledger.KindTopup, Account: 1, Amount: 1}
		switch e.Seq {
		case 4, 51, 52, 95:
			e.Account = 2
		case 50:
			e.Account, e.Kind = 2, ledger.KindAbsorbed
		case 60:
			e.Account, e.Test = 2, true
		}
		b.Entries = append(b.Entries, e)
	}
	tx, err := j.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Insert(b), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]int{1: 13, 2: 11, 5: 10} {
		var found []int64
		before, portions := int64(math.MaxInt64), 0
		for {
			page, more, err := j.ListEntries(t.Context(), 2, false, before, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				found = append(found, e.Seq)
			}
			if portions++; more == 0 || portions > 30 {
				break
			}
			before = more
		}
		if diff := cmp.Diff([]int64{95, 52, 51, 4}, found); diff != "" || portions > want {
			t.Errorf("pages of %d: found in %d portions (-want +got):\n%s", limit, portions, diff)
		}
	}
}
