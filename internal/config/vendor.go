package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// vendor is one company whose API and models are known by name.
type vendor struct {
	name    string   // as the embedded catalogue has it
	aliases []string // other names that providers go by
	env     string   // variable that holds its key
	kind    string
	baseURL string // empty: the kind's own
	host    string
}

// likened are the APIs in OpenAI's dialect of vendors whose own is another.
var likened = map[string]string{"gemini": "https://generativelanguage.googleapis.com/v1beta/openai"}

// vendors are facts from the companies' documentation, July 2026. All but
// Anthropic and Google are reached by the dialect of OpenAI.
var vendors = [...]vendor{
	{"openai", nil, "OPENAI_API_KEY", "openai", "https://api.openai.com/v1", "api.openai.com"},
	{"anthropic", nil, "ANTHROPIC_API_KEY", "anthropic", "", "api.anthropic.com"},
	{"gemini", []string{"google"}, "GEMINI_API_KEY", "gemini", "", "generativelanguage.googleapis.com"},
	{"openrouter", nil, "OPENROUTER_API_KEY", "openai", "https://openrouter.ai/api/v1", "openrouter.ai"},
	{"mistral", nil, "MISTRAL_API_KEY", "openai", "https://api.mistral.ai/v1", "api.mistral.ai"},
	{"deepseek", nil, "DEEPSEEK_API_KEY", "openai", "https://api.deepseek.com/v1", "api.deepseek.com"},
	{"groq", nil, "GROQ_API_KEY", "openai", "https://api.groq.com/openai/v1", "api.groq.com"},
	{"xai", []string{"grok"}, "XAI_API_KEY", "openai", "https://api.x.ai/v1", "api.x.ai"},
	{"moonshot", []string{"moonshotai", "kimi"}, "MOONSHOT_API_KEY", "openai", "https://api.moonshot.ai/v1", "api.moonshot.ai"},
	{"zai", []string{"z-ai", "zhipu"}, "ZAI_API_KEY", "openai", "https://api.z.ai/api/paas/v4", "api.z.ai"},
	{"cohere", nil, "COHERE_API_KEY", "openai", "https://api.cohere.ai/compatibility/v1", "api.cohere.ai"},
	{"perplexity", nil, "PERPLEXITY_API_KEY", "openai", "https://api.perplexity.ai", "api.perplexity.ai"},
	{"together", []string{"togetherai"}, "TOGETHER_API_KEY", "openai", "https://api.together.xyz/v1", "api.together.xyz"},
	{"fireworks", []string{"fireworks-ai"}, "FIREWORKS_API_KEY", "openai", "https://api.fireworks.ai/inference/v1", "api.fireworks.ai"},
}

// vendorNames lists the vendors.
func vendorNames() []string {
	out := make([]string, len(vendors))
	for i, v := range vendors {
		out[i] = v.name
	}
	return out
}

// called returns the vendor of that name, or nil.
func called(name string) *vendor {
	for i, v := range vendors {
		if v.name == name || slices.Contains(v.aliases, name) {
			return &vendors[i]
		}
	}
	return nil
}

// whose returns the vendor whose models a provider serves, or nothing.
func whose(name string, p Provider) string {
	if u, err := url.Parse(p.BaseURL); err == nil && u.Host != "" {
		for _, v := range vendors {
			if strings.EqualFold(u.Hostname(), v.host) {
				return v.name
			}
		}
	}
	if v := called(name); v != nil {
		return v.name
	}
	switch {
	case p.Kind == "vertex" && p.Publisher == "anthropic":
		return "anthropic"
	case p.Kind == "vertex":
		return "gemini"
	case p.BaseURL == "" && (p.Kind == "openai" || p.Kind == "anthropic" || p.Kind == "gemini"):
		return p.Kind
	}
	return ""
}

// azureVersion is what the dated versions of Azure's API look like.
var azureVersion = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-preview)?$`)

// azureURL returns the root of Azure's API: of the v1 API if no version is asked
// for, else of the dated one. A base URL with a path of its own is kept.
func azureURL(base, version string) string {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return base
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/openai/v1"
		if version != "" {
			u.Path = "/openai"
		}
	}
	if q := u.Query(); version != "" && !q.Has("api-version") {
		q.Set("api-version", version)
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// kind returns the protocol of a provider if the file does not say.
func kind(name string, p Provider) string {
	if v := called(name); v != nil && p.BaseURL == "" {
		return v.kind
	}
	return "openai"
}

// baseURL returns the root of a provider's API if the file does not say;
// empty: the kind's own.
func baseURL(name string, p Provider) string {
	if p.Kind != "openai" {
		return ""
	}
	switch v := called(name); {
	case v == nil:
	case likened[v.name] != "":
		return likened[v.name]
	case v.baseURL != "" && v.kind == p.Kind:
		return v.baseURL
	}
	return vendors[0].baseURL
}

// Dev returns the configuration of a process that was started without one: the
// simulator, and the real provider for each vendor whose key env holds.
func Dev(env func(string) (string, bool)) *Config {
	c, err := Parse("dev", []byte("providers: {sim: {kind: sim}}"), env)
	if err != nil {
		panic(err) // the text above is wrong
	}
	for _, v := range vendors {
		if key, ok := env(v.env); ok && strings.TrimSpace(key) != "" {
			c.Providers[v.name] = Provider{Kind: v.kind, BaseURL: v.baseURL, APIKey: Secret(strings.TrimSpace(key)), Catalog: v.name}
		}
	}
	return c
}
