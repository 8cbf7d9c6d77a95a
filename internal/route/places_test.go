package route

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// broken opens the breaker of a target and lets it come half open.
func (b *bench) broken(t *Target) {
	for range DefaultNorms.Failures {
		t.Health.failed(false, verdict{code: fault.UpstreamFailed, breaker: true})
	}
	b.clock.t = b.clock.t.Add(DefaultNorms.Open)
}

// bug is a provider with a defect.
type bug struct{ script }

func (*bug) Open(context.Context, provider.Call) (llm.Stream, error) { panic("a defect") }

func TestAProbeThatPanicsGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	b := setup()
	target := &Target{ID: "p/m", Provider: &bug{}, Model: "m", Health: NewHealth(b.clock.now, Norms{})}
	b.broken(target)
	func() {
		defer func() { _ = recover() }()
		_, _, _ = b.open(Plan{Targets: []*Target{target}})
		t.Error("the provider did not panic")
	}()
	if ok, _, kept := target.Health.admit(false); !ok {
		t.Errorf("after the panic the target is out of use for good: %v", kept.why)
	}
}

// leaky notes whether its stream, which panics, was closed.
type leaky struct {
	script
	closed bool
}

func (l *leaky) Open(context.Context, provider.Call) (llm.Stream, error) { return l, nil }
func (l *leaky) Next() (llm.Event, error)                                { panic("a defect") }
func (l *leaky) Close() error                                            { l.closed = true; return nil }

func TestAStreamThatPanicsWhileWaitingForContentIsClosed(t *testing.T) {
	t.Parallel()
	b, l := setup(), &leaky{}
	target := &Target{ID: "p/m", Provider: l, Model: "m", Health: NewHealth(b.clock.now, Norms{})}
	func() {
		defer func() { _ = recover() }()
		_, _, _ = b.open(Plan{Targets: []*Target{target}})
		t.Error("the provider did not panic")
	}()
	if !l.closed {
		t.Error("the stream was not closed")
	}
}

func TestALongAnswerToAProbeKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	b := setup()
	target, _ := b.target("p/m", says("a", "long", "story"))
	b.broken(target)
	first, err := b.router.Open(context.Background(), &llm.Request{Stream: true}, Plan{Targets: []*Target{target}}, &b.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	for i := range 2 { // while the first goes on
		a, err := b.router.Open(context.Background(), &llm.Request{Stream: true}, Plan{Targets: []*Target{target}}, &b.log)
		if err != nil {
			t.Fatalf("request %d beside the probe: %v", i, err)
		}
		defer func() { _ = a.Close() }()
	}
	if s := target.Health.Status(); s.Breaker != "closed" {
		t.Errorf("the breaker is %s although the target answers", s.Breaker)
	}
}

func TestAProbeThatBreaksOffAfterContentCountsAsAnyFailure(t *testing.T) {
	t.Parallel()
	b := setup()
	target, _ := b.target("p/m", step{
		events: []llm.Event{{Raw: []byte("a"), Content: true}},
		end:    &provider.Failure{Fault: fault.New(fault.StreamInterrupted, ""), Breaker: true},
	})
	b.broken(target)
	for range DefaultNorms.Failures {
		if _, _, err := b.open(Plan{Targets: []*Target{target}}); err == nil {
			t.Fatal("a clean end")
		}
	}
	if s := target.Health.Status(); s.Breaker != "open" {
		t.Errorf("the breaker is %s after %d broken answers", s.Breaker, DefaultNorms.Failures)
	}
}

// flood sends big events without content, translated ones as some providers do.
type flood struct {
	script
	left int
	ev   llm.Event
}

func (f *flood) Open(context.Context, provider.Call) (llm.Stream, error) { return f, nil }
func (f *flood) Close() error                                            { return nil }
func (f *flood) Next() (llm.Event, error) {
	if f.left--; f.left < 0 {
		return llm.Event{}, io.EOF
	}
	return f.ev, nil
}

func TestWhatIsKeptWhileWaitingForContentIsBoundedInBytesWhateverItsForm(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	for name, d := range map[string]llm.Delta{
		"a seal":            {Kind: llm.DeltaSignature, Text: long},
		"a citation":        {Kind: llm.DeltaCitation, Value: []byte(long)},
		"log probabilities": {Kind: llm.DeltaText, Logprobs: []byte(long)},
		"a seal of no text": {Kind: llm.DeltaText, Signature: long},
	} {
		b, f := setup(), &flood{left: 100, ev: llm.Event{Deltas: []llm.Delta{d}}}
		target := &Target{ID: "p/m", Provider: f, Model: "m", Health: NewHealth(b.clock.now, Norms{})}
		if _, _, err := b.open(Plan{Targets: []*Target{target}, Attempts: 1}); !fault.Is(err, fault.UpstreamFailed) {
			t.Errorf("%s: error %v", name, err)
		}
		if read := 100 - f.left; read > 6 {
			t.Errorf("%s: %d MiB were kept", name, read)
		}
	}
}

func TestAnAnswerLargerThanWhatIsKeptBackIsAnAnswer(t *testing.T) {
	t.Parallel()
	b := setup()
	whole := llm.Event{Raw: make([]byte, 2*peekBytes), Content: true, Last: true} // a batch of embeddings
	target, _ := b.target("p/m", step{events: []llm.Event{whole}})
	got, _, err := b.open(Plan{Targets: []*Target{target}})
	if err != nil || len(got) != len(whole.Raw) {
		t.Errorf("%d bytes of the answer and %v", len(got), err)
	}
}

// A model that thinks for ten minutes may say so every second, and as often again.
func TestSignsOfLifeAreWaitedOutHoweverMany(t *testing.T) {
	t.Parallel()
	b := setup()
	var events []llm.Event
	for range 10 * peekEvents {
		events = append(events, llm.Event{Raw: []byte(":"), Ping: true})
	}
	target, _ := b.target("p/m", step{events: append(events, says("hi").events...)})
	got, _, err := b.open(Plan{Targets: []*Target{target}, Attempts: 1})
	if err != nil || !strings.HasSuffix(got, "role hi end done") || strings.Count(got, ":") > peekPings {
		t.Errorf("%.40s… of %d bytes, %v", got, len(got), err)
	}
}
