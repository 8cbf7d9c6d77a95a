package compat

import (
	"encoding/json"
	"strings"
	"testing"
)

// newClaudeCode prepares the Claude Code of Anthropic, and returns the arguments
// before the prompt.
func newClaudeCode(t *testing.T, g *gateway, key, model string) (*program, []string) {
	t.Helper()
	p := &program{}
	p.install(t, "claude-code-linux-x64", "claude")
	p.env = append(p.env, "ANTHROPIC_BASE_URL="+g.base, "ANTHROPIC_AUTH_TOKEN="+key, "ANTHROPIC_MODEL="+model, "ANTHROPIC_DEFAULT_HAIKU_MODEL="+model,
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "IS_SANDBOX=1")
	return p, []string{"-p", "--output-format", "json", "--dangerously-skip-permissions"}
}

// claudeCodeSaid is what it says of a run: its last line.
func claudeCodeSaid(t *testing.T, said string) (result string, failed bool, status int) {
	t.Helper()
	var r struct {
		Result  string `json:"result"`
		IsError bool   `json:"is_error"`
		Status  int    `json:"api_error_status"`
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return r.Result, r.IsError, r.Status
}

// It asks for adaptive thinking, for an effort, and that earlier thoughts be kept,
// of every model.
func TestClaudeCodeUsesATool(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	for _, family := range []string{"messages", "chat", "responses", "gemini"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			key, account := g.purse(t, "1", nil)
			p, args := newClaudeCode(t, g, key, agentModels[family])
			name, prompt := asksFor(t, "Bash", `{"command":"cat secret.txt","description":"read it"}`)
			said, ok := p.run(t, "", append(args, prompt)...)
			result, failed, _ := claudeCodeSaid(t, said)
			if !ok || failed || !strings.HasPrefix(result, "The tool said: ") || !strings.Contains(result, secret) {
				t.Fatalf("%s", said)
			}
			usedTool(t, g, account, name, family, family != "chat")
		})
	}
}

func TestClaudeCodeStopsWithoutMoney(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, _ := g.purse(t, "", nil)
	p, args := newClaudeCode(t, g, key, agentModels["messages"])
	name, prompt := asksFor(t, "Bash", `{"command":"cat secret.txt","description":"read it"}`)
	said, ok := p.run(t, "", append(args, prompt)...)
	if result, failed, status := claudeCodeSaid(t, said); ok || !failed || status != 402 || !strings.Contains(result, "402 This request needs $") {
		t.Errorf("%s", said)
	}
	neverAsked(t, name)
}
