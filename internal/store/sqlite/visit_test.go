package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
)

func TestAVisitSeesEveryRowInOrder(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTemp(t)
	conn, err := db.views.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	err = db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("CREATE TABLE numbers (n INTEGER NOT NULL PRIMARY KEY); INSERT INTO numbers (n) VALUES (3), (1), (2), (9)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	q := visit{"n, 'text' || n, CAST(n AS BLOB), nullif(n, 2), x''", "numbers WHERE n < ?", "n"}
	var got []string
	see := func(v []driver.Value) error {
		got = append(got, fmt.Sprintf("%v", v))
		return nil
	}
	want := []string{"[1 text1 [49] 1 []]", "[2 text2 [50] <nil> []]", "[3 text3 [51] 3 []]"}
	if err := q.each(ctx, conn, []any{int64(9)}, see); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}

	enough := errors.New("enough")
	n := 0
	err = q.each(ctx, conn, []any{int64(9)}, func([]driver.Value) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("after an error: %v, %d rows", err, n)
	}
	ended, end := context.WithCancelCause(ctx)
	n = 0
	err = q.each(ended, conn, []any{int64(9)}, func([]driver.Value) error { n++; end(enough); return nil })
	if n != 1 || (!errors.Is(err, enough) && !errors.Is(err, context.Canceled)) {
		t.Errorf("after its end: %v, %d rows", err, n)
	}
	if err := (visit{"n", "nothing WHERE true", "n"}).each(ctx, conn, nil, see); err == nil {
		t.Error("a query that makes no sense has no error")
	}
	for _, q := range []string{"SELECT pontage_visit()", "SELECT pontage_visit(1)", "SELECT pontage_visit('1', 2)"} {
		if rows, err := conn.QueryContext(ctx, q); err == nil {
			_ = rows.Close()
			t.Errorf("%s: no error, though nobody visits", q)
		}
	}
	n = 0
	if err := q.each(ctx, conn, []any{int64(9)}, func([]driver.Value) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("the connection is not as it was: %v, %d rows", err, n)
	}
}

// A visit whose rows would have to be sorted sees them as they are found.
func TestNoVisitIsSorted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTemp(t)
	plan := func(q visit) (plan string) {
		args := make([]any, strings.Count(q.text(), "?"))
		err := eachRow(ctx, db.read, "EXPLAIN QUERY PLAN "+q.text(), args, func(rows *sql.Rows) error {
			var id, parent, none int
			var detail string
			err := rows.Scan(&id, &parent, &none, &detail)
			plan += detail + "\n"
			return err
		})
		if err != nil || plan == "" {
			t.Fatalf("%s: %q, %v", q.text(), plan, err)
		}
		return plan
	}
	for _, q := range []visit{visitBalances, visitCounters, visitUsage, visitEntries, visitPlaces, visitReceiptIDs, visitCharged} {
		if p := plan(q); strings.Contains(p, "TEMP B-TREE") {
			t.Errorf("%s:\n%s", q.text(), p)
		}
	}
	if p := plan(visit{"seq", "entries WHERE true", "amount"}); !strings.Contains(p, "TEMP B-TREE") {
		t.Errorf("a visit that is sorted cannot be told:\n%s", p)
	}
}

// What was cut off would make two rows one.
func TestFoldsOfNoDayAreErrors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, c := range []struct{ row, says string }{
		{"day_counters VALUES ((1 << 32) + 20526, 1, 1, '', 1, 1, 1, 1)", "is no day"},
		{"day_counters VALUES (20526, 257, 1, '', 1, 1, 1, 1)", "is no scope"},
		{"usage_days VALUES ((1 << 32) + 20526, 1, 1, 0, 'm', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)", "is no day"},
	} {
		db, err := Open(ctx, filepath.Join(t.TempDir(), "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO " + c.row)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if rep, err := ledger.Verify(ctx, db.Journal()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v; want an error that it %s", c.row, rep, err, c.says)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
