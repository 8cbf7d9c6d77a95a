package responses

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

const (
	events   = "text/event-stream"
	jsonType = "application/json"
)

// frames writes events, each with its name.
func frames(payloads ...string) string {
	var b strings.Builder
	for _, p := range payloads {
		_, name, _ := strings.Cut(p, `"type":"`)
		name, _, _ = strings.Cut(name, `"`)
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, p)
	}
	return b.String()
}

const (
	created   = `{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"model":"theirs","output":[]}}`
	completed = `{"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed","error":null,"model":"theirs","output":[],"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":5},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":10}}}`
)

func delta(kind string, index int, text string) string {
	return fmt.Sprintf(`{"type":"response.%s.delta","output_index":%d,"delta":%q}`, kind, index, text)
}

func itemEvent(step string, index int, body string) string {
	return fmt.Sprintf(`{"type":"response.output_item.%s","output_index":%d,"item":%s}`, step, index, body)
}

func TestFactsOfEvents(t *testing.T) {
	t.Parallel()
	body := ": hi\n\n" + frames(
		created,
		`{"type":"keepalive","sequence_number":2}`,
		itemEvent("added", 0, `{"type":"reasoning","summary":[],"encrypted_content":"x"}`),
		delta("reasoning_summary_text", 0, "hm"),
		itemEvent("done", 0, `{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"xy"}`),
		itemEvent("added", 1, `{"type":"message","content":[]}`),
		delta("output_text", 1, "h\u00e9\n"),
		itemEvent("done", 1, `{"type":"message","content":[{"type":"output_text","text":"h\u00e9\n"}]}`),
		itemEvent("added", 2, `{"type":"function_call","call_id":"c","name":"f","arguments":""}`),
		delta("function_call_arguments", 2, "{}"),
		itemEvent("added", 3, `{"type":"web_search_call"}`),
		`{"type":"response.web_search_call.searching","output_index":3}`,
		completed,
	)
	evs, err := ask(t, events, body, true, false)
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		Content, Ping, Last bool
		Bytes, Weight       int
		Finish              llm.Finish
		Usage               llm.Usage
	}
	var got []facts
	for _, e := range evs {
		got = append(got, facts{e.Content, e.Ping, e.Last, e.OutputBytes, e.Weight, e.Finish, testkit.Used(e)})
	}
	w := func(s string) int { return provider.Weight([]byte(s)) }
	want := []facts{
		{Ping: true},
		{},
		{Ping: true},
		{},
		{Content: true, Bytes: 2, Weight: w("hm")},
		{Content: true}, // what seals it
		{},
		{Content: true, Bytes: 4, Weight: w(`hé\n`)},
		{},
		{Content: true, Weight: provider.CallWeight},
		{Content: true, Bytes: 2, Weight: w("{}")},
		{Content: true},
		{},
		{Last: true, Finish: llm.FinishToolCalls, Usage: llm.Usage{Input: 7, CachedInput: 5, Output: 3, Reasoning: 1}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("facts (-want +got):\n%s", d)
	}
}

func TestTheCallersNameOfTheModelComesBack(t *testing.T) {
	t.Parallel()
	evs, err := ask(t, events, frames(created, delta("output_text", 0, `"model":"theirs"`), completed), true, false)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, e := range evs {
		got += string(e.Raw)
	}
	mine := func(s string) string { return strings.Replace(s, `"model":"theirs"`, `"model":"mine"`, 1) }
	if want := frames(mine(created), delta("output_text", 0, `"model":"theirs"`), mine(completed)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	evs, err = ask(t, jsonType, `{"object":"response","status":"completed","output":[{"type":"x"}],"model":"theirs", "new":1}`, false, false)
	if err != nil || string(evs[0].Raw) != `{"object":"response","status":"completed","output":[{"type":"x"}],"model":"mine", "new":1}` {
		t.Errorf("%v, %v", evs, err)
	}
}

// TestNothingIsDoubledOrLost has streams that tell of an item in part, twice or
// only at its end: bugs of other bridges (protocols.md §8, 10).
func TestNothingIsDoubledOrLost(t *testing.T) {
	t.Parallel()
	message := func(texts ...string) string {
		for i, s := range texts {
			texts[i] = fmt.Sprintf(`{"type":"output_text","text":%q,"annotations":[]}`, s)
		}
		return `{"type":"message","content":[` + strings.Join(texts, ",") + `]}`
	}
	last := func(items ...string) string {
		return strings.Replace(completed, `"output":[]`, `"output":[`+strings.Join(items, ",")+`]`, 1)
	}
	call := `{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"x\":1}"}`
	const finish = "stop"
	for _, c := range []struct {
		name   string
		stream []string
		want   said
	}{
		{"told three times", []string{
			itemEvent("added", 0, message()), delta("output_text", 0, "a"), delta("output_text", 0, "b"),
			`{"type":"response.output_text.done","output_index":0,"text":"ab"}`, itemEvent("done", 0, message("ab")), last(message("ab")),
		}, said{Text: "ab", Finish: finish}},
		{"at the end of the item", []string{itemEvent("added", 0, message()), itemEvent("done", 0, message("a", "b")), last(message("a", "b"))}, said{Text: "ab", Finish: finish}},
		{"at the end of the answer", []string{created, last(message("ab"), call)}, said{Text: "ab", Tools: []string{`c1 f {"x":1}`}, Finish: "tool_calls"}},
		{"two messages, one answer", []string{
			itemEvent("added", 0, message()), delta("output_text", 0, "a"), itemEvent("done", 0, message("a")),
			itemEvent("added", 1, message()), delta("output_text", 1, "b"), itemEvent("done", 1, message("b")), last(message("a"), message("b")),
		}, said{Text: "ab", Finish: finish}},
		{"arguments at the end", []string{itemEvent("added", 0, `{"type":"function_call","call_id":"c1","name":"f","arguments":""}`), itemEvent("done", 0, call), last(call)}, said{Tools: []string{`c1 f {"x":1}`}, Finish: "tool_calls"}},
		{"a call that never began", []string{itemEvent("done", 0, call), last(call)}, said{Tools: []string{`c1 f {"x":1}`}, Finish: "tool_calls"}},
		{"no arguments", []string{itemEvent("done", 0, `{"type":"function_call","call_id":"c1","name":"f","arguments":""}`), last()}, said{Tools: []string{`c1 f {}`}, Finish: "tool_calls"}},
		{"no id of the call", []string{itemEvent("done", 0, `{"type":"function_call","id":"fc_1","name":"f","arguments":"{}"}`), last()}, said{Tools: []string{`fc_1 f {}`}, Finish: "tool_calls"}},
		{"a number used twice", []string{itemEvent("done", 0, message("a")), itemEvent("added", 0, message()), delta("output_text", 0, "b"), itemEvent("done", 0, message("b")), last()}, said{Text: "ab", Finish: finish}},
		{"no numbers", []string{
			`{"type":"response.output_item.done","item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"e"}}`,
			`{"type":"response.output_item.added","item":{"type":"message","id":"m_1","content":[]}}`, `{"type":"response.output_text.delta","item_id":"m_1","delta":"a"}`,
			`{"type":"response.output_item.added","item":{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":""}}`,
			`{"type":"response.output_text.delta","item_id":"m_1","delta":"b"}`, `{"type":"response.function_call_arguments.delta","item_id":"fc_1","delta":"{}"}`,
			`{"type":"response.output_item.done","item":{"type":"message","id":"m_1","content":[{"type":"output_text","text":"ab"}]}}`,
			`{"type":"response.output_item.done","item":{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}"}}`,
			`{"type":"response.output_item.done","item":{"type":"function_call","call_id":"c2","name":"g","arguments":"{}"}}`, last(),
		}, said{Thought: "hm", Seals: []string{"rs_1 e"}, Text: "ab", Tools: []string{"c1 f {}", "c2 g {}"}, Finish: "tool_calls"}},
		{"neither numbers nor names", []string{
			`{"type":"response.output_item.done","item":{"type":"message","content":[{"type":"output_text","text":"a"}]}}`,
			`{"type":"response.output_item.added","item":{"type":"function_call","call_id":"c1","name":"f"}}`, `{"type":"response.function_call_arguments.delta","item_id":"fc_1","delta":"{}"}`,
			`{"type":"response.output_item.done","item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}}`, last(),
		}, said{Text: "a", Tools: []string{"c1 f {}"}, Finish: "tool_calls"}},
		{"two calls at once", []string{
			itemEvent("added", 0, `{"type":"function_call","call_id":"c1","name":"f"}`), itemEvent("added", 1, `{"type":"function_call","call_id":"c2","name":"g"}`),
			delta("function_call_arguments", 1, "{"), delta("function_call_arguments", 0, "{}"), delta("function_call_arguments", 1, "}"), last(),
		}, said{Tools: []string{"c1 f {}", "c2 g {}"}, Finish: "tool_calls"}},
		{"a custom tool", []string{itemEvent("added", 0, `{"type":"custom_tool_call","call_id":"c1","name":"f","input":""}`), delta("custom_tool_call_input", 0, "ls -l"), itemEvent("done", 0, `{"type":"custom_tool_call","call_id":"c1","name":"f","input":"ls -l"}`), last()}, said{Tools: []string{"c1 f ls -l"}, Finish: "tool_calls"}},
		{"thoughts and their summary", []string{
			delta("reasoning_text", 0, "all"), delta("reasoning_summary_text", 0, "short"),
			itemEvent("done", 0, `{"type":"reasoning","id":"rs_1","content":[{"type":"reasoning_text","text":"all"}],"summary":[{"type":"summary_text","text":"short"}],"encrypted_content":"e"}`), last(),
		}, said{Thought: "all", Seals: []string{"rs_1 e"}, Finish: finish}},
		{"a summary of parts", []string{
			`{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0}`, delta("reasoning_summary_text", 0, "one"),
			`{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":1}`, delta("reasoning_summary_text", 0, "two"), last(),
		}, said{Thought: "one\n\ntwo", Finish: finish}},
		{"a refusal", []string{delta("refusal", 0, "no"), itemEvent("done", 0, `{"type":"message","content":[{"type":"refusal","refusal":"no"}]}`), last()}, said{Refusal: "no", Finish: finish}},
		{"citations once", []string{
			delta("output_text", 0, "a"), `{"type":"response.output_text.annotation.added","output_index":0,"annotation":{"type":"url_citation"}}`,
			itemEvent("done", 0, `{"type":"message","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation"}]}]}`), last(),
		}, said{Text: "a", Citations: 1, Finish: finish}},
		{"cut at the limit", []string{delta("output_text", 0, "a"), strings.NewReplacer("response.completed", "response.incomplete", `"completed"`, `"incomplete","incomplete_details":{"reason":"max_output_tokens"}`).Replace(completed)}, said{Text: "a", Finish: "length"}},
		{"cut by a filter", []string{delta("output_text", 0, "a"), strings.NewReplacer("response.completed", "response.incomplete", `"completed"`, `"incomplete","incomplete_details":{"reason":"content_filter"}`).Replace(completed)}, said{Text: "a", Finish: "content_filter"}},
		{"the provider's own tools", []string{
			itemEvent("added", 0, `{"type":"web_search_call"}`), itemEvent("done", 0, `{"type":"web_search_call"}`), delta("code_interpreter_call_code", 1, "1+1"),
			itemEvent("done", 1, `{"type":"code_interpreter_call","code":"1+1"}`), delta("output_text", 2, "2"), last(),
		}, said{Text: "2", Finish: finish}},
	} {
		evs, err := ask(t, events, frames(c.stream...), true, true)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(&c.want, understand(evs)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		starts := 0
		for _, e := range evs {
			for _, d := range e.Deltas {
				if d.Kind == llm.DeltaStart {
					starts++
				}
			}
		}
		if starts != 1 {
			t.Errorf("%s: begins %d times", c.name, starts)
		}
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	failed := func(code string) string {
		return `{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"` + code + `","message":"m"},"output":[]}}`
	}
	text := delta("output_text", 0, "a")
	for _, c := range []struct {
		name, contentType, body string
		stream                  bool
		events                  int
		code                    fault.Code
		actions                 string
	}{
		{"empty", jsonType, "", false, 0, fault.UpstreamFailed, "RFBS"},
		{"a list", jsonType, "[]", false, 0, fault.UpstreamFailed, "RFBS"},
		{"half", jsonType, `{"object":"response","output":[`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"something else", jsonType, `{"status":"ok"}`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"a page", "text/html", "<html>", false, 0, fault.UpstreamFailed, "RFBS"},
		{"a page for a stream", "text/html", "<html>", true, 0, fault.UpstreamFailed, "RFBS"},
		{"a page that says it is events", events, "<html>\n<body>", true, 0, fault.UpstreamFailed, "RFBS"},
		{"an error that says it is events", events, "{\n \"error\": {\"code\":\"rate_limit_exceeded\"}\n}", true, 0, fault.UpstreamRateLimited, "RFS"},
		{"JSON that says it is events", events, `{"object":"response"}`, true, 0, fault.UpstreamFailed, "RFBS"},
		{"left to the background", jsonType, `{"object":"response","status":"queued","output":[]}`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"cancelled", jsonType, `{"object":"response","status":"cancelled","output":[]}`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"failed", jsonType, `{"object":"response","status":"failed","error":{"code":"server_error","message":"m"},"output":[]}`, false, 0, fault.UpstreamFailed, "RFBS"},
		{"failed for money", jsonType, `{"object":"response","status":"failed","error":{"code":"insufficient_quota","message":"m"},"output":[]}`, false, 0, fault.UpstreamQuota, "FQS"},
		{"an error in a good answer", jsonType, `{"error":{"message":"m","type":"insufficient_quota"}}`, false, 0, fault.UpstreamQuota, "FQS"},
		{"no end", events, frames(created, text), true, 2, fault.StreamInterrupted, "RFBS"},
		{"the end of another protocol", events, frames(created, text) + "data: [DONE]\n\n", true, 2, fault.StreamInterrupted, "RFBS"},
		{"no events", events, "", true, 0, fault.StreamInterrupted, "RFBS"},
		{"half an event", events, frames(text) + completedHalf(), true, 1, fault.StreamInterrupted, "RFBS"},
		{"an event that is none", events, "data: Internal Server Error\n\n", true, 0, fault.UpstreamFailed, "RFBS"},
		{"failed in the stream", events, frames(created, failed("server_error")), true, 1, fault.UpstreamFailed, "RFBS"},
		{"failed for no reason", events, frames(created, `{"type":"response.failed","response":{"id":"r","status":"failed","error":null,"output":[]}}`), true, 1, fault.UpstreamFailed, "RFBS"},
		{"out of money in the stream", events, frames(created, failed("insufficient_quota")), true, 1, fault.UpstreamQuota, "FQS"},
		{"too fast in the stream", events, frames(created, failed("rate_limit_exceeded")), true, 1, fault.UpstreamRateLimited, "RFS"},
		{"against the rules", events, frames(created, failed("invalid_prompt")), true, 1, fault.ContentPolicy, "S"},
		{"a bad image", events, frames(created, failed("invalid_image_url")), true, 1, fault.InvalidParameter, "S"},
		{"too long", events, frames(created, failed("context_length_exceeded")), true, 1, fault.ContextLengthExceeded, "S"},
		{"after content", events, frames(created, text, failed("server_error")), true, 2, fault.UpstreamFailed, "RFBS"},
		{"an error event, flat", events, frames(created, `{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}`), true, 1, fault.UpstreamRateLimited, "RFS"},
		{"an error event, nested", events, frames(created, `{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"m"}}`), true, 1, fault.UpstreamQuota, "FQS"},
		{"an error by its name", events, "event: error\ndata: {\"message\":\"m\",\"code\":\"rate_limit_exceeded\"}\n\n", true, 0, fault.UpstreamRateLimited, "RFS"},
	} {
		for _, translate := range []bool{false, true} {
			evs, err := ask(t, c.contentType, c.body, c.stream, translate)
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
}

func completedHalf() string { return "event: response.completed\ndata: " + completed[:80] }

func TestEmptyAnswersHaveNoContent(t *testing.T) {
	t.Parallel()
	for _, output := range []string{
		`[]`, `[{"type":"message","content":[]}]`, `[{"type":"message","content":[{"type":"output_text","text":""}]}]`, `[{"type":"reasoning","summary":[]}]`,
	} {
		evs, err := ask(t, jsonType, `{"object":"response","status":"completed","output":`+output+`}`, false, false)
		if err != nil || len(evs) != 1 || evs[0].Content || !evs[0].Last {
			t.Errorf("%s: %v, %v", output, evs, err)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		usage string
		want  *llm.Usage
	}{
		{`{"input_tokens":10,"output_tokens":5,"total_tokens":15}`, &llm.Usage{Input: 10, Output: 5}},
		{`{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2}}`, &llm.Usage{Input: 10, CachedInput: 4, CacheWrite: 3, Output: 5, Reasoning: 2}},
		{`{"input_tokens":10,"output_tokens":5,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":35}`, &llm.Usage{Input: 10, Output: 25, Reasoning: 20}},
		{`{"input_tokens":10,"input_tokens_details":{"cached_tokens":40,"cache_write_tokens":9},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":20}}`, &llm.Usage{Input: 10, CachedInput: 10, Output: 5, Reasoning: 5}},
		{`{"input_tokens":0,"output_tokens":5}`, nil},
		{`{"input_tokens":-1,"output_tokens":5}`, nil},
		{`{"input_tokens":10,"output_tokens":9000000000000000}`, nil},
		{`null`, nil},
		{`[1]`, nil},
	} {
		evs, err := ask(t, jsonType, `{"object":"response","status":"completed","output":[{"type":"x"}],"usage":`+c.usage+`}`, false, false)
		if err != nil {
			t.Errorf("%s: %v", c.usage, err)
			continue
		}
		if d := cmp.Diff(c.want, evs[0].Usage); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.usage, d)
		}
	}
}

func TestFiveMegabytesInOneLine(t *testing.T) {
	t.Parallel()
	evs, err := ask(t, events, frames(delta("output_text", 0, strings.Repeat("x", 5<<20)), completed), true, true)
	if err != nil || len(evs) != 2 || evs[0].OutputBytes != 5<<20 {
		t.Errorf("%d events, %v", len(evs), err)
	}
}

func TestAStreamThatIsClosedCancelsTheWork(t *testing.T) {
	t.Parallel()
	a := testkit.SSE(delta("output_text", 0, "a"))
	a.Hang = true
	u := testkit.NewUpstream(t, a)
	tr := provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	defer tr.CloseIdleConnections()
	q := asked(t, `{"model":"m","input":"hi"}`)
	q.Stream = true
	s, err := New(Options{BaseURL: u.URL, Transport: tr}).Open(t.Context(), provider.Call{Request: q, Model: "m"})
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

func TestBlameNamesWhatTheCallerSent(t *testing.T) {
	t.Parallel()
	refuse := func(translate bool, param string) string {
		q := asked(t, `{"model":"mine","input":"hi"}`)
		if translate {
			foreign(q)
		}
		p := New(Options{Transport: canned{400, http.Header{}, func() io.Reader {
			return strings.NewReader(`{"error":{"message":"m","type":"invalid_request_error","param":"` + param + `","code":"invalid_value"}}`)
		}}})
		_, err := run(p, provider.Call{Request: q, Model: "theirs"})
		var f *provider.Failure
		if !errors.As(err, &f) {
			t.Fatal(err)
		}
		return f.Fault.Param
	}
	for _, c := range []struct{ param, own, other string }{
		{"input[0].content", "input.0.content", "messages"},
		{"tools[1].name", "tools.1.name", "tools"},
		{"text.format", "text.format", ""},
		{"model", "model", "model"},
	} {
		if own, other := refuse(false, c.param), refuse(true, c.param); own != c.own || other != c.other {
			t.Errorf("%s: %q and %q, want %q and %q", c.param, own, other, c.own, c.other)
		}
	}
}
