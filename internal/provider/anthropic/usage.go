package anthropic

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxTokens is the largest count that is believed.
const maxTokens = 1 << 40

// counts are the numbers of a usage object. Later reports overwrite earlier
// ones, member by member: they are totals.
type counts struct {
	input, output, cached, written, thinking int64
	written5m, written1h                     int64
	bad                                      bool
	tools                                    provider.ToolUse
	spoke                                    bool // the last report had a number for the output
	tier                                     llm.Tier
	regional                                 bool
}

// set stores a number, unless it is null, negative or beyond belief; it reports
// whether it did.
func (n *counts) set(dst *int64, c *provider.Cursor) bool {
	v, ok := c.Int()
	switch {
	case !ok:
		return false
	case v < 0 || v > maxTokens:
		n.bad = true
		return false
	}
	*dst = v
	return true
}

// read reads a usage object, or skips what stands in its place.
func (n *counts) read(c *provider.Cursor) {
	n.spoke, n.tools = false, provider.ToolUse{}
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "input_tokens":
			n.set(&n.input, c)
		case "output_tokens":
			n.spoke = n.set(&n.output, c)
		case "cache_creation_input_tokens":
			n.set(&n.written, c)
		case "cache_read_input_tokens":
			n.set(&n.cached, c)
		case "server_tool_use":
			n.tools.Read(c)
		case "cache_creation", "output_tokens_details":
			n.details(c)
		case "speed": // service_tier is of capacity that is paid for by itself
			if tier, ok := c.Tier(llm.SpeedNamed); ok {
				n.tier = tier
			}
		case "inference_geo":
			if geo, ok := c.Text(); ok {
				n.regional = llm.Regional(geo)
			}
		default:
			c.Skip()
		}
	}
}

func (n *counts) details(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "ephemeral_5m_input_tokens":
			n.set(&n.written5m, c)
		case "ephemeral_1h_input_tokens":
			n.set(&n.written1h, c)
		case "thinking_tokens":
			n.set(&n.thinking, c)
		default:
			c.Skip()
		}
	}
}

// usage makes the canonical classes of the numbers; ok is false if they say
// nothing: there is no answer without a token of input.
func (n *counts) usage() (u llm.Usage, ok bool) {
	written := max(n.written, n.written5m+n.written1h)
	total := n.input + n.cached + written
	if n.bad || total == 0 {
		return llm.Usage{}, false
	}
	return llm.Usage{
		Input:        total,
		CachedInput:  n.cached,
		CacheWrite:   written - n.written1h,
		CacheWrite1h: n.written1h,
		Output:       n.output,
		Reasoning:    min(n.thinking, n.output),
		Tier:         n.served(),
	}, true
}

// served is the tier that the answer is served in, as far as that was told.
func (n *counts) served() llm.Tier {
	if n.regional {
		return n.tier.InRegion()
	}
	return n.tier
}
