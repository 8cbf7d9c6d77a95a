// Package openai speaks OpenAI's protocols of chat completions and embeddings
// to everybody who offers them. The vendors differ by rows of one table.
//
// For callers of the same dialect bytes pass through both ways, but for: the
// model's name, stream_options.include_usage, a limit of output, members that
// the vendor is known to refuse or to spell differently; and in the answer the
// model's name if it is another one, "error": null, lines of events that upset
// clients, and a missing [DONE]; embeddings' missing prompt_tokens, and vectors
// whose bytes are no float32. For callers of other dialects the conversation
// is encoded from llm.Chat, and whatever cannot be said is refused.
package openai

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// Options configure a [Provider].
type Options struct {
	Name      string            // of the provider, for errors
	BaseURL   string            // up to and with the version, such as https://api.openai.com/v1; a query is kept
	Vendor    string            // one of [Vendors]; empty: by the host of BaseURL
	Texts     bool              // ask for the continuation of texts, of models that know no conversation
	Transport http.RoundTripper // shared; see provider.NewTransport
}

// Provider sends to one vendor. It is used by many goroutines at once.
type Provider struct {
	broken    error // no request can be sent
	vendor    vendor
	texts     bool     // speaks of texts and not of conversations
	base      *url.URL // of deployments; nil: models are named in the body only
	chat      *url.URL
	embed     *url.URL
	transport http.RoundTripper
}

var _ provider.Provider = (*Provider)(nil)

// DefaultBaseURL is where OpenAI itself listens.
const DefaultBaseURL = "https://api.openai.com/v1"

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	_, _, err := o.resolve()
	return err
}

// resolve finds the base URL and the row of the table.
func (o Options) resolve() (*url.URL, vendor, error) {
	base := o.BaseURL
	if base == "" {
		base = DefaultBaseURL
	}
	u, err := provider.BaseURL(o.Name, base)
	if err != nil {
		return nil, vendor{}, err
	}
	v, ok := vendorOf(o.Vendor, u)
	if !ok {
		return nil, vendor{}, fmt.Errorf("provider %s: unknown vendor %q", o.Name, o.Vendor)
	}
	return u, v, nil
}

// New returns a Provider. With options that [Options.Validate] refuses it is
// one that cannot be reached. An empty BaseURL means [DefaultBaseURL], and no
// Transport means one of its own.
func New(o Options) *Provider {
	base, v, err := o.resolve()
	if err != nil {
		return &Provider{broken: err}
	}
	if o.Transport == nil {
		o.Transport = provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	}
	p := &Provider{
		vendor: v, transport: o.Transport,
		chat: base.JoinPath("chat/completions"), embed: base.JoinPath("embeddings"),
	}
	if at := v.embedPath; at != "" && strings.Trim(base.Path, "/") == "" {
		p.embed = base.JoinPath(at)
	}
	if o.Texts {
		p.texts, p.chat = true, base.JoinPath("completions")
		p.vendor.maxTokens, p.vendor.renames = "max_tokens", false // the older protocol has no other name
	}
	if dated(base, &v) {
		p.base = base.JoinPath("deployments")
	}
	return p
}

// to returns where a request goes.
func (p *Provider) to(c provider.Call) *url.URL {
	to, path := p.chat, "chat/completions"
	switch {
	case c.Request.Task == llm.TaskEmbed:
		to, path = p.embed, "embeddings"
	case p.texts:
		path = "completions"
	}
	if p.base == nil {
		return to
	}
	return p.base.JoinPath(url.PathEscape(c.Model), path)
}

// Supports reports what of r cannot be honoured; see provider.Provider.
func (p *Provider) Supports(r *llm.Request) error {
	switch {
	case r.Task == llm.TaskCountTokens:
		return fault.New(fault.UnsupportedParameter, "Tokens cannot be counted for this model.").At("model")
	case p.passes(r):
		return p.vendor.refuses(r)
	case p.texts:
		return fault.New(fault.UnsupportedParameter, "This model only continues texts.").At("model")
	case r.Dialect == llm.GeminiEmbed:
		_, err := p.fromGoogle(provider.Call{Request: r, Model: r.Model})
		return err
	case r.Task == llm.TaskEmbed:
		return fault.New(fault.UnsupportedParameter, "This model does not make embeddings here.").At("model")
	}
	_, err := p.translate(provider.Call{Request: r, Model: r.Model})
	return err
}

// Dropped lists the parameters of r that are left out as harmless, by their
// paths; see provider.Dropper.
func (p *Provider) Dropped(r *llm.Request) []string {
	if p.passes(r) {
		var out []string
		for _, name := range p.vendor.drop {
			if r.Raw.Value(name) != nil {
				out = append(out, name)
			}
		}
		return out
	}
	if r.Dialect == llm.GeminiEmbed {
		if g, err := p.fromGoogle(provider.Call{Request: r, Model: r.Model}); err == nil {
			return g.Dropped
		}
		return nil
	}
	if e, err := p.encode(provider.Call{Request: r, Model: r.Model}); err == nil {
		return e.Dropped
	}
	return nil
}

// Open sends c; see provider.Provider.
func (p *Provider) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	r := c.Request
	if p.broken != nil {
		return nil, provider.Unusable(p.broken)
	}
	passes := p.passes(r)
	if r.Task == llm.TaskCountTokens || p.texts && !passes {
		return nil, provider.Refusal(p.Supports(r))
	}
	if p.base != nil {
		if err := provider.CheckPlace(c.Model); err != nil {
			return nil, provider.Unusable(err)
		}
	}
	var body []byte
	switch {
	case passes:
		body = p.splice(c)
	case r.Dialect == llm.GeminiEmbed:
		g, err := p.fromGoogle(c)
		if err != nil {
			return nil, provider.Refusal(err)
		}
		body = g.Body
	default:
		var err error
		if body, err = p.translate(c); err != nil {
			return nil, provider.Refusal(err)
		}
	}
	x, err := provider.Post(ctx, p.transport, provider.Outgoing{
		URL: p.to(c), Header: p.header(c), Body: body, Family: p.vendor.class(), Stream: r.Stream,
		Timeouts: c.Timeouts.Or(provider.DefaultTimeouts(r.Stream, r.Needs.Has(llm.NeedReasoning))),
	})
	if err != nil {
		return nil, blame(r, passes, provider.Own(r, body, err))
	}
	if !r.Stream || c.Gathers && !x.Streams() {
		return provider.NewStream(x, &whole{x: x, scanner: newScanner(p, c, false), call: c}), nil
	}
	if err := x.EventStream(); err != nil {
		return nil, blame(r, passes, err)
	}
	return newStream(x, p, c), nil
}

// passes reports whether the caller speaks the dialect that is spoken here.
func (p *Provider) passes(r *llm.Request) bool {
	if p.texts {
		return r.Dialect == llm.OpenAICompletions
	}
	return r.Dialect == llm.OpenAIChat || r.Dialect == llm.OpenAIEmbeddings
}

// header returns the request's headers.
func (p *Provider) header(c provider.Call) http.Header {
	h := provider.NewHeader(c, c.Request.Stream)
	c.Key.Put(h, p.vendor.auth)
	return h
}

// blame corrects the parameter that a vendor names, if the caller never sent
// it: embeddings have an input where others have messages, and of a translated
// request only the names that all dialects share mean anything to the caller.
func blame(r *llm.Request, passes bool, err error) error {
	f, ok := err.(*provider.Failure)
	if ok && r.Task == llm.TaskEmbed && f.Fault.Param == "messages" {
		f.Fault.Param = "input"
	}
	if !ok || passes || f.Fault.Param == "" {
		return err
	}
	top, _, _ := strings.Cut(f.Fault.Param, ".")
	switch top {
	case "model", "temperature", "top_p", "stream", "tools", "tool_choice", "messages":
		f.Fault.Param = top
	default:
		f.Fault.Param = ""
	}
	return f
}
