package wire

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// noFallbackHeader asks, under every contract, for no other model.
const noFallbackHeader = "X-No-Fallback"

// wishes are what the headers of the request ask for, whatever the contract.
func (x *exchange) wishes() Wishes {
	h := x.r.Header
	w := Wishes{
		FullOutput: h.Get("X-Require-Full-Output") == "true",
		NoFallback: h.Get(noFallbackHeader) == "true",
		Impatient:  retrying(h),
		Patience:   patience(h),
	}
	for _, name := range sessionHeaders {
		if w.Session = h.Get(name); w.Session != "" {
			break
		}
	}
	return w
}

// sessionHeaders are those in which clients tell which conversation a request
// belongs to; the first one that is there counts.
var sessionHeaders = [...]string{"X-Session-Id", "X-Claude-Code-Session-Id", "Session-Id", "Session_id"}

// request makes a request of the body, without what in it speaks to us.
func (x *exchange) request(d Dialect, w *Wishes) (*llm.Request, error) {
	list := x.site.Contract.Controls(x.route.Surface)
	if err := x.headers(list, w); err != nil {
		return nil, err
	}
	body := x.body
	if IsForm(x.r.Header) {
		if err := inForm(list, x.r.Header, body); err != nil {
			return nil, err
		}
		return x.decode(d, body)
	}
	body, err := x.retention(body)
	if err != nil {
		return nil, err
	}
	if mentioned(list, body) {
		if body, err = controls(list, body, w); err != nil {
			return nil, err
		}
	}
	req, err := x.decode(d, body)
	if !named(list, req, body) {
		return req, err
	}
	if body, err = controls(list, body, w); err != nil {
		return nil, err
	}
	return x.decode(d, body)
}

// inForm refuses a form in which a part speaks to the gateway: nothing is taken out
// of forms, so it would be ignored, and sent on. A part counts by its name up to the
// first bracket or dot, as SDKs write what is nested. A form that cannot be read is
// for the dialect to refuse.
func inForm(list []contract.Control, h http.Header, body []byte) error {
	boundary, _ := boundaryOf(h)
	for i := range list {
		c := &list[i]
		if len(c.Member) == 0 || c.Means == contract.ControlNothing || c.Means == contract.ControlChain || !bytes.Contains(body, []byte(c.Member[0])) {
			continue
		}
		in := multipart.NewReader(bytes.NewReader(body), boundary)
		for p, err := in.NextRawPart(); err == nil; p, err = in.NextRawPart() {
			name := p.FormName()
			if end := strings.IndexAny(name, "[."); end > 0 {
				name = name[:end]
			}
			if name == c.Member[0] {
				return fault.New(fault.UnsupportedParameter, "%s cannot be said in a form: send JSON, or a header that says it.", name).At(name)
			}
		}
	}
	return nil
}

// headers reads the headers that the contract says speak to the gateway.
func (x *exchange) headers(list []contract.Control, w *Wishes) error {
	for i := range list {
		c := &list[i]
		if c.Header == "" {
			continue
		}
		v := x.r.Header.Get(c.Header)
		if v == "" {
			continue
		}
		if c.Means == contract.ControlProviders {
			w.Only, w.OnlyAt, w.Selects = []string{v}, c.Header, true
			continue
		}
		if on, known := yesNo(v); c.HasValue && known && on == c.Value || !c.HasValue && (on || !known) {
			if err := heed(c, c.Header, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// controls reads what the contract says speaks to the gateway in the body, and
// returns the body without it: a provider would refuse what it does not know. A
// body that is no JSON object is returned as it is.
func controls(list []contract.Control, body []byte, w *Wishes) ([]byte, error) {
	doc, err := jsonx.Parse(body)
	if err != nil || doc.Root().Kind() != jsonx.Object {
		return body, nil // for the dialect to refuse
	}
	var edits []llm.Edit
	for i := range list {
		c := &list[i]
		if len(c.Member) == 0 {
			continue
		}
		v := doc.Root().Get(c.Member[0])
		if c.Means == contract.ControlModels || c.Means == contract.ControlChain || c.Means == contract.ControlProviders {
			e, err := routing(c, v, doc.Root(), w)
			if err != nil {
				return body, err
			}
			edits = append(edits, e...)
			continue
		}
		if !v.Exists() {
			continue
		}
		if own := c.Unless != "" && v.Get(c.Unless).Exists(); !own {
			edits = append(edits, llm.Edit{Name: c.Member[0]})
		} else if len(c.Member) == 1 {
			edits = append(edits, llm.Edit{Name: c.Member[0], Value: without(list, c.Member[0], v)})
			continue
		}
		if err := member(c, v, w); err != nil {
			return body, err
		}
	}
	if len(edits) == 0 {
		return body, nil
	}
	return doc.Members().Splice(edits...), nil
}

// without is the object v, which is called name and stays in the body, without
// what controls name within it.
func without(list []contract.Control, name string, v jsonx.Value) []byte {
	var inner []llm.Edit
	for i := range list {
		if m := list[i].Member; len(m) == 2 && m[0] == name {
			inner = append(inner, llm.Edit{Name: m[1]})
		}
	}
	return jsonx.Splice(v.Raw(), inner)
}

// mentioned reports whether a body may have one of the members that must be read
// before it is decoded; most have not. Where anything is escaped, their names may
// be, too.
func mentioned(list []contract.Control, body []byte) bool {
	early := func(c *contract.Control) bool { return len(c.Member) > 0 && !c.Late() }
	escaped := false
	for i := range list {
		if early(&list[i]) {
			escaped = bytes.Contains(body, []byte(`\u`))
			break
		}
	}
	for i := range list {
		c := &list[i]
		switch {
		case !early(c):
		case escaped:
			return true
		case c.Means == contract.ControlChain:
			if bytes.Contains(body, []byte{'>'}) {
				return true
			}
		case bytes.Contains(body, []byte(`"`+c.Member[0]+`"`)):
			return true
		}
	}
	return false
}

// named reports whether a request that was decoded has one of the members that may
// be read afterwards. req is nil where the body could not be read.
func named(list []contract.Control, req *llm.Request, body []byte) bool {
	for i := range list {
		c := &list[i]
		if len(c.Member) == 0 || !c.Late() {
			continue
		}
		if req != nil && req.Raw.Value(c.Member[0]) != nil || req == nil && bytes.Contains(body, []byte(`"`+c.Member[0]+`"`)) {
			return true
		}
	}
	return false
}

// member heeds a control in the body, whose first name has the value v.
func member(c *contract.Control, v jsonx.Value, w *Wishes) error {
	path := strings.Join(c.Member, ".")
	if len(c.Member) == 2 {
		if v.Kind() != jsonx.Object {
			return nil // another form of it, which another control may know
		}
		if v = v.Get(c.Member[1]); !v.Exists() {
			return nil
		}
	}
	if !c.HasValue {
		if nothing(v) {
			return nil
		}
		return heed(c, path, w)
	}
	on, ok := v.Bool()
	if !ok {
		return fault.Fields([]fault.Detail{{Field: path, Code: fault.InvalidType, Message: "Must be true or false"}})
	}
	if on == c.Value {
		return heed(c, path, w)
	}
	return nil
}

// heed does what a control means.
func heed(c *contract.Control, place string, w *Wishes) error {
	switch c.Means {
	case contract.ControlNoFallback:
		w.NoFallback = true
	case contract.ControlSticky:
		w.Sticky = true
	case contract.ControlCaching:
		w.Caching = true
	case contract.ControlRefuse:
		return fault.New(c.Fault, "%s is not supported here.", place).At(place)
	case contract.ControlNothing:
	}
	return nil
}

// yesNo reads a header that says yes or no. Anything else is not known.
func yesNo(v string) (yes, known bool) {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off", "":
		return false, true
	}
	return false, false
}

// nothing reports whether a member asks for nothing: it says no, is empty, or is
// an option that is not enabled.
func nothing(v jsonx.Value) bool {
	switch v.Kind() {
	case jsonx.Object:
		on, ok := v.Get("enabled").Bool()
		return v.Len() == 0 || ok && !on
	case jsonx.Array:
		return v.Len() == 0
	case jsonx.String:
		yes, known := yesNo(v.Text())
		return known && !yes
	}
	yes, known := yesNo(string(v.Raw()))
	return known && !yes
}

// retrying reports whether an official SDK says that it is already trying again.
func retrying(h http.Header) bool {
	n := h.Get("X-Stainless-Retry-Count")
	return n != "" && n != "0"
}
