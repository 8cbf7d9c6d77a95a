package gemini

import (
	"errors"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Objects in buckets are read with the operator's rights, so no caller names them,
// whatever he speaks.
func TestNobodyReadsTheOperatorsBuckets(t *testing.T) {
	t.Parallel()
	asking := func(d llm.Dialect, body, url string) *llm.Request {
		raw, err := jsonx.Scan([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		file := llm.Part{Kind: llm.PartFile, MediaType: "application/pdf", URL: url}
		return &llm.Request{Task: llm.TaskChat, Dialect: d, Model: "gemini-2.5-flash", Choices: 1, Inputs: 1, Raw: raw, DecodeChat: func() (*llm.Chat, error) {
			return &llm.Chat{Messages: []llm.Message{
				{Role: llm.RoleUser, Parts: []llm.Part{{Text: "Read it."}, file}},
			}}, nil
		}}
	}
	p := New(Options{Vertex: &Vertex{Project: "p"}})
	for _, c := range []struct {
		d         llm.Dialect
		body, url string
		refused   bool
	}{
		{llm.GeminiGenerate, `{"contents":[{"parts":[{"fileData":{"fileUri":"gs://b/o"}}]}]}`, "gs://b/o", true},
		{llm.GeminiGenerate, `{"contents":[{"parts":[{"file_data":{"file_uri":"GS://b/o"}}]}]}`, "GS://b/o", true},
		{llm.GeminiGenerate, `{"contents":[{"parts":[{"\u0066ileData":{"fileUri":"\u0067s://b/o"}}]}]}`, "gs://b/o", true},
		{llm.GeminiGenerate, `{"contents":[{"parts":[{"fileData":{"fileUri":"https://x/y"}}]}]}`, "https://x/y", false},
		{llm.OpenAIChat, `{"model":"m"}`, "gs://b/o", true},
		{llm.AnthropicMessages, `{"model":"m"}`, "gs://b/o", true},
	} {
		err := p.Supports(asking(c.d, c.body, c.url))
		var f *fault.Error
		if refused := errors.As(err, &f) && f.Code == fault.InputModalityUnsupported; refused != c.refused {
			t.Errorf("%s of %s: %v", c.body, c.d, err)
		}
	}
}
