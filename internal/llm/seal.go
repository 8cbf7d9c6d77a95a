package llm

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// sealed is how every seal begins: which gateway wrote it, in which format.
const sealed = "pontage1."

// Seal wraps state that only its issuer can read (encrypted reasoning, a
// signature of thoughts), so that a caller of another dialect can carry it in a
// field that he sends back, and whoever gets it back can tell whose it is. The
// issuer is the name of a configured provider: state is bound to an
// organisation or a project, not only to a protocol. Empty state gives nothing.
func Seal(issuer, state string) string {
	if state == "" {
		return ""
	}
	e := base64.RawURLEncoding
	return sealed + e.EncodeToString([]byte(issuer)) + "." + e.EncodeToString([]byte(state))
}

// Unseal returns what [Seal] wrapped. It is not ok for anything else, such as
// state that a provider of the caller's own dialect issued.
func Unseal(s string) (issuer, state string, ok bool) {
	rest, ok := strings.CutPrefix(s, sealed)
	if !ok {
		return "", "", false
	}
	name, blob, ok := strings.Cut(rest, ".")
	if !ok {
		return "", "", false
	}
	i, err := base64.RawURLEncoding.DecodeString(name)
	if err != nil {
		return "", "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(blob)
	if err != nil || len(b) == 0 {
		return "", "", false
	}
	return string(i), string(b), true
}

// Issuer returns whose state a body carries that [Seal] wrapped: of several seals
// that of the last, which is the newest. It is a scan for a few bytes, so that
// what only looks like a seal may be taken for one.
func Issuer(body []byte) (issuer string, ok bool) {
	if !bytes.Contains(body, []byte(sealed)) { // several times as quick as from behind
		return "", false
	}
	rest := body[bytes.LastIndex(body, []byte(sealed))+len(sealed):]
	name, _, ok := bytes.Cut(rest[:min(len(rest), maxIssuer)], []byte("."))
	if !ok {
		return "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(string(name))
	if err != nil || len(b) == 0 {
		return "", false
	}
	return string(b), true
}

// maxIssuer is how long the name of a provider can be, encoded.
const maxIssuer = 512
