package provider

import (
	"bytes"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// words are what a provider says of an error, whatever the envelope: every
// member may have any type or be missing.
type words struct {
	message string
	raw     string   // the words of the provider behind this one
	codes   []string // machine codes, the most specific first
	kinds   []string // error types, which say less
	param   string
	status  int // HTTP status that the body names; 0: none
	tokens  int64
	limit   int64
	delay   time.Duration // Google: how long to wait
	daily   bool          // Google: the quota of a day is used up
	reasons bool          // moderation gave its reasons
	waits   bool          // refused for what is in flight only
	json    bool
	html    bool
}

// HasError reports whether body is a JSON object, or an array of one, whose
// member error is neither missing nor null.
func HasError(body []byte) bool {
	obj, _ := lenient(body).(map[string]any)
	e, ok := obj["error"]
	return ok && e != nil
}

// lenient decodes JSON as providers write it. Google wraps errors in an array.
func lenient(body []byte) any {
	var v any
	err := json.Unmarshal(body, &v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil
	}
	if list, ok := v.([]any); ok && len(list) > 0 {
		return list[0]
	}
	return v
}

// read takes the words out of an error's body.
func read(body []byte) words {
	var w words
	trimmed := bytes.TrimSpace(body)
	w.html = bytes.HasPrefix(trimmed, []byte("<"))
	obj, ok := lenient(trimmed).(map[string]any)
	if !ok {
		if !w.html {
			w.message = string(head(trimmed))
		}
		return w
	}
	w.json = true
	switch e := obj["error"].(type) {
	case map[string]any:
		w.object(e)
	case string:
		w.message = e
		w.object(map[string]any{"code": obj["code"], "type": obj["type"], "param": obj["param"]})
	default:
		w.object(obj)
	}
	w.choice(obj)
	w.nested()
	return w
}

// object reads an error object.
func (w *words) object(e map[string]any) {
	if w.message == "" {
		w.message = firstText(e["message"], e["detail"], e["error"], e["msg"], e["Message"])
	}
	if list, ok := e["detail"].([]any); ok && len(list) > 0 { // FastAPI
		if d, ok := list[0].(map[string]any); ok {
			w.message, w.param = text(d["msg"]), path(d["loc"])
		}
	}
	if p := text(e["param"]); p != "" {
		w.param = p
	}
	if inner, ok := e["innererror"].(map[string]any); ok {
		w.code(inner["code"])
	}
	w.details(e["details"])
	w.metadata(e["metadata"])
	w.code(e["code"])
	w.code(e["reason"])
	w.code(e["status"])
	w.code(e["status_code"])
	w.code(e["raw_status_code"])
	w.exception(text(e["__type"]))
	if t := text(e["type"]); t != "" {
		w.kinds = append(w.kinds, t)
	}
	w.tokens, w.limit = number(e["n_prompt_tokens"]), number(e["n_ctx"])
}

// exception takes the name of one of AWS's exceptions, which may stand behind a
// namespace and before an address.
func (w *words) exception(name string) {
	name, _, _ = strings.Cut(name, ":")
	if name = name[strings.LastIndex(name, "#")+1:]; name != "" {
		w.codes, w.kinds = append(w.codes, name), append(w.kinds, name)
	}
}

// details reads what Anthropic (an object) and Google (a list) say besides.
func (w *words) details(v any) {
	switch d := v.(type) {
	case map[string]any:
		w.code(d["error_code"])
	case []any:
		for _, x := range d {
			if m, ok := x.(map[string]any); ok {
				w.code(m["reason"])
				w.quota(m)
			}
		}
	}
}

// quota reads what Google says of a quota that is used up: google.rpc.RetryInfo
// and QuotaFailure.
func (w *words) quota(m map[string]any) {
	if d, err := time.ParseDuration(text(m["retryDelay"])); err == nil {
		w.delay = wait(d.Seconds())
	}
	list, _ := m["violations"].([]any)
	for _, x := range list {
		v, _ := x.(map[string]any)
		w.daily = w.daily || strings.Contains(text(v["quotaId"]), "PerDay")
	}
}

// nested reads the error that stands in a message as JSON: Vertex AI wraps those
// of the models of others.
func (w *words) nested() {
	if !strings.HasPrefix(w.message, "{") {
		return
	}
	inner, _ := lenient([]byte(w.message)).(map[string]any)
	e, ok := inner["error"].(map[string]any)
	if !ok {
		return
	}
	w.raw = firstText(e["message"])
	w.code(e["code"])
	if t := text(e["type"]); t != "" {
		w.codes = append([]string{t}, w.codes...)
	}
}

// metadata reads what OpenRouter says of the provider behind it.
func (w *words) metadata(v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	w.code(m["error_type"])
	w.waits = text(m["limit_source"]) == "openrouter_in_flight_budget"
	w.reasons = m["reasons"] != nil
	raw := text(m["raw"])
	if inner, ok := lenient([]byte(raw)).(map[string]any); ok {
		if e, ok := inner["error"].(map[string]any); ok {
			inner = e
		}
		w.code(inner["code"])
		w.raw = firstText(inner["message"], inner["error"])
		return
	}
	w.raw = raw
}

// choice reads the finish reason of a choice, where it names an error.
func (w *words) choice(obj map[string]any) {
	list, _ := obj["choices"].([]any)
	if len(list) == 0 || w.message != "" {
		return
	}
	c, _ := list[0].(map[string]any)
	w.message = firstText(c["error"], c["native_finish_reason"], c["finish_reason"])
}

// code takes a machine code; numbers, and texts that are numbers, are statuses.
func (w *words) code(v any) {
	s := text(v)
	if s == "" {
		return
	}
	if n, err := strconv.Atoi(s); err == nil {
		if n >= 400 && n <= 599 && w.status == 0 {
			w.status = n
		}
		if n < 1000 { // a status, or nothing
			return
		}
	}
	w.codes = append(w.codes, s)
}

// text returns a string, or a number written out; anything else gives nothing,
// and so do the texts that stand for nothing in sloppy providers.
func text(v any) string {
	switch s := v.(type) {
	case string:
		if s == "None" || s == "null" {
			return ""
		}
		return s
	case float64:
		if s == math.Trunc(s) && math.Abs(s) < 1<<53 {
			return strconv.FormatInt(int64(s), 10)
		}
	}
	return ""
}

func firstText(vs ...any) string {
	for _, v := range vs {
		if s := text(v); s != "" {
			return s
		}
	}
	return ""
}

func number(v any) int64 {
	n, _ := strconv.ParseInt(text(v), 10, 64)
	return n
}

// path joins a FastAPI location, without its leading "body".
func path(v any) string {
	list, _ := v.([]any)
	var parts []string
	for i, x := range list {
		if s := text(x); s != "" && !(i == 0 && s == "body") {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ".")
}

// maxCooldown is the longest wait that a provider can ask for.
const maxCooldown = 24 * time.Hour

// retryAfter returns how long a provider asks to be left alone; 0: it does not
// say. Dates count from the answer's own date, so that clocks do not matter.
func retryAfter(h http.Header) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.ParseFloat(strings.TrimSpace(h.Get(name)), 64); err == nil && ms > 0 {
			return wait(ms / 1000)
		}
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(v, 64); err == nil && s >= 0 {
		return wait(s)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return wait(at.Sub(now).Seconds())
}

// wait makes a duration of seconds, within bounds.
func wait(seconds float64) time.Duration {
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(math.Min(seconds, maxCooldown.Seconds()) * float64(time.Second))
}
