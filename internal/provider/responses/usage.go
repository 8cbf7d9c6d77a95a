package responses

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxTokens is the largest count that is believed.
const maxTokens = 1 << 40

// counts are the numbers of a usage object; see protocols.md §3.10.
type counts struct {
	input, output, total       int64
	cached, written, reasoning int64
	audioIn, imageIn           int64
	audioOut, imageOut         int64
	tools                      provider.ToolUse
	bad                        bool
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

// read reads a usage object and its details, or skips what stands in its place.
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
		case "input_tokens":
			n.set(&n.input, c)
		case "output_tokens":
			n.set(&n.output, c)
		case "total_tokens":
			n.set(&n.total, c)
		case "input_tokens_details":
			n.details(c, &n.audioIn, &n.imageIn)
		case "output_tokens_details":
			n.details(c, &n.audioOut, &n.imageOut)
		case "server_side_tool_usage_details":
			n.tools.Read(c)
		default:
			c.Skip()
		}
	}
}

// details reads what one side of the tokens is made of.
func (n *counts) details(c *provider.Cursor, sound, images *int64) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "cached_tokens":
			n.set(&n.cached, c)
		case "cache_write_tokens":
			n.set(&n.written, c)
		case "reasoning_tokens":
			n.set(&n.reasoning, c)
		case "audio_tokens":
			n.set(sound, c)
		case "image_tokens":
			n.set(images, c)
		default:
			c.Skip()
		}
	}
}

// usage makes the canonical classes of the numbers; ok is false if they say
// nothing: an answer without a single token of input was not counted.
func (n *counts) usage() (u llm.Usage, ok bool) {
	if n.bad || n.input == 0 {
		return llm.Usage{}, false
	}
	output := n.output
	if gap := n.total - n.input - n.output; gap > 0 && gap == n.reasoning { // thoughts that are counted apart
		output += gap
	}
	cached := min(n.cached, n.input)
	return llm.Usage{
		Input:       n.input,
		CachedInput: cached,
		CacheWrite:  min(n.written, n.input-cached),
		Output:      output,
	}.WithMedia(n.imageIn, n.audioIn).WithOutput(n.reasoning, n.audioOut, n.imageOut), true
}
