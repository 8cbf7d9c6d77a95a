package openai

import (
	"math"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// DefaultCompletion is how many tokens a completion has where the request sets no
// limit, as OpenAI documents it.
const DefaultCompletion = 16

const (
	maxPrompts    = 2048
	maxCompletion = 1024 // choices of all prompts together, candidates among them
	asciiPerToken = 3    // at least as many letters as [llm.Size] takes for a token
)

// Completions is the dialect of POST /v1/completions, which continues texts. A
// model of that kind gets the body untouched. One that knows conversations gets
// the prompt as a message of the user's; what has no counterpart there is refused.
type Completions struct{ now func() time.Time }

var _ wire.Dialect = (*Completions)(nil)

// NewCompletions returns the dialect of completions.
func NewCompletions(o Options) *Completions { return &Completions{now: o.now()} }

// Decode makes a request of a body, as [wire.Dialect] says. Choices counts all
// candidates that are made, for each prompt, since all are charged for.
func (d *Completions) Decode(body []byte, _ map[string][]string) (*llm.Request, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, err
	}
	root := doc.Root()
	c := textChecker{checker: checker{r: &llm.Request{
		Task: llm.TaskChat, Dialect: llm.OpenAICompletions, Choices: 1, Inputs: 1, Raw: doc.Members(),
	}}}
	c.request(root)
	if err := c.p.Err(); err != nil {
		return c.r, err
	}
	c.r.DecodeChat = sync.OnceValues(func() (*llm.Chat, error) { return decodeText(root) })
	return c.r, nil
}

// textChecker validates a completion, which has many members in common with chat.
type textChecker struct {
	checker
	n, bestOf int64
}

func (c *textChecker) request(root jsonx.Value) {
	c.n = 1
	c.p.Require(root, "model")
	c.p.Require(root, "prompt")
	for name, v := range root.Members() {
		if c.p.Full() {
			return
		}
		if v.Exists() {
			c.member(name, v)
		}
	}
	if !c.r.HasMaxOutput {
		c.r.UsualOutput = DefaultCompletion
	}
	c.candidates(root)
}

func (c *textChecker) member(name []byte, v jsonx.Value) {
	switch string(name) {
	case "prompt":
		c.prompt(v)
	case "max_tokens":
		if n, ok := c.p.Integer(v, 0, maxTokens); ok {
			c.r.MaxOutput, c.r.HasMaxOutput = n, true
		}
	case "n":
		if n, ok := c.p.Integer(v, 1, 128); ok {
			c.n = n
		}
	case "best_of":
		c.bestOf, _ = c.p.Integer(v, 0, 20)
	case "logprobs":
		if _, isBool := v.Bool(); !isBool { // some servers take that
			c.p.Integer(v, 0, 5)
		}
	case "echo":
		c.p.Bool(v)
	case "suffix":
		if c.p.String(v) {
			dialect.Count(&c.r.Size, v.Inner())
		}
	case "max_completion_tokens", "top_logprobs", "reasoning_effort", "verbosity", "tools", "tool_choice", "messages", "response_format":
		c.p.Add(v, fault.UnknownParameter, "Is no parameter of completions")
	default:
		if !c.setting(name, v) {
			c.structure(name, v)
		}
	}
}

// candidates checks how many answers are made, and counts them.
func (c *textChecker) candidates(root jsonx.Value) {
	best := root.Get("best_of")
	switch {
	case c.bestOf == 0:
	case c.bestOf < c.n:
		c.p.Invalid(best, "Must not be less than n")
	case c.bestOf > c.n && c.r.Stream:
		c.p.Invalid(best, "Cannot be streamed")
	}
	all := max(c.n, c.bestOf) * int64(c.r.Inputs)
	if all > maxCompletion {
		c.p.Invalid(root.Get("prompt"), "Must not ask for more than 1024 completions altogether")
		return
	}
	c.r.Choices = int(all)
}

// prompt counts the prompts and their length: a text, texts, tokens, or lists of
// tokens.
func (c *textChecker) prompt(v jsonx.Value) {
	switch v.Kind() {
	case jsonx.String:
		dialect.Count(&c.r.Size, v.Inner())
		c.r.Size.Messages = 1
	case jsonx.Array:
		c.prompts(v)
	default:
		c.p.Type(v, "a string or an array")
	}
}

func (c *textChecker) prompts(list jsonx.Value) {
	kind := list.At(0).Kind()
	if kind == jsonx.Number {
		c.tokens(list)
		return
	}
	if !c.p.Array(list, 1, maxPrompts) {
		return
	}
	c.r.Inputs = list.Len()
	for _, p := range list.Items() {
		switch {
		case c.p.Full():
			return
		case p.Kind() != kind || kind != jsonx.String && kind != jsonx.Array:
			c.p.Type(p, "a string, or an array of tokens, as all others")
		case kind == jsonx.String:
			dialect.Count(&c.r.Size, p.Inner())
		default:
			c.tokens(p)
		}
		c.r.Size.Messages++
	}
}

// tokens weighs a prompt of tokens.
func (c *textChecker) tokens(list jsonx.Value) {
	if !c.p.Array(list, 1, maxTokenIDs) {
		return
	}
	for _, id := range list.Items() {
		if c.p.Full() {
			return
		}
		if id.Kind() != jsonx.Number {
			c.p.Type(id, "a whole number")
			continue
		}
		c.p.Integer(id, 0, math.MaxInt32)
	}
	c.r.Size.ASCII += int64(list.Len()) * asciiPerToken
}

// decodeText makes a conversation of a checked body: one prompt, as what the user
// says. Its error is a *fault.Error.
func decodeText(root jsonx.Value) (*llm.Chat, error) {
	prompt := root.Get("prompt")
	if prompt.Kind() == jsonx.Array && prompt.Len() == 1 {
		prompt = prompt.At(0)
	}
	switch {
	case prompt.Kind() != jsonx.String:
		return nil, fault.New(fault.UnsupportedParameter, "This model takes one prompt, which is a text.").At("prompt")
	case prompt.Is(""):
		return nil, fault.New(fault.InvalidParameter, "Must not be empty").At("prompt")
	}
	if n, ok := root.Get("max_tokens").Int(); ok && n == 0 {
		return nil, fault.New(fault.InvalidParameter, "Must be at least 1 for this model.").At("max_tokens")
	}
	d := decoder{Taking: dialect.Taking{Chat: &llm.Chat{Messages: []llm.Message{{
		Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: prompt.Text()}},
	}}}}}
	n, _ := root.Get("n").Int()
	for name, v := range root.Members() {
		switch string(name) {
		case "prompt":
		case "best_of": // as many as are wanted: none is thrown away
			if best, _ := v.Int(); best > max(n, 1) {
				d.Extra(v)
			}
		case "echo", "suffix":
			if v.Exists() && v.Kind() != jsonx.False && !v.Is("") {
				d.Extra(v)
			}
		case "stop":
			d.structure(name, v)
		case "stream_options":
			d.Extras(v, "include_usage")
		default:
			if v.Exists() && !d.setting(name, v) && !isDefault(name, v) {
				d.Extra(v)
			}
		}
	}
	return d.Chat, nil
}

// Encoder returns the encoder of one answer to r.
func (d *Completions) Encoder(r *llm.Request) wire.Encoder {
	return &textEncoder{r: r, now: d.now, own: chatEncoder{r: r, now: d.now, end: endOfText}}
}

// Waiting returns a comment; see [wire.Patient].
func (*Completions) Waiting() (media, beat string) { return "", keepAlive }
