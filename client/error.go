package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The kinds of failure, one for each group of the gateway's registry of faults,
// and two that happen on the way. Ask with errors.Is; every [*Error] is of
// exactly one kind.
var (
	ErrBadRequest          = errors.New("the request is wrong")
	ErrUnauthorized        = errors.New("the API key is missing or not valid")
	ErrForbidden           = errors.New("the API key may not do this")
	ErrModel               = errors.New("the model is unknown, not allowed or not available")
	ErrRateLimited         = errors.New("a limit is reached")
	ErrInsufficientBalance = errors.New("the balance does not cover the request")
	ErrIdempotency         = errors.New("the idempotency key is in use or was used")
	ErrContent             = errors.New("the content was refused, too long or empty")
	ErrUpstream            = errors.New("the provider failed")
	ErrProviderKey         = errors.New("the provider refused your own key")
	ErrGateway             = errors.New("the gateway failed")
	ErrConnection          = errors.New("the gateway was not reached, or went away")
	ErrInterrupted         = errors.New("the stream ended before the answer did")
)

// Error is a failed request. Errors are compared with errors.Is against the
// kinds, and looked into with errors.As.
type Error struct {
	Status  int    // HTTP status; 0: no answer came. An error inside a stream has the stream's, 200
	Code    string // the service's machine-readable code; empty: none
	Type    string // the service's type; empty: none
	Message string // for people
	Param   string // the field at fault; empty: none, or not told
	Details []Detail

	RequestID string
	Body      []byte // the error as it came, at most 1 MiB

	Retryable   bool          // sending the same again may succeed
	ShouldRetry *bool         // what the server said about it; nil: nothing
	RetryAfter  time.Duration // how long the server asks to wait; 0: it does not say
	Delivered   bool          // part of the answer had been delivered, so it was not, and will not be, repeated for you

	// Money, in dollars as decimal text; empty: not told.
	RequiredUSD  string // what the request needs
	AvailableUSD string // what there is for it
	Charge       string // what was charged although it failed

	kind  error
	cause error
}

// Detail is one of several bad fields.
type Detail struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error returns status, code and message in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Status != 0 {
		b.WriteString(strconv.Itoa(e.Status))
	}
	for _, s := range []string{e.Code, e.Message} {
		if s == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s)
	}
	if e.Param != "" && !strings.Contains(e.Message, e.Param) {
		b.WriteString(" (" + e.Param + ")")
	}
	for i, d := range e.Details {
		b.WriteString([]string{": ", ", "}[min(i, 1)] + d.Field + " " + d.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" [" + e.RequestID + "]")
	}
	return b.String()
}

// Is reports whether target is the kind of e.
func (e *Error) Is(target error) bool { return target == e.kind }

// Kind returns the kind of e: one of the Err values of this package.
func (e *Error) Kind() error { return e.kind }

// Unwrap returns what went wrong below, such as a refused connection.
func (e *Error) Unwrap() error { return e.cause }

// connectionError makes an Error of a connection that could not be made or
// broke, and leaves the error of a context alone.
func (c *Client) connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, err)
	}
	return &Error{Code: "connection_error", Message: err.Error(), Retryable: true, kind: ErrConnection, cause: err}
}

// ended returns the error of a request whose context has ended: one that is
// both the context's error and its cause.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), context.Cause(ctx))
}

// wireError is an error body in any of the shapes that a gateway shows.
type wireError struct {
	Error     json.RawMessage `json:"error"`
	Message   string          `json:"message"`
	Code      json.RawMessage `json:"code"`
	RequestID string          `json:"request_id"`
	After     float64         `json:"retryAfter"`
	Details   []Detail        `json:"details"`
}

// innerError is the object under "error" in the shapes of OpenAI, Anthropic and
// Google.
type innerError struct {
	Message string          `json:"message"`
	Type    string          `json:"type"`
	Status  string          `json:"status"` // Google's for a type
	Param   string          `json:"param"`
	Code    json.RawMessage `json:"code"`
	Details []innerDetail   `json:"details"`
}

// innerDetail is a bad field, or one of Google's details: google.rpc.ErrorInfo has
// the code as its reason, and google.rpc.BadRequest the bad fields.
type innerDetail struct {
	Detail
	Reason   string `json:"reason"`
	Metadata struct {
		RequestID string `json:"request_id"`
		Param     string `json:"param"`
	} `json:"metadata"`
	Violations []struct {
		Field       string `json:"field"`
		Description string `json:"description"`
	} `json:"fieldViolations"`
}

// read takes the details over.
func (e *Error) read(details []innerDetail) {
	for _, d := range details {
		if d.Field != "" {
			e.Details = append(e.Details, d.Detail)
		}
		if d.Reason != "" {
			e.Code, e.Param, e.RequestID = d.Reason, d.Metadata.Param, d.Metadata.RequestID
		}
		for _, v := range d.Violations {
			e.Details = append(e.Details, Detail{Field: v.Field, Message: v.Description})
		}
	}
}

// maxMessage bounds the text of an error that is no JSON, such as a page of
// HTML from something in between.
const maxMessage = 500

// parseError makes an Error of an answer with a status that is no success.
func parseError(status int, h http.Header, body []byte, now time.Time) *Error {
	e := decodeError(body)
	if e == nil {
		text := strings.TrimSpace(string(body[:min(len(body), maxMessage)]))
		e = &Error{Message: strings.ToValidUTF8(text, "�")}
		if text == "" {
			e.Message = http.StatusText(status)
		}
	}
	e.Status, e.Body = status, body
	if id := requestID(h); id != "" {
		e.RequestID = id
	}
	e.Retryable, e.ShouldRetry = retryable(status, h)
	if after := retryAfter(h, now); after > 0 {
		e.RetryAfter = after
	}
	e.RequiredUSD, e.AvailableUSD, e.Charge = h.Get("X-Required-USD"), h.Get("X-Available-USD"), h.Get("X-Charge-USD")
	e.kind = kindOf(e)
	return e
}

// inBand returns the Error that a body or an event of a successful answer
// holds, or nil. A null error is none.
func inBand(data []byte) *Error {
	if !bytes.Contains(data, []byte(`"error"`)) {
		return nil
	}
	var probe struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(data, &probe) != nil || len(probe.Error) == 0 || string(probe.Error) == "null" {
		return nil
	}
	e := decodeError(data)
	if e == nil {
		e = &Error{Message: "the answer holds an error of an unknown shape"}
	}
	e.Status, e.Body = http.StatusOK, data
	e.kind = kindOf(e)
	switch e.kind {
	case ErrUpstream, ErrGateway, ErrRateLimited:
		e.Retryable = true
	}
	return e
}

// decodeError reads an error body, or returns nil if it is none. The shapes
// are OpenAI's, Anthropic's and the flat one, where error is a code or a
// sentence.
func decodeError(body []byte) *Error {
	var w wireError
	if err := json.Unmarshal(body, &w); err != nil && len(w.Error) == 0 {
		return nil
	}
	e := &Error{Message: w.Message, RequestID: w.RequestID, Details: w.Details, RetryAfter: scaled(max(w.After, 0), time.Second)}
	var in innerError
	var flat string
	switch {
	case json.Unmarshal(w.Error, &flat) == nil && flat != "":
		if isCode(flat) {
			e.Code = flat
		} else if e.Message == "" {
			e.Message = flat
		}
		if c := codeText(w.Code); e.Code == "" && isCode(c) {
			e.Code = c
		}
	case len(w.Error) > 0 && w.Error[0] == '{':
		_ = json.Unmarshal(w.Error, &in) // a member of another type leaves the others readable
		e.Message, e.Type, e.Param, e.Code = in.Message, cmp.Or(in.Type, in.Status), in.Param, codeText(in.Code)
		e.read(in.Details)
	default:
		return nil
	}
	return e
}

// codeText returns a code, which is text in most services and the status as a
// number in some.
func codeText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

// isCode tells a code from a sentence.
func isCode(s string) bool {
	return len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}
