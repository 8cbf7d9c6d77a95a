package main

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
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Processors: the measured process has one to itself, everything else shares
// the other.
const (
	measuredCPU = "0"
	otherCPU    = "1"
)

// field is all that runs: the upstream and the two that stand before it.
type field struct {
	upstream, proxy, gateway *process
}

func (f *field) stop() {
	for _, p := range []*process{f.gateway, f.proxy, f.upstream} {
		if p != nil && p.cmd != nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	}
}

// process is one running server.
type process struct {
	name string
	url  string
	key  string
	cmd  *exec.Cmd

	admin string // of the gateway
}

func start(o options, dir string) (*field, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &field{}
	fail := func(err error) (*field, error) { f.stop(); return nil, err }
	up, err := freeAddr()
	if err != nil {
		return fail(err)
	}
	if f.upstream, err = launch("upstream", up, "", otherCPU, self, "-mode", "upstream", "-addr", up); err != nil {
		return fail(err)
	}
	addr, err := freeAddr()
	if err != nil {
		return fail(err)
	}
	if f.proxy, err = launch("proxy", addr, proxyKey, measuredCPU, self, "-mode", "proxy", "-addr", addr, "-target", "http://"+up); err != nil {
		return fail(err)
	}
	if f.gateway, err = startGateway(o, dir, up); err != nil {
		return fail(err)
	}
	return f, nil
}

// startGateway starts the gateway as it is sold: SQLite, durable settlement,
// receipts, metrics, one log line a request (into a file).
func startGateway(o options, dir, upstream string) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`
server: {listen: %q, admin_listen: %q, admin_token: bench-admin-token}
store: {url: %q}
providers:
  up: {kind: openai, base_url: "http://%s/v1", api_key: upstream}
models:
  bench: {targets: [{provider: up}], context: 400000, max_output: 4096, price: {input: 0.25, output: 2.00}}
sites:
  - {hosts: ["*"], contract: openai}
`, addr, admin, "sqlite:"+filepath.Join(dir, "pontage.db"), upstream)
	path := filepath.Join(dir, "pontage.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--config", path}
	if o.profile != "" {
		args = append(args, "--test") // profiles are served to tests only
	}
	p, err := launch("gateway", addr, "", measuredCPU, bin, args...)
	if err != nil {
		return nil, err
	}
	p.admin = "http://" + admin
	call := func(method, path string, in, out any) error {
		b, _ := json.Marshal(in)
		req, err := http.NewRequestWithContext(context.Background(), method, "http://"+admin+path, bytes.NewReader(b))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer bench-admin-token")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode >= 300 {
			return fmt.Errorf("%s %s: %d %s %w", method, path, resp.StatusCode, body, err)
		}
		return json.Unmarshal(body, out)
	}
	var account struct{ ID string }
	var credit map[string]any
	var key struct{ Key string }
	if err := errors.Join(
		call("POST", "/admin/v1/accounts", map[string]string{"name": "bench"}, &account),
		call("POST", "/admin/v1/accounts/"+account.ID+"/credits", map[string]string{"amount_usd": "1000000", "kind": "topup"}, &credit),
	); err != nil {
		return p, err
	}
	if err := call("POST", "/admin/v1/accounts/"+account.ID+"/keys", map[string]string{"name": "bench"}, &key); err != nil {
		return p, err
	}
	p.key = key.Key
	return p, nil
}

// launch starts a process on one processor, its output going to a file, and
// waits until it listens.
func launch(name, addr, key, cpu, bin string, args ...string) (*process, error) {
	log, err := os.CreateTemp("", "pontage-bench-"+name+"-*.log")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("taskset", append([]string{"-c", cpu, bin}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, url: "http://" + addr, key: key, cmd: cmd}
	for range 1000 {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			_ = os.Remove(log.Name())
			return p, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	return p, fmt.Errorf("%s does not listen on %s:\n%s", name, addr, said)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// cpu returns the processor time that the process has used.
func (p *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ
}

// rss returns the process's resident memory in bytes.
func (p *process) rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// profile writes a CPU profile of the process while it is under load.
func (p *process) profile(path string, length time.Duration) error {
	resp, err := http.Get(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.admin, max(int(length.Seconds()), 1)))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
