package llm

import (
	"encoding/json"
	"slices"
)

// Role is who speaks.
type Role string

// The roles. Tool results are parts of user messages, as in Anthropic's
// dialect; see [PartToolResult].
const (
	RoleSystem    Role = "system" // system or developer, in the middle of a conversation
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// Chat is a whole conversation with its settings. A dialect that decodes into
// it puts every member of the request either in a field of its own or in
// Extra; an encoder consumes all of both, drops what is on its written list of
// harmless drops, and refuses the rest with unsupported_parameter.
type Chat struct {
	System   []Part // leading system messages, in order
	Messages []Message

	Tools         []Tool
	ToolChoice    *ToolChoice
	ParallelTools *bool

	Format    *Format
	Reasoning *Reasoning

	MaxOutput        *int64
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	FrequencyPenalty *float64
	PresencePenalty  *float64
	Seed             *int64
	Stop             []string
	Choices          int // 0 and 1 are the same
	User             string

	Extra []Extra // members without a field above, in the order of the request
}

// Extra is a member of the request that has no canonical field.
type Extra struct {
	Path  string // with dots: "logprobs", "messages.2.name"
	Value json.RawMessage
}

// Message is one turn.
type Message struct {
	Role  Role
	Parts []Part
}

// PartKind tells what a Part is.
type PartKind uint8

// The kinds of Part.
const (
	PartText       PartKind = iota // Text
	PartImage                      // URL, or Data with MediaType
	PartAudio                      // Data with MediaType
	PartVideo                      // Data with MediaType, or URL
	PartFile                       // Data with MediaType and Name, or URL, or FileID, or Text for a plain document
	PartToolCall                   // ToolID, ToolName, Args; of a custom tool Text in the place of Args
	PartToolResult                 // ToolID, Parts, IsError
	PartReasoning                  // Text, Signature
	PartRedacted                   // Data is opaque to all but its provider
	PartRefusal                    // Text
)

// Part is one piece of a message.
type Part struct {
	Kind      PartKind
	Text      string
	URL       string
	MediaType string
	Data      string // base64, as it came
	FileID    string
	Name      string // of a file
	Detail    string // of an image: low, high, auto

	ToolID   string
	ToolName string
	Args     json.RawMessage // JSON text of the arguments; an object unless the model wrote something else
	Parts    []Part          // of a tool result
	IsError  bool            // of a tool result
	Custom   bool            // of a tool call, and of a result: the tool is a custom one; of results only if the dialect tells

	// Signature is the provider's own state that belongs to the part: what
	// seals reasoning, or comes with a tool call or a text (Gemini). Where the
	// provider speaks another dialect than the caller it is a [Seal].
	Signature string
	Cache     *CacheMark
	Citations json.RawMessage // annotations in their dialect's JSON
}

// Cite adds an annotation to the citations.
func (p *Part) Cite(annotation json.RawMessage) {
	if len(p.Citations) == 0 {
		p.Citations = append(append(append(p.Citations, '['), annotation...), ']')
		return
	}
	p.Citations = append(append(append(p.Citations[:len(p.Citations)-1], ','), annotation...), ']')
}

// Argue adds a piece to what a tool is called with. That of a custom tool stands in
// Args, too, for callers who know none.
func (p *Part) Argue(piece string) {
	if p.Custom {
		p.Text += piece
	}
	p.Args = append(p.Args, piece...)
}

// CacheMark asks the provider to cache the prompt up to here.
type CacheMark struct{ TTL string } // "", "5m", "1h", "30m"

// Tool is a function that the model may call, or a custom tool, which takes text.
type Tool struct {
	Name        string
	Description string
	Schema      json.RawMessage // JSON Schema of the arguments; nil: no arguments
	Strict      *bool
	Cache       *CacheMark

	Custom  bool     // it takes text, and has no Schema
	Grammar *Grammar // of the text; nil: any text
}

// Grammar is what the text for a custom tool must match.
type Grammar struct{ Syntax, Definition string }

// CustomInput is the one parameter of a function that stands for a custom tool.
const CustomInput = "input"

// IsCustom reports whether a custom tool has the name.
func (c *Chat) IsCustom(name string) bool {
	for i := range c.Tools {
		if c.Tools[i].Name == name {
			return c.Tools[i].Custom
		}
	}
	return false
}

// ToolMode says whether the model may, must or must not call a tool.
type ToolMode string

// The tool modes.
const (
	ToolAuto     ToolMode = "auto"
	ToolNone     ToolMode = "none"
	ToolRequired ToolMode = "required"
	ToolNamed    ToolMode = "named"
)

// ToolChoice restricts the calling of tools.
type ToolChoice struct {
	Mode    ToolMode
	Name    string   // for ToolNamed
	Allowed []string // for ToolAuto and ToolRequired: the only tools that may be called; nil: all
}

// Narrow returns a choice of mode among the named tools, which of one tool that
// must be called is that tool.
func Narrow(mode ToolMode, names []string) *ToolChoice {
	if mode == ToolRequired && len(names) == 1 {
		return &ToolChoice{Mode: ToolNamed, Name: names[0]}
	}
	return &ToolChoice{Mode: mode, Allowed: names}
}

// Offers reports whether the choice lets the model call the named tool, as far as
// it says which. It says so also for protocols that have no word for it: there the
// others are not defined.
func (c *Chat) Offers(name string) bool {
	t := c.ToolChoice
	return t == nil || t.Allowed == nil || slices.Contains(t.Allowed, name)
}

// Forces reports whether one tool must be called, and no other can be.
func (c *Chat) Forces() bool {
	t := c.ToolChoice
	switch {
	case t == nil:
		return false
	case t.Mode != ToolRequired:
		return t.Mode == ToolNamed
	}
	n := 0
	for i := range c.Tools {
		if c.Offers(c.Tools[i].Name) {
			n++
		}
	}
	return n == 1
}

// Format asks for structured output.
type Format struct {
	JSON        bool            // any JSON object
	Schema      json.RawMessage // JSON that matches this; nil with JSON set: no schema
	Name        string
	Description string
	Strict      *bool
}

// Reasoning asks for or against thinking. At most one of Effort, Budget and
// Adaptive is set.
type Reasoning struct {
	Disabled bool
	Adaptive bool
	Effort   string // none, minimal, low, medium, high, xhigh, max
	Budget   int64  // tokens
	Display  string // summarized, omitted; empty: the provider's default
}
