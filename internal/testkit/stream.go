package testkit

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/pontage/pontage/internal/llm"
)

// Drain reads a stream to its end and closes it. The events hold copies of what
// they refer to. A clean end is no error; an end that is another one when it is
// asked for again is.
func Drain(s llm.Stream) (out []llm.Event, err error) {
	defer s.Close()
	for {
		ev, err := s.Next()
		if err != nil {
			if _, again := s.Next(); again != err {
				return out, fmt.Errorf("after %v comes %v", err, again)
			}
			if err == io.EOF {
				err = nil
			}
			return out, err
		}
		ev.Raw, ev.Data, ev.Deltas = bytes.Clone(ev.Raw), bytes.Clone(ev.Data), slices.Clone(ev.Deltas)
		if ev.Usage != nil {
			u := *ev.Usage
			ev.Usage = &u
		}
		if ev.Calls != nil {
			c := *ev.Calls
			ev.Calls = &c
		}
		out = append(out, ev)
	}
}

// Used returns the usage that an event tells, or none.
func Used(ev llm.Event) llm.Usage {
	if ev.Usage == nil {
		return llm.Usage{}
	}
	return *ev.Usage
}

// Ran returns how often tools ran at the provider, as the last of the events that tells
// it says.
func Ran(evs []llm.Event) (c llm.Calls) {
	for _, ev := range evs {
		if ev.Calls != nil {
			c = *ev.Calls
		}
	}
	return c
}

// Replay is an upstream that answers with the recording that X-Request-Id names.
type Replay map[string]*Fixture

// ServeHTTP sends the recording as it came.
func (r Replay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f := r[req.Header.Get("X-Request-Id")]
	if f == nil {
		http.Error(w, "there is no such recording", http.StatusTeapot)
		return
	}
	for k, v := range f.Response.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(f.Response.Status)
	_, _ = w.Write(f.Response.Body())
}
