package openai

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// told keeps what was sent, and where to.
type told struct {
	canned
	url, body string
}

func (a *told) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	a.url, a.body = r.URL.String(), string(body)
	return a.canned.RoundTrip(r)
}

// embeddings asks a vendor for vectors.
func embeddings(t *testing.T, o Options, body, answer string) (sent *told, got string, usage *llm.Usage, err error) {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	d := llm.OpenAIEmbeddings
	if raw.Value("content") != nil {
		d = llm.GeminiEmbed
	}
	sent = &told{canned: canned{status: 200, header: http.Header{"Content-Type": {jsonType}}, body: func() io.Reader { return strings.NewReader(answer) }}}
	o.Transport = sent
	evs, err := run(New(o), provider.Call{Request: &llm.Request{Task: llm.TaskEmbed, Dialect: d, Model: "m", Raw: raw, Inputs: 1, Choices: 1}, Model: "m"})
	for _, ev := range evs {
		if ev.Usage != nil {
			usage = ev.Usage
		}
	}
	return sent, joined(evs), usage, err
}

// Vendors spell the length of vectors differently, and not all have both
// encodings; what a caller asked for he gets, or the next layer can make it.
func TestVectorsAreAskedForAsVendorsDocument(t *testing.T) {
	t.Parallel()
	const floats, packed = `{"model":"m","input":"a","encoding_format":"float","dimensions":2}`, `{"model":"m","input":"a","encoding_format":"base64","dimensions":2}`
	const googles = `{"content":"a","outputDimensionality":2}`
	for _, c := range []struct{ vendor, body, want string }{
		{"openai", floats, floats},
		{"openai", packed, packed},
		{"openai", googles, `{"model":"m","input":["a"],"encoding_format":"float","dimensions":2}`},
		{"mistral", floats, `{"model":"m","input":"a","encoding_format":"float","output_dimension":2}`},
		{"mistral", googles, `{"model":"m","input":["a"],"encoding_format":"float","output_dimension":2}`},
		{"voyage", floats, `{"model":"m","input":"a","output_dimension":2}`},
		{"voyage", packed, `{"model":"m","input":"a","encoding_format":"base64","output_dimension":2}`},
		{"voyage", googles, `{"model":"m","input":["a"],"output_dimension":2}`},
		{"perplexity", floats, `{"model":"m","input":"a","dimensions":2}`},
		{"perplexity", packed, `{"model":"m","input":"a","dimensions":2}`},
		{"perplexity", googles, `{"model":"m","input":["a"],"dimensions":2}`},
	} {
		sent, _, _, err := embeddings(t, Options{Vendor: c.vendor, BaseURL: "https://x.example/v1"}, c.body, `{"data":[{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`)
		if err != nil || sent.body != c.want || sent.url != "https://x.example/v1/embeddings" {
			t.Errorf("%s, %s: %s is sent to %s (%v), want %s", c.vendor, c.body, sent.body, sent.url, err, c.want)
		}
	}
	sent, _, _, err := embeddings(t, Options{BaseURL: "https://api.perplexity.ai"}, floats, `{"data":[{"index":0,"embedding":"AX8="}]}`)
	if err != nil || sent.url != "https://api.perplexity.ai/v1/embeddings" {
		t.Errorf("Perplexity is asked at %s (%v)", sent.url, err)
	}
}

// Bytes that are no 32-bit numbers are never taken for such, and counts that a
// vendor leaves out stand in the answer.
func TestVectorsAreGivenAsTheyWereAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ vendor, body, answer, want string }{
		{"perplexity", `{"model":"m","input":"a","encoding_format":"float"}`, `{"data":[{"embedding":"AX+A","index":0}],"model":"m"}`, `{"data":[{"embedding":[1,127,-128],"index":0}],"model":"m"}`},
		{"perplexity", `{"model":"m","input":"a","encoding_format":"base64"}`, `{"data":[{"embedding":"AX+A","index":0}],"model":"m"}`, `{"data":[{"embedding":[1,127,-128],"index":0}],"model":"m"}`},
		{"perplexity", `{"model":"m","input":"a"}`, `{"data":[{"embedding":"AX+A","index":0}],"model":"m"}`, `{"data":[{"embedding":"AX+A","index":0}],"model":"m"}`},
		{"perplexity", `{"content":"a"}`, `{"data":[{"embedding":"AX+A"}]}`, `{"embedding":{"values":[1,127,-128]}}`},
		{"openai", `{"content":"a"}`, `{"data":[{"embedding":"AAAAPwAAgL8="}]}`, `{"embedding":{"values":[0.5,-1]}}`},
		{"openai", `{"content":"a"}`, `{"data":[{"embedding":"AAAAPwAAgL8\u003d"}]}`, `{"embedding":{"values":[0.5,-1]}}`},
		{"openai", `{"model":"m","input":"a","encoding_format":"float"}`, `{"data":[{"embedding":"AAAAPwAAgL8="}]}`, `{"data":[{"embedding":"AAAAPwAAgL8="}]}`}, // it is made a list later
		{"voyage", `{"model":"m","input":"a"}`, `{"model":"x","usage":{"total_tokens": 3},"data":[{"embedding":[1]}]}`, `{"model":"x","usage":{"prompt_tokens":3,"total_tokens": 3},"data":[{"embedding":[1]}]}`},
		{"voyage", `{"model":"m","input":"a"}`, `{"data":[{"embedding":[1]}],"usage":{}}`, `{"data":[{"embedding":[1]}],"usage":{}}`},
	} {
		if _, got, _, err := embeddings(t, Options{Vendor: c.vendor}, c.body, c.answer); err != nil || got != c.want {
			t.Errorf("%s, %s: %s gives %s (%v), want %s", c.vendor, c.body, c.answer, got, err, c.want)
		}
	}
	for _, vendor := range []string{"openai", "perplexity"} {
		if _, got, _, err := embeddings(t, Options{Vendor: vendor}, `{"content":"a"}`, `{"data":[{"embedding":"?"}]}`); err == nil {
			t.Errorf("%s: what is no base64 gives %s", vendor, got)
		}
	}
}

// Every recording of embeddings is one vector for each input for Google's
// callers, too.
func TestRecordedEmbeddingsReachGooglesCallers(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, f := range testkit.Recorded(t, "openai.embeddings") {
		doc, err := jsonx.Parse(f.Response.Body())
		if err != nil || f.Response.Status != 200 || doc.Root().Get("data").Len() == 0 || !doc.Root().Get("data").At(0).Get("embedding").Exists() {
			continue
		}
		seen++
		n := doc.Root().Get("data").Len()
		p := New(Options{BaseURL: "http://x/v1", Vendor: vendorName(f), Transport: canned{200, http.Header{"Content-Type": {jsonType}}, func() io.Reader { return strings.NewReader(string(f.Response.Body())) }}})
		body := `{"requests":[` + strings.Repeat(`{"content":"a"},`, n-1) + `{"content":"a"}]}`
		evs, err := run(p, embedding(t, body, n))
		if got := joined(evs); err != nil || strings.Count(got, `"values":[`) != n {
			t.Errorf("%s: %.200s, %v", f.ID, got, err)
		}
	}
	if seen < 20 {
		t.Errorf("only %d recordings", seen)
	}
}
