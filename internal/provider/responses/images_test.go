package responses

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func TestImagesAndWhatElseAToolMade(t *testing.T) {
	t.Parallel()
	const head = `{"id":"r","status":"completed","model":"m","output":[`
	for name, c := range map[string]struct {
		item string
		want *llm.Part
		left []string
	}{
		"with a format": {`{"type":"image_generation_call","id":"ig","status":"completed","result":"UklGR+\/","output_format":"webp"}`, &llm.Part{Kind: llm.PartImage, MediaType: "image/webp", Data: "UklGR+/"}, nil},
		"without":       {`{"type":"image_generation_call","id":"ig","status":"completed","result":"/9j/4A"}`, &llm.Part{Kind: llm.PartImage, MediaType: "image/jpeg", Data: "/9j/4A"}, nil},
		"of any kind":   {`{"type":"image_generation_call","id":"ig","status":"completed","result":"AAAA"}`, &llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "AAAA"}, nil},
		"failed":        {`{"type":"image_generation_call","id":"ig","status":"failed","result":null}`, nil, []string{"image_generation_call"}},
		"a search":      {`{"type":"web_search_call","id":"ws","status":"completed"}`, nil, []string{"web_search_call"}},
	} {
		for _, stream := range []bool{false, true} {
			s := (&Provider{}).newScanner(provider.Call{Request: &llm.Request{Dialect: llm.OpenAIChat}}, stream)
			if stream {
				s.scan([]byte(`{"type":"response.image_generation_call.partial_image","output_index":0,"partial_image_b64":"AAAABBBB"}`))
				if s.bytes != 0 || !s.content {
					t.Errorf("%s: a draft counts %d bytes", name, s.bytes)
				}
				s.scan([]byte(`{"type":"response.output_item.done","output_index":0,"item":` + c.item + `}`))
			} else {
				s.scan([]byte(head + c.item + `]}`))
			}
			var got *llm.Part
			for _, d := range s.deltas {
				if d.Kind == llm.DeltaImage {
					got = d.Image
				}
			}
			if d := cmp.Diff(c.want, got); d != "" || s.images.Err() != nil {
				t.Errorf("%s, streamed %t: %v, %s", name, stream, s.images.Err(), d)
			}
			if c.want != nil && s.bytes != provider.ImageBytes {
				t.Errorf("%s, streamed %t: %d bytes", name, stream, s.bytes)
			}
			if d := cmp.Diff(c.left, s.left.New()); d != "" && len(c.left) > 0 {
				t.Errorf("%s, streamed %t: %s", name, stream, d)
			}
		}
	}
	s := (&Provider{}).newScanner(provider.Call{Request: &llm.Request{Dialect: llm.AnthropicMessages}}, false)
	if s.scan([]byte(head + `{"type":"image_generation_call","result":"AAAA"}]}`)); s.images.Err() == nil {
		t.Error("Anthropic's callers are told an image")
	}
}
