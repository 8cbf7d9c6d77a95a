package operate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// compacting is a gateway with two accounts at OpenAI, a provider of chat completions
// alone, and a customer with just what an answer to o can cost.
type compacting struct {
	g                    *harness.Gateway
	c                    customer
	first, second, chats *testkit.Upstream
}

func newCompacting(t *testing.T) *compacting {
	t.Helper()
	w := &compacting{first: testkit.NewUpstream(t), second: testkit.NewUpstream(t), chats: testkit.NewUpstream(t)}
	for _, u := range []*testkit.Upstream{w.first, w.second, w.chats} {
		u.Always(testkit.JSON(200, whole))
	}
	w.g = harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers:
  official: {kind: openai, quirks: openai, base_url: %q, api_key: sk-upstream-4711}
  second: {kind: openai, quirks: openai, base_url: %q, api_key: sk-upstream-4712}
  other: {kind: openai, base_url: %q, api_key: sk-upstream-4713}
models:
  o: {targets: [{provider: official, model: upstream-o}, {provider: other}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
  s: {targets: [{provider: second, model: upstream-s, api: responses}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
  m: {targets: [{provider: other, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
sites: [{hosts: ["*"], contract: openai}]
`, w.first.URL+"/v1", w.second.URL+"/v1", w.chats.URL+"/v1")})
	w.c = newCustomer(t, w.g, "0.0102", nil)
	return w
}

func (w *compacting) compact(t *testing.T, model, members string) *reply {
	t.Helper()
	return ask(t, w.g, call{path: "/v1/responses/compact", key: w.c.key, body: `{"model":"` + model + `"` + members + `}`})
}

// What cannot be compacted is refused by its place, and free.
func TestWhatCannotBeCompactedIsRefused(t *testing.T) {
	t.Parallel()
	w := newCompacting(t)
	// Nothing limits what it comes to, so all of that must be there.
	long := strings.Repeat("What is the sky? ", 200)
	if r := w.compact(t, "o", `,"input":"`+long+`"`).is(t, 402); len(w.first.Received()) != 0 {
		t.Errorf("%s", r.body)
	}
	for members, param := range map[string]string{
		"": "input", `,"input":"x","stream":true`: "stream", `,"input":"x","max_output_tokens":100`: "max_output_tokens", `,"input":"x","background":true`: "background",
		`,"input":"x","store":true`: "store", `,"input":"x","conversation":"conv_1"`: "conversation", `,"input":5`: "input",
	} {
		if r := w.compact(t, "o", members).is(t, 400); r.at(t, "error.param") != param {
			t.Errorf("%s: %s", members, r.body)
		}
	}
	if r := w.compact(t, "m", `,"input":"x"`).is(t, 400); r.at(t, "error.param") != "model" {
		t.Errorf("%s", r.body)
	}
	// A conversation that is too long is so by its place, here as at the provider.
	w.c.credit(t, "1")
	if r := w.compact(t, "o", `,"input":"`+strings.Repeat("What is the sky? ", 40_000)+`"`).is(t, 400); r.at(t, "error.param") != "input" || r.at(t, "error.code") != "context_length_exceeded" {
		t.Errorf("%s", r.body)
	}
	w.c.credit(t, "-1")
	w.first.Queue(testkit.JSON(400, `{"error":{"message":"Invalid value.","type":"invalid_request_error","param":"input[0].role","code":"invalid_value"}}`))
	if r := w.compact(t, "o", `,"input":[{"role":"user","content":"x"}]`).is(t, 400); r.at(t, "error.param") != "input.0.role" {
		t.Errorf("%s", r.body)
	}
	w.c.holds(t, 10_200_000, 0)
	w.g.Verify(t)
}

// A conversation is compacted by a provider that does so, for what that uses; what
// comes of it goes back to that provider and to no other.
func TestAConversationIsCompacted(t *testing.T) {
	t.Parallel()
	w := newCompacting(t)
	// Recorded before there was a count of what is written to the cache.
	recorded := strings.Replace(string(testkit.Recorded(t, "openai.responses.compact")[0].Response.Body()), `"cached_tokens": 0`, `"cached_tokens": 0, "cache_write_tokens": 0`, 1)
	w.first.Queue(testkit.JSON(200, recorded))
	r := w.compact(t, "o", `,"input":"hi","store":false,"stream":false,"prompt_cache_key":null`).is(t, 200)
	official(t, "CompactResource", r.body)
	if r.at(t, "object") != "response.compaction" || r.at(t, "output.1.type") != "compaction" || r.at(t, "usage.input_tokens") != "117" || r.header.Get("X-Charge-Usd") != "0.000503" {
		t.Errorf("%s, for %s", r.body, r.header.Get("X-Charge-Usd"))
	}
	if sent := w.first.Request(0); sent.Path != "/v1/responses/compact" || string(sent.Body) != `{"model":"upstream-o","input":"hi","prompt_cache_key":null}` {
		t.Errorf("%s %s", sent.Path, sent.Body)
	}
	w.c.holds(t, 10_200_000-503_000, 0)
	w.c.credit(t, "1")

	var was, is struct {
		Output []map[string]any `json:"output"`
	}
	for body, to := range map[string]any{recorded: &was, string(r.body): &is} {
		if err := json.Unmarshal([]byte(body), to); err != nil {
			t.Fatal(err)
		}
	}
	if is.Output[1]["encrypted_content"] == was.Output[1]["encrypted_content"] {
		t.Error("the compaction is not sealed")
	}
	delete(is.Output[1], "id") // as some clients do
	back, err := json.Marshal(is.Output)
	if err != nil {
		t.Fatal(err)
	}
	w.goesBack(t, recorded, string(back), was.Output[1])
	w.g.Verify(t)
}

// goesBack continues a conversation that was recorded as compacted: its issuer is sent
// the item as it was, and nobody else is asked.
func (w *compacting) goesBack(t *testing.T, recorded, back string, was map[string]any) {
	t.Helper()
	for i, path := range []string{"/v1/responses", "/v1/responses/compact"} {
		if i == 1 {
			w.first.Queue(testkit.JSON(200, recorded))
		} else {
			w.first.Queue(testkit.JSON(200, `{"id":"r","object":"response","created_at":1,"status":"completed","model":"x","output":[{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Blue","annotations":[]}]}],"usage":{"input_tokens":9,"output_tokens":5,"total_tokens":14}}`))
		}
		ask(t, w.g, call{path: path, key: w.c.key, body: `{"model":"o","input":` + back + `}`}).is(t, 200)
		var sent struct {
			Input []map[string]any `json:"input"`
		}
		all := w.first.Received()
		if err := json.Unmarshal(all[len(all)-1].Body, &sent); err != nil {
			t.Fatal(err)
		}
		if got := sent.Input[1]; got["encrypted_content"] != was["encrypted_content"] || got["id"] != was["id"] {
			t.Errorf("%s: it came back as %v", path, got)
		}
		for _, model := range []string{"s", "m"} {
			param := "input.1"
			if i == 1 && model == "m" {
				param = "model"
			}
			if r := ask(t, w.g, call{path: path, key: w.c.key, body: `{"model":"` + model + `","input":` + back + `}`}).is(t, 400); r.at(t, "error.param") != param {
				t.Errorf("%s, %s: %s", path, model, r.body)
			}
		}
	}
	if len(w.second.Received())+len(w.chats.Received()) != 0 {
		t.Error("another provider was asked")
	}
}

// What is no compaction is the provider's failure, and free.
func TestWhatIsNoCompactionIsFree(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {up: {kind: openai, quirks: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {o: {targets: [{provider: up}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1")})
	c := newCustomer(t, g, "1", nil)
	for _, body := range []string{
		`[]`, `{}`, `{"object":"response.compaction","output":[]}`, `{"output":[{"type":"message","role":"user","content":"x"}],"usage":{"input_tokens":1,"output_tokens":1}}`,
		`{"output":[{"type":"compaction","id":"cmp_1"}]}`, `{"error":{"message":"It broke.","type":"server_error"}}`,
	} {
		u.Queue(testkit.JSON(200, body))
		ask(t, g, call{path: "/v1/responses/compact", key: c.key, body: `{"model":"o","input":"hi"}`}).is(t, 502)
	}
	c.holds(t, money.Dollar, 0)
	// Without usage it is estimated, and nothing of the answer is stored.
	u.Queue(testkit.JSON(200, `{"id":"resp_1","object":"response.compaction","created_at":1,"output":[{"type":"compaction","id":"cmp_1","encrypted_content":"`+strings.Repeat("x", 400)+`"}]}`))
	r := ask(t, g, call{path: "/v1/responses/compact", key: c.key, body: `{"model":"o","input":"hi"}`}).is(t, 200)
	if rc := g.Receipt(t, r.header.Get("X-Request-Id"), nil); !rc.Estimated || rc.Tokens.Output < 50 || rc.ChargeUSD == "0" {
		t.Errorf("%+v", rc)
	}
	c.stored(t, "GET", "resp_1").is(t, 404)
	g.Verify(t)
}

// The simulator compacts, too, so that clients can be tried without a provider.
func TestTheSimulatorCompacts(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: `
providers: {up: {kind: sim}}
models:
  o: {targets: [{provider: up}], context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
  r: {targets: [{provider: up, api: responses}], context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
sites: [{hosts: ["*"], contract: openai}]
`})
	c := newCustomer(t, g, "1", nil)
	for _, model := range []string{"o", "r"} {
		r := ask(t, g, call{path: "/v1/responses/compact", key: c.key, body: `{"model":"` + model + `","input":[{"role":"user","content":"What is the sky?"}],"instructions":"Be brief."}`}).is(t, 200)
		official(t, "CompactResource", r.body)
		if charge := r.header.Get("X-Charge-Usd"); charge == "" || charge == "0" {
			t.Errorf("charged %q", charge)
		}
		ask(t, g, call{path: responsesPath, key: c.key, body: `{"model":"r","input":` + r.at(t, "output") + `}`}).is(t, 200)
	}
	g.Verify(t)
}
