package selfservice

import (
	"strings"
	"time"
	"unicode"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
)

// maxName is how many characters the name of a key may have here.
const maxName = 64

// readNewKey reads {name, expires_at?}. The key expires at latest at the latest,
// unless that is zero.
func readNewKey(body []byte, plain bool, now, latest time.Time) (name string, expires time.Time, err error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return "", time.Time{}, err
	}
	root := doc.Root()
	var p fields.Problems
	if v, ok := p.Require(root, "name"); ok {
		name = keyName(&p, v, plain)
	}
	expires = latest
	given := false
	for member, v := range root.Members() {
		switch string(member) {
		case "name":
		case "expires_at", "expiresAt":
			if !v.Exists() {
				continue
			}
			if given {
				p.Invalid(v, "Must be given once")
				continue
			}
			given = true
			expires = expiry(&p, v, now, latest)
		default:
			p.Add(v, fault.UnknownParameter, "Unknown parameter")
		}
	}
	return name, expires, p.Err()
}

// readKeyPatch reads {name?, active?}, at least one of them.
func readKeyPatch(body []byte, plain bool) (account.KeyPatch, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return account.KeyPatch{}, err
	}
	var p fields.Problems
	var patch account.KeyPatch
	for member, v := range doc.Root().Members() {
		switch string(member) {
		case "name":
			if v.Exists() {
				name := keyName(&p, v, plain)
				patch.Name = &name
			}
		case "active":
			if active, ok := p.Bool(v); ok {
				patch.Active = &active
			}
		default:
			p.Add(v, fault.UnknownParameter, "Unknown parameter")
		}
	}
	if err := p.Err(); err != nil {
		return account.KeyPatch{}, err
	}
	if patch == (account.KeyPatch{}) {
		return account.KeyPatch{}, fault.New(fault.MissingParameter, "Give name, active or both.").At("name")
	}
	return patch, nil
}

func keyName(p *fields.Problems, v jsonx.Value, plain bool) string {
	if !p.Text(v, maxName) {
		return ""
	}
	name := v.Text()
	if strings.TrimSpace(name) == "" || strings.ContainsFunc(name, unicode.IsControl) {
		p.Invalid(v, "Must be text without control characters")
	} else if plain && strings.ContainsFunc(name, odd) {
		p.Invalid(v, "Must consist of letters, digits, spaces, dashes and underscores")
	}
	return name
}

// odd reports whether a character does not belong in a plain name.
func odd(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != ' ' && r != '-' && r != '_'
}

// expiry reads when a new key expires, to the millisecond, which is what is
// kept of it.
func expiry(p *fields.Problems, v jsonx.Value, now, latest time.Time) time.Time {
	if !p.String(v) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, v.Text())
	if err != nil {
		p.Invalid(v, `Must be a time such as "2026-11-20T12:00:00Z"`)
		return time.Time{}
	}
	t = t.UTC().Truncate(time.Millisecond)
	switch {
	case !t.After(now):
		p.Invalid(v, "Must be in the future")
	case t.Year() >= account.LastYear:
		p.Invalid(v, "Is too far in the future")
	case !latest.IsZero() && t.After(latest):
		p.Invalid(v, "Must not be after the asking key expires")
	}
	return t
}
