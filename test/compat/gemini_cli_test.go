package compat

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// newGeminiCLI prepares Google's, and returns the arguments before the prompt.
func newGeminiCLI(t *testing.T, g *gateway, key, model string) (*program, []string) {
	t.Helper()
	dir, node := needClients(t)
	p := &program{}
	p.install(t, "@google", "gemini-cli", "bundle", "gemini.js")
	p.path = node
	p.write(t, ".gemini/settings.json", `{
  "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false}, "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
  "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}}, "tools": {"sandbox": false}
}`)
	p.env = append(p.env, "GEMINI_API_KEY="+key, "GOOGLE_GEMINI_BASE_URL="+g.base, "GEMINI_CLI_NO_RELAUNCH=true", "GEMINI_TELEMETRY_ENABLED=false")
	return p, []string{filepath.Join(dir, "node_modules/@google/gemini-cli/bundle/gemini.js"), "--yolo", "--skip-trust", "-m", model, "-o", "json", "-p"}
}

func TestGeminiCLIUsesATool(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	for _, family := range []string{"gemini", "messages", "chat", "responses"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			key, account := g.purse(t, "1", nil)
			p, args := newGeminiCLI(t, g, key, agentModels[family])
			name, prompt := asksFor(t, "run_shell_command", `{"command":"cat secret.txt","description":"read it"}`)
			said, ok := p.run(t, "", append(args, prompt)...)
			begin := strings.Index(said, "{\n")
			var got struct{ Response string }
			if !ok || begin < 0 || json.NewDecoder(strings.NewReader(said[begin:])).Decode(&got) != nil || !strings.HasPrefix(got.Response, "The tool said: ") || !strings.Contains(got.Response, secret) {
				t.Fatalf("%s", said)
			}
			// It asks for thoughts only of models that it knows to think.
			usedTool(t, g, account, name, family, family == "gemini")
		})
	}
}

func TestGeminiCLIStopsWithoutMoney(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, _ := g.purse(t, "", nil)
	p, args := newGeminiCLI(t, g, key, agentModels["gemini"])
	name, prompt := asksFor(t, "run_shell_command", `{"command":"cat secret.txt","description":"read it"}`)
	said, ok := p.run(t, "", append(args, prompt)...)
	if ok || !strings.Contains(said, "This request needs $") {
		t.Errorf("%s", said)
	}
	neverAsked(t, name)
}

func TestGeminiCLIWaitsOutARateLimit(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, account := g.purse(t, "1", map[string]any{"limits": map[string]any{"requests": 1, "per": "3s"}})
	p, args := newGeminiCLI(t, g, key, agentModels["gemini"])
	name, prompt := asksFor(t, "run_shell_command", `{"command":"cat secret.txt","description":"read it"}`)
	said, ok := p.run(t, "", append(args, prompt)...)
	if !ok || !strings.Contains(said, "The tool said: ") {
		t.Fatalf("%s", said)
	}
	usedTool(t, g, account, name, "gemini", true)
}
