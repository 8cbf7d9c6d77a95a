package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"hash/crc32"
	"strings"
	"sync"

	"github.com/pontage/pontage/internal/fault"
)

// The text of a key is the contract's prefix, 30 random characters and a
// checksum of all that in 6. It can be told from a typo without asking anybody,
// by us and by scanners that look for leaked keys.
const (
	randomChars   = 30 // 178 bits
	checksumChars = 6  // 62⁶ > 2³²
	base62        = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	// MaxCredential is the longest credential that is looked at, in bytes.
	MaxCredential = 512

	// MaxPrefix is the longest prefix of a key, in bytes.
	MaxPrefix = 32

	shownChars = 6 // of the random part, in Key.Prefix
)

// Format is how the keys of a contract look.
type Format struct {
	Prefixes []string // a key starts with one of them; empty: any prefix will do
	Trim     bool     // white space around the key and a doubled "Bearer " are forgiven
}

// newSecret returns the text of a new key.
func newSecret(prefix string) string {
	b := make([]byte, 0, len(prefix)+randomChars+checksumChars)
	b = append(b, prefix...)
	var r [64]byte
	for n := 0; n < randomChars; {
		rand.Read(r[:]) // never fails
		for _, c := range r {
			if c < 248 && n < randomChars { // 248 = 4·62: every character is as likely
				b = append(b, base62[c%62])
				n++
			}
		}
	}
	sum := checksum(b)
	return string(append(b, sum[:]...))
}

// checksum is the CRC-32 (IEEE) of text in base 62, most significant first.
func checksum(text []byte) (sum [checksumChars]byte) {
	n := crc32.ChecksumIEEE(text)
	for i := checksumChars - 1; i >= 0; i-- {
		sum[i] = base62[n%62]
		n /= 62
	}
	return sum
}

// clean returns the key within a credential as it came from a header, or the
// fault of one that cannot be a key.
func (f Format) clean(credential string) (string, error) {
	if credential == "" {
		return "", fault.New(fault.KeyMissing, "")
	}
	if len(credential) > MaxCredential {
		return "", fault.New(fault.KeyInvalid, "")
	}
	if f.Trim {
		credential = strings.TrimSpace(credential)
		if len(credential) > 7 && strings.EqualFold(credential[:7], "Bearer ") {
			credential = strings.TrimSpace(credential[7:])
		}
		if credential == "" || strings.EqualFold(credential, "Bearer") {
			return "", fault.New(fault.KeyMissing, "")
		}
	}
	if !f.fits(credential) {
		return "", fault.New(fault.KeyInvalid, "")
	}
	return credential, nil
}

// fits reports whether key has one of the prefixes, the length, the alphabet
// and the checksum of a key.
func (f Format) fits(key string) bool {
	body := len(key) - randomChars - checksumChars
	if body < 0 || body > MaxPrefix {
		return false
	}
	known := len(f.Prefixes) == 0
	for _, p := range f.Prefixes {
		known = known || key[:body] == p
	}
	if !known {
		return false
	}
	var buf [MaxPrefix + randomChars]byte
	n := copy(buf[:], key[:len(key)-checksumChars])
	for _, c := range buf[body:n] {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	sum := checksum(buf[:n])
	return string(sum[:]) == key[len(key)-checksumChars:]
}

// Hash is how a key is stored: HMAC-SHA256 under the pepper.
type Hash [sha256.Size]byte

// hasher makes hashes under one pepper without allocating.
type hasher struct{ pool sync.Pool }

type hashState struct {
	mac hash.Hash
	in  [MaxCredential]byte
	out Hash
}

func newHasher(pepper []byte) *hasher {
	pepper = append([]byte(nil), pepper...)
	h := new(hasher)
	h.pool.New = func() any { return &hashState{mac: hmac.New(sha256.New, pepper)} }
	return h
}

// sum hashes a key of at most MaxCredential bytes.
func (h *hasher) sum(key string) Hash {
	s := h.pool.Get().(*hashState)
	s.mac.Reset()
	s.mac.Write(s.in[:copy(s.in[:], key)])
	s.mac.Sum(s.out[:0])
	out := s.out
	clear(s.in[:len(key)])
	h.pool.Put(s)
	return out
}
