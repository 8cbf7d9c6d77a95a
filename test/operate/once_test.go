package operate

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

// Whoever asks with a key until he has an answer has paid for one, and has the
// same again whenever he asks: whole or streamed, or a job, though callers leave
// and the process is killed all the time.
func TestAKeyIsChargedOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: `
providers: {sim: {kind: sim}}
models: {m: {targets: [{provider: sim}], context: 100000, max_output: 5000, price: {request: 0.001}}}
sites: [{hosts: ["*"], contract: llmtune}]
`})
	c := newCustomer(t, g, "100", nil)
	slow := map[string]any{"model": "m", "steps": []map[string]any{{"events": 12, "per_event_ms": 6, "times": -1}}}
	g.MustAdmin(t, "PUT", "/admin/v1/test/sim", slow, nil)
	var alive sync.RWMutex // locked while there is no process
	const workers, each = 12, 60
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for n := range each {
				c.insist(t, &alive, fmt.Sprintf("k-%d-%d", worker, n), n%3)
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	for kills := 0; kills < 12; kills++ {
		select {
		case <-finished:
			kills = 12 // enough
		case <-time.After(150*time.Millisecond + rand.N(250*time.Millisecond)):
			alive.Lock()
			g.Kill()
			g.Run(t)
			g.MustAdmin(t, "PUT", "/admin/v1/test/sim", slow, nil)
			alive.Unlock()
		}
	}
	<-finished
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && usd(t, g.AccountNow(t, c.account).HeldUSD) != 0; {
		time.Sleep(20 * time.Millisecond) // what is left of the jobs
	}
	c.holds(t, 100*money.Dollar-workers*each/3*(1+1+2)*money.Dollar/1000, 0)
	g.Verify(t)
}

// insist asks with a key until it has had the answer three times: 0 is a whole
// answer, 1 a stream, 2 a job of two requests.
func (c customer) insist(t *testing.T, alive *sync.RWMutex, key string, kind int) {
	r := call{path: "/v1/chat/completions", key: c.key, header: map[string]string{"Idempotency-Key": key}, body: chat("m", fmt.Sprintf(`"stream":%v,"user":%q`, kind == 1, key))}
	if kind == 2 {
		r.path, r.body = "/v1/batch/inference", fmt.Sprintf(`{"modelId":"m","requests":[{"prompt":%q},{"prompt":"b"}]}`, key)
	}
	var first []byte
	for had, deadline := 0, time.Now().Add(30*time.Second); had < 3; {
		if time.Now().After(deadline) {
			t.Errorf("%s: had %d answers", key, had)
			return
		}
		alive.RLock()
		base := c.g.URL
		alive.RUnlock()
		body, status := impatient(t.Context(), base, r)
		switch {
		case status == 0 || status == http.StatusServiceUnavailable || kind == 1 && status == 200 && !bytes.HasSuffix(body, []byte("data: [DONE]\n\n")):
			continue
		case status != 200:
			t.Errorf("%s: %d %s", key, status, body)
			return
		case first == nil:
			first = body
		case !bytes.Equal(first, body):
			t.Errorf("%s: %s\nand then %s", key, first, body)
		}
		had++
	}
}

// impatient asks, and leaves after a while, mostly before it has an answer. A
// status of 0 is none.
func impatient(ctx context.Context, base string, c call) (body []byte, status int) {
	patience := rand.N(70*time.Millisecond) + 2*time.Millisecond
	if rand.N(4) == 0 {
		patience = 2 * time.Second
	}
	ctx, leave := context.WithTimeout(ctx, patience)
	defer leave()
	r, err := try(ctx, &harness.Gateway{URL: base}, c)
	if err != nil || r.broke != nil {
		return nil, 0
	}
	return r.body, r.status
}
