package gemini

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// TestSearchesThatAnAnswerRestsOnAreCounted has models whose searches are billed as one
// and those whose are billed each, told once and again.
func TestSearchesThatAnAnswerRestsOnAreCounted(t *testing.T) {
	t.Parallel()
	answer := func(version, grounding, parts string) string {
		return `{"candidates":[{"content":{"parts":[` + parts + `]},"groundingMetadata":` + grounding + `,"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1},"modelVersion":"` + version + `"}`
	}
	const text, ran = `{"text":"a"}`, `{"executableCode":{"code":"1"}},{"codeExecutionResult":{"output":"1"}},{"codeExecutionResult":{"output":"2"}},{"text":"a"}`
	for _, c := range []struct {
		name, version, grounding, parts string
		want                            llm.Calls
	}{
		{"nothing", "gemini-3-pro", `{}`, text, llm.Calls{}},
		{"each query", "gemini-3-flash-preview", `{"webSearchQueries":["","a","b","a"]}`, text, llm.Calls{WebSearch: 2}},
		{"queries as one", "gemini-2.5-flash", `{"webSearchQueries":["a","b"],"groundingChunks":[{"web":{"uri":"https://x"}}]}`, text, llm.Calls{WebSearch: 1}},
		{"results without their queries", "gemini-3-pro", `{"groundingChunks":[{"web":{"uri":"https://x"}}]}`, text, llm.Calls{WebSearch: 1}},
		{"a place", "gemini-2.0-flash", `{"groundingChunks":[{"maps":{"uri":"https://x"}}]}`, text, llm.Calls{WebSearch: 1}},
		{"files", "gemini-2.5-flash", `{"groundingChunks":[{"retrievedContext":{"uri":"gs://x"}}]}`, text, llm.Calls{FileSearch: 1}},
		{"empty queries", "gemini-3-pro", `{"webSearchQueries":[" ",""]}`, text, llm.Calls{}},
		{"no list", "gemini-3-pro", `{"webSearchQueries":"a","groundingChunks":7}`, text, llm.Calls{}},
		{"code", "gemini-2.5-pro", `null`, ran, llm.Calls{CodeExecution: 1}},
		{"a model that nobody names", "", `{"webSearchQueries":["a","b"]}`, text, llm.Calls{WebSearch: 2}},
	} {
		body := answer(c.version, c.grounding, c.parts)
		first := strings.Replace(body, `"finishReason":"STOP",`, "", 1)
		for kind, body := range map[string]string{"application/json": body, "text/event-stream": frames(first, body)} {
			evs, err := ask(kind, body, kind != "application/json")
			if got := testkit.Ran(evs); err != nil || got != c.want {
				t.Errorf("%s, %s: %+v, want %+v (%v)", c.name, kind, got, c.want, err)
			}
		}
	}
}

// TestAnAnswerThatNamesNoModelIsOfTheOneThatWasAsked has searches of a model that bills
// them as one, in answers whose version says nothing.
func TestAnAnswerThatNamesNoModelIsOfTheOneThatWasAsked(t *testing.T) {
	t.Parallel()
	for _, version := range []string{``, `,"modelVersion":null`, `,"modelVersion":""`} {
		body := `{"candidates":[{"content":{"parts":[{"text":"a"}]},"groundingMetadata":{"webSearchQueries":["a","b"]},"finishReason":"STOP"}]` + version + `}`
		q := foreign(&llm.Request{Model: "m", Choices: 1})
		evs, err := run(saying("application/json", func() io.Reader { return strings.NewReader(body) }), provider.Call{Request: q, Model: "gemini-2.5-flash"})
		if got, want := testkit.Ran(evs), (llm.Calls{WebSearch: 1}); err != nil || got != want {
			t.Errorf("%s: %+v, want %+v (%v)", body, got, want, err)
		}
	}
}

// TestRecordedSearchesAreCounted compares the queries of recordings, which hold them in
// one list each.
func TestRecordedSearchesAreCounted(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		_, list, found := strings.Cut(string(f.Response.Body()), `"webSearchQueries"`)
		if !found {
			continue
		}
		var queries []string
		list = list[strings.IndexByte(list, '['):]
		if err := json.Unmarshal([]byte(list[:strings.IndexByte(list, ']')+1]), &queries); err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		for _, q := range queries {
			if q != "" {
				want++
			}
		}
		if strings.Contains(string(f.Response.Body()), `"gemini-2.5`) {
			want = min(want, 1)
		}
		evs, err := run(up.provider(f), provider.Call{Request: request(t, f), Model: "m", RequestID: id})
		if n++; err != nil || testkit.Ran(evs).WebSearch != want {
			t.Errorf("%s: %+v, want %d (%v)", id, testkit.Ran(evs), want, err)
		}
	}
	if n < 5 {
		t.Errorf("only %d recordings with searches", n)
	}
}

// The tokens of an image, of sound and of thoughts are told apart in a stream as in
// one piece.
func TestTokensOfAnAnswerAreToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		usage string
		want  llm.Usage
	}{
		{`{"promptTokenCount":9,"candidatesTokenCount":1304,"thoughtsTokenCount":20,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290},{"modality":"TEXT","tokenCount":14}],"totalTokenCount":1333}`, llm.Usage{Input: 9, Output: 1324, Reasoning: 20, ImageOutput: 1290}},
		{`{"promptTokenCount":9,"candidatesTokenCount":111,"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":111}]}`, llm.Usage{Input: 9, Output: 111, AudioOutput: 111}},
		{`{"promptTokenCount":9,"candidatesTokenCount":5,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}]}`, llm.Usage{Input: 9, Output: 5, ImageOutput: 5}},
	} {
		body := `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"usageMetadata":` + c.usage + `}`
		for kind, body := range map[string]string{"application/json": body, "text/event-stream": frames(body)} {
			evs, err := ask(kind, body, kind != "application/json")
			if err != nil || testkit.Used(evs[len(evs)-1]) != c.want && testkit.Used(evs[0]) != c.want {
				t.Errorf("%s: %+v, want %+v (%v)", c.usage, evs, c.want, err)
			}
		}
	}
}
