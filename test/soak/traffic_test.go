package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/test/harness"
)

// askers is how many callers there are at a time.
const askers = 24

// jobHost is where the gateway takes jobs, and prompts.
const jobHost = "jobs.localhost"

// fate is what the client saw of a request.
type fate string

const (
	acked    fate = "acked"    // the final bytes came
	replayed fate = "replayed" // of an answer that there was already
	refused  fate = "refused"  // an error, before the answer or in it
	left     fate = "left"     // the client had gone
	broken   fate = "broken"   // the connection broke, which it must not
)

// seen is what the client remembers of a request.
type seen struct {
	fate fate
	free bool // an answer that is not charged
}

// buyer is a key, on the first site and on that of jobs.
type buyer struct{ open, jobs string }

// traffic is everybody who asks.
type traffic struct {
	g      *harness.Gateway
	client *http.Client
	halt   chan struct{}
	wg     sync.WaitGroup
	next   atomic.Int64

	mu      sync.Mutex // guards all below
	rich    buyer
	tight   buyer
	limited buyer
	seen    map[requestID]seen
	fates   map[fate]int
	status  map[int]int // of refusals
	jobs    map[string]int
	odd     []string
}

func newTraffic(g *harness.Gateway) *traffic {
	return &traffic{
		g: g, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * askers, DisableCompression: true}},
		seen: map[requestID]seen{}, fates: map[fate]int{}, status: map[int]int{}, jobs: map[string]int{},
	}
}

// run lets everybody ask for a while, and returns when the last has ended.
func (s *traffic) run(d time.Duration, others ...func(*rand.Rand)) {
	s.halt = make(chan struct{})
	for i := range askers {
		s.wg.Go(func() { s.ask(rand.New(rand.NewPCG(uint64(i), uint64(s.next.Add(1))))) })
	}
	for i, other := range others {
		s.wg.Go(func() { other(rand.New(rand.NewPCG(uint64(i), 7))) })
	}
	time.Sleep(d)
	close(s.halt)
	s.wg.Wait()
	s.client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
}

// pause waits, and reports false when the traffic is to end.
func (s *traffic) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.halt:
		return false
	}
}

func (s *traffic) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.odd) < 20 {
		s.odd = append(s.odd, fmt.Sprintf(format, args...))
	}
}

// question is one request.
type question struct {
	host, path, body string
	secret           string
	last             string // what a stream ends with; empty: it is no stream
	plan             plan
	key              string        // of idempotency
	leaves           time.Duration // 0: the client stays
	leavesAtEnd      bool          // it goes when it has all the text
}

// ask asks one question after the other.
func (s *traffic) ask(rng *rand.Rand) {
	for s.pause(time.Duration(rng.IntN(8)) * time.Millisecond) {
		if rng.IntN(25) == 0 {
			s.leaveJob(rng)
			continue
		}
		q := s.question(rng)
		if q.key == "" {
			s.do(q)
			continue
		}
		s.insist(q)
	}
}

// faults are what the model that is not to be trusted does.
var faults = []string{hangs, stalls, cuts, cuts, garbles, garbles, empty, "s400", "s408", "s500", "s500", "s502"}

// draw makes up what the upstream does, and with which model.
func draw(rng *rand.Rand) (model string, p plan) {
	p = plan{do: ends, in: 1 + rng.Int64N(20), out: 1 + rng.Int64N(90), pieces: 1 + rng.IntN(6)}
	p.cached = rng.Int64N(p.in + 1)
	switch rng.IntN(10) {
	case 0:
		p.pace = time.Duration(20+rng.IntN(80)) * time.Millisecond // it drips
	case 1, 2:
		p.pace = time.Duration(1+rng.IntN(5)) * time.Millisecond
	}
	switch r := rng.IntN(100); {
	case r < 70:
		return "good", p
	case r < 73:
		p.do = blocks
		return "good", p
	// A target that says one of these is left alone for a while.
	case r < 74:
		p.do = "s429"
		return "limited", p
	case r < 75:
		p.do = []string{"s401", "s403"}[rng.IntN(2)]
		return "locked", p
	case r < 77:
		p.do = []string{"s404", "s503", "s529", ends}[rng.IntN(4)]
		return "shut", p
	}
	if rng.IntN(5) < 2 { // more often than not it is well, or nobody would ask it
		p.do = faults[rng.IntN(len(faults))]
	}
	return "flaky", p
}

// question makes up a question: the dialect, who asks, how he behaves.
func (s *traffic) question(rng *rand.Rand) question {
	model, p := draw(rng)
	q := question{plan: p}
	who := s.whose(rng)
	q.secret = who.open
	stream := rng.IntN(2) == 0
	switch r := rng.IntN(20); {
	case r < 10:
		q.path, q.body = "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"max_tokens":100,"messages":[{"role":"user","content":%q}],"stream":%t}`, model, p.mark(), stream)
		if rng.IntN(3) == 0 { // it may say as much as there is money for
			q.body = strings.Replace(q.body, `"max_tokens":100,`, "", 1)
		}
		if stream {
			q.last = "data: [DONE]\n\n"
		}
	case r < 16:
		if model == "good" && p.do == ends && rng.IntN(2) == 0 {
			model = "claude"
		}
		q.path, q.body = "/v1/messages", fmt.Sprintf(`{"model":%q,"max_tokens":100,"messages":[{"role":"user","content":%q}],"stream":%t}`, model, p.mark(), stream)
		if stream {
			q.last = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
		}
	case r < 18:
		q.path, q.body = "/v1/chat", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, p.mark())
	case r < 19:
		q.host, q.secret = jobHost, who.jobs
		q.path, q.body = "/v1/models/"+model+"/inference", fmt.Sprintf(`{"prompt":%q}`, p.mark())
	default:
		p.do, p.out, p.cached = ends, 0, 0
		q.plan = p
		q.path, q.body = "/v1/embeddings", fmt.Sprintf(`{"model":"vectors","input":%q}`, p.mark())
	}
	switch rng.IntN(12) {
	case 0:
		q.leaves = time.Duration(1 + rng.Int64N(int64(4*time.Millisecond+time.Duration(p.pieces+1)*p.pace)))
	case 1:
		q.leavesAtEnd = q.last != ""
	}
	if rng.IntN(6) == 0 && q.path != "/v1/embeddings" && p.do != blocks { // what is free is not kept
		q.key = fmt.Sprintf("soak-%d", s.next.Add(1))
	}
	return q
}

// whose chooses who asks.
func (s *traffic) whose(rng *rand.Rand) buyer {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := rng.IntN(100); {
	case r < 15:
		return s.tight
	case r < 25:
		return s.limited
	}
	return s.rich
}

// insist asks with a key, twice at once and then again.
func (s *traffic) insist(q question) {
	var both sync.WaitGroup
	bodies := make([][]byte, 3)
	for i := range 2 {
		own := q
		both.Go(func() { bodies[i] = s.do(own) })
		q.leaves, q.leavesAtEnd = 0, false // the second one stays
	}
	both.Wait()
	if bodies[0] == nil && bodies[1] == nil {
		return
	}
	// A limit of throughput may be in the way, or a failure that was injected.
	for tries := 0; bodies[2] == nil && tries < 100; tries++ {
		bodies[2] = s.do(q)
		time.Sleep(time.Duration(tries) * time.Millisecond)
	}
	if bodies[2] == nil {
		s.note("key %s: there was an answer, and then there was none", q.key)
	}
	for _, b := range bodies[:2] {
		if b != nil && !bytes.Equal(b, bodies[2]) {
			s.note("key %s: %s\nand then %s", q.key, b, bodies[2])
		}
	}
}

// do sends a request and remembers what became of it. It returns the answer if
// its final bytes came.
func (s *traffic) do(q question) []byte {
	ctx, leave := context.WithTimeout(context.Background(), time.Minute)
	defer leave()
	if q.leaves > 0 {
		t := time.AfterFunc(q.leaves, leave)
		defer t.Stop()
	}
	resp, err := s.client.Do(q.request(ctx, s.g.URL))
	if err != nil {
		s.lost(ctx, requestID{}, q, err)
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	id, err := obs.ParseRequestID(resp.Header.Get("X-Request-Id"))
	if err != nil {
		s.note("%s %s: %v", q.path, q.plan.do, err)
	}
	body, err := q.read(resp.Body, leave)
	switch {
	case err != nil:
		s.lost(ctx, requestID(id), q, err)
		return nil
	case resp.StatusCode != http.StatusOK:
		s.remember(requestID(id), seen{fate: refused}, resp.StatusCode)
		return nil
	case !bytes.HasSuffix(body, []byte(q.last)):
		if !bytes.Contains(body, []byte(`"error"`)) {
			s.note("%s %s: a stream without an end or an error: %s", q.path, q.plan.do, body)
		}
		s.remember(requestID(id), seen{fate: refused}, http.StatusOK)
		return nil
	case resp.Header.Get("Idempotency-Replayed") == "true":
		s.remember(requestID(id), seen{fate: replayed}, 0)
	default:
		s.remember(requestID(id), seen{acked, q.plan.do == blocks}, 0)
	}
	return body
}

func (q *question) request(ctx context.Context, base string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+q.path, strings.NewReader(q.body))
	if err != nil {
		panic(err) // the URL is the harness's own
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+q.secret)
	if q.host != "" {
		req.Host = q.host
	}
	if q.key != "" {
		req.Header.Set("Idempotency-Key", q.key)
	}
	return req
}

// read reads an answer, or as much of it as its reader wants.
func (q *question) read(r io.Reader, leave func()) ([]byte, error) {
	var body []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		body = append(body, buf[:n]...)
		if q.leavesAtEnd && bytes.Contains(body, []byte(theEnd)) {
			leave()
			return nil, context.Canceled
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s *traffic) lost(ctx context.Context, id requestID, q question, err error) {
	if ctx.Err() == context.Canceled {
		s.remember(id, seen{fate: left}, 0)
		return
	}
	s.note("%s %s: the connection broke: %v", q.path, q.plan.do, err)
	s.remember(id, seen{fate: broken}, 0)
}

func (s *traffic) remember(id requestID, what seen, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fates[what.fate]++
	if what.fate == refused {
		s.status[status]++
	}
	if id != (requestID{}) {
		s.seen[id] = what
	}
}

// leaveJob leaves a job of three requests, and asks for it until it has ended,
// or cancels it.
func (s *traffic) leaveJob(rng *rand.Rand) {
	var prompts []string
	model := "good"
	for range 3 {
		m, p := draw(rng)
		if m != "good" && m != "flaky" {
			p.do = ends
		}
		if m == "flaky" {
			model = m
		}
		p.job = true
		prompts = append(prompts, fmt.Sprintf(`{"prompt":%q}`, p.mark()))
	}
	body := fmt.Sprintf(`{"modelId":%q,"requests":[%s]}`, model, strings.Join(prompts, ","))
	status, b := s.desk(http.MethodPost, "/v1/batch/inference", body)
	var job struct {
		ID     string `json:"batchId"`
		Status string `json:"status"`
	}
	if status != http.StatusOK || json.Unmarshal(b, &job) != nil || job.ID == "" {
		if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable && status != http.StatusInternalServerError {
			s.note("a job: %d %s", status, b)
		}
		return
	}
	if rng.IntN(4) == 0 {
		time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
		s.desk(http.MethodDelete, "/v1/jobs/"+job.ID, "")
	}
	for deadline := time.Now().Add(2 * time.Minute); job.Status == "queued" || job.Status == "running"; time.Sleep(30 * time.Millisecond) {
		if status, b = s.desk(http.MethodGet, "/v1/jobs/"+job.ID, ""); status == http.StatusOK {
			_ = json.Unmarshal(b, &job)
		}
		if time.Now().After(deadline) {
			s.note("job %s has not ended: %s", job.ID, b)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[job.Status]++
}

// desk asks for something about jobs.
func (s *traffic) desk(method, path, body string) (int, []byte) {
	req, err := http.NewRequest(method, s.g.URL+path, strings.NewReader(body))
	if err != nil {
		panic(err) // the URL is the harness's own
	}
	s.mu.Lock()
	req.Header.Set("Authorization", "Bearer "+s.rich.jobs)
	s.mu.Unlock()
	req.Host = jobHost
	resp, err := s.client.Do(req)
	if err != nil {
		s.note("%s %s: %v", method, path, err)
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, b
}
