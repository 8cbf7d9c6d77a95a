package anthropic

import (
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
)

// input follows the arguments of a tool call that come in pieces, and makes an
// object of them, which they must be in this dialect. Those of an object pass as
// they are. null, which some models write where a tool takes nothing, is an empty
// object. Anything else becomes the text _raw of one, as in [jsonx.AppendObject]. The
// zero value has seen nothing.
type input struct {
	form inputForm
	held string // begins like null, so nothing was told of it yet
}

type inputForm uint8

const (
	inputUnknown inputForm = iota
	inputObject
	inputText
)

// feed takes the next piece, and returns what is to be told now.
func (in *input) feed(text string) string {
	switch in.form {
	case inputObject:
		return text
	case inputText:
		return inner(text)
	}
	if in.held == "" {
		text = strings.TrimLeft(text, " \t\r\n")
	}
	if in.held == "" && strings.HasPrefix(text, "{") {
		in.form = inputObject
		return text
	}
	held := in.held + text
	if trimmed := strings.TrimRight(held, " \t\r\n"); strings.HasPrefix("null", trimmed) && (trimmed == held || trimmed == "null") {
		in.held = trimmed
		return ""
	}
	in.form, in.held = inputText, ""
	return `{"_raw":"` + inner(held)
}

// end returns what is to be told when nothing follows.
func (in *input) end() string {
	switch {
	case in.form == inputText:
		return `"}`
	case in.held == "" || in.held == "null":
		return ""
	}
	return `{"_raw":"` + in.held + `"}`
}

// inner is a text as it stands between the quotes of JSON.
func inner(text string) string {
	b := jsonx.AppendString(nil, text)
	return string(b[1 : len(b)-1])
}
