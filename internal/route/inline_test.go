package route

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/provider"
)

// inliner is a provider that takes images only in bytes, and keeps what it was
// given.
type inliner struct {
	script
	given []string
}

func (p *inliner) Inlines(*llm.Request) func(*llm.Part) bool {
	return func(p *llm.Part) bool { return p.Kind == llm.PartImage }
}

func (p *inliner) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	chat, err := c.Request.DecodeChat()
	if err != nil {
		return nil, err
	}
	p.given = append(p.given, chat.Messages[0].Parts[0].Data)
	return p.script.Open(ctx, c)
}

// fetcher puts bytes in the places of images, or fails.
type fetcher struct {
	calls int
	err   error
	doing func() // meanwhile; nil: nothing
}

func (f *fetcher) Inline(_ context.Context, c *llm.Chat, needs func(*llm.Part) bool) (*llm.Chat, error) {
	f.calls++
	if f.doing != nil {
		f.doing()
	}
	if f.err != nil {
		return nil, f.err
	}
	p := c.Messages[0].Parts[0]
	if needs(&p) {
		p.URL, p.Data = "", "bytes"
	}
	return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{p}}}}, nil
}

func withImage() *llm.Request {
	chat := &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartImage, URL: "https://x.example/a"}}}}}
	return &llm.Request{Model: "m", Stream: true, DecodeChat: func() (*llm.Chat, error) { return chat, nil }}
}

// TestWhatIsNamedByAURLIsFetchedOnceForAllTries has two targets that need the
// bytes, of which the first fails, one plan after another of the same request.
func TestWhatIsNamedByAURLIsFetchedOnceForAllTries(t *testing.T) {
	t.Parallel()
	b := setup()
	f := &fetcher{}
	first, second := &inliner{script: script{steps: []step{fail(fault.UpstreamFailed, false, true)}}}, &inliner{script: script{steps: []step{says("hi")}}}
	one, _ := b.target("one")
	two, _ := b.target("two")
	one.Provider, one.Fetch, two.Provider, two.Fetch = first, f, second, f
	fetched := &Fetched{}
	req := withImage()
	for range 2 {
		var tries []obs.Attempt
		a, err := b.router.Open(t.Context(), req, Plan{Targets: []*Target{one, two}, Fetched: fetched}, &tries)
		if err != nil || len(tries) != 2 {
			t.Fatalf("%v after %v", err, tries)
		}
		_ = a.Close()
	}
	if f.calls != 1 || len(first.given) != 2 || len(second.given) != 2 || first.given[0] != "bytes" || second.given[1] != "bytes" {
		t.Errorf("fetched %d times; %q, %q", f.calls, first.given, second.given)
	}
	if chat, _ := req.DecodeChat(); chat.Messages[0].Parts[0].URL == "" {
		t.Error("the request itself has changed")
	}
}

// TestWhatCannotBeFetchedIsTheFaultOfTheRequest has a target that needs it and one
// that does not: nobody is asked in vain, and who can answer does.
func TestWhatCannotBeFetchedIsTheFaultOfTheRequest(t *testing.T) {
	t.Parallel()
	b := setup()
	f := &fetcher{err: fault.New(fault.InvalidParameter, "It cannot be fetched.").At("messages.0.content.0")}
	needs := &inliner{script: script{steps: []step{says("no")}}}
	one, _ := b.target("one")
	one.Provider, one.Fetch = needs, f
	other, _ := b.target("other", says("hi"))
	other.Fetch = f
	var tries []obs.Attempt
	a, err := b.router.Open(t.Context(), withImage(), Plan{Targets: []*Target{one, other}}, &tries)
	if err != nil || a.Target() != "other" {
		t.Fatalf("%v", err)
	}
	_ = a.Close()
	fetched := &Fetched{}
	for range 2 {
		tries = nil
		_, err = b.router.Open(t.Context(), withImage(), Plan{Targets: []*Target{one}, Fetched: fetched}, &tries)
		if e := fault.From(err); e.Code != fault.InvalidParameter || e.Param != "messages.0.content.0" || len(tries) != 0 {
			t.Errorf("%v after %v", err, tries)
		}
	}
	if f.calls != 2 || len(needs.given) != 0 { // once for each request
		t.Errorf("fetched %d times, sent %q", f.calls, needs.given)
	}
	if !one.Health.Fit() {
		t.Error("the target is blamed")
	}
}

// TestNothingIsFetchedWhereNobodyDoes has a target without a fetcher.
func TestNothingIsFetchedWhereNobodyDoes(t *testing.T) {
	t.Parallel()
	b := setup()
	p := &inliner{script: script{steps: []step{says("hi")}}}
	one, _ := b.target("one")
	one.Provider = p
	var tries []obs.Attempt
	a, err := b.router.Open(t.Context(), withImage(), Plan{Targets: []*Target{one}}, &tries)
	if err != nil || p.given[0] != "" {
		t.Fatalf("%v, %q", err, p.given)
	}
	_ = a.Close()
}

// TestNobodyIsAskedOnceFetchingHasTakenTheTime has files that arrive after the
// deadline of the request.
func TestNobodyIsAskedOnceFetchingHasTakenTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		p := &inliner{script: script{steps: []step{says("hi")}}}
		one, _ := b.target("one")
		one.Provider, one.Fetch = p, &fetcher{doing: func() { time.Sleep(5 * time.Second) }}
		var tries []obs.Attempt
		_, err := b.router.Open(t.Context(), withImage(), Plan{Targets: []*Target{one}, Within: 4 * time.Second}, &tries)
		if !fault.Is(err, fault.UpstreamTimeout) || len(tries) != 0 || len(p.given) != 0 {
			t.Errorf("%v after %v", err, tries)
		}
	})
}

// TestFetchingKeepsNobodyFromProbing has a target that was out of use: who fetches
// slowly does not keep others from finding out whether it is back.
func TestFetchingKeepsNobodyFromProbing(t *testing.T) {
	t.Parallel()
	b := setup()
	one, _ := b.target("one")
	b.broken(one)
	one.Provider = &inliner{script: script{steps: []step{says("hi")}}}
	one.Fetch = &fetcher{doing: func() {
		ok, probe, _ := one.Health.admit(false)
		if !ok || !probe {
			t.Errorf("while another request fetches: admitted %v, as a probe %v", ok, probe)
		}
		one.Health.release(probe)
	}}
	var tries []obs.Attempt
	a, err := b.router.Open(t.Context(), withImage(), Plan{Targets: []*Target{one}}, &tries)
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
}
