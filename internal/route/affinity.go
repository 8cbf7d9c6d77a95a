package route

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/fnv"
	"math"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// A provider keeps the beginning of a prompt for some minutes, per account and
// often per machine, and asks a tenth of the price for it. So the requests of one
// conversation go to the same target, as long as that is in use. Each target gets a
// number from the session and its own id, and the highest one wins (rendezvous
// hashing), so that a target which goes away moves no sessions but its own, and every
// node of several chooses alike. Where a session was answered lately counts for more:
// see [Pins].

// Bounds of what makes a session.
const (
	// CachedFrom is the least length of a prompt, in bytes, for which providers
	// keep anything: some 1,024 tokens.
	CachedFrom = 4 << 10
	// hashed is how much of each part of a prompt is looked at.
	hashed = 16 << 10
)

// Session tells which conversation a request belongs to, for [Plan.Session]:
// what the caller named (named, from a header), or a member of the body names, or
// else the prompt's beginning, which is the same in every turn: what the system
// says, the tools, and the first message of the user. scope keeps apart callers
// who share nothing. It is not ok where nothing is named and the prompt is too
// short to be kept by anybody, and for what has no conversation.
func Session(r *llm.Request, named string, scope int64) (key uint64, ok bool) {
	if r.Task != llm.TaskChat {
		return 0, false
	}
	h := sha256.New()
	var head [8]byte
	binary.LittleEndian.PutUint64(head[:], uint64(scope))
	h.Write(head[:])
	switch name := named; {
	case name != "", naming(r, &name):
		h.Write([]byte("named\x00"))
		h.Write([]byte(name))
	case r.Size.ASCII+r.Size.Other < CachedFrom:
		return 0, false
	default:
		beginning(h, r)
	}
	var sum [sha256.Size]byte
	return binary.LittleEndian.Uint64(h.Sum(sum[:0])), true
}

// naming reads the member of the body that names the conversation.
func naming(r *llm.Request, name *string) bool {
	for _, at := range [...]struct{ member, within string }{
		{"prompt_cache_key", ""}, {"metadata", "user_id"}, {"conversation", "id"},
	} {
		raw := r.Raw.Value(at.member)
		if len(raw) == 0 || len(raw) > hashed {
			continue
		}
		if raw[0] == '"' && at.member != "metadata" {
			*name = string(raw)
			return true
		}
		if at.within == "" || raw[0] != '{' {
			continue
		}
		doc, err := jsonx.Parse(raw)
		if err != nil {
			continue
		}
		if id := doc.Root().Get(at.within).Text(); id != "" {
			*name = id
			return true
		}
	}
	return false
}

// beginning hashes the part of a prompt that stays the same from turn to turn.
func beginning(h hash.Hash, r *llm.Request) {
	for _, name := range [...]string{"system", "instructions", "systemInstruction", "tools"} {
		part(h, r.Raw.Value(name))
	}
	for _, name := range [...]string{"messages", "input", "contents", "prompt"} {
		raw := r.Raw.Value(name)
		if len(raw) == 0 {
			continue
		}
		if raw[0] != '[' {
			part(h, raw)
			continue
		}
		for rest := raw[1:]; ; {
			var item []byte
			if item, rest = element(rest); item == nil {
				break
			}
			part(h, item)
			// Within a text a quote has a backslash before it, so that this is a
			// whole string of the message: its role.
			if !bytes.Contains(item, []byte(`"role"`)) || bytes.Contains(item, []byte(`"user"`)) {
				break
			}
		}
	}
}

// part hashes the head of b, and where it ends.
func part(h hash.Hash, b []byte) {
	h.Write(b[:min(len(b), hashed)])
	h.Write([]byte{0})
}

// element cuts the first element off what follows the opening bracket, or a
// comma, of an array in valid JSON. nil: there is none.
func element(b []byte) (item, rest []byte) {
	b = bytes.TrimLeft(b, " \t\r\n,")
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == ']'):
			if i == 0 {
				return nil, nil
			}
			return b[:i], b[i:]
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil, nil
}

// score is the place of a target for a session: the highest comes first. Targets
// with a weight win as many sessions as it says.
func (t *Target) score(session uint64) float64 {
	h := fnv.New64a()
	h.Write([]byte(t.ID)) // never fails
	x := h.Sum64() ^ session
	// The finalizer of splitmix64: neighbouring numbers give unlike ones.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	u := (float64(x>>11) + 0.5) / (1 << 53) // within 0 and 1
	return -float64(max(t.Weight, 1)) / math.Log(u)
}
