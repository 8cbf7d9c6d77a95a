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
	"github.com/pontage/pontage/internal/provider/bedrock"
	"github.com/pontage/pontage/internal/provider/gather"
	"github.com/pontage/pontage/internal/provider/gemini"
	"github.com/pontage/pontage/internal/provider/media"
	"github.com/pontage/pontage/internal/provider/openai"
	"github.com/pontage/pontage/internal/provider/responses"
	"github.com/pontage/pontage/internal/provider/sim"
	"github.com/pontage/pontage/internal/route"
)

// served is one configured provider: how to speak to it, and with what.
type served struct {
	name     string
	speaks   provider.Provider
	asked    provider.Provider // the same, where a target asks for responses; nil: it has none
	texts    provider.Provider // the same, of models that continue texts; nil: as all others
	looks    provider.Checker  // nil: it cannot be looked at
	keys     []provider.Secret
	timeouts provider.Timeouts
	fetch    route.Fetcher // of what it takes only in bytes; nil: nobody fetches
}

// providers makes the configured providers.
func (a *App) providers(c *config.Config) map[string]served {
	out := map[string]served{}
	fetch := fetcher(c.Egress)
	for name, pc := range c.Providers {
		s := served{name: name, fetch: fetch, timeouts: provider.Timeouts{
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
		for _, k := range []config.Secret{pc.AccessID, pc.Access, pc.Session} {
			a.obs.Hide(k.Reveal())
		}
		switch pc.Kind {
		case "sim":
			s.speaks, s.asked, s.texts = simulated(name, a.sim)
		case "gemini":
			s.speaks = gather.Over(gemini.New(gemini.Options{Name: name, BaseURL: pc.BaseURL, Transport: a.pipes.get(s.timeouts.Connect)}))
		case "vertex":
			s.speaks = a.vertex(c, name, pc, a.pipes.get(s.timeouts.Connect))
		case "anthropic":
			messages := anthropic.New(anthropic.Options{Name: name, BaseURL: pc.BaseURL, Transport: a.pipes.get(s.timeouts.Connect)})
			s.speaks, s.looks = gather.Over(messages), messages
		case "bedrock":
			o := bedrockOptions(name, pc)
			o.Transport, o.Fetches = a.pipes.get(s.timeouts.Connect), s.fetch != nil
			s.speaks = gather.Over(bedrock.New(o))
		default:
			o := openaiOptions(name, pc)
			o.Transport = a.pipes.get(s.timeouts.Connect)
			s.speaks, s.asked = speaksOpenAI(o)
			s.texts = continues(o)
			s.looks = openai.New(o)
		}
		out[name] = s
	}
	return out
}

// openaiOptions are the options of a provider that speaks OpenAI's protocols, but
// for the transport.
func openaiOptions(name string, pc config.Provider) openai.Options {
	o := openai.Options{Name: name, BaseURL: pc.BaseURL, Vendor: pc.Quirks}
	if pc.Kind == "azure" && o.Vendor == "" {
		o.Vendor = "azure"
	}
	return o
}

// bedrockOptions are the options of a provider at AWS, but for the transport.
func bedrockOptions(name string, pc config.Provider) bedrock.Options {
	return bedrock.Options{
		Name: name, Region: pc.Region, BaseURL: pc.BaseURL, AccessKeyID: pc.AccessID.Reveal(),
		SecretAccessKey: provider.Secret(pc.Access.Reveal()), SessionToken: provider.Secret(pc.Session.Reveal()),
	}
}

// vertex makes the provider of the models of a publisher on Vertex AI.
func (a *App) vertex(c *config.Config, name string, pc config.Provider, pipe http.RoundTripper) provider.Provider {
	at := gemini.Vertex{Project: pc.Project, Location: pc.Location}
	if pc.KeyFile != "" {
		key, err := serviceAccount(c, pc)
		if err != nil { // it was read a moment ago, when the configuration was judged
			pipe = unusable{err}
		} else {
			pipe = key.Transport(pipe)
		}
	}
	if pc.Publisher == "anthropic" {
		return gather.Over(anthropic.New(anthropic.Options{
			Name: name, BaseURL: "https://vertex.invalid",
			Transport: gemini.Claude{Vertex: at, BaseURL: pc.BaseURL, Base: pipe},
		}))
	}
	return gather.Over(gemini.New(gemini.Options{Name: name, BaseURL: pc.BaseURL, Vertex: &at, Transport: pipe}))
}

// serviceAccount reads the key file of a provider.
func serviceAccount(c *config.Config, pc config.Provider) (*gemini.Key, error) {
	text, err := config.ReadFile(c.File(pc.KeyFile))
	if err != nil {
		return nil, err
	}
	return gemini.ParseKey(text)
}

// unusable is the transport of a provider whose credential cannot be read.
type unusable struct{ err error }

// RoundTrip fails.
func (u unusable) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return nil, u.err
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

// checkProviders reports vendors that nobody knows, and scripts and keys that
// cannot be loaded.
func checkProviders(c *config.Config) error {
	errs := []error{script(c, sim.New(sim.Options{}))}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		pc := c.Providers[name]
		if pc.KeyFile != "" {
			if _, err := serviceAccount(c, pc); err != nil {
				errs = append(errs, c.Problem("providers."+name+".key_file", err.Error()))
			}
		}
		if pc.Kind == "bedrock" {
			if err := bedrockOptions(name, pc).Validate(); err != nil {
				errs = append(errs, c.Problem("providers."+name+".region", err.Error()))
			}
		}
		if pc.Kind != "openai" && pc.Kind != "azure" {
			continue
		}
		if err := openaiOptions(name, pc).Validate(); err != nil {
			errs = append(errs, c.Problem("providers."+name+".quirks", err.Error()))
		}
	}
	return errors.Join(errs...)
}

// targets makes one target for each credential of the provider. Several share
// the requests evenly.
func (s served) targets(board *healthBoard, n route.Norms, kind string, t catalog.Target) []*route.Target {
	var out []*route.Target
	speaks := s.speaks
	switch {
	case kind == catalog.Completion && s.texts != nil:
		speaks = s.texts
	case t.API == catalog.APIResponses:
		speaks = s.asked
	}
	for i, key := range s.keys {
		id := s.name + "/" + t.Model
		weight := t.Weight
		if i > 0 {
			id += "#" + strconv.Itoa(i+1)
		}
		if len(s.keys) > 1 {
			weight = max(weight, 1)
		}
		target := &route.Target{
			ID: id, Name: s.name, Provider: speaks, Model: t.Model, Key: key,
			Timeouts: s.timeouts, Weight: weight,
			Fetch:  s.fetch,
			Health: board.get(id, s.name, t.Model, credentialOf(s.name, i, key), len(s.keys) == 1, n),
		}
		if c := t.Cost; c != nil {
			target.Priced = true
			target.Cost = route.Cost{Input: int64(c.Input), Output: int64(c.Output), Request: int64(c.Request)}
			for l := c.Long; l != nil; l = l.Price.Long {
				target.Cost.Long = append(target.Cost.Long, route.Step{Above: l.Above, Input: int64(l.Price.Input), Output: int64(l.Price.Output)})
			}
		}
		out = append(out, target)
	}
	return out
}

// testTargets is where requests of test keys go, whatever the model.
func (a *App) testTargets(n route.Norms, m *catalog.Model) []*route.Target {
	id := "simulator/" + m.ID
	speaks, _, texts := simulated("simulator", a.sim)
	var p provider.Provider = speaks
	if m.Kind == catalog.Completion {
		p = texts
	}
	return []*route.Target{{
		ID: id, Name: "simulator", Provider: p, Model: m.ID,
		Health: a.health.get(id, "simulator", m.ID, credentialOf("simulator", 0, ""), true, n),
	}}
}

// spoken is how one upstream is spoken to: each caller's dialect that has a
// protocol of its own there passes through to it, and all others are translated
// to one. Targets are compared by it, so there is a pointer to it.
type spoken struct {
	own   map[llm.Dialect]provider.Provider
	other provider.Provider
}

// speaksOpenAI returns how to speak to a server of OpenAI's protocols, and how if
// it is to be asked for responses whatever the caller speaks.
func speaksOpenAI(o openai.Options) (speaks, asked *spoken) {
	chat, traits := gather.Over(openai.New(o)), o.Traits()
	resp := newResponses(o, traits)
	speaks = &spoken{own: map[llm.Dialect]provider.Provider{}, other: chat}
	asked = &spoken{own: map[llm.Dialect]provider.Provider{llm.OpenAIEmbeddings: chat, llm.GeminiEmbed: chat}, other: resp}
	if traits.Responses {
		speaks.own[llm.OpenAIResponses] = resp
	}
	if traits.Counts {
		speaks.own[llm.OpenAIInputTokens] = resp
		speaks.own[llm.OpenAICompact] = resp
	}
	drawn := newMedia(o, traits)
	for _, d := range media.Dialects() {
		speaks.own[d], asked.own[d] = drawn, drawn
	}
	return speaks, asked
}

// continues returns how to ask a server of OpenAI's protocols to continue a text.
func continues(o openai.Options) provider.Provider {
	o.Texts = true
	return openai.New(o)
}

func newMedia(o openai.Options, t openai.Traits) provider.Provider {
	return media.New(media.Options{
		Name: o.Name, BaseURL: o.BaseURL, ByPath: t.ByPath, Family: t.Family, KeyHeader: t.KeyHeader, Transport: o.Transport,
	})
}

func newResponses(o openai.Options, t openai.Traits) provider.Provider {
	return gather.Over(responses.New(responses.Options{
		Name: o.Name, BaseURL: o.BaseURL, Family: t.Family, KeyHeader: t.KeyHeader, Stateless: t.Stateless, Counts: t.Counts, Compacts: t.Counts, NoCustom: !t.Custom, Transport: o.Transport,
	}))
}

// simulated returns how to speak to the simulator, which understands all.
func simulated(name string, s *sim.Sim) (speaks, asked *spoken, texts provider.Provider) {
	const base = "http://simulator.invalid/v1"
	o := openai.Options{Name: name, BaseURL: base, Vendor: "openai", Transport: s}
	speaks, asked = speaksOpenAI(o)
	messages := gather.Over(anthropic.New(anthropic.Options{Name: name, BaseURL: base, Transport: s}))
	for _, d := range []llm.Dialect{llm.AnthropicMessages, llm.AnthropicCountTokens, llm.GeminiCountTokens, llm.OpenAIInputTokens} {
		speaks.own[d] = messages
	}
	return speaks, asked, continues(o)
}

func (s *spoken) of(r *llm.Request) provider.Provider {
	if p := s.own[r.Dialect]; p != nil {
		return p
	}
	return s.other
}

// Supports implements provider.Provider.
func (s *spoken) Supports(r *llm.Request) error { return s.of(r).Supports(r) }

// Open implements provider.Provider.
func (s *spoken) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	return s.of(c.Request).Open(ctx, c)
}

// ThinksOnlyWhenAsked implements provider.Thinker.
func (s *spoken) ThinksOnlyWhenAsked(model string) bool {
	t, ok := s.other.(provider.Thinker)
	return ok && t.ThinksOnlyWhenAsked(model)
}

// Inlines implements provider.Inliner.
func (s *spoken) Inlines(r *llm.Request) func(*llm.Part) bool {
	if i, ok := s.of(r).(provider.Inliner); ok {
		return i.Inlines(r)
	}
	return nil
}

// Dropped implements provider.Dropper.
func (s *spoken) Dropped(r *llm.Request) []string {
	if d, ok := s.of(r).(provider.Dropper); ok {
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
