package wire

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

// patient is a dialect that can keep a caller waiting.
type patient struct {
	plain
	media string
}

func (p patient) Waiting() (media, beat string) { return p.media, ": wait\n\n" }

// breaking is one that has more to say of a stream that breaks.
type breaking struct{ patient }

func (breaking) Encoder(*llm.Request) Encoder { return &breakingEncoder{} }

type breakingEncoder struct{ plainEncoder }

func (*breakingEncoder) Break(dst, _ []byte, e *fault.Error) []byte {
	return append(dst, "broken: "+e.Code.String()...)
}

// waited asks for a stream, and reads from it the given number of signs of life
// before Open may go on.
func waited(t *testing.T, d Dialect, body string, beats int, end func(ctx context.Context) (*fakeCall, error)) (*http.Response, string, house) {
	t.Helper()
	seen := make(chan struct{})
	h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
		select {
		case <-seen:
		case <-ctx.Done():
		}
		return end(ctx)
	}}, func(o *Options) {
		o.Heartbeat = 2 * time.Millisecond
		o.Dialects["openai.chat"] = d
	})
	if beats == 0 {
		close(seen)
	}
	resp, err := http.Post(h.srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := bufio.NewReader(resp.Body)
	for n := range beats {
		line, err := r.ReadString('\n')
		if blank, _ := r.ReadString('\n'); err != nil || line != ": wait\n" || blank != "\n" {
			t.Fatalf("sign of life %d is %q %q, %v", n, line, blank, err)
		}
	}
	if beats > 0 {
		close(seen)
	}
	rest, _ := io.ReadAll(r)
	return resp, string(rest), h
}

// Who asked for a stream is kept waiting with signs of life, before there is
// anything to tell; what is known later comes in trailers.
func TestWhoWaitsForAStreamHearsSo(t *testing.T) {
	t.Parallel()
	resp, rest, h := waited(t, patient{}, `{"stream":1}`, 3, func(ctx context.Context) (*fakeCall, error) {
		return &fakeCall{ctx: ctx, steps: []any{event("data: 1\n\n"), last("data: [DONE]\n\n")}}, nil
	})
	rest = strings.ReplaceAll(strings.ReplaceAll(rest, ": wait\n\n", ""), ": beat\n\n", "")
	if rest != "data: 1\n\ndata: [DONE]\n\n" || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != eventStream || resp.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, rest)
	}
	for name, want := range map[string]string{"X-Charge-Usd": "0.0000015", "X-Output-Capped-By": "balance", "X-Dropped-Params": "seed"} {
		if got := resp.Trailer.Get(name); got != want {
			t.Errorf("trailer %s: %q, want %q", name, got, want)
		}
	}
	if ev := <-h.events; ev.Status != 200 || ev.Delivery != "complete" {
		t.Errorf("%d, delivery %q", ev.Status, ev.Delivery)
	}
}

// What fails after a sign of life is told in the stream, as the dialect has it.
func TestWhatFailsAfterWaitingIsToldInTheStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		d    Dialect
		want string
		ends bool
	}{
		{"an event", patient{}, `data: {"error":`, true},
		{"the dialect's own end", breaking{}, "broken: upstream_overloaded", true},
		{"no events", patient{media: "application/json"}, "", false},
	} {
		var err error
		resp, rest, h := waited(t, c.d, `{"stream":1}`, 1, func(context.Context) (*fakeCall, error) {
			return nil, fault.New(fault.UpstreamOverloaded, "")
		})
		rest = strings.ReplaceAll(rest, ": wait\n\n", "")
		if !strings.HasPrefix(rest, c.want) || c.want == "" && rest != "" || strings.Contains(rest, "[DONE]") {
			t.Errorf("%s: %q, %v", c.name, rest, err)
		}
		if got := resp.Trailer.Get("X-Charge-Usd"); c.ends && got != "0.00" {
			t.Errorf("%s: the trailer tells a charge of %q", c.name, got)
		}
		if ev := <-h.events; ev.Fault != "upstream_overloaded" || ev.Status != 200 || strings.Join(h.refused, " ") != "upstream_overloaded 200" {
			t.Errorf("%s: fault %s, status %d, recorded %q", c.name, ev.Fault, ev.Status, h.refused)
		}
	}
}

// So is a fault that was only asked for.
func TestASimulatedFaultAfterWaitingIsToldInTheStream(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	h := build(t, &fake{test: true, open: func(ctx context.Context) (*fakeCall, error) {
		<-seen
		return &fakeCall{ctx: ctx}, nil
	}}, func(o *Options) {
		o.Heartbeat = time.Millisecond
		o.Dialects["openai.chat"] = breaking{}
	})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.srv.URL+"/v1/chat/completions", strings.NewReader(`{"stream":1}`))
	req.Header.Set("X-Pontage-Simulate", "upstream_overloaded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	close(seen) // the head has come, and with it a sign of life
	b, err := io.ReadAll(resp.Body)
	if rest := strings.ReplaceAll(string(b), ": wait\n\n", ""); err != nil || rest != "broken: upstream_overloaded" {
		t.Errorf("%q, %v", rest, err)
	}
	<-h.events
}

// A failure that comes in time, and every whole answer, has its status; so has a
// stream that nothing can keep open.
func TestWhoNeedNotWaitGetsAStatus(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		d     Dialect
		body  string
		after time.Duration
		want  int
	}{
		{patient{}, `{"stream":1}`, 14 * time.Second, 503},
		{patient{}, `{"stream":1}`, 16 * time.Second, 200},
		{patient{}, `{}`, time.Minute, 503},
		{plain{}, `{"stream":1}`, time.Minute, 503},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(Options{
				Gateway: &fake{open: func(context.Context) (*fakeCall, error) {
					time.Sleep(x.after) // within the bubble
					return nil, fault.New(fault.UpstreamOverloaded, "")
				}}, Dialects: map[string]Dialect{"openai.chat": x.d}, Done: func(*obs.Event) {}, BodyTimeout: -1,
			}, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}}))
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(x.body)))
			if rec.Code != x.want {
				t.Errorf("%s, after %v: %d, want %d", x.body, x.after, rec.Code, x.want)
			}
		})
	}
}

// Who leaves while he waits is not told anything, and owes nothing.
func TestWhoLeavesWhileHeWaits(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
		<-ctx.Done()
		return nil, fault.Wrap(fault.UpstreamFailed, ctx.Err())
	}}, func(o *Options) {
		o.Heartbeat = time.Millisecond
		o.Dialects["openai.chat"] = patient{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", h.srv.URL+"/v1/chat/completions", strings.NewReader(`{"stream":1}`))
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = resp.Body.Read(make([]byte, 4))
	cancel()
	_ = resp.Body.Close()
	if ev := <-h.events; ev.Status != 200 || ev.Fault != "" {
		t.Errorf("status %d, fault %q", ev.Status, ev.Fault)
	}
}
