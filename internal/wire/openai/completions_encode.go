package openai

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/completion"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// endOfText is what ends a choice of a completion that was cut off, by its index.
const endOfText = `[{"text":"","index":%d,"logprobs":null,"finish_reason":"length"}]`

// maxTexts bounds how many choices a provider can make us remember.
const maxTexts = 128

// textEncoder writes a completion. The bytes of a provider who speaks the dialect
// pass; an answer to a conversation becomes the text that was said in it, refusals
// too, without reasoning, for which there is no place.
type textEncoder struct {
	r   *llm.Request
	now func() time.Time
	own chatEncoder

	head     []byte // of every chunk, and of the whole answer, brace and all
	body     []byte // a whole answer, kept back, without its last brace
	finished []bool // the choices of a stream, whether they have ended
	held     []byte // payload of the chunk kept back
}

// Heartbeat appends a comment.
func (e *textEncoder) Heartbeat(dst []byte) []byte { return e.own.Heartbeat(dst) }

// Event appends what one event gives.
func (e *textEncoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	switch {
	case ev.Cut && e.head != nil:
		return e.cutOff(dst), nil
	case ev.Raw != nil, ev.Cut:
		return e.own.Event(dst, ev)
	case ev.Whole != nil && e.r.Stream:
		return dst, errors.New("whole answer where a stream was asked for")
	case len(ev.Deltas) > 0 && !e.r.Stream:
		return dst, errors.New("stream where a whole answer was asked for")
	case ev.Whole != nil:
		return dst, e.whole(ev.Whole)
	case ev.Ping:
		return dst, nil // as in a chat
	}
	return e.deltas(dst, ev.Deltas)
}

// begin makes the members that are the same everywhere.
func (e *textEncoder) begin() {
	if e.head != nil {
		return
	}
	e.head = append(e.head, `{"id":"cmpl-`...)
	e.head = append(e.head, rand.Text()...)
	e.head = append(e.head, `","object":"text_completion","created":`...)
	e.head = strconv.AppendInt(e.head, e.now().Unix(), 10)
	e.head = append(e.head, `,"model":`...)
	e.head = jsonx.AppendString(e.head, e.r.Model)
}

func appendText(dst []byte, index int, said, reason string) []byte {
	dst = append(dst, `{"text":`...)
	dst = jsonx.AppendString(dst, said)
	dst = append(dst, `,"index":`...)
	dst = strconv.AppendInt(dst, int64(index), 10)
	dst = append(dst, `,"logprobs":null,"finish_reason":`...)
	if reason == "" {
		return append(dst, `null}`...)
	}
	return append(jsonx.AppendString(dst, reason), '}')
}

// whole keeps a whole answer back.
func (e *textEncoder) whole(a *llm.Answer) error {
	e.begin()
	e.body = append(append(e.body[:0], e.head...), `,"choices":[`...)
	for i := range a.Choices {
		c := &a.Choices[i]
		reason, err := completion.FinishReason(c.Finish, false)
		if err != nil {
			return err
		}
		var said []byte
		for j := range c.Parts {
			switch p := &c.Parts[j]; p.Kind {
			case llm.PartText, llm.PartRefusal:
				said = append(said, p.Text...)
			case llm.PartReasoning, llm.PartRedacted:
			default:
				return fmt.Errorf("part of kind %d has no place in a text", p.Kind)
			}
		}
		if i > 0 {
			e.body = append(e.body, ',')
		}
		e.body = appendText(e.body, i, string(said), reason)
	}
	e.body = append(e.body, ']')
	return nil
}

// deltas appends chunks.
func (e *textEncoder) deltas(dst []byte, ds []llm.Delta) ([]byte, error) {
	for i := range ds {
		d := &ds[i]
		if d.Choice < 0 || d.Choice >= maxTexts {
			return dst, errors.New("answer has too many choices")
		}
		switch d.Kind {
		case llm.DeltaText, llm.DeltaRefusal:
			e.meet(d.Choice)
			dst = append(e.release(dst), "data: "...)
			dst = append(e.payload(dst, d.Choice, d.Text, ""), "\n\n"...)
		case llm.DeltaFinish:
			reason, err := completion.FinishReason(d.Finish, false)
			if err != nil {
				return dst, err
			}
			dst = e.finish(dst, d.Choice, reason)
		case llm.DeltaToolCall, llm.DeltaToolArgs:
			return dst, errors.New("a tool call has no place in a text")
		}
	}
	return dst, nil
}

// meet notes a choice.
func (e *textEncoder) meet(index int) {
	e.begin()
	for len(e.finished) <= index {
		e.finished = append(e.finished, false)
	}
}

// finish keeps back the chunk that ends a choice: what a contract adds belongs
// into the last one, and an answer that breaks off must not look finished.
func (e *textEncoder) finish(dst []byte, index int, reason string) []byte {
	e.meet(index)
	e.finished[index] = true
	dst = e.release(dst)
	e.held = e.payload(e.held[:0], index, "", reason)
	return dst
}

// cutOff ends every choice that has not ended.
func (e *textEncoder) cutOff(dst []byte) []byte {
	for i, finished := range e.finished {
		if !finished {
			dst = e.finish(dst, i, "length")
		}
	}
	return dst
}

func (e *textEncoder) payload(dst []byte, index int, said, reason string) []byte {
	dst = append(append(dst, e.head...), `,"choices":[`...)
	dst = append(appendText(dst, index, said, reason), ']')
	if e.r.IncludeUsage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, '}')
}

func (e *textEncoder) release(dst []byte) []byte {
	if len(e.held) > 0 {
		dst = appendFrame(dst, e.held)
		e.held = e.held[:0]
	}
	return dst
}

// Finish appends the end of the answer.
func (e *textEncoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	switch {
	case e.head == nil:
		return e.own.Finish(dst, f)
	case e.r.Stream:
		return e.finishStream(dst, f)
	case len(e.body) == 0:
		return dst, errors.New("no answer")
	}
	edits := append([]llm.Edit{{Name: "usage", Value: completion.AppendUsage(nil, f.Usage)}}, f.Extras...)
	if f.Model != "" && f.Model != e.r.Model {
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, f.Model)})
	}
	return wire.AppendAnswer(dst, jsonx.Splice(append(e.body, '}'), edits)), nil
}

func (e *textEncoder) finishStream(dst []byte, f wire.Final) ([]byte, error) {
	if slices.Contains(e.finished, false) {
		return dst, errors.New("answer without a finish")
	}
	if e.r.IncludeUsage {
		dst = e.release(dst)
		e.held = append(append(e.held, e.head...), `,"choices":[],"usage":`...)
		e.held = append(completion.AppendUsage(e.held, f.Usage), '}')
	}
	e.held = jsonx.Splice(e.held, f.Extras)
	return append(e.release(dst), done...), nil
}
