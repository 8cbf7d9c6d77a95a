package gemini

import (
	"fmt"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// splice returns the caller's body with what must change, and every other byte as
// it was. The model stands in the path; where the body names it again, it goes by
// the provider's name.
func (p *Provider) splice(c provider.Call) (sent, error) {
	r := c.Request
	if p.vertex {
		if err := buckets(r); err != nil {
			return sent{}, err
		}
	}
	edits := make([]llm.Edit, 0, 2)
	if r.Raw.Value("model") != nil {
		edits = append(edits, p.renamed(c))
	}
	method := "generateContent"
	switch r.Dialect {
	case llm.GeminiCountTokens:
		method = "countTokens"
		edits = append(edits, p.counted(c)...)
		if p.vertex && r.Raw.Value("generateContentRequest") != nil {
			return sent{}, fault.New(fault.UnsupportedParameter, "generateContentRequest cannot be counted for this model: give contents.").At("generateContentRequest")
		}
	case llm.GeminiEmbed:
		method = "embedContent"
		if list := r.Raw.Value("requests"); list != nil {
			if p.vertex {
				return sent{}, fault.New(fault.UnsupportedParameter, "This model takes one content at a time.").At("requests")
			}
			method = "batchEmbedContents"
			edits = append(edits, llm.Edit{Name: "requests", Value: p.batch(c, list)})
		}
	default:
		if r.Stream {
			method = "streamGenerateContent"
		}
		if c.CapOutput > 0 && !r.HasMaxOutput {
			edits = append(edits, capped(r.Raw, c.CapOutput))
		}
	}
	if len(edits) == 0 {
		return sent{method, r.Raw.Body}, nil
	}
	return sent{method, r.Raw.Splice(edits...)}, nil
}

// renamed is the edit of a member model.
func (p *Provider) renamed(c provider.Call) llm.Edit {
	if p.vertex {
		return llm.Edit{Name: "model"}
	}
	return llm.Edit{Name: "model", Value: jsonx.AppendString(nil, resource(c.Model))}
}

// counted renames the model in the request that is to be counted.
func (p *Provider) counted(c provider.Call) []llm.Edit {
	inner, err := jsonx.Scan(c.Request.Raw.Value("generateContentRequest"))
	if err != nil || inner.Value("model") == nil {
		return nil
	}
	return []llm.Edit{{Name: "generateContentRequest", Value: inner.Splice(p.renamed(c))}}
}

// batch renames the model in each request of a list.
func (p *Provider) batch(c provider.Call, list []byte) []byte {
	out := make([]byte, 0, len(list)+64)
	k := provider.Walk(list)
	at := 0
	if !k.Enter('[') {
		return list
	}
	for k.More() {
		v := k.Value()
		inner, err := jsonx.Scan(v)
		if err != nil {
			continue
		}
		end := k.Offset()
		out = append(append(out, list[at:end-len(v)]...), inner.Splice(p.renamed(c))...)
		at = end
	}
	return append(out, list[at:]...)
}

// capped limits the output. The protocol takes members in two spellings.
func capped(raw llm.Raw, limit int64) llm.Edit {
	for _, name := range [...]string{"generationConfig", "generation_config"} {
		v := raw.Value(name)
		if v == nil {
			continue
		}
		config, err := jsonx.Scan(v)
		if err != nil { // null, or the caller's mistake
			config = llm.Raw{Body: []byte("{}")}
		}
		return llm.Edit{Name: name, Value: config.Splice(llm.Edit{Name: "maxOutputTokens", Value: fmt.Appendf(nil, "%d", limit)})}
	}
	return llm.Edit{Name: "generationConfig", Value: fmt.Appendf(nil, `{"maxOutputTokens":%d}`, limit)}
}

// counting makes a request to count the tokens of one that was encoded.
func (p *Provider) counting(c provider.Call, body []byte) []byte {
	if p.vertex { // which counts parts of a request, and not all of one
		if raw, err := jsonx.Scan(body); err == nil {
			return raw.Splice(llm.Edit{Name: "toolConfig"})
		}
		return body
	}
	out := append(make([]byte, 0, len(body)+64), `{"generateContentRequest":{"model":`...)
	out = jsonx.AppendString(out, resource(c.Model))
	out = append(append(out, ','), body[1:]...)
	return append(out, '}')
}
