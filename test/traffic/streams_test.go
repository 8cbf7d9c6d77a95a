package traffic

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/testkit"
)

// smallEvents is how many events a recorded stream may have for all of its cuts
// to be tried; of longer ones, some of each provider are taken.
const (
	smallEvents  = 40
	longPerMaker = 2
	cutsOfLong   = 24
)

// brokenStreams cuts recorded streams after every event. Until content has come
// that is a failed attempt, with a status; after it, an error in the stream and
// never a clean end; and after the reason of the end it is an answer. Only the
// last costs anything.
func brokenStreams(t *testing.T, w *world) {
	p := w.purse(t)
	var mu sync.Mutex
	long, cuts := map[string]int{}, 0
	n := w.each(func(f *testkit.Fixture) bool {
		if f.Response.Kind != "sse" || broken(f, read(f, f.Response.Body())) {
			return false
		}
		if len(frames(f.Response.Body())) <= smallEvents {
			return true
		}
		long[f.Provider]++
		return long[f.Provider] <= longPerMaker
	}, func(f *testkit.Fixture) {
		k := cutEverywhere(t, p, f)
		mu.Lock()
		cuts += k
		mu.Unlock()
	})
	if n < 150 || cuts < 2500 {
		t.Errorf("only %d streams were cut, %d times", n, cuts)
	}
	t.Logf("%d streams were cut %d times", n, cuts)
	p.settle(t)
}

// cutEverywhere cuts one stream after each of its events, and after none.
func cutEverywhere(t *testing.T, p *purse, f *testkit.Fixture) int {
	body := f.Response.Body()
	all := frames(body)
	bounds := []int{0}
	for _, e := range all {
		bounds = append(bounds, bounds[len(bounds)-1]+len(e.raw))
	}
	req := request(f, "cut/"+f.ID)
	step := 1
	if len(bounds) > smallEvents+1 {
		step = len(bounds)/cutsOfLong + 1
	}
	n := 0
	for i := 0; i < len(bounds); i += step {
		n++
		part := body[:bounds[i]]
		p.w.up.cut(f.ID, bounds[i])
		oneCut(t, p, f, i, part, p.post(t, apis[f.API], req))
	}
	return n
}

func oneCut(t *testing.T, p *purse, f *testkit.Fixture, at int, part []byte, r reply) {
	a := read(f, part)
	a.ended = a.ended || ended(f, a)
	switch {
	case a.ended:
		if r.Status != 200 || r.Err != nil || !cleanEnd(f, r.Body) {
			t.Errorf("%s, cut after %d events and its end: %d %v %s", f.ID, at, r.Status, r.Err, tail(r.Body))
		}
		p.pay(r.charged(t))
		if want := billed(a); want != nil && want.cost().Cmp(r.charged(t)) != 0 {
			t.Errorf("%s, cut after %d events and its end: charged %v, want %v", f.ID, at, r.charged(t), want.cost())
		}
	case !a.some():
		want := 502
		if hasBody(f) && bytes.Contains(valueOf(request(f, "m"), "provider"), []byte("false")) {
			want = 503 // the caller allows no other: no_fallback_available
		}
		if r.Status != want || r.charged(t).Sign() != 0 {
			t.Errorf("%s, cut after %d events, before content: %d %s", f.ID, at, r.Status, tail(r.Body))
		}
	default:
		if r.Status != 200 {
			t.Errorf("%s, cut after %d events: %d %s", f.ID, at, r.Status, tail(r.Body))
			return
		}
		if len(a.Choices) > 1 {
			return // one of them may have ended, and said so
		}
		endsInError(t, f.ID, f.API, r.Body)
		if c := r.Trailer.Get("X-Charge-Usd"); c != "" && c != "0.00" {
			t.Errorf("%s, cut after %d events: charged %s", f.ID, at, c)
		}
		// What was said until then has arrived.
		heard := read(f, r.Body)
		if d := cmp.Diff(a.choice(0).String(), heard.choice(0).String()); d != "" {
			t.Errorf("%s, cut after %d events (-said +heard):\n%.1000s", f.ID, at, d)
		}
	}
}

// ended reports whether an answer has given the reason of its end, for every
// choice.
func ended(f *testkit.Fixture, a answer) bool {
	for _, s := range a.Choices {
		if s.Finish == "" {
			return false
		}
	}
	return len(a.Choices) > 0 && !silent(a)
}

// silent reports whether an answer ended without a word, and without a reason
// for that.
func silent(a answer) bool {
	for _, s := range a.Choices {
		switch s.Finish {
		case "length", "max_tokens", "stop_sequence", "content_filter", "refusal":
			return false
		}
	}
	return !a.some()
}

// billed is what an answer that came to its end must cost; nil: it was not
// counted, so only the gateway knows.
func billed(a answer) *tokens {
	if a.blocked() {
		return nil
	}
	return a.Usage
}

func cleanEnd(f *testkit.Fixture, body []byte) bool {
	if strings.HasPrefix(f.API, "anthropic.") {
		return bytes.HasSuffix(body, []byte("\n\n")) && bytes.Contains(body, []byte(`"message_stop"`))
	}
	return bytes.HasSuffix(body, []byte("data: [DONE]\n\n"))
}

func tail(b []byte) []byte { return b[max(0, len(b)-400):] }

// drips sends recorded streams byte by byte: the caller's bytes are the same.
func drips(t *testing.T, w *world) {
	p := w.purse(t)
	perMaker := map[string]int{}
	n := w.each(func(f *testkit.Fixture) bool {
		if f.Response.Kind != "sse" || broken(f, read(f, f.Response.Body())) || len(f.Response.Body()) > 8<<10 {
			return false
		}
		perMaker[f.Provider]++
		return perMaker[f.Provider] <= 2
	}, func(f *testkit.Fixture) {
		body := request(f, "drip/"+f.ID)
		r := p.post(t, apis[f.API], body)
		if r.Status != 200 || r.Err != nil {
			t.Errorf("%s: %d %v %s", f.ID, r.Status, r.Err, r.Body)
			return
		}
		sameBytes(t, f, expected(f, "", asksUsage(body)), r.Body, body)
		bill(t, p, f, read(f, f.Response.Body()), r, body)
	})
	if n < 20 {
		t.Errorf("only %d streams dripped", n)
	}
	p.settle(t)
}
