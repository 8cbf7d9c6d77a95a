package soak

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite" // the driver "sqlite": the test's own reading of the database
)

// books holds the journal against the upstream's bill. Amounts are nano-dollars.
type books struct {
	Upstream int64            `json:"upstream_nanousd"` // all that the upstream finished
	Journal  int64            `json:"journal_nanousd"`  // all that was charged
	Guessed  int64            `json:"guessed_nanousd"`  // charged to callers who left, less what the upstream asks for that
	Free     map[string]int64 `json:"free_nanousd"`     // finished, and not charged, by outcome
	Charges  int              `json:"charges"`          // requests
	Exact    int              `json:"charges_exact"`    // of them: to the nano-dollar what the upstream's usage costs
	Left     int              `json:"charges_of_leavers"`
	found    []string
}

func (b *books) find(format string, args ...any) {
	if len(b.found) < 20 {
		b.found = append(b.found, fmt.Sprintf(format, args...))
	}
}

// row is a receipt, with its charge in the journal if it has one.
type row struct {
	id                 requestID
	outcome            string
	seq, hold          int64
	charge, absorbed   int64
	entries, inJournal int64
	seen               bool
	what               seen
	bill               bill
}

// reconcile reads the database of a process that has ended.
func reconcile(path string, s *traffic, u *upstream) (*books, error) {
	b := &books{Free: map[string]int64{}}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	var orphans int
	if err := db.QueryRow("SELECT count(*) FROM entries e WHERE e.kind = 1 AND NOT EXISTS (SELECT 1 FROM receipts r WHERE r.id = e.req)").Scan(&orphans); err != nil {
		return nil, err
	}
	if orphans > 0 {
		b.find("%d charges have no receipt", orphans)
	}
	rows, err := db.QueryContext(context.Background(), `SELECT r.id, r.outcome, r.seq, r.hold, r.charge, r.absorbed, count(e.seq), coalesce(sum(e.amount), 0)
		FROM receipts r LEFT JOIN (SELECT seq, req, amount FROM entries WHERE kind = 1) e ON e.req = r.id GROUP BY r.id`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	told := map[requestID]bool{}
	for rows.Next() {
		var r row
		var id []byte
		if err := rows.Scan(&id, &r.outcome, &r.seq, &r.hold, &r.charge, &r.absorbed, &r.entries, &r.inJournal); err != nil {
			return nil, err
		}
		r.id = requestID(id)
		r.what, r.seen = s.seen[r.id]
		r.bill = u.bills[r.id]
		told[r.id] = true
		b.receipt(r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	b.others(told, s, u)
	var free int64
	for _, n := range b.Free {
		free += n
	}
	if b.Upstream != b.Journal-b.Guessed+free {
		b.find("the upstream asks for %d, which is not %d charged, less %d guessed, and %d free", b.Upstream, b.Journal, b.Guessed, free)
	}
	return b, nil
}

// freely are the outcomes whose answer is free although the upstream finished it.
var freely = map[string]bool{"blocked": true, "empty": true, "client_left": true, "interrupted": true, "failed": true}

// receipt judges one receipt.
func (b *books) receipt(r row) {
	b.Upstream += r.bill.nano
	b.Journal += r.inJournal
	switch {
	case r.entries > 1:
		b.find("%x: it is charged %d times", r.id, r.entries)
	case r.entries == 1 && (r.inJournal != r.charge || r.seq == 0):
		b.find("%x: it is charged %d, and its receipt says %d (entry %d)", r.id, r.inJournal, r.charge, r.seq)
	case r.absorbed != 0:
		b.find("%x: %d was absorbed, of an honest upstream", r.id, r.absorbed)
	case r.entries == 0:
		b.uncharged(r)
	case r.seen && r.what.fate == refused:
		b.find("%x: it was refused, and is charged %d", r.id, r.inJournal)
	case r.seen && r.what.fate == replayed:
		b.find("%x: it is a replay, and is charged %d", r.id, r.inJournal)
	case r.outcome == "ok" && r.bill.times == 1 && r.inJournal == r.bill.nano:
		b.Charges++
		b.Exact++
	case r.seen && r.what.fate == acked, r.outcome != "client_left" && r.outcome != "ok":
		b.find("%x: outcome %s, charged %d, and the upstream finished %d answers for %d", r.id, r.outcome, r.inJournal, r.bill.times, r.bill.nano)
	case r.inJournal > r.hold:
		b.find("%x: its caller left, and it is charged %d with a hold of %d", r.id, r.inJournal, r.hold)
	default:
		b.Charges++
		b.Left++
		b.Guessed += r.inJournal - r.bill.nano
	}
}

// uncharged judges a receipt without a charge.
func (b *books) uncharged(r row) {
	b.Free[r.outcome] += r.bill.nano
	switch {
	case r.seen && r.what.fate == acked && !r.what.free:
		b.find("%x: its final bytes came, and it is not charged: outcome %s", r.id, r.outcome)
	case r.bill.times > 0 && !freely[r.outcome] && !r.bill.job:
		b.find("%x: the upstream finished %d answers for %d, and it is free: outcome %s", r.id, r.bill.times, r.bill.nano, r.outcome)
	case r.bill.times > 0 && !r.bill.free && r.seen && r.what.fate != left && r.what.fate != refused:
		b.find("%x: the upstream finished its answer, the client saw it %s, and it is free: outcome %s", r.id, r.what.fate, r.outcome)
	}
}

// others judges what has no receipt: of a job that was cancelled, if of anything.
func (b *books) others(told map[requestID]bool, s *traffic, u *upstream) {
	for id, bill := range u.bills {
		if told[id] {
			continue
		}
		b.Upstream += bill.nano
		b.Free["cancelled job"] += bill.nano
		if !bill.job {
			b.find("%x: the upstream asks for %d, and there is no receipt", id, bill.nano)
		}
	}
	for id, what := range s.seen {
		if what.fate == acked && !what.free && !told[id] {
			b.find("%x: its final bytes came, and there is no receipt", id)
		}
	}
}
