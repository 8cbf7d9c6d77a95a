package operate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// made is an answer of Google's with an image of half a megabyte.
func made(usage string) testkit.Answer {
	return testkit.JSON(200, `{"candidates":[{"content":{"parts":[{"text":"Here"},{"inlineData":{"mimeType":"image/png","data":"`+bigImage+`"},"thoughtSignature":"c2ln"}],"role":"model"},"finishReason":"STOP","index":0}],"modelVersion":"g"`+usage+`}`)
}

var bigImage = "iVBORw0KGgo" + strings.Repeat("Ab+/", 1<<17) + "A"

// An image that a model makes goes through a conversation in chat completions: it is
// told as it came, charged as its provider counts it, and goes back with what seals
// it.
func TestAConversationAboutAnImage(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {google: {kind: gemini, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: google, model: gemini-2.5-flash-image}], input: [text, image], context: 32768, max_output: 32768, price: {input: 1.00, output: 30.00}}}
`, u.URL)})
	c := newCustomer(t, g, "10", nil)
	said := `{"role":"user","content":"Draw"}`
	asking := func() *reply {
		return ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: `{"model":"m","modalities":["image","text"],"messages":[` + said + `]}`}).is(t, 200)
	}
	u.Queue(made(`,"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1300,"totalTokenCount":1310}`), made(""), made(""))
	r := asking()
	if !strings.Contains(string(r.body), `"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`+bigImage+`"},"index":0,`) {
		t.Fatalf("no image in %.500s", r.body)
	}
	if got := r.header.Get("X-Charge-Usd"); got != "0.03901" {
		t.Errorf("charged %s, want 10 tokens and 1300", got)
	}
	if !strings.Contains(string(u.Request(0).Body), `"responseModalities":["IMAGE","TEXT"]`) {
		t.Errorf("asked with %s", u.Request(0).Body)
	}
	_, message, _ := strings.Cut(string(r.body), `"message":`)
	message, _, _ = strings.Cut(message, `,"logprobs"`)
	said += "," + message + `,{"role":"user","content":"Again"}`
	r = asking() // whose usage nobody tells
	if want := `{"inlineData":{"mimeType":"image/png","data":"` + bigImage + `"},"thoughtSignature":"c2ln"}`; !strings.Contains(string(u.Request(1).Body), want) {
		t.Errorf("sent back as %.300s", u.Request(1).Body)
	}
	rc := g.Receipt(t, r.header.Get("X-Request-Id"), nil)
	if !rc.Estimated || rc.Tokens.Output != 1291 || rc.Tokens.Input < 700 || rc.Tokens.Input > 900 {
		t.Errorf("estimated as %+v", rc.Tokens)
	}
	r = ask(t, g, call{path: "/v1/messages", key: c.key, header: map[string]string{"Anthropic-Version": "2023-06-01"}, body: `{"model":"m","max_tokens":99,"messages":[{"role":"user","content":"Draw"}]}`}).is(t, 400)
	if rc := g.Receipt(t, r.header.Get("X-Request-Id"), nil); rc.ChargeUSD != "0.00" || !strings.Contains(string(r.body), "an image or a sound") {
		t.Errorf("charged %s for %s", rc.ChargeUSD, r.body)
	}
}

// What else a provider's own tools came to is named to callers of another dialect:
// in a header, or behind a stream.
func TestWhatHasNoPlaceInAnAnswerIsNamed(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {up: {kind: openai, quirks: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: x, api: responses}], context: 32768, max_output: 4096, price: {input: 1.00, output: 2.00}}}
`, u.URL)})
	c := newCustomer(t, g, "10", nil)
	const search, odd = `{"type":"web_search_call","id":"ws","status":"completed"}`, `{"type":"a, b\u00e9","id":"x"}`
	whole := `{"id":"r","object":"response","created_at":1,"status":"completed","model":"x","output":[` + search + "," + search + "," + odd +
		`,{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"Blue","annotations":[]}]}],"usage":{"input_tokens":9,"output_tokens":5,"total_tokens":14}}`
	u.Queue(testkit.JSON(200, whole), testkit.SSE(
		`{"type":"response.created","response":{"id":"r","model":"x","status":"in_progress","output":[]}}`,
		`{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"Blue"}`,
		`{"type":"response.output_item.done","output_index":0,"item":`+search+`}`,
		`{"type":"response.completed","response":`+whole+`}`,
	))
	const body = `{"model":"m","messages":[{"role":"user","content":"Which?"}]`
	asked := call{path: "/v1/chat/completions", key: c.key, body: body + "}", header: map[string]string{"Idempotency-Key": "one"}}
	for i := range 2 { // the second is the first again
		r := ask(t, g, asked).is(t, 200)
		if i == 0 {
			if rc := g.Receipt(t, r.header.Get("X-Request-Id"), nil); fmt.Sprint(rc.Left) != "[web_search_call a, bé]" {
				t.Errorf("the receipt says %q", rc.Left)
			}
		}
		if r.header.Get("X-Dropped-Output") != "web_search_call, a_ b_" {
			t.Errorf("told %q", r.header.Get("X-Dropped-Output"))
		}
	}
	asked.body, asked.header = body+`,"stream":true}`, map[string]string{"Idempotency-Key": "two"}
	if r := ask(t, g, asked).is(t, 200); r.trailer.Get("X-Dropped-Output") != "web_search_call" || r.header.Get("X-Dropped-Output") != "" {
		t.Errorf("told %q behind the stream, %v", r.trailer.Get("X-Dropped-Output"), r.header)
	}
	// Of one that is kept all is known beforehand.
	if r := ask(t, g, asked).is(t, 200); r.header.Get("X-Dropped-Output") != "web_search_call" || r.trailer.Get("X-Dropped-Output") != "" || r.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("told %q behind the stream that is told again, %v", r.trailer.Get("X-Dropped-Output"), r.header)
	}
}
