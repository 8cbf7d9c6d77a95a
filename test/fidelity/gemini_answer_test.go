package fidelity

import (
	"bytes"
	"fmt"
	"strings"
)

// geminiFinishes are our words for theirs.
var geminiFinishes = map[string]string{
	"STOP": "stop", "MAX_TOKENS": "length",
	"SAFETY": "content_filter", "BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter",
	"IMAGE_SAFETY": "content_filter", "IMAGE_PROHIBITED_CONTENT": "content_filter", "RECITATION": "content_filter", "LANGUAGE": "content_filter",
	"IMAGE_RECITATION": "content_filter", "MODEL_ARMOR": "content_filter",
	"MALFORMED_FUNCTION_CALL": "error", "UNEXPECTED_TOOL_CALL": "error", "TOO_MANY_TOOL_CALLS": "error", "OTHER": "error", "NO_IMAGE": "error",
	"IMAGE_OTHER": "error", "MISSING_THOUGHT_SIGNATURE": "error", "MALFORMED_RESPONSE": "error",
}

// readGemini reads a response of generateContent, whole or as events.
func readGemini(_ string, body []byte, sse bool) (a answer) {
	body = bytes.TrimSpace(body)
	chunks := []value{body}
	switch {
	case sse && bytes.HasPrefix(body, []byte("data:")):
		chunks = nil
		for _, e := range events(body) {
			if len(e.data) > 0 && string(e.data) != "[DONE]" {
				chunks = append(chunks, e.data)
			}
		}
	case len(body) > 0 && body[0] == '[': // a stream without events, or an error in an array
		chunks = items(body)
	}
	a.ended = !sse
	defer func() {
		for _, s := range a.choices { // it has no word of its own for calls
			s.finish = s.closes()
		}
	}()
	usage := map[string]value{}
	for _, c := range chunks {
		if members(c) == nil {
			a.failed = fmt.Sprintf("not JSON: %.100q", c)
			continue
		}
		if e := in(c, "error"); e != nil {
			a.failed = string(e)
		}
		if m := text(in(c, "modelVersion")); m != "" {
			a.model = m
		}
		if r := text(in(c, "promptFeedback", "blockReason")); r != "" && len(items(in(c, "candidates"))) == 0 {
			a.prompted = r
		}
		for i, candidate := range items(in(c, "candidates")) {
			if n := in(candidate, "index"); n != nil {
				i = int(count(n))
			}
			a.candidate(a.choice(i), candidate)
		}
		merge(usage, in(c, "usageMetadata"))
	}
	a.usage = geminiUsage(usage)
	return a
}

func (a *answer) candidate(s *said, c value) {
	for _, p := range items(in(c, "content", "parts")) {
		call := in(p, "functionCall")
		switch {
		case call != nil:
			s.geminiCall(call)
		case yes(in(p, "thought")):
			s.thought += text(in(p, "text"))
			if in(p, "inlineData") != nil {
				s.left = append(s.left, "thought image")
			}
		case in(p, "text") != nil:
			s.text += text(in(p, "text"))
		case any1(p, "inlineData", "fileData") != nil:
			s.geminiMedia(any1(p, "inlineData", "fileData"))
		default:
			for _, name := range []string{"executableCode", "codeExecutionResult", "toolCall", "toolResponse"} {
				if in(p, name) != nil {
					s.beyond, s.left = true, append(s.left, name)
				}
			}
		}
	}
	if in(c, "groundingMetadata") != nil || in(c, "citationMetadata") != nil || in(c, "urlContextMetadata") != nil {
		s.beyond = true
	}
	if r := geminiEnum(in(c, "finishReason"), "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER"); r != "" && r != "FINISH_REASON_UNSPECIFIED" {
		s.raw = r
		if s.finish = geminiFinishes[r]; s.finish == "" {
			s.finish = "stop"
		}
	}
}

func (s *said) geminiMedia(v value) {
	if mime := text(in(v, "mimeType")); strings.HasPrefix(mime, "image/") {
		s.images = append(s.images, part{kind: "image", mime: mime, data: text(in(v, "data")), url: text(in(v, "fileUri"))})
		return
	}
	s.sound = true
}

// geminiEnum is the name of an enumerator, which some clients ask for and send as
// its number.
func geminiEnum(v value, names ...string) string {
	if isText(v) || v == nil {
		return text(v)
	}
	if n := count(v); n < int64(len(names)) {
		return names[n]
	}
	return string(v)
}

// geminiUsage reads a usage: thoughts stand beside what the candidates say, and
// prompts of tools beside the prompt.
func geminiUsage(u map[string]value) *tokens {
	input := count(u["promptTokenCount"]) + count(u["toolUsePromptTokenCount"])
	if input == 0 {
		return nil
	}
	thought := count(u["thoughtsTokenCount"])
	return &tokens{Input: input, Cached: count(u["cachedContentTokenCount"]), Output: count(u["candidatesTokenCount"]) + thought, Reasoning: thought}
}

// geminiCall reads a call, or a piece of the one that was told to continue.
func (s *said) geminiCall(call value) {
	if s.pieces == nil {
		n := s.call(fmt.Sprint(len(s.calls)))
		n.id, n.name, n.args = text(in(call, "id")), text(in(call, "name")), string(in(call, "args"))
		if yes(in(call, "willContinue")) {
			s.pieces = map[string]any{}
		}
		return
	}
	for _, p := range items(in(call, "partialArgs")) {
		put(s.pieces, strings.Split(strings.ReplaceAll(strings.TrimPrefix(text(in(p, "jsonPath")), "$."), "[", ".["), "."), p)
	}
	if !yes(in(call, "willContinue")) {
		n := &s.calls[len(s.calls)-1]
		n.args, n.loose = string(encode(plain(s.pieces))), true
		s.pieces = nil
	}
}

// put sets the value at a path of names and indexes, or lets a text there grow.
func put(o map[string]any, path []string, p value) {
	for _, name := range path[:len(path)-1] {
		if _, ok := o[name].(map[string]any); !ok {
			o[name] = map[string]any{}
		}
		o = o[name].(map[string]any)
	}
	last := path[len(path)-1]
	if s := in(p, "stringValue"); s != nil {
		before, _ := o[last].(string)
		o[last] = before + text(s)
		return
	}
	if v := any1(p, "numberValue", "boolValue"); v != nil {
		o[last] = v
	} else if _, isNull := members(p)["nullValue"]; isNull {
		o[last] = nil
	}
}

// plain makes lists of what has indexes.
func plain(v any) any {
	o, ok := v.(map[string]any)
	if !ok {
		return v
	}
	list := make([]any, len(o))
	for k, x := range o {
		o[k] = plain(x)
		var i int
		if n, err := fmt.Sscanf(k, "[%d]", &i); n != 1 || err != nil || i >= len(o) {
			list = nil
		} else if list != nil {
			list[i] = o[k]
		}
	}
	if len(list) == 0 {
		return o
	}
	return list
}
