package prompt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// details returns the bad fields that err lists as "field code message".
func details(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var fe *fault.Error
	if !errors.As(err, &fe) {
		t.Fatalf("%v is no fault", err)
	}
	var out []string
	for _, x := range fe.Details {
		out = append(out, fmt.Sprintf("%s %s %s", x.Field, x.Code, x.Message))
	}
	return out
}

const (
	req = "missing_parameter Required"
	inv = "invalid_parameter "
	wro = "invalid_type "
	unk = "unknown_parameter Unknown parameter"
)

// members are what a prompt may have beside it, and what is said of it; the same
// holds alone and in a batch.
var members = []struct{ member, want string }{ // want: "field code message", or "" for none
	{`"temperature":0`, ""},
	{`"temperature":2`, ""},
	{`"temperature":null`, ""},
	{`"temperature":2.1`, "temperature " + inv + "Must be between 0 and 2"},
	{`"temperature":1e400`, "temperature " + inv + "Must be between 0 and 2"},
	{`"temperature":"hot"`, "temperature " + wro + "Must be a number"},
	{`"maxTokens":1`, ""},
	{`"maxTokens":0`, "maxTokens " + inv + "Must be at least 1"},
	{`"maxTokens":1.5`, "maxTokens " + wro + "Must be a whole number"},
	{`"maxTokens":99999999999999999999`, "maxTokens " + inv + "Is too large"},
	{`"max_tokens":"7"`, "max_tokens " + wro + "Must be a whole number"},
	{`"maxTokens":7,"max_tokens":7.0`, ""},
	{`"maxTokens":7,"max_tokens":8`, "max_tokens " + inv + "Must not differ from maxTokens"},
	{`"max_tokens":8,"maxTokens":7`, "maxTokens " + inv + "Must not differ from max_tokens"},
	{`"max_tokens":null,"maxTokens":7`, ""},
	{`"topP":0`, ""},
	{`"topP":1.01`, "topP " + inv + "Must be between 0 and 1"},
	{`"top_p":-1`, "top_p " + inv + "Must be between 0 and 1"},
	{`"top_p":0.5,"topP":0.6`, "topP " + inv + "Must not differ from top_p"},
	{`"topP":0.5,"top_p":5e-1`, ""},
	{`"topK":0`, "topK " + inv + "Must be at least 1"},
	{`"topK":50,"top_k":50`, ""},
	{`"topK":50,"top_k":51`, "top_k " + inv + "Must not differ from topK"},
	{`"top_k":[]`, "top_k " + wro + "Must be a whole number"},
	{`"metadata":{"a":[{"b":null}],"n":1e400}`, ""},
	{`"metadata":null`, ""},
	{`"metadata":[]`, "metadata " + wro + "Must be an object"},
	{`"metadata":"x"`, "metadata " + wro + "Must be an object"},
	{`"stream":true`, "stream " + unk},
	{`"stream":false`, "stream " + unk},
	{`"stream":null`, ""},
	{`"":1`, " " + unk},
	{`"messages":[]`, "messages " + unk},
}

func TestFieldsAreChecked(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	for _, c := range members {
		_, err := d.DecodeFor("m", []byte(`{"prompt":"hi",`+c.member+`}`), nil)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if diff := cmp.Diff(want, details(t, err)); diff != "" {
			t.Errorf("DecodeFor with %s (-want +got):\n%s", c.member, diff)
		}
	}
	long := strings.Repeat("é", maxModel)
	for _, c := range []struct {
		model, body string
		want        []string
	}{
		{"m", `{"prompt":"hi"}`, nil},
		{"org/m", `{"prompt":" "}`, nil},
		{long, `{"prompt":"hi"}`, nil},
		{long + "x", `{"prompt":"hi"}`, []string{"model " + inv + "Must have at most 256 characters"}},
		{"", `{"prompt":"hi"}`, []string{"model " + req}},
		{"m", `{}`, []string{"prompt " + req}},
		{"m", `{"prompt":null}`, []string{"prompt " + req}},
		{"m", `{"prompt":""}`, []string{"prompt " + inv + "Must not be empty"}},
		{"m", `{"prompt":["hi"]}`, []string{"prompt " + wro + "Must be a string"}},
		{"m", `{"prompt":"hi","id":"1"}`, []string{"id " + unk}},
		{"m", `{"prompt":"hi","model":"m"}`, []string{"model " + unk}},
		{"", `{"topK":0,"stream":true,"prompt":5,"maxTokens":-1}`, []string{
			"model " + req, "topK " + inv + "Must be at least 1", "stream " + unk, "prompt " + wro + "Must be a string", "maxTokens " + inv + "Must be at least 1",
		}},
	} {
		_, err := d.DecodeFor(c.model, []byte(c.body), nil)
		if diff := cmp.Diff(c.want, details(t, err)); diff != "" {
			t.Errorf("DecodeFor(%q, %s) (-want +got):\n%s", c.model, c.body, diff)
		}
	}
}

func TestBadJSONIsOneFaultThatSaysWhere(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `{"prompt":`, `{"prompt":"x",}`, `[]`, `null`, `"x"`, `{"prompt":"a","prompt":"b"}`, `{"prompt":NaN}`, "{\"prompt\":\"\xff\"}", `{"prompt":"\ud800"}`, `{"metadata":` + strings.Repeat(`[`, 200)} {
		_, one := New(Options{}).DecodeFor("m", []byte(body), nil)
		_, many := DecodeBatch([]byte(body), 100)
		for _, err := range []error{one, many} {
			if e := fault.From(err); !fault.Is(err, fault.InvalidJSON) || !strings.Contains(e.Message, " at byte ") {
				t.Errorf("decoding %.40q = %v, want invalid_json and a place", body, err)
			}
		}
	}
}

func TestAModelMustBeNamed(t *testing.T) {
	t.Parallel()
	r, err := New(Options{}).Decode([]byte(`{"prompt":"hi"}`), nil)
	if diff := cmp.Diff([]string{"model " + req}, details(t, err)); diff != "" || r == nil || r.Model != "" {
		t.Errorf("Decode = %+v, (-want +got):\n%s", r, diff)
	}
	// The contract may want to say something of the model, too.
	if r, err = New(Options{}).DecodeFor("gpt5", []byte(`{}`), nil); err == nil || r == nil || r.Model != "gpt5" {
		t.Errorf("DecodeFor of a bad body = %+v, %v, want the model", r, err)
	}
}

func TestRequestsAreFilledIn(t *testing.T) {
	t.Parallel()
	d := New(Options{Now: func() time.Time { return time.Unix(7, 0) }})
	body := `{"prompt":"ab\né","temperature":0.5,"topP":0.9,"topK":40,"maxTokens":7,"metadata":{"a":1}}`
	r, err := d.DecodeFor("org/m", []byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	chat := r.DecodeChat
	got := *r
	got.DecodeChat, got.Raw = nil, llm.Raw{}
	want := llm.Request{
		Task: llm.TaskChat, Dialect: llm.Prompt, Model: "org/m", MaxOutput: 7, HasMaxOutput: true, Choices: 1, Inputs: 1,
		Size: llm.Size{ASCII: 4, Other: 2, Messages: 1}, Decoded: time.Unix(7, 0),
	}
	want.Needs.Add(llm.NeedTemperature, "temperature")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if string(r.Raw.Splice()) != body {
		t.Errorf("raw = %s, want the body", r.Raw.Splice())
	}
	c, err := chat()
	temperature, topP, topK, limit := 0.5, 0.9, int64(40), int64(7)
	wantChat := &llm.Chat{
		Messages:    []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "ab\né"}}}},
		Temperature: &temperature, TopP: &topP, TopK: &topK, MaxOutput: &limit,
	}
	if diff := cmp.Diff(wantChat, c); diff != "" || err != nil {
		t.Errorf("chat (-want +got):\n%s%v", diff, err)
	}
}

func TestOutputIsAlwaysLimited(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"prompt":"x"}`, `{"prompt":"x","maxTokens":null,"temperature":1}`} {
		r, err := New(Options{}).DecodeFor("m", []byte(body), nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.DecodeChat()
		if err != nil || r.HasMaxOutput || r.UsualOutput != 1024 || c.MaxOutput != nil {
			t.Errorf("DecodeFor(%s) = %+v, %+v, want an output of 1024", body, r, c)
		}
		if r.Needs != (llm.Needs{}) || c.Temperature != nil && *c.Temperature != 1 || c.TopP != nil || c.TopK != nil {
			t.Errorf("DecodeFor(%s) = %+v, %+v, want no settings but the limit", body, r, c)
		}
	}
}

func FuzzDecodeFor(f *testing.F) {
	f.Add("m", []byte(`{"prompt":"hi","temperature":1,"max_tokens":4,"topK":3,"metadata":{"a":[1e400]}}`))
	f.Add("", []byte(`{"prompt":"\ud83d\ude00","topP":0.5,"top_p":5e-1}`))
	d := New(Options{})
	f.Fuzz(func(t *testing.T, model string, body []byte) {
		r, err := d.DecodeFor(model, body, nil)
		if err != nil {
			var fe *fault.Error
			if !errors.As(err, &fe) {
				t.Fatalf("DecodeFor(%q) = %v, want a fault", body, err)
			}
			return
		}
		chat, err := r.DecodeChat()
		if err != nil || len(chat.Messages) != 1 || chat.Messages[0].Parts[0].Text == "" || (chat.MaxOutput != nil) != r.HasMaxOutput || r.HasMaxOutput == (r.UsualOutput > 0) || (r.HasMaxOutput && (*chat.MaxOutput != r.MaxOutput || r.MaxOutput < 1)) {
			t.Fatalf("DecodeFor(%q) gives %+v, %v", body, chat, err)
		}
	})
}
