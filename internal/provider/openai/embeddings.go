package openai

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/vector"
)

// takesFormat reports whether the vendor knows an encoding of vectors by this
// name. What it gives instead is made into that afterwards.
func (v *vendor) takesFormat(name string) bool {
	return v.formats == nil || slices.Contains(v.formats, name)
}

// dimensions is how the vendor spells the length of vectors.
func (v *vendor) dimensions() string {
	if to := v.rename["dimensions"]; to != "" {
		return to
	}
	return "dimensions"
}

// formatEdits leaves out an encoding that the vendor would refuse.
func (p *Provider) formatEdits(edits []llm.Edit, r *llm.Request) []llm.Edit {
	name := asked(r)
	if name == "" || p.vendor.takesFormat(name) {
		return edits
	}
	return append(edits, llm.Edit{Name: "encoding_format"})
}

// asked returns the encoding of vectors that the caller named; empty: none.
func asked(r *llm.Request) string { return strings.Trim(string(r.Raw.Value("encoding_format")), `"`) }

// vectorPatches appends what must be another in an answer of embeddings: the
// tokens of the prompt where the vendor tells the total alone, and lists in
// place of bytes that a caller would take for something else.
func (w *whole) vectorPatches(dst []provider.Patch, body []byte) ([]provider.Patch, error) {
	k, r := &w.scanner, w.call.Request
	if k.usageAt > 0 && k.counted && k.untold {
		dst = append(dst, provider.Patch{At: provider.Span{From: k.usageAt, To: k.usageAt}, With: fmt.Appendf(nil, `"prompt_tokens":%d,`, k.usage.Input)})
	}
	if k.quirks.form != vector.Float32 && asked(r) != "" {
		for _, at := range k.vectors {
			list, err := w.list(at.Of(body), body)
			if err != nil {
				return nil, err
			}
			dst = append(dst, provider.Patch{At: at, With: list})
		}
	}
	slices.SortFunc(dst, func(a, b provider.Patch) int { return a.At.From - b.At.From })
	return dst, nil
}

// list returns a vector of the vendor's as a list of numbers.
func (w *whole) list(v, body []byte) ([]byte, error) {
	if len(v) < 2 || v[0] != '"' {
		return v, nil
	}
	list, err := vector.AppendList(nil, provider.Unescape(v[1:len(v)-1]), w.scanner.quirks.form)
	if err != nil {
		return nil, provider.BadAnswer(http.StatusOK, body, err)
	}
	return list, nil
}
