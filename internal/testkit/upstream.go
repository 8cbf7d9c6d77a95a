package testkit

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what has to happen before it fails.
const Patience = 20 * time.Second

// maxReceived bounds the body of a request, in bytes.
const maxReceived = 128 << 20

// Answer is what an [Upstream] does with one request. The zero Answer is an
// empty 200.
type Answer struct {
	Status int // 0: 200
	Header http.Header
	Body   []byte
	Frames []Frame // after Body, each flushed

	HangHeaders bool            // nothing at all comes, until the client goes
	Hang        bool            // nothing comes after Body and Frames, until the client goes
	Cut         bool            // the connection breaks after Body and Frames
	Garbage     []byte          // sent on the wire in place of an HTTP response; then the connection is closed
	Delay       time.Duration   // before the headers
	Gate        <-chan struct{} // the headers wait until it is closed
}

// Frame is a piece of a streamed body.
type Frame struct {
	Data  string          // as it goes out: for SSE with its blank line
	Delay time.Duration   // before it
	Gate  <-chan struct{} // it waits until this is closed
}

// SSE makes frames of payloads, and an answer of them.
func SSE(payloads ...string) Answer {
	a := Answer{Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}}
	for _, p := range payloads {
		a.Frames = append(a.Frames, Frame{Data: "data: " + p + "\n\n"})
	}
	return a
}

// JSON makes an answer of a JSON body.
func JSON(status int, body string) Answer {
	return Answer{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
}

// Received is a request that has come.
type Received struct {
	Method string
	Path   string
	Query  string
	Header http.Header
	Body   []byte
	Host   string

	// Gone is closed when the request's context ends: the client has left, or
	// the answer is complete.
	Gone <-chan struct{}
	// Done is closed when the answer has been given, or given up.
	Done <-chan struct{}
}

// Upstream is an HTTP server that gives its queued answers in their order, one
// a request. A request for which nothing is queued gets a 500 and fails the
// test, unless there is a standing answer.
type Upstream struct {
	URL string

	tb   testing.TB
	srv  *httptest.Server
	stop chan struct{} // closed at the end of the test, so that nothing hangs

	mu       sync.Mutex
	queue    []Answer
	standing *Answer
	received []Received
	arrived  chan struct{} // closed and replaced at each arrival
}

// NewUpstream starts an upstream that ends with the test.
func NewUpstream(tb testing.TB, answers ...Answer) *Upstream {
	tb.Helper()
	u := &Upstream{tb: tb, queue: answers, stop: make(chan struct{}), arrived: make(chan struct{})}
	u.srv = httptest.NewServer(u)
	u.URL = u.srv.URL
	tb.Cleanup(func() {
		close(u.stop)
		u.srv.CloseClientConnections()
		u.srv.Close()
	})
	return u
}

// ServeFixture starts an upstream that gives every request a recording's
// response.
func ServeFixture(tb testing.TB, f *Fixture) *Upstream {
	tb.Helper()
	u := NewUpstream(tb)
	u.Always(FixtureAnswer(f))
	return u
}

// FixtureAnswer is a recording's response, with its body in one piece.
func FixtureAnswer(f *Fixture) Answer {
	return Answer{Status: f.Response.Status, Header: f.Response.Header(), Body: f.Response.Body()}
}

// Queue adds answers.
func (u *Upstream) Queue(answers ...Answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.queue = append(u.queue, answers...)
}

// Always sets the answer for requests for which nothing is queued.
func (u *Upstream) Always(a Answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.standing = &a
}

// Received returns the requests that have come so far.
func (u *Upstream) Received() []Received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Received(nil), u.received...)
}

// Request waits for request number n, from 0.
func (u *Upstream) Request(n int) Received {
	u.tb.Helper()
	deadline := time.After(Patience)
	for {
		u.mu.Lock()
		arrived := u.arrived
		if n < len(u.received) {
			r := u.received[n]
			u.mu.Unlock()
			return r
		}
		u.mu.Unlock()
		select {
		case <-arrived:
		case <-deadline:
			u.tb.Fatalf("request %d did not reach the upstream within %v", n, Patience)
		}
	}
}

// Wait waits until c is closed, or fails the test.
func Wait(tb testing.TB, c <-chan struct{}, what string) {
	tb.Helper()
	select {
	case <-c:
	case <-time.After(Patience):
		tb.Fatalf("%s did not happen within %v", what, Patience)
	}
}

// ServeHTTP gives the next answer.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReceived))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	done := make(chan struct{})
	defer close(done)
	a, queued := u.take(Received{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Host: r.Host,
		Body: body, Gone: r.Context().Done(), Done: done,
	})
	if !queued {
		u.tb.Errorf("upstream: nothing is queued for %s %s", r.Method, r.URL.Path)
		http.Error(w, "nothing is queued", http.StatusInternalServerError)
		return
	}
	if !u.pause(r, a.Delay, a.Gate) {
		return
	}
	if a.HangHeaders {
		u.hang(r)
		return
	}
	if a.Garbage != nil {
		u.garbage(w, a.Garbage)
		return
	}
	u.answer(w, r, a)
}

func (u *Upstream) take(got Received) (Answer, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.received = append(u.received, got)
	close(u.arrived)
	u.arrived = make(chan struct{})
	if len(u.queue) > 0 {
		a := u.queue[0]
		u.queue = u.queue[1:]
		return a, true
	}
	if u.standing != nil {
		return *u.standing, true
	}
	return Answer{}, false
}

func (u *Upstream) answer(w http.ResponseWriter, r *http.Request, a Answer) {
	for name, values := range a.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	whole := len(a.Frames) == 0 && !a.Hang && !a.Cut
	if whole {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	w.WriteHeader(a.Status)
	if _, err := w.Write(a.Body); err != nil || whole {
		return
	}
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return
	}
	for _, f := range a.Frames {
		if !u.pause(r, f.Delay, f.Gate) {
			return
		}
		if _, err := io.WriteString(w, f.Data); err != nil || flush() != nil {
			return
		}
	}
	if a.Hang {
		u.hang(r)
	}
	if a.Cut {
		panic(http.ErrAbortHandler) // the documented way to break a connection
	}
}

// garbage writes bytes that are no HTTP response.
func (u *Upstream) garbage(w http.ResponseWriter, b []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		u.tb.Errorf("upstream: hijack: %v", err)
		return
	}
	defer conn.Close() //nolint:errcheck // broken on purpose
	if _, err := conn.Write(b); err != nil {
		u.tb.Logf("upstream: write garbage: %v", err)
	}
}

// pause waits, and reports false if the client or the test has gone meanwhile.
func (u *Upstream) pause(r *http.Request, d time.Duration, gate <-chan struct{}) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return false
		case <-u.stop:
			return false
		}
	}
	if gate == nil {
		return true
	}
	select {
	case <-gate:
		return true
	case <-r.Context().Done():
	case <-u.stop:
	}
	return false
}

func (u *Upstream) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-u.stop:
	}
}
