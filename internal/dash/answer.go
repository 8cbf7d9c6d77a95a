package dash

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
)

// The codes of the admin API's errors. Clients may rely on them.
const (
	codeInvalidJSON  = "invalid_json"
	codeUnknown      = "unknown_parameter"
	codeType         = "invalid_type"
	codeMissing      = "missing_parameter"
	codeInvalid      = "invalid_parameter"
	codeTooLarge     = "body_too_large"
	codeUnauthorized = "unauthorized"
	codeTooMany      = "too_many_attempts"
	codeNotFound     = "not_found"
	codeMethod       = "method_not_allowed"
	codeConflict     = "conflict"
	codeNoSpace      = "insufficient_storage"
	codeUnavailable  = "ledger_unavailable"
	codeInternal     = "internal"
)

// failure is an error as the admin API answers it.
type failure struct {
	status     int
	code       string
	message    string
	param      string
	allow      string        // Allow header
	retryAfter time.Duration // Retry-After header
	cause      error         // for the log
}

func (f *failure) Error() string { return f.code + ": " + f.message }
func (f *failure) Unwrap() error { return f.cause }

func fail(status int, code, param, format string, args ...any) *failure {
	return &failure{status: status, code: code, param: param, message: fmt.Sprintf(format, args...)}
}

func invalid(param, format string, args ...any) *failure {
	return fail(http.StatusBadRequest, codeInvalid, param, format, args...)
}

func missing(param string) *failure {
	return fail(http.StatusBadRequest, codeMissing, param, "%s is required", param)
}

// panicked makes an error of what a handler panicked with.
func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }

// asFailure finds the answer to any error.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	if errors.Is(err, ledger.ErrUnavailable) {
		return &failure{
			status: http.StatusServiceUnavailable, code: codeUnavailable, retryAfter: time.Second,
			message: "charges and credits cannot be recorded at the moment", cause: err,
		}
	}
	var e *fault.Error
	if errors.As(err, &e) {
		switch e.Code {
		case fault.InvalidParameter:
			return invalid(e.Param, "%s", e.Public())
		case fault.InvalidRequest:
			return fail(http.StatusConflict, codeConflict, "", "%s", e.Public())
		case fault.NotFound:
			return fail(http.StatusNotFound, codeNotFound, "", "%s", e.Public())
		default: // not ours to explain
		}
	}
	return &failure{status: http.StatusInternalServerError, code: codeInternal, message: "an internal error occurred; the log has it under this answer's X-Request-ID", cause: err}
}

// errorBody is the shape of every error.
type errorBody struct {
	Error struct {
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Param   *string `json:"param"`
	} `json:"error"`
}

// statusLeft is logged when nobody is there to be answered any more.
const statusLeft = 499

// answer writes err, unless an answer has begun.
func (s *server) answer(c *call, err error) {
	if c.ctx().Err() != nil && errors.Is(err, context.Cause(c.ctx())) {
		c.wrote = statusLeft
		return
	}
	f := asFailure(err)
	if f.status >= 500 {
		s.Log.ErrorContext(c.ctx(), "admin request failed", "id", c.id, "route", c.route, "error", err)
	}
	if c.wrote != 0 {
		return
	}
	var body errorBody
	body.Error.Code, body.Error.Message = f.code, f.message
	if f.param != "" {
		body.Error.Param = &f.param
	}
	h := c.w.Header()
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="pontage admin"`)
	}
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(f.retryAfter.Seconds())), 10))
	}
	if err := c.write(f.status, body); err != nil {
		s.Log.DebugContext(c.ctx(), "answer not delivered", "id", c.id, "error", err)
	}
}

// write answers with a JSON value.
func (c *call) write(status int, v any) error {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.wrote = status
	c.w.WriteHeader(status)
	// The client may have left; there is nobody to tell.
	_, _ = c.w.Write(append(b, '\n'))
	return nil
}

// list is the shape of every list.
type list[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"` // cursor of the next page; null: this was the last
}

// stampOf is a time in UTC to the millisecond, or null.
func stampOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// orNull is s, or null if it is empty.
func orNull[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}
