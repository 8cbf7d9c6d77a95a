package rows

import (
	"net/http"
	"strings"
	"time"
)

// nanoCallers are the rows about keys, and what they may use.
var nanoCallers = map[string]func(*proof){
	"nanogpt/401-missing": func(p *proof) {
		c := p.nano("3", nil)
		p.declined(c, nanoChat, chat("nano-plain"), noKey)
		p.declined(c, nanoChat, chat("nano-plain", streamed), noKey)
		p.declined(c, nanoEmbeddings, `{"model":"text-embedding-3-small","input":"bridge"}`, noKey)
		p.declined(c, nanoChat, "{", noKey) // no body is looked at
		p.declined(c, nanoChat, strings.Repeat(" ", bodyLimit+1), noKey)
		p.declined(c, nanoChat, chat("nano-plain"), header("Authorization", ""))
		p.declined(c, nanoChat, chat("nano-plain"), header("Authorization", "Bearer "))
		p.declined(c, "/api/v1/usage", "", method("GET"), noKey)
		p.declined(c, "/api/personalized/v1/models", "", method("GET"), noKey)
	},
	"nanogpt/401-invalid": func(p *proof) {
		c := p.nano("3", nil)
		nanoStrangers(p, c, nanoChat, chat("nano-plain"))
		p.declined(c, nanoChat, chat("nano-plain", streamed), key(c.key.Key+"0"))
		p.declined(c, "/api/v1/usage", "", method("GET"), key(c.key.Key+"0"))

		// A key that expires while it is used, by the clock of a gateway of its own.
		g := startFive(p, nil)
		soon := p.atNano(g, "3", map[string]any{"expires_at": g.now(p).Add(10 * time.Minute).Format(time.RFC3339)})
		p.paid(soon, nanoChat, chat("gpt-4o"))
		g.advance(p, "11m")
		p.declined(soon, nanoChat, chat("gpt-4o"))
		p.declined(soon, nanoChat, chat("gpt-4o", streamed), xAPIKey)
		p.note("unknown, mistyped, revoked, switched off, of another site, and one that expired between two requests (test clock)")
		g.settled(p)
	},
	"nanogpt/x-api-key": func(p *proof) {
		c := p.nano("3", nil)
		p.holds(p.paid(c, nanoChat, chat("nano-plain"), xAPIKey))
		a := p.holds(p.paid(c, nanoChat, chat("nano-plain", streamed), xAPIKey))
		if got, err := readChatStream(a.body); got != said || err != nil {
			p.Errorf("the stream says %q, %v", got, err)
		}
		p.holds(p.paid(c, nanoEmbeddings, `{"model":"text-embedding-3-small","input":"bridge"}`, xAPIKey))
		for _, path := range nanoMessages {
			p.holds(p.paid(c, path, message("nano-plain"), xAPIKey))
		}
		p.holds(p.free(c, func() *answer { return p.ask(c, nanoBalance, "", xAPIKey) }))
		p.holds(p.free(c, func() *answer { return p.ask(c, "/api/v1/usage", "", method("GET"), xAPIKey) }))
		nanoPublicModels(p, c)
	},
	"nanogpt/403-model-not-allowed": func(p *proof) {
		c := p.nano("3", map[string]any{"models": []string{"nano-other", "text-embedding-3-*", "o1*"}})
		p.paid(c, nanoChat, chat("nano-other"))
		p.declined(c, nanoChat, chat("nano-plain"))
		p.declined(c, nanoChat, chat("nano-plain", streamed))
		p.declined(c, nanoChat, chat("gpt-4o"))
		p.paid(c, nanoEmbeddings, `{"model":"text-embedding-3-small","input":"bridge"}`)
		p.declined(c, nanoEmbeddings, `{"model":"one-at-a-time-embed","input":"bridge"}`)
		p.paid(p.anotherAt(c, nil), nanoChat, chat("nano-plain")) // it is the key's list, not the account's
	},
	"nanogpt/simple-401": func(p *proof) {
		c := p.nano("3", nil)
		p.wants(p.ask(c, nanoBalance, ""), http.StatusOK)
		p.declined(c, nanoBalance, "", noKey)
		p.declined(c, nanoBalance, "{}", noKey)
		for _, bad := range nanoBadKeys(p, c) {
			p.declined(c, nanoBalance, "", key(bad))
			p.declined(c, nanoBalance, "{}", key(bad), xAPIKey)
		}
	},
	"nanogpt/500": func(p *proof) { nanoDefect(p, nanoChat, chat("gpt-4o"), chat("gpt-4o", streamed)) },
}

// nanoBadKeys are keys that open nothing at nanogpt.
func nanoBadKeys(p *proof, c caller) []string {
	off := p.anotherAt(c, nil)
	c.gw.MustAdmin(p, "PATCH", "/admin/v1/keys/"+off.key.ID, map[string]any{"active": false}, nil)
	gone := p.anotherAt(c, nil)
	c.gw.MustAdmin(p, "DELETE", "/admin/v1/keys/"+gone.key.ID, nil, nil)
	elsewhere := p.anotherAt(caller{gw: c.gw, host: samuraiHost, account: c.account}, nil)
	random := strings.TrimPrefix(c.key.Key, "sk-nano-")
	if random == c.key.Key {
		p.Errorf("a new key starts with %s", c.key.Key[:shownKey])
	}
	last := c.key.Key[len(c.key.Key)-1]
	return []string{
		"sk-nano-", "sk-nano-3f2504e0-4f89-41d3-9a0c-0305e82c3301",
		wellFormed("sk-nano-0123456789abcdefghijABCDEFGHIJ"),
		wellFormed("sk-proj-0123456789abcdefghijABCDEFGHIJ"),
		c.key.Key[:len(c.key.Key)-1] + string('0'+(last-'0'+1)%10),
		c.key.Key + "0", "SK-NANO-" + random, random,
		off.key.Key, gone.key.Key, elsewhere.key.Key,
	}
}

// nanoStrangers come to a path with keys that open nothing there; stray space
// around a good one is forgiven.
func nanoStrangers(p *proof, c caller, path, body string) {
	p.Helper()
	for _, bad := range nanoBadKeys(p, c) {
		p.declined(c, path, body, key(bad))
		p.declined(c, path, body, key(bad), xAPIKey)
	}
	p.paid(c, path, body, key("  "+c.key.Key+" "))
}

// nanoPublicModels asks for the lists of models that look at no key, with a good
// one, a bad one and none.
func nanoPublicModels(p *proof, c caller) {
	p.Helper()
	bad := c.key.Key + "0"
	for _, path := range []string{"/api/v1/models", "/api/v1/models?detailed=true", "/api/v1/models/nano-plain", "/api/models", "/api/v1/embedding-models"} {
		good := p.holds(p.ask(c, path, "", method("GET")))
		for _, change := range []change{noKey, key(bad), header("X-Api-Key", bad)} {
			if a := p.wants(p.ask(c, path, "", method("GET"), change), http.StatusOK); string(a.body) != string(good.body) {
				p.Errorf("%s: another list with another key:\n%s\n%s", path, a.body, good.body)
			}
		}
	}
	if a := p.ask(c, "/api/models", "", method("GET"), key(bad)); !strings.Contains(string(a.body), `"nano-plain"`) {
		p.Errorf("the list lacks a model\n%s", a.body)
	}
	p.wants(p.ask(c, "/api/personalized/v1/models", "", method("GET"), key(bad)), http.StatusUnauthorized)
	p.wants(p.ask(c, "/api/personalized/v1/models", "", method("GET"), xAPIKey), http.StatusOK)
	p.note("chat, a stream, embeddings, messages, balance and usage; lists of models answer 200 with a key that is not valid")
}

// nanoDefect lets a handler panic; the next request is served as if nothing had
// been.
func nanoDefect(p *proof, path string, bodies ...string) {
	p.Helper()
	g := startFive(p, nil)
	c := p.atNano(g, "3", nil)
	for _, body := range bodies {
		g.arm(p, "handler_panic")
		a := p.declined(c, path, body)
		for _, word := range []string{"panic", ".go", "goroutine", "failpoint"} {
			if strings.Contains(string(a.body), word) {
				p.Errorf("the answer tells of our inside: %s", a.body)
			}
		}
		p.paid(c, path, body)
	}
	g.settled(p)
}
