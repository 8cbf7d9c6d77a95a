package operate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// What a request would have as input is counted free of charge: by its provider if
// that counts, and else here. What was said before counts.
func TestInputTokensOfResponsesAreCounted(t *testing.T) {
	t.Parallel()
	counts, chats, claude := testkit.NewUpstream(t), testkit.NewUpstream(t), testkit.NewUpstream(t)
	counts.Always(testkit.JSON(200, `{"object":"response.input_tokens","input_tokens":321}`))
	chats.Always(testkit.JSON(200, whole))
	claude.Always(testkit.JSON(200, `{"input_tokens":77}`))
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers:
  official: {kind: openai, quirks: openai, base_url: %q, api_key: sk-upstream-4711}
  other: {kind: openai, base_url: %q, api_key: sk-upstream-4712}
  claude: {kind: anthropic, base_url: %q, api_key: sk-upstream-4713}
models:
  o: {targets: [{provider: official, model: upstream-o}], context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
  m: {targets: [{provider: other, model: upstream-m}], context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
  c: {targets: [{provider: claude, model: upstream-c}], context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
sites: [{hosts: ["*"], contract: openai}]
`, counts.URL+"/v1", chats.URL+"/v1", claude.URL+"/v1")})
	c := newCustomer(t, g, "1", nil)
	count := func(members string) *reply {
		t.Helper()
		r := ask(t, g, call{path: "/v1/responses/input_tokens", key: c.key, body: "{" + members + "}"})
		if r.status == 200 {
			official(t, "TokenCountsResource", r.body)
		}
		return r
	}
	r := count(`"model":"o","input":"hi","instructions":"Be brief.","max_output_tokens":100,"stream":true,"store":true,"background":true,"metadata":{"a":"b"},"tool_choice":"auto"`).is(t, 200)
	if r.at(t, "input_tokens") != "321" || r.at(t, "object") != "response.input_tokens" {
		t.Errorf("%s", r.body)
	}
	sent := counts.Request(0)
	if got, want := string(sent.Body), `{"model":"upstream-o","input":"hi","instructions":"Be brief.","tool_choice":"auto"}`; got != want || sent.Path != "/v1/responses/input_tokens" {
		t.Errorf("sent %s to %s, want %s", got, sent.Path, want)
	}
	if r := count(`"model":"c","input":"hi"`).is(t, 200); r.at(t, "input_tokens") != "77" || claude.Request(0).Path != "/v1/messages/count_tokens" {
		t.Errorf("%s", r.body)
	}

	short := count(`"model":"m","input":"What is the sky?"`).is(t, 200).at(t, "input_tokens")
	id := c.respond(t, `"input":"`+strings.Repeat("What is the sky? ", 50)+`"`, nil).is(t, 200).at(t, "id")
	long := count(`"model":"m","input":"What is the sky?","previous_response_id":"`+id+`"`).is(t, 200).at(t, "input_tokens")
	if short == "0" || len(long) <= len(short) {
		t.Errorf("counted %s, and with what was said before %s", short, long)
	}
	alone := count(`"model":"m","previous_response_id":"`+id+`"`).is(t, 200).at(t, "input_tokens")
	if len(alone) != len(long) || count(`"model":"m","input":null,"instructions":"Be brief."`).is(t, 200).at(t, "input_tokens") == "0" {
		t.Errorf("counted %s without more input", alone)
	}
	for members, param := range map[string]string{
		`"input":"hi"`: "model", `"model":"m","input":"hi","conversation":"conv_1"`: "conversation", `"model":"m","input":5`: "input",
		`"model":"m","input":"hi","previous_response_id":"resp_aaaaaaaaaaaaaaaaaaaaaaaaaa"`: "previous_response_id",
	} {
		if r := count(members).is(t, 400); r.at(t, "error.param") != param {
			t.Errorf("%s: %s", members, r.body)
		}
	}
	count(`"model":"none","input":"hi"`).is(t, 404)
	if n := len(chats.Received()); n != 1 {
		t.Errorf("%d requests were sent where nobody counts", n)
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}
