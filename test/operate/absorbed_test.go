package operate

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// dearAnswer is an answer of an upstream that reports more than was allowed: 12
// tokens in and 4,000 out, at the prices of behind.
const dearAnswer = `{"id":"c","object":"chat.completion","created":1790000000,"model":"upstream-m","choices":[{"index":0,"message":{"role":"assistant","content":"Rayleigh."},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":12,"completion_tokens":4000,"total_tokens":4012}}`

// scraped returns the metrics.
func scraped(t *testing.T, g *harness.Gateway) string {
	t.Helper()
	resp, err := direct.Get(g.AdminURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v", resp.StatusCode, err)
	}
	return string(b)
}

// TestWhatIsAbsorbedIsAlarmed in the log, in the metrics and in the receipt.
func TestWhatIsAbsorbedIsAlarmed(t *testing.T) {
	t.Parallel()
	log := &record{}
	u := testkit.NewUpstream(t, testkit.JSON(200, dearAnswer))
	g := harness.Start(t, harness.Options{Log: log, Config: behindConfig(u)})
	c := newCustomer(t, g, "0.1", nil)
	r := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("m", `"max_tokens":500`)}).is(t, 200)
	request := r.header.Get("X-Request-ID")
	receipt := g.Receipt(t, request, func(r harness.Receipt) bool { return r.Outcome != "" })
	if receipt.ChargeUSD != "0.05012" || g.AccountNow(t, c.account).BalanceUSD != "0.04988" {
		t.Errorf("charged %s", receipt.ChargeUSD)
	}
	eventually(t, "the alarm", func() bool { return strings.Contains(log.String(), "more than could be charged") })
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "more than could be charged") {
			continue
		}
		for _, want := range []string{`"level":"WARN"`, request, c.account, `"model":"m"`, `"charge_usd":"0.05012"`, `"absorbed_usd":"0.35"`} {
			if !strings.Contains(line, want) {
				t.Errorf("the alarm lacks %s: %s", want, line)
			}
		}
	}
	metrics := scraped(t, g)
	for _, want := range []string{`pontage_absorbed_usd_total{model="m",provider="up"} 0.35`, `pontage_absorbed_requests_total{model="m",provider="up"} 1`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	settled(t, g)
}
