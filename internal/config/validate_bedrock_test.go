package config

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWhatIsWrongWithBedrockIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`{kind: bedrock, api_key: k}`, "providers.a.region: is missing"},
		{`{kind: bedrock, api_key: k, region: us-east-1.example.com}`, "providers.a.region: "},
		{`{kind: bedrock, region: us-east-1}`, "providers.a.api_key: is missing"},
		{`{kind: bedrock, region: us-east-1, access_key_id: a}`, "providers.a.secret_access_key: is missing"},
		{`{kind: bedrock, region: us-east-1, secret_access_key: a}`, "providers.a.access_key_id: is missing"},
		{`{kind: bedrock, region: us-east-1, session_token: a}`, "providers.a.access_key_id: is missing"},
		{`{kind: bedrock, region: us-east-1, access_key_id: a, secret_access_key: "b c"}`, "providers.a.secret_access_key: holds a space"},
		{`{kind: bedrock, region: us-east-1, access_key_id: a, secret_access_key: b, api_key: k}`, "providers.a.access_key_id: cannot stand beside api_key"},
		{`{kind: anthropic, api_key: k, region: us-east-1}`, "providers.a.region: is for kind bedrock only"},
		{`{api_key: k, access_key_id: a}`, "providers.a.access_key_id: is for kind bedrock only"},
		{`{kind: sim, secret_access_key: a}`, "providers.a.secret_access_key: is for kind bedrock only"},
	} {
		_, err := Parse("c.yaml", []byte("providers: {a: "+c.text+"}"), vars())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestBedrockHasAKeyOrSigns(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-value"
	c, err := Parse("c.yaml", []byte(`providers:
  key: {kind: bedrock, region: us-east-1, api_key: ${S}}
  signs: {kind: bedrock, region: us-gov-west-1, access_key_id: ${S}, secret_access_key: ${S}, session_token: ${S}}
`), vars("S", secret))
	if err != nil {
		t.Fatal(err)
	}
	if c.Providers["key"].Signs() || !c.Providers["signs"].Signs() {
		t.Errorf("%+v", c.Providers)
	}
	if k := c.Providers["signs"].Credentials(); len(k) != 1 || k[0] != "" {
		t.Errorf("credentials are %d", len(k))
	}
	b, err := json.Marshal(c.Redacted())
	if err != nil || strings.Contains(string(b), secret) {
		t.Errorf("shown: %s, %v", b, err)
	}
}
