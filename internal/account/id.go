package account

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
)

// ID names an account. It is random and positive; 0 is no account.
type ID int64

// KeyID names a key. It is random and positive; 0 is no key.
type KeyID int64

const (
	accountPrefix = "acc_"
	keyPrefix     = "key_"
	idChars       = 13 // 5 bits each: 63 bits fit
	crockford     = "0123456789abcdefghjkmnpqrstvwxyz"
)

// String returns the public form, "acc_" and 13 characters of Crockford's
// base 32 in lower case.
func (id ID) String() string { return accountPrefix + encodeID(int64(id)) }

// ParseID reads what [ID.String] writes. Upper case is accepted.
func ParseID(s string) (ID, error) {
	n, err := decodeID(accountPrefix, s)
	return ID(n), err
}

// String returns the public form, "key_" and 13 characters of Crockford's
// base 32 in lower case.
func (id KeyID) String() string { return keyPrefix + encodeID(int64(id)) }

// ParseKeyID reads what [KeyID.String] writes. Upper case is accepted.
func ParseKeyID(s string) (KeyID, error) {
	n, err := decodeID(keyPrefix, s)
	return KeyID(n), err
}

func encodeID(n int64) string {
	var b [idChars]byte
	for i := idChars - 1; i >= 0; i-- {
		b[i] = crockford[n&31]
		n >>= 5
	}
	return string(b[:])
}

func decodeID(prefix, s string) (int64, error) {
	bad := fmt.Errorf("want %s and %d characters", prefix, idChars)
	if len(s) != len(prefix)+idChars || !strings.EqualFold(s[:len(prefix)], prefix) {
		return 0, bad
	}
	var n uint64
	for i, c := range []byte(strings.ToLower(s[len(prefix):])) {
		v := strings.IndexByte(crockford, c)
		if v < 0 || (i == 0 && v > 7) { // 13 characters hold 65 bits; an id has 63
			return 0, bad
		}
		n = n<<5 | uint64(v)
	}
	if n == 0 { // no account, no key: as a filter it would choose everybody's
		return 0, bad
	}
	return int64(n), nil
}

// newID returns a random positive number.
func newID() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return max(1, int64(binary.LittleEndian.Uint64(b[:])>>1))
}
