package operate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// tiered is a configuration of models whose price has a step above 1,000 tokens, and
// factors for tiers of service, and one that says nothing of those.
func tiered(up, claude string) string {
	return fmt.Sprintf(`
providers:
  up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}
  claude: {kind: anthropic, base_url: %q, api_key: sk-upstream-4712}
models:
  long:
    targets: [{provider: up, model: upstream-m}]
    context: 100000
    max_output: 5000
    price:
      {input: 1.25, output: 10, cached_input: 0.125, priority: 1.7, flex: 0.5, long: [{above: 1000, input: 2.5, output: 15, cached_input: 0.25}]}
  kept: {targets: [{provider: up, model: upstream-m, api: responses}], context: 100000, max_output: 5000, price: {input: 1.25, output: 10, priority: 1.7, long: [{above: 1000, input: 2.5, output: 15}]}}
  usual: {targets: [{provider: up, model: upstream-m}], context: 100000, max_output: 5000, price: {input: 1, output: 10}}
  fast: {targets: [{provider: claude, model: upstream-m}], context: 100000, max_output: 5000, price: {input: 1, output: 10}}
sites: [{hosts: ["*"], contract: openai}]
`, up+"/v1", claude)
}

// line is a line of a receipt, as it is expected.
type line struct {
	kind   string
	units  int64
	rate   string
	amount string
}

// lines are those of a receipt.
func (p *priced) lines() (out []line) {
	for _, l := range p.Lines {
		rate := ""
		if l.Rate != nil {
			rate = *l.Rate
		}
		out = append(out, line{l.Kind, l.Units, rate, l.Amount})
	}
	return out
}

// used is a whole chat completion of an upstream, which used so much.
func used(input, cached, output int64, tier string) string {
	return fmt.Sprintf(`{"id":"c","object":"chat.completion","created":1790000000,"model":"upstream-m","choices":[{"index":0,"message":{"role":"assistant","content":"Rayleigh."},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}},"service_tier":%q}`, input, output, input+output, cached, tier)
}

// essay is the body of a request with a prompt of some thousand tokens at most.
func essay(model, more string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],%s}`, model, strings.Repeat("Why is the sky blue? ", 200), more)
}

// TestALongPromptCostsItsStep to the nano-dollar, on both sides of the threshold, and
// is refused with the exact number.
func TestALongPromptCostsItsStep(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Config: tiered(u.URL, u.URL)})
	for _, c := range []struct {
		input, cached int64
		charge        string
		lines         []line
	}{
		{1000, 400, "0.00081", []line{{"input", 600, "1.25", "0.00075"}, {"cached_input", 400, "0.125", "0.00005"}, {"output", 1, "10.00", "0.00001"}}},
		{1001, 400, "0.0016175", []line{{"input", 601, "2.50", "0.0015025"}, {"cached_input", 400, "0.25", "0.0001"}, {"output", 1, "15.00", "0.000015"}}},
	} {
		u.Queue(testkit.JSON(200, used(c.input, c.cached, 1, "default")))
		poor := newCustomer(t, g, "0.000000001", nil)
		post := func() *reply {
			return ask(t, g, call{path: "/v1/chat/completions", key: poor.key, body: essay("long", `"max_tokens":50`)})
		}
		need := usd(t, post().refused(t, 402, "insufficient_balance").header.Get("X-Required-USD"))
		if input := need - 50*15_000; input <= 1000*2500 || input%2500 != 0 {
			t.Fatalf("%s is no whole number of tokens of the step", need)
		}
		poor.credit(t, (need - 2).String())
		post().refused(t, 402, "insufficient_balance")
		poor.credit(t, "0.000000001")
		request := post().is(t, 200).header.Get("X-Request-ID")
		p := pricedReceipt(t, g, request)
		if p.byHand(t); p.Charge != c.charge || !equal(p.lines(), c.lines) {
			t.Errorf("%d tokens cost %s in %v, want %s in %v", c.input, p.Charge, p.lines(), c.charge, c.lines)
		}
		if left := usd(t, g.AccountNow(t, poor.account).BalanceUSD); left != need-usd(t, c.charge) {
			t.Errorf("of %s there is %s left", need, left)
		}
	}
	settled(t, g)
}

func equal(a, b []line) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestATierCostsItsFactor where it was asked for and the provider says that it served
// so, whole and in streams, in each dialect that has tiers.
func TestATierCostsItsFactor(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Config: tiered(u.URL, u.URL)})
	c := newCustomer(t, g, "1", nil)
	stream := func(tier string) testkit.Answer {
		head := fmt.Sprintf(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"upstream-m","service_tier":%q,"choices":`, tier)
		return testkit.SSE(head+`[{"index":0,"delta":{"content":"Rayleigh."},"finish_reason":"stop"}]}`, head+`[],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}`, "[DONE]")
	}
	response := func(asked, tier string) testkit.Answer {
		a := testkit.SSE()
		for _, ev := range []string{
			`{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","model":"upstream-m","output":[],"service_tier":"` + asked + `"}}`,
			`{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"Rayleigh."}`,
			`{"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed","model":"upstream-m","service_tier":"` + tier + `","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Rayleigh.","annotations":[]}]}],"usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}}}`,
		} {
			_, name, _ := strings.Cut(ev, `"type":"`)
			name, _, _ = strings.Cut(name, `"`)
			a.Frames = append(a.Frames, testkit.Frame{Data: "event: " + name + "\ndata: " + ev + "\n\n"})
		}
		return a
	}
	const head = `{"id":"msg_1","type":"message","role":"assistant","model":"upstream-m","content":[{"type":"text","text":"Rayleigh."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1000,"output_tokens":100,`
	const chats, responses, messages = "/v1/chat/completions", "/v1/responses", "/v1/messages"
	for _, x := range []struct {
		name, path, body string
		answer           testkit.Answer
		charge, rate     string
	}{
		{"priority", chats, chat("long", `"service_tier":"priority"`), testkit.JSON(200, used(1000, 0, 100, "priority")), "0.003825", "2.125"},
		{"priority, long", chats, chat("long", `"service_tier":"priority"`), testkit.JSON(200, used(1001, 0, 100, "priority")), "0.00680425", "4.25"},
		{"priority that was not given", chats, chat("long", `"service_tier":"priority"`), testkit.JSON(200, used(1000, 0, 100, "default")), "0.00225", "1.25"},
		{"priority that was not asked for", chats, chat("long", `"service_tier":"auto"`), testkit.JSON(200, used(1000, 0, 100, "priority")), "0.00225", "1.25"},
		{"flex", chats, chat("long", `"service_tier":"flex"`), testkit.JSON(200, used(1000, 0, 100, "flex")), "0.001125", "0.625"},
		{"priority of a price that says nothing", chats, chat("usual", `"service_tier":"priority"`), testkit.JSON(200, used(1000, 0, 100, "priority")), "0.005", "2.50"},
		{"flex of a price that says nothing", chats, chat("usual", `"service_tier":"flex"`), testkit.JSON(200, used(1000, 0, 100, "flex")), "0.002", "1.00"},
		{"priority, streamed", chats, chat("long", `"stream":true,"service_tier":"priority"`), stream("priority"), "0.003825", "2.125"},
		{"flex, streamed", chats, chat("long", `"stream":true,"service_tier":"flex"`), stream("flex"), "0.001125", "0.625"},
		{"a response by priority", responses, respond("kept", `"stream":true,"service_tier":"priority"`), response("priority", "priority"), "0.003825", "2.125"},
		{"a response that fell back", responses, respond("kept", `"stream":true,"service_tier":"priority"`), response("priority", "default"), "0.00225", "1.25"},
		{"a message at speed", messages, `{"model":"fast","max_tokens":200,"speed":"fast","messages":[{"role":"user","content":"Why is the sky blue?"}]}`, testkit.JSON(200, head+`"speed":"fast","service_tier":"standard"}}`), "0.012", "6.00"},
		{"a message at leisure", messages, `{"model":"fast","max_tokens":200,"speed":"fast","messages":[{"role":"user","content":"Why is the sky blue?"}]}`, testkit.JSON(200, head+`"speed":"standard","service_tier":"priority"}}`), "0.002", "1.00"},
	} {
		u.Queue(x.answer)
		request := ask(t, g, call{path: x.path, key: c.key, header: map[string]string{"Anthropic-Version": "2023-06-01"}, body: x.body}).is(t, 200).header.Get("X-Request-ID")
		p := pricedReceipt(t, g, request)
		if p.byHand(t); p.Charge != x.charge || p.rate("input") != x.rate {
			t.Errorf("%s: charged %s at %s, want %s at %s: %v", x.name, p.Charge, p.rate("input"), x.charge, x.rate, p.lines())
		}
	}
	// What is held, and named where it is lacking, is at the tier that is asked for.
	poor := newCustomer(t, g, "0.000000001", nil)
	needs := map[string]money.Amount{}
	for _, tier := range []string{"default", "flex", "priority"} {
		body := chat("long", fmt.Sprintf(`"max_tokens":50,"service_tier":%q`, tier))
		needs[tier] = usd(t, ask(t, g, call{path: chats, key: poor.key, body: body}).refused(t, 402, "insufficient_balance").header.Get("X-Required-USD"))
	}
	if d := needs["default"]; needs["flex"] != d || needs["priority"]*10 != d*17 {
		t.Errorf("the worst cases are %v", needs)
	}
	settled(t, g)
}

// TestAContinuedResponseIsAsLongAsItsThread: what it goes on from is held for and
// charged as input, and so is the step that both together reach.
func TestAContinuedResponseIsAsLongAsItsThread(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Config: tiered(u.URL, u.URL)})
	c := newCustomer(t, g, "1", nil)
	post := func(more string, input int) (hold money.Amount, charge, id string) {
		t.Helper()
		u.Queue(testkit.JSON(200, fmt.Sprintf(`{"id":"resp_%d","object":"response","status":"completed","model":"upstream-m","service_tier":"default","output":[{"type":"message","id":"msg_%d","role":"assistant","status":"completed",`+
			`"content":[{"type":"output_text","text":"Rayleigh.","annotations":[]}]}],"usage":{"input_tokens":%d,"output_tokens":10,"total_tokens":%d}}`, input, input, input, input+10)))
		body := fmt.Sprintf(`{"model":"kept","store":true,"max_output_tokens":50,"input":%q%s}`, strings.Repeat("Why is the sky blue? ", 100), more)
		r := ask(t, g, call{path: "/v1/responses", key: c.key, body: body}).is(t, 200)
		receipt := g.Receipt(t, r.header.Get("X-Request-ID"), func(r harness.Receipt) bool { return r.Outcome != "" })
		return usd(t, receipt.HoldUSD), receipt.ChargeUSD, r.at(t, "id")
	}
	short, charge, id := post("", 600)
	if short < 600*1250+50*10_000 || short > 1000*1250+50*10_000 || charge != "0.00085" {
		t.Errorf("a short response holds %s and costs %s", short, charge)
	}
	long, charge, _ := post(`,"previous_response_id":"`+id+`"`, 1210)
	if long < 1210*2500+50*15_000 || charge != "0.003175" {
		t.Errorf("a continued one holds %s and costs %s", long, charge)
	}
	settled(t, g)
}
