package anthropic

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// encode is encodeAs for a provider without a name.
func encode(c provider.Call) (*encoder, error) { return encodeAs("", c) }

// Callers of chat completions have signatures as they come; all others get them
// sealed, and only the provider that sealed them has them back.
func TestReasoningIsSealedForWhoCannotReadIt(t *testing.T) {
	t.Parallel()
	const answer = `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"opaque"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`
	p := New(Options{Name: "claude"})
	for dialect, want := range map[llm.Dialect][2]string{
		llm.OpenAIChat:      {"sig", "opaque"},
		llm.OpenAIResponses: {llm.Seal("claude", "sig"), llm.Seal("claude", "opaque")},
	} {
		s := p.scanner(provider.Call{Request: &llm.Request{Dialect: dialect}}, false)
		if !s.scan([]byte(answer)) {
			t.Fatal("the answer is not read")
		}
		parts := provider.Blocks(s.deltas).Parts
		if len(parts) != 2 || parts[0].Signature != want[0] || parts[1].Data != want[1] {
			t.Errorf("%s: %+v", dialect, parts)
		}
	}
	for _, c := range []struct {
		dialect   llm.Dialect
		signature string
		want      string // in the body; empty: it is left out
	}{
		{llm.OpenAIChat, "sig", `"signature":"sig"`},
		{llm.OpenAIChat, llm.Seal("other", "sig"), ""},
		{llm.OpenAIResponses, llm.Seal("claude", "sig"), `"signature":"sig"`},
		{llm.OpenAIResponses, llm.Seal("other", "sig"), ""},
		{llm.OpenAIResponses, "gAAAA", ""}, // OpenAI's own
	} {
		chat := &llm.Chat{Messages: []llm.Message{
			{Role: llm.RoleUser, Parts: []llm.Part{{Text: "hi"}}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm", Signature: c.signature}, {Text: "ho"}}},
			{Role: llm.RoleUser, Parts: []llm.Part{{Text: "so"}}},
		}}
		e, err := p.encode(provider.Call{Model: "m", Request: &llm.Request{Dialect: c.dialect, DecodeChat: func() (*llm.Chat, error) { return chat, nil }}})
		if err != nil {
			t.Fatal(err)
		}
		got := string(e.Body)
		if c.want != "" && !strings.Contains(got, c.want) || c.want == "" && (strings.Contains(got, `"signature"`) || len(e.Dropped) == 0) {
			t.Errorf("%s, %s: %s, dropped %v", c.dialect, c.signature, got, e.Dropped)
		}
	}
}
