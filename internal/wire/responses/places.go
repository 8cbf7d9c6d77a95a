package responses

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
)

// places knows where everything in a conversation stood in the body. A nil
// *places takes no notes.
type places struct {
	said  [][]string // of each message: of its parts
	tools []string   // of each function, and of each custom tool
}

// placesOf decodes a checked body once more, for where everything stood.
func placesOf(root jsonx.Value) *places {
	d := decoder{Taking: dialect.Begin(), at: &places{}}
	d.request(root)
	return d.at
}

// parts notes that n more parts of a message stood at from, each or all together.
func (p *places) parts(message, n int, from []jsonx.Value) {
	if p == nil {
		return
	}
	for len(p.said) <= message {
		p.said = append(p.said, nil)
	}
	for i := range n {
		p.said[message] = append(p.said[message], from[min(i, len(from)-1)].Path())
	}
}

// tool notes where the next function stood.
func (p *places) tool(t jsonx.Value) {
	if p != nil {
		p.tools = append(p.tools, t.Path())
	}
}

// named are the members that have another name in chat completions, or in
// Anthropic's dialect, by which providers call them.
var named = map[string]string{
	"messages":              "input",
	"max_tokens":            "max_output_tokens",
	"max_completion_tokens": "max_output_tokens",
	"response_format":       "text.format",
	"reasoning_effort":      "reasoning.effort",
	"thinking":              "reasoning.effort",
	"thinking.display":      "reasoning.summary",
	"verbosity":             "text.verbosity",
	"system":                "instructions",
}

// ofTool are the members of a function that providers name by its number among all
// functions; what is named by its place in the body has other members.
var ofTool = map[string]bool{"strict": true, "name": true, "function.name": true, "custom.format": true}

// of returns the caller's own name of a place in the conversation.
func (p *places) of(path string) string {
	top, rest, _ := strings.Cut(path, ".")
	index, rest, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(index)
	switch {
	case top == "messages" && err == nil && n < len(p.said) && len(p.said[n]) > 0:
		return p.part(p.said[n], rest)
	case top == "tools" && err == nil && n < len(p.tools) && ofTool[rest]:
		return join(p.tools[n], strings.TrimPrefix(strings.TrimPrefix(rest, "function."), "custom."))
	case named[path] != "":
		return named[path]
	case named[top] != "":
		return named[top]
	}
	return path
}

// part returns where a part of a message stood, or the item that the message
// began with.
func (p *places) part(parts []string, rest string) string {
	member, rest, _ := strings.Cut(rest, ".")
	index, rest, _ := strings.Cut(rest, ".")
	if n, err := strconv.Atoi(index); err == nil && member == "content" && n < len(parts) {
		return join(parts[n], strings.TrimPrefix(rest, "image_url.")) // here that is a string, and what is in it stands beside it
	}
	item := strings.SplitN(parts[0], ".", 3)
	return strings.Join(item[:min(2, len(item))], ".")
}

func join(path, rest string) string {
	if rest == "" {
		return path
	}
	return path + "." + rest
}
