// Package job runs the work that callers leave with the gateway and come back
// for: batches of requests, each answered like any other request, under a hold
// that outlives the connection and the process.
//
// A job is stored before its money is held, and acknowledged after: what was
// acknowledged is answered, or given back, whatever happens to the process.
// What became of a request is kept with its hold, in the transaction that
// charges it, so that no request of a job is charged twice or lost.
package job

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/account"
)

// Bounds of jobs.
const (
	MaxItems  = 100                // requests of one job
	MaxOpen   = 1_000              // requests of one account that wait or run
	MaxQueued = 20_000             // of all accounts
	MaxBytes  = 256 << 20          // of all of them together: they are in memory
	Retention = 7 * 24 * time.Hour // how long a job can be asked for after it has ended
	workers   = 8                  // requests that are answered at once
	purged    = 2                  // old jobs that are deleted for each new one: the database can do nothing else meanwhile
)

// ID identifies a job. It is made like a request's id; see obs.RequestID.
type ID [16]byte

const idPrefix = "job_"

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// String returns "job_" and 26 characters.
func (id ID) String() string { return idPrefix + crockford.EncodeToString(id[:]) }

// ParseID reads what String writes. Upper case is accepted.
func ParseID(s string) (ID, error) {
	var id ID
	rest, ok := strings.CutPrefix(strings.ToLower(s), idPrefix)
	if !ok || len(rest) != 26 {
		return id, fmt.Errorf("want %s and 26 characters", idPrefix)
	}
	if n, err := crockford.Decode(id[:], []byte(rest)); err != nil || n != len(id) {
		return ID{}, errors.New("not in base 32")
	}
	return id, nil
}

// Job is a batch of requests to one model.
type Job struct {
	ID        ID
	Account   account.ID
	Key       account.KeyID
	Test      bool
	Site      string
	Surface   string // that it came in at, which says how its requests are read
	Model     string
	Created   time.Time
	Cancelled time.Time // zero: not
	Ended     time.Time // zero: something of it still waits or runs
	Items     []Item    // at most MaxItems, in the caller's order
}

// Item is one request of a job.
type Item struct {
	Name    string   // the caller's own id of it
	Request [16]byte // its request id, and that of its hold
	Body    []byte   // what is asked, as the dialect of the surface decodes it
	Pinned  []byte   // what it costs, fixed when it was held; the gate's own JSON
}

// Task is one item on its way.
type Task struct {
	Job  *Job
	Item *Item
}

// Store keeps jobs. Each verb is one transaction, durable when it returns.
type Store interface {
	// Put inserts a job with its items.
	Put(ctx context.Context, j *Job) error
	// Get returns a job, or nil.
	Get(ctx context.Context, id ID) (*Job, error)
	// Open returns the jobs that have not ended, oldest first.
	Open(ctx context.Context) ([]*Job, error)
	// Cancel and End note the time, once; a second time changes nothing.
	Cancel(ctx context.Context, id ID, at time.Time) error
	End(ctx context.Context, id ID, at time.Time) error
	// Delete removes a job, if it is there.
	Delete(ctx context.Context, id ID) error
	// Purge removes at most limit jobs that ended before then.
	Purge(ctx context.Context, before time.Time, limit int) error
}

// Gate answers requests of jobs. The holds are its business: each request that
// is given to it has one, which it ends.
type Gate interface {
	// Open lists the requests whose holds are open.
	Open() map[[16]byte]bool
	// Run answers a request, and returns nil when its hold has ended: charged, or
	// given back because it failed or because ctx was cancelled. Where ctx is
	// cancelled because of ErrStopping it returns that, and the hold stays open
	// for the next process; so it does after any other error.
	Run(ctx context.Context, t Task) error
	// GiveBack ends the hold of a request that waits and is not to run.
	GiveBack(ctx context.Context, t Task) error
}

// ErrStopping is the cause with which tasks are cancelled when the process ends.
var ErrStopping = errors.New("the process ends")

// errCancelled is that of a caller who cancels his job.
var errCancelled = errors.New("the job was cancelled")

// Result is what became of a request, as it is kept with its hold.
type Result struct {
	Text    string `json:"text,omitempty"`
	Input   int64  `json:"input,omitempty"`  // tokens
	Output  int64  `json:"output,omitempty"` // tokens
	Fault   string `json:"fault,omitempty"`  // name of the fault; empty: it was answered
	Message string `json:"message,omitempty"`
}

// Cancelled is the Result's Fault of a request that was not to be answered any
// more. It is no fault of the registry: nothing failed.
const Cancelled = "cancelled"

// Bounds of what is kept of one answer, in bytes.
const (
	maxText   = 512 << 10
	maxResult = 1 << 20 // packed: more than that no ledger keeps with a hold
)

// Encode packs the result. A text that is too long is cut at a character; so is
// one that would be once its quotes and the like are escaped.
func (r Result) Encode() []byte {
	r.Text = cut(r.Text, maxText)
	for {
		b, err := json.Marshal(r)
		if err != nil {
			return nil // cannot be: texts and numbers always can
		}
		if len(b) <= maxResult || r.Text == "" {
			return b
		}
		r.Text = cut(r.Text, len(r.Text)*3/4)
	}
}

// cut returns at most the first n bytes of s, up to the end of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// DecodeResult unpacks what Encode packed. What it did not is nothing.
func DecodeResult(b []byte) Result {
	var r Result
	if json.Unmarshal(b, &r) != nil {
		return Result{}
	}
	return r
}
