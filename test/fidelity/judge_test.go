package fidelity

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// spliced are the members of a request that may change on the way to a provider
// of the same dialect: the model, the limit of output, whether it streams, which
// long answers do that callers want whole, and provider, by which callers speak
// to the gateway; and by dialect and by vendor what is
// refused or spelt differently.
var spliced = map[string][]string{
	"": {"model", "stream_options", "max_tokens", "max_completion_tokens", "stream", "provider"},
	// The gateway keeps responses, and not the provider.
	"openai.responses": {"store", "include", "previous_response_id", "background", "max_output_tokens"},
	"mistral":          {"seed", "random_seed", "store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"perplexity":       {"store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"cohere":           {"store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"voyage":           {"store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"cerebras":         {"store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"gemini":           {"store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
}

// arrived compares what reached the provider with what was asked.
func (p *play) arrived(q talk, sent received, r reply) {
	if p.d == p.own {
		may := append(slices.Clone(spliced[""]), spliced[p.f.Provider]...)
		may = append(may, spliced[p.d.name]...)
		asked, got := p.asked, value(sent.body)
		if p.d.named != nil {
			asked, got = p.d.named(asked, ""), p.d.named(got, "")
		}
		before, after := members(asked), members(got)
		for name, v := range before {
			if !slices.Contains(may, name) && compact(v) != compact(after[name]) {
				p.differ("%s reached the provider as %.200s, was %.200s", name, after[name], v)
			}
		}
		for name, v := range after {
			if before[name] == nil && !slices.Contains(may, name) {
				p.differ("%s was added: %.200s", name, v)
			}
		}
		return
	}
	for _, l := range q.aims(p.own).hear().lost(p.own.heard(sent.body).hear(), r.dropped) {
		p.differ("request: %s", l)
	}
	if len(p.differences) > 0 && strings.HasPrefix(p.differences[0], "request: ") {
		p.differ("it was sent as %.1500s", sent.body)
	}
}

// heard compares what the caller got with what the recording says.
func (p *play) heard(want, got *answer, r reply) {
	wrapped := in(p.f.Response.Body(), "audio_data") != nil // and what is in it comes as it is
	if p.d.whole && !wrapped && !bytes.Equal(r.body, p.f.Response.Body()) {
		p.differ("the answer does not pass as it is: %.300s", r.body)
	}
	for _, c := range got.wrong {
		if p.d != p.own {
			p.differ("answer: %s", c)
		}
	}
	if got.failed != "" || !got.ended && p.d.name != "gemini.generate" {
		p.differ("the answer ends badly: %.200s …%.300s", got.failed, r.body[max(0, len(r.body)-300):])
	}
	if got.model != "" && got.model != modelFor(p.f, p.d) {
		p.differ("the answer is by %q, want %q", got.model, modelFor(p.f, p.d))
	}
	if len(got.choices) != len(want.choices) || len(got.vectors) != len(want.vectors) || got.total != want.total {
		p.differ("%d choices, %d vectors, want %d and %d", len(got.choices), len(got.vectors), len(want.choices), len(want.vectors))
		return
	}
	for i, v := range want.vectors {
		if string(v) != string(got.vectors[i]) {
			p.differ("vector %d is %.100s, want %.100s", i, got.vectors[i], v)
		}
	}
	for i, s := range want.choices {
		if g := got.choices[i]; g != nil {
			p.choice(s, g)
		} else {
			p.differ("choice %d is lost", i)
		}
	}
	if left := want.left(); p.d != p.own && !slices.Equal(left, r.left) {
		p.differ("left out, as the caller was told: %q, want %q", r.left, left)
	}
	p.used(want, got, r)
}

func (p *play) choice(want, got *said) {
	text, thought, refusal := want.text, want.thought, want.refusal
	if p.d.name == "gemini.generate" && p.d != p.own && !yes(in(p.asked, "generationConfig", "thinkingConfig", "includeThoughts")) {
		thought = "" // they are told to who asks for them
	}
	if p.d.oneText && p.d != p.own {
		text, refusal = text+refusal, ""
	}
	for _, x := range []struct{ what, want, got string }{
		{"text", text, got.text}, {"thought", thought, got.thought}, {"refusal", refusal, got.refusal},
	} {
		if x.want != x.got && (p.d == p.own || x.what != "thought" || squeeze(x.want) != squeeze(x.got)) {
			p.differ("%s: %s", x.what, apart(x.want, x.got))
		}
	}
	for _, c := range sameCalls(want.calls, got.calls, p.d.objects && p.d != p.own, p.d == p.own) {
		p.differ("%s", c)
	}
	if d := sameImages(want.images, got.images); d != "" {
		p.differ("%s", d)
	}
	switch end := want.ends(); {
	case p.d == p.own:
		if want.raw != got.raw {
			p.differ("finish %q, want %q", got.raw, want.raw)
		}
	default:
		if p.d.ends != nil {
			end = p.d.ends(want)
		}
		if got.finish != end {
			p.differ("finish %q from %q, want %q", got.raw, want.raw, end)
		}
	}
}

// squeeze leaves the blanks out: thoughts of several parts may be told as one,
// with a blank line between them.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// apart shows where two texts begin to differ.
func apart(want, got string) string {
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	from := max(0, i-20)
	return fmt.Sprintf("%d bytes, want %d; from byte %d %.120q, want %.120q", len(got), len(want), i, got[min(from, len(got)):], want[min(from, len(want)):])
}

// used compares what the answer says was used with the recording.
func (p *play) used(want, got *answer, r reply) {
	if want.usage == nil || want.blocked() {
		return
	}
	if p.d == p.own && p.stream && got.usage == nil && !yes(in(p.asked, "stream_options", "include_usage")) {
		return // the caller did not ask
	}
	u := *want.usage
	if p.d != p.own {
		u = p.d.usage(u, r.sse)
	}
	if got.usage == nil || *got.usage != u {
		p.differ("usage %+v, want %+v", got.usage, u)
	}
}
