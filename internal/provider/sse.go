package provider

import (
	"bytes"
	"errors"
	"io"
)

// ErrFrameTooLong is returned by [Reader.Next] for an event above the cap.
var ErrFrameTooLong = errors.New("event of the stream is longer than the cap")

// A Reader holds firstBuffer as long as events come one at a time, as they do
// when a model writes them, and fastBuffer once more comes than fits. Longer
// events make it grow.
const (
	firstBuffer = 1 << 10
	fastBuffer  = 4 << 10
)

// Frame is one server-sent event. Its slices are valid until the next call of
// [Reader.Next].
type Frame struct {
	Raw     []byte // the exact bytes, framing and empty lines before it included
	Data    []byte // the data lines, joined by LF
	Name    string // of the event; empty: none was given
	HasData bool   // there was a data line; without one it is a comment, or nothing
	Comment bool   // there was a comment
	Stray   bool   // there are lines that are neither event, data nor comment
	Cut     bool   // the source ended before the empty line that ends the event
}

// Reader splits server-sent events out of a stream: lines end with LF, CRLF or
// CR, a space after the colon is optional, several data lines are one payload,
// a byte order mark at the start is skipped. The frames do not depend on how
// the bytes arrive. It belongs to one goroutine and allocates only to grow.
type Reader struct {
	src io.Reader
	max int   // length of an event
	err error // of src

	buf   []byte
	start int // of what was not returned yet
	end   int
	full  bool // the last read took as much as fitted
	begun bool // the byte order mark was looked for

	joined []byte // payload of several lines
	clean  []byte // see Clean
	name   string // the last event name, to be used again
}

// Next returns the next event or comment. At the end of the source it returns
// io.EOF, after a last event that has no empty line behind it (Cut is set
// then). Any other error is the source's, or [ErrFrameTooLong].
func (r *Reader) Next() (Frame, error) {
	if !r.begun {
		r.skipMark()
	}
	s := scan{r: r}
	for {
		lineEnd, next, ok := s.line()
		if !ok {
			if r.err != nil {
				return s.last()
			}
			if r.end-r.start > r.max {
				return Frame{}, ErrFrameTooLong
			}
			r.fill()
			continue
		}
		line := r.buf[r.start+s.pos : r.start+lineEnd]
		if len(line) > 0 {
			s.field(line)
		}
		s.advance(next)
		if len(line) > 0 || !s.any {
			continue // empty lines before the event are a part of it
		}
		if s.pos > r.max {
			return Frame{}, ErrFrameTooLong
		}
		return s.frame(), nil
	}
}

// Buffered reports whether another event has probably arrived whole already.
func (r *Reader) Buffered() bool {
	rest := r.buf[r.start:r.end]
	return bytes.Contains(rest, []byte("\n\n")) || bytes.Contains(rest, []byte("\n\r\n")) || bytes.Contains(rest, []byte("\r\r"))
}

// Clean returns the bytes of f as a caller may get them: as they came, unless
// the event holds lines that upset clients (id, retry, an event name without
// data) or lacks its end; those are written anew. It returns nil if nothing is
// left. The result is valid until the next call of Next.
func (r *Reader) Clean(f Frame) []byte {
	if len(f.Data) == 0 {
		switch {
		case !f.Comment:
			return nil
		case f.Stray || f.Cut || f.HasData || f.Name != "":
			return append(r.clean[:0], ": keep-alive\n\n"...)
		}
		return f.Raw
	}
	if !f.Stray && !f.Cut {
		return f.Raw
	}
	r.clean = r.clean[:0]
	if f.Name != "" {
		r.clean = append(append(append(r.clean, "event: "...), f.Name...), '\n')
	}
	for line := range bytes.SplitSeq(f.Data, []byte{'\n'}) {
		r.clean = append(append(append(r.clean, "data: "...), line...), '\n')
	}
	r.clean = append(r.clean, '\n')
	return r.clean
}

// Edit returns the bytes of f with patches in data, which is its payload without
// the space around it, and the payload in them. A payload of several lines becomes
// one. Without patches it is f as it may pass. The results are valid until the next
// call of Next.
func (r *Reader) Edit(f Frame, data []byte, patches []Patch) (raw, payload []byte) {
	if len(patches) == 0 {
		return r.Clean(f), f.Data
	}
	b := r.clean[:0]
	if f.Name != "" {
		b = append(append(append(b, "event: "...), f.Name...), '\n')
	}
	b = append(b, "data: "...)
	from := len(b)
	b = appendPatched(b, data, patches)
	to := len(b)
	for i := from; i < to; i++ {
		if b[i] == '\n' { // between members
			b[i] = ' '
		}
	}
	r.clean = append(b, "\n\n"...)
	return r.clean, r.clean[from:to]
}

// skipMark drops a byte order mark.
func (r *Reader) skipMark() {
	const mark = "\xef\xbb\xbf"
	for r.err == nil && r.end-r.start < len(mark) && string(r.buf[r.start:r.end]) == mark[:r.end-r.start] {
		r.fill()
	}
	if bytes.HasPrefix(r.buf[r.start:r.end], []byte(mark)) {
		r.start += len(mark)
	}
	r.begun = true
}

// fill reads once from the source, after making room: it moves what was not
// returned yet to the front of the buffer, or grows.
func (r *Reader) fill() {
	size := len(r.buf)
	switch {
	case size == 0:
		size = firstBuffer
	case r.full && size < fastBuffer:
		size = fastBuffer
	case r.end == size && r.start < r.end && r.start <= size/2:
		size *= 2
	}
	switch {
	case size > len(r.buf):
		grown := make([]byte, size)
		r.end = copy(grown, r.buf[r.start:r.end])
		r.start, r.buf = 0, grown
	case r.end == size, r.start == r.end:
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.full, r.err = r.end == len(r.buf), err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// scan is the work on one event. Its places count from the event's start,
// since the buffer may move.
type scan struct {
	r       *Reader
	pos     int // of the line that is looked at
	seen    int // no LF before here
	seenCR  int // no CR before here
	any     bool
	lone    bool // a line of this event ended with a CR alone
	lines   int  // data lines
	from    int  // of the payload, if it is one line
	to      int
	name    string
	comment bool
	stray   bool
}

// line finds the end of the line at pos and the start of the next one.
func (s *scan) line() (end, next int, ok bool) {
	r := s.r
	b := r.buf[r.start:r.end]
	lf := -1
	if s.seen < len(b) {
		if lf = bytes.IndexByte(b[s.seen:], '\n'); lf >= 0 {
			lf += s.seen
		}
	}
	limit := len(b)
	if lf >= 0 {
		limit = lf
	}
	s.seen = limit
	cr := -1
	if s.seenCR < limit {
		cr = bytes.IndexByte(b[s.seenCR:limit], '\r')
	}
	if cr < 0 {
		s.seenCR = limit
		return lf, lf + 1, lf >= 0
	}
	cr += s.seenCR
	s.seenCR = cr
	switch {
	case cr == s.pos && s.lone:
		// A stream that ends lines with CR alone: do not wait for an LF that
		// will not come before the next event.
		return cr, cr + 1, true
	case cr+1 == lf:
		return cr, cr + 2, true
	case cr+1 < len(b) || r.err != nil:
		s.lone = true
		return cr, cr + 1, true
	}
	return 0, 0, false
}

// advance goes to the next line.
func (s *scan) advance(next int) {
	s.pos = next
	s.seen = max(s.seen, next)
	s.seenCR = max(s.seenCR, next)
}

// field takes in the line at pos, which is not empty.
func (s *scan) field(line []byte) {
	s.any = true
	name, value, found := bytes.Cut(line, []byte{':'})
	if found && len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		s.data(value, s.pos+len(line))
	case "event":
		if s.r.name != string(value) {
			s.r.name = string(value)
		}
		s.name = s.r.name
	case "":
		s.comment = true
	default:
		s.stray = true
	}
}

// data adds a data line, whose value ends at end.
func (s *scan) data(value []byte, end int) {
	r := s.r
	switch s.lines {
	case 0:
		s.from, s.to = end-len(value), end
	case 1:
		r.joined = append(r.joined[:0], r.buf[r.start+s.from:r.start+s.to]...)
		fallthrough
	default:
		r.joined = append(append(r.joined, '\n'), value...)
	}
	s.lines++
}

// frame ends the event at pos.
func (s *scan) frame() Frame {
	r := s.r
	f := Frame{
		Raw:     r.buf[r.start : r.start+s.pos],
		Name:    s.name,
		HasData: s.lines > 0,
		Comment: s.comment,
		Stray:   s.stray,
	}
	switch s.lines {
	case 0:
	case 1:
		f.Data = r.buf[r.start+s.from : r.start+s.to]
	default:
		f.Data = r.joined
	}
	r.start += s.pos
	return f
}

// last returns what stands at the end of the source without an end of its own.
func (s *scan) last() (Frame, error) {
	r := s.r
	if r.err != io.EOF {
		return Frame{}, r.err
	}
	if rest := r.buf[r.start+s.pos : r.end]; len(rest) > 0 {
		s.field(rest)
		s.pos += len(rest)
	}
	if !s.any {
		r.start = r.end
		return Frame{}, io.EOF
	}
	if s.pos > r.max {
		return Frame{}, ErrFrameTooLong
	}
	f := s.frame()
	f.Cut = true
	return f, nil
}
