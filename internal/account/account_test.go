package account

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
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

func TestNewKeyResolvesToItsAccount(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k, secret := f.key(t, NewKey{Name: "first"})
	p, err := f.Resolve(secret, strict, "any.example")
	if err != nil {
		t.Fatal(err)
	}
	if p.Account != f.acc || p.Key != k {
		t.Errorf("Resolve = %v, %v", p.Account, p.Key)
	}
	if len(secret) != len("sk-test-")+36 || !strings.HasPrefix(secret, k.Prefix) || len(k.Prefix) != len("sk-test-")+6 {
		t.Errorf("key of %d characters, shown as %q", len(secret), k.Prefix)
	}
	want := &Key{ID: k.ID, Account: f.acc.ID, Name: "first", Kind: KindInference, Prefix: k.Prefix, Active: true, CreatedAt: f.t, OnDisconnect: DisconnectCancel}
	if diff := cmp.Diff(want, k, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestStrangersLearnNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	_, other := f.key(t, NewKey{Site: "a.example"})
	gone, revoked := f.key(t, NewKey{})
	if _, err := f.RevokeKey(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]string{
		"unknown":      newSecret("sk-test-"),
		"typo":         secret[:20] + swap(secret[20]) + secret[21:],
		"cut":          secret[:len(secret)-1],
		"longer":       secret + "A",
		"other prefix": newSecret("sk-other-"),
		"prefix alone": "sk-test-",
		"long":         strings.Repeat("a", 1<<20),
		"sql":          "' OR '1'='1",
		"nul":          "sk-test-" + strings.Repeat("\x00", 36),
		"utf-8":        "sk-test-" + strings.Repeat("é", 18),
		"space before": " " + secret,
		"space after":  secret + "\t",
		"newline":      secret[:10] + "\n" + secret[10:],
		"doubled":      "Bearer " + secret,
		"other site":   other,
		"revoked":      revoked,
	} {
		_, err := f.Resolve(credential, strict, "b.example")
		if diff := cmp.Diff(fault.New(fault.KeyInvalid, ""), fault.From(err)); diff != "" {
			t.Errorf("%s: every stranger is answered the same (-want +got)\n%s", name, diff)
		}
	}
	if _, err := f.Resolve("", strict, ""); code(err) != fault.KeyMissing {
		t.Errorf("no credential: %v", err)
	}
	if _, err := f.Resolve(secret, strict, "b.example"); err != nil {
		t.Errorf("the good key: %v", err)
	}
}

func swap(c byte) string {
	if c == 'x' {
		return "y"
	}
	return "x"
}

func TestTrimForgivesWhiteSpaceAndADoubledBearer(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	for _, s := range []string{secret, " " + secret, secret + "\r\n", "\t" + secret + "  ", "Bearer " + secret, "bearer  " + secret + " "} {
		if _, err := f.Resolve(s, trim, ""); err != nil {
			t.Errorf("Resolve(%q) = %v", s, err)
		}
	}
	for _, s := range []string{" ", "Bearer", "Bearer  "} {
		if _, err := f.Resolve(s, trim, ""); code(err) != fault.KeyMissing {
			t.Errorf("Resolve(%q) = %v, want key_missing", s, err)
		}
	}
	for _, s := range []string{secret[:12] + " " + secret[12:], "Bearer Bearer " + secret, "Token " + secret} {
		if _, err := f.Resolve(s, trim, ""); code(err) != fault.KeyInvalid {
			t.Errorf("Resolve(%q) = %v, want key_invalid", s, err)
		}
	}
}

func TestEveryPrefixOfAContractWorksAndNoneMeansAny(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	for _, prefixes := range [][]string{{"mk-", "sk-test-"}, {"sk-", "sk-test-", "sk-test-x"}, nil} {
		if _, err := f.Resolve(secret, Format{Prefixes: prefixes}, ""); err != nil {
			t.Errorf("prefixes %q: %v", prefixes, err)
		}
	}
	for _, prefixes := range [][]string{{"sk-"}, {"sk-test"}, {""}} {
		if _, err := f.Resolve(secret, Format{Prefixes: prefixes}, ""); code(err) != fault.KeyInvalid {
			t.Errorf("prefixes %q: %v", prefixes, err)
		}
	}
}

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

func TestSiteOfAKeyIsCompared(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k, secret := f.key(t, NewKey{Site: "Ninja.LocalHost"})
	if k.Site != "ninja.localhost" {
		t.Errorf("site = %q", k.Site)
	}
	for site, want := range map[string]fault.Code{"ninja.localhost": fault.None, "NINJA.localhost": fault.None, "": fault.KeyInvalid, "samurai.localhost": fault.KeyInvalid} {
		if _, err := f.Resolve(secret, strict, site); code(err) != want {
			t.Errorf("on %q: %v, want %v", site, err, want)
		}
	}
}

func TestKeysOfSeveralSitesAreGoodInOnePlace(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, a := f.key(t, NewKey{Site: "a.example"})
	_, b := f.key(t, NewKey{Site: "b.example"})
	_, c := f.key(t, NewKey{Site: "c.example"})
	for name, want := range map[string]fault.Code{a: fault.None, b: fault.None, c: fault.KeyInvalid} {
		if _, err := f.Resolve(name, strict, "pages.example", "A.example", "b.example"); code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestKeyExpiresAtItsInstant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{ExpiresAt: f.t.Add(time.Hour)})
	f.advance(time.Hour - 1)
	if _, err := f.Resolve(secret, strict, ""); err != nil {
		t.Errorf("a nanosecond before: %v", err)
	}
	f.advance(1)
	if _, err := f.Resolve(secret, strict, ""); code(err) != fault.KeyExpired {
		t.Errorf("at the instant: %v", err)
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

// The bounds here and those of the limiter are written down twice, because
// neither package may know the other.
func TestLimitsHaveTheBoundsOfTheLimiter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		num := func(name string, edges ...int64) int64 {
			return rapid.OneOf(rapid.SampledFrom(edges), rapid.Int64Range(-1, 2_000_000)).Draw(t, name)
		}
		l := Limits{
			RPS:         rapid.OneOf(rapid.SampledFrom([]float64{0, 0.0009, 0.001, 1e6, 1e6 + 1, math.NaN(), math.Inf(1), -1}), rapid.Float64Range(0, 10)).Draw(t, "rps"),
			Burst:       num("burst", 0, 1, maxBurst, maxBurst+1),
			Requests:    num("requests", 0, 1, maxRequests, maxRequests+1),
			Per:         time.Duration(num("per", 0, int64(minPer)-1, int64(minPer), int64(maxPer), int64(maxPer)+1)),
			Concurrency: num("concurrency", 0, 1, maxConcurrency, maxConcurrency+1),

			TokensPerMinute: num("tokens", 0, 1, maxTokens, maxTokens+1),
		}
		theirs := limit.Rule{RPS: l.RPS, Burst: l.Burst, Requests: l.Requests, Per: l.Per, Concurrency: l.Concurrency, TokensPerMinute: l.TokensPerMinute}.Validate()
		if ours := l.Validate(); (ours == nil) != (theirs == nil) {
			t.Fatalf("%+v: account says %v, limit says %v", l, ours, theirs)
		}
	})
}

func TestLimitsInJSON(t *testing.T) {
	t.Parallel()
	l := Limits{RPS: 0.5, Burst: 3, Requests: 60, Per: time.Minute, RequestsPerDay: 70, USDPerDay: 1_500_000_000, Concurrency: 2, TokensPerMinute: 9000}
	const text = `{"rps":0.5,"burst":3,"requests":60,"per":"60s","tokens_per_minute":9000,"requests_per_day":70,"usd_per_day":"1.50","concurrency":2}`
	if b, err := json.Marshal(l); string(b) != text || err != nil {
		t.Errorf("Marshal = %s, %v\nwant      %s", b, err, text)
	}
	if b, err := json.Marshal(Limits{}); string(b) != `{}` || err != nil {
		t.Errorf("no limits: %s, %v", b, err)
	}
	var got Limits
	if err := json.Unmarshal([]byte(text), &got); err != nil || got != l {
		t.Errorf("Unmarshal = %+v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"rps":null,"burst":null,"per":"1.5s"}`), &got); err != nil {
		t.Error(err)
	}
	l.RPS, l.Burst, l.Per = 0, 0, 1500*time.Millisecond
	if diff := cmp.Diff(l, got); diff != "" {
		t.Errorf("merged (-want +got)\n%s", diff)
	}
	for _, text := range []string{`[]`, `null`, `"x"`, `{"rps":0}`, `{"rps":-1}`, `{"rps":"1"}`, `{"per":60}`, `{"per":"a minute"}`, `{"per":"0s"}`, `{"usd_per_day":1.5}`, `{"usd_per_day":"0"}`, `{"requests":1.5}`, `{"concurrency":0}`} {
		if err := json.Unmarshal([]byte(text), new(Limits)); err == nil {
			t.Errorf("Unmarshal(%s): want an error", text)
		}
	}
	if err := json.Unmarshal([]byte(`{"rsp":1}`), new(Limits), json.RejectUnknownMembers(true)); !errors.Is(err, json.ErrUnknownName) {
		t.Errorf("unknown member: %v", err)
	}
}

func TestAllowlistGlobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		globs  []string
		model  string
		allows bool
	}{
		{nil, "anything", true},
		{[]string{"gpt-5"}, "gpt-5", true},
		{[]string{"gpt-5"}, "gpt-5-mini", false},
		{[]string{"gpt-*"}, "gpt-", true},
		{[]string{"*"}, "vendor/model:free", true},
		{[]string{"openai/*"}, "openai/a/b", true},
		{[]string{"*mini*"}, "gpt-5-mini-2026", true},
		{[]string{"*mini"}, "mini-mini-x", false},
		{[]string{"a*b*c"}, "axxbxxbxc", true},
		{[]string{"a*b*c"}, "axxcxxb", false},
		{[]string{"o?"}, "o1", false},
		{[]string{"[ab]"}, "a", false},
		{[]string{"claude-*", "gpt-*"}, "gpt-5", true},
		{[]string{"GPT-*"}, "gpt-5", false},
		{[]string{"**"}, "", true},
	} {
		if got := (&Key{Models: c.globs}).Allows(c.model); got != c.allows {
			t.Errorf("%q allows %q = %v", c.globs, c.model, got)
		}
	}
}

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

func TestResolvingWhileKeysChange(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := f.Resolve(secret, strict, ""); err != nil {
					t.Errorf("a key that nobody touched: %v", err)
					return
				}
			}
		})
	}
	for range 100 {
		k, s := f.key(t, NewKey{})
		if _, err := f.Resolve(s, strict, ""); err != nil {
			t.Errorf("a new key: %v", err)
		}
		if _, err := f.RevokeKey(t.Context(), k.ID); err != nil {
			t.Error(err)
		}
		if _, err := f.Resolve(s, strict, ""); code(err) != fault.KeyInvalid {
			t.Errorf("a revoked key: %v", err)
		}
	}
	close(done)
	wg.Wait()
}

// Not parallel: it counts allocations.
func TestResolveDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	if n := testing.AllocsPerRun(200, func() {
		if _, err := f.Resolve(secret, trim, ""); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations, want at most 1", n)
	}
}

func FuzzResolve(f *testing.F) {
	fx := setup(f)
	_, secret := fx.key(f, NewKey{})
	for _, s := range []string{"", secret, " " + secret, "Bearer " + secret, "sk-test-", secret[:20]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, credential string) {
		for _, format := range []Format{strict, trim, {}, {Trim: true}} {
			_, err := fx.Resolve(credential, format, "")
			if c := code(err); err == nil && !strings.Contains(credential, secret) || err != nil && c != fault.KeyInvalid && c != fault.KeyMissing {
				t.Errorf("Resolve(%q, %+v) = %v", credential, format, err)
			}
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	f := setup(b)
	_, secret := f.key(b, NewKey{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Resolve(secret, strict, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHMAC(b *testing.B) {
	f := setup(b)
	_, secret := f.key(b, NewKey{})
	b.ReportAllocs()
	for b.Loop() {
		f.hasher.sum(secret)
	}
}

func BenchmarkResolveStranger(b *testing.B) {
	f := setup(b)
	secret := newSecret("sk-test-")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Resolve(secret, strict, ""); err == nil {
			b.Fatal("resolved")
		}
	}
}
