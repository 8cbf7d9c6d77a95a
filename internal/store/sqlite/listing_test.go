package sqlite

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/ledger"
)

func TestAListingLooksThroughReceiptsInPortions(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	db.scanned = 10
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &ledger.Batch{Epoch: m.Epoch}
	for i := range 95 {
		r := &ledger.ReceiptRow{ID: [16]byte{0, byte(i + 1)}, Account: 1, Doc: (&ledger.Receipt{}).Doc()}
		if i == 3 || i == 50 {
			r.Account = 2
		}
		b.Receipts = append(b.Receipts, r)
	}
	tx, err := j.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Insert(b), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	var found []byte
	var before [16]byte
	portions := 0
	for {
		rows, more, err := j.ListReceipts(context.Background(), ledger.Filter{Account: 2}, before, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			found = append(found, r.ID[1])
		}
		if portions++; more == [16]byte{} || portions > 20 {
			break
		}
		before = more
	}
	if diff := cmp.Diff([]byte{51, 4}, found); diff != "" || portions != 10 {
		t.Errorf("found in %d portions (-want +got):\n%s", portions, diff)
	}
}

func TestTransactionsAreLookedForInTheNewestEntries(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	db.scanned = 10
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := topups(m, 25)
	for i, e := range b.Entries {
		e.Account = int64(1 + i%5)
	}
	tx, err := j.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Insert(b), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	list, err := j.ListEntries(t.Context(), ledger.TransactionFilter{Account: 1, Limit: 9})
	if err != nil || len(list) != 2 || list[0].Seq != 21 || list[1].Seq != 16 {
		t.Errorf("ListEntries = %+v, %v; want entries 21 and 16", list, err)
	}
	// With an offset, a listing of receipts ends with the portion.
	r, more, err := j.ListReceipts(t.Context(), ledger.Filter{Account: 1, Offset: 1}, [16]byte{}, 5)
	if err != nil || len(r) != 0 || more != [16]byte{} {
		t.Errorf("ListReceipts = %+v, %x, %v", r, more, err)
	}
}
