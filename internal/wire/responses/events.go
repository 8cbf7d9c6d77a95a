package responses

import (
	"bytes"
	"iter"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Event is one event of a response that is told to several, each from wherever he
// likes: its number is where it stands among the others.
type Event struct {
	name string
	data []byte // JSON
}

// Append appends the event as a frame, under the number that it has.
func (e Event) Append(dst []byte, number int64) []byte {
	data := e.data
	doc, err := jsonx.Parse(data)
	if n, ok := doc.Root().Get("sequence_number").Int(); err == nil && (!ok || n != number) {
		data = jsonx.Splice(data, []llm.Edit{{Name: "sequence_number", Value: strconv.AppendInt(nil, number, 10)}})
	}
	return lines(dst, e.name, data)
}

// Frames returns events as frames, the first under that number.
func Frames(events []Event, first int64) [][]byte {
	out := make([][]byte, len(events))
	for i, e := range events {
		out[i] = e.Append(nil, first+int64(i))
	}
	return out
}

// Heartbeat returns the dialect's sign of life, which stands between events.
func Heartbeat() []byte { return []byte(keepAlive) }

// Events returns the events in all frames of an answer; see [Listener].
func Events(frames []byte) iter.Seq[Event] { return new(Listener).Events(frames) }

// Listener takes events out of the frames of one answer as its encoder writes them.
// Its zero value is ready.
type Listener struct{ seams seams }

// Events returns the events in the frames that come next. The signs of life of the
// encoder are of the moment, and that the answer was taken in is known already; see
// [Opening]. A character that a provider has cut into two events stands whole in the
// second, and is U+FFFD where its end never came, so that all can be kept.
func (l *Listener) Events(frames []byte) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		var e Event
		for line := range bytes.Lines(frames) {
			line = bytes.TrimRight(line, "\r\n")
			switch field, value, _ := bytes.Cut(line, []byte(":")); {
			case len(line) == 0:
				for _, told := range l.told(e) {
					if !yield(told) {
						return
					}
				}
				e = Event{}
			case string(field) == "event":
				e.name = string(bytes.TrimPrefix(value, []byte(" ")))
			case string(field) == "data":
				if e.data != nil {
					e.data = append(e.data, '\n')
				}
				e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
			}
		}
	}
}

// told returns what is to be told of an event that was read: with texts of whole
// characters, and nothing of one that is no event.
func (l *Listener) told(e Event) []Event {
	switch e.name {
	case "keepalive", eventCreated, eventQueued:
		return nil
	}
	doc, err := jsonx.ParseEvent(e.data)
	if err != nil || doc.Root().Kind() != jsonx.Object {
		return nil
	}
	if doc.Mended() || len(l.seams.open) > 0 {
		return l.seams.join(e.name, e.data, doc)
	}
	e.data = doc.Root().Raw()
	return []Event{e}
}

// The events that hold a whole response, and are no end of it.
const (
	eventCreated  = "response.created"
	eventQueued   = "response.queued"
	eventProgress = "response.in_progress"
)

func holding(name string, object []byte) Event {
	return Event{name, frameData(name, 0, object)}
}

// Opening returns the events with which a response in the background begins, which
// nobody has begun to answer.
func Opening(object []byte) []Event {
	queued := Pending(object, statusQueued)
	return []Event{holding(eventCreated, queued), holding(eventQueued, queued)}
}

// Ending returns the event with which a response ends as it stands. The dialect
// has none of its own for one that was cancelled.
func Ending(object []byte) Event {
	switch status := statusOf(object); status {
	case statusCompleted, statusIncomplete:
		return holding("response."+status, object)
	}
	return holding("response."+statusFailed, object)
}

// Told returns the events that tell a response that has ended and was not told
// while it was answered: each text in one piece, and the same every time. Those
// that it began with are not among them; see [Opening].
func Told(object []byte) []Event {
	doc, err := jsonx.Parse(object)
	status := statusOf(object)
	if err != nil || status != statusCompleted && status != statusIncomplete {
		return []Event{Ending(object)}
	}
	out := []Event{holding(eventProgress, Pending(object, statusInProgress))}
	s := &stream{}
	for i, v := range doc.Root().Get("output").Items() {
		for e := range Events(s.retell(nil, i, v)) {
			out = append(out, e)
		}
	}
	return append(out, Ending(object))
}

// Begun returns the event with which a response begins that is answered at once,
// as one that has ended began.
func Begun(object []byte) Event {
	return holding(eventCreated, Pending(object, statusInProgress))
}

// Pending returns a response as it is before it comes to anything.
func Pending(object []byte, status string) []byte {
	null := []byte("null")
	return jsonx.Splice(object, []llm.Edit{
		{Name: "status", Value: jsonx.AppendString(nil, status)},
		{Name: "output", Value: []byte("[]")},
		{Name: "completed_at", Value: null},
		{Name: "error", Value: null},
		{Name: "incomplete_details", Value: null},
		{Name: "usage"},
	})
}

// retell appends the events of a whole item.
func (s *stream) retell(dst []byte, index int, v jsonx.Value) []byte {
	it := &item{index: index}
	it.begin(v)
	content := v.Get("content")
	if summary := v.Get("summary"); it.kind == kindReasoning && summary.Len() > 0 {
		content = summary
	} else {
		it.summary = false
	}
	if it.kind == kindImage { // of which all events are known
		it.raw = nil
	}
	b := strconv.AppendInt(append(s.buf[:0], `"output_index":`...), int64(index), 10)
	s.buf = append(it.append(append(b, `,"item":`...), statusInProgress), '}')
	dst = s.frame(dst, "response.output_item.added", s.buf)
	switch {
	case it.raw != nil:
	case it.kind == kindImage:
		if v.Get("status").Is(statusCompleted) {
			dst = s.making(dst, it)
		}
	case it.calls():
		it.args = []byte(v.Get(argumentsOf[it.kind]).Text())
		s.buf = append(jsonx.AppendString(append(s.call(it), `,"delta":`...), string(it.args)), '}')
		dst = s.calledWith(s.frame(dst, calledWith[it.kind]+".delta", s.buf), it)
	default:
		for _, p := range content.Items() {
			dst = s.retellPart(dst, it, p)
		}
	}
	b = strconv.AppendInt(append(s.buf[:0], `"output_index":`...), int64(index), 10)
	s.buf = append(appendFlat(append(b, `,"item":`...), v.Raw()), '}')
	return s.frame(dst, "response.output_item.done", s.buf)
}

// retellPart appends the events of a whole part of an item's content.
func (s *stream) retellPart(dst []byte, it *item, v jsonx.Value) []byte {
	kind := v.Get("type").Text()
	e, known := eventsOf[kind]
	it.parts = append(it.parts, part{kind: kind})
	if !known { // of a provider of the dialect: its item tells it as a whole
		return dst
	}
	dst = s.beginPart(dst, it)
	text := v.Get(e.text).Text()
	told := func(name, member string) {
		b := jsonx.AppendString(append(append(append(s.place(it, kind), `,"`...), member...), `":`...), text)
		if kind == partText {
			b = append(b, `,"logprobs":[]`...)
		}
		s.buf = append(b, '}')
		dst = s.frame(dst, name, s.buf)
	}
	if text != "" {
		told(e.delta, "delta")
	}
	for i, note := range v.Get("annotations").Items() {
		b := strconv.AppendInt(append(s.place(it, kind), `,"annotation_index":`...), int64(i), 10)
		s.buf = append(appendFlat(append(b, `,"annotation":`...), note.Raw()), '}')
		dst = s.frame(dst, "response.output_text.annotation.added", s.buf)
	}
	told(e.done, e.text)
	s.buf = append(appendFlat(append(s.place(it, kind), `,"part":`...), v.Raw()), '}')
	return s.frame(dst, e.end, s.buf)
}

// Broken returns the frames with which the contract breaks a stream off, the error
// with its number.
func Broken(failed []byte, number int64) []byte {
	event, rest, ok := numbered(failed, number)
	if !ok {
		return failed
	}
	return append(event, rest...)
}

// numbered returns the first of some frames with its number, and the others. It is
// not ok if that holds no object.
func numbered(frames []byte, number int64) (first, rest []byte, ok bool) {
	head, rest, ok := bytes.Cut(frames, []byte("data: "))
	data, rest, framed := bytes.Cut(rest, []byte("\n\n"))
	if !ok || !framed || !jsonx.IsObject(data) {
		return nil, nil, false
	}
	first = append(bytes.Clone(head), "data: "...)
	first = append(first, jsonx.Splice(data, []llm.Edit{{Name: "sequence_number", Value: strconv.AppendInt(nil, number, 10)}})...)
	return append(first, "\n\n"...), rest, true
}
