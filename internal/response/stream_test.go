package response

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

func event(n int64, padding int) []byte {
	return fmt.Appendf(nil, "event: e\ndata: {\"n\":%d,\"x\":%q}\n\n", n, strings.Repeat("x", padding))
}

// rest is all that a stream tells behind an event, to its end.
func rest(t *testing.T, s *Stream, after int64) (string, error) {
	t.Helper()
	var b strings.Builder
	for {
		events, last, more, err := s.Read(after)
		if err != nil {
			return b.String(), err
		}
		if len(events) == 0 {
			<-more
			continue
		}
		b.Write(events)
		after = last
	}
}

// Readers who come at any time, from any event on, are told the same.
func TestAllReadersOfAStreamAreToldTheSame(t *testing.T) {
	t.Parallel()
	const first, all = 7, 4000
	s := NewStream(first)
	var want [all][]byte
	var readers sync.WaitGroup
	read := func(after int64) {
		readers.Go(func() {
			got, err := rest(t, s, after)
			var b strings.Builder
			for n := max(after+1-first, 0); n < all; n++ {
				b.Write(want[n])
			}
			if err != io.EOF || got != b.String() {
				t.Errorf("behind %d: %d bytes of %d, %v", after, len(got), b.Len(), err)
			}
		})
	}
	for n := range want {
		want[n] = event(int64(n)+first, n%300)
	}
	for n := range want[:all-2] {
		if n%97 == 0 {
			read(rand.Int64N(all+20) - 10)
		}
		if s.Next() != int64(n)+first || !s.Add(want[n]) {
			t.Fatalf("event %d is not taken", n)
		}
	}
	chunks := s.Chunks(want[all-2:])
	s.End(want[all-2:])
	for _, after := range []int64{-1, 0, first - 1, first, 1000, first + all - 2, first + all - 1, first + all} {
		read(after)
	}
	readers.Wait()
	if len(chunks) < 3 || chunks[0].First != first || chunks[len(chunks)-1].Last != first+all-1 {
		t.Fatalf("%d chunks, from %d to %d", len(chunks), chunks[0].First, chunks[len(chunks)-1].Last)
	}
	var kept strings.Builder
	for i, c := range chunks {
		if i > 0 && c.First != chunks[i-1].Last+1 {
			t.Errorf("chunk %d begins with %d", i, c.First)
		}
		b, err := c.After(-1)
		if err != nil {
			t.Fatal(err)
		}
		kept.Write(b)
	}
	if told, _ := rest(t, s, -1); kept.String() != told {
		t.Error("what is kept is not what was told")
	}
}

// Who waits is woken by one more event, and by an end without any.
func TestWhoWaitsForAStreamIsWoken(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(*Stream){
		"an event": func(s *Stream) { s.Add(event(0, 1)) },
		"the end":  func(s *Stream) { s.End(nil) },
		"a break":  func(s *Stream) { s.Break(io.ErrUnexpectedEOF) },
	} {
		s := NewStream(0)
		_, _, more, err := s.Read(-1)
		if err != nil {
			t.Fatal(err)
		}
		happens(s)
		select {
		case <-more:
		default:
			t.Errorf("%s wakes nobody", name)
		}
	}
}

func TestAStreamMayBreakOff(t *testing.T) {
	t.Parallel()
	s := NewStream(0)
	s.Add(event(0, 1))
	why := errors.New("why")
	s.Break(why)
	s.End([][]byte{event(1, 1)}) // too late
	if got, err := rest(t, s, -1); got != string(event(0, 1)) || err != why {
		t.Errorf("%q, %v", got, err)
	}
}

// What is too much is not told, but the end always is.
func TestTheEventsOfAStreamHaveABound(t *testing.T) {
	t.Parallel()
	s := NewStream(0)
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte('a' + rand.IntN(26))
	}
	n := int64(0)
	for s.Add(append(append([]byte("data: "), noise...), "\n\n"...)) {
		if n++; n > 2*MaxEvents>>20 {
			t.Fatal("it takes whatever comes")
		}
	}
	if n < MaxEvents>>20 || s.Next() != n {
		t.Errorf("%d were taken, and the next is %d", n, s.Next())
	}
	s.End([][]byte{event(n, 1)})
	if got, err := rest(t, s, n-1); got != string(event(n, 1)) || err != io.EOF {
		t.Errorf("%q, %v", got, err)
	}

	const some = 100
	s = NewStream(2*MaxStream - maxLast - some)
	for n = 0; s.Add([]byte("data: \n\n")) && n <= some; n++ {
	}
	if n != some {
		t.Errorf("%d were taken with numbers of the next attempt ahead", n)
	}
}
