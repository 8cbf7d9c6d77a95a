package contract

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/fault"
)

// value is what a placeholder stands for at the moment. The zero value is
// nothing: null in JSON, and no text.
type value struct {
	s     string
	there bool
	raw   bool // s is JSON already
}

func text(s string) value    { return value{s: s, there: s != ""} }
func number(n int64) value   { return value{s: strconv.FormatInt(n, 10), there: true, raw: true} }
func when(t time.Time) value { return value{s: t.UTC().Format(time.RFC3339), there: !t.IsZero()} }

func (v value) appendJSON(dst []byte) []byte {
	switch {
	case !v.there:
		return append(dst, "null"...)
	case v.raw:
		return append(dst, v.s...)
	}
	return appendString(dst, v.s)
}

// scope is what the placeholders of one rendering refer to.
type scope struct {
	c       *Contract
	row     *row
	e       *fault.Error // nil in an extra of a success
	f       *Facts
	typ     string
	message string
	wait    time.Duration // 0: not told
	details []fault.Detail
	one     [1]fault.Detail
	detail  *fault.Detail // in the template of one bad field
	data    *Data         // of an answer; nil: a fault, or an extra
	item    Values        // of a list of an answer
}

// value returns what f stands for.
func (s *scope) value(f field) value {
	switch f.kind {
	case kAnswer:
		return s.answer(f)
	case kRequestID:
		return text(s.f.RequestID)
	case kBalance:
		return s.balance(f)
	case kCharge:
		return dollars(s.f.Charge, f)
	case kLatencyMS, kInputTokens, kOutputTokens, kTotalTokens:
		return s.measured(f.kind)
	case kRateLimit, kRateRemaining, kRateReset:
		return s.rate(f.kind)
	case kDetailField, kDetailMessage, kDetailOwn, kDetailCode:
		return s.detailValue(f.kind)
	}
	if s.e == nil {
		return value{}
	}
	switch f.kind {
	case kArg, kArgNumber, kArgJSON:
		return s.arg(f)
	case kFault:
		return text(s.e.Code.String())
	case kStatus:
		return value{s: s.row.statusText, there: true, raw: true}
	case kType:
		return text(s.typ)
	case kCode:
		return text(s.row.code)
	case kMessage:
		return text(s.message)
	case kSpecific:
		return text(clip(specific(s.e)))
	case kPublic:
		return text(s.e.Code.Entry().Public)
	case kUpstream:
		if secretive(s.e.Code) {
			return value{}
		}
		return text(clip(s.e.Said))
	case kParam:
		if s.e.Param == "" {
			return text(s.row.param)
		}
		return text(clip(s.e.Param))
	case kRetryAfter:
		if s.wait > 0 {
			return number(seconds(s.wait))
		}
	case kRetryAfterMS:
		if s.wait > 0 {
			return number(milliseconds(s.wait))
		}
	case kResetsAt:
		return when(s.e.ResetAt)
	case kRequired, kAvailable, kHeld:
		return s.needs(f)
	}
	return value{}
}

func (s *scope) arg(f field) value {
	v := clip(s.e.Args[f.arg])
	switch f.kind {
	case kArgNumber:
		_, err := strconv.ParseInt(v, 10, 64)
		canonical := err == nil && v[0] != '+' && (v == "0" || v[0] != '0') && v != "-0" && (len(v) < 2 || v[:2] != "-0")
		return value{s: v, there: v != "", raw: canonical}
	case kArgJSON:
		return rawJSON(s.e.Args[f.arg]) // not clipped: half a JSON value is none
	}
	if t, ok := s.c.terms[f.arg][v]; ok {
		v = t
	}
	return text(v)
}

// rawJSON returns text as a JSON value on one line, or nothing if it is none.
func rawJSON(s string) value {
	v := jsontext.Value(s)
	if !v.IsValid() || v.Compact(jsontext.EscapeForJS(true)) != nil {
		return value{}
	}
	// It can only stand within a string.
	out := strings.ReplaceAll(string(v), "\u0085", `\u0085`)
	return value{s: out, there: out != "null", raw: true}
}

// needs returns the money that a refusal concerns.
func (s *scope) needs(f field) value {
	switch {
	case !s.e.HasMoney:
		return value{}
	case f.kind == kRequired:
		return dollars(s.e.Required, f)
	case f.kind == kAvailable:
		return dollars(s.e.Available, f)
	}
	return dollars(s.e.Held, f)
}

func (s *scope) balance(f field) value {
	switch {
	case s.f.HasBalance:
		return dollars(s.f.Balance, f)
	case s.e != nil && s.e.HasMoney:
		return dollars(s.e.Balance, f)
	}
	return value{}
}

// measured returns what is known of the request once it is over.
func (s *scope) measured(k kind) value {
	if k == kLatencyMS {
		return value{s: strconv.FormatInt(s.f.Took.Milliseconds(), 10), there: s.f.Took != 0, raw: true}
	}
	u := s.f.Usage
	switch {
	case u == nil:
		return value{}
	case k == kInputTokens:
		return number(u.Input)
	case k == kOutputTokens:
		return number(u.Output)
	}
	return number(u.Input + u.Output)
}

func (s *scope) rate(k kind) value {
	if !s.f.Limits.Known {
		return value{}
	}
	switch k {
	case kRateLimit:
		return number(s.f.Limits.Limit)
	case kRateRemaining:
		return number(max(s.f.Limits.Remaining, 0))
	}
	return when(s.f.Limits.Reset)
}

func (s *scope) detailValue(k kind) value {
	d := s.detail
	if d == nil {
		return value{}
	}
	switch k {
	case kDetailField:
		return text(clip(d.Field))
	case kDetailCode:
		return text(s.c.row(s.row.face, d.Code).code)
	case kDetailMessage:
		if t, ok := s.c.details[d.Code]; ok && t.complete(s) {
			return text(t.string(s))
		}
	}
	if d.Message != "" {
		return text(clip(d.Message))
	}
	return text(d.Code.Entry().Public)
}

// secretive reports whether the provider spoke of our own credential or
// account: then nothing but the contract's or the registry's words is shown.
func secretive(c fault.Code) bool { return c == fault.UpstreamAuth || c == fault.UpstreamQuota }

// specific returns the failure's own message, if a caller may see it.
func specific(e *fault.Error) string {
	if secretive(e.Code) {
		return ""
	}
	return e.Message
}
