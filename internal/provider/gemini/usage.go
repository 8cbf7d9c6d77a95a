package gemini

import (
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxTokens is the largest count that is believed.
const maxTokens = 1 << 40

// counts are the numbers of usageMetadata. Every report holds totals, so that
// later ones overwrite earlier ones, member by member.
type counts struct {
	prompt, tools, cached, candidates, thoughts, total int64
	images, sound                                      int64 // of the prompt, where they are told apart
	cachedImages, cachedSound                          int64
	drawn, spoken                                      int64 // of the candidates
	bad                                                bool
	tier                                               llm.Tier
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

// read reads a usageMetadata object, or skips what stands in its place.
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
		case "promptTokenCount":
			n.set(&n.prompt, c)
		case "promptTokensDetails":
			n.modalities(c, &n.images, &n.sound)
		case "cacheTokensDetails":
			n.modalities(c, &n.cachedImages, &n.cachedSound)
		case "candidatesTokensDetails":
			n.modalities(c, &n.drawn, &n.spoken)
		case "toolUsePromptTokenCount":
			n.set(&n.tools, c)
		case "cachedContentTokenCount":
			n.set(&n.cached, c)
		case "candidatesTokenCount":
			n.set(&n.candidates, c)
		case "thoughtsTokenCount":
			n.set(&n.thoughts, c)
		case "totalTokenCount":
			n.set(&n.total, c)
		case "serviceTier", "trafficType": // the latter of Vertex AI
			if tier, ok := c.Tier(llm.TierNamed); ok {
				n.tier = tier
			}
		default:
			c.Skip()
		}
	}
}

// usage makes the canonical classes of the numbers; ok is false if they say
// nothing: there is no answer without a token of input. Thoughts stand beside the
// candidates, and what the total holds beyond all of them is counted as thoughts.
func (n *counts) usage() (u llm.Usage, ok bool) {
	if n.bad || n.prompt == 0 {
		return llm.Usage{}, false
	}
	input, thoughts := n.prompt+n.tools, n.thoughts
	if gap := n.total - input - n.candidates - thoughts; gap > 0 {
		thoughts += gap
	}
	return llm.Usage{
		Input:       input,
		CachedInput: min(n.cached, n.prompt),
		Output:      n.candidates + thoughts,
		Tier:        n.tier,
	}.WithMedia(n.images-n.cachedImages, n.sound-n.cachedSound).WithOutput(thoughts, n.spoken, n.drawn), true
}

// modalities reads how many tokens are of images and of sound; those of documents
// and films are priced as text.
func (n *counts) modalities(c *provider.Cursor, images, sound *int64) {
	if !c.Enter('[') {
		return
	}
	*images, *sound = 0, 0
	for c.More() {
		if !c.Enter('{') {
			continue
		}
		kind, tokens := "", int64(0)
		for {
			key, ok := c.Key()
			if !ok {
				break
			}
			switch string(key) {
			case "modality":
				text, _ := c.Text()
				kind = string(text)
			case "tokenCount":
				n.set(&tokens, c)
			default:
				c.Skip()
			}
		}
		switch kind {
		case "IMAGE":
			*images += tokens
		case "AUDIO":
			*sound += tokens
		}
	}
}

// tierOf returns the tier of service that the head of an answer tells, of which its
// usage may say nothing.
func tierOf(h http.Header) llm.Tier { return llm.TierNamed([]byte(h.Get("X-Gemini-Service-Tier"))) }
