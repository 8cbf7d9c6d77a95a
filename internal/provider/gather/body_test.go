package gather

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// events are streams in short.
const (
	chatStream = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","new":{"a":1},"obfuscation":"xx","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":1,"delta":{"role":"assistant","content":"B"},"logprobs":{"content":[{"token":"B"}]},"finish_reason":null}]}

data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"A\u00e9"},"logprobs":null,"finish_reason":null}]}

data: {"choices":[{"index":1,"delta":{"content":"b","annotations":[{"x":1}]},"logprobs":{"content":[{"token":"b"}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"n\":"}},{"index":1,"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1.0}"}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[{"index":1,"delta":{"annotations":[{"x":2}]},"finish_reason":"stop"}]}

data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12},"service_tier":"default"}

data: [DONE]

`
	chatWhole = `{"id":"c","object":"chat.completion","created":1,"model":"m","new":{"a":1},"choices":[` +
		`{"index":0,"message":{"role":"assistant","content":"A\u00e9","refusal":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"n\":1.0}"}},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"},` +
		`{"index":1,"message":{"role":"assistant","content":"Bb","annotations":[{"x":1},{"x":2}]},"logprobs":{"content":[{"token":"B"},{"token":"b"}]},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12},"service_tier":"default"}`
	messageStream = `event: message_start
data: {"type":"message_start","message":{"id":"msg","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1},"new":1}}

event: ping
data: {"type":"ping"}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"m"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":null}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"hi"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"cited_text":"x"}}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"n\": "}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1.0}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9},"context_management":{"applied_edits":[]}}

event: message_stop
data: {"type":"message_stop"}

`
	messageWhole = `{"id":"msg","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"text","text":"hi","citations":[{"cited_text":"x"}]},{"type":"tool_use","id":"t","name":"f","input":{"n": 1.0}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":9},"new":1,"context_management":{"applied_edits":[]}}`

	responseStream = `event: response.created
data: {"type":"response.created","response":{"id":"r","object":"response","status":"in_progress","output":[]}}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":"hi"}]}}

event: response.completed
data: {"type":"response.completed","response":{"id":"r","object":"response","status":"completed","model":"m","output":[],"usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7},"new":1}}

`
	responseWhole = `{"id":"r","object":"response","status":"completed","model":"m","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7},"new":1}`
)

func TestTheBodyThatIsGathered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ api, stream, want string }{
		{"openai.chat", chatStream, chatWhole},
		{"anthropic.messages", messageStream, messageWhole},
		{"openai.responses", responseStream, responseWhole},
	} {
		u := &upstream{status: 200, header: http.Header{"Content-Type": {"text/event-stream"}}, body: c.stream}
		ev, err := one(t, Over(speakers[c.api].speak("openai", u)), asking(t, speakers[c.api].dialect))
		if err != nil {
			t.Errorf("%s: %v", c.api, err)
			continue
		}
		if d := cmp.Diff(c.want, string(ev.Raw)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.api, d)
		}
		if ev.Usage == nil || ev.Usage.Input != 5 || ev.Finish == "" || !ev.Last || !ev.Content || string(ev.Data) != string(ev.Raw) {
			t.Errorf("%s: %+v", c.api, ev)
		}
	}
}

// TestWhichAnswersAreGathered has requests, and whether the provider is asked for
// a stream.
func TestWhichAnswersAreGathered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*llm.Request)
		want   bool
	}{
		{"much output", func(*llm.Request) {}, true},
		{"little output", func(q *llm.Request) { q.MaxOutput = LongOutput }, false},
		{"a little, many times", func(q *llm.Request) { q.MaxOutput, q.Choices = LongOutput/4, 5 }, true},
		{"no limit", func(q *llm.Request) { q.HasMaxOutput, q.MaxOutput = false, 0 }, false},
		{"reasoning", func(q *llm.Request) { q.MaxOutput = 100; q.Needs.Add(llm.NeedReasoning, "reasoning_effort") }, true},
		{"sound", func(q *llm.Request) { q.Needs.Add(llm.NeedAudioOutput, "audio") }, false},
		{"a vector", func(q *llm.Request) { q.Task, q.Dialect = llm.TaskEmbed, llm.OpenAIEmbeddings }, false},
	} {
		q := asking(t, llm.OpenAIChat)
		c.change(q)
		u := &upstream{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"data":[{"embedding":[1]}]}`}
		if c.want {
			u.header, u.body = http.Header{"Content-Type": {"text/event-stream"}}, chatStream
		}
		before := string(q.Raw.Body)
		ev, err := one(t, Over(speakers["openai.chat"].speak("openai", u)), q)
		if err != nil || !ev.Last || ev.Raw == nil {
			t.Errorf("%s: %+v, %v", c.name, ev, err)
		}
		if got := strings.Contains(u.asked[0], `"stream":true`) && strings.Contains(u.asked[0], `"include_usage":true`); got != c.want {
			t.Errorf("%s: asked %s", c.name, u.asked[0])
		}
		if string(q.Raw.Body) != before || q.Stream || q.IncludeUsage {
			t.Errorf("%s: the request itself was changed", c.name)
		}
	}
	// A stream stays one.
	q := asking(t, llm.OpenAIChat)
	q.Stream = true
	u := &upstream{status: 200, header: http.Header{"Content-Type": {"text/event-stream"}}, body: chatStream}
	s, err := Over(speakers["openai.chat"].speak("openai", u)).Open(t.Context(), provider.Call{Request: q, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if ev, err := s.Next(); err != nil || ev.Last {
		t.Errorf("%+v, %v", ev, err)
	}
	_ = s.Close()
}

// refuser refuses to stream, and gives an answer in one piece.
type refuser struct{ upstream }

func (r *refuser) RoundTrip(q *http.Request) (*http.Response, error) {
	resp, err := r.upstream.RoundTrip(q)
	if err == nil && strings.Contains(r.asked[len(r.asked)-1], `"stream":true`) {
		resp.StatusCode = 400
		resp.Body = io.NopCloser(strings.NewReader(`{"error":{"message":"This model does not support streaming.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}`))
	}
	return resp, err
}

func TestAModelThatCannotStreamIsAskedForOnePiece(t *testing.T) {
	t.Parallel()
	u := &refuser{upstream{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: responseWhole}}
	ev, err := one(t, Over(speakers["openai.responses"].speak("", u)), asking(t, llm.OpenAIResponses))
	if err != nil || string(ev.Raw) != responseWhole || len(u.asked) != 2 {
		t.Errorf("%s, %v after %q", ev.Raw, err, u.asked)
	}
}

func TestAProviderThatDoesNotStreamIsTakenAtItsWord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ api, body string }{
		{"openai.chat", chatWhole}, {"anthropic.messages", messageWhole}, {"openai.responses", responseWhole},
	} {
		for _, d := range []llm.Dialect{speakers[c.api].dialect, llm.Simple} {
			u := &upstream{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: c.body}
			ev, err := one(t, Over(speakers[c.api].speak("openai", u)), asking(t, d))
			if err != nil || !ev.Last || !ev.Content || ev.Weight != 0 || len(u.asked) != 1 {
				t.Errorf("%s for %s: %+v, %v", c.api, d, ev, err)
			}
			if d != llm.Simple && string(ev.Raw) != c.body || d == llm.Simple && ev.Whole == nil {
				t.Errorf("%s for %s: %s, %+v", c.api, d, ev.Raw, ev.Whole)
			}
		}
	}
	u := &upstream{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: `{"error":{"code":"rate_limit_exceeded","message":"m"}}`}
	if _, err := one(t, Over(speakers["openai.chat"].speak("openai", u)), asking(t, llm.OpenAIChat)); !fault.Is(err, fault.UpstreamRateLimited) {
		t.Errorf("an error in one piece: %v", err)
	}
}

// TestAGatheredStreamThatBreaksIsABadAnswer has no caller who was given anything.
func TestAGatheredStreamThatBreaksIsABadAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		api, stream string
		code        fault.Code
	}{
		{"openai.chat", chatStream[:strings.Index(chatStream, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool`)], fault.UpstreamFailed},
		{"anthropic.messages", messageStream[:strings.Index(messageStream, "event: message_delta")], fault.UpstreamFailed},
		{"openai.responses", responseStream[:strings.Index(responseStream, "event: response.completed")], fault.UpstreamFailed},
		{"openai.chat", strings.Replace(chatStream, "data: [DONE]", `data: {"error":{"code":"rate_limit_exceeded","message":"m"}}`, 1), fault.UpstreamRateLimited},
	} {
		for _, d := range []llm.Dialect{speakers[c.api].dialect, llm.Simple} {
			u := &upstream{status: 200, header: http.Header{"Content-Type": {"text/event-stream"}}, body: c.stream}
			_, err := one(t, Over(speakers[c.api].speak("openai", u)), asking(t, d))
			var f *provider.Failure
			if !errors.As(err, &f) || f.Fault.Code != c.code || !f.Failover || !f.Sent {
				t.Errorf("%s for %s: %v, want %v", c.api, d, err, c.code)
			}
		}
	}
}

func TestPiecesAreAsTheReferenceHasThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		deltas := testkit.Deltas(t, 0)
		var p pieces
		p.add(deltas)
		parts, finish := testkit.Collect(deltas)
		got := p.whole()
		if len(got.Choices) != 1 || got.Choices[0].Finish != finish {
			t.Fatalf("%+v", got)
		}
		for i := range parts {
			if parts[i].Kind == llm.PartToolCall && len(parts[i].Args) == 0 {
				parts[i].Args = json.RawMessage("{}")
			}
		}
		if d := cmp.Diff(parts, got.Choices[0].Parts, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}
