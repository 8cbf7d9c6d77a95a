package responses

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

var picture = llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw+/"}

const pictured = `"result":"iVBORw+/","output_format":"png","status":"completed"}`

func TestAnImageIsTheItemOfATool(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "openai.json#ResponseStreamEvent")
	e := encoderOf(request(t, `,"stream":true`))
	out, err := e.Event(nil, deltas(llm.Delta{Kind: llm.DeltaText, Text: "a"}, llm.Delta{Kind: llm.DeltaImage, Image: &picture}, llm.Delta{Kind: llm.DeltaText, Text: "b"}, llm.Delta{Kind: llm.DeltaFinish, Finish: llm.FinishStop}))
	if err == nil {
		out, err = e.Finish(out, wire.Final{})
	}
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for ev := range Events(out) {
		names = append(names, strings.TrimPrefix(ev.name, "response."))
		if err := schema.Check(ev.data); err != nil && strings.Contains(ev.name, "image") {
			t.Errorf("%v: %s", err, ev.data)
		}
	}
	want := []string{
		"in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
		"output_item.added", "image_generation_call.in_progress", "image_generation_call.generating", "image_generation_call.completed", "output_item.done",
		"output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	if n := strings.Count(string(out), pictured); n != 2 { // with its item, and in the whole
		t.Errorf("the image is told %d times: %s", n, out)
	}
	if !strings.Contains(string(out), `"type":"image_generation_call","result":null,"status":"in_progress"`) {
		t.Errorf("no beginning of it: %s", out)
	}
	e = encoderOf(request(t, ``))
	if _, err = e.Event(nil, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{picture}, Finish: llm.FinishStop}}}}); err == nil {
		out, err = e.Finish(nil, wire.Final{})
	}
	if err != nil || strings.Count(string(out), pictured) != 1 || testkit.LoadSchema(t, "openai.json#Response").Check(out) != nil {
		t.Errorf("%s, %v", out, err)
	}
	retold := 0
	for _, ev := range Told(out) {
		if strings.Contains(ev.name, "image_generation_call") {
			retold++
		}
	}
	if retold != len(imageEvents) {
		t.Errorf("told again with %d events of its own", retold)
	}
}

func TestAnImageComesBackAsWhatTheAssistantMade(t *testing.T) {
	t.Parallel()
	const body = `{"model":"m","input":[{"role":"user","content":"a"},{"type":"image_generation_call","id":"ig_1","status":"completed","result":"%","quality":"low"},{"role":"user","content":"b"}]}`
	r, c := chatOf(t, strings.Replace(body, `"%"`, `"/9j/4AAQ"`, 1))
	want := []llm.Part{{Kind: llm.PartImage, MediaType: "image/jpeg", Data: "/9j/4AAQ"}}
	if d := cmp.Diff(want, c.Messages[1].Parts); d != "" || c.Messages[1].Role != llm.RoleAssistant {
		t.Error(d)
	}
	if r.Needs[llm.NeedImageInput] != "input.1" || r.Size.Images != 1 || r.Size.Media != 8 || r.Place("messages.1.content.0") != "input.1" {
		t.Errorf("needs %v, size %+v, stood at %s", r.Needs, r.Size, r.Place("messages.1.content.0"))
	}
	if len(c.Extra) != 1 || c.Extra[0].Path != "input.1.quality" {
		t.Errorf("kept: %v", c.Extra)
	}
	r, c = chatOf(t, strings.Replace(body, `"%"`, `null`, 1)) // only its provider knows it
	if len(c.Extra) != 1 || c.Extra[0].Path != "input.1" || r.Needs.Has(llm.NeedImageInput) {
		t.Errorf("kept: %v, needs %v", c.Extra, r.Needs)
	}
	if _, err := New(Options{}).Decode([]byte(strings.Replace(body, `"%"`, `7`, 1)), nil); err == nil {
		t.Error("a number is taken for an image")
	}
}
