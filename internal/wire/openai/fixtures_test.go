package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

// refusals are the recorded requests that must be refused, and their first bad
// field. All but two were refused by their provider as well.
var refusals = map[string]string{
	"doubleword.openai-chat.def3fccd76":   "temperature",
	"openai.openai-chat.f05f661aff":       "temperature",
	"openai.openai-chat.18914fd904":       "max_tokens",
	"openai.openai-chat.ee8a04b30c":       "messages",
	"perplexity.openai-chat.7ab4d309d5":   "response_format.json_schema.name", // Perplexity takes it without a name
	"ollama.openai-embeddings.801261cd46": "input",                            // Ollama's own form, with prompt
}

func TestEveryRecordedRequestDecodesOrNamesAField(t *testing.T) {
	t.Parallel()
	for api, decode := range map[string]func([]byte, map[string][]string) (*llm.Request, error){
		"openai.chat":       NewChat(Options{}).Decode,
		"openai.embeddings": NewEmbeddings(Options{}).Decode,
	} {
		for _, x := range testkit.Recorded(t, api) {
			body := x.Body()
			if body == nil {
				continue
			}
			r, err := decode(body, nil)
			if err != nil {
				var fe *fault.Error
				if !errors.As(err, &fe) || fe.Param == "" || fe.Param != refusals[x.ID] {
					t.Errorf("%s (status %d): %v", x.ID, x.Response.Status, err)
				}
				continue
			}
			if want, refused := refusals[x.ID]; refused {
				t.Errorf("%s is accepted, want a refusal at %s", x.ID, want)
			}
			if !bytes.Equal(r.Raw.Splice(), body) {
				t.Errorf("%s: the body changes without an edit", x.ID)
			}
			if r.DecodeChat == nil {
				continue
			}
			chat, err := r.DecodeChat()
			if err != nil {
				t.Errorf("%s: DecodeChat: %v", x.ID, err)
				continue
			}
			everyMemberIsKept(t, x.ID, body, chat)
		}
	}
}

// everyMemberIsKept checks that all texts of a body are found in the
// conversation: nothing is lost by decoding.
func everyMemberIsKept(t *testing.T, id string, body []byte, chat *llm.Chat) {
	t.Helper()
	var got []string
	var walk func(ps []llm.Part)
	walk = func(ps []llm.Part) {
		for _, p := range ps {
			got = append(got, p.Text, p.URL, p.Data, p.Name, p.FileID, p.ToolID, p.ToolName, string(p.Args))
			walk(p.Parts)
		}
	}
	walk(chat.System)
	for _, m := range chat.Messages {
		walk(m.Parts)
	}
	have := map[string]bool{}
	for _, s := range got {
		have[s] = true
	}
	for _, e := range chat.Extra {
		have[e.Path] = true
	}
	for _, want := range textsOf(t, body) {
		if !have[want] {
			t.Errorf("%s: %.200q is lost", id, want)
		}
	}
}

// textsOf reads the texts of a body the slow way.
func textsOf(t *testing.T, body []byte) []string {
	t.Helper()
	var b struct {
		Messages []struct {
			Role       string
			Content    any
			ToolCallID string `json:"tool_call_id"`
			ToolCalls  []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range b.Messages {
		switch c := m.Content.(type) {
		case string:
			out = append(out, c)
		case []any:
			for _, p := range c {
				if s, ok := p.(map[string]any)["text"].(string); ok {
					out = append(out, s)
				}
			}
		}
		if m.ToolCallID != "" {
			out = append(out, m.ToolCallID)
		}
		for _, c := range m.ToolCalls {
			out = append(out, c.ID, c.Function.Name)
			if args := strings.TrimSpace(c.Function.Arguments); args != "" {
				out = append(out, args)
			}
		}
	}
	return out
}
