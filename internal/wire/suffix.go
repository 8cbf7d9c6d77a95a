package wire

import (
	"strings"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// suffixed heeds the suffixes behind the model's name, if the contract knows any, and
// returns the request without them. A name that is a model's own has none, whatever
// colons are in it: of a:b:c it is the longest beginning that is a model's name, and
// the suffixes are what is left.
func (x *exchange) suffixed(r *llm.Request, w *Wishes) (*llm.Request, error) {
	if !x.site.Contract.Suffixes() || !strings.Contains(r.Model, ":") || len(r.Model) > maxNamed || x.caller.Knows(r.Model) {
		return r, nil
	}
	base, rest := r.Model, ""
	for {
		i := strings.LastIndexByte(base, ':')
		if i < 0 {
			return r, nil // for the gate to refuse
		}
		if base = base[:i]; x.caller.Knows(base) {
			rest = r.Model[i+1:]
			break
		}
	}
	var heeded suffixes
	for name := range strings.SplitSeq(rest, ":") {
		s, ok := x.site.Contract.Suffix(name)
		if !ok || name == "" {
			return r, nil
		}
		if err := heeded.add(s, name, w); err != nil {
			return r, err
		}
	}
	own := r.For(base)
	if heeded.tools && !own.Needs.Has(llm.NeedTools) {
		own.Needs.Add(llm.NeedTools, "model")
	}
	return own, nil
}

// suffixes are those of a model's name that were heeded.
type suffixes struct {
	routing string // that orders providers, or names one
	tools   bool
}

// add heeds one more suffix, which the caller writes so. There is one way only in
// which a request chooses among providers.
func (h *suffixes) add(s contract.Suffix, written string, w *Wishes) error {
	switch {
	case s.Means == contract.SuffixRefuse:
		return fault.New(s.Fault, "The suffix :%s is not supported here.", written).At("model")
	case h.routing != "":
		return conflict(written, ":"+h.routing)
	case w.Selects: // not by a suffix
		other := "provider"
		if w.OnlyAt != "" {
			other = w.OnlyAt
		}
		return conflict(written, other)
	case w.Caching && (s.Means == contract.SuffixTools || s.Means == contract.SuffixCaching):
		return conflict(written, "caching")
	}
	h.routing = written
	switch s.Means {
	case contract.SuffixSort:
		w.Sort = sorts[s.Sort]
	case contract.SuffixTools:
		h.tools = true
	case contract.SuffixCaching:
		w.Caching = true
	case contract.SuffixProvider:
		w.Only, w.OnlyAt = []string{written}, "model"
	}
	w.Suffix, w.Selects = written, true
	return nil
}

func conflict(suffix, other string) error {
	return fault.New(fault.SuffixConflict, "The suffix :%s cannot be combined with %s.", suffix, other).At("model")
}
