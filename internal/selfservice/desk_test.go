package selfservice

import (
	"fmt"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
)

func TestBalanceIsThatOfTheKey(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sandbox := w.newKey(account.NewKey{Account: w.ada.ID, Name: "t", Site: site, Test: true})
	w.hold(w.key, 3*money.Dollar)
	w.hold(sandbox, money.Dollar)
	w.spend(w.key, "m", 10*money.Dollar, ledger.Tokens{})
	live := contract.Values{"balance": contract.USD(90 * money.Dollar), "available": contract.USD(87 * money.Dollar), "held": contract.USD(3 * money.Dollar)}
	test := contract.Values{"balance": contract.USD(100 * money.Dollar), "available": contract.USD(99 * money.Dollar), "held": contract.USD(money.Dollar)}
	for _, c := range []struct {
		key    *account.Key
		method string
		body   string
		want   contract.Values
	}{
		{w.key, "GET", "", live},
		{w.owner, "GET", "", live},
		{sandbox, "GET", "", test},
		{w.key, "POST", "", live},
		{w.key, "POST", " \n", live},
		{w.key, "POST", "{}", live},
		{sandbox, "POST", `{"anything":[1]}`, test},
	} {
		r := w.as(c.key, SurfaceBalance, c.method)
		r.Body = []byte(c.body)
		data := w.must(r)
		w.same(c.method+" "+c.body, data.Values, c.want)
	}
}

func TestWhatIsNotAQuestion(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, c := range []struct {
		surface, method, id, body string
		want                      string
		allow                     string
	}{
		{SurfaceBalance, "POST", "", "[1]", "invalid_json", ""},
		{SurfaceBalance, "POST", "", "{", "invalid_json", ""},
		{SurfaceBalance, "POST", "", `{"a":1,"a":2}`, "invalid_json", ""},
		{SurfaceBalance, "DELETE", "", "", "method_not_allowed", "GET, POST"},
		{SurfaceBalance, "GET", "x", "", "not_found", ""},
		{SurfaceKeys, "PUT", "", "", "method_not_allowed", "GET, POST"},
		{SurfaceKeys, "DELETE", "", "", "method_not_allowed", "GET, POST"},
		{SurfaceKeys, "GET", "x", "", "method_not_allowed", "PUT, DELETE"},
		{SurfaceKeys, "POST", "x", "", "method_not_allowed", "PUT, DELETE"},
		{SurfaceUsage, "POST", "", "{}", "method_not_allowed", "GET"},
		{SurfaceUsage, "GET", "x", "", "not_found", ""},
		{SurfaceUsageSummary, "PUT", "", "{}", "method_not_allowed", "GET"},
		{SurfaceUsageSummary, "GET", "x", "", "not_found", ""},
		{SurfaceTransactions, "DELETE", "", "", "method_not_allowed", "GET"},
		{SurfaceTransactions, "GET", "x", "", "not_found", ""},
		{"account.cards", "GET", "", "", "internal", ""},
	} {
		r := w.as(w.owner, c.surface, c.method)
		r.ID, r.Body = c.id, []byte(c.body)
		if e := w.fails(r, c.want); e.Args["allow"] != c.allow {
			t.Errorf("%s %s allows %q, want %q", c.method, c.surface, e.Args["allow"], c.allow)
		}
	}
	w.fails(Request{Surface: SurfaceBalance, Method: "GET"}, "key_missing")
	w.fails(Request{Surface: SurfaceBalance, Method: "GET", Who: account.Principal{Account: w.ada}}, "key_missing")
	nobody := account.Principal{Account: &account.Account{}, Key: &account.Key{}} // as at a route that asks for no key
	for _, surface := range []string{SurfaceBalance, SurfaceKeys, SurfaceUsage, SurfaceUsageSummary, SurfaceTransactions} {
		w.fails(Request{Surface: surface, Method: "GET", Who: nobody}, "key_missing")
	}
}

func TestAFailingLedgerIsOurFault(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for err, want := range map[error]fault.Code{
		fmt.Errorf("read: %w", ledger.ErrUnavailable): fault.LedgerUnavailable,
		fmt.Errorf("read: no such file"):              fault.Internal,
	} {
		w.unrecorded = err
		e := w.fails(w.as(w.key, SurfaceUsageSummary, "GET"), want.String())
		if e.Cause == nil {
			t.Errorf("%v lost its cause", e)
		}
	}
}

// The names are those of the vocabulary in internal/contract/data.go: what is
// missing here is null in every contract.
func TestAnswersHaveTheNamesOfTheVocabulary(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.spend(w.key, "m", money.Dollar, ledger.Tokens{Input: 1})
	const standing = "active_keys available balance has_credits held rate_requests rate_seconds"
	const tokens = "input_tokens net_charge output_tokens reasoning_tokens refunded requests total_tokens"
	for _, c := range []struct {
		surface, list string
		want, each    string
	}{
		{SurfaceBalance, "", "[available balance held]", ""},
		{
			SurfaceKeys, "keys", "[" + standing + " total_charge total_requests]",
			"[active charge created_at expires_at id kind last_used_at name prefix requests revoked_at test]",
		},
		{
			SurfaceUsage, "usage", "[limit offset]",
			"[charge created_at id input_tokens key_id model output_tokens reasoning_tokens total_tokens]",
		},
		{SurfaceUsageSummary, "by_day", "[as_of charge from group_by input_tokens key_id live_days net_charge output_tokens reasoning_tokens refunded requests scope to total_tokens]", "[charge day " + tokens + "]"},
		{SurfaceUsageSummary, "by_model", "", "[charge input_tokens model net_charge output_tokens reasoning_tokens refunded requests total_tokens]"},
		{SurfaceUsageSummary, "by_day_model", "", "[charge day input_tokens model net_charge output_tokens reasoning_tokens refunded requests total_tokens]"},
		{SurfaceTransactions, "transactions", "[limit offset]", "[amount created_at description id request transaction_type]"},
	} {
		r := w.as(w.key, c.surface, "GET")
		r.Rate = limit.Rule{Requests: 60, Per: time.Minute}
		data := w.must(r)
		if got := names(data.Values); c.want != "" && got != c.want {
			t.Errorf("%s = %s, want %s", c.surface, got, c.want)
		}
		if c.list == "" {
			continue
		}
		rows := data.Lists[c.list]
		if len(rows) == 0 {
			t.Errorf("%s: no %s", c.surface, c.list)
			continue
		}
		if got := names(rows[0]); got != c.each {
			t.Errorf("%s.%s = %s, want %s", c.surface, c.list, got, c.each)
		}
	}
	const key = "active active_keys available balance created_at"
	id := ""
	for _, c := range []struct{ method, body, want string }{
		{"POST", `{"name":"x"}`, "[" + key + " expires_at has_credits held id key kind message name prefix revoked_at test]"},
		{"PUT", `{"name":"y"}`, "[" + key + " expires_at has_credits held id kind message name prefix revoked_at test]"},
		{"DELETE", "", "[" + key + " deleted expires_at has_credits held id kind message name prefix revoked_at test]"},
	} {
		r := w.as(w.key, SurfaceKeys, c.method)
		r.ID, r.Body = id, []byte(c.body)
		data := w.must(r)
		id = text(data.Values["id"])
		if got := names(data.Values); got != c.want {
			t.Errorf("%s = %s, want %s", c.method, got, c.want)
		}
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule              limit.Rule
		requests, seconds int64
	}{
		{limit.Rule{}, 0, 0},
		{limit.Rule{Concurrency: 3}, 0, 0},
		{limit.Rule{Requests: 60, Per: time.Minute}, 60, 60},
		{limit.Rule{Requests: 5, Per: 500 * time.Millisecond}, 10, 1},
		{limit.Rule{Requests: 5, Per: 1500 * time.Millisecond}, 5, 2},
		{limit.Rule{Requests: 1, Per: limit.MaxPer - time.Millisecond}, 1, 604800},
		{limit.Rule{RPS: 2}, 2, 1},
		{limit.Rule{RPS: 2, Burst: 100}, 2, 1},
		{limit.Rule{RPS: 0.5}, 5, 10},
		{limit.Rule{RPS: 1.0 / 60}, 1, 60},
		{limit.Rule{RPS: 0.1}, 1, 10},
		{limit.Rule{RPS: 0.3}, 3, 10},
		{limit.Rule{RPS: limit.MinRPS}, 3, 3600},
		{limit.Rule{RPS: limit.MaxRPS}, limit.MaxRPS, 1},
		{limit.Rule{RPS: 2, Requests: 60, Per: time.Minute}, 60, 60},
		{limit.Rule{RPS: 0.5, Requests: 60, Per: time.Minute}, 5, 10},
		{limit.Rule{RPS: 1, Requests: 60, Per: time.Minute}, 60, 60},
	} {
		if n, s := window(c.rule); n != c.requests || s != c.seconds {
			t.Errorf("window(%+v) = %d in %d s, want %d in %d s", c.rule, n, s, c.requests, c.seconds)
		}
	}
}
