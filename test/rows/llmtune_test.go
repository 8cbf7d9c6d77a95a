package rows

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// The paths of llmtune beside those of OpenAI.
const (
	agentPath   = "/api/agent/v1/chat/completions"
	summaryPath = "/api/usage/summary"
	batchPath   = "/v1/batch/inference"
)

// promptPath is where one prompt for a model goes.
func promptPath(model string) string { return "/v1/models/" + model + "/inference" }

const promptBody = `{"prompt":"Is the bridge open?","maxTokens":60}`

// llmtuneModels are the models that rows of llmtune break.
func llmtuneModels(t testing.TB) []model {
	return append(breakable(t, "llmtune", false),
		model{name: "llmtune-kept", answer: testkit.JSON(200, chatBody)},
		model{name: "llmtune-kept-stream", answer: testkit.SSE(chatStream...)},
		model{name: "llmtune-flaky", answer: testkit.JSON(200, chatBody), more: "attempts: 1"},
		model{name: "llmtune-flaky-stream", answer: testkit.SSE(chatStream...), more: "attempts: 1"},
	)
}

// llmtuneRows are the rows of llmtune.
var llmtuneRows = map[string]func(*proof){
	"llmtune/200-chat": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		if !strings.HasPrefix(c.key.Key, "sk_") {
			p.Errorf("a new key starts with %s", c.key.Key[:6])
		}
		chatAnswered(p, c, chatPath, "llmtune-good")
		// Some of its endpoints take a key without its scheme.
		p.paid(c, chatPath, chat("llmtune-good"), header("Authorization", c.key.Key))
	},
	"llmtune/400-invalid-body": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		good := chat("llmtune-good")
		for _, body := range []string{good[:40], strings.Replace(good, "}]", "},]", 1), good + "}", "", "[]", `"hi"`, "null", "7", "hi", "{\"model\":\"\xff\"}"} {
			p.rejected(c, chatPath, body)
			p.rejected(c, promptPath("llmtune-good"), body)
		}
		p.rejected(c, batchPath, good[:40])
		p.rejected(c, agentPath, good[:40])
	},
	"llmtune/400-missing-field": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		for _, k := range []struct{ path, body, field string }{
			{chatPath, `{"model":"llmtune-good"}`, "messages"},
			{chatPath, `{"model":"llmtune-good","messages":null,"stream":true}`, "messages"},
			{chatPath, `{"messages":[{"role":"user","content":"hi"}]}`, "model"},
			{chatPath, `{"model":"llmtune-good","messages":[{"content":"hi"}]}`, "messages.0.role"},
			{agentPath, `{"model":"llmtune-good"}`, "messages"},
			{promptPath("llmtune-good"), `{"maxTokens":7}`, "prompt"},
			{"/v1/embeddings", `{"model":"text-embedding-3-small"}`, "input"},
			{batchPath, `{"requests":[{"prompt":"hi"}]}`, "modelId"},
			{batchPath, `{"modelId":"llmtune-good"}`, "requests"},
			{batchPath, `{"modelId":"llmtune-good","requests":[{"id":"a"}]}`, "requests.0.prompt"},
		} {
			a := p.rejected(c, k.path, k.body)
			if got, want := p.text(a, "message"), "The field '"+k.field+"' is required."; got != want {
				p.Errorf("%s: %q, and not %q", k.body, got, want)
			}
		}
	},
	"llmtune/400-malformed-parameter": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		for _, k := range []struct{ member, field string }{
			{`"temperature":"hot"`, "temperature"},
			{`"temperature":[1]`, "temperature"},
			{`"temperature":2.5`, "temperature"},
			{`"max_tokens":"many"`, "max_tokens"},
			{`"max_tokens":-3`, "max_tokens"},
			{`"stream":"yes"`, "stream"},
		} {
			for _, path := range []string{chatPath, agentPath} {
				p.says(p.text(p.rejected(c, path, chat("llmtune-good", k.member)), "message"), "'"+k.field+"'")
			}
		}
		for _, k := range []struct{ member, field string }{
			{`"temperature":"hot"`, "temperature"}, {`"maxTokens":0`, "maxTokens"}, {`"topP":"all"`, "topP"}, {`"stream":true`, "stream"},
		} {
			a := p.rejected(c, promptPath("llmtune-good"), `{"prompt":"Is it open?",`+k.member+`}`)
			p.says(p.text(a, "message"), "'"+k.field+"'")
		}
	},
	"llmtune/401-missing": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		for _, nothing := range []change{noKey, header("Authorization", "Bearer "), header("Authorization", "Bearer"), xAPIKey} {
			p.rejected(c, chatPath, chat("llmtune-good"), nothing)
			p.rejected(c, chatPath, chat("llmtune-good", streamed), nothing)
			p.rejected(c, promptPath("llmtune-good"), promptBody, nothing)
			p.rejected(c, "/v1/models", "", method("GET"), nothing)
			p.rejected(c, summaryPath, "", method("GET"), host(llmtunePages), nothing)
		}
		p.note("no header, an empty one, and the key in a header that is not its place")
	},
	"llmtune/401-invalid": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		for _, bad := range strangeKeys(p, c, "sk_") {
			p.rejected(c, chatPath, chat("llmtune-good"), key(bad))
			p.rejected(c, promptPath("llmtune-good"), promptBody, key(bad))
			p.rejected(c, summaryPath, "", method("GET"), host(llmtunePages), key(bad))
		}
		p.paid(c, chatPath, chat("llmtune-good"), key(" "+c.key.Key+"  "))
	},
	"llmtune/402-balance":        noMoney,
	"llmtune/403-wrong-host":     wrongHost,
	"llmtune/403-wrong-endpoint": wrongEndpoint,
	"llmtune/404-model": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		for _, name := range []string{"llama-17-nano", "org/llama-17/nano", "GPT-5", "llmtune-goo"} {
			p.says(p.text(p.rejected(c, chatPath, chat(name)), "message"), name)
			p.rejected(c, chatPath, chat(name, streamed))
			p.rejected(c, agentPath, chat(name))
			p.says(p.text(p.rejected(c, promptPath(name), promptBody), "message"), name)
			p.rejected(c, batchPath, threePrompts(name))
			p.rejected(c, "/v1/models/"+name, "", method("GET"))
		}
		p.rejected(c, "/v1/embeddings", `{"model":"embedding-17","input":"bridge"}`)
	},
	"llmtune/404-job": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		for _, id := range []string{"job_00000000000000000000000000", "job_7", "9f8c1c3e-0000-4000-8000-000000000000"} {
			for _, path := range []string{batchPath + "/", "/v1/batch/", "/v1/jobs/"} {
				noSuchJob(p, p.rejected(c, path+id, "", method("GET")), id)
			}
			noSuchJob(p, p.rejected(c, "/v1/jobs/"+id, "", method("DELETE")), id)
			noSuchJob(p, p.rejected(c, batchPath+"/"+id, "", method("DELETE")), id)
		}
		anothersJob(p)
		batchRuns(p)
	},
	"llmtune/404-resource": func(p *proof) {
		c := p.at(llmtuneHost, "3", nil)
		for _, path := range []string{"/v1/completely/else", "/v1", "/v1/", "/v1/fine-tune", "/v1/fine-tune/17", "/v1/chat/completions/", "/v1/completions", "/v2/chat/completions", "/api/else", "/"} {
			p.rejected(c, path, "", method("GET"))
			p.rejected(c, path, chat("llmtune-good"))
			p.rejected(c, path, "", method("DELETE"), noKey)
			p.rejected(c, path, "", method("GET"), host(llmtunePages))
		}
	},
	"llmtune/429-rate-limit": func(p *proof) {
		tooManyAtOnce(p, llmtuneHost, func(a *answer, seconds int) {
			p.Helper()
			if got := p.json(a)["retryAfter"]; got != float64(seconds) || seconds < 1 {
				p.Errorf("retryAfter is %v, and Retry-After %d\n%s", got, seconds, a.body)
			}
		})
	},
	"llmtune/500-server": func(p *proof) { panics(p, llmtuneHost) },
	"llmtune/502-upstream": func(p *proof) {
		failsAtEveryTry(p, llmtuneHost)
		c := p.at(llmtuneHost, "3", nil)
		p.rejected(c, promptPath("llmtune-bad-502-html"), promptBody)
		p.rejected(c, agentPath, chat("llmtune-bad-nothing"))
	},
	"llmtune/503-unavailable": func(p *proof) { unreachable(p, llmtuneHost) },
	"llmtune/idempotency-key": idempotent,
	"llmtune/stream-midway": func(p *proof) {
		want := map[string]any{"error": "<text>", "message": "<text>"}
		breaksMidway(p, llmtuneHost, chatPath, want)
		breaksMidway(p, llmtuneHost, agentPath, want)
	},
}

// strangeKeys are keys that are none at the caller's site: of another shape,
// mistyped, of other sites, and one that was revoked a moment ago.
func strangeKeys(p *proof, c caller, prefix string) []string {
	p.Helper()
	revoked, elsewhere := p.anotherAt(c, nil), c
	c.gw.MustAdmin(p, "DELETE", "/admin/v1/keys/"+revoked.key.ID, nil, nil)
	elsewhere.host = ninjaHost
	elsewhere = p.anotherAt(elsewhere, nil)
	last := c.key.Key[len(c.key.Key)-1]
	return []string{
		prefix + "0123456789abcdefghijABCDEFGHIJ000000",
		prefix,
		"sk-proj-0123456789abcdefghijABCDEFGHIJ",
		c.key.Key[:len(c.key.Key)-1] + string('0'+(last-'0'+1)%10),
		c.key.Key + "0",
		wellFormed(prefix + "0123456789abcdefghijABCDEFGHIJ"),
		strings.ToUpper(prefix) + strings.TrimPrefix(c.key.Key, prefix),
		elsewhere.key.Key,
		revoked.key.Key,
		strings.Repeat("k", 600),
	}
}

// noMoney asks with a balance that is too low: the sentence is all there is.
func noMoney(p *proof) {
	sentence := map[string]any{"error": "Insufficient balance. Please add funds to your account."}
	only := func(a *answer) {
		p.Helper()
		if got := p.json(a); !maps.Equal(got, sentence) {
			p.Errorf("there is more than the sentence: %s", a.body)
		}
	}
	broke := p.at(llmtuneHost, "0", nil)
	for path, body := range map[string]string{
		chatPath: chat("llmtune-good"), agentPath: chat("llmtune-good"), promptPath("llmtune-good"): promptBody,
		"/v1/embeddings": `{"model":"text-embedding-3-small","input":"bridge"}`, batchPath: threePrompts("llmtune-good"),
	} {
		only(p.rejected(broke, path, body))
	}
	only(p.rejected(broke, chatPath, chat("llmtune-good", streamed)))
	justEnough(p, llmtuneHost, chatPath, chat("llmtune-good", `"max_tokens":900`))
	justEnough(p, llmtuneHost, agentPath, chat("llmtune-good", `"max_tokens":901`, streamed))
	justEnough(p, llmtuneHost, promptPath("llmtune-good"), `{"prompt":"Is it open?","maxTokens":700}`)
}

// noSuchJob checks the refusal that names an unknown job.
func noSuchJob(p *proof, a *answer, id string) {
	p.Helper()
	if got := p.text(a, "error"); got != "job_not_found" {
		p.Errorf("the code is %q\n%s", got, a.body)
	}
	p.says(p.text(a, "message"), id)
}

// wrongHost asks the host of the account pages for what the API's host serves,
// with every kind of key that this service has.
func wrongHost(p *proof) {
	everyKey(p, func(name string, c caller) {
		for path, body := range map[string]string{
			chatPath: chat("llmtune-good"), agentPath: chat("llmtune-good"), promptPath("llmtune-good"): promptBody,
			"/v1/embeddings": `{"model":"text-embedding-3-small","input":"bridge"}`, batchPath: `{"modelId":"llmtune-good","requests":[{"prompt":"hi"}]}`,
		} {
			p.rejected(c, path, body, host(llmtunePages))
		}
		p.rejected(c, chatPath, chat("llmtune-good", streamed), host(strings.ToUpper(llmtunePages)+":8080"))
		p.rejected(c, chatPath, "{", host(llmtunePages)) // before the body is looked at
		p.rejected(c, "/v1/models", "", method("GET"), host(llmtunePages))
		strangersFirst(p, c, chatPath, chat("llmtune-good"), host(llmtunePages))
		p.note("%s", name)
	})
}

// wrongEndpoint asks for the account's usage where it is not, and with keys that
// may not.
func wrongEndpoint(p *proof) {
	get := method("GET")
	everyKey(p, func(name string, c caller) {
		p.rejected(c, summaryPath, "", get, host(llmtuneHost))
		strangersFirst(p, c, summaryPath, "", get, host(llmtuneHost))
		if strings.HasPrefix(name, "billing") {
			p.wants(p.free(c, func() *answer { return p.ask(c, summaryPath, "", get, host(llmtunePages)) }), http.StatusOK)
		} else {
			p.rejected(c, summaryPath, "", get, host(llmtunePages))
			strangersFirst(p, c, summaryPath, "", get, host(llmtunePages))
		}
		p.note("%s", name)
	})
}

// strangersFirst checks that who has no key is told that, and not what others
// may not do.
func strangersFirst(p *proof, c caller, path, body string, changes ...change) {
	p.Helper()
	for _, who := range []change{noKey, key(wellFormed("sk_0123456789abcdefghijABCDEFGHIJ"))} {
		a := p.wants(p.ask(c, path, body, append(changes, who)...), http.StatusUnauthorized)
		if got := p.text(a, "error"); got != "invalid_api_key" {
			p.Errorf("a stranger is told %q\n%s", got, a.body)
		}
	}
}

// everyKey gives every kind of key that llmtune can have: of both kinds, bound
// to either host, and bound to none.
func everyKey(p *proof, each func(name string, c caller)) {
	p.Helper()
	for kind, more := range map[string]map[string]any{"inference": nil, "billing": billing()} {
		for _, at := range []string{llmtuneHost, llmtunePages} {
			each(fmt.Sprintf("%s key of %s", kind, at), p.at(at, "3", more))
		}
	}
	// A key of no site starts as those of the first one do.
	g := startFive(p, breakable(p, p.service(), false)[:1])
	restart(p, g, server, func(config map[string]any) {
		sites := config["sites"].([]any)
		first := []any{siteOf(p, config, llmtuneHost), siteOf(p, config, llmtunePages)}
		for _, s := range sites {
			if c := s.(map[string]any)["contract"]; c != "llmtune" {
				first = append(first, s)
			}
		}
		config["sites"] = first
	})
	for kind, more := range map[string]map[string]any{"inference": nil, "billing": billing()} {
		c := caller{gw: g, host: llmtuneHost, account: g.NewAccount(p, p.row.ID, "3").ID}
		c = p.another(c, more)
		if kind == "inference" {
			p.paid(c, chatPath, chat("llmtune-good"))
		}
		each(kind+" key of no site", c)
	}
	g.settled(p)
}
