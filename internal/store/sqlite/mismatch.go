package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pontage/pontage/internal/ledger"
)

// mismatches are what receipts, answers, holds and references may be found to
// contradict, by queries for the id of each. Those about few kinds of entries say
// kind <> 1 for the index of those.
var mismatches = []struct{ says, query string }{
	{
		"receipt %s has a charge, a refund or an absorbed amount without an entry",
		"SELECT id FROM receipts WHERE (seq = 0 AND (charge <> 0 OR refunded <> 0))" +
			" OR (refunded <> 0 AND id NOT IN (SELECT coalesce(req, zeroblob(16)) FROM entries WHERE kind = 4 AND kind <> 1))" +
			" OR (absorbed <> 0 AND id NOT IN (SELECT coalesce(req, zeroblob(16)) FROM entries WHERE kind = 7 AND kind <> 1)) LIMIT ?",
	},
	{
		"the refunds of request %s do not agree with its receipt, or exceed the charge",
		"SELECT e.req FROM (SELECT req, sum(amount) AS refunded FROM entries WHERE kind = 4 AND kind <> 1 GROUP BY req) e LEFT JOIN receipts r ON r.id = e.req" +
			" WHERE (r.id IS NULL AND coalesce(e.req, zeroblob(16)) > " + floorRequest + ") OR r.refunded <> e.refunded OR r.refunded > r.charge LIMIT ?",
	},
	{
		"refund %d went to another account or balance than the charge came from",
		"SELECT e.seq FROM entries e JOIN receipts r ON r.id = e.req WHERE e.kind = 4 AND e.kind <> 1 AND (e.account_id <> r.account_id OR e.test <> r.test) LIMIT ?",
	},
	{
		// Every charged receipt has an entry of its own, by the first check: only
		// where there are more entries than those is it worth a look at each.
		"the charge of entry %d has no receipt, or its request was charged before",
		"SELECT e.seq FROM entries e LEFT JOIN receipts r ON r.id = coalesce(e.req, zeroblob(16))" +
			" WHERE (SELECT count(*) FROM entries) - (SELECT count(*) FROM entries WHERE kind <> 1) <> (SELECT count(*) FROM receipts WHERE seq <> 0)" +
			" AND e.kind = 1 AND (r.id IS NULL OR r.seq <> e.seq) LIMIT ?",
	},
	{
		"what was absorbed of request %s does not agree with its receipt",
		"SELECT e.req FROM (SELECT req, sum(amount) AS absorbed FROM entries WHERE kind = 7 AND kind <> 1 GROUP BY req) e" +
			" LEFT JOIN receipts r ON r.id = coalesce(e.req, zeroblob(16)) WHERE r.id IS NULL OR r.absorbed <> e.absorbed LIMIT ?",
	},
	{
		"hold %s is posted, which does not agree with its charge",
		"SELECT h.id FROM holds h LEFT JOIN receipts r ON r.id = h.id LEFT JOIN entries e ON e.seq = r.seq WHERE h.state = 2 AND h.id > " + floorRequest +
			" AND (e.seq IS NULL OR e.kind <> 1 OR e.req <> h.id OR e.amount <> h.charge OR e.account_id <> h.account_id OR e.key_id <> h.key_id" +
			" OR e.test <> h.test OR e.day <> h.day) LIMIT ?",
	},
	{
		"hold %s is open or voided, but was charged",
		"SELECT h.id FROM holds h LEFT JOIN receipts r ON r.id = h.id WHERE h.state <> 2 AND (h.charge <> 0 OR r.seq <> 0) LIMIT ?",
	},
	{
		"the answer stored for request %s does not agree with its charge",
		"SELECT i.req FROM idem i LEFT JOIN entries e ON e.seq = i.seq" +
			" WHERE i.seq > (SELECT seq FROM ledger_floor) AND (e.seq IS NULL OR e.kind <> 1 OR e.req <> i.req OR e.account_id <> i.account_id OR e.test <> i.test) LIMIT ?",
	},
	{
		"reference of entry %d does not agree with it",
		"SELECT c.seq FROM credit_refs c LEFT JOIN entries e ON e.seq = c.seq WHERE e.seq IS NULL OR e.account_id <> c.account_id LIMIT ?",
	},
}

// floorRequest is the newest request whose receipt was deleted: one that is not
// newer may have none.
const floorRequest = "(SELECT req FROM ledger_floor)"

// Mismatches implements ledger.Reader.
func (s *snapshot) Mismatches(ctx context.Context, limit int) ([]string, error) {
	found, err := s.contradictions(ctx, limit)
	if err != nil {
		return nil, err
	}
	for _, c := range mismatches {
		err := s.rows(ctx, c.query, []any{limit}, func(rows *sql.Rows) error {
			var id any // of a request, or the number of an entry
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if _, is := id.(int64); !is {
				request, _ := id.([]byte) // null in a refund that was tampered with
				id = requestID(request)
			}
			found = append(found, fmt.Sprintf(c.says, id))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("compare receipts with entries: %w", err)
		}
	}
	lost, err := s.lostReferences(ctx, limit)
	return append(found, lost...), err
}

// lostReferences finds the credits and refunds whose reference is not kept: the same
// one again would be a second one.
func (s *snapshot) lostReferences(ctx context.Context, limit int) (found []string, err error) {
	const q = "SELECT e.seq, e.detail, c.account_id = e.account_id AND c.reference IS NOT NULL, c.reference" +
		" FROM entries e LEFT JOIN credit_refs c ON c.seq = e.seq WHERE e.kind IN (2, 3, 4, 5, 9) AND e.kind <> 1"
	err = s.rows(ctx, q, nil, func(rows *sql.Rows) error {
		var e ledger.Entry
		var detail sql.RawBytes
		var kept sql.NullBool
		var reference sql.NullString
		if err := rows.Scan(&e.Seq, &detail, &kept, &reference); err != nil {
			return err
		}
		if err := e.SetDetail(detail); err != nil {
			if len(found) < limit {
				found = append(found, err.Error())
			}
			return nil
		}
		if e.Reference != reference.String || (e.Reference != "" && !kept.Bool) {
			if len(found) < limit {
				found = append(found, fmt.Sprintf("the reference of entry %d is not kept", e.Seq))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare references with entries: %w", err)
	}
	return found, nil
}
