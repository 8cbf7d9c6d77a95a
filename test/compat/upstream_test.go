package compat

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// upstream plays the providers of the far gateway.
var upstream = &loopback{seen: map[string]noted{}, expected: map[string]chan struct{}{}, ended: make(chan struct{})}

// loopback is an HTTP server that speaks as OpenAI does under /openai and as
// Anthropic does under /anthropic. What it answers is said by a mark in the
// prompt, see play: it is then read from testdata, or is a recording.
type loopback struct {
	once  sync.Once
	srv   *httptest.Server
	ended chan struct{} // closed: what hangs is let go

	mu       sync.Mutex
	seen     map[string]noted
	expected map[string]chan struct{} // closed when the request of that name has come
}

// noted is a request as the upstream received it.
type noted struct {
	Path   string
	Header http.Header
	Body   []byte
}

// play is the mark in a prompt that makes the upstream answer with the files
// testdata/FAMILY/NAME.json or .sse. Names that begin with "status-" have that
// status; those that begin with "cut" break off where the file ends; "recorded-"
// goes before the id of a recording; and "hang" is no file: nothing ever comes.
func play(name string) string { return "[play:" + name + "]" }

// note is the mark that makes the upstream keep the request under a name.
func note(name string) string { return "[note:" + name + "]" }

var (
	playMark = regexp.MustCompile(`\[play:([A-Za-z0-9_.-]+)\]`)
	noteMark = regexp.MustCompile(`\[note:([A-Za-z0-9_./-]+)\]`)
)

// URL starts the server at the first call.
func (l *loopback) URL() string {
	l.once.Do(func() { l.srv = httptest.NewServer(l) })
	return l.srv.URL
}

// noted returns the request that was kept under a name.
func (l *loopback) noted(t *testing.T, name string) noted {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.seen[name]
	if !ok {
		t.Fatalf("the upstream got no request marked %q", name)
	}
	return n
}

// expect returns a channel that is closed when the request comes that is marked
// with a name.
func (l *loopback) expect(name string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected[name] = make(chan struct{})
	return l.expected[name]
}

// release lets go of all requests that hang. It is called once.
func (l *loopback) release() { close(l.ended) }

func (l *loopback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if m := noteMark.FindSubmatch(body); m != nil {
		l.mu.Lock()
		l.seen[string(m[1])] = noted{r.URL.RequestURI(), r.Header.Clone(), body}
		if c := l.expected[string(m[1])]; c != nil {
			close(c)
			delete(l.expected, string(m[1]))
		}
		l.mu.Unlock()
	}
	m := playMark.FindSubmatch(body)
	if m == nil {
		http.Error(w, "the prompt has no mark", http.StatusNotImplemented)
		return
	}
	if string(m[1]) == "hang" {
		select {
		case <-r.Context().Done():
		case <-l.ended:
		}
		return
	}
	var q struct{ Stream bool }
	_ = json.Unmarshal(body, &q)
	family, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	answer(w, family, string(m[1]), q.Stream)
}

// answer plays one answer.
func answer(w http.ResponseWriter, family, name string, stream bool) {
	status := http.StatusOK
	if rest, ok := strings.CutPrefix(name, "status-"); ok {
		code, _, _ := strings.Cut(rest, "-")
		status, _ = strconv.Atoi(code)
		stream = false
	}
	var b []byte
	if id, ok := strings.CutPrefix(name, "recorded-"); ok {
		b, stream = recordings.body(id)
	} else {
		kind := ".json"
		if stream {
			kind = ".sse"
		}
		var err error
		if b, err = os.ReadFile(filepath.Join("testdata", family, name+kind)); err != nil {
			http.Error(w, err.Error(), http.StatusNotImplemented)
			return
		}
	}
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(b)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for frame := range strings.SplitAfterSeq(string(b), "\n\n") {
		_, _ = io.WriteString(w, frame)
		_ = http.NewResponseController(w).Flush()
	}
	if strings.HasPrefix(name, "cut") {
		panic(http.ErrAbortHandler)
	}
}
