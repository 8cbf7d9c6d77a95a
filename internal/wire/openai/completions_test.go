package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

// text1 decodes a completion with the given members.
func text1(t testing.TB, members string) *llm.Request {
	t.Helper()
	r, err := NewCompletions(Options{Now: at(7)}).Decode([]byte(`{"model":"m"`+members+`}`), nil)
	if err != nil {
		t.Fatalf("%s: %v", members, err)
	}
	return r
}

func TestRecordedCompletionsDecode(t *testing.T) {
	t.Parallel()
	refused := map[string]string{"openai.openai-completions.e9d3d4f0b6": "max_tokens"} // by OpenAI as well
	for _, x := range testkit.Recorded(t, "openai.completions") {
		body := x.Body()
		r, err := NewCompletions(Options{}).Decode(body, nil)
		var fe *fault.Error
		switch want := refused[x.ID]; {
		case want != "":
			if !errors.As(err, &fe) || fe.Param != want {
				t.Errorf("%s: %v, want a refusal at %s", x.ID, err, want)
			}
		case err != nil:
			t.Errorf("%s: %v", x.ID, err)
		case !bytes.Equal(r.Raw.Splice(), body):
			t.Errorf("%s: the body changes without an edit", x.ID)
		}
	}
}

func TestCompletionsAreCounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members                string
		choices, inputs        int
		most, usual            int64
		has                    bool
		ascii, other, messages int64
	}{
		{`,"prompt":"abc"`, 1, 1, 0, 16, false, 3, 0, 1},
		{`,"prompt":"aé","max_tokens":5,"suffix":"xy"`, 1, 1, 5, 0, true, 3, 2, 1},
		{`,"prompt":"a","max_tokens":0`, 1, 1, 0, 0, true, 1, 0, 1},
		{`,"prompt":"a","max_tokens":null,"n":3`, 3, 1, 0, 16, false, 1, 0, 1},
		{`,"prompt":["a","bc"],"n":3,"best_of":4`, 8, 2, 0, 16, false, 3, 0, 2},
		{`,"prompt":"a","n":3,"best_of":3,"stream":true`, 3, 1, 0, 16, false, 1, 0, 1},
		{`,"prompt":[1,22,50256]`, 1, 1, 0, 16, false, 9, 0, 0},
		{`,"prompt":[[1],[2,3]]`, 2, 2, 0, 16, false, 9, 0, 2},
	} {
		r := text1(t, c.members)
		if r.Choices != c.choices || r.Inputs != c.inputs || r.MaxOutput != c.most || r.HasMaxOutput != c.has || r.UsualOutput != c.usual ||
			r.Size != (llm.Size{ASCII: c.ascii, Other: c.other, Messages: c.messages}) {
			t.Errorf("%s: %+v", c.members, r)
		}
		if r.Task != llm.TaskChat || r.Dialect != llm.OpenAICompletions || r.Model != "m" {
			t.Errorf("%s: task %d of %s for %s", c.members, r.Task, r.Dialect, r.Model)
		}
	}
}

func TestBadCompletionsNameTheirField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members, param string
		code           fault.Code
	}{
		{``, "prompt", fault.MissingParameter},
		{`,"prompt":null`, "prompt", fault.MissingParameter},
		{`,"prompt":5`, "prompt", fault.InvalidType},
		{`,"prompt":[]`, "prompt", fault.InvalidParameter},
		{`,"prompt":["a",5]`, "prompt.1", fault.InvalidType},
		{`,"prompt":[null]`, "prompt.0", fault.InvalidType},
		{`,"prompt":[1,"a"]`, "prompt.1", fault.InvalidType},
		{`,"prompt":[[1],["a"]]`, "prompt.1.0", fault.InvalidType},
		{`,"prompt":[[]]`, "prompt.0", fault.InvalidParameter},
		{`,"prompt":[-1]`, "prompt.0", fault.InvalidParameter},
		{`,"prompt":"a","max_tokens":-1`, "max_tokens", fault.InvalidParameter},
		{`,"prompt":"a","n":0`, "n", fault.InvalidParameter},
		{`,"prompt":"a","n":2,"best_of":1`, "best_of", fault.InvalidParameter},
		{`,"prompt":"a","best_of":2,"stream":true`, "best_of", fault.InvalidParameter},
		{`,"prompt":"a","best_of":21`, "best_of", fault.InvalidParameter},
		{`,"prompt":["a","b","c","d","e","f","g","h","i"],"n":128`, "prompt", fault.InvalidParameter},
		{`,"prompt":"a","logprobs":6`, "logprobs", fault.InvalidParameter},
		{`,"prompt":"a","echo":"yes"`, "echo", fault.InvalidType},
		{`,"prompt":"a","suffix":1`, "suffix", fault.InvalidType},
		{`,"prompt":"a","temperature":3`, "temperature", fault.InvalidParameter},
		{`,"prompt":"a","stop":{}`, "stop", fault.InvalidType},
		{`,"prompt":"a","stream":1`, "stream", fault.InvalidType},
		{`,"prompt":"a","messages":[]`, "messages", fault.UnknownParameter},
		{`,"prompt":"a","max_completion_tokens":5`, "max_completion_tokens", fault.UnknownParameter},
	} {
		_, err := NewCompletions(Options{}).Decode([]byte(`{"model":"m"`+c.members+`}`), nil)
		var fe *fault.Error
		if !errors.As(err, &fe) || fe.Param != c.param || fe.Code != c.code {
			t.Errorf("%s: %v (%+v), want %s at %s", c.members, err, fe, c.code, c.param)
		}
	}
}

// A model that knows conversations is told the prompt, and what has no
// counterpart in a conversation is left to its encoder to refuse.
func TestCompletionsBecomeConversations(t *testing.T) {
	t.Parallel()
	hello := []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "hi\n"}}}}
	five, half, seed := int64(5), 0.5, int64(9)
	for _, c := range []struct {
		members string
		want    llm.Chat
		extra   []string
	}{
		{`,"prompt":"hi\n"`, llm.Chat{Messages: hello}, nil},
		{`,"prompt":["hi\n"],"max_tokens":5,"temperature":0.5,"top_p":0.5,"seed":9,"stop":"x","n":3,"user":"u","frequency_penalty":0.5,"presence_penalty":0.5`, llm.Chat{
			Messages: hello, MaxOutput: &five, Temperature: &half, TopP: &half, Seed: &seed, Stop: []string{"x"}, Choices: 3, User: "u", FrequencyPenalty: &half, PresencePenalty: &half,
		}, nil},
		{`,"prompt":"hi\n","echo":false,"best_of":1,"suffix":"","logprobs":null,"logit_bias":{},"stream":true,"stream_options":{"include_usage":true}`, llm.Chat{Messages: hello}, nil},
		{`,"prompt":"hi\n","n":2,"best_of":2`, llm.Chat{Messages: hello, Choices: 2}, nil},
		{`,"prompt":"hi\n","best_of":2,"echo":true,"suffix":"x","logprobs":0,"logit_bias":{"5":1},"best":1`, llm.Chat{Messages: hello}, []string{"best_of", "echo", "suffix", "logprobs", "logit_bias", "best"}},
		{`,"prompt":"hi\n","stream_options":{"include_obfuscation":false}`, llm.Chat{Messages: hello}, []string{"stream_options.include_obfuscation"}},
	} {
		chat, err := text1(t, c.members).DecodeChat()
		if err != nil {
			t.Errorf("%s: %v", c.members, err)
			continue
		}
		got := *chat
		var extra []string
		for _, x := range got.Extra {
			extra = append(extra, x.Path)
		}
		got.Extra = nil
		if d := cmp.Diff(c.want, got); d != "" || !cmp.Equal(c.extra, extra) {
			t.Errorf("%s: (-want +got):\n%s\nextra %v, want %v", c.members, d, extra, c.extra)
		}
	}
	for members, param := range map[string]string{
		`,"prompt":["a","b"]`:              "prompt",
		`,"prompt":[1,2]`:                  "prompt",
		`,"prompt":[[1,2]]`:                "prompt",
		`,"prompt":""`:                     "prompt",
		`,"prompt":"a","max_tokens":0`:     "max_tokens",
		`,"prompt":[""],"max_tokens":null`: "prompt",
	} {
		_, err := text1(t, members).DecodeChat()
		var fe *fault.Error
		if !errors.As(err, &fe) || fe.Param != param {
			t.Errorf("%s: %v, want a refusal at %s", members, err, param)
		}
	}
}

const (
	someText = `{"id":"cmpl-x","object":"text_completion","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}],"model":"m"}`
	endText  = `{"id":"cmpl-x","object":"text_completion","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}],"model":"m"}`
)

// The bytes of a provider that continues texts pass, the last frame kept back.
func TestCompletionsPassThrough(t *testing.T) {
	t.Parallel()
	d := NewCompletions(Options{})
	r := text1(t, `,"prompt":"a","stream":true`)
	e := d.Encoder(r)
	out, err := e.Event(nil, raw(someText))
	if err != nil {
		t.Fatal(err)
	}
	if out, err = e.Event(out, raw(endText)); err != nil || string(out) != "data: "+someText+"\n\n" {
		t.Errorf("before the charge is durable: %s, %v", out, err)
	}
	warning := []llm.Edit{{Name: "w", Value: []byte("1")}}
	out, err = e.Finish(nil, wire.Final{Extras: warning})
	if want := "data: " + endText[:len(endText)-1] + `,"w":1}` + "\n\ndata: [DONE]\n\n"; err != nil || string(out) != want {
		t.Errorf("the end is %s, %v", out, err)
	}
	got := run(t, d.Encoder(r), wire.Final{}, raw(someText), cutOff(someText))
	if want := "data: " + someText + "\n\ndata: " + strings.Replace(strings.Replace(endText, `"stop"`, `"length"`, 1), "[DONE]", "", 1) + "\n\ndata: [DONE]\n\n"; got != want {
		t.Errorf("cut off: %s\nwant %s", got, want)
	}
	e = d.Encoder(text1(t, `,"prompt":"a"`))
	const whole = `{"id":"cmpl-x","choices":[{"text":"a"}],"usage":{"prompt_tokens":1}}`
	if got := run(t, e, wire.Final{Extras: warning}, llm.Event{Raw: []byte(whole), Last: true}); got != whole[:len(whole)-1]+`,"w":1}` {
		t.Errorf("whole: %s", got)
	}
}

func TestConversationsBecomeCompletions(t *testing.T) {
	t.Parallel()
	d := NewCompletions(Options{Now: at(7)})
	schema := testkit.LoadSchema(t, "openai.json#CreateCompletionResponse")
	a := &llm.Answer{ID: "theirs", Model: "theirs", Created: 5, Choices: []llm.Choice{
		{Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm"}, {Text: "a"}, {Text: "b"}}, Finish: llm.FinishStop},
		{Parts: []llm.Part{{Kind: llm.PartRefusal, Text: "no"}}, Finish: llm.FinishContentFilter},
		{Finish: llm.FinishLength},
	}}
	got := run(t, d.Encoder(text1(t, `,"prompt":"a","n":3`)), wire.Final{Usage: llm.Usage{Input: 3, Output: 4}, Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}}, llm.Event{Whole: a, Last: true})
	want := `","object":"text_completion","created":7,"model":"m","choices":[{"text":"ab","index":0,"logprobs":null,"finish_reason":"stop"},{"text":"no","index":1,"logprobs":null,"finish_reason":"content_filter"},{"text":"","index":2,"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"w":1}`
	if !strings.HasPrefix(got, `{"id":"cmpl-`) || !strings.HasSuffix(got, want) || strings.Contains(got, "theirs") {
		t.Errorf("whole: %s", got)
	}
	if err := schema.Check([]byte(got)); err != nil {
		t.Errorf("%s: %v", got, err)
	}
	e := d.Encoder(text1(t, `,"prompt":"a"`))
	if got := run(t, e, wire.Final{Model: "other"}, llm.Event{Whole: a, Last: true}); !strings.Contains(got, `"model":"other"`) {
		t.Errorf("answered by another model: %s", got)
	}
	for _, bad := range []llm.Answer{
		{Choices: []llm.Choice{{Finish: llm.FinishStop, Parts: []llm.Part{{Kind: llm.PartToolCall}}}}},
		{Choices: []llm.Choice{{Finish: llm.FinishPause}}},
	} {
		if out, err := d.Encoder(text1(t, `,"prompt":"a"`)).Event(nil, llm.Event{Whole: &bad}); err == nil {
			t.Errorf("%+v becomes %s", bad, out)
		}
	}
}

func TestStreamedConversationsBecomeCompletions(t *testing.T) {
	t.Parallel()
	d := NewCompletions(Options{Now: at(7)})
	events := []llm.Event{
		{Deltas: []llm.Delta{{Kind: llm.DeltaStart, ID: "theirs", Model: "theirs"}}},
		{Ping: true},
		{Deltas: []llm.Delta{{Kind: llm.DeltaReasoning, Text: "hm"}, {Text: "a", Kind: llm.DeltaText}}},
		{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "c", Choice: 1}, {Kind: llm.DeltaFinish, Finish: llm.FinishLength, Choice: 1}}},
	}
	stop := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "b"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop}}}
	chunk := func(choice string, more string) string {
		return `{"id":"ID","object":"text_completion","created":7,"model":"m","choices":[` + choice + `]` + more + `}`
	}
	const (
		a       = `{"text":"a","index":0,"logprobs":null,"finish_reason":null}`
		b       = `{"text":"b","index":0,"logprobs":null,"finish_reason":null}`
		c       = `{"text":"c","index":1,"logprobs":null,"finish_reason":null}`
		end0    = `{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}`
		cut0    = `{"text":"","index":0,"logprobs":null,"finish_reason":"length"}`
		end1    = `{"text":"","index":1,"logprobs":null,"finish_reason":"length"}`
		none    = `,"usage":null`
		counted = `,"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}`
	)
	final := wire.Final{Usage: llm.Usage{Input: 3, Output: 4}, Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}}
	for _, x := range []struct {
		name, members string
		last          llm.Event
		want          []string
	}{
		{"plain", ``, stop, []string{chunk(a, ""), chunk(c, ""), chunk(end1, ""), chunk(b, ""), chunk(end0, `,"w":1`), marker}},
		{"usage", `,"stream_options":{"include_usage":true}`, stop, []string{chunk(a, none), chunk(c, none), chunk(end1, none), chunk(b, none), chunk(end0, none), chunk("", counted+`,"w":1`), marker}},
		{"cut", ``, llm.Event{Cut: true, Finish: llm.FinishLength}, []string{chunk(a, ""), chunk(c, ""), chunk(end1, ""), chunk(cut0, `,"w":1`), marker}},
	} {
		e := d.Encoder(text1(t, `,"prompt":"a","n":2,"stream":true`+x.members))
		got := payloads(t, run(t, e, final, append(events[:len(events):len(events)], x.last)...))
		id, _, _ := strings.Cut(strings.TrimPrefix(got[0], `{"id":"`), `"`)
		if len(id) < 20 {
			t.Fatalf("%s: the id is %q", x.name, id)
		}
		for i := range got {
			got[i] = strings.Replace(got[i], id, "ID", 1)
		}
		if d := cmp.Diff(x.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", x.name, d)
		}
	}
	e := d.Encoder(text1(t, `,"prompt":"a","stream":true`))
	out, err := e.Event(nil, events[2])
	if err != nil || len(out) == 0 {
		t.Fatal(err)
	}
	if out, err := e.Finish(nil, final); err == nil {
		t.Errorf("an answer without a finish ends with %s", out)
	}
	for _, bad := range []llm.Delta{{Kind: llm.DeltaToolCall}, {Choice: 128, Kind: llm.DeltaText}, {Kind: llm.DeltaFinish, Finish: llm.FinishPause}} {
		if out, err := d.Encoder(text1(t, `,"prompt":"a","stream":true`)).Event(nil, llm.Event{Deltas: []llm.Delta{bad}}); err == nil {
			t.Errorf("%+v becomes %s", bad, out)
		}
	}
}

// Whatever a model says arrives: the texts of each choice, joined, are those that
// were said in it.
func TestNoTextIsLost(t *testing.T) {
	t.Parallel()
	d := NewCompletions(Options{})
	r := text1(t, `,"prompt":"a","stream":true`)
	rapid.Check(t, func(rt *rapid.T) {
		var want strings.Builder
		var out []byte
		var err error
		e := d.Encoder(r)
		for _, s := range rapid.SliceOf(rapid.String()).Draw(rt, "texts") {
			want.WriteString(s)
			if out, err = e.Event(out, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: s}}}); err != nil {
				rt.Fatal(err)
			}
		}
		if out, err = e.Event(out, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaFinish, Finish: llm.FinishStop}}}); err != nil {
			rt.Fatal(err)
		}
		if out, err = e.Finish(out, wire.Final{}); err != nil {
			rt.Fatal(err)
		}
		got := ""
		for _, p := range payloads(t, string(out)) {
			if p != marker {
				got += textOf(t, p)
			}
		}
		if got != strings.ToValidUTF8(want.String(), "\uFFFD") {
			rt.Fatalf("%q becomes %q", want.String(), got)
		}
	})
}

func textOf(t *testing.T, chunk string) string {
	t.Helper()
	var c struct{ Choices []struct{ Text string } }
	if err := json.Unmarshal([]byte(chunk), &c); err != nil || len(c.Choices) != 1 {
		t.Fatalf("%s: %v", chunk, err)
	}
	return c.Choices[0].Text
}
