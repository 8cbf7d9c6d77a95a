// Package gemini speaks Google's protocol of generateContent, to AI Studio and to
// Vertex AI.
//
// For callers of the same dialect bytes pass through both ways, but for the
// model's name, a limit of output where the caller set none, and lines of events
// that upset clients. For callers of other dialects the conversation is encoded
// from llm.Chat, and whatever cannot be said is refused.
package gemini

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// tables names the error tables; see provider.Classify.
const tables = "gemini"

// Options configure a [Provider].
type Options struct {
	Name      string            // of the provider, for errors and for the seals of opaque state
	BaseURL   string            // with or without the version; empty: [DefaultBaseURL], or Vertex's own for the location; a query is kept
	Vertex    *Vertex           // nil: AI Studio
	Transport http.RoundTripper // shared; see provider.NewTransport and [Key.Transport]
}

// Vertex is where models are served on Vertex AI.
type Vertex struct {
	Project  string // empty: express mode, where the API key tells
	Location string // a region, us, eu, or global; empty: global
}

// Provider sends to one server. It is used by many goroutines at once.
type Provider struct {
	name      string
	broken    error    // no request can be sent
	base      *url.URL // up to the version
	models    string   // where the models are, below base
	vertex    bool
	transport http.RoundTripper
}

var _ provider.Provider = (*Provider)(nil)

// DefaultBaseURL is where AI Studio listens.
const DefaultBaseURL = "https://generativelanguage.googleapis.com"

// The versions that are spoken where the base URL has none: those of Google's
// own SDKs.
const (
	studioVersion = "v1beta"
	vertexVersion = "v1beta1"
)

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	_, err := o.base()
	return err
}

// base returns the base URL, with its version.
func (o Options) base() (*url.URL, error) {
	if o.Vertex != nil {
		return o.root(vertexVersion)
	}
	return o.root(studioVersion)
}

// root returns the base URL, with that version if it has none.
func (o Options) root(version string) (*url.URL, error) {
	base := o.BaseURL
	switch {
	case base != "":
	case o.Vertex != nil:
		base = o.Vertex.host()
	default:
		base = DefaultBaseURL
	}
	u, err := provider.BaseURL(o.Name, base)
	if err != nil {
		return nil, err
	}
	last := u.Path[strings.LastIndexByte(strings.TrimSuffix(u.Path, "/"), '/')+1:]
	if !strings.HasPrefix(last, "v1") {
		u = u.JoinPath(version)
	}
	return u, nil
}

// host returns the root of the API in a location; see
// docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations.
func (v *Vertex) host() string {
	switch l := v.location(); l {
	case "global":
		return "https://aiplatform.googleapis.com"
	case "us", "eu":
		return "https://aiplatform." + l + ".rep.googleapis.com"
	default:
		return "https://" + l + "-aiplatform.googleapis.com"
	}
}

func (v *Vertex) location() string {
	if v.Location == "" {
		return "global"
	}
	return v.Location
}

// publisher returns where the models of a publisher are, below the version.
func (v *Vertex) publisher(name string) string {
	path := "publishers/" + name + "/models"
	if v.Project == "" {
		return path
	}
	return "projects/" + v.Project + "/locations/" + v.location() + "/" + path
}

// New returns a Provider. With options that [Options.Validate] refuses it is one
// that cannot be reached. No Transport means one of its own.
func New(o Options) *Provider {
	base, err := o.base()
	if err != nil {
		return &Provider{broken: err}
	}
	if o.Transport == nil {
		o.Transport = provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	}
	p := &Provider{name: o.Name, base: base, models: "models", transport: o.Transport}
	if o.Vertex != nil {
		p.vertex, p.models = true, o.Vertex.publisher("google")
	}
	return p
}

// Supports reports what of r cannot be honoured; see provider.Provider.
func (p *Provider) Supports(r *llm.Request) error {
	_, err := p.outgoing(provider.Call{Request: r, Model: r.Model})
	return err
}

// Dropped lists the parameters of r that are left out as harmless, by their
// paths; see provider.Dropper.
func (p *Provider) Dropped(r *llm.Request) []string {
	switch {
	case passes(r):
		return nil
	case r.Task == llm.TaskEmbed:
		if r.Raw.Value("user") != nil {
			return []string{"user"}
		}
		return nil
	}
	e, err := p.encode(provider.Call{Request: r, Model: r.Model})
	if err != nil {
		return nil
	}
	return e.Dropped
}

// sent is what goes out for a call.
type sent struct {
	method string // of the API, such as generateContent
	body   []byte
}

// outgoing makes what goes out, or a *fault.Error naming what cannot be said.
func (p *Provider) outgoing(c provider.Call) (sent, error) {
	r := c.Request
	switch {
	case r.Task == llm.TaskEmbed && !passes(r):
		return p.embed(c)
	case passes(r):
		return p.splice(c)
	}
	e, err := p.encode(c)
	if err != nil {
		return sent{}, err
	}
	switch {
	case r.Task == llm.TaskCountTokens:
		return sent{"countTokens", p.counting(c, e.Body)}, nil
	case r.Stream:
		return sent{"streamGenerateContent", e.Body}, nil
	}
	return sent{"generateContent", e.Body}, nil
}

// Open sends c; see provider.Provider.
func (p *Provider) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	r := c.Request
	if p.broken != nil {
		return nil, provider.Unusable(p.broken)
	}
	if err := provider.CheckPlace(c.Model); err != nil {
		return nil, provider.Unusable(err)
	}
	out, err := p.outgoing(c)
	if err != nil {
		return nil, provider.Refusal(err)
	}
	streams := out.method == "streamGenerateContent"
	x, err := provider.Post(ctx, p.transport, provider.Outgoing{
		URL: p.url(c.Model, out.method), Header: header(c, streams), Body: out.body, Family: tables, Stream: streams,
		Timeouts: c.Timeouts.Or(provider.DefaultTimeouts(streams, r.Needs.Has(llm.NeedReasoning))),
	})
	if err != nil {
		return nil, blame(r, provider.Own(r, out.body, err))
	}
	if !streams || c.Gathers && !x.Streams() {
		k := p.newScanner(c)
		k.stream = false
		return provider.NewStream(x, &whole{x: x, scanner: k, call: c}), nil
	}
	if err := x.EventStream(); err != nil {
		return nil, blame(r, err)
	}
	return newStream(x, p.newScanner(c), c), nil
}

// url returns where a method of a model is. A name may be that of a resource,
// such as tunedModels/x or publishers/meta/models/y.
func (p *Provider) url(model, method string) *url.URL {
	path := p.models + "/" + model
	if strings.Contains(model, "/") {
		path = strings.TrimSuffix(p.models, "publishers/google/models")
		if !p.vertex {
			path = ""
		}
		path += model
	}
	u := p.base.JoinPath(path + ":" + method)
	if method == "streamGenerateContent" {
		q := u.Query()
		q.Set("alt", "sse")
		u.RawQuery = q.Encode()
	}
	return u
}

// passes reports whether the caller speaks this package's own dialect.
func passes(r *llm.Request) bool {
	return r.Dialect == llm.GeminiGenerate || r.Dialect == llm.GeminiCountTokens || r.Dialect == llm.GeminiEmbed
}

// header returns the request's headers. The key never stands in the URL, which
// others may log.
func header(c provider.Call, streams bool) http.Header {
	h := provider.NewHeader(c, streams)
	c.Key.Put(h, "X-Goog-Api-Key")
	return h
}

// blame takes away the parameter that the provider names, which the caller never
// sent under that name.
func blame(r *llm.Request, err error) error {
	var f *provider.Failure
	if passes(r) || !errors.As(err, &f) {
		return err
	}
	switch {
	case f.Fault.Param == "messages" && r.Task == llm.TaskEmbed:
		f.Fault.Param = "input"
	case f.Fault.Param != "model" && f.Fault.Param != "messages" && f.Fault.Param != "tool_choice":
		f.Fault.Param = ""
	}
	return f
}
