package fidelity

import (
	"bytes"
	"fmt"
)

// chatFinishes are our words for theirs.
var chatFinishes = map[string]string{
	"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls", "content_filter": "content_filter",
	"model_length": "length", "error": "error", "eos": "stop", "end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter",
	"sensitive": "content_filter", "model_context_window_exceeded": "length", "network_error": "error", "insufficient_system_resource": "error", "abort": "error",
	"content_filter: RECITATION": "content_filter", "function_call_filter: MALFORMED_FUNCTION_CALL": "error",
}

// readChat reads a chat completion, whole or as chunks. vendor is whose it is.
func readChat(vendor string, body []byte, sse bool) (a answer) {
	chunks := []value{bytes.TrimLeft(body, " \r\n\t")}
	a.ended = !sse
	if sse {
		chunks = nil
		for _, e := range events(body) {
			if string(bytes.TrimSpace(e.data)) == "[DONE]" {
				a.ended = true
				break
			}
			if len(bytes.TrimSpace(e.data)) > 0 {
				chunks = append(chunks, e.data)
			}
		}
	}
	var usage, groq value
	for _, c := range chunks {
		if !isObject(c) || members(c) == nil {
			a.failed = fmt.Sprintf("not JSON: %.100q", c)
			continue
		}
		if e := in(c, "error"); e != nil {
			a.failed = string(e)
		}
		if text(in(c, "object")) == "error" {
			a.failed = string(c)
		}
		if a.model == "" {
			a.model = text(in(c, "model"))
		}
		if u := in(c, "usage"); u != nil && (usage == nil || count(in(u, "total_tokens"))+count(in(u, "prompt_tokens")) > 0) {
			usage = u
		}
		if u := in(c, "x_groq", "usage"); u != nil {
			groq = u
		}
		for i, choice := range items(in(c, "choices")) {
			a.chatChoice(choice, i, sse)
			if u := in(choice, "usage"); isObject(u) && len(a.choices) == 1 { // of Moonshot
				groq = u
			}
		}
	}
	if usage == nil {
		usage = groq
	}
	a.usage = chatUsage(usage, vendor)
	return a
}

// chatChoice reads a choice, or what a chunk adds to one. Some vendors have both
// a delta and a message in it.
func (a *answer) chatChoice(c value, i int, sse bool) {
	if n := in(c, "index"); n != nil {
		i = int(count(n))
	}
	s := a.choice(i)
	m := in(c, "message")
	if d := in(c, "delta"); d != nil && (sse || m == nil) {
		m = d
	}
	if e := in(c, "error"); e != nil {
		a.failed = string(e)
	}
	s.chatContent(m)
	for k, t := range items(in(m, "tool_calls")) {
		s.chatCall(k, t)
	}
	if f := in(m, "function_call"); f != nil {
		s.chatPiece("0", "", f)
	}
	if r := text(in(c, "finish_reason")); r != "" {
		s.raw = r
		if s.finish = chatFinishes[r]; s.finish == "" {
			s.finish = "stop"
		}
	}
	if r := text(in(c, "native_finish_reason")); r == "error" || r == "network_error" {
		s.finish = "error"
	}
}

// chatContent reads the texts of a message.
func (s *said) chatContent(m value) {
	s.text += text(in(m, "content"))
	for _, p := range items(in(m, "content")) {
		s.text += text(in(p, "text"))
		switch kind := text(in(p, "type")); kind {
		case "", "text", "thinking", "output_text":
		case "image_url":
			s.images = append(s.images, chatImage(p))
		default:
			s.left = append(s.left, kind)
		}
		thinking := in(p, "thinking")
		s.thought += text(thinking)
		for _, t := range items(thinking) {
			s.thought += text(in(t, "text"))
		}
	}
	thought := text(in(m, "reasoning_content"))
	if thought == "" {
		thought = text(in(m, "reasoning"))
	}
	s.thought += thought
	for _, d := range items(in(m, "reasoning_details")) {
		if thought == "" {
			s.thought += text(in(d, "text")) + text(in(d, "summary"))
		}
		s.beyond = s.beyond || in(d, "data") != nil
	}
	for _, b := range items(in(m, "thinking_blocks")) {
		s.beyond = s.beyond || in(b, "data") != nil
	}
	s.refusal += text(in(m, "refusal"))
	s.beyond = s.beyond || len(items(in(m, "annotations"))) > 0
	for _, p := range items(in(m, "images")) {
		s.images = append(s.images, chatImage(p))
	}
	s.sound = s.sound || in(m, "audio") != nil
}

// chatImage reads a part that holds an image.
func chatImage(p value) part {
	url := in(p, "image_url")
	if !isText(url) {
		url = in(url, "url")
	}
	return fromURL("image", text(url))
}

// chatCall reads one call, or a piece of one. A piece with a name and another
// id begins another call: some servers number all of them 0. Without ids, another
// name does, or arguments behind those that are whole.
func (s *said) chatCall(k int, t value) {
	key := fmt.Sprint(k)
	if n := in(t, "index"); n != nil {
		key = string(n)
	}
	f := in(t, "function")
	if f == nil {
		f = in(t, "custom")
	}
	s.chatPiece(key, text(in(t, "id")), f)
}

func (s *said) chatPiece(key, id string, f value) {
	name := text(in(f, "name"))
	if i, known := s.at[key]; known && name != "" && s.calls[i].name != "" {
		before := s.calls[i]
		another := before.id != "" && id != "" && id != before.id
		if before.id == "" && id == "" {
			another = name != before.name || members(value(before.args)) != nil && text(in(f, "arguments")) != ""
		}
		if another {
			delete(s.at, key)
		}
	}
	c := s.call(key)
	if c.id == "" {
		c.id = id
	}
	if c.name == "" {
		c.name = name
	}
	args := any1(f, "arguments", "input", "parameters")
	if isText(args) {
		c.args += text(args)
	} else {
		c.args += string(args)
	}
}

// chatUsage reads a usage as protocols.md §3.10 says; nil: nothing was counted.
func chatUsage(u value, vendor string) *tokens {
	input, output, total := count(any1(u, "prompt_tokens", "input_tokens")), count(any1(u, "completion_tokens", "output_tokens")), count(in(u, "total_tokens"))
	details := any1(u, "prompt_tokens_details", "input_tokens_details")
	thought := max(count(in(any1(u, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens")), count(in(u, "reasoning_tokens")))
	switch {
	case vendor == "voyage" && input == 0: // a total and nothing else
		input = total
	case vendor == "xai" && total == input+output+thought: // thoughts stand outside
		output += thought
	case vendor == "gemini" && total > input+output: // thoughts are in the total only
		thought += total - input - output
		output = total - input
	case vendor == "mistral" && in(u, "prompt_audio_seconds") != nil && total > input+output: // so does sound
		input = total - output
	}
	if input == 0 {
		return nil
	}
	t := &tokens{Input: input, Output: output, Reasoning: min(thought, output)}
	for _, n := range []value{in(details, "cached_tokens"), in(u, "prompt_cache_hit_tokens"), in(u, "cached_tokens"), in(u, "num_cached_tokens"), in(u, "cache_read_input_tokens")} {
		t.Cached = max(t.Cached, count(n))
	}
	for _, n := range []value{in(details, "cache_write_tokens"), in(details, "cache_creation_tokens"), in(u, "cache_creation_input_tokens")} {
		t.Write = max(t.Write, count(n))
	}
	t.Cached = min(t.Cached, input) // some report more cached than there were
	t.Write1h = count(in(u, "cache_creation", "ephemeral_1h_input_tokens"))
	t.Write -= t.Write1h
	return t
}
