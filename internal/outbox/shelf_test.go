package outbox

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// shelf is a store in memory.
type shelf struct {
	mu     sync.Mutex
	rows   []Row // by id
	broken error
	most   int
}

func (s *shelf) add(n byte, at time.Time) [16]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := [16]byte{n}
	s.rows = append(s.rows, Row{State: Pending, Next: at, Event: ledger.Event{
		ID: id, Kind: ledger.EventBalanceWarning, Time: at, Account: 7, Key: 8, Request: [16]byte{9, n}, Balance: 4_990_000_000, Below: 5 * money.Dollar,
	}})
	return id
}

func (s *shelf) find(which func(*Row) bool) *Row {
	for i := range s.rows {
		if which(&s.rows[i]) {
			r := s.rows[i]
			return &r
		}
	}
	return nil
}

func (s *shelf) Due(_ context.Context, now time.Time) (*Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.find(func(r *Row) bool { return r.State == Pending && !r.Next.After(now) })
	for _, r := range s.rows {
		if first != nil && r.State == Pending && r.Next.Before(first.Next) {
			first = &r
		}
	}
	return first, s.broken
}

func (s *shelf) Next(context.Context) (at time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.State == Pending && (at.IsZero() || r.Next.Before(at)) {
			at = r.Next
		}
	}
	return at, s.broken
}

func (s *shelf) Get(_ context.Context, id [16]byte) (*Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(func(r *Row) bool { return r.Event.ID == id }); r != nil {
		return r, s.broken
	}
	return nil, ErrNotFound
}

func (s *shelf) Put(_ context.Context, row *Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.rows {
		if s.rows[i].Event.ID == row.Event.ID {
			s.rows[i] = *row
		}
	}
	return s.broken
}

func (s *shelf) List(context.Context, State, [16]byte, int) ([]Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows), s.broken
}

func (s *shelf) Prune(_ context.Context, by time.Time, most int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = slices.DeleteFunc(s.rows, func(r Row) bool { return r.State != Pending && !r.Ended.After(by) })
	s.most = most
	return 0, s.broken
}

func (s *shelf) Count(context.Context) (pending, failed int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		switch r.State {
		case Pending:
			pending++
		case Failed:
			failed++
		case Delivered:
		}
	}
	return pending, failed, s.broken
}
