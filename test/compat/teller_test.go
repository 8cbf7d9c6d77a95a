package compat

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// teller plays the providers of the models that agents use: each thinks, calls
// a tool, and repeats what the tool said. It speaks as OpenAI does (chat
// completions and responses) under /openai, as Anthropic under /anthropic and as
// Google under /gemini, and refuses as they do what has lost its state: a signed
// thought, sealed reasoning.
type teller struct {
	once sync.Once
	srv  *httptest.Server

	mu    sync.Mutex
	tales map[string]tale
	heard map[string][]hearing
}

// tale is which tool is called when the conversation has the mark of that name.
type tale struct {
	Tool      string
	Arguments string // as JSON
	Freeform  bool   // the tool takes a text, which is Arguments
}

// hearing is a request as the teller received it.
type hearing struct {
	Family  string          `json:"family"`
	Path    string          `json:"path"`
	Header  http.Header     `json:"header"`
	Body    json.RawMessage `json:"body"`
	Tools   []string        `json:"tools"`   // their names
	Results []string        `json:"results"` // of calls
	States  []string        `json:"states"`  // of reasoning, which came back
	Refused string          `json:"refused"` // why
}

var agentsUpstream = &teller{tales: map[string]tale{}, heard: map[string][]hearing{}}

var tellMark = regexp.MustCompile(`\[tell:([A-Za-z0-9_.-]+)\]`)

// telling returns the mark that a prompt must have for the tale of that name.
func telling(name string) string { return "[tell:" + name + "]" }

// URL starts the server at the first call.
func (l *teller) URL() string {
	l.once.Do(func() { l.srv = httptest.NewServer(l) })
	return l.srv.URL
}

// has sets what is told under a name. Without a tale it is the weather tool.
func (l *teller) has(name string, t tale) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tales[name] = t
}

// of returns the requests of a name that had tools, and the number of all.
func (l *teller) of(t *testing.T, name string) (turns []hearing, all int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.heard[name] {
		if len(h.Tools) > 0 {
			turns = append(turns, h)
		}
	}
	return turns, len(l.heard[name])
}

func (l *teller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/heard/"); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		_ = json.NewEncoder(w).Encode(l.heard[name])
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m := tellMark.FindSubmatch(body)
	if m == nil {
		http.Error(w, `{"error":{"message":"the prompt has no mark","type":"invalid_request_error"}}`, http.StatusBadRequest)
		return
	}
	name := string(m[1])
	h := hearing{Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: body}
	speak := l.family(r.URL.Path, &h)
	if speak == nil {
		http.NotFound(w, r)
		return
	}
	var q map[string]any
	if err := json.Unmarshal(body, &q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	speak.read(q, &h)
	l.mu.Lock()
	l.heard[name] = append(l.heard[name], h)
	number := len(l.heard[name])
	story, ok := l.tales[name]
	l.mu.Unlock()
	if !ok {
		story = tale{Tool: "weather", Arguments: `{"city":"Bergen"}`}
	}
	if h.Refused != "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"type":"error","error":{"code":400,"status":"INVALID_ARGUMENT","type":"invalid_request_error","message":%q}}`, h.Refused)
		return
	}
	s := said{id: fmt.Sprintf("%s-%d", name, number), thinks: len(h.Tools) > 0}
	switch {
	case len(h.Tools) == 0:
		s.text = "Talk of tools"
	case len(h.Results) == 0:
		s.call = &story
	default:
		s.text = "The tool said: " + strings.Join(h.Results, ", ")
	}
	stream, _ := q["stream"].(bool)
	if stream || strings.Contains(r.URL.Path, ":streamGenerateContent") {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, frame := range speak.stream(q, s) {
			_, _ = io.WriteString(w, frame)
			_ = http.NewResponseController(w).Flush()
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(speak.whole(q, s))
}

// family finds who is asked by the path.
func (l *teller) family(path string, h *hearing) tongue {
	switch {
	case path == "/openai/v1/chat/completions":
		h.Family = "chat"
		return chatTongue{}
	case path == "/openai/v1/responses":
		h.Family = "responses"
		return responsesTongue{}
	case path == "/anthropic/v1/messages":
		h.Family = "messages"
		return messagesTongue{}
	case strings.HasPrefix(path, "/gemini/v1beta/models/"):
		h.Family = "gemini"
		return geminiTongue{}
	}
	return nil
}

// said is what a model says in one turn: it calls a tool, or says a text.
type said struct {
	id     string
	thinks bool
	call   *tale
	text   string
}

// tongue is how a provider speaks.
type tongue interface {
	// read finds the tools, results and states of a request.
	read(q map[string]any, h *hearing)
	whole(q map[string]any, s said) any
	stream(q map[string]any, s said) []string
}

// What each turn uses, of all models alike, and what it costs at the prices of
// the gateway's models: 60 tokens of input at 1 dollar a million, 40 at 10
// cents, and 20 of output at 2 dollars.
const (
	toldInput, toldCached     = 100, 40
	toldOutput, toldReasoning = 20, 8
	toldNanos                 = 60*1000 + 40*100 + 20*2000
)

// thought is what a model thinks, and signed what a provider's state begins with.
const (
	thought = "I need the tool."
	signed  = "state-of-"
)

// wrongState is why a request is refused whose state is not as it was given out.
func wrongState(state string) string {
	if strings.HasPrefix(state, signed) {
		return ""
	}
	return "Invalid `signature` in `thinking` block: " + state
}

// list returns a member that is a list of objects.
func list(m map[string]any, name string) (out []map[string]any) {
	all, _ := m[name].([]any)
	for _, v := range all {
		if o, ok := v.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

// text returns a member that is a text, or the texts of its parts.
func text(m map[string]any, name string) string {
	if s, ok := m[name].(string); ok {
		return s
	}
	s := ""
	for _, part := range list(m, name) {
		if t, ok := part["text"].(string); ok {
			s += t
		}
	}
	return s
}

// frame is an event of a stream; without a name it has no event line.
func frame(event string, data any) string {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	if event != "" {
		event = "event: " + event + "\n"
	}
	return event + "data: " + string(b) + "\n\n"
}

// halves cuts a text in two, at a character.
func halves(s string) [2]string {
	r := []rune(s)
	return [2]string{string(r[:len(r)/2]), string(r[len(r)/2:])}
}
