package provider

import (
	"bytes"

	"github.com/pontage/pontage/internal/llm"
)

// Tier reads the next value as the name of a tier of service, by the names that named
// knows. ok is false for what names none, such as null.
func (c *Cursor) Tier(named func([]byte) llm.Tier) (tier llm.Tier, ok bool) {
	name, ok := c.Text()
	if !ok || len(name) == 0 {
		return llm.TierStandard, false
	}
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(Unescape(name))
	}
	return named(name), true
}
