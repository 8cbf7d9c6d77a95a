package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// odd is what callers and providers may bring along.
var odd = map[string]string{
	"nothing":            "",
	"space":              " \t\r\n ",
	"control characters": "a\x00b\x01c\x1fd\x7fe\u0085f\u2028g",
	"no UTF-8":           "a\xffb\xc0\xafc\xed\xa0\x80",
	"placeholders":       "{message} {param} {x} {required_usd:2} {{ }} $message $$x $y",
	"a format":           "%!s(MISSING) %d %s %v %%",
	"quotes":             `"a" 'b' \"c\" \u0041 \`,
	"HTML":               "</code><script>alert(1)</script><!-- & -->",
	"a lot":              strings.Repeat("é{x}", 2000),
}

// oddError puts s wherever a failure holds a text.
func oddError(c fault.Code, s string) *fault.Error {
	e := Sample(c)
	e.Message, e.Param, e.Upstream = s, s, s
	e.Cause = errors.New("open /etc/SECRET: map[k:<nil>] 0xc000012345")
	e.Details = []fault.Detail{{Field: s, Code: fault.InvalidParameter, Message: s}, {Field: s, Code: c}}
	for _, name := range Args() {
		e.With(name, s)
	}
	return e
}

// goSyntax is what a value of Go's looks like that slipped through.
var goSyntax = regexp.MustCompile(`%!|<nil>|map\[|\b0x[0-9a-f]{4,}|SECRET|&\{|MISSING`)

// leftover is a placeholder that was not filled in.
var leftover = func() *regexp.Regexp {
	names := []string{listDetails}
	for _, p := range Placeholders() {
		names = append(names, p.Name)
	}
	for _, words := range answers {
		for _, t := range words.terms {
			names = append(names, t.name)
		}
	}
	any := strings.Join(names, "|")
	return regexp.MustCompile(`\{(` + any + `)(_usd|_number|_cents|_unix|_ms)?(:[0-9])?\}|\$(` + any + `)\b`)
}()

// sound says what is wrong with the JSON of an answer in which the text given
// may stand, and nothing else that is not the contract's.
func sound(body []byte, given string) error {
	if !validJSON(body) {
		return errors.New("it is not JSON")
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	return soundValue(v, given)
}

func soundValue(v any, given string) error {
	switch v := v.(type) {
	case map[string]any:
		for name, of := range v {
			if err := soundValue(of, given); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	case []any:
		for _, of := range v {
			if err := soundValue(of, given); err != nil {
				return err
			}
		}
	case string:
		if len(v) > 8*maxValue {
			return fmt.Errorf("a text of %d bytes", len(v))
		}
		if given != "" {
			v = strings.ReplaceAll(v, given, "")
			v = strings.ReplaceAll(v, clip(given), "")
		}
		switch {
		case v == "None" || v == "null" || v == "undefined":
			return fmt.Errorf("the text %q", v)
		case goSyntax.MatchString(v):
			return fmt.Errorf("%q is Go's or a secret", v)
		case leftover.MatchString(v):
			return fmt.Errorf("%q has a placeholder left", v)
		}
	}
	return nil
}

func TestOddParametersStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	for _, c := range everything(t) {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			for name, s := range odd {
				for _, env := range c.Envelopes() {
					for _, entry := range fault.All() {
						e, f := oddError(entry.Code, s), Facts{RequestID: "req_1", Balance: money.Cent, HasBalance: true}
						if err := sound(c.Render(env, e, f).Body, s); err != nil {
							t.Errorf("%s %s with %s: %v", env, entry.Name, name, err)
						}
						frame, _ := c.RenderFrame("", env, e, f)
						if err := sound(frameData(frame), s); err != nil {
							t.Errorf("%s %s with %s: frame: %v", env, entry.Name, name, err)
						}
					}
				}
				for _, r := range c.Routes() {
					// Answers are not cut: what a job brought about is shown whole.
					if body := c.Answer(r, true, sampleData(r.Surface, func(string) string { return s }), Facts{}); body != nil && len(s) < maxValue {
						if err := sound(body, s); err != nil {
							t.Errorf("answer of %s %s with %s: %v", r.Method, r.Path, name, err)
						}
					}
				}
			}
		})
	}
}

// frameData returns the data of the first event.
func frameData(frame []byte) []byte {
	_, data, _ := bytes.Cut(frame, []byte("data: "))
	data, _, _ = bytes.Cut(data, []byte("\n\n"))
	return data
}

// A fault that brings nothing along still says what it is, in its envelope and
// with its status.
func TestEveryRowSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, c := range everything(t) {
		for _, env := range c.Envelopes() {
			for _, entry := range fault.All() {
				for _, e := range []*fault.Error{{Code: entry.Code}, Sample(entry.Code)} {
					r := c.Render(env, e, Facts{RequestID: "req_1"})
					if r.Status < 400 || r.Status > 599 || r.Status != c.Status(env, entry.Code) {
						t.Errorf("%s %s %s: status %d, Status() %d", c.Name(), env, entry.Name, r.Status, c.Status(env, entry.Code))
					}
					frame, _ := c.RenderFrame("", env, e, Facts{RequestID: "req_1"})
					for _, body := range [][]byte{r.Body, frameData(frame)} {
						if err := sound(body, ""); err != nil {
							t.Errorf("%s %s %s: %s: %v", c.Name(), env, entry.Name, body, err)
						}
						for _, nothing := range []string{`"error":null`, `"error":""`, `"message":""`, `"type":""`, `"type":null`, `: "`, `''`, "  "} {
							if bytes.Contains(body, []byte(nothing)) {
								t.Errorf("%s %s %s: %s says nothing: %s", c.Name(), env, entry.Name, body, nothing)
							}
						}
					}
				}
			}
		}
	}
}

func TestSoundFindsWhatItIsFor(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"a":["fine {x}, $5.00 and None of it"]}`:    true,
		`{"a":"said {message}"}`:                      true, // by the caller
		`{"a":`:                                       false,
		`{"a":["{required_usd:2}"]}`:                  false,
		`{"a":"$status"}`:                             false,
		`{"a":"{balance_cents}"}`:                     false,
		`{"a":"%!s(int=1)"}`:                          false,
		`{"a":"None"}`:                                false,
		`{"a":"see /etc/SECRET"}`:                     false,
		`{"a":"` + strings.Repeat("a", 40_000) + `"}`: false,
	} {
		if err := sound([]byte(body), "{message}"); (err == nil) != want {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}
