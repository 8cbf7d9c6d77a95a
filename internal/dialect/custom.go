package dialect

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Custom tools take free text. To a provider without them they are functions with
// one string, [llm.CustomInput], and what a model writes for that is undone here.

// Custom takes over the definition of a custom tool, whose grammar, if it has one,
// stands in the given object. A format that is neither one nor free text is an extra.
func (t *Taking) Custom(def, grammar jsonx.Value) llm.Tool {
	tool := llm.Tool{Name: def.Get("name").Text(), Description: def.Get("description").Text(), Custom: true}
	format := def.Get("format")
	switch kind := format.Get("type"); {
	case kind.Is("grammar") && grammar.Kind() == jsonx.Object:
		tool.Grammar = &llm.Grammar{Syntax: grammar.Get("syntax").Text(), Definition: grammar.Get("definition").Text()}
		t.Extras(grammar, "type", "syntax", "definition")
		if grammar.Path() != format.Path() {
			t.Extras(format, "type", "grammar")
		}
	case kind.Is("text"):
		t.Extras(format, "type")
	case format.Exists():
		t.Extra(format)
	}
	t.Extras(def, "type", "name", "description", "format")
	return tool
}

// Inputs gives the calls of custom tools back to a caller who has defined them, where
// the provider knew them as functions. Names must be set.
type Inputs struct {
	// Names returns the names of the custom tools that the request defines. It is
	// called once, at the first call of a tool.
	Names func() map[string]bool

	names  map[string]bool
	calls  map[call]*input
	native map[call]bool // calls that the provider knew as such, and the caller, too
}

type call struct{ choice, tool int }

// Restore changes what an event tells of calls of custom tools: their arguments
// become the text that stands in them. Arguments without it are the text themselves.
// A call of a custom tool that the caller has not defined is one of a function.
func (in *Inputs) Restore(ev *llm.Event) {
	kept := ev.Deltas[:0]
	for i := range ev.Deltas {
		d := ev.Deltas[i]
		switch {
		case d.Custom && d.Kind == llm.DeltaToolCall:
			if d.Custom = in.custom(d.ToolName); d.Custom {
				if in.native == nil {
					in.native = map[call]bool{}
				}
				in.native[call{d.Choice, d.Tool}] = true
			}
		case d.Custom:
			d.Custom = in.native[call{d.Choice, d.Tool}]
		case d.Kind == llm.DeltaToolCall && in.custom(d.ToolName):
			d.Custom = true
			if in.calls == nil {
				in.calls = map[call]*input{}
			}
			in.calls[call{d.Choice, d.Tool}] = &input{}
		case d.Kind == llm.DeltaToolArgs && in.calls[call{d.Choice, d.Tool}] != nil:
			d.Custom = true
			if d.Text = in.calls[call{d.Choice, d.Tool}].read(d.Text); d.Text == "" {
				continue
			}
		}
		kept = append(kept, d)
	}
	ev.Deltas = kept
	if ev.Whole == nil {
		return
	}
	for _, c := range ev.Whole.Choices {
		for i := range c.Parts {
			p := &c.Parts[i]
			switch {
			case p.Kind != llm.PartToolCall:
			case p.Custom:
				p.Custom = in.custom(p.ToolName)
			case in.custom(p.ToolName):
				p.Custom, p.Text, p.Args = true, new(input).read(string(p.Args)), nil
			}
		}
	}
}

func (in *Inputs) custom(name string) bool {
	if in.names == nil {
		if in.names = in.Names(); in.names == nil {
			in.names = map[string]bool{}
		}
	}
	return in.names[name]
}

// input reads the text out of the arguments of one call as they come.
type input struct {
	state state
	held  string // what cannot be read before more has come
}

type state uint8

const (
	opening state = iota // before the text
	within               // in the text
	plain                // there is none: all is the text
	over                 // behind the text
)

// opener is what stands before the text. Between its parts there may be spaces.
var opener = [...]string{"{", `"` + llm.CustomInput + `"`, ":", `"`}

// spaces are those of JSON.
const spaces = " \t\r\n"

// read returns the text that one more piece gives.
func (in *input) read(piece string) string {
	in.held += piece
	if in.state == opening {
		in.open()
	}
	switch in.state {
	case within:
		return in.unescape()
	case plain:
		piece, in.held = in.held, ""
		return piece
	case over:
		in.held = ""
	}
	return ""
}

// open looks for the beginning of the text. A string alone is one, too.
func (in *input) open() {
	rest := strings.TrimLeft(in.held, spaces)
	in.held = rest // so that spaces do not pile up
	if strings.HasPrefix(rest, `"`) {
		in.state, in.held = within, rest[1:]
		return
	}
	if in.nothing(rest, "null") {
		return
	}
	for i, part := range opener {
		rest = strings.TrimLeft(rest, spaces)
		switch {
		case strings.HasPrefix(rest, part):
			rest = rest[len(part):]
		case i == 1 && strings.HasPrefix(rest, "}"):
			in.state = over
			return
		case i == 3 && in.nothing(rest, "null"):
			return
		case strings.HasPrefix(part, rest) && len(in.held) <= maxOpening:
			return // there is more to come
		default:
			in.state = plain
			return
		}
	}
	in.state, in.held = within, rest
}

// maxOpening bounds what may stand before the text, spaces and all, in bytes.
const maxOpening = 4096

// nothing reports whether rest is the word, or the beginning of it.
func (in *input) nothing(rest, word string) bool {
	switch {
	case strings.HasPrefix(rest, word):
		in.state = over
		return true
	case rest != "" && strings.HasPrefix(word, rest):
		return true
	}
	return false
}

// unescape returns the text as far as it can be read, up to its end. What is no
// escape stays as it is.
func (in *input) unescape() string {
	s, out := in.held, make([]byte, 0, len(in.held))
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			out, s = append(out, s...), ""
			break
		}
		out, s = append(out, s[:i]...), s[i:]
		if s[0] == '"' {
			in.state, s = over, ""
			break
		}
		n, ok := 0, false
		if out, n, ok = appendEscaped(out, s); !ok {
			break
		}
		s = s[n:]
	}
	in.held = s
	return string(out)
}

// simple are the escapes of one character, and what they stand for.
const (
	simple = `"\/bfnrt`
	stands = "\"\\/\b\f\n\r\t"
)

// appendEscaped appends what the escape that s begins with stands for, and returns
// how long it is. It is not ok if s ends before the escape does.
func appendEscaped(dst []byte, s string) (out []byte, n int, ok bool) {
	if len(s) < 2 {
		return dst, 0, false
	}
	if i := strings.IndexByte(simple, s[1]); i >= 0 {
		return append(dst, stands[i]), 2, true
	}
	u, state := unit(s)
	switch {
	case state == incomplete:
		return dst, 0, false
	case state == wrong:
		return append(dst, s[0]), 1, true
	case !utf16.IsSurrogate(u):
		return utf8.AppendRune(dst, u), 6, true
	}
	low, state := unit(s[6:])
	if u < 0xdc00 && state == incomplete {
		return dst, 0, false
	}
	if r := utf16.DecodeRune(u, low); state == fits && r != utf8.RuneError {
		return utf8.AppendRune(dst, r), 12, true
	}
	return utf8.AppendRune(dst, utf8.RuneError), 6, true
}

// The ways in which a text may begin with an escape of a code unit.
type beginning uint8

const (
	fits beginning = iota
	incomplete
	wrong
)

// unit reads the code unit that s begins with as an escape of six characters.
func unit(s string) (rune, beginning) {
	const form = `\u`
	if len(s) < len(form) && strings.HasPrefix(form, s) {
		return 0, incomplete
	}
	if !strings.HasPrefix(s, form) {
		return 0, wrong
	}
	digits := s[2:min(len(s), 6)]
	if strings.ContainsFunc(digits, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }) {
		return 0, wrong
	}
	if len(digits) < 4 {
		return 0, incomplete
	}
	u, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return 0, wrong // cannot be
	}
	return rune(u), fits
}
