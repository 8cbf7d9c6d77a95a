// Package harness starts the built binary as an operator would, and talks to it
// from outside, for the tests that prove what a user sees.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

	"go.yaml.in/yaml/v4"
)

// AdminToken is the admin token of every gateway that a test starts.
const AdminToken = "admin-token-of-the-tests"

// Root returns the root of the repository.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(b, []byte("module github.com/pontage/pontage\n")) {
			return dir
		}
	}
	t.Fatal("the repository's root was not found")
	return ""
}

var built struct {
	once sync.Once
	path string
	err  error
}

// Binary returns the built product: what PONTAGE_BIN names, or one that is
// built now, without cgo, as it is released.
func Binary(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("PONTAGE_BIN"); p != "" {
		return p
	}
	root := Root(t)
	built.once.Do(func() {
		built.path = filepath.Join(root, "build", "pontage")
		cmd := exec.Command("go", "build", "-trimpath", "-o", built.path, "./cmd/pontage")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// Options say how a gateway is started.
type Options struct {
	// Config is the configuration but for the server and store members, which
	// the harness writes: providers, models, sites, … in YAML.
	Config string
	Server string   // more members of server, in YAML flow style: "body_limit: 1MiB, drain: 5s"
	Store  string   // more members of store, in the same style
	Env    []string // added to the environment
	Args   []string // instead of serve --test
	Dir    string   // of its data; empty: a temporary one
	Log    io.Writer
}

// Gateway is a running gateway.
type Gateway struct {
	URL, AdminURL string
	Dir           string
	o             Options
	cmd           *exec.Cmd
	done          chan error
	log           *tail
}

// Start starts a gateway with serve --test, waits until it is ready, and stops
// it when the test ends.
func Start(t testing.TB, o Options) *Gateway {
	t.Helper()
	g := Prepare(t, o)
	g.Run(t)
	return g
}

// Prepare is Start without starting: Run or Launch follows, as often as the
// process has ended.
func Prepare(t testing.TB, o Options) *Gateway {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	g := &Gateway{o: o, Dir: o.Dir, log: &tail{also: o.Log}}
	t.Cleanup(func() {
		g.Kill()
		if t.Failed() {
			t.Logf("the gateway's log ended with:\n%s", g.log)
		}
	})
	return g
}

// Run starts the process, again after it was stopped or killed: on the same
// data, on other ports.
func (g *Gateway) Run(t testing.TB) {
	t.Helper()
	if err := g.Launch(t); err != nil {
		t.Fatal(err)
	}
}

// Launch is Run for a test that reckons with a process that does not come up:
// it returns that as an error, which wraps the [*exec.ExitError] of a process
// that ended before it was ready. env is added to the environment this once.
func (g *Gateway) Launch(t testing.TB, env ...string) error {
	t.Helper()
	for {
		err := g.launch(t, env)
		// Between the choice of a port and its use another process may take it.
		if err == nil || !strings.Contains(g.Log(), "address already in use") {
			return err
		}
	}
}

func (g *Gateway) launch(t testing.TB, env []string) error {
	t.Helper()
	addr, admin := freeAddrs(t)
	g.URL, g.AdminURL = "http://"+addr, "http://"+admin
	if err := g.writeConfig(g.o.Config); err != nil {
		return err
	}
	args := g.o.Args
	if args == nil {
		args = []string{"serve", "--test", "--config", g.ConfigPath()}
	}
	g.log = &tail{also: g.o.Log}
	g.cmd = exec.Command(Binary(t), args...)
	g.cmd.Dir = g.Dir
	g.cmd.Env = append(append(os.Environ(), g.o.Env...), env...)
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		g.cmd = nil
		return err
	}
	g.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(g.cmd, g.done)
	return g.await(20 * time.Second)
}

// await waits until the process is ready.
func (g *Gateway) await(patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		if g.ready() {
			return nil
		}
		select {
		case err := <-g.done:
			g.cmd = nil
			return fmt.Errorf("the gateway ended before it was ready: %w\n%s", err, g.log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the gateway was not ready after %v:\n%s", patience, g.log)
		}
	}
}

// ready reports whether the process is ready, and is ours: where the port was
// taken by somebody else in between, he answers there.
func (g *Gateway) ready() bool {
	resp, err := http.Get(g.AdminURL + "/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false
	}
	status, config, err := g.Admin(context.Background(), "GET", "/admin/v1/effective-config", nil, nil)
	return err == nil && status == http.StatusOK && bytes.Contains(config, []byte(g.DatabasePath()))
}

// writeConfig writes the configuration file: the server and store members, and
// the rest as given.
func (g *Gateway) writeConfig(rest string) error {
	extra := ""
	if g.o.Server != "" {
		extra = ", " + g.o.Server
	}
	store := ""
	if g.o.Store != "" {
		store = ", " + g.o.Store
	}
	config := fmt.Sprintf("server: {listen: %q, admin_listen: %q, admin_token: %q%s}\nstore: {url: %q%s}\n%s",
		strings.TrimPrefix(g.URL, "http://"), strings.TrimPrefix(g.AdminURL, "http://"), AdminToken, extra, "sqlite:"+g.DatabasePath(), store, rest)
	// In one step, as editors do: the process may be watching.
	next := g.ConfigPath() + ".next"
	if err := os.WriteFile(next, []byte(config), 0o600); err != nil {
		return err
	}
	return os.Rename(next, g.ConfigPath())
}

// Reconfigure writes another configuration file, in the form of
// [Options].Config, for the running process to find and for later runs.
func (g *Gateway) Reconfigure(t testing.TB, config string) {
	t.Helper()
	g.o.Config = config
	if err := g.writeConfig(config); err != nil {
		t.Fatal(err)
	}
}

// ReconfigureServer is Reconfigure with other members of server, too.
func (g *Gateway) ReconfigureServer(t testing.TB, server, config string) {
	t.Helper()
	g.o.Server = server
	g.Reconfigure(t, config)
}

// DatabasePath is where the database lies.
func (g *Gateway) DatabasePath() string { return filepath.Join(g.Dir, "pontage.db") }

// ConfigPath is where the configuration file lies.
func (g *Gateway) ConfigPath() string { return filepath.Join(g.Dir, "pontage.yaml") }

// Log returns the end of what the process printed.
func (g *Gateway) Log() string { return g.log.String() }

// PID returns the process id.
func (g *Gateway) PID() int { return g.cmd.Process.Pid }

// Kill ends the process as a power cut would, and waits until it is gone.
func (g *Gateway) Kill() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Kill()
	<-g.done
	g.cmd = nil
}

// Gone returns a channel that yields once when the process has ended by itself.
func (g *Gateway) Gone() <-chan error { return g.done }

// Reaped tells the gateway that its end was received from Gone.
func (g *Gateway) Reaped() { g.cmd = nil }

// Signal sends a signal.
func (g *Gateway) Signal(s syscall.Signal) error { return g.cmd.Process.Signal(s) }

// Stop asks the process to end, and returns what Wait says once it has.
func (g *Gateway) Stop() error {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	err := <-g.done
	g.cmd = nil
	return err
}

// freeAddrs returns two addresses that nobody listens on.
func freeAddrs(t testing.TB) (one, other string) {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b := listen(), listen() // both at a time, or they may be the same
	defer func() { _, _ = a.Close(), b.Close() }()
	return a.Addr().String(), b.Addr().String()
}

// tail keeps the last 64 KiB that were written to it.
type tail struct {
	mu   sync.Mutex
	b    []byte
	also io.Writer
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	if over := len(w.b) - 64<<10; over > 0 {
		w.b = append(w.b[:0], w.b[over:]...)
	}
	if w.also != nil {
		_, _ = w.also.Write(p)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}

// Admin calls the admin API and decodes its answer into out, if that is not
// nil. It returns the status and the body.
func (g *Gateway) Admin(ctx context.Context, method, path string, in, out any) (int, []byte, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, g.AdminURL+path, body)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+AdminToken)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && out != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(b, out)
	}
	return resp.StatusCode, b, err
}

// Peek reads a path of the admin listener without credentials, such as /readyz,
// and decodes what it says, whatever the status.
func (g *Gateway) Peek(ctx context.Context, path string, out any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.AdminURL+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(out)
}

// MustAdmin is Admin, and fails the test on an error or a status of 400 and up.
func (g *Gateway) MustAdmin(t testing.TB, method, path string, in, out any) {
	t.Helper()
	status, b, err := g.Admin(context.Background(), method, path, in, out)
	if err != nil || status >= 400 {
		t.Fatalf("%s %s: %d %v\n%s", method, path, status, err, b)
	}
}

// Example reads a configuration of examples/, without its server and its store,
// which are the harness's to write. The classes of its sites are nodes: a map
// forgets the order of what stands in it, and theirs counts.
func Example(t testing.TB, name string) map[string]any {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(Root(t), "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	var example map[string]any
	var ordered struct{ Sites []struct{ Classes yaml.Node } }
	if err := errors.Join(yaml.Load(src, &example), yaml.Load(src, &ordered)); err != nil {
		t.Fatal(err)
	}
	delete(example, "server")
	delete(example, "store")
	for i, site := range example["sites"].([]any) {
		if classes := &ordered.Sites[i].Classes; classes.Kind != 0 {
			site.(map[string]any)["classes"] = classes
		}
	}
	return example
}
