package rows

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

const nanoResponses = "/api/v1/responses"

// TestNanoResponses: what nanogpt documents of its responses.
func TestNanoResponses(t *testing.T) {
	t.Parallel()
	p := outside(t, "nanogpt", []model{{name: "nano-kept", answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...)}})
	g := p.world.five
	c := p.nano("3", nil)
	t.Run("background", func(t *testing.T) { q := *p; q.TB = t; nanoBackground(&q, c) })
	t.Run("wrong", func(t *testing.T) { q := *p; q.TB = t; nanoWrongResponses(&q, c) })
	t.Run("streams", func(t *testing.T) { q := *p; q.TB = t; nanoResponseStreams(&q, c) })
	t.Run("retention", func(t *testing.T) { q := *p; q.TB = t; nanoRetention(&q, c) })
	g.settled(t)
}

func responding(members ...string) string {
	return `{"model":"nano-kept","input":"Is the bridge open?"` + strings.Join(append([]string{""}, members...), ",") + "}"
}

// response asks for a response that is kept.
func (p *proof) response(c caller, id string, changes ...change) *answer {
	p.Helper()
	return p.ask(c, nanoResponses+"/"+id, "", append([]change{method("GET")}, changes...)...)
}

// nanoBackground acknowledges with 202, and answers who asks later.
func nanoBackground(p *proof, c caller) {
	const background, limit = `"background":true`, `"max_output_tokens":50`
	for _, again := range []change{func(*ask) {}, header("Idempotency-Key", "nano-1"), header("Idempotency-Key", "nano-1")} {
		a := p.wants(p.ask(c, nanoResponses, responding(background, limit), again), http.StatusAccepted)
		if out, _ := p.json(a)["output"].([]any); p.text(a, "status") != "queued" || out == nil || len(out) != 0 {
			p.Errorf("%s", a.body)
		}
		id := p.text(a, "id")
		var done *answer
		p.until("the answer", func() bool {
			done = p.wants(p.response(c, id), http.StatusOK)
			switch status := p.text(done, "status"); status {
			case "completed":
				return true
			case "queued", "in_progress":
			default:
				p.Fatalf("%s", done.body)
			}
			return false
		})
		if !strings.Contains(string(done.body), said) {
			p.Errorf("%s", done.body)
		}
	}
	if l := c.ledger(p); l.Charges != 2 {
		p.Errorf("%d charges", l.Charges)
	}
	a := p.declined(c, nanoResponses, responding(background, streamed, limit))
	p.wants(a, http.StatusBadRequest)
	if p.text(a, "error", "param") != "stream" || p.text(a, "error", "code") != "invalid_parameter_value" {
		p.Errorf("%s", a.body)
	}
	for _, wish := range []string{`"caching":true`, `"stickyProvider":true`, `"provider":{"sort":"price"}`, `"models":["other"]`, `"byok":{"disableFallbacks":true}`} {
		a := p.declined(c, nanoResponses, responding(background, limit, wish))
		if p.wants(a, http.StatusBadRequest); p.text(a, "error", "param") != "background" {
			p.Errorf("%s: %s", wish, a.body)
		}
	}
	p.wants(p.refused(c, nanoResponses, responding(background, limit), noKey), http.StatusUnauthorized)
}

// nanoWrongResponses are requests that are refused, by their documented codes.
func nanoWrongResponses(p *proof, c caller) {
	for body, want := range map[string]string{
		`{"input":"x"}`:                      "missing_required_parameter model",
		`{"model":"nano-kept"}`:              "missing_required_parameter input",
		responding(`"max_output_tokens":15`): "invalid_parameter_value max_output_tokens",
		responding(`"top_logprobs":21`):      "invalid_parameter_value top_logprobs",
		responding(`"metadata":{"` + strings.Repeat("k", 65) + `":"v"}`): "invalid_parameter_value metadata." + strings.Repeat("k", 65),
		responding(`"advisor":{"x":1}`):                                  "invalid_parameter_value advisor",
		responding(`"conversation":{"messages":[]}`):                     "invalid_parameter_value conversation",
		responding(`"conversation":"conv_1"`):                            "invalid_parameter_value conversation",
		`{"prompt":{"id":"pmpt_1"}}`:                                     "invalid_parameter_value prompt",
	} {
		a := p.wants(p.declined(c, nanoResponses, body), http.StatusBadRequest)
		if got := p.text(a, "error", "code") + " " + p.text(a, "error", "param"); got != want {
			p.Errorf("%s: %s, and not %s", body, got, want)
		}
	}
	p.says(p.text(p.declined(c, nanoResponses, responding(`"max_output_tokens":15`)), "error", "message"), "at least 16")
	p.wantsNano(p.declined(c, nanoResponses, `{"model":"nano-nobody","input":"x"}`), http.StatusNotFound, "model_not_found")
	// Encryption at rest is not built: whoever asks for it must not be stored without.
	for _, name := range []string{"x-encryption-key", "x-encryption-passphrase"} {
		p.wantsNano(p.declined(c, nanoResponses, responding(), header(name, "c2VjcmV0")), http.StatusBadRequest, "invalid_parameter_value")
	}

	// A team is to pay for it, and there are none: nobody else must.
	p.wantsNano(p.declined(c, nanoResponses, responding(), header("X-Team-Id", "team_1")), http.StatusBadRequest, "invalid_parameter_value")

	id := p.text(p.paid(c, nanoResponses, responding(`"conversation":null,"prompt":null`)), "id")
	other := p.nano("3", nil)
	for _, how := range []string{"GET", "DELETE"} {
		a := p.wantsNano(p.response(other, id, method(how)), http.StatusNotFound, "response_not_found")
		if p.text(a, "error", "type") != "invalid_request_error" || a.header.Get("X-Request-Id") == "" {
			p.Errorf("%s", a.body)
		}
		p.wantsNano(p.response(c, "resp_aaaaaaaaaaaaaaaaaaaaaaaaaa", method(how)), http.StatusNotFound, "response_not_found")
		for _, odd := range []string{"7", "chatcmpl-1", "resp_", "resp_../x", "resp_" + strings.Repeat("a", 300)} {
			p.wantsNano(p.response(c, odd, method(how)), http.StatusBadRequest, "invalid_response_id")
		}
	}
	p.wantsNano(p.declined(other, nanoResponses, responding(`"previous_response_id":"`+id+`"`)), http.StatusBadRequest, "previous_response_not_found")
	if got := p.json(p.wants(p.response(c, id, method("DELETE")), http.StatusOK)); !maps.Equal(got, map[string]any{"id": id, "object": "response.deleted", "deleted": true}) {
		p.Errorf("%v", got)
	}
	p.wantsNano(p.response(c, id), http.StatusNotFound, "response_not_found")
}

func (p *proof) wantsNano(a *answer, status int, code string) *answer {
	p.Helper()
	if got := p.text(p.wants(a, status), "error", "code"); got != code {
		p.Errorf("%s %s: the code is %q, and not %q\n%s", a.request.Method, a.request.URL, got, code, a.body)
	}
	return a
}

// nanoResponseStreams end with [DONE], behind an event that has the usage.
func nanoResponseStreams(p *proof, c caller) {
	for _, again := range []change{func(*ask) {}, header("Idempotency-Key", "nano-2"), header("Idempotency-Key", "nano-2")} {
		a := p.wants(p.ask(c, nanoResponses, responding(streamed), again), http.StatusOK)
		frames := strings.Split(strings.TrimSuffix(string(a.body), "\n\n"), "\n\n")
		last := frames[len(frames)-2]
		if frames[len(frames)-1] != "data: [DONE]" || !strings.HasPrefix(last, "event: response.completed\n") || !strings.Contains(last, `"usage":{"input_tokens":11`) {
			p.Errorf("%s", a.body)
		}
		for i, f := range frames[:len(frames)-1] {
			if !strings.Contains(f, fmt.Sprintf(`"sequence_number":%d`, i)) {
				p.Errorf("event %d: %s", i, f)
			}
		}
	}
}

// nanoRetention keeps a response for as many days as its request says, else seven.
func nanoRetention(p *proof, c caller) {
	g := c.gw
	for _, bad := range []string{
		`"retention_days":-1`, `"retentionDays":366`, `"retention_days":1.5`, `"retention_days":"7"`, `"retention_days":true`,
		`"retention_days":7,"retentionDays":8`, `"retention_days":null,"retentionDays":8`, `"retention\u005fdays":-1`,
		`"retention_days":0,"previous_response_id":"resp_aaaaaaaaaaaaaaaaaaaaaaaaaa"`, `"retentionDays":0,"background":true`,
	} {
		a := p.wantsNano(p.declined(c, nanoResponses, responding(bad)), http.StatusBadRequest, "invalid_parameter_value")
		param := p.text(a, "error", "param")
		if want := strings.ReplaceAll(bad, `\u005f`, "_"); param == "" || !strings.Contains(want, `"`+param+`"`) || strings.Contains(bad, ":0,") && strings.HasPrefix(param, "retention") {
			p.Errorf("%s: param is %s", bad, param)
		}
	}
	id := func(members ...string) string {
		p.Helper()
		return p.text(p.paid(c, nanoResponses, responding(members...)), "id")
	}
	none := p.paid(c, nanoResponses, responding(`"retention_days":0`))
	if p.json(none)["store"] != false {
		p.Errorf("%s", none.body)
	}
	if sent := string(g.up["nano-kept"].Received()[len(g.up["nano-kept"].Received())-1].Body); strings.Contains(sent, "retention") {
		p.Errorf("sent %s", sent)
	}
	usual, null, day, long := id(), id(`"retention_days":null`, `"retentionDays":null`), id(`"retentionDays":1`), id(`"retention_days":40`, `"retentionDays":40`)
	later := p.text(p.wants(p.ask(c, nanoResponses, responding(`"retention_days":1`, `"background":true`, `"max_output_tokens":50`)), http.StatusAccepted), "id")
	kept := func(want string) {
		p.Helper()
		got := ""
		for name, id := range map[string]string{"0": p.text(none, "id"), "usual": usual, "null": null, "day": day, "long": long, "later": later} {
			if a := p.response(c, id); a.status == http.StatusOK {
				got += name + " "
			} else {
				p.wantsNano(a, http.StatusNotFound, "response_not_found")
			}
		}
		for _, name := range strings.Fields(want) {
			if !strings.Contains(got, name+" ") {
				p.Errorf("%s is not kept, but %s", name, got)
			}
		}
		if len(strings.Fields(got)) != len(strings.Fields(want)) {
			p.Errorf("kept are %s, and not %s", got, want)
		}
	}
	p.until("the answer in the background", func() bool { return p.text(p.response(c, later), "status") == "completed" })
	kept("usual null day long later")
	g.advance(p, "25h")
	kept("usual null long")
	g.advance(p, "168h")
	kept("long")
	g.advance(p, "576h") // longer than the gateway keeps what nobody speaks of
	kept("long")
	g.advance(p, "216h")
	kept("")
}
