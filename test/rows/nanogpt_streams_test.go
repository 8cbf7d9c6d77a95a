package rows

import (
	"net/http"
	"slices"
	"strings"
)

// nanoBroken are the rows in which an upstream does not answer, or with nothing.
var nanoBroken = map[string]func(*proof){
	"nanogpt/empty-response": func(p *proof) {
		c := p.nano("3", nil)
		for _, m := range []string{"nano-mute", "nano-mute-null", "nano-mute-none"} {
			p.declined(c, nanoChat, chat(m))
		}
		p.declined(c, nanoChat, chat("nano-mute-stream", streamed))
	},
	"nanogpt/504-timeout": func(p *proof) {
		c := p.nano("3", nil)
		for _, k := range []struct {
			model string
			more  []string
		}{
			{"nano-slow-headers", nil},
			{"nano-slow-headers", []string{streamed}},
			{"nano-slow-event", []string{streamed}},
			{"nano-slow-body", nil},
			{"nano-slow-504", nil},
			{"nano-slow-504", []string{streamed}},
		} {
			p.declined(c, nanoChat, chat(k.model, k.more...))
		}
	},
	"nanogpt/503": func(p *proof) {
		c := p.nano("3", nil)
		for _, m := range []string{"nano-busy-503", "nano-busy-529"} {
			p.declined(c, nanoChat, chat(m))
			if got := c.gw.received(m); got != 3 {
				p.Errorf("%s: %d attempts, and not 3", m, got)
			}
		}
		p.declined(c, nanoChat, chat("nano-busy-stream", streamed))
	},
}

// nanoStreams are the rows of streams of chat.
var nanoStreams = map[string]func(*proof){
	"nanogpt/stream-before": func(p *proof) {
		c := p.nano("3", nil)
		tried := 0
		for _, b := range brokenUpstreams {
			if !b.stream {
				continue
			}
			tried++
			p.declined(c, nanoChat, chat("nano-"+b.name, streamed))
			if got := c.gw.received("nano-" + b.name); got != b.tries {
				p.Errorf("%s: %d attempts, and not %d", b.name, got, b.tries)
			}
		}
		p.declined(c, nanoChat, chat("nano-refusing", streamed))
		p.note("%d ways to fail before the first content, each on every one of 3 attempts, and an upstream that refuses connections", tried)
	},
	"nanogpt/stream-midway": func(p *proof) {
		c := p.nano("3", nil)
		for _, m := range slices.Concat(interrupted, interruptedMessages, []model{nanoOverloadedMidway}) {
			for _, more := range [][]string{{streamed}, {streamed, `"stream_options":{"include_usage":true}`}} {
				a := p.free(c, func() *answer { return p.ask(c, nanoChat, chat("nano-"+m.name, more...)) })
				nanoBreaks(p, a, m.name)
			}
		}
		whole := p.paid(c, nanoChat, chat("nano-plain", streamed))
		if got, err := readChatStream(whole.body); got != said || err != nil || strings.Contains(string(whole.body), `"error"`) {
			p.Errorf("a stream that ends well: %q, %v\n%s", got, err, whole.body)
		}
	},
}

// nanoBreaks checks a stream that broke off after content: the frame of the row,
// then [DONE], and nothing before that looks like an end.
func nanoBreaks(p *proof, a *answer, name string) {
	p.Helper()
	p.show(a)
	p.wants(a, http.StatusOK)
	p.brokeFree(a, name)
	es := events(a.body)
	if len(es) < 4 || es[len(es)-1] != (event{data: "[DONE]"}) {
		p.Fatalf("%s: %d events, and [DONE] is to be the last\n%s", name, len(es), a.body)
	}
	frame := es[len(es)-2]
	got, _ := decoded(p, frame.data).(map[string]any)
	id, _ := got["id"].(string)
	if rest, ok := strings.CutPrefix(id, "chatcmpl_"); !ok || rest == "" || frame.name != "" {
		p.Errorf("%s: event %q, id %q", name, frame.name, id)
	}
	delete(got, "id")
	want := map[string]any{
		"object":  "chat.completion.chunk",
		"choices": []any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": "error"}},
		"error":   map[string]any{"status": 503, "message": "<text>", "code": "service_unavailable"},
	}
	if d := differs(any(got), any(want), true); d != "" {
		p.Errorf("%s: the error frame differs: %s\n%s", name, d, frame.data)
	}
	for _, e := range es[:len(es)-2] {
		if f := finishReason(p, e.data); f != "" || strings.Contains(e.data, `"error"`) {
			p.Errorf("%s: before its error frame the stream finishes with %q\n%s", name, f, a.body)
		}
	}
	text, err := readChatStream(a.body)
	if text != said {
		p.Errorf("%s: before it broke off it said %q", name, text)
	}
	if err == nil {
		p.Errorf("%s: the SDK takes the stream for a whole one\n%s", name, a.body)
	} else {
		p.note("%s: the SDK's reader raises %q", name, err)
	}
}
