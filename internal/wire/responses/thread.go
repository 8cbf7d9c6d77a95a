package responses

import (
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

var (
	_ wire.Threads = (*Dialect)(nil)
	_ wire.Keeper  = (*encoder)(nil)
)

// Keeper returns the encoder of one answer to r, as [wire.Threads] says.
func (d *Dialect) Keeper(r *llm.Request) wire.Keeper {
	return &encoder{r: r, now: d.now, id: newID("resp_")}
}

// Promised is the encoder of an answer that was promised before.
type Promised interface {
	wire.Keeper
	// BrokenOff returns the response as it stands where it breaks off: in that status,
	// with all that a stream of it came to, of which what has not ended is
	// incomplete, and with an error, unless its code is empty.
	BrokenOff(status, code, message string) []byte
}

// Resume returns the encoder of the answer to r that was promised under an id
// at a time before.
func (d *Dialect) Resume(r *llm.Request, id string, created time.Time) Promised {
	return &encoder{r: r, now: d.now, id: id, created: created.Unix()}
}

// Continue returns r as it reads with what was said before, as [wire.Threads]
// says. Reasoning that nobody sealed is left out: no provider takes it back.
func (d *Dialect) Continue(r *llm.Request, p wire.Past) (*llm.Request, error) {
	input := []byte{'['}
	past := 0
	for _, item := range p.Items {
		if speaks(item) {
			input = append(comma(input), item...)
			past++
		}
	}
	doc, err := jsonx.Parse(r.Raw.Value("input"))
	switch {
	case err != nil: // there is none
	case doc.Root().Kind() == jsonx.String:
		input = append(append(comma(input), `{"role":"user","content":`...), doc.Root().Raw()...)
		input = append(input, '}')
	}
	if err == nil {
		for i, item := range doc.Root().Items() {
			own := item.Raw()
			if kindOf(item) == kindReference {
				id := item.Get("id").Text()
				if own = p.Stand[id]; own == nil {
					return nil, fault.New(fault.InvalidParameter, "Item with id '%s' not found.", id[:min(len(id), 64)]).At("input." + strconv.Itoa(i) + ".id")
				}
				if !speaks(own) {
					continue
				}
			}
			input = append(comma(input), own...)
		}
	}
	body := r.Raw.Splice(llm.Edit{Name: "previous_response_id"}, llm.Edit{Name: "input", Value: append(input, ']')})
	out, err := d.Decode(body, nil)
	if err != nil {
		return nil, renamed(fault.From(err), past)
	}
	thread := *r.Thread
	thread.Past, out.Thread = past, &thread
	inner := out.Place
	out.Place = func(path string) string { return behind(inner(path), past) }
	return out, nil
}

// comma separates elements of the array that has begun in dst.
func comma(dst []byte) []byte {
	if len(dst) > 1 {
		return append(dst, ',')
	}
	return dst
}

// speaks reports whether an item says something to a provider that may be another
// one than its own.
func speaks(item []byte) bool {
	doc, err := jsonx.Parse(item)
	if err != nil {
		return false
	}
	root := doc.Root()
	return kindOf(root) != kindReasoning || root.Get("encrypted_content").Kind() == jsonx.String
}

// behind names a place in an input as the caller has it, who did not send the
// first items himself.
func behind(path string, past int) string {
	rest, ok := strings.CutPrefix(path, "input.")
	if !ok || past == 0 {
		return path
	}
	index, rest, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(index)
	switch {
	case err != nil:
		return path
	case n < past:
		return "previous_response_id"
	}
	return join("input."+strconv.Itoa(n-past), rest)
}

// renamed is a fault of the whole request, as the caller has it.
func renamed(e *fault.Error, past int) *fault.Error {
	d := *e
	d.Param = behind(e.Param, past)
	d.Details = make([]fault.Detail, len(e.Details))
	for i, detail := range e.Details {
		detail.Field = behind(detail.Field, past)
		d.Details[i] = detail
	}
	return &d
}

// Record returns what is to be kept of the answer: once it has ended, as it
// ended, and before that as one that is yet to be given.
func (e *encoder) Record() wire.Record {
	rec := wire.Record{ID: e.id, Object: e.object}
	if rec.Object == nil {
		h := e.head()
		rec.Object = h.append(nil, object{status: statusQueued, model: e.r.Model})
	}
	rec.Input, rec.Items = own(e.r)
	if doc, err := jsonx.Parse(e.object); err == nil {
		for _, item := range doc.Root().Get("output").Items() {
			if id := item.Get("id"); id.Kind() == jsonx.String {
				rec.Items = append(rec.Items, id.Text())
			}
		}
	}
	return rec
}

// own returns the items that a request itself adds, as an array, and the ids of
// those that have one.
func own(r *llm.Request) (input []byte, ids []string) {
	input = []byte{'['}
	doc, err := jsonx.Parse(r.Raw.Value("input"))
	if err != nil {
		return append(input, ']'), nil
	}
	if v := doc.Root(); v.Kind() == jsonx.String {
		input = append(append(input, `{"type":"message","role":"user","content":[{"type":"input_text","text":`...), v.Raw()...)
		return append(input, `}]}]`...), nil
	}
	for i, item := range doc.Root().Items() {
		if i < r.Thread.Past {
			continue
		}
		input = append(comma(input), item.Raw()...)
		if id := item.Get("id"); id.Kind() == jsonx.String {
			ids = append(ids, id.Text())
		}
	}
	return append(input, ']'), ids
}
