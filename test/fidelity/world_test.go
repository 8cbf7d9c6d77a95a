package fidelity

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// rates are the prices of every model here, in nano-dollars: per one million
// tokens, and for each request. They are odd so that roundings show.
var rates = struct{ input, output, cached, write, write1h, request int64 }{
	input: 1_370_000_003, output: 7_910_000_007, cached: 173_000_001, write: 2_300_000_011, write1h: 3_100_000_013, request: 1_007,
}

// world is a gateway before the upstream of all recordings, and an account.
type world struct {
	gw      *harness.Gateway
	up      *upstream
	client  *http.Client
	account string
	key     string
	start   *big.Int
	schemas *schemas

	mu    sync.Mutex
	spent *big.Int
}

// modelFor is what callers of a dialect call the model of a recording: never as
// its provider does.
func modelFor(f *testkit.Fixture, d *dialect) string {
	if own := speaks(apis[f.API].dialect); apis[f.API].provider(f, d).name != apis[f.API].provider(f, own).name {
		return "for-" + d.name + "-" + f.ID
	}
	return "as-" + f.ID
}

func newWorld(t *testing.T, recordings []*testkit.Fixture) *world {
	t.Helper()
	w := &world{
		up:      &upstream{recordings: map[string]*testkit.Fixture{}, got: map[string]received{}},
		client:  &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
		schemas: newSchemas(t),
		spent:   new(big.Int),
	}
	for _, f := range recordings {
		w.up.recordings[f.ID] = f
	}
	srv := httptest.NewServer(w.up)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	w.gw = harness.Start(t, harness.Options{Config: configuration(recordings, srv.URL)})
	a := w.gw.NewAccount(t, "fidelity", "1000000")
	w.account, w.start = a.ID, nano(t, a.BalanceUSD)
	w.key = w.gw.NewKey(t, a.ID, nil).Key
	return w
}

// configuration writes one provider for each vendor and kind of recordings, and
// one model for each recording.
func configuration(recordings []*testkit.Fixture, url string) string {
	var providers, models strings.Builder
	providers.WriteString("routing: {attempts: 1}\nproviders:\n")
	models.WriteString("models:\n")
	price := fmt.Sprintf("&p {input: %s, output: %s, cached_input: %s, cache_write: %s, cache_write_1h: %s, request: %s}",
		usd(rates.input), usd(rates.output), usd(rates.cached), usd(rates.write), usd(rates.write1h), usd(rates.request))
	input := "&i [text, image, audio, file, video]"
	seen := map[string]bool{}
	for _, f := range recordings {
		api := apis[f.API]
		recorded := speaks(api.dialect).answer(f.Provider, f.Response.Body(), f.Response.Kind == "sse")
		apart := f.Response.Status != 200 || recorded.failed != ""
		kind := api.kind
		if kind == "" {
			kind = "chat"
		}
		for i := range dialects {
			d := &dialects[i]
			p := api.provider(f, d)
			if apart { // a credential that is refused is left alone, whatever the model
				p.name += "-" + f.ID
			}
			cost := price
			if api.price != "" {
				cost = fmt.Sprintf("{%s, request: %s}", api.price, usd(rates.request))
			}
			if model := modelFor(f, d); d.asks(f) && !seen[model] {
				seen[model] = true
				fmt.Fprintf(&models, "  %q: {targets: [{provider: %s, model: %q%s}], kind: %s, context: 50000000, price: %s, input: %s}\n", model, p.name, f.ID, p.target, kind, cost, input)
				input = "*i"
				if api.price == "" {
					price = "*p"
				}
			}
			if d.asks(f) && !seen[p.name] {
				seen[p.name] = true
				fmt.Fprintf(&providers, "  %s: {%s, base_url: %q, api_key: %q, catalog: none}\n", p.name, p.config, url+"/"+p.name+p.path, "credential-of-"+p.name)
			}
		}
	}
	return providers.String() + models.String()
}

// asks reports whether a recording is played in the dialect.
func (d *dialect) asks(f *testkit.Fixture) bool {
	own := speaks(apis[f.API].dialect)
	return d == own || own != nil && d.family == own.family && d.write != nil && (d.fits == nil || d.fits(f))
}

// usd writes nano-dollars as decimal dollars.
func usd(nano int64) string { return fmt.Sprintf("%d.%09d", nano/1e9, nano%1e9) }

// nano reads decimal dollars.
func nano(t testing.TB, s string) *big.Int {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.Mul(r, big.NewRat(1e9, 1)).IsInt() {
		t.Fatalf("%q is not an amount", s)
	}
	return r.Num()
}

// reply is an answer of the gateway as a caller sees it.
type reply struct {
	id      string
	status  int
	sse     bool
	dropped []string
	left    []string // of the answer: X-Dropped-Output, a header or a trailer
	charge  string   // X-Charge-USD, a header or a trailer
	body    []byte
}

// post sends a request in a dialect, and reads the whole answer. While a slow disk
// keeps charges from being recorded the gateway refuses everything, so it is asked
// again until that is over.
func (w *world) post(t *testing.T, d *dialect, path, media string, body []byte) (r reply, err error) {
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(50 * time.Millisecond) {
		r, err = w.send(t, d, path, media, body)
		if r.status != http.StatusServiceUnavailable || !bytes.Contains(r.body, []byte("annot be recorded")) || time.Now().After(deadline) {
			return r, err
		}
	}
}

// send is one try of post.
func (w *world) send(t *testing.T, d *dialect, path, media string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.gw.URL+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", media)
	d.header(req.Header, w.key)
	resp, err := w.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, id: resp.Header.Get("X-Request-Id")}
	r.sse = strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	r.dropped = headerList(resp.Header.Get("X-Dropped-Params"))
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return r, err
	}
	r.left = headerList(cmp.Or(resp.Trailer.Get("X-Dropped-Output"), resp.Header.Get("X-Dropped-Output")))
	slices.Sort(r.left)
	if r.charge = resp.Header.Get("X-Charge-Usd"); r.charge == "" {
		r.charge = resp.Trailer.Get("X-Charge-Usd")
	}
	return r, nil
}

// headerList reads a list in a header.
func headerList(header string) (out []string) {
	for s := range strings.SplitSeq(header, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// paid notes what a receipt says.
func (w *world) paid(charge *big.Int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.Add(w.spent, charge)
}

// settle checks that the account paid exactly what the receipts say, and that
// the ledger agrees.
func (w *world) settle(t *testing.T) {
	t.Helper()
	w.gw.Settled(t)
	a := w.gw.AccountNow(t, w.account)
	if paid := new(big.Int).Sub(w.start, nano(t, a.BalanceUSD)); paid.Cmp(w.spent) != 0 {
		t.Errorf("the account paid %v nano-dollars, its receipts say %v", paid, w.spent)
	}
}
