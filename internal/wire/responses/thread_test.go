package responses

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

// past is what was said before: two items of which one means nothing to anybody.
var past = wire.Past{
	Items: [][]byte{
		[]byte(`{"role":"user","content":[{"type":"input_image","image_url":"https://x.y/z"}]}`),
		[]byte(`{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null}`),
		[]byte(`{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}`),
	},
	Stand: map[string][]byte{"fc_1": []byte(`{"type":"function_call","id":"fc_1","call_id":"c","name":"f","arguments":"{}"}`), "rs_2": []byte(`{"type":"reasoning","id":"rs_2","summary":[]}`)},
}

func TestARequestReadsAsItContinues(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	for input, want := range map[string]string{
		`"So?"`:                             `[P0,P2,{"role":"user","content":"So?"}]`,
		`[{"role":"user","content":"So?"}]`: `[P0,P2,{"role":"user","content":"So?"}]`,
		`[]`:                                `[P0,P2]`,
		`[{"type":"item_reference","id":"fc_1"},{"id":"rs_2"},{"type":"function_call_output","call_id":"c","output":"x"}]`: `[P0,P2,STAND,{"type":"function_call_output","call_id":"c","output":"x"}]`,
	} {
		r, err := d.Decode([]byte(`{"model":"m","previous_response_id":"resp_0","background":true,"user":"u","input":`+input+`}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err = d.Continue(r, past)
		if err != nil {
			t.Fatal(err)
		}
		want = strings.NewReplacer("P0", string(past.Items[0]), "P2", string(past.Items[2]), "STAND", string(past.Stand["fc_1"])).Replace(want)
		if got, want := string(r.Raw.Body), `{"model":"m","background":true,"user":"u","input":`+want+`}`; got != want {
			t.Errorf("%s: %s, want %s", input, got, want)
		}
		if diff := cmp.Diff(&llm.Thread{Store: true, Background: true, Previous: "resp_0", Past: 2, References: r.Thread.References}, r.Thread); diff != "" {
			t.Error(diff)
		}
	}
	r, err := d.Decode([]byte(`{"model":"m","previous_response_id":"resp_0"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = d.Continue(r, past); err != nil || string(r.Raw.Value("input")) != `[`+string(past.Items[0])+","+string(past.Items[2])+"]" {
		t.Errorf("without an input: %v, %s", err, r.Raw.Body)
	}
}

// Of what he did not send himself a caller hears by the name of what he
// continues; his own items keep their places.
func TestPlacesInWhatIsContinued(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	r, err := d.Decode([]byte(`{"model":"m","previous_response_id":"resp_0","input":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"input_text","text":"b"}]}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = d.Continue(r, past); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"input.0.content.0":    "previous_response_id",
		"input.3.content.0":    "input.1.content.0",
		"messages.0.content.0": "previous_response_id",
		"messages.2.content.0": "input.0.content",
		"input":                "input",
		"tools.0":              "tools.0",
	} {
		if got := r.Place(path); got != want {
			t.Errorf("Place(%s) = %s, want %s", path, got, want)
		}
	}
	if got := r.Needs[llm.NeedImageInput]; r.Place(got) != "previous_response_id" {
		t.Errorf("the image is at %s", got)
	}
	bad := wire.Past{Items: [][]byte{[]byte(`{"role":"user","content":5}`)}}
	if r, err = d.Decode([]byte(`{"model":"m","previous_response_id":"resp_0","input":"a"}`), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Continue(r, bad); fault.From(err).Param != "previous_response_id" || fault.From(err).Details[0].Field != "previous_response_id" {
		t.Errorf("a past that cannot be: %+v", err)
	}
	if r, err = d.Decode([]byte(`{"model":"m","input":[{"role":"user","content":"a"},{"id":"msg_9"}]}`), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Continue(r, past); fault.From(err).Param != "input.1.id" {
		t.Errorf("a reference to nothing: %v", err)
	}
}

func TestWhatIsKeptIsWhatWasTold(t *testing.T) {
	t.Parallel()
	d := New(Options{Now: clock})
	r, err := d.Decode([]byte(`{"model":"m","previous_response_id":"resp_0","stream":true,"input":[{"id":"msg_0","role":"user","content":"a"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = d.Continue(r, past); err != nil {
		t.Fatal(err)
	}
	k := d.Keeper(r)
	before := k.Record()
	if err := testkit.LoadSchema(t, "openai.json#Response").Check(before.Object); err != nil || Status(before.Object) != "queued" {
		t.Errorf("%s: %v", before.Object, err)
	}
	evs := read(t, run(t, k, wire.Final{}, deltas(everything...)))
	rec := k.Record()
	var told map[string]any
	if err := json.Unmarshal(rec.Object, &told); err != nil || fmt.Sprint(told) != fmt.Sprint(evs[len(evs)-1].Response) || told["id"] != rec.ID || rec.ID != before.ID {
		t.Errorf("kept %s: %v", rec.Object, err)
	}
	if string(rec.Input) != `[{"id":"msg_0","role":"user","content":"a"}]` {
		t.Errorf("input %s", rec.Input)
	}
	if len(rec.Items) != 6 || rec.Items[0] != "msg_0" || !strings.HasPrefix(rec.Items[1], "rs_") {
		t.Errorf("items %v", rec.Items)
	}
	text := d.Keeper(request(t, ``)).Record()
	if string(text.Input) != `[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}]` {
		t.Errorf("a text is kept as %s", text.Input)
	}
	later := d.Resume(request(t, ``), "resp_x", time.Unix(5, 0))
	body := run(t, later, wire.Final{}, llm.Event{Whole: &llm.Answer{Created: 9, Choices: []llm.Choice{{Finish: llm.FinishStop, Parts: []llm.Part{{Text: "Hi"}}}}}})
	if !strings.HasPrefix(body, `{"id":"resp_x","object":"response","created_at":5,`) {
		t.Errorf("resumed: %s", body)
	}
	failed := WithStatus(before.Object, "failed", "server_error", "It broke.")
	if err := testkit.LoadSchema(t, "openai.json#Response").Check(failed); err != nil || Status(failed) != "failed" {
		t.Errorf("%s: %v", failed, err)
	}
}
