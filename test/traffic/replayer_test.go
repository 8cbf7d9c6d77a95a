package traffic

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/pontage/pontage/internal/testkit"
)

// received is a request that reached the upstream.
type received struct {
	path   string
	header http.Header
	body   []byte
}

// replayer is the upstream of all providers. The model that a request names
// says what it answers.
type replayer struct {
	fixtures map[string]*testkit.Fixture

	mu   sync.Mutex
	cuts map[string]int      // cut/ID: how many bytes are sent before the connection breaks
	got  map[string]received // the last request of each model
}

// cut sets how many bytes of a recording are sent next.
func (u *replayer) cut(id string, bytes int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cuts[id] = bytes
}

// last returns the last request for a model, and forgets it.
func (u *replayer) last(model string) (received, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r, ok := u.got[model]
	delete(u.got, model)
	return r, ok
}

func (u *replayer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	u.got[in.Model] = received{path: r.URL.Path, header: r.Header.Clone(), body: body}
	u.mu.Unlock()
	mode, id, _ := strings.Cut(in.Model, "/")
	f := u.fixtures[id]
	if f == nil {
		http.Error(w, "no recording is called "+in.Model, http.StatusTeapot)
		return
	}
	if mode == "ask" {
		greet(w, strings.HasPrefix(r.URL.Path, "/messages/"), in.Stream)
		return
	}
	head(w, f)
	answer := f.Response.Body()
	switch mode {
	case "cut":
		u.mu.Lock()
		answer = answer[:u.cuts[id]]
		u.mu.Unlock()
		flush(w, answer)
		panic(http.ErrAbortHandler) // the documented way to break a connection
	case "drip":
		for i := range answer {
			flush(w, answer[i:i+1])
		}
	default:
		_, _ = w.Write(answer)
	}
}

// head sends the recorded status and headers.
func head(w http.ResponseWriter, f *testkit.Fixture) {
	for k, v := range f.Response.Header() {
		w.Header()[k] = v
	}
	if f.Response.Kind == "sse" && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	w.WriteHeader(f.Response.Status)
}

func flush(w http.ResponseWriter, b []byte) {
	_, _ = w.Write(b)
	_ = http.NewResponseController(w).Flush()
}

// greet answers any request with "Hello", in Anthropic's words or OpenAI's.
func greet(w http.ResponseWriter, messages, stream bool) {
	switch {
	case messages && stream:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Join([]string{
			`event: message_start` + "\n" + `data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":1}}}`,
			`event: content_block_start` + "\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`event: content_block_delta` + "\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`,
			`event: content_block_stop` + "\n" + `data: {"type":"content_block_stop","index":0}`,
			`event: message_delta` + "\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}`,
			`event: message_stop` + "\n" + `data: {"type":"message_stop"}`, "",
		}, "\n\n"))
	case messages:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":2}}`)
	case stream:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}`+"\n\n"+
			`data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\n"+
			`data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}`+"\n\ndata: [DONE]\n\n")
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}`)
	}
}

// member is one member of a JSON object, by its places.
type member struct {
	name            string
	valueStart, end int
}

func (m member) value(b []byte) []byte { return b[m.valueStart:m.end] }

// membersOf lists the members of an object in their order, or nil if b is none.
func membersOf(b []byte) []member {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	out := []member{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil
		}
		name, _ := t.(string)
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return nil
		}
		end := int(dec.InputOffset())
		out = append(out, member{name, end - len(raw), end})
	}
	return out
}

// valueOf returns the value of a member, or nil.
func valueOf(b []byte, name string) []byte {
	for _, m := range membersOf(b) {
		if m.name == name {
			return m.value(b)
		}
	}
	return nil
}

// with returns b with a top-level member set.
func with(b []byte, name, value string) []byte {
	for _, m := range membersOf(b) {
		if m.name == name {
			return append(append(append([]byte{}, b[:m.valueStart]...), value...), b[m.end:]...)
		}
	}
	end := bytes.LastIndexByte(b, '}')
	comma := ","
	if len(membersOf(b)) == 0 {
		comma = ""
	}
	return append(append([]byte{}, b[:end]...), comma+strconv.Quote(name)+":"+value+"}"...)
}
