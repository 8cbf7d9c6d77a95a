package dash

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/money"
)

// MaxBody is the longest request body, in bytes.
const MaxBody = 1 << 20

// read decodes the body into v, strictly: one JSON object, every member known,
// none twice, each of its type.
func (c *call) read(v any) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	return decode(body, v)
}

// body reads the body, which takes as long as its sender likes.
func (c *call) body() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(c.r.Body, MaxBody+1))
	if err != nil {
		return nil, fail(http.StatusBadRequest, codeInvalidJSON, "", "the body did not arrive whole")
	}
	if len(body) > MaxBody {
		return nil, fail(http.StatusRequestEntityTooLarge, codeTooLarge, "", "the body is longer than %d bytes", MaxBody)
	}
	return body, nil
}

func decode(body []byte, v any) error {
	if len(strings.TrimSpace(string(body))) == 0 {
		return fail(http.StatusBadRequest, codeInvalidJSON, "", "the body must be a JSON object, and is empty")
	}
	if jsontext.Value(body).Kind() != '{' && jsontext.Value(body).IsValid() {
		return fail(http.StatusBadRequest, codeInvalidJSON, "", "the body must be a JSON object")
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return bodyFailure(err)
	}
	return nil
}

func bodyFailure(err error) *failure {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fail(http.StatusBadRequest, codeInvalidJSON, param(syntax.JSONPointer), "a member stands twice")
		}
		return fail(http.StatusBadRequest, codeInvalidJSON, "", "the body is not valid JSON, at byte %d", syntax.ByteOffset)
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return fail(http.StatusBadRequest, codeInvalidJSON, "", "the body cannot be read")
	}
	at := param(semantic.JSONPointer)
	switch {
	case errors.Is(semantic.Err, json.ErrUnknownName):
		return fail(http.StatusBadRequest, codeUnknown, at, "%s is not known here", at)
	case semantic.Err == nil, semantic.GoType == reflect.TypeFor[money.Amount]() && semantic.JSONKind != '"',
		errors.Is(semantic.Err, strconv.ErrSyntax), errors.Is(semantic.Err, strconv.ErrRange):
		return fail(http.StatusBadRequest, codeType, at, "must be %s", wanted(semantic.GoType))
	}
	if _, isTime := semantic.Err.(*time.ParseError); isTime || semantic.GoType == reflect.TypeFor[time.Time]() {
		return invalid(at, "must be %s", wanted(reflect.TypeFor[time.Time]()))
	}
	return invalid(at, "%s", semantic.Err.Error())
}

// param turns a JSON pointer into a path with dots.
func param(p jsontext.Pointer) string { return strings.Join(slices.Collect(p.Tokens()), ".") }

// wanted names what a member should have been.
func wanted(t reflect.Type) string {
	switch t {
	case nil:
		return "another type"
	case reflect.TypeFor[money.Amount]():
		return `a decimal string such as "10.00"`
	case reflect.TypeFor[time.Time]():
		return `a time such as "2026-11-20T12:00:00Z"`
	}
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}

// opt is a member of a patch: absent, null, or a value.
type opt[T any] struct {
	set, null bool
	v         T
}

// UnmarshalJSONFrom reads the member into what v holds already.
func (o *opt[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	o.set = true
	if dec.PeekKind() == 'n' {
		o.null = true
		return dec.SkipValue()
	}
	return json.UnmarshalDecode(dec, &o.v)
}

// ptr is the value to change to, or nil if nothing was said. Null is a fault at
// name.
func (o *opt[T]) ptr(name string) (*T, error) {
	if o.null {
		return nil, fail(http.StatusBadRequest, codeType, name, "must not be null")
	}
	if !o.set {
		return nil, nil
	}
	return &o.v, nil
}

// query is the query of a request, of which every parameter must be taken.
type query struct {
	values url.Values
	taken  []string
	err    error
}

func (c *call) query() *query {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = fail(http.StatusBadRequest, codeInvalid, "", "the query is malformed")
	}
	return q
}

// text returns a parameter; empty: it is absent.
func (q *query) text(name string) string {
	q.taken = append(q.taken, name)
	v := q.values[name]
	if len(v) > 1 {
		q.bad(fail(http.StatusBadRequest, codeInvalid, name, "%s stands twice", name))
	}
	if len(v) == 0 {
		return ""
	}
	if v[0] == "" || len(v[0]) > 1000 {
		q.bad(invalid(name, "must be 1 to 1000 bytes"))
	}
	return v[0]
}

func (q *query) bad(f *failure) {
	if q.err == nil {
		q.err = f
	}
}

// time reads an RFC 3339 time or a date, which is its 00:00 UTC.
func (q *query) time(name string) time.Time {
	s := q.text(name)
	if s == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1970 && t.Year() < account.LastYear {
			return t.UTC()
		}
	}
	q.bad(invalid(name, `must be a time such as "2026-11-20T12:00:00Z" or a date, from 1970 to %d`, account.LastYear-1))
	return time.Time{}
}

// Sizes of a page.
const (
	defaultPage = 50
	maxPage     = 200
)

// page reads how many items a page has.
func (q *query) page() int {
	s := q.text("limit")
	if s == "" {
		return defaultPage
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxPage {
		q.bad(invalid("limit", "must be 1 to %d", maxPage))
		return defaultPage
	}
	return n
}

// done returns the first thing wrong with the query, which may be a parameter
// that nobody took.
func (q *query) done() error {
	if q.err != nil {
		return q.err
	}
	var unknown []string
	for name := range q.values {
		if !slices.Contains(q.taken, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fail(http.StatusBadRequest, codeUnknown, unknown[0], "%s is not known here", clip(unknown[0]))
}

func clip(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%.60q…", s)
	}
	return fmt.Sprintf("%q", s)
}
