package responses

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// asked makes a request of the own dialect.
func asked(t *testing.T, body string) *llm.Request {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return &llm.Request{Dialect: llm.OpenAIResponses, Model: "m", Raw: raw}
}

func TestSplicedRequests(t *testing.T) {
	t.Parallel()
	p := New(Options{Name: "up", Transport: canned{}})
	own, foreign := llm.Seal("up", "rs_9 blob"), llm.Seal("down", "state")
	for _, c := range []struct {
		name, in, want string
		call           provider.Call
	}{
		{"the name", `{"model":"m","input":"hi", "new":{"a":1}}`, `{"model":"theirs","input":"hi", "new":{"a":1},"store":false}`, provider.Call{Model: "theirs"}},
		{"nothing", `{"model":"m","input":"hi","store":false}`, `{"model":"m","input":"hi","store":false}`, provider.Call{Model: "m"}},
		{"store", `{"model":"m","store":true}`, `{"model":"m","store":false}`, provider.Call{Model: "m"}},
		{"store null", `{"model":"m","store":null}`, `{"model":"m","store":false}`, provider.Call{Model: "m"}},
		{"background", `{"model":"m","background":true,"store":false}`, `{"model":"m","store":false}`, provider.Call{Model: "m"}},
		{"nulls", `{"model":"m","previous_response_id":null,"conversation":null,"store":false}`, `{"model":"m","store":false}`, provider.Call{Model: "m"}},
		{"a cap", `{"model":"m","store":false}`, `{"model":"m","store":false,"max_output_tokens":99}`, provider.Call{Model: "m", CapOutput: 99}},
		{"include", `{"model":"m","store":false}`, `{"model":"m","store":false,"include":["reasoning.encrypted_content"]}`, provider.Call{Model: "m", Reasons: true}},
		{"include more", `{"model":"m","store":false,"include":[ "a" ]}`, `{"model":"m","store":false,"include":[ "a" ,"reasoning.encrypted_content"]}`, provider.Call{Model: "m", Reasons: true}},
		{"include in an empty list", `{"model":"m","store":false,"include":[]}`, `{"model":"m","store":false,"include":["reasoning.encrypted_content"]}`, provider.Call{Model: "m", Reasons: true}},
		{"include null", `{"model":"m","store":false,"include":null}`, `{"model":"m","store":false,"include":["reasoning.encrypted_content"]}`, provider.Call{Model: "m", Reasons: true}},
		{"included already", `{"model":"m","store":false,"include":["reasoning.encrypted_content"]}`, `{"model":"m","store":false,"include":["reasoning.encrypted_content"]}`, provider.Call{Model: "m", Reasons: true}},
		{
			"reasoning of others", `{"model":"m","store":false,"input":[{"type":"reasoning","id":"x","summary":[],"encrypted_content":"` + foreign + `"},{"type":"reasoning","encrypted_content":"gAAA"}, {"role":"user","content":"\"pontage1.x"}]}`,
			`{"model":"m","store":false,"input":[{"type":"reasoning","encrypted_content":"gAAA"},{"role":"user","content":"\"pontage1.x"}]}`,
			provider.Call{Model: "m"},
		},
		{
			"our own reasoning", `{"model":"m","store":false,"input":[{"type":"reasoning","id":"x","summary":[],"encrypted_content":"` + own + `"}]}`,
			`{"model":"m","store":false,"input":[{"type":"reasoning","id":"rs_9","summary":[],"encrypted_content":"blob"}]}`,
			provider.Call{Model: "m"},
		},
	} {
		c.call.Request = asked(t, c.in)
		got, err := p.body(c.call)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
	q := asked(t, `{"model":"m","input":[{"type":"reasoning","encrypted_content":"`+foreign+`"}]}`)
	if d := p.Dropped(q); len(d) != 1 || d[0] != "reasoning_state" {
		t.Errorf("dropped %v", d)
	}
	if d := p.Dropped(asked(t, `{"model":"m","input":"hi"}`)); d != nil {
		t.Errorf("dropped %v", d)
	}
}

func TestWhatOnlyTheServerThatStoredItKnowsIsRefused(t *testing.T) {
	t.Parallel()
	p := New(Options{Name: "up", Transport: canned{}})
	for _, c := range []struct{ body, param string }{
		{`{"model":"m","previous_response_id":"resp_1"}`, "previous_response_id"},
		{`{"model":"m","conversation":"conv_1"}`, "conversation"},
		{`{"model":"m","conversation":{"id":"conv_1"}}`, "conversation"},
	} {
		var fe *fault.Error
		if err := p.Supports(asked(t, c.body)); !errors.As(err, &fe) || fe.Code != fault.UnsupportedParameter || fe.Param != c.param {
			t.Errorf("%s: %v", c.body, err)
		}
		if _, err := p.Open(t.Context(), provider.Call{Request: asked(t, c.body), Model: "m"}); !errors.As(err, &fe) || fe.Param != c.param {
			t.Errorf("%s: Open = %v", c.body, err)
		}
	}
	if _, err := p.body(provider.Call{Request: asked(t, `{"model":"m"}`), Model: "m", CapOutput: 15}); !fault.Is(err, fault.UnsupportedParameter) {
		t.Errorf("a cap of 15 tokens: %v", err)
	}
	for _, task := range []llm.Task{llm.TaskEmbed, llm.TaskCountTokens} {
		q := &llm.Request{Dialect: llm.OpenAIEmbeddings, Task: task}
		if err := p.Supports(q); !fault.Is(err, fault.UnsupportedParameter) {
			t.Errorf("task %d: Supports = %v", task, err)
		}
		if _, err := p.Open(t.Context(), provider.Call{Request: q}); !fault.Is(err, fault.UnsupportedParameter) {
			t.Errorf("task %d: Open = %v", task, err)
		}
	}
}

// TestAModelThatNeverThinksIsAskedAgainWithoutItsThoughts has OpenAI's refusal of
// what only the gateway had asked for.
func TestAModelThatNeverThinksIsAskedAgainWithoutItsThoughts(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(
		t,
		testkit.Answer{Status: 400, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"error":{"message":"Encrypted content is not supported with this model.","type":"invalid_request_error","param":"include","code":null}}`)},
		testkit.JSON(200, `{"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}`),
	)
	tr := provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	defer tr.CloseIdleConnections()
	p := New(Options{Name: "up", BaseURL: u.URL, Transport: tr})
	evs, err := run(p, provider.Call{Request: asked(t, `{"model":"m","input":"hi"}`), Model: "m", Reasons: true})
	if err != nil || len(evs) != 1 {
		t.Fatalf("%v, %v", evs, err)
	}
	first, second := string(u.Request(0).Body), string(u.Request(1).Body)
	if !strings.Contains(first, `"include"`) || strings.Contains(second, `"include"`) || !strings.Contains(second, `"store":false`) {
		t.Errorf("asked\n%s\nand then\n%s", first, second)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, name, value string }{
		{"", "Authorization", "Bearer k"},
		{"Api-Key", "Api-Key", "k"},
	} {
		p := New(Options{KeyHeader: c.header, Transport: canned{}})
		h := p.header(provider.Call{Request: &llm.Request{Stream: true}, Key: "k", RequestID: "r"})
		if h.Get(c.name) != c.value || h.Get("X-Request-Id") != "r" || h.Get("Accept") != "text/event-stream" {
			t.Errorf("%v", h)
		}
		if c.header != "" && h.Get("Authorization") != "" {
			t.Errorf("two keys in %v", h)
		}
	}
	for _, base := range []string{"ftp://x", "x", "http://"} {
		if err := (Options{Name: "up", BaseURL: base}).Validate(); err == nil {
			t.Errorf("%q is taken", base)
		}
		_, err := New(Options{BaseURL: base}).Open(t.Context(), provider.Call{Request: asked(t, `{}`)})
		var f *provider.Failure
		if !errors.As(err, &f) || !f.Failover || f.Fault.Code != fault.NoTarget {
			t.Errorf("%q: %v", base, err)
		}
	}
}

// ask sends one request to a provider that gives one answer.
func ask(t *testing.T, contentType, body string, stream, translate bool) ([]llm.Event, error) {
	t.Helper()
	q := asked(t, `{"model":"mine","input":"hi"}`)
	q.Model, q.Stream = "mine", stream
	if translate {
		foreign(q)
	}
	p := New(Options{Name: "up", Transport: canned{200, http.Header{"Content-Type": {contentType}}, func() io.Reader { return strings.NewReader(body) }}})
	return run(p, provider.Call{Request: q, Model: "theirs"})
}
