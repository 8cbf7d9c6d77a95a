package responses

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

func clock() time.Time { return time.Unix(1_700_000_000, 0) }

func encoderOf(r *llm.Request) *encoder {
	return New(Options{Now: clock}).Encoder(r).(*encoder)
}

// told is one event as a client reads it.
type told struct {
	Type        string
	Number      *int64 `json:"sequence_number"`
	Output      int    `json:"output_index"`
	Content     *int   `json:"content_index"`
	Summary     *int   `json:"summary_index"`
	ItemID      string `json:"item_id"`
	Delta, Text string
	Refusal     string
	Arguments   string
	Item, Part  map[string]any
	Annotation  map[string]any
	Response    map[string]any
	Code        *string
	Message     string
	Error       map[string]any
	data        string
}

// read reads a stream as clients do, and checks what holds of every one: each
// event has its name twice, its number, and the members of the official schema.
func read(t testing.TB, stream string) []told {
	t.Helper()
	var out []told
	schema := testkit.LoadSchema(t, "openai.json#ResponseStreamEvent")
	if stream != "" && !strings.HasSuffix(stream, "\n\n") {
		t.Errorf("the last event is not ended: %q", stream[max(0, len(stream)-80):])
	}
	for _, f := range strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		if strings.HasPrefix(f, "event: keepalive\n") {
			continue
		}
		name, rest, ok := strings.Cut(f, "\ndata: ")
		data := strings.ReplaceAll(rest, "\ndata: ", "\n")
		var ev told
		if err := json.Unmarshal([]byte(data), &ev); err != nil || !ok || "event: "+ev.Type != name {
			t.Fatalf("frame %q: %v", f, err)
		}
		if ev.Number == nil || *ev.Number != int64(len(out)) {
			t.Errorf("event %d has the number %v: %s", len(out), ev.Number, data)
		}
		if err := schema.Check([]byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		ev.data = data
		out = append(out, ev)
	}
	return out
}

// brief tells the events in few words.
func brief(evs []told) string {
	var out []string
	for _, e := range evs {
		s := strings.TrimPrefix(e.Type, "response.")
		if strings.Contains(s, "output_item") {
			s += fmt.Sprintf(" %d %v", e.Output, e.Item["type"])
			if st := e.Item["status"]; st != "in_progress" && st != "completed" {
				s += fmt.Sprint(" ", st)
			}
		}
		for _, text := range []string{e.Delta, e.Text, e.Refusal, e.Arguments} {
			if text != "" {
				s += " " + text
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
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

func deltas(ds ...llm.Delta) llm.Event { return llm.Event{Deltas: ds} }

var everything = []llm.Delta{
	{Kind: llm.DeltaStart, ID: "chatcmpl-upstream", Model: "upstream-model"},
	{Kind: llm.DeltaReasoning, Text: "Hm"},
	{Kind: llm.DeltaReasoning, Text: "m."},
	{Kind: llm.DeltaSignature, Text: "sealed"},
	{Kind: llm.DeltaRedacted, Text: "opaque"},
	{Kind: llm.DeltaText, Text: "Hel"},
	{Kind: llm.DeltaText, Text: "lo\n"},
	{Kind: llm.DeltaCitation, Value: json.RawMessage(`{"type":"url_citation","url_citation":{"url":"https://x.y","title":"X","start_index":0,"end_index":3}}`)},
	{Kind: llm.DeltaCitation, Value: json.RawMessage(`{"type":"char_location","document_index":0}`)},
	{Kind: llm.DeltaRefusal, Text: "But no."},
	{Kind: llm.DeltaToolCall, Tool: 0, ToolID: "call_a", ToolName: "f"},
	{Kind: llm.DeltaToolCall, Tool: 1, ToolID: "", ToolName: "g"},
	{Kind: llm.DeltaToolArgs, Tool: 0, Text: `{"a":`},
	{Kind: llm.DeltaToolArgs, Tool: 0, Text: `1}`},
	{Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls},
}

const everythingTold = `created
in_progress
output_item.added 0 reasoning
content_part.added
reasoning_text.delta Hm
reasoning_text.delta m.
reasoning_text.done Hmm.
content_part.done
output_item.done 0 reasoning
output_item.added 1 reasoning
output_item.done 1 reasoning
output_item.added 2 message
content_part.added
output_text.delta Hel
output_text.delta lo

output_text.annotation.added
output_text.done Hello

content_part.done
content_part.added
refusal.delta But no.
refusal.done But no.
content_part.done
output_item.done 2 message
output_item.added 3 function_call
output_item.added 4 function_call
function_call_arguments.delta {"a":
function_call_arguments.delta 1}
function_call_arguments.done {"a":1}
output_item.done 3 function_call
function_call_arguments.done {}
output_item.done 4 function_call
completed`

func TestAStreamKeepsTheGrammar(t *testing.T) {
	t.Parallel()
	e := encoderOf(request(t, `,"stream":true`))
	evs := read(t, run(t, e, wire.Final{Usage: llm.Usage{Input: 7, CachedInput: 2, Output: 5, Reasoning: 1}}, deltas(everything...)))
	if got := brief(evs); got != everythingTold {
		t.Errorf("events:\n%s\nwant:\n%s", got, everythingTold)
	}
	last := evs[len(evs)-1].Response
	usage, _ := json.Marshal(last["usage"])
	if want := `{"input_tokens":7,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":2},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":12}`; string(usage) != want {
		t.Errorf("usage = %s", usage)
	}
	if last["status"] != "completed" || last["completed_at"] != 1.7e9 || last["model"] != "m" || last["id"] != evs[0].Response["id"] {
		t.Errorf("response = %v", last)
	}
	// What an item is called, and what it came to, is the same wherever it is told.
	output := last["output"].([]any)
	ids := map[string]bool{}
	for _, ev := range evs {
		if ev.Item == nil && ev.ItemID == "" {
			continue
		}
		want := output[ev.Output].(map[string]any)
		if id := ev.ItemID + fmt.Sprint(ev.Item["id"]); id != fmt.Sprint(want["id"], ev.Item["id"]) && id != fmt.Sprint(want["id"]) && ev.ItemID != want["id"] {
			t.Errorf("%s is about another item than %v", ev.data, want["id"])
		}
		if ev.Type == "response.output_item.done" && fmt.Sprint(ev.Item) != fmt.Sprint(want) {
			t.Errorf("item %d ended as %v, and is told as %v", ev.Output, ev.Item, want)
		}
		ids[fmt.Sprint(want["id"])] = true
	}
	if len(ids) != 5 || len(output) != 5 {
		t.Errorf("items %v of %v", ids, output)
	}
	all := fmt.Sprint(last)
	for _, want := range []string{"encrypted_content:sealed", "encrypted_content:" + llm.Seal("", "redacted:opaque"), "call_id:call_a", "map[end_index:3 start_index:0 title:X type:url_citation url:https://x.y]"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not in %s", want, all)
		}
	}
	if s := run(t, encoderOf(request(t, `,"stream":true`)), wire.Final{}, deltas(everything...)); strings.Contains(s, "upstream") || strings.Contains(s, "chatcmpl") {
		t.Errorf("the stream tells who made it: %s", s)
	}
}

func TestReasoningIsToldAsSummariesWhereTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	e := encoderOf(request(t, `,"stream":true,"reasoning":{"summary":"auto"}`))
	got := brief(read(t, run(t, e, wire.Final{}, deltas(
		llm.Delta{Kind: llm.DeltaReasoning, Text: "Hm"}, llm.Delta{Kind: llm.DeltaText, Text: "Hi"}, llm.Delta{Kind: llm.DeltaFinish, Finish: llm.FinishStop}))))
	want := `created
in_progress
output_item.added 0 reasoning
reasoning_summary_part.added
reasoning_summary_text.delta Hm
reasoning_summary_text.done Hm
reasoning_summary_part.done
output_item.done 0 reasoning
output_item.added 1 message
content_part.added
output_text.delta Hi
output_text.done Hi
content_part.done
output_item.done 1 message
completed`
	if got != want {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
}

func TestAWholeAnswerIsTheResponse(t *testing.T) {
	t.Parallel()
	settings := `,"instructions":"Be brief.","metadata":{"a":"b"},"temperature":0.5,"top_p":0.9,"user":"u","max_output_tokens":64,
		"reasoning":{"effort":"low","summary":"auto"},"parallel_tool_calls":false,"store":false,"top_logprobs":2,
		"text":{"format":{"type":"json_schema","name":"n","schema":{}},"verbosity":"low"},
		"tools":[{"type":"function","name":"f"},{"type":"function","name":"g","parameters":{},"strict":true}],"tool_choice":{"type":"function","name":"f"}`
	r := request(t, settings)
	r.Thread.Previous = "resp_0"
	answer := &llm.Answer{ID: "x", Model: "y", Choices: []llm.Choice{{Finish: llm.FinishStop, Parts: []llm.Part{
		{Kind: llm.PartReasoning, Text: "Hm", Signature: "s"},
		{Kind: llm.PartText, Text: "Hi", Citations: json.RawMessage(`[{"url":"https://x.y"}]`)},
		{Kind: llm.PartToolCall, ToolID: "c", ToolName: "f", Args: json.RawMessage(`"not json"`)},
	}}}}
	body := run(t, encoderOf(r), wire.Final{Model: "other", Usage: llm.Usage{Input: 1, Output: 2}, Extras: []llm.Edit{{Name: "x_more", Value: []byte("1")}}}, llm.Event{Whole: answer, Last: true})
	if err := testkit.LoadSchema(t, "openai.json#Response").Check([]byte(body)); err != nil {
		t.Error(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for member, want := range map[string]string{
		"object": `"response"`, "status": `"completed"`, "model": `"other"`, "instructions": `"Be brief."`, "metadata": `{"a":"b"}`, "temperature": "0.5",
		"top_p": "0.9", "user": `"u"`, "max_output_tokens": "64", "reasoning": `{"effort":"low","summary":"auto"}`, "parallel_tool_calls": "false",
		"store": "false", "previous_response_id": `"resp_0"`, "background": "false", "error": "null", "incomplete_details": "null", "top_logprobs": "2",
		"text":        `{"format":{"name":"n","schema":{},"type":"json_schema"},"verbosity":"low"}`,
		"tools":       `[{"name":"f","parameters":null,"strict":false,"type":"function"},{"name":"g","parameters":{},"strict":true,"type":"function"}]`,
		"tool_choice": `{"name":"f","type":"function"}`, "truncation": `"disabled"`, "x_more": "1",
	} {
		if b, _ := json.Marshal(got[member]); string(b) != want {
			t.Errorf("%s = %s, want %s", member, b, want)
		}
	}
	output, _ := json.Marshal(got["output"])
	for _, want := range []string{`"arguments":"not json"`, `"summary":[{"text":"Hm","type":"summary_text"}]`, `"encrypted_content":"s"`, `"url":"https://x.y"`} {
		if !strings.Contains(string(output), want) {
			t.Errorf("%s is not in %s", want, output)
		}
	}
	plain := run(t, encoderOf(request(t, ``)), wire.Final{}, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishStop, Parts: []llm.Part{{Text: "Hi"}}}}}})
	if err := testkit.LoadSchema(t, "openai.json#Response").Check([]byte(plain)); err != nil {
		t.Error(err)
	}
}

// Tokens without bytes have null where other dialects tell of them, and an empty list
// here.
func TestLogprobsHaveBytes(t *testing.T) {
	t.Parallel()
	const logged = `{"content":[{"token":"Hi","logprob":-0.5,"bytes":null,"top_logprobs":[{"token":"<|end|>","logprob":-9,"bytes":null},{"token":"Hi","logprob":-0.5,"bytes":[72,105]}]}],"refusal":null}`
	answer := &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishStop, Logprobs: json.RawMessage(logged), Parts: []llm.Part{{Text: "Hi"}}}}}
	body := run(t, encoderOf(request(t, ``)), wire.Final{}, llm.Event{Whole: answer, Last: true})
	if err := testkit.LoadSchema(t, "openai.json#Response").Check([]byte(body)); err != nil {
		t.Error(err)
	}
	if strings.Count(body, `"bytes":[]`) != 2 || !strings.Contains(body, `"bytes":[72,105]`) {
		t.Errorf("the response is %s", body)
	}
}

// A response says which tier of service it was given in, whoever gave it.
func TestTheTierThatServedIsEchoed(t *testing.T) {
	t.Parallel()
	for tier, want := range map[llm.Tier]string{llm.TierStandard: "default", llm.TierFlex: "flex", llm.TierPriority: "priority"} {
		f := wire.Final{Usage: llm.Usage{Input: 1, Output: 2, Tier: tier}}
		body := run(t, encoderOf(request(t, ``)), f, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishStop, Parts: []llm.Part{{Text: "Hi"}}}}}})
		if err := testkit.LoadSchema(t, "openai.json#Response").Check([]byte(body)); err != nil || !strings.Contains(body, `"service_tier":"`+want+`"`) {
			t.Errorf("%v: %s", err, body)
		}
		evs := read(t, run(t, encoderOf(request(t, `,"stream":true`)), f, deltas(llm.Delta{Kind: llm.DeltaText, Text: "a"}, llm.Delta{Kind: llm.DeltaFinish, Finish: llm.FinishStop})))
		if got := evs[len(evs)-1].Response["service_tier"]; got != want {
			t.Errorf("a stream ends in tier %v, want %s", got, want)
		}
	}
}

func TestFinishesHaveTheirStatus(t *testing.T) {
	t.Parallel()
	for finish, want := range map[llm.Finish]string{
		llm.FinishStop: "completed null", llm.FinishStopSequence: "completed null", llm.FinishToolCalls: "completed null",
		llm.FinishLength: `incomplete {"reason":"max_output_tokens"}`, llm.FinishContextWindow: `incomplete {"reason":"max_output_tokens"}`,
		llm.FinishContentFilter: `incomplete {"reason":"content_filter"}`,
	} {
		evs := read(t, run(t, encoderOf(request(t, `,"stream":true`)), wire.Final{}, deltas(llm.Delta{Kind: llm.DeltaText, Text: "a"}, llm.Delta{Kind: llm.DeltaFinish, Finish: finish})))
		last := evs[len(evs)-1]
		details, _ := json.Marshal(last.Response["incomplete_details"])
		if got := fmt.Sprint(last.Response["status"], " ", string(details)); got != want || last.Type != "response."+last.Response["status"].(string) {
			t.Errorf("%s: %s ends with %s, want %s", finish, last.Type, got, want)
		}
	}
	for _, finish := range []llm.Finish{"", llm.FinishPause} {
		e := encoderOf(request(t, `,"stream":true`))
		if _, err := e.Event(nil, deltas(llm.Delta{Kind: llm.DeltaText, Text: "a"}, llm.Delta{Kind: llm.DeltaFinish, Finish: finish})); err != nil {
			t.Fatal(err)
		}
		if out, err := e.Finish(nil, wire.Final{}); err == nil {
			t.Errorf("finish %q ends with %s", finish, out)
		}
	}
}

func TestAnAnswerThatIsCutOffIsIncomplete(t *testing.T) {
	t.Parallel()
	e := encoderOf(request(t, `,"stream":true`))
	evs := read(t, run(t, e, wire.Final{Usage: llm.Usage{Output: 3}},
		deltas(llm.Delta{Kind: llm.DeltaToolCall, ToolID: "c", ToolName: "f"}, llm.Delta{Kind: llm.DeltaToolArgs, Text: `{"a`}),
		deltas(llm.Delta{Kind: llm.DeltaText, Text: "Hel"}), llm.Event{Cut: true, Finish: llm.FinishLength}))
	want := `created
in_progress
output_item.added 0 function_call
function_call_arguments.delta {"a
output_item.added 1 message
content_part.added
output_text.delta Hel
function_call_arguments.done {"a
output_item.done 0 function_call incomplete
output_text.done Hel
content_part.done
output_item.done 1 message incomplete
incomplete`
	if got := brief(evs); got != want {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
}

func TestAnswersThatHaveNoPlaceAreErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream bool
		ev     llm.Event
	}{
		"a second choice":            {true, deltas(llm.Delta{Kind: llm.DeltaText, Choice: 1, Text: "a"})},
		"arguments of no call":       {true, deltas(llm.Delta{Kind: llm.DeltaToolArgs, Text: "{}"})},
		"a whole answer in a stream": {true, llm.Event{Whole: &llm.Answer{}}},
		"deltas in a whole answer":   {false, deltas(llm.Delta{Kind: llm.DeltaText, Text: "a"})},
		"two whole choices":          {false, llm.Event{Whole: &llm.Answer{Choices: make([]llm.Choice, 2)}}},
		"a sound":                    {false, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.PartAudio}}}}}}},
	} {
		e := encoderOf(request(t, fmt.Sprintf(`,"stream":%v`, c.stream)))
		if _, err := e.Event(nil, c.ev); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	if _, err := encoderOf(request(t, ``)).Finish(nil, wire.Final{}); err == nil {
		t.Error("no answer is no error")
	}
}

// frameOf is what the default contract has for a stream that fails.
const frameOf = "event: error\ndata: {\"type\":\"error\",\"code\":\"stream_interrupted\",\"message\":\"It broke.\",\"param\":null,\"error\":{\"message\":\"It broke.\"}}\n\n"

func TestAStreamThatFailsEndsWithTheResponseFailed(t *testing.T) {
	t.Parallel()
	e := encoderOf(request(t, `,"stream":true`))
	out, err := e.Event(nil, deltas(llm.Delta{Kind: llm.DeltaText, Text: "Hel"}))
	if err != nil {
		t.Fatal(err)
	}
	out = e.Break(out, []byte(frameOf+"data: [DONE]\n\n"), fault.New(fault.StreamInterrupted, "It broke."))
	rest, ok := strings.CutSuffix(string(out), "data: [DONE]\n\n")
	if !ok {
		t.Errorf("the contract's own end is missing: %s", out)
	}
	evs := read(t, rest)
	if got, want := brief(evs), "created\nin_progress\noutput_item.added 0 message\ncontent_part.added\noutput_text.delta Hel\nerror\nfailed"; got != want {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
	last := evs[len(evs)-1].Response
	if e, _ := json.Marshal(last["error"]); string(e) != `{"code":"server_error","message":"It broke."}` || last["status"] != "failed" {
		t.Errorf("response = %v", last)
	}
	if output := fmt.Sprint(last["output"]); !strings.Contains(output, "text:Hel") || !strings.Contains(output, "status:incomplete") {
		t.Errorf("output = %s", output)
	}
	limited := encoderOf(request(t, `,"stream":true`)).Break(nil, []byte(frameOf), fault.New(fault.UpstreamRateLimited, ""))
	if evs := read(t, string(limited)); !strings.Contains(evs[1].data, `"error":{"code":"rate_limit_exceeded"`) {
		t.Errorf("a limit: %s", limited)
	}
}

func TestTheSignOfLifeIsAnEvent(t *testing.T) {
	t.Parallel()
	e := encoderOf(request(t, `,"stream":true`))
	if out, err := e.Event(nil, llm.Event{Ping: true}); err != nil || string(out) != ": keep-alive\n\n" || string(out) != string(e.Heartbeat(nil)) {
		t.Errorf("in front of response.created, which the SDKs want first: %q, %v", out, err)
	}
	if out, err := encoderOf(request(t, `,"stream":true`)).Event(nil, llm.Event{Ping: true, Raw: []byte(": hm\n\n")}); err != nil || string(out) != ": keep-alive\n\n" {
		t.Errorf("in front of the provider's response.created: %q, %v", out, err)
	}
	if _, err := e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "Hi"}}}); err != nil {
		t.Fatal(err)
	}
	out, err := e.Event(nil, llm.Event{Ping: true})
	if err != nil || string(out) != string(e.Heartbeat(nil)) || string(out) != "event: keepalive\ndata: {\"type\":\"keepalive\"}\n\n" {
		t.Errorf("ping = %q, %v", out, err)
	}
}
