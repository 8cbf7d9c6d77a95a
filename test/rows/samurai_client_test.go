package rows

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
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

// seedNode cuts the documented program out of the document, or takes our copy,
// and says whose it is. base is put in place of its address.
func seedNode(p *proof, base string) (program, whose string) {
	p.Helper()
	program, whose = nodeProgram, "the program"
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
	return strings.Replace(program, address, base, 1), whose
}

// documentedNode runs the program that Samurai documents, against a site with an
// address of its own: Node does not find every name under localhost.
func documentedNode(p *proof) {
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
	program, whose := seedNode(p, "http://"+own+"/v1")
	file := filepath.Join(modules, "samurai-"+strings.ReplaceAll(own, ":", "-")+".mjs")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		p.Fatalf("%v", err)
	}
	p.Cleanup(func() { _ = os.Remove(file) })
	run := func(c caller, wantOut, wantTold string) {
		p.Helper()
		out, told := nodeRuns(p, node, file, c.key.Key)
		if out != wantOut || !strings.HasPrefix(told, wantTold) || (wantTold == "" && told != "") {
			p.Errorf("it printed %q and %q, and not %q and %q", out, told, wantOut, wantTold)
		}
		p.note("%s printed %q", whose, strings.TrimSpace(out+told))
	}
	// A site without a host of its own is called by its address, and its keys are
	// good there.
	c := p.at(own, "0", nil)
	there := c
	there.gw, there.host = &gateway{Gateway: &harness.Gateway{URL: "http://" + own, AdminURL: g.AdminURL}}, ""
	run(c, said+"\n", "")
	p.wants(p.ask(c, chatPath, chat("gpt-4o"), host(samuraiHost)), http.StatusUnauthorized)
	for _, bad := range []string{"sk-samurai-YOUR_KEY", "sk-proj-0123456789abcdefghijABCDEFGHIJ"} {
		stranger := c
		stranger.key.Key = bad
		run(stranger, "", "Invalid API key — check your SAMURAI_API_KEY env var\n")
	}
	if l := c.ledger(p); l.Charges != 1 || p.counted(c)["closed"] != 1 {
		p.Errorf("one answer: %+v, counted %v", *l, p.counted(c))
	}
	// The class is spent.
	for range freeClosed - 1 {
		p.wants(p.ask(there, chatPath, chat("gpt-4o")), http.StatusOK)
	}
	run(c, "", "Rate limited — implement backoff or upgrade plan\n")
	p.show(p.wants(p.free(c, func() *answer { return p.ask(there, chatPath, chat("gpt-4o")) }), http.StatusTooManyRequests))

	// The model and its fallbacks are down, and then the gateway has a defect, as
	// often as the SDK asks again.
	other := p.anotherAt(caller{gw: g.gateway, host: own, account: g.NewAccount(p, p.row.ID, "0").ID}, nil)
	up := testkit.NewUpstream(p)
	up.Always(down)
	g.instead.Store(up)
	run(other, "", "API error 503: ")
	g.instead.Store(nil)
	g.MustAdmin(p, "POST", "/admin/v1/test/fault", map[string]any{"point": "handler_panic", "times": 3}, nil)
	run(other, "", "API error 500: ")
	if l := other.ledger(p); l.Charges != 0 || p.counted(other)["closed"] != 0 {
		p.Errorf("what failed was charged: %+v, counted %v", *l, p.counted(other))
	}
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

// tool finds a program that a row needs. Without it the row is deferred, unless
// the surroundings promise to have everything.
func (p *proof) tool(name string) string {
	p.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" || os.Getenv("CI") == "true" {
		p.Fatalf("there is no %s (make needs installs what is missing)", name)
	}
	p.note("deferred: there is no %s", name)
	p.Skipf("there is no %s", name)
	return ""
}

// installed returns Node, and a directory in which it finds the SDKs: the one
// that test/compat installs them into, by the same lock file.
func installed(p *proof) (node, dir string) {
	p.Helper()
	node = p.tool("node")
	npm := p.tool("npm")
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

// freeAddr returns an address that nobody listens on, of this machine, but not
// the one at which every other test listens: none of them comes in between.
func freeAddr(p *proof) string {
	p.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		p.Fatalf("%v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
