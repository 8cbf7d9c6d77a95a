package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/client"
)

// serve answers every request with what answer returns, and notes it.
func serve(t *testing.T, answer func(call string) (int, string)) (*Client, *[]string) {
	t.Helper()
	calls := &[]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		call := strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
		*calls = append(*calls, call)
		if auth := r.Header.Get("Authorization"); strings.HasPrefix(r.URL.Path, "/admin/") != (auth == "Bearer t") {
			t.Errorf("%s was sent with %q", call, auth)
		}
		status, text := answer(call)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	c, err := New(Options{BaseURL: s.URL + "/", Token: "t", HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return c, calls
}

func TestCallsAreThoseOfTheDescription(t *testing.T) {
	t.Parallel()
	c, calls := serve(t, func(string) (int, string) { return 200, "{}" })
	ctx, at := t.Context(), time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC)
	on := true
	run := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	first := func(_ any, err error) error { return err }
	run(first(c.CreateAccount(ctx, "n", "p")))
	run(first(c.Account(ctx, "acc/1")))
	run(first(c.Credit(ctx, "acc_1", NewCredit{AmountUSD: "1.00", Kind: "grant", ExpiresAt: &at})))
	run(first(c.CreateKey(ctx, "acc_1", NewKey{Name: "k", Limits: &Limits{RPS: 1}})))
	run(first(c.UpdateKey(ctx, "key_1", KeyPatch{Active: &on})))
	run(first(c.UpdateKey(ctx, "key_1", KeyPatch{Limits: &Limits{Concurrency: 2}, NoLimits: []string{"rps"}})))
	run(first(c.RevokeKey(ctx, "key_1")))
	run(first(c.Limits(ctx, "acc_1", "x")))
	run(first(c.Receipts(ctx, ReceiptFilter{Model: "a b", From: at, Limit: 7}, "")))
	run(first(c.Refund(ctx, "req_1", NewRefund{Reference: "t", Note: "why"})))
	run(first(c.Webhooks(ctx, "failed", "evt_1")))
	run(first(c.RetryWebhook(ctx, "evt_1")))
	never, sites := Text("0"), Text("")
	run(first(c.UpdateAccount(ctx, "acc_1", AccountPatch{WarnBelowUSD: &never})))
	run(first(c.UpdateAccount(ctx, "acc_1", AccountPatch{WarnBelowUSD: &sites})))
	run(first(c.Usage(ctx, UsageFilter{By: []string{"day", "key"}, Test: true, To: at})))
	run(first(c.Digests(ctx, DigestFilter{From: at, Limit: 7}, "2026-11-20")))
	run(first(c.EffectiveConfig(ctx)))
	run(c.AdvanceClock(ctx, 3*time.Hour))
	run(c.ArmFault(ctx, "slow_fsync", 2))
	run(c.ScriptSim(ctx, "m", json.RawMessage(`[{"status":500}]`)))
	run(first(c.Alive(ctx)))
	want := []string{
		`POST /admin/v1/accounts {"name":"n","plan":"p"}`,
		`GET /admin/v1/accounts/acc%2F1`,
		`POST /admin/v1/accounts/acc_1/credits {"amount_usd":"1.00","kind":"grant","expires_at":"2026-11-20T01:02:03Z"}`,
		`POST /admin/v1/accounts/acc_1/keys {"name":"k","limits":{"rps":1}}`,
		`PATCH /admin/v1/keys/key_1 {"active":true}`,
		`PATCH /admin/v1/keys/key_1 {"limits":{"concurrency":2,"rps":null}}`,
		`DELETE /admin/v1/keys/key_1`,
		`GET /admin/v1/accounts/acc_1/limits?cursor=x`,
		`GET /admin/v1/requests?from=2026-11-20T01%3A02%3A03Z&limit=7&model=a+b`,
		`POST /admin/v1/requests/req_1/refund {"reference":"t","note":"why"}`,
		`GET /admin/v1/webhooks?cursor=evt_1&state=failed`,
		`POST /admin/v1/webhooks/evt_1/retry`,
		`PATCH /admin/v1/accounts/acc_1 {"warn_below_usd":"0"}`,
		`PATCH /admin/v1/accounts/acc_1 {"warn_below_usd":null}`,
		`GET /admin/v1/usage?group_by=day%2Ckey&test=true&to=2026-11-20T01%3A02%3A03Z`,
		`GET /admin/v1/ledger/digests?cursor=2026-11-20&from=2026-11-20T01%3A02%3A03Z&limit=7`,
		`GET /admin/v1/effective-config`,
		`POST /admin/v1/test/clock {"advance":"3h0m0s"}`,
		`POST /admin/v1/test/fault {"point":"slow_fsync","times":2}`,
		`PUT /admin/v1/test/sim {"model":"m","steps":[{"status":500}]}`,
		`GET /healthz`,
	}
	if diff := cmp.Diff(want, *calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestAllWalksEveryPage(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(call string) (int, string) {
		switch call {
		case "GET /admin/v1/accounts":
			return 200, `{"data":[{"id":"a"},{"id":"b"}],"next":"b"}`
		case "GET /admin/v1/accounts?cursor=b":
			return 200, `{"data":[{"id":"c","plan":null}],"next":"c"}`
		}
		return 400, `{"error":{"code":"invalid_parameter","message":"no","param":"cursor"}}`
	})
	var got []string
	var failure error
	for a, err := range All(t.Context(), c.Accounts) {
		if err != nil {
			failure = err
			break
		}
		got = append(got, a.ID)
	}
	var e *client.Error
	if strings.Join(got, "") != "abc" || !errors.As(failure, &e) || e.Param != "cursor" || e.Status != 400 {
		t.Errorf("walked %v, then %v, want a b c and the error of the last page", got, failure)
	}
	same := func(context.Context, string) (*List[int], error) { return &List[int]{Data: []int{1}, Next: "x"}, nil }
	n := 0
	for range All(t.Context(), same) {
		n++
	}
	if n != 2 {
		t.Errorf("a list whose cursor does not move gave %d items, want an end after 2", n)
	}
}

func TestTheActorIsTold(t *testing.T) {
	t.Parallel()
	var got [][]string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Values("X-Pontage-Actor"))
		_, _ = io.WriteString(w, "{}")
	}))
	defer s.Close()
	for _, actor := range []string{"", "alice@example"} {
		c, err := New(Options{BaseURL: s.URL, Token: "t", HTTPClient: s.Client(), Actor: actor})
		if err != nil {
			t.Fatal(err)
		}
		_, err1 := c.Credit(t.Context(), "a", NewCredit{})
		_, err2 := c.Account(t.Context(), "a")
		if err1 != nil || err2 != nil {
			t.Error(err1, err2)
		}
	}
	if diff := cmp.Diff([][]string{nil, nil, {"alice@example"}, {"alice@example"}}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A credit that is sent twice may be given twice, so only what reads is tried
// again.
func TestOnlyReadingIsTriedAgain(t *testing.T) {
	t.Parallel()
	c, calls := serve(t, func(string) (int, string) {
		return 503, `{"error":{"code":"ledger_unavailable","message":"no","param":null}}`
	})
	if _, err := c.Credit(t.Context(), "a", NewCredit{}); err == nil || len(*calls) != 1 {
		t.Errorf("Credit() = %v in %d calls, want one", err, len(*calls))
	}
	if _, err := c.Account(t.Context(), "a"); err == nil || len(*calls) != 3 {
		t.Errorf("Account() = %v in %d calls, want two", err, len(*calls)-1)
	}
}

func TestReadyNamesWhatIsDegraded(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(string) (int, string) { return 503, `{"ready":false,"degraded":["ledger"]}` })
	p, err := c.Ready(t.Context())
	if err != nil || p.OK || len(p.Degraded) != 1 || p.Degraded[0] != "ledger" {
		t.Errorf("Ready() = %+v, %v", p, err)
	}
}

func TestQuantity(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Quantity{`null`: "", `5`: "5", `"1.50"`: "1.50", `0`: "0"} {
		var q Quantity
		if err := json.Unmarshal([]byte(in), &q); err != nil || q != want {
			t.Errorf("%s = %q, %v, want %q", in, q, err, want)
		}
	}
}
