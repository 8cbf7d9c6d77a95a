package obs

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// RequestID identifies one request: 48 bits of Unix milliseconds and 80 random
// bits, so that ids sort by time (as UUIDv7 does). The zero value is no id.
type RequestID [16]byte

const requestPrefix = "req_"

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewRequestID returns a new id. It is unique, and not a secret.
func NewRequestID(now time.Time) RequestID {
	var id RequestID
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|uint64(rand.Uint32()&0xffff))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id
}

// String returns "req_" and 26 characters.
func (id RequestID) String() string {
	var b [len(requestPrefix) + 26]byte
	copy(b[:], requestPrefix)
	crockford.Encode(b[len(requestPrefix):], id[:])
	return string(b[:])
}

// ParseRequestID reads what String writes.
func ParseRequestID(s string) (RequestID, error) {
	var id RequestID
	rest, ok := strings.CutPrefix(s, requestPrefix)
	if !ok || len(rest) != 26 {
		return id, fmt.Errorf("request id %q: want %q and 26 characters", s[:min(len(s), 40)], requestPrefix)
	}
	n, err := crockford.Decode(id[:], []byte(strings.ToLower(rest)))
	if err != nil || n != len(id) {
		return RequestID{}, fmt.Errorf("request id %q: not in base 32", s)
	}
	return id, nil
}
