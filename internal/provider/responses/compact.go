package responses

import (
	"context"
	"errors"
	"net/http"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// A compaction is a conversation that says in less what it said before: some of its
// messages as they were, and an item that only the server which made it can read.
// That item is sealed, like reasoning for callers of other dialects, so that it comes
// back to whom it is of.

// compacting returns the body that asks for a compaction, or a *fault.Error.
func (p *Provider) compacting(c provider.Call) ([]byte, error) {
	r := c.Request
	if p.compact == nil {
		return nil, fault.New(fault.UnsupportedParameter, "Conversations cannot be compacted for this model.").At("model")
	}
	input, n, err := p.ownInput(r)
	if err != nil {
		return nil, err
	}
	var edits []llm.Edit
	if c.Model != r.Model {
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, c.Model)})
	}
	if n > 0 {
		edits = append(edits, llm.Edit{Name: "input", Value: input})
	}
	for _, name := range [...]string{"previous_response_id", "conversation", "prompt", "stream", "background", "store", "max_output_tokens"} {
		if r.Raw.Value(name) != nil { // null, or what goes without saying: the dialect has refused all else
			edits = append(edits, llm.Edit{Name: name})
		}
	}
	if len(edits) == 0 {
		return r.Raw.Body, nil
	}
	return r.Raw.Splice(edits...), nil
}

// openCompact asks for a compaction.
func (p *Provider) openCompact(ctx context.Context, c provider.Call) (llm.Stream, error) {
	body, err := p.compacting(c)
	if err != nil {
		return nil, provider.Refusal(err)
	}
	x, err := p.send(ctx, c, p.compact, body)
	if err != nil {
		return nil, blame(c.Request, err)
	}
	// OpenAI does not say which tier has served it, and bills the one that was asked for.
	k := scanner{issuer: p.name, tier: c.Request.Tier()}
	return provider.NewStream(x, &compacted{x: x, scanner: k}), nil
}

// compacted is a compaction, which comes in one piece.
type compacted struct {
	x       *provider.Exchange
	scanner scanner
	usage   llm.Usage
}

// Next returns the answer; see provider.Source.
func (a *compacted) Next() (llm.Event, error) {
	body, err := a.x.ReadJSON()
	if err != nil {
		return llm.Event{}, err
	}
	k := &a.scanner
	switch ok := k.scan(body); {
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	case k.failed:
		return llm.Event{}, provider.Classify(a.x.Family(), http.StatusOK, a.x.Header, k.fault(body))
	}
	sealed, size, ok := a.sealed(k.output)
	if !ok {
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has no compaction"))
	}
	ev := llm.Event{Content: true, OutputBytes: size, Finish: llm.FinishStop, Last: true, Tier: k.tier}
	if u, told := k.counts.usage(); told {
		a.usage, a.usage.Tier = u, k.tier
		ev.Usage = &a.usage
	}
	ev.Raw = jsonx.Splice(body, []llm.Edit{{Name: "output", Value: sealed}})
	ev.Data = ev.Raw
	return ev, nil
}

// sealed returns the items of an answer with its compactions sealed, and how many
// bytes those have. It is not ok if there are none.
func (a *compacted) sealed(output []byte) (out []byte, size int, ok bool) {
	doc, err := jsonx.Parse(output)
	if err != nil {
		return nil, 0, false
	}
	out = []byte{'['}
	for i, item := range doc.Root().Items() {
		if i > 0 {
			out = append(out, ',')
		}
		blob := item.Get("encrypted_content").Text()
		if !item.Get("type").Is("compaction") || blob == "" {
			out = append(out, item.Raw()...)
			continue
		}
		size, ok = size+len(blob), true
		seal := llm.Seal(a.scanner.issuer, pack(item.Get("id").Text(), blob))
		out = append(out, jsonx.Splice(item.Raw(), []llm.Edit{{Name: "encrypted_content", Value: jsonx.AppendString(nil, seal)}})...)
	}
	return append(out, ']'), size, ok
}

// Blame returns err: the caller sent what it names; see provider.Source.
func (a *compacted) Blame(err error) error { return err }
