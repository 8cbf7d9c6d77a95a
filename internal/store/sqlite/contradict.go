package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// contradictions finds charged receipts that do not agree with their entry.
func (s *snapshot) contradictions(ctx context.Context, limit int) (found []string, err error) {
	const q = "SELECT r.id, r.account_id, r.key_id, r.test, r.model, r.outcome, r.started, r.hold, r.charge, r.absorbed, r.refunded, r.doc," +
		" e.kind, e.account_id, e.key_id, e.test, e.amount, e.req, e.detail" +
		" FROM receipts r LEFT JOIN entries e ON e.seq = r.seq WHERE r.seq <> 0"
	err = rawRows(ctx, s.conn, q, nil, func(v []driver.Value) error {
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
	if v[12] == nil {
		return "there is none"
	}
	r := ledger.ReceiptRow{
		Account: n(1), Key: n(2), Test: n(3) != 0, Model: text(4), Outcome: text(5), Started: fromNanos(n(6)), Hold: money.Amount(n(7)),
		Charge: money.Amount(n(8)), Absorbed: money.Amount(n(9)), Refunded: money.Amount(n(10)), Doc: b(11),
	}
	copy(r.ID[:], b(0))
	e := ledger.Entry{Kind: ledger.KindOf(n(12)), Account: n(13), Key: n(14), Test: n(15) != 0, Amount: money.Amount(n(16))}
	copy(e.Request[:], b(17))
	if e.SetDetail(b(18)) != nil {
		return "it cannot be read"
	}
	return r.Contradicts(&e)
}

// requestID formats the id of a request as callers and operators know it.
func requestID(id []byte) string {
	var r obs.RequestID
	copy(r[:], id)
	return r.String()
}
