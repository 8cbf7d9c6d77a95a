package ledger

import "context"

// Retain does at once what the engine does within an hour of a day's end.
func (e *Engine) Retain(ctx context.Context) error { return e.retain(ctx) }
