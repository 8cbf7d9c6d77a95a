package rows

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// proof is one row being proved.
type proof struct {
	testing.TB
	row   row
	world *world

	shown []shown
	notes []string
	wrong []string
}

// Errorf fails the row and keeps the reason for the report.
func (p *proof) Errorf(format string, args ...any) {
	p.Helper()
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	p.TB.Errorf(format, args...)
}

// Fatalf is Errorf, and ends the row.
func (p *proof) Fatalf(format string, args ...any) {
	p.Helper()
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	p.TB.Fatalf(format, args...)
}

// note adds to what the report says of a row that passed.
func (p *proof) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(p.notes, n) {
		p.notes = append(p.notes, n)
	}
}

// line is what came of the row.
func (p *proof) line() line {
	l := line{ID: p.row.ID, Result: passed, Reason: strings.Join(p.notes, "; ")}
	if len(p.shown) > 0 {
		l.Request, l.Response, l.Ledger, l.More = p.shown[0].Request, p.shown[0].Response, p.shown[0].Ledger, p.shown[1:]
	}
	switch {
	case p.Failed():
		l.Result, l.Reason = failed, p.world.report.redact(strings.Join(p.wrong, "; "))
		if l.Reason == "" {
			l.Reason = "see the test's log"
		}
	case p.Skipped():
		l.Result = deferred
	case len(p.shown) == 0:
		l.Result, l.Reason = failed, "nothing was shown"
		p.TB.Errorf("%s: nothing was shown", p.row.ID)
	}
	return l
}

// ask is one request, to be changed before it is sent.
type ask struct {
	method, path string
	host         string
	header       http.Header
	body         string
	chunked      bool
}

// change is one thing that is different about a request.
type change func(*ask)

func host(h string) change            { return func(a *ask) { a.host = h } }
func method(m string) change          { return func(a *ask) { a.method = m } }
func header(name, text string) change { return func(a *ask) { a.header.Set(name, text) } }
func chunked(a *ask)                  { a.chunked = true }
func noKey(a *ask)                    { a.header.Del("Authorization") }
func key(k string) change             { return header("Authorization", "Bearer "+k) }

// xAPIKey sends the key as the SDKs of Anthropic do.
func xAPIKey(a *ask) {
	k := strings.TrimPrefix(a.header.Get("Authorization"), "Bearer ")
	a.header.Del("Authorization")
	a.header.Set("X-Api-Key", k)
	a.header.Set("Anthropic-Version", "2023-06-01")
}

// answer is what came of one request.
type answer struct {
	request         shownRequest
	status          int
	header, trailer http.Header
	body            []byte
	broke           error // what ended the body, if that was not its end
	sent, came      time.Time
	ledger          *ledgers
}

// outbound never reuses what the environment says of proxies.
var outbound = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}

// ask sends a POST of body with the caller's key, but for what is changed.
func (p *proof) ask(c caller, path, body string, changes ...change) *answer {
	p.Helper()
	a, err := p.try(context.Background(), c, path, body, changes...)
	if err != nil {
		p.Fatalf("%s: %v", path, err)
	}
	return a
}

// try is ask for those who expect that it may not come to an answer.
func (p *proof) try(ctx context.Context, c caller, path, body string, changes ...change) (*answer, error) {
	p.Helper()
	q := ask{method: "POST", path: path, host: c.host, header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.key.Key}}, body: body}
	for _, change := range changes {
		change(&q)
	}
	var content io.Reader
	if q.method != http.MethodGet {
		content = strings.NewReader(q.body)
		if q.chunked {
			content = io.MultiReader(content) // of a length that nobody knows
		}
	}
	req, err := http.NewRequestWithContext(ctx, q.method, c.gw.URL+q.path, content)
	if err != nil {
		return nil, err
	}
	req.Header, req.Host = q.header, q.host
	a := &answer{sent: time.Now(), request: shownRequest{
		Method: q.method, URL: req.URL.String(), Headers: p.world.report.headers(q.header), Body: p.world.report.body([]byte(q.body)),
	}}
	if q.host != "" {
		a.request.Headers["Host"] = q.host
	}
	resp, err := outbound.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	p.read(a, resp)
	return a, nil
}

// read takes a response, and checks what holds of every one.
func (p *proof) read(a *answer, resp *http.Response) {
	p.Helper()
	a.body, a.broke = io.ReadAll(resp.Body)
	a.came = time.Now()
	a.status, a.header, a.trailer = resp.StatusCode, resp.Header, resp.Trailer
	if id := a.header.Get("X-Request-ID"); !strings.HasPrefix(id, "req_") || len(id) < 20 {
		p.Errorf("%s %s: X-Request-ID is %q", a.request.Method, a.request.URL, id)
	}
	all := ownIDs.ReplaceAllString(string(a.body)+fmt.Sprint(a.header, a.trailer), "$1")
	for _, secret := range tellsTooMuch {
		if strings.Contains(strings.ToLower(all), secret) {
			p.Errorf("%s %s: the answer tells of our provider: %q stands in\n%s", a.request.Method, a.request.URL, secret, all)
		}
	}
}

// ownIDs are random, and so now and then hold any word.
var ownIDs = regexp.MustCompile(`\b(req_|key_|acc_|job_)[0-9a-z]+`)

// show adds an exchange to the report.
func (p *proof) show(a *answer) {
	s := &p.world.report.secrets
	p.shown = append(p.shown, shown{
		Request: &a.request,
		Response: &shownResponse{
			Status: a.status, Headers: s.headers(a.header), Body: s.body(a.body), Trailers: s.headers(a.trailer),
		},
		Ledger: a.ledger,
	})
}

// json decodes the body.
func (p *proof) json(a *answer) map[string]any {
	p.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		p.Fatalf("the body is no JSON object: %v\n%s", err, a.body)
	}
	return v
}

// holds compares an answer with the row, and shows it.
func (p *proof) holds(a *answer) *answer {
	p.Helper()
	p.show(a)
	p.wants(a, p.row.Status)
	for name, pattern := range p.row.Headers {
		if got := a.header.Get(name); !headerFits(got, pattern) {
			p.Errorf("header %s is %q, and not %s", name, got, pattern)
		}
	}
	if p.row.Body != nil {
		if d := differs(any(p.json(a)), any(p.row.Body), p.row.Closed); d != "" {
			p.Errorf("the body differs: %s\n%s", d, a.body)
		}
	}
	for _, name := range p.row.BodyAbsent {
		if _, has := p.json(a)[name]; has {
			p.Errorf("the body has %s\n%s", name, a.body)
		}
	}
	if a.status >= 400 {
		p.refusal(a)
	}
	return a
}

// wants checks the status; 0: any.
func (p *proof) wants(a *answer, status int) *answer {
	p.Helper()
	if status != 0 && a.status != status {
		p.Errorf("%s %s %s: status %d, and not %d\n%s", a.request.Method, a.request.URL, a.request.Body, a.status, status, a.body)
	}
	return a
}

// refusal checks what holds of every error answer under every contract.
func (p *proof) refusal(a *answer) {
	p.Helper()
	if got := a.header.Get("Content-Type"); got != "application/json" {
		p.Errorf("Content-Type is %q", got)
	}
	if got := a.header.Get("X-Charge-USD"); !isZero(got) {
		p.Errorf("X-Charge-USD is %q", got)
	}
	advice := a.header.Get("x-should-retry")
	if advice != "" && advice != "true" && advice != "false" {
		p.Errorf("x-should-retry is %q", advice)
	}
	if a.status != http.StatusTooManyRequests && (a.status != http.StatusServiceUnavailable || advice == "false") {
		return
	}
	s, ms := a.header.Get("Retry-After"), a.header.Get("retry-after-ms")
	if !headerFits(s, "<int>") || !headerFits(ms, "<int>") {
		p.Errorf("%d without a time to wait: Retry-After %q, retry-after-ms %q", a.status, s, ms)
		return
	}
	seconds, _ := strconv.ParseInt(s, 10, 64)
	millis, _ := strconv.ParseInt(ms, 10, 64)
	if millis > 1000*seconds || millis <= 1000*(seconds-1) {
		p.Errorf("Retry-After %s and retry-after-ms %s are not the same time", s, ms)
	}
}

// isZero reports whether text is an amount of nothing.
func isZero(text string) bool {
	return text != "" && strings.Trim(text, "0.") == ""
}

// free runs f and checks that it left the caller's money as it was: no charge,
// nothing held.
func (p *proof) free(c caller, f func() *answer) *answer {
	p.Helper()
	before := c.ledger(p)
	a := f()
	after := c.ledger(p)
	a.ledger = &ledgers{Before: before, After: after}
	if before.BalanceUSD != after.BalanceUSD || before.Charges != after.Charges || before.ChargedUSD != after.ChargedUSD || !isZero(after.HeldUSD) {
		p.Errorf("it was to be free: %+v became %+v", *before, *after)
	}
	return a
}

// refused sends a request that comes to the row's answer and costs nothing.
func (p *proof) refused(c caller, path, body string, changes ...change) *answer {
	p.Helper()
	return p.holds(p.free(c, func() *answer { return p.ask(c, path, body, changes...) }))
}

// paid sends a request that must be answered with 200 and charged.
func (p *proof) paid(c caller, path, body string, changes ...change) *answer {
	p.Helper()
	a := p.wants(p.watched(c, path, body, changes...), http.StatusOK)
	before, after := a.ledger.Before, a.ledger.After
	if after.Charges != before.Charges+1 || !isZero(after.HeldUSD) {
		p.Errorf("it was to be charged, once: %+v became %+v", *before, *after)
	}
	return a
}

// watched sends a request and keeps what it did to the caller's money, whatever
// that is.
func (p *proof) watched(c caller, path, body string, changes ...change) *answer {
	p.Helper()
	before := c.ledger(p)
	a := p.ask(c, path, body, changes...)
	a.ledger = &ledgers{Before: before, After: c.ledger(p)}
	return a
}

// text returns a string within the body.
func (p *proof) text(a *answer, path ...string) string {
	p.Helper()
	var v any = p.json(a)
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	s, ok := v.(string)
	if !ok {
		p.Fatalf("%s is no text\n%s", strings.Join(path, "."), a.body)
	}
	return s
}

// says checks that a text holds all parts.
func (p *proof) says(text string, parts ...string) {
	p.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			p.Errorf("%q does not say %q", text, part)
		}
	}
}

// caller is somebody with an account and a key.
type caller struct {
	gw      *gateway
	host    string // of the site; empty: any
	account string
	key     harness.Key
}

// ledger reads the account's money.
func (c caller) ledger(t testing.TB) *ledgerState {
	t.Helper()
	a := c.gw.AccountNow(t, c.account)
	var usage struct {
		Total struct {
			Requests  int64  `json:"requests"`
			ChargeUSD string `json:"charge_usd"`
		} `json:"total"`
	}
	c.gw.MustAdmin(t, "GET", "/admin/v1/usage?group_by=account&account="+url.QueryEscape(c.account), nil, &usage)
	return &ledgerState{
		Account: c.account, BalanceUSD: a.BalanceUSD, HeldUSD: a.HeldUSD, AvailableUSD: a.AvailUSD,
		Charges: usage.Total.Requests, ChargedUSD: usage.Total.ChargeUSD,
	}
}

// credit moves the balance by an amount, which may be negative.
func (c caller) credit(t testing.TB, usd string) {
	t.Helper()
	c.gw.MustAdmin(t, "POST", "/admin/v1/accounts/"+c.account+"/credits", map[string]any{"amount_usd": usd, "kind": "adjust"}, nil)
}

// events splits a stream into its events. Comments are left out.
func events(body []byte) (out []event) {
	for _, frame := range bytes.Split(body, []byte("\n\n")) {
		var e event
		for _, l := range bytes.Split(frame, []byte("\n")) {
			name, value, _ := bytes.Cut(l, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "event":
				e.name = string(value)
			case "data":
				e.data += string(value)
			}
		}
		if e != (event{}) {
			out = append(out, e)
		}
	}
	return out
}

type event struct{ name, data string }
