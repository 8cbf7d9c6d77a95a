package endings

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// The price of every model here, in nano-dollars per token.
const (
	inRate     = 1000
	cachedRate = 100
	outRate    = 2000
)

// limit is the max_tokens of every request.
const limit = 1000

// dialect is a way to ask a model something.
type dialect struct {
	name, host, path string
}

var (
	chat       = dialect{"chat", "", "/v1/chat/completions"}
	messages   = dialect{"messages", "", "/v1/messages"}
	google     = dialect{"google", "", "/v1beta/models/%s:generateContent"}
	simple     = dialect{"simple", "", "/v1/chat"}
	prompt     = dialect{"prompt", llmtuneHost, "/v1/models/%s/inference"} // never streamed
	respond    = dialect{"responses", "", "/v1/responses"}
	embeddings = dialect{"embeddings", "", "/v1/embeddings"}
	count      = dialect{"count", "", "/v1/messages/count_tokens"}
)

const (
	llmtuneHost = "llmtune.localhost"
	nanogptHost = "nanogpt.localhost"
	switchHost  = "switch.localhost"
)

// body is a request with that text.
func (d dialect) body(model, text string, stream bool) string {
	switch d.name {
	case "google":
		return fmt.Sprintf(`{"contents":[{"parts":[{"text":%q}]}],"generationConfig":{"maxOutputTokens":%d}}`, text, limit)
	case "prompt":
		return fmt.Sprintf(`{"prompt":%q,"maxTokens":%d}`, text, limit)
	case "embeddings":
		return fmt.Sprintf(`{"model":%q,"input":%q}`, model, text)
	case "count":
		return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, text)
	}
	more := ""
	if stream {
		more = `,"stream":true`
	}
	if d.name == "responses" {
		return fmt.Sprintf(`{"model":%q,"max_output_tokens":%d,"input":%q%s}`, model, limit, text, more)
	}
	return fmt.Sprintf(`{"model":%q,"max_tokens":%d,"messages":[{"role":"user","content":%q}]%s}`, model, limit, text, more)
}

// at is where a model is asked.
func (d dialect) at(model string, stream bool) string {
	switch {
	case d.name == "google" && stream:
		return fmt.Sprintf("/v1beta/models/%s:streamGenerateContent?alt=sse", model)
	case strings.Contains(d.path, "%s"):
		return fmt.Sprintf(d.path, model)
	}
	return d.path
}

// world is a gateway in front of the scripted provider.
type world struct {
	gw *harness.Gateway
	up *upstream

	mu                sync.Mutex
	cells             int
	charged, absorbed *big.Int // by all cells
}

const server = "drain: 2s"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{up: newUpstream(t), charged: new(big.Int), absorbed: new(big.Int)}
	w.gw = harness.Start(t, harness.Options{Server: server, Config: w.up.config()})
	return w
}

// config is the configuration of a gateway in front of the upstream. The models
// openai and anthropic are served by these families, either by both in turn;
// hurried-… gives up soon.
func (u *upstream) config() string {
	var b strings.Builder
	b.WriteString("routing: {attempts: 2, retry_budget: 1000, backoff: {base: 1ms, max: 2ms}, breaker: {failures: 1000, requests: 1000000, open: 1s, max_open: 1s}}\nproviders:\n")
	var models strings.Builder
	for f, path := range [2]string{"/openai/v1", "/messages"} {
		kind := [2]string{"openai, quirks: generic", "anthropic"}[f] // generic: it is never asked for responses
		for name, timers := range map[string]string{families[f]: "", "hurried-" + families[f]: ", timeouts: {headers: 300ms, first_event: 300ms}"} {
			fmt.Fprintf(&b, "  %s: {kind: %s, base_url: %q, api_key: sk-upstream, catalog: none%s}\n", name, kind, u.url+path, timers)
			fmt.Fprintf(&models, "  %s: {targets: [{provider: %s, model: m}], context: 8000, max_output: 4000, price: {input: 1, cached_input: 0.1, output: 2}}\n", name, name)
		}
	}
	b.WriteString("models:\n" + models.String())
	b.WriteString("  either: {targets: [{provider: openai, model: m}, {provider: anthropic, model: m}], context: 8000, max_output: 4000, price: {input: 1, cached_input: 0.1, output: 2}}\n")
	b.WriteString("  embed: {targets: [{provider: openai, model: m}], kind: embedding, context: 8000, price: {input: 1}}\n")
	fmt.Fprintf(&b, "sites:\n  - {hosts: [\"*\"], contract: openai}\n  - {hosts: [%q], contract: llmtune}\n  - {hosts: [%q], contract: nanogpt}\n  - {hosts: [%q], contract: modelswitch}\n", llmtuneHost, nanogptHost, switchHost)
	return b.String()
}

// payer is an account with one key that counts its requests.
type payer struct {
	w            *world
	account, key string
	keyID        string
	funds        *big.Int
	host         string
}

// payer makes an account for requests in a dialect.
func (w *world) payer(t testing.TB, d dialect, usd string, more map[string]any) payer {
	t.Helper()
	in := map[string]any{"limits": map[string]any{"requests_per_day": 1000, "usd_per_day": "100", "requests": 1000, "per": "24h"}}
	if d.host != "" {
		in["site"] = d.host
	}
	for k, v := range more {
		in[k] = v
	}
	a := w.gw.NewAccount(t, "payer", usd)
	k := w.gw.NewKey(t, a.ID, in)
	return payer{w: w, account: a.ID, key: k.Key, keyID: k.ID, funds: nano(t, usd), host: d.host}
}

// spent is what the account has paid, and how many requests of its key's day are
// used. What of the day's dollars is used must agree.
func (p payer) spent(t testing.TB) (paid *big.Int, requests int64) {
	t.Helper()
	paid = p.paid(t)
	count, _ := p.counter(t, "requests_per_day").(float64)
	if usd, _ := p.counter(t, "usd_per_day").(string); nano(t, usd).Cmp(paid) != 0 {
		t.Errorf("%v was paid, and of the key's day %s is used", paid, usd)
	}
	return paid, int64(count)
}

// paid is what the account has paid. Nothing may be held.
func (p payer) paid(t testing.TB) *big.Int {
	t.Helper()
	a := p.w.gw.AccountNow(t, p.account)
	if nano(t, a.HeldUSD).Sign() != 0 {
		t.Errorf("%s is still held", a.HeldUSD)
	}
	return new(big.Int).Sub(p.funds, nano(t, a.BalanceUSD))
}

// counter is what is used of one of the key's limits.
func (p payer) counter(t testing.TB, name string) any {
	t.Helper()
	var page struct {
		Data []struct {
			Counter string
			Key     *string
			Used    any
		}
	}
	p.w.gw.MustAdmin(t, "GET", "/admin/v1/accounts/"+p.account+"/limits", nil, &page)
	for _, c := range page.Data {
		if c.Counter == name && c.Key != nil && *c.Key == p.keyID {
			return c.Used
		}
	}
	t.Fatalf("the key has no counter %s", name)
	return nil
}

// reply is an answer as a caller sees it.
type reply struct {
	id              string
	status          int
	header, trailer http.Header
	body            []byte
	err             error // of reading the body
}

// charged is X-Charge-USD, of the header or the trailer; "" if there is none.
func (r reply) charged() string {
	if s := r.header.Get("X-Charge-Usd"); s != "" {
		return s
	}
	return r.trailer.Get("X-Charge-Usd")
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

// open sends a request and leaves the answer to be read.
func (p payer) open(ctx context.Context, path, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.w.gw.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Host = p.host
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + p.key}}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return client.Do(req)
}

// ask sends a request and reads the answer to its end.
func (p payer) ask(t testing.TB, path, body string, header ...string) reply {
	t.Helper()
	resp, err := p.open(context.Background(), path, body, header...)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return reply{}
	}
	return take(resp)
}

func take(resp *http.Response) reply {
	defer func() { _ = resp.Body.Close() }()
	r := reply{id: resp.Header.Get("X-Request-Id"), status: resp.StatusCode, header: resp.Header}
	r.body, r.err = io.ReadAll(resp.Body)
	r.trailer = resp.Trailer
	return r
}

// receipt is what the admin API tells of a request.
type receipt struct {
	ID, Outcome, Fault, Delivery string
	Status                       int
	Estimated                    bool
	ChargeUSD                    string `json:"charge_usd"`
	AbsorbedUSD                  string `json:"absorbed_usd"`
	HoldUSD                      string `json:"hold_usd"`
	Tokens                       struct {
		Input       int64
		CachedInput int64 `json:"cached_input"`
		Output      int64
		Reasoning   int64
	}
	Lines []struct {
		Kind      string
		Units     int64
		AmountUSD string `json:"amount_usd"`
	}
	Attempts []struct{ Outcome string }
}

// receipt waits for the receipt of a request that says what it will.
func (w *world) receipt(t testing.TB, id string) receipt {
	t.Helper()
	w.gw.Receipt(t, id, func(r harness.Receipt) bool { return r.Delivery != "unknown" })
	var r receipt
	w.gw.MustAdmin(t, "GET", "/admin/v1/requests/"+id, nil, &r)
	return r
}

// only waits for the one receipt of an account.
func (p payer) only(t testing.TB) receipt {
	t.Helper()
	var page struct{ Data []receipt }
	eventually(t, "the receipt", func() bool {
		p.w.gw.MustAdmin(t, "GET", "/admin/v1/requests?account="+p.account, nil, &page)
		return len(page.Data) == 1 && page.Data[0].Delivery != "unknown"
	})
	if len(page.Data) != 1 {
		return receipt{}
	}
	return p.w.receipt(t, page.Data[0].ID)
}

// eventually waits until done reports true, and fails the test if that takes
// more than twenty seconds.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s did not come about", what)
			return
		}
	}
}

// wait waits for a channel to be closed.
func wait(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Errorf("%s did not come about", what)
	}
}

// nano reads decimal dollars as nano-dollars.
func nano(t testing.TB, s string) *big.Int {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is not an amount", s)
	}
	if r.Mul(r, big.NewRat(1e9, 1)); !r.IsInt() {
		t.Fatalf("%q has more than nine decimals", s)
	}
	return r.Num()
}

// books notes what a cell cost.
func (w *world) books(t testing.TB, rc receipt) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cells++
	w.charged.Add(w.charged, nano(t, rc.ChargeUSD))
	w.absorbed.Add(w.absorbed, nano(t, rc.AbsorbedUSD))
}

// close checks, at the end, that nothing is held, that the ledger verifies, and
// that its report has what all the cells cost.
func (w *world) close(t testing.TB) {
	t.Helper()
	w.gw.Settled(t)
	var page struct {
		Data []struct {
			ChargeUSD   string `json:"charge_usd"`
			AbsorbedUSD string `json:"absorbed_usd"`
		}
	}
	w.gw.MustAdmin(t, "GET", "/admin/v1/usage?group_by=day", nil, &page)
	charged, absorbed := new(big.Int), new(big.Int)
	for _, row := range page.Data {
		charged.Add(charged, nano(t, row.ChargeUSD))
		absorbed.Add(absorbed, nano(t, row.AbsorbedUSD))
	}
	if charged.Cmp(w.charged) != 0 || absorbed.Cmp(w.absorbed) != 0 {
		t.Errorf("the report says that %v was charged and %v absorbed, the receipts %v and %v", charged, absorbed, w.charged, w.absorbed)
	}
}
