package gemini

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

const thoughtful = `,"generationConfig":{"thinkingConfig":{"includeThoughts":true}}`

// at returns the dialect as a path and a query ask for it.
func at(t testing.TB, ending, query string) *Generate {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewGenerate().At(ending, q)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*Generate)
}

// encoderOf returns the encoder of an answer to a request with more members.
func encoderOf(t testing.TB, d *Generate, more string) wire.Encoder {
	t.Helper()
	r, err := d.DecodeFor("m", []byte(`{"contents":[{"parts":[{"text":"a"}]}]`+more+`}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.Encoder(r)
}

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

// response is an answer as the SDKs read it.
type response struct {
	Candidates []struct {
		Content struct {
			Role  string
			Parts []struct {
				Text             string
				Thought          bool
				ThoughtSignature []byte
				InlineData       json.RawMessage
				FunctionCall     *struct {
					ID, Name string
					Args     map[string]any
				}
			}
		}
		FinishReason      string
		Index             int
		GroundingMetadata json.RawMessage
	}
	UsageMetadata            json.RawMessage
	ModelVersion, ResponseID string
}

// events reads a stream of events, which must end with a blank line.
func events(t testing.TB, stream string) []response {
	t.Helper()
	rest, ok := strings.CutSuffix(stream, "\n\n")
	if !ok {
		t.Fatalf("the stream ends with %q", stream)
	}
	var out []response
	for _, f := range strings.Split(rest, "\n\n") {
		data, ok := strings.CutPrefix(f, "data: ")
		var r response
		if err := json.Unmarshal([]byte(data), &r); !ok || err != nil {
			t.Fatalf("%q: %v", f, err)
		}
		out = append(out, r)
	}
	return out
}

var answer = &llm.Answer{ID: "theirs", Model: "theirs", Choices: []llm.Choice{{Parts: []llm.Part{
	{Kind: llm.PartReasoning, Text: "hm", Signature: "s"},
	{Kind: llm.PartText, Text: "Hi", Citations: json.RawMessage(`[{"type":"url_citation","url_citation":{"url":"https://a","title":"A"}}]`)},
	{Kind: llm.PartToolCall, ToolID: "c", ToolName: "f", Args: json.RawMessage(`{"n": 12345678901234567890}`)},
	{Kind: llm.PartToolCall, ToolID: "d", ToolName: "g", Args: json.RawMessage(`oops`)},
}, Finish: llm.FinishToolCalls}}}

func TestAWholeAnswer(t *testing.T) {
	t.Parallel()
	f := wire.Final{Usage: llm.Usage{Input: 10, CachedInput: 4, Output: 7, Reasoning: 3}, Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}}
	got := run(t, encoderOf(t, at(t, ":generateContent", ""), thoughtful), f, llm.Event{Whole: answer})
	_, id, _ := strings.Cut(got, `"responseId":"`)
	id, _, _ = strings.Cut(id, `"`)
	want := `{"candidates":[{"content":{"parts":[{"text":"hm","thought":true,"thoughtSignature":"` + carried(signatureMark, "s") + `"},{"text":"Hi"},` +
		`{"functionCall":{"id":"c","name":"f","args":{"n": 12345678901234567890}}},{"functionCall":{"id":"d","name":"g","args":{"_raw":"oops"}}}],"role":"model"},"finishReason":"STOP","index":0,` +
		`"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a","title":"A"}}]}}],"modelVersion":"m","responseId":"` + id + `",` +
		`"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":17},"w":1}`
	if diff := cmp.Diff(want, got); diff != "" || id == "" || id == "theirs" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Who does not ask for thoughts does not see them, as with Google.
	if got := run(t, encoderOf(t, at(t, ":generateContent", ""), ""), f, llm.Event{Whole: answer}); strings.Contains(got, "hm") {
		t.Errorf("thoughts that nobody asked for: %s", got)
	}
}

func TestFinishReasons(t *testing.T) {
	t.Parallel()
	for f, want := range map[llm.Finish]string{
		llm.FinishStop: "STOP", llm.FinishStopSequence: "STOP", llm.FinishToolCalls: "STOP",
		llm.FinishLength: "MAX_TOKENS", llm.FinishContextWindow: "MAX_TOKENS", llm.FinishContentFilter: "SAFETY",
	} {
		if got, err := finishReason(f, false); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", f, got, err, want)
		}
	}
	if got, _ := finishReason(llm.FinishStop, true); got != "SAFETY" {
		t.Errorf("a refusal ends with %s", got)
	}
	for _, f := range []llm.Finish{"", llm.FinishPause} {
		if got, err := finishReason(f, false); err == nil {
			t.Errorf("%q: %s", f, got)
		}
	}
}

// A stream tells calls whole, and its end only when it is paid for.
func TestAStreamOfAnotherDialect(t *testing.T) {
	t.Parallel()
	e := encoderOf(t, at(t, streamMethod, "alt=sse"), thoughtful)
	step := func(want int, ds ...llm.Delta) string {
		t.Helper()
		out, err := e.Event(nil, llm.Event{Deltas: ds})
		if err != nil || strings.Count(string(out), "data: ") != want {
			t.Fatalf("%+v gives %q, %v", ds, out, err)
		}
		return string(out)
	}
	if out := step(0, llm.Delta{Kind: llm.DeltaStart, ID: "theirs", Model: "theirs"}); out != "" {
		t.Errorf("before there is content, %q", out)
	}
	first := events(t, step(1, llm.Delta{Kind: llm.DeltaReasoning, Text: "hm"}))[0]
	step(1, llm.Delta{Kind: llm.DeltaSignature, Text: "s"})
	step(1, llm.Delta{Kind: llm.DeltaText, Text: "Hi"})
	step(1, llm.Delta{Kind: llm.DeltaToolCall, Tool: 0, ToolID: "a", ToolName: "f"}, llm.Delta{Kind: llm.DeltaToolCall, Tool: 1, ToolID: "b", ToolName: "f"})
	step(0, llm.Delta{Kind: llm.DeltaToolArgs, Tool: 1, Text: `{"x":`}, llm.Delta{Kind: llm.DeltaToolArgs, Tool: 0, Text: `{}`}, llm.Delta{Kind: llm.DeltaToolArgs, Tool: 1, Text: `2}`})
	step(0, llm.Delta{Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls})
	end, err := e.Finish(nil, wire.Final{Model: "other", Usage: llm.Usage{Input: 3, Output: 2}})
	if err != nil {
		t.Fatal(err)
	}
	// The calls end the answer as Google's do: after an empty text an older SDK
	// (@google/generative-ai, and LangChain with it) forgets the whole turn.
	last := events(t, string(end))[0]
	if p := last.Candidates[0].Content.Parts; len(p) != 2 || p[0].FunctionCall.ID != "a" || p[1].FunctionCall.Args["x"] != 2.0 {
		t.Errorf("the calls are %s", end)
	}
	if c := last.Candidates[0]; c.FinishReason != "STOP" || string(last.UsageMetadata) != `{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5}` || last.ModelVersion != "other" || last.ResponseID != first.ResponseID {
		t.Errorf("the end is %s", end)
	}
	if got := e.Heartbeat(nil); len(got) > 0 {
		t.Errorf("a heartbeat is %q, which Google's SDKs take for a failure", got)
	}
}

// A call may come after the provider has said why it ends.
func TestACallAfterTheEndIsTold(t *testing.T) {
	t.Parallel()
	e := encoderOf(t, at(t, streamMethod, "alt=sse"), thoughtful)
	out, err := e.Event(nil, llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaText, Text: "Hi"},
		{Kind: llm.DeltaFinish, Finish: llm.FinishStop},
		{Kind: llm.DeltaToolCall, ToolID: "a", ToolName: "f"},
		{Kind: llm.DeltaToolArgs, Text: `{"x":2}`},
	}})
	if err == nil {
		out, err = e.Finish(out, wire.Final{Usage: llm.Usage{Input: 3, Output: 2}})
	}
	if err != nil || strings.Count(string(out), `"functionCall":`) != 1 || strings.Count(string(out), `"finishReason":"STOP"`) != 1 {
		t.Errorf("the answer is %s, %v", out, err)
	}
}

// No answer of a stream is without words, not even the last: Google's SDKs forget
// turns with an answer that has no part, and older ones those with an empty text.
func TestTheLastAnswerOfAStreamHasTheLastWords(t *testing.T) {
	t.Parallel()
	says := func(kind llm.DeltaKind, text string) llm.Event {
		return llm.Event{Deltas: []llm.Delta{{Kind: kind, Text: text}}}
	}
	end := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaFinish, Finish: llm.FinishStop}}}
	for name, c := range map[string]struct {
		evs  []llm.Event
		want string // of all parts, thoughts in brackets, a stroke between answers
	}{
		"words":             {[]llm.Event{says(llm.DeltaText, "Hello"), says(llm.DeltaText, " wörldö"), end}, "Hell|o wörld|ö"},
		"a character":       {[]llm.Event{says(llm.DeltaText, "a"), end}, "a"},
		"characters":        {[]llm.Event{says(llm.DeltaText, "a"), says(llm.DeltaText, "𝄞"), says(llm.DeltaText, ""), end}, "a|𝄞"},
		"thoughts":          {[]llm.Event{says(llm.DeltaReasoning, "hm"), says(llm.DeltaSignature, "s"), says(llm.DeltaText, "Hi"), end}, "(h)|(m)( s)|H|i"},
		"only thoughts":     {[]llm.Event{says(llm.DeltaReasoning, "hm"), end}, "(h)|(m)"},
		"a refusal":         {[]llm.Event{says(llm.DeltaRefusal, "No"), end}, "N|o"},
		"end in every word": {[]llm.Event{says(llm.DeltaText, "one"), end, says(llm.DeltaText, " two"), says(llm.DeltaText, " three")}, "on|e tw|o thre|e"},
		"an image": {
			[]llm.Event{says(llm.DeltaText, "so"), {Deltas: []llm.Delta{{Kind: llm.DeltaImage, Image: &llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "AA=="}}}}, says(llm.DeltaText, "!"), end},
			"s|o[image]|!",
		},
		"an image at the end": {
			[]llm.Event{says(llm.DeltaText, "so"), {Deltas: []llm.Delta{{Kind: llm.DeltaImage, Image: &llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "AA=="}}}}, end},
			"s|o[image]",
		},
	} {
		var got []string
		for _, e := range events(t, run(t, encoderOf(t, at(t, streamMethod, "alt=sse"), thoughtful), wire.Final{}, c.evs...)) {
			var said strings.Builder
			for _, p := range e.Candidates[0].Content.Parts {
				switch {
				case p.InlineData != nil:
					said.WriteString("[image]")
				case p.Text == "" && p.ThoughtSignature == nil:
					t.Errorf("%s: an empty text", name)
				case p.Thought && p.ThoughtSignature != nil:
					said.WriteString("(" + p.Text + " s)")
				case p.Thought:
					said.WriteString("(" + p.Text + ")")
				default:
					said.WriteString(p.Text)
				}
			}
			got = append(got, said.String())
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}

// What waits for an end that does not come is told in front of the error.
func TestAStreamThatBreaksOffTellsAllThatCame(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"alt=sse", ""} {
		e := encoderOf(t, at(t, streamMethod, query), "")
		got, err := e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "Hi"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop}}})
		if err != nil {
			t.Fatal(err)
		}
		s := string(e.(wire.Breaker).Break(got, []byte("data: {\"error\":1}\n\n"), nil))
		if last := strings.Index(s, `"text":"i"`); last < 0 || last > strings.Index(s, "error") || strings.Contains(s, "finishReason") {
			t.Errorf("%q: %s", query, s)
		}
	}
}

// An array is one JSON value, whatever its elements and however it ends.
func TestAStreamAsOneArray(t *testing.T) {
	t.Parallel()
	text := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "Hi"}}}
	end := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaFinish, Finish: llm.FinishStop}}}
	e := encoderOf(t, at(t, streamMethod, ""), "")
	if m := e.(wire.Typed).MediaType(); m != "application/json" {
		t.Errorf("the media type is %s", m)
	}
	var out []response
	beat := string(e.Heartbeat(nil))
	if got := beat + run(t, e, wire.Final{}, text, text, end) + beat; beat == "" || json.Unmarshal([]byte(got), &out) != nil || len(out) != 3 || out[2].Candidates[0].FinishReason != "STOP" {
		t.Errorf("%s", got)
	}
	for _, begun := range []bool{true, false} {
		e = encoderOf(t, at(t, streamMethod, "alt=json"), "")
		var got []byte
		if begun {
			got, _ = e.Event(nil, text)
		}
		got = e.(wire.Breaker).Break(got, []byte("data: {\"error\":{\"code\":502}}\n\n"), fault.New(fault.UpstreamFailed, ""))
		var all []map[string]any
		if err := json.Unmarshal(got, &all); err != nil || all[len(all)-1]["error"] == nil {
			t.Errorf("begun %v: broken off, it is %s", begun, got)
		}
	}
	e = encoderOf(t, at(t, streamMethod, "alt=sse"), "")
	// @google/generative-ai passes over an error in an event, and fails at what is none.
	if got := e.(wire.Breaker).Break(nil, []byte("data: {}\n\n"), nil); string(got) != "data: {}\n\n: broken off\n\n" || e.(wire.Typed).MediaType() != "" {
		t.Errorf("an event became %q", got)
	}
}

func raw(data string, finish llm.Finish) llm.Event {
	return llm.Event{Raw: []byte("data: " + data + "\r\n\r\n"), Data: []byte(data), Finish: finish}
}

const (
	one    = `{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0}],"modelVersion":"v","responseId":"i"}`
	ending = `{"candidates":[{"finishReason":"STOP","index":0}],"new":{"x": 1}}`
	after  = `{"usageMetadata":{"promptTokenCount":1}}`
)

// Google's own bytes pass, and the newest of them wait once a candidate ended.
func TestAStreamOfTheSameDialect(t *testing.T) {
	t.Parallel()
	e := encoderOf(t, at(t, streamMethod, "alt=sse"), "")
	var got []string
	for _, ev := range []llm.Event{raw(one, ""), {Raw: []byte(": comment\n\n"), Ping: true}, raw(ending, llm.FinishStop), raw(after, ""), {Last: true}} {
		out, err := e.Event(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(out))
	}
	out, err := e.Finish(nil, wire.Final{Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}})
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, string(out))
	want := []string{"data: " + one + "\n\n", "", "", "data: " + ending + "\n\n", "", `data: {"usageMetadata":{"promptTokenCount":1},"w":1}` + "\n\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// An answer that the gateway ends does so for its length, for every candidate
// that has not ended.
func TestAnAnswerThatIsCutOffEndsForItsLength(t *testing.T) {
	t.Parallel()
	f := wire.Final{Usage: llm.Usage{Input: 7, Output: 5}}
	cut := llm.Event{Data: []byte(one), Cut: true, Finish: llm.FinishLength}
	two := `,"generationConfig":{"candidateCount":2}`
	got := events(t, run(t, encoderOf(t, at(t, streamMethod, "alt=sse"), two), f, raw(one, ""), raw(ending, llm.FinishStop), cut))
	last := got[len(got)-1]
	if len(got) != 3 || len(last.Candidates) != 1 || last.Candidates[0].Index != 1 || last.Candidates[0].FinishReason != "MAX_TOKENS" || last.ModelVersion != "v" || last.ResponseID != "i" || last.UsageMetadata == nil {
		t.Errorf("%+v", got)
	}
	calls := llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaToolCall, ToolID: "a", ToolName: "f"},
		{Kind: llm.DeltaToolArgs, Text: `{"x":1}`},
		{Kind: llm.DeltaToolCall, Tool: 1, ToolID: "b", ToolName: "f"},
		{Kind: llm.DeltaToolArgs, Tool: 1, Text: `{"x`},
	}}
	got = events(t, run(t, encoderOf(t, at(t, streamMethod, "alt=sse"), ""), f, calls, llm.Event{Cut: true, Finish: llm.FinishLength}))
	if end := got[0].Candidates[0]; len(got) != 1 || len(end.Content.Parts) != 1 || end.Content.Parts[0].FunctionCall == nil || end.FinishReason != "MAX_TOKENS" {
		t.Errorf("%+v", got)
	}
}

// What cannot be said is an error, and nothing is made up.
func TestWhatCannotBeSaidIsAnError(t *testing.T) {
	t.Parallel()
	whole, stream := at(t, ":generateContent", ""), at(t, streamMethod, "alt=sse")
	for name, c := range map[string]struct {
		d  *Generate
		ev llm.Event
	}{
		"stream for whole":     {whole, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a"}}}},
		"whole for stream":     {stream, llm.Event{Whole: answer}},
		"no choices":           {whole, llm.Event{Whole: &llm.Answer{}}},
		"an unfinished choice": {whole, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{}}}}},
		"media":                {whole, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.PartAudio}}, Finish: llm.FinishStop}}}}},
		"args of no call":      {stream, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolArgs, Text: "{}"}}}},
		"too many candidates":  {stream, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Choice: maxIndex, Text: "a"}}}},
	} {
		if out, err := encoderOf(t, c.d, "").Event(nil, c.ev); err == nil {
			t.Errorf("%s: %q", name, out)
		}
	}
	for _, d := range []*Generate{whole, stream} {
		if out, err := encoderOf(t, d, "").Finish(nil, wire.Final{}); err == nil {
			t.Errorf("nothing gives %q", out)
		}
	}
	e := encoderOf(t, stream, "")
	if _, err := e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "a"}}}); err != nil {
		t.Fatal(err)
	}
	if out, err := e.Finish(nil, wire.Final{}); err == nil {
		t.Errorf("an answer without an end gives %q", out)
	}
}

// TestAStreamSaysWhatAWholeAnswerSays, whatever its pieces.
func TestAStreamSaysWhatAWholeAnswerSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var a llm.Answer
		var evs []llm.Event
		choices := rapid.IntRange(1, 3).Draw(rt, "choices")
		for n := range choices {
			var c llm.Choice
			tools := 0
			add := func(d llm.Delta) { d.Choice = n; evs = append(evs, llm.Event{Deltas: []llm.Delta{d}}) }
			for range rapid.IntRange(1, 5).Draw(rt, "parts") {
				text := rapid.StringN(1, 12, -1).Draw(rt, "text")
				switch rapid.IntRange(0, 2).Draw(rt, "kind") {
				case 0:
					c.Parts = append(c.Parts, llm.Part{Kind: llm.PartText, Text: text})
					for _, r := range text {
						add(llm.Delta{Kind: llm.DeltaText, Text: string(r)})
					}
				case 1:
					c.Parts = append(c.Parts, llm.Part{Kind: llm.PartReasoning, Text: text})
					add(llm.Delta{Kind: llm.DeltaReasoning, Text: text})
				case 2:
					args, _ := json.Marshal(map[string]string{"t": text})
					c.Parts = append(c.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: "c", ToolName: "f", Args: args})
					add(llm.Delta{Kind: llm.DeltaToolCall, Tool: tools, ToolID: "c", ToolName: "f"})
					at := rapid.IntRange(0, len(args)).Draw(rt, "at")
					add(llm.Delta{Kind: llm.DeltaToolArgs, Tool: tools, Text: string(args[:at])})
					add(llm.Delta{Kind: llm.DeltaToolArgs, Tool: tools, Text: string(args[at:])})
					tools++
				}
			}
			c.Finish = rapid.SampledFrom([]llm.Finish{llm.FinishStop, llm.FinishLength}).Draw(rt, "finish")
			add(llm.Delta{Kind: llm.DeltaFinish, Finish: c.Finish})
			a.Choices = append(a.Choices, c)
		}
		var whole response
		if err := json.Unmarshal([]byte(run(t, encoderOf(t, at(t, ":generateContent", ""), thoughtful), wire.Final{}, llm.Event{Whole: &a})), &whole); err != nil {
			rt.Fatal(err)
		}
		streamed := events(t, run(t, encoderOf(t, at(t, streamMethod, "alt=sse"), thoughtful), wire.Final{}, evs...))
		if got, want := said(streamed, choices), said([]response{whole}, choices); !cmp.Equal(got, want) {
			rt.Errorf("-whole +streamed:\n%s", cmp.Diff(want, got))
		}
	})
}

// said is what answers say in all, candidate by candidate.
func said(answers []response, choices int) []string {
	out := make([]string, choices)
	for _, r := range answers {
		for _, c := range r.Candidates {
			for _, p := range c.Content.Parts {
				switch {
				case p.FunctionCall != nil:
					b, _ := json.Marshal(p.FunctionCall)
					out[c.Index] += string(b)
				case p.Thought:
					for _, r := range p.Text {
						out[c.Index] += "?" + string(r)
					}
				default:
					out[c.Index] += p.Text
				}
			}
			out[c.Index] += c.FinishReason
		}
	}
	return out
}

// An end whose text is none alone, since it begins within a character, is an end.
func TestAnEndWithHalfACharacterIsOne(t *testing.T) {
	t.Parallel()
	for _, half := range []string{`\ude00`, "\xa2"} {
		e := encoderOf(t, at(t, streamMethod, "alt=sse"), "")
		got := run(t, e, wire.Final{}, raw(one, ""), raw(`{"candidates":[{"content":{"parts":[{"text":"`+half+`"}]},"finishReason":"STOP","index":0}]}`, llm.FinishStop))
		if strings.Count(got, half) != 1 || strings.Count(got, "STOP") != 1 {
			t.Errorf("%q: %s", half, got)
		}
	}
}
