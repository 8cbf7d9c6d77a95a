package soak

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/test/harness"
)

// plan is what the upstream is to do with a request. It stands in the prompt.
type plan struct {
	do              string // one of the doings, or s and a status
	in, cached, out int64  // tokens
	pieces          int
	pace            time.Duration // between pieces, in whole milliseconds
	job             bool
}

// What the upstream does.
const (
	ends    = "ends"    // well
	blocks  = "blocks"  // with a refusal by policy
	empty   = "empty"   // without a word
	hangs   = "hangs"   // before a word
	stalls  = "stalls"  // after half of the answer
	cuts    = "cuts"    // the connection there
	garbles = "garbles" // what is no JSON
)

func (p plan) mark() string {
	job := 0
	if p.job {
		job = 1
	}
	return fmt.Sprintf("soak-%s-%d-%d-%d-%d-%d-%d-", p.do, p.in, p.cached, p.out, p.pieces, p.pace.Milliseconds(), job)
}

var marked = regexp.MustCompile(`soak-([a-z0-9]+)-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)-`)

func parsePlan(body []byte) (p plan, ok bool) {
	m := marked.FindSubmatch(body)
	if m == nil {
		return p, false
	}
	n := make([]int64, 6)
	for i := range n {
		n[i], _ = strconv.ParseInt(string(m[i+2]), 10, 64)
	}
	return plan{string(m[1]), n[0], n[1], n[2], int(n[3]), time.Duration(n[4]) * time.Millisecond, n[5] == 1}, true
}

// tariff is the price of a model: nano-dollars per million tokens.
type tariff struct{ input, cached, output int64 }

// of prices what a plan uses, rounded up to a whole nano-dollar, once. It is
// reckoned apart from the product, on purpose.
func (t tariff) of(p plan) int64 {
	sum := big.NewInt(999_999)
	for _, x := range [][2]int64{{p.in - p.cached, t.input}, {p.cached, t.cached}, {p.out, t.output}} {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(x[0]), big.NewInt(x[1])))
	}
	return sum.Div(sum, big.NewInt(1_000_000)).Int64()
}

var tariffs = map[string]tariff{
	"good":    {input: 137_000_001, cached: 41_100_007, output: 1_013_000_003},
	"claude":  {input: 3_001_000_001, cached: 300_300_007, output: 15_007_000_009},
	"flaky":   {input: 211_000_003, cached: 21_100_001, output: 877_000_011},
	"limited": {input: 211_000_003, cached: 21_100_001, output: 877_000_011},
	"shut":    {input: 211_000_003, cached: 21_100_001, output: 877_000_011},
	"locked":  {input: 211_000_003, cached: 21_100_001, output: 877_000_011},
	"vectors": {input: 20_000_001, cached: 20_000_001},
}

type requestID = [16]byte

// bill is what the upstream asks for one request of the gateway.
type bill struct {
	times int   // answers that it finished, with their usage
	nano  int64 // for all of them
	free  bool  // it finished with a refusal, or with nothing
	job   bool
}

// upstream speaks as OpenAI and as Anthropic do, and keeps its own books.
type upstream struct {
	srv  *httptest.Server
	stop chan struct{}

	mu    sync.Mutex
	bills map[requestID]bill
	calls map[string]int // by what it did
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{stop: make(chan struct{}), bills: map[requestID]bill{}, calls: map[string]int{}}
	u.srv = harness.Serve(t, u, u.stop)
	return u
}

// talk is one answer of the upstream.
type talk struct {
	u     *upstream
	w     http.ResponseWriter
	r     *http.Request
	p     plan
	id    requestID
	model string
	usage bool // it was asked for that of a stream
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p, ok := parsePlan(body)
	id, err := obs.ParseRequestID(r.Header.Get("X-Request-Id"))
	var a struct {
		Model   string
		Stream  bool
		Options struct {
			Usage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if !ok || err != nil || json.Unmarshal(body, &a) != nil {
		http.Error(w, "who asks?", http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	u.calls[p.do]++
	u.mu.Unlock()
	x := &talk{u: u, w: w, r: r, p: p, id: requestID(id), model: a.Model, usage: a.Options.Usage}
	if status, err := strconv.Atoi(strings.TrimPrefix(p.do, "s")); err == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"type":"error","error":{"type":"api_error","message":"a failure","code":"failure"}}`)
		return
	}
	if p.do == hangs {
		x.wait(time.Hour)
		return
	}
	switch {
	case r.URL.Path == "/v1/embeddings":
		x.whole(fmt.Sprintf(`{"object":"list","model":%q,"data":[{"object":"embedding","index":0,"embedding":[0.25,-0.5]}],"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, a.Model, p.in, p.in))
	case r.URL.Path == "/v1/messages" && a.Stream:
		x.messageStream()
	case r.URL.Path == "/v1/messages":
		x.whole(`{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":` + strconv.Quote(x.text()) + `}],"stop_reason":"end_turn","stop_sequence":null,"usage":` + x.messageUsage() + `}`)
	case a.Stream:
		x.chatStream()
	default:
		x.whole(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":` +
			strconv.Quote(x.text()) + `},"finish_reason":"` + x.finish() + `"}],"usage":` + x.chatUsage() + `}`)
	}
}

// wait reports false if the gateway or the test has gone meanwhile.
func (x *talk) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.r.Context().Done():
	case <-x.u.stop:
	}
	return false
}

// enter enters what is asked for the answer, before its usage goes out.
func (x *talk) enter() {
	x.u.mu.Lock()
	defer x.u.mu.Unlock()
	b := x.u.bills[x.id]
	b.times++
	b.nano += tariffs[x.model].of(x.p)
	b.free = x.p.do != ends
	b.job = x.p.job
	x.u.bills[x.id] = b
}

func (x *talk) finish() string {
	if x.p.do == blocks {
		return "content_filter"
	}
	return "stop"
}

// theEnd is in the last piece of every answer.
const theEnd = "the end."

func (x *talk) piece(i int) string {
	if i == x.p.pieces-1 {
		return theEnd
	}
	return fmt.Sprintf("piece %d, and more of it; ", i)
}

func (x *talk) text() string {
	var b strings.Builder
	for i := range x.p.pieces {
		if x.p.do != empty {
			b.WriteString(x.piece(i))
		}
	}
	return b.String()
}

// whole sends a body, after the time that its pieces take.
func (x *talk) whole(body string) {
	if !x.wait(time.Duration(x.p.pieces) * x.p.pace) {
		return
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	switch x.p.do {
	case garbles:
		_, _ = io.WriteString(x.w, strings.Repeat("<", len(body)))
	case cuts, stalls:
		x.send(body[:len(body)/2])
		x.breakOff()
	default:
		x.enter()
		_, _ = io.WriteString(x.w, body)
	}
}

func (x *talk) send(frames ...string) bool {
	for _, f := range frames {
		if _, err := io.WriteString(x.w, f); err != nil {
			return false
		}
	}
	return http.NewResponseController(x.w).Flush() == nil
}

// breakOff ends an answer in its middle.
func (x *talk) breakOff() {
	if x.p.do == stalls {
		x.wait(time.Hour)
		return
	}
	panic(http.ErrAbortHandler) // the documented way to break a connection
}

// say sends the pieces of a stream, and reports whether the end is to follow.
func (x *talk) say(frame func(text string) string) bool {
	for i := range x.p.pieces {
		switch {
		case x.p.do == empty:
			return true
		case i > 0 && x.p.pace > 0 && !x.wait(x.p.pace):
			return false
		case i == x.p.pieces/2 && (x.p.do == cuts || x.p.do == stalls):
			x.breakOff()
			return false
		case i == x.p.pieces/2 && x.p.do == garbles:
			x.send("data: {\"choices\": oops\n\n")
			return false
		case !x.send(frame(x.piece(i))):
			return false
		}
	}
	return x.p.pace == 0 || x.wait(x.p.pace)
}

func (x *talk) chatStream() {
	x.w.Header().Set("Content-Type", "text/event-stream")
	const head = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[`
	if !x.send(head+`{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`+"\n\n") || !x.say(func(text string) string {
		return head + `{"index":0,"delta":{"content":` + strconv.Quote(text) + `},"finish_reason":null}]}` + "\n\n"
	}) {
		return
	}
	x.send(head + `{"index":0,"delta":{},"finish_reason":"` + x.finish() + `"}]}` + "\n\n")
	x.enter()
	if x.usage {
		x.send(head + `],"usage":` + x.chatUsage() + "}\n\n")
	}
	x.send("data: [DONE]\n\n")
}

func (x *talk) chatUsage() string {
	out := x.p.out
	if x.p.do == empty {
		out = 0
	}
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`, x.p.in, out, x.p.in+out, x.p.cached)
}

func (x *talk) messageUsage() string {
	return fmt.Sprintf(`{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":%d,"output_tokens":%d}`, x.p.in-x.p.cached, x.p.cached, x.p.out)
}

func (x *talk) messageStream() {
	x.w.Header().Set("Content-Type", "text/event-stream")
	event := func(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }
	if !x.send(event("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":`+x.messageUsage()+`}}`),
		event("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)) || !x.say(func(text string) string {
		return event("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`+strconv.Quote(text)+`}}`)
	}) {
		return
	}
	x.send(event("content_block_stop", `{"type":"content_block_stop","index":0}`))
	x.enter()
	x.send(event("message_delta", fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%d}}`, x.p.out)),
		event("message_stop", `{"type":"message_stop"}`))
}
