package wire

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// surfaceResponses is the surface whose answers can be kept.
const surfaceResponses = "openai.responses"

const day = 24 * time.Hour

// retention reads for how many days the body asks its answer to be kept, where the
// contract has members for that, and returns the body without them.
func (x *exchange) retention(body []byte) ([]byte, error) {
	rule := x.site.Contract.Responses()
	if len(rule.Retention) == 0 || x.route.Surface != surfaceResponses || !mentions(rule, body) {
		return body, nil
	}
	doc, err := jsonx.Parse(body)
	if err != nil || doc.Root().Kind() != jsonx.Object {
		return body, nil // for the dialect to refuse
	}
	var edits []llm.Edit
	var first jsonx.Value
	for _, name := range rule.Retention {
		v := doc.Root().Get(name)
		if v.Kind() == jsonx.Absent {
			continue
		}
		n, ok := v.Int()
		switch {
		case v.Exists() && !ok:
			return body, wrong(name, fault.InvalidType, "Must be a whole number of days, or null")
		case v.Exists() && (n < 0 || n > rule.MostDays):
			return body, fault.Fields([]fault.Detail{{Field: name, Code: fault.InvalidParameter, Message: "Must be between 0 and " + strconv.FormatInt(rule.MostDays, 10)}})
		case len(edits) > 0 && !bytes.Equal(first.Raw(), v.Raw()):
			return body, wrong(name, fault.InvalidParameter, "Must be the same as "+edits[0].Name)
		}
		first = v
		edits = append(edits, llm.Edit{Name: name})
		if v.Exists() {
			x.days, x.daysAt = &n, name
		}
	}
	if len(edits) == 0 {
		return body, nil
	}
	return doc.Members().Splice(edits...), nil
}

// mentions reports whether a body may have one of the members; where anything is
// escaped, their names may be, too.
func mentions(rule *contract.Responses, body []byte) bool {
	return bytes.Contains(body, []byte(`\u`)) ||
		slices.ContainsFunc(rule.Retention, func(name string) bool { return bytes.Contains(body, []byte(`"`+name+`"`)) })
}

// retain settles for how long the answer is kept, and that nothing is asked for
// that the contract, or who wants nothing to be stored, rules out.
func (x *exchange) retain(t *llm.Thread) error {
	rule := x.site.Contract.Responses()
	t.Usual = time.Duration(rule.UsualDays) * day
	switch {
	case x.days == nil:
		return nil
	case *x.days > 0:
		if t.Keep = time.Duration(*x.days) * day; !t.Store || x.s.o.Memory != nil && x.s.o.Memory.Keeps() {
			return nil
		}
		return fault.New(fault.UnsupportedParameter, "Responses are not stored here.").At(x.daysAt)
	case t.Background:
		return fault.New(fault.InvalidParameter, "The answer is asked for later, and %s: 0 stores none", x.daysAt).At("background")
	case t.Previous != "":
		return fault.New(fault.InvalidParameter, "%s: 0 stores nothing that goes on", x.daysAt).At("previous_response_id")
	}
	t.Store = false
	return nil
}
