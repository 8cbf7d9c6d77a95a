package prompt

import (
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Batch is several requests to one model. It shares no bytes with the body that
// it was made of.
type Batch struct {
	Model string
	Items []Item
}

// Item is one request of a batch.
type Item struct {
	ID   string // unlike any other's in the batch
	Body []byte // a body that [Dialect.DecodeFor] accepts
}

// maxID is the length of the longest id of a request, in characters.
const maxID = 64

// DecodeBatch makes a batch of a body {modelId or model, requests}, of at least
// one request and at most most. A request without an id has its index for one.
//
// It returns a *fault.Error as [Dialect.DecodeFor] does, and with it the model if
// that is known. A webhookUrl is an UnsupportedParameter: nothing calls it.
func DecodeBatch(body []byte, most int) (Batch, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return Batch{}, err
	}
	root := doc.Root()
	var p fields.Problems
	var model *string
	if !root.Get("modelId").Exists() && !root.Get("model").Exists() {
		p.Missing(root, "modelId")
	}
	requests, _ := p.Require(root, "requests")
	for name, v := range root.Members() {
		if p.Full() {
			break
		}
		if !v.Exists() {
			continue
		}
		switch n := string(name); n {
		case "modelId", "model":
			if p.Text(v, maxModel) {
				agree(&p, v, n, &model, v.Text())
			}
		case "requests":
			checkItems(&p, v, most)
		case "webhookUrl":
			p.Add(v, fault.UnsupportedParameter, "Webhooks are not supported")
		default:
			p.Add(v, fault.UnknownParameter, "Unknown parameter")
		}
	}
	var b Batch
	if model != nil {
		b.Model = *model
	}
	if err := p.Err(); err != nil {
		return b, err
	}
	b.Items, err = items(requests)
	return b, err
}

// checkItems checks the requests of a batch.
func checkItems(p *fields.Problems, v jsonx.Value, most int) {
	if !p.Array(v, 1, most) {
		return
	}
	ids := make(map[string]jsonx.Value)
	for _, e := range v.Items() {
		if p.Full() {
			return
		}
		if e.Kind() != jsonx.Object {
			p.Type(e, "an object")
			continue
		}
		if id := e.Get("id"); p.Text(id, maxID) {
			if _, taken := ids[id.Text()]; taken {
				p.Invalid(id, "Must not be the id of another request")
			} else {
				ids[id.Text()] = id
			}
		}
		check(p, e, true)
	}
	for i, e := range v.Items() {
		if e.Kind() != jsonx.Object || e.Get("id").Exists() {
			continue
		}
		if id, taken := ids[strconv.Itoa(i)]; taken {
			p.Invalid(id, "Must not be the index of a request without an id")
		}
	}
}

// items copies checked requests out of their document.
func items(requests jsonx.Value) ([]Item, error) {
	out := make([]Item, 0, requests.Len())
	for i, e := range requests.Items() {
		raw, err := jsonx.Scan(e.Raw())
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err) // it was part of a good document
		}
		item := Item{ID: strconv.Itoa(i), Body: raw.Splice(llm.Edit{Name: "id"})}
		if id := e.Get("id"); id.Exists() {
			item.ID = id.Text()
		}
		out = append(out, item)
	}
	return out, nil
}
