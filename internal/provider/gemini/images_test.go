package gemini

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

const picture = `{"inlineData":{"mimeType":"image/png","data":"iVBORw"},"thoughtSignature":"s"}`

func TestImagesOfAnAnswerAreToldWithTheirState(t *testing.T) {
	t.Parallel()
	draft := `{"inlineData":{"mimeType":"image/png","data":"x"},"thought":true}`
	image := llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw"}
	evs, err := ask("text/event-stream", frames(candidate(draft), candidate(`{"text":"a"},`+picture), ended), true)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"thought image"}, evs[0].Left); d != "" {
		t.Error(d)
	}
	want := []llm.Delta{{Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaImage, Image: &image, Signature: llm.Seal("google", "s")}}
	if d := cmp.Diff(want, evs[1].Deltas); d != "" {
		t.Error(d)
	}
	if e := evs[1]; e.OutputBytes != 1+provider.ImageBytes || e.Weight < provider.ImageWeight || !e.Content {
		t.Errorf("an image is %d bytes and weighs %d", e.OutputBytes, e.Weight)
	}
	evs, err = ask("application/json", candidate(`{"text":"a"},`+picture+`,{"text":"b"}`), false)
	if err != nil {
		t.Fatal(err)
	}
	image.Signature = llm.Seal("google", "s")
	if d := cmp.Diff([]llm.Part{{Text: "a"}, image, {Text: "b"}}, evs[0].Whole.Choices[0].Parts); d != "" {
		t.Error(d)
	}
}

func TestWhatAProviderRunsIsNamed(t *testing.T) {
	t.Parallel()
	evs, err := ask("application/json", candidate(`{"executableCode":{"code":"1"}},{"codeExecutionResult":{"output":"1"}},{"executableCode":{"code":"2"}},{"text":"1"}`), false)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"executableCode", "codeExecutionResult"}, evs[0].Left); d != "" {
		t.Error(d)
	}
}

// What an image is signed with goes back to who signed it; from Gemini 3 on, one
// without it has the mark of one that was lost.
func TestImagesThatTheModelMadeGoBack(t *testing.T) {
	t.Parallel()
	image := llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw"}
	signed := image
	signed.Signature = llm.Seal("google", "s")
	for name, want := range map[string]string{
		"gemini-2.5-flash-image":     `[{"inlineData":{"mimeType":"image/png","data":"iVBORw"}},{"inlineData":{"mimeType":"image/png","data":"iVBORw"},"thoughtSignature":"s"}]`,
		"gemini-3-pro-image-preview": `[{"inlineData":{"mimeType":"image/png","data":"iVBORw"},"thoughtSignature":"` + unsigned + `"},{"inlineData":{"mimeType":"image/png","data":"iVBORw"},"thoughtSignature":"s"}]`,
	} {
		c := llm.Chat{Messages: []llm.Message{user(text("Hi")...), model(image, signed), user(text("Again")...)}}
		e, err := New(Options{Name: "google"}).encode(provider.Call{Request: chat(&c), Model: name})
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Contents []struct{ Parts json.RawMessage }
		}
		if err := json.Unmarshal(e.Body, &body); err != nil || string(body.Contents[1].Parts) != want {
			t.Errorf("%s: %s (%v), want %s", name, body.Contents[1].Parts, err, want)
		}
	}
}

func TestModalitiesOfAChatCompletion(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`["image","text"]`: `"responseModalities":["IMAGE","TEXT"]`, `["image"]`: `"responseModalities":["IMAGE"]`,
		`["audio","text"]`: "", `["text","smell"]`: "", `"image"`: "", `["image",null]`: "",
	} {
		c := llm.Chat{Messages: []llm.Message{user(text("Hi")...)}, Extra: []llm.Extra{{Path: "modalities", Value: []byte(in)}}}
		e, err := New(Options{}).encode(provider.Call{Request: chat(&c), Model: "m"})
		if (err == nil) != (want != "") || err == nil && !strings.Contains(string(e.Body), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}
