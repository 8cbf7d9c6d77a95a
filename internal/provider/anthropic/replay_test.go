package anthropic

import (
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
	fixtures map[string]*testkit.Fixture
	provider *Provider
}

func newReplayer(t *testing.T) *replayer {
	t.Helper()
	corpus := testkit.Fixtures(t)
	r := &replayer{fixtures: map[string]*testkit.Fixture{}}
	for _, e := range corpus.Entries {
		if e.API == "anthropic.messages" || e.API == "anthropic.count_tokens" {
			r.fixtures[e.ID] = corpus.Load(t, e)
		}
	}
	if len(r.fixtures) < 200 {
		t.Fatalf("only %d recordings", len(r.fixtures))
	}
	srv := httptest.NewServer(testkit.Replay(r.fixtures))
	tr := provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	t.Cleanup(srv.Close)
	t.Cleanup(tr.CloseIdleConnections)
	r.provider = New(Options{BaseURL: srv.URL, Transport: tr})
	return r
}

// request makes a request that the recorded answer could be one to.
func request(t *testing.T, f *testkit.Fixture) *llm.Request {
	t.Helper()
	body := []byte(`{"model":"m","max_tokens":5,"messages":[]}`)
	if f.Request != nil && f.Request.JSON != nil {
		body = f.Request.JSON
	}
	raw, err := jsonx.Scan(body)
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	var b struct{ Model string }
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	q := &llm.Request{
		Dialect: llm.AnthropicMessages, Model: b.Model, Choices: 1, Raw: raw, HasMaxOutput: true,
		Stream: f.Response.Kind == "sse",
	}
	if f.API == "anthropic.count_tokens" {
		q.Task, q.Dialect = llm.TaskCountTokens, llm.AnthropicCountTokens
	}
	return q
}

// foreign makes q a request of another dialect.
func foreign(q *llm.Request) *llm.Request {
	q.Dialect = llm.OpenAIChat
	q.DecodeChat = func() (*llm.Chat, error) {
		return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "Hello"}}}}}, nil
	}
	return q
}

func run(p *Provider, c provider.Call) ([]llm.Event, error) {
	s, err := p.Open(context.Background(), c)
	if err != nil {
		return nil, err
	}
	return testkit.Drain(s)
}

func isAnswer(f *testkit.Fixture) bool {
	return f.Response.Status == 200 && !strings.HasPrefix(f.ID, "modelled.")
}

// understand reads events.
func understand(t *testing.T, evs []llm.Event) (s said) {
	var args []string
	for _, e := range evs {
		for _, d := range e.Deltas {
			switch d.Kind {
			case llm.DeltaText:
				s.Text += d.Text
			case llm.DeltaReasoning:
				s.Thought += d.Text
			case llm.DeltaSignature:
				s.Seal += d.Text
			case llm.DeltaRedacted:
				s.Redacted = append(s.Redacted, d.Text)
			case llm.DeltaRefusal:
				s.Refusal += d.Text
			case llm.DeltaCitation:
				s.Citations++
			case llm.DeltaToolCall:
				s.Tools = append(s.Tools, d.ToolName+" ")
				args = append(args, "")
			case llm.DeltaToolArgs:
				args[d.Tool] += d.Text
			case llm.DeltaFinish:
				s.Finish, s.Sequence = string(d.Finish), d.StopSequence
			}
		}
		if e.Whole == nil {
			continue
		}
		c := e.Whole.Choices[0]
		s.Finish, s.Sequence = string(c.Finish), c.StopSequence
		for _, p := range c.Parts {
			switch p.Kind {
			case llm.PartText:
				s.Text += p.Text
				var notes []any
				if p.Citations != nil && json.Unmarshal(p.Citations, &notes) != nil {
					t.Errorf("citations are %s", p.Citations)
				}
				s.Citations += len(notes)
			case llm.PartReasoning:
				s.Thought += p.Text
				s.Seal += p.Signature
			case llm.PartRedacted:
				s.Redacted = append(s.Redacted, p.Data)
			case llm.PartRefusal:
				s.Refusal += p.Text
			case llm.PartToolCall:
				s.Tools = append(s.Tools, p.ToolName+" ")
				args = append(args, string(p.Args))
			}
		}
	}
	for i := range args {
		s.Tools[i] += normal(t, args[i])
	}
	return s
}

func TestRecordedAnswersPassThroughByteForByte(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if !isAnswer(f) {
			continue
		}
		n++
		q := request(t, f)
		evs, err := run(up.provider, provider.Call{Request: q, Model: q.Model, RequestID: id, Key: "k"})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		want := strings.TrimLeft(string(f.Response.Body()), " \r\n")
		// What is changed on purpose: nothing follows the end (OpenRouter's
		// imitation adds a [DONE]).
		if i := strings.Index(want, "event: data\ndata: [DONE]"); i >= 0 {
			want = want[:i]
		}
		got, content, bytes := "", false, 0
		var usage *llm.Usage
		var finish llm.Finish
		for _, e := range evs {
			got += string(e.Raw)
			content = content || e.Content
			bytes += e.OutputBytes
			if e.Usage != nil {
				usage = e.Usage
			}
			if e.Finish != "" {
				finish = e.Finish
			}
		}
		if d := cmp.Diff(strings.TrimRight(want, "\r\n"), strings.TrimRight(got, "\r\n")); d != "" {
			t.Errorf("%s: bytes (-want +got):\n%s", id, d)
		}
		if q.Stream && !strings.HasSuffix(got, "\n\n") && !strings.HasSuffix(got, "\r\n\r\n") {
			t.Errorf("%s: the last event does not end", id)
		}
		s := extract(t, f)
		full := s.Text+s.Thought+s.Seal != "" || len(s.Redacted)+len(s.Tools)+s.Citations > 0 || s.Hosted || q.Task == llm.TaskCountTokens
		if content != full {
			t.Errorf("%s: content = %v, want %v", id, content, full)
		}
		if least := len(s.Text) + len(s.Thought); bytes < least {
			t.Errorf("%s: output of %d bytes, want at least %d", id, bytes, least)
		}
		if q.Task == llm.TaskCountTokens {
			continue
		}
		if string(finish) != finishes[s.Finish] {
			t.Errorf("%s: finish = %s, recorded %s", id, finish, s.Finish)
		}
		checkUsage(t, f, usage)
	}
	if n < 180 {
		t.Errorf("only %d answers were tested", n)
	}
}

// finishes is the table of protocols.md §3.9.
var finishes = map[string]string{
	"end_turn": "stop", "stop_sequence": "stop_sequence", "max_tokens": "length", "tool_use": "tool_calls",
	"pause_turn": "pause_turn", "refusal": "content_filter", "model_context_window_exceeded": "context_window",
}

// checkUsage compares with what the recording reports last of each number.
func checkUsage(t *testing.T, f *testkit.Fixture, got *llm.Usage) {
	t.Helper()
	last := object{}
	for _, o := range payloads(t, f) {
		for _, u := range []object{obj(obj(o["message"])["usage"]), obj(o["usage"])} {
			for k, v := range u {
				if v != nil {
					last[k] = v
				}
			}
		}
	}
	read, written := number(last["cache_read_input_tokens"]), number(last["cache_creation_input_tokens"])
	want := llm.Usage{
		Input:       number(last["input_tokens"]) + read + written,
		CachedInput: read,
		Output:      number(last["output_tokens"]),
		Reasoning:   number(obj(last["output_tokens_details"])["thinking_tokens"]),
	}
	want.CacheWrite1h = number(obj(last["cache_creation"])["ephemeral_1h_input_tokens"])
	want.CacheWrite = written - want.CacheWrite1h
	if want.Input == 0 {
		if got != nil {
			t.Errorf("%s: usage = %+v, reported %v", f.ID, *got, last)
		}
		return
	}
	if got == nil || *got != want {
		t.Errorf("%s: usage = %+v, want %+v of %v", f.ID, got, want, last)
	}
}

func TestRecordedAnswersKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	for id, f := range up.fixtures {
		if !isAnswer(f) || f.API != "anthropic.messages" {
			continue
		}
		q := foreign(request(t, f))
		evs, err := run(up.provider, provider.Call{Request: q, Model: q.Model, RequestID: id})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		want := extract(t, f)
		want.Hosted = false
		want.Finish = finishes[want.Finish]
		if want.Finish == "stop" && len(want.Tools) > 0 {
			want.Finish = "tool_calls" // seen from the calls
		}
		if d := cmp.Diff(want, understand(t, evs)); d != "" {
			t.Errorf("%s: meaning (-want +got):\n%s", id, d)
		}
		for _, e := range evs {
			if len(e.Raw) > 0 {
				t.Errorf("%s: an event for another dialect has bytes", id)
			}
		}
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

// saying is a provider that answers with an event stream of these parts, read
// one after another.
func saying(parts ...string) *Provider {
	return New(Options{Transport: canned{
		status: 200, header: http.Header{"Content-Type": {"text/event-stream"}},
		body: func() io.Reader {
			var rs []io.Reader
			for _, p := range parts {
				rs = append(rs, strings.NewReader(p))
			}
			return io.MultiReader(rs...)
		},
	}})
}

func TestRecordedStreamsCutAnywhereAreNeverWell(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	for id, f := range up.fixtures {
		body := string(f.Response.Body())
		if !isAnswer(f) || f.Response.Kind != "sse" || len(body) > 15_000 {
			continue
		}
		frames := strings.SplitAfter(body, "\n\n")
		for i := range frames {
			part := strings.Join(frames[:i], "")
			ended := strings.Contains(part, "event: message_delta")
			for _, tail := range []string{"", frames[i][:len(frames[i])/2]} {
				q := request(t, f)
				evs, err := run(saying(part+tail), provider.Call{Request: q, Model: q.Model})
				var fail *provider.Failure
				switch {
				case ended && (err != nil || !evs[len(evs)-1].Last):
					t.Errorf("%s cut before event %d, after its stop reason: %v", id, i, err)
				case !ended && (!errors.As(err, &fail) || fail.Fault.Code != fault.StreamInterrupted || !fail.Failover || !fail.Sent):
					t.Errorf("%s cut before event %d with %.20q: %v after %d events", id, i, tail, err, len(evs))
				}
			}
		}
	}
}

// print writes events down so that they can be compared, but for More, which
// tells how the bytes came.
func print(evs []llm.Event) string {
	var b strings.Builder
	for _, e := range evs {
		e.More = false
		if e.Usage != nil {
			fmt.Fprintf(&b, "%+v ", *e.Usage)
			e.Usage = nil
		}
		if e.Calls != nil {
			fmt.Fprintf(&b, "%+v ", *e.Calls)
			e.Calls = nil
		}
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
		body := string(f.Response.Body())
		if !isAnswer(f) || f.Response.Kind != "sse" || len(body) > 2500 || n == 3 {
			continue
		}
		n++
		for _, q := range []*llm.Request{request(t, f), foreign(request(t, f))} {
			c := provider.Call{Request: q, Model: q.Model}
			evs, err := run(saying(body), c)
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			want := print(evs)
			for at := range body {
				evs, err := run(saying(body[:at], body[at:]), c)
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

func TestErrorsWithinStreamsAreFailures(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if f.Response.Status != 200 || !strings.HasPrefix(id, "modelled.") {
			continue
		}
		n++
		want := fault.UpstreamOverloaded
		if slices.Contains(f.Tags, "truncated") {
			want = fault.StreamInterrupted
		}
		for _, q := range []*llm.Request{request(t, f), foreign(request(t, f))} {
			evs, err := run(up.provider, provider.Call{Request: q, Model: q.Model, RequestID: id})
			if !fault.Is(err, want) || len(evs) < 3 {
				t.Errorf("%s: %v after %d events, want %v", id, err, len(evs), want)
			}
		}
	}
	if n < 2 {
		t.Errorf("only %d streams", n)
	}
}
