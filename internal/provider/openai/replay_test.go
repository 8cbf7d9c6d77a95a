package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
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
		if e.API == "openai.chat" || e.API == "openai.embeddings" {
			r.fixtures[e.ID] = corpus.Load(t, e)
		}
	}
	if len(r.fixtures) < 500 {
		t.Fatalf("only %d recordings", len(r.fixtures))
	}
	srv := httptest.NewServer(testkit.Replay(r.fixtures))
	t.Cleanup(srv.Close)
	t.Cleanup(r.client.CloseIdleConnections)
	r.URL = srv.URL
	return r
}

// vendorName is the row for a recording's provider.
func vendorName(f *testkit.Fixture) string {
	if _, ok := vendors[f.Provider]; ok {
		return f.Provider
	}
	return "generic"
}

func (r *replayer) provider(f *testkit.Fixture) *Provider {
	return New(Options{BaseURL: r.URL, Vendor: vendorName(f), Transport: r.client})
}

// request makes a request that the recorded answer could be one to.
func request(t *testing.T, f *testkit.Fixture) *llm.Request {
	t.Helper()
	body := []byte(`{"model":"m","messages":[]}`)
	if f.Request != nil && f.Request.JSON != nil {
		body = f.Request.JSON
	}
	raw, err := jsonx.Scan(body)
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	var b struct {
		Model         string
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	q := &llm.Request{
		Dialect: llm.OpenAIChat, Model: b.Model, Choices: 1, Inputs: 1, Raw: raw,
		Stream: f.Response.Kind == "sse", IncludeUsage: b.StreamOptions.IncludeUsage,
	}
	if f.API == "openai.embeddings" {
		q.Task, q.Dialect = llm.TaskEmbed, llm.OpenAIEmbeddings
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

// notAnswers are recordings of something else under the names of these
// surfaces: Ollama's own embeddings, and a report of usage.
var notAnswers = []string{"ollama.openai-embeddings.801261cd46", "openai.openai-embeddings.136fb97c21"}

func isAnswer(f *testkit.Fixture) bool {
	return f.Response.Status == 200 && !slices.Contains(notAnswers, f.ID) &&
		!strings.HasPrefix(f.ID, "modelled.") && !slices.Contains(f.Tags, "midstream_error")
}

var totalAlone = regexp.MustCompile(`\{"total_tokens": (\d+)\}`)

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
		evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id, Key: "k"})
		want := string(f.Response.Body())
		if errorInStream(want) {
			if err == nil {
				t.Errorf("%s: the error in the stream is not seen", id)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		// What is changed on purpose: a stream always ends with its marker.
		if q.Stream && !strings.Contains(want, "data: [DONE]") {
			want += doneFrame
		}
		if !q.Stream {
			want = strings.TrimLeft(want, " \r\n")
		}
		if f.Provider == "voyage" { // it tells a total and nothing else, and readers want the prompt's
			want = totalAlone.ReplaceAllString(want, `{"prompt_tokens":$1,"total_tokens": $1}`)
		}
		got := ""
		var usage *llm.Usage
		content, last := false, 0
		for _, e := range evs {
			got += string(e.Raw)
			if e.Usage != nil {
				usage = e.Usage
			}
			content = content || e.Content
			if e.Last {
				last++
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: bytes (-want +got):\n%s", id, d)
		}
		if last != 1 || !evs[len(evs)-1].Last {
			t.Errorf("%s: %d events are the last", id, last)
		}
		if want := hasContent(t, f); content != want {
			t.Errorf("%s: content = %v, want %v", id, content, want)
		}
		checkUsage(t, f, usage)
	}
	if n < 450 {
		t.Errorf("only %d answers were tested", n)
	}
}

func errorInStream(body string) bool {
	return strings.Contains(body, "\ndata: {\"error\":") || strings.HasPrefix(body, "data: {\"error\":")
}

// checkUsage compares with what the recording reports last.
func checkUsage(t *testing.T, f *testkit.Fixture, got *llm.Usage) {
	t.Helper()
	var u object
	for _, o := range payloads(t, f) {
		if v := obj(o["usage"]); v != nil {
			u = v
		} else if v := obj(obj(o["x_groq"])["usage"]); v != nil && obj(o["usage"]) == nil {
			u = v
		}
	}
	if num(u["total_tokens"]) == 0 && num(u["prompt_tokens"]) == 0 {
		if got != nil {
			t.Errorf("%s: usage = %+v, and none is reported", f.ID, *got)
		}
		return
	}
	if got == nil {
		t.Errorf("%s: no usage, and %v is reported", f.ID, u)
		return
	}
	total, prompt, completion := num(u["total_tokens"]), num(u["prompt_tokens"]), num(u["completion_tokens"])
	if got.Input+got.Output != total {
		t.Errorf("%s: input %d + output %d are not the total of %v", f.ID, got.Input, got.Output, u)
	}
	if got.Input != prompt && f.Provider != "voyage" && u["prompt_audio_seconds"] == nil || got.Output < completion {
		t.Errorf("%s: usage = %+v, reported %v", f.ID, *got, u)
	}
	details := obj(u["prompt_tokens_details"])
	cached := max(num(details["cached_tokens"]), num(u["prompt_cache_hit_tokens"]), num(u["cached_tokens"]), num(u["num_cached_tokens"]))
	if got.CachedInput != min(cached, got.Input) {
		t.Errorf("%s: cached input = %d, reported %v", f.ID, got.CachedInput, u)
	}
	if w := num(details["cache_write_tokens"]); got.CacheWrite+got.CacheWrite1h != w {
		t.Errorf("%s: cache writes = %d, reported %v", f.ID, got.CacheWrite, u)
	}
	reasoning := max(num(obj(u["completion_tokens_details"])["reasoning_tokens"]), num(u["reasoning_tokens"]))
	if got.Reasoning < min(reasoning, got.Output) || got.Reasoning > got.Output {
		t.Errorf("%s: reasoning = %d, reported %v", f.ID, got.Reasoning, u)
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

// understand reads events into choices.
func understand(evs []llm.Event) map[int]*said {
	out := map[int]*said{}
	at := func(choice int) *said {
		if out[choice] == nil {
			out[choice] = &said{}
		}
		return out[choice]
	}
	for _, e := range evs {
		for _, d := range e.Deltas {
			s := at(d.Choice)
			switch d.Kind {
			case llm.DeltaText:
				s.Text += d.Text
			case llm.DeltaReasoning:
				s.Thought += d.Text
			case llm.DeltaRefusal:
				s.Refusal += d.Text
			case llm.DeltaToolCall:
				s.Tools = append(s.Tools, d.ToolName+" ")
			case llm.DeltaToolArgs:
				s.Tools[d.Tool] += d.Text
			case llm.DeltaFinish:
				s.Finish = string(d.Finish)
			}
		}
		if e.Whole == nil {
			continue
		}
		for i, c := range e.Whole.Choices {
			s := at(i)
			s.Finish = string(c.Finish)
			for _, p := range c.Parts {
				switch p.Kind {
				case llm.PartText:
					s.Text += p.Text
				case llm.PartReasoning:
					s.Thought += p.Text
				case llm.PartRefusal:
					s.Refusal += p.Text
				case llm.PartToolCall:
					s.Tools = append(s.Tools, p.ToolName+" "+string(p.Args))
				}
			}
		}
	}
	return out
}

func TestRecordedAnswersKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if !isAnswer(f) || f.API != "openai.chat" || errorInStream(string(f.Response.Body())) {
			continue
		}
		n++
		q := foreign(request(t, f))
		evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		want := extract(t, f)
		for _, s := range want {
			// The canonical words: calls that were made are seen from themselves.
			switch {
			case len(s.Tools) > 0 && (s.Finish == "" || s.Finish == "stop" || s.Finish == "function_call"):
				s.Finish = "tool_calls"
			case s.Finish == "eos", s.Finish == "":
				s.Finish = "stop"
			}
			for i, call := range s.Tools {
				if strings.Count(call, " ") == 1 && strings.HasSuffix(call, " ") && !q.Stream {
					s.Tools[i] = call + "{}"
				}
			}
		}
		if d := cmp.Diff(want, understand(evs)); d != "" {
			t.Errorf("%s: meaning (-want +got):\n%s", id, d)
		}
		bytes := 0
		for _, e := range evs {
			bytes += e.OutputBytes
			if len(e.Raw) > 0 {
				t.Errorf("%s: an event for another dialect has bytes", id)
			}
		}
		least := 0
		for _, s := range want {
			least += len(s.Text) + len(s.Thought) + len(s.Refusal)
		}
		if bytes < least {
			t.Errorf("%s: output of %d bytes, want at least %d", id, bytes, least)
		}
	}
	if n < 400 {
		t.Errorf("only %d answers were tested", n)
	}
}

func TestRecordedStreamsCutAnywhereAreNeverWell(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	for id, f := range up.fixtures {
		body := string(f.Response.Body())
		if !isAnswer(f) || f.Response.Kind != "sse" || len(body) > 15_000 || errorInStream(body) {
			continue
		}
		frames := strings.SplitAfter(body, "\n\n")
		open := map[int64]bool{} // choices that have not ended
		for i := range frames {
			if i > 0 {
				track(open, frames[i-1])
			}
			ended := len(open) > 0 && !slices.Contains(slices.Collect(maps.Values(open)), true)
			part := strings.Join(frames[:i], "")
			ended = ended || strings.Contains(part, done)
			for _, tail := range []string{"", half(frames[i])} {
				q := request(t, f)
				evs, err := run(cutAt(f, part+tail), provider.Call{Request: q, Model: q.Model})
				f := &provider.Failure{}
				switch {
				case ended && err != nil:
					t.Errorf("%s cut before event %d, after its finish: %v", id, i, err)
				case !ended && (!errors.As(err, &f) || f.Fault.Code != fault.StreamInterrupted || !f.Failover || !f.Sent):
					t.Errorf("%s cut before event %d with %.20q: %v after %d events", id, i, tail, err, len(evs))
				}
			}
		}
	}
}

// track notes which choices a frame opens and ends.
func track(open map[int64]bool, frame string) {
	_, data, _ := strings.Cut(frame, "data:")
	var o object
	if json.Unmarshal([]byte(data), &o) != nil {
		return
	}
	for _, c := range list(o["choices"]) {
		index := num(obj(c)["index"])
		if still, known := open[index]; !known || still {
			open[index] = str(obj(c)["finish_reason"]) == ""
		}
	}
}

func half(s string) string { return s[:len(s)/2] }

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
func cutAt(f *testkit.Fixture, part string) *Provider {
	return New(Options{BaseURL: "http://x/v1", Vendor: vendorName(f), Transport: canned{
		status: 200, header: http.Header{"Content-Type": {"text/event-stream"}},
		body: func() io.Reader { return strings.NewReader(part) },
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
		body := string(f.Response.Body())
		if !isAnswer(f) || f.Response.Kind != "sse" || len(body) > 2500 || errorInStream(body) || n == 3 {
			continue
		}
		n++
		for _, q := range []*llm.Request{request(t, f), foreign(request(t, f))} {
			c := provider.Call{Request: q, Model: q.Model}
			evs, err := run(cutAt(f, body), c)
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			want := print(evs)
			for at := range body {
				p := cutAt(f, body)
				p.transport = canned{200, http.Header{"Content-Type": {"text/event-stream"}}, func() io.Reader {
					return io.MultiReader(strings.NewReader(body[:at]), strings.NewReader(body[at:]))
				}}
				evs, err := run(p, c)
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
