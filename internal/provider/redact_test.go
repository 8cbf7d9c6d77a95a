package provider

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// What a provider said is told without anything that is a secret or an address.
func TestASentenceTellsNoSecretAndNoAddress(t *testing.T) {
	t.Parallel()
	for _, hidden := range []string{
		"sk-proj-abcDEF123456", "Bearer abc.def.ghi", "AIzaSyA1234567890", "ya29.a0AfH6SMBx-y_z12345", "org-abc123def456", "someone@example.com", "api_key=verysecret",
		"https://status.acme.io/incidents/17?token=abc", "http://10.1.2.3:8080/v1", "wss://a.b/c", "postgres://u:p@db/x", "grpc://node7:443",
		"api.acme.ai", "engine-7.prod.svc.cluster.local:8443/health", "acme.example", "localhost:11434/api", "10.1.2.3", "[fe80::1]:443/x",
		"0123456789abcdef0123456789abcdef", "dGhpcyBpcyBhIHNlY3JldCBrZXkgMTIz",
	} {
		body := fmt.Sprintf(`{"error":{"message":"The engine is on fire (%s), and so on"}}`, hidden)
		said := Classify("openai", 500, nil, []byte(body)).Fault.Said
		if !strings.HasPrefix(said, "The engine is on fire (") || strings.Contains(said, hidden) || strings.Contains(said, "acme") {
			t.Errorf("of %q it is told %q", hidden, said)
		}
	}
}

// The words themselves stay as they are, whatever they are about and whatever
// the envelope is.
func TestASentenceIsTheProvidersOwn(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"error":{"message":"The engine is on fire"}}`:                                       "The engine is on fire",
		`{"error":"The engine is on fire"}`:                                                   "The engine is on fire",
		`{"detail":"The engine\nis on fire"}`:                                                 "The engine is on fire",
		`{"type":"error","error":{"type":"api_error","message":"On fire"}}`:                   "On fire",
		"The engine is on fire":                                                               "The engine is on fire",
		`{"error":{"message":"No endpoint here for claude-3-5-sonnet-20241022 (e.g. v1.2)"}}`: "No endpoint here for claude-3-5-sonnet-20241022 (e.g. v1.2)",
		"<html><h1>502</h1></html>":                                                           "",
		"":                                                                                    "",
	} {
		if got := Classify("openai", 500, nil, []byte(body)).Fault.Said; got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// A credential of any shape is taken out of what its provider echoes, even where
// that was cut.
func TestAFailureHidesTheKeyThatWasUsed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[A-Za-z0-9!-]{8,60}`).Draw(t, "key")
		before := rapid.StringMatching(`[ä ]{0,320}`).Draw(t, "before")
		f := Classify("openai", 500, nil, []byte(before+key+" is refused"))
		f.Fault.Message = "x" + key
		f.Hide(Secret(key))
		for _, words := range []string{f.Fault.Message, f.Fault.Said, f.Fault.Upstream} {
			if strings.Contains(words, key[:shortestKey]) {
				t.Errorf("%q tells of %q", words, key)
			}
		}
	})
	const broken = "!!!!!!Hf-!!" // part of which looks like another vendor's
	f := Classify("openai", 500, nil, []byte(broken+" is refused"))
	f.Hide(broken)
	if f.Fault.Said != "[redacted] is refused" {
		t.Errorf("a key within a key: %q", f.Fault.Said)
	}
	f = Classify("openai", 500, nil, []byte("An abc"))
	f.Hide("abc")
	if f.Fault.Said != "An abc" {
		t.Errorf("a key that is no key: %q", f.Fault.Said)
	}
}

func TestSecretsDoNotReachTheLog(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"sk-proj-abcDEF123456", "sk-ant-api03-xyz_123-456", "gsk_abcdefghijk", "xai-abcdefgh", "pplx-abcdef", "hf_abcdefgh",
		"Bearer abc.def.ghi", "AIzaSyA1234567890", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.sig",
		"org-abc123def456", "proj_abc123def456", "someone@example.com", "sk-or-v1-abcdef0123456789", "invalid-*****2345",
		"api_key=verysecretvalue", "password: hunter2hunter2",
	} {
		body := `{"error":{"message":"Refused: ` + secret + ` is wrong","code":"x"}}`
		f := Classify("openai", 401, nil, []byte(body))
		if strings.Contains(f.Fault.Error(), secret) || !strings.Contains(f.Fault.Upstream, "[redacted]") {
			t.Errorf("the log has %s", f.Fault.Upstream)
		}
	}
	long := Classify("openai", 500, nil, []byte(strings.Repeat("é", 9000))).Fault.Upstream
	if len(long) > maxWords+2 || !utf8.ValidString(long) {
		t.Errorf("the log has %d bytes of a long answer", len(long))
	}
	plain := `The model gpt-5-mini takes max_tokens up to 128000.`
	if got := Redact(plain); got != plain {
		t.Errorf("Redact(%q) = %q", plain, got)
	}
}
