package gemini

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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

// ask sends a request of another dialect and reads the answer that body is.
func ask(contentType, body string, stream bool) ([]llm.Event, error) {
	q := foreign(&llm.Request{Model: "m", Choices: 1, Stream: stream})
	return run(saying(contentType, func() io.Reader { return strings.NewReader(body) }), provider.Call{Request: q, Model: "m", RequestID: "r"})
}

func frames(data ...string) string { return "data: " + strings.Join(data, "\n\ndata: ") + "\n\n" }

func candidate(parts string) string { return `{"candidates":[{"content":{"parts":[` + parts + `]}}]}` }

const ended = `{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"toolUsePromptTokenCount":2,"cachedContentTokenCount":3,"candidatesTokenCount":1,"thoughtsTokenCount":4,"totalTokenCount":12}}`

func TestFactsOfEvents(t *testing.T) {
	t.Parallel()
	evs, err := ask("text/event-stream", frames(
		candidate(`{"text":"hm","thought":true}`),
		candidate(`{"text":"a\n"},{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"s"}`),
		candidate(`{"functionCall":{"id":"i","name":"f"}}`),
		ended), true)
	if err != nil {
		t.Fatal(err)
	}
	id := evs[1].Deltas[1].ToolID
	want := [][]llm.Delta{
		{{Kind: llm.DeltaStart}, {Kind: llm.DeltaReasoning, Text: "hm"}},
		{{Kind: llm.DeltaText, Text: "a\n"}, {Kind: llm.DeltaToolCall, ToolID: id, ToolName: "f", Signature: llm.Seal("google", "s")}, {Kind: llm.DeltaToolArgs, Text: `{"x":1}`}},
		{{Kind: llm.DeltaToolCall, Tool: 1, ToolID: "i", ToolName: "f"}, {Kind: llm.DeltaToolArgs, Tool: 1, Text: "{}"}},
		{{Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls}},
		nil,
	}
	for i, e := range evs {
		if d := cmp.Diff(want[i], e.Deltas); d != "" {
			t.Errorf("event %d (-want +got):\n%s", i, d)
		}
	}
	if e := evs[1]; !e.Content || e.OutputBytes != 9 || e.Weight != provider.Weight([]byte(`a\n`))+provider.Weight([]byte(`{"x":1}`))+provider.CallWeight {
		t.Errorf("facts of a call: %+v", e)
	}
	if e := evs[3]; e.Content || e.Finish != llm.FinishToolCalls || testkit.Used(e) != (llm.Usage{Input: 7, CachedInput: 3, Output: 5, Reasoning: 4}) {
		t.Errorf("facts of the end: %+v, %+v", e, testkit.Used(e))
	}
	if !evs[4].Last || len(evs) != 5 {
		t.Errorf("%d events, the last is %+v", len(evs), evs[len(evs)-1])
	}
	again, _ := ask("text/event-stream", frames(candidate(`{"text":"a\n"},{"functionCall":{"name":"f","args":{"x":1}}}`), ended), true)
	if again[0].Deltas[2].ToolID != id || !strings.HasPrefix(id, "call_") {
		t.Errorf("the id of a call is %q, and then %q", id, again[0].Deltas[2].ToolID)
	}
}

// In messages and responses a call has no place for a signature, but reasoning
// has, whole answers too.
func TestCallersWhoseCallsHoldNoSignatureCarryItAsThatOfThoughts(t *testing.T) {
	t.Parallel()
	for _, dialect := range []llm.Dialect{llm.AnthropicMessages, llm.OpenAIResponses} {
		for _, stream := range []bool{false, true} {
			q := foreign(&llm.Request{Model: "m", Choices: 1, Stream: stream})
			q.Dialect = dialect
			body, contentType := strings.Replace(candidate(`{"functionCall":{"id":"i","name":"f","args":{}},"thoughtSignature":"s"}`), "]}}]", `]},"finishReason":"STOP"}]`, 1), "application/json"
			if stream {
				body, contentType = frames(body), "text/event-stream"
			}
			evs, err := run(saying(contentType, func() io.Reader { return strings.NewReader(body) }), provider.Call{Request: q, Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			deltas := evs[0].Deltas
			if !stream {
				for _, p := range evs[0].Whole.Choices[0].Parts {
					d := llm.Delta{Kind: llm.DeltaSignature, Text: p.Signature}
					if p.Kind == llm.PartToolCall {
						d.Kind = llm.DeltaToolCall
					}
					deltas = append(deltas, d)
				}
			}
			seal, call := -1, -1
			for i, d := range deltas {
				switch {
				case d.Kind == llm.DeltaSignature && d.Text == llm.Seal("google", "s"):
					seal = i
				case d.Kind == llm.DeltaToolCall:
					call = i
				}
			}
			if seal < 0 || call < seal {
				t.Errorf("dialect %v, stream %t: deltas %+v", dialect, stream, deltas)
			}
		}
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	const (
		sse  = "text/event-stream"
		js   = "application/json"
		busy = `{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}`
	)
	text := frames(candidate(`{"text":"a"}`))
	for name, c := range map[string]struct {
		contentType, body string
		stream            bool
		want              string
	}{
		"no JSON":                   {js, "oops", false, "upstream_failed RFBS"},
		"nothing":                   {js, "", false, "upstream_failed RFBS"},
		"another object":            {js, `{"a":1}`, false, "upstream_failed RFBS"},
		"an error with status 200":  {js, busy, false, "upstream_overloaded RFBS"},
		"an error in a list":        {js, "[" + busy + "]", false, "upstream_overloaded RFBS"},
		"a blocked prompt":          {js, `{"promptFeedback":{"blockReason":"SAFETY"}}`, false, "content_policy S"},
		"a malformed call":          {js, `{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}`, false, "upstream_failed RFS"},
		"a sound":                   {js, candidate(`{"inlineData":{"mimeType":"audio/L16","data":"x"}}`), false, "unsupported_parameter S"},
		"JSON for a stream":         {js, `{"candidates":[]}`, true, "upstream_failed RFBS"},
		"an error for a stream":     {js, "[" + busy + "]", true, "upstream_overloaded RFBS"},
		"an empty stream":           {sse, "", true, "stream_interrupted RFBS"},
		"no finish":                 {sse, text, true, "stream_interrupted RFBS"},
		"one candidate open":        {sse, frames(`{"candidates":[{"index":0,"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"a"}]}}]}`), true, "stream_interrupted RFBS"},
		"half an event":             {sse, text + `data: {"candidates":[{"finishReason":"ST`, true, "stream_interrupted RFBS"},
		"an event that is no JSON":  {sse, text + "data: oops\n\n", true, "upstream_failed RFBS"},
		"an error as an event":      {sse, text + frames(busy), true, "upstream_overloaded RFBS"},
		"an error in a list, there": {sse, text + frames("["+busy+"]"), true, "upstream_overloaded RFBS"},
		"an error as it is":         {sse, text + busy + "\n", true, "upstream_overloaded RFBS"},
		"an error on many lines":    {sse, text + "{\n  \"error\": {\n    \"code\": 429,\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}\n", true, "upstream_rate_limited RFS"},
		"a list on many lines":      {sse, text + "[{\n  \"error\": {\n    \"code\": 429,\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}\n]\n", true, "upstream_rate_limited RFS"},
		"a page":                    {sse, "<html>\n", true, "upstream_failed RFBS"},
		"a blocked stream":          {sse, frames(`{"promptFeedback":{"blockReason":"OTHER"}}`), true, "content_policy S"},
		"a call given up midway":    {sse, text + frames(`{"candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL"}]}`), true, "upstream_failed RFS"},
	} {
		if _, err := ask(c.contentType, c.body, c.stream); verdict(err) != c.want {
			t.Errorf("%s: %s, want %s", name, verdict(err), c.want)
		}
	}
}

func TestEmptyAnswersHaveNoContent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"candidates":[{"finishReason":"STOP"}]}`, candidate(`{"text":""}`), `{"candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]}`} {
		evs, err := ask("application/json", body, false)
		if err != nil || len(evs) != 1 || evs[0].Content {
			t.Errorf("%s: %v, %v", body, evs, err)
		}
	}
}

func TestCitationsAreTold(t *testing.T) {
	t.Parallel()
	evs, err := ask("application/json", `{"candidates":[{"content":{"parts":[{"text":"Paris"}]},"finishReason":"STOP",
		"citationMetadata":{"citationSources":[{"uri":"https://c"}]},
		"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a","title":"A"}},{"retrievedContext":{"text":"x"}}]}}]}`, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []llm.Part{{Kind: llm.PartText, Text: "Paris", Citations: json.RawMessage(`[{"url":"https://c"},{"url":"https://a","title":"A"}]`)}}
	if d := cmp.Diff(want, evs[0].Whole.Choices[0].Parts); d != "" {
		t.Errorf("parts (-want +got):\n%s", d)
	}
}

func TestArgumentsInPieces(t *testing.T) {
	t.Parallel()
	var p partial
	for _, s := range []string{
		`[{"jsonPath":"$.a","stringValue":"x\"","willContinue":true}]`,
		`[{"jsonPath":"$.a","stringValue":"y"},{"jsonPath":"$.b.c[1]['d.e']","numberValue":1e3},{"jsonPath":"$.b.c[0]","nullValue":"NULL_VALUE"},{"jsonPath":"$[\"q\"]","boolValue":true}]`,
		`[{"jsonPath":"a","stringValue":"lost"},{"jsonPath":"$x","stringValue":"lost"},{"jsonPath":"$[99999]","stringValue":"lost"},{"jsonPath":"$['","stringValue":"lost"},{"jsonPath":"$.z"}]`,
		`{}`, `[1]`,
	} {
		p.add([]byte(s))
	}
	const want = `{"a":"x\"y","b":{"c":[null,{"d.e":1e3}]},"q":true}`
	if got := string(p.json()); got != want {
		t.Errorf("arguments %s, want %s", got, want)
	}
}

func TestArgumentsInPiecesAreBounded(t *testing.T) {
	t.Parallel()
	var p partial
	for i := range 100 {
		p.add(fmt.Appendf(nil, `[{"jsonPath":"$.x[%d][9999]","numberValue":1}]`, i))
	}
	if args := p.json(); len(args) > 3*maxPartialNodes || !json.Valid(args) {
		t.Errorf("%d bytes of arguments", len(args))
	}
}

// recorder is a transport that keeps what is sent.
type recorder struct {
	url    string
	header http.Header
	body   string
	answer string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	b, _ := io.ReadAll(req.Body)
	r.url, r.header, r.body = req.URL.String(), req.Header, string(b)
	kind := "application/json"
	if strings.HasSuffix(req.URL.Path, ":streamGenerateContent") {
		kind = "text/event-stream"
	}
	return reply(200, kind, r.answer), nil
}

func mustScan(t *testing.T, body string) llm.Raw {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	const studio = "https://generativelanguage.googleapis.com/v1beta/"
	vertex := &Vertex{Project: "p", Location: "europe-west4"}
	generate := llm.Request{Dialect: llm.GeminiGenerate, Model: "m", Choices: 1}
	count := llm.Request{Dialect: llm.GeminiCountTokens, Task: llm.TaskCountTokens, Model: "m"}
	embed := llm.Request{Dialect: llm.GeminiEmbed, Task: llm.TaskEmbed, Model: "m", Inputs: 1}
	vectors := llm.Request{Dialect: llm.OpenAIEmbeddings, Task: llm.TaskEmbed, Model: "m", Inputs: 1}
	for name, c := range map[string]struct {
		options   Options
		request   llm.Request
		body      string
		call      provider.Call
		stream    bool
		url, want string
	}{
		"as it came":               {Options{}, generate, `{ "contents":[] }`, provider.Call{Model: "g"}, false, studio + "models/g:generateContent", `{ "contents":[] }`},
		"streamed":                 {Options{BaseURL: "http://x/v1?a=b"}, generate, `{}`, provider.Call{Model: "g"}, true, "http://x/v1/models/g:streamGenerateContent?a=b&alt=sse", `{}`},
		"a tuned model":            {Options{}, generate, `{"model":"models/m"}`, provider.Call{Model: "tunedModels/t"}, false, studio + "tunedModels/t:generateContent", `{"model":"tunedModels/t"}`},
		"capped":                   {Options{}, generate, `{"contents":[]}`, provider.Call{Model: "g", CapOutput: 5}, false, studio + "models/g:generateContent", `{"contents":[],"generationConfig":{"maxOutputTokens":5}}`},
		"capped beside a seed":     {Options{}, generate, `{"generation_config":{"seed":1}}`, provider.Call{Model: "g", CapOutput: 5}, false, studio + "models/g:generateContent", `{"generation_config":{"seed":1,"maxOutputTokens":5}}`},
		"on Vertex":                {Options{Vertex: vertex}, generate, `{"model":"models/m","contents":[]}`, provider.Call{Model: "g"}, false, "https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/p/locations/europe-west4/publishers/google/models/g:generateContent", `{"contents":[]}`},
		"on Vertex, global":        {Options{Vertex: &Vertex{Project: "p"}}, generate, `{}`, provider.Call{Model: "g"}, true, "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/publishers/google/models/g:streamGenerateContent?alt=sse", `{}`},
		"on Vertex, in the EU":     {Options{Vertex: &Vertex{Project: "p", Location: "eu"}}, generate, `{}`, provider.Call{Model: "publishers/meta/models/l"}, false, "https://aiplatform.eu.rep.googleapis.com/v1beta1/projects/p/locations/eu/publishers/meta/models/l:generateContent", `{}`},
		"in express mode":          {Options{Vertex: &Vertex{}}, generate, `{}`, provider.Call{Model: "g"}, false, "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/g:generateContent", `{}`},
		"a count":                  {Options{}, count, `{"generateContentRequest":{"model":"models/m","contents":[]}}`, provider.Call{Model: "g"}, false, studio + "models/g:countTokens", `{"generateContentRequest":{"model":"models/g","contents":[]}}`},
		"a count on Vertex":        {Options{Vertex: vertex}, count, `{"contents":[]}`, provider.Call{Model: "g"}, false, "https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/p/locations/europe-west4/publishers/google/models/g:countTokens", `{"contents":[]}`},
		"an embedding":             {Options{}, embed, `{"content":{}}`, provider.Call{Model: "g"}, false, studio + "models/g:embedContent", `{"content":{}}`},
		"embeddings":               {Options{}, embed, `{"requests":[ {"model":"models/m","content":{}} , {"model":"models/m"}]}`, provider.Call{Model: "g"}, false, studio + "models/g:batchEmbedContents", `{"requests":[ {"model":"models/g","content":{}} , {"model":"models/g"}]}`},
		"OpenAI's":                 {Options{}, vectors, `{"model":"m","input":["a\"","b"],"dimensions":7,"user":"u","encoding_format":"base64"}`, provider.Call{Model: "g"}, false, studio + "models/g:batchEmbedContents", `{"requests":[{"model":"models/g","content":{"parts":[{"text":"a\""}]},"outputDimensionality":7},{"model":"models/g","content":{"parts":[{"text":"b"}]},"outputDimensionality":7}]}`},
		"OpenAI's on Vertex":       {Options{Vertex: vertex}, vectors, `{"model":"m","input":"a"}`, provider.Call{Model: "gemini-embedding-2"}, false, "https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/p/locations/europe-west4/publishers/google/models/gemini-embedding-2:embedContent", `{"content":{"parts":[{"text":"a"}]}}`},
		"OpenAI's on Vertex, less": {Options{Vertex: vertex}, vectors, `{"model":"m","input":"a","dimensions":7}`, provider.Call{Model: "gemini-embedding-2"}, false, "https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/p/locations/europe-west4/publishers/google/models/gemini-embedding-2:embedContent", `{"content":{"parts":[{"text":"a"}]},"embedContentConfig":{"outputDimensionality":7}}`},
		"OpenAI's on Vertex, once": {Options{Vertex: vertex}, vectors, `{"model":"m","input":["a"],"dimensions":7}`, provider.Call{Model: "gemini-embedding-001"}, false, "https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/p/locations/europe-west4/publishers/google/models/gemini-embedding-001:predict", `{"instances":[{"content":"a"}],"parameters":{"outputDimensionality":7}}`},
	} {
		r := &recorder{answer: hello}
		c.options.Transport = r
		q := c.request
		q.Raw, q.Stream = mustScan(t, c.body), c.stream
		c.call.Request, c.call.Key, c.call.RequestID = &q, "secret", "req_1"
		s, err := New(c.options).Open(context.Background(), c.call)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = s.Close()
		if r.url != c.url || r.body != c.want {
			t.Errorf("%s: went to %s with %s\nwant %s with %s", name, r.url, r.body, c.url, c.want)
		}
		if r.header.Get("X-Goog-Api-Key") != "secret" || r.header.Get("X-Request-Id") != "req_1" || strings.Contains(r.url, "secret") || r.header.Get("Authorization") != "" {
			t.Errorf("%s: headers %v", name, r.header)
		}
	}
}

func TestEmbeddingsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"model":"m","input":[1,2]}`:                                    "input",
		`{"model":"m","input":[[1],[2]]}`:                                "input",
		`{"model":"m","input":"a","task":"x"}`:                           "task",
		`{"model":"m","input":["` + strings.Repeat(`a","`, 100) + `b"]}`: "input",
	} {
		q := &llm.Request{Dialect: llm.OpenAIEmbeddings, Task: llm.TaskEmbed, Model: "m", Inputs: 1, Raw: mustScan(t, body)}
		f, _ := New(Options{}).Supports(q).(*fault.Error)
		if f == nil || f.Param != want {
			t.Errorf("%s: %v, want a refusal of %s", body, f, want)
		}
	}
	named := &llm.Request{Dialect: llm.OpenAIEmbeddings, Task: llm.TaskEmbed, Model: "m", Inputs: 1, Raw: mustScan(t, `{"input":"a","user":"u"}`)}
	if d := New(Options{}).Dropped(named); len(d) != 1 || d[0] != "user" {
		t.Errorf("dropped %v", d)
	}
	two := &llm.Request{Dialect: llm.OpenAIEmbeddings, Task: llm.TaskEmbed, Model: "m", Inputs: 2, Raw: mustScan(t, `{"input":["a","b"]}`)}
	if f, _ := New(Options{Vertex: &Vertex{}}).Supports(two).(*fault.Error); f == nil || f.Param != "input" {
		t.Errorf("two at once on Vertex: %v", f)
	}
}

// TestRecordedEmbeddings replays what Google answers to requests for embeddings
// of its own dialect and of OpenAI's.
func TestRecordedEmbeddings(t *testing.T) {
	t.Parallel()
	n := 0
	for _, api := range []string{"gemini.batchEmbedContents", "gemini.embedContent", "gemini.predict"} {
		for _, f := range testkit.Recorded(t, api) {
			body := string(f.Response.Body())
			if f.Response.Status != 200 || !strings.Contains(body, `"values"`) {
				continue
			}
			n++
			var all [][]float64
			var walk func(v any)
			walk = func(v any) {
				switch x := v.(type) {
				case object:
					if vs := list(x["values"]); vs != nil {
						var one []float64
						for _, y := range vs {
							one = append(one, y.(float64))
						}
						all = append(all, one)
					}
					for _, y := range x {
						walk(y)
					}
				case []any:
					for _, y := range x {
						walk(y)
					}
				}
			}
			for _, o := range payloads(t, body) {
				walk(o)
			}
			q := &llm.Request{Dialect: llm.OpenAIEmbeddings, Task: llm.TaskEmbed, Model: "mine", Inputs: len(all), Raw: mustScan(t, `{"input":"a"}`)}
			evs, err := run(saying("application/json", func() io.Reader { return strings.NewReader(body) }), provider.Call{Request: q, Model: "m"})
			if err != nil {
				t.Errorf("%s: %v", f.ID, err)
				continue
			}
			var got struct {
				Object, Model string
				Data          []struct {
					Object    string
					Index     int
					Embedding []float64
				}
				Usage struct {
					Prompt int64 `json:"prompt_tokens"`
				}
			}
			if err := json.Unmarshal(evs[0].Raw, &got); err != nil || got.Object != "list" || got.Model != "mine" || !evs[0].Content || !evs[0].Last {
				t.Errorf("%s: %v, %s", f.ID, err, evs[0].Raw)
			}
			for i, d := range got.Data {
				if d.Index != i || d.Object != "embedding" || !cmp.Equal(d.Embedding, all[i]) {
					t.Errorf("%s: vector %d is %v", f.ID, i, d)
				}
			}
			if strings.Contains(body, "Count\"") || strings.Contains(body, "token_count") {
				if evs[0].Usage == nil || evs[0].Usage.Input == 0 || got.Usage.Prompt != evs[0].Usage.Input {
					t.Errorf("%s: usage %+v, told %d", f.ID, evs[0].Usage, got.Usage.Prompt)
				}
			}
			if api == "gemini.predict" { // which only translations go by
				continue
			}
			q.Dialect = llm.GeminiEmbed
			evs, err = run(saying("application/json", func() io.Reader { return strings.NewReader(body) }), provider.Call{Request: q, Model: "m"})
			if err != nil || strings.TrimLeft(body, " \r\n") != string(evs[0].Raw) || !evs[0].Content {
				t.Errorf("%s: %v does not pass through", f.ID, err)
			}
		}
	}
	if n < 7 {
		t.Errorf("only %d answers", n)
	}
}

// TestRecordedCounts replays what Google answers to requests to count.
func TestRecordedCounts(t *testing.T) {
	t.Parallel()
	n := 0
	for _, f := range testkit.Recorded(t, "gemini.countTokens") {
		n++
		var want struct{ TotalTokens int64 }
		if err := json.Unmarshal(f.Response.Body(), &want); err != nil {
			t.Fatal(err)
		}
		for _, q := range []*llm.Request{
			{Dialect: llm.GeminiCountTokens, Task: llm.TaskCountTokens, Model: "m", Raw: mustScan(t, `{"contents":[]}`)},
			foreign(&llm.Request{Task: llm.TaskCountTokens, Model: "m"}),
		} {
			if q.DecodeChat != nil {
				q.Dialect = llm.AnthropicCountTokens
			}
			r := &recorder{answer: string(f.Response.Body())}
			evs, err := run(New(Options{Transport: r}), provider.Call{Request: q, Model: "g"})
			if err != nil || !evs[0].Content || testkit.Used(evs[0]).Input != want.TotalTokens || testkit.Used(evs[0]).Output != 0 {
				t.Errorf("%s: %v, %+v", f.ID, err, evs)
				continue
			}
			if q.DecodeChat == nil && !bytes.Equal(evs[0].Raw, f.Response.Body()) {
				t.Errorf("%s: %s does not pass through", f.ID, evs[0].Raw)
			}
			if q.DecodeChat != nil && (r.body != `{"generateContentRequest":{"model":"models/g","contents":[{"role":"user","parts":[{"text":"Hello"}]}]}}` || evs[0].Raw != nil) {
				t.Errorf("%s: sent %s", f.ID, r.body)
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d counts", n)
	}
}

func TestTheCallersNameOfTheModelIsKept(t *testing.T) {
	t.Parallel()
	const body = `{"modelVersion":"g-001","candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}`
	want := strings.Replace(body, `"g-001"`, `"mine"`, 1)
	q := &llm.Request{Dialect: llm.GeminiGenerate, Model: "mine", Choices: 1, Raw: mustScan(t, `{}`)}
	evs, err := run(saying("application/json", func() io.Reader { return strings.NewReader(body) }), provider.Call{Request: q, Model: "g"})
	if err != nil || string(evs[0].Raw) != want {
		t.Errorf("%v, %s", err, evs[0].Raw)
	}
	q.Stream = true
	evs, err = run(cutAt(frames(body)), provider.Call{Request: q, Model: "g"})
	if err != nil || string(evs[0].Raw) != frames(want) || string(evs[0].Data) != want {
		t.Errorf("%v, %s", err, evs[0].Raw)
	}
	evs, err = run(cutAt(frames(body)), provider.Call{Request: q, Model: "mine"})
	if err != nil || string(evs[0].Raw) != frames(body) {
		t.Errorf("%v, %s", err, evs[0].Raw)
	}
}

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	for base, ok := range map[string]bool{"": true, "http://127.0.0.1:1": true, "https://x/v1beta": true, "ftp://x": false, "x": false, "http://": false, ":": false} {
		o := Options{Name: "n", BaseURL: base}
		if err := o.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
		if _, err := New(o).Open(context.Background(), callHello()); !ok && verdict(err) != "no_target F" {
			t.Errorf("%q: %v", base, err)
		}
		if ok {
			break
		}
	}
}
