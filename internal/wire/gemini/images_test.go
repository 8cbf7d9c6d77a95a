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
	end := llm.Delta{Kind: llm.DeltaFinish, Finish: llm.FinishStop}
	got := run(t, e, wire.Final{}, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaImage, Image: &inline}, {Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaImage, Image: &linked}, end}})
	if !strings.Contains(got, `"parts":[`+want+`]`) {
		t.Error(got)
	}
	signed := inline
	signed.Signature = llm.Seal("p", "s")
	got = run(t, encoderOf(t, at(t, streamMethod, "alt=sse"), ""), wire.Final{}, llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaImage, Image: &signed, Signature: signed.Signature}, end}})
	part, _, _ := strings.Cut(got, `],"role"`)
	_, part, _ = strings.Cut(part, `"parts":[`)
	_, c := decode(t, `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[`+part+`]}]}`)
	if got := c.Messages[1].Parts[0]; got.Kind != llm.PartImage || got.Data != inline.Data || got.Signature != signed.Signature {
		t.Errorf("%s comes back as %+v", part, got)
	}
}
