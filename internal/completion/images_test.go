package completion

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

func TestImagesStandBesideTheText(t *testing.T) {
	t.Parallel()
	inline := llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw+/"}
	linked := llm.Part{Kind: llm.PartImage, URL: "https://a.example/b.png", Signature: "s"}
	const one = `{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw+/"},"index":0}`
	const two = `{"type":"image_url","image_url":{"url":"https://a.example/b.png"},"index":1,"extra_content":{"google":{"thought_signature":"s"}}}`
	whole, called, err := AppendMessage(nil, []llm.Part{{Text: "a"}, inline, {Text: "b"}, linked})
	if want := `{"role":"assistant","content":"ab","refusal":null,"images":[` + one + "," + two + `]}`; err != nil || called || string(whole) != want {
		t.Errorf("message %s, %v, want %s", whole, err, want)
	}
	alone, _, err := AppendMessage(nil, []llm.Part{inline})
	if want := `{"role":"assistant","content":"","refusal":null,"images":[` + one + `]}`; err != nil || string(alone) != want {
		t.Errorf("message %s, %v, want %s", alone, err, want)
	}
	s := NewStream(Head{ID: "i", Model: "m"}, UsageLast)
	got, err := s.Deltas(nil, []llm.Delta{{Kind: llm.DeltaImage, Image: &inline}, {Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaImage, Image: &linked, Signature: "s"}})
	for _, want := range []string{`"delta":{"images":[` + one + `]}`, `"delta":{"images":[` + two + `]}`} {
		if err != nil || strings.Count(string(got), want) != 1 {
			t.Errorf("chunks %s, %v, want %s", got, err, want)
		}
	}
}
