package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

func TestRefusalsBeforeTheBody(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{enter: func(v Visit) error {
		if v.Credential != "good" {
			return fault.New(fault.KeyInvalid, "")
		}
		return nil
	}}, nil)
	for _, c := range []struct {
		name, method, path, key, ct string
		body                        io.Reader
		status                      int
		allow                       string
	}{
		{"unknown path", "POST", "/v1/nothing", "good", "application/json", strings.NewReader("{}"), 404, ""},
		{"unknown path, unknown key", "POST", "/v1/nothing", "bad", "application/json", strings.NewReader("{}"), 404, ""},
		{"wrong method", "GET", "/v1/chat/completions", "good", "", nil, 405, "POST"},
		{"unknown key with a huge body", "POST", "/v1/chat/completions", "bad", "application/json", endless{}, 401, ""},
		{"huge body", "POST", "/v1/chat/completions", "good", "application/json", endless{}, 413, ""},
		{"not JSON by its type", "POST", "/v1/chat/completions", "good", "text/plain", endless{}, 415, ""},
		{"not JSON", "POST", "/v1/chat/completions", "good", "application/json", strings.NewReader("{"), 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, _ := http.NewRequest(c.method, h.srv.URL+c.path, c.body)
			req.Header.Set("Authorization", "Bearer "+c.key)
			req.Header.Set("Content-Type", c.ct)
			req.Header.Set("X-Client-Request-Id", "mine-1")
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || resp.Header.Get("Allow") != c.allow || !json.Valid(b) {
				t.Errorf("%d, Allow %q: %s; want %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"), b, c.status, c.allow)
			}
			if id := resp.Header.Get("X-Request-Id"); !strings.HasPrefix(id, "req_") || resp.Header.Get("X-Client-Request-Id") != "mine-1" {
				t.Errorf("X-Request-Id %q, X-Client-Request-Id %q", id, resp.Header.Get("X-Client-Request-Id"))
			}
		})
	}
}

func TestAStreamLeavesAsItComesAndEndsAfterTheCharge(t *testing.T) {
	t.Parallel()
	var c *fakeCall
	release := make(chan struct{})
	h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
		c = &fakeCall{ctx: ctx, steps: []any{event("data: 1\n\n"), func() { <-release }, event("data: 2\n\n"), last("data: [DONE]\n\n")}}
		return c, nil
	}}, nil)
	resp, err := http.Post(h.srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := bufio.NewReader(resp.Body)
	if line, _ := r.ReadString('\n'); line != "data: 1\n" {
		t.Fatalf("first line %q, while the second event is not there yet", line)
	}
	close(release)
	rest, _ := io.ReadAll(r)
	if string(rest) != "\ndata: 2\n\ndata: [DONE]\n\n" {
		t.Errorf("rest %q", rest)
	}
	if got := resp.Trailer.Get("X-Charge-Usd"); got != "0.0000015" {
		t.Errorf("trailer X-Charge-USD %q", got)
	}
	want := map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no",
		"X-Output-Capped-By": "balance", "X-Dropped-Params": "seed",
	}
	for k, v := range want {
		if resp.Header.Get(k) != v {
			t.Errorf("%s: %q, want %q", k, resp.Header.Get(k), v)
		}
	}
	ev := <-h.events
	if c.outcome() != "finish, delivered, close" || ev.Delivery != "complete" || ev.FirstEvent == 0 || h.left != 1 {
		t.Errorf("the call ended %q, delivery %q, first event %v, left %d", c.outcome(), ev.Delivery, ev.FirstEvent, h.left)
	}
}

func TestFailuresOfAnAnswer(t *testing.T) {
	t.Parallel()
	boom := fault.New(fault.UpstreamFailed, "")
	cut := fault.New(fault.StreamInterrupted, "")
	for _, c := range []struct {
		name, body string
		steps      []any
		bill       error
		status     int
		want       string // of the body
		code       string
		ends       string
	}{
		{"whole, before", `{}`, []any{boom}, nil, 502, "", "upstream_error", "fail upstream_failed"},
		{"whole, cannot be charged", `{}`, []any{last("x")}, fault.New(fault.LedgerUnavailable, ""), 503, "", "", "fail ledger_unavailable"},
		{"stream, midway", `{"stream":1}`, []any{event("data: 1\n\n"), cut}, nil, 200, "data: 1\n\ndata: {\"error\":", "", "fail stream_interrupted"},
		{"stream, cannot be charged", `{"stream":1}`, []any{event("data: 1\n\n"), last("data: [DONE]\n\n")}, fault.New(fault.LedgerUnavailable, ""), 200, "data: 1\n\ndata: {\"error\":", "", "fail ledger_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var call *fakeCall
			h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
				call = &fakeCall{ctx: ctx, steps: c.steps, bill: c.bill}
				return call, nil
			}}, nil)
			resp, body := h.post(t, "/v1/chat/completions", c.body)
			if resp.StatusCode != c.status || !strings.HasPrefix(body, c.want) || strings.Contains(body, "[DONE]") {
				t.Errorf("%d %q, want %d and %q…, without [DONE]", resp.StatusCode, body, c.status, c.want)
			}
			if c.code != "" && code(body) != c.code {
				t.Errorf("code %q in %s, want %q", code(body), body, c.code)
			}
			if got := resp.Header.Get("X-Charge-Usd") + resp.Trailer.Get("X-Charge-Usd"); got != "0.00" {
				t.Errorf("it tells a charge of %q, want 0.00", got)
			}
			<-h.events
			if call.outcome() != c.ends {
				t.Errorf("the call ended %q, want %q", call.outcome(), c.ends)
			}
		})
	}
}

func TestARefusalByTheGateIsReportedOnce(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{open: func(context.Context) (*fakeCall, error) {
		e := fault.New(fault.BalanceInsufficient, "")
		e.HasMoney, e.Required, e.Available = true, 5, 4
		return nil, e
	}}, nil)
	resp, body := h.post(t, "/v1/chat/completions", `{}`)
	if resp.StatusCode != 402 || resp.Header.Get("X-Required-Usd") != "0.000000005" || resp.Header.Get("X-Available-Usd") != "0.000000004" || resp.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	<-h.events
	if d := cmp.Diff([]string{"balance_insufficient 402"}, h.refused); d != "" || h.left != 1 {
		t.Errorf("refused %v, left %d times", h.refused, h.left)
	}
}

func TestADefectIsA500AndFree(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"before", "within"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			var call *fakeCall
			h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
				call = &fakeCall{ctx: ctx, steps: []any{func() { panic("secret detail") }}}
				return call, nil
			}}, nil)
			if where == "before" {
				if err := h.points.Arm("handler_panic", 1); err != nil {
					t.Fatal(err)
				}
			}
			resp, body := h.post(t, "/v1/chat/completions", `{}`)
			if resp.StatusCode != 500 || code(body) != "internal_error" || strings.Contains(body, "secret detail") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			ev := <-h.events
			if ev.Panic == "" || ev.Fault != "internal" {
				t.Errorf("the event knows fault %q and panic %q", ev.Fault, ev.Panic)
			}
			if where == "within" && call.outcome() != "fail internal" {
				t.Errorf("the call ended %q", call.outcome())
			}
		})
	}
}

func TestModelsLists(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{}, nil)
	for path, want := range map[string]string{"/v1/models": "list of a/b", "/v1/models/a/b": "one a/b", "/v1/models/none": ""} {
		resp, err := http.Get(h.srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if want == "" {
			if resp.StatusCode != 404 || code(string(b)) != "model_not_found" {
				t.Errorf("%s: %d %s", path, resp.StatusCode, b)
			}
		} else if string(b) != want {
			t.Errorf("%s: %s, want %s", path, b, want)
		}
	}
}

func TestHostsChooseSites(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	a, b := &Site{Name: "a", Hosts: []string{"A.example", "x.example"}, Contract: c}, &Site{Name: "b", Hosts: []string{"b.example"}, Contract: c}
	s := NewSites([]*Site{a, b})
	for host, want := range map[string]*Site{"a.example": a, "A.EXAMPLE:8080": a, "x.example.": a, "b.example": b, "": nil, "evil": nil, "a.example.evil": nil} {
		if got := s.Find("", host); got != want {
			t.Errorf("Find(%q) = %v", host, got)
		}
	}
	all := NewSites([]*Site{a, {Name: "*", Hosts: []string{"*"}, Contract: c}})
	if got := all.Find("", "evil"); got == nil || got.Name != "*" {
		t.Errorf("a host that no site names goes to %v, want the site of all hosts", got)
	}
}

func TestBadFieldsAndAnUnknownModelAreToldTogetherWhereTheContractSaysSo(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("ninjachat")
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{site: &Site{Contract: c}, caller: &fake{}}
	e := fault.Fields([]fault.Detail{{Field: "messages", Code: fault.MissingParameter, Message: "Required"}})
	got := fault.From(x.withModel(e, &llm.Request{Model: "gpt5"}))
	if len(got.Details) != 2 || got.Details[1].Field != "model" || got.Details[1].Code != fault.ModelNotFound {
		t.Errorf("details %+v", got.Details)
	}
	if one := x.named(fault.New(fault.ModelNotFound, "").At("model")); len(one.Details) != 1 {
		t.Errorf("an unknown model alone has details %+v", one.Details)
	}
	if other := x.named(fault.New(fault.UpstreamFailed, "").At("x")); len(other.Details) != 0 {
		t.Errorf("an upstream fault has details %+v", other.Details)
	}
	if !errors.Is(x.withModel(e, nil), e) {
		t.Error("without a request there is nothing to add")
	}
}

// turnedAway is a gateway that refuses everybody at the door.
type turnedAway struct {
	known Caller // nil: nobody knows who it is
	e     *fault.Error
}

func (g turnedAway) Enter(context.Context, Visit) (Caller, error) { return g.known, g.e }
func (g turnedAway) Recognize(Visit) Caller                       { return g.known }

// Whoever is known and turned away at the door is told of, with the status that
// was sent.
func TestRefusalsAtTheDoorAreRecorded(t *testing.T) {
	t.Parallel()
	known := &fake{}
	h := build(t, known, func(o *Options) { o.Gateway = turnedAway{known, fault.New(fault.RateLimited, "")} })
	resp, err := http.Get(h.srv.URL + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	<-h.events
	known.mu.Lock()
	defer known.mu.Unlock()
	if diff := cmp.Diff([]string{"rate_limited 429"}, known.refused); diff != "" || known.left != 1 {
		t.Errorf("refused (-want +got), left %d times:\n%s", known.left, diff)
	}
}

func TestALowBalanceIsToldInEveryAnswer(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("ninjachat")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, path string
		gateway    Gateway
		want       string
	}{
		{"list", "/api/v1/models", &fake{}, `{"data":[],"balance_warning":{"warning":"low_balance","threshold":"Balance is $10.00. Consider adding credits soon."}}`},
		{"one", "/api/v1/models/a/b", &fake{}, `{"id":"a/b","balance_warning":{"warning":"low_balance","threshold":"Balance is $10.00. Consider adding credits soon."}}`},
		{"none", "/api/v1/models/c", &fake{}, "Balance is $10.00."},
		{"at the door", "/api/v1/models", turnedAway{&fake{}, fault.New(fault.RateLimited, "")}, "Balance is $10.00."},
		{"a path that there is not", "/api/v1/nowhere", turnedAway{&fake{}, nil}, "Balance is $10.00."},
		{"not with this method", "/api/v1/chat", turnedAway{&fake{}, nil}, "Balance is $10.00."},
		{"a stranger nowhere", "/api/v1/nowhere", &fake{}, "!balance_warning"},
		{"a stranger", "/api/v1/models", turnedAway{nil, fault.New(fault.KeyInvalid, "")}, "!balance_warning"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := NewServer(Options{Gateway: x.gateway, Listers: map[string]ModelLister{"openai.models": braces{}}, Done: func(*obs.Event) {}},
				NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c, WarnBelow: 20 * money.Dollar}}))
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, httptest.NewRequest("GET", x.path, nil))
			body := rec.Body.String()
			if not, absent := strings.CutPrefix(x.want, "!"); strings.Contains(body, not) == absent || !json.Valid(rec.Body.Bytes()) {
				t.Errorf("%d %s, want %s", rec.Code, body, x.want)
			}
		})
	}
}

// braces lists models as JSON, in short.
type braces struct{}

func (braces) List(dst []byte, _ []Model) []byte { return append(dst, `{"data":[]}`...) }
func (braces) One(dst []byte, m Model) []byte    { return append(dst, `{"id":"`+m.ID+`"}`...) }

func TestFaultsOnDemand(t *testing.T) {
	t.Parallel()
	answer := func(call **fakeCall) func(context.Context) (*fakeCall, error) {
		return func(ctx context.Context) (*fakeCall, error) {
			*call = &fakeCall{ctx: ctx, steps: []any{event("data: 1\n\n"), event("data: 2\n\n"), last("data: [DONE]\n\n")}}
			return *call, nil
		}
	}
	for _, c := range []struct {
		name, header, body string
		live               bool
		status             int
		want, ends         string
	}{
		{"before", "upstream_overloaded", `{}`, false, 503, "", "fail upstream_overloaded"},
		{"every fault, whatever its nature", "balance_insufficient", `{}`, false, 402, "", "fail balance_insufficient"},
		{"midway", "stream_interrupted;after=1", `{"stream":1}`, false, 200, "data: 1\n\ndata: {\"error\"", "fail stream_interrupted"},
		{"later than the end", "stream_interrupted; after=9", `{"stream":1}`, false, 200, "data: 1\n\ndata: 2\n\ndata: {\"error\"", "fail stream_interrupted"},
		{"with a live key", "upstream_failed", `{}`, true, 400, "", ""},
		{"no such fault", "fire", `{}`, false, 400, "", ""},
		{"no such place", "upstream_failed;later", `{}`, false, 400, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var call *fakeCall
			h := build(t, &fake{test: !c.live, open: answer(&call)}, nil)
			req, _ := http.NewRequest("POST", h.srv.URL+"/v1/chat/completions", strings.NewReader(c.body))
			req.Header.Set("X-Pontage-Simulate", c.header)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			<-h.events
			if resp.StatusCode != c.status || !strings.HasPrefix(string(b), c.want) || strings.Contains(string(b), "[DONE]") {
				t.Errorf("%d %s", resp.StatusCode, b)
			}
			if call != nil && call.outcome() != c.ends || call == nil && c.ends != "" {
				t.Errorf("the call ended %v, want %q", call, c.ends)
			}
			if got := resp.Trailer.Get("X-Charge-Usd"); c.status == 200 && got != "0.00" {
				t.Errorf("the stream's trailer X-Charge-USD is %q", got)
			}
		})
	}
}

func TestFaultsOnDemandWhereModelsAreListed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header string
		live   bool
		status int
	}{{"upstream_overloaded;after=2", false, 503}, {"fire", false, 400}, {"upstream_overloaded", true, 400}, {"", true, 200}} {
		h := build(t, &fake{test: !c.live}, nil)
		req, _ := http.NewRequest("GET", h.srv.URL+"/v1/models", nil)
		req.Header.Set("X-Pontage-Simulate", c.header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		<-h.events
		if resp.StatusCode != c.status {
			t.Errorf("%q: %d, want %d", c.header, resp.StatusCode, c.status)
		}
	}
}
