package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/dash"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/route"
)

// healthBoard holds the health of every target and credential, over reloads.
type healthBoard struct {
	now    func() time.Time
	notify func(route.Change) // nil: nobody is told of changes

	mu          sync.Mutex
	targets     map[string]*boardRow // by target id
	credentials map[doubt]*route.Credential
}

type boardRow struct {
	id, provider, model string
	credential          credentialID
	doubt               doubt
	health              *route.Health
}

// credentialID is one credential of a provider; another key in its place is another
// one.
type credentialID struct {
	name string // "provider", with "#2" behind it for a second credential
	sum  [sha256.Size]byte
}

func credentialOf(name string, i int, key provider.Secret) credentialID {
	if i > 0 {
		name += "#" + strconv.Itoa(i+1)
	}
	return credentialID{name, sha256.Sum256([]byte(key.Reveal()))}
}

// doubt is what a refused credential takes out of use: all that use it, if its
// provider has others, which can stand in (a 403 only the target). The only one is doubted for each target
// alone: what was refused may be the model, and nobody could answer for the others.
type doubt struct {
	credential credentialID
	target     string // empty: all of them
}

// get returns the health of a target, the same one as long as it is in use with
// that credential, which is the provider's only one or not.
func (b *healthBoard) get(id, provider, model string, c credentialID, only bool, n route.Norms) *route.Health {
	d := doubt{credential: c}
	if only {
		d.target = id
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.targets == nil {
		b.targets, b.credentials = map[string]*boardRow{}, map[doubt]*route.Credential{}
	}
	if row := b.targets[id]; row != nil && row.doubt == d {
		return row.health
	}
	if b.credentials[d] == nil {
		b.credentials[d] = route.NewCredential(c.name, b.now, b.notify)
		if !only {
			b.credentials[d].Share()
		}
	}
	h := route.NewHealthOf(id, b.now, n, b.credentials[d], b.notify)
	b.targets[id] = &boardRow{id, provider, model, c, d, h}
	return h
}

// keep forgets the targets that are not live any more, and puts n in force for
// the rest.
func (b *healthBoard) keep(live map[string]bool, n route.Norms) {
	b.mu.Lock()
	defer b.mu.Unlock()
	used := map[doubt]bool{}
	for id, row := range b.targets {
		if !live[id] {
			delete(b.targets, id)
			continue
		}
		row.health.SetNorms(n)
		used[row.doubt] = true
	}
	for d := range b.credentials {
		if !used[d] {
			delete(b.credentials, d)
		}
	}
}

// of returns the health of all targets that use a credential.
func (b *healthBoard) of(c credentialID) []*route.Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*route.Health
	for _, row := range b.targets {
		if row.credential == c {
			out = append(out, row.health)
		}
	}
	return out
}

// Targets implements dash.Routes, sorted by target.
func (b *healthBoard) Targets() []dash.TargetHealth {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]dash.TargetHealth, 0, len(b.targets))
	for _, r := range b.targets {
		s := r.health.Status()
		out = append(out, dash.TargetHealth{
			Target: r.id, Provider: r.provider, Model: r.model,
			Healthy: s.Healthy, Breaker: s.Breaker, CooldownUntil: s.CooldownUntil, QuarantinedUntil: s.QuarantinedUntil,
			Reason: s.Reason, Requests: s.Requests, Failures: s.Failures, Latency: s.Latency,
		})
	}
	slices.SortFunc(out, func(x, y dash.TargetHealth) int { return strings.Compare(x.Target, y.Target) })
	return out
}

// changed logs that a target or a credential went out of use or came back.
func (a *App) changed(c route.Change) {
	level, words := slog.LevelWarn, "a target is out of use"
	what := slog.String("target", c.Target)
	if c.Target == "" {
		words, what = "a credential is out of use", slog.String("credential", c.Credential)
	}
	if c.State == route.StateInUse {
		level, words = slog.LevelInfo, strings.Replace(words, "out of use", "in use again", 1)
	}
	attrs := []slog.Attr{what, slog.String("state", string(c.State))}
	if c.Reason != "" {
		attrs = append(attrs, slog.String("reason", c.Reason), slog.String("for", c.For.Round(time.Millisecond).String()))
	}
	a.obs.Logger().LogAttrs(context.Background(), level, words, attrs...)
}

// look looks at the providers of a setup from now on, as often as it says, and no
// more at those of the one before.
func (a *App) look(s *setup) {
	if a.looking != nil {
		a.looking()
	}
	ctx, cancel := context.WithCancel(a.base)
	a.looking = cancel
	for name, p := range s.kinds {
		check := s.config.Providers[name].HealthCheck
		if check.Interval <= 0 || p.looks == nil {
			continue
		}
		for i, key := range p.keys {
			go a.watch(ctx, p.looks, check, credentialOf(name, i, key), key)
		}
	}
}

// watch looks at one credential of a provider until ctx ends.
func (a *App) watch(ctx context.Context, c provider.Checker, check config.HealthCheck, id credentialID, key provider.Secret) {
	// The first look comes soon, and nodes that started together do not look together.
	timer := time.NewTimer(rand.N(min(check.Interval, time.Second)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := c.Check(ctx, check.Path, key)
		if ctx.Err() != nil {
			return
		}
		for _, h := range a.health.of(id) {
			h.Checked(err)
		}
		timer.Reset(check.Interval - rand.N(check.Interval/10+1))
	}
}

// uncheckable reports providers that are to be looked at and cannot be.
func uncheckable(c *config.Config, kinds map[string]served) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if kinds[name].looks == nil && c.Providers[name].HealthCheck.Interval > 0 {
			errs = append(errs, c.Problem("providers."+name+".health_check", "this kind of provider cannot be looked at"))
		}
	}
	return errors.Join(errs...)
}
