package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/dash"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// decoded is JSON with its numbers as they were written.
func decoded(t *testing.T, b []byte) (v map[string]any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

// said is what the admin API answers to a GET.
func (g *gateway) said(path string) map[string]any {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.admin.URL+"/admin/v1/"+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := g.admin.Client().Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("GET %s: %d %v %s", path, resp.StatusCode, err, b)
	}
	return decoded(g.t, b)
}

// TestJSONIsWhatTheAPISays: null stays null, and a number a number. What a list
// lacks is the cursor, since it is whole.
func TestJSONIsWhatTheAPISays(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.targets = append(g.targets, dash.TargetHealth{Target: "b/m", Provider: "b", Model: "m", Breaker: "open", Reason: "upstream_timeout"})
	acc := g.value("id", "account", "create", "demo")
	g.well("credit", "add", acc, "9")
	key := g.value("id", "key", "create", acc, "--name", "k", "--rps", "2.5", "--requests-per-day", "70", "--usd-per-day", "5")
	g.alerts = ledger.Alerts{WarnBelow: 10 * money.Dollar}
	id := g.spend(acc, key, money.Dollar)

	for _, c := range []struct {
		path    string
		command []string
	}{
		{"accounts", []string{"account", "list"}},
		{"accounts/" + acc + "/keys", []string{"key", "list", acc}},
		{"requests", []string{"request", "list"}},
		{"requests/" + id, []string{"request", "show", id}},
		{"usage?group_by=day,model", []string{"usage"}},
		{"webhooks", []string{"webhook", "list"}},
		{"targets", []string{"target", "list"}},
		{"ledger/digests", []string{"ledger", "digests"}},
		{"ledger/verify", []string{"verify"}},
		{"effective-config", []string{"config", "show"}},
	} {
		want, got := g.said(c.path), decoded(t, []byte(g.well(append(c.command, "--json")...)))
		if _, whole := got["next"]; !whole {
			delete(want, "next")
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pontage %v --json (+) is not what the API says (-):\n%s", c.command, d)
		}
	}

	want, got := g.said("accounts/"+acc), decoded(t, []byte(g.well("account", "show", acc, "--json")))
	want["limits"] = g.said("accounts/" + acc + "/limits")["data"]
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("account show --json (+) is not what the API says (-):\n%s", d)
	}

	// What a command makes has no other place to be read at.
	entry := decoded(t, []byte(g.well("credit", "add", acc, "1", "--json")))
	for _, member := range []string{"request", "expires_at", "reference", "note"} {
		if v, there := entry[member]; !there || v != nil {
			t.Errorf("a credit without %s: %v", member, v)
		}
	}
}
