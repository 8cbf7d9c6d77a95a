// Package media speaks OpenAI's protocols of moderations, images and sound to
// everybody who offers them. Bodies pass through both ways, JSON, forms, sound
// or server-sent events, but for the model's name in the request, and for those
// who take or give something in another wrapping: a row of a table tells how.
package media

import (
	"context"
	"net/http"
	"net/url"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// Options configure a [Provider].
type Options struct {
	Name      string            // of the provider, for errors
	BaseURL   string            // up to and with the version; empty: [DefaultBaseURL]; a query is kept
	ByPath    bool              // the model is named in the path: deployments of Azure
	Family    string            // of error tables; see provider.Classify; empty: openai
	KeyHeader string            // the header that takes the key; empty: Authorization with Bearer
	Transport http.RoundTripper // shared; see provider.NewTransport
}

// Provider sends to one server. It is used by many goroutines at once.
type Provider struct {
	broken    error // no request can be sent
	family    string
	keyHeader string
	quirk     quirk
	byPath    bool
	base      *url.URL
	transport http.RoundTripper
}

var _ provider.Provider = (*Provider)(nil)

// DefaultBaseURL is where OpenAI itself listens.
const DefaultBaseURL = "https://api.openai.com/v1"

// paths are the operations below the base URL.
var paths = map[llm.Dialect]string{
	llm.OpenAIModerations:    "moderations",
	llm.OpenAIImages:         "images/generations",
	llm.OpenAIImageEdits:     "images/edits",
	llm.OpenAIImageVariation: "images/variations",
	llm.OpenAISpeech:         "audio/speech",
	llm.OpenAITranscriptions: "audio/transcriptions",
	llm.OpenAITranslations:   "audio/translations",
}

// Dialects lists the dialects that the package speaks.
func Dialects() []llm.Dialect {
	out := make([]llm.Dialect, 0, len(paths))
	for d := range paths {
		out = append(out, d)
	}
	return out
}

// New returns a Provider. With a base URL that is none it is one that cannot be
// reached. No Transport means one of its own.
func New(o Options) *Provider {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	u, err := provider.BaseURL(o.Name, o.BaseURL)
	if err != nil {
		return &Provider{broken: err}
	}
	if o.Transport == nil {
		o.Transport = provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	}
	p := &Provider{family: o.Family, keyHeader: o.KeyHeader, quirk: quirks[o.Family], byPath: o.ByPath, base: u, transport: o.Transport}
	if p.family == "" {
		p.family = "openai"
	}
	return p
}

// Supports refuses every other task, and what a vendor is known not to do; see
// provider.Provider.
func (p *Provider) Supports(r *llm.Request) error { return p.check(r) }

// Open sends c; see provider.Provider.
func (p *Provider) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	r := c.Request
	if p.broken != nil {
		return nil, provider.Unusable(p.broken)
	}
	if err := p.Supports(r); err != nil {
		return nil, provider.Refusal(err)
	}
	if p.byPath {
		if err := provider.CheckPlace(c.Model); err != nil {
			return nil, provider.Unusable(err)
		}
	}
	body, media, err := p.outgoing(r, c.Model)
	if err != nil {
		return nil, provider.Refusal(err)
	}
	x, err := provider.Post(ctx, p.transport, provider.Outgoing{
		URL: p.to(c), Header: p.header(c, media), Body: body, Family: p.family, Stream: r.Stream,
		Timeouts: c.Timeouts.Or(provider.DefaultTimeouts(r.Stream, false)),
	})
	if err != nil {
		return nil, err
	}
	switch {
	case !r.Stream:
		return provider.NewStream(x, &whole{x: x, request: r}), nil
	case x.Streams():
		return provider.NewEvents(x, &events{request: r, family: p.family}, true), nil
	case r.Task == llm.TaskSpeech:
		return newSound(x, r, p.family)
	}
	// A stream was asked for, and a provider that knows none has answered: whisper-1
	// takes no notice of it.
	return provider.NewStream(x, &whole{x: x, request: r}), nil
}

// to returns where a request goes.
func (p *Provider) to(c provider.Call) *url.URL {
	if p.byPath {
		return p.base.JoinPath("deployments", url.PathEscape(c.Model), paths[c.Request.Dialect])
	}
	return p.base.JoinPath(paths[c.Request.Dialect])
}

func (p *Provider) header(c provider.Call, media string) http.Header {
	h := provider.NewHeader(c, false)
	if media != "" {
		h.Set("Content-Type", media)
	}
	h.Set("Accept", "*/*")
	c.Key.Put(h, p.keyHeader)
	return h
}
