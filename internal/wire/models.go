package wire

import (
	"net/http"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
)

// ModelLister writes models as one surface shows them. Its methods append to dst.
type ModelLister interface {
	List(dst []byte, models []Model) []byte
	One(dst []byte, m Model) []byte
}

// models answers GET of the models list and of one model.
func (x *exchange) models() error {
	lister := x.s.o.Listers[x.route.Surface]
	if x.r.Header.Get("Anthropic-Version") != "" {
		if a := x.s.o.Listers["anthropic.models"]; a != nil {
			lister = a
		}
	}
	if lister == nil {
		return fault.New(fault.NotFound, "")
	}
	if x.wanted != nil {
		return contract.Sample(x.wanted.code)
	}
	list := x.caller.Models()
	var body []byte
	if x.rest == "" {
		body = lister.List(nil, list)
	} else {
		found := false
		for _, m := range list {
			if m.ID == x.rest {
				body, found = lister.One(nil, m), true
			}
		}
		if !found {
			return fault.New(fault.ModelNotFound, "The model %q does not exist.", x.rest[:min(len(x.rest), 200)]).At("model").With("model", x.rest[:min(len(x.rest), 200)])
		}
	}
	h := x.w.Header()
	h["Content-Type"] = []string{"application/json"}
	for _, kv := range x.site.Contract.ExtraHeaders(x.route.Envelope, x.facts) {
		h.Set(kv[0], kv[1])
	}
	for _, extra := range x.site.Contract.Extras(x.route.Surface, x.route.Envelope, x.facts) {
		// Listers write one object, and an extra's name stands nowhere else.
		body = append(body[:len(body)-1], `,"`+extra.Name+`":`...)
		body = append(append(body, extra.Value...), '}')
	}
	x.ev.Outcome = "ok"
	x.w.whole(http.StatusOK, body)
	return nil
}
