package openai

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// azureRoot is the base URL that an operator would have configured for a recorded
// request, and the deployment that it names, if the path does.
func azureRoot(f *testkit.Fixture) (base, deployment string) {
	path := f.Request.Path
	if before, after, ok := strings.Cut(path, "/deployments/"); ok {
		deployment, _, _ = strings.Cut(after, "/")
		path = before
	} else {
		path = strings.TrimSuffix(strings.TrimSuffix(path, "/chat/completions"), "/embeddings")
	}
	return "https://x.openai.azure.com" + path, deployment
}

// TestAzureIsAskedAsRecorded sends every recorded request of Azure's: to the same
// path with the same version, of a deployment where the path names one, with the
// key in its own header.
func TestAzureIsAskedAsRecorded(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	count := map[string]int{}
	for _, e := range corpus.Filter(testkit.Filter{Provider: "azure", HasRequest: true, Recorded: true}) {
		if e.API != "openai.chat" && e.API != "openai.embeddings" {
			continue
		}
		f := corpus.Load(t, e)
		query := f.Request.Query
		if query == "" && strings.Contains(f.Request.Path, "/deployments/") {
			query = "api-version=2024-02-01" // was not recorded
		}
		base, deployment := azureRoot(f)
		q := request(t, f)
		model := q.Model
		if deployment != "" {
			model = deployment
		}
		var sent *http.Request
		if query != "" {
			base += "?" + query
		}
		p := New(Options{BaseURL: base, Transport: seen{f, &sent}})
		evs, err := run(p, provider.Call{Request: q, Model: model, Key: "secret"})
		want := f.Request.Path
		if query != "" {
			want += "?" + query
		}
		if sent == nil || sent.URL.RequestURI() != want || sent.Header.Get("Api-Key") != "secret" || sent.Header.Get("Authorization") != "" {
			t.Errorf("%s: sent %+v, want %s", e.ID, sent, want)
		}
		if (err == nil) != (e.Status == 200) || err == nil && len(evs) == 0 {
			t.Errorf("%s: %d: %d events, %v", e.ID, e.Status, len(evs), err)
		}
		count[strings.Split(f.Request.Path, "/")[1]+strings.Repeat("*", min(len(deployment), 1))]++
	}
	if count["openai"] < 5 || count["openai*"] < 8 || count["models"] < 10 {
		t.Errorf("only %v", count)
	}
}

// seen answers with a recording, and keeps the request.
type seen struct {
	f    *testkit.Fixture
	sent **http.Request
}

func (s seen) RoundTrip(r *http.Request) (*http.Response, error) {
	*s.sent = r
	return canned{s.f.Response.Status, s.f.Response.Header(), func() io.Reader { return strings.NewReader(string(s.f.Response.Body())) }}.RoundTrip(r)
}

// TestAzuresFilterIsNeitherAnAnswerNorItsEnd has what Azure adds to a stream: a
// first chunk of what its filter found in the prompt, and an end by the filter.
func TestAzuresFilterIsNeitherAnAnswerNorItsEnd(t *testing.T) {
	t.Parallel()
	const (
		prompt = `data: {"choices":[],"created":0,"id":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}` + "\n\n"
		text   = `data: {"choices":[{"index":0,"delta":{"content":"a"},"content_filter_results":{},"finish_reason":null}]}` + "\n\n"
		cut    = `data: {"choices":[{"index":0,"delta":{},"content_filter_results":{"violence":{"filtered":true,"severity":"high"}},"finish_reason":"content_filter"}]}` + "\n\n"
		down   = `data: {"choices":[{"index":0,"delta":{},"content_filter_results":{"error":{"code":"content_filter_error","message":"The contents are not filtered"}},"finish_reason":"stop"}]}` + "\n\n"
	)
	for _, c := range []struct {
		name, body string
		finish     llm.Finish
	}{
		{"filtered", prompt + text + cut, llm.FinishContentFilter},
		{"the filter was down", prompt + text + down, llm.FinishStop},
	} {
		evs, err := ask(t, "azure", events, c.body+doneFrame, true)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if evs[0].Content || evs[0].Usage != nil || evs[0].UsageOnly || string(evs[0].Raw) != prompt {
			t.Errorf("%s: the first chunk is %+v", c.name, evs[0])
		}
		if !evs[1].Content || evs[2].Finish != c.finish || joined(evs) != c.body+doneFrame {
			t.Errorf("%s: %+v", c.name, evs)
		}
	}
	evs, err := ask(t, "azure", events, prompt+doneFrame, true)
	for _, e := range evs {
		if e.Content || e.Finish != "" {
			t.Errorf("a filter's findings alone give %+v", e)
		}
	}
	if err != nil && !fault.Is(err, fault.StreamInterrupted) {
		t.Errorf("a filter's findings alone: %v", err)
	}
}
