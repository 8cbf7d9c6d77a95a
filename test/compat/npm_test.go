package compat

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// oldestNode is the oldest major version of Node that both SDKs run on. They
// promise no older one than 20, and still do on that of Debian 12.
const oldestNode = 18

// leastNPM is how many tests of each file must have run at the least: a run that
// runs nothing has proved nothing.
var leastNPM = map[string]int{"openai.test.mjs": 45, "responses.test.mjs": 9, "anthropic.test.mjs": 45, "gemini.test.mjs": 25, "five.test.mjs": 700}

// The official SDKs for Node do against the same gateways what those for Go do.
func TestNPM(t *testing.T) {
	t.Parallel()
	node, npm := needNode(t)
	dir := install(t, npm, "npm")
	n, f, fleets := near.get(t), far.get(t), writeFleets(t)
	args := []string{"--test", "--test-reporter=./reporter.mjs"}
	for name := range leastNPM {
		args = append(args, name)
	}
	cmd := exec.Command(node, args...)
	cmd.Dir = dir
	cmd.Env = append(plainEnv(),
		"NEAR_URL="+n.base, "NEAR_KEY="+n.key, "NEAR_TEST_KEY="+n.testKey, "NEAR_ADMIN_URL="+n.admin, "NEAR_ADMIN_TOKEN="+n.token,
		"FAR_URL="+f.base, "FAR_KEY="+f.key, "FLEETS="+fleets)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	failed := report(t, out, leastNPM)
	if err != nil && failed == 0 {
		t.Fatalf("node --test: %v\n%s%s", err, out, stderr.Bytes())
	}
	if h := upstream.noted(t, "npm").Header; h.Get("Anthropic-Version") != "2026-10-21" || h.Get("X-Api-Key") != farKey || h.Get("Authorization") != "" {
		t.Errorf("the SDK's version or key did not reach the provider as they must: %v", h)
	}
}

// writeFleets writes what Node must know of the services, and returns the file.
func writeFleets(t *testing.T) string {
	t.Helper()
	out := map[string]any{}
	for name, f := range map[string]*fleet{"five": five, "broken": broken} {
		services := f.get(t)
		out[name] = map[string]any{"services": services, "admin": f.g.admin, "token": f.g.token}
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "fleets.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// report makes a subtest of every line of the reporter, and returns how many
// have failed. Fewer tests of a file than leasts says are a failure, too.
func report(t *testing.T, out []byte, leasts map[string]int) (failed int) {
	t.Helper()
	ran := map[string]int{}
	said := ""
	for line := range bytes.Lines(out) {
		var r struct {
			OK, Suite, Skipped    bool
			Name, File, Why, Said string
			Depth                 int
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("the reporter wrote %q", line)
		}
		switch {
		case r.Said != "":
			said += r.Said
			continue
		case r.Suite || r.Depth == 0 && r.OK: // the sum of others
			continue
		}
		file := filepath.Base(r.File)
		ran[file]++
		t.Run(strings.TrimSuffix(file, ".test.mjs")+" "+r.Name, func(t *testing.T) {
			switch {
			case !r.OK:
				failed++
				t.Error(r.Why)
			case r.Skipped:
				t.Error("skipped itself")
			}
		})
	}
	for file, least := range leasts {
		if ran[file] < least {
			t.Errorf("%d tests of %s ran, want at least %d", ran[file], file, least)
		}
	}
	if failed > 0 && said != "" {
		t.Logf("it printed:\n%s", said)
	}
	return failed
}

// needNode finds Node and npm. Without them the test is skipped, loudly, unless
// the surroundings promise to have everything.
func needNode(t *testing.T) (node, npm string) {
	t.Helper()
	lack := func(what string) {
		t.Helper()
		if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" || os.Getenv("CI") == "true" {
			t.Fatalf("%s (make needs installs what is missing)", what)
		}
		t.Skipf("SKIPPED WITHOUT TESTING THE SDKs FOR NODE: %s", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		lack("there is no node")
	}
	if npm, err = exec.LookPath("npm"); err != nil {
		lack("there is no npm")
	}
	out, err := exec.Command(node, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		lack(fmt.Sprintf("node is %s, the SDKs need %d", bytes.TrimSpace(out), oldestNode))
	}
	return node, npm
}

// install puts the packages of NAME/package-lock.json and the files beside it into
// build/NAME, and returns it. What is there from before is kept while the lock
// file is the same.
func install(t *testing.T, npm, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../build", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }() // and unlock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	files, err := filepath.Glob(filepath.Join(name, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, ".json") {
			sum.Write(b)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stamp, want := filepath.Join(dir, "node_modules", ".pontage"), fmt.Sprintf("%x\n", sum.Sum(nil))
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return dir
	}
	_ = os.Remove(stamp)
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// plainEnv is the environment without what the SDKs would read from it.
func plainEnv() []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "OPENAI_") && !strings.HasPrefix(kv, "ANTHROPIC_") && !strings.HasPrefix(kv, "NODE_OPTIONS=") && !strings.HasPrefix(kv, "NODE_TEST_CONTEXT=") {
			out = append(out, kv)
		}
	}
	return out
}
