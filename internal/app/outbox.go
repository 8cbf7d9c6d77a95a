package app

import (
	"context"

	"github.com/pontage/pontage/internal/outbox"
)

// startOutbox starts the worker that tells of events. It ends after the ledger,
// and before the database.
func (a *App) startOutbox() {
	a.outbox = outbox.New(outbox.Options{Store: a.db.Outbox(), Endpoint: a.endpoint, Now: a.clock.now, Log: a.obs.Logger()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.outbox.Run(ctx)
	}()
	a.undo = append(a.undo, func() error {
		cancel()
		<-done
		return nil
	})
}

// endpoint is who is told of events, as the configuration in force says.
func (a *App) endpoint() outbox.Endpoint {
	s := a.current.Load()
	if s == nil {
		return outbox.Endpoint{}
	}
	w := s.config.Webhooks
	return outbox.Endpoint{URL: w.URL, Secret: w.Secret.Reveal()}
}
