package obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func event() *Event {
	return &Event{
		ID: "req_01", ClientRequestID: "mine-1", Start: time.Date(2026, 11, 20, 10, 0, 0, 5e6, time.UTC), Took: 1234567 * time.Microsecond, FirstEvent: 200 * time.Millisecond,
		Site: "openai", Route: "/v1/chat/completions", Surface: "openai.chat", Method: "POST", Remote: "127.0.0.1",
		Account: "acc_1", Key: "key_2", Model: "gpt-5-mini", AnsweredBy: "gpt-4o", Provider: "openai/gpt-4o", CacheAffinity: "broken", Stream: true,
		Attempts: []Attempt{
			{Target: "openai/gpt-5-mini", Outcome: "upstream_failed", Status: 500, Took: 12345 * time.Microsecond, Billed: true},
			{Target: "openai/gpt-4o", Outcome: "ok", Status: 200, Took: time.Second},
		},
		Outcome: "ok", Status: 200, InputTokens: 1000, CachedInputTokens: 400, OutputTokens: 20, ReasoningTokens: 5,
		Hold: 5_000_000, Charge: 1_200_001, CappedBy: "balance", Dropped: []string{"user", "store"}, Left: []string{"web_search_call"}, Delivery: "complete", BytesIn: 2048, BytesOut: 512,
	}
}

func TestLineIsOneWideRecord(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			o := New(Options{Log: &out, Format: format})
			o.Done(event())
			o.Done(&Event{Start: time.Unix(0, 0).UTC(), Status: 500, Outcome: "failed", Fault: "internal", Panic: "boom \"x\"\n\x01\xff", Model: "é=ü"})
			golden(t, "line."+format, out.Bytes())
			if format != "json" {
				return
			}
			for _, l := range bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n")) {
				if !json.Valid(l) {
					t.Errorf("line is not JSON: %s", l)
				}
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestLevelGoesByWhoseMistakeItWas(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		e    Event
		want slog.Level
	}{
		{"an answer", Event{Status: 200}, slog.LevelInfo},
		{"a mistake of the caller", Event{Status: 402, Fault: "balance_insufficient"}, slog.LevelInfo},
		{"a provider that failed", Event{Status: 502, Fault: "upstream_failed"}, slog.LevelWarn},
		{"a provider that failed, where the contract says 500", Event{Status: 500, Fault: "upstream_failed"}, slog.LevelWarn},
		{"a stream that broke off", Event{Status: 200, Fault: "stream_interrupted"}, slog.LevelWarn},
		{"a defect", Event{Status: 500, Fault: "internal"}, slog.LevelError},
		{"a ledger that is down", Event{Status: 503, Fault: "ledger_unavailable"}, slog.LevelError},
		{"a panic after the status", Event{Status: 200, Panic: "x"}, slog.LevelError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			o := New(Options{Log: &out, Level: tt.want})
			o.Done(&tt.e)
			if !strings.Contains(out.String(), `"level":"`+tt.want.String()+`"`) {
				t.Errorf("Done(%+v) logged %q, want level %v", tt.e, out.String(), tt.want)
			}
			out.Reset()
			o.SetLevel(tt.want + 1)
			o.Done(&tt.e)
			if out.Len() != 0 {
				t.Errorf("Done above the level logged %q", out.String())
			}
		})
	}
}

func TestNoSecretReachesTheLog(t *testing.T) {
	t.Parallel()
	const secret = "s3cretValue0123456789abcdef"
	plain := "0123456789abcdef0123456789abcdef" // looks like nothing: must be named to Hide
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			o := New(Options{Log: &out, Format: format, Level: slog.LevelDebug})
			o.Hide(plain)
			log := o.Logger()
			log.Info("start", "api_key", secret, "Authorization", "Token "+secret, "admin_token", secret, "token", secret)
			log.Info("nested", slog.Group("provider", "name", "openai", "APIKey", secret), "err", errors.New("get https://x.test/v1?key="+secret+"&alt=sse: refused"))
			log.With("password", secret).WithGroup("g").Info("with", "x-goog-api-key", secret)
			log.Info("header", "h", http.Header{"X-Api-Key": {secret}, "Authorization": {"Bearer " + secret}})
			log.Info("struct", "c", struct{ APIKey, Name string }{secret, "n"})
			log.Info("Bearer " + secret + " was refused: Incorrect API key provided: sk-proj-" + secret)
			log.Debug("plain", "body", []byte(plain), "text", "a "+plain+" b")
			o.Done(&Event{
				ClientRequestID: "nj_sk_" + secret, Model: "sk-" + secret, Error: "upstream 401 \"Bearer " + secret + "\" " + plain, Panic: "ms-" + secret,
				Status: 500, Dropped: []string{"sk_" + secret},
			})
			if strings.Contains(out.String(), secret) || strings.Contains(out.String(), plain) {
				t.Errorf("a secret was logged:\n%s", out.String())
			}
			for _, kept := range []string{"start", "openai", "alt=sse: refused", "was refused"} {
				if !strings.Contains(out.String(), kept) {
					t.Errorf("%q was lost:\n%s", kept, out.String())
				}
			}
			if format == "json" {
				for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
					if !json.Valid([]byte(l)) {
						t.Errorf("redaction broke the line %s", l)
					}
				}
			}
		})
	}
}

// Long text is cut. What is left of a secret at the edge must not be shown: it
// no longer looks like one, or like the one that was named to Hide.
func TestNoSecretIsCutInTwo(t *testing.T) {
	t.Parallel()
	plain := "0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		secret string
		most   int
		event  func(text string) *Event
	}{
		{plain, maxLineText, func(s string) *Event { return &Event{Error: s} }},
		{plain, maxLineText, func(s string) *Event { return &Event{Panic: s} }},
		{plain, maxLineWord, func(s string) *Event { return &Event{Model: s} }},
		{"sk-proj-ZYXWVUTSRQPONMLKJIHGFEDCBA", maxLineText, func(s string) *Event { return &Event{Error: s} }},
	} {
		for keep := 4; keep < len(c.secret); keep++ {
			var out bytes.Buffer
			o := New(Options{Log: &out})
			o.Hide(plain)
			o.Done(c.event(strings.Repeat(".", c.most-keep-1) + " " + c.secret + " and more"))
			if strings.Contains(out.String(), " "+c.secret[:keep]) {
				t.Fatalf("%d bytes of the secret were logged:\n…%s", keep, out.String()[max(0, out.Len()-200):])
			}
			if got := out.Len(); got > c.most+500 {
				t.Fatalf("the line has %d bytes", got)
			}
		}
	}
}

func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	o := New(Options{Build: "v1"})
	o.Begin()
	e := event()
	o.Done(e)
	e.Charge = 1
	o.Done(e)
	e.Test = true
	o.Done(e)
	o.Done(&Event{Site: "openai", Surface: "openai.chat", Model: "made-up-by-a-caller", Status: 404, Fault: "model_not_found", Outcome: "refused"})
	o.SetModels(func(_, model string) bool { return model == "gpt-5" })
	o.Done(&Event{Site: "openai", Surface: "openai.chat", Model: "gpt-5", Status: 402, Fault: "balance_insufficient", Outcome: "refused"})
	o.Done(&Event{Model: "gpt-5\xff", Status: 402, Absorbed: 2_500_000_000, Panic: "x"})
	for range 2 {
		o.Done(&Event{Model: "gpt-5", AnsweredBy: "claude", Provider: "anthropic/claude-4", Status: 200, Absorbed: 1})
	}
	o.Done(&Event{Model: "gpt-5", Provider: "anthropic/claude-4", Status: 200, Absorbed: 1, Test: true})
	o.Gauge("held_usd", "Held.", func() float64 { return 1.5 })
	o.Counter("pontage_commits_total", "Commits.", func() float64 { return 7 })
	o.GaugeBy("breaker_open", "Open.", "target", func(emit func(string, float64)) { emit("openai/gpt-4o", 1) })
	got := scrape(t, o)
	for _, want := range []string{
		`pontage_requests_total{fault="",model="gpt-5-mini",site="openai",status="200",surface="openai.chat"} 3`,
		`pontage_requests_total{fault="model_not_found",model="other",site="openai",status="404",surface="openai.chat"} 1`,
		`pontage_requests_total{fault="balance_insufficient",model="gpt-5",site="openai",status="402",surface="openai.chat"} 1`,
		`pontage_requests_total{fault="",model="other",site="",status="402",surface=""} 1`,
		`pontage_outcomes_total{outcome="refused"} 2`,
		`pontage_request_duration_seconds_count{model="gpt-5-mini",site="openai",surface="openai.chat"} 3`,
		`pontage_ttft_seconds_bucket{model="gpt-5-mini",site="openai",surface="openai.chat",le="0.25"} 3`,
		`pontage_tokens_total{model="gpt-5-mini",site="openai",surface="openai.chat",type="cached_input"} 1200`,
		`pontage_tokens_total{model="gpt-5-mini",site="openai",surface="openai.chat",type="output"} 60`,
		`pontage_charge_usd_total{model="gpt-5-mini",site="openai",surface="openai.chat"} 0.001200002`,
		`pontage_upstream_attempts_total{outcome="upstream_failed",target="openai/gpt-5-mini"} 3`,
		`pontage_upstream_attempt_seconds_count{target="openai/gpt-4o"} 3`,
		`pontage_inflight_requests 1`,
		`pontage_absorbed_usd_total{model="other",provider=""} 2.5`,
		`pontage_absorbed_requests_total{model="other",provider=""} 1`,
		`pontage_absorbed_usd_total{model="claude",provider="anthropic"} 2e-09`,
		`pontage_absorbed_requests_total{model="claude",provider="anthropic"} 2`,
		`pontage_panics_total 1`,
		`pontage_held_usd 1.5`,
		`pontage_commits_total 7`,
		`pontage_breaker_open{target="openai/gpt-4o"} 1`,
		`pontage_log_dropped_total 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if !regexp.MustCompile(`pontage_build_info\{goversion="go[^"]+",version="v1"\} 1`).MatchString(got) {
		t.Error("metrics lack pontage_build_info")
	}
	o.End()
	if got := scrape(t, o); !strings.Contains(got, "pontage_inflight_requests 0\n") {
		t.Error("the ended request is still in flight")
	}
}

func scrape(t *testing.T, o *Obs) string {
	t.Helper()
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics = %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	c := cache[int, int]{max: 3}
	made := 0
	for k := range 10 {
		if got, want := c.get(k, -1, func(k int) int { made++; return k }), min(k, 3); got != k && got != -1 {
			t.Errorf("get(%d) = %d, want %d or the rest", k, got, want)
		}
	}
	if made != 4 || len(c.m) != 4 {
		t.Errorf("made %d values and kept %d, want 4 (three and the rest)", made, len(c.m))
	}
	if got := c.get(2, -1, nil); got != 2 {
		t.Errorf("get(2) = %d when full, want the cached 2", got)
	}
}

// stuck is a writer that blocks until it is let go.
type stuck struct {
	entered, letGo chan struct{}
	bytes.Buffer
	writes int
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.writes++; s.writes == 1 {
		close(s.entered)
		<-s.letGo
	}
	return s.Buffer.Write(p)
}

func TestSlowLogStopsNobody(t *testing.T) {
	t.Parallel()
	w := &stuck{entered: make(chan struct{}), letGo: make(chan struct{})}
	s := newSink(w)
	first := make(chan struct{})
	go func() {
		defer close(first)
		_, _ = s.Write([]byte("first\n"))
	}()
	<-w.entered
	big := append(bytes.Repeat([]byte("x"), maxPending/4-1), '\n')
	for range 6 { // returns although the writer is stuck
		_, _ = s.Write(big)
	}
	if got := s.dropped.Load(); got != 2 {
		t.Errorf("dropped %d lines, want 2: only what does not fit", got)
	}
	close(w.letGo)
	<-first
	s.flush()
	if want := len("first\n") + maxPending; w.Len() != want || w.writes != 2 {
		t.Errorf("wrote %d bytes in %d writes, want %d in 2", w.Len(), w.writes, want)
	}
}

// Whoever writes its line may wait for that; it must not be kept for the lines of
// others, which under load never end.
func TestNobodyIsKeptToWriteForOthers(t *testing.T) {
	t.Parallel()
	entered, letGo := make(chan struct{}), make(chan struct{})
	s := newSink(writerFunc(func(p []byte) (int, error) {
		entered <- struct{}{}
		<-letGo
		return len(p), nil
	}))
	first := make(chan struct{})
	go func() {
		defer close(first)
		_, _ = s.Write([]byte("first\n"))
	}()
	<-entered
	_, _ = s.Write([]byte("second\n"))
	letGo <- struct{}{}
	<-entered // the second line is being written, by whomever
	select {
	case <-first:
	case <-time.After(5 * time.Second):
		t.Error("the first is kept for the line of the second")
	}
	letGo <- struct{}{}
	s.flush()
	<-first
}

func BenchmarkDone(b *testing.B) {
	o := New(Options{Log: writerFunc(func(p []byte) (int, error) { return len(p), nil })})
	e := event()
	b.ReportAllocs()
	for b.Loop() {
		o.Done(e)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestDoneDoesNotAllocate(t *testing.T) {
	o := New(Options{Log: struct{ io.Writer }{io.Discard}})
	e := event()
	if got := testing.AllocsPerRun(200, func() { o.Done(e) }); got > 1 {
		t.Errorf("Done allocates %v times, want none (one for an emptied pool)", got)
	}
}

// What an answer cost above its charge is the operator's loss, and an alarm.
func TestWhatIsAbsorbedIsAlarmed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := New(Options{Log: &out})
	e := Event{
		ID: "req_1", Account: "acc_1", Key: "key_1", Model: "gpt-5", Provider: "openai/gpt-5", Outcome: "ok", Status: 200,
		Hold: 1_000_000, Charge: 2_000_000, Absorbed: 500_000_001,
	}
	o.Done(&e)
	e.Absorbed = 0
	o.Done(&e)
	o.Flush()
	alarms := 0
	for line := range strings.Lines(out.String()) {
		if !strings.Contains(line, `"level":"WARN"`) {
			continue
		}
		alarms++
		for _, want := range []string{
			`"msg":"an answer cost more than could be charged"`, `"id":"req_1"`, `"account":"acc_1"`, `"model":"gpt-5"`, `"provider":"openai/gpt-5"`,
			`"hold_usd":"0.001"`, `"charge_usd":"0.002"`, `"absorbed_usd":"0.500000001"`,
		} {
			if !strings.Contains(line, want) {
				t.Errorf("the alarm lacks %s: %s", want, line)
			}
		}
	}
	if alarms != 1 {
		t.Errorf("%d alarms in %s", alarms, out.String())
	}
}
