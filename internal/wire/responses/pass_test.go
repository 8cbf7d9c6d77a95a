package responses

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

// raw makes the event of one frame of the provider's.
func raw(f string) llm.Event {
	name, data, ok := strings.Cut(strings.TrimSuffix(f, "\n\n"), "\ndata: ")
	if !ok {
		return llm.Event{Raw: []byte(f), Ping: true}
	}
	ev := llm.Event{Raw: []byte(f), Data: []byte(data), Name: strings.TrimPrefix(name, "event: ")}
	ev.Last = ev.Name == "response.completed" || ev.Name == "response.incomplete"
	return ev
}

func provided(n int, name, members string) string {
	return fmt.Sprintf("event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d,%s}\n\n", name, name, n, members)
}

const theirs = `{"id":"resp_theirs","object":"response","created_at":1,"status":"%s","error":null,"incomplete_details":null,"instructions":null,"model":"m","output":%s,"parallel_tool_calls":true,"previous_response_id":null,"store":false,"temperature":1,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1,"usage":%s,"metadata":{},"new":1.50}`

// providers is a stream of a provider of the same dialect.
var providers = []string{
	provided(0, "response.created", `"response":`+fmt.Sprintf(theirs, "in_progress", "[]", "null")),
	provided(1, "response.in_progress", `"response":`+fmt.Sprintf(theirs, "in_progress", "[]", "null")),
	": a comment of theirs\n\n",
	provided(2, "response.output_item.added", `"output_index":0,"item":{"id":"ws_1","type":"web_search_call","status":"in_progress","action":{"type":"search","query":"q"}}`),
	provided(3, "response.output_item.done", `"output_index":0,"item":{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"q"}}`),
	provided(4, "response.output_item.added", `"output_index":1,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}`),
	provided(5, "response.content_part.added", `"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}`),
	provided(6, "response.output_text.delta", `"item_id":"msg_1","output_index":1,"content_index":0,"delta":"Hel","logprobs":[],"obfuscation":"xx"`),
	provided(7, "response.output_text.delta", `"item_id":"msg_1","output_index":1,"content_index":0,"delta":"lo","logprobs":[]`),
	provided(8, "response.output_text.done", `"item_id":"msg_1","output_index":1,"content_index":0,"text":"Hello","logprobs":[]`),
	provided(9, "response.content_part.done", `"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}`),
	provided(10, "response.output_item.done", `"output_index":1,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]}`),
	provided(11, "response.output_item.added", `"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"in_progress","call_id":"call_1","name":"f","arguments":""}`),
	provided(12, "response.function_call_arguments.delta", `"item_id":"fc_1","output_index":2,"delta":"{\"a\":1}"`),
	provided(13, "response.function_call_arguments.done", `"item_id":"fc_1","name":"f","output_index":2,"arguments":"{\"a\":1}"`),
	provided(14, "response.output_item.done", `"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_1","name":"f","arguments":"{\"a\":1}"}`),
	provided(15, "response.completed", `"response":`+fmt.Sprintf(theirs, "completed", `[]`, `{"input_tokens":1,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":3}`)),
}

func passedOf(r *llm.Request) *encoder { return encoderOf(r) }

func TestTheProvidersFramesGoOutAsTheyCome(t *testing.T) {
	t.Parallel()
	r := request(t, `,"stream":true`)
	r.Thread.Previous = "resp_before"
	e := passedOf(r)
	var out []byte
	var err error
	for i, f := range providers {
		from := len(out)
		if out, err = e.Event(out, raw(f)); err != nil {
			t.Fatal(err)
		}
		got := string(out[from:])
		want := strings.NewReplacer(`"resp_theirs"`, `"`+e.id+`"`, `"store":false`, `"store":true`, `"previous_response_id":null`, `"previous_response_id":"resp_before"`).Replace(f)
		switch {
		case strings.HasPrefix(f, ":"):
			want = keepAlive
		case i == len(providers)-1:
			want = "" // not before it was paid for
		case strings.Contains(f, `"response":{`):
			want = strings.Replace(want, `"new":1.50}`, `"new":1.50,"background":false}`, 1)
		}
		if got != want {
			t.Errorf("frame %d = %s, want %s", i, got, want)
		}
	}
	if more, err := e.Event(nil, llm.Event{Raw: []byte("data: [DONE]\n\n"), Data: []byte("[DONE]"), Last: true}); err != nil || len(more) > 0 {
		t.Errorf("behind the end: %q, %v", more, err)
	}
	end, err := e.Finish(nil, wire.Final{Extras: []llm.Edit{{Name: "x_more", Value: []byte("1")}}})
	if err != nil || !strings.HasPrefix(string(end), "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":15,\"response\":{\"id\":\""+e.id) ||
		!strings.HasSuffix(string(end), `,"background":false},"x_more":1}`+"\n\n") || strings.Contains(string(end), "resp_theirs") {
		t.Errorf("end = %s, %v", end, err)
	}
}

// Wherever an answer is cut off or breaks, what was said until then is in the
// response that ends it.
func TestAPassedStreamMayEndAnywhere(t *testing.T) {
	t.Parallel()
	for n := 2; n < len(providers); n++ {
		for _, how := range []string{"cut", "broken"} {
			e := passedOf(request(t, `,"stream":true`))
			var out []byte
			var err error
			for _, f := range providers[:n] {
				if out, err = e.Event(out, raw(f)); err != nil {
					t.Fatal(err)
				}
			}
			if how == "cut" {
				if out, err = e.Event(out, llm.Event{Cut: true, Finish: llm.FinishLength, Data: raw(providers[n]).Data}); err != nil {
					t.Fatal(err)
				}
				if out, err = e.Finish(out, wire.Final{Usage: llm.Usage{Input: 7, Output: 5}}); err != nil {
					t.Fatal(err)
				}
			} else {
				out = e.Break(out, []byte(frameOf), fault.New(fault.StreamInterrupted, "It broke."))
			}
			evs := read(t, withoutNull(string(out)))
			last := evs[len(evs)-1]
			want := map[string]string{"cut": "response.incomplete", "broken": "response.failed"}[how]
			if last.Type != want || last.Response["id"] != e.id || last.Response["new"] != 1.5 {
				t.Errorf("%d frames, %s: ends with %s", n, how, last.data)
			}
			said := ""
			for _, ev := range evs {
				said += ev.Delta
			}
			output := last.data
			for _, piece := range []string{"Hel", "Hello", `{\"a\":1}`} {
				if strings.Contains(said, strings.ReplaceAll(piece, `\`, "")) != strings.Contains(output, piece) {
					t.Errorf("%d frames, %s: %q was said, and the response holds %s", n, how, said, output)
				}
			}
			opened, closed := 0, 0
			for _, ev := range evs {
				switch ev.Type {
				case "response.output_item.added":
					opened++
				case "response.output_item.done":
					closed++
				}
			}
			if list, _ := last.Response["output"].([]any); len(list) != opened || how == "cut" && closed != opened {
				t.Errorf("%d frames, %s: %d items began, %d ended, and the response has %v", n, how, opened, closed, list)
			}
		}
	}
}

// withoutNull drops what the official schema does not know of: usage that is not
// known yet is null in the provider's own words.
func withoutNull(stream string) string { return strings.ReplaceAll(stream, `"usage":null,`, "") }

func TestAWholeAnswerOfTheProvidersGetsOurName(t *testing.T) {
	t.Parallel()
	e := passedOf(request(t, ``))
	body := fmt.Sprintf(theirs, "completed", "[]", "null")
	got := run(t, e, wire.Final{Extras: []llm.Edit{{Name: "x_more", Value: []byte("1")}}}, llm.Event{Raw: []byte(body), Last: true})
	want := strings.NewReplacer("resp_theirs", e.id, `"store":false`, `"store":true`).Replace(body)
	if want = strings.TrimSuffix(want, "}") + `,"background":false,"x_more":1}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Everything that providers were recorded to stream goes out whole, whatever
// kinds of events and items are in it.
func TestRecordedStreamsPass(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, x := range testkit.Recorded(t, "openai.responses") {
		if x.Response.Status != 200 || x.Response.Kind != "sse" {
			continue
		}
		e := passedOf(request(t, `,"stream":true`))
		var events, sent []string
		var out []byte
		var err error
		failed := false
		for _, f := range strings.SplitAfter(strings.ReplaceAll(string(x.Response.Body()), "\r\n", "\n"), "\n\n") {
			ev := raw(f)
			if ev.Data == nil || ev.Name == "" {
				continue
			}
			failed = failed || ev.Name == "error" || ev.Name == "response.failed"
			events = append(events, ev.Name)
			if out, err = e.Event(out, ev); err != nil {
				t.Fatalf("%s: %v", x.ID, err)
			}
			if ev.Last {
				break // some recordings hold several streams
			}
		}
		if len(events) == 0 || failed {
			continue // a failure is the provider's to tell, and ends in an error
		}
		if out, err = e.Finish(out, wire.Final{}); err != nil {
			t.Errorf("%s: %v", x.ID, err)
			continue
		}
		seen++
		for _, f := range strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
			name, _, _ := strings.Cut(f, "\n")
			sent = append(sent, strings.TrimPrefix(name, "event: "))
			if ev := raw(f); strings.Contains(f, `"response":`) && !json.Valid(ev.Data) {
				t.Errorf("%s: %s", x.ID, f)
			}
		}
		if got, want := strings.Join(sent, "\n"), strings.Join(events, "\n"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", x.ID, got, want)
		}
		if !strings.Contains(string(e.object), `"id":"`+e.id+`"`) {
			t.Errorf("%s: the response is not ours: %.200s", x.ID, e.object)
		}
	}
	if seen < 50 {
		t.Errorf("only %d streams were found", seen)
	}
}

// refusals are the recorded requests that must be refused, and their first bad
// field.
var refusals = map[string]string{
	"openai.openai-responses.a748e4540a": "prompt",
	"openai.openai-responses.e1f7cccb81": "prompt",
	"openai.openai-responses.d2def7ebcf": "temperature",
}

func TestEveryRecordedRequestDecodesOrNamesAField(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, x := range testkit.Recorded(t, "openai.responses") {
		body := x.Body()
		if body == nil {
			continue
		}
		seen++
		r, err := New(Options{}).Decode(body, nil)
		if err != nil {
			fe := fault.From(err)
			if fe.Param == "" || fe.Param != refusals[x.ID] {
				t.Errorf("%s (status %d): %v", x.ID, x.Response.Status, err)
			}
			continue
		}
		if want, refused := refusals[x.ID]; refused {
			t.Errorf("%s is accepted, want a refusal at %s", x.ID, want)
		}
		chat, err := r.DecodeChat()
		if err != nil {
			t.Errorf("%s: %v", x.ID, err)
			continue
		}
		everythingIsKept(t, x.ID, body, chat)
	}
	if seen < 100 {
		t.Errorf("only %d requests were found", seen)
	}
}

// everythingIsKept checks that all texts of an input are found in the
// conversation, or stand in what has no field.
func everythingIsKept(t *testing.T, id string, body []byte, chat *llm.Chat) {
	t.Helper()
	var have strings.Builder
	var walk func(ps []llm.Part)
	walk = func(ps []llm.Part) {
		for _, p := range ps {
			fmt.Fprintln(&have, p.Text, p.ToolID, p.ToolName, string(p.Args), p.Signature)
			walk(p.Parts)
		}
	}
	walk(chat.System)
	for _, m := range chat.Messages {
		walk(m.Parts)
	}
	var extra []any
	for _, e := range chat.Extra {
		var v any
		if json.Unmarshal(e.Value, &v) == nil {
			extra = append(extra, v)
		}
	}
	texts(extra, func(s string) { have.WriteString(s + "\n") })
	var b struct {
		Input        any
		Instructions string
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	texts([]any{b.Input, b.Instructions}, func(s string) {
		if !strings.Contains(have.String(), s) {
			t.Errorf("%s: %.200q is lost", id, s)
		}
	})
}

// texts tells the texts of a value that mean something to a model.
func texts(v any, tell func(string)) {
	switch v := v.(type) {
	case string:
		tell(v)
	case []any:
		for _, e := range v {
			texts(e, tell)
		}
	case map[string]any:
		for _, name := range []string{"text", "content", "output", "arguments", "call_id", "name", "summary", "input", "encrypted_content"} {
			if name == "arguments" {
				if s, _ := v[name].(string); strings.TrimSpace(s) == "" {
					continue
				}
			}
			texts(v[name], tell)
		}
	}
}

// A piece of a text that is none alone, since it ends within a character, passes.
func TestHalfACharacterPasses(t *testing.T) {
	t.Parallel()
	for _, half := range []string{`\ud83d`, "\xe6\xbc", "a"} {
		e := encoderOf(request(t, `,"stream":true`))
		var got []byte
		for _, data := range []string{
			`{"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","output":[]}}`,
			`{"type":"response.output_text.delta","sequence_number":1,"output_index":0,"content_index":0,"delta":"Hi ` + half + `"}`,
			`{"type":"response.completed","sequence_number":2,"response":{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hi ` + half + `"}]}]}}`,
		} {
			out, err := e.Event(nil, llm.Event{Raw: []byte("data: " + data + "\n\n"), Data: []byte(data)})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, out...)
		}
		got, err := e.Finish(got, wire.Final{})
		if err != nil || !strings.Contains(string(got), `"delta":"Hi `+half+`"`) || !strings.Contains(string(got), "event: response.completed\n") {
			t.Errorf("%q: %v %s", half, err, got)
		}
	}
}

// A provider's own call that is cut off keeps its namespace.
func TestACallOfANamespaceThatIsCutOffKeepsIt(t *testing.T) {
	t.Parallel()
	e := encoderOf(request(t, `,"stream":true`))
	var got []byte
	for _, data := range []string{
		`{"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","output":[]}}`,
		`{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"fc_1","type":"function_call","status":"in_progress","call_id":"c","name":"find","namespace":"crm","arguments":""}}`,
		`{"type":"response.function_call_arguments.delta","sequence_number":2,"output_index":0,"item_id":"fc_1","delta":"{"}`,
	} {
		var err error
		if got, err = e.Event(got, llm.Event{Raw: []byte("data: " + data + "\n\n"), Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.Event(got[:0], llm.Event{Cut: true, Finish: llm.FinishLength, Data: []byte(`{"type":"response.in_progress"}`)})
	if err == nil {
		got, err = e.Finish(got, wire.Final{})
	}
	if n := strings.Count(string(got), `"name":"find","namespace":"crm"`); err != nil || n != 2 {
		t.Errorf("%v: told %d times: %s", err, n, got)
	}
}
