package obs

import (
	"log/slog"
	"strings"
)

// redacted stands where a secret stood.
const redacted = "[redacted]"

// keyPrefixes are how the keys of this gateway and of the known providers
// begin, and how many more key characters make one of them.
var keyPrefixes = [...]struct {
	prefix string
	least  int
}{
	{"sk-", 6},
	{"sk_", 6},
	{"nj_sk_", 4},
	{"ms-", 20},
	{"mk-", 20},
	{"gsk_", 12},
	{"csk-", 12},
	{"xai-", 12},
	{"pplx-", 12},
	{"hf_", 12},
	{"r8_", 12},
	{"fw_", 12},
	{"ghp_", 12},
	{"AIza", 16},
	{"AKIA", 12},
	{"eyJ", 20},
}

// secretNames are endings of names whose value is a secret, in lower case and
// without hyphens and underscores: X-Api-Key, openai_api_key and apiKey all end
// in apikey.
var secretNames = [...]string{
	"apikey", "authorization", "password", "passwd", "secret", "secretkey", "privatekey", "accesskey", "testkey",
	"accesstoken", "authtoken", "refreshtoken", "idtoken", "admintoken", "sessiontoken", "bearertoken", "securitytoken",
	"pepper", "credential", "credentials", "cookie",
}

// queryNames are names that hold a secret in the query of a URL, besides
// secretNames.
var queryNames = [...]string{"key", "token", "sig", "signature", "auth"}

// Redact returns text with everything that looks like a secret replaced:
// values that begin like a key (sk-…, nj_sk_…, ms-…, AIza…, a JWT), what
// follows Bearer or Basic, the value after a name such as x-api-key, api_key or
// password in a header, in JSON or in an assignment, keys in the query of a
// URL, and the user part of one. It returns text itself if there is none. It
// takes time linear in the length of text.
func Redact(text string) string {
	var out []byte
	done := 0 // text[:done] is in out
	for i := 0; i < len(text); {
		from, to := secretAt(text, i)
		if to > from {
			out = append(append(out, text[done:from]...), redacted...)
			done, i = to, to
			continue
		}
		i = to
	}
	if out == nil {
		return text
	}
	return string(append(out, text[done:]...))
}

// secretAt looks for a secret that begins at i or belongs to the word at i. It
// returns where the secret is, or, if from == to, where to look next (> i).
func secretAt(s string, i int) (from, to int) {
	c := s[i]
	if c == ':' && strings.HasPrefix(s[i:], "://") {
		if end := userinfo(s, i+3); end > 0 {
			return i + 3, end
		}
		return i + 3, i + 3
	}
	if !isAlnum(c) {
		return i + 1, i + 1
	}
	// A word begins here: every word is entered at its first character only.
	if end := keyEnd(s, i); end > i {
		return i, end
	}
	end := i + 1
	for end < len(s) && isAlnum(s[end]) {
		end++
	}
	if v := schemeValue(s, i, end); v > 0 {
		if stop := valueEnd(s, v); stop-v >= 8 {
			return v, stop
		}
	}
	if from, to := namedValue(s, i, end); to > from {
		return from, to
	}
	return end, end
}

// keyEnd returns the end of the key that begins at i, or i.
func keyEnd(s string, i int) int {
	for _, p := range keyPrefixes {
		if s[i] != p.prefix[0] || !strings.HasPrefix(s[i:], p.prefix) {
			continue
		}
		end := i + len(p.prefix)
		for end < len(s) && (isAlnum(s[end]) || s[end] == '-' || s[end] == '_' || s[end] == '*' || (s[end] == '.' && p.prefix == "eyJ")) {
			end++
		}
		if end-i-len(p.prefix) >= p.least {
			return end
		}
	}
	return i
}

// schemeValue returns where the credential begins if s[i:end] is an
// authorization scheme, else 0.
func schemeValue(s string, i, end int) int {
	word := s[i:end]
	if !strings.EqualFold(word, "bearer") && !strings.EqualFold(word, "basic") {
		return 0
	}
	v := end
	for v < len(s) && (s[v] == ' ' || s[v] == '+') {
		v++
	}
	if v == end {
		return 0
	}
	return v
}

// namedValue returns the value after the name that s[i:end] ends, if it is the
// name of a secret; from == to if not.
func namedValue(s string, i, end int) (from, to int) {
	v := end
	for v < len(s) && (s[v] == '"' || s[v] == '\'' || s[v] == '\\' || s[v] == ' ') {
		v++
	}
	if v == len(s) || (s[v] != ':' && s[v] != '=') {
		return 0, 0
	}
	begin := i // of the whole name, with hyphens and underscores
	for begin > 0 && i-begin < 64 && (isAlnum(s[begin-1]) || s[begin-1] == '-' || s[begin-1] == '_') {
		begin--
	}
	name := s[begin:end]
	inQuery := s[v] == '=' && begin > 0 && (s[begin-1] == '?' || s[begin-1] == '&')
	quoted := v > end && s[end] == '"' && strings.EqualFold(name, "token")
	if !secretName(name) && !quoted && (!inQuery || !queryName(name)) {
		return 0, 0
	}
	prose := true // "password: must not be empty" is no secret
	for v++; v < len(s) && (s[v] == '"' || s[v] == '\'' || s[v] == '\\' || s[v] == ' ' || s[v] == '['); v++ {
		prose = prose && s[v] == ' '
	}
	to = valueEnd(s, v)
	if prose && s[v-1] == ' ' && plainWord(s[v:to]) {
		return 0, 0
	}
	if scheme := schemeValue(s, v, to); scheme > 0 {
		if v, to = scheme, valueEnd(s, scheme); prose && plainWord(s[v:to]) {
			return 0, 0
		}
	}
	if strings.HasPrefix(s[v:], "redacted]") {
		return 0, 0
	}
	return v, to
}

// plainWord reports whether a value looks like a word of a sentence. The name
// of a scheme does not: a credential follows it.
func plainWord(v string) bool {
	for i := range len(v) {
		if v[i] < 'a' || v[i] > 'z' {
			return false
		}
	}
	return len(v) < 16
}

// valueEnd returns the end of a value that begins at v: a space, a quote or
// something that closes or separates.
func valueEnd(s string, v int) int {
	for v < len(s) && s[v] > ' ' && strings.IndexByte("\"'&,;{}[]()<>\\`", s[v]) < 0 {
		v++
	}
	return v
}

// userinfo returns the end of the user part of the URL whose authority begins
// at i, or 0 if it has none.
func userinfo(s string, i int) int {
	end := 0
	for j := i; j < len(s) && j-i < 512; j++ {
		switch c := s[j]; {
		case c == '@':
			end = j
		case c <= ' ', c == '/', c == '?', c == '#', c == '"', c == '\\':
			return end
		}
	}
	return end
}

func secretName(name string) bool {
	var buf [80]byte
	n := 0
	for i := 0; i < len(name) && n < len(buf); i++ {
		c := name[i]
		if c == '-' || c == '_' {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[n] = c
		n++
	}
	plain := string(buf[:n])
	for _, s := range secretNames {
		if strings.HasSuffix(plain, s) {
			return true
		}
	}
	return false
}

func queryName(name string) bool {
	for _, q := range queryNames {
		if strings.EqualFold(name, q) {
			return true
		}
	}
	return false
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// handler returns the slog handler in front of the sink.
func (o *Obs) handler() slog.Handler {
	opts := &slog.HandlerOptions{Level: &o.level, ReplaceAttr: redactAttr}
	w := cleanWriter{o.sink}
	if o.text {
		return slog.NewTextHandler(w, opts)
	}
	return slog.NewJSONHandler(w, opts)
}

// cleanWriter is the last wall: it looks at the finished line, so a secret
// inside an error, a struct or a header map is found as well.
type cleanWriter struct{ s *sink }

func (w cleanWriter) Write(line []byte) (int, error) {
	if _, err := w.s.Write([]byte(w.s.clean(string(line)))); err != nil {
		return 0, err
	}
	return len(line), nil
}

// redactAttr replaces the value of an attribute whose name says that it is a
// secret.
func redactAttr(_ []string, a slog.Attr) slog.Attr {
	if strings.EqualFold(a.Key, "token") || secretName(a.Key) {
		a.Value = slog.StringValue(redacted)
	}
	return a
}
