package operate

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

var (
	amounts = regexp.MustCompile(`\d+\.\d+`)
	warning = regexp.MustCompile(`,"balance_warning":\{[^}]*\}`) // which a site adds to every answer of a small balance
)

// unpaid is a body without its amounts, its ids and the warning of a small
// balance, so that two refusals of the same kind are the same.
func unpaid(body string) string {
	return amounts.ReplaceAllString(normal(warning.ReplaceAllString(strings.TrimSpace(body), "")), "0.00")
}

// TestTheErrorReferenceTellsRefusalsForMoneyAsTheyCome: the example that each of
// the five services and the default one shows is what a caller gets, but for the
// amounts.
func TestTheErrorReferenceTellsRefusalsForMoneyAsTheyCome(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: fiveServices(t)})
	for host, path := range map[string]string{
		openaiHost: "/v1/chat/completions", ninjaHost: "/api/v1/chat", "llmtune.localhost": "/v1/chat/completions",
		"nano.localhost": "/api/v1/chat/completions", "modelswitch.localhost": "/v1/chat/completions", "samurai.localhost": "/v1/chat/completions",
	} {
		t.Run(host, func(t *testing.T) {
			page := string(ask(t, g, call{method: "GET", host: host, path: "/docs/errors"}).is(t, 200).body)
			refused := func(fault string, c customer, model string) {
				t.Helper()
				r := ask(t, g, call{host: host, path: path, key: c.key, body: chat(model, `"max_tokens":20`)})
				row := regexp.MustCompile("(?m)^\\| " + "[0-9]+ \\| .* \\| `" + fault + "` \\| .* \\| `(.*)` \\|$")
				var shown []string
				for _, m := range row.FindAllStringSubmatch(page, -1) {
					if shown = append(shown, m[1]); unpaid(m[1]) == unpaid(string(r.body)) {
						return
					}
				}
				t.Errorf("%s is answered with %d\n%s\nand shown as\n%s", fault, r.status, r.body, strings.Join(shown, "\n"))
			}
			switch host {
			case "samurai.localhost":
				c := newCustomer(t, g, "0", map[string]any{"site": host})
				g.MustAdmin(t, "PATCH", "/admin/v1/accounts/"+c.account, map[string]any{"plan": "pro"}, nil)
				refused("credits_required", c, "o1")
			case openaiHost: // at every host that no other site has
				refused("balance_insufficient", newCustomer(t, g, "0", nil), "gpt-5-mini")
				script(t, g, "gpt-5-mini", `[{"fault":"hang_stream","after":1}]`)
				c := newCustomer(t, g, "0.00006", nil)
				defer hang(t, c, "gpt-5-mini")()
				refused("balance_held", c, "gpt-5-mini")
			default:
				refused("balance_insufficient", newCustomer(t, g, "0", map[string]any{"site": host}), "gpt-5-mini")
			}
		})
	}
}

// TestTheErrorReferenceTellsRefusalsAsTheyCome does the same for refusals that name
// what was asked for.
func TestTheErrorReferenceTellsRefusalsAsTheyCome(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: fiveServices(t)})
	names := regexp.MustCompile(`nobody|gpt-5-mini`)
	numbers := regexp.MustCompile(`\d+ bytes`)
	plain := func(body string) string {
		return numbers.ReplaceAllString(names.ReplaceAllString(unpaid(body), "m"), "n bytes")
	}
	for host, path := range map[string]string{
		openaiHost: "/v1/chat/completions", ninjaHost: "/api/v1/chat", "llmtune.localhost": "/v1/chat/completions",
		"nano.localhost": "/api/v1/chat/completions", "modelswitch.localhost": "/v1/chat/completions", "samurai.localhost": "/v1/chat/completions",
	} {
		site := map[string]any{"site": host}
		if host == openaiHost { // at every host that no other site has
			site = nil
		}
		c := newCustomer(t, g, "1", site)
		page := string(ask(t, g, call{method: "GET", host: host, path: "/docs/errors"}).is(t, 200).body)
		for fault, r := range map[string]call{
			"model_not_found":        {host: host, path: path, key: c.key, body: chat("nobody", "")},
			"method_not_allowed":     {method: "GET", host: host, path: path, key: c.key},
			"unsupported_media_type": {host: host, path: path, key: c.key, body: "x", header: map[string]string{"Content-Type": "text/plain"}},
			"body_too_large":         {host: host, path: path, key: c.key, body: strings.Repeat(" ", 33<<20)},
		} {
			got := ask(t, g, r)
			row := regexp.MustCompile("(?m)^\\| " + "[0-9]+ \\| .* \\| `" + fault + "` \\| .* \\| `(.*)` \\|$")
			found := false
			var shown []string
			for _, m := range row.FindAllStringSubmatch(page, -1) {
				shown = append(shown, m[1])
				found = found || plain(m[1]) == plain(string(got.body))
			}
			if !found {
				t.Errorf("%s: %s is answered with %d\n%s\nand shown as\n%s", host, fault, got.status, got.body, strings.Join(shown, "\n"))
			}
		}
	}
}
