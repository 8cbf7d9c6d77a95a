package obs

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"pgregory.net/rapid"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	const k = "abcDEF0123456789abcDEF0123456789ab12"
	tests := []struct{ in, want string }{
		{"", ""},
		{"nothing to hide", "nothing to hide"},
		{"sk-" + k, redacted},
		{"Incorrect API key provided: sk-proj-****" + k + ". See", "Incorrect API key provided: [redacted]. See"},
		{"sk-nano-" + k + " sk-samurai-" + k, "[redacted] [redacted]"},
		{"sk_" + k, redacted},
		{"nj_sk_" + k, redacted},
		{"ms-" + k + ",mk-" + k, "[redacted],[redacted]"},
		{"(AIza" + k + ")", "([redacted])"},
		{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_", redacted},
		{"Authorization: Bearer " + k, "Authorization: Bearer [redacted]"},
		{"bearer  " + k + "\n", "bearer  [redacted]\n"},
		{`{"authorization":"Basic ` + k + `"}`, `{"authorization":"Basic [redacted]"}`},
		{"X-Api-Key: abc123", "X-Api-Key: [redacted]"},
		{"map[X-Api-Key:[hunter]]", "map[X-Api-Key:[[redacted]]]"},
		{`{"api_key":"short","model":"gpt-5"}`, `{"api_key":"[redacted]","model":"gpt-5"}`},
		{`{\"apiKey\": \"short\"}`, `{\"apiKey\": \"[redacted]\"}`},
		{"OPENAI_API_KEY=abc next", "OPENAI_API_KEY=[redacted] next"},
		{`{"token":"abc"}`, `{"token":"[redacted]"}`},
		{"Get \"https://g.test/v1?alt=sse&key=abc&x=1\": EOF", "Get \"https://g.test/v1?alt=sse&key=[redacted]&x=1\": EOF"},
		{"https://h.test/?token=abc", "https://h.test/?token=[redacted]"},
		{"postgres://user:pass@db:5432/x?sslmode=off", "postgres://[redacted]@db:5432/x?sslmode=off"},

		// Not secrets.
		{"key_0123456789abc acc_0123456789abc req_0123456789abc", "key_0123456789abc acc_0123456789abc req_0123456789abc"},
		{"took 250 ms-ish, risk-averse, task-oriented", "took 250 ms-ish, risk-averse, task-oriented"},
		{`"tokens":{"input":5},"max_tokens":100`, `"tokens":{"input":5},"max_tokens":100`},
		{"password: must not be empty", "password: must not be empty"},
		{"Send Authorization: Bearer and your key.", "Send Authorization: Bearer and your key."},
		{"unexpected token: '<' at 5", "unexpected token: '<' at 5"},
		{"models.gpt-5-mini.price: key=value", "models.gpt-5-mini.price: key=value"},
		{"mail a@b.test, see https://x.test/a@b", "mail a@b.test, see https://x.test/a@b"},
	}
	for _, tt := range tests {
		if got := Redact(tt.in); got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if got := Redact(tt.want); got != tt.want {
			t.Errorf("Redact(Redact(%q)) = %q: changes what it wrote itself", tt.in, got)
		}
	}
}

// A key must not survive wherever it stands between other text.
func TestRedactFindsKeysAnywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]string{"sk-", "nj_sk_", "ms-", "mk-", "sk-nano-", "sk_", "gsk_", "x-api-key: 0", "Bearer ", "?api_key="}).Draw(t, "prefix")
		tail := rapid.StringMatching(`[A-Za-z0-9]{36}`).Draw(t, "tail")
		before := rapid.SampledFrom([]string{"", " ", "\"", "key ", "a: ", "\n", "(", "é", "-", "_", "\x00", "://", "https://x/?a=b&"}).Draw(t, "before")
		after := rapid.SampledFrom([]string{"", " ", "\"", ".", ", and so on", "\n", ")", "\x00"}).Draw(t, "after")
		text := before + prefix + tail + after
		if got := Redact(text); strings.Contains(got, tail) || !strings.HasSuffix(got, after) && after != "." {
			t.Fatalf("Redact(%q) = %q", text, got)
		}
	})
}

func FuzzRedact(f *testing.F) {
	f.Add("Authorization: Bearer sk-abc0123456789 https://u:p@h/?key=1")
	f.Fuzz(func(t *testing.T, s string) {
		once := Redact(s)
		if len(once) > len(redacted)*len(s)+len(s) {
			t.Fatalf("Redact(%q) grew to %d bytes", s, len(once))
		}
		_ = Redact(once)
	})
}

func TestAppendUSDAgreesWithMoney(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := money.Amount(rapid.Int64().Draw(t, "amount"))
		if got := string(appendUSD(nil, a)); got != a.String() {
			t.Fatalf("appendUSD(%d) = %q, want %q", int64(a), got, a.String())
		}
	})
}
