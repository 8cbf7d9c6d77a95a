package kill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// upstream is the provider: it speaks as OpenAI and as Anthropic do, and does
// with every job what the job says.
type upstream struct {
	url  string
	jobs sync.Map // int64 → *job
	stop chan struct{}
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{stop: make(chan struct{})}
	u.url = harness.Serve(t, u, u.stop).URL
	return u
}

// attempts is how often a gateway may try a job.
const attempts = 2

// providers is the configuration of a gateway in front of the upstream.
func (u *upstream) providers() string {
	var b strings.Builder
	fmt.Fprintf(&b, `providers:
  openly: {kind: openai, base_url: "%s/v1", api_key: k, quirks: openai, catalog: none}
  clerk:  {kind: anthropic, base_url: "%s/v1", api_key: k, catalog: none}
routing: {attempts: %d, backoff: {base: 1ms, max: 2ms}, breaker: {failures: 1000, open: 1s, max_open: 1s}}
models:
`, u.url, u.url, attempts)
	for _, name := range []string{"gpt", "claude", "flat", "embed", "shaky", "brittle"} {
		b.WriteString(modelConfig(name, tariffs[name]))
	}
	return b.String()
}

func modelConfig(name string, p tariff) string {
	provider := "openly"
	if name == "claude" {
		provider = "clerk"
	}
	price := fmt.Sprintf("input: %s, cached_input: %s, output: %s", usd(p.input), usd(p.cached), usd(p.output))
	switch {
	case name == "embed":
		return fmt.Sprintf("  %s: {targets: [{provider: %s}], kind: embedding, context: 200000, price: {input: %s}}\n", name, provider, usd(p.input))
	case p.request != 0:
		price = "request: " + usd(p.request)
	}
	return fmt.Sprintf("  %s: {targets: [{provider: %s}], context: 200000, max_output: 8000, reasoning: false, price: {%s}}\n", name, provider, price)
}

var jobMark = regexp.MustCompile(`job-(\d+)-`)

// asked is what of a request matters here.
type asked struct {
	Stream        bool  `json:"stream"`
	MaxTokens     int64 `json:"max_tokens"`
	MaxCompletion int64 `json:"max_completion_tokens"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// ServeHTTP does what the job says that the request belongs to.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	mark := jobMark.FindSubmatch(body)
	if mark == nil {
		http.Error(w, "no job", http.StatusBadRequest)
		return
	}
	n, _ := strconv.ParseInt(string(mark[1]), 10, 64)
	v, ok := u.jobs.Load(n)
	if !ok {
		http.Error(w, "no such job", http.StatusBadRequest)
		return
	}
	j := v.(*job)
	j.meet(r.Header.Get("X-Request-Id"))
	var a asked
	if err := json.Unmarshal(body, &a); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	attempt := j.arrive(max(a.MaxTokens, a.MaxCompletion))
	if !u.wait(r, j.first) {
		return
	}
	if j.ending == fails || j.ending == stumbles && attempt == 1 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"type":"error","error":{"type":"api_error","message":"a defect"}}`)
		return
	}
	x := &talk{u: u, w: w, r: r, j: j, usage: a.StreamOptions.IncludeUsage}
	switch anthropic := r.URL.Path == "/v1/messages"; {
	case r.URL.Path == vectors:
		x.embedding()
	case anthropic && a.Stream:
		x.messageStream()
	case anthropic:
		x.message()
	case a.Stream:
		x.chatStream()
	default:
		x.completion()
	}
}

// wait reports false if the gateway or the test has gone meanwhile.
func (u *upstream) wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return r.Context().Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-u.stop:
	}
	return false
}

// talk is one answer of the upstream.
type talk struct {
	u     *upstream
	w     http.ResponseWriter
	r     *http.Request
	j     *job
	usage bool // it was asked for the usage of a stream
}

// piece is a part of the answer's text.
func (x *talk) piece(i int) string {
	return strings.Repeat(fmt.Sprintf("piece %d of job %d. ", i, x.j.n), x.j.size/16+1)[:x.j.size]
}

// frames sends events, and reports whether the gateway is still there.
func (x *talk) frames(frames ...string) bool {
	for _, f := range frames {
		if _, err := io.WriteString(x.w, f); err != nil {
			return false
		}
	}
	return http.NewResponseController(x.w).Flush() == nil
}

// say sends the pieces of a stream, each through frame, up to where the job
// says that it breaks off.
func (x *talk) say(frame func(text string) string) bool {
	for i := range x.j.chunks {
		if x.j.ending == empty {
			return true
		}
		if x.j.ending == cuts && i == x.j.chunks/2 {
			x.frames()
			panic(http.ErrAbortHandler) // the documented way to break a connection
		}
		if i > 0 && !x.u.wait(x.r, x.j.pace) {
			return false
		}
		if !x.frames(frame(x.piece(i))) {
			return false
		}
		if i == 0 && x.j.gate != nil {
			select {
			case <-x.j.gate:
			case <-x.r.Context().Done():
				return false
			case <-x.u.stop:
				return false
			}
		}
	}
	return true
}

func (x *talk) chatStream() {
	x.w.Header().Set("Content-Type", "text/event-stream")
	const head = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[`
	ok := x.frames(head + `{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n")
	ok = ok && x.say(func(text string) string {
		return head + `{"index":0,"delta":{"content":` + strconv.Quote(text) + `},"finish_reason":null}]}` + "\n\n"
	})
	if !ok {
		return
	}
	x.frames(head + `{"index":0,"delta":{},"finish_reason":"` + x.finish() + `"}]}` + "\n\n")
	if x.j.lag > 0 && !x.u.wait(x.r, x.j.lag) {
		return
	}
	x.j.report()
	if x.usage {
		x.frames(head + `],"usage":` + x.chatUsage() + "}\n\n")
	}
	x.frames("data: [DONE]\n\n")
}

func (x *talk) chatUsage() string {
	u := x.j.used
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`, u.input, u.output, u.input+u.output, u.cached)
}

// finish says why the answer ends.
func (x *talk) finish() string {
	switch {
	case x.j.ending == blocks:
		return "content_filter"
	case x.j.capped:
		return "length"
	}
	return "stop"
}

// text is the whole answer.
func (x *talk) text() string {
	var b strings.Builder
	if x.j.ending != empty {
		for i := range x.j.chunks {
			b.WriteString(x.piece(i))
		}
	}
	return strconv.Quote(b.String())
}

func (x *talk) completion() {
	if x.j.ending != cuts {
		x.j.report()
	}
	x.whole(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":` +
		x.text() + `},"finish_reason":"` + x.finish() + `"}],"usage":` + x.chatUsage() + `}`)
}

func (x *talk) embedding() {
	x.j.report()
	x.whole(fmt.Sprintf(`{"object":"list","model":"embed","data":[{"object":"embedding","index":0,"embedding":[0.25,-0.5]}],"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, x.j.used.input, x.j.used.input))
}

// whole sends a body in one piece, or half of one that breaks off.
func (x *talk) whole(body string) {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if x.j.ending == cuts {
		x.frames(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(x.w, body)
}

func (x *talk) messageUsage(output int64) string {
	u := x.j.used
	return fmt.Sprintf(`{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":%d,"output_tokens":%d}`, u.input-u.cached, u.cached, output)
}

func (x *talk) message() {
	if x.j.ending != cuts {
		x.j.report()
	}
	x.whole(`{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":` + x.text() +
		`}],"stop_reason":"end_turn","stop_sequence":null,"usage":` + x.messageUsage(x.j.used.output) + `}`)
}

func (x *talk) messageStream() {
	x.w.Header().Set("Content-Type", "text/event-stream")
	event := func(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }
	ok := x.frames(event("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":`+x.messageUsage(1)+`}}`),
		event("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`))
	ok = ok && x.say(func(text string) string {
		return event("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`+strconv.Quote(text)+`}}`)
	})
	if !ok {
		return
	}
	x.frames(event("content_block_stop", `{"type":"content_block_stop","index":0}`))
	if x.j.lag > 0 && !x.u.wait(x.r, x.j.lag) {
		return
	}
	x.j.report()
	x.frames(event("message_delta", fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%d}}`, x.j.used.output)),
		event("message_stop", `{"type":"message_stop"}`))
}

// body is the request that the client sends for the job.
func (j *job) body() []byte {
	prompt := fmt.Sprintf("job-%d-", j.n)
	prompt += strings.Repeat("lorem ipsum ", j.prompt/12+1)[:max(0, j.prompt-len(prompt))]
	var b bytes.Buffer
	if j.surface == vectors {
		fmt.Fprintf(&b, `{"model":%q,"input":%q}`, j.model, prompt)
		return b.Bytes()
	}
	fmt.Fprintf(&b, `{"model":%q,"messages":[{"role":"user","content":%q}]`, j.model, prompt)
	if j.limited() {
		fmt.Fprintf(&b, `,"max_tokens":%d`, j.maxTokens)
	}
	if j.stream {
		b.WriteString(`,"stream":true`)
	}
	b.WriteString("}")
	return b.Bytes()
}
