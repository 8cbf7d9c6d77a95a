package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// Charged receipts, with what of their entries' columns they contradict; null:
// nothing.
var visitCharged = visit{
	columns: "r.id, r.model, r.outcome, r.started, r.hold, r.charge, r.refunded, r.doc, e.detail," +
		" CASE WHEN e.seq IS NULL THEN 'there is none' WHEN e.kind <> 1 OR e.req IS NOT r.id THEN 'its request'" +
		" WHEN e.account_id <> r.account_id OR e.test <> r.test THEN 'its account' WHEN e.key_id <> r.key_id THEN 'its key'" +
		" WHEN e.amount <> r.charge THEN 'its charge' END",
	from:  "receipts r LEFT JOIN entries e ON e.seq = r.seq WHERE r.seq <> 0",
	order: "r.id",
}

// contradictions finds charged receipts that do not agree with their entry.
func (s *snapshot) contradictions(ctx context.Context, limit int) (found []string, err error) {
	err = visitCharged.each(ctx, s.conn, nil, func(v []driver.Value) error {
		if len(found) >= limit {
			return nil
		}
		if what := contradiction(v); what != "" {
			id, _ := v[0].([]byte)
			found = append(found, fmt.Sprintf("receipt %s does not agree with its entry: %s", requestID(id), what))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare receipts with entries: %w", err)
	}
	return found, nil
}

// contradiction says what does not agree; empty: nothing.
func contradiction(v []driver.Value) string {
	n := func(i int) int64 { n, _ := v[i].(int64); return n }
	b := func(i int) []byte { b, _ := v[i].([]byte); return b }
	text := func(i int) string { s, _ := v[i].(string); return s }
	if v[9] != nil {
		return text(9)
	}
	r := ledger.ReceiptRow{
		Model: text(1), Outcome: text(2), Started: fromNanos(n(3)), Hold: money.Amount(n(4)),
		Charge: money.Amount(n(5)), Refunded: money.Amount(n(6)), Doc: b(7),
	}
	copy(r.ID[:], b(0))
	return r.Contradicts(b(8))
}

// requestID formats the id of a request as callers and operators know it.
func requestID(id []byte) string {
	var r obs.RequestID
	copy(r[:], id)
	return r.String()
}
