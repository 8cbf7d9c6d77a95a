// Package responses speaks OpenAI's protocol of responses to everybody who
// offers it.
//
// For callers of the same dialect bytes pass through both ways, but for: the
// model's name; store, which is always false, and background and what is kept
// of reasoning, since the gateway stores responses itself; a limit of output;
// reasoning that another provider sealed; and in the answer the model's name and
// lines of events that upset clients. For callers of other dialects the
// conversation is encoded from llm.Chat, and whatever cannot be said is refused.
package responses

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// Options configure a [Provider].
type Options struct {
	Name      string            // of the provider, for errors, and as the issuer of sealed reasoning
	BaseURL   string            // up to and with the version; empty: [DefaultBaseURL]; a query is kept
	Family    string            // of error tables; see provider.Classify; empty: openai
	KeyHeader string            // the header that takes the key; empty: Authorization with Bearer
	Stateless bool              // it gives out no sealed reasoning
	Counts    bool              // it counts the tokens of requests
	Compacts  bool              // it compacts conversations
	NoCustom  bool              // it knows no custom tools
	Transport http.RoundTripper // shared; see provider.NewTransport
}

// Provider sends to one server. It is used by many goroutines at once.
type Provider struct {
	broken    error // no request can be sent
	name      string
	family    string
	keyHeader string
	stateless bool
	noCustom  bool
	to        *url.URL
	count     *url.URL // nil: it does not count
	compact   *url.URL // nil: it does not compact
	transport http.RoundTripper
}

var _ provider.Provider = (*Provider)(nil)

// DefaultBaseURL is where OpenAI itself listens.
const DefaultBaseURL = "https://api.openai.com/v1"

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	_, err := o.base()
	return err
}

func (o Options) base() (*url.URL, error) {
	base := o.BaseURL
	if base == "" {
		base = DefaultBaseURL
	}
	return provider.BaseURL(o.Name, base)
}

// New returns a Provider. With options that [Options.Validate] refuses it is
// one that cannot be reached. No Transport means one of its own.
func New(o Options) *Provider {
	base, err := o.base()
	if err != nil {
		return &Provider{broken: err}
	}
	if o.Transport == nil {
		o.Transport = provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	}
	p := &Provider{name: o.Name, family: o.Family, keyHeader: o.KeyHeader, stateless: o.Stateless, noCustom: o.NoCustom, to: base.JoinPath("responses"), transport: o.Transport}
	if p.family == "" {
		p.family = "openai"
	}
	if o.Counts {
		p.count = base.JoinPath("responses/input_tokens")
	}
	if o.Compacts {
		p.compact = base.JoinPath("responses/compact")
	}
	return p
}

// Supports reports what of r cannot be honoured; see provider.Provider.
func (p *Provider) Supports(r *llm.Request) error {
	switch r.Task {
	case llm.TaskEmbed:
		return fault.New(fault.UnsupportedParameter, "This model does not make embeddings here.").At("model")
	case llm.TaskCountTokens:
		return p.countable(r)
	}
	if r.Dialect == llm.OpenAICompact {
		_, err := p.compacting(provider.Call{Request: r, Model: r.Model})
		return err
	}
	_, err := p.body(provider.Call{Request: r, Model: r.Model})
	return err
}

// Dropped lists the parameters of r that are left out as harmless, by their
// paths; see provider.Dropper.
func (p *Provider) Dropped(r *llm.Request) []string {
	if r.Task != llm.TaskChat {
		return nil
	}
	if passes(r) || r.Dialect == llm.OpenAICompact {
		if _, n, _ := p.ownInput(r); n > 0 {
			return []string{reasoningState}
		}
		return nil
	}
	e, err := p.encode(provider.Call{Request: r, Model: r.Model})
	if err != nil {
		return nil
	}
	return e.Dropped
}

// reasoningState is how it is told that reasoning was left out which another
// provider had sealed.
const reasoningState = "reasoning_state"

// body returns the request's body, or a *fault.Error naming what cannot be said.
func (p *Provider) body(c provider.Call) ([]byte, error) {
	if passes(c.Request) {
		return p.splice(c)
	}
	e, err := p.encode(c)
	if err != nil {
		return nil, err
	}
	return e.Body, nil
}

// Open sends c; see provider.Provider.
func (p *Provider) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	r := c.Request
	switch {
	case p.broken != nil:
		return nil, provider.Unusable(p.broken)
	case r.Task == llm.TaskCountTokens && p.countable(r) == nil:
		x, err := p.send(ctx, c, p.count, p.counting(c))
		if err != nil {
			return nil, blame(r, err)
		}
		return provider.NewStream(x, &tally{x: x}), nil
	case r.Task != llm.TaskChat:
		return nil, provider.Refusal(p.Supports(r))
	}
	if r.Dialect == llm.OpenAICompact {
		return p.openCompact(ctx, c)
	}
	c.Reasons = c.Reasons && !p.stateless
	x, sent, err := p.post(ctx, c)
	if plain := c; c.Reasons && refusesInclude(err) {
		plain.Reasons = false
		x, sent, err = p.post(ctx, plain)
	}
	if err != nil {
		return nil, blame(r, provider.Own(r, sent, err))
	}
	if !r.Stream || c.Gathers && !x.Streams() {
		return provider.NewStream(x, &whole{x: x, scanner: p.newScanner(c, false), call: c}), nil
	}
	if err := x.EventStream(); err != nil {
		return nil, blame(r, err)
	}
	s := &stream{scanner: p.newScanner(c, true), request: r, family: p.family, model: c.OwnName()}
	return provider.NewEvents(x, s, !s.scanner.translate), nil
}

// post sends the request, and returns what it sent.
func (p *Provider) post(ctx context.Context, c provider.Call) (x *provider.Exchange, sent []byte, err error) {
	sent, err = p.body(c)
	if err != nil {
		return nil, nil, provider.Refusal(err)
	}
	x, err = p.send(ctx, c, p.to, sent)
	return x, sent, err
}

func (p *Provider) send(ctx context.Context, c provider.Call, to *url.URL, body []byte) (*provider.Exchange, error) {
	r := c.Request
	return provider.Post(ctx, p.transport, provider.Outgoing{
		URL: to, Header: p.header(c), Body: body, Family: p.family, Stream: r.Stream,
		Timeouts: c.Timeouts.Or(provider.DefaultTimeouts(r.Stream, r.Needs.Has(llm.NeedReasoning))),
	})
}

// refusesInclude reports whether the provider refused the member include: models
// that never think do so if they are asked for what they thought, and nobody but
// the gateway asked.
func refusesInclude(err error) bool {
	var f *provider.Failure
	return errors.As(err, &f) && !f.Sent && f.Fault.Param == "include"
}

// passes reports whether the caller speaks this package's own dialect.
func passes(r *llm.Request) bool { return r.Dialect == llm.OpenAIResponses }

// header returns the request's headers.
func (p *Provider) header(c provider.Call) http.Header {
	h := provider.NewHeader(c, c.Request.Stream)
	c.Key.Put(h, p.keyHeader)
	return h
}

// blame corrects the parameter that the provider names: the input is what all
// other dialects call messages, and of a translated request only the names that
// all dialects share mean anything to the caller.
func blame(r *llm.Request, err error) error {
	var f *provider.Failure
	if !errors.As(err, &f) || f.Fault.Param == "" {
		return err
	}
	top, _, _ := strings.Cut(f.Fault.Param, ".")
	if passes(r) || r.Dialect == llm.OpenAICompact {
		if top == "messages" {
			f.Fault.Param = "input"
		}
		return err
	}
	switch top {
	case "model", "temperature", "top_p", "stream", "tools", "tool_choice", "messages":
		f.Fault.Param = top
	case "input", "instructions":
		f.Fault.Param = "messages"
	default:
		f.Fault.Param = ""
	}
	return err
}
