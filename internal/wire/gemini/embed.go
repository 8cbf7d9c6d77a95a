package gemini

import (
	"errors"
	"net/url"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Embed is the dialect of POST models/{model}:embedContent, of one content, and
// :batchEmbedContents, of a list of such requests.
type Embed struct {
	batch bool
}

var (
	_ wire.Dialect      = Embed{}
	_ wire.ModelInPath  = Embed{}
	_ wire.MethodInPath = Embed{}
)

// NewEmbed returns the dialect of embeddings.
func NewEmbed() Embed { return Embed{} }

// maxInputs is how many contents may stand in one request, as for OpenAI's
// dialect. A provider may take fewer.
const maxInputs = 2048

// At returns the dialect as the path asks for it: for one content, or a list.
func (Embed) At(ending string, query url.Values) (wire.Dialect, error) {
	return Embed{batch: ending == batchMethod}, onlyJSON(query)
}

// Decode refuses the body for want of a model, which this dialect has in the
// path; see [Embed.DecodeFor].
func (d Embed) Decode(body []byte, headers map[string][]string) (*llm.Request, error) {
	return d.DecodeFor("", body, headers)
}

// DecodeFor makes a request to the named model of a body, as
// [wire.Dialect.Decode] does.
func (d Embed) DecodeFor(model string, body []byte, _ map[string][]string) (*llm.Request, error) {
	c, root, err := begin(model, body, nil)
	if err != nil {
		return nil, err
	}
	c.r.Task, c.r.Dialect = llm.TaskEmbed, llm.GeminiEmbed
	if d.batch {
		if v, ok := c.p.Require(root, "requests"); ok && c.p.Array(v, 1, maxInputs) {
			c.r.Needs.Add(llm.NeedBatchInput, "requests")
			c.r.Inputs = v.Len()
			for _, one := range c.list(v, maxInputs) {
				c.embed(one)
			}
		}
	} else {
		c.embed(root)
	}
	if err := c.p.Err(); err != nil {
		return c.r, err // what it was to be for is told of, all the same
	}
	return c.r, nil
}

// embed checks a request for one vector.
func (c *checker) embed(v jsonx.Value) {
	if !c.object(v) {
		return
	}
	c.named(v.Get("model"))
	c.r.Size.Messages++
	if content, ok := c.p.Require(v, "content"); ok {
		c.system(content) // a text is taken, too
	}
	c.vector(v)
	if config := get(v, "embedContentConfig"); config.Exists() && c.object(config) {
		c.vector(config)
		c.p.Bool(get(config, "documentOcr"))
		c.p.Bool(get(config, "audioTrackExtraction"))
	}
}

// vector checks what is said of a vector, beside its content or in the request's
// configuration.
func (c *checker) vector(v jsonx.Value) {
	c.p.Integer(get(v, "outputDimensionality"), 1, 1<<20)
	c.p.String(get(v, "taskType"))
	c.p.String(get(v, "title"))
	c.p.Bool(get(v, "autoTruncate"))
}

// Encoder returns the encoder of one answer to r.
func (Embed) Encoder(*llm.Request) wire.Encoder { return &embedEncoder{} }

// embedEncoder forwards a whole answer.
type embedEncoder struct{ body []byte }

// Heartbeat appends nothing: an answer that is not streamed has no room for it.
func (e *embedEncoder) Heartbeat(dst []byte) []byte { return dst }

// Event keeps the answer back.
func (e *embedEncoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Raw != nil {
		e.body = ev.Raw
	}
	return dst, nil
}

// Finish appends the answer.
func (e *embedEncoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if len(e.body) == 0 {
		return dst, errors.New("no answer")
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.body, f.Extras)), nil
}
