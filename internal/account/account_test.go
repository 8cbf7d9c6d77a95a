package account

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

func TestChangesActOnTheNextRequest(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k, secret := f.key(t, NewKey{})
	ctx := t.Context()
	off, on, suspended, active := false, true, StatusSuspended, StatusActive
	step := func(name string, err error, want fault.Code, message string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, got := f.Resolve(secret, strict, "")
		if code(got) != want || (got != nil && fault.From(got).Public() != message) {
			t.Errorf("after %s: %v, want %v %q", name, got, want, message)
		}
	}
	_, err := f.UpdateKey(ctx, k.ID, KeyPatch{Active: &off})
	step("switching off", err, fault.KeyInactive, "The API key is not active.")
	_, err = f.UpdateKey(ctx, k.ID, KeyPatch{Active: &on})
	step("switching on", err, fault.None, "")
	_, err = f.UpdateAccount(ctx, f.acc.ID, AccountPatch{Status: &suspended})
	step("suspending", err, fault.KeyInactive, "The account of this API key is suspended.")
	_, err = f.UpdateAccount(ctx, f.acc.ID, AccountPatch{Status: &active})
	step("reactivating", err, fault.None, "")
	models := []string{"gpt-*"}
	_, err = f.UpdateKey(ctx, k.ID, KeyPatch{Models: &models})
	step("listing models", err, fault.None, "")
	if p, _ := f.Resolve(secret, strict, ""); p.Key.Allows("claude") || !p.Key.Allows("gpt-5") || k.Models != nil {
		t.Errorf("allowlist %q; the snapshot from before has %q", p.Key.Models, k.Models)
	}
	_, err = f.RevokeKey(ctx, k.ID)
	step("revoking", err, fault.KeyInvalid, "The API key is not valid.")
	again, err := f.RevokeKey(ctx, k.ID)
	if err != nil || !again.RevokedAt.Equal(f.t) || again.Active {
		t.Errorf("revoking twice: %+v, %v", again, err)
	}
	if _, err := f.UpdateKey(ctx, k.ID, KeyPatch{Active: &on}); code(err) != fault.NotFound {
		t.Errorf("switching a revoked key on: %v", err)
	}
}

func TestEverythingIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, good := f.key(t, NewKey{Limits: Limits{RPS: 1.5, USDPerDay: money.Dollar}, Models: []string{"a*"}})
	gone, bad := f.key(t, NewKey{})
	if _, err := f.RevokeKey(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for _, s := range f.store.keys {
		if strings.Contains(good, string(s.Hash[:])) || strings.Contains(s.Prefix, good[20:]) {
			t.Fatal("the store holds the key itself")
		}
	}
	again, err := Open(t.Context(), f.store, pepper, f.now)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := f.Resolve(good, strict, "")
	got, err := again.Resolve(good, strict, "")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := again.Resolve(bad, strict, ""); code(err) != fault.KeyInvalid {
		t.Errorf("revoked key after reopening: %v", err)
	}
	if keys, err := again.Keys(f.acc.ID); len(keys) != 2 || err != nil {
		t.Errorf("%d keys, %v, want both", len(keys), err)
	}
	if _, err := Open(t.Context(), f.store, []byte("another pepper, long enough"), f.now); err == nil || !strings.Contains(err.Error(), "pepper") {
		t.Errorf("another pepper: %v", err)
	}
	if _, err := Open(t.Context(), new(memory), []byte("short"), f.now); err == nil {
		t.Error("a short pepper was accepted")
	}
}

func TestStoreThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k, secret := f.key(t, NewKey{})
	f.store.broken = errors.New("disk on fire")
	name := "new"
	_, e1 := f.CreateAccount(t.Context(), NewAccount{Name: "b"})
	_, e2 := f.UpdateAccount(t.Context(), f.acc.ID, AccountPatch{Name: &name})
	_, _, e3 := f.CreateKey(t.Context(), NewKey{Account: f.acc.ID, Name: "b"})
	_, e4 := f.UpdateKey(t.Context(), k.ID, KeyPatch{Name: &name})
	_, e5 := f.RevokeKey(t.Context(), k.ID)
	for i, err := range []error{e1, e2, e3, e4, e5} {
		if !errors.Is(err, f.store.broken) {
			t.Errorf("change %d: %v, want the store's error", i+1, err)
		}
	}
	page, _, _ := f.Accounts(0, 10)
	keys, _ := f.Keys(f.acc.ID)
	if p, err := f.Resolve(secret, strict, ""); err != nil || p.Key != k || len(page) != 1 || page[0] != f.acc || len(keys) != 1 {
		t.Errorf("something changed: %v %v, %d accounts, %d keys", p.Key, err, len(page), len(keys))
	}
}

func TestAccountsAreListedInPages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	want := []ID{f.acc.ID}
	for range 4 {
		a, err := f.CreateAccount(t.Context(), NewAccount{Name: "x", Plan: "free"})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, a.ID)
	}
	var got []ID
	after, more := ID(0), true
	for more {
		page, m, err := f.Accounts(after, 2)
		if err != nil || len(page) == 0 {
			t.Fatalf("page after %v: %d, %v", after, len(page), err)
		}
		for _, a := range page {
			got = append(got, a.ID)
		}
		after, more = got[len(got)-1], m
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, _, err := f.Accounts(12345, 2); code(err) != fault.NotFound {
		t.Errorf("after an unknown account: %v", err)
	}
}

func TestBadFieldsAreNamed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	long := strings.Repeat("é", MaxName+1)
	for _, c := range []struct {
		change func(*NewKey)
		param  string
	}{
		{func(n *NewKey) { n.Name = "" }, "name"},
		{func(n *NewKey) { n.Name = " \u3000" }, "name"},
		{func(n *NewKey) { n.Name = long }, "name"},
		{func(n *NewKey) { n.Name = "a\x00b" }, "name"},
		{func(n *NewKey) { n.Name = "a\xff" }, "name"},
		{func(n *NewKey) { n.Kind = "admin" }, "kind"},
		{func(n *NewKey) { n.Site = "a/b" }, "site"},
		{func(n *NewKey) { n.Prefix = "sk test" }, "prefix"},
		{func(n *NewKey) { n.Prefix = strings.Repeat("a", MaxPrefix+1) }, "prefix"},
		{func(n *NewKey) { n.Limits.RPS = -1 }, "limits.rps"},
		{func(n *NewKey) { n.Limits.RPS = math.NaN() }, "limits.rps"},
		{func(n *NewKey) { n.Limits.Burst = 5 }, "limits.burst"},
		{func(n *NewKey) { n.Limits.Requests = 100_001; n.Limits.Per = time.Minute }, "limits.requests"},
		{func(n *NewKey) { n.Limits.Requests = 1 }, "limits.per"},
		{func(n *NewKey) { n.Limits.Per = time.Minute }, "limits.per"},
		{func(n *NewKey) { n.Limits.Requests = 1; n.Limits.Per = 1 }, "limits.per"},
		{func(n *NewKey) { n.Limits.RequestsPerDay = -1 }, "limits.requests_per_day"},
		{func(n *NewKey) { n.Limits.USDPerDay = -1 }, "limits.usd_per_day"},
		{func(n *NewKey) { n.Limits.TokensPerMinute = -1 }, "limits.tokens_per_minute"},
		{func(n *NewKey) { n.Limits.TokensPerMinute = maxTokens + 1 }, "limits.tokens_per_minute"},
		{func(n *NewKey) { n.Limits.Concurrency = -1 }, "limits.concurrency"},
		{func(n *NewKey) { n.Models = make([]string, MaxModels+1) }, "models"},
		{func(n *NewKey) { n.Models = []string{"a", ""} }, "models.1"},
		{func(n *NewKey) { n.Models = []string{"a b"} }, "models.0"},
		{func(n *NewKey) { n.ExpiresAt = f.t }, "expires_at"},
		{func(n *NewKey) { n.ExpiresAt = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -12*3600)) }, "expires_at"},
		{func(n *NewKey) { n.OnDisconnect = "wait" }, "on_disconnect"},
	} {
		n := NewKey{Account: f.acc.ID, Name: "k"}
		c.change(&n)
		_, _, err := f.CreateKey(t.Context(), n)
		if e := fault.From(err); e == nil || e.Code != fault.InvalidParameter || e.Param != c.param || e.Message == "" {
			t.Errorf("%+v: %v, want invalid_parameter at %s", n, err, c.param)
		}
	}
	for param, n := range map[string]NewAccount{"name": {}, "plan": {Name: "a", Plan: strings.Repeat("p", MaxPlan+1)}} {
		if _, err := f.CreateAccount(t.Context(), n); err == nil || fault.From(err).Param != param {
			t.Errorf("%+v: %v, want a fault at %s", n, err, param)
		}
	}
	status := "deleted"
	if _, err := f.UpdateAccount(t.Context(), f.acc.ID, AccountPatch{Status: &status}); err == nil || fault.From(err).Param != "status" {
		t.Errorf("status %q: %v", status, err)
	}
	k, _ := f.key(t, NewKey{Name: strings.Repeat("é", MaxName)})
	if _, err := f.UpdateKey(t.Context(), k.ID, KeyPatch{Name: &long}); err == nil || fault.From(err).Param != "name" {
		t.Errorf("long name: %v", err)
	}
	for what, err := range map[string]error{
		"account":         second(f.Account(1)),
		"update account":  second(f.UpdateAccount(t.Context(), 1, AccountPatch{})),
		"keys":            second(f.Keys(1)),
		"key":             second(f.Key(1)),
		"update key":      second(f.UpdateKey(t.Context(), 1, KeyPatch{})),
		"revoke key":      second(f.RevokeKey(t.Context(), 1)),
		"key of no owner": second2(f.CreateKey(t.Context(), NewKey{Account: 1, Name: "k"})),
	} {
		if code(err) != fault.NotFound {
			t.Errorf("%s that does not exist: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error        { return err }
func second2[T, U any](_ T, _ U, e error) error { return e }

func TestIDsReadBackAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(1).Draw(t, "id")
		if got, err := ParseID(ID(n).String()); got != ID(n) || err != nil || len(ID(n).String()) != 17 {
			t.Fatalf("%s reads back as %d, %v", ID(n), got, err)
		}
		if got, err := ParseKeyID(strings.ToUpper(KeyID(n).String())); got != KeyID(n) || err != nil {
			t.Fatalf("%s reads back as %d, %v", KeyID(n), got, err)
		}
	})
	for _, s := range []string{"", "acc_", "key_0000000000000", "acc_000000000000", "acc_00000000000000", "acc_000000000000u", "acc_8000000000000", "0000000000000", "acc_0000000000000"} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %d, want an error", s, id)
		}
	}
}

func TestFullAccountForgetsItsOldestRevokedKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first, _ := f.key(t, NewKey{})
	second, _ := f.key(t, NewKey{})
	for len(f.accounts[f.acc.ID].keys) < MaxKeys { // not through the store: ten thousand are slow there
		f.addKey(f.accounts[f.acc.ID], &Key{ID: KeyID(newID()), Account: f.acc.ID}, Hash{})
	}
	if _, _, err := f.CreateKey(t.Context(), NewKey{Account: f.acc.ID, Name: "k"}); code(err) != fault.InvalidRequest {
		t.Fatalf("one key too many: %v", err)
	}
	if _, err := f.RevokeKey(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	f.key(t, NewKey{})
	if _, err := f.Key(second.ID); code(err) != fault.NotFound {
		t.Errorf("the revoked key is still there: %v", err)
	}
	if _, err := f.Key(first.ID); err != nil {
		t.Errorf("the other key: %v", err)
	}
}
