package fidelity

import (
	"bytes"
	"fmt"
)

// geminiFinishes are our words for theirs.
var geminiFinishes = map[string]string{
	"STOP": "stop", "MAX_TOKENS": "length",
	"SAFETY": "content_filter", "BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter",
	"IMAGE_SAFETY": "content_filter", "IMAGE_PROHIBITED_CONTENT": "content_filter", "RECITATION": "content_filter", "LANGUAGE": "content_filter",
	"IMAGE_RECITATION": "content_filter",
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
			a.choice(0).raw, a.choice(0).finish = r, "content_filter"
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
			key := fmt.Sprint(len(s.calls))
			args := in(call, "args")
			n := s.call(key)
			n.id, n.name, n.args = text(in(call, "id")), text(in(call, "name")), string(args)
		case yes(in(p, "thought")):
			s.thought += text(in(p, "text"))
		case in(p, "text") != nil:
			s.text += text(in(p, "text"))
		case any1(p, "inlineData", "executableCode", "codeExecutionResult", "fileData") != nil:
			s.beyond = true
		}
	}
	if in(c, "groundingMetadata") != nil || in(c, "citationMetadata") != nil || in(c, "urlContextMetadata") != nil {
		s.beyond = true
	}
	if r := text(in(c, "finishReason")); r != "" && r != "FINISH_REASON_UNSPECIFIED" {
		s.raw = r
		if s.finish = geminiFinishes[r]; s.finish == "" {
			s.finish = "error"
		}
	}
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
