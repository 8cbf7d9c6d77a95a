package kill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite": the test's own reading of the database
)

// Numbers of the kinds of entries in the database.
const (
	kindUsage = iota + 1
	kindTopup
	kindGrant
	kindRefund
	kindAdjust
	kindExpire
	kindAbsorbed
	_
	kindReduce
)

// Numbers of the deliveries in the database.
const (
	deliveryUnknown = iota
	deliveryComplete
	deliveryPartial
	deliveryNone
)

type requestID = [16]byte

// line is an entry of the journal, with its receipt if it is a charge.
type line struct {
	seq, kind, account, key, day, amount int64
	test                                 bool
	request                              requestID
	receipt                              *stub
}

// stub is what of a receipt has columns of its own.
type stub struct {
	charge, hold, absorbed, delivery int64
	outcome                          string
	started                          time.Time
}

// purse is the money of an account, as its entries add up.
type purse struct{ credit, used int64 }

func (p purse) balance() int64 { return p.credit - p.used }

// dayUse is what a key has used of a day.
type dayUse struct{ requests, nano int64 }

type keyDay struct{ key, day int64 }

// charge is what a request was charged.
type charge struct {
	line     line
	absorbed int64
	refunded int64
}

// book adds up the entries by itself, as they come, and finds what must not be.
type book struct {
	keys    map[int64]*key // by number, with their limits
	last    int64          // entry read
	sum     int64          // of all amounts
	purses  map[int64]purse
	days    map[keyDay]dayUse
	charges map[requestID]*charge
	credits map[int64]line // top-ups and grants, by entry
	refunds map[int64]line // by entry
}

func newBook() *book {
	return &book{
		keys: map[int64]*key{}, purses: map[int64]purse{}, days: map[keyDay]dayUse{},
		charges: map[requestID]*charge{}, credits: map[int64]line{}, refunds: map[int64]line{},
	}
}

// copyDatabase copies the files that a process left behind when it died, so that
// looking at them changes nothing.
func copyDatabase(from, dir string) (string, error) {
	to := filepath.Join(dir, "pontage.db")
	for _, suffix := range []string{"", "-wal"} {
		err := copyFile(from+suffix, to+suffix)
		if err != nil && (suffix == "" || !errors.Is(err, os.ErrNotExist)) {
			return "", err
		}
	}
	return to, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return errors.Join(err, os.RemoveAll(to))
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// open opens a database for reading with SQL.
func open(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=query_only(1)")
}

// read returns the entries that the book does not have yet, and makes sure that
// those it has are still there.
func (b *book) read(ctx context.Context, db *sql.DB) (lines []line, err error) {
	tx, err := db.BeginTx(ctx, nil) // one view for all that is asked
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	var count, sum int64
	if err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(amount), 0) FROM entries WHERE seq <= ?", b.last).Scan(&count, &sum); err != nil {
		return nil, err
	}
	if count != b.last || sum != b.sum {
		return nil, fmt.Errorf("the first %d entries were %s in all, and now they are %d and %s", b.last, usd(b.sum), count, usd(sum))
	}
	rows, err := tx.QueryContext(ctx, `SELECT e.seq, e.kind, e.account_id, e.key_id, e.test, e.day, e.amount, e.req,
		r.seq, r.charge, r.hold, r.absorbed, r.delivery, r.outcome, r.started
		FROM entries e LEFT JOIN receipts r ON e.kind = 1 AND r.id = e.req
		WHERE e.seq > ? ORDER BY e.seq`, b.last)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var l line
		var req []byte
		var seq, charge, hold, absorbed, delivery, started sql.NullInt64
		var outcome sql.NullString
		if err := rows.Scan(&l.seq, &l.kind, &l.account, &l.key, &l.test, &l.day, &l.amount, &req, &seq, &charge, &hold, &absorbed, &delivery, &outcome, &started); err != nil {
			return nil, err
		}
		copy(l.request[:], req)
		if seq.Valid {
			l.receipt = &stub{charge: charge.Int64, hold: hold.Int64, absorbed: absorbed.Int64, delivery: delivery.Int64, outcome: outcome.String, started: time.Unix(0, started.Int64).UTC()}
			if seq.Int64 != l.seq {
				return nil, fmt.Errorf("entry %d: its receipt names entry %d", l.seq, seq.Int64)
			}
		}
		lines = append(lines, l)
	}
	return lines, rows.Err()
}

// add adds entries, and reports what is wrong with them.
func (b *book) add(lines []line, f *findings) {
	for _, l := range lines {
		if l.seq != b.last+1 {
			f.add(wrong, "entry %d follows entry %d", l.seq, b.last)
		}
		b.last, b.sum = l.seq, b.sum+l.amount
		if l.test {
			f.add(wrong, "entry %d is of a test balance, and no test key exists", l.seq)
		}
		p := b.purses[l.account]
		switch l.kind {
		case kindUsage:
			p.used += l.amount
			b.charge(l, f)
		case kindTopup, kindGrant:
			p.credit += l.amount
			b.credits[l.seq] = l
		case kindRefund:
			p.credit += l.amount
			b.refund(l, f)
		case kindExpire:
			p.credit -= l.amount
		case kindAbsorbed:
			if c := b.charges[l.request]; c != nil {
				c.absorbed += l.amount
			}
		case kindAdjust, kindReduce:
			f.add(wrong, "entry %d is an adjustment that nobody made", l.seq)
		default:
			f.add(wrong, "entry %d is of kind %d", l.seq, l.kind)
		}
		b.purses[l.account] = p
		if p.balance() < 0 {
			f.add(overspend, "entry %d takes the balance of account %d to %s", l.seq, l.account, usd(p.balance()))
		}
	}
}

// charge notes the charge of a request, and what its key has used of the day.
func (b *book) charge(l line, f *findings) {
	if before := b.charges[l.request]; before != nil {
		f.add(double, "request %x is charged by entry %d and by entry %d", l.request, before.line.seq, l.seq)
		return
	}
	b.charges[l.request] = &charge{line: l}
	d := b.days[keyDay{l.key, l.day}]
	d.requests++
	d.nano += l.amount
	b.days[keyDay{l.key, l.day}] = d
	k := b.keys[l.key]
	switch {
	case k == nil:
		f.add(wrong, "entry %d is of key %d, which nobody made", l.seq, l.key)
		return
	case k.account.num != l.account:
		f.add(wrong, "entry %d is of a key of another account", l.seq)
	}
	if k.requestsPerDay > 0 && d.requests > k.requestsPerDay {
		f.add(overspend, "entry %d is request %d of a key's day with %d", l.seq, d.requests, k.requestsPerDay)
	}
	if k.usdPerDay > 0 && d.nano > k.usdPerDay {
		f.add(overspend, "entry %d brings a key to %s of a day with %s", l.seq, usd(d.nano), usd(k.usdPerDay))
	}
	switch r := l.receipt; {
	case r == nil:
		f.add(wrong, "entry %d has no receipt", l.seq)
	case r.charge != l.amount:
		f.add(wrong, "entry %d charges %s, its receipt says %s", l.seq, usd(l.amount), usd(r.charge))
	case daysSince(r.started) != l.day && !nearMidnight(r.started):
		f.add(wrong, "entry %d counts on day %d, and the request was admitted at %v, day %d", l.seq, l.day, r.started, daysSince(r.started))
	}
}

// refund notes a refund.
func (b *book) refund(l line, f *findings) {
	b.refunds[l.seq] = l
	c := b.charges[l.request]
	if c == nil {
		f.add(wrong, "entry %d refunds request %x, which was not charged", l.seq, l.request)
		return
	}
	if c.refunded += l.amount; c.refunded > c.line.amount {
		f.add(overspend, "entry %d brings the refunds of a charge of %s to %s", l.seq, usd(c.line.amount), usd(c.refunded))
	}
}

// daysSince is the UTC day of t, since 1970.
func daysSince(t time.Time) int64 { return t.Unix() / 86400 }

// nearMidnight reports that a request that arrived at t may have been admitted
// on the next day.
func nearMidnight(t time.Time) bool {
	return daysSince(t) != daysSince(t.Add(2*time.Second))
}

// folded holds the rows that the product keeps of balances and counters against
// the book. All of them must be folded up to the last entry.
func (b *book) folded(ctx context.Context, db *sql.DB, f *findings) error {
	rows, err := db.QueryContext(ctx, "SELECT account_id, credit, used, test_credit, test_used FROM balances")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	seen := 0
	for rows.Next() {
		var id, credit, used, testCredit, testUsed int64
		if err := rows.Scan(&id, &credit, &used, &testCredit, &testUsed); err != nil {
			return err
		}
		seen++
		if p := b.purses[id]; p.credit != credit || p.used != used || testCredit != 0 || testUsed != 0 {
			f.add(wrong, "account %d: its row says credit %s and used %s, its entries say %s and %s", id, usd(credit), usd(used), usd(p.credit), usd(p.used))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if seen != len(b.purses) {
		f.add(wrong, "%d accounts have a row, and %d have entries", seen, len(b.purses))
	}
	return b.counted(ctx, db, f)
}

// counted does the same for the counters of keys.
func (b *book) counted(ctx context.Context, db *sql.DB, f *findings) error {
	rows, err := db.QueryContext(ctx, "SELECT day, id, reqs, nano FROM day_counters WHERE scope = 1")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	seen := 0
	for rows.Next() {
		var k keyDay
		var d dayUse
		if err := rows.Scan(&k.day, &k.key, &d.requests, &d.nano); err != nil {
			return err
		}
		seen++
		if has := b.days[k]; has != d {
			f.add(wrong, "key %d, day %d: its row says %d requests and %s, its entries say %d and %s", k.key, k.day, d.requests, usd(d.nano), has.requests, usd(has.nano))
		}
	}
	if seen != len(b.days) {
		f.add(wrong, "%d days of keys have a row, and %d have entries", seen, len(b.days))
	}
	return rows.Err()
}
