// Package gemini is Google's dialect of generateContent as callers speak it:
// answers whole and streamed, token counts, embeddings and the list of models.
// Facts of the wire are from the types of the official SDKs and from recorded
// traffic.
//
// Google reads every member in two spellings, camelCase and snake_case, and takes
// one element where a list is meant; so does this package.
package gemini

import (
	"net/url"
	"strings"
	"sync"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// The endings of the paths.
const (
	streamMethod = ":streamGenerateContent"
	batchMethod  = ":batchEmbedContents"
)

// Generate is the dialect of POST models/{model}:generateContent and
// :streamGenerateContent.
//
// null is the same as absent. Members that the dialect does not know pass to a
// provider of the same dialect untouched.
type Generate struct {
	schemas *fields.Schemas
	stream  bool
	events  bool // the stream is of server-sent events; else it is one JSON array
}

// CountTokens is the dialect of POST models/{model}:countTokens.
type CountTokens struct {
	schemas *fields.Schemas
}

var (
	_ wire.Dialect      = (*Generate)(nil)
	_ wire.ModelInPath  = (*Generate)(nil)
	_ wire.MethodInPath = (*Generate)(nil)
	_ wire.Dialect      = (*CountTokens)(nil)
	_ wire.ModelInPath  = (*CountTokens)(nil)
	_ wire.MethodInPath = (*CountTokens)(nil)
)

// NewGenerate returns the dialect of answers.
func NewGenerate() *Generate { return &Generate{schemas: &fields.Schemas{}} }

// NewCountTokens returns the dialect of token counts.
func NewCountTokens() *CountTokens { return &CountTokens{schemas: &fields.Schemas{}} }

// At returns the dialect of answers as path and query ask for them: whole, or
// streamed as events (alt=sse) or as one JSON array.
func (d *Generate) At(ending string, query url.Values) (wire.Dialect, error) {
	stream := ending == streamMethod
	alt, err := form(query)
	if err != nil {
		return nil, err
	}
	if alt == "sse" && !stream {
		return nil, fault.New(fault.InvalidParameter, "Only streamGenerateContent answers with events.").At("alt")
	}
	return &Generate{schemas: d.schemas, stream: stream, events: alt == "sse"}, nil
}

// At returns the dialect itself: counts have one form.
func (d *CountTokens) At(_ string, query url.Values) (wire.Dialect, error) {
	return d, onlyJSON(query)
}

// form returns what the query says of the form of the answer: json or sse.
func form(query url.Values) (string, error) {
	alt := "json"
	for _, name := range []string{"alt", "$alt"} {
		if query.Has(name) {
			alt = query.Get(name)
		}
	}
	switch {
	case alt != "json" && alt != "sse":
		return "", fault.New(fault.InvalidParameter, "Must be json or sse.").At("alt")
	case query.Has("fields"), query.Has("$fields"):
		return "", fault.New(fault.UnsupportedParameter, "Answers are given whole.").At("fields")
	}
	return alt, nil
}

func onlyJSON(query url.Values) error {
	alt, err := form(query)
	if err == nil && alt != "json" {
		err = fault.New(fault.InvalidParameter, "Must be json.").At("alt")
	}
	return err
}

// Decode refuses the body for want of a model, which this dialect has in the
// path; see [Generate.DecodeFor].
func (d *Generate) Decode(body []byte, headers map[string][]string) (*llm.Request, error) {
	return d.DecodeFor("", body, headers)
}

// DecodeFor makes a request to the named model of a body, as
// [wire.Dialect.Decode] does.
func (d *Generate) DecodeFor(model string, body []byte, _ map[string][]string) (*llm.Request, error) {
	c, root, err := begin(model, body, d.schemas)
	if err != nil {
		return nil, err
	}
	c.r.Task, c.r.Dialect = llm.TaskChat, llm.GeminiGenerate
	c.r.Stream, c.r.IncludeUsage = d.stream, d.stream // the dialect always has it
	c.request(root)
	return c.end(root)
}

// Encoder returns the encoder of one answer to r.
func (d *Generate) Encoder(r *llm.Request) wire.Encoder {
	return &encoder{r: r, array: d.stream && !d.events}
}

// Decode refuses the body for want of a model, which this dialect has in the
// path; see [CountTokens.DecodeFor].
func (d *CountTokens) Decode(body []byte, headers map[string][]string) (*llm.Request, error) {
	return d.DecodeFor("", body, headers)
}

// DecodeFor makes a request to the named model of a body, as
// [wire.Dialect.Decode] does. What is counted are contents, or a whole
// generateContentRequest.
func (d *CountTokens) DecodeFor(model string, body []byte, _ map[string][]string) (*llm.Request, error) {
	c, root, err := begin(model, body, d.schemas)
	if err != nil {
		return nil, err
	}
	c.r.Task, c.r.Dialect = llm.TaskCountTokens, llm.GeminiCountTokens
	inner := get(root, "generateContentRequest")
	if !inner.Exists() {
		c.request(root)
		return c.end(root)
	}
	for name, v := range root.Members() {
		if n := string(unsnake(name)); v.Exists() && n != "generateContentRequest" && n != "model" {
			c.p.Invalid(v, "Must not stand beside generateContentRequest")
		}
	}
	c.named(get(root, "model"))
	if c.p.Object(inner) {
		c.request(inner)
	}
	return c.end(inner)
}

// Encoder returns the encoder of one answer to r.
func (d *CountTokens) Encoder(*llm.Request) wire.Encoder {
	return wire.NewCount(`{"totalTokens":`)
}

// begin parses a body and begins the request that it makes.
func begin(model string, body []byte, s *fields.Schemas) (*checker, jsonx.Value, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, jsonx.Value{}, err
	}
	root := doc.Root()
	c := &checker{schemas: s, r: &llm.Request{Choices: 1, Inputs: 1, Raw: doc.Members()}}
	switch name := modelName(model); {
	case name == "":
		c.p.Missing(root, "model")
	case len(name) > maxModel:
		c.p.AddBelow(root, "model", fault.InvalidParameter, "Is too long")
	default:
		c.r.Model = name
	}
	return c, root, nil
}

// end ends the checking of a body, whose conversation stands in root.
func (c *checker) end(root jsonx.Value) (*llm.Request, error) {
	if err := c.p.Err(); err != nil {
		return c.r, err // what it was to be for is told of, all the same
	}
	c.r.Place = place(root)
	c.r.DecodeChat = sync.OnceValues(func() (*llm.Chat, error) { return decodeChat(root), nil })
	return c.r, nil
}

// modelName returns the name in a path as callers write it: models/x, or as a
// resource of Vertex AI, projects/p/locations/l/publishers/google/models/x.
func modelName(path string) string {
	if strings.HasPrefix(path, "projects/") || strings.HasPrefix(path, "publishers/") {
		if _, name, ok := strings.Cut(path, "/models/"); ok {
			return name
		}
	}
	return strings.TrimPrefix(path, "models/")
}

// unsnake returns the name of a member in camelCase.
func unsnake(name []byte) []byte {
	for i, c := range name {
		if c == '_' && i > 0 {
			return camel(name)
		}
	}
	return name
}

func camel(name []byte) []byte {
	out := make([]byte, 0, len(name))
	up := false
	for i, c := range name {
		switch {
		case c == '_' && i > 0:
			up = true
			continue
		case up && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		}
		up = false
		out = append(out, c)
	}
	return out
}

// get returns a member of v by its name in camelCase, however it is spelled.
func get(v jsonx.Value, name string) jsonx.Value {
	for n, m := range v.Members() {
		if string(unsnake(n)) == name {
			return m
		}
	}
	return jsonx.Value{}
}

// list returns the elements of v, or v itself if it is one element where a list
// is meant.
func list(v jsonx.Value) []jsonx.Value {
	if !v.Exists() {
		return nil
	}
	if v.Kind() != jsonx.Array {
		return []jsonx.Value{v}
	}
	out := make([]jsonx.Value, 0, v.Len())
	for _, e := range v.Items() {
		out = append(out, e)
	}
	return out
}

// Waiting returns the space that may stand in front of an array; see
// [wire.Patient]. Events have nothing of the kind: Google's SDKs take what is not
// data for a failure.
func (d *Generate) Waiting() (media, beat string) {
	if d.events {
		return "", ""
	}
	return "application/json", arrayBeat
}
