package account

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// memory is a store for what this package does; that stores keep their
// contract is the matter of their own tests.
type memory struct {
	mu       sync.Mutex
	fp       *Hash
	accounts []Account
	keys     []stored
	broken   error
}

type stored struct {
	Key
	Hash
}

func (m *memory) Fingerprint(_ context.Context, fp Hash) (Hash, error) {
	if m.fp == nil {
		m.fp = &fp
	}
	return *m.fp, m.broken
}

func (m *memory) Load(_ context.Context, account func(Account) error, key func(Key, Hash) error) error {
	for _, a := range m.accounts {
		if err := account(a); err != nil {
			return err
		}
	}
	for _, k := range m.keys {
		if err := key(k.Key, k.Hash); err != nil {
			return err
		}
	}
	return m.broken
}

func (m *memory) PutAccount(_ context.Context, a Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.accounts, func(b Account) bool { return a.ID == b.ID }); i >= 0 {
		m.accounts[i] = a
	} else if m.broken == nil {
		m.accounts = append(m.accounts, a)
	}
	return m.broken
}

func (m *memory) PutKey(_ context.Context, k Key, h Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	if i := slices.IndexFunc(m.keys, func(s stored) bool { return s.ID == k.ID }); i >= 0 {
		m.keys[i] = stored{k, h}
	} else {
		m.keys = append(m.keys, stored{k, h})
	}
	return nil
}

func (m *memory) DeleteKey(_ context.Context, id KeyID) error {
	m.keys = slices.DeleteFunc(m.keys, func(s stored) bool { return s.ID == id })
	return m.broken
}

var (
	pepper = []byte("0123456789abcdef")
	strict = Format{Prefixes: []string{"sk-test-"}}
	trim   = Format{Prefixes: []string{"sk-test-"}, Trim: true}
)

// fixture is a registry with one account, on a clock that a test sets.
type fixture struct {
	*Registry
	store *memory
	acc   *Account
	mu    sync.Mutex
	t     time.Time
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.t
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.t = f.t.Add(d)
}

func setup(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{store: new(memory), t: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	var err error
	if f.Registry, err = Open(t.Context(), f.store, pepper, f.now); err != nil {
		t.Fatal(err)
	}
	if f.acc, err = f.CreateAccount(t.Context(), NewAccount{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) key(t testing.TB, n NewKey) (*Key, string) {
	t.Helper()
	n.Account, n.Prefix = f.acc.ID, "sk-test-"
	if n.Name == "" {
		n.Name = "k"
	}
	k, secret, err := f.CreateKey(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret
}

func code(err error) fault.Code {
	if err == nil {
		return fault.None
	}
	return fault.From(err).Code
}
