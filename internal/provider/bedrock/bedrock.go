// Package bedrock speaks Converse and ConverseStream, the protocol in which AWS
// Bedrock serves the models of many companies.
//
// No caller speaks it, so every conversation is encoded from llm.Chat, and
// whatever cannot be said is refused. Requests are signed, and the frames of
// streams are read, with the AWS SDK's own parts.
package bedrock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// family names the error tables; see provider.Classify.
const family = "bedrock"

// service is the name that requests are signed for.
const service = "bedrock"

// Options configure a [Provider]. Without AccessKeyID a call's own key is sent as
// a bearer token, which is what Bedrock calls an API key.
type Options struct {
	Name    string // of the provider, for errors, and as the issuer of sealed reasoning
	Region  string // such as us-east-1; needed
	BaseURL string // empty: the region's own address
	Fetches bool   // images and documents named by a URL are fetched before Open; see provider.Inliner

	AccessKeyID     string
	SecretAccessKey provider.Secret
	SessionToken    provider.Secret // of temporary credentials; empty: none

	Transport http.RoundTripper // shared; see provider.NewTransport
	Now       func() time.Time  // that requests are signed at; nil: time.Now
}

// Provider sends to one region. It is used by many goroutines at once.
type Provider struct {
	broken    error // no request can be sent
	o         Options
	base      *url.URL
	signer    *v4.Signer
	transport http.RoundTripper
}

var (
	_ provider.Provider = (*Provider)(nil)
	_ provider.Dropper  = (*Provider)(nil)
	_ provider.Thinker  = (*Provider)(nil)
	_ provider.Inliner  = (*Provider)(nil)
)

// regions are what names of regions look like: they become a part of a host's
// name.
var regions = regexp.MustCompile(`^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$`)

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	_, err := o.root()
	return err
}

// root returns the address that paths are joined to.
func (o Options) root() (*url.URL, error) {
	if !regions.MatchString(o.Region) {
		return nil, fmt.Errorf("provider %s: region %q is not the name of a region, like us-east-1", o.Name, o.Region)
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		return nil, fmt.Errorf("provider %s: an access key id and a secret access key belong together", o.Name)
	}
	base := o.BaseURL
	if base == "" {
		base = "https://bedrock-runtime." + o.Region + ".amazonaws.com"
		if strings.HasPrefix(o.Region, "cn-") {
			base += ".cn"
		}
	}
	return provider.BaseURL(o.Name, base)
}

// New returns a Provider. With options that [Options.Validate] refuses it is
// one that cannot be reached. No Transport means one of its own.
func New(o Options) *Provider {
	base, err := o.root()
	if err != nil {
		return &Provider{broken: err}
	}
	if o.Transport == nil {
		o.Transport = provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Provider{o: o, base: base, signer: v4.NewSigner(), transport: o.Transport}
}

// Supports reports what of r cannot be honoured; see provider.Provider. What
// depends on the model is left to Open, which knows it.
func (p *Provider) Supports(r *llm.Request) error {
	switch r.Task {
	case llm.TaskEmbed:
		return fault.New(fault.UnsupportedParameter, "This model does not make embeddings here.").At("model")
	case llm.TaskCountTokens:
		return fault.New(fault.UnsupportedParameter, "Tokens cannot be counted for this model.").At("model")
	}
	_, err := p.encode(provider.Call{Request: r, Model: r.Model}, p.fetched(callers(r.Model)))
	return err
}

// Dropped lists the parameters of r that are left out as harmless, by their
// paths; see provider.Dropper.
func (p *Provider) Dropped(r *llm.Request) []string {
	if r.Task != llm.TaskChat {
		return nil
	}
	e, err := p.encode(provider.Call{Request: r, Model: r.Model}, p.fetched(answered(r.Model)))
	if err != nil {
		return nil
	}
	return e.Dropped
}

// Inlines tells which parts must be there in bytes when r is sent; see
// provider.Inliner.
func (p *Provider) Inlines(*llm.Request) func(*llm.Part) bool {
	if !p.o.Fetches {
		return nil
	}
	return byURL
}

// byURL reports whether a part is named by a URL from which it could be fetched.
// An address in S3 is none.
func byURL(p *llm.Part) bool {
	return (p.Kind == llm.PartImage || p.Kind == llm.PartFile) && (strings.HasPrefix(p.URL, "https://") || strings.HasPrefix(p.URL, "http://"))
}

// fetched returns the traits of a request of which nothing was fetched yet.
func (p *Provider) fetched(t traits) traits {
	t.urls = p.o.Fetches
	return t
}

// Open sends c; see provider.Provider.
func (p *Provider) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	r := c.Request
	switch {
	case p.broken != nil:
		return nil, provider.Unusable(p.broken)
	case r.Task != llm.TaskChat:
		return nil, provider.Refusal(p.Supports(r))
	}
	to, err := p.address(c.Model, r.Stream)
	if err != nil {
		return nil, provider.Unusable(err)
	}
	e, err := p.encode(c, targets(c))
	if err != nil {
		return nil, provider.Refusal(err)
	}
	header, err := p.header(ctx, c, to, e.Body)
	if err != nil {
		return nil, provider.Unusable(err)
	}
	x, err := provider.Post(ctx, p.transport, provider.Outgoing{
		URL: to, Header: header, Body: e.Body, Family: family, Stream: r.Stream,
		Timeouts: c.Timeouts.Or(provider.DefaultTimeouts(r.Stream, r.Needs.Has(llm.NeedReasoning))),
	})
	if err != nil {
		return nil, p.blame(provider.Own(r, e.Body, err))
	}
	k := scanner{issuer: p.o.Name, stream: r.Stream}
	if !r.Stream {
		return provider.NewStream(x, &whole{x: x, scanner: k, blame: p.blame}), nil
	}
	if err := eventStream(x); err != nil {
		return nil, p.blame(err)
	}
	return provider.NewStream(x, &stream{frames: newFrames(x), scanner: k, blame: p.blame}), nil
}

// address returns where to send to. The model is one segment of the path,
// whatever stands in it: names of resources have slashes and colons.
func (p *Provider) address(model string, stream bool) (*url.URL, error) {
	if model == "" || model == "." || model == ".." {
		return nil, fmt.Errorf("provider %s: %q is not the name of a model", p.o.Name, model)
	}
	act := "/converse"
	if stream {
		act = "/converse-stream"
	}
	u := *p.base
	root := strings.TrimSuffix(u.EscapedPath(), "/")
	u.Path = strings.TrimSuffix(u.Path, "/") + "/model/" + model + act
	u.RawPath = root + "/model/" + escape(model) + act
	return &u, nil
}

// escape writes a segment of a path as AWS does: all but unreserved characters
// are escaped.
func escape(s string) string {
	const hexadecimal = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexadecimal[c>>4], hexadecimal[c&15]})
		}
	}
	return b.String()
}

// header returns the request's headers, with a signature or a bearer token.
func (p *Provider) header(ctx context.Context, c provider.Call, to *url.URL, body []byte) (http.Header, error) {
	h := provider.NewHeader(c, false)
	if c.Request.Stream {
		h["Accept"] = acceptEvents
	}
	if p.o.AccessKeyID == "" {
		c.Key.Put(h, "")
		return h, nil
	}
	sum := sha256.Sum256(body)
	err := p.signer.SignHTTP(ctx, aws.Credentials{
		AccessKeyID: p.o.AccessKeyID, SecretAccessKey: p.o.SecretAccessKey.Reveal(), SessionToken: p.o.SessionToken.Reveal(),
	}, &http.Request{Method: http.MethodPost, URL: to, Host: to.Host, Header: h, ContentLength: int64(len(body))},
		hex.EncodeToString(sum[:]), service, p.o.Region, p.o.Now())
	return h, err
}

// acceptEvents is the value of a header, shared by all requests and never changed.
var acceptEvents = []string{mediaEvents}

// blame takes our credentials out of a failure's words, and the parameter that
// the provider names, which no caller knows by that name.
func (p *Provider) blame(err error) error {
	var f *provider.Failure
	if !errors.As(err, &f) {
		return err
	}
	f.Hide(provider.Secret(p.o.AccessKeyID))
	f.Hide(p.o.SecretAccessKey)
	f.Hide(p.o.SessionToken)
	switch f.Fault.Param {
	case "", "model", "messages", "tool_choice":
	default:
		f.Fault.Param = ""
	}
	return err
}
