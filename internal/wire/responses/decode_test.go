package responses

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
)

func chatOf(t testing.TB, body string) (*llm.Request, *llm.Chat) {
	t.Helper()
	r, err := New(Options{}).Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.DecodeChat()
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

const conversation = `{"model":"m","instructions":"Be brief.","temperature":0.5,"top_p":0.9,"max_output_tokens":64,"parallel_tool_calls":false,
	"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"},
	"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":false}],"tool_choice":{"type":"function","name":"f"},
	"user":"u","store":true,"truncation":"disabled","include":["reasoning.encrypted_content","message.output_text.logprobs"],"top_logprobs":0,
	"input":[
		{"role":"developer","content":"Be kind."},
		{"role":"user","content":[{"type":"input_text","text":"Look","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"}]},
		{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"I"},{"type":"summary_text","text":"think"}],"encrypted_content":"sealed"},
		{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Let me see.","annotations":[{"type":"url_citation","url":"https://x"}],"logprobs":[]}],"phase":"commentary"},
		{"type":"function_call","id":"fc_1","status":"completed","call_id":"call_1","name":"f","arguments":"{\"a\":1.50}"},
		{"type":"function_call","call_id":"call_2","name":"f","arguments":""},
		{"type":"function_call_output","call_id":"call_1","output":"red"},
		{"type":"function_call_output","call_id":"call_2","output":[{"type":"input_text","text":"blue"}]},
		{"role":"user","content":"And?"},
		{"role":"system","content":"Hurry."},
		{"type":"reasoning","summary":[],"encrypted_content":"pontage1.Y2xhdWRl.cmVkYWN0ZWQ6eHl6"},
		{"role":"assistant","content":[{"type":"refusal","refusal":"No."}]},
		{"type":"web_search_call","id":"ws_1","status":"completed"},
		{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,BBBB"},{"type":"input_file","file_url":"https://x/y.pdf"},{"type":"input_image","file_id":"file_1"}]}
	]}`

func TestAConversationIsDecoded(t *testing.T) {
	t.Parallel()
	_, got := chatOf(t, conversation)
	yes, no := true, false
	temperature, topP, most := 0.5, 0.9, int64(64)
	text := func(s string) llm.Part { return llm.Part{Kind: llm.PartText, Text: s} }
	want := &llm.Chat{
		System: []llm.Part{text("Be brief."), text("Be kind.")},
		Messages: []llm.Message{
			{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartText, Text: "Look", Cache: &llm.CacheMark{}},
				{Kind: llm.PartImage, MediaType: "image/png", Data: "AAAA", Detail: "low"},
			}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{
				{Kind: llm.PartReasoning, Text: "I\n\nthink", Signature: "sealed"},
				{Kind: llm.PartText, Text: "Let me see.", Citations: json.RawMessage(`[{"type":"url_citation","url":"https://x"}]`)},
				{Kind: llm.PartToolCall, ToolID: "call_1", ToolName: "f", Args: json.RawMessage(`{"a":1.50}`)},
				{Kind: llm.PartToolCall, ToolID: "call_2", ToolName: "f", Args: json.RawMessage(`{}`)},
			}},
			{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartToolResult, ToolID: "call_1", Parts: []llm.Part{text("red")}},
				{Kind: llm.PartToolResult, ToolID: "call_2", Parts: []llm.Part{text("blue")}},
				text("And?"),
			}},
			{Role: llm.RoleSystem, Parts: []llm.Part{text("Hurry.")}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartRedacted, Data: llm.Seal("claude", "xyz")}, {Kind: llm.PartRefusal, Text: "No."}}},
			{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartFile, MediaType: "application/pdf", Data: "BBBB", Name: "a.pdf"},
				{Kind: llm.PartFile, URL: "https://x/y.pdf"},
				{Kind: llm.PartImage, FileID: "file_1"},
			}},
		},
		Tools:         []llm.Tool{{Name: "f", Description: "d", Schema: json.RawMessage(`{"type":"object"}`), Strict: &no}},
		ToolChoice:    &llm.ToolChoice{Mode: llm.ToolNamed, Name: "f"},
		ParallelTools: &no,
		Format:        &llm.Format{JSON: true, Name: "n", Schema: json.RawMessage(`{"type":"object"}`), Strict: &yes},
		Reasoning:     &llm.Reasoning{Effort: "low", Display: "summarized"},
		MaxOutput:     &most, Temperature: &temperature, TopP: &topP, User: "u",
		Extra: []llm.Extra{
			{Path: "text.verbosity", Value: json.RawMessage(`"low"`)},
			{Path: "include.1", Value: json.RawMessage(`"message.output_text.logprobs"`)},
			{Path: "input.3.phase", Value: json.RawMessage(`"commentary"`)},
			{Path: "input.12", Value: json.RawMessage(`{"type":"web_search_call","id":"ws_1","status":"completed"}`)},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What a provider sealed in the place of reasoning comes back to it as it was.
func TestRedactedReasoningComesBack(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"raw", llm.Seal("claude", "state")} {
		if got, ok := unredacted(asRedacted(data)); !ok || got != data {
			t.Errorf("%s comes back as %q, %v", data, got, ok)
		}
	}
	for _, seal := range []string{"gAAAA", llm.Seal("claude", "signature"), ""} {
		if got, ok := unredacted(seal); ok {
			t.Errorf("%s is taken for redacted reasoning: %s", seal, got)
		}
	}
}

func TestATextIsAConversation(t *testing.T) {
	t.Parallel()
	_, got := chatOf(t, `{"model":"m","input":"hi","background":false,"previous_response_id":null,"service_tier":"auto","metadata":{}}`)
	want := &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "hi"}}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatOnlyThisDialectHasIsKeptForTranslatorsToRefuse(t *testing.T) {
	t.Parallel()
	for member, path := range map[string]string{
		`"tools":[{"type":"function","name":"f"},{"type":"web_search"}]`:                                                                            "tools.1",
		`"tools":[{"type":"custom","name":"f","format":{"type":"of_tomorrow"}}]`:                                                                    "tools.0.format",
		`"tools":[{"type":"function","name":"f","defer_loading":true}]`:                                                                             "tools.0.defer_loading",
		`"tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}`:                                                                       "tools.0",
		`"tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp","server_label":"x"}]}`: "tool_choice",
		`"truncation":"auto"`:                          "truncation",
		`"top_logprobs":3`:                             "top_logprobs",
		`"service_tier":"flex"`:                        "service_tier",
		`"max_tool_calls":3`:                           "max_tool_calls",
		`"context_management":[{"type":"compaction"}]`: "context_management",
		`"of_tomorrow":1`:                              "of_tomorrow",
	} {
		_, c := chatOf(t, `{"model":"m","input":"hi",`+member+`}`)
		if len(c.Extra) == 0 || c.Extra[0].Path != path {
			t.Errorf("%s: extras %v, want %s", member, c.Extra, path)
		}
	}
}

// The last update of the configuration holds, wherever the effort of the whole
// conversation stands.
func TestTheEffortMayChangeWithinAConversation(t *testing.T) {
	t.Parallel()
	updated := func(effort string) string {
		return `{"type":"configuration_update","id":"cu_1","reasoning":{"effort":` + effort + `}}`
	}
	for _, c := range []struct {
		items, more string
		want        *llm.Reasoning
		extra       string
	}{
		{items: updated(`"high"`), want: &llm.Reasoning{Effort: "high"}},
		{items: updated(`"high"`), more: `,"reasoning":{"effort":"low","summary":"auto"}`, want: &llm.Reasoning{Effort: "high", Display: "summarized"}},
		{items: updated(`"low"`) + `,{"role":"user","content":"b"},` + updated(`"medium"`), want: &llm.Reasoning{Effort: "medium"}},
		{items: updated(`"low"`) + "," + updated(`null`), want: &llm.Reasoning{Effort: "low"}},
		{items: `{"type":"configuration_update"}`},
		{items: `{"type":"configuration_update","reasoning":{"effort":"low","mode":"pro"}}`, want: &llm.Reasoning{Effort: "low"}, extra: "input.1.reasoning.mode"},
	} {
		_, got := chatOf(t, `{"model":"m","input":[{"role":"user","content":"a"},`+c.items+`]`+c.more+`}`)
		if d := cmp.Diff(c.want, got.Reasoning); d != "" {
			t.Errorf("%s%s (-want +got):\n%s", c.items, c.more, d)
		}
		var extra string
		if len(got.Extra) > 0 {
			extra = got.Extra[0].Path
		}
		if extra != c.extra || len(got.Messages) != 1+strings.Count(c.items, `"role"`) {
			t.Errorf("%s: extra %q, want %q; messages %v", c.items, extra, c.extra, got.Messages)
		}
	}
}

// A subset of the tools is a choice of its own, and of one that must be called that one.
func TestSomeOfTheToolsMayBeCalled(t *testing.T) {
	t.Parallel()
	const tools = `"tools":[{"type":"function","name":"f"},{"type":"function","name":"g"},{"type":"function","name":"h"}]`
	for tail, want := range map[string]llm.ToolChoice{
		`"auto","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}]`:     {Mode: llm.ToolAuto, Allowed: []string{"f", "g"}},
		`"required","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}]`: {Mode: llm.ToolRequired, Allowed: []string{"f", "g"}},
		`"auto","tools":[{"type":"function","name":"f"}]`:                                    {Mode: llm.ToolAuto, Allowed: []string{"f"}},
		`"required","tools":[{"type":"function","name":"f"}]`:                                {Mode: llm.ToolNamed, Name: "f"},
	} {
		_, c := chatOf(t, `{"model":"m","input":"hi",`+tools+`,"tool_choice":{"type":"allowed_tools","mode":`+tail+`}}`)
		if d := cmp.Diff(&want, c.ToolChoice); d != "" || len(c.Extra) != 0 {
			t.Errorf("%s (-want +got):\n%s extras %v", tail, d, c.Extra)
		}
	}
}

// Providers of other dialects name places in the conversation as chat
// completions do; callers know them by their own.
func TestPlacesAreNamedAsTheCallerDoes(t *testing.T) {
	t.Parallel()
	r, _ := chatOf(t, conversation)
	for path, want := range map[string]string{
		"messages":                              "input",
		"messages.0.content.1":                  "input.1.content.1",
		"messages.0.content.1.image_url.detail": "input.1.content.1.detail",
		"messages.1":                            "input.2",
		"messages.1.content.1.citations":        "input.3.content.0.citations",
		"messages.1.content.2":                  "input.4",
		"messages.2.content.1":                  "input.7",
		"messages.2.content.2":                  "input.8.content",
		"messages.3.role":                       "input.9",
		"messages.99.content.0":                 "input",
		"max_tokens":                            "max_output_tokens",
		"response_format.json_schema.strict":    "text.format",
		"reasoning_effort":                      "reasoning.effort",
		"tools.0.strict":                        "tools.0.strict",
		"temperature":                           "temperature",
		"input.12":                              "input.12",
	} {
		if got := r.Place(path); got != want {
			t.Errorf("Place(%s) = %s, want %s", path, got, want)
		}
	}
	text, _ := chatOf(t, `{"model":"m","input":"hi"}`)
	if got := text.Place("messages.0.content.0"); got != "input" {
		t.Errorf("Place of a text = %s", got)
	}
}
