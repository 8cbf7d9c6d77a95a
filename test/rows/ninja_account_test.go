package rows

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// ninjaKeysPath is where NinjaChat lists and makes keys.
const ninjaKeysPath = "/api/api-keys"

// apartFromRows is a proof that is no row: what it shows goes nowhere.
func apartFromRows(t *testing.T, g *gateway) *proof {
	t.Helper()
	return &proof{TB: t, row: row{ID: t.Name()}, world: &world{report: &report{}, five: g}}
}

// TestNinjaAccount proves what NinjaChat documents apart from its errors: what
// an answer cost and what is left, and the keys of an account.
func TestNinjaAccount(t *testing.T) {
	t.Parallel()
	g := startFive(t, append(ninjaFive(t), model{name: "ninja-by-token", more: "price: {input: 1.10, output: 4.40}", answer: testkit.JSON(200, chatBody)}))
	t.Run("group", func(t *testing.T) {
		for name, prove := range map[string]func(*proof){
			"receipt": ninjaReceipt, "keys": ninjaKeys, "five keys": ninjaFiveKeys, "ten dollars": ninjaTenDollars, "names": ninjaNames,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				prove(apartFromRows(t, g))
			})
		}
	})
	g.settled(t)
}

// ninjaReceipt looks at what an answer says of its cost, the balance, and the
// time it took.
func ninjaReceipt(p *proof) {
	c := p.at(ninjaHost, "8.0019", nil)
	tells := func(a *answer, body map[string]any, cost, balance string) {
		p.Helper()
		want := map[string]any{"cost": map[string]any{"this_request": cost}, "balance": balance, "metadata": map[string]any{"latency_ms": "<num>"}}
		if d := differs(any(body), any(want), false); d != "" {
			p.Errorf("the receipt differs: %s\n%s", d, a.body)
		}
		if ms, _ := body["metadata"].(map[string]any)["latency_ms"].(float64); ms < 0 || ms != float64(int64(ms)) || ms > float64(patience.Milliseconds()) {
			p.Errorf("latency_ms is %v", ms)
		}
	}
	a := p.paid(c, ninjaPath, chat("gpt-5-mini"))
	tells(a, p.json(a), "$0.003", "$7.998") // 7.9989: cut
	a = p.paid(c, ninjaPath, chat("gpt-4o"))
	tells(a, p.json(a), "$0.006", "$7.992") // 7.9929
	a = p.paid(c, ninjaPath, chat("ninja-by-token"))
	tells(a, p.json(a), "$0.001", "$7.992") // 0.0000341, rounded up; 7.9928659 is left
	if got := a.header.Get("X-Charge-USD"); got != "0.0000341" {
		p.Errorf("charged %s", got)
	}
	// In a stream the last frame before its end tells.
	a = p.paid(c, ninjaPath, chat("gpt-5-mini", streamed))
	es := events(a.body)
	for i, e := range es[:len(es)-1] {
		frame, _ := decoded(p, e.data).(map[string]any)
		if i < len(es)-2 {
			for _, name := range []string{"cost", "balance", "metadata"} {
				if _, has := frame[name]; has {
					p.Errorf("frame %d of %d has %s\n%s", i+1, len(es), name, a.body)
				}
			}
			continue
		}
		tells(a, frame, "$0.003", "$7.989") // 7.9898659
	}
	// What failed cost nothing, and says nothing of it.
	for _, body := range []string{chat("ninja-bad-500"), chat("gpt5"), "{"} {
		a := p.free(c, func() *answer { return p.ask(c, ninjaPath, body) })
		for _, name := range []string{"cost", "balance", "metadata"} {
			if _, has := p.json(a)[name]; has || a.status < 400 {
				p.Errorf("%d: a failure has %s\n%s", a.status, name, a.body)
			}
		}
	}
	a = p.free(c, func() *answer { return p.ask(c, ninjaPath, chat("ninja-mid-error", streamed)) })
	if strings.Contains(string(a.body), "this_request") {
		p.Errorf("a broken stream tells a cost\n%s", a.body)
	}
}

// makes asks for a key, and returns it.
func (p *proof) makes(c caller, name string) caller {
	p.Helper()
	a := p.wants(p.free(c, func() *answer { return p.ask(c, ninjaKeysPath, fmt.Sprintf(`{"name":%q}`, name)) }), http.StatusOK)
	want := map[string]any{"key": "<text>", "id": "<id>", "prefix": "<text>", "name": name, "message": "<text>"}
	if d := differs(any(p.json(a)), any(want), false); d != "" {
		p.Errorf("the answer differs: %s\n%s", d, a.body)
	}
	made := c
	made.key.ID, made.key.Key = p.text(a, "id"), p.text(a, "key")
	if !strings.HasPrefix(made.key.Key, "nj_sk_") || !strings.HasPrefix(made.key.Key, p.text(a, "prefix")) || p.text(a, "prefix") == made.key.Key {
		p.Errorf("the key %.10s… and its prefix %s", made.key.Key, p.text(a, "prefix"))
	}
	return made
}

// ninjaKeys makes a key, uses it, and looks at what the list says of it.
func ninjaKeys(p *proof) {
	c := p.at(ninjaHost, "42.5", nil)
	for range 2 {
		p.paid(c, ninjaPath, chat("gpt-5-mini"))
	}
	made := p.makes(c, "Production bot_1-a")
	p.paid(made, ninjaPath, chat("gpt-4o"))
	unused := p.makes(made, "spare")

	a := p.wants(p.free(c, func() *answer { return p.ask(unused, ninjaKeysPath, "", method("GET")) }), http.StatusOK)
	row := func(c caller, name string, last any, requests int) map[string]any {
		return map[string]any{
			"id": c.key.ID, "name": name, "keyPrefix": "<text>", "createdAt": "<iso>", "lastUsedAt": last, "revokedAt": nil, "usageCount": requests,
		}
	}
	want := map[string]any{
		"keys":  []any{row(c, "test", "<iso>", 2), row(made, "Production bot_1-a", "<iso>", 1), row(unused, "spare", nil, 0)},
		"stats": map[string]any{"activeKeys": 3, "totalUsage": 3},
		"billing": map[string]any{
			"hasCredits": true, "balanceCents": 4248, "balanceFormatted": "$42.48", // 42.488
			"rateLimit": map[string]any{"requests": 60, "windowSeconds": 60},
			"usage": map[string]any{
				"chat":   map[string]any{"count": 3, "costCents": 1}, // 1.2
				"search": map[string]any{"count": 0, "costCents": 0}, "images": map[string]any{"count": 0, "costCents": 0},
				"totalSpentCents": 1,
			},
		},
	}
	if d := differs(any(p.json(a)), any(want), true); d != "" {
		p.Errorf("the list differs: %s\n%s", d, a.body)
	}
	for _, k := range []caller{c, made, unused} {
		if strings.Contains(string(a.body), k.key.Key) {
			p.Errorf("the list shows a whole key\n%s", a.body)
		}
	}
	// Who revoked a key sees it no more, and it opens nothing.
	c.gw.MustAdmin(p, "DELETE", "/admin/v1/keys/"+made.key.ID, nil, nil)
	p.wants(p.ask(made, ninjaPath, chat("gpt-5-mini")), http.StatusUnauthorized)
	p.wants(p.ask(made, ninjaKeysPath, "", method("GET")), http.StatusUnauthorized)
	p.wants(p.ask(made, ninjaKeysPath, `{"name":"another"}`), http.StatusUnauthorized)
	if list := string(p.ask(c, ninjaKeysPath, "", method("GET")).body); strings.Contains(list, made.key.ID) || !strings.Contains(list, `"activeKeys":2`) {
		p.Errorf("a revoked key is listed, or counted: %s", list)
	}
	// A stranger gets neither, and keys of other sites are strangers.
	for _, how := range []change{noKey, key("nj_sk_YOUR_API_KEY"), key(p.at(samuraiHost, "20", nil).key.Key)} {
		p.wants(p.ask(c, ninjaKeysPath, "", method("GET"), how), http.StatusUnauthorized)
		p.wants(p.ask(c, ninjaKeysPath, `{"name":"mine"}`, how), http.StatusUnauthorized)
	}
}

// ninjaFiveKeys makes as many keys as an account may have, and one more.
func ninjaFiveKeys(p *proof) {
	c := p.at(ninjaHost, "10", nil) // one
	var made []caller
	for i := range 4 {
		made = append(made, p.makes(c, fmt.Sprintf("key %d", i+2)))
	}
	sixth := func() *answer {
		return p.free(c, func() *answer { return p.ask(made[3], ninjaKeysPath, `{"name":"the sixth"}`) })
	}
	for range 2 {
		a := p.wants(sixth(), http.StatusBadRequest)
		p.refusal(a)
		if p.text(a, "error") != "validation_error" || !regexp.MustCompile(`\b5\b`).MatchString(p.text(a, "message")) {
			p.Errorf("the refusal is %s", a.body)
		}
	}
	// All at once do not get past it either.
	c.gw.MustAdmin(p, "DELETE", "/admin/v1/keys/"+made[0].key.ID, nil, nil)
	results := make(chan int)
	for range 8 {
		go func() {
			a, err := p.try(p.Context(), c, ninjaKeysPath, `{"name":"at once"}`)
			if err != nil {
				p.Errorf("%v", err)
				results <- 0
				return
			}
			results <- a.status
		}()
	}
	count := map[int]int{}
	for range 8 {
		count[<-results]++
	}
	if fmt.Sprint(count) != "map[200:1 400:7]" {
		p.Errorf("eight at once with room for one: %v", count)
	}
}

// ninjaTenDollars makes keys with just enough money, and without it.
func ninjaTenDollars(p *proof) {
	c := p.at(ninjaHost, "9.999999999", nil)
	for range 2 {
		a := p.free(c, func() *answer { return p.ask(c, ninjaKeysPath, `{"name":"too early"}`) })
		p.wants(a, http.StatusPaymentRequired)
		p.refusal(a)
		if p.text(a, "error") != "insufficient_credits" || a.header.Get("X-Required-USD") != "10.00" {
			p.Errorf("the refusal is %s, X-Required-USD %s", a.body, a.header.Get("X-Required-USD"))
		}
	}
	c.credit(p, "0.000000001")
	made := p.makes(c, "just enough")
	p.paid(made, ninjaPath, chat("gpt-5-mini"))
	p.wants(p.ask(made, ninjaKeysPath, `{"name":"less is left"}`), http.StatusPaymentRequired)
	p.wants(p.ask(made, ninjaKeysPath, "", method("GET")), http.StatusOK) // looking takes no money
}

// ninjaNames asks for keys of names that can be, and that cannot.
func ninjaNames(p *proof) {
	c := p.at(ninjaHost, "10", nil)
	for _, body := range []string{
		`{"name":""}`, `{"name":"` + strings.Repeat("n", 65) + `"}`, `{"name":"a\nb"}`, `{"name":7}`, `{}`,
		`{"name":"a/b"}`, `{"name":"bot!"}`, `{"name":"v1.2"}`, `{"name":"<b>"}`, `{"name":"a\tb"}`,
	} {
		a := p.wants(p.free(c, func() *answer { return p.ask(c, ninjaKeysPath, body) }), http.StatusBadRequest)
		want := map[string]any{"error": "validation_error", "message": "Invalid parameters", "details": []any{map[string]any{"field": "name", "message": "<text>"}}}
		if d := differs(any(p.json(a)), any(want), false); d != "" {
			p.Errorf("%s: %s\n%s", body, d, a.body)
		}
	}
	p.wants(p.ask(c, ninjaKeysPath, `{"name"`), http.StatusBadRequest)
	for _, name := range []string{"n", strings.Repeat("n", 64), "A-b_c 9"} {
		p.makes(c, name)
	}
	quick := p.anotherAt(c, limited(map[string]any{"requests": 1, "per": "60s"}))
	p.wants(p.ask(quick, ninjaKeysPath, "", method("GET")), http.StatusOK)
	p.wants(p.ask(quick, ninjaKeysPath, "", method("GET")), http.StatusTooManyRequests)
}
