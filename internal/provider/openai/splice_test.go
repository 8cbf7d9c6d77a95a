package openai

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func TestVendorsAreFoundByHost(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://api.openai.com/v1":                        "openai",
		"https://x.openai.azure.com/openai/v1":             "azure",
		"https://x.services.ai.azure.com/models":           "azure",
		"https://openrouter.ai/api/v1":                     "openrouter",
		"https://api.groq.com/openai/v1":                   "groq",
		"https://API.MISTRAL.AI/v1":                        "mistral",
		"https://api.deepseek.com":                         "deepseek",
		"https://api.x.ai/v1":                              "xai",
		"https://api.together.xyz/v1":                      "together",
		"https://api.fireworks.ai/inference/v1":            "fireworks",
		"https://api.perplexity.ai":                        "perplexity",
		"https://api.cerebras.ai/v1":                       "cerebras",
		"https://api.moonshot.ai/v1":                       "moonshot",
		"https://api.z.ai/api/paas/v4":                     "zai",
		"https://dashscope-intl.aliyuncs.com/compatible":   "alibaba",
		"https://api.venice.ai/api/v1":                     "venice",
		"https://router.huggingface.co/v1":                 "huggingface",
		"http://localhost:11434/v1":                        "ollama",
		"https://api.openai.com:443/v1":                    "openai",
		"http://127.0.0.1:8000/v1":                         "generic",
		"https://notapi.openai.com.example.org/v1":         "generic",
		"https://evilopenrouter.ai/api/v1":                 "generic",
		"https://generativelanguage.googleapis.com/v1beta": "gemini",
	} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := vendorOf("", u)
		if !ok || got.class() != vendors[want].class2() || got.limit() != vendors[want].limit2() || !slices.Equal(got.hosts, vendors[want].hosts) {
			t.Errorf("%s is %v, want %s", base, got.hosts, want)
		}
	}
}

func (v vendor) class2() string { return v.class() }
func (v vendor) limit2() string { return v.limit() }

func TestTheTableOfVendorsIsWhole(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"openai", "azure", "openrouter", "groq", "mistral", "deepseek", "xai", "together", "fireworks", "perplexity", "cerebras",
		"moonshot", "zai", "alibaba", "venice", "ollama", "llamacpp", "vllm", "huggingface", "generic",
	} {
		if !slices.Contains(Vendors(), name) {
			t.Errorf("there is no row for %s", name)
		}
	}
	seen := map[string]string{}
	for name, v := range vendors {
		if v.renames && v.limit() != "max_tokens" {
			t.Errorf("%s renames to max_tokens and knows %s", name, v.limit())
		}
		for _, h := range v.hosts {
			if seen[h] != "" {
				t.Errorf("%s belongs to %s and %s", h, seen[h], name)
			}
			seen[h] = name
		}
		if err := (Options{Vendor: name}).Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{BaseURL: "ftp://x"}, {BaseURL: "://"}, {BaseURL: "api.openai.com/v1"}, {Vendor: "nobody"}} {
		if o.Validate() == nil {
			t.Errorf("%+v is valid", o)
		}
		_, err := New(o).Open(t.Context(), provider.Call{Request: &llm.Request{Dialect: llm.OpenAIChat}})
		f, ok := err.(*provider.Failure)
		if !ok || f.Fault.Code.String() != "no_target" || f.Sent || !f.Failover {
			t.Errorf("%+v: Open = %v", o, err)
		}
	}
}

func TestOnlyWhatMustChangeChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, vendor, body string
		model              string // the provider's; the caller's is m
		cap                int64
		want               string
	}{
		{"nothing", "openai", `{ "model":"m" , "x": [1, 2.50] }`, "m", 0, `{ "model":"m" , "x": [1, 2.50] }`},
		{"model", "openai", `{"model" : "m","unknown":{"z":1,"a":2}}`, "m-2024\"", 0, `{"model" : "m-2024\"","unknown":{"z":1,"a":2}}`},
		{"usage of a stream", "openai", `{"model":"m","stream":true}`, "m", 0, `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`},
		{"usage beside others", "openai", `{"model":"m","stream":true,"stream_options":{"include_obfuscation":false,"x":1}}`, "m", 0, `{"model":"m","stream":true,"stream_options":{"include_obfuscation":false,"x":1,"include_usage":true}}`},
		{"usage refused", "openai", `{"model":"m","stream":true,"stream_options":{ "include_usage" : false }}`, "m", 0, `{"model":"m","stream":true,"stream_options":{ "include_usage" : true }}`},
		{"usage asked for", "openai", `{"model":"m","stream":true,"stream_options":{ "include_usage":true}}`, "m", 0, `{"model":"m","stream":true,"stream_options":{ "include_usage":true}}`},
		{"null options", "openai", `{"model":"m","stream":true,"stream_options":null}`, "m", 0, `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`},
		{"no options at that vendor", "mistral", `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`, "m", 0, `{"model":"m","stream":true}`},
		{"no stream", "openai", `{"model":"m","stream":false}`, "m", 0, `{"model":"m","stream":false}`},
		{"cap", "openai", `{"model":"m"}`, "m", 9, `{"model":"m","max_completion_tokens":9}`},
		{"cap in old words", "deepseek", `{"model":"m"}`, "m", 9, `{"model":"m","max_tokens":9}`},
		{"cap over null", "openai", `{"model":"m","max_tokens":null,"max_completion_tokens":null}`, "m", 9, `{"model":"m","max_completion_tokens":9}`},
		{"own limit", "openai", `{"model":"m","max_tokens":5}`, "m", 9, `{"model":"m","max_tokens":5}`},
		{"own limit in a vendor's words", "mistral", `{"model":"m","max_completion_tokens":5}`, "m", 9, `{"model":"m","max_tokens":5}`},
		{"two limits", "deepseek", `{"model":"m","max_completion_tokens":5,"max_tokens":6}`, "m", 0, `{"model":"m","max_tokens":6}`},
		{"records that a vendor refuses", "mistral", `{"model":"m","user":"u","store":true,"seed":3,"x":1}`, "m", 0, `{"model":"m","x":1,"random_seed":3}`},
		{"records elsewhere", "openai", `{"model":"m","user":"u","store":true,"seed":3}`, "m", 0, `{"model":"m","user":"u","store":true,"seed":3}`},
	} {
		raw, err := jsonx.Scan([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Stream     bool
			Max        *int64 `json:"max_tokens"`
			Completion *int64 `json:"max_completion_tokens"`
		}
		if err := json.Unmarshal([]byte(c.body), &b); err != nil {
			t.Fatal(err)
		}
		q := &llm.Request{Dialect: llm.OpenAIChat, Model: "m", Raw: raw, Stream: b.Stream, HasMaxOutput: b.Max != nil || b.Completion != nil}
		p := New(Options{Vendor: c.vendor, Transport: canned{}})
		got := p.splice(provider.Call{Request: q, Model: c.model, CapOutput: c.cap})
		if string(got) != c.want {
			t.Errorf("%s: %s\nbecomes %s\nwant    %s", c.name, c.body, got, c.want)
		}
		if string(raw.Body) != c.body {
			t.Errorf("%s: the caller's body was changed", c.name)
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	q := &llm.Request{Dialect: llm.OpenAIChat, Model: "m"}
	for _, c := range []struct {
		vendor, base string
		embed        bool
		header, want string
		url          string
	}{
		{"openai", "", false, "Authorization", "Bearer k", "https://api.openai.com/v1/chat/completions"},
		{"azure", "https://x.openai.azure.com/openai/deployments/d?api-version=2024", false, "Api-Key", "k", "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024"},
		{"", "http://127.0.0.1:9000/v1/", true, "Authorization", "Bearer k", "http://127.0.0.1:9000/v1/embeddings"},
		{"", "http://127.0.0.1:9000", false, "Authorization", "Bearer k", "http://127.0.0.1:9000/chat/completions"},
	} {
		p := New(Options{Vendor: c.vendor, BaseURL: c.base, Transport: canned{}})
		h := p.header(provider.Call{Request: q, Key: "k", RequestID: "r"})
		if got := h.Get(c.header); got != c.want || h.Get("X-Request-Id") != "r" {
			t.Errorf("%s: %s = %q, want %q", c.vendor, c.header, got, c.want)
		}
		to := p.chat
		if c.embed {
			to = p.embed
		}
		if to.String() != c.url {
			t.Errorf("%s goes to %s, want %s", c.base, to, c.url)
		}
		if h := p.header(provider.Call{Request: q}); h.Get(c.header) != "" {
			t.Errorf("%s: without a key %s is sent", c.vendor, h.Get(c.header))
		}
	}
}
