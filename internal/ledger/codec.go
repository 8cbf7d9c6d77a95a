package ledger

import (
	"encoding/binary"
	"errors"
	"time"
)

var errMalformed = errors.New("malformed")

// writer packs values into bytes.
type writer struct{ b []byte }

func (w *writer) int(n int64)         { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) string(s string)     { w.int(int64(len(s))); w.b = append(w.b, s...) }
func (w *writer) dur(d time.Duration) { w.int(int64(d)) }
func (w *writer) strings(list []string) {
	w.int(int64(len(list)))
	for _, s := range list {
		w.string(s)
	}
}

func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

// time keeps nanoseconds; the zero time is 0.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.int(0)
		return
	}
	w.int(t.UnixNano())
}

func (w *writer) tokens(t *Tokens) {
	for _, n := range [...]int64{t.Input, t.CachedInput, t.CacheWrite, t.CacheWrite1h, t.Output, t.Reasoning} {
		w.int(n)
	}
	w.bool(t.Estimated)
}

// reader unpacks what writer packed. After an error it returns zero values.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) string() string { return r.sameString("") }

// sameString reads a string, and returns was if it is the same.
func (r *reader) sameString(was string) string {
	n := r.int()
	if n < 0 || n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	b := r.b[:n]
	r.b = r.b[n:]
	if string(b) == was {
		return was
	}
	return string(b)
}

// bytes fills all of b.
func (r *reader) bytes(b []byte) {
	if len(r.b) < len(b) {
		r.bad, r.b = true, nil
		return
	}
	r.b = r.b[copy(b, r.b):]
}

// count reads the length of a list whose items take at least one byte each.
func (r *reader) count() int {
	n := r.int()
	if n < 0 || n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) strings() []string { return r.sameStrings(nil) }

// sameStrings reads strings, and returns was if they are the same. It does not
// change those.
func (r *reader) sameStrings(was []string) []string {
	n := r.count()
	list := was[:0:0]
	same := n == len(was)
	for i := range n {
		if !same {
			list = append(list, r.string())
		} else if s := r.sameString(was[i]); s != was[i] {
			list, same = append(append(list, was[:i]...), s), false
		}
	}
	if same {
		return was
	}
	if n == 0 {
		return nil
	}
	return list
}

func (r *reader) bool() bool         { return r.byte() != 0 }
func (r *reader) dur() time.Duration { return time.Duration(r.int()) }

func (r *reader) time() time.Time {
	if n := r.int(); n != 0 {
		return time.Unix(0, n).UTC()
	}
	return time.Time{}
}

func (r *reader) tokens() Tokens {
	return Tokens{r.int(), r.int(), r.int(), r.int(), r.int(), r.int(), r.bool()}
}

func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return errMalformed
	}
	return nil
}
