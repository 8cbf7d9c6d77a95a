package traffic

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

// severalChoices are recorded answers with more than one choice, which was asked
// for. A message has one, and cannot ask for more: a provider that gives more
// all the same gave nothing that can be passed on, and nothing is paid.
var severalChoices = []string{
	"llamacpp.openai-chat.0487b79a5f", "llamacpp.openai-chat.d7fea7268f", "mistral.openai-chat.47ff768487",
	"mistral.openai-chat.e2cf31d24f", "openai.openai-chat.8c4a2f7f85", "openai.openai-chat.a7175c7bf9",
}

// otherDialect gives every recorded answer to callers who speak other dialects:
// official schemas accept what they get, nothing that was said is lost, and they
// pay for what was used.
func otherDialect(t *testing.T, w *world) {
	p := w.purse(t)
	s := loadSchemas(t)
	n := w.each(func(f *testkit.Fixture) bool {
		return f.Response.Status == 200 && (f.API == "openai.chat" || f.API == "anthropic.messages")
	}, func(f *testkit.Fixture) {
		a := read(f, f.Response.Body())
		if broken(f, a) {
			return // see the same dialect
		}
		for _, surface := range []string{"/v1/chat/completions", "/v1/messages", "/v1/chat"} {
			if surface != apis[f.API] {
				oneTranslation(t, p, s, f, a, surface)
			}
		}
	})
	if n < 600 {
		t.Errorf("only %d answers were translated", n)
	}
	p.settle(t)
}

// hello is a small request for a surface.
func hello(surface, model string, stream bool) []byte {
	name, _ := json.Marshal(model)
	more := ""
	if stream {
		more = `,"stream":true`
	}
	switch surface {
	case "/v1/messages":
		more += `,"max_tokens":100000`
	case "/v1/chat/completions":
		if stream {
			more += `,"stream_options":{"include_usage":true}`
		}
	}
	return fmt.Appendf(nil, `{"model":%s,"messages":[{"role":"user","content":"Hello"}]%s}`, name, more)
}

func oneTranslation(t *testing.T, p *purse, s *schemas, f *testkit.Fixture, a answer, surface string) {
	sse := f.Response.Kind == "sse"
	at := f.ID + " for " + surface
	body := hello(surface, "fx/"+f.ID, sse)
	r := p.post(t, surface, body)
	if surface == "/v1/messages" && slices.Contains(severalChoices, f.ID) {
		if r.Status < 500 {
			endsInError(t, at, "anthropic.messages", r.Body)
		}
		return
	}
	if r.Status != 200 || r.Err != nil {
		t.Errorf("%s: %d %v %s", at, r.Status, r.Err, r.Body)
		return
	}
	got := s.read(t, at, surface, r.Body, sse)
	if !got.ended || got.failed {
		t.Errorf("%s: the answer has no clean end: %s", at, r.Body[max(0, len(r.Body)-300):])
	}
	for i, want := range a.Choices {
		have := got.Choices[i]
		if have == nil {
			t.Errorf("%s: choice %d is lost", at, i)
			continue
		}
		if d := cmp.Diff(flat(want, surface), flat(have, surface)); d != "" {
			t.Errorf("%s: choice %d (-said +heard):\n%.3000s", at, i, d)
		}
		if w := finishIn(surface, want); have.Finish != w {
			t.Errorf("%s: finish %q from %q, want %q", at, have.Finish, want.Finish, w)
		}
	}
	if len(got.Choices) != len(a.Choices) {
		t.Errorf("%s: %d choices, want %d", at, len(got.Choices), len(a.Choices))
	}
	if a.Usage != nil && !a.blocked() {
		want := *a.Usage
		if surface != "/v1/messages" { // one number for all that was written to a cache
			want.Write, want.Write1h = want.Write+want.Write1h, 0
		} else if sse { // message_delta has one, too
			want.Write, want.Write1h = want.Write+want.Write1h, 0
		}
		if got.Usage == nil || *got.Usage != want {
			t.Errorf("%s: the answer says %+v was used, the recording %+v", at, got.Usage, want)
		}
	}
	bill(t, p, f, a, r, body)
}

// flat is what was said, as another dialect can say it: Messages have one text
// for what is said and what is refused.
func flat(s *said, surface string) string {
	c := *s
	if surface == "/v1/chat" { // state is sealed there, for nobody but its provider
		c.Signature, c.Redacted = unsealed(c.Signature), unsealed(c.Redacted)
	}
	if surface == "/v1/messages" {
		c.Text, c.Refusal = c.Text+c.Refusal, ""
		// Input is an object, so what the model wrote that is none goes into one.
		c.Calls = slices.Clone(c.Calls)
		for i, call := range c.Calls {
			if tidy(call.Args) == "null" { // some models write it where a tool takes nothing
				c.Calls[i].Args = "{}"
			} else if args := tidy(call.Args); args[0] != '{' || args == call.Args && parse([]byte(args)) == nil {
				raw, _ := json.Marshal(call.Args)
				c.Calls[i].Args = `{"_raw":` + string(raw) + `}`
			}
		}
	}
	return c.String()
}

// unsealed is the state in seals that stand one after the other; what is none
// stays as it is.
func unsealed(seals string) string {
	const begin = "pontage1."
	var out string
	for at, seal := range strings.Split(seals, begin) {
		if _, state, ok := llm.Unseal(begin + seal); at > 0 && ok {
			seal = state
		}
		out += seal
	}
	return out
}

// finishIn is why an answer ended in the words of a surface; protocols.md §3.9.
// Calls of tools go before the words.
func finishIn(surface string, s *said) string {
	chat, message := "stop", "end_turn"
	switch s.Finish {
	case "length", "max_tokens":
		chat, message = "length", "max_tokens"
	case "model_length", "model_context_window_exceeded":
		chat, message = "length", "model_context_window_exceeded"
	case "content_filter", "refusal":
		chat, message = "content_filter", "refusal"
	case "tool_calls", "function_call", "tool_use":
		chat, message = "tool_calls", "tool_use"
	default:
		switch {
		case len(s.Calls) > 0:
			chat, message = "tool_calls", "tool_use"
		case s.Refusal != "":
			message = "refusal"
		}
	}
	if surface == "/v1/messages" {
		return message
	}
	return chat
}

// schemas are the official ones.
type schemas struct{ completion, chunk, message, event *testkit.Schema }

func loadSchemas(t *testing.T) *schemas {
	t.Helper()
	return &schemas{
		completion: testkit.LoadSchema(t, "openai.json#CreateChatCompletionResponse"),
		chunk:      testkit.LoadSchema(t, "openai.json#CreateChatCompletionStreamResponse"),
		message:    testkit.LoadSchema(t, "anthropic.Message.json"),
		event:      testkit.LoadSchema(t, "anthropic.RawMessageStreamEvent.json"),
	}
}

// read checks an answer against the schema of its surface, and reads it. The
// schemas are taken as they are: what recorded traffic omits, we need not.
func (s *schemas) read(t *testing.T, at, surface string, body []byte, sse bool) answer {
	whole, event := s.completion, s.chunk
	a := answer{}
	if surface == "/v1/messages" {
		whole, event = s.message, s.event
		a = readAnthropic(body, sse)
	} else {
		a = readOpenAI(body, sse, "")
	}
	check := func(schema *testkit.Schema, doc []byte) {
		if err := schema.Check(doc); err != nil {
			t.Errorf("%s: the official schema refuses %.600s\n%.1500v", at, doc, err)
		}
	}
	if !sse {
		if surface == "/v1/chat" {
			first := obj(list(parse(body)["choices"])[0])
			if d := cmp.Diff(first["message"], parse(body)["message"]); d != "" || valueOf(body, "model") == nil {
				t.Errorf("%s: the answer has no model, or another message (-choice +message): %s", at, d)
			}
			if first["logprobs"] != nil {
				return a // the provider's own form of them
			}
		}
		check(whole, body)
		return a
	}
	for _, f := range frames(body) {
		switch {
		case string(f.data) == "[DONE]", f.comment && !f.hasData:
		case surface == "/v1/messages" && f.name == "ping":
		case surface == "/v1/messages" && f.name != str(parse(f.data)["type"]):
			t.Errorf("%s: the event is called %q: %s", at, f.name, f.data)
		default:
			check(event, f.data)
		}
	}
	return a
}

var update = flag.Bool("update", false, "rewrite testdata")

// refusedFile lists the recorded requests that cannot be said in the other
// dialect, each with the field that the refusal names. It cannot grow by itself.
const refusedFile = "testdata/refused.txt"

// reasons say why a field of one dialect has no place in the other, by the field
// with its indexes left out; protocols.md §3.
var reasons = map[string]string{
	"audio":                          "sound is not spoken by anybody else",
	"cache_prompt":                   "llama.cpp's own",
	"container":                      "state of Anthropic's code execution",
	"context_management":             "Anthropic edits the conversation",
	"defer_loading":                  "part of Anthropic's tool search",
	"functions":                      "the form before tools",
	"grammar":                        "llama.cpp's own",
	"logprobs":                       "the caller asked for data that does not exist",
	"mcp_servers":                    "tools that Anthropic runs",
	"messages":                       "no message of the user",
	"messages.#.content.#":           "media, reasoning or server tools that the other does not take",
	"messages.#.content.#.citations": "Anthropic cites documents",
	"messages.#.content.#.content.#": "results of server tools",
	"messages.#.reasoning_details":   "sealed by another provider",
	"messages.#.role":                "a conversation begins with the user",
	"models":                         "OpenRouter's own list of fallbacks",
	"moderation":                     "OpenAI's own",
	"n":                              "one answer at a time",
	"output_config.task_budget":      "Anthropic's own",
	"provider":                       "OpenRouter's own routing",
	"random_seed":                    "Mistral's own spelling, unknown elsewhere",
	"reasoning":                      "OpenRouter's own spelling, unknown elsewhere",
	"response_format":                "any JSON object, without a schema",
	"search_context_size":            "Perplexity's own",
	"temperature":                    "above 1",
	"thinking":                       "other vendors' switch",
	"tool_choice":                    "Claude cannot be made to call a tool while it thinks",
	"tools.#":                        "tools that the provider runs, and grammars",
	"tools.#.custom.format":          "a grammar that a tool's text follows",
	"tools.#.defer_loading":          "part of Anthropic's tool search",
	"top_k":                          "OpenAI has none",
	"venice_parameters":              "Venice's own",
	"web_search_options":             "searches that the provider runs",
	"This model takes no documents of that kind.": "documents made of blocks",
}

// otherRequest sends every recorded request to a provider of the other family:
// it arrives there whole, or is refused with the field that cannot be said.
func otherRequest(t *testing.T, w *world) {
	p := w.purse(t)
	var mu sync.Mutex
	refused := map[string]string{}
	n := w.each(func(f *testkit.Fixture) bool {
		return hasBody(f) && (f.API == "openai.chat" || f.API == "anthropic.messages") && refusedHere[f.ID] == ""
	}, func(f *testkit.Fixture) {
		body := request(f, "ask/"+f.ID)
		r := p.post(t, apis[f.API], body)
		sent, reached := w.up.last("ask/" + f.ID)
		if r.Status == 400 && !reached {
			if r.charged(t).Sign() != 0 {
				t.Errorf("%s: a refusal cost %v", f.ID, r.charged(t))
			}
			mu.Lock()
			defer mu.Unlock()
			refused[f.ID] = named(f, r)
			return
		}
		if r.Status != 200 || !reached || r.Err != nil {
			t.Errorf("%s: %d %v %s", f.ID, r.Status, r.Err, r.Body)
			return
		}
		p.pay(r.charged(t))
		other := map[string]string{"openai.chat": "anthropic.messages", "anthropic.messages": "openai.chat"}[f.API]
		if d := cmp.Diff(conversation(f.API, body, nil), conversation(other, sent.body, body)); d != "" {
			t.Errorf("%s: the request (-caller +provider):\n%.3000s", f.ID, d)
		}
	})
	if n < 500 {
		t.Errorf("only %d requests were translated", n)
	}
	checkRefused(t, refused)
	p.settle(t)
}

// named is the field that a refusal names.
func named(f *testkit.Fixture, r reply) string {
	e := obj(parse(r.Body)["error"])
	if at := str(e["param"]); at != "" || f.API == "openai.chat" {
		return at
	}
	field, _, _ := strings.Cut(str(e["message"]), " cannot be honoured")
	field, _, _ = strings.Cut(field, ": ")
	field, _, _ = strings.Cut(field, " of type ")
	return field
}

// checkRefused compares with the list, and looks for a reason of each.
func checkRefused(t *testing.T, refused map[string]string) {
	var b strings.Builder
	digits := regexp.MustCompile(`\.\d+`)
	for _, id := range slices.Sorted(maps.Keys(refused)) {
		fmt.Fprintf(&b, "%s\t%s\n", id, refused[id])
		if kind := digits.ReplaceAllString(refused[id], ".#"); reasons[kind] == "" {
			t.Errorf("%s is refused for %q, and there is no reason why", id, kind)
		}
	}
	if *update {
		if err := os.WriteFile(refusedFile, []byte(b.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
	want, err := os.ReadFile(refusedFile)
	if err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("requests that are refused (-list +refused):\n%s", d)
	}
}
