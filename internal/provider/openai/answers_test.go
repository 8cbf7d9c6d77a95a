package openai

import (
	"errors"
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

// ask sends a request of OpenAI's dialect for the model "mine", which the
// provider calls "theirs", to somebody who answers with body.
func ask(t *testing.T, vendor, contentType, body string, stream bool) ([]llm.Event, error) {
	t.Helper()
	raw, err := jsonx.Scan([]byte(`{"model":"mine","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Vendor: vendor, Transport: canned{
		status: 200, header: http.Header{"Content-Type": {contentType}},
		body: func() io.Reader { return strings.NewReader(body) },
	}})
	q := &llm.Request{Dialect: llm.OpenAIChat, Model: "mine", Raw: raw, Stream: stream, Choices: 1}
	return run(p, provider.Call{Request: q, Model: "theirs"})
}

const (
	events   = "text/event-stream"
	jsonType = "application/json"
)

func joined(evs []llm.Event) string {
	var b strings.Builder
	for _, e := range evs {
		b.Write(e.Raw)
	}
	return b.String()
}

func TestTheCallersNameOfTheModelIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{
			"data: {\"id\":\"1\",\"model\" : \"theirs\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\r\n\r\ndata: [DONE]\r\n\r\n",
			"data: {\"id\":\"1\",\"model\" : \"mine\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\r\n\r\n",
		},
		{
			"event: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\ndata: \"model\":\"theirs-2\"}\n\ndata: [DONE]\n\n",
			"event: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}], \"model\":\"mine\"}\n\ndata: [DONE]\n\n",
		},
		{
			"data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"model\":\"theirs\"},\"finish_reason\":\"stop\"}],\"model\":\"mine\"}\n\ndata: [DONE]\n\n",
			"data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"model\":\"theirs\"},\"finish_reason\":\"stop\"}],\"model\":\"mine\"}\n\ndata: [DONE]\n\n",
		},
	} {
		evs, err := ask(t, "openai", events, c.in, true)
		if got := joined(evs); err != nil || got != c.want {
			t.Errorf("%q becomes (%v)\n%q, want\n%q", c.in, err, got, c.want)
		}
	}
	in := "{\n \"choices\": [{\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\n \"model\": \"theirs\"\n}\n"
	evs, err := ask(t, "openai", jsonType, "\n \r\n"+in, false)
	if want := strings.Replace(in, "theirs", "mine", 1); err != nil || joined(evs) != want {
		t.Errorf("%q becomes (%v) %q, want %q", in, err, joined(evs), want)
	}
}

func TestNullErrorsAndStrayLinesGo(t *testing.T) {
	t.Parallel()
	const chunk = `"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]`
	for in, want := range map[string]string{
		"data: {\"error\":null," + chunk + "}\n\n":                      "data: {" + chunk + "}\n\n",
		"data: {" + chunk + ", \"error\" : null }\n\n":                  "data: {" + chunk + " }\n\n",
		"data: {\"a\":1,\"error\":null," + chunk + "}\n\n":              "data: {\"a\":1," + chunk + "}\n\n",
		"data: {\"model\":\"theirs\",\"error\":null," + chunk + "}\n\n": "data: {\"model\":\"mine\"," + chunk + "}\n\n",
		"data: {\"error\":null," + chunk + ",\"model\":\"theirs\"}\n\n": "data: {" + chunk + ",\"model\":\"mine\"}\n\n",
		"id: 1\nretry: 2\ndata: {" + chunk + "}\n\n":                    "data: {" + chunk + "}\n\n",
		"event: x\n\ndata: {" + chunk + "}\n\n":                         "data: {" + chunk + "}\n\n",
		": hi\n\ndata: {" + chunk + "}\n\n":                             ": hi\n\ndata: {" + chunk + "}\n\n",
		"data: {" + chunk + "}":                                         "data: {" + chunk + "}\n\n",
		"data:\n\ndata:{" + chunk + "}\n\n":                             "data:{" + chunk + "}\n\n",
	} {
		evs, err := ask(t, "openai", events, in, true)
		if got := joined(evs); err != nil || got != want+doneFrame {
			t.Errorf("%q becomes (%v)\n%q, want\n%q", in, err, got, want+doneFrame)
		}
	}
}

func TestFactsOfEvents(t *testing.T) {
	t.Parallel()
	body := ": OPENROUTER PROCESSING\n\n" +
		`data: {"choices":[],"prompt_filter_results":[{}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"content":"h\u00e9\n"},"finish_reason":null}],"usage":null}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"reasoning":"ab","reasoning_content":"ab","reasoning_details":[{"text":"ab"}]}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n" +
		`data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":5}}}` + "\n\n" +
		"data: [DONE]\n\n"
	evs, err := ask(t, "openai", events, body, true)
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		Content, Ping, UsageOnly, Last, More bool
		Bytes                                int
		Finish                               llm.Finish
		Input                                int64
	}
	var got []facts
	for _, e := range evs {
		got = append(got, facts{e.Content, e.Ping, e.UsageOnly, e.Last, e.More, e.OutputBytes, e.Finish, testkit.Used(e).Input})
	}
	want := []facts{
		{Ping: true, More: true},
		{More: true},
		{More: true},
		{Content: true, Bytes: 4, More: true},
		{Content: true, Bytes: 2, More: true},
		{Content: true, Bytes: 2, More: true},
		{Finish: llm.FinishToolCalls, More: true},
		{UsageOnly: true, Input: 7, More: true},
		{Last: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("facts (-want +got):\n%s", d)
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	ok := `{"choices":[{"index":0,"message":{"content":"a"},"delta":{"content":"a"},"finish_reason":null}]}`
	sse := func(parts ...string) string { return "data: " + strings.Join(parts, "\n\ndata: ") + "\n\n" }
	for _, c := range []struct {
		name, contentType, body string
		stream                  bool
		events                  int
		code                    fault.Code
		actions                 string
	}{
		{"empty", jsonType, "", false, 0, fault.UpstreamFailed, "RFBS"},
		{"null", jsonType, "null", false, 0, fault.UpstreamFailed, "RFBS"},
		{"a list", jsonType, "[]", false, 0, fault.UpstreamFailed, "RFBS"},
		{"half", jsonType, ok[:40], false, 0, fault.UpstreamFailed, "RFBS"},
		{"something else", jsonType, `{"status":"ok"}`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"a page", "text/html", "<html>", false, 0, fault.UpstreamFailed, "RFBS"},
		{"a page for a stream", "text/html", "<html>", true, 0, fault.UpstreamFailed, "RFBS"},
		{"events for JSON", jsonType, sse(ok), false, 0, fault.UpstreamFailed, "RFBS"},
		{"events that say they are JSON", jsonType, sse(ok), true, 0, fault.UpstreamFailed, "RFBS"},
		{"JSON that says it is events", events, ok, true, 0, fault.UpstreamFailed, "RFBS"},
		{"an error that says it is events", events, "{\n \"error\": {\"code\":\"rate_limit_exceeded\"}\n}", true, 0, fault.UpstreamRateLimited, "RFS"},
		{"a page that says it is events", events, "<html>\n<body>", true, 0, fault.UpstreamFailed, "RFBS"},
		{"an error in a good answer", jsonType, `{"error":{"message":"m","type":"insufficient_quota"}}`, false, 0, fault.UpstreamQuota, "FQS"},
		{"an error beside choices", jsonType, `{"choices":[{"finish_reason":"stop","message":{"content":"x"}}],"error":{"code":502}}`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"an error in a choice", jsonType, `{"choices":[{"finish_reason":"stop","message":{"content":"x"},"error":{"code":429}}]}`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"an error frame", events, sse(ok, `{"error":{"type":"server_error","code":null}}`), true, 1, fault.UpstreamFailed, "RFBS"},
		{"an error event", events, sse(ok) + "event: error\ndata: {\"message\":\"m\",\"code\":\"rate_limit_exceeded\"}\n\n", true, 1, fault.UpstreamRateLimited, "RFS"},
		{"an error finish", events, sse(ok, `{"choices":[{"delta":{},"finish_reason":"error"}]}`), true, 1, fault.UpstreamFailed, "RFBS"},
		{"a finish that hides an error", events, sse(`{"choices":[{"delta":{},"finish_reason":"stop","native_finish_reason":"network_error"}]}`), true, 0, fault.UpstreamFailed, "RFBS"},
		{"llama.cpp's overflow", events, sse(`{"error":{"code":400,"type":"exceed_context_size_error","message":"m","n_prompt_tokens":9,"n_ctx":8}}`), true, 0, fault.ContextLengthExceeded, "S"},
		{"no finish", events, sse(ok), true, 1, fault.StreamInterrupted, "RFBS"},
		{"no events", events, "", true, 0, fault.StreamInterrupted, "RFBS"},
		{"only comments", events, ": x\n\n: y\n\n", true, 2, fault.StreamInterrupted, "RFBS"},
		{"a chunk that is none", events, sse(ok, "Internal Server Error"), true, 1, fault.UpstreamFailed, "RFBS"},
		{"half a chunk", events, "data: " + ok + "\n\ndata: " + ok[:30], true, 1, fault.StreamInterrupted, "RFBS"},
	} {
		evs, err := ask(t, "openai", c.contentType, c.body, c.stream)
		var f *provider.Failure
		if !errors.As(err, &f) || f.Fault.Code != c.code || len(evs) != c.events {
			t.Errorf("%s: %d events and %v, want %d and %v", c.name, len(evs), err, c.events, c.code)
			continue
		}
		got := ""
		for _, x := range []struct {
			set  bool
			name string
		}{{f.Retry, "R"}, {f.Failover, "F"}, {f.Quarantine, "Q"}, {f.Breaker, "B"}, {f.Sent, "S"}} {
			if x.set {
				got += x.name
			}
		}
		if got != c.actions {
			t.Errorf("%s: actions %s, want %s", c.name, got, c.actions)
		}
	}
}

// A translated answer in one piece has whole characters, wherever its texts were cut.
func TestAWholeAnswerIsPutTogetherAtItsSeams(t *testing.T) {
	t.Parallel()
	raw, err := jsonx.Scan([]byte(`{"model":"m","max_tokens":9,"messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		`[{"type":"text","text":"a\ud83d"},{"type":"text","text":"\ude00b"}]`: "a😀b",
		`"cut off \ud83d"`: "cut off \ufffd",
	} {
		p := New(Options{Vendor: "mistral", Transport: canned{
			status: 200, header: http.Header{"Content-Type": {jsonType}},
			body: func() io.Reader {
				return strings.NewReader(`{"choices":[{"index":0,"message":{"content":` + content + `},"finish_reason":"length"}]}`)
			},
		}})
		q := &llm.Request{
			Dialect: llm.AnthropicMessages, Model: "m", Raw: raw, Choices: 1,
			DecodeChat: func() (*llm.Chat, error) {
				return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "x"}}}}}, nil
			},
		}
		evs, err := run(p, provider.Call{Request: q, Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		if got := evs[len(evs)-1].Whole.Choices[0].Parts[0].Text; got != want {
			t.Errorf("%s: %q, want %q", content, got, want)
		}
	}
}

func TestEmptyAnswersHaveNoContent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"choices":[]}`, `{"choices":null}`, `{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}`,
		`{"choices":[{"message":null,"finish_reason":"stop"}]}`, `{"choices":[{"message":{"content":null,"tool_calls":[]},"finish_reason":"stop"}]}`,
	} {
		evs, err := ask(t, "openai", jsonType, body, false)
		if err != nil || len(evs) != 1 || evs[0].Content || !evs[0].Last {
			t.Errorf("%s: %v, %v", body, evs, err)
		}
	}
}

func TestFiveMegabytesInOneLine(t *testing.T) {
	t.Parallel()
	big := `{"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", 5<<20) + `"},"finish_reason":"stop"}]}`
	evs, err := ask(t, "openai", events, "data: "+big+"\n\ndata: [DONE]\n\n", true)
	if err != nil || len(evs) != 2 || evs[0].OutputBytes != 5<<20 {
		t.Errorf("%d events, %v", len(evs), err)
	}
}

func TestUsageByVendor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, vendor, usage string
		want                *llm.Usage
	}{
		{"plain", "openai", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`, &llm.Usage{Input: 10, Output: 5}},
		{"details", "openai", `{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}`, &llm.Usage{Input: 10, CachedInput: 4, CacheWrite: 3, Output: 5, Reasoning: 2}},
		{"null details", "openai", `{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null}`, &llm.Usage{Input: 10, Output: 5}},
		{"DeepSeek", "deepseek", `{"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4,"completion_tokens":5}`, &llm.Usage{Input: 10, CachedInput: 6, Output: 5}},
		{"xAI", "xai", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":35,"completion_tokens_details":{"reasoning_tokens":20}}`, &llm.Usage{Input: 10, Output: 25, Reasoning: 20}},
		{"Moonshot", "moonshot", `{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":3}`, &llm.Usage{Input: 10, CachedInput: 3, Output: 5}},
		{"Google", "gemini", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}`, &llm.Usage{Input: 10, Output: 30, Reasoning: 25}},
		{"a total that nobody explains", "openai", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":4000}`, &llm.Usage{Input: 10, Output: 5}},
		{"audio", "mistral", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"prompt_tokens_details":{"audio_tokens":100}}`, &llm.Usage{Input: 110, AudioInput: 100, Output: 5}},
		{"sound, an image and a cache", "openai", `{"prompt_tokens":100,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":50,"audio_tokens":30,"image_tokens":40}}`, &llm.Usage{Input: 100, CachedInput: 50, AudioInput: 30, ImageInput: 20, Output: 5}},
		{"floats", "openai", `{"prompt_tokens":10.0,"completion_tokens":5e0}`, &llm.Usage{Input: 10, Output: 5}},
		{"an hour's cache", "vercel-gateway", `{"prompt_tokens":10,"completion_tokens":5,"cache_creation_input_tokens":8,"cache_creation":{"ephemeral_1h_input_tokens":6}}`, &llm.Usage{Input: 10, CacheWrite: 2, CacheWrite1h: 6, Output: 5}},
		{"more cached than there was", "azure", `{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":7}}`, &llm.Usage{Input: 10, CachedInput: 10, Output: 5}},
		{"more thoughts than words", "openai", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":49}}`, &llm.Usage{Input: 10, Output: 5, Reasoning: 5}},
		{"sound and thoughts", "openai", `{"prompt_tokens":9,"completion_tokens":10,"total_tokens":19,"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":4,"text_tokens":3}}`, &llm.Usage{Input: 9, Output: 10, Reasoning: 3, AudioOutput: 4}},
		{"OpenRouter's images", "openrouter", `{"prompt_tokens":9,"completion_tokens":1300,"completion_tokens_details":{"reasoning_tokens":0,"image_tokens":1290,"audio_tokens":0}}`, &llm.Usage{Input: 9, Output: 1300, ImageOutput: 1290}},
		{"more sound than output", "openai", `{"prompt_tokens":9,"completion_tokens":10,"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":40,"image_tokens":7}}`, &llm.Usage{Input: 9, Output: 10, Reasoning: 3, AudioOutput: 7}},
		{"less sound than none", "openai", `{"prompt_tokens":9,"completion_tokens":10,"completion_tokens_details":{"audio_tokens":-4}}`, nil},
		{"Perplexity's research", "perplexity", `{"prompt_tokens":1188,"completion_tokens":4240,"total_tokens":5428,"citation_tokens":8014,"num_search_queries":54,"reasoning_tokens":92431}`, &llm.Usage{Input: 1188 + 8014, Output: 4240 + 92431, Reasoning: 92431}},
		{"Perplexity, which did no research", "perplexity", `{"prompt_tokens":12,"completion_tokens":31,"total_tokens":43,"search_context_size":"low","citation_tokens":null,"num_search_queries":null,"reasoning_tokens":null}`, &llm.Usage{Input: 12, Output: 31}},
		{"thoughts beside the details", "openai", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"reasoning_tokens":3}`, &llm.Usage{Input: 10, Output: 5, Reasoning: 3}},
		{"zeros", "openai", `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, nil},
		{"a negative number", "openai", `{"prompt_tokens":-10,"completion_tokens":5}`, nil},
		{"beyond belief", "openai", `{"prompt_tokens":10,"completion_tokens":9000000000000000}`, nil},
		{"text", "openai", `{"prompt_tokens":"10","completion_tokens":5}`, nil},
		{"null", "openai", `null`, nil},
		{"a list", "openai", `[1]`, nil},
	} {
		evs, err := ask(t, c.vendor, jsonType, `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":`+c.usage+`}`, false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(c.want, evs[0].Usage); d != "" {
			t.Errorf("%s: usage (-want +got):\n%s", c.name, d)
		}
	}
	evs, err := ask(t, "groq", jsonType, `{"choices":[{"message":{"content":"a"}}],"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":4}}}`, false)
	if err != nil || evs[0].Usage == nil || *evs[0].Usage != (llm.Usage{Input: 3, Output: 4}) {
		t.Errorf("Groq's own member: %v, %v", evs, err)
	}
}

// TestToolCallsOfSloppyServers has what is not as OpenAI's own calls are.
func TestToolCallsOfSloppyServers(t *testing.T) {
	t.Parallel()
	delta := func(calls string) string {
		return `data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[` + calls + `]},"finish_reason":null}]}` + "\n\n"
	}
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"side by side", delta(`{"index":0,"id":"a","function":{"name":"f","arguments":""}},{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}`) + delta(`{"index":0,"function":{"arguments":"{}"}}`) + delta(`{"index":1,"function":{"arguments":"}"}}`), []string{"f {}", "g {}"}},
		{"all numbered 0", delta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}`) + delta(`{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}`), []string{"f {}", "f {}"}},
		{"no numbers", delta(`{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}`), []string{"f {}", "g {}"}},
		{"the name comes late", delta(`{"index":0,"id":"a","function":{"arguments":"{\"x\""}}`) + delta(`{"index":0,"function":{"name":"f","arguments":":1}"}}`), []string{`f {"x":1}`}},
		{"the name each time", delta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}`) + delta(`{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}`), []string{"f {}"}},
		{"arguments as an object", delta(`{"index":0,"id":"a","function":{"name":"f","arguments":{"x":1}}}`), []string{`f {"x":1}`}},
		{"the old form", `data: {"choices":[{"delta":{"function_call":{"name":"f","arguments":"{"}}}]}` + "\n\n" + `data: {"choices":[{"delta":{"function_call":{"arguments":"}"}}}]}` + "\n\n", []string{"f {}"}},
	} {
		q := foreign(&llm.Request{Stream: true})
		p := New(Options{Vendor: "openai", Transport: canned{200, http.Header{"Content-Type": {events}}, func() io.Reader {
			return strings.NewReader(c.body + `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" + doneFrame)
		}}})
		evs, err := run(p, provider.Call{Request: q})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := understand(evs)[0]
		if d := cmp.Diff(c.want, got.Tools); d != "" || got.Finish != "tool_calls" {
			t.Errorf("%s: %s, tools (-want +got):\n%s", c.name, got.Finish, d)
		}
		ids := map[string]bool{}
		for _, e := range evs {
			for _, d := range e.Deltas {
				if d.Kind == llm.DeltaToolCall && (d.ToolID == "" || ids[d.ToolID]) {
					t.Errorf("%s: id %q is empty or taken", c.name, d.ToolID)
				}
				ids[d.ToolID] = true
			}
		}
	}
}

func TestAStreamThatIsClosedCancelsTheWork(t *testing.T) {
	t.Parallel()
	a := testkit.SSE(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`)
	a.Hang = true
	u := testkit.NewUpstream(t, a)
	tr := provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	defer tr.CloseIdleConnections()
	raw, _ := jsonx.Scan([]byte(`{"model":"m"}`))
	s, err := New(Options{BaseURL: u.URL, Transport: tr}).Open(t.Context(), provider.Call{Request: &llm.Request{Dialect: llm.OpenAIChat, Model: "m", Raw: raw, Stream: true}, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if ev, err := s.Next(); err != nil || !ev.Content || ev.More {
		t.Errorf("Next() = %+v, %v", ev, err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("Next() after Close = %v", err)
	}
	testkit.Wait(t, u.Request(0).Gone, "the end of the request")
}

func TestTokensCannotBeCounted(t *testing.T) {
	t.Parallel()
	p := New(Options{Transport: canned{}})
	q := &llm.Request{Dialect: llm.AnthropicCountTokens, Task: llm.TaskCountTokens}
	if err := p.Supports(q); !fault.Is(err, fault.UnsupportedParameter) {
		t.Errorf("Supports = %v", err)
	}
	if _, err := p.Open(t.Context(), provider.Call{Request: q}); !fault.Is(err, fault.UnsupportedParameter) {
		t.Errorf("Open = %v", err)
	}
}

// chunk is what OpenAI sends for most tokens.
const chunk = `{"id":"chatcmpl-C6coQW3cjZg7Jq2RcHQDQsjz3ZJx5","object":"chat.completion.chunk","created":1755695198,"model":"gpt-3.5-turbo-0125","service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":" are"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"o0F9G9"}`

func TestAChunkAllocatesLittle(t *testing.T) {
	s := scanner{quirks: &vendor{}}
	s.scan([]byte(chunk))
	data := []byte(chunk)
	if n := testing.AllocsPerRun(100, func() { s.scan(data) }); n > 0 {
		t.Errorf("scanning a chunk allocates %v times", n)
	}
	s.translate = true
	if n := testing.AllocsPerRun(100, func() { s.scan(data) }); n > 2 {
		t.Errorf("scanning and translating a chunk allocates %v times", n)
	}
}

func BenchmarkScanChunk(b *testing.B) {
	for _, c := range []struct {
		name      string
		translate bool
	}{{"pass", false}, {"translate", true}} {
		b.Run(c.name, func(b *testing.B) {
			s := scanner{quirks: &vendor{}, translate: c.translate}
			data := []byte(chunk)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !s.scan(data) {
					b.Fatal("not a chunk")
				}
			}
		})
	}
}

// BenchmarkStream reads 50 chunks, without a network.
func BenchmarkStream(b *testing.B) {
	body := strings.Repeat("data: "+chunk+"\n\n", 50) + doneFrame
	p := New(Options{Transport: canned{200, http.Header{"Content-Type": {events}}, func() io.Reader { return strings.NewReader(body) }}})
	raw, _ := jsonx.Scan([]byte(`{"model":"m","messages":[],"stream":true}`))
	for _, model := range []string{"m", "other"} {
		b.Run("model_"+model, func(b *testing.B) {
			c := provider.Call{Request: &llm.Request{Dialect: llm.OpenAIChat, Model: "m", Raw: raw, Stream: true}, Model: model}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s, err := p.Open(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = s.Next()
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				_ = s.Close()
			}
		})
	}
}

// Some servers name the arguments of a call as the tool was defined; those that are
// named as the protocol has it count, wherever they stand.
func TestArgumentsCountBeforeParameters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"name":"f","parameters":{"a":1}}`:                         `{"a":1}`,
		`{"name":"f","arguments":"{\"b\":2}","parameters":{"a":1}}`: `{"b":2}`,
		`{"name":"f","parameters":{"a":1},"arguments":"{\"b\":2}"}`: `{"b":2}`,
		`{"name":"f","parameters":{"a":1},"arguments":{"b":2}}`:     `{"b":2}`,
		`{"name":"f","parameters":{"a":1},"arguments":""}`:          `{"a":1}`,
	} {
		c := provider.Walk([]byte(in))
		var f tool
		f.function(&c)
		got := string(f.object)
		if f.object == nil {
			got = provider.Unescape(f.args)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
