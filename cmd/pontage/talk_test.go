package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/dash"
)

func chunk(text string) string {
	b, _ := json.Marshal(text)
	return `data: {"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":` + string(b) + `}}]}` + "\n\n"
}

const (
	usageFrame = `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}` + "\n\n"
	doneFrame  = "data: [DONE]\n\n"
)

// answerWell answers as a gateway in good health does, test keys and simulated
// faults included.
func answerWell(w http.ResponseWriter, r *http.Request, body string) {
	fail := func(status int, code string) {
		w.Header().Set("X-Charge-USD", "0")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":"no","type":"t","code":%q}}`, code)
	}
	simulate := r.Header.Get("X-Pontage-Simulate")
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer sk-live-") && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer sk-test-"):
		fail(401, "invalid_api_key")
	case strings.HasSuffix(r.URL.Path, "/models"):
		_, _ = io.WriteString(w, `{"data":[{"id":"a-embed"},{"id":"gpt-5-mini","owned_by":"openai","context_length":400000,"pricing":{"input":0.25,"output":"2.00"}}]}`)
	case simulate == "content_policy":
		fail(400, "content_policy_violation")
	case strings.Contains(body, `"stream":true`):
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Trailer", "X-Charge-USD")
		_, _ = io.WriteString(w, chunk("hel")+chunk("lo\x1b[2J"))
		if strings.HasPrefix(simulate, "stream_interrupted") {
			_, _ = io.WriteString(w, `data: {"error":{"message":"broke","code":"stream_interrupted"}}`+"\n\n")
			return
		}
		_, _ = io.WriteString(w, usageFrame+doneFrame)
		w.Header().Set("X-Charge-USD", "0.0001")
	default:
		w.Header().Set("X-Charge-USD", "0.0001")
		_, _ = io.WriteString(w, `{"model":"gpt-5-mini","choices":[{"message":{"role":"assistant","content":"hello"}}]}`)
	}
}

func TestModelList(t *testing.T) {
	t.Parallel()
	g := setup(t)
	like(t, g.well("model", "list"), `MODEL BY CONTEXT INPUT/1M OUTPUT/1M a-embed gpt-5-mini openai 400000 $0.25 $2.00`)
	like(t, g.well("model", "list", "--search", "GPT", "--json"), `
		{ "data": [ { "id": "gpt-5-mini", "owned_by": "openai", "context_length": 400000, "pricing": { "input": 0.25, "output": "2.00" } } ] }`)
}

func TestChatOnce(t *testing.T) {
	t.Parallel()
	g := setup(t)
	var bodies, keys []string
	g.serve = func(w http.ResponseWriter, r *http.Request, body string) {
		bodies, keys = append(bodies, body), append(keys, r.Header.Get("Authorization"))
		answerWell(w, r, body)
	}
	r := g.run("chat", "why", "blue?", "--usage")
	if r.code != exitWell || r.out != "hello·[2J\n" || r.err != "[gpt-5-mini · 3 tokens in, 2 out · $0.0001 · req_1]\n" {
		t.Errorf("chat = %+v", r)
	}
	if last := bodies[len(bodies)-1]; !strings.Contains(last, `"content":"why blue?"`) || !strings.Contains(last, `"model":"gpt-5-mini"`) {
		t.Errorf("sent %s", last)
	}
	r = g.typed("from a pipe\n", false, "chat", "--model", "m", "--system", "be brief", "--max-tokens", "9", "--json", "--test")
	like(t, r.out, `{ "model": "gpt-5-mini", "content": "hello\u001b[2J", "finish_reason": "",
		"usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 0, "prompt_tokens_details": { "cached_tokens": 0 }, "completion_tokens_details": { "reasoning_tokens": 0 } },
		"charge_usd": "0.0001", "request_id": "req_1" }`)
	last := bodies[len(bodies)-1]
	if !strings.Contains(last, `[{"role":"system","content":"be brief"},{"role":"user","content":"from a pipe"}]`) || !strings.Contains(last, `"max_tokens":9`) {
		t.Errorf("sent %s", last)
	}
	if keys[len(keys)-1] != "Bearer sk-test-0123456789" || keys[0] != "Bearer sk-live-0123456789" {
		t.Errorf("keys used: %v", keys)
	}
	for name, r := range map[string]result{
		"nothing typed":    g.typed(" \n", false, "chat"),
		"JSON to a person": g.typed("", true, "chat", "--json"),
		"too long":         g.typed(strings.Repeat("x", maxPrompt+1), false, "chat"),
	} {
		if r.code != exitUsage || r.out != "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestChatShowsWhatBroke(t *testing.T) {
	t.Parallel()
	g := setup(t)
	r := g.run("chat", "hi", "--simulate", "stream_interrupted;after=2")
	if r.code != exitWrong || r.out != "hello·[2J\n" || !strings.Contains(r.err, "stream_interrupted broke [req_1]") {
		t.Errorf("chat = %+v", r)
	}
	r = g.run("chat", "hi", "--simulate", "content_policy")
	if r.code != exitUsage || r.out != "" || !strings.Contains(r.err, "content_policy_violation") {
		t.Errorf("chat = %+v", r)
	}
}

func TestConversationRemembers(t *testing.T) {
	t.Parallel()
	g := setup(t)
	var turns []int
	g.serve = func(w http.ResponseWriter, r *http.Request, body string) {
		if strings.Contains(body, "fail now") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		turns = append(turns, strings.Count(body, `"role"`))
		answerWell(w, r, body)
	}
	r := g.typed("one\n\nfail now\ntwo\n", true, "chat", "--model", "m", "--system", "s")
	if r.code != exitWell || strings.Count(r.out, "hello") != 2 || !strings.Contains(r.err, "pontage: 400") {
		t.Errorf("chat = %+v", r)
	}
	if diff := cmp.Diff([]int{2, 4}, turns); diff != "" {
		t.Errorf("turns sent (-want +got):\n%s", diff)
	}
	tk := &talk{system: "s"}
	for range maxTurns {
		tk.remember(tk.turns, "x")
	}
	if len(tk.turns) != maxTurns {
		t.Errorf("remembers %d turns, want %d", len(tk.turns), maxTurns)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	g := setup(t)
	r := g.run("doctor")
	if r.code != exitWell || strings.Contains(r.out, "FAILED") || strings.Count(r.out, "ok ") < 12 || !strings.HasSuffix(r.out, "Nothing is wrong.\n") {
		t.Errorf("doctor of a healthy gateway = %+v", r)
	}
	tests := []struct {
		name  string
		harm  func(g *gateway)
		check string
	}{
		{"not ready", func(g *gateway) { g.degraded = []string{"ledger: disk full"} }, "ready for traffic"},
		{"wrong token", func(g *gateway) { g.env["PONTAGE_ADMIN_TOKEN"] = "wrong" }, "admin token"},
		{"sick target", func(g *gateway) {
			g.targets = append(g.targets, dash.TargetHealth{Target: "openai/x", Breaker: "open"})
		}, "targets"},
		{"no target", func(g *gateway) { g.targets = nil }, "targets"},
		{"ledger that does not add up", func(g *gateway) {
			acc := g.value("id", "account", "create", "x")
			g.well("credit", "add", acc, "1")
			if err := g.tamper("UPDATE entries SET amount = amount + 1"); err != nil {
				g.t.Fatal(err)
			}
		}, "ledger"},
		{"everybody gets in", func(g *gateway) {
			g.serve = func(w http.ResponseWriter, r *http.Request, body string) {
				r.Header.Set("Authorization", "Bearer sk-live-x")
				answerWell(w, r, body)
			}
		}, "unknown key"},
		{"no models", func(g *gateway) {
			g.serve = func(w http.ResponseWriter, r *http.Request, body string) { _, _ = io.WriteString(w, `{"data":[]}`) }
		}, "models"},
		{"streams that end early", func(g *gateway) {
			g.serve = func(w http.ResponseWriter, r *http.Request, body string) {
				if strings.Contains(body, `"stream":true`) {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, chunk("hi"))
					return
				}
				answerWell(w, r, body)
			}
		}, "test stream"},
		{"refusals that cost", func(g *gateway) {
			g.serve = func(w http.ResponseWriter, r *http.Request, body string) {
				if r.Header.Get("X-Pontage-Simulate") == "content_policy" {
					w.Header().Set("X-Charge-USD", "0.1")
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				answerWell(w, r, body)
			}
		}, "simulated failure before an answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := setup(t)
			tt.harm(g)
			r := g.run("doctor", "--json")
			var got struct {
				OK     bool
				Checks []finding
			}
			if err := json.Unmarshal([]byte(r.out), &got); err != nil {
				t.Fatalf("doctor = %+v: %v", r, err)
			}
			failed := map[string]bool{}
			for _, f := range got.Checks {
				failed[f.Check] = f.Result == "failed"
			}
			if r.code != exitWrong || got.OK || !failed[tt.check] || failed["admin API"] {
				t.Errorf("doctor = %d, %+v, want %q failed", r.code, got.Checks, tt.check)
			}
		})
	}
}

func TestDoctorWithoutAGateway(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.env = map[string]string{"PONTAGE_ADMIN_URL": "http://127.0.0.1:1"}
	r := g.run("doctor")
	if r.code != exitWrong || strings.Count(r.out, "FAILED ") != 2 || strings.Count(r.out, "skipped ") != 7 {
		t.Errorf("doctor = %+v", r)
	}
}

func TestDoctorSeesAWrongClock(t *testing.T) {
	t.Parallel()
	g := setup(t)
	d := &doctor{remote: &remote{sys: &system{now: func() time.Time { return time.Now().Add(time.Minute) }, http: g.admin.Client(), lookup: func(n string) (string, bool) { return g.env[n], true }}}}
	var err error
	if d.admin, err = d.remote.admin(); err != nil {
		t.Fatal(err)
	}
	if detail, err := d.checkClock(t.Context()); err == nil || !strings.Contains(err.Error(), "apart") {
		t.Errorf("checkClock() = %q, %v for a clock a minute ahead", detail, err)
	}
	d.sys.now = time.Now
	if _, err := d.checkClock(t.Context()); err != nil {
		t.Errorf("checkClock() = %v for the same clock", err)
	}
}

// A credential must never be sent to the server of another one.
func TestSettingsKeepCredentialsAndServersTogether(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "dev.env")
	text := "# written by pontage dev\nPONTAGE_BASE_URL=http://dev\nexport PONTAGE_API_KEY=\"sk-dev\"\nPONTAGE_TEST_KEY=sk-devtest\nPONTAGE_ADMIN_URL=http://devadmin\nPONTAGE_ADMIN_TOKEN='devtoken'\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := settings{"http://dev", "sk-dev", "sk-devtest", "http://devadmin", "devtoken", ""}
	tests := []struct {
		name            string
		env             map[string]string
		server, baseURL string
		want            settings
	}{
		{name: "the file alone", want: dev},
		{name: "the file's own server", server: "http://devadmin", baseURL: "http://dev", want: dev},
		{
			name: "the environment has its own token", env: map[string]string{"PONTAGE_ADMIN_TOKEN": "prod"},
			want: settings{dev.baseURL, dev.apiKey, dev.testKey, "", "prod", ""},
		},
		{
			name: "another server", server: "http://prod", baseURL: "http://prodapi",
			want: settings{"http://prodapi", "", "", "http://prod", "", "http://devadmin"},
		},
		{
			name: "the environment has its own key", env: map[string]string{"PONTAGE_API_KEY": "sk-prod", "PONTAGE_BASE_URL": "http://prod"},
			want: settings{"http://prod", "sk-prod", "", dev.adminURL, dev.adminToken, ""},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &remote{sys: &system{lookup: func(n string) (string, bool) { v, ok := tt.env[n]; return v, ok }}, envFile: file, server: tt.server, baseURL: tt.baseURL}
			got, err := r.settings()
			if err != nil || got != tt.want {
				t.Errorf("settings() = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	r := &remote{sys: &system{lookup: func(string) (string, bool) { return "", false }}, envFile: file, server: "http://prod"}
	want := "no admin token: that of " + file + " is for http://devadmin and is not sent to http://prod; set PONTAGE_ADMIN_TOKEN"
	if _, err := r.admin(); err == nil || err.Error() != want {
		t.Errorf("admin() = %v, want %q", err, want)
	}
}
