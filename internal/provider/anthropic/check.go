package anthropic

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
	h := header(provider.Call{Request: &llm.Request{}, Key: key})
	delete(h, "Content-Type")
	return provider.Look(ctx, p.transport, p.messages.JoinPath("..", cmp.Or(path, "models")), h, family)
}
