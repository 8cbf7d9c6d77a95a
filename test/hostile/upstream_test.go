package hostile

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// upstream is a provider of both families. The model that a request names says
// what it does: MODE/…. It speaks Anthropic's protocol under /messages/, and
// OpenAI's elsewhere.
type upstream struct {
	mu    sync.Mutex
	seen  map[string]int           // requests, by model
	gone  map[string]chan struct{} // closed when a request for the model has ended
	wrote map[string]int           // bytes of an endless answer, by model
	stop  chan struct{}
}

func newUpstream() *upstream {
	return &upstream{seen: map[string]int{}, gone: map[string]chan struct{}{}, wrote: map[string]int{}, stop: make(chan struct{})}
}

// requests is how many requests for a model have come.
func (u *upstream) requests(model string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[model]
}

// ended returns a channel that is closed when a request for the model ends.
func (u *upstream) ended(model string) chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone[model] == nil {
		u.gone[model] = make(chan struct{})
	}
	return u.gone[model]
}

// words are what a family's stream consists of.
type words struct {
	begin, text, finish, done string
	whole                     string // with %s for text and %s for usage
	usageOf                   func(in, out string) string
}

// family returns the words of OpenAI's or Anthropic's protocol.
func family(anthropic bool) words {
	if anthropic {
		event := func(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }
		return words{
			begin:   event("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}`) + event("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
			text:    event("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%s}}`),
			finish:  event("content_block_stop", `{"type":"content_block_stop","index":0}`) + event("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":%s}`),
			done:    event("message_stop", `{"type":"message_stop"}`),
			whole:   `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":%s}],"stop_reason":"end_turn","stop_sequence":null,"usage":%s}`,
			usageOf: func(in, out string) string { return `{"input_tokens":` + in + `,"output_tokens":` + out + `}` },
		}
	}
	chunk := func(rest string) string {
		return `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",` + rest + "}\n\n"
	}
	return words{
		begin:   chunk(`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]`),
		text:    chunk(`"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]`),
		finish:  chunk(`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":%s`),
		done:    "data: [DONE]\n\n",
		whole:   `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":%s}`,
		usageOf: func(in, out string) string { return `{"prompt_tokens":` + in + `,"completion_tokens":` + out + `}` },
	}
}

// errorBody is an error of a family.
func errorBody(anthropic bool, kind, message string) string {
	if anthropic {
		return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q}}`, kind, message)
	}
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":null}}`, message, kind)
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, "the upstream was sent what is not JSON", http.StatusTeapot)
		return
	}
	u.mu.Lock()
	u.seen[in.Model]++
	u.mu.Unlock()
	ended := u.ended(in.Model)
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		select {
		case <-ended:
		default:
			close(ended)
		}
	}()
	mode, _, _ := strings.Cut(in.Model, "/")
	do := conditions[mode].do
	if do == nil {
		http.Error(w, "no such condition "+mode, http.StatusTeapot)
		return
	}
	a := &ask{u: u, w: w, r: r, model: in.Model, stream: in.Stream, anthropic: strings.HasPrefix(r.URL.Path, "/messages/")}
	a.words = family(a.anthropic)
	if strings.HasSuffix(r.URL.Path, "/embeddings") {
		a.json(200, `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5,1]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/count_tokens") {
		a.json(200, `{"input_tokens":9}`)
		return
	}
	do(a)
}

// ask is one request to the upstream.
type ask struct {
	u         *upstream
	w         http.ResponseWriter
	r         *http.Request
	model     string
	stream    bool
	anthropic bool
	words     words
}

func (a *ask) json(status int, body string, headers ...string) {
	a.head(status, "application/json", headers...)
	_, _ = io.WriteString(a.w, body)
}

func (a *ask) head(status int, media string, headers ...string) {
	a.w.Header().Set("Content-Type", media)
	for i := 0; i < len(headers); i += 2 {
		a.w.Header().Set(headers[i], headers[i+1])
	}
	a.w.WriteHeader(status)
}

// send writes and flushes.
func (a *ask) send(parts ...string) {
	for _, p := range parts {
		_, _ = io.WriteString(a.w, p)
	}
	_ = http.NewResponseController(a.w).Flush()
}

// events begins a stream and says something.
func (a *ask) events(texts ...string) {
	a.head(200, "text/event-stream")
	a.send(a.words.begin)
	for _, t := range texts {
		a.say(t)
	}
}

func (a *ask) say(text string) {
	q, _ := json.Marshal(text)
	a.send(fmt.Sprintf(a.words.text, q))
}

// answer gives a good answer with any usage.
func (a *ask) answer(text, usage string) {
	q, _ := json.Marshal(text)
	if !a.stream {
		a.json(200, fmt.Sprintf(a.words.whole, q, usage))
		return
	}
	a.events(text)
	a.send(fmt.Sprintf(a.words.finish, usage), a.words.done)
}

// fail answers with a status and an error of the family.
func (a *ask) fail(status int, kind, message string, headers ...string) {
	a.json(status, errorBody(a.anthropic, kind, message), headers...)
}

// hang waits until the gateway has gone.
func (a *ask) hang() {
	select {
	case <-a.r.Context().Done():
	case <-a.u.stop:
	}
}

// cut breaks the connection.
func (a *ask) cut() { panic(http.ErrAbortHandler) }

// wire writes bytes in place of an HTTP answer, and closes the connection.
func (a *ask) wire(text string) {
	conn, _, err := http.NewResponseController(a.w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, text)
}

// endless streams until the gateway has gone, and counts what it wrote.
func (a *ask) endless(pause time.Duration) {
	a.events("begin")
	line := strings.Repeat("x", 16<<10)
	for a.r.Context().Err() == nil {
		a.say(line)
		a.u.mu.Lock()
		a.u.wrote[a.model] += len(line)
		a.u.mu.Unlock()
		if pause > 0 {
			select {
			case <-a.r.Context().Done():
			case <-time.After(pause):
			}
		}
	}
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// wait pauses a moment; it reports whether the gateway has gone.
func (a *ask) wait() bool {
	select {
	case <-a.r.Context().Done():
		return true
	case <-a.u.stop:
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}

// topLevel lists the members of an object as pairs of name and JSON, in order.
func topLevel(body string) (out [][2]string) {
	dec := json.NewDecoder(strings.NewReader(body))
	_, _ = dec.Token()
	for dec.More() {
		name, _ := dec.Token()
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return out
		}
		out = append(out, [2]string{fmt.Sprint(name), string(raw)})
	}
	return out
}
