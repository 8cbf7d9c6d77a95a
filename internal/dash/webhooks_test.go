package dash

import (
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/outbox"
)

func TestEventsAreListedAndRetried(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if got := string(w.do("GET", "/admin/v1/webhooks", "").must(200).body); got != `{"data":[],"next":null}`+"\n" {
		t.Errorf("no events: %s", got)
	}
	acc, key, _ := w.newAccount("10")
	request := w.spend(acc, key, "m", money.Dollar, money.Dollar) // 9 is below 98
	other, otherKey, _ := w.newAccount("10")
	w.advance(time.Second) // events are listed by their ids, which tell milliseconds
	w.spend(other, otherKey, "m", money.Dollar, money.Dollar)
	first := w.do("GET", "/admin/v1/webhooks?limit=1&state=pending", "").must(200)
	if first.at("data.0.body.data.account") != other || first.at("next") == "null" {
		t.Errorf("the first page: %s", first.body)
	}
	second := w.do("GET", "/admin/v1/webhooks?limit=1&cursor="+first.at("next"), "").must(200)
	for path, want := range map[string]string{
		"next": "null", "data.0.type": "balance_warning", "data.0.state": "pending", "data.0.tries": "0", "data.0.next_at": "2026-11-20T12:00:00Z", "data.0.ended_at": "null", "data.0.error": "null",
		"data.0.body.data.account": acc, "data.0.body.data.key": key, "data.0.body.data.request": request, "data.0.body.data.balance_usd": "9.00", "data.0.body.data.below_usd": "98.00",
		"data.0.body.id": second.at("data.0.id"), "data.0.body.created_at": "2026-11-20T12:00:00Z",
	} {
		if got := second.at(path); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	id, err := outbox.ParseID(second.at("data.0.id"))
	if err != nil {
		t.Fatal(err)
	}
	store := w.store()
	row, err := store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	row.State, row.Tries, row.Error, row.Ended = outbox.Failed, 24, "it answered 500 Internal Server Error", w.time()
	if err := store.Put(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	failed := w.do("GET", "/admin/v1/webhooks?state=failed", "").must(200)
	if failed.at("data.0.id") != second.at("data.0.id") || failed.at("data.0.error") != "it answered 500 Internal Server Error" || failed.at("data.0.next_at") != "null" || failed.at("data.0.ended_at") == "null" {
		t.Errorf("failed: %s", failed.body)
	}
	again := w.do("POST", "/admin/v1/webhooks/"+second.at("data.0.id")+"/retry", "").must(200)
	if again.at("state") != "pending" || again.at("tries") != "24" || again.at("ended_at") != "null" || again.at("next_at") == "null" {
		t.Errorf("retried: %s", again.body)
	}
	for _, path := range []string{"evt_0000000000000000000000000a", "evt_x", request} {
		w.do("POST", "/admin/v1/webhooks/"+path+"/retry", "").failed(404, "not_found", "")
	}
	w.do("GET", "/admin/v1/webhooks?state=lost", "").failed(400, "invalid_parameter", "state")
	w.do("GET", "/admin/v1/webhooks?cursor=x", "").failed(400, "invalid_parameter", "cursor")
	none := setup(t, func(d *Deps) { d.Webhooks = nil })
	none.do("GET", "/admin/v1/webhooks", "").must(200)
	none.do("POST", "/admin/v1/webhooks/"+second.at("data.0.id")+"/retry", "").failed(404, "not_found", "")
}

func TestAnAccountsOwnThreshold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	path := "/admin/v1/accounts/" + w.do("POST", "/admin/v1/accounts", `{"name":"a"}`).must(201).at("id")
	for _, step := range []struct{ body, want string }{
		{`{"warn_below_usd":"5"}`, "5.00"},
		{`{"name":"b"}`, "5.00"},
		{`{"warn_below_usd":"0"}`, "0.00"},
		{`{"warn_below_usd":null}`, "null"},
		{`{"warn_below_usd":"1000000000"}`, "1000000000.00"},
	} {
		if got := w.do("PATCH", path, step.body).must(200).at("warn_below_usd"); got != step.want {
			t.Errorf("%s: %s, want %s", step.body, got, step.want)
		}
	}
	for body, code := range map[string]string{
		`{"warn_below_usd":"-0.01"}`: "invalid_parameter", `{"warn_below_usd":"1000000000.01"}`: "invalid_parameter", `{"warn_below_usd":"1e3"}`: "invalid_parameter", `{"warn_below_usd":5}`: "invalid_type",
	} {
		w.do("PATCH", path, body).failed(400, code, "warn_below_usd")
		w.do("POST", "/admin/v1/accounts", strings.Replace(body, "{", `{"name":"a",`, 1)).failed(400, code, "warn_below_usd")
	}
	if got := w.do("POST", "/admin/v1/accounts", `{"name":"a","warn_below_usd":"2.5"}`).must(201).at("warn_below_usd"); got != "2.50" {
		t.Errorf("a new account has %s", got)
	}
	if got := w.do("GET", path, "").must(200).at("warn_below_usd"); got != "1000000000.00" {
		t.Errorf("it was changed to %s", got)
	}
}
