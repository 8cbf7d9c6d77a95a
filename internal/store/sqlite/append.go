package sqlite

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// What a transaction of the journal writes.
var (
	insertEntries = verb{
		head: "INSERT INTO entries (seq, ts, kind, account_id, key_id, test, day, amount, req, detail) VALUES ",
		row:  "(?,?,?,?,?,?,?,?,?,?)",
	}
	insertCharged = verb{
		head: "INSERT OR REPLACE INTO receipts (id, seq, account_id, key_id, test, model, outcome, delivery, started, hold, charge, absorbed, refunded, doc) VALUES ",
		row:  "(?,?,?,?,?,?,?,?,?,?,?,?,0,?)",
	}
	// A receipt without a charge never takes the place of one with a charge.
	insertUncharged = verb{head: "INSERT OR IGNORE" + insertCharged.head[len("INSERT OR REPLACE"):], row: insertCharged.row}
	insertLate      = verb{head: "INSERT OR IGNORE INTO receipts_late (account_id, id) VALUES ", row: "(?,?)"}
	insertRefs      = verb{head: "INSERT INTO credit_refs (account_id, reference, seq) VALUES ", row: "(?,?,?)"}
	markComplete    = verb{head: "UPDATE receipts SET delivery = 1 WHERE delivery = 0 AND id IN (", row: "?", tail: ")"}
	markPartial     = verb{head: "UPDATE receipts SET delivery = 2 WHERE delivery = 0 AND id IN (", row: "?", tail: ")"}

	foldBalances = verb{
		head: "INSERT INTO balances (account_id, credit, used, test_credit, test_used, folded_seq) VALUES ",
		row:  "(?,?,?,?,?,?)",
		tail: " ON CONFLICT (account_id) DO UPDATE SET credit = excluded.credit, used = excluded.used," +
			" test_credit = excluded.test_credit, test_used = excluded.test_used, folded_seq = excluded.folded_seq",
	}
	insertGrants = verb{head: "INSERT INTO grants (seq, account_id, test, remaining, expires_at) VALUES ", row: "(?,?,?,?,?)"}
	foldCounters = verb{
		head: "INSERT INTO day_counters (day, scope, id, class, account_id, reqs, nano, folded_seq) VALUES ",
		row:  "(?,?,?,?,?,?,?,?)",
		tail: " ON CONFLICT (day, scope, id, class) DO UPDATE SET reqs = reqs + excluded.reqs, nano = nano + excluded.nano, folded_seq = excluded.folded_seq",
	}
	foldUsage = verb{
		head: "INSERT INTO usage_days (day, account_id, key_id, test, model, reqs, input, cached_input, cache_write, cache_write_1h, output, reasoning, nano, refunded, absorbed, folded_seq) VALUES ",
		row:  "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		tail: " ON CONFLICT (day, account_id, key_id, test, model) DO UPDATE SET reqs = reqs + excluded.reqs, input = input + excluded.input," +
			" cached_input = cached_input + excluded.cached_input, cache_write = cache_write + excluded.cache_write," +
			" cache_write_1h = cache_write_1h + excluded.cache_write_1h, output = output + excluded.output, reasoning = reasoning + excluded.reasoning," +
			" nano = nano + excluded.nano, refunded = refunded + excluded.refunded, absorbed = absorbed + excluded.absorbed, folded_seq = excluded.folded_seq",
	}
)

// deliveries holds the deliveries at their numbers.
var deliveries = [...]string{ledger.DeliveryUnknown, ledger.DeliveryComplete, ledger.DeliveryPartial, ledger.DeliveryNone}

func deliveryNumber(s string) int64 {
	return int64(max(slices.Index(deliveries[:], s), 0))
}

func bit(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// nanos keeps the zero time as 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Insert implements ledger.Tx.
func (t *journalTx) Insert(b *ledger.Batch) error { return again(t.insert(b)) }

func (t *journalTx) insert(b *ledger.Batch) error {
	last := b.After
	if n := len(b.Entries); n > 0 {
		last = b.Entries[n-1].Seq
	}
	t.last, t.receipts = last, int64(len(b.Receipts))
	res, err := t.j.exec("UPDATE ledger_mark SET last_seq = ? WHERE id = 1 AND epoch = ? AND last_seq = ?", last, b.Epoch, b.After)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || (n != 1 && !ledger.Mutated(ledger.FenceIgnored)) {
		return fmt.Errorf("%w (epoch %d, after entry %d)", ledger.ErrFenced, b.Epoch, b.After)
	}
	if err := t.digests(b.Closed, b.Digested); err != nil {
		return fmt.Errorf("digests: %w", err)
	}
	if err := t.entries(b.Entries); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	if err := t.insertReceipts(b.Receipts); err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	for i := range b.Aborted {
		a := &b.Aborted[i]
		if _, err := t.j.exec("UPDATE receipts SET outcome = ?, doc = ? WHERE id = ?", ledger.OutcomeAborted, a.Doc, a.ID[:]); err != nil {
			return fmt.Errorf("aborted: %w", err)
		}
	}
	if err := t.deliveries(b.Delivered); err != nil {
		return fmt.Errorf("deliveries: %w", err)
	}
	if err := t.answers(b.Forgotten, b.Answers); err != nil {
		return fmt.Errorf("answers: %w", err)
	}
	if err := t.holds(b.Opened, b.Ended); err != nil {
		return fmt.Errorf("holds: %w", err)
	}
	if err := t.events(b.Events, b.Warned); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	return nil
}

func (t *journalTx) entries(list []*ledger.Entry) error {
	err := t.j.each(insertEntries, len(list), func(a []any, i int) []any {
		e := list[i]
		var req any
		if e.Request != [16]byte{} {
			req = e.Request[:]
		}
		return append(a, e.Seq, e.Time.UnixNano(), e.Kind.Number(), e.Account, e.Key, bit(e.Test), int64(e.Day), int64(e.Amount), req, e.Detail())
	})
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Reference != "" {
			if err := t.j.each(insertRefs, 1, func(a []any, _ int) []any { return append(a, e.Account, e.Reference, e.Seq) }); err != nil {
				return fmt.Errorf("reference: %w", err)
			}
		}
		if e.Kind == ledger.KindRefund {
			if _, err := t.j.exec("UPDATE receipts SET refunded = refunded + ? WHERE id = ?", int64(e.Amount), e.Request[:]); err != nil {
				return fmt.Errorf("refund: %w", err)
			}
		}
	}
	return nil
}

// insertReceipts writes charged and uncharged receipts, each kind at once, and
// notes those that come late for their run.
func (t *journalTx) insertReceipts(list []*ledger.ReceiptRow) error {
	var charged, uncharged, late []*ledger.ReceiptRow
	for _, r := range list {
		if bytes.Compare(r.ID[:], t.j.db.late) <= 0 {
			late = append(late, r)
		}
		if r.Seq != 0 {
			charged = append(charged, r)
		} else {
			uncharged = append(uncharged, r)
		}
	}
	write := func(v verb, list []*ledger.ReceiptRow) error {
		return t.j.each(v, len(list), func(a []any, i int) []any {
			r := list[i]
			return append(a, r.ID[:], r.Seq, r.Account, r.Key, bit(r.Test), r.Model, r.Outcome, deliveryNumber(r.Delivery),
				nanos(r.Started), int64(r.Hold), int64(r.Charge), int64(r.Absorbed), r.Doc)
		})
	}
	if err := write(insertCharged, charged); err != nil {
		return err
	}
	if err := write(insertUncharged, uncharged); err != nil {
		return err
	}
	return t.j.each(insertLate, len(late), func(a []any, i int) []any { return append(a, late[i].Account, late[i].ID[:]) })
}

func (t *journalTx) deliveries(list []ledger.Delivered) error {
	var complete, partial []ledger.Delivered
	for _, d := range list {
		if d.Delivery == ledger.DeliveryComplete {
			complete = append(complete, d)
		} else {
			partial = append(partial, d)
		}
	}
	write := func(v verb, list []ledger.Delivered) error {
		return t.j.each(v, len(list), func(a []any, i int) []any { return append(a, list[i].ID[:]) })
	}
	if err := write(markComplete, complete); err != nil {
		return err
	}
	return write(markPartial, partial)
}

// Fold implements ledger.Tx.
func (t *journalTx) Fold(f *ledger.Fold) error { return again(t.fold(f)) }

func (t *journalTx) fold(f *ledger.Fold) error {
	err := t.j.each(foldBalances, len(f.Balances), func(a []any, i int) []any {
		b := &f.Balances[i]
		return append(a, b.Account, int64(b.Credit[0]), int64(b.Used[0]), int64(b.Credit[1]), int64(b.Used[1]), b.Folded)
	})
	if err != nil {
		return err
	}
	for i := range f.Balances {
		if b := &f.Balances[i]; b.HasGrants {
			if err := t.grants(b); err != nil {
				return err
			}
		}
	}
	err = t.j.each(foldCounters, len(f.Counters), func(a []any, i int) []any {
		c := &f.Counters[i]
		return append(a, int64(c.Day), int64(c.Scope), c.ID, c.Class, c.Account, c.Requests, int64(c.Spent), c.Folded)
	})
	if err != nil {
		return err
	}
	err = t.j.each(foldUsage, len(f.Usage), func(a []any, i int) []any {
		u := &f.Usage[i]
		return append(a, int64(u.Day), u.Account, u.Key, bit(u.Test), u.Model, u.Requests,
			u.Tokens.Input, u.Tokens.CachedInput, u.Tokens.CacheWrite, u.Tokens.CacheWrite1h, u.Tokens.Output, u.Tokens.Reasoning,
			int64(u.Charge), int64(u.Refunded), int64(u.Absorbed), u.Folded)
	})
	if err != nil || f.LowWater < 0 {
		return err
	}
	_, err = t.j.exec("UPDATE ledger_mark SET low_water = ? WHERE id = 1", f.LowWater)
	return err
}

func (t *journalTx) grants(b *ledger.BalanceRow) error {
	if _, err := t.j.exec("DELETE FROM grants WHERE account_id = ?", b.Account); err != nil {
		return fmt.Errorf("grants: %w", err)
	}
	err := t.j.each(insertGrants, len(b.Grants), func(a []any, i int) []any {
		g := &b.Grants[i]
		return append(a, g.Seq, g.Account, bit(g.Test), int64(g.Remaining), g.ExpiresAt.UnixNano())
	})
	if err != nil {
		return fmt.Errorf("grants: %w", err)
	}
	return nil
}
