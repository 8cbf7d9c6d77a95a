package obs

import (
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxPending bounds the log that waits for a slow writer. Past it lines are
// dropped and counted: a full disk or a stopped pipe must not stop requests,
// and each request has its receipt besides.
const maxPending = 4 << 20

// maxHidden bounds the secrets that are looked for by value.
const maxHidden = 1024

// minHidden is the length below which a secret is not looked for.
const minHidden = 8

// sink writes lines to a writer one Write at a time. Whoever comes while nobody
// writes, writes its own line. Lines that come meanwhile are left to a goroutine
// that lasts as long as there are any, so a slow writer makes the writes larger
// and not the requests slower, and nobody is kept for the lines of others.
type sink struct {
	w       io.Writer
	dropped atomic.Uint64 // lines
	hidden  atomic.Pointer[hidden]

	mu      sync.Mutex
	idle    *sync.Cond // writing became false
	pending []byte
	spare   []byte // the other buffer, while nobody writes from it
	writing bool
}

// hidden are the secrets named to Hide.
type hidden struct {
	secrets  []string
	replacer *strings.Replacer
}

func newSink(w io.Writer) *sink {
	s := &sink{w: w}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// Write takes one whole line. It never fails: what the writer will not take is
// counted.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending)+len(line) > maxPending {
		s.dropped.Add(1)
		return len(line), nil
	}
	s.pending = append(s.pending, line...)
	if s.writing {
		return len(line), nil
	}
	s.writing = true
	s.one()
	if len(s.pending) > 0 {
		go s.rest()
		return len(line), nil
	}
	s.writing = false
	s.idle.Broadcast()
	return len(line), nil
}

// rest writes until nothing is pending.
func (s *sink) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) > 0 {
		s.one()
	}
	s.writing = false
	s.idle.Broadcast()
}

// one makes one Write of all that is pending. s.mu is held, but not meanwhile.
func (s *sink) one() {
	batch := s.pending
	s.pending = s.spare[:0]
	s.mu.Unlock()
	if _, err := s.w.Write(batch); err != nil {
		s.dropped.Add(1)
	}
	s.mu.Lock()
	s.spare = batch
	if cap(batch) > maxPooledLine {
		s.spare = nil
	}
}

func (s *sink) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.idle.Wait()
	}
}

func (s *sink) hide(secret string) {
	if len(secret) < minHidden {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	if h := s.hidden.Load(); h != nil {
		all = h.secrets
	}
	if len(all) >= maxHidden || slices.Contains(all, secret) {
		return
	}
	all = append(slices.Clone(all), secret)
	pairs := make([]string, 0, 2*len(all))
	for _, v := range all {
		pairs = append(pairs, v, redacted)
	}
	s.hidden.Store(&hidden{secrets: all, replacer: strings.NewReplacer(pairs...)})
}

// clean replaces the hidden secrets and whatever looks like one.
func (s *sink) clean(text string) string {
	if h := s.hidden.Load(); h != nil {
		text = h.replacer.Replace(text)
	}
	return Redact(text)
}
