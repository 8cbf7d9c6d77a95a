// Package compat runs the official SDKs of OpenAI and Anthropic, unchanged,
// against the built gateway: what they can do, and what they make of its errors.
// It is a module of its own, so that their dependencies stay out of the product.
package compat

import (
	"bytes"
	"context"
	"encoding/json"
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
)

// gateway is a running `pontage dev`.
type gateway struct {
	base, key, testKey, admin, token string
	dir                              string
}

var running struct {
	once sync.Once
	g    *gateway
	cmd  *exec.Cmd
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if running.cmd != nil {
		_ = running.cmd.Process.Signal(syscall.SIGTERM)
		_ = running.cmd.Wait()
		_ = os.RemoveAll(running.g.dir)
	}
	os.Exit(code)
}

// start starts the gateway as a new user would, once for all tests.
func start(t *testing.T) *gateway {
	t.Helper()
	running.once.Do(func() { running.g, running.cmd, running.err = run() })
	if running.err != nil {
		t.Fatal(running.err)
	}
	return running.g
}

func binary() (string, error) {
	if p := os.Getenv("PONTAGE_BIN"); p != "" {
		return p, nil
	}
	path, err := filepath.Abs("../../build/pontage")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/pontage")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

func run() (*gateway, *exec.Cmd, error) {
	bin, err := binary()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "pontage-compat")
	if err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(bin, "dev", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir} // no provider keys: the simulator serves everything
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	g := &gateway{dir: dir}
	for range 1000 {
		if b, err := os.ReadFile(filepath.Join(dir, "data", "dev.env")); err == nil {
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
			return g, cmd, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	return g, cmd, fmt.Errorf("the gateway did not get ready:\n%s", said)
}

// call calls the admin API.
func (g *gateway) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, g.admin+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, body, err)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			t.Fatal(err)
		}
	}
}

// newKey makes an account with some dollars and a key.
func (g *gateway) newKey(t *testing.T, usd string, more map[string]any) (key, id string) {
	t.Helper()
	var acc struct{ ID string }
	g.call(t, "POST", "/admin/v1/accounts", map[string]string{"name": t.Name()}, &acc)
	if usd != "" {
		g.call(t, "POST", "/admin/v1/accounts/"+acc.ID+"/credits", map[string]string{"amount_usd": usd, "kind": "topup"}, nil)
	}
	in := map[string]any{"name": "test"}
	for k, v := range more {
		in[k] = v
	}
	var k struct{ ID, Key string }
	g.call(t, "POST", "/admin/v1/accounts/"+acc.ID+"/keys", in, &k)
	return k.Key, k.ID
}

// script makes the simulator go through steps for a model.
func (g *gateway) script(t *testing.T, model string, steps ...map[string]any) {
	t.Helper()
	g.call(t, "PUT", "/admin/v1/test/sim", map[string]any{"model": model, "steps": steps}, nil)
}

// broken are the keys and bodies that bring about each class of refusal, and
// the faults that a test key can ask for, with the status each SDK must report.
type broken struct {
	name     string
	status   int
	simulate string // fault asked of a test key; empty: it is brought about
}

var upstreamFaults = []broken{
	{"content policy", 400, "content_policy"},
	{"context", 400, "context_length_exceeded"},
	{"daily", 429, "daily_requests_exceeded"},
	{"upstream limit", 429, "upstream_rate_limited"},
	{"upstream", 502, "upstream_failed"},
	{"credential", 502, "upstream_auth"},
	{"quota", 503, "upstream_quota"},
	{"no target", 503, "no_target"},
	{"timeout", 504, "upstream_timeout"},
	{"defect", 500, "internal"},
}
