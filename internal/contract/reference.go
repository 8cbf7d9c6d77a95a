package contract

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// ReferenceRow tells one fault in one envelope, for people.
type ReferenceRow struct {
	Envelope string
	Status   int
	Type     string // empty: the envelope shows none, or the fault has none
	Code     string // empty: none
	Fault    string // the registry's name
	Class    string
	Meaning  string
	Advice   string
	Note     string // the contract's own remark; may be empty
	Retry    string // yes, no, or as the SDK decides
	Charged  string
	Example  string // the body, JSON
}

// Reference lists every fault of the registry in every envelope that routes
// answer in, envelope by envelope, by status and then as in the registry.
func Reference(c *Contract) []ReferenceRow {
	var out []ReferenceRow
	for _, name := range c.Envelopes() {
		face := c.face(name)
		var rows []ReferenceRow
		for _, entry := range fault.All() {
			rows = append(rows, c.reference(face, entry))
		}
		slices.SortStableFunc(rows, func(a, b ReferenceRow) int { return a.Status - b.Status })
		out = append(out, rows...)
	}
	return out
}

func (c *Contract) reference(face int, entry fault.Entry) ReferenceRow {
	r := c.row(face, entry.Code)
	e := Sample(entry.Code)
	out := ReferenceRow{
		Envelope: c.envelopes[face].name,
		Status:   r.status, Type: r.typ, Code: r.code,
		Fault: entry.Name, Class: entry.Class.String(),
		Meaning: entry.Public, Advice: entry.Advice, Note: r.note,
		Charged: "no",
		Example: string(c.Render(c.envelopes[face].name, e, Facts{RequestID: sampleID}).Body),
	}
	if !shows(r.envelope.members, kType) {
		out.Type = ""
	}
	if !shows(r.envelope.members, kCode) {
		out.Code = ""
	}
	switch c.advice(r, e, wait(r, e, &Facts{RequestID: sampleID})) {
	case retry:
		out.Retry = "yes"
	case never:
		out.Retry = "no"
	default:
		out.Retry = "up to you"
	}
	if entry.Code == fault.ContentPolicy {
		out.Charged = "no; inline moderation that ran is"
	}
	return out
}

// shows reports whether a template has the placeholder anywhere.
func shows(members []member, k kind) bool {
	return slices.ContainsFunc(members, func(m member) bool {
		return m.value.shape == shapeField && m.value.field.kind == k || shows(m.value.members, k)
	})
}

const sampleID = "req_01JEXAMPLE000000000000000"

// What a sample is about: a model, and how many bytes a body has at most where the
// operator sets no other limit.
const (
	sampleModel = "gpt-5-mini"
	sampleBody  = 32 << 20
)

// What a request of a sample needs, and what is free for it, in nano-dollars.
const (
	sampleNeed money.Amount = 3_500_000
	sampleFree money.Amount = 1_250_000
)

// Sample returns an example of a fault, with all that such a failure usually
// brings along. It is always the same.
func Sample(code fault.Code) *fault.Error {
	e := &fault.Error{Code: code}
	switch code {
	case fault.BalanceInsufficient:
		return fault.Short(code, sampleNeed, sampleFree, 0, "")
	case fault.CreditsRequired:
		return fault.Short(code, sampleNeed, sampleFree, 0, "pro").With("plan", "pro")
	case fault.BalanceHeld:
		e = fault.Short(code, sampleNeed, sampleFree, 3*money.Cent, "")
		e.RetryAfter = time.Second
		return e
	case fault.MissingParameter:
		return fault.Fields([]fault.Detail{{Field: "messages", Code: code, Message: "Required"}})
	case fault.InvalidParameter:
		return fault.Fields([]fault.Detail{{Field: "temperature", Code: code, Message: "Must be at most 2."}})
	case fault.InvalidType:
		return fault.Fields([]fault.Detail{{Field: "temperature", Code: code, Message: "Must be a number."}})
	case fault.UnknownParameter:
		return fault.Fields([]fault.Detail{{Field: "temprature", Code: code, Message: "Unknown parameter."}})
	case fault.UnsupportedParameter:
		e.Param = "logprobs"
	case fault.InvalidJSONSchema:
		e.Param = "response_format.json_schema.schema"
	case fault.ToolChoiceUnsupported:
		e.Param = "tool_choice"
	case fault.ImageInputUnsupported, fault.InputModalityUnsupported:
		e.Param = "messages.0.content.1"
	case fault.BatchInputUnsupported:
		e.Param = "input"
	case fault.MethodNotAllowed:
		return fault.NoMethod("POST", "GET")
	case fault.BodyTooLarge:
		return fault.TooLarge(sampleBody)
	case fault.UnsupportedMediaType:
		return fault.NotMedia("application/json")
	case fault.ModelNotFound:
		return fault.NoModel(sampleModel, "model")
	case fault.ModelNotAllowed:
		return fault.ModelNotOfKey(sampleModel)
	case fault.PlanRequired:
		return fault.ModelNotInPlan(sampleModel, "closed", "free")
	case fault.ModelUnavailable:
		e.At("model").With("model", sampleModel)
	case fault.ResponseNotFound:
		return fault.NoResponse("resp_01JEXAMPLE")
	case fault.JobNotFound:
		e.With("job", "job_01JEXAMPLE")
	case fault.KeyWrongKind:
		return fault.KeyOfKind("billing", "inference")
	case fault.ContextLengthExceeded:
		e.At("messages").With("tokens", "150000").With("input", "146000").With("max_output", "4000").With("context", "128000")
	case fault.UpstreamFailed, fault.AllFallbacksFailed:
		e.UpstreamStatus, e.Said = 500, "The engine is on fire"
	case fault.UpstreamAuth:
		e.UpstreamStatus, e.Said = 401, "Incorrect API key provided."
	case fault.ContentPolicy:
		e.With("moderation", `{"model":"omni-moderation-latest","results":[]}`)
	case fault.PaymentRequired:
		e.With("payment", `{"version":1}`).With("accepts", `[]`).With("x402_version", "1")
	}
	sampleLimits(e)
	return e
}

// sampleLimits fills in what failures of limits and money bring along.
func sampleLimits(e *fault.Error) {
	switch e.Code.Entry().Class {
	case fault.ClassLimit:
		e.With("limit", "150").With("used", "150").With("class", "closed").With("per", "60s")
		e.RetryAfter = 12 * time.Second
		if !e.Code.Entry().Helps {
			e.ResetAt = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
			e.RetryAfter = 3*time.Hour + 25*time.Minute
		}
		if e.Code != fault.DailySpendExceeded {
			return
		}
		e.With("limit", "1.50").With("used", "1.50")
	case fault.ClassMoney:
	default:
		return
	}
	e.HasMoney = true
	e.Required, e.Available, e.Balance = sampleNeed, sampleFree, sampleFree
}

// Markdown writes the error reference of contracts as one page.
func Markdown(cs ...*Contract) []byte {
	var b bytes.Buffer
	b.WriteString("# Errors\n\n" +
		"This page is generated from the registry of faults (`internal/fault`) and the contracts (`contracts/*.yaml`): it says what the gateway does. Do not edit it; run `go test ./internal/contract -run TestErrorReference -update`.\n\n" +
		everyAnswer + "\n")
	for _, c := range cs {
		c.markdown(&b, PageOptions{})
	}
	return b.Bytes()
}

// Page writes the error reference of one contract as Markdown, for who calls it.
func (c *Contract) Page(o PageOptions) []byte {
	var b bytes.Buffer
	b.WriteString("# Errors\n\n" + everyAnswer + "\n")
	c.markdown(&b, o)
	return b.Bytes()
}

// everyAnswer says what holds of error answers whatever the contract.
const everyAnswer = "Every error answer has `X-Request-ID` and `X-Charge-USD` (what the failed request was charged, normally `0.00`). " +
	"`Retry-After` (whole seconds) and `retry-after-ms` say how long to wait where that is known. " +
	"`x-should-retry` is `true` where *retry* says yes, `false` where it says no or where the wait is longer than 60 seconds, and absent where the decision is up to you. " +
	"`X-Limit-Source` names the limit that refused: `throughput` (requests per time), `tokens` (per minute), `concurrency`, `key_day_requests`, `key_day_usd` or `plan_day`. " +
	"Refusals for money carry `X-Required-USD` and `X-Available-USD`, exact to the nano-dollar."

func (c *Contract) markdown(b *bytes.Buffer, o PageOptions) {
	o = o.withDefaults(c)
	fmt.Fprintf(b, "\n## %s\n", o.Site)
	if c.about != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimSpace(c.about))
	}
	fmt.Fprintf(b, "\nStatuses worth repeating: %s.\n", c.worthRepeating())
	if q := c.quick(o); q != nil {
		fmt.Fprintf(b, "\n### %s: quick debug\n\nThis prints the status of the smallest request:\n\n```sh\n%s\n```\n\n| output | meaning |\n|---|---|\n", o.Site, q.Command)
		for _, m := range q.Meanings {
			fmt.Fprintf(b, "| %d | %s |\n", m.Status, cell(m.Meaning))
		}
	}
	envelope := ""
	for _, r := range Reference(c) {
		if r.Envelope != envelope {
			envelope = r.Envelope
			c.tableHead(b, o.Site, envelope)
		}
		meaning := r.Meaning
		if r.Note != "" {
			meaning += " *" + strings.TrimSuffix(r.Note, ".") + ".*"
		}
		fmt.Fprintf(b, "| %d | %s | %s | `%s` | %s | %s | %s | %s | `%s` |\n",
			r.Status, quoted(r.Type), quoted(r.Code), r.Fault, cell(meaning), cell(r.Advice), r.Retry, r.Charged, cell(r.Example))
	}
}

// worthRepeating lists the statuses that callers are told to repeat.
func (c *Contract) worthRepeating() string {
	return strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(c.retryable))), "[]")
}

func (c *Contract) tableHead(b *bytes.Buffer, site, envelope string) {
	where := "unknown paths"
	if at := c.routesIn(envelope); len(at) > 0 {
		where = "`" + strings.Join(at, "`, `") + "`"
	}
	fmt.Fprintf(b, "\n### %s: envelope `%s`\n\nAt %s. A stream that breaks off ends with:\n\n```\n%s\n```\n\n",
		site, envelope, where, c.brokenOff(envelope))
	b.WriteString("| status | type | code | fault | what it means | what to do | retry | charged | example |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

// cell returns s fit for a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "`", "'").Replace(s)
}
