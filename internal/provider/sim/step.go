package sim

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a script. What is beyond them is an error, not cut off.
const (
	MaxSteps     = 1000      // steps of one model
	MaxModels    = 10_000    // models with steps
	MaxScript    = 32 << 20  // bytes of one document of steps
	MaxText      = 1 << 20   // bytes of one scripted text, reasoning or arguments
	MaxBody      = 8 << 20   // bytes of one raw body
	MaxRecording = 32 << 20  // bytes of one recording's file
	MaxReplays   = 64 << 20  // bytes of all recordings of one script
	MaxChunks    = 100_000   // content events of one choice
	MaxToolCalls = 128       // tool calls of one step
	MaxPause     = 3_600_000 // milliseconds of one pause
	MaxFiller    = 1 << 30   // bytes of a huge line
	maxHeaders   = 64
)

// Step tells what to do with one request, or with several in a row. It is one
// of four things: a raw HTTP answer (Status, Headers, ContentType, Body), a
// named fault (Fault), scripted content (Text, Reasoning, ToolCalls, Usage,
// Finish), or a recording (Replay). A fault that strikes in the middle of a
// stream may stand beside content or a recording. The zero Step asks for the
// default answer.
type Step struct {
	// Times is how many requests the step serves: 0 and 1 are one, -1 is
	// every request from now on.
	Times int `json:"times,omitzero"`

	// A raw answer. Status 0 is 200. A Body that is a JSON string is sent as
	// its text, any other JSON as it stands; without one, a status from 400 on
	// gets the error body that a provider would send with it.
	Status      int               `json:"status,omitzero"`
	Headers     map[string]string `json:"headers,omitzero"`
	ContentType string            `json:"content_type,omitzero"`
	Body        jsontext.Value    `json:"body,omitzero"`

	// Fault is one of [Faults] or "error_" and a status from 400 to 599. After
	// is how many events with content go out before it; nil is the fault's own
	// default. RetryAfter is in seconds; nil is the fault's own default, 0
	// sends no such header. Bytes is the length of huge_line's line.
	Fault      string `json:"fault,omitzero"`
	After      *int   `json:"after,omitzero"`
	RetryAfter *int   `json:"retry_after,omitzero"`
	Bytes      int64  `json:"bytes,omitzero"`

	// Scripted content. It goes out as it is, whatever limits the request set.
	Text      *string    `json:"text,omitzero"`
	Reasoning string     `json:"reasoning,omitzero"`
	ToolCalls []ToolCall `json:"tool_calls,omitzero"`
	Usage     *Usage     `json:"usage,omitzero"`
	Finish    string     `json:"finish,omitzero"` // of llm.Finish; empty: stop, or tool_calls if there are any

	// Chunks is in how many events the text is streamed; Events is in how
	// many events the default text is streamed, which makes it that many words
	// long. 0 is one event a word. A text of fewer characters gives fewer.
	Chunks int `json:"chunks,omitzero"`
	Events int `json:"events,omitzero"`

	// FirstMS is the pause before the response headers, PerEventMS the pause
	// before each further event of a stream, in milliseconds. Nil is the
	// simulator's own pace.
	FirstMS    *int `json:"first_ms,omitzero"`
	PerEventMS *int `json:"per_event_ms,omitzero"`

	// Replay is the file of a recorded interaction whose response is sent byte
	// for byte. A relative path is taken from the script's folder.
	Replay string `json:"replay,omitzero"`

	recorded *recording // of Replay, loaded by Script
}

// ToolCall is a scripted call of a tool. Arguments that are a JSON string are
// sent as its text, which need not be JSON; anything else as it stands.
type ToolCall struct {
	ID        string         `json:"id,omitzero"` // empty: made up
	Name      string         `json:"name"`
	Arguments jsontext.Value `json:"arguments,omitzero"` // nil: {}
}

// Usage is a scripted token count. A nil number keeps the simulator's own. The
// classes are those of llm.Usage: Input is the total of its side and holds the
// cached and cache-written tokens; Output holds Reasoning.
type Usage struct {
	Input        *int64 `json:"input,omitzero"`
	CachedInput  *int64 `json:"cached_input,omitzero"`
	CacheWrite   *int64 `json:"cache_write,omitzero"`
	CacheWrite1h *int64 `json:"cache_write_1h,omitzero"`
	Output       *int64 `json:"output,omitzero"`
	Reasoning    *int64 `json:"reasoning,omitzero"`
}

// StepError says what is wrong with a script. Field is a path such as
// "steps[2].tool_calls[0].name".
type StepError struct {
	Field  string
	Reason string
}

// Error returns the field and the reason.
func (e *StepError) Error() string { return e.Field + ": " + e.Reason }

func wrong(field, format string, args ...any) error {
	return &StepError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// ParseSteps reads a list of steps from JSON or YAML. A member that is not
// known, a value of the wrong type or out of bounds, and members that
// contradict each other are a *[StepError]. Recordings are not opened yet.
func ParseSteps(src []byte) ([]Step, error) {
	if len(src) > MaxScript {
		return nil, wrong("steps", "is longer than %d bytes", MaxScript)
	}
	src, err := toJSON(src)
	if err != nil {
		return nil, wrong("steps", "%v", err)
	}
	return decodeSteps("steps", src)
}

// decodeSteps reads a JSON list of steps that stands at the path at.
func decodeSteps(at string, src jsontext.Value) ([]Step, error) {
	switch src.Kind() {
	case '[', 'n':
	default:
		return nil, wrong(at, "must be a list of steps")
	}
	var steps []Step
	if err := json.Unmarshal(src, &steps, json.RejectUnknownMembers(true)); err != nil {
		return nil, stepError(at, err)
	}
	return steps, checkSteps(at, steps)
}

// stepError puts an error of the JSON decoder into the words of a script.
func stepError(at string, err error) error {
	var sem *json.SemanticError
	if !errors.As(err, &sem) {
		return wrong(at, "%v", err)
	}
	field := at + dotted(sem.JSONPointer)
	switch {
	case errors.Is(sem.Err, json.ErrUnknownName):
		return wrong(field, "is not a known field")
	case sem.GoType != nil && sem.JSONKind != 0:
		return wrong(field, "must not be a JSON %s (wanted %s)", kindName(sem.JSONKind), sem.GoType)
	default:
		return wrong(field, "%v", sem.Err)
	}
}

// dotted turns the pointer "/2/tool_calls/0/name" into "[2].tool_calls[0].name".
func dotted(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 32); err == nil {
			b.WriteString("[" + token + "]")
		} else {
			b.WriteString("." + token)
		}
	}
	return b.String()
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '"':
		return "string"
	case '0':
		return "number"
	case '{':
		return "object"
	case '[':
		return "list"
	case 't', 'f':
		return "boolean"
	default:
		return "null"
	}
}

// checkSteps checks a whole list.
func checkSteps(at string, steps []Step) error {
	if len(steps) > MaxSteps {
		return wrong(at, "has %d steps, more than %d", len(steps), MaxSteps)
	}
	for i := range steps {
		if err := steps[i].check(fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

// check reports the first thing that is wrong with a step.
func (st *Step) check(at string) error {
	if st.Times < -1 {
		return wrong(at+".times", "must be -1 or more, not %d", st.Times)
	}
	if st.Status != 0 && (st.Status < 200 || st.Status > 599) {
		return wrong(at+".status", "must be from 200 to 599, not %d", st.Status)
	}
	for _, f := range []func(string) error{st.checkNumbers, st.checkHeaders, st.checkContent, st.checkFault, st.checkKind} {
		if err := f(at); err != nil {
			return err
		}
	}
	return nil
}

func (st *Step) checkNumbers(at string) error {
	number := func(name string, p *int, limit int) error {
		if p != nil && (*p < 0 || *p > limit) {
			return wrong(at+"."+name, "must be from 0 to %d, not %d", limit, *p)
		}
		return nil
	}
	if st.Bytes < 0 || st.Bytes > MaxFiller {
		return wrong(at+".bytes", "must be from 0 to %d, not %d", MaxFiller, st.Bytes)
	}
	return errors.Join(
		number("after", st.After, MaxChunks),
		number("retry_after", st.RetryAfter, 86_400*31),
		number("chunks", &st.Chunks, MaxChunks),
		number("events", &st.Events, MaxChunks),
		number("first_ms", st.FirstMS, MaxPause),
		number("per_event_ms", st.PerEventMS, MaxPause),
	)
}

func (st *Step) checkHeaders(at string) error {
	if len(st.Headers) > maxHeaders {
		return wrong(at+".headers", "has %d headers, more than %d", len(st.Headers), maxHeaders)
	}
	for name, value := range st.Headers {
		if !isToken(name) {
			return wrong(at+".headers", "%q is not a header name", name)
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return wrong(at+".headers."+name, "has a line break in it")
		}
	}
	if strings.ContainsAny(st.ContentType, "\r\n\x00") {
		return wrong(at+".content_type", "has a line break in it")
	}
	return nil
}

// isToken reports whether s may be the name of a header.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != "" && textproto.CanonicalMIMEHeaderKey(s) != "Content-Length"
}

func (st *Step) checkContent(at string) error {
	if len(st.Body) > MaxBody {
		return wrong(at+".body", "is longer than %d bytes", MaxBody)
	}
	if st.Text != nil {
		if err := checkText(at+".text", *st.Text); err != nil {
			return err
		}
	}
	if err := checkText(at+".reasoning", st.Reasoning); err != nil {
		return err
	}
	if len(st.ToolCalls) > MaxToolCalls {
		return wrong(at+".tool_calls", "has %d calls, more than %d", len(st.ToolCalls), MaxToolCalls)
	}
	for i, c := range st.ToolCalls {
		here := fmt.Sprintf("%s.tool_calls[%d]", at, i)
		if c.Name == "" {
			return wrong(here+".name", "is missing")
		}
		if err := checkText(here+".arguments", string(c.Arguments)); err != nil {
			return err
		}
	}
	if st.Finish != "" && openaiFinish[st.Finish] == "" {
		return wrong(at+".finish", "must be stop, stop_sequence, length, context_window, tool_calls, content_filter or pause_turn, not %q", st.Finish)
	}
	return nil
}

func checkText(at, s string) error {
	if len(s) > MaxText {
		return wrong(at, "is longer than %d bytes", MaxText)
	}
	if !utf8.ValidString(s) {
		return wrong(at, "is not valid UTF-8")
	}
	return nil
}

func (st *Step) checkFault(at string) error {
	if st.Fault == "" {
		for _, f := range []struct {
			name string
			set  bool
		}{{"after", st.After != nil}, {"bytes", st.Bytes != 0}} {
			if f.set {
				return wrong(at+"."+f.name, "has no meaning without a fault")
			}
		}
		return nil
	}
	f, ok := lookupFault(st.Fault)
	if !ok {
		return wrong(at+".fault", "must be one of %s, error_400 … error_599, not %q", strings.Join(Faults(), ", "), st.Fault)
	}
	if st.After != nil && !f.midway {
		return wrong(at+".after", "has no meaning with fault %s", st.Fault)
	}
	if st.Bytes != 0 && f.kind != faultHugeLine {
		return wrong(at+".bytes", "has no meaning with fault %s", st.Fault)
	}
	if st.Status != 0 && !f.status {
		return wrong(at+".status", "has no meaning with fault %s", st.Fault)
	}
	if st.Body != nil {
		return wrong(at+".body", "cannot stand beside a fault")
	}
	if st.Replay != "" && !f.overReplay {
		return wrong(at+".fault", "%s cannot stand beside replay", st.Fault)
	}
	return nil
}

// checkKind refuses a step that is two things at once.
func (st *Step) checkKind(at string) error {
	content := ""
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"text", st.Text != nil},
		{"reasoning", st.Reasoning != ""},
		{"tool_calls", len(st.ToolCalls) > 0},
		{"usage", st.Usage != nil},
		{"finish", st.Finish != ""},
		{"chunks", st.Chunks != 0},
		{"events", st.Events != 0},
	} {
		if f.set {
			content = f.name
		}
	}
	switch {
	case content != "" && st.Replay != "":
		return wrong(at+"."+content, "cannot stand beside replay")
	case content != "" && st.Body != nil:
		return wrong(at+"."+content, "cannot stand beside body")
	case content != "" && st.Status != 0 && st.Fault == "":
		return wrong(at+"."+content, "cannot stand beside status")
	case st.Replay != "" && st.Body != nil:
		return wrong(at+".body", "cannot stand beside replay")
	case st.RetryAfter != nil && !st.fails():
		return wrong(at+".retry_after", "has no meaning without a status or a fault that answers with one")
	case st.Chunks != 0 && st.Events != 0:
		return wrong(at+".events", "cannot stand beside chunks")
	case st.Chunks != 0 && st.Text == nil && st.Reasoning == "" && len(st.ToolCalls) == 0:
		return wrong(at+".chunks", "has no meaning without text, reasoning or tool_calls")
	case st.Events != 0 && (st.Text != nil || len(st.ToolCalls) > 0):
		return wrong(at+".events", "is for the default text: use chunks")
	}
	return nil
}

// fails reports whether the step may answer with the status of an error.
func (st *Step) fails() bool {
	f, _ := lookupFault(st.Fault)
	return st.raw() || f.kind == faultHTTP
}

// raw reports whether the step is a raw answer.
func (st *Step) raw() bool {
	return st.Fault == "" && st.Replay == "" && (st.Status != 0 || st.Body != nil)
}

// literal returns JSON as it is to be sent: a string as its text.
func literal(v jsontext.Value) string {
	if v.Kind() != '"' {
		return string(bytes.TrimSpace(v))
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return string(v)
	}
	return string(s)
}
