package rows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// seedName is the document in which NinjaChat shows its client.
const seedName = "000_7b4d850b5c0b28f3.txt"

// seed returns NinjaChat's document, or "" where it is not at hand.
func seed(p *proof) string {
	p.Helper()
	return seedOf(p, seedName)
}

// seedOf returns a seed document, or "" where it is not at hand.
func seedOf(p *proof, name string) string {
	p.Helper()
	dir := os.Getenv("PONTAGE_SHARED")
	if dir == "" {
		dir = filepath.Join(harness.Root(p), "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(dir, "seeds", name))
	if err != nil {
		if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" {
			p.Fatalf("PONTAGE_REQUIRE_SHARED=1: %v", err)
		}
		return ""
	}
	return string(b)
}

// part cuts a part out of the document, both ends included.
func part(p *proof, doc, from, to string) string {
	p.Helper()
	i := strings.Index(doc, from)
	if i < 0 {
		p.Fatalf("the seed has no %q", from)
	}
	j := strings.Index(doc[i:], to)
	if j < 0 {
		p.Fatalf("the seed has no %q", to)
	}
	return doc[i : i+j+len(to)]
}

// ranClient is what became of one call of the documented client.
type ranClient struct {
	Content string  `json:"content"`
	Raised  string  `json:"raised"`
	Sleeps  []int64 `json:"sleeps"` // seconds
}

// client runs the documented client's chat(model, "hi") with a key.
type client func(c caller, model string) ranClient

// documentedClient runs the client that NinjaChat documents: as a port to Go
// always, and as it stands where there is a python3 with requests.
func documentedClient(p *proof) {
	withClient(p, "port to Go", portedClient(p), "flaky-go")
	if run := pythonClient(p); run != nil {
		withClient(p, "the program as it stands, python3 with requests", run, "flaky-python")
	}
	// The report begins with the answer that the retries led to.
	i := slices.IndexFunc(p.shown, func(s shown) bool { return s.Response.Status == http.StatusOK })
	p.shown[0], p.shown[i] = p.shown[i], p.shown[0]
}

// withClient runs a client against an upstream that fails twice and then
// answers, against a 429, and against a 400.
func withClient(p *proof, name string, run client, flaky string) {
	g := p.world.ninja
	failure := says(500, "server_error", "internal", "Acme has a defect")
	g.up[flaky].Queue(failure, failure)
	c := p.caller(g, "8", nil)
	got := run(c, flaky)
	if got.Content != said || !slices.Equal(got.Sleeps, []int64{1, 2}) {
		p.Errorf("%s: an upstream that fails twice: %+v", name, got)
	}
	if n := len(g.up[flaky].Received()); n != 3 {
		p.Errorf("%s: the upstream was asked %d times", name, n)
	}
	if l := c.ledger(p); l.Charges != 1 || l.ChargedUSD != ninjaPrice {
		p.Errorf("%s: three requests, one answer: %+v", name, *l)
	}

	second := tooSoon(p, name, run, c)
	if second.Content != said || len(second.Sleeps) != 1 || second.Sleeps[0] < 1 || second.Sleeps[0] > 5 {
		p.Errorf("%s: a 429: %+v", name, second)
	}

	before := c.ledger(p)
	bad := run(c, "gpt5")
	if bad.Raised != "400 validation_error: Invalid parameters" || len(bad.Sleeps) > 0 {
		p.Errorf("%s: a 400: %+v", name, bad)
	}
	if after := c.ledger(p); *before != *after {
		p.Errorf("%s: a 400 was to be free: %+v became %+v", name, *before, *after)
	}
	p.note("%s: content after sleeping %v s; at a 429 after sleeping its Retry-After of %v s; at a 400 raised %q at once", name, got.Sleeps, second.Sleeps, bad.Raised)
}

// tooSoon runs a client twice with a key that allows one request in five seconds,
// and returns what came of the second time. Where that was so slow that it found
// the next five seconds, it tries again with another key.
func tooSoon(p *proof, name string, run client, c caller) ranClient {
	const per = 5 * time.Second
	for range 10 {
		quick := p.another(c, limited(map[string]any{"requests": 1, "per": "5s"}))
		start := time.Now()
		first := run(quick, "gpt-5-mini")
		second := run(quick, "gpt-5-mini")
		if first.Content != said || len(first.Sleeps) > 0 {
			p.Errorf("%s: the first request: %+v", name, first)
		}
		if len(second.Sleeps) > 0 || time.Since(start) < per {
			return second
		}
	}
	p.Fatalf("%s: two requests never came within %v", name, per)
	return ranClient{}
}

// portedClient is the documented program, line by line.
func portedClient(p *proof) client {
	return func(c caller, model string) (out ranClient) {
		const retries = 3
		wait := func(seconds int64) {
			out.Sleeps = append(out.Sleeps, seconds)
			sleep(time.Duration(seconds) * time.Second)
		}
		for attempt := range retries {
			r := p.watched(c, ninjaPath, fmt.Sprintf(`{"model": %q, "messages": [{"role": "user", "content": "hi"}]}`, model))
			p.show(r)
			if r.status == 200 {
				out.Content = p.text(r, "message", "content")
				return out
			}
			if r.status == 429 {
				seconds := int64(1) << attempt
				if text := r.header.Get("Retry-After"); text != "" {
					n, err := strconv.ParseInt(text, 10, 64)
					if err != nil {
						out.Raised = err.Error()
						return out
					}
					seconds = n
				}
				wait(seconds)
				continue
			}
			if r.status >= 500 {
				wait(1 << attempt)
				continue
			}
			out.Raised = fmt.Sprintf("%d %s: %s", r.status, p.text(r, "error"), p.text(r, "message"))
			return out
		}
		out.Raised = "Max retries exceeded"
		return out
	}
}

// driver runs the program that its first argument names, watches how long it
// sleeps, and prints what came of chat(model, "hi").
const driver = `
import json, sys, time
sleeps, real = [], time.sleep
def sleep(s):
    sleeps.append(s)
    real(s)
time.sleep = sleep
program = {}
exec(open(sys.argv[1]).read(), program)
out = {"sleeps": sleeps}
try:
    out["content"] = program["chat"](sys.argv[2], "hi")
except Exception as e:
    out["raised"] = str(e)
print(json.dumps(out))
`

// pythonClient runs the document's own program; nil where that cannot be.
func pythonClient(p *proof) client {
	doc := seed(p)
	python, err := exec.LookPath("python3")
	if err == nil {
		err = command(python, "-c", "import requests").Run()
	}
	if err != nil || doc == "" {
		p.note("the program itself did not run: it takes python3 with requests, and the seed's text")
		return nil
	}
	program := part(p, doc, "import os, time, requests", `raise Exception("Max retries exceeded")`)
	const address = "https://ninjachat.ai"
	if strings.Count(program, address) != 1 {
		p.Fatalf("the program has another address:\n%s", program)
	}
	dir := p.TempDir()
	return func(c caller, model string) (out ranClient) {
		path := filepath.Join(dir, "client.py")
		if err := os.WriteFile(path, []byte(strings.Replace(program, address, c.gw.URL, 1)), 0o600); err != nil {
			p.Fatalf("%v", err)
		}
		cmd := command(python, "-c", driver, path, model)
		cmd.Env = append(cmd.Env, "NINJACHAT_API_KEY="+c.key.Key)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		b, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(b, &out)
		}
		if err != nil {
			p.Fatalf("python3: %v\n%s%s", err, b, stderr.Bytes())
		}
		return out
	}
}

// command makes a command that talks to the gateway directly, whatever the
// environment says of proxies.
func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	for _, kv := range os.Environ() {
		if !strings.Contains(strings.ToLower(kv[:strings.Index(kv, "=")+1]), "_proxy=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

// quickDebug sends the document's request with a good, a bad and an empty key:
// with curl where there is one, and in Go always.
func quickDebug(p *proof) {
	g := p.world.ninja
	good, empty := p.caller(g, "8", nil), p.caller(g, "0", nil)
	const request = `{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}`
	bad := good
	bad.key.Key = wellFormed("nj_sk_0123456789abcdefghijABCDEFGHIJ")
	cases := []struct {
		c      caller
		status int
	}{{good, 200}, {bad, 401}, {empty, 402}}
	for _, k := range cases {
		p.show(p.wants(p.watched(k.c, ninjaPath, request), k.status))
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		p.note("200, 401, 402 in Go; there is no curl here")
		return
	}
	line := `curl -s -o /dev/null -w "%{http_code}" -X POST https://ninjachat.ai/api/v1/chat -H "Authorization: Bearer nj_sk_YOUR_API_KEY" -H "Content-Type: application/json" -d '` + request + `'`
	whose := "the documented request"
	if doc := seed(p); doc != "" {
		line, whose = part(p, doc, "curl -s -o /dev/null", request+"'"), "the seed's line"
	}
	var printed []string
	for _, k := range cases {
		own := strings.NewReplacer("https://ninjachat.ai", k.c.gw.URL, "nj_sk_YOUR_API_KEY", k.c.key.Key, "curl -s", curl+" -s").Replace(line)
		if strings.Contains(own, "ninjachat.ai") || !strings.Contains(own, k.c.key.Key) {
			p.Fatalf("the line is another one: %s", line)
		}
		out, err := command("sh", "-c", own).Output()
		if err != nil || string(out) != strconv.Itoa(k.status) {
			p.Errorf("curl printed %q, and not %d: %v", out, k.status, err)
		}
		printed = append(printed, string(out))
	}
	p.note("%s with curl printed %s", whose, strings.Join(printed, ", "))
}

// patience is how long a test waits for what must come.
const patience = testkit.Patience
