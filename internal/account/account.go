// Package account knows who may call: accounts, which pay, and keys, which are
// their credentials. It answers for every request who stands behind a
// credential, without a lock and without asking the store, and an operator's
// change acts on the next request.
//
// A key is shown once, when it is made. What is kept is its HMAC under a secret
// that the store does not hold, so neither the store nor a copy of it lets
// anybody in.
package account

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// What an account's status, a key's kind and a key's way with callers who leave
// can be.
const (
	StatusActive    = "active"
	StatusSuspended = "suspended"

	KindInference = "inference"
	KindBilling   = "billing"

	DisconnectCancel = "cancel" // stop the provider and charge what was produced
	DisconnectDrain  = "drain"  // let the answer finish and charge it
)

// Bounds of what is kept.
const (
	MaxName   = 200    // characters of a name
	MaxPlan   = 64     // characters of a plan's name
	MaxModels = 1_000  // entries of an allowlist
	MaxModel  = 200    // bytes of one entry
	LastYear  = 2200   // no key expires in it or later: nanoseconds since 1970 end in 2262
	MaxKeys   = 10_000 // keys of one account; beyond that revoked keys are forgotten, oldest first
)

// Account is who pays. It is not changed once it was handed out; a change makes
// a new one.
type Account struct {
	ID        ID
	Name      string
	Plan      string // empty: none
	Status    string // StatusActive or StatusSuspended
	CreatedAt time.Time

	// WarnBelow is the balance below which there is a warning event; nil: that of
	// the site decides; 0: never. It is not changed either.
	WarnBelow *money.Amount
}

// Key is a credential of an account. It is not changed once it was handed out;
// a change makes a new one.
type Key struct {
	ID           KeyID
	Account      ID
	Name         string
	Kind         string // KindInference or KindBilling
	Site         string // the only site where it works, by its host; empty: everywhere
	Test         bool   // works on the test balance and the simulator
	Prefix       string // its first characters, to be recognised by
	Active       bool
	RevokedAt    time.Time // zero: not revoked
	ExpiresAt    time.Time // from this moment on it is not valid; zero: never
	CreatedAt    time.Time
	Limits       Limits
	Models       []string // globs; empty: every model
	OnDisconnect string   // DisconnectCancel or DisconnectDrain
}

// Revoked reports whether the key was revoked.
func (k *Key) Revoked() bool { return !k.RevokedAt.IsZero() }

// Expired reports whether the key's time is over at now.
func (k *Key) Expired(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now)
}

// Allows reports whether the key may use the model of that name. In an entry of
// the allowlist "*" stands for any characters, slashes too, and everything else
// for itself.
func (k *Key) Allows(model string) bool {
	return len(k.Models) == 0 || slices.ContainsFunc(k.Models, func(glob string) bool { return match(glob, model) })
}

// match reports whether all of s fits glob, in time len(glob)·len(s) at most.
func match(glob, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(glob) && glob[i] == '*':
			star, mark = i, j
			i++
		case i < len(glob) && glob[i] == s[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(glob[i:], "*") == ""
}

// Principal is who stands behind a credential. Both parts are snapshots.
type Principal struct {
	Account *Account
	Key     *Key
}

// NewAccount is what makes an account.
type NewAccount struct {
	Name string // 1 … MaxName characters
	Plan string // at most MaxPlan characters; empty: none

	WarnBelow *money.Amount // 0 … MaxWarnBelow; nil: the site's
}

// AccountPatch changes an account. A nil field changes nothing.
type AccountPatch struct {
	Name   *string
	Plan   *string
	Status *string

	SetWarnBelow bool          // false: WarnBelow changes nothing
	WarnBelow    *money.Amount // nil: the site's
}

// NewKey is what makes a key.
type NewKey struct {
	Account      ID
	Name         string // 1 … MaxName characters
	Kind         string // empty: KindInference
	Site         string // a host; empty: works everywhere
	Test         bool
	Prefix       string // how the key starts, as the site's contract says; at most MaxPrefix bytes
	Limits       Limits
	Models       []string  // at most MaxModels entries
	ExpiresAt    time.Time // in the future; zero: never
	OnDisconnect string    // empty: DisconnectCancel
}

// KeyPatch changes a key. A nil field changes nothing.
type KeyPatch struct {
	Name   *string
	Active *bool
	Limits *Limits   // takes the place of all limits
	Models *[]string // takes the place of the whole allowlist
}

// bad is the fault of a field.
func bad(field, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidParameter, format, args...).At(field)
}

func checkText(field, s string, most int) error {
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return bad(field, "must be text without control characters")
	case utf8.RuneCountInString(s) > most:
		return bad(field, "must be at most %d characters", most)
	}
	return nil
}

func checkName(s string) error {
	if strings.TrimSpace(s) == "" {
		return bad("name", "must be 1 to %d characters", MaxName)
	}
	return checkText("name", s, MaxName)
}

// MaxWarnBelow bounds [Account.WarnBelow].
const MaxWarnBelow = 1_000_000_000 * money.Dollar

func checkWarnBelow(a *money.Amount) error {
	if a != nil && (*a < 0 || *a > MaxWarnBelow) {
		return bad("warn_below_usd", "must be from 0 to %s", MaxWarnBelow)
	}
	return nil
}

func checkPlan(s string) error { return checkText("plan", s, MaxPlan) }

func checkOneOf(field, s string, values ...string) error {
	if !slices.Contains(values, s) {
		return bad(field, "must be one of %s", strings.Join(values, ", "))
	}
	return nil
}

func checkModels(models []string) error {
	if len(models) > MaxModels {
		return bad("models", "must be at most %d entries", MaxModels)
	}
	for i, m := range models {
		if m == "" || len(m) > MaxModel || !utf8.ValidString(m) || strings.ContainsFunc(m, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
			return bad(index("models", i), "must be a model or a glob of 1 to %d bytes without white space", MaxModel)
		}
	}
	return nil
}

// checkSite refuses what cannot be a host, port included.
func checkSite(s string) error {
	if len(s) > 253 || strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("-._:[]*", r))
	}) {
		return bad("site", "must be a host name")
	}
	return nil
}

func checkPrefix(s string) error {
	if len(s) > MaxPrefix || strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	}) {
		return bad("prefix", "must be at most %d letters, digits, hyphens and underscores", MaxPrefix)
	}
	return nil
}
