package wire

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/obs"
)

// watched is a response that notes, of each write, whether the caller's place
// had been given back by then.
type watched struct {
	nobody
	f      *fake
	freed  []bool
	status int
}

func (w *watched) WriteHeader(status int) { w.status = status }

func (w *watched) Write(b []byte) (int, error) {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.freed = append(w.freed, w.f.freed > 0)
	return len(b), nil
}

// The last bytes leave when the caller's place is free, and not before: the next
// request may follow them at once. What goes before them leaves while it is
// taken.
func TestThePlaceIsFreeBeforeTheLastBytesLeave(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	ok := func(events ...any) func(context.Context) (*fakeCall, error) {
		return func(ctx context.Context) (*fakeCall, error) { return &fakeCall{ctx: ctx, steps: events}, nil }
	}
	for _, tt := range []struct {
		name, method, path, body string
		open                     func(context.Context) (*fakeCall, error)
		kept                     bool
		status                   int
		before                   int // writes while the place is taken
	}{
		{"whole", "POST", "/v1/chat/completions", `{}`, ok(last(`{}`)), false, 200, 0},
		{"stream", "POST", "/v1/chat/completions", `{"stream":true}`, ok(event("data: 1\n\n"), event("data: 2\n\n"), last("data: [DONE]\n\n")), false, 200, 2},
		{"broken stream", "POST", "/v1/chat/completions", `{"stream":true}`, ok(event("data: 1\n\n"), fault.New(fault.StreamInterrupted, "")), false, 200, 1},
		{"refused", "POST", "/v1/chat/completions", `{}`, func(context.Context) (*fakeCall, error) { return nil, fault.New(fault.BalanceInsufficient, "") }, false, 402, 0},
		{"replayed", "POST", "/v1/chat/completions", `{}`, nil, true, 200, 0},
		{"models", "GET", "/v1/models", ``, nil, false, 200, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{open: tt.open}
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			if tt.kept {
				f.keeps(&Kept{Status: 200, Body: []byte(`{}`), Whole: true})
				r.Header.Set(idempotencyHeader, "k")
			}
			s := NewServer(Options{
				Gateway: f, Dialects: map[string]Dialect{"openai.chat": plain{}}, Listers: map[string]ModelLister{"openai.models": plain{}}, Done: func(*obs.Event) {}, BodyTimeout: -1,
			}, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}}))
			w := &watched{nobody: nobody{make(http.Header)}, f: f}
			s.ServeHTTP(w, r)
			if w.status != tt.status || len(w.freed) <= tt.before {
				t.Fatalf("status %d in %d writes", w.status, len(w.freed))
			}
			for i, free := range w.freed {
				if free != (i >= tt.before) {
					t.Errorf("write %d of %d leaves with the place free: %v", i+1, len(w.freed), free)
				}
			}
			if f.left != 1 {
				t.Errorf("left %d times", f.left)
			}
		})
	}
}

// keeps lets every idempotency key stand for k.
func (f *fake) keeps(k *Kept) {
	f.claim = func(string, [32]byte, time.Duration) (*Kept, error) { return k, nil }
}
