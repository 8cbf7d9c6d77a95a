package anthropic

import (
	"bytes"
	"errors"
	"iter"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

const (
	ping        = "event: ping\ndata: {\"type\":\"ping\"}\n\n"
	messageStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

// encoder writes one answer, whole or streamed, of the provider's own bytes or
// from their meaning.
type encoder struct {
	r *llm.Request

	body []byte // whole: the answer, kept back
	ours bool   // whole: made here, and the usage is still to come

	// Streamed, the provider's frames: message_delta is kept back with what it
	// names, since extras go into it, and so is the marker at the end.
	held     []byte
	heldName string
	stop     []byte
	cut      bool // the answer was cut off

	out *stream
}

// Heartbeat appends the dialect's own sign of life.
func (e *encoder) Heartbeat(dst []byte) []byte { return append(dst, ping...) }

// Event appends what one event gives.
func (e *encoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	dialect.Restore(ev, e.offered)
	switch {
	case !e.r.Stream:
		return dst, e.whole(ev)
	case ev.Cut:
		return e.cutOff(dst, ev)
	case ev.Raw != nil:
		return e.frame(dst, ev), nil
	case ev.Whole != nil:
		return dst, errors.New("whole answer where a stream was asked for")
	case ev.Ping:
		return e.Heartbeat(dst), nil
	}
	if e.out == nil {
		e.out = newStream(e.r.Model)
	}
	return e.out.event(dst, ev)
}

// offered yields the names of the request's tools.
func (e *encoder) offered() iter.Seq[string] {
	return func(yield func(string) bool) {
		doc, err := jsonx.Parse(e.r.Raw.Value("tools"))
		if err != nil {
			return // cannot be: it was checked
		}
		for _, t := range doc.Root().Items() {
			if !yield(t.Get("name").Text()) {
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
		e.body, err = appendMessage(nil, e.r.Model, ev.Whole)
		return err
	case len(ev.Deltas) > 0:
		return errors.New("stream where a whole answer was asked for")
	}
	return nil
}

// frame forwards one frame as it came. From message_delta on, the newest frame
// is kept back until the next one.
func (e *encoder) frame(dst []byte, ev llm.Event) []byte {
	name := ev.Name
	switch {
	case ev.Last:
		e.stop = append(e.stop[:0], ev.Raw...)
		return dst
	case ev.Data == nil: // a comment, in the provider's words
		return e.Heartbeat(dst)
	case name == "": // clients act on the name of the event
		if raw, err := jsonx.Scan(ev.Data); err == nil {
			name = string(bytes.Trim(raw.Value("type"), `"`))
		}
	}
	dst = e.release(dst)
	switch {
	case name == "message_delta":
		e.held, e.heldName = append(e.held[:0], ev.Data...), name
		return dst
	case isPlain(ev.Raw):
		return append(dst, ev.Raw...)
	}
	return appendFrame(dst, name, ev.Data)
}

// cutOff ends the block that is open, if the event that is not told would have
// continued it. What ends the message is written by Finish.
func (e *encoder) cutOff(dst []byte, ev llm.Event) ([]byte, error) {
	if e.out != nil {
		e.out.ending = llm.FinishLength
		return dst, nil
	}
	doc, err := jsonx.ParseEvent(ev.Data)
	if err != nil {
		return dst, errors.New("answer is cut off where no event is")
	}
	e.cut = true
	dst = e.release(dst)
	if root := doc.Root(); root.Get("type").Is("content_block_delta") {
		index, _ := root.Get("index").Int()
		dst = appendBlockStop(dst, int(index))
	}
	return dst, nil
}

// isPlain reports whether a frame is an event line, a data line and a blank one:
// no id: or retry: line, and complete.
func isPlain(raw []byte) bool {
	event, rest, ok := bytes.Cut(raw, []byte{'\n'})
	if !ok || !bytes.HasPrefix(event, []byte("event:")) {
		return false
	}
	data, rest, ok := bytes.Cut(rest, []byte{'\n'})
	return ok && bytes.HasPrefix(data, []byte("data:")) && (string(rest) == "\n" || string(rest) == "\r\n")
}

// appendFrame appends a frame.
func appendFrame(dst []byte, name string, data []byte) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	for more := true; more; {
		var line []byte
		line, data, more = bytes.Cut(data, []byte{'\n'})
		dst = append(dst, "\ndata: "...)
		dst = append(dst, line...)
	}
	return append(dst, "\n\n"...)
}

// release appends the frame kept back.
func (e *encoder) release(dst []byte) []byte {
	if len(e.held) == 0 {
		return dst
	}
	dst = appendFrame(dst, e.heldName, e.held)
	e.held = e.held[:0]
	return dst
}

// Finish appends the end of the answer.
func (e *encoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	switch {
	case !e.r.Stream:
		return e.finishWhole(dst, f)
	case e.out != nil:
		return e.out.finish(dst, f)
	case e.cut:
		return appendEnd(dst, "max_tokens", "", f), nil
	case len(e.held) > 0:
		dst = appendFrame(dst, e.heldName, jsonx.Splice(e.held, f.Extras))
	case len(f.Extras) > 0:
		return appendFrame(dst, "message_stop", jsonx.Splice([]byte(`{"type":"message_stop"}`), f.Extras)), nil
	}
	if len(e.stop) > 0 && isPlain(e.stop) {
		return append(dst, e.stop...), nil
	}
	return append(dst, messageStop...), nil
}

func (e *encoder) finishWhole(dst []byte, f wire.Final) ([]byte, error) {
	if len(e.body) == 0 {
		return dst, errors.New("no answer")
	}
	edits := f.Extras
	if e.ours {
		edits = append([]llm.Edit{{Name: "usage", Value: appendUsage(nil, f.Usage)}}, edits...)
		if f.Model != "" && f.Model != e.r.Model {
			edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, f.Model)})
		}
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.body, edits)), nil
}
