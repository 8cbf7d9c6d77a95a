package dash

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
)

func TestAccountsFromBirthToSuspension(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.do("POST", "/admin/v1/accounts", `{"name":"ada","plan":"free"}`).must(201)
	want := fmt.Sprintf(`{"id":%q,"name":"ada","plan":"free","status":"active","balance_usd":"0.00","held_usd":"0.00","available_usd":"0.00",`+
		`"test_balance_usd":"0.00","test_held_usd":"0.00","test_available_usd":"0.00","warn_below_usd":null,"created_at":"2026-11-20T12:00:00Z"}`+"\n", made.at("id"))
	if string(made.body) != want {
		t.Errorf("created %swant    %s", made.body, want)
	}
	path := "/admin/v1/accounts/" + made.at("id")
	if got := w.do("GET", path, "").must(200); string(got.body) != want {
		t.Errorf("got %swant %s", got.body, want)
	}
	got := w.do("PATCH", path, `{"name":"eve","plan":null,"status":"suspended"}`).must(200)
	if got.at("name") != "eve" || got.at("plan") != "null" || got.at("status") != "suspended" {
		t.Errorf("patched: %s", got.body)
	}
	if got := w.do("PATCH", path, `{}`).must(200); got.at("name") != "eve" || got.at("status") != "suspended" {
		t.Errorf("an empty patch changed something: %s", got.body)
	}
	if got := w.do("PATCH", path, `{"plan":"pro"}`).must(200); got.at("plan") != "pro" || got.at("name") != "eve" {
		t.Errorf("patched the plan: %s", got.body)
	}
}

func TestListsAreReadPageByPage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	var accounts, keys, requests []string
	accounts, keys = append(accounts, acc), append(keys, key)
	for range 4 {
		accounts = append(accounts, w.do("POST", "/admin/v1/accounts", `{"name":"x"}`).must(201).at("id"))
		keys = append(keys, w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"x"}`).must(201).at("id"))
		w.advance(time.Second)
		requests = slices.Insert(requests, 0, w.spend(acc, key, "m", 100, 50)) // newest first
	}
	for path, want := range map[string][]string{
		"/admin/v1/accounts?": accounts, "/admin/v1/accounts/" + acc + "/keys?": keys, "/admin/v1/requests?": requests,
	} {
		var got []string
		cursor := ""
		for pages := 0; ; pages++ {
			if pages > 10 {
				t.Fatalf("%s has no end", path)
			}
			page := w.do("GET", path+"limit=2"+cursor, "").must(200)
			ids := page.names("id")
			if len(ids) > 2 {
				t.Errorf("%s: a page of %d", path, len(ids))
			}
			got = append(got, ids...)
			if page.at("next") == "null" {
				break
			}
			cursor = "&cursor=" + page.at("next")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
	if got := w.do("GET", "/admin/v1/accounts", "").must(200); len(got.names("id")) != 5 {
		t.Errorf("without a limit: %s", got.body)
	}
}

func TestKeyIsShownOnceAndActsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, _, _ := w.newAccount("")
	made := w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"k","site":"www.ninja.localhost","test":true,"models":["gpt-*"],"expires_at":"2026-11-21T00:00:00+01:00",
		"limits":{"rps":1.5,"burst":3,"requests":60,"per":"1m","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.5","concurrency":2},"on_disconnect":"drain"}`).must(201)
	text := made.at("key")
	id := made.at("id")
	for path, want := range map[string]string{
		"limits": `{"rps":1.5,"burst":3,"requests":60,"per":"60s","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.50","concurrency":2}`,
		"site":   "ninja.localhost", "kind": "inference", "test": "true", "active": "true", "models": `["gpt-*"]`, "prefix": text[:12],
		"expires_at": "2026-11-20T23:00:00Z", "revoked_at": "null", "on_disconnect": "drain", "account": acc, "created_at": "2026-11-20T12:00:00Z",
	} {
		if got := made.at(path); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	format := account.Format{Prefixes: []string{"nj_sk_"}}
	resolve := func() fault.Code {
		_, err := w.deps.Accounts.Resolve(text, format, "ninja.localhost")
		if err == nil {
			return fault.None
		}
		return fault.From(err).Code
	}
	if got := resolve(); got != fault.None {
		t.Fatalf("a new key: %v", got)
	}
	for _, step := range []struct {
		body, path, want string
		code             fault.Code
	}{
		{`{"active":false}`, "active", "false", fault.KeyInactive},
		{`{"active":true,"name":"new"}`, "name", "new", fault.None},
		{`{"limits":{"rps":null,"burst":null,"concurrency":5}}`, "limits", `{"requests":60,"per":"60s","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.50","concurrency":5}`, fault.None},
		{`{"limits":{}}`, "limits.concurrency", "5", fault.None},
		{`{"limits":null}`, "limits", "{}", fault.None},
		{`{"models":["a","b/*"]}`, "models", `["a","b/*"]`, fault.None},
		{`{"models":null}`, "models", `[]`, fault.None},
	} {
		if got := w.do("PATCH", "/admin/v1/keys/"+id, step.body).must(200); got.at(step.path) != step.want || strings.Contains(string(got.body), text) {
			t.Errorf("%s: %s, want %s = %s and no key", step.body, got.body, step.path, step.want)
		}
		if got := resolve(); got != step.code {
			t.Errorf("after %s the key is %v, want %v", step.body, got, step.code)
		}
	}
	for range 2 {
		if got := w.do("DELETE", "/admin/v1/keys/"+id, "").must(200); got.at("revoked_at") != "2026-11-20T12:00:00Z" || got.at("active") != "false" {
			t.Errorf("revoked: %s", got.body)
		}
	}
	if got := resolve(); got != fault.KeyInvalid {
		t.Errorf("a revoked key: %v", got)
	}
	w.do("PATCH", "/admin/v1/keys/"+id, `{"active":true}`).failed(409, "conflict", "")
	if got := w.do("GET", "/admin/v1/accounts/"+acc+"/keys", ""); strings.Contains(string(got.body), text) || len(got.names("id")) != 2 {
		t.Errorf("keys: %s", got.body)
	}
	if strings.Contains(w.logged(), text) || strings.Contains(w.logged(), token) {
		t.Error("the log holds a secret")
	}
	if got := w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"k","kind":"billing"}`).must(201); !strings.HasPrefix(got.at("key"), "mk-") {
		t.Errorf("a billing key starts %.6s", got.at("key"))
	}
}

func TestLimitsTellWhatIsUsed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	w.do("PATCH", "/admin/v1/keys/"+key, `{"limits":{"rps":1,"burst":5,"requests":60,"per":"60s","tokens_per_minute":600,"requests_per_day":70,"usd_per_day":"4","concurrency":2}}`).must(200)
	w.spend(acc, key, "m", 2*money.Dollar, money.Dollar)
	id, err := account.ParseKeyID(key)
	if err != nil {
		t.Fatal(err)
	}
	release, exceeded := w.deps.Limiter.Take(int64(id), limit.Rule{RPS: 1, Burst: 5, Requests: 60, Per: time.Minute, Concurrency: 2})
	if exceeded != nil {
		t.Fatal(exceeded)
	}
	defer release()
	if _, exceeded := w.deps.Limiter.TakeTokens(int64(id), limit.Rule{TokensPerMinute: 600}, 300); exceeded != nil {
		t.Fatal(exceeded)
	}
	got := w.do("GET", "/admin/v1/accounts/"+acc+"/limits", "").must(200)
	want := strings.ReplaceAll(`{"data":[`+
		`{"counter":"balance_usd","key":null,"class":null,"test":false,"limit":"9.00","used":"0.00","held":"0.00","per":null,"resets_at":null},`+
		`{"counter":"balance_usd","key":null,"class":null,"test":true,"limit":"0.00","used":"0.00","held":"0.00","per":null,"resets_at":null},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"open","test":false,"limit":150,"used":1,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"closed","test":false,"limit":null,"used":0,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"open","test":true,"limit":150,"used":0,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"closed","test":true,"limit":null,"used":0,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"requests_per_day","key":KEY,"class":null,"test":false,"limit":70,"used":1,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"usd_per_day","key":KEY,"class":null,"test":false,"limit":"4.00","used":"1.00","held":"0.00","per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"rps","key":KEY,"class":null,"test":false,"limit":5,"used":1,"held":0,"per":"5s","resets_at":"2026-11-20T12:00:01Z"},`+
		`{"counter":"requests","key":KEY,"class":null,"test":false,"limit":60,"used":1,"held":0,"per":"60s","resets_at":"2026-11-20T12:01:00Z"},`+
		`{"counter":"tokens_per_minute","key":KEY,"class":null,"test":false,"limit":600,"used":300,"held":0,"per":"60s","resets_at":"2026-11-20T12:00:30Z"},`+
		`{"counter":"concurrency","key":KEY,"class":null,"test":false,"limit":2,"used":0,"held":1,"per":null,"resets_at":null}`+
		`],"next":null}`+"\n", "KEY", `"`+key+`"`)
	if diff := cmp.Diff(strings.ReplaceAll(want, "},", "},\n"), strings.ReplaceAll(string(got.body), "},", "},\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.do("DELETE", "/admin/v1/keys/"+key, "").must(200)
	if got := w.do("GET", "/admin/v1/accounts/"+acc+"/limits", "").names("counter"); slices.Contains(got, "usd_per_day") {
		t.Errorf("a revoked key has counters: %v", got)
	}
}

// The patch of limits is read, merge, write; two at once must not lose one.
func TestParallelPatchesAreAllKept(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, key, _ := w.newAccount("")
	var wg sync.WaitGroup
	for _, body := range []string{`{"rps":1}`, `{"requests":5,"per":"1s"}`, `{"requests_per_day":9}`, `{"usd_per_day":"3"}`, `{"concurrency":4}`} {
		wg.Go(func() {
			if got := w.do("PATCH", "/admin/v1/keys/"+key, `{"limits":`+body+`}`); got.status != 200 {
				t.Errorf("%s: %d %s", body, got.status, got.body)
			}
		})
	}
	wg.Wait()
	want := `{"rps":1,"requests":5,"per":"1s","requests_per_day":9,"usd_per_day":"3.00","concurrency":4}`
	if got := w.do("PATCH", "/admin/v1/keys/"+key, `{}`).must(200).at("limits"); got != want {
		t.Errorf("limits = %s, want %s", got, want)
	}
}

// A patch of limits is read, merge, write under a lock. Whoever is slow to send
// one must not keep an operator from switching off another key.
func TestASlowPatchHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, slow, _ := w.newAccount("")
	other := w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"leaked"}`).must(201).at("id")
	body, sender := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		r := httptest.NewRequestWithContext(context.Background(), "PATCH", "/admin/v1/keys/"+slow, body)
		r.Header.Set("Authorization", "Bearer "+token)
		w.handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	if _, err := sender.Write([]byte(`{"name":`)); err != nil { // returns when it was read
		t.Fatal(err)
	}
	patched := make(chan *reply, 1)
	go func() { patched <- w.do("PATCH", "/admin/v1/keys/"+other, `{"active":false}`) }()
	select {
	case got := <-patched:
		got.must(200)
	case <-time.After(5 * time.Second):
		t.Error("a key could not be switched off while another patch was on its way")
	}
	_ = sender.Close()
	<-sent
}
