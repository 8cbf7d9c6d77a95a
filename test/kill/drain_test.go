package kill

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process that is asked to go finishes the streams that are open, and takes
// nothing new: on a connection from before it says so in the contract, and new
// connections are refused.
func TestADrainFinishesWhatIsOpenAndRefusesWhatIsNew(t *testing.T) {
	t.Parallel()
	s := newStage(t, "drain: 15s")
	gate := make(chan struct{})
	var jobs []*job
	for range 3 {
		jobs = append(jobs, s.job(chat, true, gate), s.job(messages, true, gate))
	}
	host := strings.TrimPrefix(s.g.URL, "http://")
	waiting := map[string]net.Conn{}
	for _, surface := range []string{chat, messages, simple} {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		waiting[surface] = conn
		if surface != simple { // one is new, the others are kept alive
			s.greet(conn)
		}
	}
	// Connections are taken in in their order: once these are served, those are there.
	for _, j := range jobs {
		s.open(j)
	}
	if err := s.g.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.wait("the drain", func() bool { return s.degraded() == "draining" })
	for surface, conn := range waiting {
		s.refusedIn(conn, s.job(surface, false, nil))
	}
	if conn, err := net.DialTimeout("tcp", host, time.Second); err == nil {
		t.Error("a new connection is accepted")
		_ = conn.Close()
	}
	for _, j := range jobs {
		if f, _ := j.outcome(); f != pending {
			t.Errorf("%v: it ended before its answer did", j)
		}
	}
	close(gate)
	s.ended(acked, jobs...)
	if err := s.exit(); err != nil {
		t.Errorf("the process ended with %v, want 0", err)
	}
	s.account()
	if s.f.acks != len(jobs) {
		t.Errorf("%d of %d answers came to their end", s.f.acks, len(jobs))
	}
	s.verifyFile(s.g.DatabasePath(), "after the drain")
	s.tell()
}

// greet makes a request that leaves the connection open.
func (s *stage) greet(conn net.Conn) {
	s.t.Helper()
	_, err := fmt.Fprintf(conn, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", s.w.rich[0].secret)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Close {
		s.t.Fatalf("GET /v1/models: %d, close %t, %v", resp.StatusCode, resp.Close, err)
	}
}

// refusedIn sends a job on a connection from before the drain.
func (s *stage) refusedIn(conn net.Conn, j *job) {
	t := s.t
	t.Helper()
	body := j.body()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", j.surface, j.key.secret, len(body), body)
	if err != nil {
		t.Errorf("%s: %v", j.surface, err)
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("%s: %v", j.surface, err)
		return
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusServiceUnavailable || after < 1 || resp.Header.Get("X-Request-Id") == "" || !resp.Close {
		t.Errorf("%s while it drains: %d, %v", j.surface, resp.StatusCode, resp.Header)
	}
	want := map[string]string{chat: `"code":"gateway_draining"`, messages: `"type":"error"`, simple: `"error":"gateway_draining"`}[j.surface]
	if !strings.Contains(string(b), want) {
		t.Errorf("%s while it drains: %s has no %s", j.surface, b, want)
	}
}

// What outlives the drain is broken off in the contract and free.
func TestAnAnswerThatOutlivesTheDrainIsBrokenOffAndFree(t *testing.T) {
	t.Parallel()
	s := newStage(t, "drain: 1s")
	never := make(chan struct{})
	streams := []*job{s.job(chat, true, never), s.job(messages, true, never), s.job(chat, true, never)}
	for _, j := range streams {
		s.open(j)
	}
	// It waits for its provider, and nothing of its answer has gone out.
	whole := s.job(chat, false, nil)
	whole.first = time.Hour
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.shift.run(whole)
	}()
	s.wait("the request's arrival at the provider", func() bool {
		whole.mu.Lock()
		defer whole.mu.Unlock()
		return whole.reached
	})
	begun := time.Now()
	if err := s.g.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.exit(); err != nil {
		t.Errorf("the process ended with %v, want 0", err)
	}
	if took := time.Since(begun); took < time.Second || took > 8*time.Second {
		t.Errorf("the process was gone after %v, and was to drain for 1 s", took)
	}
	<-ended
	s.ended(refused, append(streams, whole)...)
	for _, j := range streams {
		want := `data: {"error":`
		if j.surface == messages {
			want = "event: error"
		}
		if !strings.HasPrefix(j.said, want) || j.surface == chat && !strings.Contains(j.said, "gateway_draining") {
			t.Errorf("%v: want an error frame of the contract that says gateway_draining", j)
		}
	}
	if whole.status != http.StatusServiceUnavailable || !strings.Contains(whole.said, "gateway_draining") {
		t.Errorf("%v: want 503 gateway_draining", whole)
	}
	jobs := s.shift.jobs
	s.account()
	s.verifyFile(s.g.DatabasePath(), "after the drain")
	if len(s.w.book.charges) != 0 {
		t.Errorf("%d requests are charged", len(s.w.book.charges))
	}
	s.g.Run(t)
	s.examineLiving()
	for _, j := range jobs {
		r := s.g.Receipt(t, j.request, nil)
		if n, err := nano(r.ChargeUSD); err != nil || n != 0 || r.Outcome != "aborted" || r.Fault != "draining" {
			t.Errorf("%v: its receipt says outcome %q, fault %q, charge %s", j, r.Outcome, r.Fault, r.ChargeUSD)
		}
	}
	s.tell()
}
