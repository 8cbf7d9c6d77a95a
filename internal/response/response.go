// Package response is what the gateway remembers of answers for their callers:
// each with what was asked and what was said, for so long, so that it can be read
// again and continued, whatever provider gave it.
package response

import (
	"context"
	"time"

	"github.com/pontage/pontage/internal/account"
)

// Bounds of what is remembered.
const (
	MaxBytes   = 16 << 20 // of one response
	MaxAccount = 1 << 30  // of all responses of an owner; beyond, its oldest go
	MaxTurns   = 1_000    // that one conversation may go back
	MaxPast    = 32 << 20 // bytes of what was said before a request
	purged     = 8        // old responses that are deleted for each new one: the database can do nothing else meanwhile
)

// Owner is whom a response belongs to: an account, of its live or its test keys.
type Owner struct {
	Account account.ID
	Test    bool
}

// Response is one answer that is remembered.
type Response struct {
	ID       string
	Owner    Owner
	Previous string // id of the response that it continues; empty: none
	Created  time.Time
	Expires  time.Time
	Job      [16]byte      // that answers it in the background; zero: none
	Ended    bool          // it is as Object says; else its job knows more
	Keep     time.Duration // how long it is kept from when it is put; 0: as long as all are
	Attempts int64         // how often its job has begun to tell it event by event
	Input    []byte        // JSON array of the items that it was asked
	Object   []byte        // JSON of the response, as its dialect has it
	Items    []string      // ids by which its items can be referred to
}

// size is what a response counts against the bounds.
func (r *Response) size() int { return len(r.Input) + len(r.Object) }

// Update is what is new of a response.
type Update struct {
	Object []byte
	Items  []string // ids of more items
	Events []Chunk  // all of them; nil: as they are
	Ended  bool
}

// Store keeps responses. Each verb is one transaction, durable when it returns.
type Store interface {
	// Put inserts a response, and keeps those that it continues at least as long as
	// itself. Before, and in transactions of their own, it deletes the oldest others
	// of its owner while all would have more than most bytes.
	Put(ctx context.Context, r *Response, continued []string, most int64) error
	// Get returns a response whose time is not over, or nil.
	Get(ctx context.Context, id string, now time.Time) (*Response, error)
	// Find returns the newest response of the owner with an item of that id, or nil.
	Find(ctx context.Context, o Owner, item string, now time.Time) (*Response, error)
	// Update replaces the object of a response, whose items have these ids then, and
	// its events, unless there are none. One that is not there changes nothing.
	Update(ctx context.Context, id string, u Update) error
	// Attempt counts one more of a response's attempts, and deletes the events of
	// those before.
	Attempt(ctx context.Context, id string) error
	// Events returns the first chunk of a response's events with one behind that
	// number, or nil.
	Events(ctx context.Context, id string, after int64) (*Chunk, error)
	// LastEvent returns the number of a response's last event; not ok: it has none.
	LastEvent(ctx context.Context, id string) (last int64, ok bool, err error)
	// Delete removes a response, if it is there.
	Delete(ctx context.Context, id string) error
	// Purge removes at most limit responses whose time is over.
	Purge(ctx context.Context, now time.Time, limit int) error
}
