package anthropic

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

const (
	events   = "text/event-stream"
	jsonType = "application/json"
)

// ask sends a request of Anthropic's dialect for the model "mine", which the
// provider calls "theirs", to somebody who answers with body.
func ask(t *testing.T, contentType, body string, stream bool) ([]llm.Event, error) {
	t.Helper()
	raw, err := jsonx.Scan([]byte(`{"model":"mine","max_tokens":5,"messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Transport: canned{
		status: 200, header: http.Header{"Content-Type": {contentType}},
		body: func() io.Reader { return strings.NewReader(body) },
	}})
	q := &llm.Request{Dialect: llm.AnthropicMessages, Model: "mine", Raw: raw, Stream: stream, HasMaxOutput: true}
	return run(p, provider.Call{Request: q, Model: "theirs"})
}

// frame is one event as Anthropic writes it.
func frame(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }

const (
	start = `{"type":"message_start","message":{"id":"msg_1","model":"theirs","content":[],"stop_reason":null,"usage":{"input_tokens":3,"cache_read_input_tokens":5,"cache_creation_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":3},"output_tokens":1}}}`
	begin = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
	delta = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"h\u00e9"}}`
	end   = `{"type":"content_block_stop","index":0}`
	why   = `{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"X"},"usage":{"output_tokens":9,"output_tokens_details":{"thinking_tokens":2}}}`
)

func TestFactsOfEvents(t *testing.T) {
	t.Parallel()
	body := frame("message_start", start) + frame("ping", `{"type": "ping"}`) + ": x\n\n" + frame("content_block_start", begin) +
		frame("content_block_delta", delta) + frame("content_block_stop", end) +
		frame("content_block_start", `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`) +
		frame("content_block_delta", `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}`) +
		frame("content_block_delta", `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}`) +
		frame("message_delta", why) + frame("message_stop", `{"type":"message_stop"}`)
	evs, err := ask(t, events, body, true)
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		Name                string
		Content, Ping, Last bool
		Bytes               int
		Finish              llm.Finish
		Usage               llm.Usage
	}
	var got []facts
	for _, e := range evs {
		f := facts{e.Name, e.Content, e.Ping, e.Last, e.OutputBytes, e.Finish, llm.Usage{}}
		if e.Usage != nil {
			f.Usage = *e.Usage
		}
		got = append(got, f)
		if e.Last && e.More {
			t.Error("more follows on the last event") // before that it depends on how the bytes came
		}
	}
	usage := llm.Usage{Input: 12, CachedInput: 5, CacheWrite: 1, CacheWrite1h: 3, Output: 1}
	final := usage
	final.Output, final.Reasoning = 9, 2
	want := []facts{
		{Name: "message_start", Usage: usage},
		{Name: "ping", Ping: true},
		{Ping: true},
		{Name: "content_block_start"},
		{Name: "content_block_delta", Content: true, Bytes: 3},
		{Name: "content_block_stop"},
		{Name: "content_block_start", Content: true},
		{Name: "content_block_delta"},
		{Name: "content_block_delta", Content: true, Bytes: 4},
		{Name: "message_delta", Finish: llm.FinishStopSequence, Usage: final},
		{Name: "message_stop", Last: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("facts (-want +got):\n%s", d)
	}
}

func TestTheCallersNameOfTheModelIsKept(t *testing.T) {
	t.Parallel()
	rest := frame("content_block_start", begin) + frame("content_block_delta", delta) + frame("message_delta", why) + frame("message_stop", `{"type":"message_stop"}`)
	evs, err := ask(t, events, frame("message_start", start)+rest, true)
	got := ""
	for _, e := range evs {
		got += string(e.Raw)
	}
	if want := frame("message_start", strings.Replace(start, "theirs", "mine", 1)) + rest; err != nil || got != want {
		t.Errorf("%v: %s, want %s", err, got, want)
	}
	in := "{\n \"model\" : \"theirs\", \"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}],\"stop_reason\":\"end_turn\"}\n"
	evs, err = ask(t, jsonType, in, false)
	if want := strings.Replace(in, "theirs", "mine", 1); err != nil || string(evs[0].Raw) != want {
		t.Errorf("%v: %s, want %s", err, evs[0].Raw, want)
	}
}

func TestAMissingEndIsAdded(t *testing.T) {
	t.Parallel()
	body := frame("message_start", start) + frame("content_block_delta", delta) + frame("message_delta", why)
	evs, err := ask(t, events, body, true)
	if err != nil || !evs[len(evs)-1].Last || string(evs[len(evs)-1].Raw) != stopFrame {
		t.Errorf("%v: %+v", err, evs)
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	ok := `{"type":"message","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}`
	for _, c := range []struct {
		name, contentType, body string
		stream                  bool
		code                    fault.Code
	}{
		{"empty", jsonType, "", false, fault.UpstreamFailed},
		{"null", jsonType, "null", false, fault.UpstreamFailed},
		{"half", jsonType, ok[:40], false, fault.UpstreamFailed},
		{"something else", jsonType, `{"status":"ok"}`, false, fault.UpstreamFailed},
		{"a page", "text/html", "<html>", false, fault.UpstreamFailed},
		{"a page for a stream", "text/html", "<html>", true, fault.UpstreamFailed},
		{"events that say they are JSON", jsonType, frame("message_start", start), true, fault.UpstreamFailed},
		{"JSON that says it is events", events, ok, true, fault.UpstreamFailed},
		{"an error that says it is events", events, `{"type":"error","error":{"type":"overloaded_error"}}`, true, fault.UpstreamOverloaded},
		{"an error in a good answer", jsonType, `{"type":"error","error":{"type":"rate_limit_error"}}`, false, fault.UpstreamRateLimited},
		{"an error without an event name", events, `data: {"type":"error","error":{"type":"overloaded_error"}}` + "\n\n", true, fault.UpstreamOverloaded},
		{"no events", events, "", true, fault.StreamInterrupted},
		{"a line of spaces", events, "   \n\n", true, fault.StreamInterrupted},
		{"only pings", events, frame("ping", `{"type":"ping"}`), true, fault.StreamInterrupted},
		{"an event that is none", events, frame("message_start", "Internal Server Error"), true, fault.UpstreamFailed},
	} {
		_, err := ask(t, c.contentType, c.body, c.stream)
		var f *provider.Failure
		if !errors.As(err, &f) || f.Fault.Code != c.code || !f.Failover || !f.Sent {
			t.Errorf("%s: %v, want %v", c.name, err, c.code)
		}
	}
}

func TestEmptyAnswersHaveNoContent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":0}}`,
		`{"type":"message","content":[{"type":"text","text":""}],"stop_reason":"end_turn"}`,
	} {
		evs, err := ask(t, jsonType, body, false)
		if err != nil || evs[0].Content || !evs[0].Last || evs[0].Finish != llm.FinishStop {
			t.Errorf("%s: %v, %v", body, evs, err)
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, base string
		request    llm.Request
		path       string
		header     map[string]string
	}{
		{"own dialect", "", llm.Request{Dialect: llm.AnthropicMessages, Headers: map[string][]string{"Anthropic-Version": {"2026-10-21"}, "Anthropic-Beta": {"a,b"}}}, "/v1/messages", map[string]string{"Anthropic-Version": "2026-10-21", "Anthropic-Beta": "a,b", "X-Api-Key": "k", "X-Request-Id": "r", "Authorization": ""}},
		{"no version", "/v1", llm.Request{Dialect: llm.AnthropicMessages}, "/v1/messages", map[string]string{"Anthropic-Version": "2023-06-01", "Anthropic-Beta": ""}},
		{"count", "/v1/", llm.Request{Dialect: llm.AnthropicCountTokens, Task: llm.TaskCountTokens}, "/v1/messages/count_tokens", map[string]string{"Anthropic-Version": "2023-06-01"}},
		{"another dialect", "/proxy", *foreign(&llm.Request{Headers: map[string][]string{"Anthropic-Version": {"2026-10-21"}}}), "/proxy/v1/messages", map[string]string{"Anthropic-Version": "2023-06-01"}},
	} {
		u := testkit.NewUpstream(t, testkit.JSON(200, `{"content":[],"input_tokens":4}`))
		tr := provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
		t.Cleanup(tr.CloseIdleConnections)
		c.request.Model, c.request.Raw = "m", mustScan(t, `{"model":"m"}`)
		_, err := run(New(Options{BaseURL: u.URL + c.base, Transport: tr}), provider.Call{Request: &c.request, Model: "m", Key: "k", RequestID: "r"})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := u.Request(0)
		if got.Path != c.path {
			t.Errorf("%s goes to %s, want %s", c.name, got.Path, c.path)
		}
		for k, v := range c.header {
			if got.Header.Get(k) != v {
				t.Errorf("%s: %s = %q, want %q", c.name, k, got.Header.Get(k), v)
			}
		}
	}
}

func mustScan(t *testing.T, body string) llm.Raw {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestOnlyWhatMustChangeChanges(t *testing.T) {
	t.Parallel()
	raw := mustScan(t, `{ "model" : "m", "max_tokens":5,"x":[1.50] }`)
	q := &llm.Request{Dialect: llm.AnthropicMessages, Model: "m", Raw: raw, HasMaxOutput: true}
	if got := splice(provider.Call{Request: q, Model: "m", CapOutput: 3}); string(got) != string(raw.Body) {
		t.Errorf("nothing to change becomes %s", got)
	}
	if got := string(splice(provider.Call{Request: q, Model: "n"})); got != `{ "model" : "n", "max_tokens":5,"x":[1.50] }` {
		t.Errorf("another model becomes %s", got)
	}
}

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	o := Options{BaseURL: "not a url"}
	if o.Validate() == nil || (Options{}).Validate() != nil {
		t.Error("Validate does not tell good from bad")
	}
	_, err := New(o).Open(t.Context(), provider.Call{Request: &llm.Request{Dialect: llm.AnthropicMessages}})
	if !fault.Is(err, fault.NoTarget) {
		t.Errorf("Open = %v", err)
	}
	embed := &llm.Request{Dialect: llm.OpenAIEmbeddings, Task: llm.TaskEmbed}
	p := New(Options{Transport: canned{}})
	if _, err := p.Open(t.Context(), provider.Call{Request: embed}); !fault.Is(err, fault.UnsupportedParameter) || p.Supports(embed) == nil {
		t.Errorf("embeddings: Open = %v", err)
	}
}

func TestParametersOfOthersAreNotBlamed(t *testing.T) {
	t.Parallel()
	for param, want := range map[string]string{
		"temperature": "temperature", "messages.0.content.1": "messages", "system.0": "messages", "stop_sequences": "stop",
		"output_config.format.schema": "response_format", "thinking.budget_tokens": "", "tools.0.custom": "tools",
	} {
		f := blame(foreign(&llm.Request{}), &provider.Failure{Fault: fault.New(fault.InvalidParameter, "").At(param)})
		if got := fault.From(f).Param; got != want {
			t.Errorf("%s is blamed as %q, want %q", param, got, want)
		}
	}
}

func TestAnEventAllocatesLittle(t *testing.T) {
	s := scanner{}
	data := []byte(delta)
	if n := testing.AllocsPerRun(100, func() { s.scan(data) }); n > 0 {
		t.Errorf("scanning an event allocates %v times", n)
	}
}

func BenchmarkStream(b *testing.B) {
	body := frame("message_start", start) + frame("content_block_start", begin) +
		strings.Repeat(frame("content_block_delta", delta), 50) + frame("message_delta", why) + frame("message_stop", `{"type":"message_stop"}`)
	p := New(Options{Transport: canned{200, http.Header{"Content-Type": {events}}, func() io.Reader { return strings.NewReader(body) }}})
	raw, _ := jsonx.Scan([]byte(`{"model":"m","stream":true}`))
	c := provider.Call{Request: &llm.Request{Dialect: llm.AnthropicMessages, Model: "m", Raw: raw, Stream: true, HasMaxOutput: true}, Model: "m"}
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
}

// A report without a number for the output is none: what message_start says of it
// is not repeated behind the answer.
func TestAReportWithoutOutputIsNone(t *testing.T) {
	t.Parallel()
	for _, usage := range []string{`{}`, `null`, `{"output_tokens":null}`, `{"output_tokens":"9"}`, `{"output_tokens":1.5}`, `{"input_tokens":7}`} {
		s := newScanner(provider.Call{Request: &llm.Request{}}, false)
		e := &stream{scanner: s, request: &llm.Request{}}
		var r provider.Reader
		begun, err := e.Event(&r, provider.Frame{}, []byte(`{"type":"message_start","message":{"content":[],"usage":{"input_tokens":3,"output_tokens":1}}}`))
		if err != nil || begun.Usage == nil || *begun.Usage != (llm.Usage{Input: 3, Output: 1}) {
			t.Fatalf("%+v, %v", begun, err)
		}
		end, err := e.Event(&r, provider.Frame{}, []byte(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":`+usage+`}`))
		if err != nil || end.Usage != nil || end.Finish != llm.FinishStop {
			t.Errorf("%s: %+v, %v", usage, end, err)
		}
	}
}
