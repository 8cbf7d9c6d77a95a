package simple

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

func details(t *testing.T, d wire.Dialect, body string) []string {
	t.Helper()
	_, err := d.Decode([]byte(body), nil)
	if err == nil {
		return nil
	}
	var fe *fault.Error
	if !errors.As(err, &fe) {
		t.Fatalf("Decode(%s) = %v, want a fault", body, err)
	}
	var out []string
	for _, x := range fe.Details {
		out = append(out, fmt.Sprintf("%s %s %s", x.Field, x.Code, x.Message))
	}
	return out
}

func TestFieldsAreChecked(t *testing.T) {
	t.Parallel()
	d, lenient := New(Options{}), New(Options{IgnoreUnknown: true})
	const (
		req = "missing_parameter Required"
		inv = "invalid_parameter "
		wro = "invalid_type "
	)
	ok := `"messages":[{"role":"user","content":"hi"}]`
	for _, c := range []struct {
		body string
		want []string
	}{
		{`{"model":"m","message":"hi"}`, nil},
		{`{"model":"m",` + ok + `}`, nil},
		{`{}`, []string{"messages " + req, "model " + req}},
		{`{"model":"m"}`, []string{"messages " + req}},
		{`{"model":null,` + ok + `}`, []string{"model " + req}},
		{`{"model":5,` + ok + `}`, []string{"model " + wro + "Must be a string"}},
		{`{"model":"m","message":"a",` + ok + `}`, []string{"message " + inv + "Cannot be combined with messages"}},
		{`{"model":"m","message":""}`, []string{"message " + inv + "Must not be empty"}},
		{`{"model":"m","message":{}}`, []string{"message " + wro + "Must be a string"}},
		{`{"model":"m","message":null,` + ok + `}`, nil},
		{`{"model":"m","messages":[]}`, []string{"messages " + inv + "Must not be empty"}},
		{`{"model":"m","messages":"x"}`, []string{"messages " + wro + "Must be an array"}},
		{`{"model":"m","messages":["x"]}`, []string{"messages.0 " + wro + "Must be an object"}},
		{`{"model":"m","messages":[{"content":"hi"}]}`, []string{"messages.0.role " + req}},
		{`{"model":"m","messages":[{"role":"user"}]}`, []string{"messages.0.content " + req}},
		{`{"model":"m","messages":[{"role":"user","content":null}]}`, []string{"messages.0.content " + req}},
		{`{"model":"m","messages":[{"role":"tool","content":"x"}]}`, []string{"messages.0.role " + inv + "Must be one of system, user or assistant"}},
		{`{"model":"m","messages":[{"role":"user","content":[]}]}`, []string{"messages.0.content " + wro + "Must be a string"}},
		{`{"model":"m","messages":[{"role":"user","content":"x","name":"y"}]}`, []string{"messages.0.name unknown_parameter Unknown parameter"}},
		{`{"temperature":3,"model":"m",` + ok + `,"max_tokens":0}`, []string{"temperature " + inv + "Must be between 0 and 2", "max_tokens " + inv + "Must be at least 1"}},
		{`{"model":"m",` + ok + `,"temperature":1e400,"max_tokens":-1e400}`, []string{"temperature " + inv + "Must be between 0 and 2", "max_tokens " + inv + "Must be at least 1"}},
		{`{"model":"m",` + ok + `,"max_tokens":99999999999999999999,"top_p":"NaN"}`, []string{"max_tokens " + inv + "Is too large", "top_p " + wro + "Must be a number"}},
		{`{"model":"m","messages":[null,{}]}`, []string{"messages.0 " + wro + "Must be an object", "messages.1.role " + req, "messages.1.content " + req}},
		{`{"model":"m","messages":[{"role":5,"content":5}]}`, []string{"messages.0.role " + wro + "Must be a string", "messages.0.content " + wro + "Must be a string"}},
		{`{"top_p":2,"messages":"x","message":5}`, []string{"model " + req, "top_p " + inv + "Must be between 0 and 1", "message " + inv + "Cannot be combined with messages"}},
		{`{"model":"m",` + ok + `,"stream":"x"}`, []string{"stream " + wro + "Must be true or false"}},
		{`{"model":"m",` + ok + `,"session_id":"s","cache":false,"include_routing":true,"include_quality":false,"budget_cents":2.5,"min_quality":0.5,"fallback_on_error":true,"top_p":1}`, nil},
		{`{"model":"m",` + ok + `,"cache":"x"}`, []string{"cache " + wro + "Must be true or false"}},
		{`{"model":"m",` + ok + `,"min_quality":2}`, []string{"min_quality " + inv + "Must be between 0 and 1"}},
		{`{"model":"m",` + ok + `,"tools":[],"zzz":1}`, []string{"tools unknown_parameter Unknown parameter", "zzz unknown_parameter Unknown parameter"}},
		{`{"model":"m",` + ok + `,"zzz":null}`, nil},
	} {
		if diff := cmp.Diff(c.want, details(t, d, c.body)); diff != "" {
			t.Errorf("Decode(%s) (-want +got):\n%s", c.body, diff)
		}
		var known []string
		for _, w := range c.want {
			if !strings.Contains(w, "unknown_parameter") {
				known = append(known, w)
			}
		}
		if diff := cmp.Diff(known, details(t, lenient, c.body)); diff != "" {
			t.Errorf("lenient Decode(%s) (-want +got):\n%s", c.body, diff)
		}
	}
	for _, body := range []string{
		``, `{"model":`, `{"model":"m",}`, `[]`, `null`, `{"model":"a","model":"b"}`, `{"a":NaN}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":` + strings.Repeat("[", 200),
	} {
		_, err := d.Decode([]byte(body), nil)
		if e := fault.From(err); !fault.Is(err, fault.InvalidJSON) || !strings.Contains(e.Message, " at byte ") {
			t.Errorf("Decode(%.40q) = %v, want invalid_json and a place", body, err)
		}
	}
}

func TestBadFieldsAreCappedInOrder(t *testing.T) {
	t.Parallel()
	got := details(t, New(Options{}), `{"temperature":3,"messages":[`+strings.Repeat(`{"content":"x"},`, 100)+`{}],"model":5}`)
	if len(got) != 64 || !strings.HasPrefix(got[0], "temperature ") || !strings.HasPrefix(got[63], "messages.62.role ") {
		t.Errorf("%d details, want 64 from temperature to messages.62.role: %v", len(got), got)
	}
}

func TestRequestsAreFilledIn(t *testing.T) {
	t.Parallel()
	r, err := New(Options{}).Decode([]byte(`{"model":"m","stream":true,"temperature":0.5,"max_tokens":7,"messages":[{"role":"system","content":"é"},{"role":"user","content":"ab"},{"role":"system","content":"c"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Task != llm.TaskChat || r.Dialect != llm.Simple || r.Model != "m" || !r.Stream || r.MaxOutput != 7 || !r.HasMaxOutput || r.Needs[llm.NeedTemperature] != "temperature" {
		t.Errorf("request = %+v", r)
	}
	if want := (llm.Size{ASCII: 3, Other: 2, Messages: 3}); r.Size != want {
		t.Errorf("size = %+v, want %+v", r.Size, want)
	}
	got, err := r.DecodeChat()
	temperature, limit := 0.5, int64(7)
	want := &llm.Chat{
		System:      []llm.Part{{Text: "é"}},
		Messages:    []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "ab"}}}, {Role: llm.RoleSystem, Parts: []llm.Part{{Text: "c"}}}},
		Temperature: &temperature, MaxOutput: &limit,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("chat (-want +got):\n%s%v", diff, err)
	}
	r, err = New(Options{}).Decode([]byte(`{"model":"m","message":"a\nb"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := r.DecodeChat()
	if diff := cmp.Diff([]llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "a\nb"}}}}, one.Messages); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func encode(members string) wire.Encoder {
	d := New(Options{Now: func() time.Time { return time.Unix(7, 0) }})
	r, err := d.Decode([]byte(`{"model":"m","message":"hi"`+members+`}`), nil)
	if err != nil {
		panic(err)
	}
	return d.Encoder(r)
}

var (
	used    = llm.Usage{Input: 3, Output: 2}
	warning = []llm.Edit{{Name: "balance_warning", Value: []byte(`{"warning":"low_balance"}`)}}
)

func TestAWholeAnswer(t *testing.T) {
	t.Parallel()
	e := encode(``)
	a := &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.PartText, Text: "hello"}}, Finish: llm.FinishStop, Logprobs: json.RawMessage(`{"theirs":[]}`)}}}
	if out, err := e.Event(nil, llm.Event{Whole: a}); err != nil || len(out) > 0 {
		t.Fatalf("Event = %q, %v", out, err)
	}
	out, err := e.Finish(nil, wire.Final{Usage: used, Model: "other", Extras: warning})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	message := map[string]any{"role": "assistant", "content": "hello", "refusal": nil}
	delete(got, "id")
	want := map[string]any{
		"message": message, "object": "chat.completion", "created": 7.0, "model": "other",
		"choices":         []any{map[string]any{"index": 0.0, "message": message, "logprobs": nil, "finish_reason": "stop"}},
		"usage":           map[string]any{"prompt_tokens": 3.0, "completion_tokens": 2.0, "total_tokens": 5.0, "prompt_tokens_details": map[string]any{"cached_tokens": 0.0, "cache_write_tokens": 0.0}, "completion_tokens_details": map[string]any{"reasoning_tokens": 0.0}},
		"balance_warning": map[string]any{"warning": "low_balance"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if err := testkit.LoadSchema(t, "openai.json#CreateChatCompletionResponse").Check(out); err != nil {
		t.Errorf("%s: %v", out, err)
	}
}

func TestAStream(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "openai.json#CreateChatCompletionStreamResponse")
	rapid.Check(t, func(t *rapid.T) {
		deltas := testkit.Deltas(t, 0)
		parts, _ := testkit.Collect(deltas)
		var want, got string
		for _, p := range parts {
			if p.Kind == llm.PartText {
				want += p.Text
			}
		}
		e := encode(`,"stream":true`)
		var out []byte
		var err error
		for _, ev := range testkit.Events(t, deltas) {
			if out, err = e.Event(out, ev); err != nil {
				t.Fatal(err)
			}
		}
		if out, err = e.Finish(out, wire.Final{Usage: used, Extras: warning}); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(string(out), "\n\ndata: [DONE]\n\n") {
			t.Fatalf("the stream ends with %q", out[max(0, len(out)-40):])
		}
		frames := strings.Split(strings.TrimSuffix(string(out), "\n\ndata: [DONE]\n\n"), "\n\n")
		for i, f := range frames {
			if strings.HasPrefix(f, ":") {
				continue
			}
			data := strings.TrimPrefix(f, "data: ")
			if err := schema.Check([]byte(data)); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			var c struct {
				Choices []struct {
					Delta        struct{ Content string }
					FinishReason *string `json:"finish_reason"`
				}
				Usage   *struct{}
				Warning *struct{} `json:"balance_warning"`
			}
			if err := json.Unmarshal([]byte(data), &c); err != nil || len(c.Choices) != 1 {
				t.Fatalf("%s: %v", data, err)
			}
			got += c.Choices[0].Delta.Content
			last := i == len(frames)-1
			if (c.Usage != nil) != last || (c.Warning != nil) != last || (c.Choices[0].FinishReason != nil) != last {
				t.Fatalf("frame %d of %d: %s", i, len(frames), data)
			}
			if last && !strings.Contains(data, `"content":""`) {
				t.Fatalf("the last frame has no content: %s", data)
			}
		}
		if got != want {
			t.Fatalf("text = %q, want %q", got, want)
		}
	})
}

func TestAStreamThatIsCutOffEndsForItsLength(t *testing.T) {
	t.Parallel()
	e := encode(`,"stream":true`)
	out, err := e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err = e.Event(out, llm.Event{Cut: true, Finish: llm.FinishLength}); err != nil {
		t.Fatal(err)
	}
	if out, err = e.Finish(out, wire.Final{Usage: used, Extras: warning}); err != nil {
		t.Fatal(err)
	}
	frames := strings.Split(string(out), "\n\n")
	last := frames[len(frames)-3]
	if err := testkit.LoadSchema(t, "openai.json#CreateChatCompletionStreamResponse").Check([]byte(strings.TrimPrefix(last, "data: "))); err != nil {
		t.Error(err)
	}
	for _, part := range []string{`"delta":{"content":""}`, `"finish_reason":"length"`, `"usage":{"prompt_tokens":3,"completion_tokens":2,`, `"balance_warning":{`} {
		if !strings.Contains(last, part) {
			t.Errorf("the last chunk has no %s: %s", part, last)
		}
	}
	if frames[len(frames)-2] != "data: [DONE]" {
		t.Errorf("the stream ends with %q", frames[len(frames)-2:])
	}
	if _, err := encode(`,"stream":true`).Finish(nil, wire.Final{}); err == nil {
		t.Error("an answer of nothing has an end")
	}
}

func TestWhatCannotBeExpressedIsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		e  wire.Encoder
		ev llm.Event
	}{
		"no choice":     {encode(``), llm.Event{Whole: &llm.Answer{}}},
		"pause":         {encode(``), llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishPause}}}}},
		"foreign bytes": {encode(`,"stream":true`), llm.Event{Raw: []byte("data: {}\n\n")}},
	} {
		if out, err := c.e.Event(nil, c.ev); err == nil {
			t.Errorf("%s: Event = %q, want an error", name, out)
		}
	}
	for name, e := range map[string]wire.Encoder{"whole": encode(``), "stream": encode(`,"stream":true`)} {
		if out, err := e.Finish(nil, wire.Final{}); err == nil {
			t.Errorf("%s: Finish of nothing = %q, want an error", name, out)
		}
	}
	if got := string(encode(``).Heartbeat(nil)); got != ": keep-alive\n\n" {
		t.Errorf("Heartbeat = %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1}`))
	f.Add([]byte(`{"model":"m","message":"hi","cache":true}`))
	d := New(Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := d.Decode(body, nil)
		if err != nil {
			return
		}
		chat, err := r.DecodeChat()
		if err != nil || len(chat.Messages)+len(chat.System) == 0 {
			t.Fatalf("Decode(%q) gives %+v, %v", body, chat, err)
		}
	})
}

func TestBadFieldsComeWithWhatIsKnownOfTheRequest(t *testing.T) {
	t.Parallel()
	r, err := New(Options{}).Decode([]byte(`{"stream":true,"model":"gpt5"}`), nil)
	if err == nil || r == nil || r.Model != "gpt5" {
		t.Errorf("got %+v and %v, want the model and an error about messages", r, err)
	}
}
