package app

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/provider/anthropic"
	"github.com/pontage/pontage/internal/provider/openai"
	"github.com/pontage/pontage/internal/provider/sim"
	"github.com/pontage/pontage/internal/route"
)

// served is one configured provider: how to speak to it, and with what.
type served struct {
	name     string
	speaks   provider.Provider
	keys     []provider.Secret
	timeouts provider.Timeouts
}

// providers makes the configured providers.
func (a *App) providers(c *config.Config) map[string]served {
	out := map[string]served{}
	for name, pc := range c.Providers {
		s := served{name: name, timeouts: provider.Timeouts{
			Connect:    time.Duration(pc.Timeouts.Connect),
			Headers:    time.Duration(pc.Timeouts.Headers),
			FirstEvent: time.Duration(pc.Timeouts.FirstEvent),
			Idle:       time.Duration(pc.Timeouts.Idle),
			IdleEvents: time.Duration(pc.Timeouts.IdleEvents),
			Total:      time.Duration(pc.Timeouts.Total),
		}}
		for _, k := range pc.Credentials() {
			s.keys = append(s.keys, provider.Secret(k.Reveal()))
			a.obs.Hide(k.Reveal())
		}
		switch pc.Kind {
		case "sim":
			s.speaks = simulated(name, a.sim)
		case "anthropic":
			s.speaks = anthropic.New(anthropic.Options{Name: name, BaseURL: pc.BaseURL, Transport: a.pipes.get(s.timeouts.Connect)})
		default:
			s.speaks = openai.New(openai.Options{Name: name, BaseURL: pc.BaseURL, Vendor: pc.Quirks, Transport: a.pipes.get(s.timeouts.Connect)})
		}
		out[name] = s
	}
	return out
}

// script loads the scripts of the configured simulators into s.
func script(c *config.Config, s *sim.Sim) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		file := c.Providers[name].Script
		if file == "" {
			continue
		}
		if err := s.LoadScript(c.File(file)); err != nil {
			errs = append(errs, c.Problem("providers."+name+".script", err.Error()))
		}
	}
	return errors.Join(errs...)
}

// checkProviders reports vendors that nobody knows, and scripts that cannot be
// loaded.
func checkProviders(c *config.Config) error {
	errs := []error{script(c, sim.New(sim.Options{}))}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		pc := c.Providers[name]
		if pc.Kind == "sim" || pc.Kind == "anthropic" {
			continue
		}
		if err := (openai.Options{Name: name, BaseURL: pc.BaseURL, Vendor: pc.Quirks}).Validate(); err != nil {
			errs = append(errs, c.Problem("providers."+name+".quirks", err.Error()))
		}
	}
	return errors.Join(errs...)
}

// targets makes one target for each credential of the provider. Several share
// the requests evenly.
func (s served) targets(board *healthBoard, n route.Norms, t catalog.Target) []*route.Target {
	var out []*route.Target
	for i, key := range s.keys {
		id := s.name + "/" + t.Model
		weight := t.Weight
		if i > 0 {
			id += "#" + strconv.Itoa(i+1)
		}
		if len(s.keys) > 1 {
			weight = max(weight, 1)
		}
		out = append(out, &route.Target{
			ID: id, Provider: s.speaks, Model: t.Model, Key: key,
			Timeouts: s.timeouts, Weight: weight,
			Health: board.get(id, s.name, t.Model, n),
		})
	}
	return out
}

// testTargets is where requests of test keys go, whatever the model.
func (a *App) testTargets(n route.Norms, m *catalog.Model) []*route.Target {
	id := "simulator/" + m.ID
	return []*route.Target{{
		ID: id, Provider: simulated("simulator", a.sim), Model: m.ID,
		Health: a.health.get(id, "simulator", m.ID, n),
	}}
}

// both speaks two families to an upstream that understands both: each dialect
// passes through to its own.
type both struct{ openai, anthropic provider.Provider }

func simulated(name string, s *sim.Sim) provider.Provider {
	return both{
		openai:    openai.New(openai.Options{Name: name, BaseURL: "http://simulator.invalid/v1", Vendor: "openai", Transport: s}),
		anthropic: anthropic.New(anthropic.Options{Name: name, BaseURL: "http://simulator.invalid/v1", Transport: s}),
	}
}

func (b both) of(r *llm.Request) provider.Provider {
	switch r.Dialect {
	case llm.AnthropicMessages, llm.AnthropicCountTokens, llm.GeminiCountTokens:
		return b.anthropic
	}
	return b.openai
}

// Supports implements provider.Provider.
func (b both) Supports(r *llm.Request) error { return b.of(r).Supports(r) }

// Open implements provider.Provider.
func (b both) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	return b.of(c.Request).Open(ctx, c)
}

// Dropped implements provider.Dropper.
func (b both) Dropped(r *llm.Request) []string {
	if d, ok := b.of(r).(provider.Dropper); ok {
		return d.Dropped(r)
	}
	return nil
}

// transports are the connections to providers, shared by all with the same
// connect timer, over reloads.
type transports struct {
	mu     sync.Mutex
	byTime map[time.Duration]*http.Transport
}

func (t *transports) get(connect time.Duration) *http.Transport {
	if connect == 0 {
		connect = provider.DefaultTimeouts(true, false).Connect
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byTime == nil {
		t.byTime = map[time.Duration]*http.Transport{}
	}
	if t.byTime[connect] == nil {
		t.byTime[connect] = provider.NewTransport(connect)
	}
	return t.byTime[connect]
}

// scripts lets the admin API script the simulator.
type scripts struct{ s *sim.Sim }

// Script implements what dash.TestControls asks for.
func (x scripts) Script(model string, steps []byte) error {
	parsed, err := sim.ParseSteps(steps)
	if err != nil {
		return fault.New(fault.InvalidParameter, "%s", err.Error()).At("steps")
	}
	return x.s.Script(model, parsed)
}
