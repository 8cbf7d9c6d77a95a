package operate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// priced is a receipt as a customer checks it.
type priced struct {
	Outcome string  `json:"outcome"`
	Charge  string  `json:"charge_usd"`
	Price   *string `json:"price"`
	Lines   []struct {
		Kind   string  `json:"kind"`
		Units  int64   `json:"units"`
		Rate   *string `json:"rate_usd"`
		Amount string  `json:"amount_usd"`
	} `json:"lines"`
}

// pricedReceipt reads a receipt once its request has ended.
func pricedReceipt(t *testing.T, g *harness.Gateway, request string) priced {
	t.Helper()
	g.Receipt(t, request, func(r harness.Receipt) bool { return r.Outcome != "" })
	var p priced
	g.MustAdmin(t, "GET", "/admin/v1/requests/"+request, nil, &p)
	return p
}

// byHand reckons the charge again from the lines alone: units times rate, summed
// exactly, and rounded up once to a nano-dollar.
func (p *priced) byHand(t *testing.T) {
	t.Helper()
	exact, shown := new(big.Rat), money.Amount(0)
	for _, l := range p.Lines {
		if l.Rate == nil {
			t.Fatalf("the line %+v has no rate", l)
		}
		of := big.NewRat(int64(usd(t, *l.Rate)), 1)
		if l.Kind != "request" {
			of.Mul(of, big.NewRat(l.Units, 1_000_000))
		}
		exact.Add(exact, of)
		amount := usd(t, l.Amount)
		if off := of.Sub(of, big.NewRat(int64(amount), 1)); off.Abs(off).Cmp(big.NewRat(1, 1)) >= 0 {
			t.Errorf("the line %s %d at %s is not %s", l.Kind, l.Units, *l.Rate, l.Amount)
		}
		shown += amount
	}
	up := new(big.Int).Add(exact.Num(), new(big.Int).Sub(exact.Denom(), big.NewInt(1)))
	want := money.Amount(up.Div(up, exact.Denom()).Int64())
	if got := usd(t, p.Charge); got != want || got != shown || len(p.Lines) == 0 {
		t.Errorf("charged %s, by hand %s, the lines sum to %s", got, want, shown)
	}
}

// rate returns the rate of a kind of line.
func (p *priced) rate(kind string) string {
	for _, l := range p.Lines {
		if l.Kind == kind && l.Rate != nil {
			return *l.Rate
		}
	}
	return ""
}

func TestAChargeCanBeReckonedByHand(t *testing.T) {
	t.Parallel()
	usage := `{"id":"c","object":"chat.completion","created":1790000000,"model":"upstream-m","choices":[{"index":0,"message":{"role":"assistant","content":"Rayleigh."},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":1237,"completion_tokens":89,"total_tokens":1326,"prompt_tokens_details":{"cached_tokens":411}}}`
	answer := testkit.JSON(200, usage)
	u := testkit.NewUpstream(t, answer, answer, answer, answer)
	up := "{provider: up, model: upstream-m}"
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}}
models:
  odd: {targets: [%s], context: 100000, max_output: 5000, price: {input: 0.333333333, output: 7.000000001, cached_input: 0.012345679, request: 0.000000007}}
  same: {targets: [%s], context: 100000, max_output: 5000, price: {input: 0.333333333, output: 7.000000001, cached_input: 0.012345679, request: 0.000000007}}
  flat: {targets: [%s], context: 100000, max_output: 5000, price: {request: 0.003}}
  free: {targets: [%s], context: 100000, max_output: 5000, price: {free: true}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1", up, up, up, up)})
	c := newCustomer(t, g, "1", nil)
	ids := map[string]string{}
	for _, model := range []string{"odd", "same", "flat", "free"} {
		request := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat(model, `"max_tokens":100`)}).is(t, 200).header.Get("X-Request-ID")
		p := pricedReceipt(t, g, request)
		p.byHand(t)
		if p.Price == nil {
			t.Fatalf("the receipt of %s names no price", model)
		}
		ids[model] = *p.Price
		if model == "odd" && (len(p.Lines) != 4 || p.rate("cached_input") != "0.012345679" || p.rate("request") != "0.000000007") {
			t.Errorf("the lines are %+v", p.Lines)
		}
		if model == "free" && (p.Charge != "0.00" || p.rate("input") != "0.00") {
			t.Errorf("what is free costs %s: %+v", p.Charge, p.Lines)
		}
	}
	if ids["odd"] != ids["same"] || ids["odd"] == ids["flat"] || ids["flat"] == ids["free"] {
		t.Errorf("the prices are named %v", ids)
	}
	settled(t, g)
}

// A price that changes while an answer is under way is the next request's: the
// receipt of this one shows the rates of its admission.
func TestAReceiptShowsThePriceOfItsAdmission(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	u := testkit.NewUpstream(t, inTwo(gate), inTwo(nil))
	g := behind(t, u)
	c := newCustomer(t, g, "10", nil)
	ask := call{path: "/v1/chat/completions", key: c.key, body: chat("m", `"stream":true,"max_tokens":500`)}
	resp, err := open(t.Context(), g, ask)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got []byte
	for !bytes.Contains(got, []byte(`"is "`)) {
		b := make([]byte, 4096)
		n, err := resp.Body.Read(b)
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("%v behind %s", err, got)
		}
	}
	config, err := os.ReadFile(g.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(config), "\nproviders:")
	g.Reconfigure(t, strings.Replace("providers:"+rest, "price: {input: 10.00, output: 100.00}", "price: {input: 20.00, output: 200.00}", 1))
	if err := g.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reload", func() bool { return strings.Contains(g.Log(), "the configuration was reloaded") })
	close(gate)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	before := pricedReceipt(t, g, resp.Header.Get("X-Request-ID"))
	later, err := try(t.Context(), g, ask)
	if err != nil {
		t.Fatal(err)
	}
	after := pricedReceipt(t, g, later.is(t, 200).header.Get("X-Request-ID"))
	before.byHand(t)
	after.byHand(t)
	if before.rate("input") != "10.00" || before.rate("output") != "100.00" || before.Charge != "0.00352" {
		t.Errorf("what was admitted before cost %s: %+v", before.Charge, before.Lines)
	}
	if after.rate("input") != "20.00" || after.rate("output") != "200.00" || after.Charge != "0.00704" || *before.Price == *after.Price {
		t.Errorf("what was admitted afterwards cost %s: %+v", after.Charge, after.Lines)
	}
	settled(t, g)
}

// A price that is none is refused at load, with its model, field and line.
func TestPricesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("providers: {sim: {kind: sim}}\nmodels:\n")
	cases := []struct{ price, field, why string }{
		{"{input: 0, output: 1}", ".input", "above 0"},
		{"{input: 1, output: 0.000000000}", ".output", "above 0"},
		{"{input: 1, output: 1, cached_input: 0}", ".cached_input", "above 0"},
		{"{input: 1, output: 1, cache_write: 0}", ".cache_write", "above 0"},
		{"{input: 1, output: 1, cache_write_1h: 0}", ".cache_write_1h", "above 0"},
		{"{request: 0}", ".request", "above 0"},
		{"{request: -1}", ".request", "above 0"},
		{"{input: -1, output: 1}", ".input", "not negative"},
		{"{input: 0.00000025, output: 0.000002}", ".input", "price of one token"},
		{"{input: 10001, output: 1}", ".input", "above 10000"},
		{"{request: 1000.01}", ".request", "above 1000"},
		{"{free: true, input: 1, output: 1}", ".free", "stands alone"},
		{"{free: true, request: 1}", ".free", "stands alone"},
		{"{free: false}", "", "is empty"},
		{"{}", "", "is empty"},
		{"{input: 1e9, output: 1}", ".input", "decimal number"},
		{"{input: NaN, output: 1}", ".input", "decimal number"},
		{"{input: 1, output: 2, long: [{above: 9, input: 2, output: 1}]}", ".long[0].output", "below the 2.00 of shorter prompts"},
		{"{input: 1, output: 2, long: [{above: 9, input: 2, output: 2}, {above: 9, input: 3, output: 3}]}", ".long[1].above", "above the 9"},
		{"{input: 1, output: 2, long: [{above: 9, output: 2}]}", ".long[0].input", "is missing"},
		{"{request: 1, long: [{above: 9, input: 2, output: 2}]}", ".long", "needs a price"},
		{"{input: 1, output: 2, priority: 0.9}", ".priority", "from 1 to 10"},
		{"{input: 1, output: 2, fast: 10.000001}", ".fast", "from 1 to 10"},
		{"{input: 1, output: 2, flex: 0.09}", ".flex", "from 0.1 to 1"},
		{"{input: 1, output: 2, flex: 0.1000001}", ".flex", "six decimals"},
		{"{input: 1, output: 2, priority: dear}", ".priority", "six decimals"},
		{"{input: 1, output: 2, long: [{above: many, input: 2, output: 2}]}", ".long[0].above", "whole number"},
		{"{input: 1, output: 2, long: [{above: 9, input: 2, output: 2, request: 1}]}", ".long[0].request", ""},
	}
	for i, c := range cases {
		fmt.Fprintf(&file, "  m%d: {targets: [{provider: sim}], price: %s}\n", i, c.price)
	}
	path := filepath.Join(t.TempDir(), "pontage.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	// What cannot be read at all is told first, and alone.
	unreadable := map[int]bool{7: true, 15: true, 16: true, 24: true, 25: true, 26: true, 27: true}
	check := func() string {
		out, err := exec.Command(harness.Binary(t), "check", "--config", path, "--json").Output()
		if err == nil {
			t.Error("the configuration is good")
		}
		var v struct{ Problems []string }
		if err := json.Unmarshal(out, &v); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Join(v.Problems, "\n")
	}
	told := func(problems string, i int) {
		t.Helper()
		c := cases[i]
		at := fmt.Sprintf(":%d: models.m%d.price%s: ", i+3, i, c.field)
		_, rest, found := strings.Cut(problems, at)
		line, _, _ := strings.Cut(rest, "\n")
		if !found || !strings.Contains(line, c.why) {
			t.Errorf("%s: want %q and %q in\n%s", c.price, at, c.why, problems)
		}
	}
	first := check()
	text := file.String()
	for i, c := range cases {
		if unreadable[i] {
			told(first, i)
			text = strings.Replace(text, c.price, "{input: 1, output: 1}", 1)
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	second := check()
	for i := range cases {
		if !unreadable[i] {
			told(second, i)
		}
	}
	g := harness.Prepare(t, harness.Options{Config: text})
	if err := g.Launch(t); err == nil || !strings.Contains(err.Error(), "models.m0.price.input") {
		t.Errorf("a gateway with such prices: %v", err)
	}
}
