package responses

import (
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/testkit"
)

func TestEventsOfFrames(t *testing.T) {
	t.Parallel()
	frames := "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0}\n\n" + keepAlive +
		"event: a\r\ndata: {\"sequence_number\":7,\r\ndata: \"x\":1}\r\n\r\n: words\n\nevent: b\ndata: {\"sequence_number\":2,\"type\":\"b\"}\n\nevent: c\ndata: {}\n\ndata: [DONE]\n\n"
	var got strings.Builder
	for _, f := range Frames(slices.Collect(Events([]byte(frames))), 1) {
		got.Write(f)
	}
	const want = "event: a\ndata: {\"sequence_number\":1,\ndata: \"x\":1}\n\nevent: b\ndata: {\"sequence_number\":2,\"type\":\"b\"}\n\nevent: c\ndata: {\"sequence_number\":3}\n\n"
	if got.String() != want {
		t.Errorf("%q, want %q", got.String(), want)
	}
}

// Whatever a response holds, it can be told as events, which come to the same.
func TestAResponseIsTold(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "openai.json#ResponseStreamEvent")
	deltas := map[string]string{"response.output_text.delta": "", "response.function_call_arguments.delta": "", "response.reasoning_summary_text.delta": "", "response.refusal.delta": ""}
	told := 0
	for _, x := range testkit.Recorded(t, "openai.responses") {
		object := x.Response.Body()
		doc, err := jsonx.Parse(object)
		if err != nil || !doc.Root().Get("object").Is("response") || x.Response.Status != 200 {
			continue
		}
		told++
		all := append([]Event{Begun(object)}, Told(object)...)
		var done []string
		var last jsonx.Value
		for i, f := range Frames(all, 5) {
			_, data, _ := strings.Cut(strings.TrimSuffix(string(f), "\n\n"), "\ndata: ")
			if strings.Contains(data, "\n") {
				data = strings.ReplaceAll(data, "\ndata: ", "\n")
			}
			ev, err := jsonx.Parse([]byte(data))
			if err != nil {
				t.Fatalf("%s: %v: %s", x.ID, err, f)
			}
			last = ev.Root()
			if n, _ := last.Get("sequence_number").Int(); n != int64(i)+5 || last.Get("type").Text() != all[i].name {
				t.Errorf("%s: event %d is %s", x.ID, i, f)
			}
			if _, isDelta := deltas[all[i].name]; isDelta { // whole objects are the provider's own
				if err := schema.Check([]byte(data)); err != nil {
					t.Errorf("%s: %v: %s", x.ID, err, f)
				}
				deltas[all[i].name] = x.ID
			}
			if all[i].name == "response.output_item.done" {
				done = append(done, string(last.Get("item").Raw()))
			}
		}
		var items []string
		for _, v := range doc.Root().Get("output").Items() {
			items = append(items, string(appendFlat(nil, v.Raw())))
		}
		status := doc.Root().Get("status").Text()
		if status != statusCompleted && status != statusIncomplete {
			items = nil
			status = statusFailed
		}
		if !slices.Equal(done, items) || last.Get("type").Text() != "response."+status {
			t.Errorf("%s: told %s, %s, and it has %s", x.ID, last.Get("type").Text(), done, items)
		}
	}
	if told < 20 {
		t.Errorf("only %d responses were told", told)
	}
	if deltas["response.output_text.delta"] == "" || deltas["response.function_call_arguments.delta"] == "" || deltas["response.reasoning_summary_text.delta"] == "" {
		t.Errorf("not all is told: %v", deltas)
	}
}

// A call of a tool within a namespace is told with that from its first event on.
func TestTheNamespaceOfACallIsTold(t *testing.T) {
	t.Parallel()
	const call = `{"id":"fc_1","type":"function_call","status":"completed","call_id":"c","name":"find","namespace":"crm","arguments":"{}"}`
	var items []string
	for _, e := range Told([]byte(`{"id":"resp_1","status":"completed","output":[` + call + `]}`)) {
		doc, err := jsonx.Parse(e.data)
		if err != nil {
			t.Fatal(err)
		}
		if item := doc.Root().Get("item"); item.Exists() {
			items = append(items, e.name+" "+item.Get("namespace").Text())
		}
	}
	if got := strings.Join(items, ", "); got != "response.output_item.added crm, response.output_item.done crm" {
		t.Error(got)
	}
}
