package contract

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

func TestHeadersOfRetry(t *testing.T) {
	t.Parallel()
	type want struct{ after, ms, should string }
	for _, tc := range []struct {
		name string
		e    *fault.Error
		want want
	}{
		{"a wait is rounded up to whole seconds", &fault.Error{Code: fault.RateLimited, RetryAfter: 1_000_000_001}, want{"2", "1001", "true"}},
		{"and is at least one", &fault.Error{Code: fault.RateLimited, RetryAfter: 1}, want{"1", "1", "true"}},
		{"sixty seconds are waited for", &fault.Error{Code: fault.RateLimited, RetryAfter: time.Minute}, want{"60", "60000", "true"}},
		{"more are not", &fault.Error{Code: fault.RateLimited, RetryAfter: time.Minute + 1}, want{"61", "60001", "false"}},
		{"a daily limit is not, however near its end", &fault.Error{Code: fault.DailySpendExceeded, RetryAfter: time.Second}, want{"1", "1000", "false"}},
		{"a plan's quota is not", daily(fault.PlanQuotaExceeded), want{"10800", "10800000", "false"}},
		{"an empty balance is not", short(), want{"", "", "false"}},
		{"a held balance is", &fault.Error{Code: fault.BalanceHeld, RetryAfter: time.Second}, want{"1", "1000", "true"}},
		{"a bad request is not", code(fault.InvalidJSON), want{"", "", "false"}},
		{"our refused credential is not, whatever the wait", &fault.Error{Code: fault.UpstreamQuota, RetryAfter: time.Second}, want{"", "", "false"}},
		{"a failed provider is", code(fault.UpstreamFailed), want{"", "", "true"}},
		{"and is waited for if it says so", &fault.Error{Code: fault.UpstreamFailed, RetryAfter: 5 * time.Second}, want{"5", "5000", "true"}},
		{"an overload of ours has a wait of its own", code(fault.Overloaded), want{"2", "1599", "true"}},
		{"so has a provider's rate limit", code(fault.UpstreamRateLimited), want{"2", "1599", "true"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := headers(t, load(t, "openai").Render("openai", tc.e, Facts{RequestID: "req_1"}))
			got := want{h["Retry-After"], h["retry-after-ms"], h["x-should-retry"]}
			if got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
	h := headers(t, load(t, "openai").Render("anthropic", code(fault.UpstreamOverloaded), Facts{}))
	if _, said := h["x-should-retry"]; said || h["Retry-After"] == "" {
		t.Errorf("529, which is in nobody's list: %v; want a wait and no word on retrying", h)
	}
}

func TestDefaultWaitsAreSpread(t *testing.T) {
	t.Parallel()
	c := load(t, "openai")
	seen := map[string]bool{}
	for i := range 50 {
		h := headers(t, c.Render("openai", code(fault.NoTarget), Facts{RequestID: "req_" + strings.Repeat("x", i)}))
		if s := h["Retry-After"]; s != "1" && s != "2" {
			t.Errorf("Retry-After %q, want 1 or 2", s)
		}
		seen[h["retry-after-ms"]] = true
	}
	if len(seen) < 25 {
		t.Errorf("50 requests are told %d different waits", len(seen))
	}
}

func TestMoneyIsExactAndText(t *testing.T) {
	t.Parallel()
	c := load(t, "openai")
	e := &fault.Error{Code: fault.BalanceInsufficient, HasMoney: true, Required: 123_456_789_012_345_679, Available: 1}
	h := headers(t, c.Render("openai", e, Facts{Charge: 7 * money.Cent}))
	got := []string{h["X-Required-USD"], h["X-Available-USD"], h["X-Charge-USD"]}
	if diff := cmp.Diff([]string{"123456789.012345679", "0.000000001", "0.07"}, got); diff != "" {
		t.Error(diff)
	}
	h = headers(t, c.Render("openai", code(fault.KeyInvalid), Facts{}))
	if _, has := h["X-Required-USD"]; has || h["X-Charge-USD"] != "0.00" {
		t.Errorf("a refusal that is not about money: %v", h)
	}
}

func TestBalanceWarning(t *testing.T) {
	t.Parallel()
	c := load(t, "ninjachat")
	warning := func(amount string) []llm.Edit {
		return []llm.Edit{{Name: "balance_warning", Value: []byte(`{"warning":"low_balance","threshold":"Balance is $` + amount + `. Consider adding credits soon."}`)}}
	}
	for _, tc := range []struct {
		name string
		f    Facts
		want []llm.Edit
	}{
		{"below the contract's bound, cut to cents", Facts{Balance: 4_999_999_999, HasBalance: true}, warning("4.99")},
		{"not at it", Facts{Balance: 5 * money.Dollar, HasBalance: true}, nil},
		{"nothing for a stranger", Facts{Balance: 0}, nil},
		{"the site's bound comes first", Facts{Balance: 7 * money.Dollar, HasBalance: true, WarnBelow: 10 * money.Dollar}, warning("7.00")},
		{"also when it is lower", Facts{Balance: 3 * money.Dollar, HasBalance: true, WarnBelow: 2 * money.Dollar}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := slices.DeleteFunc(c.Extras("chat", "flat", tc.f), func(e llm.Edit) bool { return e.Name != "balance_warning" })
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("on a success: %s", diff)
			}
			r := c.Render("flat", code(fault.UpstreamFailed), tc.f)
			frame, _ := c.RenderFrame("chat", "flat", code(fault.StreamInterrupted), tc.f)
			for _, b := range [][]byte{r.Body, frame} {
				if bytes.Contains(b, []byte("balance_warning")) != (tc.want != nil) {
					t.Errorf("on an error: %s, want a warning: %v", b, tc.want != nil)
				}
				if tc.want != nil && !bytes.Contains(b, tc.want[0].Value) {
					t.Errorf("on an error: %s, want %s", b, tc.want[0].Value)
				}
			}
		})
	}
	if got := load(t, "openai").Extras("openai.chat", "openai", Facts{HasBalance: true}); got != nil {
		t.Errorf("the openai contract adds %v", got)
	}
}

func TestWordsOfTheContractAndOfTheFailure(t *testing.T) {
	t.Parallel()
	context := fault.New(fault.ContextLengthExceeded, "Our own words.").At("messages")
	for _, tc := range []struct {
		name, envelope string
		e              *fault.Error
		want           string
	}{
		{"the failure's own words win", "openai", context, "Our own words."},
		{"the contract's come before the registry's", "openai", code(fault.ModelNotFound).With("model", "x"), "The model 'x' does not exist or you do not have access to it."},
		{"unless they lack something", "openai", code(fault.ModelNotFound), "There is no such model."},
		{"fixed words come first", "anthropic", context.With("tokens", "9").With("context", "8"), "prompt is too long: 9 tokens > 8 maximum"},
		{"the first that lack nothing", "anthropic", code(fault.ContextLengthExceeded).With("tokens", "9").With("limit", "7"), "prompt is too long: 9 tokens > 7 maximum"},
		{"and the failure's own if all lack something", "anthropic", fault.New(fault.ContextLengthExceeded, "Too long."), "Too long."},
		{"a blank message is none", "openai", fault.New(fault.KeyInvalid, "  "), "The API key is not valid."},
		{"what a provider says of our key is not told", "openai", fault.New(fault.UpstreamAuth, "sk-123 of acme is bad"), "The gateway could not sign in to the provider."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			body := load(t, "openai").Render(tc.envelope, tc.e, Facts{}).Body
			if want := appendString([]byte(`"message":`), tc.want); !bytes.Contains(body, want) {
				t.Errorf("%s, want %s", body, want)
			}
		})
	}
}

func TestWhatACallerSentStartsNoHeader(t *testing.T) {
	t.Parallel()
	e := code(fault.MethodNotAllowed).With("allow", "POST\r\nSet-Cookie: a=b\x00é")
	h := headers(t, load(t, "openai").Render("anthropic", e, Facts{RequestID: "a\nb"}))
	if h["Allow"] != "POST  Set-Cookie: a=b ?" || h["request-id"] != "a b" {
		t.Errorf("%q", h)
	}
}

func TestStrangeInputsStillGiveAnAnswer(t *testing.T) {
	t.Parallel()
	c := load(t, "openai")
	for name, r := range map[string]Rendered{
		"no error":            c.Render("openai", nil, Facts{}),
		"no code":             c.Render("openai", &fault.Error{}, Facts{}),
		"a code out of range": c.Render("openai", &fault.Error{Code: 255}, Facts{}),
		"no such envelope":    c.Render("nonsense", code(fault.Internal), Facts{}),
	} {
		if r.Status != 500 || !bytes.Contains(r.Body, []byte("internal_error")) {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	long := fault.New(fault.InvalidRequest, "%s", strings.Repeat("é", 1<<20))
	for range 10_000 {
		long.Details = append(long.Details, fault.Detail{Field: strings.Repeat("x", 10_000), Code: fault.InvalidParameter})
	}
	if r := c.Render("flat", long, Facts{}); len(r.Body) > 64*2*(maxValue+100)+maxValue || !validJSON(r.Body) {
		t.Errorf("an endless message makes a body of %d bytes", len(r.Body))
	}
}

func TestUnknownPathsHaveAnEnvelope(t *testing.T) {
	t.Parallel()
	c := load(t, "openai")
	for path, want := range map[string]string{
		"/": "openai", "/v1/nothing": "openai", "/v1/messages/nothing": "anthropic",
		"/v1/messages": "anthropic", "/v1/messagesque": "openai", "": "openai",
	} {
		if got := c.Elsewhere(path); got != want {
			t.Errorf("Elsewhere(%q) = %s, want %s", path, got, want)
		}
	}
}

func validJSON(b []byte) bool { return jsontext.Value(b).IsValid() }

// anyError draws a failure with whatever bytes anywhere.
func anyError(t *rapid.T) (*fault.Error, Facts) {
	wild := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) })
	str := rapid.OneOf(wild, rapid.String(), rapid.SampledFrom([]string{"-0", "007", "+1", "1e3", "9223372036854775808", "12", `{"a":1}`, "null", "{\"a\":\n\"\xff\"}", "{\"a\":\n \"\u0085\u2028\u2029\"}", `{"a":1,"a":2}`, `"\ud800"`, "{,}"}))
	e := &fault.Error{
		Code:       fault.Code(rapid.Uint8().Draw(t, "code")),
		Message:    str.Draw(t, "message"),
		Param:      str.Draw(t, "param"),
		Said:       str.Draw(t, "upstream"),
		RetryAfter: time.Duration(rapid.Int64().Draw(t, "retry after")),
		HasMoney:   rapid.Bool().Draw(t, "has money"),
		Required:   money.Amount(rapid.Int64().Draw(t, "required")),
		Available:  money.Amount(rapid.Int64().Draw(t, "available")),
	}
	for range rapid.IntRange(0, 3).Draw(t, "details") {
		e.Details = append(e.Details, fault.Detail{Field: str.Draw(t, "field"), Code: fault.Code(rapid.Uint8().Draw(t, "detail code")), Message: str.Draw(t, "detail message")})
	}
	for _, name := range Args() {
		if rapid.Bool().Draw(t, name) {
			e.With(name, str.Draw(t, name))
		}
	}
	f := Facts{
		RequestID: str.Draw(t, "request id"), HasBalance: rapid.Bool().Draw(t, "has balance"),
		Charge: money.Amount(rapid.Int64().Draw(t, "charge")), Took: time.Duration(rapid.Int64().Draw(t, "took")),
		Usage:   rapid.SampledFrom([]*llm.Usage{nil, {}, {Input: math.MaxInt64, Output: 7}}).Draw(t, "usage"),
		Balance: money.Amount(rapid.Int64().Draw(t, "balance")), WarnBelow: money.Amount(rapid.Int64().Draw(t, "warn below")),
		Limits: Limits{Known: rapid.Bool().Draw(t, "limits"), Limit: rapid.Int64().Draw(t, "limit"), Remaining: rapid.Int64().Draw(t, "remaining")},
	}
	return e, f
}

// anyData draws values of whatever kind under the names of a surface.
func anyData(t *rapid.T, surface string) Data {
	values := func(terms []answerTerm) Values {
		out := Values{}
		for _, term := range terms {
			n := rapid.Int64().Draw(t, term.name)
			out[term.name] = rapid.SampledFrom([]Value{{}, Text("\xff{id}\x00\u2028"), Text(""), Number(n), USD(money.Amount(n)), Flag(n > 0), Time(time.Unix(n%1e11, n%1e9))}).Draw(t, "value")
		}
		return out
	}
	d := Data{Values: values(answers[surface].terms), Lists: map[string][]Values{}}
	for _, l := range answers[surface].lists {
		d.Lists[l.name] = []Values{values(l.terms), nil}[:rapid.IntRange(0, 2).Draw(t, l.name)]
	}
	return d
}

func TestRenderingsAreAlwaysJSON(t *testing.T) {
	t.Parallel()
	all := everything(t)
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(all).Draw(t, "contract")
		env := rapid.SampledFrom(c.Envelopes()).Draw(t, "envelope")
		e, f := anyError(t)
		r := c.Render(env, e, f)
		if !validJSON(r.Body) {
			t.Fatalf("body %q is not JSON", r.Body)
		}
		for _, kv := range r.Header {
			if strings.ContainsFunc(kv[0]+kv[1], func(r rune) bool { return r < 0x20 || r > 0x7e }) {
				t.Fatalf("header %q", kv)
			}
		}
		frame, done := c.RenderFrame("", env, e, f)
		text := strings.TrimSuffix(string(frame), "data: [DONE]\n\n")
		_, data, ok := strings.Cut(text, "data: ")
		if !ok || (len(text) < len(frame)) != done || !strings.HasSuffix(data, "}\n\n") || strings.ContainsAny(data[:len(data)-2], "\r\n\u0085\u2028\u2029") {
			t.Fatalf("frame %q, done %v", frame, done)
		}
		if !validJSON([]byte(data[:len(data)-2])) {
			t.Fatalf("frame %q is not JSON", frame)
		}
		for _, edit := range c.Extras("", env, f) {
			if !validJSON(edit.Value) {
				t.Fatalf("extra %q is not JSON", edit.Value)
			}
		}
		for _, route := range c.Routes() {
			if body := c.Answer(route, true, anyData(t, route.Surface), f); body != nil && !validJSON(body) {
				t.Fatalf("answer of %s %s: %q is not JSON", route.Method, route.Path, body)
			}
		}
	})
}

func TestAnthropicErrorsKeepTheirSchema(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(filepath.Join(shared(t), "schemas", "anthropic.ErrorResponse.json"))
	if err != nil {
		t.Fatal(err)
	}
	// Types of the API's documentation that the SDK's types leave out.
	documentedOnly := map[string]bool{"request_too_large": true, "conflict_error": true}
	c := load(t, "openai")
	checked := 0
	for _, entry := range fault.All() {
		e := Sample(entry.Code)
		frame, _ := c.RenderFrame("anthropic.messages", "anthropic", e, Facts{RequestID: "req_1"})
		_, data, _ := bytes.Cut(frame, []byte("data: "))
		for _, b := range [][]byte{c.Render("anthropic", e, Facts{RequestID: "req_1"}).Body, data} {
			if documentedOnly[c.row(c.face("anthropic"), entry.Code).typ] {
				continue
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: %s: %v", entry.Name, b, err)
			}
			checked++
		}
	}
	if checked < 100 {
		t.Errorf("only %d bodies were checked", checked)
	}
}

func TestRenderAllocatesLittle(t *testing.T) {
	c := load(t, "openai")
	e := &fault.Error{Code: fault.RateLimited, RetryAfter: 1500 * time.Millisecond}
	f := Facts{RequestID: "req_01JEXAMPLE"}
	if n := testing.AllocsPerRun(100, func() { c.Render("openai", e, f) }); n > 9 {
		t.Errorf("Render of a 429 allocates %v times", n)
	}
}

func BenchmarkRender(b *testing.B) {
	c := load(b, "openai")
	f := Facts{RequestID: "req_01JEXAMPLE"}
	for name, e := range map[string]*fault.Error{
		"429": {Code: fault.RateLimited, RetryAfter: 1500 * time.Millisecond},
		"402": short(),
		"400": fields(fault.Detail{Field: "messages", Code: fault.MissingParameter, Message: "Required"}),
	} {
		for _, env := range c.Envelopes() {
			b.Run(name+"/"+env, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					c.Render(env, e, f)
				}
			})
		}
	}
}

func BenchmarkRenderFrame(b *testing.B) {
	c := load(b, "openai")
	b.ReportAllocs()
	for b.Loop() {
		c.RenderFrame("openai.chat", "openai", code(fault.StreamInterrupted), Facts{})
	}
}

func BenchmarkParse(b *testing.B) {
	src, err := os.ReadFile("../../contracts/openai.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("openai.yaml", src); err != nil {
			b.Fatal(err)
		}
	}
}
