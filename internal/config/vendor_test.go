package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDevTakesTheKeysThatThereAre(t *testing.T) {
	t.Parallel()
	c := Dev(vars())
	if diff := cmp.Diff(map[string]Provider{"sim": {Kind: "sim"}}, c.Providers); diff != "" {
		t.Errorf("without any key (-want +got):\n%s", diff)
	}
	c = Dev(vars("ANTHROPIC_API_KEY", "a", "GEMINI_API_KEY", " g\n", "OPENAI_API_KEY", "  "))
	want := map[string]Provider{
		"sim":       {Kind: "sim"},
		"anthropic": {Kind: "anthropic", APIKey: "a", Catalog: "anthropic"},
		"gemini":    {Kind: "gemini", APIKey: "g", Catalog: "gemini"},
	}
	if diff := cmp.Diff(want, c.Providers); diff != "" {
		t.Errorf("with two keys (-want +got):\n%s", diff)
	}
	if c.Server.Listen != "127.0.0.1:8080" || len(c.Sites) != 1 {
		t.Errorf("server %+v, sites %+v", c.Server, c.Sites)
	}
}

func TestAProviderIsKnownByHostThenByName(t *testing.T) {
	t.Parallel()
	c, err := Parse("c.yaml", []byte(`providers:
  openai: {api_key: k}
  mistral: {api_key: k}
  google: {api_key: k}
  gemini: {kind: openai, api_key: k}
  studio: {kind: gemini, api_key: k}
  cloud: {kind: vertex, api_key: k}
  anthropic: {api_key: k}
  work: {api_key: k, base_url: "https://API.deepseek.com/v1"}
  deepseek: {api_key: k, base_url: "http://127.0.0.1:1/v1"}
  mine: {api_key: k}
  claude: {kind: anthropic, api_key: k}
  local: {api_key: none, base_url: "http://127.0.0.1:2/v1"}
  groq: {kind: sim}
  xai: {api_key: k, catalog: none}
`), vars())
	if err != nil {
		t.Fatal(err)
	}
	type known struct{ Kind, Catalog, BaseURL string }
	want := map[string]known{
		"openai":    {"openai", "openai", "https://api.openai.com/v1"},
		"mistral":   {"openai", "mistral", "https://api.mistral.ai/v1"},
		"google":    {"gemini", "gemini", ""},
		"gemini":    {"openai", "gemini", "https://generativelanguage.googleapis.com/v1beta/openai"},
		"studio":    {"gemini", "gemini", ""},
		"cloud":     {"vertex", "gemini", ""},
		"anthropic": {"anthropic", "anthropic", ""},
		"work":      {"openai", "deepseek", "https://API.deepseek.com/v1"},
		"deepseek":  {"openai", "deepseek", "http://127.0.0.1:1/v1"},
		"mine":      {"openai", "openai", "https://api.openai.com/v1"},
		"claude":    {"anthropic", "anthropic", ""},
		"local":     {"openai", "", "http://127.0.0.1:2/v1"},
		"groq":      {"sim", "groq", ""},
		"xai":       {"openai", "none", "https://api.x.ai/v1"},
	}
	got := map[string]known{}
	for name, p := range c.Providers {
		got[name] = known{p.Kind, p.Catalog, p.BaseURL}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
}

func TestAzureIsReachedByItsResource(t *testing.T) {
	t.Parallel()
	c, err := Parse("c.yaml", []byte(`providers:
  v1: {kind: azure, api_key: k, base_url: "https://x.openai.azure.com"}
  slash: {kind: azure, api_key: k, base_url: "https://x.openai.azure.com/"}
  whole: {kind: azure, api_key: k, base_url: "https://x.openai.azure.com/openai/v1/"}
  dated: {kind: azure, api_key: k, base_url: "https://x.openai.azure.com", api_version: 2024-10-21}
  models: {kind: azure, api_key: k, base_url: "https://x.services.ai.azure.com/models", api_version: 2024-05-01-preview}
  query: {kind: azure, api_key: k, base_url: "https://x.openai.azure.com/openai?api-version=2023-05-15"}
`), vars())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, p := range c.Providers {
		got[name] = p.BaseURL
	}
	want := map[string]string{
		"v1":     "https://x.openai.azure.com/openai/v1",
		"slash":  "https://x.openai.azure.com/openai/v1",
		"whole":  "https://x.openai.azure.com/openai/v1/",
		"dated":  "https://x.openai.azure.com/openai?api-version=2024-10-21",
		"models": "https://x.services.ai.azure.com/models?api-version=2024-05-01-preview",
		"query":  "https://x.openai.azure.com/openai?api-version=2023-05-15",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("base URLs (-want +got):\n%s", diff)
	}
}

func TestWhatIsWrongWithAzureAndResponsesIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`providers: {a: {kind: azure, api_key: k}}`, "providers.a.base_url: is missing"},
		{`providers: {a: {kind: azure, api_key: k, base_url: "https://x.openai.azure.com", api_version: latest}}`, "providers.a.api_version: must be a date"},
		{`providers: {a: {api_key: k, api_version: 2024-10-21}}`, "providers.a.api_version: is for kind azure only"},
		{`{providers: {a: {api_key: k}}, models: {m: {price: {input: 1, output: 1}, targets: [{provider: a, api: chat}]}}}`, "models.m.targets[0].api: "},
		{`{providers: {a: {kind: anthropic, api_key: k}}, models: {m: {price: {input: 1, output: 1}, targets: [{provider: a, api: responses}]}}}`, "models.m.targets[0].api: is not spoken by providers of kind anthropic"},
	} {
		_, err := Parse("c.yaml", []byte(c.text), vars())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
	c, err := Parse("c.yaml", []byte(`{providers: {a: {api_key: k}}, models: {m: {price: {input: 1, output: 1}, targets: [{provider: a, api: responses}]}}}`), vars())
	if err != nil || c.Models["m"].Targets[0].API != "responses" {
		t.Errorf("%v, %v", c, err)
	}
}
