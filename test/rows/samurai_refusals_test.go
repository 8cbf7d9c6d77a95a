package rows

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// samuraiRefusals are the rows of samurai about what is wrong with a request.
var samuraiRefusals = map[string]func(*proof){
	"samurai/400-bad-request": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, body := range []string{
			"Is the bridge open?", chat("llama-3.3-70b")[:40], "", "[]", strings.Replace(chat("llama-3.3-70b"), "}]", "},]", 1),
		} {
			p.retries(p.left(p.refused(c, chatPath, body), freeClosed, freeClosed), "false")
		}
		const tool = `"tools":[{"type":"function","function":{"name":"lift","parameters":{"type":"object"}}}]`
		for _, body := range []string{
			chat("tiny-talk", tool),
			chat("tiny-talk", tool, streamed),
			chat("tiny-talk", `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}`),
			chat("samurai-claude", `"logprobs":true`),
			body("llama-3.3-70b", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/bridge.png"}}]}]`, nil),
		} {
			p.retries(p.refused(c, chatPath, body), "false")
		}
		if got := fmt.Sprint(p.counted(c)); got != "map[closed:0 open:0]" {
			p.Errorf("what was refused was counted: %s", got)
		}
	},
	"samurai/400-missing": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, body := range []string{`{"model":"gpt-4o"}`, `{"model":"llama-3.3-70b","stream":true}`, `{"model":"gpt-4o","messages":null}`} {
			p.says(p.text(p.retries(p.refused(c, chatPath, body), "false"), "error", "message"), "messages")
		}
		p.says(p.text(p.refused(c, chatPath, `{"messages":[{"role":"user","content":"hi"}]}`), "error", "message"), "model")
		p.wantsError(p.free(c, func() *answer { return p.ask(c, "/v1/embeddings", `{"model":"text-embedding-3-small"}`) }), 400, "bad_request")
	},
	"samurai/404-model": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, m := range []string{"gpt-17-nano", "gpt-4o ", "GPT-4o"} {
			a := p.retries(p.refused(c, chatPath, chat(m)), "false")
			p.says(p.text(a, "error", "message"), strings.TrimSpace(m))
			p.refused(c, chatPath, chat(m, streamed))
		}
		p.refused(c, "/v1/embeddings", `{"model":"embed-17","input":"bridge"}`)
		p.refused(c, "/v1/models/gpt-17-nano", "", method("GET"))
		p.refused(c, "/v1/completely/else", chat("gpt-4o"))
	},
	"samurai/404-disabled": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		p.retries(p.refused(c, chatPath, chat("gpt-4")), "") // somebody may switch it on
		p.refused(c, chatPath, chat("gpt-4", streamed))
		p.refused(c, "/v1/models/gpt-4", "", method("GET"))
		list := p.ask(c, "/v1/models", "", method("GET"))
		if text := string(p.wants(list, http.StatusOK).body); strings.Contains(text, `"gpt-4"`) || !strings.Contains(text, `"gpt-4o"`) {
			p.Errorf("the list of models: %s", text)
		}
	},
	"samurai/422-temperature": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, more := range []string{`"temperature":2.5`, `"temperature":-0.5`, `"temperature":2.0000001`} {
			p.says(p.text(p.retries(p.refused(c, chatPath, chat("llama-3.3-70b", more)), "false"), "error", "message"), "temperature")
			p.refused(c, chatPath, chat("gpt-4o", more, streamed))
		}
		p.wants(p.ask(c, chatPath, chat("llama-3.3-70b", `"temperature":2`)), http.StatusOK)
		p.refused(c, chatPath, chat("llama-3.3-70b", `"top_p":1.5`))
	},
	"samurai/422-type": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, more := range []string{`"temperature":"hot"`, `"temperature":[1]`, `"stream":"yes"`, `"max_tokens":"many"`} {
			member, _, _ := strings.Cut(strings.TrimPrefix(more, `"`), `"`)
			p.says(p.text(p.retries(p.refused(c, chatPath, chat("llama-3.3-70b", more)), "false"), "error", "message"), member)
		}
		p.refused(c, chatPath, `{"model":"gpt-4o","messages":"hi"}`)
	},
}

// samuraiKeys are the rows of samurai about keys.
var samuraiKeys = map[string]func(*proof){
	"samurai/401-invalid": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		if !strings.HasPrefix(c.key.Key, "sk-samurai-") {
			p.Errorf("a new key starts with %s", c.key.Key[:11])
		}
		elsewhere := p.at(modelswitchHost, "3", nil).key.Key
		for _, bad := range []string{
			wellFormed("sk-samurai-0123456789abcdefghijABCDEFGHIJ"), "sk-samurai-YOUR_KEY", "sk-samurai-",
			c.key.Key[:len(c.key.Key)-1], c.key.Key + "0", strings.ToUpper(c.key.Key), elsewhere,
		} {
			p.retries(p.refused(c, chatPath, chat("gpt-4o"), key(bad)), "false")
			p.refused(c, chatPath, chat("gpt-4o", streamed), key(bad))
		}
		p.refused(c, "/v1/models", "", method("GET"), key("sk-samurai-YOUR_KEY"))
		p.refused(c, chatPath, "{", key("sk-samurai-YOUR_KEY")) // the key comes first
		p.wants(p.ask(c, chatPath, chat("gpt-4o")), http.StatusOK)
	},
	"samurai/401-missing": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		p.retries(p.refused(c, chatPath, chat("gpt-4o"), noKey), "false")
		p.refused(c, chatPath, chat("gpt-4o", streamed), noKey)
		p.refused(c, chatPath, chat("gpt-4o"), header("Authorization", "Bearer "))
		p.refused(c, chatPath, chat("gpt-4o"), noKey, header("X-Api-Key", ""))
		p.refused(c, "/v1/models", "", method("GET"), noKey)
		p.refused(c, "/v1/embeddings", `{"model":"text-embedding-3-small","input":"bridge"}`, noKey)
	},
	"samurai/401-revoked": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		p.wants(p.ask(c, chatPath, chat("gpt-4o")), http.StatusOK)
		other := p.anotherAt(c, nil)
		c.gw.MustAdmin(p, "DELETE", "/admin/v1/keys/"+c.key.ID, nil, nil)
		p.retries(p.refused(c, chatPath, chat("gpt-4o")), "false")
		p.refused(c, chatPath, chat("gpt-4o", streamed))
		p.refused(c, "/v1/models", "", method("GET"))
		p.wants(p.ask(other, chatPath, chat("gpt-4o")), http.StatusOK)
		p.note("the key had been good in the request before; another key of the account still is")
	},
	"samurai/401-malformed-header": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, text := range []string{
			"Token " + c.key.Key, "Basic " + c.key.Key, "Bearer: " + c.key.Key, "Bearer" + c.key.Key, "Bearer", `Bearer "` + c.key.Key + `"`,
			"Bearer sk-proj-0123456789abcdefghijABCDEFGHIJ", "Bearer sk-0123456789abcdefghijABCDEFGHIJ0123456789abcdefgh",
		} {
			p.retries(p.refused(c, chatPath, chat("gpt-4o"), header("Authorization", text)), "false")
			p.refused(c, chatPath, chat("gpt-4o", streamed), header("Authorization", text))
		}
		p.wants(p.ask(c, chatPath, chat("gpt-4o"), header("Authorization", "bearer "+c.key.Key)), http.StatusOK)
	},
	"samurai/401-stray-space": straySpace,
}

// straySpace sends keys with space around and inside them, which is really on
// the wire: clients take away what stands at the end of a line.
func straySpace(p *proof) {
	c := p.at(samuraiHost, "0", nil)
	body := chat("gpt-4o")
	good := p.raw(c, chatPath, []string{"Authorization: Bearer {key}"}, body)
	p.wants(good, http.StatusOK)
	p.wants(p.raw(c, samuraiMessages, []string{"X-Api-Key:{key}"}, message("gpt-4o")), http.StatusOK)
	for _, line := range []string{
		"Authorization: Bearer  {key}",
		"Authorization: Bearer \t{key}",
		"Authorization: Bearer\t{key}",
		"Authorization: Bearer {key} ",
		"Authorization: Bearer {key}\t",
		"authorization:Bearer {key}  \t ",
		"Authorization: Bearer {head} {tail}",
		"Authorization: Bearer {head}\t{tail}",
		"Authorization: Bearer {key}\r\n ",         // a newline behind it, as a header can have one
		"Authorization: Bearer\r\n {key}",          // before it
		"Authorization: Bearer {head}\r\n\t{tail}", // inside
	} {
		a := p.holds(p.raw(c, chatPath, []string{line}, body))
		if *a.ledger.Before != *a.ledger.After {
			p.Errorf("%q: it was to be free: %+v became %+v", line, *a.ledger.Before, *a.ledger.After)
		}
	}
	for _, line := range []string{"X-Api-Key:  {key}", "X-Api-Key: {key} ", "x-api-key: {key}\t", "X-Api-Key: {head} {tail}", "X-Api-Key: {key}\r\n "} {
		p.wantsError(p.raw(c, samuraiMessages, []string{line}, message("gpt-4o")), http.StatusUnauthorized, "auth_error")
	}
	p.sameOverHTTP2(c, body)
	if n := p.counted(c)["closed"]; n != 2 {
		p.Errorf("%d requests were counted, and not the two good ones", n)
	}
}

// sameOverHTTP2 sends a key with a tab behind it in a protocol whose headers
// have no lines that could lose it.
func (p *proof) sameOverHTTP2(c caller, body string) {
	p.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.gw.URL+chatPath, strings.NewReader(body))
	if err != nil {
		p.Fatalf("%v", err)
	}
	req.Host = c.host
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.key.Key + "\t"}}
	a := &answer{sent: time.Now(), request: shownRequest{
		Method: "POST", URL: req.URL.String(), Headers: p.world.report.headers(req.Header), Body: p.world.report.body([]byte(body)),
	}}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		p.Fatalf("%v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	p.read(a, resp)
	if resp.ProtoMajor != 2 {
		p.Errorf("the answer came by %s", resp.Proto)
	}
	p.holds(a)
}
