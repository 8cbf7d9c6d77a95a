package openai

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/completion"
	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// endOfChat is what ends a choice of a chat that was cut off, by its index.
const endOfChat = `[{"index":%d,"delta":{},"logprobs":null,"finish_reason":"length"}]`

// keepAlive is a comment: the official clients skip it.
const keepAlive = ": keep-alive\n\n"

const done = "data: [DONE]\n\n"

// chatEncoder writes one answer, whole or streamed, of the provider's own bytes
// or from their meaning.
type chatEncoder struct {
	r   *llm.Request
	now func() time.Time
	end string // the choices of a chunk that ends one by its index, for its length

	inputs dialect.Inputs // of custom tools

	body []byte // whole: the answer, kept back

	ended bool   // streamed: a choice has finished, so this or the next frame may be the last
	held  []byte // payload of the frame kept back
	out   *completion.Stream

	finished []int64 // the provider's frames: choices that have ended, where there are several
	cut      []byte  // what a chunk looks like, where the answer was cut off
}

// Heartbeat appends a comment.
func (e *chatEncoder) Heartbeat(dst []byte) []byte { return append(dst, keepAlive...) }

// Event appends what one event gives.
func (e *chatEncoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	dialect.Restore(ev, func() iter.Seq[string] { return toolNamesIn(e.r.Raw) })
	e.inputs.Restore(&ev)
	switch {
	case !e.r.Stream:
		return dst, e.whole(ev)
	case ev.Cut:
		return e.cutOff(dst, ev)
	case ev.Raw != nil:
		return e.frame(dst, ev), nil
	case ev.Whole != nil:
		return dst, errors.New("whole answer where a stream was asked for")
	case ev.Ping: // the gateway keeps a stream alive itself, and no more often than it
		return dst, nil // must: openai-go 1.12 fails at a comment
	}
	if e.out == nil {
		usage := completion.UsageNone
		if e.r.IncludeUsage {
			usage = completion.UsageChunk
		}
		e.out = completion.NewStream(e.head(), usage)
	}
	return e.out.Deltas(dst, ev.Deltas)
}

func (e *chatEncoder) head() completion.Head {
	return completion.Head{
		ID: completion.NewID(), Created: e.now().Unix(), Model: e.r.Model,
		Custom:    true, // what is told as such was defined as such
		Functions: e.r.Functions,
	}
}

// whole keeps a whole answer back.
func (e *chatEncoder) whole(ev llm.Event) error {
	switch {
	case ev.Raw != nil:
		e.body = ev.Raw
	case ev.Whole != nil:
		h := e.head()
		if ev.Whole.Created > 0 {
			h.Created = ev.Whole.Created
		}
		b, err := completion.AppendWhole([]byte{'{'}, h, ev.Whole)
		if err != nil {
			return err
		}
		e.body = append(b, '}')
		e.ended = true // ours: the usage is still to come
	case len(ev.Deltas) > 0:
		return errors.New("stream where a whole answer was asked for")
	}
	return nil
}

// frame forwards one frame as it came, but for what would make a client fail.
// From the end of the first choice on, the newest frame is kept back until the
// next one, so that the last can be changed and a broken answer does not look
// finished.
func (e *chatEncoder) frame(dst []byte, ev llm.Event) []byte {
	switch {
	case ev.Last, ev.UsageOnly && !e.r.IncludeUsage:
		return dst
	case ev.Data == nil: // a comment, of whatever words
		return e.Heartbeat(dst)
	}
	dst = e.release(dst)
	if ev.Finish != "" && e.r.Choices > 1 {
		e.finish(ev.Data)
	}
	if e.ended = e.ended || ev.Finish != ""; e.ended {
		e.held = append(e.held[:0], withoutNullError(ev.Data)...)
		return dst
	}
	if data := withoutNullError(ev.Data); len(data) != len(ev.Data) || !isPlain(ev.Raw) {
		return appendFrame(dst, data)
	}
	return append(dst, ev.Raw...)
}

// finish notes which choices a frame ends.
func (e *chatEncoder) finish(data []byte) {
	doc, err := jsonx.ParseEvent(data)
	if err != nil {
		return
	}
	for at, c := range doc.Root().Get("choices").Items() {
		if !c.Get("finish_reason").Exists() {
			continue
		}
		index, ok := c.Get("index").Int()
		if !ok {
			index = int64(at)
		}
		e.finished = append(e.finished, index)
	}
}

// cutOff ends every choice that has not ended, in chunks that are made like the
// one that is not told.
func (e *chatEncoder) cutOff(dst []byte, ev llm.Event) ([]byte, error) {
	if e.out != nil {
		return e.out.Cut(dst), nil
	}
	if !jsonx.IsObject(ev.Data) {
		return dst, errors.New("answer is cut off where no chunk is")
	}
	e.cut = bytes.Clone(withoutNullError(ev.Data))
	for i := range int64(max(e.r.Choices, 1)) {
		if slices.Contains(e.finished, i) {
			continue
		}
		dst = e.release(dst)
		end := fmt.Appendf(nil, e.end, i)
		e.held = append(e.held, e.chunk(end, nil)...)
	}
	return dst, nil
}

// chunk is a chunk of an answer that was cut off. usage nil: none.
func (e *chatEncoder) chunk(choices, usage []byte) []byte {
	if usage == nil && e.r.IncludeUsage {
		usage = []byte("null")
	}
	return jsonx.Splice(e.cut, []llm.Edit{{Name: "choices", Value: choices}, {Name: "usage", Value: usage}})
}

// isPlain reports whether a frame is one data line and a blank one: no id:,
// retry: or event: line, on which some clients fail.
func isPlain(raw []byte) bool {
	i := bytes.IndexByte(raw, '\n')
	if i < 0 || !bytes.HasPrefix(raw, []byte("data:")) {
		return false
	}
	rest := raw[i+1:]
	return len(rest) == 1 && rest[0] == '\n' || len(rest) == 2 && rest[0] == '\r' && rest[1] == '\n'
}

// appendFrame appends a frame of one or more data lines.
func appendFrame(dst, data []byte) []byte {
	for {
		line, rest, more := bytes.Cut(data, []byte{'\n'})
		dst = append(dst, "data: "...)
		dst = append(dst, line...)
		dst = append(dst, '\n')
		if !more {
			return append(dst, '\n')
		}
		data = rest
	}
}

// withoutNullError removes "error": null, on which the official Go client ends
// the stream.
func withoutNullError(data []byte) []byte {
	if !bytes.Contains(data, []byte(`"error"`)) {
		return data
	}
	raw, err := jsonx.Scan(data)
	if err != nil || string(raw.Value("error")) != "null" {
		return data
	}
	return raw.Splice(llm.Edit{Name: "error"})
}

// release appends the frame kept back.
func (e *chatEncoder) release(dst []byte) []byte {
	if len(e.held) == 0 {
		return dst
	}
	dst = appendFrame(dst, e.held)
	e.held = e.held[:0]
	return dst
}

// Finish appends the end of the answer.
func (e *chatEncoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if !e.r.Stream {
		return e.finishWhole(dst, f)
	}
	switch {
	case e.out != nil:
		var err error
		if dst, err = e.out.End(dst, f.Usage, f.Extras); err != nil {
			return dst, err
		}
	case e.cut != nil && e.r.IncludeUsage:
		dst = e.release(dst)
		dst = appendFrame(dst, jsonx.Splice(e.chunk([]byte("[]"), completion.AppendUsage(nil, f.Usage)), f.Extras))
	case len(e.held) > 0:
		dst = appendFrame(dst, jsonx.Splice(e.held, f.Extras))
	case len(f.Extras) > 0:
		dst = appendFrame(dst, jsonx.Splice([]byte(`{"choices":[]}`), f.Extras))
	}
	return append(dst, done...), nil
}

func (e *chatEncoder) finishWhole(dst []byte, f wire.Final) ([]byte, error) {
	if len(e.body) == 0 {
		return dst, errors.New("no answer")
	}
	edits := f.Extras
	if e.ended {
		edits = append([]llm.Edit{{Name: "usage", Value: completion.AppendUsage(nil, f.Usage)}}, edits...)
		if f.Model != "" && f.Model != e.r.Model {
			edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, f.Model)})
		}
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.body, edits)), nil
}
