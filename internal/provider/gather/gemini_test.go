package gather

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/provider/gemini"
	"github.com/pontage/pontage/internal/testkit"
)

// google is Google's protocol at an upstream, which notes the URLs.
type google struct {
	upstream
	urls []*url.URL
}

func (g *google) RoundTrip(r *http.Request) (*http.Response, error) {
	g.urls = append(g.urls, r.URL)
	return g.upstream.RoundTrip(r)
}

func (g *google) speak() *Provider {
	return Over(gemini.New(gemini.Options{Name: "google", BaseURL: "http://x/v1beta", Transport: g}))
}

func streaming(body string) *google {
	return &google{upstream: upstream{status: 200, header: http.Header{"Content-Type": {"text/event-stream"}}, body: body}}
}

// longContents is a request of Google's dialect for a long answer in one piece.
func longContents(t *testing.T, body string) *llm.Request {
	t.Helper()
	q := asking(t, llm.GeminiGenerate)
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Raw = raw
	return q
}

const geminiStream = `data: {"candidates":[{"content":{"role":"model","parts":[{"text":"h","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5},"modelVersion":"m","responseId":"r"}

data: {"candidates":[{"content":{"role":"model","parts":[{"text":"m","thought":true},{"text":"say \u00e9"}]},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":6},"modelVersion":"m","responseId":"r"}

data: {"candidates":[{"content":{"role":"model","parts":[{"text":" it"}]},"index":0,"citationMetadata":{"citationSources":[{"uri":"a"}]}},{"content":{"parts":[{"text":"other"}],"role":"model"},"index":1,"finishReason":"STOP"}],"modelVersion":"m","responseId":"r"}

data: {"candidates":[{"content":{"role":"model","parts":[{"text":"","thoughtSignature":"c2ln"},{"functionCall":{"name":"f","args":{"n": 1.0}}}]},"index":0,"finishReason":"STOP","citationMetadata":{"citationSources":[{"uri":"b"}]}}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12},"modelVersion":"m","responseId":"r","new":1}

`

const geminiWhole = `{"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true},{"text":"say \u00e9 it"},{"text":"","thoughtSignature":"c2ln"},{"functionCall":{"name":"f","args":{"n":1.0}}}]},"index":0,"citationMetadata":{"citationSources":[{"uri":"a"},{"uri":"b"}]},"finishReason":"STOP"},{"content":{"parts":[{"text":"other"}],"role":"model"},"index":1,"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":12,"candidatesTokenCount":7},"modelVersion":"m","responseId":"r","new":1}`

func TestLongAnswersOfGeminiAreStreamedAndGathered(t *testing.T) {
	t.Parallel()
	body := `{"contents":[{"parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":9000}}`
	g := streaming(geminiStream)
	ev, err := one(t, g.speak(), longContents(t, body))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(geminiWhole, string(ev.Raw)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if ev.Usage == nil || ev.Usage.Input != 5 || ev.Usage.Output != 7 || ev.Finish == "" || !ev.Last || !ev.Content || ev.Weight != 0 {
		t.Errorf("%+v", ev)
	}
	if u := g.urls[0]; !strings.HasSuffix(u.Path, "/models/m:streamGenerateContent") || u.Query().Get("alt") != "sse" || g.asked[0] != body {
		t.Errorf("%s was asked %s", u, g.asked[0])
	}
	ev, err = one(t, streaming(geminiStream).speak(), asking(t, llm.OpenAIChat)) // translated
	if err != nil || ev.Whole == nil || len(ev.Whole.Choices) != 2 || ev.Whole.Choices[0].Finish == "" {
		t.Errorf("to another dialect: %+v, %v", ev, err)
	}
}

// What a stream has in another form than an answer in one piece is asked for in one.
func TestWhatGeminiStreamsOtherwiseIsNotGathered(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"contents":[],"generationConfig":{"responseModalities":["IMAGE"]}}`,
		`{"contents":[],"generation_config":{"response_modalities":["AUDIO"]}}`,
		`{"contents":[],"toolConfig":{"functionCallingConfig":{"streamFunctionCallArguments":true}}}`,
		`{"contents":[],"tool_config":{"function_calling_config":{"stream_function_call_arguments":true}}}`,
	} {
		g := &google{upstream: upstream{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: geminiWhole}}
		if ev, err := one(t, g.speak(), longContents(t, body)); err != nil || ev.Raw == nil || !strings.HasSuffix(g.urls[0].Path, ":generateContent") {
			t.Errorf("%s: %s, %+v, %v", body, g.urls[0], ev, err)
		}
	}
}

// unstreamed is an upstream whose model has one method only.
type unstreamed struct{ google }

func (u *unstreamed) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := u.google.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, ":streamGenerateContent") {
		resp.StatusCode = 404
		resp.Body = io.NopCloser(strings.NewReader(`{"error":{"code":404,"message":"models/m is not found for API version v1beta, or is not supported for streamGenerateContent. Call ListModels to see the list of available models and their supported methods.","status":"NOT_FOUND"}}`))
	}
	return resp, err
}

// A model that has no such method is asked for an answer in one piece; one that is not
// there at all, once more, is not there.
func TestAModelOfGeminiThatCannotStreamIsAskedForOnePiece(t *testing.T) {
	t.Parallel()
	for _, q := range []*llm.Request{longContents(t, `{"contents":[]}`), asking(t, llm.OpenAIChat)} {
		u := &unstreamed{google{upstream: upstream{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: geminiWhole}}}
		ev, err := one(t, Over(gemini.New(gemini.Options{Name: "google", BaseURL: "http://x/v1beta", Transport: u})), q)
		if err != nil || !ev.Content || len(u.urls) != 2 || !strings.HasSuffix(u.urls[1].Path, ":generateContent") {
			t.Errorf("%s: %+v, %v after %v", q.Dialect, ev, err, u.urls)
		}
	}
}

// A server that does not stream is taken at its word, and an answer that was given up
// fails as it does in one piece, so that it can be tried elsewhere.
func TestGeminiGatheredFailsAsInOnePiece(t *testing.T) {
	t.Parallel()
	g := &google{upstream: upstream{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: geminiWhole}}
	if ev, err := one(t, g.speak(), longContents(t, `{"contents":[]}`)); err != nil || string(ev.Raw) != geminiWhole || ev.Usage == nil {
		t.Errorf("in one piece: %+v, %v", ev, err)
	}
	begun := `data: {"candidates":[{"content":{"parts":[{"text":"h"}]},"index":0}]}` + "\n\n"
	for name, end := range map[string]string{
		"given up": `data: {"candidates":[{"content":{"parts":[{"text":"m"}]},"finishReason":"MALFORMED_FUNCTION_CALL","index":0}]}` + "\n\n",
		"cut":      "",
		"an error": `data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}` + "\n\n",
	} {
		_, err := one(t, streaming(begun+end).speak(), longContents(t, `{"contents":[]}`))
		f, ok := err.(*provider.Failure)
		if !ok || !f.Failover || fault.Is(f.Fault, fault.StreamInterrupted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unsign takes the signatures off the texts of an answer.
func unsign(a *llm.Answer) {
	for i := range a.Choices {
		for j := range a.Choices[i].Parts {
			if p := &a.Choices[i].Parts[j]; p.Kind == llm.PartText {
				p.Signature = ""
			}
		}
	}
}

// madeUp are ids of calls that came without.
var madeUp = regexp.MustCompile(`call_[a-z2-7]{20}`)

// TestRecordedStreamsOfGeminiAreGathered gathers every recorded stream that came to
// its end, for callers of the dialect and for others, and reads the body that the
// former get as the answer in one piece that it is.
func TestRecordedStreamsOfGeminiAreGathered(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	n := 0
	for _, e := range corpus.Filter(testkit.Filter{API: "gemini.streamGenerateContent", Status: 200, Kind: "sse", Recorded: true}) {
		fx := corpus.Load(t, e)
		body := string(fx.Response.Body())
		own, err := one(t, streaming(body).speak(), longContents(t, `{"contents":[]}`))
		if err != nil {
			continue // no answer: the provider's own tests have those
		}
		n++
		if own.Raw == nil || !json.Valid(own.Raw) || !own.Last {
			t.Errorf("%s: %+v", fx.ID, own)
			continue
		}
		other, err := one(t, streaming(body).speak(), asking(t, llm.Simple))
		if err != nil {
			continue // what other dialects have no words for
		}
		whole := &google{upstream: upstream{status: 200, header: http.Header{}, body: string(own.Raw)}}
		again, err := one(t, gemini.New(gemini.Options{Name: "google", BaseURL: "http://x/v1beta", Transport: whole}), asking(t, llm.Simple))
		if err != nil {
			t.Errorf("%s: the gathered body: %v\n%.2000s", fx.ID, err, own.Raw)
			continue
		}
		// A signature in the midst of a text stays there, and other dialects have it at
		// the end. Spaces within arguments are not kept, nor are the ids made of them.
		unsign(other.Whole)
		unsign(again.Whole)
		want, got := hear(other), hear(again)
		for _, h := range []*heard{&want, &got} {
			h.Said = madeUp.ReplaceAllString(strings.ReplaceAll(h.Said, " ", ""), "call_")
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: the body (-stream +body):\n%.3000s", fx.ID, d)
		}
		if own.Finish != other.Finish || own.Content != other.Content || cmp.Diff(own.Usage, other.Usage) != "" {
			t.Errorf("%s: facts %+v and %+v", fx.ID, own, other)
		}
	}
	t.Log(n)
	if n < 40 {
		t.Errorf("only %d streams were gathered", n)
	}
}
