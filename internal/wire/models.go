package wire

import (
	"net/http"
	"net/url"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
)

// ModelLister writes models as one surface shows them. Its methods append to dst.
type ModelLister interface {
	List(dst []byte, models []Model) []byte
	One(dst []byte, m Model) []byte
}

// ModelPager is a ModelLister that shows a part of the list to who asks for one.
type ModelPager interface {
	ModelLister
	// Page appends what the query of the request asks for. Its error is a
	// *fault.Error.
	Page(dst []byte, models []Model, query url.Values) ([]byte, error)
}

// models answers GET of the models list and of one model.
func (x *exchange) models() error {
	lister := x.s.o.Listers[x.route.Surface]
	if lister == nil {
		return fault.New(fault.NotFound, "")
	}
	if x.wanted != nil {
		return contract.Sample(x.wanted.code)
	}
	list := x.caller.Models()
	var body []byte
	pager, pages := lister.(ModelPager)
	switch {
	case x.rest == "" && pages:
		var err error
		if body, err = pager.Page(nil, list, x.r.URL.Query()); err != nil {
			return err
		}
	case x.rest == "":
		body = lister.List(nil, list)
	default:
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
