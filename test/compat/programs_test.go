package compat

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// secret is in a file that only the agent's tool can read.
const secret = "the-otter-is-at-the-pier"

// program is an agent's command-line program in a home of its own, at work in a
// folder with the file secret.txt.
type program struct {
	path string
	home string
	env  []string
}

// install finds a program below the installed packages.
func (p *program) install(t *testing.T, parts ...string) {
	t.Helper()
	dir, _ := needClients(t)
	p.path = filepath.Join(append([]string{dir, "node_modules"}, parts...)...)
	if _, err := os.Stat(p.path); err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED WITHOUT TESTING THE PROGRAM: there is none for this machine: %v", err)
	}
	p.home = t.TempDir()
	p.write(t, "work/secret.txt", secret+"\n")
	p.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, "TERM=dumb", "LANG=C.UTF-8", "NO_COLOR=1", "DO_NOT_TRACK=1",
		"XDG_CONFIG_HOME=" + p.home + "/config", "XDG_DATA_HOME=" + p.home + "/data", "XDG_CACHE_HOME=" + p.home + "/cache", "XDG_STATE_HOME=" + p.home + "/state",
		// What is not on this machine is not looked for.
		"HTTPS_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
	}
}

// write makes a file in the program's home.
func (p *program) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(p.home, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// busy is how many programs may run at once: each starts with seconds of work.
var busy = make(chan struct{}, 2)

// run runs the program until it ends or has said the words until, and returns
// what it said and whether it ended well.
func (p *program) run(t *testing.T, until string, args ...string) (string, bool) {
	t.Helper()
	busy <- struct{}{}
	defer func() { <-busy }()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Dir, cmd.Env = filepath.Join(p.home, "work"), p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out := &ear{until: until, heard: cancel}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	said := out.String()
	if until != "" && !strings.Contains(said, until) {
		t.Fatalf("it did not say %q (%v):\n%s", until, err, said)
	}
	return said, err == nil
}

// ear keeps what a program says, and tells when it hears the words.
type ear struct {
	until string
	heard func()

	mu  sync.Mutex
	buf bytes.Buffer
}

func (e *ear) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.buf.Write(b)
	if e.until != "" && strings.Contains(e.buf.String(), e.until) {
		e.heard()
	}
	return n, err
}

func (e *ear) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.buf.String()
}

// usedTool checks a conversation in which a program called its tool once, and
// what it has cost: the provider got the result, and its state if it has any.
func usedTool(t *testing.T, g *gateway, account, name, family string, stateful bool) {
	t.Helper()
	turns, all := agentsUpstream.of(t, name)
	if len(turns) != 2 || len(turns[0].Results) != 0 || len(turns[1].Results) != 1 || !strings.Contains(turns[1].Results[0], secret) {
		t.Fatalf("%d turns: %+v", len(turns), brief(turns))
	}
	for _, h := range turns {
		if h.Family != family || h.Refused != "" || h.Header.Get("Authorization")+h.Header.Get("X-Api-Key")+h.Header.Get("X-Goog-Api-Key") == "" {
			t.Errorf("%+v", brief(turns))
		}
	}
	if stateful {
		states := turns[1].States
		if len(states) != 1 || !strings.HasPrefix(states[0], signed+name) {
			t.Errorf("the state that came back: %v", states)
		}
	}
	g.spent(t, account, all)
}

// neverAsked checks that no provider has heard of a conversation.
func neverAsked(t *testing.T, name string) {
	t.Helper()
	if _, all := agentsUpstream.of(t, name); all != 0 {
		t.Errorf("the provider was asked %d times", all)
	}
}

// brief is what tests tell of requests.
func brief(turns []hearing) (out []string) {
	for _, h := range turns {
		out = append(out, fmt.Sprintf("%s: results %q, states %q, refused %q", h.Family, h.Results, h.States, h.Refused))
	}
	return out
}

// asksFor makes a prompt under a name of its own, to which the model calls a tool
// with arguments.
func asksFor(t *testing.T, tool, arguments string) (name, prompt string) {
	t.Helper()
	name = strings.NewReplacer("/", ".", " ", "-").Replace(t.Name())
	agentsUpstream.has(name, tale{Tool: tool, Arguments: arguments})
	return name, "Read secret.txt. " + telling(name)
}

// newCodex prepares the Codex of OpenAI.
func newCodex(t *testing.T, g *gateway, key, model, more string) *program {
	t.Helper()
	p := &program{}
	p.install(t, "codex-linux-x64", "vendor", "x86_64-unknown-linux-musl", "bin", "codex")
	p.write(t, ".codex/config.toml", fmt.Sprintf(`
model = %q
model_provider = "pontage"
model_reasoning_effort = "medium"
check_for_update_on_startup = false
%s
[model_providers.pontage]
name = "Pontage"
base_url = %q
env_key = "PONTAGE_KEY"
wire_api = "responses"
request_max_retries = 2
stream_max_retries = 1
[analytics]
enabled = false
`, model, more, g.base+"/v1"))
	p.env = append(p.env, "PONTAGE_KEY="+key)
	return p
}

// What models of other protocols cannot do for Codex is switched off in its
// configuration: a search that runs at OpenAI.
const codexPlain = "web_search = \"disabled\"\n"

var codexArgs = []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json"}

func TestCodexUsesATool(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	for _, family := range []string{"responses", "chat", "messages", "gemini"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			key, account := g.purse(t, "1", nil)
			more := codexPlain
			if family == "responses" {
				more = ""
			}
			p := newCodex(t, g, key, agentModels[family], more)
			name, prompt := asksFor(t, "exec_command", `{"cmd":"cat secret.txt"}`)
			said, ok := p.run(t, "", append(slices.Clone(codexArgs), prompt)...)
			if !ok || !strings.Contains(said, `"agent_message","text":"The tool said: `) || !strings.Contains(said, secret) || !strings.Contains(said, `"turn.completed"`) {
				t.Fatalf("%s", said)
			}
			usedTool(t, g, account, name, family, family != "chat")
		})
	}
}

func TestCodexIsToldWhatAModelCannotDo(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, account := g.purse(t, "1", nil)
	name, prompt := asksFor(t, "exec_command", `{"cmd":"cat secret.txt"}`)
	said, ok := newCodex(t, g, key, agentModels["messages"], "").run(t, "", append(slices.Clone(codexArgs), prompt)...)
	if ok || !strings.Contains(said, "cannot be honoured for this model") || !strings.Contains(said, "tools.") || strings.Contains(said, "Reconnecting") {
		t.Errorf("%s", said)
	}
	neverAsked(t, name)
	g.spent(t, account, 0)
}

func TestCodexStopsWithoutMoney(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, _ := g.purse(t, "", nil)
	name, prompt := asksFor(t, "exec_command", `{"cmd":"cat secret.txt"}`)
	said, ok := newCodex(t, g, key, agentModels["responses"], "").run(t, "", append(slices.Clone(codexArgs), prompt)...)
	if ok || !strings.Contains(said, `"turn.failed"`) || !strings.Contains(said, "402 Payment Required: This request needs $") {
		t.Errorf("%s", said)
	}
	neverAsked(t, name)
}

// It tries as often as it is configured to, pays nothing, and says what it heard.
func TestCodexStopsWhenAProviderIsDown(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, account := g.purse(t, "1", nil)
	_, prompt := asksFor(t, "exec_command", `{"cmd":"cat secret.txt"}`)
	said, ok := newCodex(t, g, key, agentModels["down"], codexPlain).run(t, "", append(slices.Clone(codexArgs), prompt)...)
	if ok || !strings.Contains(said, `"turn.failed"`) || !strings.Contains(said, "503 Service Unavailable") {
		t.Errorf("%s", said)
	}
	g.spent(t, account, 0)
}

func TestCodexWaitsOutARateLimit(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, account := g.purse(t, "1", map[string]any{"limits": map[string]any{"requests": 1, "per": "3s"}})
	name, prompt := asksFor(t, "exec_command", `{"cmd":"cat secret.txt"}`)
	said, ok := newCodex(t, g, key, agentModels["responses"], "").run(t, "", append(slices.Clone(codexArgs), prompt)...)
	if !ok || !strings.Contains(said, "The tool said: ") {
		t.Fatalf("%s", said)
	}
	usedTool(t, g, account, name, "responses", true)
}

// opencode speaks through the AI SDK of Vercel, by whichever of its packages is
// configured.
var opencodes = map[string]struct{ npm, options string }{
	"chat":      {"@ai-sdk/openai-compatible", `{}`},
	"responses": {"@ai-sdk/openai", `{"store":false,"reasoningEffort":"medium","reasoningSummary":"auto","include":["reasoning.encrypted_content"]}`},
	"messages":  {"@ai-sdk/anthropic", `{"thinking":{"type":"enabled","budgetTokens":2000}}`},
}

// newOpencode prepares opencode, and returns the arguments before the prompt.
func newOpencode(t *testing.T, g *gateway, key, family string) (*program, []string) {
	t.Helper()
	p := &program{}
	p.install(t, "opencode-linux-x64-baseline", "bin", "opencode")
	model, how := agentModels[family], opencodes[family]
	p.write(t, "work/opencode.json", fmt.Sprintf(`{
  "autoupdate": false, "share": "disabled", "permission": "allow", "enabled_providers": ["pontage"],
  "provider": {"pontage": {"npm": %q, "name": "Pontage", "options": {"baseURL": %q, "apiKey": %q},
    "models": {%q: {"name": "m", "reasoning": true, "tool_call": true, "limit": {"context": 200000, "output": 8000}, "options": %s}}}}
}`, how.npm, g.base+"/v1", key, model, how.options))
	for _, what := range []string{"AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "SHARE"} {
		p.env = append(p.env, "OPENCODE_DISABLE_"+what+"=1")
	}
	return p, []string{"run", "--pure", "--print-logs", "--log-level", "WARN", "--format", "json", "--title", "Secrets", "-m", "pontage/" + model}
}

func TestOpencodeUsesATool(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	for family := range opencodes {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			key, account := g.purse(t, "1", nil)
			p, args := newOpencode(t, g, key, family)
			name, prompt := asksFor(t, "bash", `{"command":"cat secret.txt","description":"read it"}`)
			said, ok := p.run(t, "", append(args, prompt)...)
			if !ok || !strings.Contains(said, `"text":"The tool said: `+secret) {
				t.Fatalf("%s", said)
			}
			usedTool(t, g, account, name, family, family != "chat")
		})
	}
}

// It says why, asks no more, and (in this version) does not end by itself.
func TestOpencodeStopsWithoutMoney(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, _ := g.purse(t, "", nil)
	p, args := newOpencode(t, g, key, "chat")
	name, prompt := asksFor(t, "bash", `{"command":"cat secret.txt","description":"read it"}`)
	p.run(t, "AI_APICallError: This request needs $", append(args, prompt)...)
	neverAsked(t, name)
}

func TestOpencodeWaitsOutARateLimit(t *testing.T) {
	t.Parallel()
	g := agents.get(t)
	key, account := g.purse(t, "1", map[string]any{"limits": map[string]any{"requests": 1, "per": "5s"}})
	p, args := newOpencode(t, g, key, "chat")
	name, prompt := asksFor(t, "bash", `{"command":"cat secret.txt","description":"read it"}`)
	said, ok := p.run(t, "", append(args, prompt)...)
	if !ok || !strings.Contains(said, `"text":"The tool said: `+secret) {
		t.Fatalf("%s", said)
	}
	usedTool(t, g, account, name, "chat", false)
}
