package operate

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

// price is what a request to the model paid costs, whatever it says.
const price = money.Amount(3_000_001)

// planHost serves accounts by a plan: sixty requests a day that cost nothing,
// and forty to the model metered, which are paid from the balance besides.
const planHost = "plan.localhost"

const racesConfig = `
providers: {sim: {kind: sim}}
models:
  paid: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {request: 0.003000001}}
  metered: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {request: 0.003000001}}
  by-token: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {input: 1.00, output: 10.00}}
plans: {basic: {classes: {open: {requests_per_day: 60}, dear: {requests_per_day: 40, billing: metered}}}}
classes: {dear: {models: [metered]}, open: {models: ["*"]}}
sites:
  - {hosts: ["*"], contract: openai, plans: []}
  - {hosts: [plan.localhost], contract: openai, plans: [basic], default_plan: basic}
`

// way is one way to ask; a crowd uses all of them.
type way struct{ path, more, end string }

var ways = []way{
	{"/v1/chat/completions", `"max_tokens":60`, ""},
	{"/v1/chat/completions", `"max_tokens":60,"stream":true`, "data: [DONE]\n\n"},
	{"/v1/messages", `"max_tokens":60`, ""},
	{"/v1/messages", `"max_tokens":60,"stream":true`, "event: message_stop\n"},
	{"/v1/chat", `"max_tokens":60`, ""},
	{"/v1/chat", `"max_tokens":60,"stream":true`, "data: [DONE]\n\n"},
}

// one is one of a crowd, and what came of it.
type one struct {
	key, model, host string
	r                *reply
	id               string
	before           []string // ids of tries in vain, while charges could not be recorded
	ok               bool
	told             money.Amount // the charge, as the caller was told
}

// everybody has a connection of his own, for one request.
var everybody = &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}

// storm sends all requests at once, in all ways by turns, and looks at what each
// caller was told: an answer to its end with its charge, or a refusal that cost
// nothing.
func storm(t *testing.T, g *harness.Gateway, all []*one) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i, a := range all {
		w := ways[i%len(ways)]
		wg.Go(func() {
			<-start
			r, err := a.ask(t, g, w)
			if err != nil {
				t.Errorf("request %d: %v", i, err)
				r = &reply{header: http.Header{}}
			}
			if r.broke != nil {
				t.Errorf("request %d: %v after %d %v %s", i, r.broke, r.status, r.header, tail(r.body))
			}
			a.r, a.id = r, r.header.Get("X-Request-ID")
			switch charge := r.header.Get("X-Charge-USD") + r.trailer.Get("X-Charge-USD"); {
			case r.status == http.StatusOK:
				a.ok, a.told = true, usd(t, charge)
				if w.end != "" && !bytes.Contains(r.body, []byte(w.end)) {
					t.Errorf("a stream has no end: %s", tail(r.body))
				}
			case charge != "0.00" || (r.status != 402 && r.status != 429):
				t.Errorf("%d %v %s", r.status, r.header, r.body)
			}
		})
	}
	close(start)
	wg.Wait()
}

// ask sends the request, again and again where a slow disk keeps charges from
// being recorded, which is told within a second and costs nothing.
func (a *one) ask(t *testing.T, g *harness.Gateway, w way) (*reply, error) {
	for {
		r, err := tryWith(t.Context(), everybody, g, call{host: a.host, path: w.path, key: a.key, body: chat(a.model, w.more)})
		if err != nil || r.status != http.StatusServiceUnavailable || len(a.before) == 60 {
			return r, err
		}
		a.before = append(a.before, r.header.Get("X-Request-ID"))
		select {
		case <-time.After(r.waits(t)):
		case <-t.Context().Done():
		}
	}
}

// crowdOf is n requests of one key.
func crowdOf(n int, c customer, host, model string) []*one {
	out := make([]*one, n)
	for i := range out {
		out[i] = &one{key: c.key, model: model, host: host}
	}
	return out
}

// answered counts those of a key that got an answer; of all, if it is empty.
func answered(all []*one, key string) (n int) {
	for _, a := range all {
		if a.ok && (key == "" || a.key == key) {
			n++
		}
	}
	return n
}

// square checks an account after a crowd: what callers were told, the receipts,
// the usage and the balance are the same to the nano-dollar, and nothing was
// both refused and charged.
func square(t *testing.T, c customer, begin money.Amount, all []*one) {
	t.Helper()
	g := c.g
	g.Settled(t)
	byID := make(map[string]*one, len(all))
	var told money.Amount
	for _, a := range all {
		if a.id == "" || byID[a.id] != nil {
			t.Errorf("the request id %q", a.id)
		}
		byID[a.id], told = a, told+a.told
		for _, id := range a.before {
			byID[id] = &one{r: a.r}
		}
	}
	var charged money.Amount
	n := 0
	for path := "/admin/v1/requests?limit=200&account=" + c.account; ; {
		var page struct {
			Data []harness.Receipt
			Next string
		}
		g.MustAdmin(t, "GET", path, nil, &page)
		for _, r := range page.Data {
			a, charge := byID[r.ID], usd(t, r.ChargeUSD)
			if a == nil {
				t.Errorf("nobody asked for %s", r.ID)
				continue
			}
			if charged += charge; charge != a.told || a.ok != (r.Outcome == "ok") {
				t.Errorf("%s: the receipt says %s and %s, the caller was told %d and %s", r.ID, r.Outcome, charge, a.r.status, a.told)
			}
			if r.Outcome == "ok" {
				n++
			}
		}
		if page.Next == "" {
			break
		}
		path = "/admin/v1/requests?limit=200&account=" + c.account + "&cursor=" + url.QueryEscape(page.Next)
	}
	var u struct {
		Total struct {
			Requests  int
			ChargeUSD string `json:"charge_usd"`
		}
	}
	g.MustAdmin(t, "GET", "/admin/v1/usage?account="+c.account, nil, &u)
	now := c.now(t)
	if spent := begin - usd(t, now.BalanceUSD); spent != told || charged != told || usd(t, u.Total.ChargeUSD) != told || now.HeldUSD != "0.00" {
		t.Errorf("spent %s, receipts %s, usage %s, told %s; %s is held", spent, charged, u.Total.ChargeUSD, told, now.HeldUSD)
	}
	if ok := answered(all, ""); n != ok || u.Total.Requests != ok {
		t.Errorf("%d answers, %d receipts of them, and a usage of %d", ok, n, u.Total.Requests)
	}
}

// TestAThousandAtOnceOnWhatIsLeft: a balance, or a plan, that is worth k answers
// gives exactly k of them to a thousand who ask at once, in every way there is.
func TestAThousandAtOnceOnWhatIsLeft(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: racesConfig})
	for _, k := range []int{0, 1, 2, 7, 100, 999, 1000} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			begin := money.Amount(k)*price + price - 1 // a nano-dollar short of one more
			c := newCustomer(t, g, begin.String(), nil)
			all := crowdOf(1000, c, "", "paid")
			storm(t, g, all)
			if got := answered(all, ""); got != k {
				t.Errorf("%d answers", got)
			}
			square(t, c, begin, all)
		})
	}
}

// TestAThousandAtOnceByTheToken: where more is held than is charged in the end,
// callers get in each other's way, but never get more than there is.
func TestAThousandAtOnceByTheToken(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: racesConfig})
	for _, begin := range []money.Amount{900_000, 10_000_003, 200_000_000} { // a hold is some 630,000
		t.Run(begin.String(), func(t *testing.T) {
			c := newCustomer(t, g, begin.String(), nil)
			all := crowdOf(1000, c, "", "by-token")
			storm(t, g, all)
			least := begin
			for _, a := range all {
				if a.ok {
					least = min(least, a.told)
				}
			}
			if got := answered(all, ""); got < 1 || got > int(begin/least) {
				t.Errorf("%d answers at %s or more, of %s", got, least, begin)
			}
			square(t, c, begin, all)
		})
	}
}

// TestBoundsOfSeveralKeysAtOnce: keys of one account with daily limits of their
// own, in dollars and in requests, on one balance, and quotas of a plan at the
// same time. Each bound is kept exactly, and the tightest decides.
func TestBoundsOfSeveralKeysAtOnce(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: racesConfig})
	advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g))) // so that the day does not change by itself
	caps := []struct {
		limits     map[string]any
		most, paid int // answers, and those that cost something
	}{
		{map[string]any{"usd_per_day": (30*price + price - 1).String()}, 1000, 30},
		{map[string]any{"requests_per_day": 20}, 20, 1000},
		{map[string]any{"requests_per_day": 15, "usd_per_day": (50 * price).String()}, 15, 50},
		{map[string]any{"requests_per_day": 50, "usd_per_day": (11 * price).String()}, 50, 11},
		{nil, 1000, 1000},
	}
	for _, tt := range []struct {
		name   string
		host   string
		models []string
		worth  int // answers that the balance pays
		total  int // that there are in all; -1: each key's own bound decides
	}{
		{"rich", "", []string{"paid"}, 1000, -1},
		{"poor", "", []string{"paid"}, 40, 40},
		{"plan", planHost, []string{"paid"}, 0, 60},
		{"metered, by the quota", planHost, []string{"metered"}, 1000, 40},
		{"metered, by the balance", planHost, []string{"metered"}, 23, 23},
		{"both classes", planHost, []string{"paid", "metered"}, 33, 60 + 33},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := money.Amount(tt.worth)*price + price - 1
			c := newCustomer(t, g, begin.String(), atSite(tt.host))
			var all []*one
			keys := make([]string, len(caps))
			for i, k := range caps {
				more := atSite(tt.host)
				if k.limits != nil {
					more["limits"] = k.limits
				}
				keys[i] = g.NewKey(t, c.account, more).Key
			}
			for i := range 1000 { // half of them have the key without a limit
				k := min(i%(2*len(keys)), len(keys)-1)
				all = append(all, &one{key: keys[k], model: tt.models[(i/(2*len(keys)))%len(tt.models)], host: tt.host})
			}
			storm(t, g, all)
			want := tt.total
			if want < 0 {
				want = 0
			}
			for i, k := range caps {
				got, paid := answered(all, keys[i]), 0
				for _, a := range all {
					if a.key == keys[i] && a.told > 0 {
						paid++
					}
				}
				if got > k.most || paid > k.paid {
					t.Errorf("key %d has %d answers of %d, %d paid of %d", i, got, k.most, paid, k.paid)
				}
				if tt.total < 0 {
					asked := 0
					for _, a := range all {
						if a.key == keys[i] {
							asked++
						}
					}
					if got != min(asked, k.most, k.paid) {
						t.Errorf("key %d has %d answers, and asked for %d", i, got, asked)
					}
					want += got
				}
			}
			if got := answered(all, ""); got != want {
				t.Errorf("%d answers in all, want %d", got, want)
			}
			square(t, c, begin, all)
		})
	}
}
