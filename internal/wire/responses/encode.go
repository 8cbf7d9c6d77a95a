package responses

import (
	"bytes"
	"errors"
	"iter"
	"time"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// keepAlive is the dialect's own sign of life. It stands outside of the numbering
// of events, so that what is kept of a stream has no gaps.
const keepAlive = "event: keepalive\ndata: {\"type\":\"keepalive\"}\n\n"

// waiting is the sign of life in front of all events, of which the SDKs demand that
// the first is response.created.
const waiting = ": keep-alive\n\n"

// encoder writes one answer, whole or streamed, of the provider's own bytes or
// from their meaning.
type encoder struct {
	r   *llm.Request
	now func() time.Time
	id  string // of the response

	inputs dialect.Inputs // of custom tools; without Names until the first event

	created int64 // Unix seconds; 0: when the first event comes

	body   []byte  // whole, the provider's: the answer, kept back
	out    *stream // made here
	pass   *passed // streamed, the provider's
	object []byte  // the response as it ended
}

var _ wire.Breaker = (*encoder)(nil)

// Heartbeat appends the dialect's own sign of life, once the response has begun.
func (e *encoder) Heartbeat(dst []byte) []byte {
	if e.out == nil && (e.pass == nil || e.pass.begun == nil) {
		return append(dst, waiting...)
	}
	return append(dst, keepAlive...)
}

// Event appends what one event gives.
func (e *encoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	dialect.Restore(ev, func() iter.Seq[string] { return offered(e.r.Raw.Value("tools")) })
	if e.inputs.Names == nil {
		e.inputs.Names = func() map[string]bool { return customIn(e.r.Raw.Value("tools")) }
	}
	e.inputs.Restore(&ev)
	switch {
	case !e.r.Stream:
		return dst, e.whole(ev)
	case ev.Cut:
		return e.cutOff(dst)
	case ev.Raw != nil:
		return e.passing().frame(dst, ev)
	case ev.Whole != nil:
		return dst, errors.New("whole answer where a stream was asked for")
	case ev.Ping:
		return e.Heartbeat(dst), nil
	}
	return e.making().event(dst, ev)
}

func (e *encoder) head() response {
	if e.created == 0 {
		e.created = e.now().Unix()
	}
	return response{id: e.id, created: e.created, r: e.r}
}

func (e *encoder) making() *stream {
	if e.out == nil {
		e.out = &stream{head: e.head(), summary: wantsSummary(e.r), spaces: spacesIn(e.r.Raw.Value("tools"))}
	}
	return e.out
}

func (e *encoder) passing() *passed {
	if e.pass == nil {
		e.pass = &passed{stream: stream{head: e.head()}}
	}
	return e.pass
}

// wantsSummary reports whether the caller asked for summaries of the reasoning.
func wantsSummary(r *llm.Request) bool {
	doc, err := jsonx.Parse(r.Raw.Value("reasoning"))
	if err != nil {
		return false
	}
	return doc.Root().Get("summary").Exists() || doc.Root().Get("generate_summary").Exists()
}

// whole keeps a whole answer back.
func (e *encoder) whole(ev llm.Event) error {
	switch {
	case ev.Raw != nil:
		e.body = ev.Raw
	case ev.Whole != nil:
		return e.making().whole(ev.Whole)
	case len(ev.Deltas) > 0:
		return errors.New("stream where a whole answer was asked for")
	}
	return nil
}

// cutOff ends the answer where it is.
func (e *encoder) cutOff(dst []byte) ([]byte, error) {
	if e.pass != nil {
		return e.pass.cutOff(dst), nil
	}
	dst = e.making().start(dst)
	e.out.cut, e.out.ending = true, llm.FinishLength
	return dst, nil
}

// Finish appends the end of the answer.
func (e *encoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	var err error
	switch {
	case e.body != nil:
		e.object = ours(e.body, e.id, e.r)
	case e.pass != nil:
		if e.object, err = e.pass.finish(f); err != nil {
			return dst, err
		}
		if e.pass.held != nil && !e.pass.cut {
			return lines(dst, e.pass.name, jsonx.Splice(e.pass.held, f.Extras)), nil
		}
		return e.terminal(dst, e.pass.number, f.Extras), nil
	case e.out == nil:
		return dst, errors.New("no answer")
	case !e.r.Stream:
		_, e.object, err = e.out.finish(nil, f, e.now().Unix())
	default:
		if dst, e.object, err = e.out.finish(dst, f, e.now().Unix()); err != nil {
			return dst, err
		}
		return e.terminal(dst, e.out.number, f.Extras), nil
	}
	if err != nil {
		return dst, err
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.object, f.Extras)), nil
}

// terminal appends the event that ends the answer, which is called for its status.
func (e *encoder) terminal(dst []byte, number int64, extras []llm.Edit) []byte {
	status := statusOf(e.object)
	data := frameData("response."+status, number, e.object)
	return lines(dst, "response."+status, jsonx.Splice(data, extras))
}

// frameData is the payload of an event that holds a whole response.
func frameData(name string, number int64, object []byte) []byte {
	b := frame(make([]byte, 0, len(object)+128), name, number, append(append([]byte(`"response":`), object...), '}'))
	_, data, _ := bytes.Cut(b, []byte("\ndata: "))
	return bytes.TrimSuffix(data, []byte("\n\n"))
}

func statusOf(object []byte) string {
	doc, err := jsonx.Parse(object)
	if err != nil {
		return statusCompleted
	}
	return doc.Root().Get("status").Text()
}

// Break appends how a stream of this dialect fails: the contract's frame with its
// number, and then the response, failed, with all that it came to.
func (e *encoder) Break(dst, failed []byte, err *fault.Error) []byte {
	number, whole := e.brokenOff(object{status: statusFailed, model: e.r.Model, code: failure(err), message: err.Public()})
	event, rest, ok := numbered(failed, number)
	if !ok {
		return append(dst, failed...)
	}
	dst = append(dst, event...)
	e.object = whole
	dst = lines(dst, "response.failed", frameData("response.failed", number+1, whole))
	return append(dst, rest...)
}

// BrokenOff implements [Promised].
func (e *encoder) BrokenOff(status, code, message string) []byte {
	_, whole := e.brokenOff(object{status: status, model: e.r.Model, code: code, message: message})
	return whole
}

// brokenOff returns the response as it stands, and the number that its next event
// would have.
func (e *encoder) brokenOff(o object) (number int64, whole []byte) {
	if e.pass != nil {
		return e.pass.number, e.pass.ended(o)
	}
	s := e.making()
	o.output = s.output()
	return s.number, s.head.append(nil, o)
}
