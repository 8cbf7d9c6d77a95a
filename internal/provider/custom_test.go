package provider

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

func TestACustomToolIsAFunctionWhereThereAreNone(t *testing.T) {
	t.Parallel()
	make := func() *llm.Chat {
		return &llm.Chat{
			Tools: []llm.Tool{{Name: "f", Schema: []byte(`{}`)}, {Name: "shell", Description: "d", Custom: true}},
			Messages: []llm.Message{
				{Role: llm.RoleUser, Parts: []llm.Part{{Text: "hi"}}},
				{Role: llm.RoleAssistant, Parts: []llm.Part{{Text: "so"}, {Kind: llm.PartToolCall, ToolID: "c", ToolName: "shell", Custom: true, Text: "echo \"\\\n\""}}},
			},
		}
	}
	before := make()
	got, err := Functions(before)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(make(), before); d != "" {
		t.Errorf("the conversation was changed: %s", d)
	}
	want := make()
	want.Tools[1].Custom, want.Tools[1].Schema = false, []byte(inputSchema)
	p := &want.Messages[1].Parts[1]
	p.Custom, p.Text, p.Args = false, "", []byte(`{"input":"echo \"\\\n\""}`)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	plain := &llm.Chat{Tools: before.Tools[:1], Messages: before.Messages[:1]}
	if got, err := Functions(plain); got != plain || err != nil {
		t.Errorf("without custom tools: %p, %v", got, err)
	}
	before.Tools[1].Grammar = &llm.Grammar{Syntax: "lark", Definition: "start: x"}
	var e *fault.Error
	if _, err := Functions(before); !errors.As(err, &e) || e.Code != fault.UnsupportedParameter || e.Param != "tools.1.custom.format" {
		t.Errorf("with a grammar: %v", err)
	}
}
