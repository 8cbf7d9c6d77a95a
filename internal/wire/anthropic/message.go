package anthropic

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

func newID() string { return "msg_" + rand.Text() }

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// stopReason returns Anthropic's word for f. An answer that calls a tool has
// ended for that, whatever the provider says, and one that refuses has refused.
func stopReason(f llm.Finish, called, refused bool) (string, error) {
	switch f {
	case llm.FinishStop, llm.FinishStopSequence, llm.FinishToolCalls:
		switch {
		case called:
			return "tool_use", nil
		case refused:
			return "refusal", nil
		case f == llm.FinishStopSequence:
			return "stop_sequence", nil
		}
		return "end_turn", nil
	case llm.FinishLength:
		return "max_tokens", nil
	case llm.FinishContextWindow:
		return "model_context_window_exceeded", nil
	case llm.FinishContentFilter:
		return "refusal", nil
	case llm.FinishPause:
		return "pause_turn", nil
	}
	return "", fmt.Errorf("finish %q has no stop_reason", f)
}

// uncached is the part of the input that was neither read from nor written to a
// cache, which is what Anthropic calls input_tokens.
func uncached(u llm.Usage) int64 {
	return max(0, u.Input-u.CachedInput-u.CacheWrite-u.CacheWrite1h)
}

// appendCounts appends the members that the usage of a message and that of
// message_delta have in common.
func appendCounts(dst []byte, u llm.Usage) []byte {
	dst = append(dst, `"input_tokens":`...)
	dst = appendInt(dst, uncached(u))
	dst = append(dst, `,"cache_creation_input_tokens":`...)
	dst = appendInt(dst, u.CacheWrite+u.CacheWrite1h)
	dst = append(dst, `,"cache_read_input_tokens":`...)
	dst = appendInt(dst, u.CachedInput)
	dst = append(dst, `,"output_tokens":`...)
	dst = appendInt(dst, u.Output)
	dst = append(dst, `,"output_tokens_details":{"thinking_tokens":`...)
	dst = appendInt(dst, u.Reasoning)
	return append(dst, `},"server_tool_use":null`...)
}

// appendUsage appends the usage of a message.
func appendUsage(dst []byte, u llm.Usage) []byte {
	dst = appendCounts(append(dst, '{'), u)
	dst = append(dst, `,"cache_creation":{"ephemeral_5m_input_tokens":`...)
	dst = appendInt(dst, u.CacheWrite)
	dst = append(dst, `,"ephemeral_1h_input_tokens":`...)
	dst = appendInt(dst, u.CacheWrite1h)
	return append(dst, `},"inference_geo":null,"service_tier":null,"speed":null}`...)
}

// appendStop appends the members that say why a message ended.
func appendStop(dst []byte, reason, sequence string, hasSequence bool) []byte {
	dst = append(dst, `"stop_reason":"`...)
	dst = append(dst, reason...)
	dst = append(dst, `","stop_sequence":`...)
	if hasSequence {
		dst = jsonx.AppendString(dst, sequence)
	} else {
		dst = append(dst, `null`...)
	}
	if reason == "refusal" {
		return append(dst, `,"stop_details":{"type":"refusal","category":null,"explanation":null},"container":null`...)
	}
	return append(dst, `,"stop_details":null,"container":null`...)
}

// appendHead appends the members that a message begins with.
func appendHead(dst []byte, model string) []byte {
	dst = append(dst, `"id":"`...)
	dst = append(dst, newID()...)
	dst = append(dst, `","type":"message","role":"assistant","model":`...)
	return jsonx.AppendString(dst, model)
}

// appendMessage appends a whole message but for its usage.
func appendMessage(dst []byte, model string, a *llm.Answer) ([]byte, error) {
	if len(a.Choices) != 1 {
		return dst, fmt.Errorf("answer with %d choices has no place in a message", len(a.Choices))
	}
	c := &a.Choices[0]
	dst = appendHead(append(dst, '{'), model)
	dst = append(dst, `,"content":[`...)
	var called, refused bool
	empty := len(dst)
	for i := range c.Parts {
		p := &c.Parts[i]
		if (p.Kind == llm.PartText || p.Kind == llm.PartRefusal) && p.Text == "" {
			continue // the dialect knows no empty text
		}
		called = called || p.Kind == llm.PartToolCall
		refused = refused || p.Kind == llm.PartRefusal
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendBlock(dst, p); err != nil {
			return dst, err
		}
	}
	reason, err := stopReason(c.Finish, called, refused)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `],`...)
	dst = appendStop(dst, reason, c.StopSequence, reason == "stop_sequence")
	return append(dst, `,"diagnostics":null}`...), nil
}

// appendBlock appends one block of content.
func appendBlock(dst []byte, p *llm.Part) ([]byte, error) {
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		dst = append(dst, `{"type":"text","text":`...)
		dst = jsonx.AppendString(dst, p.Text)
		dst = append(dst, `,"citations":`...)
		dst = appendCitations(dst, p.Citations)
	case llm.PartReasoning:
		dst = append(dst, `{"type":"thinking","thinking":`...)
		dst = jsonx.AppendString(dst, p.Text)
		dst = append(dst, `,"signature":`...)
		dst = jsonx.AppendString(dst, p.Signature)
	case llm.PartRedacted:
		dst = append(dst, `{"type":"redacted_thinking","data":`...)
		dst = jsonx.AppendString(dst, p.Data)
	case llm.PartToolCall:
		dst = append(dst, `{"type":"tool_use","id":`...)
		dst = jsonx.AppendString(dst, toolID(p.ToolID))
		dst = append(dst, `,"name":`...)
		dst = jsonx.AppendString(dst, p.ToolName)
		dst = append(dst, `,"input":`...)
		dst = jsonx.AppendObject(dst, p.Args)
		dst = append(dst, `,"caller":{"type":"direct"}`...)
	case llm.PartImage, llm.PartAudio, llm.PartFile, llm.PartToolResult:
		return dst, errors.New("answer holds media, which have no place in a message")
	}
	return append(dst, '}'), nil
}

// toolID returns the id of a tool call, or a new one where the provider gave
// none: the result must be able to name it.
func toolID(id string) string {
	if id == "" {
		return "toolu_" + rand.Text()
	}
	return id
}

// appendCitations appends citations in Anthropic's own form. Annotations of other
// dialects lack what it demands, and are left out. Without any the list is empty:
// Anthropic's schema demands the member, and the AI SDK of Vercel takes no null
// (@ai-sdk/anthropic 3).
func appendCitations(dst, citations []byte) []byte {
	start := len(dst)
	if doc, err := jsonx.Parse(citations); err == nil {
		for _, c := range doc.Root().Items() {
			if isCitation(c) {
				if len(dst) == start {
					dst = append(dst, '[')
				} else {
					dst = append(dst, ',')
				}
				dst = append(dst, c.Raw()...)
			}
		}
	}
	if len(dst) == start {
		dst = append(dst, '[')
	}
	return append(dst, ']')
}

func isCitation(c jsonx.Value) bool {
	switch c.Get("type").Text() {
	case "char_location", "page_location", "content_block_location", "web_search_result_location", "search_result_location":
		return true
	}
	return false
}
