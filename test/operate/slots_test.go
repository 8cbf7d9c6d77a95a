package operate

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// seat is a surface that takes one of the requests at once that a key may have.
type seat struct {
	name, host, path string
	body             string // with places for the model and for more members
	last             string // of a stream; empty: it has none
	prompt           bool   // the model stands in the path
}

var seats = []seat{
	{name: "chat completions", path: "/v1/chat/completions", body: `{"model":%q,"messages":[{"role":"user","content":"Why?"}]%s}`, last: "[DONE]"},
	{name: "embeddings", path: "/v1/embeddings", body: `{"model":%q,"input":"Why?"%s}`},
	{name: "messages", path: "/v1/messages", body: `{"model":%q,"max_tokens":200,"messages":[{"role":"user","content":"Why?"}]%s}`, last: `"message_stop"}`},
	{name: "simple chat", path: "/v1/chat", body: `{"model":%q,"messages":[{"role":"user","content":"Why?"}]%s}`, last: "[DONE]"},
	{name: "prompt", host: "llmtune.localhost", path: "/v1/models/%s/inference", body: `{"prompt":"Why?"%s}`, prompt: true},
}

func (s seat) call(key, model, more string) call {
	q := call{host: s.host, path: s.path, key: key}
	if s.prompt {
		q.path, q.body = fmt.Sprintf(s.path, model), fmt.Sprintf(s.body, more)
	} else {
		q.body = fmt.Sprintf(s.body, model, more)
	}
	return q
}

func (s seat) config() string {
	kind := "context: 100000, max_output: 10000"
	if s.name == "embeddings" {
		kind = "kind: embedding, context: 8000"
	}
	return fmt.Sprintf(`
providers: {sim: {kind: sim}}
models:
  m: {targets: [{provider: sim}], attempts: 1, %[1]s, price: {request: 0.003}}
  probe: {targets: [{provider: sim}], attempts: 1, %[1]s, price: {request: 0.003}}
  dear: {targets: [{provider: sim}], attempts: 1, %[1]s, price: {request: 1000}}
routing: {breaker: {failures: 1000}}
sites: [{hosts: ["*"], contract: openai}, {hosts: [llmtune.localhost], contract: llmtune}]
`, kind)
}

// upTo sends a request and reads until the answer holds last, or all that its
// length announces, and not to the end of the exchange.
func upTo(ctx context.Context, t *testing.T, g *harness.Gateway, q call, last string) (*http.Response, []byte) {
	t.Helper()
	resp, err := open(ctx, g, q)
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	var got []byte
	for last == "" || !bytes.Contains(got, []byte(last)) {
		b := make([]byte, 64<<10)
		n, err := resp.Body.Read(b)
		if got = append(got, b[:n]...); err != nil || (last == "" && int64(len(got)) == resp.ContentLength) {
			break
		}
	}
	return resp, got
}

// TestASlotIsFreeWhenItsAnswerHasCome: a key that may have one request at once
// may send the next as soon as it has the last bytes of the one before, however
// that ended.
func TestASlotIsFreeWhenItsAnswerHasCome(t *testing.T) {
	t.Parallel()
	big := fmt.Sprintf(`[{"text":%q,"times":-1}]`, strings.Repeat("Because it is so. ", 10_000))
	const stream = `,"stream":true`
	for _, s := range seats {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := harness.Start(t, harness.Options{Config: s.config()})
			c := newCustomer(t, g, "100", and(limits(map[string]any{"concurrency": 1}), atSite(s.host)))
			for _, e := range []struct {
				name, model, steps, more string
				status                   int // 0: any of our failures
				panics                   bool
			}{
				{name: "whole", status: 200},
				{name: "large", steps: big, status: 200},
				{name: "stream", more: stream, status: 200},
				{name: "no such model", model: "none", status: 404},
				{name: "bad body", more: `,"n":"x","stream":7,"input":7,"messages":7`, status: 400},
				{name: "no money", model: "dear"},
				{name: "upstream error", steps: `[{"fault":"error_500"}]`},
				{name: "upstream error before a stream", steps: `[{"fault":"error_500"}]`, more: stream},
				{name: "blocked", steps: `[{"fault":"policy"}]`},
				{name: "empty", steps: `[{"fault":"empty"}]`},
				{name: "cut", steps: `[{"fault":"cut","after":1}]`, more: stream, status: 200},
				{name: "a defect of ours", panics: true, status: 500},
				{name: "a defect of ours, streaming", more: stream, panics: true, status: 500},
			} {
				if e.more == stream && s.last == "" {
					continue
				}
				t.Run(e.name, func(t *testing.T) {
					if e.steps == "" {
						e.steps = "[]"
					}
					if e.model == "" {
						e.model = "m"
					}
					script(t, g, "m", e.steps)
					for range 10 {
						if e.panics {
							arm(t, g, "handler_panic", 1)
						}
						last := ""
						if e.more == stream && e.status == 200 && e.name != "cut" {
							last = s.last
						}
						resp, body := upTo(t.Context(), t, g, s.call(c.key, e.model, e.more), last)
						if resp == nil || (e.status != 0 && resp.StatusCode != e.status) || (e.status == 0 && resp.StatusCode < 300) {
							t.Fatalf("%+v %s", resp, tail(body))
						}
						next := ask(t, g, s.call(c.key, "probe", ""))
						_ = resp.Body.Close()
						next.is(t, 200)
						if e.steps != "[]" && e.steps != big {
							break // the step is used up
						}
					}
					eventually(t, "the counter says nothing", func() bool { return counter(t, g, c, "concurrency") == "0 of 1, 0 held" })
				})
			}
			settled(t, g)
		})
	}
}

// TestASlotIsFreeWhenItsCallerHasLeft: before content and behind it; and where
// the answer is read on without him, when that has come to its end, and not
// before: the work goes on, and it is the work that is limited.
func TestASlotIsFreeWhenItsCallerHasLeft(t *testing.T) {
	t.Parallel()
	const stream = `,"stream":true`
	for _, s := range seats {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := harness.Start(t, harness.Options{Config: s.config()})
			c := newCustomer(t, g, "100", and(limits(map[string]any{"concurrency": 1}), atSite(s.host)))
			free := func() {
				t.Helper()
				eventually(t, "the slot is free", func() bool { return ask(t, g, s.call(c.key, "probe", "")).status == 200 })
				eventually(t, "the counter says nothing", func() bool { return counter(t, g, c, "concurrency") == "0 of 1, 0 held" })
			}
			for _, more := range []string{"", stream} {
				if more == stream && s.last == "" {
					continue
				}
				script(t, g, "m", `[{"fault":"hang_headers"}]`)
				leaveBefore(t, g, c, s.call(c.key, "m", more))
				free()
			}
			if s.last != "" {
				script(t, g, "m", `[{"fault":"hang_stream","after":1}]`)
				ctx, cancel := context.WithCancel(t.Context())
				resp, err := open(ctx, g, s.call(c.key, "m", stream))
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("%v, %v", resp, err)
				}
				ask(t, g, s.call(c.key, "probe", "")).is(t, 429)
				cancel()
				_ = resp.Body.Close()
				free()
			}
			if s.prompt {
				return
			}
			for n, more := range []string{"", stream} {
				if more == stream && s.last == "" {
					continue
				}
				script(t, g, "m", `[{"first_ms":1500}]`)
				q := s.call(c.key, "m", more)
				q.header = map[string]string{"Idempotency-Key": fmt.Sprintf("drained-%d", n)}
				leaveBefore(t, g, c, q)
				free()
				if r := ask(t, g, q).is(t, 200); r.header.Get("Idempotency-Replayed") != "true" {
					t.Errorf("the slot was free before the answer was there: %v", r.header)
				}
			}
			settled(t, g)
		})
	}
}

// leaveBefore sends a request and leaves as soon as it is admitted.
func leaveBefore(t *testing.T, g *harness.Gateway, c customer, q call) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := try(ctx, g, q)
		done <- err
	}()
	eventually(t, "the slot is taken, and the price is held", func() bool {
		return counter(t, g, c, "concurrency") == "0 of 1, 1 held" && c.now(t).HeldUSD != "0.00"
	})
	cancel()
	if err := <-done; err == nil {
		t.Error("an answer came to who had left")
	}
}

// TestJobsHoldNoSlots: a job takes a slot while it is handed in, and none while
// it runs, whatever becomes of its requests.
func TestJobsHoldNoSlots(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: seats[4].config()})
	c := newCustomer(t, g, "100", and(limits(map[string]any{"concurrency": 1}), atSite("llmtune.localhost")))
	script(t, g, "m", `[{"fault":"hang_headers","times":2},{"fault":"error_500"},{}]`)
	body := `{"modelId":"m","requests":[{"id":"a","prompt":"1"},{"id":"b","prompt":"2"},{"id":"c","prompt":"3"},{"id":"d","prompt":"4"}]}`
	r := ask(t, g, call{host: "llmtune.localhost", path: "/v1/batch/inference", key: c.key, body: body}).is(t, 200)
	probe := seats[4].call(c.key, "probe", "")
	for range 5 {
		ask(t, g, probe).is(t, 200)
	}
	eventually(t, "the counter says nothing", func() bool { return counter(t, g, c, "concurrency") == "0 of 1, 0 held" })
	ask(t, g, call{host: "llmtune.localhost", method: "DELETE", path: "/v1/batch/inference/" + r.at(t, "batchId"), key: c.key}).is(t, 200)
	ask(t, g, probe).is(t, 200)
}
