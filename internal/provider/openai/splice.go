package openai

import (
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// splice returns the caller's body with what must change, and every other byte
// as it was.
func (p *Provider) splice(c provider.Call) []byte {
	r := c.Request
	edits := make([]llm.Edit, 0, 4)
	if c.Model != r.Model {
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, c.Model)})
	}
	if r.Task == llm.TaskChat {
		edits = p.limitEdits(edits, c)
		edits = p.streamEdits(edits, r)
		if n, list := stops(r); list && n == 0 {
			edits = append(edits, llm.Edit{Name: "stop"}) // which says nothing, and OpenAI refuses it
		}
	}
	if r.Task == llm.TaskEmbed {
		edits = p.formatEdits(edits, r)
	}
	for _, name := range p.vendor.drop {
		if r.Raw.Value(name) != nil {
			edits = append(edits, llm.Edit{Name: name})
		}
	}
	for from, to := range p.vendor.rename {
		edits = rename(edits, r.Raw, from, to)
	}
	if len(edits) == 0 {
		return r.Raw.Body
	}
	return r.Raw.Splice(edits...)
}

// limitEdits limits the output, or spells the caller's own limit as the vendor
// does: a limit that is ignored costs money that was not held.
func (p *Provider) limitEdits(edits []llm.Edit, c provider.Call) []llm.Edit {
	name := p.vendor.limit()
	if c.CapOutput > 0 && !c.Request.HasMaxOutput {
		for _, other := range []string{"max_tokens", "max_completion_tokens"} {
			if other != name && c.Request.Raw.Value(other) != nil {
				edits = append(edits, llm.Edit{Name: other}) // it is null
			}
		}
		return append(edits, llm.Edit{Name: name, Value: strconv.AppendInt(nil, c.CapOutput, 10)})
	}
	if p.vendor.renames {
		edits = rename(edits, c.Request.Raw, "max_completion_tokens", "max_tokens")
	}
	return edits
}

// streamEdits asks for usage at the end of the stream.
func (p *Provider) streamEdits(edits []llm.Edit, r *llm.Request) []llm.Edit {
	const name = "stream_options"
	v := r.Raw.Value(name)
	switch {
	case p.vendor.noOptions && v != nil:
		return append(edits, llm.Edit{Name: name})
	case p.vendor.noOptions || !r.Stream:
		return edits
	}
	options, err := jsonx.Scan(v)
	if err != nil || len(v) == 0 {
		return append(edits, llm.Edit{Name: name, Value: []byte(`{"include_usage":true}`)})
	}
	if string(options.Value("include_usage")) == "true" {
		return edits
	}
	options.Body = v
	return append(edits, llm.Edit{Name: name, Value: options.Splice(llm.Edit{Name: "include_usage", Value: []byte("true")})})
}

// rename moves a member to another name, unless that is taken.
func rename(edits []llm.Edit, raw llm.Raw, from, to string) []llm.Edit {
	v := raw.Value(from)
	if v == nil {
		return edits
	}
	edits = append(edits, llm.Edit{Name: from})
	if old := raw.Value(to); old == nil || string(old) == "null" {
		edits = append(edits, llm.Edit{Name: to, Value: v})
	}
	return edits
}
