package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Encoding is the body of a translated request under construction, with the
// account of what could not be said in it: the first refusal, and what was left
// out as harmless. The zero Encoding is empty and ready.
type Encoding struct {
	Body    []byte
	Err     *fault.Error // the first refusal; nil: none
	Dropped []string     // paths of what was left out

	comma bool // the next member or element needs one
}

// Refuse notes that what stands at path cannot be honoured, and why.
func (e *Encoding) Refuse(code fault.Code, path, format string, args ...any) {
	if e.Err == nil {
		e.Err = fault.New(code, format, args...).At(path)
	}
}

// Unsupported refuses what stands at path.
func (e *Encoding) Unsupported(path string) {
	e.Refuse(fault.UnsupportedParameter, path, "%s cannot be honoured for this model.", path)
}

// Shown refuses an image, a sound, a film or a document in what an assistant said.
func (e *Encoding) Shown(path string) {
	e.Refuse(fault.InputModalityUnsupported, path, "This model takes no image, sound or document that an assistant made.")
}

// Drop notes that path was left out.
func (e *Encoding) Drop(path string) { e.Dropped = append(e.Dropped, path) }

// Name begins a member.
func (e *Encoding) Name(name string) {
	if e.comma {
		e.Body = append(e.Body, ',')
	}
	e.comma = true
	e.Body = append(jsonx.AppendString(e.Body, name), ':')
}

// Raw writes a member whose value is JSON already.
func (e *Encoding) Raw(name string, v []byte) {
	e.Name(name)
	e.Body = append(e.Body, v...)
}

// Text writes a member.
func (e *Encoding) Text(name, v string) {
	e.Name(name)
	e.Body = jsonx.AppendString(e.Body, v)
}

// Int writes a member.
func (e *Encoding) Int(name string, v int64) {
	e.Name(name)
	e.Body = strconv.AppendInt(e.Body, v, 10)
}

// Float writes a member, unless v is nil.
func (e *Encoding) Float(name string, v *float64) {
	if v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) {
		e.Name(name)
		e.Body = strconv.AppendFloat(e.Body, *v, 'g', -1, 64)
	}
}

// Bool writes a member.
func (e *Encoding) Bool(name string, v bool) {
	e.Name(name)
	e.Body = strconv.AppendBool(e.Body, v)
}

// Value writes JSON in the place of a value whose Name was written, or of an
// element.
func (e *Encoding) Value(v string) {
	e.Body = append(e.Body, v...)
	e.comma = true
}

// String writes a string in the place of a value.
func (e *Encoding) String(v string) {
	e.Body = jsonx.AppendString(e.Body, v)
	e.comma = true
}

// Open begins an object or array.
func (e *Encoding) Open(c byte) {
	e.Body = append(e.Body, c)
	e.comma = false
}

// Close ends an object or array.
func (e *Encoding) Close(c byte) {
	e.Body = append(e.Body, c)
	e.comma = true
}

// Element begins an element of an array.
func (e *Encoding) Element() {
	if e.comma {
		e.Body = append(e.Body, ',')
	}
	e.comma = false
}

// Extras settles the members without a field of their own: null means nothing;
// pass, unless it is nil, may write one down and say so; what is harmless is
// dropped; the rest is refused.
func (e *Encoding) Extras(list []llm.Extra, pass func(x llm.Extra) bool) {
	for _, x := range list {
		path, value := pattern(x.Path), compact(x.Value)
		switch {
		case value == "null":
		case pass != nil && pass(x):
		case harmless[path], slices.Contains(harmlessAs[path], value), path == "context_management" && onlyThoughts(x.Value):
			e.Drop(x.Path)
		case path == "tools.#" && kindOf(x.Value) != "":
			e.Refuse(fault.UnsupportedParameter, x.Path, "%s of type %.64s cannot be honoured for this model.", x.Path, kindOf(x.Value))
		default:
			e.Unsupported(x.Path)
		}
	}
}

// OneCall settles the wish for one call of a tool at a time, which the model cannot be
// told. It is dropped where one tool is forced, as structured output is asked for: a
// second call of the same tool does nothing else than the first. It is refused where
// callers cannot be told of two calls, and elsewhere: tools with a state depend on it.
func (e *Encoding) OneCall(c Call, chat *llm.Chat) {
	path := c.Named("parallel_tool_calls", "tool_choice.disable_parallel_tool_use")
	if chat.Forces() && !c.Request.Functions {
		e.Drop(path)
		return
	}
	e.Refuse(fault.UnsupportedParameter, path, "This model cannot be kept from calling several tools at once.")
}

// kindOf returns the type that an object says it is of.
func kindOf(v []byte) string {
	doc, err := jsonx.Parse(v)
	if err != nil {
		return ""
	}
	return doc.Root().Get("type").Text()
}

// pattern writes # for the numbers of a path.
func pattern(path string) string {
	parts := strings.Split(path, ".")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "#"
		}
	}
	return strings.Join(parts, ".")
}

// compact returns JSON without spaces, if it is short; long values equal none
// of those that are looked for.
func compact(v []byte) string {
	if len(v) > 64 {
		return string(v[:1])
	}
	return string(bytes.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\t' || r == '\r' {
			return -1
		}
		return r
	}, v))
}

// Input writes the arguments of a tool call of the history as an object, which some
// protocols want, under name; see [jsonx.AppendObject]. Of what is none path is told.
func (e *Encoding) Input(name string, args json.RawMessage, path string) {
	if len(args) > 0 && string(args) != "null" && !jsonx.IsObject(args) {
		e.Drop(path + ".function.arguments")
	}
	e.Name(name)
	e.Body = jsonx.AppendObject(e.Body, args)
}

// Blank reports whether p is a text in which there is nothing to be seen, which some
// protocols refuse.
func Blank(p *llm.Part) bool {
	return (p.Kind == llm.PartText || p.Kind == llm.PartRefusal) && strings.TrimSpace(p.Text) == ""
}

// Omit leaves a blank text out, and tells of what was in it, and of its mark.
func (e *Encoding) Omit(path string, p *llm.Part) {
	if p.Text != "" {
		e.Drop(path)
	}
	if p.Cache != nil {
		e.Drop(path + ".cache_control")
	}
}

// maxToolID is the longest id of a tool call that everybody takes.
const maxToolID = 64

// ToolID returns an id of a tool call that everybody takes: itself if it has at
// most 64 letters, digits, _ and -, or else a substitute that is the same every
// time, so that calls and results of later requests still fit.
func ToolID(id string) string {
	legal := id != "" && len(id) <= maxToolID
	for i := 0; i < len(id) && legal; i++ {
		c := id[i]
		legal = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	if legal {
		return id
	}
	return "call_" + ShortHash(id)
}

// ShortHash returns 20 small letters and digits that depend on all of the parts.
func ShortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:20])
}

// Pseudonym stands for a caller's user towards a provider: the same for the
// same user, and not to be traced back.
func Pseudonym(user string) string {
	sum := sha256.Sum256([]byte(user))
	return hex.EncodeToString(sum[:16])
}
