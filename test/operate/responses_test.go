package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// responding starts a gateway with one model m of an upstream that speaks chat
// completions, at one and two dollars per million tokens.
func responding(t *testing.T, u *testkit.Upstream) *harness.Gateway {
	t.Helper()
	return harness.Start(t, harness.Options{Server: "drain: 1s", Config: fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, input: [text, image], price: {input: 1.00, output: 2.00}}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1")})
}

const responsesPath = "/v1/responses"

func (c customer) respond(t *testing.T, members string, header map[string]string) *reply {
	t.Helper()
	return ask(t, c.g, call{path: responsesPath, key: c.key, header: header, body: `{"model":"m",` + members + `}`})
}

func (c customer) stored(t *testing.T, method, path string) *reply {
	t.Helper()
	return ask(t, c.g, call{method: method, path: responsesPath + "/" + path, key: c.key})
}

// official checks a body against a component of the official description.
func official(t *testing.T, component string, body []byte) {
	t.Helper()
	if err := testkit.LoadSchema(t, "openai.json#"+component).Check(body); err != nil {
		t.Errorf("%s: %v\n%s", component, err, body)
	}
}

func TestAResponseIsKeptAndContinued(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)

	first := c.respond(t, `"input":"What is the sky?","instructions":"Be brief.","metadata":{"a":"b"}`, nil).is(t, 200)
	official(t, "Response", first.body)
	id := first.at(t, "id")
	if !strings.HasPrefix(id, "resp_") || first.at(t, "store") != "true" || first.at(t, "output.0.content.0.text") != "Blue." {
		t.Errorf("%s", first.body)
	}
	if again := c.stored(t, "GET", id).is(t, 200); string(again.body) != string(first.body) {
		t.Errorf("kept as %s, given as %s", again.body, first.body)
	}
	items := c.stored(t, "GET", id+"/input_items").is(t, 200)
	official(t, "ResponseItemList", items.body)
	if items.at(t, "data.0.content.0.text") != "What is the sky?" || items.at(t, "has_more") != "false" {
		t.Errorf("%s", items.body)
	}

	second := c.respond(t, `"input":[{"role":"user","content":"Why?"}],"previous_response_id":"`+id+`"`, nil).is(t, 200)
	official(t, "Response", second.body)
	if second.at(t, "previous_response_id") != id {
		t.Errorf("%s", second.body)
	}
	sent := string(u.Request(1).Body)
	// Instructions are of one request alone; what was said is of all.
	if want := `"messages":[{"role":"user","content":"What is the sky?"},{"role":"assistant","content":"Blue."},{"role":"user","content":"Why?"}]`; !strings.Contains(sent, want) {
		t.Errorf("sent %s, want %s in it", sent, want)
	}
	third := c.respond(t, `"input":[{"type":"item_reference","id":"`+first.at(t, "output.0.id")+`"},{"role":"user","content":"Hm."}],"previous_response_id":"`+second.at(t, "id")+`"`, nil)
	if third.status != 200 {
		t.Fatalf("%d: %s", third.status, third.body)
	}
	sent = string(u.Request(2).Body)
	if want := `{"role":"user","content":"Why?"},{"role":"assistant","content":[{"type":"text","text":"Blue."}`; !strings.Contains(sent, want) || strings.Count(sent, "Blue.") != 3 {
		t.Errorf("sent %s, want %s in it", sent, want)
	}
	c.holds(t, money.Dollar-3*promptCost, 0)

	// Nobody else has it, not even the account's test keys; nor has it who deleted it.
	other := newCustomer(t, g, "1", nil)
	trial := c
	trial.key = g.NewKey(t, c.account, map[string]any{"test": true}).Key
	for _, who := range []customer{other, trial} {
		for _, path := range []string{id, id + "/input_items"} {
			if r := who.stored(t, "GET", path).is(t, 404); r.at(t, "error.code") != "response_not_found" {
				t.Errorf("%s", r.body)
			}
		}
		who.stored(t, "DELETE", id).is(t, 404)
		if r := who.respond(t, `"input":"x","previous_response_id":"`+id+`"`, nil).is(t, 400); r.at(t, "error.code") != "previous_response_not_found" || r.at(t, "error.param") != "previous_response_id" {
			t.Errorf("%s", r.body)
		}
		if r := who.respond(t, `"input":[{"type":"item_reference","id":"`+first.at(t, "output.0.id")+`"}]`, nil).is(t, 400); r.at(t, "error.param") != "input.0.id" {
			t.Errorf("%s", r.body)
		}
	}
	if r := c.stored(t, "DELETE", id).is(t, 200); r.at(t, "deleted") != "true" || r.at(t, "id") != id {
		t.Errorf("%s", r.body)
	}
	c.stored(t, "GET", id).is(t, 404)
	c.respond(t, `"input":"x","previous_response_id":"`+second.at(t, "id")+`"`, nil).is(t, 400)
	if n := len(u.Received()); n != 3 {
		t.Errorf("%d requests were sent", n)
	}
	g.Verify(t)
}

// streamed is whole as a stream, whose second frame waits for gate, if that is not
// nil.
func streamedWhole(gate <-chan struct{}) testkit.Answer {
	const head = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"upstream-m","choices":[`
	a := testkit.SSE(
		head+`{"index":0,"delta":{"role":"assistant","content":"Bl"},"finish_reason":null}]}`,
		head+`{"index":0,"delta":{"content":"ue."},"finish_reason":null}]}`,
		head+`{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		head+`],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}`,
		"[DONE]",
	)
	a.Frames[1].Gate = gate
	return a
}

// Whoever has the last event of a stream can ask for its response, and continue it.
func TestAStreamedResponseIsKept(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(streamedWhole(nil))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	r := c.respond(t, `"input":"hi","stream":true`, nil).is(t, 200)
	frames := strings.Split(strings.TrimSuffix(string(r.body), "\n\n"), "\n\n")
	for _, f := range frames {
		_, data, _ := strings.Cut(f, "\ndata: ")
		official(t, "ResponseStreamEvent", []byte(data))
	}
	name, data, _ := strings.Cut(frames[len(frames)-1], "\ndata: ")
	if name != "event: response.completed" {
		t.Fatalf("it ends with %s", name)
	}
	last := member(t, []byte(data), "response")
	kept := c.stored(t, "GET", member(t, []byte(last), "id")).is(t, 200)
	if kept.at(t, "") != last || kept.at(t, "output.0.content.0.text") != "Blue." {
		t.Errorf("kept as %s, told as %s", kept.at(t, ""), last)
	}
	c.holds(t, money.Dollar-promptCost, 0)
	if strings.Contains(string(r.body), "upstream") || strings.Contains(string(r.body), "chatcmpl") {
		t.Errorf("the stream tells who made it: %s", r.body)
	}
}

// A response whose caller left is charged as any answer is, and is not kept: it
// has not ended. With an idempotency key it is finished, and kept.
func TestAResponseWhoseCallerLeft(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "k"} {
		u := testkit.NewUpstream(t)
		gate := make(chan struct{})
		u.Queue(streamedWhole(gate))
		g := responding(t, u)
		c := newCustomer(t, g, "1", nil)
		asked := call{path: responsesPath, key: c.key, header: map[string]string{}, body: `{"model":"m","input":"hi","stream":true}`}
		if key != "" {
			asked.header["Idempotency-Key"] = key
		}
		ctx, leave := context.WithCancel(t.Context())
		resp, err := open(ctx, g, asked)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		for buf := make([]byte, 4096); !strings.Contains(said.String(), `"delta":"Bl"`); {
			n, err := resp.Body.Read(buf)
			if said.Write(buf[:n]); err != nil {
				t.Fatal(err)
			}
		}
		_, data, _ := strings.Cut(said.String(), "\ndata: ")
		data, _, _ = strings.Cut(data, "\n")
		id := member(t, []byte(data), "response.id")
		leave()
		want := 404
		if key != "" {
			close(gate)
			want = 200
			if again := ask(t, g, asked).is(t, 200); !strings.Contains(string(again.body), id) || !strings.Contains(string(again.body), "response.completed") {
				t.Errorf("again: %s", again.body)
			}
		}
		g.Settled(t)
		// Who asks again may have the answer a moment before it is stored.
		got := c.stored(t, "GET", id)
		for end := time.Now().Add(10 * time.Second); got.status != want && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			got = c.stored(t, "GET", id)
		}
		got.is(t, want)
		if key == "" {
			close(gate)
		}
	}
}

func TestWhatIsNotToBeStoredIsNot(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	r := c.respond(t, `"input":"hi","store":false`, nil).is(t, 200)
	if r.at(t, "store") != "false" {
		t.Errorf("%s", r.body)
	}
	c.stored(t, "GET", r.at(t, "id")).is(t, 404)
	for members, param := range map[string]string{
		`"input":"hi","conversation":"conv_1"`:                                                   "conversation",
		`"input":"hi","prompt":{"id":"pmpt_1"}`:                                                  "prompt",
		`"input":"hi","background":true,"store":false`:                                           "background",
		`"input":"hi","tools":[{"type":"web_search"}]`:                                           "tools.0",
		`"input":"hi","max_output_tokens":15`:                                                    "max_output_tokens",
		`"input":[{"type":"compaction","encrypted_content":"x"},{"role":"user","content":"hi"}]`: "input.0",
		`"input":[{"role":"user","content":[{"type":"input_image","file_id":"file_1"}]}]`:        "input.0.content.0",
	} {
		if r := c.respond(t, members, nil).is(t, 400); r.at(t, "error.param") != param {
			t.Errorf("%s: %s", members, r.body)
		}
	}
	c.holds(t, money.Dollar-promptCost, 0)
	c.respond(t, `"input":"hi","conversation":null,"prompt":null`, nil).is(t, 200)
}

// A client that tries a WebSocket first is refused at once, and falls back.
func TestAWebSocketIsRefused(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	r := ask(t, g, call{method: "GET", path: responsesPath, key: c.key, header: map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	}}).is(t, http.StatusMethodNotAllowed)
	if r.header.Get("Allow") != "POST" || r.header.Get("Upgrade") != "" {
		t.Errorf("%v", r.header)
	}
}

// until polls a response until it is as wanted.
func (c customer) untilResponse(t *testing.T, id, status string) *reply {
	t.Helper()
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(5 * time.Millisecond) {
		r := c.stored(t, "GET", id).is(t, 200)
		if r.at(t, "status") == status {
			official(t, "Response", r.body)
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("the response stays as it is: %s", r.body)
		}
	}
}

func TestAResponseInTheBackground(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	gate := make(chan struct{})
	waiting := testkit.JSON(200, whole)
	waiting.Gate = gate
	u.Queue(waiting)
	u.Always(testkit.JSON(200, whole))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	key := map[string]string{"Idempotency-Key": "b1"}
	queued := c.respond(t, `"input":"hi","background":true,"max_output_tokens":100`, key).is(t, 200)
	official(t, "Response", queued.body)
	id := queued.at(t, "id")
	if queued.at(t, "status") != "queued" || queued.at(t, "background") != "true" || queued.at(t, "output") != "[]" {
		t.Errorf("%s", queued.body)
	}
	if again := c.respond(t, `"input":"hi","background":true,"max_output_tokens":100`, key).is(t, 200); string(again.body) != string(queued.body) {
		t.Errorf("the key stands for %s", again.body)
	}
	c.untilResponse(t, id, "in_progress")
	if usd(t, g.AccountNow(t, c.account).HeldUSD) == 0 {
		t.Error("nothing is held")
	}
	if r := c.respond(t, `"input":"x","previous_response_id":"`+id+`"`, nil).is(t, 400); r.at(t, "error.param") != "previous_response_id" {
		t.Errorf("%s", r.body)
	}
	close(gate)
	done := c.untilResponse(t, id, "completed")
	if done.at(t, "output.0.content.0.text") != "Blue." || done.at(t, "usage.total_tokens") != "46" || done.at(t, "created_at") != queued.at(t, "created_at") {
		t.Errorf("%s", done.body)
	}
	c.holds(t, money.Dollar-promptCost, 0)
	if r := ask(t, g, call{path: responsesPath + "/" + id + "/cancel", key: c.key}).is(t, 200); r.at(t, "status") != "completed" {
		t.Errorf("cancelled when it had ended: %s", r.body)
	}
	next := c.respond(t, `"input":"And?","previous_response_id":"`+id+`"`, nil).is(t, 200)
	if sent := string(u.Request(1).Body); !strings.Contains(sent, `{"role":"assistant","content":"Blue."},{"role":"user","content":"And?"}`) {
		t.Errorf("sent %s", sent)
	}
	if r := ask(t, g, call{path: responsesPath + "/" + next.at(t, "id") + "/cancel", key: c.key}).is(t, 400); !strings.Contains(r.at(t, "error.message"), "background") {
		t.Errorf("%s", r.body)
	}
	g.Verify(t)
}

func TestAResponseInTheBackgroundOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	held := make(chan struct{})
	hanging := testkit.JSON(200, whole)
	hanging.Gate = held
	u.Queue(hanging)
	u.Always(testkit.JSON(200, whole))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	id := c.respond(t, `"input":"hi","background":true,"max_output_tokens":100`, nil).is(t, 200).at(t, "id")
	c.untilResponse(t, id, "in_progress")
	u.Request(0)
	g.Kill()
	close(held)
	g.Run(t)
	if r := c.untilResponse(t, id, "completed"); r.at(t, "id") != id || r.at(t, "output.0.content.0.text") != "Blue." {
		t.Errorf("%s", r.body)
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}

func TestAResponseInTheBackgroundMayFail(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	gate := make(chan struct{})
	defer close(gate)
	waiting := testkit.JSON(200, whole)
	waiting.Gate = gate
	u.Queue(testkit.JSON(500, `{"error":{"message":"words","type":"server_error"}}`), waiting)
	u.Always(testkit.JSON(200, whole))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	background := `"input":"hi","background":true,"max_output_tokens":100`
	id := c.respond(t, background, nil).is(t, 200).at(t, "id")
	if r := c.untilResponse(t, id, "failed"); r.at(t, "error.code") != "server_error" || r.at(t, "error.message") == "" {
		t.Errorf("%s", r.body)
	}
	c.holds(t, money.Dollar, 0)

	id = c.respond(t, background, nil).is(t, 200).at(t, "id")
	c.untilResponse(t, id, "in_progress")
	for range 2 { // it can be cancelled as often as one likes
		if r := ask(t, g, call{path: responsesPath + "/" + id + "/cancel", key: c.key}).is(t, 200); r.at(t, "status") != "cancelled" || r.at(t, "error") != "null" {
			t.Errorf("%s", r.body)
		}
	}
	c.holds(t, money.Dollar, 0)

	poor := newCustomer(t, g, "0.000001", nil)
	r := poor.respond(t, background, nil).is(t, 402)
	if r.at(t, "error.code") != "insufficient_balance" {
		t.Errorf("%s", r.body)
	}
	g.Verify(t)
}

// Who comes again with his Idempotency-Key gets the answer again, and its
// response is the one that is kept.
func TestAResponseAndItsIdempotencyKey(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	key := map[string]string{"Idempotency-Key": "k"}
	first := c.respond(t, `"input":"hi"`, key).is(t, 200)
	again := c.respond(t, `"input":"hi"`, key).is(t, 200)
	if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	c.stored(t, "GET", again.at(t, "id")).is(t, 200)
	c.respond(t, `"input":"ho"`, key).is(t, 422)
	c.holds(t, money.Dollar-promptCost, 0)
}

// What was asked is listed page by page, newest first if nothing else is said.
func TestInputItemsAreListed(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	id := c.respond(t, `"input":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
		{"type":"function_call_output","call_id":"c","output":"x"},{"role":"user","content":[{"type":"input_image","image_url":"https://x.y/z.png"}]}],
		"tools":[{"type":"function","name":"f"}]`, nil)
	if id.status != 200 {
		t.Fatalf("%s", id.body)
	}
	path := id.at(t, "id") + "/input_items"
	kinds := func(query string) (string, *reply) {
		t.Helper()
		r := c.stored(t, "GET", path+query).is(t, 200)
		official(t, "ResponseItemList", r.body)
		var list struct {
			Data []struct{ Type, Role string }
		}
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list.Data), r
	}
	if got, _ := kinds(""); got != "[{message user} {function_call_output } {function_call } {message assistant} {message user}]" {
		t.Errorf("all: %s", got)
	}
	got, page := kinds("?order=asc&limit=2")
	if got != "[{message user} {message assistant}]" || page.at(t, "has_more") != "true" || page.at(t, "last_id") != page.at(t, "data.1.id") {
		t.Errorf("the first page: %s", page.body)
	}
	if got, page = kinds("?order=asc&limit=3&after=" + page.at(t, "last_id")); got != "[{function_call } {function_call_output } {message user}]" || page.at(t, "has_more") != "false" {
		t.Errorf("the next page: %s", page.body)
	}
	for query, param := range map[string]string{"?limit=0": "limit", "?limit=x": "limit", "?order=up": "order", "?after=nobody": "after"} {
		if r := c.stored(t, "GET", path+query).is(t, 400); r.at(t, "error.param") != param {
			t.Errorf("%s: %s", query, r.body)
		}
	}
}

// With a provider of the same dialect its own frames go out, under our id; what
// it is asked is the whole conversation, with its reasoning, and to store nothing.
func TestResponsesOfAProviderOfTheSameDialect(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	const theirs = `{"id":"resp_theirs","object":"response","created_at":1,"status":"%s","error":null,"incomplete_details":null,"instructions":null,"model":"upstream-m","output":%s,"parallel_tool_calls":true,"store":false,"temperature":1,"tool_choice":"auto","tools":[],"top_p":1,"metadata":{},"new":1.50%s}`
	const output = `[{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAAA"},{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Blue.","annotations":[],"logprobs":[]}]}]`
	const used = `,"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":34,"output_tokens_details":{"reasoning_tokens":30},"total_tokens":46}`
	event := func(n int, name, members string) testkit.Frame {
		return testkit.Frame{Data: fmt.Sprintf("event: %s\ndata: {\"type\":%q,\"sequence_number\":%d,%s}\n\n", name, name, n, members)}
	}
	a := testkit.SSE()
	a.Frames = []testkit.Frame{
		event(0, "response.created", `"response":`+fmt.Sprintf(theirs, "in_progress", "[]", "")),
		event(1, "response.output_item.added", `"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}`),
		event(2, "response.output_text.delta", `"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Blue.","logprobs":[],"obfuscation":"xyz"`),
		event(3, "response.output_item.done", `"output_index":0,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Blue.","annotations":[],"logprobs":[]}]}`),
		event(4, "response.completed", `"response":`+fmt.Sprintf(theirs, "completed", output, used)),
	}
	u.Queue(a)
	u.Always(testkit.JSON(200, fmt.Sprintf(theirs, "completed", output, used)))
	g := harness.Start(t, harness.Options{Server: "drain: 1s", Config: fmt.Sprintf(`
providers: {up: {kind: openai, quirks: openai, base_url: %q, api_key: sk-upstream-4711, catalog: none}}
models: {m: {targets: [{provider: up, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, reasoning: true, price: {input: 1.00, output: 2.00}}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1")})
	c := newCustomer(t, g, "1", nil)
	r := c.respond(t, `"input":"hi","stream":true,"include":[],"new_member":{"x":1.50}`, nil).is(t, 200)
	frames := strings.Split(strings.TrimSuffix(string(r.body), "\n\n"), "\n\n")
	if len(frames) != 5 || frames[2]+"\n\n" != a.Frames[2].Data {
		t.Fatalf("%s", r.body)
	}
	_, data, _ := strings.Cut(frames[4], "\ndata: ")
	id := member(t, []byte(data), "response.id")
	if strings.Contains(string(r.body), "resp_theirs") || strings.Contains(string(r.body), "upstream-m") || member(t, []byte(data), "response.new") != "1.50" || member(t, []byte(data), "response.store") != "true" {
		t.Errorf("%s", r.body)
	}
	if sent := string(u.Request(0).Body); !strings.Contains(sent, `"store":false`) || !strings.Contains(sent, `"new_member":{"x":1.50}`) {
		t.Errorf("sent %s", sent)
	}
	next := c.respond(t, `"input":"And?","previous_response_id":"`+id+`"`, nil).is(t, 200)
	sent := string(u.Request(1).Body)
	if want := `"encrypted_content":"gAAAA"}`; !strings.Contains(sent, want) || strings.Contains(sent, "previous_response_id") || !strings.Contains(sent, `{"role":"user","content":"And?"}]`) {
		t.Errorf("sent %s", sent)
	}
	if next.at(t, "previous_response_id") != id || next.at(t, "output.1.content.0.text") != "Blue." {
		t.Errorf("%s", next.body)
	}
	c.holds(t, money.Dollar-2*promptCost, 0)
}
