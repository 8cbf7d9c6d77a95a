package gemini

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func TestThinkingByModel(t *testing.T) {
	t.Parallel()
	effort := func(e string) *llm.Reasoning { return &llm.Reasoning{Effort: e} }
	for _, c := range []struct {
		model string
		r     *llm.Reasoning
		max   int64
		want  string // thinkingConfig, or the member that is refused
		drop  string
	}{
		{"gemini-2.5-flash", nil, 0, ``, ""},
		{"gemini-2.5-flash", &llm.Reasoning{}, 0, ``, ""},
		{"gemini-2.5-flash", effort("none"), 0, `{"thinkingBudget":0}`, ""},
		{"models/gemini-2.5-flash", effort("low"), 0, `{"thinkingBudget":2048,"includeThoughts":true}`, ""},
		{"gemini-2.5-flash", effort("max"), 0, `{"thinkingBudget":24576,"includeThoughts":true}`, ""},
		{"gemini-2.5-flash", effort("high"), 1000, `{"thinkingBudget":500,"includeThoughts":true}`, "reasoning_effort"},
		{"gemini-2.5-flash", &llm.Reasoning{Adaptive: true, Display: "omitted"}, 0, `{"thinkingBudget":-1}`, ""},
		{"gemini-2.5-flash", &llm.Reasoning{Budget: 100000}, 0, `{"thinkingBudget":24576,"includeThoughts":true}`, "reasoning_effort"},
		{"gemini-2.5-flash-lite", effort("minimal"), 0, `{"thinkingBudget":512,"includeThoughts":true}`, ""},
		{"gemini-2.5-pro", effort("xhigh"), 0, `{"thinkingBudget":32768,"includeThoughts":true}`, ""},
		{"gemini-2.5-pro", effort("none"), 0, `reasoning_effort`, ""},
		// Who has thinking disabled, as agents do for small tasks, wants it cheap and fast.
		{"gemini-2.5-pro", &llm.Reasoning{Disabled: true}, 0, `{"thinkingBudget":128}`, "thinking"},
		{"gemini-3-pro-preview", &llm.Reasoning{Disabled: true}, 0, `{"thinkingLevel":"LOW"}`, "thinking"},
		{"gemini-2.5-flash", &llm.Reasoning{Disabled: true}, 0, `{"thinkingBudget":0}`, ""},
		{"gemini-2.0-flash", effort("none"), 0, ``, ""},
		{"gemini-2.0-flash", effort("low"), 0, `reasoning_effort`, ""},
		{"gemini-3-pro-preview", effort("low"), 0, `{"thinkingLevel":"LOW","includeThoughts":true}`, ""},
		{"gemini-3-pro-preview", effort("medium"), 0, `{"thinkingLevel":"HIGH","includeThoughts":true}`, "reasoning_effort"},
		{"gemini-3-pro-preview", effort("minimal"), 0, `{"thinkingLevel":"LOW","includeThoughts":true}`, "reasoning_effort"},
		{"gemini-3-pro-preview", effort("none"), 0, `reasoning_effort`, ""},
		{"gemini-3-flash-preview", effort("none"), 0, `{"thinkingLevel":"MINIMAL"}`, ""},
		{"gemini-3-flash-preview", effort("medium"), 0, `{"thinkingLevel":"MEDIUM","includeThoughts":true}`, ""},
		{"gemini-3-flash-preview", &llm.Reasoning{Budget: 9000}, 0, `{"thinkingLevel":"HIGH","includeThoughts":true}`, "thinking.budget_tokens"},
		{"gemini-3-flash-preview", &llm.Reasoning{Adaptive: true}, 0, `{"includeThoughts":true}`, ""},
		{"gemini-3.8-flash", effort("minimal"), 0, `{"thinkingLevel":"LOW","includeThoughts":true}`, "reasoning_effort"},
		{"gemini-3.8-flash", effort("xhigh"), 0, `{"thinkingLevel":"HIGH","includeThoughts":true}`, "reasoning_effort"},
		{"gemini-flash-latest", effort("high"), 0, `{"thinkingLevel":"HIGH","includeThoughts":true}`, ""},
		{"mine", effort("none"), 0, `{"thinkingLevel":"MINIMAL"}`, ""},
	} {
		x := &llm.Chat{Messages: []llm.Message{user(text("Hi")...)}, Reasoning: c.r}
		if c.max > 0 {
			x.MaxOutput = &c.max
		}
		e, err := New(Options{}).encode(provider.Call{Request: chat(x), Model: c.model})
		var fe *fault.Error
		if errors.As(err, &fe) {
			if fe.Param != c.want || fe.Code != fault.UnsupportedParameter {
				t.Errorf("%s, %+v: refused %v", c.model, c.r, err)
			}
			continue
		}
		var out struct {
			GenerationConfig struct{ ThinkingConfig json.RawMessage }
		}
		if err := json.Unmarshal(e.Body, &out); err != nil || string(out.GenerationConfig.ThinkingConfig) != c.want || strings.Join(e.Dropped, " ") != c.drop {
			t.Errorf("%s, %+v: %s and dropped %v (%v), want %s and %q", c.model, c.r, out.GenerationConfig.ThinkingConfig, e.Dropped, err, c.want, c.drop)
		}
	}
}

func TestModelsThatThinkOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	p := New(Options{})
	for model, want := range map[string]bool{
		"gemini-1.5-pro": true, "gemini-2.0-flash": true, "gemini-2.5-flash-lite": true,
		"gemini-2.5-flash": false, "gemini-2.5-pro": false, "gemini-3-flash-preview": false, "gemini-flash-lite-latest": false, "gemini-4": false, "mine": false, "": false,
	} {
		if p.ThinksOnlyWhenAsked(model) != want {
			t.Errorf("%s: want %v", model, want)
		}
	}
}

func TestRefusedTranslations(t *testing.T) {
	t.Parallel()
	hello := []llm.Message{user(text("Hi")...)}
	f := []llm.Tool{{Name: "f"}}
	for _, c := range []struct {
		name  string
		chat  llm.Chat
		code  fault.Code
		param string
	}{
		{"hot", llm.Chat{Messages: hello, Temperature: ptr(2.1)}, fault.UnsupportedParameter, "temperature"},
		{"no output", llm.Chat{Messages: hello, MaxOutput: ptr(int64(0))}, fault.UnsupportedParameter, "max_completion_tokens"},
		{"forced without tools", llm.Chat{Messages: hello, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}}, fault.ToolChoiceUnsupported, "tool_choice"},
		{"one call at a time", llm.Chat{Messages: hello, Tools: f, ParallelTools: ptr(false)}, fault.UnsupportedParameter, "parallel_tool_calls"},
		{"one call at a time of one of two tools", llm.Chat{Messages: hello, Tools: append(f, llm.Tool{Name: "g"}), ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}, ParallelTools: ptr(false)}, fault.UnsupportedParameter, "parallel_tool_calls"},
		{"an odd name", llm.Chat{Messages: hello, Tools: []llm.Tool{{Name: "g"}, {Name: "1f"}}}, fault.UnsupportedParameter, "tools.1"},
		{"many answers", llm.Chat{Messages: hello, Choices: 9}, fault.UnsupportedParameter, "n"},
		{"many stops", llm.Chat{Messages: hello, Stop: strings.Split("abcdef", "")}, fault.UnsupportedParameter, "stop"},
		{"a moving image", llm.Chat{Messages: []llm.Message{user(llm.Part{Kind: llm.PartImage, MediaType: "image/gif", Data: "R0lGOD"})}}, fault.UnsupportedParameter, "messages.0.content.0"},
		{"an image in the clear", llm.Chat{Messages: []llm.Message{user(llm.Part{Kind: llm.PartImage, URL: "http://x/y.png"})}}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"data of no kind", llm.Chat{Messages: []llm.Message{user(llm.Part{Kind: llm.PartFile, Data: "eA=="})}}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"a file elsewhere", llm.Chat{Messages: []llm.Message{user(llm.Part{Kind: llm.PartFile, FileID: "f"})}}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"a result without call", llm.Chat{Messages: []llm.Message{user(answered("x", text("1")...))}}, fault.InvalidParameter, "messages.0.content.0"},
		{"the assistant begins", llm.Chat{Messages: []llm.Message{model(text("Hi")...), hello[0]}}, fault.UnsupportedParameter, "messages.0.role"},
		{"the assistant ends", llm.Chat{Messages: []llm.Message{hello[0], model(text("Hi")...)}}, fault.UnsupportedParameter, "messages"},
		{"nobody speaks", llm.Chat{System: text("S")}, fault.UnsupportedParameter, "messages"},
		{"an empty turn", llm.Chat{Messages: []llm.Message{user(llm.Part{})}}, fault.UnsupportedParameter, "messages.0.content"},
		{"logprobs", llm.Chat{Messages: hello, Extra: []llm.Extra{{Path: "logprobs", Value: []byte("true")}}}, fault.UnsupportedParameter, "logprobs"},
		{"logit_bias", llm.Chat{Messages: hello, Extra: []llm.Extra{{Path: "logit_bias", Value: []byte(`{"1":2}`)}}}, fault.UnsupportedParameter, "logit_bias"},
		{"scale", llm.Chat{Messages: hello, Extra: []llm.Extra{{Path: "service_tier", Value: []byte(`"scale"`)}}}, fault.UnsupportedParameter, "service_tier"},
		{"a sound as an answer", llm.Chat{Messages: hello, Extra: []llm.Extra{{Path: "modalities", Value: []byte(`["audio","text"]`)}}}, fault.UnsupportedParameter, "modalities"},
		{"what nobody knows", llm.Chat{Messages: hello, Extra: []llm.Extra{{Path: "new_thing", Value: []byte("1")}}}, fault.UnsupportedParameter, "new_thing"},
	} {
		p := New(Options{Transport: canned{}})
		err := p.Supports(chat(&c.chat))
		var fe *fault.Error
		if !errors.As(err, &fe) || fe.Code != c.code || fe.Param != c.param {
			t.Errorf("%s: Supports = %v, want %v at %s", c.name, err, c.code, c.param)
		}
		_, err = p.Open(context.Background(), provider.Call{Request: chat(&c.chat), Model: "m"})
		var f *provider.Failure
		if !errors.As(err, &f) || f.Sent || f.Retry || f.Failover || f.Breaker {
			t.Errorf("%s: Open = %v, want a refusal without anything sent", c.name, err)
		}
	}
	// Where functions are offered, several calls cannot be told.
	old := chat(&llm.Chat{Messages: hello, Tools: f, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNamed, Name: "f"}, ParallelTools: ptr(false)})
	old.Functions = true
	if err := New(Options{}).Supports(old); err == nil {
		t.Error("functions: one call at a time is not refused")
	}
	x := &llm.Chat{Messages: hello, Tools: f, Format: &llm.Format{JSON: true}}
	q := chat(x).For("gemini-2.5-flash")
	q.Dialect = llm.AnthropicMessages
	var fe *fault.Error
	if err := New(Options{}).Supports(q); !errors.As(err, &fe) || fe.Param != "output_config.format" {
		t.Errorf("a format beside tools: %v", err)
	}
}

func TestDroppedMembersAreTold(t *testing.T) {
	t.Parallel()
	mark := func(s string) llm.Part { return llm.Part{Text: s, Cache: &llm.CacheMark{TTL: "1h"}} }
	foreign := called("a", "f", "{}")
	foreign.Signature = llm.Seal("other", "s")
	c := llm.Chat{
		System: []llm.Part{mark("1")},
		Messages: []llm.Message{
			user(mark("2"), llm.Part{Kind: llm.PartImage, Data: "iVBORw", Detail: "low"}),
			model(llm.Part{Kind: llm.PartReasoning, Text: "t", Signature: "raw"}, llm.Part{Kind: llm.PartRedacted, Data: "r"}, llm.Part{Text: "x", Citations: json.RawMessage(`[1]`)}, foreign),
			user(llm.Part{Kind: llm.PartToolResult, ToolID: "a", Cache: &llm.CacheMark{}, Parts: []llm.Part{mark("3")}}),
		},
		Tools: []llm.Tool{{Name: "f", Strict: ptr(true), Cache: &llm.CacheMark{}}},
		Seed:  ptr(int64(1) << 40), User: "Ann",
		Format: &llm.Format{JSON: true, Strict: ptr(false), Description: "d"},
		Extra:  []llm.Extra{{Path: "messages.1.name", Value: []byte(`"x"`)}, {Path: "verbosity", Value: []byte(`"low"`)}, {Path: "logprobs", Value: []byte("false")}, {Path: "prediction", Value: []byte("null")}},
	}
	want := []string{
		"messages.1.name", "verbosity", "logprobs", "messages.0.content.0.cache_control", "tools.0.strict", "tools.0.cache_control",
		"reasoning_state", "messages.1.content.0", "messages.1.content.1",
		"messages.0.content.0.cache_control", "messages.0.content.1.image_url.detail", "messages.1.content.2.citations",
		"messages.2.content.0.cache_control", "messages.2.content.0.content.0.cache_control",
		"seed", "response_format.json_schema.strict", "response_format.json_schema.description", "user",
	}
	if d := cmp.Diff(want, New(Options{Name: "google", Transport: canned{}}).Dropped(chat(&c))); d != "" {
		t.Errorf("Dropped (-want +got):\n%s", d)
	}
}

// TestTheTierIsCalledAsGoogleCallsIt has OpenAI's tiers, and what Google gets: empty
// is a refusal by name.
func TestTheTierIsCalledAsGoogleCallsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tier, want string
		vertex     bool
		dialect    llm.Dialect
	}{
		{"flex", "flex", false, llm.OpenAIChat},
		{"priority", "priority", false, llm.OpenAIResponses},
		{"fast", "priority", false, llm.OpenAIChat},
		{"scale", "", false, llm.OpenAIChat},
		{"flex", "", true, llm.OpenAIChat},
		{"flex", "", false, llm.AnthropicMessages},
	} {
		o := Options{}
		if c.vertex {
			o.Vertex = &Vertex{}
		}
		chat := &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "hi"}}}}, Extra: []llm.Extra{{Path: "service_tier", Value: []byte(`"` + c.tier + `"`)}}}
		e, err := New(o).encode(provider.Call{Request: &llm.Request{Dialect: c.dialect, DecodeChat: func() (*llm.Chat, error) { return chat, nil }}, Model: "gemini-2.5-pro"})
		var fe *fault.Error
		switch {
		case c.want == "" && (!errors.As(err, &fe) || fe.Param != "service_tier"):
			t.Errorf("%+v: %v", c, err)
		case c.want != "" && (err != nil || !strings.Contains(string(e.Body), `"serviceTier":"`+c.want+`"`)):
			t.Errorf("%+v: %v, %v", c, e, err)
		}
	}
}
