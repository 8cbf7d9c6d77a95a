package gemini

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
		if (e.API == "gemini.generateContent" || e.API == "gemini.streamGenerateContent") && !slices.Contains(notAnswers, e.ID) {
			r.fixtures[e.ID] = corpus.Load(t, e)
		}
	}
	if len(r.fixtures) < 200 {
		t.Fatalf("only %d recordings", len(r.fixtures))
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f := r.fixtures[req.Header.Get("X-Request-Id")]
		body := string(f.Response.Body())
		for k, v := range f.Response.Header() {
			w.Header()[k] = v
		}
		if streams := strings.HasSuffix(req.URL.Path, ":streamGenerateContent"); streams != isStream(f) || streams != (req.URL.Query().Get("alt") == "sse") {
			t.Errorf("%s: asked for %s", f.ID, req.URL)
		}
		if isStream(f) && f.Response.Status == 200 {
			w.Header().Set("Content-Type", "text/event-stream")
			body = framed(t, f)
		}
		w.WriteHeader(f.Response.Status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(r.client.CloseIdleConnections)
	r.URL = srv.URL
	return r
}

func isStream(f *testkit.Fixture) bool { return f.API == "gemini.streamGenerateContent" }

// notAnswers are recordings of something else: batches that were begun.
var notAnswers = []string{"gemini.gemini-generatecontent.fa17374622", "gemini.gemini-generatecontent.8642edfb3a"}

func (r *replayer) provider(f *testkit.Fixture) *Provider {
	o := Options{Name: "google", BaseURL: r.URL, Transport: r.client}
	if f.Provider == "vertex" {
		o.Vertex = &Vertex{Project: "p", Location: "us-east5"}
	}
	return New(o)
}

// request makes a request that the recorded answer could be one to.
func request(t *testing.T, f *testkit.Fixture) *llm.Request {
	t.Helper()
	body := []byte(`{"contents":[]}`)
	if f.Request != nil && len(f.Request.JSON) > 0 && f.Request.JSON[0] == '{' {
		body = f.Request.JSON
	}
	raw, err := jsonx.Scan(body)
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	return &llm.Request{
		Dialect: llm.GeminiGenerate, Model: "m", Choices: 1, Inputs: 1, Raw: raw, Stream: isStream(f),
	}
}

// foreign makes q a request of another dialect.
func foreign(q *llm.Request) *llm.Request {
	q.Dialect = llm.OpenAIChat
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

// Recordings of answers that are none: an invalid one, prompts that were blocked,
// answers that the model gave up, and answers with images or sound.
var (
	invalid = []string{
		"vertex.gemini-streamgeneratecontent.b5ecf962b9",
		"vertex.gemini-streamgeneratecontent.77b5cdcfe9", // it has no finish reason
	}
	stopped = []string{
		"gemini.gemini-streamgeneratecontent.efb8c700cd", "vertex.gemini-generatecontent.67602f199d", "vertex.gemini-generatecontent.b5c5eaa7bc",
		"vertex.gemini-generatecontent.d5d75fd91b", "vertex.gemini-streamgeneratecontent.5b5182df4b",
	}
	gaveUp = []string{
		"gemini.gemini-generatecontent.5343cde045", "vertex.gemini-generatecontent.665417c195",
		"modelled.gemini.200-malformed-function-call-t",
	}
	broken = "modelled.gemini.midstream-error-t" // an error stands in it as bare JSON
)

func sounds(f *testkit.Fixture) bool {
	return strings.Contains(string(f.Response.Body()), `"audio/`)
}

func TestRecordedAnswersPassThroughByteForByte(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if f.Response.Status != 200 {
			continue
		}
		n++
		q := request(t, f)
		evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id, Key: "k"})
		// Nothing of these is worth telling: what the model gave up can be asked again.
		if slices.Contains(invalid, id) || slices.Contains(gaveUp, id) || id == broken {
			if verdict(err) != refusedAnswer(f) {
				t.Errorf("%s: %v", id, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		want := string(f.Response.Body())
		if isStream(f) {
			want = framed(t, f)
		} else {
			want = strings.TrimLeft(want, " \r\n")
		}
		got, content, last := "", false, 0
		var usage *llm.Usage
		finish := llm.Finish("")
		for _, e := range evs {
			got += string(e.Raw)
			if e.Usage != nil {
				usage = e.Usage
			}
			content = content || e.Content
			finish = finish.And(e.Finish)
			if e.Last {
				last++
			}
		}
		if strings.TrimRight(want, "\r\n") != strings.TrimRight(got, "\r\n") {
			t.Errorf("%s: bytes (-want +got):\n%s", id, cmp.Diff(want, got))
		}
		if last != 1 || !evs[len(evs)-1].Last {
			t.Errorf("%s: %d events are the last", id, last)
		}
		if finish == "" {
			t.Errorf("%s: does not end", id)
		}
		if slices.Contains(stopped, id) && (content || finish != llm.FinishContentFilter) {
			t.Errorf("%s: content %v, finish %s of a prompt that was blocked", id, content, finish)
		}
		checkUsage(t, f, usage)
	}
	if n < 175 {
		t.Errorf("only %d answers were tested", n)
	}
}

// checkUsage compares with what the recording reports last.
func checkUsage(t *testing.T, f *testkit.Fixture, got *llm.Usage) {
	t.Helper()
	u := reported(t, string(f.Response.Body()))
	if number(u["promptTokenCount"]) == 0 {
		if got != nil {
			t.Errorf("%s: usage = %+v, reported %v", f.ID, *got, u)
		}
		return
	}
	want := llm.Usage{
		Input:       number(u["promptTokenCount"]) + number(u["toolUsePromptTokenCount"]),
		CachedInput: number(u["cachedContentTokenCount"]),
		Output:      number(u["candidatesTokenCount"]) + number(u["thoughtsTokenCount"]),
		Reasoning:   number(u["thoughtsTokenCount"]),
		ImageInput:  modality(u["promptTokensDetails"], "IMAGE") - modality(u["cacheTokensDetails"], "IMAGE"),
		AudioInput:  modality(u["promptTokensDetails"], "AUDIO") - modality(u["cacheTokensDetails"], "AUDIO"),
		ImageOutput: modality(u["candidatesTokensDetails"], "IMAGE"),
		AudioOutput: modality(u["candidatesTokensDetails"], "AUDIO"),
	}
	if u["trafficType"] == "ON_DEMAND_FLEX" {
		want.Tier = llm.TierFlex
	}
	if got == nil || *got != want || got.Input+got.Output != number(u["totalTokenCount"]) {
		t.Errorf("%s: usage = %+v, reported %v", f.ID, got, u)
	}
}

// modality returns how many tokens of a list are of one kind.
func modality(list any, kind string) (n int64) {
	all, _ := list.([]any)
	for _, x := range all {
		if m, ok := x.(map[string]any); ok && m["modality"] == kind {
			n += number(m["tokenCount"])
		}
	}
	return n
}

// understand reads events into candidates. Arguments come out as Go's own JSON.
func understand(t *testing.T, id string, evs []llm.Event) map[int]*said {
	t.Helper()
	out := map[int]*said{}
	at := func(choice int) *said {
		if out[choice] == nil {
			out[choice] = &said{}
		}
		return out[choice]
	}
	seal := func(s *said, sealed string) {
		if sealed == "" {
			return
		}
		issuer, state, ok := llm.Unseal(sealed)
		if !ok || issuer != "google" {
			t.Errorf("%s: %q is no seal of ours", id, sealed)
		}
		s.Seals = append(s.Seals, state)
	}
	ids := map[string]bool{}
	part := func(s *said, p *llm.Part) {
		switch p.Kind {
		case llm.PartText:
			s.Text += p.Text
		case llm.PartReasoning:
			s.Thought += p.Text
		case llm.PartToolCall:
			if p.ToolID == "" || ids[p.ToolID] {
				t.Errorf("%s: a call has the id %q", id, p.ToolID)
			}
			ids[p.ToolID] = true
			s.Tools = append(s.Tools, p.ToolName+" ")
		}
		seal(s, p.Signature)
	}
	for _, e := range evs {
		for _, d := range e.Deltas {
			s := at(d.Choice)
			switch d.Kind {
			case llm.DeltaText:
				part(s, &llm.Part{Text: d.Text, Signature: d.Signature})
			case llm.DeltaReasoning:
				s.Thought += d.Text
			case llm.DeltaSignature:
				seal(s, d.Text)
			case llm.DeltaToolCall:
				part(s, &llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName, Signature: d.Signature})
			case llm.DeltaToolArgs:
				s.Tools[d.Tool] += d.Text
			case llm.DeltaImage:
				s.Images = append(s.Images, d.Image.MediaType+" "+d.Image.Data)
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
			for j := range c.Parts {
				if p := &c.Parts[j]; p.Kind == llm.PartImage {
					s.Images = append(s.Images, p.MediaType+" "+p.Data)
					continue
				}
				part(s, &c.Parts[j])
				if c.Parts[j].Kind == llm.PartToolCall {
					s.Tools[len(s.Tools)-1] += string(c.Parts[j].Args)
				}
			}
		}
	}
	for _, s := range out {
		for i, call := range s.Tools {
			name, args, _ := strings.Cut(call, " ")
			var v any
			if err := json.Unmarshal([]byte(args), &v); err != nil {
				t.Errorf("%s: arguments %s: %v", id, args, err)
			}
			s.Tools[i] = name + " " + compact(v)
		}
	}
	return out
}

func TestRecordedAnswersKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if f.Response.Status != 200 {
			continue
		}
		n++
		q := foreign(request(t, f))
		evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id})
		if want := refusedAnswer(f); want != "" {
			if got := verdict(err); got != want {
				t.Errorf("%s: %s, want %s", id, got, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		body := string(f.Response.Body())
		want := extract(t, body)
		least := 0
		for _, s := range want {
			s.Finish = canonical(s)
			least += len(s.Text) + len(s.Thought)
		}
		if d := cmp.Diff(want, understand(t, id, evs)); d != "" {
			t.Errorf("%s: meaning (-want +got):\n%s", id, d)
		}
		bytes := 0
		var usage *llm.Usage
		for _, e := range evs {
			bytes += e.OutputBytes
			if len(e.Raw) > 0 {
				t.Errorf("%s: an event for another dialect has bytes", id)
			}
			if e.Usage != nil {
				usage = e.Usage
			}
		}
		if bytes < least {
			t.Errorf("%s: output of %d bytes, want at least %d", id, bytes, least)
		}
		checkUsage(t, f, usage)
	}
	if n < 175 {
		t.Errorf("only %d answers were tested", n)
	}
}

// refusedAnswer is what becomes of a recording that is no answer to a caller of
// another dialect.
func refusedAnswer(f *testkit.Fixture) string {
	switch {
	case slices.Contains(invalid, f.ID):
		return "stream_interrupted RFBS"
	case f.ID == broken:
		return "upstream_overloaded RFBS"
	case slices.Contains(stopped, f.ID):
		return "content_policy S"
	case slices.Contains(gaveUp, f.ID):
		return "upstream_failed RFS"
	case sounds(f):
		return "unsupported_parameter S"
	}
	return ""
}

// verdict writes a failure down: R retry, F fail over, Q quarantine, B breaker, S
// sent.
func verdict(err error) string {
	f := &provider.Failure{}
	if !errors.As(err, &f) {
		return fmt.Sprint(err)
	}
	out := f.Fault.Code.String() + " "
	for _, x := range []struct {
		set  bool
		name string
	}{{f.Retry, "R"}, {f.Failover, "F"}, {f.Quarantine, "Q"}, {f.Breaker, "B"}, {f.Sent, "S"}} {
		if x.set {
			out += x.name
		}
	}
	return strings.TrimSpace(out)
}

// TestRecordedErrors replays every recorded refusal.
func TestRecordedErrors(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if f.Response.Status == 200 {
			continue
		}
		n++
		want := map[int]string{400: "invalid_request", 403: "upstream_auth FQ", 404: "model_not_found F", 429: "upstream_rate_limited RF", 500: "upstream_failed RFBS", 503: "upstream_overloaded RFB"}[f.Response.Status]
		body := string(f.Response.Body())
		switch {
		case strings.Contains(body, "API_KEY_INVALID"):
			want = "upstream_auth FQ"
		case strings.Contains(body, "FAILED_PRECONDITION"):
			want = "upstream_failed FB"
		case strings.Contains(body, "has not been used in project"):
			want = "upstream_failed FB"
		}
		q := foreign(request(t, f))
		_, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id})
		if got := verdict(err); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
		if err != nil && strings.Contains(err.Error(), "AIzv00G7") {
			t.Errorf("%s: the failure tells a key: %v", id, err)
		}
	}
	if n < 20 {
		t.Errorf("only %d errors were tested", n)
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

// saying is a provider that answers with body.
func saying(contentType string, body func() io.Reader) *Provider {
	return New(Options{Name: "google", BaseURL: "http://x", Transport: canned{200, http.Header{"Content-Type": {contentType}}, body}})
}

func cutAt(part string) *Provider {
	return saying("text/event-stream", func() io.Reader { return strings.NewReader(part) })
}

// streams are the recorded streams of at most so many bytes that end well.
func (r *replayer) streams(t *testing.T, most int) map[string]string {
	t.Helper()
	out := map[string]string{}
	for id, f := range r.fixtures {
		if isStream(f) && f.Response.Status == 200 && refusedAnswer(f) == "" {
			if body := framed(t, f); len(body) <= most {
				out[id] = body
			}
		}
	}
	return out
}

// refusable are the codes that a translation may refuse with.
var refusable = []fault.Code{
	fault.UnsupportedParameter, fault.ToolChoiceUnsupported, fault.InputModalityUnsupported, fault.ImageInputUnsupported, fault.InvalidParameter,
}
