package kill

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/test/harness"
)

// inFlight is how many requests are in flight at a time.
const inFlight = 64

// credit is money that the test gave, or tried to give.
type credit struct {
	account   *payer
	kind      string // topup or grant
	amount    int64
	reference string // empty: none
	entry     int64  // in the journal; 0: not acknowledged
}

// giving is a refund that was acknowledged.
type giving struct {
	request string
	amount  int64
	entry   int64
}

// shift is the load on one life of the process, and what became of it.
type shift struct {
	w      *world
	g      *harness.Gateway
	tight  int // percent of the jobs that go to the account with little money
	client *http.Client

	begun time.Time

	halt chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	jobs    []*job
	credits []*credit
	refunds []giving
	unpaid  []string               // requests whose refund was asked for, and its answer did not come
	repaid  map[requestID]struct{} // of which nothing is left to refund
	odd     []string               // what must not be answered

	limited atomic.Int64 // jobs with the keys that have limits
	acked   atomic.Int64 // jobs whose final bytes came
}

// begin starts the load.
func (w *world) begin(g *harness.Gateway, tight int) *shift {
	s := &shift{w: w, g: g, tight: tight, halt: make(chan struct{}), credits: w.unsure, begun: time.Now(), repaid: map[requestID]struct{}{}}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight, DisableCompression: true}}
	for range inFlight {
		rng := rand.New(rand.NewPCG(w.rng.Uint64(), 1))
		s.wg.Go(func() { s.work(rng) })
	}
	rng := rand.New(rand.NewPCG(w.rng.Uint64(), 2))
	s.wg.Go(func() { s.topUp(rng) })
	rng2 := rand.New(rand.NewPCG(w.rng.Uint64(), 3))
	unsure := w.unpaid
	w.unpaid = nil
	s.wg.Go(func() { s.giveBack(rng2, unsure) })
	return s
}

// end stops the load and waits until every request has ended.
func (s *shift) end() {
	s.ease()
	s.client.CloseIdleConnections()
}

// ease stops the load in front of a process that lives on.
func (s *shift) ease() {
	select {
	case <-s.halt:
	default:
		close(s.halt)
	}
	s.wg.Wait()
}

func (s *shift) over() bool {
	select {
	case <-s.halt:
		return true
	default:
		return false
	}
}

// pause waits, and reports false at the end of the shift.
func (s *shift) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.halt:
		return false
	}
}

// work does one job after the other. Once the process has gone there is nobody
// to talk to, and it stops.
func (s *shift) work(rng *rand.Rand) {
	for !s.over() {
		j := s.run(s.next(rng))
		switch f, _ := j.outcome(); f {
		case broken:
			if !s.pause(20 * time.Millisecond) {
				return
			}
		case refused:
			if !s.pause(time.Duration(rng.IntN(5)) * time.Millisecond) {
				return
			}
		}
	}
}

// next makes up a job. In bulk they are small, quick, and end well.
func (s *shift) next(rng *rand.Rand) *job {
	n, k := s.w.next.Add(1), s.pick(rng)
	if rng.IntN(100) >= s.w.bulk {
		return draw(rng, n, k)
	}
	j := &job{n: n, key: k, surface: chat, model: "gpt", ending: answers, stream: rng.IntN(2) == 0, started: make(chan struct{})}
	if rng.IntN(4) == 0 {
		j.surface, j.model = messages, "claude"
	}
	j.prompt, j.maxTokens, j.chunks, j.size = 200, 50, 1, 16
	j.used = usage{input: 1 + rng.Int64N(12), output: 1 + rng.Int64N(50)}
	return j
}

// run does one job.
func (s *shift) run(j *job) *job {
	s.mu.Lock()
	s.jobs = append(s.jobs, j)
	s.mu.Unlock()
	s.w.up.jobs.Store(j.n, j)
	j.do(s.client, s.g.URL)
	if f, _ := j.outcome(); f == acked {
		s.acked.Add(1)
	}
	return j
}

// pick chooses whose job the next one is.
func (s *shift) pick(rng *rand.Rand) *key {
	w := s.w
	if rng.IntN(100) < s.tight {
		return w.tight
	}
	// Keys with limits of the day are soon exhausted; some more try.
	if rng.IntN(100) < 30 && s.limited.Add(1) < 120 {
		if rng.IntN(2) == 0 {
			return w.counted
		}
		return w.capped
	}
	return w.rich[rng.IntN(len(w.rich))]
}

// topUp gives money, mostly to the account that has little, some of it twice
// under the same reference, some of it as grants that expire at once.
func (s *shift) topUp(rng *rand.Rand) {
	for _, c := range s.credits { // of the life before, which did not say
		if !s.give(c) {
			return
		}
	}
	for s.pause(time.Duration(10+rng.IntN(40)) * time.Millisecond) {
		n := s.w.next.Add(1)
		// Every amount is another one, so that an entry tells whose it is.
		c := &credit{account: s.w.tight.account, kind: "topup", amount: 1_000_000 + n, reference: fmt.Sprintf("ref-%d", n)}
		switch rng.IntN(8) {
		case 0:
			c.kind, c.account = "grant", s.w.rich[0].account
		case 1:
			c.account = s.w.rich[1].account
		}
		s.mu.Lock()
		s.credits = append(s.credits, c)
		s.mu.Unlock()
		if !s.give(c) {
			return
		}
		if rng.IntN(4) == 0 && !s.again(c) {
			return
		}
	}
}

// entryAnswer is how the admin API answers a credit or a refund.
type entryAnswer struct {
	Entry     int64  `json:"entry"`
	AmountUSD string `json:"amount_usd"`
}

// give asks for the credit. It reports false when the process has gone.
func (s *shift) give(c *credit) bool {
	in := map[string]any{"amount_usd": usd(c.amount), "kind": c.kind, "reference": c.reference}
	if c.kind == "grant" {
		in["expires_at"] = time.Now().Add(s.w.ahead + 400*time.Millisecond).UTC().Format(time.RFC3339Nano)
	}
	var e entryAnswer
	status, b, err := s.g.Admin(context.Background(), http.MethodPost, "/admin/v1/accounts/"+c.account.id+"/credits", in, &e)
	switch {
	case err != nil:
		return false
	case status == http.StatusServiceUnavailable, status == http.StatusBadRequest && c.kind == "grant": // came too late to expire in the future
		return true
	case status != http.StatusCreated:
		s.note("credit %s of %s: %d %s", c.reference, usd(c.amount), status, b)
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry = e.Entry
	return true
}

// again asks for the same credit again, which must be the same entry.
func (s *shift) again(c *credit) bool {
	before := c.entry
	if before == 0 {
		return true
	}
	if !s.give(c) {
		return false
	}
	if c.entry != before {
		s.note("credit %s is entry %d, and then entry %d", c.reference, before, c.entry)
	}
	return true
}

func (s *shift) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odd = append(s.odd, fmt.Sprintf(format, args...))
}

// giveBack refunds some charges: whole, in parts, by two at once, and once more
// than there is.
func (s *shift) giveBack(rng *rand.Rand, unsure []string) {
	for _, id := range unsure { // of the life before, which did not say
		s.refund(id, 0)
	}
	for s.pause(time.Duration(20+rng.IntN(60)) * time.Millisecond) {
		s.mu.Lock()
		var j *job
		if len(s.jobs) > 0 {
			j = s.jobs[rng.IntN(len(s.jobs))]
		}
		s.mu.Unlock()
		if j == nil {
			continue
		}
		f, id := j.outcome()
		if f != acked || j.wasCut() || j.ending == blocks || j.ending == overruns {
			continue
		}
		part := j.price()*3/5 + 1
		var two sync.WaitGroup
		for range 2 {
			two.Go(func() { s.refund(id, part) })
		}
		two.Wait()
		if rng.IntN(2) == 0 {
			s.refund(id, 0)
		}
	}
}

// refund asks for a refund; 0: of all that is left. Two parts that are more than
// the charge together cannot both be given.
func (s *shift) refund(request string, amount int64) {
	in := map[string]any{"note": "test"}
	if amount > 0 {
		in["amount_usd"] = usd(amount)
	}
	var e entryAnswer
	status, b, err := s.g.Admin(context.Background(), http.MethodPost, "/admin/v1/requests/"+request+"/refund", in, &e)
	id, bad := obs.ParseRequestID(request)
	s.mu.Lock()
	switch all := amount == 0; {
	case bad != nil:
		s.odd = append(s.odd, bad.Error())
	case err != nil || status == http.StatusServiceUnavailable:
		s.unpaid = append(s.unpaid, request)
	case all && (status == http.StatusCreated || status == http.StatusConflict && bytes.Contains(b, []byte("refunded entirely"))):
		s.repaid[requestID(id)] = struct{}{}
	case all:
		s.odd = append(s.odd, fmt.Sprintf("refund of what is left of request %s: %d %s", request, status, b))
	}
	s.mu.Unlock()
	if err != nil || status != http.StatusCreated {
		return
	}
	got, err := nano(e.AmountUSD)
	if err != nil || amount > 0 && got != amount {
		s.note("refund of %s of request %s is answered with %s", usd(amount), request, e.AmountUSD)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refunds = append(s.refunds, giving{request, got, e.Entry})
}
