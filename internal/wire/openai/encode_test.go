package openai

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

func at(unix int64) func() time.Time { return func() time.Time { return time.Unix(unix, 0) } }

// request decodes a small request with the given members.
func request(t testing.TB, members string) *llm.Request {
	t.Helper()
	r, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]`+members+`}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run encodes one answer and returns its bytes.
func run(t testing.TB, e wire.Encoder, f wire.Final, events ...llm.Event) string {
	t.Helper()
	var out []byte
	var err error
	for _, ev := range events {
		if out, err = e.Event(out, ev); err != nil {
			t.Fatalf("Event(%+v) = %v", ev, err)
		}
	}
	if out, err = e.Finish(out, f); err != nil {
		t.Fatalf("Finish = %v", err)
	}
	return string(out)
}

// payloads takes a stream apart; every frame must be one data line, a comment or
// nothing else.
func payloads(t testing.TB, stream string) []string {
	t.Helper()
	if !strings.HasSuffix(stream, "\n\n") {
		t.Fatalf("stream ends with %q, want a blank line", stream[max(0, len(stream)-20):])
	}
	var out []string
	for _, f := range strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		if strings.HasPrefix(f, ":") {
			continue
		}
		data, ok := strings.CutPrefix(f, "data: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("frame %q is not one data line", f)
		}
		out = append(out, data)
	}
	return out
}

// raw makes the event of one frame of the provider's.
func raw(data string) llm.Event {
	ev := llm.Event{Raw: []byte("data: " + data + "\n\n"), Data: []byte(data)}
	switch {
	case data == "[DONE]":
		ev.Last = true
	case strings.Contains(data, `"finish_reason":"`):
		ev.Finish = llm.FinishStop
	case strings.Contains(data, `"usage":{`):
		ev.Usage = &llm.Usage{}
	}
	return ev
}

const (
	one    = `{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}],"new_field":[1.50]}`
	last   = `{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usage  = `{"id":"x","choices":[],"usage":{"prompt_tokens":1}}`
	marker = `[DONE]`
)

func TestPassthroughKeepsBytes(t *testing.T) {
	t.Parallel()
	frame := func(data ...string) string {
		var b strings.Builder
		for _, d := range data {
			b.WriteString("data: " + d + "\n\n")
		}
		return b.String()
	}
	warning := []llm.Edit{{Name: "balance_warning", Value: []byte(`{"w":1}`)}}
	unasked := raw(usage)
	unasked.UsageOnly = true
	for _, c := range []struct {
		name    string
		members string
		extras  []llm.Edit
		events  []llm.Event
		want    string
	}{
		{"plain", ``, nil, []llm.Event{raw(one), raw(last), raw(marker)}, frame(one, last, marker)},
		{"usage asked for", `,"stream_options":{"include_usage":true}`, nil, []llm.Event{raw(one), raw(last), raw(usage), raw(marker)}, frame(one, last, usage, marker)},
		{"usage not asked for", ``, nil, []llm.Event{raw(one), raw(last), unasked, raw(marker)}, frame(one, last, marker)},
		{"extras in the finish", ``, warning, []llm.Event{raw(one), raw(last), unasked, raw(marker)}, frame(one, last[:len(last)-1]+`,"balance_warning":{"w":1}}`, marker)},
		{"extras in the usage", `,"stream_options":{"include_usage":true}`, warning, []llm.Event{raw(one), raw(last), raw(usage), raw(marker)}, frame(one, last, usage[:len(usage)-1]+`,"balance_warning":{"w":1}}`, marker)},
		{"extras after the last frame", ``, warning, []llm.Event{raw(one), raw(marker)}, frame(one, `{"choices":[],"balance_warning":{"w":1}}`, marker)},
		{"no marker", ``, nil, []llm.Event{raw(one), raw(last)}, frame(one, last, marker)},
		{"null error", ``, nil, []llm.Event{raw(`{"error":null,"choices":[]}`), raw(`{"choices":[{"delta":{"content":"\"error\": null"}}]}`)}, frame(`{"choices":[]}`, `{"choices":[{"delta":{"content":"\"error\": null"}}]}`, marker)},
		{"id and retry lines", ``, nil, []llm.Event{{Raw: []byte("id: 1\nretry: 5\ndata: {}\n\n"), Data: []byte("{}")}}, frame(`{}`, marker)},
		{"event line", ``, nil, []llm.Event{{Raw: []byte("event: x\ndata: {}\n\n"), Data: []byte("{}"), Name: "x"}}, frame(`{}`, marker)},
		{"no blank line", ``, nil, []llm.Event{{Raw: []byte("data: {}\n"), Data: []byte("{}")}}, frame(`{}`, marker)},
		{"carriage returns", ``, nil, []llm.Event{{Raw: []byte("data: {}\r\n\r\n"), Data: []byte("{}")}}, "data: {}\r\n\r\n" + frame(marker)},
		{"no space after the colon", ``, nil, []llm.Event{{Raw: []byte("data:{}\n\n"), Data: []byte("{}")}}, "data:{}\n\n" + frame(marker)},
		{"comment", ``, nil, []llm.Event{{Raw: []byte(": SOME PROVIDER\n\n"), Ping: true}}, ": keep-alive\n\n" + frame(marker)},
		{"two choices", ``, nil, []llm.Event{raw(last), raw(one), raw(last), raw(marker)}, frame(last, one, last, marker)},
	} {
		e := NewChat(Options{}).Encoder(request(t, `,"stream":true`+c.members))
		if got := run(t, e, wire.Final{Extras: c.extras}, c.events...); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestABrokenStreamDoesNotLookFinished(t *testing.T) {
	t.Parallel()
	for name, events := range map[string][]llm.Event{
		"passed":     {raw(one), raw(last), raw(usage)},
		"translated": {{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop}}}},
	} {
		e := NewChat(Options{}).Encoder(request(t, `,"stream":true`))
		var out []byte
		for _, ev := range events {
			out, _ = e.Event(out, ev)
		}
		if s := string(out); strings.Contains(s, "[DONE]") || !strings.Contains(s, `"a"`) || strings.Contains(s, `"usage":{`) {
			t.Errorf("%s: before Finish there is %q", name, s)
		}
		if name == "translated" && strings.Contains(string(out), `"stop"`) {
			t.Errorf("%s: the finish reason is out before Finish", name)
		}
	}
}

func TestAWholeAnswerPassesWithExtras(t *testing.T) {
	t.Parallel()
	body := `{ "id":"x", "choices":[{"message":{"content":"a"}}], "new": 1.50 }`
	e := NewChat(Options{}).Encoder(request(t, ``))
	out, err := e.Event(nil, llm.Event{Raw: []byte(body), Last: true})
	if err != nil || len(out) > 0 {
		t.Fatalf("Event = %q, %v, want nothing before Finish", out, err)
	}
	out, err = e.Finish(nil, wire.Final{Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}})
	if want := `{ "id":"x", "choices":[{"message":{"content":"a"}}], "new": 1.50,"w":1 }`; err != nil || string(out) != want {
		t.Errorf("Finish = %s, %v, want %s", out, err, want)
	}
	e = NewChat(Options{}).Encoder(request(t, ``))
	if got := run(t, e, wire.Final{}, llm.Event{Raw: []byte(body)}); got != body {
		t.Errorf("without extras = %s", got)
	}
}

func TestAnswersThatCannotBeExpressedAreErrors(t *testing.T) {
	t.Parallel()
	whole, stream := request(t, ``), request(t, `,"stream":true`)
	d := NewChat(Options{})
	text := []llm.Part{{Kind: llm.PartText, Text: "a"}}
	for name, c := range map[string]struct {
		r  *llm.Request
		ev llm.Event
	}{
		"pause":           {stream, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaFinish, Finish: llm.FinishPause}}}},
		"pause, whole":    {whole, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: text, Finish: llm.FinishPause}}}}},
		"sound":           {whole, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.PartAudio}}, Finish: llm.FinishStop}}}}},
		"whole as stream": {stream, llm.Event{Whole: &llm.Answer{}}},
		"stream as whole": {whole, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText}}}},
		"wild tool":       {stream, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolCall, Tool: 1 << 30}}}},
		"wild choice":     {stream, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Choice: 1 << 30}}}},
	} {
		if out, err := d.Encoder(c.r).Event(nil, c.ev); err == nil {
			t.Errorf("%s: Event = %q, want an error", name, out)
		}
	}
	for name, r := range map[string]*llm.Request{"whole": whole} {
		if out, err := d.Encoder(r).Finish(nil, wire.Final{}); err == nil {
			t.Errorf("%s: Finish of nothing = %q, want an error", name, out)
		}
	}
	e := d.Encoder(stream)
	_, _ = e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a"}}})
	if out, err := e.Finish(nil, wire.Final{}); err == nil {
		t.Errorf("Finish without a finish = %q, want an error", out)
	}
}

func TestCitationsBecomeAnnotations(t *testing.T) {
	t.Parallel()
	got := run(t, NewChat(Options{}).Encoder(request(t, ``)), wire.Final{}, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{
		Finish: llm.FinishStop,
		Parts: []llm.Part{
			{Kind: llm.PartText, Text: "See "},
			{Kind: llm.PartText, Text: "thís", Citations: json.RawMessage(`[{"type":"web_search_result_location","url":"https://x/","title":"X"},{"type":"char_location"}]`)},
		},
	}}}})
	if want := `"annotations":[{"type":"url_citation","url_citation":{"start_index":4,"end_index":8,"url":"https://x/","title":"X"}}]`; !strings.Contains(got, want) {
		t.Errorf("answer = %s, want %s in it", got, want)
	}
	stream := run(t, NewChat(Options{}).Encoder(request(t, `,"stream":true`)), wire.Final{}, llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaText, Text: "ab"}, {Kind: llm.DeltaCitation, Value: json.RawMessage(`{"type":"url_citation","url_citation":{"url":"u"}}`)}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop},
	}})
	if want := `"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}]`; !strings.Contains(stream, want) {
		t.Errorf("stream = %s, want %s in it", stream, want)
	}
}

func TestAToolCallWithoutArgumentsGetsEmptyOnes(t *testing.T) {
	t.Parallel()
	got := payloads(t, run(t, NewChat(Options{}).Encoder(request(t, `,"stream":true`)), wire.Final{}, llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaToolCall, ToolID: "c", ToolName: "f"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop},
	}}))
	if all := strings.Join(got, "\n"); !strings.Contains(all, `"arguments":"{}"`) || !strings.Contains(all, `"finish_reason":"tool_calls"`) {
		t.Errorf("stream = %s", all)
	}
}

func TestStateOfToolCallsIsTold(t *testing.T) {
	t.Parallel()
	got := run(t, NewChat(Options{}).Encoder(request(t, `,"stream":true`)), wire.Final{}, llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaToolCall, ToolID: "c", ToolName: "f", Signature: "s"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop},
	}})
	if want := `"function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"s"}}}]`; !strings.Contains(got, want) {
		t.Errorf("stream = %s, want %s in it", got, want)
	}
}

func TestEmbeddingsSayWhatIsChargedWhereTheProviderDoesNot(t *testing.T) {
	t.Parallel()
	r := &llm.Request{Task: llm.TaskEmbed, Dialect: llm.OpenAIEmbeddings, Model: "m"}
	f := wire.Final{Usage: llm.Usage{Input: 7, Estimated: true}}
	for answer, want := range map[string]string{
		`{"data":[]}`:              `{"data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}`,
		`{"data":[],"usage":null}`: `{"data":[],"usage":null}`,
	} {
		got := run(t, NewEmbeddings(Options{}).Encoder(r), f, llm.Event{Raw: []byte(answer), Content: true, Last: true})
		if strings.TrimSpace(got) != want {
			t.Errorf("%s becomes %s, want %s", answer, got, want)
		}
	}
}

func TestVectorsComeInTheEncodingAskedFor(t *testing.T) {
	t.Parallel()
	floats := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1, -0.5,0]},{"embedding":[2],"index":1}],"usage":{"prompt_tokens":1}}`
	base64 := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAL8AAAAA"},{"embedding":"AAAAQA==","index":1}],"usage":{"prompt_tokens":1}}`
	plain := strings.Replace(floats, ", ", ",", 1)
	for _, c := range []struct{ members, answer, want string }{
		{``, floats, floats},
		{`,"encoding_format":"float"`, floats, floats},
		{`,"encoding_format":"base64"`, base64, base64},
		{`,"encoding_format":"base64"`, floats, base64},
		{``, base64, base64},
		{`,"encoding_format":null`, base64, base64},
		{`,"encoding_format":"float"`, base64, plain},
		{`,"encoding_format":"base64"`, `{"data":[],"x":[{"embedding":[1]}]}`, `{"data":[],"x":[{"embedding":[1]}]}`},
	} {
		d := NewEmbeddings(Options{})
		r, err := d.Decode([]byte(`{"model":"m","input":"x"`+c.members+`}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, d.Encoder(r), wire.Final{}, llm.Event{Raw: []byte(c.answer), Last: true}); got != c.want {
			t.Errorf("with %s: %s gives %s, want %s", c.members, c.answer, got, c.want)
		}
	}
	d := NewEmbeddings(Options{})
	r, _ := d.Decode([]byte(`{"model":"m","input":"x","encoding_format":"float"}`), nil)
	for _, bad := range []string{`{"data":[{"embedding":"AAA"}]}`, `{"data":[{"embedding":"AACAfw=="}]}`, `{"data":[{"embedding":"`, `[]`, `x`} {
		if out, err := d.Encoder(r).Event(nil, llm.Event{Raw: []byte(bad)}); err == nil {
			t.Errorf("Event(%s) = %q, want an error", bad, out)
		}
	}
}

func TestVectorsSurviveBothWays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOf(rapid.Float32Range(-1, 1)).Draw(t, "vector")
		body, _ := json.Marshal(map[string]any{"data": []any{map[string]any{"embedding": v}}})
		if v == nil {
			return
		}
		b64, err := recode(body, true)
		if err != nil {
			t.Fatal(err)
		}
		back, err := recode(b64, false)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Data []struct{ Embedding []float32 }
		}
		if err := json.Unmarshal(back, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, got.Data[0].Embedding); diff != "" {
			t.Fatalf("vector (-want +got):\n%s", diff)
		}
	})
}

func TestRecordedEmbeddingsPass(t *testing.T) {
	t.Parallel()
	d := NewEmbeddings(Options{})
	n := 0
	for _, x := range testkit.Recorded(t, "openai.embeddings") {
		body := x.Body()
		if body == nil || x.Response.Status != 200 || refusals[x.ID] != "" {
			continue
		}
		r, err := d.Decode(body, nil)
		if err != nil {
			t.Errorf("%s: %v", x.ID, err)
			continue
		}
		e := d.Encoder(r)
		if _, err := e.Event(nil, llm.Event{Raw: []byte(x.Response.Text)}); err != nil {
			t.Errorf("%s: %v", x.ID, err)
			continue
		}
		out, err := e.Finish(nil, wire.Final{})
		if err != nil || !json.Valid(out) {
			t.Errorf("%s: %v", x.ID, err)
		}
		n++
	}
	if n < 20 {
		t.Errorf("only %d answers were tried", n)
	}
}

func TestModelsAreListed(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "openai.json#ListModelsResponse")
	list := []wire.Model{{ID: "a/b", OwnedBy: "x", Created: time.Unix(1_700_000_000, 0)}, {ID: "c"}}
	want := `{"object":"list","data":[{"id":"a/b","object":"model","created":1700000000,"owned_by":"x"},{"id":"c","object":"model","created":0,"owned_by":""}]}`
	if got := string(Models{}.List(nil, list)); got != want {
		t.Errorf("List = %s\nwant %s", got, want)
	}
	for _, l := range [][]wire.Model{list, nil} {
		if got := (Models{}).List(nil, l); schema.Check(got) != nil {
			t.Errorf("%s: %v", got, schema.Check(got))
		}
	}
}

func TestHeartbeatIsAComment(t *testing.T) {
	t.Parallel()
	if got := string(NewChat(Options{}).Encoder(request(t, ``)).Heartbeat(nil)); got != ": keep-alive\n\n" {
		t.Errorf("Heartbeat = %q", got)
	}
}

// Anthropic's streams all begin with a ping. openai-go 1.12 fails at comments, which
// therefore stand only in silences.
func TestPingsOfAnotherDialectAreNotTold(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]wire.Encoder{
		"chat":        NewChat(Options{}).Encoder(request(t, `,"stream":true`)),
		"completions": NewCompletions(Options{}).Encoder(request(t, `,"stream":true`)),
	} {
		if out, err := e.Event(nil, llm.Event{Ping: true}); err != nil || len(out) > 0 {
			t.Errorf("%s: a ping is %q, %v", name, out, err)
		}
	}
}
