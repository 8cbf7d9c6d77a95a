package gate

import (
	"context"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// BenchmarkGate is a request on its way through the gate, without its charge.
func BenchmarkGate(b *testing.B) {
	w := setup(b, money.Dollar)
	key := w.key(account.NewKey{})
	events := []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	req := request()
	req.Stream = false
	refused := fault.New(fault.Internal, "")
	b.ReportAllocs()
	for b.Loop() {
		w.up.events, w.up.calls = events, w.up.calls[:0]
		caller, err := w.enter(key)
		if err != nil {
			b.Fatal(err)
		}
		call, err := caller.Open(context.Background(), req, Wishes{})
		if err != nil {
			b.Fatal(err)
		}
		for range events {
			if _, err := call.Next(); err != nil {
				b.Fatal(err)
			}
		}
		call.Fail(refused, 0)
		caller.Leave()
	}
}
