package openai

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// foreignScan reads a chunk, or a whole answer, for a caller of another dialect.
func foreignScan(t *testing.T, d llm.Dialect, stream bool, data string) *scanner {
	t.Helper()
	p := New(Options{Vendor: "openrouter", Transport: http.DefaultTransport})
	s := newScanner(p, provider.Call{Request: &llm.Request{Dialect: d, Stream: stream}}, stream)
	if !s.scan([]byte(data)) {
		t.Fatalf("not an object: %s", data)
	}
	return &s
}

func TestImagesOfAMessage(t *testing.T) {
	t.Parallel()
	png := &llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw+/"}
	for name, c := range map[string]struct {
		message string
		want    []llm.Delta
		media   bool
	}{
		"none":             {`{"images":[]}`, nil, false},
		"null":             {`{"images":null}`, nil, false},
		"one":              {`{"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw+\/"},"index":0}]}`, []llm.Delta{{Kind: llm.DeltaImage, Image: png}}, false},
		"the URL alone":    {`{"images":[{"image_url":"data:image/png;base64,iVBORw+/"}]}`, []llm.Delta{{Kind: llm.DeltaImage, Image: png}}, false},
		"within a content": {`{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw+/"}}]}`, []llm.Delta{{Kind: llm.DeltaImage, Image: png}}, false},
		"elsewhere":        {`{"images":[{"image_url":{"url":"https://a.example/b.png"}}]}`, []llm.Delta{{Kind: llm.DeltaImage, Image: &llm.Part{Kind: llm.PartImage, MediaType: "image/png", URL: "https://a.example/b.png"}}}, false},
		"of another form":  {`{"images":[{"b64_json":"iVBORw"}]}`, nil, true},
		"a text":           {`{"images":"iVBORw"}`, nil, true},
		"without a URL":    {`{"images":[{"image_url":{"url":""}}]}`, nil, true},
	} {
		s := foreignScan(t, llm.GeminiGenerate, true, `{"choices":[{"index":0,"delta":`+c.message+`}]}`)
		if d := cmp.Diff(c.want, append([]llm.Delta(nil), s.deltas[1:]...)); d != "" || s.media != c.media || s.images.Err() != nil {
			t.Errorf("%s: media %t, %v, %s", name, s.media, s.images.Err(), d)
		}
		if len(c.want) > 0 && (s.bytes != provider.ImageBytes || s.weight != provider.ImageWeight || !s.content) {
			t.Errorf("%s: %d bytes, weighs %d", name, s.bytes, s.weight)
		}
	}
	if s := foreignScan(t, llm.GeminiGenerate, false, `{"choices":[{"message":{"images":[{"image_url":{"url":"data:image/png,raw"}}]}}]}`); s.images.Err() == nil {
		t.Error("what is no base64 is told")
	}
	if s := foreignScan(t, llm.AnthropicMessages, false, `{"choices":[{"message":{"images":[{"image_url":{"url":"data:image/png;base64,AAAA"}}]}}]}`); s.images.Err() == nil {
		t.Error("Anthropic's callers are told an image")
	}
}

func TestPartsThatNoDialectHasAreNamed(t *testing.T) {
	t.Parallel()
	s := foreignScan(t, llm.GeminiGenerate, false, `{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"reference","reference_ids":[1]}]}}]}`)
	if d := cmp.Diff([]string{"reference"}, s.left.New()); d != "" {
		t.Error(d)
	}
}

// Mistral takes documents inline in a data URL, or where they are.
func TestDocumentsForMistral(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		part llm.Part
		want string // empty: refused
	}{
		"inline":    {llm.Part{Kind: llm.PartFile, MediaType: "application/pdf", Data: "JVBERi0x", Name: "a.pdf"}, `{"type":"document_url","document_url":"data:application/pdf;base64,JVBERi0x","document_name":"a.pdf"}`},
		"untyped":   {llm.Part{Kind: llm.PartFile, Data: "JVBERi0x"}, `{"type":"document_url","document_url":"data:application/pdf;base64,JVBERi0x"}`},
		"elsewhere": {llm.Part{Kind: llm.PartFile, URL: "https://a.example/b.pdf"}, `{"type":"document_url","document_url":"https://a.example/b.pdf"}`},
		"plain":     {llm.Part{Kind: llm.PartFile, Text: "t"}, `{"type":"text","text":"t"}`},
		"by its id": {llm.Part{Kind: llm.PartFile, FileID: "f"}, ""},
		"a bucket":  {llm.Part{Kind: llm.PartFile, URL: "gs://b/c.pdf"}, ""},
	} {
		q := &llm.Request{Dialect: llm.GeminiGenerate, DecodeChat: func() (*llm.Chat, error) {
			return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "read"}, c.part}}}}, nil
		}}
		e, err := New(Options{Vendor: "mistral", Transport: http.DefaultTransport}).encode(provider.Call{Request: q, Model: "m"})
		if (err == nil) != (c.want != "") || err == nil && !strings.Contains(string(e.Body), `{"type":"text","text":"read"},`+c.want+`]`) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
