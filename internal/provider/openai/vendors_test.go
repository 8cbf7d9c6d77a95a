package openai

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// ownRequest has what vendors take differently, in their own dialect.
const ownRequest = `{"model":"m","stream":true,"max_completion_tokens":64,"seed":3,"user":"u","store":true,"metadata":{"a":"b"},"new":[1.50],"messages":[{"role":"user","content":"hi"}]}`

// foreignRequest has what vendors take differently, in Anthropic's dialect.
const foreignRequest = `{"model":"m","stream":true,"max_tokens":64,"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"tool_use","id":"t1","name":"f","input":{"x": 1.0}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"ok"}]}]}`

// asks are the bodies that a vendor gets: what differs from vendor to vendor.
func asks(t *testing.T, vendor string) (own, foreign string) {
	t.Helper()
	raw, err := jsonx.Scan([]byte(ownRequest))
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Vendor: vendor, Transport: canned{}})
	q := &llm.Request{Dialect: llm.OpenAIChat, Model: "m", Raw: raw, Stream: true, HasMaxOutput: true, MaxOutput: 64}
	own = string(p.splice(provider.Call{Request: q, Model: "m"}))
	r, err := messagesRequest(t, []byte(foreignRequest))
	if err != nil {
		t.Fatal(err)
	}
	body, err := p.translate(provider.Call{Request: r, Model: "m"})
	if err != nil {
		t.Fatalf("%s: %v", vendor, err)
	}
	return own, string(body)
}

// TestVendorsAreAskedAsTheyDocument has the shape of the requests that each vendor
// of the table gets. The sources stand at the table.
func TestVendorsAreAskedAsTheyDocument(t *testing.T) {
	t.Parallel()
	const (
		systemText  = `{"role":"system","content":"a\n\nb"}`
		systemParts = `{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`
		systemMarks = `{"role":"system","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}]}`
		options     = `,"stream_options":{"include_usage":true}`
	)
	for _, c := range []struct {
		vendor  string
		limit   string // the member that a translated limit goes to
		renamed bool   // the caller's own spelling is changed to it
		options bool
		dropped bool // records that change nothing in an answer are left out
		some    bool // of those, but for the user
		seed    string
		system  string
		thought string // the member that takes reasoning back
		choice  string
	}{
		{vendor: "openai", limit: "max_completion_tokens", options: true, system: systemParts, choice: "required"},
		{vendor: "azure", limit: "max_completion_tokens", options: true, system: systemParts, choice: "required"},
		{vendor: "openrouter", limit: "max_tokens", options: true, system: systemMarks, thought: "reasoning", choice: "required"},
		{vendor: "groq", limit: "max_completion_tokens", options: true, system: systemParts, thought: "reasoning", choice: "required"},
		{vendor: "mistral", limit: "max_tokens", renamed: true, dropped: true, seed: "random_seed", system: systemText, choice: "any"},
		{vendor: "deepseek", limit: "max_tokens", renamed: true, options: true, system: systemText, thought: "reasoning_content", choice: "required"},
		{vendor: "xai", limit: "max_completion_tokens", options: true, system: systemParts, thought: "reasoning_content", choice: "required"},
		{vendor: "together", limit: "max_tokens", renamed: true, options: true, system: systemParts, choice: "required"},
		{vendor: "fireworks", limit: "max_tokens", renamed: true, options: true, system: systemParts, thought: "reasoning_content", choice: "required"},
		{vendor: "cerebras", limit: "max_completion_tokens", options: true, some: true, system: systemText, choice: "required"},
		{vendor: "perplexity", limit: "max_tokens", renamed: true, options: true, dropped: true, system: systemText, choice: "required"},
		{vendor: "moonshot", limit: "max_tokens", renamed: true, options: true, system: systemText, thought: "reasoning_content", choice: "required"},
		{vendor: "zai", limit: "max_tokens", renamed: true, options: true, system: systemText, thought: "reasoning_content", choice: "required"},
		{vendor: "vllm", limit: "max_tokens", options: true, system: systemParts, thought: "reasoning", choice: "required"},
		{vendor: "llamacpp", limit: "max_tokens", renamed: true, options: true, system: systemParts, thought: "reasoning_content", choice: "required"},
		{vendor: "ollama", limit: "max_tokens", renamed: true, options: true, system: systemParts, thought: "reasoning", choice: "required"},
	} {
		own, foreign := asks(t, c.vendor)
		want := ownRequest
		if c.renamed {
			want = strings.Replace(want, `"max_completion_tokens":64,`, "", 1)
		}
		if c.dropped {
			want = strings.NewReplacer(`"user":"u",`, "", `"store":true,`, "", `"metadata":{"a":"b"},`, "").Replace(want)
		}
		if c.some {
			want = strings.NewReplacer(`"store":true,`, "", `"metadata":{"a":"b"},`, "").Replace(want)
		}
		end := ""
		if c.renamed {
			end += `,"max_tokens":64`
		}
		if c.seed != "" {
			want = strings.Replace(want, `"seed":3,`, "", 1)
		}
		if c.options {
			end += options
		}
		if c.seed != "" {
			end += `,"` + c.seed + `":3`
		}
		want = strings.TrimSuffix(want, "}") + end + "}"
		if d := cmp.Diff(want, own); d != "" {
			t.Errorf("%s: its own dialect (-want +got):\n%s", c.vendor, d)
		}

		thought := ""
		if c.thought != "" {
			thought = `,"` + c.thought + `":"hm"`
		}
		want = `{"model":"m","messages":[` + c.system + `,{"role":"user","content":"hi"},{"role":"assistant","content":null` + thought +
			`,"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"x\": 1.0}"}}]},{"role":"tool","tool_call_id":"t1","content":"ok"}],` +
			`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"` + c.choice + `","` + c.limit + `":64,"stream":true`
		if c.options {
			want += options
		}
		if d := cmp.Diff(want+"}", foreign); d != "" {
			t.Errorf("%s: another dialect (-want +got):\n%s", c.vendor, d)
		}
	}
}

// TestEveryVendorOfTheTableAnswers replays what there is of each vendor that the
// documentation names: recordings, or for those that nobody has recorded what
// their documentation shows.
func TestEveryVendorOfTheTableAnswers(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	documented := map[string]string{
		"fireworks": `{"id":"f","object":"chat.completion","created":1,"model":"accounts/fireworks/models/x","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"hm","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3}}`,
		"vllm":      `{"id":"v","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning":"hm"},"logprobs":null,"finish_reason":"stop","stop_reason":null,"token_ids":null}],"service_tier":null,"system_fingerprint":null,"usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3,"prompt_tokens_details":null},"prompt_logprobs":null,"kv_transfer_params":null}`,
	}
	for _, vendor := range []string{
		"openai", "azure", "openrouter", "groq", "mistral", "deepseek", "xai", "together", "fireworks", "cerebras", "perplexity", "moonshot",
		"zai", "vllm", "llamacpp", "ollama",
	} {
		n := 0
		for _, e := range corpus.Filter(testkit.Filter{API: "openai.chat", Provider: vendor, Status: 200, Recorded: true}) {
			f := corpus.Load(t, e)
			if !isAnswer(f) || errorInStream(string(f.Response.Body())) {
				continue
			}
			for _, q := range []*llm.Request{request(t, f), foreign(request(t, f))} {
				if _, err := run(cutAt(f, string(f.Response.Body())), provider.Call{Request: q, Model: q.Model}); err != nil {
					t.Errorf("%s: %v", e.ID, err)
				}
			}
			n++
		}
		if body := documented[vendor]; body != "" {
			for _, other := range []bool{false, true} {
				q := &llm.Request{Dialect: llm.OpenAIChat, Model: "mine"}
				if other {
					q = foreign(q)
				}
				p := New(Options{Vendor: vendor, Transport: canned{200, http.Header{}, func() io.Reader { return strings.NewReader(body) }}})
				evs, err := run(p, provider.Call{Request: q, Model: "theirs"})
				if err != nil || len(evs) != 1 || !evs[0].Content || testkit.Used(evs[0]) != (llm.Usage{Input: 5, Output: 3}) || evs[0].Finish != llm.FinishStop {
					t.Errorf("%s: %+v, %v", vendor, evs, err)
					continue
				}
				if !other && string(evs[0].Raw) == "" || other && understand(evs)[0].Thought != "hm" {
					t.Errorf("%s: %+v", vendor, evs)
				}
			}
			n++
		}
		if n == 0 {
			t.Errorf("nothing is known of %s", vendor)
		}
	}
}
