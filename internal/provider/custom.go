package provider

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// inputSchema is that of the function that stands for a custom tool.
const inputSchema = `{"type":"object","properties":{"` + llm.CustomInput + `":{"type":"string","description":"The whole input of the tool, as plain text."}},"required":["` + llm.CustomInput + `"]}`

// Functions returns a conversation for a protocol without custom tools: each is a
// function with one string, and so are its calls in the history. One whose text must
// match a grammar is refused, with a *fault.Error. A conversation without custom
// tools comes back itself; c is not changed.
func Functions(c *llm.Chat) (*llm.Chat, error) {
	if !slices.ContainsFunc(c.Tools, func(t llm.Tool) bool { return t.Custom }) && !slices.ContainsFunc(c.Messages, callsCustom) {
		return c, nil
	}
	out := *c
	out.Tools = slices.Clone(c.Tools)
	for i := range out.Tools {
		t := &out.Tools[i]
		if t.Grammar != nil {
			return nil, fault.New(fault.UnsupportedParameter, "The grammar of the custom tool %.64s cannot be honoured for this model.", t.Name).
				At("tools." + strconv.Itoa(i) + ".custom.format")
		}
		if t.Custom {
			t.Custom, t.Schema = false, json.RawMessage(inputSchema)
		}
	}
	out.Messages = slices.Clone(c.Messages)
	for i := range out.Messages {
		m := &out.Messages[i]
		if !callsCustom(*m) {
			continue
		}
		m.Parts = slices.Clone(m.Parts)
		for j := range m.Parts {
			if p := &m.Parts[j]; p.Kind == llm.PartToolCall && p.Custom {
				args := append(jsonx.AppendString([]byte(`{"`+llm.CustomInput+`":`), p.Text), '}')
				p.Custom, p.Text, p.Args = false, "", args
			}
		}
	}
	return &out, nil
}

func callsCustom(m llm.Message) bool {
	return slices.ContainsFunc(m.Parts, func(p llm.Part) bool { return p.Kind == llm.PartToolCall && p.Custom })
}

// Arguments writes the member of a call, as OpenAI has it, that says what it calls a
// tool with: the input of a custom tool, or the arguments, as a text.
func (e *Encoding) Arguments(p *llm.Part) {
	switch args := strings.TrimSpace(string(p.Args)); {
	case p.Custom:
		e.Text("input", p.Text)
	case args == "":
		e.Text("arguments", "{}")
	case args[0] == '"':
		e.Raw("arguments", p.Args) // not JSON: kept as the text that it is
	default:
		e.Text("arguments", string(p.Args))
	}
}
