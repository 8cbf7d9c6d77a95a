package rows

import (
	"net/http"
	"strings"
)

// keyLifecycle makes a key, switches it off and on again, and deletes it.
func keyLifecycle(p *proof) {
	owner := p.at(modelswitchHost, "3", billing())
	body := chat("modelswitch-good")
	a := p.wants(p.ask(owner, keysPath, `{"name":"Cycle 7"}`), http.StatusOK)
	made := owner
	made.key.ID, made.key.Key = p.text(a, "id"), p.text(a, "key")
	p.world.report.hide(made.key.Key)
	p.show(a)
	path, seen := keysPath+"/"+made.key.ID, []*answer{a}
	works := func() {
		p.Helper()
		p.show(p.paid(made, chatPath, body))
		p.paid(made, chatPath, chat("modelswitch-good", streamed))
	}
	refused := func(status int, code string) {
		p.Helper()
		for _, b := range []string{body, chat("modelswitch-good", streamed)} {
			a := p.free(made, func() *answer { return p.ask(made, chatPath, b) })
			p.show(a)
			p.refusal(p.advised(p.codeIs(p.wants(a, status), code)))
		}
	}
	change := func(how, body string) {
		p.Helper()
		a := p.wants(p.ask(owner, path, body, method(how)), http.StatusOK)
		p.show(a)
		seen = append(seen, a)
		keys, list := p.keys(owner)
		seen = append(seen, list)
		if how == "PUT" && (len(keys) != 1 || keys[0].Active != strings.Contains(body, "true")) {
			p.Errorf("after %s the account sees %s", body, list.body)
		}
		if how == "DELETE" && len(keys) != 0 {
			p.Errorf("after its end the account sees %s", list.body)
		}
	}
	works()
	change("PUT", `{"active":false}`)
	refused(http.StatusForbidden, "key_inactive")
	change("PUT", `{"active":false}`) // again: nothing changes
	refused(http.StatusForbidden, "key_inactive")
	change("PUT", `{"active":true}`)
	works()
	change("PUT", `{"name":"Cycle 8","active":true}`)
	works()
	change("DELETE", "")
	refused(http.StatusUnauthorized, "invalid_api_key")
	for how, body := range map[string]string{"PUT": `{"active":true}`, "DELETE": ""} {
		a := p.ask(owner, path, body, method(how))
		p.codeIs(p.wants(a, http.StatusNotFound), "not_found")
		seen = append(seen, a)
	}
	refused(http.StatusUnauthorized, "invalid_api_key")
	shownOnce(p, owner, made, seen)
}

// shownOnce checks that a key's value stands in the first answer, and nowhere
// else.
func shownOnce(p *proof, owner, made caller, seen []*answer) {
	p.Helper()
	for _, path := range accountPaths {
		seen = append(seen, p.got(owner, path))
	}
	secret := made.key.Key[len(made.key.Key)-20:]
	for i, a := range seen {
		if got := strings.Count(string(a.body), secret); (got == 1) != (i == 0) || got > 1 {
			p.Errorf("%s %s: the key's value stands in the answer %d times\n%s", a.request.Method, a.request.URL, got, p.world.report.redact(string(a.body)))
		}
	}
	p.note("its value is in the answer to POST, and in none of %d others", len(seen)-1)
}

// deactivated shows keys that are switched off by their owner or the operator,
// and those of a suspended account.
func deactivated(p *proof) {
	owner := p.at(modelswitchHost, "3", billing())
	g := owner.gw
	made, other := newKey(p, owner, `{"name":"mine"}`), p.anotherAt(owner, nil)
	body := chat("modelswitch-good")
	off := func(c caller) {
		p.Helper()
		p.rejected(c, chatPath, body)
		p.rejected(c, chatPath, chat("modelswitch-good", streamed))
		p.rejected(c, chatPath, "{")
		p.rejected(c, "/v1/models", "", method("GET"))
	}
	p.paid(made, chatPath, body)
	p.wants(p.ask(owner, keysPath+"/"+made.key.ID, `{"active":false}`, method("PUT")), http.StatusOK)
	off(made)
	p.paid(other, chatPath, body)
	g.MustAdmin(p, "PATCH", "/admin/v1/keys/"+other.key.ID, map[string]any{"active": false}, nil)
	off(other)
	p.wants(p.ask(owner, keysPath+"/"+other.key.ID, `{"active":true}`, method("PUT")), http.StatusOK)
	p.paid(other, chatPath, body)
	g.MustAdmin(p, "PATCH", "/admin/v1/accounts/"+owner.account, map[string]any{"status": "suspended"}, nil)
	off(other)
	for _, path := range accountPaths {
		p.rejected(owner, path, "", method("GET"))
	}
	p.note("switched off by its owner, by the operator, and with the whole account")
}

// noSuchKey names keys that are none of the asking account's.
func noSuchKey(p *proof) {
	owner, stranger := p.at(modelswitchHost, "3", billing()), p.at(modelswitchHost, "3", billing())
	theirs := newKey(p, stranger, `{"name":"theirs"}`)
	gone := newKey(p, owner, `{"name":"gone"}`)
	p.wants(p.ask(owner, keysPath+"/"+gone.key.ID, "", method("DELETE")), http.StatusOK)
	elsewhere := owner
	elsewhere.host = nanoHost
	for _, id := range []string{
		"key_0000000000000", "key_7", "7", "%20", "a/b", theirs.key.ID, stranger.key.ID, owner.key.ID, gone.key.ID, p.anotherAt(elsewhere, nil).key.ID,
	} {
		p.codeIs(p.rejected(owner, keysPath+"/"+id, "", method("DELETE")), "not_found")
		p.codeIs(p.rejected(owner, keysPath+"/"+id, `{"active":false}`, method("PUT")), "not_found")
	}
	p.paid(theirs, chatPath, chat("modelswitch-good"))
	for _, path := range []string{"/api/else", "/v1/else", "/", "/v1/chat/completions/", "/api/keys/"} {
		p.rejected(owner, path, "", method("GET"))
		p.rejected(owner, path, "", method("GET"), noKey)
	}
	p.note("unknown, another account's, another site's, a billing key's own, and one that was deleted; the other account's key works on")
}
