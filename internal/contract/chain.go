package contract

import "github.com/pontage/pontage/internal/fault"

// Tried is a model that was asked, or passed over, for a request that names
// several.
type Tried struct {
	Model string
	Fault fault.Code // why it did not answer; None: it did
}

// The lists of an extra that tell of such a request.
const (
	listChain = "fallback_chain"    // the models that it names
	listTried = "fallback_attempts" // what came of those that were tried
)

// chainNames are the placeholders of the items of one of these lists.
type chainNames string

func (l chainNames) find(name string) (field, bool) {
	if name == "model" || l == listTried && (name == "success" || name == "error") {
		return field{kind: kAnswer, arg: name, inItem: true}, true
	}
	return field{}, false
}

func (chainNames) lists() []string     { return nil }
func (chainNames) within(string) names { return nil }
func (l chainNames) String() string    { return "in an item of " + string(l) }

// chain is what an extra can tell of a request that names several models; nil: it
// names one. Codes are those of the envelope.
func (c *Contract) chain(face int, f *Facts) *Data {
	if len(f.Chain) == 0 {
		return nil
	}
	d := &Data{Lists: map[string][]Values{}, Values: Values{"triggered": Flag(len(f.Tried) > 1)}}
	for _, m := range f.Chain {
		d.Lists[listChain] = append(d.Lists[listChain], Values{"model": Text(m)})
	}
	for _, t := range f.Tried {
		v := Values{"model": Text(t.Model), "success": Flag(t.Fault == fault.None)}
		if t.Fault != fault.None {
			v["error"] = Text(c.row(face, t.Fault).code)
		}
		d.Lists[listTried] = append(d.Lists[listTried], v)
	}
	return d
}
