package response

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Bounds of the events of one response.
const (
	MaxEvents = 16 << 20 // bytes, packed as they are kept; what comes beyond is not told, but for the end
	MaxStream = 1 << 20  // more events than that no answer has: an answer that is begun anew counts from a multiple of it
	chunkSize = 64 << 10 // bytes that are packed together
)

// Chunk is some of the events of a response: server-sent events, each with an
// empty line behind it and nowhere else, packed together.
type Chunk struct {
	First, Last int64 // numbers of its events, which follow one another
	Packed      []byte
}

// Stream is what a response says, event by event, while it is answered. One
// goroutine adds to it, and any number read it, each from where it likes.
type Stream struct {
	mu     sync.Mutex
	packed []Chunk // guarded by mu, as all below
	size   int     // of packed
	tail   [][]byte
	length int   // of tail
	next   int64 // number of the next event
	end    error // io.EOF: all is told; else why it ends before
	more   chan struct{}
}

// NewStream returns a stream whose first event will have that number.
func NewStream(first int64) *Stream { return &Stream{next: first, more: make(chan struct{})} }

// Next is the number that the next event will have.
func (s *Stream) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Add adds an event. It reports false, and has not added it, where there are more
// than MaxEvents bytes already.
func (s *Stream) Add(event []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size+s.length > MaxEvents || s.next%MaxStream == MaxStream-maxLast {
		return false
	}
	s.add(event)
	s.wake()
	return true
}

// maxLast is how many of the numbers are kept free for the end of an answer.
const maxLast = 1 << 16

// add adds an event. The caller holds mu.
func (s *Stream) add(event []byte) {
	s.tail = append(s.tail, event)
	s.length += len(event)
	s.next++
	if s.length >= chunkSize {
		c := pack(s.next, s.tail)
		s.packed, s.size = append(s.packed, c), s.size+len(c.Packed)
		s.tail, s.length = nil, 0
	}
}

// wake tells readers that something has changed. The caller holds mu.
func (s *Stream) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

// End adds the last events, for which there is always room, and ends the stream.
// One that has ended stays as it is.
func (s *Stream) End(last [][]byte) { s.finish(last, io.EOF) }

// Break ends the stream before all is told, because of err.
func (s *Stream) Break(err error) { s.finish(nil, err) }

func (s *Stream) finish(last [][]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return
	}
	for _, event := range last {
		s.add(event)
	}
	s.end = err
	s.wake()
}

// Read returns all events that there are behind the one with that number, and the
// number of the last of them. Where there are none yet it returns a channel that
// is closed when that may have changed; where there will be none, the error with
// which the stream ended, [io.EOF] if all is told.
func (s *Stream) Read(after int64) (events []byte, last int64, more <-chan struct{}, err error) {
	s.mu.Lock()
	if i, _ := slices.BinarySearchFunc(s.packed, after+1, func(c Chunk, n int64) int { return int(c.Last - n) }); i < len(s.packed) {
		c := s.packed[i]
		s.mu.Unlock() // who adds must not wait for what is unpacked
		events, err = c.After(after)
		return events, c.Last, nil, err
	}
	defer s.mu.Unlock()
	first := s.next - int64(len(s.tail))
	if skip := max(after+1-first, 0); skip < int64(len(s.tail)) {
		return bytes.Join(s.tail[skip:], nil), s.next - 1, nil, nil
	}
	return nil, after, s.more, s.end
}

// Ended reports whether the stream has ended.
func (s *Stream) Ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end != nil
}

// Chunks returns all events, and those in last behind them, as they are kept.
func (s *Stream) Chunks(last [][]byte) []Chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(slices.Clip(s.tail), last...)
	if len(all) == 0 {
		return slices.Clone(s.packed)
	}
	return append(slices.Clip(s.packed), pack(s.next+int64(len(last)), all))
}

var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // cannot be: there is such a level
	}
	return w
}}

// pack packs events; next is the number behind the last.
func pack(next int64, events [][]byte) Chunk {
	var b bytes.Buffer
	w := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	w.Reset(&b)
	for _, event := range events {
		_, _ = w.Write(event) // into memory: cannot fail
	}
	_ = w.Close()
	return Chunk{First: next - int64(len(events)), Last: next - 1, Packed: b.Bytes()}
}

// After returns the events behind the one with that number.
func (c Chunk) After(after int64) ([]byte, error) {
	all, err := io.ReadAll(flate.NewReader(bytes.NewReader(c.Packed)))
	if err != nil {
		return nil, fmt.Errorf("events of a response: %w", err)
	}
	for n := c.First; n <= after; n++ {
		_, rest, ok := bytes.Cut(all, []byte("\n\n"))
		if !ok {
			return nil, fmt.Errorf("events of a response: %d to %d are not all there", c.First, c.Last)
		}
		all = rest
	}
	return all, nil
}
