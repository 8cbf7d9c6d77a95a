package obs

import (
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/money"
)

// Bounds of what one line holds of text that others wrote, in bytes.
const (
	maxLineText     = 4 << 10 // Error, Panic
	maxLineWord     = 256     // a name: model, client request id
	maxLineAttempts = 16
	maxLineDropped  = 32
	maxSecret       = 512 // the longest that is found at the edge of a cut
)

// appendEvent appends the line of one request. The line is written by hand,
// because it is written for every request: zero values are left out, and only
// what others wrote is searched for secrets.
func (o *Obs) appendEvent(dst []byte, e *Event, level slog.Level) []byte {
	l := line{b: dst, text: o.text}
	l.open(e.Start.Add(e.Took), level)
	l.str("id", e.ID)
	if e.ClientRequestID != "" {
		l.str("client_request_id", o.foreign(e.ClientRequestID, maxLineWord))
	}
	l.str("site", e.Site)
	l.str("method", e.Method)
	l.str("route", e.Route)
	l.str("surface", e.Surface)
	l.str("remote", e.Remote)
	l.str("account", e.Account)
	l.str("key", e.Key)
	l.flag("test", e.Test)
	if e.Model != "" {
		l.str("model", o.foreign(e.Model, maxLineWord))
	}
	l.str("answered_by", e.AnsweredBy)
	l.str("provider", e.Provider)
	l.str("cache_affinity", e.CacheAffinity)
	l.flag("stream", e.Stream)
	l.str("outcome", e.Outcome)
	l.num("status", int64(e.Status))
	l.str("fault", e.Fault)
	if e.Error != "" {
		l.str("error", o.foreign(e.Error, maxLineText))
	}
	if e.Panic != "" {
		l.str("panic", o.foreign(e.Panic, maxLineText))
	}
	l.millis("ms", e.Took)
	if e.FirstEvent != 0 {
		l.millis("first_event_ms", e.FirstEvent)
	}
	l.attempts(e.Attempts)
	l.num("input_tokens", e.InputTokens)
	l.num("cached_input_tokens", e.CachedInputTokens)
	l.num("cache_write_tokens", e.CacheWriteTokens)
	l.num("output_tokens", e.OutputTokens)
	l.num("reasoning_tokens", e.ReasoningTokens)
	l.flag("estimated", e.Estimated)
	l.usd("hold_usd", e.Hold)
	l.usd("charge_usd", e.Charge)
	l.usd("absorbed_usd", e.Absorbed)
	l.str("capped_by", e.CappedBy)
	for i, d := range e.Dropped[:min(len(e.Dropped), maxLineDropped)] {
		l.element("dropped", i, o.foreign(d, maxLineWord))
	}
	l.endList(len(e.Dropped))
	for i, k := range e.Left[:min(len(e.Left), maxLineDropped)] {
		l.element("dropped_output", i, o.foreign(k, maxLineWord))
	}
	l.endList(len(e.Left))
	l.str("delivery", e.Delivery)
	l.num("bytes_in", e.BytesIn)
	l.num("bytes_out", e.BytesOut)
	return l.close()
}

// foreign returns text that others wrote, cut and without secrets. It looks for
// them a little beyond the cut, since half of one does not look like one.
func (o *Obs) foreign(text string, most int) string {
	text = o.sink.clean(text[:min(len(text), most+maxSecret)])
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

// line writes one log line, as JSON or for people. Members with a zero value
// are left out.
type line struct {
	b    []byte
	text bool
}

func (l *line) open(at time.Time, level slog.Level) {
	const layout = "2006-01-02T15:04:05.000Z07:00"
	if l.text {
		l.b = at.AppendFormat(append(l.b, "time="...), layout)
		l.b = append(append(l.b, " level="...), level.String()...)
		l.b = append(l.b, " msg=request"...)
		return
	}
	l.b = at.AppendFormat(append(l.b, `{"time":"`...), layout)
	l.b = append(append(l.b, `","level":"`...), level.String()...)
	l.b = append(l.b, `","msg":"request"`...)
}

func (l *line) close() []byte {
	if !l.text {
		l.b = append(l.b, '}')
	}
	return append(l.b, '\n')
}

func (l *line) name(k string) {
	if l.text {
		l.b = append(append(append(l.b, ' '), k...), '=')
		return
	}
	l.b = append(append(append(l.b, `,"`...), k...), `":`...)
}

func (l *line) value(v string) {
	if !l.text {
		l.b = appendQuoted(l.b, v)
	} else if plain(v) {
		l.b = append(l.b, v...)
	} else {
		l.b = strconv.AppendQuote(l.b, v)
	}
}

func (l *line) str(k, v string) {
	if v != "" {
		l.name(k)
		l.value(v)
	}
}

func (l *line) num(k string, v int64) {
	if v != 0 {
		l.name(k)
		l.b = strconv.AppendInt(l.b, v, 10)
	}
}

func (l *line) flag(k string, v bool) {
	if v {
		l.name(k)
		l.b = append(l.b, "true"...)
	}
}

func (l *line) millis(k string, d time.Duration) {
	l.name(k)
	l.b = appendMillis(l.b, d)
}

// usd writes money as a string, so that no reader rounds it.
func (l *line) usd(k string, a money.Amount) {
	if a == 0 {
		return
	}
	l.name(k)
	if !l.text {
		l.b = append(l.b, '"')
	}
	l.b = appendUSD(l.b, a)
	if !l.text {
		l.b = append(l.b, '"')
	}
}

func (l *line) attempts(all []Attempt) {
	if len(all) == 0 {
		return
	}
	l.name("attempts")
	for i := range all[:min(len(all), maxLineAttempts)] {
		l.attempt(i, &all[i])
	}
	if !l.text {
		l.b = append(l.b, ']')
	}
}

func (l *line) attempt(i int, a *Attempt) {
	if l.text { // openai/gpt-5-mini:upstream_failed:500:12.345
		if i > 0 {
			l.b = append(l.b, ',')
		}
		l.b = append(append(append(l.b, a.Target...), ':'), a.Outcome...)
		l.b = strconv.AppendInt(append(l.b, ':'), int64(a.Status), 10)
		l.b = appendMillis(append(l.b, ':'), a.Took)
		return
	}
	if i == 0 {
		l.b = append(l.b, '[')
	} else {
		l.b = append(l.b, ',')
	}
	l.b = appendQuoted(append(l.b, `{"target":`...), a.Target)
	l.b = appendQuoted(append(l.b, `,"outcome":`...), a.Outcome)
	if a.Status != 0 {
		l.b = strconv.AppendInt(append(l.b, `,"status":`...), int64(a.Status), 10)
	}
	l.b = appendMillis(append(l.b, `,"ms":`...), a.Took)
	if a.Billed {
		l.b = append(l.b, `,"billed":true`...)
	}
	l.b = append(l.b, '}')
}

// element writes the i-th string of a list named k; endList ends it.
func (l *line) element(k string, i int, v string) {
	if i == 0 {
		l.name(k)
		if !l.text {
			l.b = append(l.b, '[')
		}
	} else {
		l.b = append(l.b, ',')
	}
	l.value(v)
}

func (l *line) endList(n int) {
	if n > 0 && !l.text {
		l.b = append(l.b, ']')
	}
}

// plain reports whether v needs no quotes in a line for people.
func plain(v string) bool {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c == '"' || c == '=' || c == 0x7f || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendQuoted appends v as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func appendQuoted(dst []byte, v string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(v); {
		c := v[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(v[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(dst, v[from:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, "\ufffd"...)
		}
		i++
		from = i
	}
	return append(append(dst, v[from:]...), '"')
}

// appendMillis appends d in milliseconds with three decimals.
func appendMillis(dst []byte, d time.Duration) []byte {
	if d < 0 {
		dst, d = append(dst, '-'), -d
	}
	us := int64(d / time.Microsecond)
	dst = strconv.AppendInt(dst, us/1000, 10)
	return append(dst, '.', '0'+byte(us/100%10), '0'+byte(us/10%10), '0'+byte(us%10))
}

// appendUSD appends what [money.Amount.String] returns, without allocating.
func appendUSD(dst []byte, a money.Amount) []byte {
	u := uint64(a)
	if a < 0 {
		dst, u = append(dst, '-'), -u
	}
	dst = append(strconv.AppendUint(dst, u/uint64(money.Dollar), 10), '.')
	frac := u % uint64(money.Dollar)
	for i, unit := 0, uint64(money.Dollar)/10; i < 2 || frac > 0; i, unit = i+1, unit/10 {
		dst = append(dst, '0'+byte(frac/unit))
		frac %= unit
	}
	return dst
}
