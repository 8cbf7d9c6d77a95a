package openai

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxTokens is the largest count that is believed.
const maxTokens = 1 << 40

// counts are the numbers of a usage object, in all the vendors' spellings; see
// protocols.md §3.10.
type counts struct {
	prompt, completion, total int64
	cached, hit, miss         int64
	written, written1h        int64
	reasoning                 int64
	audioIn, imageIn          int64
	audioOut, imageOut        int64
	thoughts, citations       int64 // of Perplexity's, beside the completion and the prompt
	calls                     llm.Calls
	hasCalls, hasCitations    bool
	detailed                  bool // calls are told by kind
	bad, hasPrompt            bool
}

// set stores a number, unless it is null, negative or beyond belief.
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
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "prompt_tokens", "input_tokens":
			n.hasPrompt = n.set(&n.prompt, c) || n.hasPrompt
		case "completion_tokens", "output_tokens":
			n.set(&n.completion, c)
		case "total_tokens":
			n.set(&n.total, c)
		case "prompt_cache_hit_tokens":
			n.set(&n.hit, c)
		case "prompt_cache_miss_tokens":
			n.set(&n.miss, c)
		case "cached_tokens", "num_cached_tokens", "cache_read_input_tokens":
			n.larger(&n.cached, c)
		case "cache_creation_input_tokens":
			n.larger(&n.written, c)
		case "reasoning_tokens":
			n.set(&n.thoughts, c)
		case "citation_tokens":
			n.hasCitations = n.set(&n.citations, c) || n.hasCitations
		case "num_search_queries", "num_sources_used", "server_tool_use", "server_side_tool_usage_details":
			n.ran(key, c)
		case "prompt_tokens_details", "prompt_token_details", "input_tokens_details":
			n.prompts(c)
		case "completion_tokens_details", "output_tokens_details":
			n.completions(c)
		case "cache_creation":
			n.creation(c)
		default:
			c.Skip()
		}
	}
}

// larger stores a number that may be given in two places.
func (n *counts) larger(dst *int64, c *provider.Cursor) {
	v := int64(0)
	if n.set(&v, c) {
		*dst = max(*dst, v)
	}
}

func (n *counts) prompts(c *provider.Cursor) {
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
			n.larger(&n.cached, c)
		case "cache_write_tokens", "cache_creation_tokens":
			n.larger(&n.written, c)
		case "audio_tokens":
			n.set(&n.audioIn, c)
		case "image_tokens":
			n.set(&n.imageIn, c)
		default:
			c.Skip()
		}
	}
}

func (n *counts) completions(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "reasoning_tokens":
			n.larger(&n.reasoning, c)
		case "audio_tokens":
			n.set(&n.audioOut, c)
		case "image_tokens":
			n.set(&n.imageOut, c)
		default:
			c.Skip()
		}
	}
}

func (n *counts) creation(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) == "ephemeral_1h_input_tokens" {
			n.set(&n.written1h, c)
			continue
		}
		c.Skip()
	}
}

// usage makes the canonical classes of the numbers; ok is false if they say
// nothing: an answer without a single token of input was not counted.
func (n *counts) usage(hiddenThoughts bool) (u llm.Usage, ok bool) {
	input, output, reasoning := n.prompt, n.completion, max(n.reasoning, n.thoughts)
	if !n.hasPrompt {
		input = n.hit + n.miss
	}
	if input == 0 && output == 0 {
		input = n.total // Voyage
	}
	if n.bad || input == 0 {
		return llm.Usage{}, false
	}
	if n.hasCitations { // Perplexity bills both beside what its total holds
		input, output = input+n.citations, output+n.thoughts
	} else if gap := n.total - input - output; gap > 0 {
		switch {
		case gap == reasoning: // xAI counts thoughts apart
			output += gap
		case gap == n.audioIn: // Mistral counts audio apart
			input += gap
		case hiddenThoughts: // Google does not count them at all
			output += gap
			reasoning += gap
		}
	}
	cached := min(max(n.cached, n.hit), input)
	written := min(n.written, input-cached)
	written1h := min(n.written1h, written)
	return llm.Usage{
		Input:        input,
		CachedInput:  cached,
		CacheWrite:   written - written1h,
		CacheWrite1h: written1h,
		Output:       output,
	}.WithMedia(n.imageIn, n.audioIn).WithOutput(reasoning, n.audioOut, n.imageOut), true
}
