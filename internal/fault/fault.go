// Package fault is the registry of the ways to fail.
//
// It knows no HTTP: what a caller sees of a fault (status, type, code, words,
// envelope) is the business of the contract in force. An [Error] is a value
// that says what went wrong, with everything a contract may want to show.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Detail is one bad field of a request.
type Detail struct {
	Field   string // path with dots: "messages.0.role"
	Code    Code   // MissingParameter, InvalidParameter, InvalidType, UnknownParameter, ModelNotFound, …
	Message string // short, public: "Required", "Must be at most 2"
}

// Error is one failure on its way to a caller. Everything in it but Cause,
// Upstream and UpstreamStatus is public, and Said where a contract says so. The
// zero value is not a fault.
//
// An Error is shared by nobody: whoever makes it may fill it in, and it is not
// changed after it was returned.
type Error struct {
	Code    Code
	Message string            // a specific public sentence; empty: the registry's or the contract's words
	Param   string            // the field at fault, with dots
	Details []Detail          // every bad field, in the order of the request
	Args    map[string]string // what a contract's words may interpolate: model, limit, used, class, allow, …

	RetryAfter time.Duration // when trying again can succeed; 0: unknown
	ResetAt    time.Time     // when a daily limit resets; zero: no reset

	// Money, for refusals that concern it; all in nano-dollars.
	HasMoney  bool
	Required  money.Amount // what this request needs
	Available money.Amount // balance less what is held
	Held      money.Amount
	Balance   money.Amount

	LimitSource string // which limit refused: balance, key_day_usd, key_day_requests, plan_day, throughput, tokens, concurrency, provider

	UpstreamStatus int    // the provider's HTTP status; 0: none
	Upstream       string // all of the provider's own words, redacted and cut; for the log only
	Said           string // its sentence for people, without secrets and addresses, on one line
	Cause          error  // for the log only
}

// New returns an Error with the given code and, if format is not empty, a
// public message.
func New(c Code, format string, args ...any) *Error {
	e := &Error{Code: c}
	if format != "" {
		e.Message = fmt.Sprintf(format, args...)
	}
	return e
}

// Wrap returns an Error with the given code and a cause that only the log sees.
func Wrap(c Code, cause error) *Error { return &Error{Code: c, Cause: cause} }

// At sets the parameter at fault and returns e.
func (e *Error) At(param string) *Error {
	e.Param = param
	return e
}

// With adds a value that a contract's words may interpolate, and returns e.
func (e *Error) With(name, value string) *Error {
	if e.Args == nil {
		e.Args = make(map[string]string, 2)
	}
	e.Args[name] = value
	return e
}

// Fields makes one Error of all bad fields. It takes code, parameter and
// message of the first. It panics if details is empty.
func Fields(details []Detail) *Error {
	d := details[0]
	return &Error{Code: d.Code, Param: d.Field, Message: d.Message, Details: details}
}

// Public returns the message a caller may see: the specific one, or the
// registry's.
func (e *Error) Public() string {
	if e.Message != "" {
		return e.Message
	}
	return e.Code.Entry().Public
}

// Error returns all that is known, for the log: code, parameter, message,
// upstream words and cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code.String())
	if e.Param != "" {
		fmt.Fprintf(&b, " (%s)", e.Param)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.UpstreamStatus != 0 || e.Upstream != "" {
		fmt.Fprintf(&b, ": upstream %d %q", e.UpstreamStatus, e.Upstream)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// From returns err as an Error: itself if it is or wraps one, else [Internal]
// with err as its cause. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(Internal, err)
}

// Is reports whether err is or wraps an Error with the given code.
func Is(err error, c Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == c
}
