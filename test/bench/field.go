//go:build linux

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

// field is all that runs: the upstream and the two that stand before it.
type field struct {
	upstream, proxy, gateway *process
}

func (f *field) stop() {
	for _, p := range []*process{f.gateway, f.proxy, f.upstream} {
		if p != nil {
			p.kill()
		}
	}
}

// process is one server, running.
type process struct {
	name   string
	url    string
	keys   []string // connections take turns
	admin  string   // of the gateway
	launch func() (*exec.Cmd, error)
	probe  string // answers with 200 when it is ready

	cmd   *exec.Cmd
	log   string
	ready time.Duration // that it took
}

func start(o options, p pins, dir string) (*field, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	up, err := freeAddr()
	if err != nil {
		return nil, err
	}
	f := &field{upstream: &process{name: "upstream", url: "http://" + up, probe: "http://" + up + "/"}}
	f.upstream.launch = f.upstream.command(dir, p, p.other, self, "-mode", "upstream", "-addr", up)
	if err := f.upstream.start(); err != nil {
		return nil, err
	}
	if o.against != "" {
		f.proxy, err = gateway(o, o.against, p, filepath.Join(dir, "against"), up)
	} else {
		f.proxy, err = proxy(p, dir, self, up)
	}
	if err == nil {
		f.gateway, err = gateway(o, o.bin, p, filepath.Join(dir, "gateway"), up)
	}
	if err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func proxy(p pins, dir, self, upstream string) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	it := &process{name: "proxy", url: "http://" + addr, probe: "http://" + addr + "/", keys: []string{proxyKey}}
	it.launch = it.command(dir, p, p.measured, self, "-mode", "proxy", "-addr", addr, "-target", "http://"+upstream)
	return it, it.start()
}

func gateway(o options, bin string, p pins, dir, upstream string) (*process, error) {
	api, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	config, err := configure(dir, api, admin, upstream)
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--config", config}
	if o.profile != "" {
		args = append(args, "--test") // profiles are served to tests only
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	it := &process{name: "gateway", url: "http://" + api, admin: "http://" + admin, probe: "http://" + admin + "/readyz"}
	it.launch = it.command(dir, p, p.measured, bin, args...)
	if err := it.start(); err != nil {
		return it, err
	}
	if err := it.populate(); err != nil {
		return it, fmt.Errorf("accounts: %w", err)
	}
	return it, nil
}

// restart kills a process, as a crash would, and starts it again.
func (f *field) restart(p *process) error {
	p.kill()
	return p.start()
}

// configure writes the configuration of a gateway as it is sold: SQLite, durable
// settlement, receipts, metrics, one log line a request (into a file).
func configure(dir, api, admin, upstream string) (string, error) {
	path := filepath.Join(dir, "pontage.yaml")
	return path, os.WriteFile(path, fmt.Appendf(nil, `
server: {listen: %q, admin_listen: %q, admin_token: %s}
store: {url: %q}
providers:
  up: {kind: openai, base_url: "http://%s/v1", api_key: upstream}
models:
  bench: {targets: [{provider: up}], context: 400000, max_output: 4096, price: {input: 0.25, output: 2.00}}
sites:
  - {hosts: ["*"], contract: openai}
`, api, admin, adminToken, "sqlite:"+filepath.Join(dir, "pontage.db"), upstream), 0o600)
}

const (
	adminToken = "bench-admin-token"
	accounts   = 32 // with one key each
)

// populate makes accounts with credit and keys with every kind of limit, none of
// which is reached.
func (p *process) populate() error {
	limits := map[string]any{"rps": 1e6, "burst": 1_000_000, "concurrency": 100_000, "requests_per_day": 1_000_000_000, "usd_per_day": "1000000"}
	for i := range accounts {
		var account struct{ ID string }
		var credit map[string]any
		var key struct{ Key string }
		if err := p.call("/admin/v1/accounts", map[string]any{"name": fmt.Sprint("bench ", i)}, &account); err != nil {
			return err
		}
		path := "/admin/v1/accounts/" + account.ID
		if err := errors.Join(
			p.call(path+"/credits", map[string]any{"amount_usd": "1000000", "kind": "topup"}, &credit),
			p.call(path+"/keys", map[string]any{"name": "bench", "limits": limits}, &key),
		); err != nil {
			return err
		}
		p.keys = append(p.keys, key.Key)
	}
	return nil
}

func (p *process) call(path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.admin+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return errors.Join(fmt.Errorf("%s: %d %s", path, resp.StatusCode, body), err)
	}
	return json.Unmarshal(body, out)
}

// command returns what starts the process on one processor, its output going to
// a file.
func (p *process) command(dir string, pins pins, cpu int, bin string, args ...string) func() (*exec.Cmd, error) {
	p.log = filepath.Join(dir, p.name+".log")
	return func() (*exec.Cmd, error) {
		log, err := os.Create(p.log)
		if err != nil {
			return nil, err
		}
		defer func() { _ = log.Close() }()
		cmd := exec.Command(bin, args...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
		return cmd, pins.on(cpu, cmd.Start)
	}
}

// start starts the process and waits until it is ready.
func (p *process) start() error {
	cmd, err := p.launch()
	if err != nil {
		return err
	}
	p.cmd = cmd
	begun := time.Now()
	for time.Since(begun) < 20*time.Second {
		if resp, err := http.Get(p.probe); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				p.ready = time.Since(begun)
				return nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	said, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s does not get ready:\n%s", p.name, said)
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
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
func (p *process) cpu() time.Duration { return cpuOf(p.cmd.Process.Pid) }

func cpuOf(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	return ticks(f[11]) + ticks(f[12])
}

// calls returns how many times the process has read and written.
func (p *process) calls() (n int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && (f[0] == "syscr:" || f[0] == "syscw:") {
			k, _ := strconv.ParseInt(f[1], 10, 64)
			n += k
		}
	}
	return n
}

// rss and peak return the memory that the process holds, and has held at most,
// in bytes.
func (p *process) rss() int64  { return p.memory("VmRSS:") }
func (p *process) peak() int64 { return p.memory("VmHWM:") }

func (p *process) memory(name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// journal is how much the gateway has written.
type journal struct{ entries, commits float64 }

// journal reads it from the metrics; of the proxy it is zero.
func (p *process) journal() (j journal) {
	if p.admin == "" {
		return j
	}
	resp, err := http.Get(p.admin + "/metrics")
	if err != nil {
		return j
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "pontage_ledger_last_seq":
			j.entries = n
		case "pontage_ledger_commits_total":
			j.commits = n
		}
	}
	return j
}

// profile writes a profile of the process over a time in which it is under load,
// or as it is if length is zero.
func (p *process) profile(kind, path string, length time.Duration) error {
	from := p.admin + "/debug/pprof/" + kind
	if length > 0 {
		from += fmt.Sprintf("?seconds=%d", int(length.Seconds()))
	}
	resp, err := http.Get(from)
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
