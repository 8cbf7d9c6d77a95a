package gather

import "errors"

// response takes the response out of the last of its events. Where that has no
// output, it is put together of the items.
type response struct {
	last  *node
	items []*node
}

func (r *response) add(data []byte) error {
	ev, err := parse(data)
	if err != nil {
		return err
	}
	switch {
	case ev.get("type").is("response.output_item.done"):
		if it := ev.get("item"); it != nil {
			r.items = append(r.items, it)
		}
	case ev.get("response") != nil:
		r.last = ev.get("response")
	}
	return nil
}

// whole returns the response.
func (r *response) whole() ([]byte, error) {
	if r.last == nil || r.last.kind != '{' {
		return nil, errors.New("the stream holds no response")
	}
	if out := r.last.get("output"); len(r.items) > 0 && (out == nil || len(out.items) == 0) {
		r.last.set("output", &node{kind: '[', items: r.items})
	}
	return r.last.append(nil), nil
}
