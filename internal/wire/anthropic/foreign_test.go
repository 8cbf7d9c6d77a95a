package anthropic

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

// What other services take on messages goes to a provider in the dialect's words.
func TestForeignValuesAreSaidInTheDialect(t *testing.T) {
	t.Parallel()
	const head, tools = `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],`, `"tools":[{"name":"a","input_schema":{"type":"object"}}]`
	for sent, want := range map[string]string{
		`"service_tier":"standard"}`:                         `"service_tier":"standard_only"}`,
		`"service_tier" : "batch", "top_k":5}`:               `"service_tier" : "auto", "top_k":5}`,
		`"service_tier":"auto"}`:                             `"service_tier":"auto"}`,
		`"service_tier":"standard_only"}`:                    `"service_tier":"standard_only"}`,
		`"service_tier":null}`:                               `"service_tier":null}`,
		`"tool_choice":{"type":"any"},` + tools + `}`:        `"tool_choice":{"type":"any"},` + tools + `}`,
		`"tool_choice":{ "type":"required" },` + tools + `}`: `"tool_choice":{ "type":"any" },` + tools + `}`,
		tools + `,"tool_choice":{"type":"requ\u0069red","disable_parallel_tool_use":true},"service_tier":"batch"}`: tools + `,"tool_choice":{"type":"any","disable_parallel_tool_use":true},"service_tier":"auto"}`,
	} {
		r, err := NewMessages().Decode([]byte(head+sent), nil)
		if err != nil {
			t.Errorf("%s: %v", sent, err)
			continue
		}
		if got := string(r.Raw.Body); got != head+want {
			t.Errorf("%s goes out as %s", sent, got)
		}
		chat, err := r.DecodeChat()
		if err != nil || len(chat.Extra) > 0 {
			t.Errorf("%s: %v, beside %v", sent, err, chat.Extra)
		}
		if c := chat.ToolChoice; c != nil && c.Mode != llm.ToolRequired {
			t.Errorf("%s: the choice is %v", sent, c.Mode)
		}
		if got := string(r.Raw.Value("service_tier")); got != "" && string(r.Raw.Splice(llm.Edit{Name: "service_tier"})) == string(r.Raw.Body) {
			t.Errorf("%s: the places of the members are wrong", sent)
		}
	}
}
