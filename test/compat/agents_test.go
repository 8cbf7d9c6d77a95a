package compat

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// agents is a gateway whose models the teller plays. Their names say by whom
// they are served: in OpenAI's chat completions or responses, by Anthropic, by
// Google, or by nobody.
var agents = &once{start: startAgents}

// agentModels are the models by who serves them. Clients know what a model can
// do by what its name begins with, so these begin as real ones do.
var agentModels = map[string]string{
	"chat":      "gpt-5-chats",
	"responses": "gpt-5-responds",
	"messages":  "claude-sonnet-4-5-tells",
	"gemini":    "gemini-3-pro-tells",
	"down":      "gpt-5-is-down",
}

// agentsConfig says who the providers are.
func agentsConfig(addr, admin string) string {
	url := agentsUpstream.URL()
	var b strings.Builder
	fmt.Fprintf(&b, farHead+"providers:\n", addr, admin, farToken)
	fmt.Fprintf(&b, "  of-chat: {kind: openai, base_url: %q, api_key: %s, quirks: generic, catalog: none}\n", url+"/openai/v1", farKey)
	fmt.Fprintf(&b, "  of-responses: {kind: openai, base_url: %q, api_key: %s, quirks: openai, catalog: none}\n", url+"/openai/v1", farKey)
	fmt.Fprintf(&b, "  of-messages: {kind: anthropic, base_url: %q, api_key: %s, catalog: none}\n", url+"/anthropic", farKey)
	fmt.Fprintf(&b, "  of-gemini: {kind: gemini, base_url: %q, api_key: %s, catalog: none}\n", url+"/gemini/v1beta", farKey)
	fmt.Fprintf(&b, "  of-down: {kind: openai, base_url: %q, api_key: %s, quirks: generic, catalog: none}\n", "http://127.0.0.1:1/v1", farKey)
	b.WriteString("models:\n")
	for who, name := range agentModels {
		api := ""
		if who == "responses" {
			api = ", api: responses"
		}
		fmt.Fprintf(&b, "  %s: {targets: [{provider: of-%s, model: %s%s}], context: 200000, max_output: 64000, input: [text, image, file], price: {input: 1, output: 2, cached_input: 0.1}}\n", name, who, name, api)
	}
	return b.String()
}

func startAgents() (*gateway, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	g, err := serve([]byte(agentsConfig(addr, admin)), admin)
	if err != nil {
		return nil, err
	}
	g.base, g.admin, g.token = "http://"+addr, "http://"+admin, farToken
	return g, nil
}

// purse makes an account with some dollars, and a key to it.
func (g *gateway) purse(t *testing.T, usd string, more map[string]any) (key, account string) {
	t.Helper()
	var a struct{ ID string }
	var k struct{ Key string }
	g.call(t, "POST", "/admin/v1/accounts", map[string]string{"name": t.Name()}, &a)
	if usd != "" {
		g.call(t, "POST", "/admin/v1/accounts/"+a.ID+"/credits", map[string]string{"amount_usd": usd, "kind": "topup"}, nil)
	}
	in := map[string]any{"name": "agent"}
	maps.Copy(in, more)
	g.call(t, "POST", "/admin/v1/accounts/"+a.ID+"/keys", in, &k)
	return k.Key, a.ID
}

// spent waits until an account that had a dollar has been charged for so many
// turns, and for nothing else.
func (g *gateway) spent(t *testing.T, account string, turns int) {
	t.Helper()
	want := money(1_000_000_000 - int64(turns)*toldNanos)
	got := ""
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var a struct {
			BalanceUSD string `json:"balance_usd"`
		}
		g.call(t, "GET", "/admin/v1/accounts/"+account, nil, &a)
		if got = a.BalanceUSD; got == want {
			return
		}
	}
	t.Errorf("%s dollars are left, want %s after %d turns", got, want, turns)
}

// money writes nano-dollars as the admin API does: at least two places.
func money(nanos int64) string {
	s := fmt.Sprintf("%d.%09d", nanos/1e9, nanos%1e9)
	for strings.HasSuffix(s, "0") && len(s)-strings.IndexByte(s, '.') > 3 {
		s = s[:len(s)-1]
	}
	return s
}
