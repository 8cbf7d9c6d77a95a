package sim

import (
	"bytes"
	"io"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/llm"
)

// eventKind says what an event of a stream is to a fault that waits for its
// moment.
type eventKind uint8

const (
	eventOther   eventKind = iota // a beginning, a ping, the end of a part
	eventContent                  // something a reader would miss
	eventEnding                   // no content comes any more
	eventLast                     // nothing comes any more; the event may be empty
)

// events makes the events of a stream one after another.
type events interface {
	// next appends the next event, with its framing, to dst.
	next(dst []byte) ([]byte, eventKind)
}

func (a *answer) events() events {
	switch a.family {
	case familyAnthropic:
		return &anthropicStream{a: a}
	case familyResponses:
		return newResponsesStream(a)
	case familyTexts:
		return &textStream{a: a}
	}
	return newOpenAIStream(a)
}

func (a *answer) whole(dst []byte) []byte {
	switch a.family {
	case familyAnthropic:
		return appendAnthropic(dst, a)
	case familyResponses:
		return appendResponses(dst, a)
	case familyTexts:
		return appendTexts(dst, a)
	}
	return appendOpenAI(dst, a)
}

// filler returns the two ends of an event, or of a whole answer, between which
// any number of letters makes a valid one.
func (a *answer) filler(stream bool) (head, tail string) {
	b := *a
	b.choices = []choice{{parts: []part{{text: "\x00"}}, finish: llm.FinishStop}}
	var made []byte
	if stream {
		ev := b.events()
		for kind := eventOther; kind != eventContent && kind != eventLast; {
			made, kind = ev.next(made[:0])
		}
	} else {
		made = b.whole(nil)
	}
	head, tail, _ = strings.Cut(string(made), `\u0000`)
	return head, tail
}

// source is where a body comes from. It belongs to the body's reader.
type source interface {
	// pause is how long to wait before next.
	pause() time.Duration
	// next appends what comes next. With an error nothing comes after it:
	// io.EOF for a clean end, errHang for none at all.
	next(dst []byte) ([]byte, error)
}

// strike is a fault in the middle of an answer.
type strike struct {
	kind  faultKind // faultNone: no fault
	after int       // events with content before it
	frame []byte    // of faultErrorInStream, faultBadJSON, faultPings
	fill  filling   // of faultHugeLine
}

// filling is the rest of a line that is too long to be held.
type filling struct {
	head, tail string
	left       int64
}

// fillChunk is how much of a filling is made at a time.
const fillChunk = 32 << 10

func (f *filling) next(dst []byte) []byte {
	if f.head != "" {
		dst = append(dst, f.head...)
		f.head = ""
		return dst
	}
	n := min(f.left, fillChunk)
	for range n {
		dst = append(dst, 'a')
	}
	if f.left -= n; f.left == 0 {
		dst = append(dst, f.tail...)
	}
	return dst
}

// streamSource paces events, and strikes when the time has come.
type streamSource struct {
	ev      events
	per     time.Duration
	strike  strike
	content int // events with content that have gone out
	begun   bool
	pinging bool
	filling *filling
}

func (s *streamSource) pause() time.Duration {
	if !s.begun || s.filling != nil {
		return 0
	}
	if s.pinging && s.per == 0 {
		return pingMS * time.Millisecond
	}
	return s.per
}

func (s *streamSource) next(dst []byte) ([]byte, error) {
	s.begun = true
	if s.filling != nil {
		dst = s.filling.next(dst)
		if s.filling.left == 0 {
			s.filling = nil
		}
		return dst, nil
	}
	if s.pinging {
		return append(dst, s.strike.frame...), nil
	}
	start := len(dst)
	dst, kind := s.ev.next(dst)
	if s.strike.kind != faultNone && (kind == eventContent && s.content >= s.strike.after || kind >= eventEnding) {
		return s.hit(dst[:start], kind)
	}
	if kind == eventContent {
		s.content++
	}
	if kind == eventLast {
		return dst, io.EOF
	}
	return dst, nil
}

// hit lets the fault strike in the place of an event of the given kind.
func (s *streamSource) hit(dst []byte, kind eventKind) ([]byte, error) {
	k := s.strike.kind
	s.strike.kind = faultNone
	switch k {
	case faultCut:
		return dst, io.ErrUnexpectedEOF
	case faultHangStream:
		return dst, errHang
	case faultErrorInStream:
		return append(dst, s.strike.frame...), io.EOF
	case faultPings:
		s.pinging = true
		return append(dst, s.strike.frame...), nil
	case faultBadJSON:
		dst = append(dst, s.strike.frame...)
	case faultHugeLine:
		s.filling = &s.strike.fill
		return s.filling.next(dst), nil
	default:
		return dst, io.EOF
	}
	if kind == eventLast {
		return dst, io.EOF
	}
	return dst, nil
}

// endSource is how a whole body ends once its bytes are out.
type endSource struct {
	err     error // nil: a blank line every so often, for ever
	filling *filling
	per     time.Duration
}

func (s *endSource) pause() time.Duration {
	if s.filling != nil || s.err != nil {
		return 0
	}
	if s.per == 0 {
		return pingMS * time.Millisecond
	}
	return s.per
}

func (s *endSource) next(dst []byte) ([]byte, error) {
	if s.filling != nil {
		dst = s.filling.next(dst)
		if s.filling.left > 0 {
			return dst, nil
		}
		return dst, io.EOF
	}
	if s.err == nil {
		return append(dst, '\n'), nil
	}
	return dst, s.err
}

// recordedEvents are the frames of a recorded stream, each as if it had
// content.
type recordedEvents struct{ rest []byte }

func (r *recordedEvents) next(dst []byte) ([]byte, eventKind) {
	n := frameEnd(r.rest)
	dst = append(dst, r.rest[:n]...)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		return dst, eventLast
	}
	return dst, eventContent
}

// frameEnd returns the length of the first frame of b, with the blank line that
// ends it.
func frameEnd(b []byte) int {
	end := len(b)
	for _, blank := range [...]string{"\n\n", "\r\n\r\n", "\r\r"} {
		if i := bytes.Index(b[:end], []byte(blank)); i >= 0 {
			end = i + len(blank)
		}
	}
	return end
}
