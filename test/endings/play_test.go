package endings

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// play is what a provider does with a request. Pairs are OpenAI's words and
// Anthropic's.
type play struct {
	status int       // of an error; 0: an answer
	body   [2]string // of an error, or in place of the answer

	thought string // reasoning
	text    string
	refusal string
	tool    bool
	finish  string // stop, length, filter or tools; "": null

	usage [2]string // a JSON value; "": no member
	early [2]string // reported in a stream before its first words
	again [2]string // reported once more after usage, in a stream

	breaks string // in the middle: cut, eof, error
	holds  stage  // where it waits until it is released
}

// stage is how far a provider is with its answer.
type stage int

const (
	never stage = iota
	beforeHead
	afterHead
	afterThought
	afterText
	afterFinish
	beforeVector
)

// family numbers the protocols.
const (
	openai    = 0
	anthropic = 1
)

var families = [2]string{"openai", "anthropic"}

// ofBoth is a value that both families say alike.
func ofBoth(s string) [2]string { return [2]string{s, s} }

// usage is a report of both families.
func usage(in, out any) [2]string {
	return [2]string{fmt.Sprintf(`{"prompt_tokens":%v,"completion_tokens":%v}`, in, out), fmt.Sprintf(`{"input_tokens":%v,"output_tokens":%v}`, in, out)}
}

// cell is one request and what the provider sees of it.
type cell struct {
	play    play
	then    *play         // for all requests but the first; nil: play
	sent    chan struct{} // closed when the provider has come to where it waits
	release chan struct{} // closed by the test
	gone    chan struct{} // closed when the first request has ended

	mu    sync.Mutex
	calls int
	once  sync.Once
}

func (c *cell) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// upstream is a provider of both families. The number of a cell stands in the
// prompt. It speaks Anthropic's protocol under /messages/, and OpenAI's elsewhere.
type upstream struct {
	url   string
	stop  chan struct{}
	mu    sync.Mutex
	cells []*cell
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{stop: make(chan struct{})}
	u.url = harness.Serve(t, u, u.stop).URL
	return u
}

// add makes a cell, and the prompt that leads to it.
func (u *upstream) add(p play) (*cell, string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := &cell{play: p, sent: make(chan struct{}), release: make(chan struct{}), gone: make(chan struct{})}
	u.cells = append(u.cells, c)
	return c, fmt.Sprintf("Hello cell-%d-", len(u.cells)-1)
}

var mark = regexp.MustCompile(`cell-(\d+)-`)

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in struct{ Stream bool }
	m := mark.FindSubmatch(body)
	if m == nil || json.Unmarshal(body, &in) != nil {
		http.Error(w, "no cell", http.StatusTeapot)
		return
	}
	var n int
	_, _ = fmt.Sscan(string(m[1]), &n)
	u.mu.Lock()
	c := u.cells[n]
	u.mu.Unlock()
	c.mu.Lock()
	c.calls++
	now := c.play
	if c.calls > 1 && c.then != nil {
		now = *c.then
	}
	c.mu.Unlock()
	defer c.once.Do(func() { close(c.gone) })
	s := &actor{u: u, c: c, p: now, w: w, r: r}
	if strings.HasPrefix(r.URL.Path, "/messages/") {
		s.family = anthropic
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/count_tokens"):
		s.json(200, `{"input_tokens":9}`)
	case s.p.body[s.family] != "":
		s.json(max(s.p.status, 200), s.p.body[s.family])
	case strings.HasSuffix(r.URL.Path, "/embeddings"):
		s.vector()
	case !in.Stream:
		s.whole()
	default:
		s.stream()
	}
}

// actor is a provider at work on one request.
type actor struct {
	u      *upstream
	c      *cell
	p      play
	w      http.ResponseWriter
	r      *http.Request
	family int
}

func (s *actor) json(status int, body string) {
	s.w.Header().Set("Content-Type", "application/json")
	s.w.WriteHeader(status)
	_, _ = io.WriteString(s.w, body)
}

func (s *actor) send(text string) {
	_, _ = io.WriteString(s.w, text)
	_ = http.NewResponseController(s.w).Flush()
}

// holds waits if this is where the play does. It reports whether to go on.
func (s *actor) holds(at stage) bool {
	if s.p.holds != at {
		return true
	}
	select {
	case <-s.c.sent:
	default:
		close(s.c.sent)
	}
	select {
	case <-s.c.release:
		return true
	case <-s.r.Context().Done():
	case <-s.u.stop:
	}
	return false
}

// member is a JSON member, or nothing for an empty value.
func member(name, value string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf(",%q:%s", name, value)
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// reason is a finish in the family's words, as JSON.
func (s *actor) reason() string {
	if s.p.finish == "" {
		return "null"
	}
	words := map[string][2]string{
		"stop": {"stop", "end_turn"}, "length": {"length", "max_tokens"}, "filter": {"content_filter", "refusal"}, "tools": {"tool_calls", "tool_use"},
	}
	return quoted(words[s.p.finish][s.family])
}

func (s *actor) vector() {
	if !s.holds(beforeVector) {
		return
	}
	if s.p.text == "" {
		s.json(200, `{"object":"list","model":"m","data":[]`+member("usage", s.p.usage[openai])+`}`)
		return
	}
	s.json(200, `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5,1]}]`+member("usage", s.p.usage[openai])+`}`)
}

func (s *actor) whole() {
	if !s.holds(beforeHead) {
		return
	}
	var body string
	if s.family == anthropic {
		var blocks []string
		if s.p.thought != "" {
			blocks = append(blocks, `{"type":"thinking","thinking":`+quoted(s.p.thought)+`,"signature":"s"}`)
		}
		if s.p.text != "" {
			blocks = append(blocks, `{"type":"text","text":`+quoted(s.p.text)+`}`)
		}
		if s.p.tool {
			blocks = append(blocks, `{"type":"tool_use","id":"t1","name":"f","input":{"a":1}}`)
		}
		body = `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` + strings.Join(blocks, ",") + `],"stop_reason":` + s.reason() + `,"stop_sequence":null` + member("usage", s.p.usage[anthropic]) + `}`
	} else {
		message := `"role":"assistant","content":` + quoted(s.p.text)
		if s.p.text == "" {
			message = `"role":"assistant","content":null`
		}
		if s.p.thought != "" {
			message += member("reasoning_content", quoted(s.p.thought))
		}
		if s.p.refusal != "" {
			message += member("refusal", quoted(s.p.refusal))
		}
		if s.p.tool {
			message += `,"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]`
		}
		body = `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{` + message + `},"finish_reason":` + s.reason() + `}]` + member("usage", s.p.usage[openai]) + `}`
	}
	switch {
	case s.p.holds == afterHead:
		s.w.Header().Set("Content-Type", "application/json")
		s.send(" ")
		if s.holds(afterHead) {
			s.send(body)
		}
	case s.p.breaks != "":
		s.w.Header().Set("Content-Type", "application/json")
		s.send(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	default:
		s.json(200, body)
	}
}

// stream plays the scenes of a stream.
func (s *actor) stream() {
	if !s.holds(beforeHead) {
		return
	}
	s.w.Header().Set("Content-Type", "text/event-stream")
	s.send("")
	scenes := chunks(s)
	if s.family == anthropic {
		scenes = events(s)
	}
	for _, scene := range []struct {
		text string
		at   stage
	}{{scenes.begin, afterHead}, {scenes.thought, afterThought}, {scenes.text, afterText}} {
		s.send(scene.text)
		if !s.holds(scene.at) {
			return
		}
	}
	switch s.p.breaks {
	case "cut":
		panic(http.ErrAbortHandler)
	case "eof":
		return
	case "error":
		s.send(scenes.failure)
		return
	}
	s.send(scenes.finish)
	if s.holds(afterFinish) {
		s.send(scenes.end)
	}
}

// scenes are the parts of a stream.
type scenes struct{ begin, thought, text, finish, end, failure string }

func chunks(s *actor) (out scenes) {
	chunk := func(rest string) string {
		return `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",` + rest + "}\n\n"
	}
	delta := func(members string) string {
		return chunk(`"choices":[{"index":0,"delta":{` + members + `},"finish_reason":null}]`)
	}
	report := func(u string) string {
		if u == "" {
			return ""
		}
		return chunk(`"choices":[],"usage":` + u)
	}
	p := s.p
	out.begin = delta(`"role":"assistant","content":""`) + report(p.early[openai])
	if p.thought != "" {
		out.thought = delta(`"reasoning_content":` + quoted(p.thought))
	}
	if p.text != "" {
		out.text = delta(`"content":` + quoted(p.text))
	}
	if p.refusal != "" {
		out.text += delta(`"refusal":` + quoted(p.refusal))
	}
	if p.tool {
		out.text += delta(`"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]`)
	}
	out.finish = chunk(`"choices":[{"index":0,"delta":{},"finish_reason":` + s.reason() + `}]`)
	out.end = report(p.usage[openai]) + report(p.again[openai]) + "data: [DONE]\n\n"
	out.failure = `data: {"error":{"message":"a defect","type":"server_error","param":null,"code":null}}` + "\n\n"
	return out
}

func events(s *actor) (out scenes) {
	event := func(name, members string) string {
		return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + members + "}\n\n"
	}
	block := func(n int, begin, delta string) string {
		at := fmt.Sprintf(`,"index":%d`, n)
		return event("content_block_start", at+`,"content_block":`+begin) + event("content_block_delta", at+`,"delta":`+delta)
	}
	p := s.p
	early := p.early[anthropic]
	if early == "" {
		early = `{"input_tokens":10,"output_tokens":1}`
	}
	out.begin = event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":`+early+`}`)
	if p.thought != "" {
		out.thought = block(0, `{"type":"thinking","thinking":"","signature":""}`, `{"type":"thinking_delta","thinking":`+quoted(p.thought)+`}`) + event("content_block_stop", `,"index":0`)
	}
	if p.text != "" {
		out.text = block(1, `{"type":"text","text":""}`, `{"type":"text_delta","text":`+quoted(p.text)+`}`) + event("content_block_stop", `,"index":1`)
	}
	if p.tool {
		out.text += block(2, `{"type":"tool_use","id":"t1","name":"f","input":{}}`, `{"type":"input_json_delta","partial_json":"{\"a\":1}"}`) + event("content_block_stop", `,"index":2`)
	}
	out.finish = event("message_delta", `,"delta":{"stop_reason":`+s.reason()+`,"stop_sequence":null}`+member("usage", p.usage[anthropic]))
	if p.again[anthropic] != "" {
		out.finish += event("message_delta", `,"delta":{"stop_reason":`+s.reason()+`,"stop_sequence":null}`+member("usage", p.again[anthropic]))
	}
	out.end = event("message_stop", "")
	out.failure = event("error", `,"error":{"type":"api_error","message":"a defect"}`)
	return out
}
