package route

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a provider that does what it is told, call by call, and repeats the
// last thing for ever.
type script struct {
	mu       sync.Mutex
	steps    []step
	calls    int
	refusal  error
	closed   int
	onlyKeys []string
}

type step struct {
	open   *provider.Failure
	events []llm.Event
	end    error // after the events; nil: io.EOF
}

func (s *script) Supports(*llm.Request) error { return s.refusal }

func (s *script) Open(_ context.Context, c provider.Call) (llm.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.steps[min(s.calls, len(s.steps)-1)]
	s.calls++
	s.onlyKeys = append(s.onlyKeys, c.Key.Reveal())
	if st.open != nil {
		return nil, st.open
	}
	return &stream{s: s, step: st}, nil
}

type stream struct {
	s    *script
	step step
	buf  []byte
}

// Next reuses one buffer, as real providers do.
func (s *stream) Next() (llm.Event, error) {
	if len(s.step.events) == 0 {
		if s.step.end != nil {
			return llm.Event{}, s.step.end
		}
		return llm.Event{}, io.EOF
	}
	ev := s.step.events[0]
	s.step.events = s.step.events[1:]
	s.buf = append(s.buf[:0], ev.Raw...)
	ev.Raw = s.buf
	return ev, nil
}

func (s *stream) Close() error { s.s.mu.Lock(); s.s.closed++; s.s.mu.Unlock(); return nil }

func fail(c fault.Code, retry, failover bool) step {
	f := &provider.Failure{Fault: fault.New(c, ""), Retry: retry, Failover: failover, Breaker: true, Sent: true}
	switch c {
	case fault.UpstreamRateLimited:
		f.Breaker, f.Cooldown = false, 2*time.Second
	case fault.UpstreamAuth, fault.UpstreamQuota:
		f.Breaker, f.Quarantine = false, true
	case fault.ContextLengthExceeded:
		f.Breaker = false
	}
	return step{open: f}
}

func says(words ...string) step {
	st := step{events: []llm.Event{{Raw: []byte("role")}}}
	for _, w := range words {
		st.events = append(st.events, llm.Event{Raw: []byte(w), Content: true})
	}
	st.events = append(st.events, llm.Event{Raw: []byte("end"), Finish: llm.FinishStop}, llm.Event{Raw: []byte("done"), Last: true})
	return st
}

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

type bench struct {
	clock  *clock
	slept  []time.Duration
	router *Router
	log    []obs.Attempt
}

func setup() *bench {
	b := &bench{clock: &clock{time.Unix(1_790_000_000, 0)}}
	b.router = &Router{Sleep: func(_ context.Context, d time.Duration) error {
		b.slept = append(b.slept, d)
		return nil
	}}
	return b
}

func (b *bench) target(id string, steps ...step) (*Target, *script) {
	s := &script{steps: steps}
	return &Target{ID: id, Provider: s, Model: "m", Health: NewHealth(b.clock.now, Norms{})}, s
}

func (b *bench) open(p Plan) (string, *Answer, error) {
	b.log = nil
	a, err := b.router.Open(context.Background(), &llm.Request{Stream: true}, p, &b.log)
	if err != nil {
		return "", nil, err
	}
	var out []string
	for {
		ev, err := a.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return strings.Join(out, " "), a, err
		}
		out = append(out, string(ev.Raw))
	}
	_ = a.Close()
	return strings.Join(out, " "), a, nil
}

func (b *bench) outcomes() string {
	var s []string
	for _, a := range b.log {
		s = append(s, a.Target+":"+a.Outcome)
	}
	return strings.Join(s, " ")
}

func TestAFailureBeforeContentIsTriedElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		first    step
		want     string // answer
		outcomes string
		code     fault.Code
	}{
		{"refused connection", fail(fault.NoTarget, true, true), "role hi end done", "a:no_target b:ok", 0},
		{"server error", fail(fault.UpstreamFailed, true, true), "role hi end done", "a:upstream_failed b:ok", 0},
		{"our credential", fail(fault.UpstreamAuth, false, true), "role hi end done", "a:upstream_auth b:ok", 0},
		{"caller's mistake", fail(fault.ContextLengthExceeded, false, false), "", "a:context_length_exceeded", fault.ContextLengthExceeded},
		{"empty answer", step{events: []llm.Event{{Raw: []byte("role")}, {Finish: llm.FinishStop}}}, "role hi end done", "a:empty_response b:ok", 0},
		{"error in the stream before content", step{events: []llm.Event{{Raw: []byte("role")}}, end: fail(fault.UpstreamOverloaded, true, true).open}, "role hi end done", "a:upstream_overloaded b:ok", 0},
		{"cut before content", step{events: []llm.Event{{Raw: []byte("role")}}, end: &provider.Failure{Fault: fault.New(fault.StreamInterrupted, "")}}, "role hi end done", "a:upstream_failed b:ok", 0},
		{"a stop sequence at once", step{events: []llm.Event{{Raw: []byte("role")}, {Raw: []byte("end"), Finish: llm.FinishStopSequence}}}, "role end", "a:ok", 0},
		{"length without content", step{events: []llm.Event{{Raw: []byte("role")}, {Raw: []byte("end"), Finish: llm.FinishLength}}}, "role end", "a:ok", 0},
		{"length while thinking", step{events: []llm.Event{{Raw: []byte("role")}, {Raw: []byte("end"), Finish: llm.FinishLength}, {Raw: []byte("usage"), Usage: &llm.Usage{Input: 11, Output: 7, Reasoning: 7}}}}, "role end usage", "a:ok", 0},
		{"length, and tokens that nobody saw", step{events: []llm.Event{{Raw: []byte("role")}, {Raw: []byte("end"), Finish: llm.FinishLength}, {Raw: []byte("usage"), Usage: &llm.Usage{Input: 11, Output: 7}}}}, "role end usage", "a:ok", 0},
		{"paused, and tokens that nobody saw", step{events: []llm.Event{{Raw: []byte("role")}, {Raw: []byte("end"), Finish: llm.FinishPause}, {Usage: &llm.Usage{Input: 11, Output: 7}}}}, "role hi end done", "a:empty_response b:ok", 0},
		{"length without a token", step{events: []llm.Event{{Raw: []byte("role")}, {Raw: []byte("end"), Finish: llm.FinishLength}, {Usage: &llm.Usage{Input: 11}}}}, "role hi end done", "a:empty_response b:ok", 0},
		{"a stop sequence without a token", step{events: []llm.Event{{Raw: []byte("end"), Finish: llm.FinishStopSequence, Usage: &llm.Usage{Input: 11}}}}, "role hi end done", "a:empty_response b:ok", 0},
		{"a filter without a token", step{events: []llm.Event{{Raw: []byte("end"), Finish: llm.FinishContentFilter, Usage: &llm.Usage{Input: 11}}}}, "end", "a:ok", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			ta, sa := b.target("a", c.first)
			tb, _ := b.target("b", says("hi"))
			got, _, err := b.open(Plan{Targets: []*Target{ta, tb}})
			if fault.From(err) != nil && fault.From(err).Code != c.code || (err == nil) != (c.code == 0) {
				t.Fatalf("Open: %v, want code %v", err, c.code)
			}
			if got != c.want || b.outcomes() != c.outcomes {
				t.Errorf("answer %q by %q, want %q by %q", got, b.outcomes(), c.want, c.outcomes)
			}
			if c.first.open == nil && sa.closed != 1 {
				t.Errorf("the stream that failed was closed %d times", sa.closed)
			}
			if len(b.slept) != 0 {
				t.Errorf("slept %v before another target", b.slept)
			}
		})
	}
}

// Images and sound are made once: what may have begun is not begun again, neither
// here nor elsewhere, unless a status says that nothing was done.
func TestWhatIsDearIsMadeOnce(t *testing.T) {
	t.Parallel()
	status := func(s int) step {
		st := fail(fault.UpstreamFailed, true, true)
		st.open.Fault.UpstreamStatus = s
		return st
	}
	unsent := fail(fault.NoTarget, true, true)
	unsent.open.Sent = false
	for _, c := range []struct {
		name  string
		first step
		again bool
	}{
		{"refused connection", unsent, true},
		{"broken connection", fail(fault.UpstreamFailed, true, true), false},
		{"timeout", fail(fault.UpstreamTimeout, false, true), false},
		{"400", status(400), true},
		{"429", status(429), true},
		{"500", status(500), false},
		{"502", status(502), false},
		{"503", status(503), true},
		{"504", status(504), false},
		{"529", status(529), true},
		{"nonsense", status(200), false},
		{"nothing in it", step{events: []llm.Event{{Finish: llm.FinishStop, Last: true}}}, false},
		{"cut", step{events: []llm.Event{{Raw: []byte("x")}}, end: &provider.Failure{Fault: fault.New(fault.StreamInterrupted, ""), Sent: true}}, false},
	} {
		for task, dear := range map[llm.Task]bool{llm.TaskImage: true, llm.TaskSpeech: true, llm.TaskTranscribe: true, llm.TaskModerate: false, llm.TaskChat: false} {
			b := setup()
			ta, sa := b.target("a", c.first)
			tb, sb := b.target("b", says("hi"))
			a, err := b.router.Open(context.Background(), &llm.Request{Task: task}, Plan{Targets: []*Target{ta, tb}}, &b.log)
			if want := c.again || !dear; (err == nil) != want || (sb.calls == 1) != want || sa.calls != 1 {
				t.Errorf("%s, task %d: asked %d and %d times, %v; want another try: %v", c.name, task, sa.calls, sb.calls, err, want)
			}
			if a != nil {
				_ = a.Close()
			}
		}
	}
}

// A text is not called messages where it is in prompt.
func TestAFaultOfThePromptIsToldAtThePrompt(t *testing.T) {
	t.Parallel()
	for d, want := range map[llm.Dialect]string{llm.OpenAICompletions: "prompt", llm.OpenAIChat: "messages"} {
		b := setup()
		st := fail(fault.ContextLengthExceeded, false, false)
		st.open.Fault.Param = "messages"
		ta, _ := b.target("a", st)
		_, err := b.router.Open(context.Background(), &llm.Request{Dialect: d}, Plan{Targets: []*Target{ta}}, &b.log)
		if fe := fault.From(err); fe == nil || fe.Param != want {
			t.Errorf("%s: %+v, want it at %s", d, fe, want)
		}
	}
}

func TestWhoAsksForNoTokenGetsNone(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, _ := b.target("a", step{events: []llm.Event{{Raw: []byte("filled"), Finish: llm.FinishLength, Usage: &llm.Usage{Input: 11, CacheWrite: 11}}}})
	a, err := b.router.Open(context.Background(), &llm.Request{HasMaxOutput: true}, Plan{Targets: []*Target{ta}}, &b.log)
	if err != nil {
		t.Fatalf("an answer of no tokens to who asked for none, to fill the cache of the prompt: %v", err)
	}
	if ev, err := a.Next(); err != nil || string(ev.Raw) != "filled" {
		t.Errorf("the answer: %q, %v", ev.Raw, err)
	}
}

func TestNothingIsTriedAgainAfterContent(t *testing.T) {
	t.Parallel()
	b := setup()
	st := says("half")
	st.events = st.events[:2]
	st.end = &provider.Failure{Fault: fault.New(fault.StreamInterrupted, ""), Breaker: true, Retry: true, Failover: true}
	ta, _ := b.target("a", st)
	tb, sb := b.target("b", says("hi"))
	got, _, err := b.open(Plan{Targets: []*Target{ta, tb}})
	if got != "role half" || !fault.Is(err, fault.StreamInterrupted) || sb.calls != 0 {
		t.Errorf("got %q, %v and %d calls elsewhere; want the half answer, stream_interrupted and none", got, err, sb.calls)
	}
	if s := ta.Health.Status(); s.Failures != 1 {
		t.Errorf("a cut stream counted %d failures of its target, want 1", s.Failures)
	}
}

func TestAnAnswerThatGoesQuietIsInterrupted(t *testing.T) {
	t.Parallel()
	b := setup()
	st := says("half")
	st.events = st.events[:2]
	quiet := &provider.Failure{Fault: fault.New(fault.UpstreamTimeout, "").With("phase", "idle"), Breaker: true, Failover: true}
	st.end = quiet
	ta, _ := b.target("a", st)
	got, _, err := b.open(Plan{Targets: []*Target{ta}})
	if got != "role half" || !fault.Is(err, fault.StreamInterrupted) || !errors.Is(err, quiet.Fault) {
		t.Errorf("got %q and %v; want the half answer and stream_interrupted because of the timeout", got, err)
	}
	if s := ta.Health.Status(); s.Failures != 1 {
		t.Errorf("it counted %d failures of its target, want 1", s.Failures)
	}
}

func TestOneTargetIsTriedAgainWithJitterAndAtMostThreeTimes(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", fail(fault.UpstreamFailed, true, true))
	_, _, err := b.open(Plan{Targets: []*Target{ta}})
	if !fault.Is(err, fault.UpstreamFailed) || sa.calls != 3 || len(b.slept) != 2 {
		t.Fatalf("%v after %d calls and sleeps %v, want upstream_failed, 3 calls, 2 sleeps", err, sa.calls, b.slept)
	}
	if b.slept[0] > DefaultBase || b.slept[1] > 2*DefaultBase {
		t.Errorf("slept %v, want at most 250ms and 500ms", b.slept)
	}
	if _, _, err = b.open(Plan{Targets: []*Target{ta}, Impatient: true}); err == nil || sa.calls != 4 {
		t.Errorf("for a caller who is retrying already: %d calls, want one more", sa.calls-3)
	}
	if _, _, err = b.open(Plan{Targets: []*Target{ta}, Attempts: 1}); err == nil || sa.calls != 5 {
		t.Errorf("with attempts: 1: %d calls, want one more", sa.calls-4)
	}
}

func TestRetryAfterIsHonouredIfItIsShortAndPassedOnIfNot(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{3 * time.Second, 20 * time.Second} {
		b := setup()
		st := fail(fault.UpstreamRateLimited, true, true)
		st.open.Fault.RetryAfter = wait
		ta, sa := b.target("a", st, says("hi"))
		got, _, err := b.open(Plan{Targets: []*Target{ta}})
		if wait <= DefaultMost {
			if got == "" || len(b.slept) != 1 || b.slept[0] < wait {
				t.Errorf("Retry-After %v: %q, %v after sleeps %v; want the answer after that long", wait, got, err, b.slept)
			}
			continue
		}
		if f := fault.From(err); f == nil || f.Code != fault.UpstreamRateLimited || f.RetryAfter != wait || sa.calls != 1 {
			t.Errorf("Retry-After %v: %v after %d calls, want it passed on at once", wait, err, sa.calls)
		}
	}
}

func TestTheMostTellingFaultIsReturned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codes []fault.Code
		want  fault.Code
	}{
		{[]fault.Code{fault.UpstreamRateLimited, fault.NoTarget}, fault.UpstreamRateLimited},
		{[]fault.Code{fault.NoTarget, fault.UpstreamOverloaded, fault.UpstreamFailed}, fault.UpstreamOverloaded},
		{[]fault.Code{fault.UpstreamAuth, fault.NoTarget}, fault.UpstreamAuth},
		{[]fault.Code{fault.UpstreamFailed, fault.EmptyResponse}, fault.EmptyResponse},
		{[]fault.Code{fault.UpstreamFailed, fault.ModelNotFound}, fault.UpstreamFailed},
		{[]fault.Code{fault.ModelNotFound, fault.NoTarget}, fault.NoTarget},
	} {
		b := setup()
		var ts []*Target
		for i, code := range c.codes {
			tgt, _ := b.target(fmt.Sprint(i), fail(code, false, true))
			ts = append(ts, tgt)
		}
		if _, _, err := b.open(Plan{Targets: ts}); !fault.Is(err, c.want) {
			t.Errorf("%v: got %v, want %v", c.codes, err, c.want)
		}
	}
}

func TestAModelThatNoProviderHasIsNotFoundUnderTheCallersName(t *testing.T) {
	t.Parallel()
	b := setup()
	one, _ := b.target("one", fail(fault.ModelNotFound, false, true))
	two, _ := b.target("two", fail(fault.ModelNotFound, false, true))
	_, err := b.router.Open(context.Background(), &llm.Request{Model: "mine"}, Plan{Targets: []*Target{one, two}}, &b.log)
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != fault.ModelNotFound || e.Args["model"] != "mine" || len(b.log) != 2 {
		t.Errorf("got %v after %d attempts, want model_not_found of mine after 2", err, len(b.log))
	}
}

func TestTargetsThatCannotHonourTheRequestAreNotTried(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", says("no"))
	sa.refusal = fault.New(fault.UnsupportedParameter, "").At("logprobs")
	tb, _ := b.target("b", says("yes"))
	if got, _, err := b.open(Plan{Targets: []*Target{ta, tb}}); got != "role yes end done" || err != nil || sa.calls != 0 {
		t.Errorf("got %q, %v with %d calls of the target that cannot", got, err, sa.calls)
	}
	_, _, err := b.open(Plan{Targets: []*Target{ta}})
	if f := fault.From(err); f == nil || f.Code != fault.UnsupportedParameter || f.Param != "logprobs" {
		t.Errorf("no target can: %v, want unsupported_parameter logprobs", err)
	}
}

func TestACallerWhoLeavesEndsTheLoop(t *testing.T) {
	t.Parallel()
	b := setup()
	ctx, cancel := context.WithCancel(context.Background())
	b.router.Sleep = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	ta, sa := b.target("a", fail(fault.UpstreamFailed, true, true))
	_, err := b.router.Open(ctx, &llm.Request{}, Plan{Targets: []*Target{ta}}, &b.log)
	if !errors.Is(err, context.Canceled) || sa.calls != 1 {
		t.Errorf("%v after %d calls, want context.Canceled after one", err, sa.calls)
	}
}

func TestWeightsShareRequestsOut(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", says("a"))
	tb, sb := b.target("b", says("b"))
	tc, sc := b.target("c", says("c"))
	ta.Weight, tb.Weight = 3, 1
	for range 400 {
		if _, _, err := b.open(Plan{Targets: []*Target{ta, tb, tc}}); err != nil {
			t.Fatal(err)
		}
	}
	if sa.calls < 240 || sb.calls < 50 || sc.calls != 0 {
		t.Errorf("calls %d, %d, %d; want about 300, 100 and none", sa.calls, sb.calls, sc.calls)
	}
}
