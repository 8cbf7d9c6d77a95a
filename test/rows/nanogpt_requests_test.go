package rows

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// nanoRequests are the rows in which the request itself is wrong.
var nanoRequests = map[string]func(*proof){
	"nanogpt/400-missing-model": func(p *proof) {
		c := p.nano("3", nil)
		const messages = `"messages":[{"role":"user","content":"Is the bridge open?"}]`
		p.declined(c, nanoChat, "{"+messages+"}")
		p.declined(c, nanoChat, `{"model":null,`+messages+"}")
		p.declined(c, nanoChat, "{"+messages+`,"stream":true,"temperature":0.3}`)
		p.declined(c, nanoEmbeddings, `{"input":"bridge"}`)
	},
	"nanogpt/400-missing-messages": func(p *proof) {
		c := p.nano("3", nil)
		p.declined(c, nanoChat, `{"model":"nano-plain"}`)
		p.declined(c, nanoChat, `{"model":"nano-plain","messages":null}`)
		p.declined(c, nanoChat, `{"model":"nano-plain","stream":true}`)
	},
	"nanogpt/400-invalid-value": func(p *proof) {
		c := p.nano("3", nil)
		for _, t := range []string{`3`, `"hot"`, `-0.25`, `2.01`, `true`, `[1]`, `"1"`} {
			p.declined(c, nanoChat, chat("nano-plain", `"temperature":`+t))
			p.declined(c, nanoChat, chat("nano-plain", streamed, `"temperature":`+t))
		}
		a := p.wants(p.ask(c, nanoChat, chat("nano-plain", `"top_p":1.5`)), http.StatusBadRequest)
		if got := p.text(a, "error", "param"); got != "top_p" {
			p.Errorf("param is %s", got)
		}
		p.paid(c, nanoChat, chat("nano-plain", `"temperature":2`))
		nanoNotBuilt(p, c)
		for name, values := range map[string][]string{
			"top_k": {`-2`, `1.5`, `"40"`}, "min_p": {`1.1`, `-1`, `"0"`}, "top_a": {`2`, `true`}, "min_tokens": {`-1`, `0.5`},
			"repetition_penalty": {`0`, `2.5`, `"1"`}, "mirostat_mode": {`3`}, "typical_p": {`1.5`}, "stop_token_ids": {`5`},
		} {
			for _, v := range values {
				a := p.wants(p.ask(c, nanoChat, chat("nano-plain", `"`+name+`":`+v)), http.StatusBadRequest)
				if got := p.text(a, "error", "param"); got != name {
					p.Errorf("param is %s, and not %s", got, name)
				}
			}
		}
		p.paid(c, nanoChat, chat("nano-plain", `"top_k":40,"min_p":0.05,"top_a":0,"repetition_penalty":1.1,"min_tokens":null`))
	},
	"nanogpt/400-invalid-json": func(p *proof) {
		c := p.nano("3", nil)
		good := chat("nano-plain")
		for _, body := range []string{
			good[:40], strings.Replace(good, "}]", "},]", 1), good + "}", "", "  ", "Is the bridge open?", "{\"model\":\"\xff\"}", good[:len(good)-1] + `,"stream":tru}`,
		} {
			p.declined(c, nanoChat, body)
		}
		p.declined(c, nanoEmbeddings, `{"model":"text-embedding-3-small","input":`)
	},
	"nanogpt/400-invalid-json-schema": func(p *proof) {
		c := p.nano("3", nil)
		format := func(schema string) string {
			return chat("nano-plain", `"response_format":{"type":"json_schema","json_schema":`+schema+`}`)
		}
		for _, schema := range []string{
			`{"name":"bridge","schema":{"type":"objekt"}}`,
			`{"name":"bridge","schema":{"type":"object","properties":[]}}`,
			`{"name":"bridge","schema":{"type":"object","required":"open"}}`,
			`{"name":"bridge","schema":{"type":"array","minItems":-1}}`,
			`{"name":"bridge","schema":"object"}`,
			`{"schema":{"type":"object"}}`,
			`{"name":"","schema":{"type":"object"}}`,
		} {
			a := p.declined(c, nanoChat, format(schema))
			if param := p.text(a, "error", "param"); !strings.HasPrefix(param, "response_format.json_schema") {
				p.Errorf("param is %s", param)
			}
		}
		p.paid(c, nanoChat, format(`{"name":"bridge","schema":{"type":"object","properties":{"open":{"type":"boolean"}}}}`))
	},
	"nanogpt/400-tool-choice": func(p *proof) {
		c := p.nano("3", nil)
		const tools = `"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}]`
		p.declined(c, nanoChat, chat("tiny-talk", tools, `"tool_choice":"required"`))
		p.declined(c, nanoChat, chat("tiny-talk", tools, `"tool_choice":"required"`, streamed))
		p.declined(c, nanoChat, chat("tiny-talk", tools, `"tool_choice":{"type":"function","function":{"name":"look"}}`))
		p.paid(c, nanoChat, chat("nano-plain", tools, `"tool_choice":"required"`))
		p.paid(c, nanoChat, chat("tiny-talk"))
	},
	"nanogpt/400-image": func(p *proof) {
		c := p.nano("3", nil)
		for _, url := range []string{"https://bridge.example/now.png", "data:image/png;base64,iVBORw0KGgo="} {
			part := `{"type":"image_url","image_url":{"url":"` + url + `"}}`
			p.declined(c, nanoChat, withPart("llama-3.3-70b", part))
			p.declined(c, nanoChat, withPart("llama-3.3-70b", part, streamed))
			p.declined(c, nanoChat, withPart("deepseek-chat", part))
			p.paid(c, nanoChat, withPart("nano-sighted", part))
		}
	},
	"nanogpt/400-modality": func(p *proof) {
		c := p.nano("3", nil)
		const (
			audio = `{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}`
			video = `{"type":"video_url","video_url":{"url":"https://bridge.example/now.mp4"}}`
		)
		for _, part := range []string{audio, video} {
			p.declined(c, nanoChat, withPart("llama-3.3-70b", part))
			p.declined(c, nanoChat, withPart("nano-sighted", part))
			p.declined(c, nanoChat, withPart("gpt-4o", part, streamed))
		}
	},
	"nanogpt/400-batch-input": func(p *proof) {
		c := p.nano("3", nil)
		const one = "one-at-a-time-embed"
		for _, input := range []string{`["bridge","river"]`, `["bridge"]`, `[[1,2,3],[4]]`} {
			p.declined(c, nanoEmbeddings, `{"model":"`+one+`","input":`+input+`}`)
		}
		p.paid(c, nanoEmbeddings, `{"model":"`+one+`","input":"bridge"}`)
		p.paid(c, nanoEmbeddings, `{"model":"text-embedding-3-small","input":["bridge","river"]}`)
	},
	"nanogpt/400-content-policy-upstream": func(p *proof) {
		c := p.nano("3", nil)
		for _, m := range []string{"nano-policy", "nano-policy-filter"} {
			p.declined(c, nanoChat, chat(m))
			p.declined(c, nanoChat, chat(m, streamed))
			if got := c.gw.received(m); got != 2 {
				p.Errorf("%s: a request that is blocked was sent %d times, and not twice for two", m, got)
			}
		}
	},
	"nanogpt/400-context-length": nanoTooLong,
	"nanogpt/408-slow-client": func(p *proof) {
		c := p.nano("3", nil)
		p.late(c, nanoChat, "nothing comes after the headers", "", 0)
		p.late(c, nanoChat, "half of it comes", chat("nano-plain")[:30], 0)
		p.late(c, nanoChat, "a byte comes now and then", chat("nano-plain")[:30], 100*time.Millisecond)
		for _, s := range p.shown {
			if got := s.Response.Headers["X-Should-Retry"]; got != "true" {
				p.Errorf("x-should-retry is %q", got)
			}
		}
	},
	"nanogpt/413": func(p *proof) {
		nanoTooBig(p, nanoChat, chat("nano-plain"))
		nanoTooBig(p, nanoChat, chat("nano-plain", streamed))
		nanoTooBig(p, nanoEmbeddings, `{"model":"text-embedding-3-small","input":"bridge"}`)
	},
	"nanogpt/simple-400": func(p *proof) {
		c := p.nano("3", nil)
		for _, body := range []string{"{", "", "Is the bridge open?", `{"messages":[}`, `{"messages":[]}}`} {
			p.declined(c, nanoMemory, body)
			p.declined(c, nanoMemory, body, xAPIKey)
		}
	},
}

// withPart is a request whose message has a text and another part.
func withPart(model, part string, more ...string) string {
	return body(model, `"messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},`+part+`]}]`, more)
}

// nanoTooLong asks for more tokens than the model has: by the prompt, by prompt
// and answer together, and by the provider's own count.
func nanoTooLong(p *proof) {
	c := p.nano("3", nil)
	words := func(n int, more ...string) string {
		return body("nano-narrow", `"messages":[{"role":"user","content":"`+strings.Repeat("bridge ", n)+`"}]`, more)
	}
	p.paid(c, nanoChat, words(400, `"max_tokens":600`))
	for _, more := range [][]string{{`"max_tokens":600`}, {`"max_completion_tokens":600`}, {`"max_tokens":600`, streamed}} {
		a := p.declined(c, nanoChat, words(800, more...))
		p.says(p.text(a, "error", "message"), strconv.Itoa(narrowContext))
	}
	p.declined(c, nanoChat, words(1500)) // alone, whatever the answer
	p.declined(c, nanoChat, words(1500, streamed))
	p.declined(c, nanoChat, words(10, `"max_tokens":1300`)) // the answer, whatever the prompt
	if got := c.gw.received("nano-narrow"); got != 1 {
		p.Errorf("%d requests were sent, and 1 was to be", got)
	}
	p.says(p.text(p.declined(c, nanoChat, chat("nano-full")), "error", "message"), "4321", "5678")
	p.declined(c, nanoChat, chat("nano-full", streamed))
}

// nanoTooBig sends bodies at the limit, which pass, and beyond it: announced,
// unannounced, and packed.
func nanoTooBig(p *proof, path, small string) {
	c := p.nano("3", nil)
	pad := func(n int) string { return strings.Repeat(" ", n-len(small)) + small }
	p.wants(p.ask(c, path, pad(bodyLimit)), http.StatusOK)
	big := pad(bodyLimit + 1)
	a := p.declined(c, path, big)
	p.says(p.text(a, "error", "message"), strconv.Itoa(bodyLimit))
	p.declined(c, path, big, chunked)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 8<<20))
	_, _ = z.Write([]byte(small))
	if err := z.Close(); err != nil || zipped.Len() > bodyLimit {
		p.Fatalf("gzip: %d bytes, %v", zipped.Len(), err)
	}
	p.declined(c, path, zipped.String(), header("Content-Encoding", "gzip"))
}

// nanoNotBuilt asks for features that cost more and are not there, which is
// refused, and says that it does not want them, which is not.
func nanoNotBuilt(p *proof, c caller) {
	named := func(param, body string, changes ...change) {
		p.Helper()
		for _, path := range []string{nanoChat, nanoMessages[0]} {
			a := p.wants(p.ask(c, path, body, changes...), http.StatusBadRequest)
			if got := p.text(a, "error", "param"); !strings.EqualFold(got, param) {
				p.Errorf("param is %s, and not %s", got, param)
			}
		}
	}
	for _, name := range []string{"webSearch", "linkup", "advisor", "scraping", "youtube_transcripts", "memory"} {
		named(name, message("nano-plain", `"`+name+`":true`))
		named(name, message("nano-plain", `"`+name+`":{"enabled":true}`))
		p.paid(c, nanoChat, chat("nano-plain", `"`+name+`":{"enabled":false}`))
		p.paid(c, nanoChat, chat("nano-plain", `"`+name+`":false`))
	}
	named("advisor", message("nano-plain", `"advisor":{"model":"nano-other","mode":"auto"}`))
	for _, name := range []string{"redaction", "redacted", "piiredaction", "piiredacted", "memory"} {
		named(name, message("nano-plain"), header(name, "true"))
		p.paid(c, nanoChat, chat("nano-plain"), header(name, "false"))
	}
	p.paid(c, nanoChat, chat("nano-plain"), header("moderation-model", "omni-moderation-latest"))
	for _, r := range c.gw.up["nano-plain"].Received() {
		for _, w := range []string{"webSearch", "linkup", "advisor", "scraping", "youtube_transcripts", "memory"} {
			if bytes.Contains(r.Body, []byte(`"`+w+`"`)) {
				p.Errorf("the upstream was told %q: %s", w, r.Body)
			}
		}
	}
}
