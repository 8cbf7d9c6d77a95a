package wire

import (
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// withModel adds an unknown model to the bad fields of a request, where the
// contract counts it among them. req may be nil, or whole but for bad fields.
func (x *exchange) withModel(e *fault.Error, req *llm.Request) error {
	if len(e.Details) == 0 || req == nil || req.Model == "" || !x.site.Contract.ModelCheckIsField() || x.caller.Knows(req.Model) {
		return e
	}
	details := append(slices.Clone(e.Details), fault.Detail{Field: "model", Code: fault.ModelNotFound, Message: "Unknown model"})
	return fault.Fields(details)
}

// placed names what a fault is about as the caller's dialect does.
func (x *exchange) placed(e *fault.Error) *fault.Error {
	if x.asked == nil || x.asked.Place == nil || e.Param == "" {
		return e
	}
	own := x.asked.Place(e.Param)
	if own == e.Param {
		return e
	}
	d := *e
	d.Param = own
	if rest, ok := strings.CutPrefix(e.Message, e.Param+" "); ok { // a sentence about it
		d.Message = own + " " + rest
	}
	return &d
}

// named lists the one bad field of a fault among its details, for contracts
// that show nothing else.
func (x *exchange) named(e *fault.Error) *fault.Error {
	c := e.Code.Entry().Class
	if e.Param == "" || len(e.Details) > 0 || (c != fault.ClassRequest && e.Code != fault.ModelNotFound && e.Code != fault.ContextLengthExceeded) {
		return e
	}
	d := *e
	d.Details = []fault.Detail{{Field: e.Param, Code: e.Code, Message: e.Public()}}
	return &d
}
