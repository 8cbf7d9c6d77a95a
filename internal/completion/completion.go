// Package completion writes answers in the grammar of OpenAI's chat completions,
// for the surfaces that speak it whatever provider answered.
//
// Beyond the official members it uses three that have become customary: images are
// those that the model made, reasoning_content is the text of the model's reasoning, and thinking_blocks
// carries reasoning with the seal of its provider, so that a caller who sends
// the message back unchanged gives the model its reasoning back.
package completion

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Head is what every chunk of a stream, or a whole answer, says of itself.
type Head struct {
	ID      string
	Created int64 // Unix seconds
	Model   string

	Custom    bool // the caller knows custom tools; to others their calls are told as those of functions
	Functions bool // the caller knows functions, and no tools: of which one is called at a time
}

// NewID returns an id for an answer, unlike any other.
func NewID() string { return "chatcmpl-" + rand.Text() }

// lengthReason is the finish_reason of an answer that reached a limit.
const lengthReason = "length"

// FinishReason returns OpenAI's word for f. A choice that called a tool has
// ended for that, whatever the provider says: agents act on the word. An unfinished
// server-side turn has no word, and is an error.
func FinishReason(f llm.Finish, calledTool bool) (string, error) {
	switch f {
	case llm.FinishStop, llm.FinishStopSequence:
		if calledTool {
			return "tool_calls", nil
		}
		return "stop", nil
	case llm.FinishLength, llm.FinishContextWindow:
		return lengthReason, nil
	case llm.FinishToolCalls:
		return "tool_calls", nil
	case llm.FinishContentFilter:
		return "content_filter", nil
	}
	return "", fmt.Errorf("finish %q has no finish_reason", f)
}

// reason is FinishReason for the caller of the answer.
func (h Head) reason(f llm.Finish, calledTool bool) (string, error) {
	reason, err := FinishReason(f, calledTool)
	if h.Functions && reason == "tool_calls" {
		reason = "function_call"
	}
	return reason, err
}

// AppendUsage appends the value of the member usage.
func AppendUsage(dst []byte, u llm.Usage) []byte {
	dst = append(dst, `{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, u.Input, 10)
	dst = append(dst, `,"completion_tokens":`...)
	dst = strconv.AppendInt(dst, u.Output, 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, u.Input+u.Output, 10)
	dst = append(dst, `,"prompt_tokens_details":{"cached_tokens":`...)
	dst = strconv.AppendInt(dst, u.CachedInput, 10)
	dst = append(dst, `,"cache_write_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheWrite+u.CacheWrite1h, 10)
	dst = append(dst, `},"completion_tokens_details":{"reasoning_tokens":`...)
	dst = strconv.AppendInt(dst, u.Reasoning, 10)
	return append(dst, `}}`...)
}

// AppendWhole appends the members of a whole answer but for the braces around
// them: id to choices.
func AppendWhole(dst []byte, h Head, a *llm.Answer) ([]byte, error) {
	dst = append(dst, `"id":`...)
	dst = jsonx.AppendString(dst, h.ID)
	dst = append(dst, `,"object":"chat.completion","created":`...)
	dst = strconv.AppendInt(dst, h.Created, 10)
	dst = append(dst, `,"model":`...)
	dst = jsonx.AppendString(dst, h.Model)
	dst = append(dst, `,"choices":[`...)
	for i := range a.Choices {
		c := &a.Choices[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"message":`...)
		var err error
		var called bool
		if dst, called, err = appendMessage(dst, c.Parts, h); err != nil {
			return dst, err
		}
		dst = append(dst, `,"logprobs":`...)
		if len(c.Logprobs) > 0 {
			dst = append(dst, completed(c.Logprobs)...)
		} else {
			dst = append(dst, `null`...)
		}
		reason, err := h.reason(c.Finish, called)
		if err != nil {
			return dst, err
		}
		dst = append(dst, `,"finish_reason":"`...)
		dst = append(dst, reason...)
		dst = append(dst, `"}`...)
	}
	return append(dst, ']'), nil
}

// message gathers the parts of a message under the members they go to.
type message struct {
	text, refusal, reasoning []byte
	hasText, hasRefusal      bool
	calls, blocks, notes     []byte // JSON elements with commas between them
	images                   []byte // likewise
	ncalls, nimages, runes   int
	functions, custom        bool
}

// AppendMessage appends the assistant's message and reports whether it calls a
// tool.
func AppendMessage(dst []byte, parts []llm.Part) (out []byte, called bool, err error) {
	return appendMessage(dst, parts, Head{})
}

func appendMessage(dst []byte, parts []llm.Part, h Head) (out []byte, called bool, err error) {
	m := message{functions: h.Functions, custom: h.Custom}
	for i := range parts {
		if err := m.add(&parts[i]); err != nil {
			return dst, false, err
		}
	}
	dst = append(dst, `{"role":"assistant","content":`...)
	// A message without anything is an empty text, not none.
	if m.hasText || m.ncalls == 0 && !m.hasRefusal {
		dst = jsonx.AppendString(dst, string(m.text))
	} else {
		dst = append(dst, `null`...)
	}
	dst = append(dst, `,"refusal":`...)
	if m.hasRefusal {
		dst = jsonx.AppendString(dst, string(m.refusal))
	} else {
		dst = append(dst, `null`...)
	}
	if len(m.reasoning) > 0 {
		dst = append(dst, `,"reasoning_content":`...)
		dst = jsonx.AppendString(dst, string(m.reasoning))
	}
	if m.functions && m.ncalls > 0 {
		dst = append(append(dst, `,"function_call":`...), m.calls...)
		m.calls = nil
	}
	for _, list := range []struct {
		name     string
		elements []byte
	}{{"thinking_blocks", m.blocks}, {"tool_calls", m.calls}, {"annotations", m.notes}, {"images", m.images}} {
		if len(list.elements) > 0 {
			dst = append(dst, `,"`...)
			dst = append(dst, list.name...)
			dst = append(dst, `":[`...)
			dst = append(dst, list.elements...)
			dst = append(dst, ']')
		}
	}
	return append(dst, '}'), m.ncalls > 0, nil
}

func (m *message) add(p *llm.Part) error {
	switch p.Kind {
	case llm.PartText:
		start := m.runes
		m.text, m.hasText = append(m.text, p.Text...), true
		m.runes += utf8.RuneCountInString(p.Text)
		if len(p.Citations) > 0 {
			if doc, err := jsonx.Parse(p.Citations); err == nil {
				for _, c := range doc.Root().Items() {
					m.notes = appendCitation(m.notes, c, start, m.runes)
				}
			}
		}
	case llm.PartReasoning:
		m.reasoning = append(m.reasoning, p.Text...)
		if p.Signature != "" {
			m.blocks = appendThinking(comma(m.blocks), p.Text, p.Signature)
		}
	case llm.PartRedacted:
		m.blocks = appendRedacted(comma(m.blocks), p.Data)
	case llm.PartRefusal:
		m.refusal, m.hasRefusal = append(m.refusal, p.Text...), true
	case llm.PartToolCall:
		if m.ncalls++; m.functions {
			if m.ncalls > 1 {
				return errSeveralFunctions
			}
			m.calls = appendCall(m.calls, p)
			return nil
		}
		m.calls = append(comma(m.calls), `{"id":`...)
		m.calls = jsonx.AppendString(m.calls, p.ToolID)
		if p.Custom && m.custom {
			m.calls = append(appendInput(m.calls, p.ToolName, p.Text), '}')
			return nil
		}
		m.calls = appendCall(append(m.calls, `,"type":"function","function":`...), p)
		m.calls = append(appendState(m.calls, p.Signature), '}')
	case llm.PartImage:
		m.images = appendImage(comma(m.images), m.nimages, p, p.Signature)
		m.nimages++
	default:
		return fmt.Errorf("part of kind %d has no place in a chat completion", p.Kind)
	}
	return nil
}

// appendImage appends an image that the model made, the nth of its message, as
// OpenRouter has it, where the official grammar has no place for one:
// openrouter.ai/docs/features/multimodal/image-generation. Its base64 is as it came.
func appendImage(dst []byte, n int, p *llm.Part, signature string) []byte {
	dst = append(dst, `{"type":"image_url","image_url":{"url":`...)
	if p.Data == "" {
		dst = jsonx.AppendString(dst, p.URL)
	} else {
		dst = jsonx.AppendString(dst, "data:"+p.MediaType+";base64,"+p.Data)
	}
	dst = strconv.AppendInt(append(dst, `},"index":`...), int64(n), 10)
	return append(appendState(dst, signature), '}')
}

// errSeveralFunctions is of an answer that calls more than one.
var errSeveralFunctions = errors.New("answer calls several functions at once")

// appendCall appends whom a call calls, and with what.
func appendCall(dst []byte, p *llm.Part) []byte {
	dst = jsonx.AppendString(append(dst, `{"name":`...), p.ToolName)
	dst = jsonx.AppendString(append(dst, `,"arguments":`...), arguments(p.Args))
	return append(dst, '}')
}

// appendInput appends the members of a call that tell of a custom tool.
func appendInput(dst []byte, name, text string) []byte {
	dst = jsonx.AppendString(append(dst, `,"type":"custom","custom":{"name":`...), name)
	return append(jsonx.AppendString(append(dst, `,"input":`...), text), '}')
}

// appendState appends the state that belongs to a tool call, or an image, where Google's own
// API in this grammar has it.
func appendState(dst []byte, signature string) []byte {
	if signature == "" {
		return dst
	}
	dst = append(dst, `,"extra_content":{"google":{"thought_signature":`...)
	return append(jsonx.AppendString(dst, signature), `}}`...)
}

// arguments is the text of the arguments as the model wrote it.
func arguments(raw []byte) string {
	if len(raw) == 0 {
		return "{}"
	}
	if raw[0] == '"' { // the model wrote no JSON, and we had to wrap it up
		if doc, err := jsonx.Parse(raw); err == nil {
			return doc.Root().Text()
		}
	}
	return string(raw)
}

func comma(dst []byte) []byte {
	if len(dst) > 0 {
		return append(dst, ',')
	}
	return dst
}

func appendThinking(dst []byte, text, signature string) []byte {
	dst = append(dst, `{"type":"thinking","thinking":`...)
	dst = jsonx.AppendString(dst, text)
	dst = append(dst, `,"signature":`...)
	dst = jsonx.AppendString(dst, signature)
	return append(dst, '}')
}

func appendRedacted(dst []byte, data string) []byte {
	dst = append(dst, `{"type":"redacted_thinking","data":`...)
	dst = jsonx.AppendString(dst, data)
	return append(dst, '}')
}

// appendCitation appends an annotation of a text that stands from start to end.
// Those of chat completions go as they are, others that name a URL are
// translated, and those that point into a document of the prompt have no
// counterpart and are left out.
func appendCitation(dst []byte, c jsonx.Value, start, end int) []byte {
	flat := c.Get("type").Is("url_citation") // as responses have it, which count from the beginning of the text
	if flat && c.Get("url_citation").Kind() == jsonx.Object {
		return append(comma(dst), c.Raw()...)
	}
	url := c.Get("url")
	if url.Kind() != jsonx.String {
		return dst
	}
	if from, ok := c.Get("start_index").Int(); flat && ok {
		if to, ok := c.Get("end_index").Int(); ok {
			start, end = start+int(from), start+int(to)
		}
	}
	dst = append(comma(dst), `{"type":"url_citation","url_citation":{"start_index":`...)
	dst = strconv.AppendInt(dst, int64(start), 10)
	dst = append(dst, `,"end_index":`...)
	dst = strconv.AppendInt(dst, int64(end), 10)
	dst = append(dst, `,"url":`...)
	dst = append(dst, url.Raw()...)
	dst = append(dst, `,"title":`...)
	if title := c.Get("title"); title.Kind() == jsonx.String {
		dst = append(dst, title.Raw()...)
	} else {
		dst = append(dst, url.Raw()...)
	}
	return append(dst, `}}`...)
}

// appendLogprobs appends the log probabilities of tokens of a text.
func appendLogprobs(dst, tokens []byte) []byte {
	return append(append(append(dst, `{"content":`...), completed(tokens)...), `,"refusal":null}`...)
}

// completed returns log probabilities with what this grammar demands of every token
// and responses may leave out: its bytes. They have no line breaks, which would end a
// line of an event.
func completed(logprobs []byte) []byte {
	if bytes.Count(logprobs, []byte(`"token"`)) == bytes.Count(logprobs, []byte(`"bytes"`)) && bytes.IndexByte(logprobs, '\n') < 0 {
		return logprobs
	}
	logprobs = bytes.ReplaceAll(logprobs, []byte{'\n'}, []byte{' '})
	doc, err := jsonx.Parse(logprobs)
	if err != nil {
		return logprobs
	}
	v := doc.Root()
	if v.Kind() == jsonx.Object {
		return jsonx.Splice(logprobs, []llm.Edit{{Name: "content", Value: tokens(v.Get("content"))}})
	}
	return tokens(v)
}

// tokens returns an array of tokens, complete.
func tokens(v jsonx.Value) []byte {
	if v.Kind() != jsonx.Array {
		return []byte("null")
	}
	out := []byte{'['}
	for i, t := range v.Items() {
		if i > 0 {
			out = append(out, ',')
		}
		var edits []llm.Edit
		if top := t.Get("top_logprobs"); top.Len() > 0 {
			edits = append(edits, llm.Edit{Name: "top_logprobs", Value: tokens(top)})
		}
		if !t.Get("bytes").Exists() {
			edits = append(edits, llm.Edit{Name: "bytes", Value: []byte("null")})
		}
		out = append(out, jsonx.Splice(t.Raw(), edits)...)
	}
	return append(out, ']')
}
