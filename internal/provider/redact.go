package provider

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a provider's words.
const (
	maxWords  = 4 << 10 // for the log
	maxPublic = 300     // for a caller
)

// secrets are the shapes of credentials and of names that tell whose they are:
// keys of the known vendors, bearer tokens, signed tokens, organisations,
// projects, resources at AWS and mail addresses. Providers echo all of these.
var secrets = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`\bbearer\s+[^\s"',;]+`,
	`\bbasic\s+[a-z0-9+/=]{8,}`,
	`\beyJ[\w-]{8,}\.[\w.-]+`,
	`\b(?:sk|pk|rk|gsk|xai|pplx|csk|fw|hf|r8|nvapi|tgp|ak|vck|sess|pontage)[-_][^\s"',;]{2,}`,
	`\bAIza[\w-]{8,}`,
	`\bya29\.[\w.-]{8,}`,
	`\b(?:AKIA|ASIA)[A-Z0-9]{8,}`,
	`\b(?:org|proj|user|acct|account|workspace|wrkspc|team)[-_][a-z0-9]{6,}`,
	`\b(?:api[ _-]?key|x-api-key|token|secret|password|authorization)\b(?:\s+provided)?["']?\s*[:=]\s*["']?[^\s"',;]+`,
	`\barn:aws[a-z-]*:[^\s"',;]+`,
	`[*]{3,}[^\s"',;]*|[^\s"',;]+[*]{3,}[^\s"',;]*`,
	`[\w.+-]+@[\w-]+\.[\w.-]+`,
	`[?&](?:key|sig|signature|token|api[_-]key|x-amz-[a-z-]+)=[^\s"'&]+`,
}, "|"))

// redacted stands for what is not told.
const redacted = "[redacted]"

// Redact replaces what looks like a credential, an organisation or a mail
// address by a placeholder.
func Redact(s string) string { return secrets.ReplaceAllString(s, redacted) }

// places are addresses of machines.
var places = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`\b[a-z][a-z0-9+.-]*://\S+`,
	`\b(?:[a-z0-9-]+\.)+(?:com|ai|io|net|org|dev|app|co|cloud|azure|run|sh|us|eu|uk|de|fr|nl|ru|cn|jp|in|internal|intranet|local|localdomain|lan|corp|svc|example|test)\b(?::\d+)?(?:/\S*)?`,
	`\blocalhost(?::\d+)?(?:/\S*)?`,
	`\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?:/\S*)?`,
	`\[[0-9a-f:]*:[0-9a-f:.]*\](?::\d+)?(?:/\S*)?`,
}, "|"))

// opaque are words that are long enough for a credential of no known shape.
var opaque = regexp.MustCompile(`[A-Za-z0-9+/_=]{28,}`)

// private are words that speak of our own dealings with the provider.
var private = []string{"account", "billing", "quota", "credit", "plan", "subscription", "organization", "organisation", "project", "api key", "upgrade", "contact", "support@", "deployment", "region", "endpoint", "provider"}

// publicWords returns a provider's sentence about a request in the form in
// which its sender may see it: without secrets and addresses, on one line, cut.
// It returns nothing if the sentence speaks of our own dealings.
func publicWords(s string) string {
	s = sentence(s)
	low := strings.ToLower(s)
	for _, w := range private {
		if strings.Contains(low, w) {
			return ""
		}
	}
	return s
}

// sentence returns what a provider says for people, whatever it is about,
// without secrets and addresses, on one line, cut.
func sentence(s string) string {
	s = opaque.ReplaceAllStringFunc(places.ReplaceAllString(Redact(clip(s)), "[…]"), func(word string) string {
		if strings.ContainsAny(word, "0123456789") {
			return redacted
		}
		return word
	})
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if utf8.RuneCountInString(s) > maxPublic {
		s = string([]rune(s)[:maxPublic-1]) + "…"
	}
	return s
}

// shortestKey is the length of the shortest credential, or part of one, that can
// be told from a word.
const shortestKey = 6

// Hide takes a credential out of the failure's words, whatever it looks like:
// providers echo it. Call it before anybody else has the failure.
func (f *Failure) Hide(key Secret) {
	k := key.Reveal()
	if len(k) < shortestKey {
		return
	}
	for _, words := range []*string{&f.Fault.Message, &f.Fault.Said, &f.Fault.Upstream} {
		s, mark := strings.CutSuffix(strings.ReplaceAll(*words, k, key.String()), "…")
		for n := len(k) - 1; n >= shortestKey; n-- { // where the rest of it was taken for a secret already
			s = strings.ReplaceAll(s, k[:n]+redacted, redacted)
		}
		for n := len(k) - 1; n >= shortestKey; n-- { // where the words were cut, so was the key
			if rest, cut := strings.CutSuffix(s, k[:n]); cut {
				s = rest + key.String()
				break
			}
		}
		if mark {
			s += "…"
		}
		*words = s
	}
}

// clip cuts s to what the log keeps, and makes it valid UTF-8.
func clip(s string) string {
	if len(s) > maxWords {
		s = s[:maxWords]
	}
	return strings.ToValidUTF8(s, "�")
}

// head returns the beginning of an error's body, a little longer than what the
// log keeps, so that a secret is not cut before it is recognised.
func head(b []byte) []byte {
	return bytes.TrimSpace(b[:min(len(b), maxWords+512)])
}
