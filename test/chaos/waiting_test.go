package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// array is Google's stream as one JSON array.
var array = surface{"array", "/v1beta/models/", "google"}

// waits is a request whose provider is silent until its caller has heard a sign of
// life.
type waits struct {
	pairing
	headed bool // the provider has sent the head of its answer, and what comes before content
	fails  bool // and fails in the end
}

var beats = map[string]string{
	"chat": ": keep-alive\n\n", "messages": "event: ping\ndata: {\"type\":\"ping\"}\n\n", "responses": ": keep-alive\n\n", "array": "\n",
}

func (x waits) model() string {
	return fmt.Sprintf("waits-%s-%s-%t-%t", x.by.name, x.family, x.headed, x.fails)
}

// hesitant is a provider that waits for the word of each request's caller.
type hesitant struct {
	mu    sync.Mutex
	heard map[string]chan struct{} // by model
	asks  map[string]waits
	open  int
}

func (p *hesitant) busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *hesitant) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
}

func (p *hesitant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, model := take(w, r)
	if x == nil {
		return
	}
	defer func() { _ = x.conn.Close() }()
	p.add(1)
	defer p.add(-1)
	ask := p.asks[model]
	if ask.headed {
		x.events()
	}
	select {
	case <-p.heard[model]:
	case <-x.gone():
		return
	}
	switch {
	case ask.headed && !ask.fails:
		x.send(chunk(x.say("Hello")+x.end), last)
	case ask.headed: // the connection ends
	case ask.fails:
		x.body("500 Oh", "application/json", x.fail)
	default:
		x.good()
	}
}

// TestWhoWaitsIsToldSo has callers of every dialect wait for providers of every
// family, longer than a stream may be silent: they hear a sign of life of their
// dialect, and then the answer, for its price, or an error within the stream, free.
func TestWhoWaitsIsToldSo(t *testing.T) {
	t.Parallel()
	p := &hesitant{heard: map[string]chan struct{}{}, asks: map[string]waits{}}
	for _, by := range append(pairings, pairing{array, "gemini"}, pairing{array, "openai"}) {
		if by.by == generate { // Google's events have no sign of life
			continue
		}
		for _, headed := range []bool{false, true} {
			for _, fails := range []bool{false, true} {
				x := waits{by, headed, fails}
				p.asks[x.model()], p.heard[x.model()] = x, make(chan struct{})
			}
		}
	}
	srv := harness.Serve(t, p, nil)
	w := newWorld(t, "heartbeat: 100ms", waitingConfig(p, srv.URL))
	before, _ := w.goroutines(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	paid := new(big.Int)
	for _, x := range p.asks {
		wg.Go(func() {
			charge, wrong := x.ask(t, w, p.heard[x.model()])
			mu.Lock()
			defer mu.Unlock()
			paid.Add(paid, charge)
			if wrong != "" {
				t.Errorf("%s: %s", x.model(), wrong)
			}
		})
	}
	wg.Wait()
	w.paid(t, paid)
	w.nothingIsLeft(t, p.busy, before)
}

func waitingConfig(p *hesitant, url string) string {
	var b strings.Builder
	b.WriteString("routing: {attempts: 2, backoff: {base: 1ms, max: 1s}, breaker: {failures: 1000}}\nproviders:\n")
	for family, kind := range kinds {
		fmt.Fprintf(&b, "  %s: {kind: %s, base_url: %q, api_key: %q, catalog: none}\n", family, kind, url+"/"+family+"/v1", providerSecret)
	}
	b.WriteString("models:\n")
	for name, x := range p.asks {
		api := ""
		if x.family == "responses" {
			api = ", api: responses"
		}
		fmt.Fprintf(&b, "  %s: {targets: [{provider: %s, model: %s%s}], context: 100000, max_output: 50000, price: %s}\n", name, x.family, name, api, price)
	}
	return b.String()
}

// ask asks, tells the provider when it has heard a sign of life, and returns the
// charge, and what is wrong with the answer.
func (x waits) ask(t *testing.T, w *world, heard chan struct{}) (charge *big.Int, wrong string) {
	none := new(big.Int)
	path, body := x.by.url(x.model(), true), x.by.hello(x.model(), true)
	if x.by == array {
		path, body = array.path+x.model()+":streamGenerateContent", generate.hello("", true)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.gw.URL+path, strings.NewReader(body))
	if err != nil {
		return none, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.key)
	resp, err := w.client.Do(req)
	if err != nil {
		return none, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	beat := beats[x.by.name]
	first := make([]byte, len(beat))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != beat {
		return none, fmt.Sprintf("%d %q, %v, want a sign of life", resp.StatusCode, first, err)
	}
	close(heard)
	rest, err := io.ReadAll(resp.Body)
	charge = nano(resp.Trailer.Get("X-Charge-Usd"))
	if err != nil || charge == nil || resp.StatusCode != http.StatusOK {
		return none, fmt.Sprintf("%d, charge %v, %v: %.300s", resp.StatusCode, charge, err, rest)
	}
	want := new(big.Int)
	if !x.fails {
		want = answerCost
	}
	switch told := x.told(rest); {
	case charge.Cmp(want) != 0:
		return charge, fmt.Sprintf("charged %v, want %v", charge, want)
	case x.by.says(rest, "Hello") == x.fails, told != "":
		return charge, fmt.Sprintf("%s: %.600s", told, rest)
	}
	return charge, ""
}

// told says what is wrong with the end of a stream.
func (x waits) told(rest []byte) string {
	if x.by == array {
		var all []struct{ Error any }
		if err := json.Unmarshal(rest, &all); err != nil || len(all) == 0 || (all[len(all)-1].Error != nil) != x.fails {
			return fmt.Sprintf("no array of answers: %v", err)
		}
		return ""
	}
	_, ok := x.by.read(errorIn(rest))
	if x.by.finished(rest) == x.fails || ok != x.fails {
		return fmt.Sprintf("finished %t, with an error %t", x.by.finished(rest), ok)
	}
	return ""
}

// errorIn is the payload of the event with an error; nil: there is none.
func errorIn(stream []byte) []byte {
	for line := range bytes.Lines(stream) {
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok && bytes.Contains(data, []byte(`"error":{`)) {
			return data
		}
	}
	return nil
}
