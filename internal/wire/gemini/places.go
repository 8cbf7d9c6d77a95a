package gemini

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
)

// settings are the names of this dialect for what providers name as chat
// completions or Anthropic's messages do.
var settings = map[string]string{
	"n": "candidateCount", "temperature": "temperature", "top_p": "topP", "top_k": "topK", "seed": "seed",
	"max_tokens": "maxOutputTokens", "max_completion_tokens": "maxOutputTokens", "stop": "stopSequences", "stop_sequences": "stopSequences",
	"presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
	"reasoning_effort": "thinkingConfig", "thinking": "thinkingConfig", "output_config.effort": "thinkingConfig",
	"response_format": "responseSchema", "output_config.format": "responseSchema", "output_format": "responseSchema",
}

// place returns the function that gives this dialect's own name of a place in a
// conversation, of which root is the body; see llm.Request.
func place(root jsonx.Value) func(path string) string {
	return func(path string) string {
		prefix := root.Path()
		if prefix != "" {
			prefix += "."
		}
		head, rest, _ := strings.Cut(path, ".")
		switch head {
		case "messages":
			if rest == "" {
				return prefix + "contents"
			}
			n, rest, _ := strings.Cut(rest, ".")
			own := prefix + "contents." + n
			if part, ok := strings.CutPrefix(rest, "content."); ok {
				part, _, _ = strings.Cut(part, ".")
				own += ".parts." + part
			}
			return own
		case "tools":
			return toolPlace(root, path, rest)
		case "tool_choice":
			return prefix + "toolConfig.functionCallingConfig"
		}
		for _, name := range []string{path, head} {
			if own := settings[name]; own != "" {
				return prefix + "generationConfig." + own
			}
		}
		return path
	}
}

// toolPlace returns the place of a function, of which number is that among all,
// with what follows behind a dot. What is a place in the body as it is stays so.
func toolPlace(root jsonx.Value, path, number string) string {
	number, more, found := strings.Cut(number, ".")
	member, _, _ := strings.Cut(more, ".")
	n, err := strconv.Atoi(number)
	tools := get(root, "tools")
	all := functions(tools)
	if err != nil || n >= len(all) || found && tools.At(n).Get(member).Exists() {
		return path
	}
	own := all[n].Path()
	if found {
		own += "." + more
	}
	return own
}
