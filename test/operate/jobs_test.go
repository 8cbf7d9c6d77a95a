package operate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// batches starts a gateway that takes batches of prompts for one model m, which
// costs one and two dollars per million tokens.
func batches(t *testing.T, u *testkit.Upstream) *harness.Gateway {
	t.Helper()
	return batchesThat(t, u, "drain: 1s")
}

// batchesThat is batches with settings of the server's own.
func batchesThat(t *testing.T, u *testkit.Upstream, server string) *harness.Gateway {
	t.Helper()
	return harness.Start(t, harness.Options{Server: server, Config: fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}}
sites: [{hosts: ["*"], contract: llmtune}]
`, u.URL+"/v1")})
}

// whole is a whole answer to a chat of 12 and 34 tokens.
const whole = `{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,"model":"upstream-m","choices":[{"index":0,"message":{"role":"assistant","content":"Blue."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}`

// promptCost is what whole costs, in nano-dollars: $1 and $2 per million tokens.
const promptCost = money.Amount(12*1000 + 34*2000)

// batchState is a job as its contract shows it.
type batchState struct {
	BatchID string `json:"batchId"`
	Status  string
	Summary struct{ Total, Accepted, Completed, Failed int }
	Results []struct {
		ID, Status, Text, Error, Message string
		Tokens                           int64
	}
}

func (c customer) batch(t *testing.T, header map[string]string, prompts ...string) *reply {
	t.Helper()
	var list []string
	for i, p := range prompts {
		list = append(list, fmt.Sprintf(`{"id":"p%d","prompt":%q,"maxTokens":100}`, i, p))
	}
	return ask(t, c.g, call{path: "/v1/batch/inference", key: c.key, header: header, body: `{"modelId":"m","requests":[` + strings.Join(list, ",") + `]}`})
}

func (r *reply) job(t *testing.T) batchState {
	t.Helper()
	var b batchState
	if err := json.Unmarshal(r.is(t, 200).body, &b); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return b
}

// holds checks what the account has, and what is held of it.
func (c customer) holds(t *testing.T, posted, held money.Amount) {
	t.Helper()
	a := c.g.AccountNow(t, c.account)
	if usd(t, a.BalanceUSD) != posted || usd(t, a.HeldUSD) != held {
		t.Errorf("the account has %s, %s held; want %s, %s", a.BalanceUSD, a.HeldUSD, posted, held)
	}
}

// until polls a job until it is as wanted.
func (c customer) until(t *testing.T, id string, ok func(batchState) bool) batchState {
	t.Helper()
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(5 * time.Millisecond) {
		b := ask(t, c.g, call{method: "GET", path: "/v1/batch/inference/" + id, key: c.key}).job(t)
		if ok(b) {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job stays as it is: %+v", b)
		}
	}
}

func over(b batchState) bool { return b.Summary.Completed+b.Summary.Failed == b.Summary.Total }

func TestABatchIsAnsweredAndCharged(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := batches(t, u)
	c := newCustomer(t, g, "1", nil)
	b := c.batch(t, nil, "one", "two", "three").job(t)
	if b.Status != "queued" || b.Summary.Total != 3 || b.Summary.Accepted != 3 {
		t.Errorf("%+v", b)
	}
	b = c.until(t, b.BatchID, over)
	if b.Status != "completed" || b.Summary.Completed != 3 {
		t.Errorf("%+v", b)
	}
	for i, r := range b.Results {
		if r.ID != fmt.Sprintf("p%d", i) || r.Status != "completed" || r.Text != "Blue." || r.Tokens != 46 || r.Error != "" {
			t.Errorf("%+v", r)
		}
	}
	c.holds(t, money.Dollar-3*promptCost, 0)
	other := newCustomer(t, g, "1", nil)
	ask(t, g, call{method: "GET", path: "/v1/batch/inference/" + b.BatchID, key: other.key}).is(t, 404)
	ask(t, g, call{method: "DELETE", path: "/v1/batch/inference/" + b.BatchID, key: other.key}).is(t, 404)
	trial := g.NewKey(t, c.account, map[string]any{"test": true}).Key // as in anybody's CI
	ask(t, g, call{method: "GET", path: "/v1/batch/inference/" + b.BatchID, key: trial}).is(t, 404)
	ask(t, g, call{method: "DELETE", path: "/v1/batch/inference/" + b.BatchID, key: trial}).is(t, 404)
	g.Verify(t)
}

// What is acknowledged is answered and charged once, though the process is
// killed in the middle of it.
func TestABatchOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	held := make(chan struct{})
	hanging := testkit.JSON(200, whole)
	hanging.Gate = held
	u.Queue(testkit.JSON(200, whole), hanging, hanging)
	u.Always(testkit.JSON(200, whole))
	g := batches(t, u)
	c := newCustomer(t, g, "1", nil)
	b := c.batch(t, map[string]string{"Idempotency-Key": "b1"}, "one", "two", "three").job(t)
	c.until(t, b.BatchID, func(b batchState) bool { return b.Summary.Completed == 1 && b.Status == "running" })
	u.Request(2)
	if usd(t, g.AccountNow(t, c.account).HeldUSD) == 0 {
		t.Fatal("nothing is held for what runs")
	}
	g.Kill()
	g.Run(t)
	close(held)
	b = c.until(t, b.BatchID, over)
	if b.Summary.Completed != 3 || b.Status != "completed" {
		t.Errorf("%+v", b)
	}
	c.holds(t, money.Dollar-3*promptCost, 0)
	if again := c.batch(t, map[string]string{"Idempotency-Key": "b1"}, "one", "two", "three"); again.job(t).BatchID != b.BatchID || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the same key makes another job: %s", again.body)
	}
	c.batch(t, map[string]string{"Idempotency-Key": "b1"}, "one").is(t, 422)
	g.Verify(t)
}

func TestAStopLeavesWhatRunsToTheNextProcess(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	never := make(chan struct{})
	hanging := testkit.JSON(200, whole)
	hanging.Gate = never
	u.Queue(hanging)
	u.Always(testkit.JSON(200, whole))
	g := batches(t, u)
	c := newCustomer(t, g, "1", nil)
	b := c.batch(t, nil, "one").job(t)
	u.Request(0)
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	g.Run(t)
	if b = c.until(t, b.BatchID, over); b.Summary.Completed != 1 {
		t.Errorf("%+v", b)
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}

func TestACancelledBatchGivesEverythingBack(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	never := make(chan struct{})
	hanging := testkit.JSON(200, whole)
	hanging.Gate = never
	u.Queue(testkit.JSON(200, whole))
	u.Always(hanging)
	g := batches(t, u)
	c := newCustomer(t, g, "1", nil)
	prompts := make([]string, 30) // more than run at once
	for i := range prompts {
		prompts[i] = "again"
	}
	b := c.batch(t, nil, prompts...).job(t)
	c.until(t, b.BatchID, func(b batchState) bool { return b.Summary.Completed == 1 })
	for range 2 {
		ask(t, g, call{method: "DELETE", path: "/v1/jobs/" + b.BatchID, key: c.key}).is(t, 200)
	}
	b = c.until(t, b.BatchID, over)
	if b.Status != "cancelled" || b.Summary.Completed != 1 || b.Summary.Failed != 29 || b.Results[29].Status != "cancelled" {
		t.Errorf("%+v", b)
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}

func TestABatchIsHeldForAsAWhole(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := batches(t, u)
	c := newCustomer(t, g, "0", nil)
	r := c.batch(t, nil, "one", "two").is(t, 402)
	need, err := money.ParseUSD(r.header.Get("X-Required-Usd"))
	if err != nil || need <= 2*100*2000 {
		t.Fatalf("X-Required-USD is %q", r.header.Get("X-Required-Usd"))
	}
	c.credit(t, (need - 1).String())
	c.batch(t, nil, "one", "two").is(t, 402)
	c.credit(t, "0.000000001")
	b := c.batch(t, nil, "one", "two").job(t)
	c.until(t, b.BatchID, over)
	c.holds(t, need-2*promptCost, 0)
	if n := len(u.Received()); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestWhatFailsInABatchIsFree(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Queue(testkit.JSON(500, `{"error":{"message":"no","type":"server_error"}}`))
	u.Always(testkit.JSON(200, whole))
	g := batches(t, u)
	c := newCustomer(t, g, "1", nil)
	b := c.until(t, c.batch(t, nil, "one", "two", "three").job(t).BatchID, over)
	if b.Status != "completed" || b.Summary.Completed != 2 || b.Summary.Failed != 1 {
		t.Errorf("%+v", b)
	}
	for _, r := range b.Results {
		if r.Status == "failed" && (r.Error != "upstream_error" || r.Message == "" || r.Text != "") {
			t.Errorf("%+v", r)
		}
	}
	c.holds(t, money.Dollar-2*promptCost, 0)

	// A key that is revoked before its turn has come answers nothing more.
	never := make(chan struct{})
	hanging := testkit.JSON(200, whole)
	hanging.Gate = never
	u.Always(hanging)
	second := c
	k := g.NewKey(t, c.account, nil)
	second.id, second.key = k.ID, k.Key
	many := make([]string, 12)
	for i := range many {
		many[i] = "again"
	}
	b = second.batch(t, nil, many...).job(t)
	u.Request(10) // all that run at once
	g.MustAdmin(t, "DELETE", "/admin/v1/keys/"+second.id, nil, nil)
	close(never)
	b = c.until(t, b.BatchID, over)
	if b.Summary.Completed != 8 || b.Summary.Failed != 4 || b.Results[11].Error != "invalid_api_key" {
		t.Errorf("%+v", b)
	}
	c.holds(t, money.Dollar-10*promptCost, 0)
	g.Verify(t)
}

func TestBatchesThatAreNoGood(t *testing.T) {
	t.Parallel()
	g := batches(t, testkit.NewUpstream(t))
	c := newCustomer(t, g, "1", nil)
	for body, want := range map[string]string{
		`{`:                               "valid JSON",
		`{"modelId":"m"}`:                 "requests",
		`{"modelId":"m","requests":[{}]}`: "requests.0.prompt",
		`{"modelId":"x","requests":[{"prompt":"hi"}]}`:                                  "x",
		`{"modelId":"m","requests":[{"prompt":"hi"}],"webhookUrl":"http://127.0.0.1/"}`: "webhookUrl",
	} {
		r := ask(t, g, call{path: "/v1/batch/inference", key: c.key, body: body})
		if (r.status != 400 && r.status != 404) || !strings.Contains(string(r.body), want) {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	c.holds(t, money.Dollar, 0)
}
