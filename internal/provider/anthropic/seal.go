package anthropic

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// raw reports whether a caller of another dialect gets signatures as they come,
// and sends them back so: thinking_blocks of chat completions are Anthropic's own.
func raw(r *llm.Request) bool { return r.Dialect == llm.OpenAIChat }

// scanner returns the scanner of the answer to c.
func (p *Provider) scanner(c provider.Call, stream bool) scanner {
	s := newScanner(c, stream)
	if s.translate && !raw(c.Request) {
		s.issuer = p.name
	}
	return s
}

// encode returns the request for a caller of another dialect; see encodeAs.
func (p *Provider) encode(c provider.Call) (*encoder, error) { return encodeAs(p.name, c) }

// unseal makes a signature that a caller sent back the provider's own again. It
// reports whether that is what it is: what another provider sealed, or nobody did
// where callers get seals, would be refused.
func (e *encoder) unseal(signature *string) bool {
	issuer, state, sealed := llm.Unseal(*signature)
	switch {
	case !sealed:
		return raw(e.call.Request)
	case issuer != e.name:
		return false
	}
	*signature = state
	return true
}
