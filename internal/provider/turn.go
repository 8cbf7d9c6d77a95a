package provider

import (
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// Turn is one message as it goes out, to protocols in which the user and the
// assistant take turns.
type Turn struct {
	Role  string // user or assistant
	Parts []llm.Part
	Paths []string // of the parts
}

// Join appends what one message says to turns: neighbours of one role are one. What
// is empty is left out if it is the assistant's, and else refused at path. What an
// assistant made and is no text is refused.
func (e *Encoding) Join(turns []Turn, t Turn, path string) []Turn {
	for i, p := range t.Parts {
		switch p.Kind {
		case llm.PartImage, llm.PartAudio, llm.PartVideo, llm.PartFile:
			if t.Role == "assistant" {
				e.Shown(t.Paths[i])
			}
		}
	}
	switch last := len(turns) - 1; {
	case len(t.Parts) == 0 && t.Role == "assistant":
		e.Drop(path)
	case len(t.Parts) == 0:
		e.Refuse(fault.UnsupportedParameter, path+".content", "This model takes no empty messages.")
	case last >= 0 && turns[last].Role == t.Role:
		turns[last].Parts = append(turns[last].Parts, t.Parts...)
		turns[last].Paths = append(turns[last].Paths, t.Paths...)
	default:
		turns = append(turns, t)
	}
	return turns
}

// Turns writes the member messages, with part for each part: results of tools must
// stand before what the user says. The user must begin.
func (e *Encoding) Turns(turns []Turn, part func(path string, p *llm.Part)) {
	if len(turns) == 0 {
		e.Refuse(fault.UnsupportedParameter, "messages", "This model needs a message of the user.")
		return
	}
	if turns[0].Role != "user" {
		e.Refuse(fault.UnsupportedParameter, "messages.0.role", "This model needs a conversation that begins with the user.")
	}
	e.Name("messages")
	e.Open('[')
	for _, t := range turns {
		e.Element()
		e.Open('{')
		e.Text("role", t.Role)
		e.Name("content")
		e.Open('[')
		for _, results := range [...]bool{true, false} {
			for i := range t.Parts {
				if p := &t.Parts[i]; (p.Kind == llm.PartToolResult) == results {
					part(t.Paths[i], p)
				}
			}
		}
		e.Close(']')
		e.Close('}')
	}
	e.Close(']')
}
