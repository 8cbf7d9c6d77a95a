package openai

import (
	"cmp"
	"context"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// Check implements provider.Checker.
func (p *Provider) Check(ctx context.Context, path string, key provider.Secret) error {
	if p.broken != nil {
		return &provider.Failure{Fault: fault.Wrap(fault.NoTarget, p.broken), Breaker: true}
	}
	h := p.header(provider.Call{Request: &llm.Request{}, Key: key})
	delete(h, "Content-Type")
	return provider.Look(ctx, p.transport, p.chat.JoinPath("../..", cmp.Or(path, "models")), h, p.vendor.class())
}
