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

// TestSearchesOfAnAnswerAreCounted has what vendors tell of searches, and what there is
// to go by where they do not, in whole answers and in streams.
func TestSearchesOfAnAnswerAreCounted(t *testing.T) {
	t.Parallel()
	const cited = `"content":"a","annotations":[{"type":"url_citation","url_citation":{"url":"https://x"}}]`
	for _, c := range []struct {
		name, model, message, usage string
		offered                     bool
		want                        llm.Calls
	}{
		{"nothing", "gpt-5", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1}`, false, llm.Calls{}},
		{"a model that always searches", "gpt-4o-search-preview", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1}`, false, llm.Calls{WebSearch: 1}},
		{"the same, without usage", "gpt-5-search-api", cited, `null`, true, llm.Calls{WebSearch: 1}},
		{"citations of a search that was offered", "openai/gpt-5", cited, `{"prompt_tokens":1,"completion_tokens":1}`, true, llm.Calls{WebSearch: 1}},
		{"a search that was offered, and nothing found", "openai/gpt-5", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1}`, true, llm.Calls{}},
		{"citations of what nobody offered", "openai/gpt-5", cited, `{"prompt_tokens":1,"completion_tokens":1}`, false, llm.Calls{}},
		{"Perplexity's queries", "sonar-deep-research", cited, `{"prompt_tokens":1,"completion_tokens":1,"citation_tokens":3,"num_search_queries":54,"reasoning_tokens":9}`, false, llm.Calls{WebSearch: 54}},
		{"Perplexity, which tells nothing", "sonar", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1,"num_search_queries":null}`, false, llm.Calls{WebSearch: 1}},
		{"xAI's sources", "grok-4", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1,"num_sources_used":7}`, false, llm.Calls{WebSearch: 7}},
		{"xAI's calls", "grok-4", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1,"server_side_tool_usage_details":{"web_search_calls":2,"x_search_calls":3,"code_interpreter_calls":1,"file_search_calls":4,"mcp_calls":9,"document_search_calls":1,"image_generation_calls":8}}`, false, llm.Calls{WebSearch: 5, FileSearch: 5, CodeExecution: 1}},
		{"xAI's calls, and sources after them", "grok-4", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1,"server_side_tool_usage_details":{"web_search_calls":2},"num_sources_used":40}`, false, llm.Calls{WebSearch: 2}},
		{"xAI's calls, and sources before them", "grok-4", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1,"num_sources_used":40,"server_side_tool_usage_details":{"web_search_calls":2}}`, false, llm.Calls{WebSearch: 2}},
		{"OpenRouter's suffix", "openai/gpt-5:online", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1}`, false, llm.Calls{WebSearch: 1}},
		{"OpenRouter's", "anthropic/claude", cited, `{"prompt_tokens":1,"completion_tokens":1,"server_tool_use":{"web_search_requests":2}}`, true, llm.Calls{WebSearch: 2}},
		{"none, as is told", "anthropic/claude", cited, `{"prompt_tokens":1,"completion_tokens":1,"server_tool_use":{"web_search_requests":0}}`, true, llm.Calls{}},
		{"no number", "openai/gpt-5", `"content":"a"`, `{"prompt_tokens":1,"completion_tokens":1,"num_search_queries":"5","server_tool_use":7,"num_sources_used":-3}`, true, llm.Calls{}},
		{"beyond belief", "openai/gpt-5", cited, `{"prompt_tokens":1,"completion_tokens":1,"num_search_queries":10001}`, true, llm.Calls{WebSearch: 1}},
	} {
		whole := `{"choices":[{"message":{` + c.message + `},"finish_reason":"stop"}],"usage":` + c.usage + `}`
		stream := "data: {\"choices\":[{\"index\":0,\"delta\":{" + c.message + "}}]}\n\n" +
			"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n" +
			"data: {\"choices\":[],\"usage\":" + c.usage + "}\n\ndata: [DONE]\n\n"
		for kind, body := range map[string]string{jsonType: whole, events: stream} {
			raw, err := jsonx.Scan([]byte(`{"model":"mine","messages":[]}`))
			if err != nil {
				t.Fatal(err)
			}
			p := New(Options{Vendor: "openai", Transport: canned{200, http.Header{"Content-Type": {kind}}, func() io.Reader { return strings.NewReader(body) }}})
			q := &llm.Request{Dialect: llm.OpenAIChat, Model: "mine", Raw: raw, Stream: kind == events, Choices: 1}
			if c.offered {
				q.Hosted.Search(1)
			}
			evs, err := run(p, provider.Call{Request: q, Model: c.model})
			if got := testkit.Ran(evs); err != nil || got != c.want {
				t.Errorf("%s, %s: %+v, want %+v (%v)", c.name, kind, got, c.want, err)
			}
		}
	}
}

// What was seen before an answer broke off is told with what was seen.
func TestASearchIsToldWithTheFirstWord(t *testing.T) {
	t.Parallel()
	s := scanner{quirks: &vendor{}, stream: true, always: true}
	if !s.scan([]byte(`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`)) || s.news {
		t.Error("a search is told of no answer")
	}
	if !s.scan([]byte(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`)) || !s.news || s.hosted.WebSearch != 1 {
		t.Errorf("%+v, want one search", s.hosted)
	}
}

// Bytes of thoughts, sound and images are told apart, for what nobody counts.
func TestBytesAreToldApart(t *testing.T) {
	t.Parallel()
	sound := strings.Repeat("A", 64_000) // three seconds
	for _, c := range []struct {
		message string
		want    llm.Parts
		all     int
	}{
		{`"content":"abc"`, llm.Parts{}, 3},
		{`"reasoning_content":"abcde","content":"abc"`, llm.Parts{Reasoning: 5}, 8},
		{`"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,eA=="}}]`, llm.Parts{Image: provider.ImageBytes}, provider.ImageBytes},
		{`"content":null,"audio":{"id":"a","data":"` + sound + `","transcript":"abcd"}`, llm.Parts{Audio: 300}, 304},
	} {
		evs, err := ask(t, "openai", jsonType, `{"choices":[{"message":{`+c.message+`},"finish_reason":"stop"}]}`, false)
		if err != nil || evs[0].Bytes != c.want || evs[0].OutputBytes != c.all {
			t.Errorf("%.60s: %+v of %d, want %+v of %d (%v)", c.message, evs[0].Bytes, evs[0].OutputBytes, c.want, c.all, err)
		}
	}
}
