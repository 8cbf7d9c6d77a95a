package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// ErrRetry is wrapped by errors of [Journal.Begin] and of a [Tx] after which
// nothing was written and the same batch may be tried again: the disk is full, or
// somebody holds the database. Every other error of theirs leaves memory and disk
// possibly apart.
var ErrRetry = errors.New("nothing was written")

// ErrFenced is returned by [Tx.Insert] when another process has taken over the
// journal, or has been written to it since.
var ErrFenced = errors.New("the journal belongs to another process")

// Mark is where a journal stands.
type Mark struct {
	Epoch    int64 // how often it was opened for writing
	LastSeq  int64 // of the newest entry
	LowWater int64 // entries up to this one are folded everywhere
	// Last entries of the newest day that was closed, and of the newest digest that
	// got its sum, even if these are there no more; 0: none.
	ClosedTo, DigestedTo int64
}

// Journal stores what the engine decides. One engine writes to it, from one
// goroutine; reading is done by many at once.
type Journal interface {
	// Start takes over the journal: it makes Epoch+1 durable and returns it.
	Start(ctx context.Context) (Mark, error)
	// Begin starts the next transaction of the writer.
	Begin() (Tx, error)
	// Snapshot returns an unchanging view of everything committed so far. The
	// writer calls it between two batches: it must not wait for other readers.
	Snapshot(ctx context.Context) (Snapshot, error)

	// ReadReceipt returns nil if there is no such receipt.
	ReadReceipt(ctx context.Context, id [16]byte) (*ReceiptRow, error)
	// ListReceipts returns at most limit rows that match, newest id first, all
	// of them below the id before (zero: no bound). It may stop early; more
	// tells where to go on, and is zero at the end, and if it stopped early with
	// an offset.
	ListReceipts(ctx context.Context, f Filter, before [16]byte, limit int) (rows []*ReceiptRow, more [16]byte, err error)
	// ReadUsage returns what was folded, grouped and ordered as f says.
	ReadUsage(ctx context.Context, f UsageFilter) ([]UsageRow, error)
	// ReadEntry returns nil if there is no such entry.
	ReadEntry(ctx context.Context, seq int64) (*Entry, error)
	// ListEntries returns the entries with an effect on the filter's balance,
	// newest first.
	ListEntries(ctx context.Context, f TransactionFilter) ([]Entry, error)
	// ListDigests returns the digests that match, oldest first.
	ListDigests(ctx context.Context, f DigestFilter) ([]Digest, error)
	// ReadReference returns the entry that an account's reference stands for,
	// or nil.
	ReadReference(ctx context.Context, account int64, reference string) (*Entry, error)
	// ReadRefund returns the refund of a request with that reference, or nil.
	ReadRefund(ctx context.Context, request [16]byte, reference string) (*Entry, error)
	// ReadIdem returns the answer that a key stands for, or nil. It may have
	// expired.
	ReadIdem(ctx context.Context, k IdemKey) (*IdemRow, error)
	// ReadHolds returns the durable holds of a group in the order of their making.
	ReadHolds(ctx context.Context, group [16]byte) ([]HoldRow, error)
}

// Tx is one transaction of the writer. It ends with Commit or Rollback.
type Tx interface {
	// Insert appends a batch. It fails with ErrFenced unless the journal stands
	// where the batch says.
	Insert(b *Batch) error
	// Purge deletes at most limit answers that had expired by then, the oldest
	// ones, and returns when the next one expires; zero: there is none.
	Purge(by time.Time, limit int) (next time.Time, err error)
	// Fold adds to the folded rows.
	Fold(f *Fold) error
	// Summarise writes the statements and the openings of a pruning.
	Summarise(p *Pruning) error
	// Prune deletes what they replace and some of what goes with it, and moves the
	// floor. It fails if the floor stands elsewhere.
	Prune(p *Pruning) error
	// Commit returns once everything is on disk.
	Commit() error
	// Rollback undoes everything. After Commit it does nothing.
	Rollback() error
}

// Batch is what one transaction appends.
type Batch struct {
	Epoch     int64
	After     int64 // LastSeq of the journal before the batch
	Entries   []*Entry
	Receipts  []*ReceiptRow
	Delivered []Delivered
	Forgotten []*IdemRow // answers to delete, by key and request; before Answers
	Aborted   []Aborted  // after Receipts
	Answers   []*IdemRow // a key that stands for an answer already, which had not expired when it was claimed, is an error
	Closed    *Digest    // a day that has ended, without its sum; nil: none
	Digested  []Digest   // days that were closed before, with their sums
	Pruned    *Pruning   // written after everything else; nil: none
	Opened    []*HoldRow
	Ended     []HoldEnd // a hold that is not open is an error
	Events    []*Event  // an event that is there already stays as it is
	Warned    []WarnedRow

	purge time.Time // answers that had expired by then are to be purged; zero: none
}

// Aborted makes the receipt of a charge that is taken back say so.
type Aborted struct {
	ID  [16]byte
	Doc []byte // see Receipt.Doc
}

// Delivered changes the delivery of a receipt that says unknown.
type Delivered struct {
	ID       [16]byte
	Delivery string
}

// Fold brings the folded rows up to the entry Seq. Balances and grants are
// absolute, counters and usage are added to what is there.
type Fold struct {
	Seq      int64
	Balances []BalanceRow
	Counters []CounterRow
	Usage    []UsageRow
	LowWater int64 // -1: leave it
}

// BalanceRow is an account's folded balances and what is left of its grants.
type BalanceRow struct {
	Account      int64
	Credit, Used [2]money.Amount // live, test
	Grants       []GrantRow      // of both balances; replaces the stored ones
	HasGrants    bool            // there are grants, or there may be stored ones
	Folded       int64           // entries up to this one are in it
}

// GrantRow is what is left of an expiring grant.
type GrantRow struct {
	Seq       int64 // its entry
	Account   int64
	Test      bool
	Remaining money.Amount // > 0
	ExpiresAt time.Time
}

// Scope says what a counter counts for.
type Scope uint8

// The scopes.
const (
	ScopeKey      Scope = 1 // a key; ID is the key
	ScopePlan     Scope = 2 // a plan class of an account; ID is the account
	ScopePlanTest Scope = 3 // the same for test keys
)

// CounterID names a counter of one day.
type CounterID struct {
	Day   Day
	Scope Scope
	ID    int64
	Class string // of a plan; empty for a key
}

// CounterRow is a counter of one day.
type CounterRow struct {
	CounterID
	Account  int64 // whose it is; read only
	Requests int64
	Spent    money.Amount
	Folded   int64
}

// UsageID names one line of the usage report.
type UsageID struct {
	Day          Day
	Account, Key int64
	Test         bool
	Model        string
}

// UsageRow is one line of the usage report. In a grouped report the members of
// UsageID that it is not grouped by are zero.
type UsageRow struct {
	UsageID
	Requests int64
	Tokens   Tokens // Estimated has no meaning here
	Charge   money.Amount
	Refunded money.Amount // on the day of the refund
	Absorbed money.Amount
	Folded   int64
}

// Reader reads the journal and its folds. The yield functions stop the reading
// with their error.
type Reader interface {
	Mark(ctx context.Context) (Mark, error)
	// Balances yields those of the accounts after one up to another.
	Balances(ctx context.Context, after, upTo int64, yield func(BalanceRow) error) error
	// LastBalance returns the greatest account that has a balance; 0: none has.
	LastBalance(ctx context.Context) (int64, error)
	Grants(ctx context.Context, yield func(GrantRow) error) error
	// Counters and Usage start at the day since.
	Counters(ctx context.Context, since Day, yield func(CounterRow) error) error
	Usage(ctx context.Context, since Day, yield func(UsageRow) error) error
	// Entries yields the entries after seq in order. The entry is the yield
	// function's to keep.
	Entries(ctx context.Context, after int64, yield func(*Entry) error) error
	// Rows yields the entries after one up to another in order, each with the
	// bytes that digests cover. Both are the yield function's until it returns; what
	// the entry's fields refer to does not change afterwards.
	// As in Entries, nothing else of the reader may be called meanwhile.
	// What of an entry cannot be read leaves it without a kind.
	Rows(ctx context.Context, after, upTo int64, yield func(e *Entry, row []byte) error) error
	Floor(ctx context.Context) (Floor, error)
	// Unswept reports whether rows are left that go with the usage up to the
	// floor, so that another [Tx.Prune] would delete some.
	Unswept(ctx context.Context, f Floor) (bool, error)
	// Opening returns an account's balances and grants at the floor; all zero if
	// it had none.
	Opening(ctx context.Context, account int64) (BalanceRow, error)
	// Openings and Statements yield all of them. Openings have no grants, which
	// OpeningGrants yields.
	Openings(ctx context.Context, yield func(BalanceRow) error) error
	OpeningGrants(ctx context.Context, yield func(GrantRow) error) error
	Statements(ctx context.Context, yield func(UsageRow) error) error
	// Digests yields all digests, oldest first.
	Digests(ctx context.Context, yield func(Digest) error) error
	// OpenHolds yields the durable holds that are open in the order of their
	// making.
	OpenHolds(ctx context.Context, yield func(HoldRow) error) error
	// Warned yields the live balances that were warned of.
	Warned(ctx context.Context, yield func(WarnedRow) error) error
	// Expiry returns when the first stored answer expires; zero: there is none.
	Expiry(ctx context.Context) (time.Time, error)
	// Mismatches describes at most limit receipts, answers and durable holds that
	// contradict their entries.
	Mismatches(ctx context.Context, limit int) ([]string, error)
}

// Snapshot is an unchanging view of the journal.
type Snapshot interface {
	Reader
	Close() error
}
