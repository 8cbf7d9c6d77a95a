// Package compat runs the official SDKs, and frameworks and agents that people
// use, unchanged, against the built gateway: what they can do, and what they make
// of its errors.
// It is a module of its own, so that their dependencies stay out of the product.
package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// gateway is a running gateway. Its log goes to a file in dir.
type gateway struct {
	base, key, testKey, admin, token string

	dir  string
	cmd  *exec.Cmd
	gone chan error // yields what Wait said when the process has ended
}

// once starts a gateway for all tests that need it.
type once struct {
	sync.Once
	start func() (*gateway, error)
	g     *gateway
	err   error
}

func (o *once) get(t *testing.T) *gateway {
	t.Helper()
	o.Do(func() { o.g, o.err = o.start() })
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.g
}

// Two gateways serve all tests: near is `pontage dev`, where everything comes
// from the simulator, which speaks as the caller does; far has providers of both
// kinds, played by the upstream of this package, so that a caller's dialect and
// that of its model's provider can differ.
var (
	near = &once{start: startNear}
	far  = &once{start: startFar}
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // most of the time is spent waiting as an SDK is told to
	code := m.Run()
	if five.busy != nil {
		five.busy()
	}
	for _, o := range []*once{near, far, agents, &five.once, &broken.once} {
		if o.g == nil {
			continue
		}
		if err := o.g.audit(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, "FAIL: after all tests:", err)
			code = 1
		}
		o.g.stop()
	}
	os.Exit(code)
}

// audit looks at what all the requests have left behind: the ledger must verify,
// nothing may be held any more, and no handler may have panicked that no test
// had made to.
func (g *gateway) audit() error {
	var v struct {
		OK          bool     `json:"ok"`
		Differences []string `json:"differences"`
	}
	if err := g.ask("GET", "/admin/v1/ledger/verify", nil, &v); err != nil {
		return err
	}
	if !v.OK {
		return fmt.Errorf("the ledger does not verify: %v", v.Differences)
	}
	held := ""
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var list struct {
			Data []struct {
				ID      string `json:"id"`
				HeldUSD string `json:"held_usd"`
			} `json:"data"`
		}
		if err := g.ask("GET", "/admin/v1/accounts", nil, &list); err != nil {
			return err
		}
		held = ""
		for _, a := range list.Data {
			if strings.Trim(a.HeldUSD, "0.") != "" {
				held = a.ID + " holds " + a.HeldUSD
			}
		}
		if held == "" {
			break
		}
	}
	if held != "" {
		return errors.New(held)
	}
	for line := range strings.Lines(g.said()) {
		if strings.Contains(line, `"panic":`) && !strings.Contains(line, `"panic":"failpoint: `) {
			return errors.New(line)
		}
	}
	return nil
}

// stop asks the process to end.
func (g *gateway) stop() {
	if g.cmd != nil {
		_ = g.cmd.Process.Signal(syscall.SIGTERM)
		<-g.gone
	}
	_ = os.RemoveAll(g.dir)
}

func (g *gateway) said() string {
	b, _ := os.ReadFile(filepath.Join(g.dir, "log"))
	return string(b)
}

var built struct {
	sync.Once
	path string
	err  error
}

// product is the built product: what PONTAGE_BIN names, or one that is built now.
func product() (string, error) {
	if p := os.Getenv("PONTAGE_BIN"); p != "" {
		return p, nil
	}
	built.Do(func() {
		if built.path, built.err = filepath.Abs("../../build/pontage"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-trimpath", "-o", built.path, "./cmd/pontage")
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	return built.path, built.err
}

// launch starts the binary in a new folder, which prepare may fill, and waits
// until ready returns no error.
func launch(prepare func(dir string) (args []string, err error), ready func(g *gateway) error) (*gateway, error) {
	bin, err := product()
	if err != nil {
		return nil, err
	}
	g := &gateway{}
	if g.dir, err = os.MkdirTemp("", "pontage-compat"); err != nil {
		return nil, err
	}
	args, err := prepare(g.dir)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(g.dir, "log"))
	if err != nil {
		return nil, err
	}
	g.cmd = exec.Command(bin, args...)
	g.cmd.Dir = g.dir
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir} // no provider's key
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	g.gone = make(chan error, 1)
	go func() { g.gone <- g.cmd.Wait() }()
	deadline := time.After(20 * time.Second)
	for {
		if err = ready(g); err == nil {
			return g, nil
		}
		select {
		case end := <-g.gone:
			return nil, fmt.Errorf("the gateway ended: %w\n%s", end, g.said())
		case <-deadline:
			_ = g.cmd.Process.Kill()
			return nil, fmt.Errorf("the gateway did not get ready: %w\n%s", err, g.said())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// startNear starts the gateway as a new user would.
func startNear() (*gateway, error) {
	return launch(func(dir string) ([]string, error) {
		return []string{"dev", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data")}, nil
	}, (*gateway).readEnv)
}

// readEnv reads where a development gateway listens and the keys it made.
func (g *gateway) readEnv() error {
	b, err := os.ReadFile(filepath.Join(g.dir, "data", "dev.env"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "PONTAGE_BASE_URL":
			g.base = value
		case "PONTAGE_API_KEY":
			g.key = value
		case "PONTAGE_TEST_KEY":
			g.testKey = value
		case "PONTAGE_ADMIN_URL":
			g.admin = value
		case "PONTAGE_ADMIN_TOKEN":
			g.token = value
		}
	}
	return nil
}

// Secrets of the far gateway: of its operator, and towards its providers.
const (
	farToken = "admin-token-of-the-tests"
	farKey   = "sk-provider-key-of-the-gateway"
)

// The models of the far gateway: who serves each is in the name.
const (
	farGPT    = "gpt-far"
	farClaude = "claude-far"
	farEmbed  = "embed-far"
)

// own is a model like m whose provider nobody else asks for anything. A provider
// that fails is left alone for a while: so each way to fail needs one of its own.
func own(m, play string, stream bool) string {
	if stream {
		play += "-streamed"
	}
	return m + "-" + play
}

const farHead = `
server: {listen: %q, admin_listen: %q, admin_token: %s}
store: {url: "sqlite:far.db"}
routing: {backoff: {base: 1ms, max: 2ms}, breaker: {failures: 1000}}
`

// farConfig says who the providers are.
func farConfig(addr, admin string) (string, error) {
	names := map[string][]string{farGPT: {farGPT}, farClaude: {farClaude}}
	for family, m := range map[string]string{"openai": farGPT, "anthropic": farClaude} {
		files, err := os.ReadDir(filepath.Join("testdata", family))
		if err != nil {
			return "", err
		}
		plays := []string{"recorded"}
		for _, f := range files {
			if name, _, _ := strings.Cut(f.Name(), "."); strings.HasPrefix(name, "status-") || strings.HasPrefix(name, "cut") || strings.HasSuffix(name, "-midway") {
				plays = append(plays, name)
			}
		}
		for _, p := range plays {
			names[m] = append(names[m], own(m, p, false), own(m, p, true))
		}
	}
	var providers, models strings.Builder
	for _, name := range names[farGPT] {
		fmt.Fprintf(&providers, "  of-%s: {kind: openai, base_url: %q, api_key: %s, quirks: openai, catalog: none}\n", name, upstream.URL()+"/openai/v1", farKey)
		fmt.Fprintf(&models, "  %s: {targets: [{provider: of-%[1]s, model: gpt-upstream}], context: 400000, max_output: 64000, input: [text, image, file], price: {input: 1, output: 2, cached_input: 0.1}}\n", name)
	}
	for _, name := range names[farClaude] {
		fmt.Fprintf(&providers, "  of-%s: {kind: anthropic, base_url: %q, api_key: %s, catalog: none}\n", name, upstream.URL()+"/anthropic", farKey)
		fmt.Fprintf(&models, "  %s: {targets: [{provider: of-%[1]s, model: claude-sonnet-4-5}], context: 200000, max_output: 64000, input: [text, image, file], price: {input: 3, output: 15, cached_input: 0.3, cache_write: 3.75}}\n", name)
	}
	fmt.Fprintf(&models, "  %s: {kind: embedding, targets: [{provider: of-%s, model: embed-upstream}], context: 8192, price: {input: 0.02}}\n", farEmbed, farGPT)
	return fmt.Sprintf(farHead, addr, admin, farToken) + "providers:\n" + providers.String() + "models:\n" + models.String(), nil
}

// serve starts a gateway with a configuration.
func serve(config []byte, admin string) (*gateway, error) {
	return launch(func(dir string) ([]string, error) {
		return []string{"serve", "--test", "--config", "pontage.yaml"}, os.WriteFile(filepath.Join(dir, "pontage.yaml"), config, 0o600)
	}, func(*gateway) error {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz says %d", resp.StatusCode)
		}
		return nil
	})
}

// startFar starts a gateway whose providers are upstream.
func startFar() (*gateway, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config, err := farConfig(addr, admin)
	if err != nil {
		return nil, err
	}
	g, err := serve([]byte(config), admin)
	if err != nil {
		return nil, err
	}
	g.base, g.admin, g.token = "http://"+addr, "http://"+admin, farToken
	g.key, _, err = g.makeKey("far", "100000", nil)
	return g, err
}

// given are the addresses that freeAddr has returned.
var given sync.Map

// freeAddr returns an address that nobody listens on, and never the same again:
// gateways that are about to start must not get one address.
func freeAddr() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		if err := l.Close(); err != nil {
			return "", err
		}
		if _, again := given.LoadOrStore(addr, true); !again {
			return addr, nil
		}
	}
}

// ask calls the admin API.
func (g *gateway) ask(method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(context.Background(), method, g.admin+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

// call is ask, and fails the test.
func (g *gateway) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if err := g.ask(method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

// makeKey makes an account with some dollars and a key.
func (g *gateway) makeKey(name, usd string, more map[string]any) (key, id string, err error) {
	var acc, k struct{ ID, Key string }
	if err := g.ask("POST", "/admin/v1/accounts", map[string]string{"name": name}, &acc); err != nil {
		return "", "", err
	}
	if usd != "" {
		credit := map[string]string{"amount_usd": usd, "kind": "topup"}
		if err := g.ask("POST", "/admin/v1/accounts/"+acc.ID+"/credits", credit, nil); err != nil {
			return "", "", err
		}
	}
	in := map[string]any{"name": "test"}
	for k, v := range more {
		in[k] = v
	}
	err = g.ask("POST", "/admin/v1/accounts/"+acc.ID+"/keys", in, &k)
	return k.Key, k.ID, err
}

// newKey is makeKey, and fails the test.
func (g *gateway) newKey(t *testing.T, usd string, more map[string]any) (key, id string) {
	t.Helper()
	key, id, err := g.makeKey(t.Name(), usd, more)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

// script makes the simulator go through steps for a model. Tests run side by
// side: each scripts a model that no other uses.
func (g *gateway) script(t *testing.T, model string, steps ...map[string]any) {
	t.Helper()
	g.call(t, "PUT", "/admin/v1/test/sim", map[string]any{"model": model, "steps": steps}, nil)
}

// charged fails the test unless the receipt of a request says what was charged.
func (g *gateway) charged(t *testing.T, request, usd string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var r struct {
			ChargeUSD string `json:"charge_usd"`
		}
		err := g.ask("GET", "/admin/v1/requests/"+request, nil, &r)
		if err == nil {
			if r.ChargeUSD != usd {
				t.Errorf("request %s was charged %s, want %s", request, r.ChargeUSD, usd)
			}
			return
		}
		if time.Now().After(deadline) { // receipts of what was not charged are written a moment later
			t.Errorf("no receipt: %v", err)
			return
		}
	}
}
