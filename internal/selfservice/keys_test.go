package selfservice

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// strangers are keys that ada's key of the site has no business with.
func (w *world) strangers() map[string]*account.Key {
	w.Helper()
	revoked := w.newKey(account.NewKey{Account: w.ada.ID, Name: "revoked", Site: site})
	if _, err := w.accounts.RevokeKey(w.Context(), revoked.ID); err != nil {
		w.Fatal(err)
	}
	return map[string]*account.Key{
		"another account's":      w.newKey(account.NewKey{Account: w.bob.ID, Name: "bob's", Site: site}),
		"another site's":         w.newKey(account.NewKey{Account: w.ada.ID, Name: "elsewhere", Site: "other.localhost"}),
		"a billing key":          w.owner,
		"a key of test money":    w.newKey(account.NewKey{Account: w.ada.ID, Name: "t", Site: site, Test: true}),
		"a revoked key":          revoked,
		"a billing key anywhere": w.newKey(account.NewKey{Account: w.ada.ID, Name: "o2", Kind: account.KindBilling}),
	}
}

func (w *world) put(k *account.Key, id, body string) Request {
	w.Helper()
	r := w.as(k, SurfaceKeys, "PUT")
	r.ID, r.Body = id, []byte(body)
	return r
}

func (w *world) post(k *account.Key, body string) Request {
	w.Helper()
	r := w.as(k, SurfaceKeys, "POST")
	r.Body = []byte(body)
	return r
}

func (w *world) remove(k *account.Key, id string) Request {
	w.Helper()
	r := w.as(k, SurfaceKeys, "DELETE")
	r.ID = id
	return r
}

func TestKeysAreThoseThatWorkHere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.strangers()
	w.newKey(account.NewKey{Account: w.ada.ID, Name: "everywhere"})
	w.newKey(account.NewKey{Account: w.ada.ID, Name: "brief", Site: site, ExpiresAt: w.time().Add(time.Minute)})
	off := w.newKey(account.NewKey{Account: w.ada.ID, Name: "off", Site: strings.ToUpper(site)})
	w.must(w.put(w.owner, off.ID.String(), `{"active":false}`))
	w.set(w.time().Add(time.Minute)) // the brief one expires
	used := w.spend(w.key, "m", 2*money.Dollar, ledger.Tokens{})
	w.set(w.time().Add(time.Minute))
	w.spend(off, "m", money.Dollar, ledger.Tokens{})
	tried := w.spend(off, "m", 0, ledger.Tokens{})

	for _, asking := range []*account.Key{w.owner, w.key} {
		r := w.as(asking, SurfaceKeys, "GET")
		r.Site = strings.ToUpper(site)
		data := w.must(r)
		rows := data.Lists["keys"]
		if got := column(rows, "name"); !slices.Equal(got, []string{"first", "everywhere", "brief", "off"}) {
			t.Fatalf("keys = %v", got)
		}
		for i, active := range []bool{true, true, false, false} {
			w.same(text(rows[i]["name"]), rows[i], contract.Values{"active": contract.Flag(active), "kind": contract.Text("inference"), "test": contract.Flag(false)})
		}
		w.same("first", rows[0], contract.Values{
			"id": contract.Text(w.key.ID.String()), "prefix": contract.Text(w.key.Prefix), "created_at": contract.Time(w.key.CreatedAt),
			"expires_at": {}, "revoked_at": {}, "requests": contract.Number(1), "charge": contract.USD(2 * money.Dollar),
			"last_used_at": contract.Time(used.Started),
		})
		w.same("never used", rows[1], contract.Values{"requests": contract.Number(0), "charge": contract.USD(0), "last_used_at": {}})
		w.same("off", rows[3], contract.Values{"requests": contract.Number(1), "last_used_at": contract.Time(tried.Started)})
		w.same("account", data.Values, contract.Values{
			"active_keys": contract.Number(2), "total_requests": contract.Number(2), "total_charge": contract.USD(3 * money.Dollar),
			"has_credits": contract.Flag(true), "balance": contract.USD(97 * money.Dollar), "rate_requests": {},
		})
	}
}

// The newest requests of the account fill a page; what is older is looked up.
func TestLastUseIsFoundBehindTheNewestRequests(t *testing.T) {
	t.Parallel()
	w := setup(t)
	early := w.newKey(account.NewKey{Account: w.ada.ID, Name: "early", Site: site})
	refused := w.newKey(account.NewKey{Account: w.ada.ID, Name: "refused", Site: site})
	first := w.spend(early, "m", 1, ledger.Tokens{})
	w.spend(refused, "m", 0, ledger.Tokens{})
	w.set(w.time().Add(time.Second))
	for range glance {
		w.spend(w.key, "m", 0, ledger.Tokens{})
	}
	w.asked = 0
	rows := w.get(w.owner, SurfaceKeys).Lists["keys"]
	w.same("early", rows[1], contract.Values{"last_used_at": contract.Time(first.Started)})
	w.same("refused", rows[2], contract.Values{"last_used_at": {}})
	if w.asked != 2 {
		t.Errorf("%d pages of receipts were read, want the newest and one key's", w.asked)
	}
	w.set(w.time().Add(time.Second))
	for range lookups + 5 {
		k := w.newKey(account.NewKey{Account: w.ada.ID, Name: "k", Site: site})
		w.spend(k, "m", 1, ledger.Tokens{})
	}
	w.set(w.time().Add(time.Second))
	for range glance {
		w.spend(w.key, "m", 0, ledger.Tokens{})
	}
	w.asked = 0
	w.get(w.owner, SurfaceKeys)
	if w.asked != 1+lookups {
		t.Errorf("%d pages of receipts were read, want %d at most", w.asked, 1+lookups)
	}
}

func TestNobodyElsesKeyIsThere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ids := map[string]string{"no id": "7", "too long": strings.Repeat("k", 1000), "unknown": account.KeyID(12345).String(), "an account's": w.ada.ID.String()}
	strangers := w.strangers()
	for name, k := range strangers {
		ids[name] = k.ID.String()
	}
	var first *fault.Error
	for name, id := range ids {
		for _, r := range []Request{w.put(w.owner, id, `{"name":"mine"}`), w.put(w.owner, id, `{`), w.remove(w.owner, id), w.put(w.key, id, `{"active":true}`)} {
			e := w.fails(r, "id not_found")
			if first == nil {
				first = e
			}
			if diff := cmp.Diff(first, e); diff != "" {
				t.Errorf("%s %s can be told apart (-want +got)\n%s", r.Method, name, diff)
			}
		}
	}
	for name, k := range strangers {
		now, err := w.accounts.Key(k.ID)
		if err != nil || now.Name != k.Name || name != "a revoked key" && !now.Active {
			t.Errorf("%s is %+v, %v", name, now, err)
		}
	}
}

func TestLifeOfAKey(t *testing.T) {
	t.Parallel()
	w := setup(t)
	format := account.Format{Prefixes: []string{prefix}}
	for _, asking := range []*account.Key{w.owner, w.key} {
		made := w.must(w.post(asking, `{"name":"Zoë's key","expires_at":"2026-11-20T14:00:00.1239+01:00"}`)).Values
		secret, id := text(made["key"]), text(made["id"])
		resolves := func(at string, want fault.Code) {
			t.Helper()
			p, err := w.accounts.Resolve(secret, format, at)
			if want == fault.None && (err != nil || p.Key.ID.String() != id) || want != fault.None && !fault.Is(err, want) {
				t.Errorf("the key at %s: %+v, %v; want %v", at, p.Key, err, want)
			}
		}
		w.same("made", made, contract.Values{
			"name": contract.Text("Zoë's key"), "kind": contract.Text("inference"), "active": contract.Flag(true), "test": contract.Flag(false),
			"created_at": contract.Time(w.time()), "expires_at": contract.Time(time.Date(2026, 11, 20, 13, 0, 0, 123e6, time.UTC)),
			"active_keys": contract.Number(2), "deleted": {},
		})
		if !strings.HasPrefix(secret, text(made["prefix"])) || !strings.HasPrefix(secret, prefix) {
			t.Errorf("the key %s is shown as %s", secret, text(made["prefix"]))
		}
		resolves(site, fault.None)
		resolves("other.localhost", fault.KeyInvalid)

		off := w.must(w.put(asking, id, `{"active":false}`)).Values
		w.same("off", off, contract.Values{"id": made["id"], "name": made["name"], "active": contract.Flag(false), "active_keys": contract.Number(1), "key": {}})
		resolves(site, fault.KeyInactive)
		on := w.must(w.put(asking, strings.ToUpper(id), `{"name":"n","active":true}`)).Values
		w.same("on", on, contract.Values{"name": contract.Text("n"), "active": contract.Flag(true), "active_keys": contract.Number(2)})
		resolves(site, fault.None)

		gone := w.must(w.remove(asking, id)).Values
		w.same("gone", gone, contract.Values{
			"id": made["id"], "deleted": contract.Flag(true), "active": contract.Flag(false),
			"revoked_at": contract.Time(w.time()), "active_keys": contract.Number(1),
		})
		resolves(site, fault.KeyInvalid)
		w.fails(w.remove(asking, id), "id not_found")
		w.fails(w.put(asking, id, `{"active":true}`), "id not_found")
		if got := column(w.get(asking, SurfaceKeys).Lists["keys"], "id"); slices.Contains(got, id) {
			t.Errorf("%s is revoked and in %v", id, got)
		}
	}
}

func TestAnExpiredKeyStaysOff(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.newKey(account.NewKey{Account: w.ada.ID, Name: "brief", Site: site, ExpiresAt: w.time().Add(time.Minute)})
	w.must(w.put(w.owner, k.ID.String(), `{"active":false}`))
	w.set(k.ExpiresAt)
	w.fails(w.put(w.owner, k.ID.String(), `{"active":true}`), "active invalid_parameter")
	w.must(w.put(w.owner, k.ID.String(), `{"name":"was brief"}`))
}

func TestBodiesOfKeysAreChecked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const name = `"name":"x"`
	for _, c := range []struct {
		body string
		want []string
	}{
		{``, []string{"invalid_json"}},
		{`null`, []string{"invalid_json"}},
		{`[]`, []string{"invalid_json"}},
		{`{"name":"a","name":"b"}`, []string{"invalid_json"}},
		{`{}`, []string{"name missing_parameter"}},
		{`{"name":null}`, []string{"name missing_parameter"}},
		{`{"name":7}`, []string{"name invalid_type"}},
		{`{"name":""}`, []string{"name invalid_parameter"}},
		{`{"name":" \t"}`, []string{"name invalid_parameter"}},
		{`{"name":"a\u0000"}`, []string{"name invalid_parameter"}},
		{`{"name":"` + strings.Repeat("é", 65) + `"}`, []string{"name invalid_parameter"}},
		{`{` + name + `,"expires_at":1}`, []string{"expires_at invalid_type"}},
		{`{` + name + `,"expires_at":"tomorrow"}`, []string{"expires_at invalid_parameter"}},
		{`{` + name + `,"expires_at":"2026-11-21"}`, []string{"expires_at invalid_parameter"}},
		{`{` + name + `,"expires_at":"2026-11-21T01:00:00"}`, []string{"expires_at invalid_parameter"}},
		{`{` + name + `,"expires_at":"2026-11-20T12:00:00Z"}`, []string{"expires_at invalid_parameter"}},
		{`{` + name + `,"expires_at":"2026-11-20T12:00:00.0009Z"}`, []string{"expires_at invalid_parameter"}},
		{`{` + name + `,"expires_at":"2026-11-20T13:00:00+01:00"}`, []string{"expires_at invalid_parameter"}},
		{`{` + name + `,"expiresAt":"2020-01-01T00:00:00Z"}`, []string{"expiresAt invalid_parameter"}},
		{`{` + name + `,"expiresAt":"2200-01-01T00:00:00Z"}`, []string{"expiresAt invalid_parameter"}},
		{`{` + name + `,"expires_at":"2027-01-01T00:00:00Z","expiresAt":"2027-01-01T00:00:00Z"}`, []string{"expiresAt invalid_parameter"}},
		{`{` + name + `,"kind":"billing"}`, []string{"kind unknown_parameter"}},
		{`{"limits":{},"expires_at":true,"test":null}`, []string{"name missing_parameter", "limits unknown_parameter", "expires_at invalid_type", "test unknown_parameter"}},
	} {
		w.fails(w.post(w.owner, c.body), c.want...)
	}
	id := w.key.ID.String()
	for _, c := range []struct {
		body string
		want []string
	}{
		{``, []string{"invalid_json"}},
		{`"x"`, []string{"invalid_json"}},
		{`{}`, []string{"name missing_parameter"}},
		{`{"name":null,"active":null}`, []string{"name missing_parameter"}},
		{`{"name":"","active":1}`, []string{"name invalid_parameter", "active invalid_type"}},
		{`{"active":true,"expires_at":null,"limits":{}}`, []string{"expires_at unknown_parameter", "limits unknown_parameter"}},
	} {
		w.fails(w.put(w.owner, id, c.body), c.want...)
	}
	if got := column(w.get(w.owner, SurfaceKeys).Lists["keys"], "name"); !slices.Equal(got, []string{"first"}) {
		t.Errorf("after refusals there are %v", got)
	}
	w.must(w.post(w.owner, `{"name":"`+strings.Repeat("é", 64)+`","expires_at":null}`))
	w.must(w.post(w.owner, `{"name":"x","expires_at":null,"expiresAt":"2027-01-01T00:00:00Z"}`))
}

func TestPlainNamesOfKeys(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, name := range []string{"x", "Production bot_1-a", "Schlüssel 2"} {
		r := w.post(w.owner, `{"name":"`+name+`"}`)
		r.Plain = true
		w.must(r)
	}
	for _, name := range []string{"a/b", "v1.2", "bot!", "<b>", "a\u00a0b", "a\\nb", "\U0001f511"} {
		for _, r := range []Request{w.post(w.owner, `{"name":"`+name+`"}`), w.put(w.owner, w.key.ID.String(), `{"name":"`+name+`"}`)} {
			r.Plain = true
			w.fails(r, "name invalid_parameter")
		}
	}
	w.must(w.post(w.owner, `{"name":"a/b: v1.2!"}`))
}

func TestASiteThatCannotBeIsOurFault(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.post(w.owner, `{"name":"x"}`)
	r.Site = "not a host"
	w.fails(r, "internal")
}

func TestRulesForMakingKeys(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.spend(w.key, "m", 90*money.Dollar, ledger.Tokens{}) // leaves 10
	w.hold(w.key, money.Dollar)
	r := w.post(w.owner, `{"name":"x"}`)
	r.MinCredit = 10*money.Dollar + 1
	e := w.fails(r, "balance_insufficient")
	if !e.HasMoney || e.Required != r.MinCredit || e.Balance != 10*money.Dollar || e.Available != 9*money.Dollar || e.Held != money.Dollar {
		t.Errorf("%+v", e)
	}
	r.MinCredit, r.MaxKeys = 10*money.Dollar, 2
	second := text(w.must(r).Values["id"])
	w.fails(r, "invalid_request")

	// Keys that are off make room, and do not come back into it.
	w.must(w.put(w.owner, second, `{"active":false}`))
	w.must(r)
	on := w.put(w.owner, second, `{"name":"y","active":true}`)
	on.MaxKeys, on.MinCredit = 2, money.Max
	w.fails(on, "invalid_request")
	w.must(w.remove(w.owner, w.key.ID.String()))
	w.must(on)
	again := on // is on already
	again.MaxKeys = 1
	w.must(again)

	// Keys of test money and of other sites take no room here.
	w.newKey(account.NewKey{Account: w.ada.ID, Name: "t", Site: site, Test: true})
	w.newKey(account.NewKey{Account: w.ada.ID, Name: "o", Site: "other.localhost"})
	r.MaxKeys = 3
	w.must(r)
}

func TestManyAtOnceMakeNoMoreKeysThanAllowed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const most = 5
	var wg sync.WaitGroup
	refused := make(chan error, 20)
	for i := range cap(refused) {
		r := w.post(w.owner, fmt.Sprintf(`{"name":"k%d"}`, i))
		r.MaxKeys = most
		wg.Go(func() {
			if _, err := w.Answer(w.Context(), r); err != nil {
				refused <- err
			}
		})
	}
	wg.Wait()
	if got := number(w.get(w.owner, SurfaceKeys).Values["active_keys"]); got != most || len(refused) != 20-(most-1) {
		t.Errorf("%d active keys, %d refused", got, len(refused))
	}
}

func TestAKeyCannotShedWhatBindsIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	expires := w.time().Add(time.Hour)
	bound := w.newKey(account.NewKey{
		Account: w.ada.ID, Name: "bound", Test: true, Models: []string{"small-*"}, OnDisconnect: account.DisconnectDrain, ExpiresAt: expires,
	})
	for body, want := range map[string]time.Time{
		`{"name":"x"}`: expires,
		`{"name":"x","expires_at":"2026-11-20T12:30:00Z"}`: w.time().Add(30 * time.Minute),
	} {
		id, err := account.ParseKeyID(text(w.must(w.post(bound, body)).Values["id"]))
		if err != nil {
			t.Fatal(err)
		}
		k, err := w.accounts.Key(id)
		if err != nil {
			t.Fatal(err)
		}
		want := &account.Key{
			ID: id, Account: w.ada.ID, Name: "x", Kind: account.KindInference, Site: site, Test: true, Prefix: k.Prefix, Active: true,
			ExpiresAt: want, CreatedAt: w.time(), Models: bound.Models, OnDisconnect: account.DisconnectDrain,
		}
		if diff := cmp.Diff(want, k); diff != "" {
			t.Errorf("%s (-want +got)\n%s", body, diff)
		}
	}
	w.fails(w.post(bound, `{"name":"x","expires_at":"2026-11-20T13:00:00.001Z"}`), "expires_at invalid_parameter")

	limited := w.newKey(account.NewKey{Account: w.ada.ID, Name: "limited", Site: site, Limits: account.Limits{USDPerDay: money.Dollar}})
	w.fails(w.post(limited, `{"name":"x"}`), "endpoint_not_allowed")
	w.must(w.put(limited, limited.ID.String(), `{"name":"still limited"}`))

	// The owner is bound by nothing.
	owner := w.newKey(account.NewKey{
		Account: w.ada.ID, Name: "o", Kind: account.KindBilling, Models: []string{"m"}, ExpiresAt: expires, Limits: account.Limits{RequestsPerDay: 1},
	})
	made := w.must(w.post(owner, `{"name":"x"}`)).Values
	w.same("of an owner", made, contract.Values{"expires_at": {}})
}

func TestAKeyMayRevokeItself(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.must(w.remove(w.key, w.key.ID.String()))
	k, err := w.accounts.Key(w.key.ID)
	if err != nil || !k.Revoked() {
		t.Errorf("%+v, %v", k, err)
	}
	w.fails(w.remove(w.key, w.key.ID.String()), "id not_found")
}

// What may be done once is asked for right before it is done, and not for what is
// refused.
func TestAKeyIsMadeOnlyAfterTheIdempotencyKeyStandsForIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	asked, undone := 0, 0
	var refuse error
	try := func(body string, change func(*Request)) error {
		r := w.post(w.owner, body)
		r.Once = func(context.Context) (func(), error) {
			asked++
			return func() { undone++ }, refuse
		}
		if change != nil {
			change(&r)
		}
		_, err := w.Answer(w.Context(), r)
		return err
	}
	for name, c := range map[string]struct {
		body   string
		change func(*Request)
	}{
		"a bad body":     {`{"name":7}`, nil},
		"too many keys":  {`{"name":"x"}`, func(r *Request) { r.MaxKeys = 1 }},
		"too poor":       {`{"name":"x"}`, func(r *Request) { r.MinCredit = 1000 * money.Dollar }},
		"an unfit asker": {`{"name":"x","expires_at":"2001-01-01T00:00:00Z"}`, nil},
	} {
		if err := try(c.body, c.change); err == nil || asked != 0 {
			t.Errorf("%s: %v, asked for %d times", name, err, asked)
		}
	}
	before := len(w.get(w.owner, SurfaceKeys).Lists["keys"])
	refuse = fault.New(fault.LedgerUnavailable, "")
	if err := try(`{"name":"x"}`, nil); !fault.Is(err, fault.LedgerUnavailable) || asked != 1 {
		t.Errorf("refused: %v, asked for %d times", err, asked)
	}
	if got := len(w.get(w.owner, SurfaceKeys).Lists["keys"]); got != before {
		t.Errorf("%d keys, before there were %d", got, before)
	}
	refuse = nil
	// A site that cannot be makes the registry refuse what was let through here.
	if err := try(`{"name":"x"}`, func(r *Request) { r.Site = "not a host" }); err == nil || asked != 2 || undone != 1 {
		t.Errorf("not made: %v, asked for %d times, taken back %d times", err, asked, undone)
	}
	if err := try(`{"name":"x"}`, nil); err != nil || asked != 3 || undone != 1 {
		t.Errorf("made: %v, asked for %d times, taken back %d times", err, asked, undone)
	}
}
