package gemini

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Path and query say what the answer looks like.
func TestPathAndQuerySayTheForm(t *testing.T) {
	t.Parallel()
	const generate = ":generateContent"
	type dialect interface {
		At(ending string, query url.Values) (wire.Dialect, error)
	}
	for _, c := range []struct {
		d             dialect
		ending, query string
		want          string // the parameter at fault; empty: none
	}{
		{NewGenerate(), generate, "", ""},
		{NewGenerate(), generate, "alt=json&prettyPrint=false", ""},
		{NewGenerate(), generate, "alt=sse", "alt"},
		{NewGenerate(), generate, "$alt=proto", "alt"},
		{NewGenerate(), generate, "fields=candidates", "fields"},
		{NewGenerate(), streamMethod, "alt=sse", ""},
		{NewGenerate(), streamMethod, "", ""},
		{NewCountTokens(), ":countTokens", "", ""},
		{NewCountTokens(), ":countTokens", "alt=sse", "alt"},
		{NewEmbed(), batchMethod, "alt=media", "alt"},
		{NewEmbed(), ":embedContent", "", ""},
	} {
		q, _ := url.ParseQuery(c.query)
		_, err := c.d.At(c.ending, q)
		var fe *fault.Error
		if errors.As(err, &fe); (err == nil) != (c.want == "") || fe != nil && fe.Param != c.want {
			t.Errorf("%s?%s: %v, want it at %q", c.ending, c.query, err, c.want)
		}
	}
	body := []byte(`{"contents":[{"parts":[{"text":"a"}]}]}`)
	for query, events := range map[string]bool{"alt=sse": true, "": false} {
		d := at(t, streamMethod, query)
		if r, err := d.DecodeFor("m", body, nil); err != nil || !r.Stream || !r.IncludeUsage || d.events != events {
			t.Errorf("%q: %+v, %v", query, r, err)
		}
	}
	if r, err := at(t, generate, "").DecodeFor("m", body, nil); err != nil || r.Stream {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	const contents = `"contents":[{"parts":[{"text":"a"}]}]`
	for body, want := range map[string]string{
		`{` + contents + `}`: "",
		`{"generateContentRequest":{"model":"models/m",` + contents + `,"systemInstruction":{"parts":[{"text":"b"}]}}}`: "",
		`{"generateContentRequest":{"model":"models/other",` + contents + `}}`:                                          "generateContentRequest.model",
		`{"generateContentRequest":{` + contents + `},` + contents + `}`:                                                "contents",
		`{"generateContentRequest":{}}`: "generateContentRequest.contents",
		`{}`:                            "contents",
	} {
		r, err := NewCountTokens().DecodeFor("m", []byte(body), nil)
		var fe *fault.Error
		if errors.As(err, &fe); (err == nil) != (want == "") || fe != nil && fe.Param != want {
			t.Errorf("%s: %v, want it at %q", body, err, want)
		}
		if err != nil {
			continue
		}
		if chat, err := r.DecodeChat(); err != nil || len(chat.Messages) != 1 || r.Task != llm.TaskCountTokens {
			t.Errorf("%s: %+v, %v", body, chat, err)
		}
	}
	d := NewCountTokens()
	if got := run(t, d.Encoder(nil), wire.Final{Usage: llm.Usage{Input: 5}}, llm.Event{}); got != `{"totalTokens":5}` {
		t.Errorf("%s", got)
	}
	if got := run(t, d.Encoder(nil), wire.Final{}, llm.Event{Raw: []byte(`{"totalTokens":6,"x":1}`)}); got != `{"totalTokens":6,"x":1}` {
		t.Errorf("%s", got)
	}
	if out, err := d.Encoder(nil).Finish(nil, wire.Final{}); err == nil {
		t.Errorf("nothing gives %s", out)
	}
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	one, many := Embed{}, Embed{batch: true}
	const content = `{"content":{"parts":[{"text":"abc"}]},"outputDimensionality":3}`
	r, err := one.DecodeFor("m", []byte(content), nil)
	if err != nil || r.Task != llm.TaskEmbed || r.Inputs != 1 || r.Needs.Has(llm.NeedBatchInput) || r.Size.ASCII != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = many.DecodeFor("m", []byte(`{"requests":[`+content+`,`+content+`]}`), nil)
	if err != nil || r.Inputs != 2 || !r.Needs.Has(llm.NeedBatchInput) {
		t.Errorf("%+v, %v", r, err)
	}
	for body, want := range map[string]string{
		`{}`: "requests", `{"requests":[]}`: "requests", `{"requests":[{}]}`: "requests.0.content",
		`{"requests":[{"model":"models/x","content":"a"}]}`:                                    "requests.0.model",
		`{"requests":[{"content":{"parts":[{"text":"a"}]},"output_dimensionality":0}]}`:        "requests.0.output_dimensionality",
		`{"requests":[{"content":"a","embedContentConfig":3}]}`:                                "requests.0.embedContentConfig",
		`{"requests":[{"content":"a","embed_content_config":{"output_dimensionality":0}}]}`:    "requests.0.embed_content_config.output_dimensionality",
		`{"requests":[{"content":"a","embedContentConfig":{"autoTruncate":"yes"}}]}`:           "requests.0.embedContentConfig.autoTruncate",
		`{"requests":[{"content":"a","embedContentConfig":{"documentOcr":1,"taskType":"X"}}]}`: "requests.0.embedContentConfig.documentOcr",
	} {
		_, err := many.DecodeFor("m", []byte(body), nil)
		var fe *fault.Error
		if !errors.As(err, &fe) || fe.Param != want {
			t.Errorf("%s: %v, want it at %s", body, err, want)
		}
	}
	if got := run(t, one.Encoder(r), wire.Final{}, llm.Event{Raw: []byte(`{"embedding":{}}`)}); got != `{"embedding":{}}` {
		t.Errorf("%s", got)
	}
	if out, err := one.Encoder(r).Finish(nil, wire.Final{}); err == nil {
		t.Errorf("nothing gives %s", out)
	}
}

func TestModelsComeInPages(t *testing.T) {
	t.Parallel()
	all := []wire.Model{{ID: "a", Name: "A", Kind: "chat", Context: 10, MaxOutput: 5}, {ID: "b/c", Kind: "embedding"}, {ID: "d", Kind: "image"}}
	page := func(query string) string {
		q, _ := url.ParseQuery(query)
		out, err := Models{}.Page(nil, all, q)
		if err != nil {
			return err.Error()
		}
		return string(out)
	}
	const a = `{"name":"models/a","baseModelId":"a","version":"","displayName":"A","inputTokenLimit":10,"outputTokenLimit":5,"supportedGenerationMethods":["generateContent","countTokens"]}`
	const b = `{"name":"models/b/c","baseModelId":"b/c","version":"","displayName":"b/c","supportedGenerationMethods":["embedContent","batchEmbedContents"]}`
	const d = `{"name":"models/d","baseModelId":"d","version":"","displayName":"d","supportedGenerationMethods":[]}`
	for query, want := range map[string]string{
		"pageSize=1":               `{"models":[` + a + `],"nextPageToken":"a"}`,
		"pageSize=1&pageToken=a":   `{"models":[` + b + `],"nextPageToken":"b/c"}`,
		"page_size=2":              `{"models":[` + a + `,` + b + `],"nextPageToken":"b/c"}`,
		"pageSize=5&pageToken=b/c": `{"models":[` + d + `]}`,
		"pageToken=d":              `{"models":[]}`,
		"":                         string(Models{}.List(nil, all)),
		"pageSize=0":               string(Models{}.List(nil, all)),
	} {
		if got := page(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := string(Models{}.One(nil, wire.Model{ID: "i", Kind: "image"})); !strings.Contains(got, `"supportedGenerationMethods":[]`) {
		t.Errorf("an image model: %s", got)
	}
	for _, query := range []string{"pageSize=x", "pageSize=-1", "pageToken=z"} {
		if got := page(query); !strings.Contains(got, "invalid_parameter") {
			t.Errorf("%s: %s", query, got)
		}
	}
}

// Providers name places as chat completions do; callers read their own.
func TestPlacesHaveTheCallersNames(t *testing.T) {
	t.Parallel()
	const body = `{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"googleSearch":{}},{"functionDeclarations":[{"name":"f"},{"name":"g"}]}]}`
	r, err := NewGenerate().DecodeFor("m", []byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"messages": "contents", "messages.2": "contents.2", "messages.1.content.3": "contents.1.parts.3", "messages.1.content.3.content.0": "contents.1.parts.3",
		"messages.0.role": "contents.0", "tools.1": "tools.1.functionDeclarations.1", "tools.1.strict": "tools.1.functionDeclarations.1.strict", "tools.0.googleSearch": "tools.0.googleSearch",
		"tool_choice": "toolConfig.functionCallingConfig", "n": "generationConfig.candidateCount", "stop": "generationConfig.stopSequences",
		"response_format.json_schema.strict": "generationConfig.responseSchema", "thinking.budget_tokens": "generationConfig.thinkingConfig",
		"safetySettings": "safetySettings", "model": "model", "reasoning_state": "reasoning_state",
	} {
		if got := r.Place(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
