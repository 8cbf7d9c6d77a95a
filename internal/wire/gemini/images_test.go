package gemini

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

func TestImagesAreInline(t *testing.T) {
	t.Parallel()
	inline := llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw+/"}
	linked := llm.Part{Kind: llm.PartImage, MediaType: "image/png", URL: "https://a.example/b.png"}
	const want = `{"inlineData":{"mimeType":"image/png","data":"iVBORw+/"}},{"text":"a"},{"fileData":{"mimeType":"image/png","fileUri":"https://a.example/b.png"}}`
	e := encoderOf(t, at(t, ":generateContent", ""), "")
	_, err := e.Event(nil, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{inline, {Text: "a"}, linked}, Finish: llm.FinishStop}}}})
	out, _ := e.Finish(nil, wire.Final{})
	if err != nil || !strings.Contains(string(out), `"parts":[`+want+`]`) {
		t.Errorf("%s, %v", out, err)
	}
	e = encoderOf(t, at(t, streamMethod, "alt=sse"), "")
	out, err = e.Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaImage, Image: &inline}, {Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaImage, Image: &linked}}})
	if err != nil || !strings.Contains(string(out), `"parts":[`+want+`]`) {
		t.Errorf("%s, %v", out, err)
	}
	signed := inline
	signed.Signature = llm.Seal("p", "s")
	out, err = encoderOf(t, at(t, streamMethod, "alt=sse"), "").Event(nil, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaImage, Image: &signed, Signature: signed.Signature}}})
	part, _, _ := strings.Cut(string(out), `],"role"`)
	_, part, _ = strings.Cut(part, `"parts":[`)
	_, c := decode(t, `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[`+part+`]}]}`)
	if got := c.Messages[1].Parts[0]; err != nil || got.Kind != llm.PartImage || got.Data != inline.Data || got.Signature != signed.Signature {
		t.Errorf("%s comes back as %+v, %v", part, got, err)
	}
}
