package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/ledger"
)

// ListEntries implements ledger.Journal. Like receipts, entries have no second
// index: a listing walks down and stops after a portion.
func (l *ledgerJournal) ListEntries(ctx context.Context, account int64, test bool, before int64, limit int) (page []*ledger.Entry, more int64, err error) {
	var newest int64
	if err := l.db.read.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM entries WHERE seq < ?", before).Scan(&newest); err != nil {
		return nil, 0, fmt.Errorf("list entries: %w", err)
	}
	floor := max(newest-int64(l.db.scanned), 0) // seq has no gaps
	const q = "SELECT " + entryColumns + " FROM entries WHERE seq <= ? AND seq > ? AND account_id = ? AND test = ? AND kind <> 7 ORDER BY seq DESC LIMIT ?"
	rows, err := l.db.read.QueryContext(ctx, q, newest, floor, account, bit(test), limit)
	if err != nil {
		return nil, 0, fmt.Errorf("list entries: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("list entries: %w", err)
		}
		page = append(page, e)
	}
	switch {
	case len(page) == limit:
		more = page[limit-1].Seq
	case floor > 0:
		more = floor + 1
	}
	return page, more, rows.Err()
}
