package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Filter chooses receipts. Its zero members choose everything.
type Filter struct {
	Account, Key int64
	Model        string
	Outcome      string
	Charged      bool      // only requests that were charged, be it 0
	From, To     time.Time // started at From or later, and before To
	Offset       int       // so many that match are left out, without a cursor; at most 10,000
	Limit        int       // of a page; 0: 100; at most 1000
	Cursor       string    // next of the page before
}

// Groups of a usage report.
const (
	GroupDay     = "day"
	GroupAccount = "account"
	GroupKey     = "key"
	GroupModel   = "model"
)

// UsageFilter chooses what a usage report is about. Its zero members choose
// everything of the live balance.
type UsageFilter struct {
	Account, Key int64
	Model        string
	Test         bool      // the test balance instead
	From, To     time.Time // days from that of From to that of To, both included; zero: no bound
	GroupBy      []string  // day, account, key, model; rows are in this order; empty: one sum
	Limit        int       // at most so many rows, the first of them; 0: all there are
}

// TransactionFilter chooses entries of one balance.
type TransactionFilter struct {
	Account int64
	Test    bool  // the test balance instead
	Before  int64 // only entries with a lower number; 0: no bound
	Limit   int   // 0: 100; at most 200
	Offset  int   // so many of the newest are left out; at most 10,000
}

// Bounds of pages.
const (
	defaultPage     = 100
	maxPage         = 1000
	maxTransactions = 200
	maxOffset       = 10_000
)

// Receipt returns the receipt of a request, or nil if there is none.
func (e *Engine) Receipt(ctx context.Context, id [16]byte) (*Receipt, error) {
	if err := e.catchUp(ctx); err != nil {
		return nil, err
	}
	row, err := e.journal.ReadReceipt(ctx, id)
	if err != nil || row == nil {
		return nil, err
	}
	return row.Receipt()
}

// catchUp waits for lazy receipts, so that what happened before can be read. It
// does not wait while nothing can be written.
func (e *Engine) catchUp(ctx context.Context) error {
	if e.queue.quiet() {
		return nil
	}
	if err := e.sync(ctx, &barrier{}); err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Receipts returns a page of receipts, newest first, and the cursor of the next
// page, which is empty at the end. A page may be short, or even empty, while
// there is a next one: looking through very many receipts is done in portions,
// of 10,000 receipts of an account or 200,000 of everybody. With an offset only
// the first 200,000 are looked through.
func (e *Engine) Receipts(ctx context.Context, f Filter) (page []*Receipt, next string, err error) {
	limit := f.Limit
	if limit == 0 {
		limit = defaultPage
	}
	switch {
	case limit < 0 || limit > maxPage:
		return nil, "", fmt.Errorf("receipts: limit: %d is not between 1 and %d", limit, maxPage)
	case f.Offset < 0 || f.Offset > maxOffset:
		return nil, "", fmt.Errorf("receipts: offset: %d is not between 0 and %d", f.Offset, maxOffset)
	case f.Offset > 0 && f.Cursor != "":
		return nil, "", errors.New("receipts: offset: not together with a cursor")
	}
	var before [16]byte
	if f.Cursor != "" {
		if n, err := hex.Decode(before[:], []byte(f.Cursor)[:min(len(f.Cursor), 32)]); err != nil || n != 16 || len(f.Cursor) != 32 {
			return nil, "", errors.New("receipts: cursor: not one of ours")
		}
	}
	if err := e.catchUp(ctx); err != nil {
		return nil, "", err
	}
	rows, more, err := e.journal.ListReceipts(ctx, f, before, limit)
	if err != nil {
		return nil, "", err
	}
	for _, row := range rows {
		r, err := row.Receipt()
		if err != nil {
			return nil, "", err
		}
		page = append(page, r)
	}
	if more != [16]byte{} {
		next = hex.EncodeToString(more[:])
	}
	return page, next, nil
}

// Usage returns the usage report: sums of the entries, up to the newest one.
func (e *Engine) Usage(ctx context.Context, f UsageFilter) ([]UsageRow, error) {
	for _, g := range f.GroupBy {
		if !slices.Contains([]string{GroupDay, GroupAccount, GroupKey, GroupModel}, g) {
			return nil, fmt.Errorf("usage: group_by: %q is not day, account, key or model", g)
		}
	}
	if err := e.sync(ctx, &barrier{fold: true}); err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return e.journal.ReadUsage(ctx, f)
}

// Transactions returns the entries that moved a balance, newest first, up to the
// newest durable one. The number of the last of them is the Before of the next
// page.
func (e *Engine) Transactions(ctx context.Context, f TransactionFilter) ([]Entry, error) {
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	switch {
	case f.Account == 0:
		return nil, errors.New("transactions: account: missing")
	case f.Before < 0:
		return nil, fmt.Errorf("transactions: before: %d is negative", f.Before)
	case f.Limit < 0 || f.Limit > maxTransactions:
		return nil, fmt.Errorf("transactions: limit: %d is not between 1 and %d", f.Limit, maxTransactions)
	case f.Offset < 0 || f.Offset > maxOffset:
		return nil, fmt.Errorf("transactions: offset: %d is not between 0 and %d", f.Offset, maxOffset)
	}
	return e.journal.ListEntries(ctx, f)
}

// Entry returns an entry of the journal, or nil if there is none.
func (e *Engine) Entry(ctx context.Context, seq int64) (*Entry, error) {
	return e.journal.ReadEntry(ctx, seq)
}
