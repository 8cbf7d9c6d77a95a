package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
)

func TestImagesThatAnAssistantMadeComeBack(t *testing.T) {
	t.Parallel()
	r, c := decoded(t, `{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"images":[
		{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw"},"index":0,"extra_content":{"google":{"thought_signature":"s"}}},
		{"image_url":"https://a.example/b.png"}]},{"role":"user","content":"b"}]}`)
	want := []llm.Part{
		{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw", Signature: "s"},
		{Kind: llm.PartImage, URL: "https://a.example/b.png"},
	}
	if d := cmp.Diff(want, c.Messages[1].Parts); d != "" || len(c.Extra) > 0 {
		t.Errorf("%s, kept %v", d, c.Extra)
	}
	if r.Needs[llm.NeedImageInput] != "messages.1.images.0" || r.Size.Images != 2 || r.Size.ASCII > 40 {
		t.Errorf("needs %v, size %+v", r.Needs, r.Size)
	}
	for images, want := range map[string]string{
		`7`: "messages.1.images", `[7]`: "messages.1.images.0", `[{}]`: "messages.1.images.0.image_url", `[{"image_url":{}}]`: "messages.1.images.0.image_url.url",
	} {
		_, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","images":`+images+`}]}`), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it at %s", images, err, want)
		}
	}
}
