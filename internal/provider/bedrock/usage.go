package bedrock

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxTokens is the largest count that is believed.
const maxTokens = 1 << 40

// counts are the numbers of a usage object; see protocols.md §3.10.
type counts struct {
	input, output, total, cached, written, written1h int64
	bad                                              bool
}

// set stores a number, unless it is null, negative or beyond belief.
func (n *counts) set(dst *int64, c *provider.Cursor) {
	v, ok := c.Int()
	switch {
	case !ok:
	case v < 0 || v > maxTokens:
		n.bad = true
	default:
		*dst = v
	}
}

// read reads a usage object, or skips what stands in its place.
func (n *counts) read(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "inputTokens":
			n.set(&n.input, c)
		case "outputTokens":
			n.set(&n.output, c)
		case "totalTokens":
			n.set(&n.total, c)
		case "cacheReadInputTokens":
			n.set(&n.cached, c)
		case "cacheWriteInputTokens":
			n.set(&n.written, c)
		case "cacheDetails":
			n.details(c)
		default:
			c.Skip()
		}
	}
}

// details reads what was written to the cache for how long.
func (n *counts) details(c *provider.Cursor) {
	if !c.Enter('[') {
		return
	}
	for c.More() {
		if !c.Enter('{') {
			continue
		}
		tokens, long := int64(0), false
		for {
			key, ok := c.Key()
			if !ok {
				break
			}
			switch string(key) {
			case "ttl":
				ttl, _ := c.Text()
				long = string(ttl) == "1h"
			case "inputTokens":
				n.set(&tokens, c)
			default:
				c.Skip()
			}
		}
		if long {
			n.written1h += tokens
		}
	}
}

// usage makes the canonical classes of the numbers; ok is false if they say
// nothing: there is no answer without a token of input. What was read from the
// cache and written to it is counted apart from the input, unless the total shows
// that it is not.
func (n *counts) usage() (u llm.Usage, ok bool) {
	apart := n.cached + n.written
	input := n.input + apart
	if apart > 0 && n.total == n.input+n.output && apart <= n.input {
		input = n.input
	}
	if n.bad || input == 0 {
		return llm.Usage{}, false
	}
	long := min(n.written1h, n.written)
	return llm.Usage{
		Input:        input,
		CachedInput:  n.cached,
		CacheWrite:   n.written - long,
		CacheWrite1h: long,
		Output:       n.output,
	}, true
}
