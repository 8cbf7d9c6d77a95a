package wire

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/testkit"
)

// nobody is a response that goes nowhere.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}
func (n *nobody) Flush()                      {}

// Ceilings of what the edge itself costs a request, and a frame of a stream.
// Decoding, encoding and everything behind the gate have their own.
func TestTheEdgeAllocatesLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(body string, events ...llm.Event) float64 {
		steps := make([]any, len(events))
		for i := range events {
			steps[i] = events[i]
		}
		f := &fake{open: func(ctx context.Context) (*fakeCall, error) { return &fakeCall{ctx: ctx, steps: steps}, nil }}
		s := NewServer(Options{
			Gateway: f, Dialects: map[string]Dialect{"openai.chat": plain{}}, Done: func(*obs.Event) {}, BodyTimeout: -1,
		}, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}}))
		return testing.AllocsPerRun(100, func() {
			s.ServeHTTP(&nobody{make(http.Header)}, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body)))
		})
	}
	whole := serve(`{}`, last(`{}`))
	if whole > 48 { // with the request that the test makes
		t.Errorf("a whole answer: %v allocations, want at most 48", whole)
	}
	few, many := []llm.Event{event("data: 1\n\n"), last("data: [DONE]\n\n")}, []llm.Event{}
	for range 100 {
		many = append(many, event("data: 1\n\n"))
	}
	stream := serve(`{"stream":true}`, few...)
	if stream > 52 {
		t.Errorf("a stream: %v allocations, want at most 52", stream)
	}
	each := (serve(`{"stream":true}`, append(many, few...)...) - stream) / 100
	if each > 0.05 {
		t.Errorf("a frame: %v allocations, want none", each)
	}
}
