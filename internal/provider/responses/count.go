package responses

import (
	"errors"
	"net/http"
	"slices"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// counted are the members of a request that make tokens of its input, or have a
// say in how many. A server that counts takes no others.
var counted = []string{"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "truncation"}

// countable reports whether the server can be asked how many tokens r has.
func (p *Provider) countable(r *llm.Request) error {
	if p.count == nil || r.Dialect != llm.OpenAIInputTokens {
		return fault.New(fault.UnsupportedParameter, "Tokens cannot be counted for this model.").At("model")
	}
	_, _, err := p.ownInput(r)
	return err
}

// counting returns the body that asks how many tokens a request has.
func (p *Provider) counting(c provider.Call) []byte {
	r := c.Request
	var edits []llm.Edit
	if c.Model != r.Model {
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, c.Model)})
	}
	if input, n, _ := p.ownInput(r); n > 0 { // countable has looked
		edits = append(edits, llm.Edit{Name: "input", Value: input})
	}
	for _, m := range r.Raw.Members {
		if !slices.Contains(counted, m.Name) {
			edits = append(edits, llm.Edit{Name: m.Name})
		}
	}
	if len(edits) == 0 {
		return r.Raw.Body
	}
	return r.Raw.Splice(edits...)
}

// tally is the answer to how many tokens there are.
type tally struct {
	x     *provider.Exchange
	usage llm.Usage
}

// Next returns the answer; see provider.Source.
func (t *tally) Next() (llm.Event, error) {
	body, err := t.x.ReadJSON()
	if err != nil {
		return llm.Event{}, err
	}
	doc, err := jsonx.Parse(body)
	if err != nil || doc.Root().Kind() != jsonx.Object {
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	}
	switch t.usage.Input, _ = doc.Root().Get("input_tokens").Int(); {
	case doc.Root().Get("error").Exists():
		return llm.Event{}, provider.Classify(t.x.Family(), http.StatusOK, t.x.Header, body)
	case t.usage.Input <= 0:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer counts nothing"))
	}
	return llm.Event{Raw: body, Data: body, Content: true, Usage: &t.usage, Last: true}, nil
}

// Blame returns err: the caller sent what it names; see provider.Source.
func (t *tally) Blame(err error) error { return err }
