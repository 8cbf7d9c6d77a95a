package contract

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// Rendered is a whole error answer. X-Request-ID is not among its headers: every
// answer has that, not only errors.
type Rendered struct {
	Status int
	Header [][2]string // names and values, each name once
	Body   []byte
}

// Render makes the answer that a fault has on a route with this envelope, before
// anything else was sent. A nil error is rendered as [fault.Internal], and an
// unknown envelope as that of unknown paths. It never fails.
func (c *Contract) Render(envelope string, e *fault.Error, f Facts) Rendered {
	if e == nil {
		e = &fault.Error{Code: fault.Internal}
	}
	face := c.face(envelope)
	r := c.row(face, e.Code)
	s := c.scope(r, e, &f)
	body := make([]byte, 0, 512)
	body = append(body, '{')
	body, first := appendMembers(body, r.envelope.members, s, true)
	body, first = appendMembers(body, r.add, s, first)
	head := make([][2]string, 0, 10)
	head = c.appendStandard(head, r, s)
	head = appendHeaders(head, r.envelope.headers, s)
	head = appendHeaders(head, r.headers, s)
	for i := range c.extras {
		if x := &c.extras[i]; x.applies(face, onError, s.f) {
			body, first = appendMembers(body, x.members, s, first)
			head = appendHeaders(head, x.headers, s)
		}
	}
	body = append(body, '}')
	return Rendered{Status: r.status, Header: head, Body: body}
}

// RenderFrame makes what a stream ends with that has failed after its first
// content: all the bytes to write, the SSE framing included. done tells that
// they end with the [DONE] marker, so that to the transport the stream ended
// in order; otherwise the connection just closes behind them.
func (c *Contract) RenderFrame(surface, envelope string, e *fault.Error, f Facts) (frame []byte, done bool) {
	if e == nil {
		e = &fault.Error{Code: fault.Internal}
	}
	face := c.face(envelope)
	r := c.row(face, e.Code)
	s := c.scope(r, e, &f)
	s.typ = r.frameTyp
	shape := c.surfaces[surface]
	if shape == nil {
		shape = c.envelopes[face].frame
	}
	b := make([]byte, 0, 512)
	if shape.event != "" {
		b = append(b, "event: "...)
		b = append(b, shape.event...)
		b = append(b, '\n')
	}
	b = append(b, "data: {"...)
	b, first := appendMembers(b, shape.members, s, true)
	for i := range c.extras {
		if x := &c.extras[i]; x.applies(face, onFrame, s.f) && x.isOf(surface) {
			b, first = appendMembers(b, x.members, s, first)
		}
	}
	b = append(b, "}\n\n"...)
	if shape.done {
		b = append(b, "data: [DONE]\n\n"...)
	}
	return b, shape.done
}

// Extras returns the members that the contract adds to the body of a success,
// or to the last data frame of a stream.
func (c *Contract) Extras(surface, envelope string, f Facts) []llm.Edit {
	face := c.face(envelope)
	var out []llm.Edit
	var s *scope
	for i := range c.extras {
		x := &c.extras[i]
		if len(x.members) == 0 || !x.applies(face, onAnswer, &f) || !x.isOf(surface) {
			continue
		}
		if s == nil {
			s = &scope{c: c, f: &f, data: c.chain(face, &f)}
		}
		for j := range x.members {
			if m := &x.members[j]; !m.optional || !m.value.empty(s) {
				out = append(out, llm.Edit{Name: m.name, Value: m.value.append(nil, s)})
			}
		}
	}
	return out
}

// ExtraHeaders returns the headers that the contract adds to a success.
func (c *Contract) ExtraHeaders(envelope string, f Facts) [][2]string {
	face := c.face(envelope)
	var out [][2]string
	for i := range c.extras {
		if x := &c.extras[i]; len(x.headers) > 0 && x.applies(face, onAnswer, &f) {
			out = appendHeaders(out, x.headers, &scope{c: c, f: &f})
		}
	}
	return out
}

// scope gathers what the placeholders of one rendering refer to.
func (c *Contract) scope(r *row, e *fault.Error, f *Facts) *scope {
	s := &scope{c: c, row: r, e: e, f: f, typ: r.typ}
	s.wait = wait(r, e, f)
	s.details = e.Details
	if len(s.details) == 0 && r.status < 500 {
		// One bad field, told without a list: the list has it alone.
		if param := s.value(field{kind: kParam}).s; param != "" {
			s.one[0] = fault.Detail{Field: param, Code: e.Code, Message: specific(e)}
			s.details = s.one[:]
		}
	}
	s.message = clip(r.message(s))
	return s
}

// message chooses the words: the contract's where they are fixed, or the
// failure's own, or the contract's, or the registry's.
func (r *row) message(s *scope) string {
	own := specific(s.e)
	if strings.TrimSpace(own) == "" {
		own = ""
	}
	if own != "" && !r.fixed {
		return own
	}
	for _, w := range r.words {
		if w.complete(s) {
			return w.string(s)
		}
	}
	if own != "" {
		return own
	}
	return s.e.Code.Entry().Public
}

// longWait is the longest wait that callers are told to sit out: above it the
// official SDKs ignore what they are told, and come back at once.
const longWait = 60 * time.Second

// wait returns how long the caller is told to wait; 0: nothing is told. Where
// the end is not known but near, it is one to two seconds, spread by request id
// so that callers who were refused together do not come back together.
func wait(r *row, e *fault.Error, f *Facts) time.Duration {
	entry := e.Code.Entry()
	if e.RetryAfter > 0 && (entry.Helps || entry.Class == fault.ClassLimit) {
		return e.RetryAfter
	}
	if !entry.Helps || !busy(r.status, e.Code) {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(f.RequestID)) // never fails
	return time.Second + time.Duration(h.Sum32()%1000)*time.Millisecond
}

// busy reports whether a fault says that something is full or away for now.
func busy(status int, c fault.Code) bool {
	switch status {
	case 429, 503, 529:
		return true
	}
	switch c {
	case fault.BalanceHeld, fault.IdempotencyInProgress, fault.RateLimited, fault.ConcurrencyLimited,
		fault.Overloaded, fault.Draining, fault.LedgerUnavailable,
		fault.NoTarget, fault.UpstreamOverloaded, fault.UpstreamRateLimited:
		return true
	}
	return false
}

// seconds rounds up, to at least 1.
func seconds(d time.Duration) int64 {
	return max(1, int64(d/time.Second)+btoi(d%time.Second > 0))
}

// milliseconds rounds up, to at least 1.
func milliseconds(d time.Duration) int64 {
	return max(1, int64(d/time.Millisecond)+btoi(d%time.Millisecond > 0))
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// retryAdvice is what x-should-retry says.
type retryAdvice int

// The values of x-should-retry. silent leaves the decision to the caller's SDK.
const (
	silent retryAdvice = iota
	retry
	never
)

// advice tells whether the same request may be sent again by itself. Our own
// attempts do not change it.
func (c *Contract) advice(r *row, e *fault.Error, wait time.Duration) retryAdvice {
	switch {
	case !e.Code.Entry().Helps, wait > longWait:
		return never
	case e.Code == fault.BalanceHeld, c.retryable[r.status]:
		return retry
	}
	return silent
}

// appendStandard appends the headers that every contract has.
func (c *Contract) appendStandard(h [][2]string, r *row, s *scope) [][2]string {
	h = append(h, [2]string{"Content-Type", "application/json"})
	if s.wait > 0 {
		h = append(h,
			[2]string{"Retry-After", strconv.FormatInt(seconds(s.wait), 10)},
			[2]string{"retry-after-ms", strconv.FormatInt(milliseconds(s.wait), 10)})
	}
	switch c.advice(r, s.e, s.wait) {
	case retry:
		h = append(h, [2]string{"x-should-retry", "true"})
	case never:
		h = append(h, [2]string{"x-should-retry", "false"})
	}
	if class := s.e.Code.Entry().Class; s.e.HasMoney && (class == fault.ClassMoney || class == fault.ClassLimit) {
		h = append(h,
			[2]string{"X-Required-USD", s.e.Required.String()},
			[2]string{"X-Available-USD", s.e.Available.String()})
	}
	if s.e.LimitSource != "" && s.e.Code.Entry().Class == fault.ClassLimit {
		h = append(h, [2]string{"X-Limit-Source", s.e.LimitSource})
	}
	h = append(h, [2]string{"X-Charge-USD", s.f.Charge.String()})
	if allow := s.e.Args["allow"]; allow != "" && s.e.Code == fault.MethodNotAllowed {
		h = append(h, [2]string{"Allow", headerValue(clip(allow))})
	}
	return h
}
