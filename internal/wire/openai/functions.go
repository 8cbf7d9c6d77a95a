package openai

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Functions are the predecessor of tools: one is called at a time, calls have no
// ids, and a result is a message of its own role that names the function.

// legacy reports whether a body offers functions and no tools.
func legacy(root jsonx.Value) bool {
	return root.Get("functions").Len() > 0 && root.Get("tools").Len() == 0
}

// functions takes over the definitions, as tools of which one is called at a time.
func (d *decoder) functions(list jsonx.Value) {
	for _, f := range list.Items() {
		d.Chat.Tools = append(d.Chat.Tools, d.function(f))
	}
	one := false
	d.Chat.ParallelTools = &one
}

// functionChoice takes over which function may be called.
func (d *decoder) functionChoice(v jsonx.Value) {
	switch {
	case v.Is("auto"), v.Is("none"):
		d.Chat.ToolChoice = &llm.ToolChoice{Mode: llm.ToolMode(v.Text())}
	default:
		d.Chat.ToolChoice = &llm.ToolChoice{Mode: llm.ToolNamed, Name: v.Get("name").Text()}
		d.Extras(v, "name")
	}
}

// functionCall takes over a call, whose id is made of the place of its message:
// it is the same in every later request.
func (d *decoder) functionCall(v jsonx.Value) llm.Part {
	d.calls = "call_" + strconv.Itoa(len(d.Chat.Messages))
	d.called = v.Get("name").Text()
	d.Extras(v, "name", "arguments")
	return llm.Part{Kind: llm.PartToolCall, ToolID: d.calls, ToolName: d.called, Args: arguments(v.Get("arguments"))}
}

// functionPlace returns the names of places for callers who offer functions.
func functionPlace(path string) string {
	head, rest, more := strings.Cut(path, ".")
	switch head {
	case "tools", "parallel_tool_calls":
		head = "functions"
	case "tool_choice":
		head = "function_call"
	default:
		return path
	}
	if !more {
		return head
	}
	return head + "." + strings.Replace(rest, ".function.", ".", 1)
}
