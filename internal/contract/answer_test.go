package contract

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// answering is the small contract with a route of an account, whose template
// and extras are given.
func answering(route, extras string) string {
	return strings.NewReplacer(
		"fallback:", "  "+route+"\nfallback:",
		"defaults:", extras+"\ndefaults:",
	).Replace(small)
}

func TestAnswersHaveTheShapeOfTheirTemplate(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 11, 20, 13, 14, 15, 987_654_321, time.FixedZone("", 3600))
	keys := Data{
		Values: Values{
			"id": Text("k1"), "name": Text(""), "active": Flag(true), "test": Flag(false), "created_at": Time(moment),
			"balance": USD(4_259_999_999), "total_charge": USD(-19_999_999), "active_keys": Number(-3), "message": Text(`a "b"` + "\n"),
		},
		Lists: map[string][]Values{"keys": {
			{"id": Text("a"), "charge": USD(1), "kind": Text("inference")},
			{"id": Text("b"), "kind": Text("billing")},
			nil,
		}},
	}
	for template, want := range map[string]string{
		"$id":                             `"k1"`,
		"{a: $name, b?: $name, c: $key}":  `{"a":"","c":null}`,
		"{a: $active, b?: $test}":         `{"a":true,"b":false}`,
		`"{active} {active_keys} {name}"`: `"true -3 "`,
		"[$created_at, $created_at_unix, $created_at_ms, $expires_at, $expires_at_ms]":    `["2026-11-20T12:14:15.987Z",1795176855,1795176855987,null,null]`,
		"[$balance_usd, $balance_number, $balance_cents, $held_cents]":                    `["4.259999999",4.259999999,425,null]`,
		`"{balance_usd} {balance_usd:0} {balance_usd:2} {balance_usd:8} {balance_usd:9}"`: `"4.259999999 4 4.25 4.25999999 4.259999999"`,
		`"{total_charge_usd:2} {total_charge_cents}"`:                                     `"-0.01 -1"`,
		"{each: $keys, as: $id}":                            `["a","b",null]`,
		"{as: $id, each: $keys}":                            `["a","b",null]`,
		"{each: $keys, as: {i: $id, c?: $charge_number}}":   `[{"i":"a","c":0.000000001},{"i":"b"},{"i":null}]`,
		"{each: $keys, as: '{id}={charge_usd:3}'}":          `["a=0.000","b=","="]`,
		"{k: {each: $keys, as: $kind}, m: $message}":        `{"k":["proxy","billing",null],"m":"a \"b\"\n"}`,
		`{a: null, b: 1.50, c: "$$id", d: [], "e{{": "{{"}`: `{"a":null,"b":1.50,"c":"$id","d":[],"e{{":"{"}`,
	} {
		src := answering("GET /v1/keys: {surface: account.keys, envelope: flat, kind: any, answer: "+template+"}", "terms: {kind: {inference: proxy}}")
		c, err := Parse("c.yaml", []byte(src))
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		r := routeOf(t, c, "GET /v1/keys")
		if !r.HasAnswer() || r.HasDetailed() || r.Status != 200 || r.Role != "api" {
			t.Errorf("%s: route %+v", template, r)
		}
		if got := string(c.Answer(r, false, keys, Facts{})); got != want {
			t.Errorf("%s:\n got %s\nwant %s", template, got, want)
		}
	}
}

func TestAListOfModelsCanHaveADetailedAnswerAlone(t *testing.T) {
	t.Parallel()
	src := answering("GET /v1/models: {surface: openai.models, envelope: flat, kind: none, role: dashboard, only: embedding, detailed: {n: $count}, status: 203}", "")
	c, err := Parse("c.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	r := routeOf(t, c, "GET /v1/models")
	if r.HasAnswer() || !r.HasDetailed() || r.Only != "embedding" || r.Status != 203 || r.Role != "dashboard" {
		t.Errorf("route %+v", r)
	}
	d := Data{Values: Values{"count": Number(7)}}
	if got := c.Answer(r, false, d, Facts{}); got != nil {
		t.Errorf("without detailed: %s, want nothing", got)
	}
	if got := string(c.Answer(r, true, d, Facts{})); got != `{"n":7}` {
		t.Errorf("detailed: %s", got)
	}
	if got := c.Answer(routeOf(t, c, "POST /v1/chat"), true, d, Facts{}); got != nil {
		t.Errorf("a route without an answer: %s", got)
	}
}

func TestExtrasStandBehindAnAnswer(t *testing.T) {
	t.Parallel()
	src := answering("GET /v1/balance: {surface: account.balance, envelope: flat, answer: {}}", `extras:
  low: {below: 5, members: {low: $balance}}
  paid: {on: [answer], surfaces: [account.balance], members: {paid: $charge_number, "in?": $input_tokens, "out?": $output_tokens, "all?": $total_tokens, "ms?": $latency_ms}}
  chat: {on: [answer, frame], surfaces: [chat], members: {cost: "${charge_usd:3}"}}
  bad: {on: [error], members: {bad: 1}}`)
	c, err := Parse("c.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	r := routeOf(t, c, "GET /v1/balance")
	f := Facts{Balance: money.Dollar, HasBalance: true, Charge: 3_000_001, Took: 1_999 * time.Microsecond, Usage: &llm.Usage{Input: 5, Output: 7}}
	if got, want := string(c.Answer(r, false, Data{}, f)), `{"low":"1.00","paid":0.003000001,"in":5,"out":7,"all":12,"ms":1}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := string(c.Answer(r, false, Data{}, Facts{})); got != `{"paid":0.00}` {
		t.Errorf("%s", got)
	}
	if diff := cmp.Diff([]llm.Edit{{Name: "low", Value: []byte(`"1.00"`)}, {Name: "cost", Value: []byte(`"$0.004"`)}}, c.Extras("chat", "flat", f)); diff != "" {
		t.Error(diff)
	}
	frame, _ := c.RenderFrame("chat", "flat", code(fault.Internal), f)
	if !strings.Contains(string(frame), `"cost":"$0.004"`) || strings.Contains(string(frame), `"paid"`) {
		t.Errorf("frame %s", frame)
	}
	if frame, _ = c.RenderFrame("openai.chat", "flat", code(fault.Internal), f); strings.Contains(string(frame), "cost") {
		t.Errorf("another surface's frame %s", frame)
	}
}

func TestMoneyHasAsManyDecimalsAsAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a    money.Amount
		n    int
		up   bool
		want string
	}{
		{0, 0, true, "0"},
		{0, 2, false, "0.00"},
		{1, 3, false, "0.000"},
		{1, 3, true, "0.001"},
		{-1, 3, false, "0.000"},
		{-1, 3, true, "0.000"},
		{3_000_000, 3, true, "0.003"},
		{3_000_001, 3, true, "0.004"},
		{999_999_999, 2, true, "1.00"},
		{999_999_999, 2, false, "0.99"},
		{-1_509_000_000, 2, false, "-1.50"},
		{-1_509_000_000, 2, true, "-1.50"},
		{1, 9, true, "0.000000001"},
		{10, 8, false, "0.00000001"},
		{math.MaxInt64, 0, true, "9223372037"},
		{math.MaxInt64, 9, true, "9223372036.854775807"},
		{math.MinInt64, 2, false, "-9223372036.85"},
		{129_469_561_470, 8, false, "129.46956147"},
	} {
		if got := decimal(tc.a, tc.n, tc.up); got != tc.want {
			t.Errorf("decimal(%d, %d, %v) = %s, want %s", tc.a, tc.n, tc.up, got, tc.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, n := money.Amount(rapid.Int64Range(-1e17, 1e17).Draw(t, "amount")), rapid.IntRange(0, 9).Draw(t, "decimals")
		unit := money.Amount(math.Pow10(9 - n))
		for _, up := range []bool{false, true} {
			got, err := money.ParseUSD(decimal(a, n, up))
			if err != nil || got%unit != 0 {
				t.Fatalf("decimal(%d, %d, %v) = %q: %v", a, n, up, decimal(a, n, up), err)
			}
			if d := got - a; up && (d < 0 || d >= unit) || !up && a >= 0 && (d > 0 || -d >= unit) || !up && a < 0 && (d < 0 || d >= unit) {
				t.Fatalf("decimal(%d, %d, %v) = %v", a, n, up, got)
			}
		}
	})
}

func TestRefusalsTellMoneyOnTheSafeSide(t *testing.T) {
	t.Parallel()
	src := strings.Replace(small, "{error: $code, message: $message}",
		`{r: "{required_usd:2}", a: "{available_usd:2}", h: "{held_usd:2}", b: "{balance_usd:2}", c: "{charge_usd:2}"}`, 1)
	c, err := Parse("c.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	e := &fault.Error{Code: fault.BalanceHeld, HasMoney: true, Required: 19_000_001, Available: 19_999_999, Held: 19_999_999, Balance: 19_999_999}
	want := `{"r":"0.02","a":"0.01","h":"0.01","b":"0.01","c":"0.01"}`
	if got := string(c.Render("flat", e, Facts{Charge: 1}).Body); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// sampleData has a value under every name of a surface; each list has two items.
func sampleData(surface string, text func(string) string) Data {
	value := func(t answerTerm) Value {
		switch t.kind {
		case valueText:
			return Text(text(t.name))
		case valueNumber:
			return Number(12)
		case valueUSD:
			return USD(1_234_567_891)
		case valueFlag:
			return Flag(true)
		}
		return Time(noon)
	}
	d := Data{Values: Values{}, Lists: map[string][]Values{}}
	for _, t := range answers[surface].terms {
		d.Values[t.name] = value(t)
	}
	for _, l := range answers[surface].lists {
		item := Values{}
		for _, t := range l.terms {
			item[t.name] = value(t)
		}
		d.Lists[l.name] = []Values{item, {}}
	}
	return d
}

// What the contracts show of an account, a job and a list of models, with
// everything known and with nothing known.
func TestAnswersOfTheContracts(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	f := Facts{RequestID: "req_1", Balance: 350 * money.Cent, HasBalance: true, Charge: 3_000_001, Took: 1500 * time.Millisecond, Usage: &llm.Usage{Input: 8, Output: 5}}
	for _, c := range everything(t) {
		for _, r := range c.Routes() {
			for _, detailed := range []bool{false, true} {
				if (detailed && !r.HasDetailed()) || (!detailed && !r.HasAnswer()) {
					continue
				}
				full := c.Answer(r, detailed, sampleData(r.Surface, func(name string) string { return "a " + name }), f)
				void := c.Answer(r, detailed, Data{}, Facts{})
				for _, body := range [][]byte{full, void} {
					if !validJSON(body) {
						t.Errorf("%s %s %s: %s is not JSON", c.Name(), r.Method, r.Path, body)
					}
				}
				fmt.Fprintf(&b, "=== %s %s %s, detailed %v: %d\n%s\n--- nothing known\n%s\n", c.Name(), r.Method, r.Path, detailed, r.Status, full, void)
			}
			for _, x := range c.Extras(r.Surface, r.Envelope, f) {
				fmt.Fprintf(&b, "+++ %s %s %s: %s: %s\n", c.Name(), r.Method, r.Path, x.Name, x.Value)
			}
		}
	}
	golden(t, "testdata/answers.txt", []byte(b.String()))
}

// The answers that the services document, to the letter.
func TestAnswersThatServicesPromiseToTheLetter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		contract, route string
		d               Data
		want            string
	}{
		{"modelswitch", "GET /api/balance", Data{Values: Values{"available": USD(1_500_500_000_000)}}, `{"balance":1500.50}`},
		{"modelswitch", "POST /api/keys", Data{Values: Values{"id": Text("1"), "key": Text("ms-1")}}, `{"id":"1","key":"ms-1"}`},
		{
			"modelswitch", "GET /api/transactions",
			Data{Lists: map[string][]Values{"transactions": {
				{"id": Number(2), "amount": USD(-3_250_000), "transaction_type": Text("usage"), "description": Text("gpt-5"), "created_at": Time(noon)},
				{"id": Number(1), "amount": USD(10 * money.Dollar), "transaction_type": Text("topup"), "description": Text("Card"), "created_at": Time(noon)},
			}}},
			`{"transactions":[{"id":2,"amount":-0.00325,"type":"usage","description":"gpt-5","createdAt":"2026-11-20T12:00:00.000Z"},{"id":1,"amount":10.00,"type":"payment","description":"Card","createdAt":"2026-11-20T12:00:00.000Z"}]}`,
		},
		{
			"nanogpt", "POST /api/check-balance",
			Data{Values: Values{"balance": USD(129_469_561_479)}},
			`{"usd_balance":"129.46956147","nano_balance":"0.00000000","nanoDepositAddress":null}`,
		},
		{"nanogpt", "GET /api/models", Data{Lists: map[string][]Values{"models": {{"id": Text("a")}, {"id": Text("b/c")}}}}, `{"models":["a","b/c"]}`},
		{
			"llmtune", "POST /v1/batch/inference",
			Data{Values: Values{"job": Text("b1"), "status": Text("queued"), "total": Number(3), "accepted": Number(2)}},
			`{"batchId":"b1","status":"queued","summary":{"total":3,"accepted":2}}`,
		},
		{
			"ninjachat", "POST /api/api-keys",
			Data{Values: Values{"key": Text("nj_sk_1"), "id": Text("1"), "prefix": Text("nj_sk_"), "name": Text("mine"), "message": Text("Keep it.")}},
			`{"key":"nj_sk_1","id":"1","prefix":"nj_sk_","name":"mine","message":"Keep it."}`,
		},
	} {
		c := load(t, tc.contract)
		if got := string(c.Answer(routeOf(t, c, tc.route), false, tc.d, Facts{})); got != tc.want {
			t.Errorf("%s %s:\n got %s\nwant %s", tc.contract, tc.route, got, tc.want)
		}
	}
}

func TestReceiptsOfAnswers(t *testing.T) {
	t.Parallel()
	f := Facts{Balance: 4_820_999_999, HasBalance: true, WarnBelow: 1, Charge: 6_000_000, Took: 1243 * time.Millisecond, Usage: &llm.Usage{Input: 8, Output: 5}}
	for _, tc := range []struct{ contract, surface, envelope, want string }{
		{"ninjachat", "chat", "flat", `{"cost":{"this_request":"$0.006"},"balance":"$4.820","metadata":{"latency_ms":1243}}`},
		{"ninjachat", "openai.models", "flat", `{}`},
		{"nanogpt", "openai.chat", "openai", `{"x_nanogpt_pricing":{"amount":0.006,"currency":"USD","inputTokens":8,"outputTokens":5,"paymentSource":"USD"}}`},
		{"nanogpt", "anthropic.messages", "anthropic", `{}`},
	} {
		got := "{"
		for i, e := range load(t, tc.contract).Extras(tc.surface, tc.envelope, f) {
			if i > 0 {
				got += ","
			}
			name, _ := json.Marshal(e.Name)
			got += string(name) + ":" + string(e.Value)
		}
		if got += "}"; got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.contract, tc.surface, got, tc.want)
		}
	}
}
