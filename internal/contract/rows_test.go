package contract

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// documented is a row of a service's public error reference.
type documented struct {
	ID         string         `yaml:"id"`
	When       string         `yaml:"when"`
	Status     int            `yaml:"status"`
	Headers    map[string]any `yaml:"headers"`
	Body       map[string]any `yaml:"body"`
	BodyAbsent []string       `yaml:"body_absent"`
	Closed     bool           `yaml:"closed"`
	Then       string         `yaml:"then"`
	Stream     string         `yaml:"stream"`
	Charged    any            `yaml:"charged"`
}

func readRows(t *testing.T, service string) (rows []documented, retryable []int) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(shared(t), "contract", service+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Retryable []int        `yaml:"retryable"`
		Rows      []documented `yaml:"rows"`
	}
	if err := yaml.Load(src, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Rows, doc.Retryable
}

// proof says how a row comes about as a pure rendering.
type proof struct {
	envelope string
	e        *fault.Error
	facts    Facts
	surface  string // of a stream
	frame    string // the pattern that the frame's data must match, as YAML
	event    string
	done     bool
	route    string // of a success that the contract shapes: method and path
	data     Data   // that it shows
	body     string // the pattern of the body, as YAML, where the row has it in prose
	elsewhy  string // why the row is not a rendering, and is proved elsewhere
}

func short() *fault.Error {
	return &fault.Error{Code: fault.BalanceInsufficient, HasMoney: true, Required: 3_500_000, Available: 1_000_000, Balance: 1_000_000}
}

func daily(c fault.Code) *fault.Error {
	return &fault.Error{Code: c, RetryAfter: 3 * time.Hour, ResetAt: time.Now().Add(3 * time.Hour), Args: map[string]string{"limit": "37", "used": "37"}}
}

func fields(d ...fault.Detail) *fault.Error { return fault.Fields(d) }

func code(c fault.Code) *fault.Error { return &fault.Error{Code: c} }

var openaiProofs = map[string]proof{
	"openai/400-json":               {envelope: "openai", e: code(fault.InvalidJSON)},
	"openai/400-missing":            {envelope: "openai", e: fields(fault.Detail{Field: "messages", Code: fault.MissingParameter, Message: "Required"})},
	"openai/400-value":              {envelope: "openai", e: fields(fault.Detail{Field: "temperature", Code: fault.InvalidParameter, Message: "Must be at most 2"})},
	"openai/400-type":               {envelope: "openai", e: fields(fault.Detail{Field: "temperature", Code: fault.InvalidType, Message: "Must be a number"})},
	"openai/400-unsupported":        {envelope: "openai", e: code(fault.UnsupportedParameter).At("logprobs")},
	"openai/400-context":            {envelope: "openai", e: code(fault.ContextLengthExceeded)},
	"openai/400-policy":             {envelope: "openai", e: code(fault.ContentPolicy)},
	"openai/401":                    {envelope: "openai", e: code(fault.KeyInvalid)},
	"openai/402":                    {envelope: "openai", e: short()},
	"openai/402-held":               {envelope: "openai", e: &fault.Error{Code: fault.BalanceHeld, HasMoney: true, Required: 1, RetryAfter: time.Second}},
	"openai/403-inactive":           {envelope: "openai", e: code(fault.KeyInactive)},
	"openai/403-model":              {envelope: "openai", e: code(fault.ModelNotAllowed)},
	"openai/404-model":              {envelope: "openai", e: code(fault.ModelNotFound).With("model", "gpt-none")},
	"openai/404-path":               {envelope: "openai", e: code(fault.NotFound)},
	"openai/405":                    {envelope: "openai", e: code(fault.MethodNotAllowed).With("allow", "POST")},
	"openai/408":                    {envelope: "openai", e: code(fault.RequestTimeout)},
	"openai/413":                    {envelope: "openai", e: code(fault.BodyTooLarge)},
	"openai/415":                    {envelope: "openai", e: code(fault.UnsupportedMediaType).At("Content-Type")},
	"openai/429-rate":               {envelope: "openai", e: &fault.Error{Code: fault.RateLimited, RetryAfter: 700 * time.Millisecond}},
	"openai/429-daily":              {envelope: "openai", e: daily(fault.DailyRequestsExceeded)},
	"openai/429-upstream":           {envelope: "openai", e: code(fault.UpstreamRateLimited)},
	"openai/500":                    {envelope: "openai", e: code(fault.Internal)},
	"openai/502-upstream":           {envelope: "openai", e: code(fault.UpstreamFailed)},
	"openai/502-credential":         {envelope: "openai", e: &fault.Error{Code: fault.UpstreamAuth, Message: "org-acme: bad key sk-123", Said: "bad key sk-123"}},
	"openai/503-quota":              {envelope: "openai", e: &fault.Error{Code: fault.UpstreamQuota, RetryAfter: time.Hour}},
	"openai/503-overloaded":         {envelope: "openai", e: code(fault.UpstreamOverloaded)},
	"openai/503-no-target":          {envelope: "openai", e: code(fault.NoTarget)},
	"openai/504":                    {envelope: "openai", e: code(fault.UpstreamTimeout)},
	"openai/502-empty":              {envelope: "openai", e: code(fault.EmptyResponse)},
	"openai/stream-midway":          {envelope: "openai", surface: "openai.chat", e: code(fault.StreamInterrupted), frame: `{error: {message: <text>, type: <text>, param: null, code: <text>}}`},
	"openai/messages-401":           {envelope: "anthropic", e: code(fault.KeyInvalid)},
	"openai/messages-402":           {envelope: "anthropic", e: short()},
	"openai/messages-404":           {envelope: "anthropic", e: code(fault.ModelNotFound)},
	"openai/messages-413":           {envelope: "anthropic", e: code(fault.BodyTooLarge)},
	"openai/messages-429":           {envelope: "anthropic", e: &fault.Error{Code: fault.RateLimited, RetryAfter: time.Second}},
	"openai/messages-529":           {envelope: "anthropic", e: code(fault.UpstreamOverloaded)},
	"openai/messages-502":           {envelope: "anthropic", e: code(fault.UpstreamFailed)},
	"openai/messages-stream-midway": {envelope: "anthropic", surface: "anthropic.messages", e: code(fault.StreamInterrupted), event: "error", frame: `{type: error, error: {type: api_error, message: <text>}}`},
}

var ninjaProofs = map[string]proof{
	"ninjachat/200-chat":         {elsewhy: "a success"},
	"ninjachat/200-stream":       {elsewhy: "a success"},
	"ninjachat/400-invalid-json": {envelope: "flat", e: code(fault.InvalidJSON)},
	"ninjachat/400-validation-both": {envelope: "flat", e: fields(
		fault.Detail{Field: "messages", Code: fault.MissingParameter, Message: "Is missing."},
		fault.Detail{Field: "model", Code: fault.ModelNotFound, Message: "The model \"gpt5\" does not exist."})},
	"ninjachat/400-model-typo":              {envelope: "flat", e: fault.New(fault.ModelNotFound, "The model %q does not exist.", "gpt5").With("model", "gpt5")},
	"ninjachat/400-message-without-role":    {envelope: "flat", e: fields(fault.Detail{Field: "messages.0.role", Code: fault.MissingParameter})},
	"ninjachat/400-message-without-content": {envelope: "flat", e: fields(fault.Detail{Field: "messages.0.content", Code: fault.MissingParameter})},
	"ninjachat/401-missing-api-key":         {envelope: "flat", e: code(fault.KeyMissing)},
	"ninjachat/401-invalid-api-key":         {envelope: "flat", e: code(fault.KeyInvalid)},
	"ninjachat/401-wrong-prefix":            {envelope: "flat", e: code(fault.KeyInvalid)},
	"ninjachat/401-revoked":                 {envelope: "flat", e: code(fault.KeyInvalid)},
	"ninjachat/402-insufficient-credits":    {envelope: "flat", e: fault.New(fault.BalanceInsufficient, "This request needs $%s and $%s is available.", "0.003", "0.00")},
	"ninjachat/429-rate-limit":              {envelope: "flat", e: &fault.Error{Code: fault.RateLimited, RetryAfter: 12 * time.Second}},
	"ninjachat/502-generation-failed":       {envelope: "flat", e: code(fault.UpstreamTimeout)},
	"ninjachat/500-internal-error":          {envelope: "flat", e: code(fault.Internal)},
	"ninjachat/balance-warning":             {envelope: "flat", e: code(fault.UpstreamFailed), facts: Facts{Balance: 3_509_999_999, HasBalance: true}},
	"ninjachat/no-balance-warning":          {envelope: "flat", e: code(fault.UpstreamFailed), facts: Facts{Balance: 5 * money.Dollar, HasBalance: true}},
	"ninjachat/documented-python-client":    {elsewhy: "a program"},
	"ninjachat/quick-debug":                 {elsewhy: "a program"},
	"ninjachat/stream-midway":               {envelope: "flat", surface: "chat", e: code(fault.StreamInterrupted), frame: `{error: generation_failed, message: <text>}`},
	"ninjachat/402-before-404-never":        {elsewhy: "an order of refusals"},
}

func TestDocumentedRows(t *testing.T) {
	t.Parallel()
	for service, proofs := range map[string]map[string]proof{
		"openai": openaiProofs, "ninjachat": ninjaProofs, "llmtune": llmtuneProofs,
		"modelswitch": modelswitchProofs, "samurai": samuraiProofs, "nanogpt": nanogptProofs,
	} {
		rows, retryable := readRows(t, service)
		c := load(t, service)
		for _, s := range retryable {
			if !c.Retryable(s) {
				t.Errorf("%s: %d is not retryable", service, s)
			}
		}
		for s := 400; s < 600; s++ {
			if c.Retryable(s) && !strings.Contains(fmt.Sprint(retryable), fmt.Sprint(s)) {
				t.Errorf("%s: %d is retryable, and not by the document", service, s)
			}
		}
		seen := 0
		for _, row := range rows {
			p, ok := proofs[row.ID]
			if !ok {
				t.Errorf("%s: nobody says how this row comes about", row.ID)
				continue
			}
			seen++
			if p.elsewhy == "" {
				t.Run(row.ID, func(t *testing.T) { prove(t, c, row, p) })
			}
		}
		if seen != len(proofs) {
			t.Errorf("%s: %d proofs for %d rows", service, len(proofs), seen)
		}
	}
}

// prove checks one documented row against a rendering.
func prove(t *testing.T, c *Contract, row documented, p proof) {
	t.Helper()
	p.facts.RequestID = "req_1"
	if row.Stream != "" {
		proveFrame(t, c, p)
		return
	}
	if p.body != "" {
		row.Body = nil
		if err := yaml.Load([]byte(p.body), &row.Body); err != nil {
			t.Fatal(err)
		}
	}
	var r Rendered
	if p.route != "" {
		route := routeOf(t, c, p.route)
		r = Rendered{Status: route.Status, Body: c.Answer(route, false, p.data, p.facts)}
	} else {
		r = c.Render(p.envelope, p.e, p.facts)
	}
	if row.Status != 0 && r.Status != row.Status {
		t.Errorf("status %d, want %d", r.Status, row.Status)
	}
	h := headers(t, r)
	for name, want := range row.Headers {
		if msg := match(h[name], want, true); msg != "" {
			t.Errorf("header %s: %s", name, msg)
		}
	}
	var body map[string]any
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatalf("%s: %v", r.Body, err)
	}
	if msg := match(body, toAny(row.Body), row.Closed); msg != "" {
		t.Errorf("body %s: %s", r.Body, msg)
	}
	for _, absent := range row.BodyAbsent {
		if _, has := body[absent]; has {
			t.Errorf("body %s has %s", r.Body, absent)
		}
	}
	if p.e != nil && p.e.Code == fault.UpstreamAuth && (strings.Contains(string(r.Body), "sk-123") || strings.Contains(string(r.Body), "acme")) {
		t.Errorf("body %s tells of our credential", r.Body)
	}
}

// routeOf finds a route by its method and path.
func routeOf(t testing.TB, c *Contract, name string) Route {
	t.Helper()
	for _, r := range c.Routes() {
		if r.Method+" "+r.Path == name {
			return r
		}
	}
	t.Fatalf("%s has no route %s", c.Name(), name)
	return Route{}
}

func proveFrame(t *testing.T, c *Contract, p proof) {
	t.Helper()
	frame, done := c.RenderFrame(p.surface, p.envelope, p.e, p.facts)
	rest := string(frame)
	if p.event != "" {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, "event: "+p.event+"\n"); !ok {
			t.Errorf("frame %q is no event %s", frame, p.event)
		}
	}
	data, tail, _ := strings.Cut(strings.TrimPrefix(rest, "data: "), "\n\n")
	if !strings.HasPrefix(rest, "data: ") || done != p.done || (tail == "data: [DONE]\n\n") != p.done || (tail == "") == p.done {
		t.Errorf("frame %q, done %v", frame, done)
	}
	var want, got map[string]any
	if err := yaml.Load([]byte(p.frame), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(data), &got); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if msg := match(got, toAny(want), false); msg != "" {
		t.Errorf("frame %s: %s", data, msg)
	}
}

func toAny(m map[string]any) any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// match compares a value with a pattern of a documented row, and says what
// differs.
func match(got, want any, closed bool) string {
	switch w := want.(type) {
	case string:
		return matchText(got, w)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v is not an object", got)
		}
		for k, v := range w {
			if _, there := g[k]; !there {
				return k + " is missing"
			}
			if msg := match(g[k], v, closed); msg != "" {
				return k + ": " + msg
			}
		}
		if closed && len(g) != len(w) {
			return fmt.Sprintf("%v has more members than %v", g, w)
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%v is not a list of %d", got, len(w))
		}
		for i := range w {
			if msg := match(g[i], w[i], closed); msg != "" {
				return fmt.Sprintf("%d: %s", i, msg)
			}
		}
		return ""
	}
	if g, ok := got.(float64); ok && fmt.Sprint(g) == fmt.Sprint(want) {
		return ""
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Sprintf("%v, want %v", got, want)
	}
	return ""
}

// matchText applies the placeholders of the documented rows.
func matchText(got any, want string) string {
	s, isText := got.(string)
	n, isNumber := got.(float64)
	ok := false
	switch kind, _, _ := strings.Cut(want, ","); kind {
	case "<text>", "<id>":
		ok = isText && s != ""
	case "<int>": // in a header it is text
		if isText {
			_, err := fmt.Sscanf(s, "%f", &n)
			isNumber = err == nil && !strings.ContainsAny(s, ".-e")
		}
		ok = isNumber && n > 0 && n == float64(int64(n))
	case "<num>":
		ok = isNumber
	case "<iso>":
		_, err := time.Parse(time.RFC3339, s)
		ok = err == nil
	case "<any>":
		ok = true
	default:
		ok = isText && s == want
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("%#v, want %s", got, want)
}
