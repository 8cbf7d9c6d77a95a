package responses

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replayer is an upstream that answers with the recording that X-Request-Id
// names.
type replayer struct {
	URL      string
	fixtures map[string]*testkit.Fixture
	client   *http.Transport
}

func newReplayer(t *testing.T) *replayer {
	t.Helper()
	corpus := testkit.Fixtures(t)
	r := &replayer{fixtures: map[string]*testkit.Fixture{}, client: provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)}
	for _, e := range corpus.Entries {
		if e.API == "openai.responses" && !strings.HasPrefix(e.ID, "modelled.") {
			r.fixtures[e.ID] = corpus.Load(t, e)
		}
	}
	if len(r.fixtures) < 240 {
		t.Fatalf("only %d recordings", len(r.fixtures))
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/v1/responses" {
			t.Errorf("a request for %s", req.URL.Path)
		}
		testkit.Replay(r.fixtures).ServeHTTP(w, req)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(r.client.CloseIdleConnections)
	r.URL = srv.URL + "/v1"
	return r
}

func (r *replayer) provider(f *testkit.Fixture) *Provider {
	return New(Options{Name: "up", BaseURL: r.URL, Family: f.Provider, Transport: r.client})
}

// request makes a request that the recorded answer could be one to.
func request(t *testing.T, f *testkit.Fixture) *llm.Request {
	t.Helper()
	body := []byte(`{"model":"m","input":"Hello"}`)
	if f.Request != nil && bytes.HasPrefix(f.Request.JSON, []byte("{")) {
		body = f.Request.JSON
	}
	raw, err := jsonx.Scan(body)
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	// What the gateway's own store has done by now.
	raw, err = jsonx.Scan(raw.Splice(llm.Edit{Name: "previous_response_id"}, llm.Edit{Name: "conversation"}))
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	var b struct{ Model string }
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	return &llm.Request{
		Dialect: llm.OpenAIResponses, Model: b.Model, Choices: 1, Inputs: 1, Raw: raw, Stream: f.Response.Kind == "sse",
	}
}

// foreign makes q a request of another dialect.
func foreign(q *llm.Request) *llm.Request {
	q.Dialect = llm.Simple
	q.DecodeChat = func() (*llm.Chat, error) {
		return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "Hello"}}}}}, nil
	}
	return q
}

// run sends one request and reads the answer.
func run(p *Provider, c provider.Call) ([]llm.Event, error) {
	s, err := p.Open(context.Background(), c)
	if err != nil {
		return nil, err
	}
	return testkit.Drain(s)
}

// ends reports whether a recorded answer came to an end that is one: not failed,
// and not left to the background.
func ends(t *testing.T, f *testkit.Fixture) bool {
	if f.Response.Status != 200 {
		return false
	}
	switch str(response(t, f)["status"]) {
	case "completed", "incomplete":
		return true
	}
	return false
}

func TestRecordedAnswersPassThroughByteForByte(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if !ends(t, f) {
			continue
		}
		n++
		q := request(t, f)
		evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id, Key: "k"})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		// What is changed on purpose: the marker of chat completions.
		want := strings.TrimSuffix(one(f), "data: [DONE]\n\n")
		got := ""
		var usage *llm.Usage
		content := false
		for i, e := range evs {
			got += string(e.Raw)
			if e.Usage != nil {
				usage = e.Usage
			}
			content = content || e.Content
			if last := i == len(evs)-1; e.Last != last || (e.Finish != "") != last {
				t.Errorf("%s: event %d of %d: last %v, finish %q", id, i, len(evs), e.Last, e.Finish)
			}
		}
		if got != want {
			t.Errorf("%s: bytes (-want +got):\n%.2000s", id, cmp.Diff(want, got))
		}
		if items := len(outputs(t, f)); content != (items > 0) {
			t.Errorf("%s: content = %v, and there are %d items", id, content, items)
		}
		checkUsage(t, f, usage)
	}
	if n < 215 {
		t.Errorf("only %d answers were tested", n)
	}
}

// checkUsage compares with what the recording reports.
func checkUsage(t *testing.T, f *testkit.Fixture, got *llm.Usage) {
	t.Helper()
	u := obj(response(t, f)["usage"])
	if num(u["input_tokens"]) == 0 {
		if got != nil {
			t.Errorf("%s: usage = %+v, and none is reported", f.ID, *got)
		}
		return
	}
	in, out := obj(u["input_tokens_details"]), obj(u["output_tokens_details"])
	want := llm.Usage{
		Input: num(u["input_tokens"]), CachedInput: num(in["cached_tokens"]), CacheWrite: num(in["cache_write_tokens"]),
		Output: num(u["output_tokens"]), Reasoning: num(out["reasoning_tokens"]),
	}
	if response(t, f)["service_tier"] == "priority" {
		want.Tier = llm.TierPriority
	}
	if got == nil || *got != want {
		t.Errorf("%s: usage = %+v, reported %v", f.ID, got, u)
	}
	if got != nil && got.Input+got.Output != num(u["total_tokens"]) {
		t.Errorf("%s: input %d + output %d are not the total of %v", f.ID, got.Input, got.Output, u)
	}
}

func TestRecordedAnswersKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if !ends(t, f) {
			continue
		}
		n++
		q := foreign(request(t, f))
		evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		want, got := extract(t, f), understand(evs)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: meaning (-want +got):\n%s", id, d)
		}
		bytes := 0
		for _, e := range evs {
			bytes += e.OutputBytes
			if len(e.Raw) > 0 {
				t.Errorf("%s: an event for another dialect has bytes", id)
			}
		}
		if least := len(want.Text) + len(want.Refusal); bytes < least {
			t.Errorf("%s: output of %d bytes, want at least %d", id, bytes, least)
		}
	}
	if n < 215 {
		t.Errorf("only %d answers were tested", n)
	}
}

func TestRecordedFailuresAreSeen(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	count := map[fault.Code]int{}
	for id, f := range up.fixtures {
		if ends(t, f) {
			continue
		}
		for _, q := range []*llm.Request{request(t, f), foreign(request(t, f))} {
			evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id})
			var fail *provider.Failure
			if !errors.As(err, &fail) {
				t.Errorf("%s: %d events and %v", id, len(evs), err)
				continue
			}
			for _, e := range evs {
				if e.Content {
					t.Errorf("%s: content before the failure", id)
				}
			}
			text := string(f.Response.Body())
			var want fault.Code
			switch {
			case strings.Contains(text, "ncorrect API key"):
				want = fault.UpstreamAuth
			case strings.Contains(text, "insufficient_quota"):
				want = fault.UpstreamQuota
			case strings.Contains(text, "model_not_found"):
				want = fault.ModelNotFound
			case strings.Contains(text, "context_length_exceeded"):
				want = fault.ContextLengthExceeded
			case strings.Contains(text, "Unsupported parameter"):
				want = fault.UnsupportedParameter
			case strings.Contains(text, "Invalid schema"):
				want = fault.InvalidJSONSchema
			case strings.Contains(text, `"invalid_value"`), strings.Contains(text, "below_min_value"), strings.Contains(text, "unsupported_file"),
				strings.Contains(text, "required following item"):
				want = fault.InvalidParameter
			case strings.Contains(text, `"queued"`):
				want = fault.UpstreamFailed
			}
			if fail.Fault.Code != want {
				t.Errorf("%s: %v of %.200s, want %v", id, err, text, want)
			}
			if f.Response.Status == 200 && !fail.Failover {
				t.Errorf("%s: no failover after %v, and no content has come", id, err)
			}
			count[want]++
		}
	}
	t.Log(count)
	if len(count) < 8 {
		t.Errorf("only %v", count)
	}
}

func TestRecordedStreamsCutAnywhereAreNeverWell(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		body := one(f)
		if !ends(t, f) || f.Response.Kind != "sse" || len(body) > 12_000 {
			continue
		}
		n++
		frames := strings.SplitAfter(strings.TrimSuffix(body, "data: [DONE]\n\n"), "\n\n")
		for i := range len(frames) - 1 {
			part := strings.Join(frames[:i], "")
			for _, tail := range []string{"", frames[i][:len(frames[i])/2]} {
				q := request(t, f)
				evs, err := run(cutAt(part+tail), provider.Call{Request: q, Model: q.Model})
				fail := &provider.Failure{}
				if !errors.As(err, &fail) || fail.Fault.Code != fault.StreamInterrupted || !fail.Failover || !fail.Sent {
					t.Errorf("%s cut before event %d with %.20q: %v after %d events", id, i, tail, err, len(evs))
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d streams were cut", n)
	}
}

// canned is a transport that gives one answer.
type canned struct {
	status int
	header http.Header
	body   func() io.Reader
}

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: c.header, Body: io.NopCloser(c.body())}, nil
}

// cutAt is a provider whose connection ends after part.
func cutAt(parts ...string) *Provider {
	return New(Options{Name: "up", BaseURL: "http://x/v1", Transport: canned{
		status: 200, header: http.Header{"Content-Type": {"text/event-stream"}},
		body: func() io.Reader {
			rs := make([]io.Reader, len(parts))
			for i, p := range parts {
				rs[i] = strings.NewReader(p)
			}
			return io.MultiReader(rs...)
		},
	}})
}

// print writes events down so that they can be compared, but for More, which
// tells how the bytes came.
func print(evs []llm.Event) string {
	var b strings.Builder
	for _, e := range evs {
		e.More, e.Usage, e.Calls = false, nil, nil
		fmt.Fprintf(&b, "%+v\n", e)
	}
	return b.String()
}

func TestRecordedStreamsSplitAnywhereAreTheSame(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for _, id := range slices.Sorted(maps.Keys(up.fixtures)) {
		f := up.fixtures[id]
		body := one(f)
		if !ends(t, f) || f.Response.Kind != "sse" || len(body) > 8_000 || n == 3 {
			continue
		}
		n++
		for _, q := range []*llm.Request{request(t, f), foreign(request(t, f))} {
			c := provider.Call{Request: q, Model: q.Model}
			evs, err := run(cutAt(body), c)
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			want := print(evs)
			for at := 0; at < len(body); at += 1 + len(body)/120 {
				evs, err := run(cutAt(body[:at], body[at:]), c)
				if got := print(evs); err != nil || got != want {
					t.Fatalf("%s split at %d: %v (-want +got):\n%s", id, at, err, cmp.Diff(want, got))
				}
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d streams were split", n)
	}
}
