// Package anthropic speaks Anthropic's protocol of messages, and counts tokens.
//
// For callers of the same dialect bytes pass through both ways, but for the
// model's name, lines of events that upset clients, and a missing message_stop.
// For callers of other dialects the conversation is encoded from llm.Chat, and
// whatever cannot be said is refused.
package anthropic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// family names the error tables; see provider.Classify.
const family = "anthropic"

// version is the version of the protocol that is spoken for callers of other
// dialects, and for those who name none.
const version = "2023-06-01"

// Options configure a [Provider].
type Options struct {
	Name      string            // of the provider, for errors, and as the issuer of sealed reasoning
	BaseURL   string            // with or without /v1; empty: [DefaultBaseURL]; a query is kept
	Transport http.RoundTripper // shared; see provider.NewTransport
}

// Provider sends to one server. It is used by many goroutines at once.
type Provider struct {
	broken    error // no request can be sent
	name      string
	messages  *url.URL
	count     *url.URL
	transport http.RoundTripper
}

var _ provider.Provider = (*Provider)(nil)

// DefaultBaseURL is where Anthropic itself listens.
const DefaultBaseURL = "https://api.anthropic.com"

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	_, err := o.base()
	return err
}

// base returns the base URL, with its version.
func (o Options) base() (*url.URL, error) {
	base := o.BaseURL
	if base == "" {
		base = DefaultBaseURL
	}
	u, err := provider.BaseURL(o.Name, base)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1") {
		u = u.JoinPath("v1")
	}
	return u, nil
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
	return &Provider{
		name:     o.Name,
		messages: base.JoinPath("messages"), count: base.JoinPath("messages/count_tokens"),
		transport: o.Transport,
	}
}

// Supports reports what of r cannot be honoured; see provider.Provider.
func (p *Provider) Supports(r *llm.Request) error {
	switch {
	case passes(r):
		return nil
	case r.Task == llm.TaskEmbed:
		return fault.New(fault.UnsupportedParameter, "This model does not make embeddings.").At("model")
	}
	_, err := p.encode(provider.Call{Request: r, Model: r.Model})
	return err
}

// Dropped lists the parameters of r that are left out as harmless, by their
// paths; see provider.Dropper.
func (p *Provider) Dropped(r *llm.Request) []string {
	if passes(r) || r.Task != llm.TaskChat {
		return nil
	}
	e, err := p.encode(provider.Call{Request: r, Model: r.Model})
	if err != nil {
		return nil
	}
	return e.Dropped
}

// Open sends c; see provider.Provider.
func (p *Provider) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	r := c.Request
	switch {
	case p.broken != nil:
		return nil, provider.Unusable(p.broken)
	case r.Task == llm.TaskEmbed:
		return nil, provider.Refusal(p.Supports(r))
	}
	var body []byte
	if passes(r) {
		body = splice(c)
	} else {
		e, err := p.encode(c)
		if err != nil {
			return nil, provider.Refusal(err)
		}
		body = e.Body
	}
	to := p.messages
	if r.Task == llm.TaskCountTokens {
		to = p.count
	}
	x, err := provider.Post(ctx, p.transport, provider.Outgoing{
		URL: to, Header: header(c), Body: body, Family: family, Stream: r.Stream,
		Timeouts: c.Timeouts.Or(provider.DefaultTimeouts(r.Stream, r.Needs.Has(llm.NeedReasoning))),
	})
	if err != nil {
		return nil, blame(r, provider.Own(r, body, err))
	}
	if !r.Stream || c.Gathers && !x.Streams() {
		return provider.NewStream(x, &whole{x: x, scanner: p.scanner(c, false), call: c}), nil
	}
	if err := x.EventStream(); err != nil {
		return nil, blame(r, err)
	}
	return newStream(x, c, p.scanner(c, true)), nil
}

// passes reports whether the caller speaks this package's own dialect.
func passes(r *llm.Request) bool {
	return r.Dialect == llm.AnthropicMessages || r.Dialect == llm.AnthropicCountTokens
}

// splice returns the caller's body with what must change, and every other byte
// as it was.
func splice(c provider.Call) []byte {
	r := c.Request
	edits := make([]llm.Edit, 0, 2)
	if c.Model != r.Model {
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, c.Model)})
	}
	if c.CapOutput > 0 && !r.HasMaxOutput && r.Task == llm.TaskChat {
		edits = append(edits, llm.Edit{Name: "max_tokens", Value: fmt.Appendf(nil, "%d", c.CapOutput)})
	}
	if len(edits) == 0 {
		return r.Raw.Body
	}
	return r.Raw.Splice(edits...)
}

// header returns the request's headers. Version and betas are the caller's own,
// if it speaks this dialect: without them features are silently switched off.
func header(c provider.Call) http.Header {
	h := provider.NewHeader(c, c.Request.Stream)
	h["Anthropic-Version"] = ownVersion
	if passes(c.Request) {
		for _, name := range [...]string{"Anthropic-Version", "Anthropic-Beta"} {
			if v := c.Request.Headers[name]; len(v) > 0 {
				h[name] = v
			}
		}
	}
	c.Key.Put(h, "X-Api-Key")
	return h
}

// ownVersion is the value of a header, shared by all requests and never changed.
var ownVersion = []string{version}

// blame corrects the parameter that the provider names, if the caller never
// sent it under that name.
func blame(r *llm.Request, err error) error {
	var f *provider.Failure
	if passes(r) || !errors.As(err, &f) || f.Fault.Param == "" {
		return err
	}
	top, _, _ := strings.Cut(f.Fault.Param, ".")
	switch top {
	case "model", "temperature", "top_p", "stream", "tools", "tool_choice", "messages", "max_tokens":
		f.Fault.Param = top
	case "stop_sequences":
		f.Fault.Param = "stop"
	case "system":
		f.Fault.Param = "messages"
	case "output_config":
		f.Fault.Param = "response_format"
	default:
		f.Fault.Param = ""
	}
	return f
}
