package fidelity

import (
	"hash/fnv"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/pontage/pontage/internal/testkit"
)

// received is a request that reached the upstream.
type received struct {
	path string
	body []byte // as JSON, also of a form
}

// upstream is every provider. The model that a request names is the id of the
// recording that it answers with.
type upstream struct {
	recordings map[string]*testkit.Fixture

	mu  sync.Mutex
	got map[string]received // the last request for each recording
}

// take returns the last request for a recording, and forgets it.
func (u *upstream) take(id string) (received, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r, ok := u.got[id]
	delete(u.got, id)
	return r, ok
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	body = readForm(r.Header.Get("Content-Type"), body)
	f := u.recordings[strings.TrimPrefix(text(in(body, "model")), "models/")]
	for _, part := range strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' || c == ':' }) {
		if f == nil {
			f = u.recordings[part]
		}
	}
	if f == nil {
		http.Error(w, "no recording is named", http.StatusTeapot)
		return
	}
	u.mu.Lock()
	u.got[f.ID] = received{r.URL.Path, body}
	u.mu.Unlock()
	for k, v := range f.Response.Header() {
		w.Header()[k] = v
	}
	answer := f.Response.Body()
	if arrayed(f) && r.URL.Query().Get("alt") == "sse" {
		answer = asEvents(answer)
		w.Header().Set("Content-Type", "text/event-stream")
	}
	if f.Response.Kind == "sse" && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	w.WriteHeader(f.Response.Status)
	for _, piece := range pieces(f.ID, answer) {
		if _, err := w.Write(piece); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// arrayed reports whether a recording is a stream of Gemini's in the form of one
// array, which those get who do not ask for events.
func arrayed(f *testkit.Fixture) bool {
	return f.API == "gemini.streamGenerateContent" && f.Response.Status == 200 && strings.HasPrefix(f.Response.Text, "[")
}

// asEvents writes the elements of an array as events.
func asEvents(array []byte) (out []byte) {
	for _, e := range items(array) {
		out = append(out, "data: "+compact(e)+"\r\n\r\n"...)
	}
	return out
}

// pieces cuts a body into some of uneven size, the same ones each time.
func pieces(id string, body []byte) [][]byte {
	h := fnv.New32a()
	_, _ = io.WriteString(h, id)
	seed := h.Sum32()
	var out [][]byte
	for len(body) > 0 {
		seed = seed*1664525 + 1013904223
		n := min(len(body), 1+int(seed>>16)%(len(body)/2+7))
		out = append(out, body[:n])
		body = body[n:]
	}
	return out
}
