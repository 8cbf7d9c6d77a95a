package gather

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/provider/anthropic"
	"github.com/pontage/pontage/internal/provider/openai"
	"github.com/pontage/pontage/internal/provider/responses"
	"github.com/pontage/pontage/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a transport that gives one answer, and keeps what was asked.
type upstream struct {
	status int
	header http.Header
	body   string
	asked  []string
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	u.asked = append(u.asked, string(b))
	return &http.Response{StatusCode: u.status, Header: u.header, Body: io.NopCloser(strings.NewReader(u.body))}, nil
}

// speakers are the providers by the API of recordings.
var speakers = map[string]struct {
	dialect llm.Dialect
	speak   func(vendor string, t http.RoundTripper) provider.Provider
}{
	"openai.chat": {llm.OpenAIChat, func(vendor string, t http.RoundTripper) provider.Provider {
		if !slices.Contains(openai.Vendors(), vendor) {
			vendor = "generic"
		}
		return openai.New(openai.Options{BaseURL: "http://x/v1", Vendor: vendor, Transport: t})
	}},
	"anthropic.messages": {llm.AnthropicMessages, func(_ string, t http.RoundTripper) provider.Provider {
		return anthropic.New(anthropic.Options{BaseURL: "http://x/v1", Transport: t})
	}},
	"openai.responses": {llm.OpenAIResponses, func(_ string, t http.RoundTripper) provider.Provider {
		return responses.New(responses.Options{Name: "up", BaseURL: "http://x/v1", Transport: t})
	}},
}

// asking is a request for an answer in one piece that may take long.
func asking(t *testing.T, d llm.Dialect) *llm.Request {
	t.Helper()
	r, err := jsonx.Scan([]byte(`{"model":"m","messages":[],"input":"hi","max_tokens":9000}`))
	if err != nil {
		t.Fatal(err)
	}
	return &llm.Request{Dialect: d, Model: "m", Choices: 1, Raw: r, MaxOutput: 9000, HasMaxOutput: true, DecodeChat: func() (*llm.Chat, error) {
		return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "hi"}}}}}, nil
	}}
}

// one reads an answer that must be one event.
func one(t *testing.T, p provider.Provider, q *llm.Request) (llm.Event, error) {
	t.Helper()
	s, err := p.Open(t.Context(), provider.Call{Request: q, Model: "m"})
	if err != nil {
		return llm.Event{}, err
	}
	defer func() { _ = s.Close() }()
	ev, err := s.Next()
	end := io.EOF
	if err != nil {
		end = err
	}
	if _, again := s.Next(); again != end {
		t.Errorf("after %v comes %v", err, again)
	}
	return ev, err
}

// heard is what an answer says and how it is accounted for.
type heard struct {
	Said    string
	Finish  llm.Finish
	Usage   *llm.Usage
	Content bool
}

// hear puts down what an answer in one piece says.
func hear(ev llm.Event) heard {
	h := heard{Finish: ev.Finish, Usage: ev.Usage, Content: ev.Content}
	if ev.Usage != nil {
		u := *ev.Usage
		h.Usage = &u
	}
	for i, c := range ev.Whole.Choices {
		h.Said += fmt.Sprintf("choice %d, %s %q\n", i, c.Finish, c.StopSequence)
		texts := map[llm.PartKind]string{} // where one text ends and the next begins is not in a stream
		var kinds []llm.PartKind
		cited := ""
		for _, p := range c.Parts {
			if _, known := texts[p.Kind]; !known {
				kinds = append(kinds, p.Kind)
			}
			if _, state, ok := llm.Unseal(p.Signature); ok { // sealed anew in each event
				p.Signature, _, _ = strings.Cut(state, " ")
			}
			args := string(p.Args)
			if strings.Contains(args, "INVALID_JSON") { // was cut, and is wrapped
				var wrapped map[string]string
				_ = json.Unmarshal(p.Args, &wrapped)
				args = wrapped["INVALID_JSON"]
			}
			texts[p.Kind] += p.Text + p.Signature + p.Data + p.ToolID + p.ToolName + args
			cited += string(p.Citations)
		}
		slices.Sort(kinds)
		for _, k := range kinds {
			h.Said += fmt.Sprintf("%d: %s\n", k, texts[k])
		}
		h.Said += strings.ReplaceAll(cited, "][", ",")
	}
	return h
}

// streamsOf calls f with each recorded stream of an API that came to its end.
func streamsOf(t *testing.T, api string, f func(fx *testkit.Fixture, u *upstream)) {
	t.Helper()
	corpus := testkit.Fixtures(t)
	for _, e := range corpus.Filter(testkit.Filter{API: api, Status: 200, Kind: "sse", Recorded: true}) {
		fx := corpus.Load(t, e)
		body := string(fx.Response.Body())
		if slices.Contains(e.Tags, "midstream_error") || strings.Contains(body, "data: {\"error\":") || strings.Contains(body, "event: error") {
			continue
		}
		f(fx, &upstream{status: 200, header: http.Header{"Content-Type": {"text/event-stream"}}, body: body})
	}
}

// TestGatheredAnswersSayWhatTheStreamsSaid gathers every recorded stream, for its
// own callers and for others. The body that the former get is then read as the
// answer in one piece that it is.
func TestGatheredAnswersSayWhatTheStreamsSaid(t *testing.T) {
	t.Parallel()
	for api, sp := range speakers {
		n := 0
		streamsOf(t, api, func(fx *testkit.Fixture, u *upstream) {
			own, err := one(t, Over(sp.speak(fx.Provider, u)), asking(t, sp.dialect))
			if err != nil {
				t.Errorf("%s: %v", fx.ID, err)
				return
			}
			n++
			if !strings.Contains(u.asked[0], `"stream":true`) {
				t.Errorf("%s: asked %s", fx.ID, u.asked[0])
			}
			if own.Raw == nil || own.Whole != nil || !own.Last || own.Weight != 0 || !json.Valid(own.Raw) {
				t.Errorf("%s: %+v", fx.ID, own)
				return
			}
			other, err := one(t, Over(sp.speak(fx.Provider, u)), asking(t, llm.Simple))
			if err != nil || other.Whole == nil || other.Raw != nil {
				t.Errorf("%s: %+v, %v", fx.ID, other, err)
				return
			}
			q := asking(t, llm.Simple)
			again, err := one(t, sp.speak(fx.Provider, &upstream{status: 200, header: http.Header{}, body: string(own.Raw)}), q)
			if err != nil {
				t.Errorf("%s: the gathered body: %v", fx.ID, err)
				return
			}
			want := hear(other)
			if d := cmp.Diff(want, hear(again)); d != "" {
				t.Errorf("%s: the body (-stream +body):\n%.3000s", fx.ID, d)
			}
			if own.Finish != other.Finish || own.OutputBytes != other.OutputBytes || own.Content != other.Content || cmp.Diff(own.Usage, other.Usage) != "" {
				t.Errorf("%s: facts %+v and %+v", fx.ID, own, other)
			}
		})
		t.Logf("%s: %d", api, n)
		if n < 60 {
			t.Errorf("%s: only %d streams were gathered", api, n)
		}
	}
}

// shape adds the paths of a value, each with the type that it has.
func shape(path string, v any, into map[string]bool) {
	switch x := v.(type) {
	case map[string]any:
		into[path+" object"] = true
		for k, m := range x {
			shape(path+"."+k, m, into)
		}
	case []any:
		into[path+" list"] = true
		for _, m := range x {
			shape(path+"[]", m, into)
		}
	case nil:
		into[path+" null"] = true
	default:
		into[fmt.Sprintf("%s %T", path, v)] = true
	}
}

// strangers are members of streams that no recording in one piece happens to have:
// Groq reports usage twice in its streams, and names the channel; one of OpenAI's
// recordings is OpenRouter's; DeepSeek was asked for probabilities once; and nulls.
var strangers = []string{".message.content null", ".logprobs null", "x_groq.usage", ".message.channel", ".native_finish_reason", ".provider", ".usage.cost", ".usage.is_byok", ".logprobs.content"}

// TestGatheredAnswersHaveTheShapeOfThoseInOnePiece compares the members of
// gathered streams with those of the same provider's recorded answers in one
// piece: what was gathered has nothing that those never have, and all that they
// always have.
func TestGatheredAnswersHaveTheShapeOfThoseInOnePiece(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	for _, c := range []struct{ api, provider string }{
		{"openai.chat", "openai"},
		{"openai.chat", "groq"},
		{"openai.chat", "deepseek"},
		{"openai.chat", "mistral"},
		{"anthropic.messages", "anthropic"},
		{"openai.responses", "openai"},
	} {
		ever, always := map[string]bool{}, map[string]int{}
		wholes := 0
		for _, e := range corpus.Filter(testkit.Filter{API: c.api, Provider: c.provider, Status: 200, Kind: "json", Recorded: true}) {
			var v any
			if json.Unmarshal(corpus.Load(t, e).Response.Body(), &v) != nil {
				continue
			}
			one := map[string]bool{}
			shape("", v, one)
			for k := range one {
				ever[k] = true
				if path, _, _ := strings.Cut(k, " "); strings.Count(path, ".") == 1 && !strings.Contains(path, "[") {
					always[path]++
				}
			}
			wholes++
		}
		if wholes < 5 {
			t.Errorf("%v: only %d answers in one piece", c, wholes)
		}
		sp := speakers[c.api]
		strange, lacking := map[string]int{}, map[string]int{}
		n := 0
		streamsOf(t, c.api, func(fx *testkit.Fixture, u *upstream) {
			if fx.Provider != c.provider {
				return
			}
			ev, err := one(t, Over(sp.speak(fx.Provider, u)), asking(t, sp.dialect))
			if err != nil {
				t.Errorf("%s: %v", fx.ID, err)
				return
			}
			n++
			var v any
			if err := json.Unmarshal(ev.Raw, &v); err != nil {
				t.Fatalf("%s: %v", fx.ID, err)
			}
			has := map[string]bool{}
			shape("", v, has)
			top := map[string]bool{}
			for k := range has {
				path, _, _ := strings.Cut(k, " ")
				top[path] = true
				if !ever[k] && !strings.Contains(path, ".input.") && !strings.Contains(path, "tools[]") && !strings.Contains(path, "format.schema") {
					strange[k]++
				}
			}
			for path, m := range always {
				if m == wholes && !top[path] {
					lacking[path]++
				}
			}
		})
		if n < 8 {
			t.Errorf("%v: only %d streams were gathered", c, n)
		}
		if c.api != "openai.chat" {
			clear(strange) // these say the same in both ways, and there are too many kinds of items
		}
		maps.DeleteFunc(strange, func(k string, _ int) bool {
			return slices.ContainsFunc(strangers, func(s string) bool { return strings.Contains(k, s) })
		})
		delete(lacking, ".usage")              // was not asked for in all of the recordings
		delete(lacking, ".system_fingerprint") // one of DeepSeek's streams has none
		if len(strange)+len(lacking) > 0 {
			t.Errorf("%v: %d wholes, %d gathered, strange %v, lacking %v", c, wholes, n, strange, lacking)
		}
	}
}

// endless is a provider whose answer has no end.
type endless struct{ ev llm.Event }

func (p endless) Supports(*llm.Request) error { return nil }

func (p endless) Open(context.Context, provider.Call) (llm.Stream, error) { return p, nil }

func (p endless) Next() (llm.Event, error) { return p.ev, nil }

func (p endless) Close() error { return nil }

func TestWhatIsGatheredHasABound(t *testing.T) {
	t.Parallel()
	long := []byte(`["` + strings.Repeat("x", 24<<20) + `"]`)
	for name, d := range map[string]llm.Delta{
		"log probabilities": {Kind: llm.DeltaText, Text: "a", Logprobs: long},
		"citations":         {Kind: llm.DeltaCitation, Value: long},
	} {
		_, err := one(t, Over(endless{llm.Event{Content: true, OutputBytes: 1, Deltas: []llm.Delta{d}}}), asking(t, llm.OpenAIChat))
		var f *provider.Failure
		if !errors.As(err, &f) || f.Fault.Code != fault.UpstreamFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
