package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/money"
)

// The conformance of a store of accounts is in two parts: what each verb
// promises, and what the registry makes of it across a restart.

func openAccounts(t *testing.T) (account.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pontage.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db.Accounts(), path
}

type loaded struct {
	Accounts []account.Account
	Keys     []account.Key
	Hashes   []account.Hash
}

func load(t *testing.T, s account.Store) loaded {
	t.Helper()
	var l loaded
	err := s.Load(t.Context(), func(a account.Account) error {
		l.Accounts = append(l.Accounts, a)
		return nil
	}, func(k account.Key, h account.Hash) error {
		l.Keys = append(l.Keys, k)
		l.Hashes = append(l.Hashes, h)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var at = time.Date(2026, 11, 20, 12, 0, 0, 5_000_000, time.UTC)

func fullKey() account.Key {
	return account.Key{
		ID: 1<<62 + 7, Account: 3, Name: "näme", Kind: account.KindBilling, Site: "a.example", Test: true, Prefix: "sk-abc", Active: true,
		ExpiresAt: at.Add(time.Hour), CreatedAt: at, OnDisconnect: account.DisconnectDrain, Models: []string{"gpt-*", `q"uote`},
		Limits: account.Limits{RPS: 0.1, Burst: 2, Requests: 60, Per: time.Minute, RequestsPerDay: 1 << 40, USDPerDay: money.Max, Concurrency: 3, TokensPerMinute: 5},
	}
}

func TestStoreOfAccountsReturnsWhatWasPut(t *testing.T) {
	t.Parallel()
	s, _ := openAccounts(t)
	ctx := t.Context()
	var want loaded
	put := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []account.ID{9, 3, 1 << 62} { // not in the order of their ids
		a := account.Account{ID: id, Name: fmt.Sprint("n", id), Plan: "free", Status: account.StatusActive, CreatedAt: at}
		put(s.PutAccount(ctx, a))
		want.Accounts = append(want.Accounts, a)
	}
	below, never := 5*money.Dollar, money.Amount(0)
	want.Accounts[0].WarnBelow, want.Accounts[1].WarnBelow = &below, &never
	put(s.PutAccount(ctx, want.Accounts[0]))
	want.Accounts[1].Name, want.Accounts[1].Plan, want.Accounts[1].Status = "new", "", account.StatusSuspended
	put(s.PutAccount(ctx, want.Accounts[1]))
	put(s.PutAccount(ctx, want.Accounts[1])) // the same again

	full, plain := fullKey(), account.Key{ID: 5, Account: 9, Name: "p", Kind: account.KindInference, Active: true, CreatedAt: at, OnDisconnect: account.DisconnectCancel}
	put(s.PutKey(ctx, full, account.Hash{1}))
	put(s.PutKey(ctx, plain, account.Hash{2}))
	full.Name, full.Active, full.RevokedAt, full.Limits, full.Models = "changed", false, at.Add(time.Minute), account.Limits{Concurrency: 1}, nil
	put(s.PutKey(ctx, full, account.Hash{1}))
	want.Keys, want.Hashes = []account.Key{full, plain}, []account.Hash{{1}, {2}}
	if diff := cmp.Diff(want, load(t, s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	put(s.DeleteKey(ctx, full.ID))
	put(s.DeleteKey(ctx, full.ID)) // it is gone already
	want.Keys, want.Hashes = want.Keys[1:], want.Hashes[1:]
	if diff := cmp.Diff(want, load(t, s)); diff != "" {
		t.Errorf("after deleting (-want +got)\n%s", diff)
	}
}

func TestStoreOfAccountsRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	s, _ := openAccounts(t)
	ctx := t.Context()
	k := fullKey()
	if err := s.PutKey(ctx, k, account.Hash{1}); err == nil {
		t.Error("a key of no account was stored")
	}
	if err := s.PutAccount(ctx, account.Account{ID: 3, Name: "a", Status: account.StatusActive, CreatedAt: at}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutKey(ctx, k, account.Hash{1}); err != nil {
		t.Fatal(err)
	}
	other := k
	other.ID++
	if err := s.PutKey(ctx, other, account.Hash{1}); err == nil {
		t.Error("two keys with one hash were stored")
	}
	if got := load(t, s); len(got.Keys) != 1 {
		t.Errorf("%d keys after refusals, want 1", len(got.Keys))
	}
	stop := errors.New("stop")
	err := s.Load(ctx, func(account.Account) error { return nil }, func(account.Key, account.Hash) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("Load = %v, want the error of the callback", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.PutAccount(ended, account.Account{ID: 4, Status: account.StatusActive}); err == nil || len(load(t, s).Accounts) != 1 {
		t.Errorf("a write whose context has ended: %v", err)
	}
}

func TestFirstFingerprintStays(t *testing.T) {
	t.Parallel()
	s, _ := openAccounts(t)
	for _, fp := range []account.Hash{{1}, {2}, {1}} {
		if got, err := s.Fingerprint(t.Context(), fp); got != (account.Hash{1}) || err != nil {
			t.Errorf("Fingerprint(%x) = %x, %v, want the first one", fp[:1], got[:1], err)
		}
	}
}

func TestRegistrySurvivesARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pontage.db")
	pepper := []byte("a pepper for the test, no secret")
	now := func() time.Time { return at }
	format := account.Format{Prefixes: []string{"sk-"}}
	open := func(t *testing.T) (*account.Registry, *DB) {
		t.Helper()
		db, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := account.Open(t.Context(), db.Accounts(), pepper, now)
		if err != nil {
			t.Fatal(err)
		}
		return r, db
	}
	r, db := open(t)
	a, err := r.CreateAccount(t.Context(), account.NewAccount{Name: "ada", Plan: "pro"})
	if err != nil {
		t.Fatal(err)
	}
	n := account.NewKey{Account: a.ID, Name: "k", Prefix: "sk-", ExpiresAt: at.Add(time.Hour), Models: []string{"m*"}, Limits: account.Limits{Requests: 5, Per: time.Second}}
	_, kept, err := r.CreateKey(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	k, revoked, err := r.CreateKey(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.RevokeKey(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	want, err := r.Resolve(kept, format, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r, db = open(t)
	got, err := r.Resolve(kept, format, "")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("after the restart: %v (-want +got)\n%s", err, diff)
	}
	if _, err := r.Resolve(revoked, format, ""); err == nil {
		t.Error("a revoked key is good again after a restart")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{kept, revoked} {
		if bytes.Contains(file, []byte(secret[10:])) {
			t.Error("the database file holds a key")
		}
	}
	if !bytes.Contains(file, []byte("ada")) {
		t.Error("the database file does not even hold the account: is this the file?")
	}
}
