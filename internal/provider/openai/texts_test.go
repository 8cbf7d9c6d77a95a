package openai

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// continuation makes a request to continue texts.
func continuation(t *testing.T, body string) *llm.Request {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Model  string
		Stream bool
	}
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		t.Fatal(err)
	}
	return &llm.Request{Dialect: llm.OpenAICompletions, Model: b.Model, Stream: b.Stream, Choices: 1, Inputs: 1, Raw: raw}
}

// TestRecordedCompletionsPassThrough replays every recorded continuation of a text.
func TestRecordedCompletionsPassThrough(t *testing.T) {
	t.Parallel()
	errs := map[string]fault.Code{"openai.openai-completions.e9d3d4f0b6": fault.InvalidParameter, "openai.openai-completions.a758d73fc4": fault.ModelNotFound}
	for _, f := range testkit.Recorded(t, "openai.completions") {
		var sent *http.Request
		p := New(Options{BaseURL: "https://api.example.com/v1", Vendor: vendorName(f), Texts: true, Transport: seen{f, &sent}})
		q := continuation(t, string(f.Body()))
		evs, err := run(p, provider.Call{Request: q, Model: q.Model, Key: "k"})
		if sent == nil || sent.URL.Path != "/v1/completions" {
			t.Errorf("%s: was sent to %v", f.ID, sent)
			continue
		}
		if want, bad := errs[f.ID]; bad {
			if fe := fault.From(err); err == nil || fe.Code != want {
				t.Errorf("%s: %v, want %s", f.ID, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", f.ID, err)
			continue
		}
		got, content, size := "", false, 0
		var usage *llm.Usage
		for _, e := range evs {
			got += string(e.Raw)
			content, size = content || e.Content, size+e.OutputBytes
			if e.Usage != nil {
				usage = e.Usage
			}
		}
		want := string(f.Response.Body())
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: (-want +got):\n%s", f.ID, d)
		}
		if said := textsOf(t, f); !content || size != len(said) {
			t.Errorf("%s: content = %v of %d bytes, want %d", f.ID, content, size, len(said))
		}
		if last := evs[len(evs)-1]; !last.Last {
			t.Errorf("%s: the last event is %+v", f.ID, last)
		}
		checkUsage(t, f, usage)
	}
}

// textsOf joins all texts of a recorded answer.
func textsOf(t *testing.T, f *testkit.Fixture) (said string) {
	t.Helper()
	for _, o := range payloads(t, f) {
		list, _ := o["choices"].([]any)
		for _, c := range list {
			s, _ := obj(c)["text"].(string)
			said += s
		}
	}
	return said
}

func TestTextsAreAskedForWithTheirOwnLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ vendor, body, model, want string }{
		{"openai", `{"model":"m","prompt":"a"}`, "m", `{"model":"m","prompt":"a","max_tokens":16}`},
		{"openai", `{"model":"m","prompt":"a","max_tokens":null}`, "m", `{"model":"m","prompt":"a","max_tokens":16}`},
		{"openai", `{"model":"m", "prompt":[1],"stream":true}`, "n", `{"model":"n", "prompt":[1],"stream":true,"max_tokens":16,"stream_options":{"include_usage":true}}`},
		{"groq", `{"model":"m","prompt":"a"}`, "m", `{"model":"m","prompt":"a","max_tokens":16}`},
		{"mistral", `{"model":"m","prompt":"a","seed":5,"user":"u"}`, "m", `{"model":"m","prompt":"a","random_seed":5,"max_tokens":16}`},
	} {
		p := New(Options{Vendor: c.vendor, Texts: true})
		q := continuation(t, c.body)
		if got := string(p.splice(provider.Call{Request: q, Model: c.model, CapOutput: 16})); !sameMembers(t, got, c.want) {
			t.Errorf("%s: %s becomes %s, want %s", c.vendor, c.body, got, c.want)
		}
	}
}

func sameMembers(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y map[string]any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		t.Fatalf("%s, %s", a, b)
	}
	return cmp.Equal(x, y)
}

// A model that only continues texts is no partner in a conversation, and one of
// conversations gets the text as such.
func TestTextsAndConversationsAreKeptApart(t *testing.T) {
	t.Parallel()
	q := continuation(t, `{"model":"m","prompt":"a"}`)
	q.DecodeChat = func() (*llm.Chat, error) {
		return &llm.Chat{Messages: []llm.Message{{Parts: []llm.Part{{Text: "a"}}, Role: llm.RoleUser}}}, nil
	}
	body, err := New(Options{}).translate(provider.Call{Request: q, Model: "m", CapOutput: 16})
	if want := `{"model":"m","messages":[{"role":"user","content":"a"}],"max_completion_tokens":16}`; err != nil || string(body) != want {
		t.Errorf("the text becomes %s, %v\nwant %s", body, err, want)
	}
	if err := New(Options{}).Supports(q); err != nil {
		t.Error(err)
	}
	if err := New(Options{Texts: true}).Supports(q); err != nil {
		t.Error(err)
	}
	chat := &llm.Request{Dialect: llm.OpenAIChat, Model: "m"}
	p := New(Options{Texts: true})
	if err := p.Supports(chat); err == nil {
		t.Error("a conversation is taken for a text")
	}
	if _, err := p.Open(t.Context(), provider.Call{Request: chat}); err == nil || err.(*provider.Failure).Sent {
		t.Errorf("a conversation is sent as a text: %v", err)
	}
	for base, want := range map[string]string{
		"https://x.openai.azure.com/openai?api-version=2024-10-21": "/openai/deployments/m/completions",
		"https://x.openai.azure.com/openai/v1":                     "/openai/v1/completions",
		"":                                                         "/v1/completions",
	} {
		if to := New(Options{BaseURL: base, Texts: true}).to(provider.Call{Request: q, Model: "m"}); to.Path != want {
			t.Errorf("%s: to %s", base, to)
		}
	}
}

// A text that breaks off is no whole one.
func TestATextThatBreaksOffIsAFailure(t *testing.T) {
	t.Parallel()
	const chunk = "data: {\"choices\":[{\"text\":\"a\",\"index\":0,\"finish_reason\":null}]}\n\n"
	for _, c := range []struct {
		body string
		want fault.Code
	}{
		{chunk, fault.StreamInterrupted},
		{chunk + "data: {\"choices\":[{\"te", fault.StreamInterrupted},
		{chunk + "data: {\"error\":{\"message\":\"The server is overloaded\",\"type\":\"server_error\",\"code\":\"server_is_overloaded\"}}\n\n", fault.UpstreamOverloaded},
		{strings.Replace(chunk, "null", `"stop"`, 1), fault.None}, // some servers end so
	} {
		header := http.Header{"Content-Type": {"text/event-stream"}}
		p := New(Options{Texts: true, Transport: canned{200, header, func() io.Reader { return strings.NewReader(c.body) }}})
		q := continuation(t, `{"model":"m","prompt":"a","stream":true}`)
		s, err := p.Open(t.Context(), provider.Call{Request: q, Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = s.Next()
		}
		_ = s.Close()
		if c.want == fault.None && err != io.EOF || c.want != fault.None && fault.From(err).Code != c.want {
			t.Errorf("%q ends with %v, want %s", c.body, err, c.want)
		}
	}
}
