package rows

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// samuraiClients is the row of samurai about the programs that it shows.
var samuraiClients = map[string]func(*proof){"samurai/openai-sdks": documentedNode}

// samuraiSeed is the document in which Samurai shows its clients.
const samuraiSeed = "004_684813bc1cd48445.txt"

// nodeProgram is the documented program, but for its address, where the
// document is not at hand.
const nodeProgram = `import OpenAI, { APIError, RateLimitError, AuthenticationError } from 'openai';

const client = new OpenAI({
  apiKey: process.env.SAMURAI_API_KEY,
  baseURL: 'https://www.samuraiapi.in/v1'
});

try {
  const response = await client.chat.completions.create({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: 'Hello!' }]
  });
  console.log(response.choices[0].message.content);
} catch (error) {
  if (error instanceof AuthenticationError) {
    console.error('Invalid API key — check your SAMURAI_API_KEY env var');
  } else if (error instanceof RateLimitError) {
    console.error('Rate limited — implement backoff or upgrade plan');
  } else if (error instanceof APIError) {
    console.error(` + "`API error ${error.status}: ${error.message}`" + `);
  } else {
    throw error;
  }
}`

// documentedNode runs the program that Samurai documents, against a site with an
// address of its own: Node does not find every name under localhost.
func documentedNode(p *proof) {
	program, whose := nodeProgram, "the program"
	if doc := seedOf(p, samuraiSeed); doc != "" {
		program, whose = part(p, doc, "import OpenAI, {", "    throw error;\n  }\n}"), "the seed's program as written"
		if program != nodeProgram {
			p.Errorf("the seed has another program:\n%s", program)
		}
	}
	const address = "https://www.samuraiapi.in/v1"
	if strings.Count(program, address) != 1 {
		p.Fatalf("the program has another address:\n%s", program)
	}
	node, modules := installed(p)
	own := freeAddr(p)
	g := startSamurai(p, func(example, site map[string]any) {
		at := map[string]any{"hosts": []any{"*"}, "listen": own}
		for name, v := range site {
			if name != "hosts" {
				at[name] = v
			}
		}
		example["sites"] = append(example["sites"].([]any), at)
	})
	p.apart(g.gateway)
	c := p.at(own, "0", nil) // a site without a host of its own is called by its address
	file := filepath.Join(modules, "samurai-"+strings.ReplaceAll(own, ":", "-")+".mjs")
	if err := os.WriteFile(file, []byte(strings.Replace(program, address, "http://"+own+"/v1", 1)), 0o600); err != nil {
		p.Fatalf("%v", err)
	}
	p.Cleanup(func() { _ = os.Remove(file) })
	run := func(key, wantOut, wantErr string) {
		p.Helper()
		out, err := nodeRuns(p, node, file, key)
		if out != wantOut || err != wantErr {
			p.Errorf("it printed %q and %q, and not %q and %q", out, err, wantOut, wantErr)
		}
		p.note("%s printed %q", whose, strings.TrimSpace(out+err))
	}
	run(c.key.Key, said+"\n", "")
	run("sk-samurai-YOUR_KEY", "", "Invalid API key — check your SAMURAI_API_KEY env var\n")
	run("sk-proj-0123456789abcdefghijABCDEFGHIJ", "", "Invalid API key — check your SAMURAI_API_KEY env var\n")
	if l := c.ledger(p); l.Charges != 1 || p.counted(c)["closed"] != 1 {
		p.Errorf("one answer: %+v, counted %v", *l, p.counted(c))
	}

	c = p.at(own, "0", nil)
	there := c
	there.gw = &gateway{Gateway: &harness.Gateway{URL: "http://" + own, AdminURL: g.AdminURL}}
	there.host = ""
	for range freeClosed {
		p.wants(p.ask(there, chatPath, chat("gpt-4o")), 200)
	}
	run(c.key.Key, "", "Rate limited — implement backoff or upgrade plan\n")
	p.show(p.free(c, func() *answer { return p.wants(p.ask(there, chatPath, chat("gpt-4o")), 429) }))
	// The key is the site's at that address, not at the other.
	p.wants(p.ask(c, chatPath, chat("gpt-4o"), host(samuraiHost)), 401)

	c = p.at(own, "0", nil)
	up := testkit.NewUpstream(p)
	up.Always(down)
	g.instead.Store(up)
	out, told := nodeRuns(p, node, file, c.key.Key)
	if out != "" || !strings.HasPrefix(told, "API error 503: ") {
		p.Errorf("it printed %q and %q", out, told)
	}
	p.note("%s printed %q", whose, strings.TrimSpace(told))
	if l := c.ledger(p); l.Charges != 0 {
		p.Errorf("what failed was charged: %+v", *l)
	}
	// A failure in the gateway itself, as often as the SDK asks again.
	g.instead.Store(nil)
	g.MustAdmin(p, "POST", "/admin/v1/test/fault", map[string]any{"point": "handler_panic", "times": 3}, nil)
	if out, told := nodeRuns(p, node, file, c.key.Key); out != "" || !strings.HasPrefix(told, "API error 500: ") {
		p.Errorf("it printed %q and %q", out, told)
	}
	run(c.key.Key, said+"\n", "")
	p.pythonIsMissing()
	g.settled(p)
}

// pythonIsMissing says why the programs for Python did not run, where that is so.
func (p *proof) pythonIsMissing() {
	python, err := exec.LookPath("python3")
	if err == nil {
		err = command(python, "-c", "import openai").Run()
	}
	if err != nil {
		p.note("deferred: the openai-python programs, since there is no python3 with the package openai")
		return
	}
	p.Errorf("python3 has the package openai: the seed's programs for it are to be run")
}

// nodeRuns runs a program with a key, and returns what it printed.
func nodeRuns(p *proof, node, file, key string) (out, told string) {
	p.Helper()
	cmd := command(node, file)
	cmd.Env = append(cmd.Env, "SAMURAI_API_KEY="+key, "OPENAI_LOG=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		p.Errorf("node: %v\n%s", err, stderr.Bytes())
	}
	return stdout.String(), stderr.String()
}

// installed returns Node, and a directory in which it finds the SDKs: the one
// that test/compat installs them into, and the same lock file.
func installed(p *proof) (node, dir string) {
	p.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		p.Fatalf("there is no node (make needs installs what is missing)")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		p.Fatalf("there is no npm (make needs installs what is missing)")
	}
	dir = filepath.Join(harness.Root(p), "build", "npm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.Fatalf("%v", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		p.Fatalf("%v", err)
	}
	defer func() { _ = lock.Close() }() // and unlock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		p.Fatalf("%v", err)
	}
	sum := sha256.New()
	for _, name := range []string{"package-lock.json", "package.json"} {
		b, err := os.ReadFile(filepath.Join(harness.Root(p), "test", "compat", "npm", name))
		if err != nil {
			p.Fatalf("%v", err)
		}
		sum.Write(b)
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			p.Fatalf("%v", err)
		}
	}
	stamp, want := filepath.Join(dir, "node_modules", ".pontage"), fmt.Sprintf("%x\n", sum.Sum(nil))
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return node, dir
	}
	_ = os.Remove(stamp)
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		p.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		p.Fatalf("%v", err)
	}
	return node, dir
}

// freeAddr returns an address that nobody listens on.
func freeAddr(p *proof) string {
	p.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.Fatalf("%v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
