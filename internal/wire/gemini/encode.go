package gemini

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// encoder writes one answer, whole or streamed, of the provider's own bytes or
// from their meaning.
type encoder struct {
	r     *llm.Request
	array bool // the stream is one JSON array

	body []byte // whole: the answer, kept back
	ours bool   // whole: made here, and the usage is still to come

	// Streamed, the provider's frames. Nothing marks the end of a stream, so from
	// the first end of a candidate on the newest frame is kept back until the next.
	held     []byte
	begun    bool   // a frame was told
	head     []byte // the members that an end written here repeats: JSON with a comma at the end
	finished map[int64]bool
	cut      bool

	out  *stream
	rows int // elements of the array
}

// arrayBeat is what may stand between the elements of an array, and before it.
const arrayBeat = "\n"

// Heartbeat appends space to an array. To events it appends nothing: Google's SDKs
// take what is not data for a failure.
func (e *encoder) Heartbeat(dst []byte) []byte {
	if e.array {
		return append(dst, arrayBeat...)
	}
	return dst
}

// MediaType returns the media type of the array, if the stream is one.
func (e *encoder) MediaType() string {
	if e.array {
		return "application/json"
	}
	return ""
}

// Break appends the error as an event, or as the last element of the array, behind
// what waited for the end that does not come. After the
// event comes what is none: an older SDK (@google/generative-ai, which LangChain uses)
// knows no errors in events, and would take what came for the whole answer, but fails
// if the stream does not end with an event.
func (e *encoder) Break(dst, frame []byte, _ *fault.Error) []byte {
	if e.out != nil {
		if chunk := e.out.rest(); chunk != nil {
			dst = e.row(dst, chunk)
		}
	}
	if !e.array {
		return append(append(dst, frame...), ": broken off\n\n"...)
	}
	return append(e.row(dst, bytes.TrimSpace(bytes.TrimPrefix(frame, []byte("data: ")))), "]\n"...)
}

// row appends one answer of a stream.
func (e *encoder) row(dst, data []byte) []byte {
	e.rows++
	switch {
	case !e.array:
		dst = append(dst, "data: "...)
		for _, b := range data { // JSON may have lines, a payload may not
			if b != '\n' && b != '\r' {
				dst = append(dst, b)
			}
		}
		return append(dst, "\n\n"...)
	case e.rows == 1:
		dst = append(dst, '[')
	default:
		dst = append(dst, ",\n"...)
	}
	return append(dst, data...)
}

// Event appends what one event gives.
func (e *encoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	dialect.Restore(ev, e.offered)
	switch {
	case !e.r.Stream:
		return dst, e.whole(ev)
	case ev.Cut:
		e.cut = true
		if e.out == nil {
			return e.release(dst), nil
		}
		e.out.cut()
		return dst, nil
	case ev.Ping, ev.Raw != nil && ev.Data == nil:
		return dst, nil
	case ev.Raw != nil:
		return e.frame(dst, ev), nil
	case ev.Whole != nil:
		return dst, errors.New("whole answer where a stream was asked for")
	case len(ev.Deltas) == 0: // the end of a stream, or what is only counted
		return dst, nil
	}
	if e.out == nil {
		e.out = newStream(e.r)
	}
	chunk, err := e.out.event(ev)
	if err != nil || chunk == nil {
		return dst, err
	}
	return e.row(dst, chunk), nil
}

// offered yields the names of the request's functions.
func (e *encoder) offered() iter.Seq[string] {
	return func(yield func(string) bool) {
		doc, err := jsonx.Parse(e.r.Raw.Body)
		if err != nil {
			return // cannot be: it was checked
		}
		for _, f := range functions(get(doc.Root(), "tools")) {
			if !yield(f.Get("name").Text()) {
				return
			}
		}
	}
}

// whole keeps a whole answer back.
func (e *encoder) whole(ev llm.Event) error {
	switch {
	case ev.Raw != nil:
		e.body = ev.Raw
	case ev.Whole != nil:
		var err error
		e.ours = true
		e.body, err = appendAnswer(nil, e.r, ev.Whole)
		return err
	case len(ev.Deltas) > 0:
		return errors.New("stream where a whole answer was asked for")
	}
	return nil
}

// frame forwards one of the provider's answers.
func (e *encoder) frame(dst []byte, ev llm.Event) []byte {
	if !e.begun {
		e.begun = true
		e.remember(ev.Data)
	}
	dst = e.release(dst)
	if ev.Finish != "" {
		e.ends(ev.Data)
	}
	if len(e.finished) > 0 {
		e.held = append(e.held[:0], ev.Data...)
		return dst
	}
	return e.row(dst, ev.Data)
}

// remember keeps what every answer of a stream says of itself.
func (e *encoder) remember(data []byte) {
	raw, err := jsonx.Scan(data)
	if err != nil {
		return
	}
	for _, name := range []string{"modelVersion", "responseId"} {
		if v := raw.Value(name); v != nil {
			e.head = append(e.head, `"`+name+`":`...)
			e.head = append(append(e.head, v...), ',')
		}
	}
}

// ends notes which candidates end.
func (e *encoder) ends(data []byte) {
	if e.finished == nil {
		e.finished = map[int64]bool{}
	}
	doc, err := jsonx.ParseEvent(data)
	if err != nil {
		return
	}
	e.finished[-1] = true // of none, where the prompt was not let through
	for i, c := range doc.Root().Get("candidates").Items() {
		index := int64(i)
		if n, ok := c.Get("index").Int(); ok {
			index = n
		}
		if c.Get("finishReason").Exists() {
			e.finished[index] = true
		}
	}
}

// release appends the answer kept back.
func (e *encoder) release(dst []byte) []byte {
	if len(e.held) == 0 {
		return dst
	}
	dst = e.row(dst, e.held)
	e.held = e.held[:0]
	return dst
}

// Finish appends the end of the answer.
func (e *encoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if !e.r.Stream {
		return e.finishWhole(dst, f)
	}
	var last []byte
	switch {
	case e.out != nil:
		var err error
		if last, err = e.out.finish(f, e.cut); err != nil {
			return dst, err
		}
	case e.cut:
		last = e.cutOff(f)
	case len(e.held) > 0:
		last = e.held
	default:
		return dst, errors.New("no answer")
	}
	dst = e.row(dst, jsonx.Splice(last, f.Extras))
	if e.array {
		dst = append(dst, "]\n"...)
	}
	return dst, nil
}

// cutOff makes the last answer of a stream of the provider's that the gateway
// ends.
func (e *encoder) cutOff(f wire.Final) []byte {
	out := append([]byte{}, `{"candidates":[`...)
	first := true
	for i := range int64(e.r.Choices) {
		if e.finished[i] {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = appendEnd(out, int(i), nil, "MAX_TOKENS", nil)
	}
	out = append(append(out, "],"...), e.head...)
	return append(appendUsage(out, f.Usage), '}')
}

func (e *encoder) finishWhole(dst []byte, f wire.Final) ([]byte, error) {
	if len(e.body) == 0 {
		return dst, errors.New("no answer")
	}
	edits := f.Extras
	if e.ours {
		edits = append([]llm.Edit{{Name: "usageMetadata", Value: appendCounts(nil, f.Usage)}}, edits...)
		if f.Model != "" && f.Model != e.r.Model {
			edits = append(edits, llm.Edit{Name: "modelVersion", Value: jsonx.AppendString(nil, f.Model)})
		}
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.body, edits)), nil
}

func newID() string { return rand.Text() }

// finishReason returns Google's word for f. Calls end with STOP, refusals with
// SAFETY.
func finishReason(f llm.Finish, refused bool) (string, error) {
	switch f {
	case llm.FinishStop, llm.FinishStopSequence, llm.FinishToolCalls:
		if refused {
			return "SAFETY", nil
		}
		return "STOP", nil
	case llm.FinishLength, llm.FinishContextWindow:
		return "MAX_TOKENS", nil
	case llm.FinishContentFilter:
		return "SAFETY", nil
	}
	return "", fmt.Errorf("finish %q has no finishReason", f)
}

// appendCounts appends the value of usageMetadata. Thoughts stand beside the
// candidates.
func appendCounts(dst []byte, u llm.Usage) []byte {
	dst = append(dst, `{"promptTokenCount":`...)
	dst = strconv.AppendInt(dst, u.Input, 10)
	if u.CachedInput > 0 {
		dst = append(dst, `,"cachedContentTokenCount":`...)
		dst = strconv.AppendInt(dst, u.CachedInput, 10)
	}
	dst = append(dst, `,"candidatesTokenCount":`...)
	dst = strconv.AppendInt(dst, max(0, u.Output-u.Reasoning), 10)
	if u.Reasoning > 0 {
		dst = append(dst, `,"thoughtsTokenCount":`...)
		dst = strconv.AppendInt(dst, u.Reasoning, 10)
	}
	dst = append(dst, `,"totalTokenCount":`...)
	dst = strconv.AppendInt(dst, u.Input+u.Output, 10)
	return append(dst, '}')
}

func appendUsage(dst []byte, u llm.Usage) []byte {
	return appendCounts(append(dst, `"usageMetadata":`...), u)
}

// appendHead appends what an answer says of itself.
func appendHead(dst []byte, model, id string) []byte {
	dst = append(dst, `"modelVersion":`...)
	dst = jsonx.AppendString(dst, model)
	dst = append(dst, `,"responseId":"`...)
	return append(append(dst, id...), '"')
}

// appendEnd appends a candidate with its last parts, why it ended, and where it has
// its facts from. Without a part Google's SDKs forget the turn.
func appendEnd(dst []byte, index int, parts []byte, reason string, sources []byte) []byte {
	if len(parts) == 0 {
		parts = []byte(`{"text":""}`)
	}
	dst = append(append(dst, `{"content":{"parts":[`...), parts...)
	dst = append(dst, `],"role":"model"},"finishReason":"`...)
	dst = append(append(dst, reason...), `","index":`...)
	dst = strconv.AppendInt(dst, int64(index), 10)
	return append(appendSources(dst, sources), '}')
}
