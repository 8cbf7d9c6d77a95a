package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"

	"github.com/pontage/pontage/internal/ledger"
)

// visit is a query whose rows are handed to a function from within it. Very many
// rows take a third of the time that they take one by one: the driver locks the
// connection several times for each column, and copies it.
//
// Rows are handed over as they are found, and not sorted before: order must be what
// the table is stored by, and the plan must follow it.
type visit struct {
	columns string // expressions
	from    string // what follows FROM, up to a condition
	order   string // of the rows
}

// The visits.
var (
	visitBalances = visit{"account_id, credit, used, test_credit, test_used, folded_seq", "balances WHERE account_id > ? AND account_id <= ?", "account_id"}
	visitCounters = visit{"day, scope, id, account_id, reqs, nano, folded_seq, class", "day_counters WHERE day >= ?", "day"}
	visitUsage    = visit{
		"day, account_id, key_id, test, reqs, input, cached_input, cache_write, cache_write_1h, output, reasoning, nano, refunded, absorbed, folded_seq, model",
		"usage_days WHERE day >= ?", "day",
	}
	visitEntries    = visit{entryColumns, "entries WHERE seq > ? AND seq <= ?", "seq"}
	visitPlaces     = visit{"seq, account_id, test", "entries WHERE seq > ? AND seq <= ? AND amount > 0 AND kind <> 7", "seq"}
	visitReceiptIDs = visit{"id, account_id", "receipts WHERE id > ? AND id <= ?", "id"}
)

// each calls do for every row. The values, and the bytes of strings and blobs, are
// do's until it returns; of a STRICT table they are of its types. do must not use
// the connection.
func (q visit) each(ctx context.Context, conn *sql.Conn, args []any, do func([]driver.Value) error) error {
	v := &visitor{ctx: ctx, do: do}
	id := visitors.last.Add(1)
	visitors.all.Store(id, v)
	defer visitors.all.Delete(id)
	named := make([]driver.NamedValue, 0, len(args)+1)
	for i, a := range append(args[:len(args):len(args)], id) {
		named = append(named, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	err := conn.Raw(func(c any) error {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, q.text(), named) // has none: each one was said to be none
		if err != nil {
			return err
		}
		return rows.Close()
	})
	if v.err != nil {
		return v.err // err only quotes it
	}
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	return nil
}

func (q visit) text() string {
	return "SELECT 1 FROM " + q.from + " AND " + visitFunction + "(?, " + q.columns + ") ORDER BY " + q.order
}

// visit does what each of the query does, on a connection of its own.
func (db *DB) visit(ctx context.Context, q visit, args []any, do func([]driver.Value)) (err error) {
	conn, err := db.views.Conn(ctx)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return q.each(ctx, conn, args, func(v []driver.Value) error { do(v); return nil })
}

// visitFunction is the SQL function that hands a row to the visitor whose number
// is the first argument. It is false of every row.
const visitFunction = "pontage_visit"

// admitVisitors makes it known to every connection that is opened afterwards.
var admitVisitors = sync.OnceFunc(func() {
	sqlite.MustRegisterFunction(visitFunction, &sqlite.FunctionImpl{NArgs: -1, VolatileArgs: true, Scalar: visitRow})
})

// visitors are those whose queries run.
var visitors struct {
	last atomic.Int64
	all  sync.Map // int64: *visitor
}

type visitor struct {
	ctx context.Context
	do  func([]driver.Value) error
	err error // that ended the query
}

func visitRow(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	if len(args) == 0 {
		return nil, errNoVisitor
	}
	known, ok := visitors.all.Load(args[0])
	if !ok {
		return nil, errNoVisitor
	}
	v := known.(*visitor)
	if v.ctx.Err() != nil {
		v.err = context.Cause(v.ctx)
	} else {
		v.err = v.do(args[1:])
	}
	return nil, v.err
}

var errNoVisitor = errors.New("nobody visits")

// integers reads as many values as there are numbers to fill in.
func integers(values []driver.Value, n []int64) error {
	for i := range n {
		var ok bool
		if n[i], ok = values[i].(int64); !ok {
			return fmt.Errorf("column %d is no integer", i+1)
		}
	}
	return nil
}

// dayOf returns the day of that number.
func dayOf(n int64) (ledger.Day, error) {
	d := ledger.Day(n)
	if int64(d) != n {
		return 0, fmt.Errorf("%d is no day", n)
	}
	return d, nil
}

// names holds one copy of each of a few strings.
type names map[string]string

// of returns a copy of a text that outlives its row.
func (n names) of(value driver.Value) string {
	s, _ := value.(string)
	kept, known := n[s]
	if !known {
		kept = strings.Clone(s)
		n[kept] = kept
	}
	return kept
}
