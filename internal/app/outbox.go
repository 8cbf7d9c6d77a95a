package app

import (
	"context"
	"time"

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

// inForce makes s what the configuration in force says. Events may go elsewhere
// from now on.
func (a *App) inForce(s *setup) {
	a.obs.Hide(s.config.Webhooks.Secret.Reveal())
	a.current.Store(s)
	a.outbox.Hurry()
}

// advance puts the clock forward; events may be due by that.
func (a *App) advance(d time.Duration) {
	a.clock.advance(d)
	a.outbox.Hurry()
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
