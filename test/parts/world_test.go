package parts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

// price is what every answer of the upstream costs: 10 tokens at $1 and 77 at $2
// a million.
const price = money.Amount(10*1_000 + 77*2_000)

// upstream is a provider that counts what it answers. Prompts that begin with
// "hold" get their first piece, and the rest when the gate is opened.
type upstream struct {
	url  string
	gate chan struct{}

	mu    sync.Mutex
	asked map[string]int // by the gateway's request id
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{gate: make(chan struct{}), asked: map[string]int{}}
	u.url = harness.Serve(t, u, nil).URL
	return u
}

// config is that of a gateway before the upstream.
func (u *upstream) config() string {
	return fmt.Sprintf(`providers: {up: {kind: openai, base_url: "%s/v1", api_key: k, catalog: none}}
models: {m: {targets: [{provider: up}], context: 1000000, max_output: 1000, price: {input: 1.00, output: 2.00}}}
sites: [{hosts: ["*"], contract: openai}]
`, u.url)
}

// ServeHTTP answers a chat.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Stream   bool
		Messages []struct{ Content string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	u.asked[r.Header.Get("X-Request-Id")]++
	u.mu.Unlock()
	held := strings.HasPrefix(in.Messages[0].Content, "hold")
	const usage = `"usage":{"prompt_tokens":10,"completion_tokens":77,"total_tokens":87}`
	if !in.Stream {
		if held && !u.wait(r) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],`+usage+`}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(data string) {
		_, _ = io.WriteString(w, "data: "+data+"\n\n")
		_ = http.NewResponseController(w).Flush()
	}
	const head = `{"id":"c","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[`
	say(head + `{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}`)
	if held && !u.wait(r) {
		return
	}
	say(head + `{"index":0,"delta":{"content":"lo."},"finish_reason":null}]}`)
	say(head + `{"index":0,"delta":{},"finish_reason":"stop"}]}`)
	say(head + `],` + usage + `}`)
	say("[DONE]")
}

func (u *upstream) wait(r *http.Request) bool {
	u.mu.Lock()
	gate := u.gate
	u.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-r.Context().Done():
		return false
	}
}

// release lets everything go on that is held.
func (u *upstream) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.gate)
	u.gate = make(chan struct{})
}

// reached reports how many requests came.
func (u *upstream) reached() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked)
}

// client calls gateways.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// answer is what came of a request.
type answer struct {
	id     string // of the request
	status int
	after  int // Retry-After in seconds; 0: none
	body   string
	err    error // of the connection
}

// whole reports whether the answer came to its good end.
func (a answer) whole(stream bool) bool {
	if stream {
		return a.err == nil && a.status == 200 && strings.HasSuffix(a.body, "data: [DONE]\n\n")
	}
	return a.err == nil && a.status == 200 && strings.Contains(a.body, "Hello.")
}

// refusal reports whether the answer is the contract's of a ledger that cannot
// record charges.
func (a answer) refusal() bool {
	return a.err == nil && a.status == 503 && strings.Contains(a.body, `"ledger_unavailable"`) && a.after >= 1
}

func (a answer) String() string {
	return fmt.Sprintf("%s: %d, Retry-After %d, %v, …%s", a.id, a.status, a.after, a.err, a.body[max(0, len(a.body)-300):])
}

// ask sends a chat and reads the answer to its end. started, if not nil, is
// called when the answer begins.
func ask(ctx context.Context, g *harness.Gateway, key, prompt string, stream bool, started func()) (a answer) {
	body, _ := json.Marshal(map[string]any{"model": "m", "max_tokens": 100, "stream": stream, "messages": []any{map[string]string{"role": "user", "content": prompt}}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	if started != nil {
		started()
	}
	a.id, a.status = resp.Header.Get("X-Request-Id"), resp.StatusCode
	if text := resp.Header.Get("Retry-After"); text != "" {
		if _, err := fmt.Sscan(text, &a.after); err != nil || a.after < 1 {
			return answer{id: a.id, err: fmt.Errorf("Retry-After is %q", text)}
		}
	}
	b, err := io.ReadAll(resp.Body)
	a.body, a.err = string(b), err
	return a
}

// caller is an account with a key and a known credit.
type caller struct {
	g       *harness.Gateway
	account string
	key     string
	credit  money.Amount
}

func newCaller(t testing.TB, g *harness.Gateway, dollars int, more map[string]any) *caller {
	t.Helper()
	a := g.NewAccount(t, t.Name(), fmt.Sprint(dollars))
	return &caller{g: g, account: a.ID, key: g.NewKey(t, a.ID, more).Key, credit: money.Amount(dollars) * money.Dollar}
}

// ask asks one thing.
func (c *caller) ask(t testing.TB, prompt string, stream bool) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	return ask(ctx, c.g, c.key, prompt, stream, nil)
}

// spent checks that the account was charged for n answers, to the nano-dollar,
// and that nothing is held.
func (c *caller) spent(t testing.TB, n int) {
	t.Helper()
	a := c.g.AccountNow(t, c.account)
	if got := usd(t, a.BalanceUSD); got != c.credit-money.Amount(n)*price || a.HeldUSD != "0.00" {
		t.Errorf("the balance is %s, held is %s; want %v after %d charges", a.BalanceUSD, a.HeldUSD, c.credit-money.Amount(n)*price, n)
	}
}

func usd(t testing.TB, text string) money.Amount {
	t.Helper()
	a, err := money.ParseUSD(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// streams are answers that wait for the upstream's gate.
type streams struct {
	answers []answer
	done    sync.WaitGroup
}

// open begins n streams, and returns when all have begun.
func (c *caller) open(t testing.TB, n int) *streams {
	t.Helper()
	s := &streams{answers: make([]answer, n)}
	begun := make(chan struct{}, n)
	for i := range n {
		s.done.Go(func() {
			once := sync.OnceFunc(func() { begun <- struct{}{} })
			s.answers[i] = ask(t.Context(), c.g, c.key, "hold", true, once)
			once()
		})
	}
	for range n {
		select {
		case <-begun:
		case <-time.After(2 * patience):
			t.Fatal("a stream did not begin")
		}
	}
	return s
}

// probe is what /readyz says.
type probe struct {
	status   int
	Degraded []string `json:"degraded"`
	Reasons  []string `json:"reasons"`
}

func ready(t testing.TB, g *harness.Gateway) probe {
	t.Helper()
	var p probe
	var err error
	if p.status, err = g.Peek(t.Context(), "/readyz", &p); err != nil {
		p.status = 0
	}
	return p
}

// says reports whether the ledger is degraded, and for that reason.
func (p probe) says(why string) bool {
	return p.status == 503 && len(p.Degraded) == 1 && p.Degraded[0] == "ledger" && len(p.Reasons) == 1 && strings.Contains(p.Reasons[0], why)
}

// metric reads one number of /metrics.
func metric(t testing.TB, g *harness.Gateway, name string) float64 {
	t.Helper()
	resp, err := client.Get(g.AdminURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// arm makes a point fail.
func arm(t testing.TB, g *harness.Gateway, point string, times int) {
	t.Helper()
	g.MustAdmin(t, "POST", "/admin/v1/test/fault", map[string]any{"point": point, "times": times}, nil)
}

// eventually waits until cond comes true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// ended waits until the process has ended by itself, and returns its exit status.
func ended(t testing.TB, g *harness.Gateway) int {
	t.Helper()
	select {
	case err := <-g.Gone():
		g.Reaped()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		return 0
	case <-time.After(patience):
		t.Fatal("the process did not end")
		return 0
	}
}

// typed is what came of a command.
type typed struct {
	code     int
	out, err string
}

// cli runs a command of the binary against a gateway, which may be nil.
func cli(t testing.TB, g *harness.Gateway, args ...string) typed {
	t.Helper()
	url := ""
	if g != nil {
		url = g.AdminURL
	}
	return cliAt(t, url, args...)
}

func cliAt(t testing.TB, url string, args ...string) (r typed) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Binary(t), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PONTAGE_ADMIN_URL="+url, "PONTAGE_ADMIN_TOKEN="+harness.AdminToken)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r.out, r.err = out.String(), errs.String()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return r
}

// is checks the exit code and what was said.
func (r typed) is(t testing.TB, code int, says ...string) typed {
	t.Helper()
	for _, s := range says {
		if !strings.Contains(r.out+r.err, s) {
			t.Errorf("it does not say %q:\n%s%s", s, r.out, r.err)
		}
	}
	if r.code != code {
		t.Fatalf("exit code %d, want %d:\n%s%s", r.code, code, r.out, r.err)
	}
	return r
}

// smallDisk mounts a file system of so many MiB in memory, and takes it away when
// the test ends. Where that is not allowed the test is skipped, and fails in CI.
func smallDisk(t testing.TB, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" || os.Getenv("CI") != "" {
			t.Fatalf("a small disk cannot be mounted: %v", err)
		}
		t.Skipf("NOT TESTED: a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the room of a disk, and returns what gives it back.
func fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for b := make([]byte, size); err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
