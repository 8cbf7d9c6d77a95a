package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// asks has one request of each kind, by its name.
var asks = map[string][2]string{
	"chat":     {chatPath, `{"model":"m","messages":[{"role":"user","content":"x"}]}`},
	"chat*":    {chatPath, `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`},
	"message":  {messagesPath, `{"model":"m","max_tokens":99,"messages":[{"role":"user","content":"x"}]}`},
	"message*": {messagesPath, `{"model":"m","max_tokens":99,"stream":true,"messages":[{"role":"user","content":"x"}]}`},
	"resp":     {responsesPath, `{"model":"m","input":"x"}`},
	"resp*":    {responsesPath, `{"model":"m","stream":true,"input":"x"}`},
	"embed":    {embedPath, `{"model":"m","dimensions":4,"input":"x"}`},
	"count":    {countPath, `{"model":"m","messages":[{"role":"user","content":"x"}]}`},
}

func TestEveryFaultLooksAsItDoesAtAProvider(t *testing.T) {
	t.Parallel()
	const all = "chat chat* resp resp* message message* embed count"
	const openai, anthropic, wholes = "chat chat* resp resp* embed", "message message* count", "chat resp message embed count"
	for _, c := range []struct {
		step, asks string
		status     int
		want       string // in the body
		header     string // Retry-After
		end        error  // of the body
	}{
		{`{"fault":"rate_limited"}`, openai, 429, `"code":"rate_limit_exceeded"`, "1", nil},
		{`{"fault":"rate_limited","retry_after":30}`, anthropic, 429, `"rate_limit_error"`, "30", nil},
		{`{"fault":"rate_limited","retry_after":0}`, all, 429, `rate`, "", nil},
		{`{"fault":"auth"}`, openai, 401, `"code":"invalid_api_key"`, "", nil},
		{`{"fault":"auth"}`, anthropic, 401, `"authentication_error"`, "", nil},
		{`{"fault":"quota"}`, openai, 429, `"code":"insufficient_quota"`, "", nil},
		{`{"fault":"quota"}`, anthropic, 400, `credit balance is too low`, "", nil},
		{`{"fault":"policy"}`, openai, 400, `"code":"content_policy_violation"`, "", nil},
		{`{"fault":"policy"}`, anthropic, 400, `content filtering policy`, "", nil},
		{`{"fault":"context"}`, openai, 400, `"code":"context_length_exceeded"`, "", nil},
		{`{"fault":"context"}`, anthropic, 400, `prompt is too long: 200227 tokens > 200000 maximum`, "", nil},
		{`{"fault":"error_500"}`, openai, 500, `"type":"server_error"`, "", nil},
		{`{"fault":"error_500"}`, anthropic, 500, `"type":"api_error"`, "", nil},
		{`{"fault":"error_503","retry_after":2}`, openai, 503, `"code":"server_is_overloaded"`, "2", nil},
		{`{"fault":"error_529"}`, anthropic, 529, `"type":"overloaded_error"`, "", nil},
		{`{"fault":"error_404"}`, openai, 404, `"code":"model_not_found"`, "", nil},
		{`{"fault":"error_404"}`, anthropic, 404, `"type":"not_found_error"`, "", nil},
		{`{"fault":"error_504"}`, anthropic, 504, `"type":"timeout_error"`, "", nil},
		{`{"fault":"policy","status":403}`, all, 403, `polic`, "", nil},
		{`{"status":503}`, openai, 503, `"code":"server_is_overloaded"`, "", nil},
		{`{"fault":"html"}`, all, 502, `<center>`, "", nil},
		{`{"fault":"html","status":200}`, all, 200, `<center>`, "", nil},
		{`{"fault":"error_in_200"}`, openai, 200, `{"error":{"message"`, "", nil},
		{`{"fault":"error_in_200"}`, anthropic, 200, `{"type":"error"`, "", nil},
		{`{"fault":"cut"}`, all, 200, `"`, "", io.ErrUnexpectedEOF},
		{`{"fault":"truncated"}`, all, 200, `"`, "", nil},
		{`{"fault":"bad_json"}`, wholes, 200, `"`, "", nil},
		{`{"fault":"bad_json"}`, "chat*", 200, "\"delta\":{\"content\":\"\n\n", "", nil},
		{`{"fault":"bad_json","after":2}`, "message*", 200, "\"text\":\"\n\n", "", nil},
		{`{"fault":"error_in_stream"}`, "chat*", 200, "\n\ndata: {\"error\":{", "", nil},
		{`{"fault":"error_in_stream"}`, "message*", 200, "\n\nevent: error\ndata: {\"type\":\"error\"", "", nil},
		{`{"fault":"bad_json"}`, "resp*", 200, "\"delta\":\"\n\n", "", nil},
		{`{"fault":"error_in_stream"}`, "resp*", 200, "\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{", "", nil},
		{`{"fault":"empty"}`, "resp", 200, `"output":[],"usage":{"input_tokens":7,`, "", nil},
		{`{"fault":"wrong_usage"}`, "resp resp*", 200, `"total_tokens":0`, "", nil},
		{`{"fault":"error_in_stream"}`, wholes, 200, `"error"`, "", nil},
		{`{"fault":"rate_limited","after":2}`, "chat*", 200, `data: {"error":{"message":"Rate limit`, "", nil},
		{`{"fault":"error_529","after":0}`, "message*", 200, `"overloaded_error"`, "", nil},
		{`{"fault":"error_529","after":0}`, wholes, 529, `"error"`, "", nil},
		{`{"fault":"empty"}`, "chat", 200, `"content":"","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":0,`, "", nil},
		{`{"fault":"empty"}`, "message", 200, `"content":[],"stop_reason":"end_turn"`, "", nil},
		{`{"fault":"empty"}`, "embed", 200, `"data":[]`, "", nil},
		{`{"fault":"no_choices"}`, "chat", 200, `"choices":[],`, "", nil},
		{`{"fault":"no_choices"}`, "message", 200, `"content":[],`, "", nil},
		{`{"fault":"wrong_usage"}`, "chat chat*", 200, `"completion_tokens":1000000000,"total_tokens":0`, "", nil},
		{`{"fault":"wrong_usage"}`, "message message*", 200, `"output_tokens":1000000000`, "", nil},
		{`{"fault":"wrong_usage"}`, "embed", 200, `"prompt_tokens":1000000000`, "", nil},
		{`{"fault":"huge_line","bytes":100000}`, all, 200, strings.Repeat("a", 100_000), "", nil},
	} {
		for _, name := range strings.Fields(c.asks) {
			s := newSim(t, Options{})
			tell(t, s, "m", "["+c.step+"]")
			g := ask1(t, s, asks[name][0], asks[name][1])
			if g.status != c.status || !strings.Contains(g.body, c.want) || g.header.Get("Retry-After") != c.header || !errors.Is(g.err, c.end) || c.end == nil && g.err != nil {
				t.Errorf("%s, %s: %d %.2000s %v %v; want %d with %.60q", name, c.step, g.status, g.body, g.header, g.err, c.status, c.want)
			}
			if n := s.Calls("m"); n != 1 {
				t.Errorf("%s, %s: %d calls", name, c.step, n)
			}
		}
	}
}

func TestWholeBodiesThatArePartOfAFaultAreNotJSON(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"truncated", "bad_json"} {
		s := newSim(t, Options{})
		tell(t, s, "m", `[{"fault":"`+name+`"}]`)
		g := ask1(t, s, asks["chat"][0], asks["chat"][1])
		if isJSON(g.body) || g.body == "" {
			t.Errorf("%s: %s", name, g.body)
		}
	}
	for _, kind := range []string{"chat", "resp", "message", "embed", "count"} {
		s := newSim(t, Options{})
		tell(t, s, "m", `[{"fault":"huge_line","bytes":70000}]`)
		if g := ask1(t, s, asks[kind][0], asks[kind][1]); !isJSON(g.body) {
			t.Errorf("%s: a huge line is not JSON: %.300s", kind, g.body)
		}
	}
}

// contents counts the events with content of a stream of either family.
func contents(body string) int {
	return strings.Count(body, `"delta":{"content":"`) + strings.Count(body, `"type":"content_block_delta"`) + strings.Count(body, `"type":"response.output_text.delta"`)
}

func TestAFaultStrikesAfterAsManyEventsAsToldTo(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"chat*", "message*", "resp*"} {
		for _, name := range []string{"cut", "truncated", "error_in_stream", "error_503"} {
			for _, after := range []int{0, 1, 5, 1000} {
				s := newSim(t, Options{Events: 20})
				tell(t, s, "m", fmt.Sprintf(`[{"fault":%q,"after":%d}]`, name, after))
				g := ask1(t, s, asks[kind][0], asks[kind][1])
				if n := contents(g.body); n != min(after, 20) {
					t.Errorf("%s %s after %d: %d events with content in %s", kind, name, after, n, g.body)
				}
				if strings.Contains(g.body, `"finish_reason":"`) || strings.Contains(g.body, "[DONE]") || strings.Contains(g.body, "message_stop") || strings.Contains(g.body, "message_delta") || strings.Contains(g.body, "response.completed") {
					t.Errorf("%s %s after %d: the stream has an end: %s", kind, name, after, g.body)
				}
				if (g.err != nil) != (name == "cut") {
					t.Errorf("%s %s: %v", kind, name, g.err)
				}
			}
		}
	}
}

func TestUsageAndTheLastMarkCanBeLeftOut(t *testing.T) {
	t.Parallel()
	for kind, ask := range asks {
		s := newSim(t, Options{})
		tell(t, s, "m", `[{"fault":"no_usage"},{"fault":"no_done"}]`)
		if g := ask1(t, s, ask[0], ask[1]); kind != "count" && (strings.Contains(strings.ReplaceAll(g.body, `"max_output_tokens":null`, ""), "_tokens") || g.err != nil || g.status != 200) {
			t.Errorf("%s: no_usage: %v %s", kind, g.err, g.body)
		}
		g := ask1(t, s, ask[0], ask[1])
		if strings.Contains(g.body, "[DONE]") || strings.Contains(g.body, "message_stop") || strings.Contains(g.body, "event: response.completed") || g.err != nil {
			t.Errorf("%s: no_done: %v %s", kind, g.err, g.body)
		}
		if kind == "chat*" && (!strings.Contains(g.body, `"finish_reason":"stop"`) || !strings.Contains(g.body, `"usage":{`)) {
			t.Errorf("no_done leaves out more than the mark: %s", g.body)
		}
	}
}

func TestConnectionsFailAsTheyDoInTheNetwork(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	tell(t, s, "m", `[{"fault":"refuse"},{"fault":"dns"},{"fault":"reset"}]`)
	err := ask1(t, s, asks["chat"][0], asks["chat"][1]).err
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("refuse: %v", err)
	}
	var dns *net.DNSError
	if err := ask1(t, s, asks["chat"][0], asks["chat"][1]).err; !errors.As(err, &dns) || !dns.IsNotFound || dns.Name != "sim.invalid" {
		t.Errorf("dns: %v", err)
	}
	if err := ask1(t, s, asks["chat"][0], asks["chat"][1]).err; !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("reset: %v", err)
	}
}

func TestHangsEndWithTheRequest(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		`{"fault":"hang_headers"}`, `{"fault":"hang_stream","after":2}`, `{"fault":"pings","after":2}`, `{"first_ms":60000}`, `{"fault":"pings","per_event_ms":50}`,
	} {
		for _, kind := range []string{"chat", "chat*", "message*", "embed"} {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, Options{})
				tell(t, s, "m", "["+step+"]")
				cause := errors.New("the client has gone")
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, cause)
				defer cancel()
				begin := time.Now()
				g := askWith(t, ctx, s, asks[kind][0], asks[kind][1])
				if took := time.Since(begin); !errors.Is(g.err, cause) && !errors.Is(g.err, context.DeadlineExceeded) || took != 10*time.Second {
					t.Errorf("%s %s: %v after %v", kind, step, g.err, took)
				}
				if g.status == 200 && s.Cancelled("m") != 1 {
					t.Errorf("%s %s: the body does not count as cancelled", kind, step)
				}
				if strings.Contains(step, "pings") && kind == "message*" && strings.Count(g.body, "event: ping") < 8 {
					t.Errorf("%s: %d pings in ten seconds", step, strings.Count(g.body, "event: ping"))
				}
			})
		}
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, step, kind string
		o                Options
		want             time.Duration
	}{
		{"none", `{}`, "chat*", Options{}, 0},
		{"options", `{}`, "chat*", Options{FirstEvent: time.Second, PerEvent: time.Millisecond, Events: 10}, time.Second + 13*time.Millisecond},
		{"whole answers have no events", `{}`, "chat", Options{FirstEvent: time.Second, PerEvent: time.Millisecond}, time.Second},
		{"a step instead", `{"first_ms":0,"per_event_ms":100,"events":10}`, "chat*", Options{FirstEvent: time.Second}, 1300 * time.Millisecond},
		{"slow", `{"fault":"slow","events":10}`, "chat*", Options{}, 3*time.Second + 13*250*time.Millisecond},
		{"slow, as told", `{"fault":"slow","events":10,"first_ms":5,"per_event_ms":1}`, "chat*", Options{}, 18 * time.Millisecond},
		{"raw", `{"status":500,"first_ms":70}`, "chat", Options{}, 70 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, c.o)
			tell(t, s, "m", "["+c.step+"]")
			begin := time.Now()
			// role, words, finish, usage, [DONE]: the first comes at once
			if g := ask1(t, s, asks[c.kind][0], asks[c.kind][1]); g.err != nil {
				t.Error(g.err)
			}
			if took := time.Since(begin); took != c.want {
				t.Errorf("%s: took %v, want %v", c.name, took, c.want)
			}
		})
	}
}

func TestEventsLeaveOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Options{PerEvent: time.Second, Events: 3})
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid"+chatPath, strings.NewReader(asks["chat*"][1]))
		resp, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for i := range 7 {
			begin := time.Now()
			n, err := resp.Body.Read(buf)
			took := time.Since(begin)
			if got := strings.Count(string(buf[:n]), "\n\n"); got != 1 || err != nil || i > 0 && took != time.Second {
				t.Errorf("read %d: %d events after %v, %v: %s", i, got, took, err, buf[:n])
			}
		}
		if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("the end: %d, %v", n, err)
		}
	})
}

func TestAClosedBodyIsCountedAndEndsARead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, Options{})
		tell(t, s, "m", `[{"fault":"hang_stream","after":0}]`)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid"+chatPath, strings.NewReader(asks["chat*"][1]))
		resp, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := io.ReadAll(resp.Body)
			ended <- err
		}()
		synctest.Wait() // the read hangs
		resp.Body.Close()
		resp.Body.Close()
		if err := <-ended; !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("the read ends with %v", err)
		}
		if n := s.Cancelled("m"); n != 1 || s.Cancelled(Any) != 1 {
			t.Errorf("%d bodies count as cancelled, want 1", n)
		}
	})
}

func TestReadingToTheLastByteIsNotCancelling(t *testing.T) {
	t.Parallel()
	for kind, ask := range asks {
		s := newSim(t, Options{})
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid"+ask[0], strings.NewReader(ask[1]))
		resp, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		all := ask1(t, s, ask[0], ask[1]).body
		if _, err := io.ReadFull(resp.Body, make([]byte, len(all))); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n := s.Cancelled("m"); n != 0 {
			t.Errorf("%s: a body that was read to its end counts as cancelled", kind)
		}
	}
}

func TestAnEndedContextFailsTheRequestAndTheBody(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim.invalid"+chatPath, strings.NewReader(asks["chat*"][1]))
	resp, err := s.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := resp.Body.Read(make([]byte, 100)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v, want context.Canceled", err)
	}
	resp.Body.Close()
	req, _ = http.NewRequestWithContext(ctx, http.MethodPost, "http://sim.invalid"+chatPath, strings.NewReader(asks["chat"][1]))
	if resp, err := s.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("RoundTrip = %v, %v", resp, err)
	}
	if s.Cancelled("m") != 1 || s.Calls("m") != 1 {
		t.Errorf("%d cancelled, %d calls", s.Cancelled("m"), s.Calls("m"))
	}
}
