// Package outbox tells an operator's webhook what the ledger noticed: events that
// were written in the transaction of their charge are delivered by one worker, at
// least once each, until the receiver takes them or three days are over.
package outbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/obs"
)

// State is how far an event has come.
type State string

// The states.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Failed    State = "failed" // given up; see [Outbox.Retry]
)

// states holds every state at its number in the store.
var states = [...]State{1: Pending, 2: Delivered, 3: Failed}

// States returns every state.
func States() []State { return states[1:] }

// Number returns the state's number in the store, or 0 for none.
func (s State) Number() int64 {
	return int64(max(slices.Index(states[:], s), 0))
}

// StateOf is the reverse of [State.Number]; "" for an unknown number.
func StateOf(n int64) State {
	if n < 0 || n >= int64(len(states)) {
		return ""
	}
	return states[n]
}

// Row is an event and how its delivery goes.
type Row struct {
	Event ledger.Event
	State State
	Tries int
	Next  time.Time // of a pending one: not before
	Until time.Time // of a pending one: when it is given up; zero: three days after the event
	Ended time.Time // when it was delivered or given up; zero: it is pending
	Error string    // of the last try; empty: it went well, or there was none
}

// ErrNotFound says that there is no event of that id.
var ErrNotFound = errors.New("there is no such event")

// Store keeps the rows. The ledger adds to them.
type Store interface {
	// Due returns the pending row that has been due longest, or nil. One whose next
	// try is more than LongestWait away is due, too: a clock that was ahead said so.
	Due(ctx context.Context, now time.Time) (*Row, error)
	// Next returns when the next pending row is due; zero: there is none.
	Next(ctx context.Context) (time.Time, error)
	// Get returns a row, or ErrNotFound.
	Get(ctx context.Context, id [16]byte) (*Row, error)
	// Put writes everything of a row but its event.
	Put(ctx context.Context, r *Row) error
	// List returns at most limit rows, the latest first, of that state (empty:
	// any), below the id before (zero: from the first).
	List(ctx context.Context, state State, before [16]byte, limit int) ([]Row, error)
	// Prune deletes what was delivered or given up by then, and beyond most rows
	// the oldest: delivered ones, then failed ones, then pending ones. It returns
	// how many of the last two had not been delivered.
	Prune(ctx context.Context, by time.Time, most int) (dropped int64, err error)
	// Count returns how many rows are pending, and how many have failed.
	Count(ctx context.Context) (pending, failed int64, err error)
}

const idPrefix = "evt_"

// ID writes the id of an event: "evt_" and 26 characters.
func ID(id [16]byte) string { return idPrefix + obs.RequestID(id).String()[len("req_"):] }

// ParseID reads what ID writes.
func ParseID(s string) ([16]byte, error) {
	if len(s) <= len(idPrefix) || s[:len(idPrefix)] != idPrefix {
		return [16]byte{}, ErrNotFound
	}
	id, err := obs.ParseRequestID("req_" + s[len(idPrefix):])
	if err != nil {
		return [16]byte{}, ErrNotFound
	}
	return id, nil
}
