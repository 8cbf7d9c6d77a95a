package contract

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// where says in which parts of a contract a placeholder has a meaning.
type where uint8

const (
	inBody   where = 1 << iota // an envelope, added members, headers of a fault
	inWords                    // the words of a fault
	inEach                     // the template of one bad field
	inDetail                   // the words of one bad field
	inExtra                    // an extra, which success answers have, too
)

var whereNames = map[where]string{
	inBody:   "in a body or header",
	inWords:  "in words",
	inEach:   "in the template of one bad field",
	inDetail: "in the words of one bad field",
	inExtra:  "in an extra",
}

// kind tells where the value of a placeholder comes from.
type kind uint8

const (
	kArg             kind = iota // Args, as text
	kArgNumber                   // Args, as a number where it is one
	kArgJSON                     // Args, as JSON
	kFault                       // the registry's name of the fault
	kStatus                      //
	kType                        //
	kCode                        //
	kMessage                     //
	kSpecific                    // the error's own message
	kPublic                      // the registry's sentence
	kUpstream                    // the provider's words
	kParam                       //
	kRequestID                   //
	kDetails                     // only in each
	kRetryAfter                  // whole seconds
	kRetryAfterMS                //
	kResetsAt                    //
	kRequired                    // money: exact, as text
	kRequiredNumber              // money: exact, as a number
	kAvailable                   //
	kAvailableNumber             //
	kHeld                        //
	kHeldNumber                  //
	kBalance                     // dollars and cents, cut
	kBalanceUSD                  //
	kBalanceNumber               //
	kRateLimit                   //
	kRateRemaining               //
	kRateReset                   //
	kDetailField                 //
	kDetailMessage               // of one bad field, by the contract
	kDetailOwn                   // of one bad field, as it came
	kDetailCode                  //
)

// field is one placeholder.
type field struct {
	kind kind
	arg  string // for the kinds of Args
}

// term is a row of the vocabulary.
type term struct {
	name  string
	in    where
	field field
	about string
}

const everywhere = inBody | inWords

// vocabulary is the closed list of placeholders. A name may stand in it
// several times, for different places.
var vocabulary = []term{
	{"status", everywhere, field{kind: kStatus}, "the HTTP status"},
	{"type", everywhere, field{kind: kType}, "the fault's type in this contract"},
	{"code", everywhere, field{kind: kCode}, "the fault's code in this contract; null if it has none"},
	{"fault", everywhere, field{kind: kFault}, "the registry's name of the fault"},
	{"message", inBody, field{kind: kMessage}, "the message"},
	{"specific", inWords, field{kind: kSpecific}, "the failure's own message, if it has one"},
	{"public", inWords, field{kind: kPublic}, "the registry's sentence for the fault"},
	{"upstream", everywhere, field{kind: kUpstream}, "the provider's own words, redacted; never of a fault of our credential"},
	{"param", everywhere, field{kind: kParam}, "the field at fault, with dots; null if unknown"},
	{"request_id", everywhere | inExtra, field{kind: kRequestID}, "the request's id"},
	{"details", inBody, field{kind: kDetails}, "the bad fields; only as {each: $details, as: …}"},
	{"retry_after", everywhere, field{kind: kRetryAfter}, "whole seconds to wait, the same as the header"},
	{"retry_after_ms", everywhere, field{kind: kRetryAfterMS}, "milliseconds to wait"},
	{"resets_at", everywhere, field{kind: kResetsAt}, "when a daily limit resets, RFC 3339"},
	{"required_usd", everywhere, field{kind: kRequired}, "what the request needs, exact, as text"},
	{"required_number", everywhere, field{kind: kRequiredNumber}, "the same as a number"},
	{"available_usd", everywhere, field{kind: kAvailable}, "what is free, exact, as text"},
	{"available_number", everywhere, field{kind: kAvailableNumber}, "the same as a number"},
	{"held_usd", everywhere, field{kind: kHeld}, "what requests in flight hold, exact, as text"},
	{"held_number", everywhere, field{kind: kHeldNumber}, "the same as a number"},
	{"balance", everywhere | inExtra, field{kind: kBalance}, "the posted balance in dollars and cents, cut and not rounded"},
	{"balance_usd", everywhere | inExtra, field{kind: kBalanceUSD}, "the posted balance, exact, as text"},
	{"balance_number", everywhere | inExtra, field{kind: kBalanceNumber}, "the same as a number"},
	{"rate_limit", everywhere | inExtra, field{kind: kRateLimit}, "requests that the limit in force allows"},
	{"rate_remaining", everywhere | inExtra, field{kind: kRateRemaining}, "requests that are left of it"},
	{"rate_reset", everywhere | inExtra, field{kind: kRateReset}, "when it resets, RFC 3339"},
	{"field", inEach | inDetail, field{kind: kDetailField}, "the bad field, with dots"},
	{"message", inEach, field{kind: kDetailMessage}, "what is wrong with it"},
	{"message", inDetail, field{kind: kDetailOwn}, "what is wrong with it, as it came"},
	{"code", inEach, field{kind: kDetailCode}, "the code of what is wrong with it"},

	{"model", everywhere, field{kArg, "model"}, "the model as the caller named it"},
	{"class", everywhere, field{kArg, "class"}, "the class of the model"},
	{"plan", everywhere, field{kArg, "plan"}, "the account's plan"},
	{"kind", everywhere, field{kArg, "kind"}, "the kind of key that is wanted"},
	{"method", everywhere, field{kArg, "method"}, "the HTTP method"},
	{"allow", everywhere, field{kArg, "allow"}, "the methods that are allowed"},
	{"host", everywhere, field{kArg, "host"}, "the host that serves what was asked for"},
	{"job", everywhere, field{kArg, "job"}, "a job's id"},
	{"per", everywhere, field{kArg, "per"}, "the time that a limit counts, such as 60s"},
	{"limit", everywhere, field{kArgNumber, "limit"}, "a limit"},
	{"used", everywhere, field{kArgNumber, "used"}, "what is used of it"},
	{"tokens", everywhere, field{kArgNumber, "tokens"}, "tokens that the request needs in all"},
	{"input", everywhere, field{kArgNumber, "input"}, "tokens of it in the messages"},
	{"max_output", everywhere, field{kArgNumber, "max_output"}, "tokens of it for the answer"},
	{"context", everywhere, field{kArgNumber, "context"}, "tokens that the model takes"},
	{"moderation", inBody, field{kArgJSON, "moderation"}, "the moderation's result, JSON"},
	{"payment", inBody, field{kArgJSON, "payment"}, "the payment that is asked for, JSON"},
	{"accepts", inBody, field{kArgJSON, "accepts"}, "the payments that are accepted, JSON"},
	{"x402_version", inBody, field{kArgJSON, "x402_version"}, "the version of the payment protocol"},
}

// lookup finds a placeholder for a place. known tells whether it exists
// anywhere.
func lookup(name string, in where) (f field, ok, known bool) {
	for _, t := range vocabulary {
		if t.name == name {
			known = true
			if t.in&in != 0 {
				return t.field, true, true
			}
		}
	}
	return field{}, false, known
}

// Args lists the names of [fault.Error] Args that a contract can show.
func Args() []string {
	var out []string
	for _, t := range vocabulary {
		if t.field.arg != "" {
			out = append(out, t.field.arg)
		}
	}
	slices.Sort(out)
	return out
}

// Placeholder is a row of the format's reference: a name that a contract may
// write as $name or {name}.
type Placeholder struct {
	Name    string
	Where   []string // the places where it has a meaning
	Meaning string
}

// Placeholders lists all that a contract may write, for the format's reference.
func Placeholders() []Placeholder {
	out := make([]Placeholder, 0, len(vocabulary))
	for _, t := range vocabulary {
		p := Placeholder{Name: t.name, Meaning: t.about}
		for w := inBody; w <= inExtra; w <<= 1 {
			if t.in&w != 0 {
				p.Where = append(p.Where, whereNames[w])
			}
		}
		out = append(out, p)
	}
	return out
}

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

func dollars(a money.Amount, asNumber, there bool) value {
	if !there {
		return value{}
	}
	return value{s: a.String(), there: true, raw: asNumber}
}

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
}

// value returns what f stands for.
func (s *scope) value(f field) value {
	switch f.kind {
	case kRequestID:
		return text(s.f.RequestID)
	case kBalance, kBalanceUSD, kBalanceNumber:
		return s.balance(f.kind)
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
		return text(clip(s.e.Upstream))
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
	case kRequired, kRequiredNumber:
		return dollars(s.e.Required, f.kind == kRequiredNumber, s.e.HasMoney)
	case kAvailable, kAvailableNumber:
		return dollars(s.e.Available, f.kind == kAvailableNumber, s.e.HasMoney)
	case kHeld, kHeldNumber:
		return dollars(s.e.Held, f.kind == kHeldNumber, s.e.HasMoney)
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

func (s *scope) balance(k kind) value {
	a, there := s.f.Balance, s.f.HasBalance
	if !there && s.e != nil && s.e.HasMoney {
		a, there = s.e.Balance, true
	}
	if k == kBalance && there {
		return text(a.Cents())
	}
	return dollars(a, k == kBalanceNumber, there)
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
