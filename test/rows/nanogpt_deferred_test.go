package rows

import (
	"strings"
	"testing"
)

// TestDeferredRowsRender shows that what the rows say whose feature is not built
// yet is what the contract would answer: a test key asks for each fault by name.
// It proves none of the rows.
func TestDeferredRowsRender(t *testing.T) {
	t.Parallel()
	w := &world{report: &report{}, five: startFive(t, nil)}
	// A sample of a payment has no more than its version.
	payment := map[string]any{
		"error":       map[string]any{"type": "insufficient_quota", "code": "insufficient_quota", "message": "Payment required to complete this request."},
		"payment":     map[string]any{"version": 1},
		"x402Version": 1, "accepts": []any{},
	}
	for id, k := range map[string]struct {
		fault string
		body  map[string]any // nil: the row's
	}{
		"nanogpt/400-conflicting-moderation": {fault: "moderation_conflict"},
		"nanogpt/400-moderation-needs-key":   {fault: "moderation_needs_key"},
		"nanogpt/400-empty-moderation":       {fault: "moderation_empty"},
		"nanogpt/400-unsupported-moderation": {fault: "moderation_unsupported"},
		"nanogpt/400-content-policy-inline":  {fault: "content_policy"},
		"nanogpt/402-memory":                 {fault: "memory_balance"},
		"nanogpt/402-websearch":              {fault: "web_search_balance"},
		"nanogpt/402-both":                   {fault: "both_balance"},
		"nanogpt/402-x402":                   {fault: "payment_required", body: payment},
		"nanogpt/x402-feature":               {fault: "memory_balance", body: map[string]any{"error": map[string]any{"code": "memory_balance_required", "type": "insufficient_quota", "message": "<text>"}}},
		"nanogpt/x402-complete-unpaid":       {fault: "payment_required"},
		"nanogpt/x402-complete-again":        {fault: "payment_conflict"},
		"nanogpt/x402-tampered":              {fault: "payment_invalid"},
		"nanogpt/byok":                       {fault: "provider_key_invalid", body: map[string]any{"error": map[string]any{"message": "<text>"}}},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			p := &proof{TB: t, row: rowOf(t, id), world: w}
			if _, waits := later[id]; !waits {
				t.Fatal("this row does not wait for anything")
			}
			if k.body != nil {
				p.row.Body = k.body
			}
			c := p.nano("0", map[string]any{"test": true})
			c.gw.MustAdmin(p, "POST", "/admin/v1/accounts/"+c.account+"/credits", map[string]any{"amount_usd": "3", "kind": "topup", "test": true}, nil)
			for _, body := range []string{chat("gpt-4o", `"max_tokens":70`), chat("gpt-4o", `"max_tokens":70`, streamed)} {
				a := p.declined(c, nanoChat, body, header("X-Pontage-Simulate", k.fault))
				if id == "nanogpt/byok" {
					p.says(p.text(a, "error", "message"), "your API key")
				}
			}
			live := p.nano("3", nil)
			if a := p.ask(live, nanoChat, chat("gpt-4o"), header("X-Pontage-Simulate", k.fault)); a.status != 400 || !strings.Contains(string(a.body), "test keys") {
				t.Errorf("a live key asks for a fault: %d\n%s", a.status, a.body)
			}
		})
	}
}

// rowOf finds a row.
func rowOf(t *testing.T, id string) row {
	t.Helper()
	for _, d := range documents(t) {
		for _, r := range d.Rows {
			if r.ID == id {
				return r
			}
		}
	}
	t.Fatalf("there is no row %s", id)
	return row{}
}
