package operate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// hookSecret signs what the gateways of these tests tell.
const hookSecret = "whsec-of-the-tests-4711"

// told is an event as a receiver sees it.
type told struct {
	ID   string            `json:"id"`
	Type string            `json:"type"`
	Data map[string]string `json:"data"`
}

// receiver is an operator's webhook. It takes only what is signed.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	status int // of its answers
	tries  int
	taken  []told
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, status: http.StatusNoContent}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP checks the signature as docs/webhooks.md says.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	at, mark, ok := strings.Cut(strings.TrimPrefix(q.Header.Get("Pontage-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(hookSecret))
	fmt.Fprintf(mac, "%s.%s", at, body)
	var e told
	if err != nil || !ok || mark != hex.EncodeToString(mac.Sum(nil)) || json.Unmarshal(body, &e) != nil || q.Method != "POST" || q.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("a webhook was sent that is none: %v %s %s", q.Header, body, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if r.status < 300 {
		r.taken = append(r.taken, e)
	}
	w.WriteHeader(r.status)
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// seen returns what was taken of one kind, and how many tries there were.
func (r *receiver) seen(kind string) (list []told, tries int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.taken {
		if e.Type == kind {
			list = append(list, e)
		}
	}
	return list, r.tries
}

// hooked is oneSite, or a gateway before an upstream, with a webhook and a
// threshold of half a dollar.
func hooked(config string, url string) string {
	return strings.Replace(config, "contract: openai", "contract: openai, balance_warning_below: 0.5", 1) +
		fmt.Sprintf("webhooks: {url: %q, secret: \"${HOOK_SECRET}\", events: [balance_warning, absorbed]}\n", url)
}

var hookEnv = []string{"HOOK_SECRET=" + hookSecret}

// waiting lists the events that the gateway keeps, of that state or of any.
func waiting(t *testing.T, g *harness.Gateway, state string) (list []struct {
	ID    string  `json:"id"`
	Type  string  `json:"type"`
	State string  `json:"state"`
	Tries int     `json:"tries"`
	Error *string `json:"error"`
},
) {
	t.Helper()
	out := struct{ Data any }{&list}
	path := "/admin/v1/webhooks?limit=200"
	if state != "" {
		path += "&state=" + state
	}
	g.MustAdmin(t, "GET", path, nil, &out)
	return list
}

// TestABalanceIsWarnedOfOnce however many charges take it below its threshold,
// and again after credits have brought it to 120 % of that.
func TestABalanceIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	g := harness.Start(t, harness.Options{Env: hookEnv, Config: hooked(oneSite, hook.URL+"/pontage")})
	c, rich, test := newCustomer(t, g, "1", nil), newCustomer(t, g, "100", nil), newCustomer(t, g, "1", map[string]any{"test": true})
	many := func(c customer, n int) {
		t.Helper()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range n / 20 {
					post(t, c).is(t, 200)
				}
			})
		}
		wg.Wait()
	}
	many(c, 200) // 0.003 each
	many(rich, 20)
	many(test, 200)
	warnings := func(n int) []told {
		t.Helper()
		var list []told
		eventually(t, fmt.Sprint(n, " warnings"), func() bool { return len(waiting(t, g, "pending")) == 0 && len(waiting(t, g, "delivered")) >= n })
		list, _ = hook.seen("balance_warning")
		if rows := waiting(t, g, "delivered"); len(rows) != n || len(list) != n {
			t.Errorf("%d events are kept, %d were told, want %d", len(rows), len(list), n)
		}
		return list
	}
	first := warnings(1)[0]
	if first.Data["account"] != c.account || first.Data["key"] != c.id || first.Data["balance_usd"] != "0.499" || first.Data["below_usd"] != "0.50" {
		t.Errorf("told %+v", first)
	}
	r := g.Receipt(t, first.Data["request"], nil)
	if r.ChargeUSD != "0.003" {
		t.Errorf("the warning names the request %+v", r)
	}
	c.credit(t, "0.19") // 0.59, which is less than 120 %
	many(c, 40)         // 0.47
	warnings(1)
	c.credit(t, "0.13") // 0.60
	many(c, 40)         // 0.48
	second := warnings(2)[1]
	if second.ID == first.ID || second.Data["account"] != c.account || second.Data["balance_usd"] != "0.498" {
		t.Errorf("told %+v", second)
	}
	// An account's own threshold goes before that of the site.
	g.MustAdmin(t, "PATCH", "/admin/v1/accounts/"+rich.account, map[string]any{"warn_below_usd": "99.9"}, nil)
	many(rich, 20) // 99.88
	if third := warnings(3)[2]; third.Data["account"] != rich.account || third.Data["below_usd"] != "99.90" || third.Data["balance_usd"] != "99.898" {
		t.Errorf("told %+v", third)
	}
	g.MustAdmin(t, "PATCH", "/admin/v1/accounts/"+c.account, map[string]any{"warn_below_usd": "0"}, nil)
	c.credit(t, "1")
	many(c, 400)
	warnings(3)
	settled(t, g)
}

// TestAReceiverThatIsDown hears of everything later, does not make the gateway
// unready, and learns the secret as little as the log does.
func TestAReceiverThatIsDown(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	hook.answers(http.StatusInternalServerError)
	log := &record{}
	u := testkit.NewUpstream(t, testkit.JSON(200, dearAnswer))
	g := harness.Start(t, harness.Options{Log: log, Env: hookEnv, Config: hooked(behindConfig(u), hook.URL+"/path-4712?token=query-4713")})
	c := newCustomer(t, g, "0.1", nil)
	request := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("m", `"max_tokens":500`)}).is(t, 200).header.Get("X-Request-ID")
	eventually(t, "a try", func() bool { _, n := hook.seen(""); return n > 0 })
	eventually(t, "the note of it", func() bool {
		for _, w := range waiting(t, g, "pending") {
			if w.Tries > 0 && w.Error != nil && *w.Error == "it answered 500 Internal Server Error" {
				return true
			}
		}
		return false
	})
	if status, err := g.Peek(t.Context(), "/readyz", &struct{}{}); err != nil || status != 200 {
		t.Errorf("/readyz is %d, %v", status, err)
	}
	if m := scraped(t, g); !strings.Contains(m, "pontage_webhooks_pending 2\n") || strings.Contains(m, "pontage_webhook_failures_total 0\n") {
		t.Error("the metrics do not tell that two events wait, and that a try failed")
	}
	cli := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(harness.Binary(t), args...)
		cmd.Env = append(os.Environ(), "PONTAGE_ADMIN_URL="+g.AdminURL, "PONTAGE_ADMIN_TOKEN="+harness.AdminToken)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("pontage %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	listed := cli("webhook", "list", "--state", "pending")
	if strings.Count(listed, "pending") != 2 || !strings.Contains(listed, c.account) || !strings.Contains(listed, "it answered 500") {
		t.Errorf("webhook list:\n%s", listed)
	}
	hook.answers(http.StatusOK)
	advance(t, g, time.Hour)
	eventually(t, "both events", func() bool { return len(waiting(t, g, "delivered")) == 2 })
	list, _ := hook.seen("absorbed")
	if len(list) != 1 || list[0].Data["request"] != request || list[0].Data["charge_usd"] != "0.05012" || list[0].Data["absorbed_usd"] != "0.35" ||
		list[0].Data["model"] != "m" || !strings.HasPrefix(list[0].Data["target"], "up/") {
		t.Errorf("told %+v", list)
	}
	if warned, _ := hook.seen("balance_warning"); len(warned) != 1 || warned[0].Data["balance_usd"] != "0.04988" {
		t.Errorf("told %+v", warned)
	}

	// Again, since somebody asks; and then to where another file says.
	if out := cli("webhook", "retry", list[0].ID); !strings.Contains(out, "absorbed") {
		t.Errorf("webhook retry:\n%s", out)
	}
	eventually(t, "the event again", func() bool { list, _ := hook.seen("absorbed"); return len(list) == 2 && list[0].ID == list[1].ID })
	other := newReceiver(t)
	g.Reconfigure(t, hooked(behindConfig(u), other.URL))
	eventually(t, "the reload", func() bool { return strings.Contains(g.Log(), "the configuration was reloaded") })
	cli("webhook", "retry", list[0].ID)
	eventually(t, "the event at another receiver", func() bool { list, _ := other.seen("absorbed"); return len(list) == 1 })

	var effective json.RawMessage
	g.MustAdmin(t, "GET", "/admin/v1/effective-config", nil, &effective)
	if s := string(effective); strings.Contains(s, hookSecret) || strings.Contains(s, "query-4713") {
		t.Error("the effective configuration shows a secret")
	}
	log.tellsNone(t, map[string]string{"the secret": hookSecret, "the path": "path-4712", "the query": "query-4713"})
	settled(t, g)
}

// TestAKillBetweenChargeAndDelivery leaves the event to the next process, which
// delivers it under the same id; and the balance is not warned of again.
func TestAKillBetweenChargeAndDelivery(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	hook.answers(http.StatusServiceUnavailable)
	g := harness.Start(t, harness.Options{Env: hookEnv, Config: hooked(oneSite, hook.URL)})
	c := newCustomer(t, g, "0.501", nil)
	post(t, c).is(t, 200)
	rows := waiting(t, g, "pending") // the charge is durable, and so is the event
	if len(rows) != 1 {
		t.Fatalf("the outbox has %+v", rows)
	}
	g.Kill()
	hook.answers(http.StatusOK)
	g.Run(t)
	advance(t, g, time.Hour)
	eventually(t, "the event", func() bool { return len(waiting(t, g, "delivered")) == 1 })
	list, _ := hook.seen("balance_warning")
	if len(list) != 1 || list[0].ID != rows[0].ID || list[0].Data["account"] != c.account || list[0].Data["balance_usd"] != "0.498" {
		t.Errorf("told %+v, want %s", list, rows[0].ID)
	}
	post(t, c).is(t, 200)
	g.Kill()
	g.Run(t)
	post(t, c).is(t, 200)
	settled(t, g)
	if rows := waiting(t, g, "delivered"); len(rows) != 1 || len(waiting(t, g, "pending")) != 0 {
		t.Errorf("there are more events: %+v", rows)
	}
}

// Without a webhook nothing is kept for one; and one that wants only some events
// gets only those.
func TestEventsThatNobodyWants(t *testing.T) {
	t.Parallel()
	for events, want := range map[string]string{
		"":                  "",
		"[absorbed]":        "absorbed",
		"[balance_warning]": "balance_warning",
	} {
		t.Run(events, func(t *testing.T) {
			t.Parallel()
			hook := newReceiver(t)
			u := testkit.NewUpstream(t, testkit.JSON(200, dearAnswer))
			config := hooked(behindConfig(u), hook.URL)
			before, _, _ := strings.Cut(config, "webhooks:")
			if config = before; events != "" {
				config += fmt.Sprintf("webhooks: {url: %q, secret: %q, events: %s}\n", hook.URL, hookSecret, events)
			}
			g := harness.Start(t, harness.Options{Config: config})
			c := newCustomer(t, g, "0.1", nil)
			ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("m", `"max_tokens":500`)}).is(t, 200)
			var rows []string
			for _, w := range waiting(t, g, "") {
				rows = append(rows, w.Type)
			}
			if strings.Join(rows, " ") != want {
				t.Errorf("kept %q, want %q", rows, want)
			}
		})
	}
}
