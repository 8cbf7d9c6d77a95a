package responses

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// passed follows a stream of the provider's own frames, which go out as they
// come but for what a response says of itself. It knows at any time what the
// answer has come to: it may have to end here.
type passed struct {
	stream        // what the provider has told: its items, and the number that would be next
	begun  []byte // the response as it began
	seams  seams

	held   []byte // the event that ends the answer, kept back
	name   string // of it
	object []byte // the response as it ended
}

// frame forwards one frame.
func (p *passed) frame(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Data == nil { // a comment, of whatever words
		if p.begun == nil {
			return append(dst, waiting...), nil
		}
		return append(dst, keepAlive...), nil
	}
	doc, err := jsonx.ParseEvent(ev.Data)
	switch {
	case err != nil && ev.Data[0] == '{' && p.held == nil:
		return append(dst, ev.Raw...), nil // nobody knows what it is, and it may be wanted
	case err != nil || p.held != nil:
		return dst, nil // a marker such as [DONE], which the dialect has not; nothing follows the end
	}
	root := doc.Root()
	name := root.Get("type").Text()
	if name == "" {
		name = ev.Name
	}
	if n, ok := root.Get("sequence_number").Int(); ok && n >= p.number {
		p.number = n
	}
	p.number++
	if whole := root.Get("response"); whole.Kind() == jsonx.Object {
		object := ours(whole.Raw(), p.head.id, p.head.r)
		if name == "response.completed" || name == "response.incomplete" {
			p.number-- // is not told yet
			p.held, p.name, p.object = bytes.Clone(with(root.Raw(), object)), name, object
			return dst, nil
		}
		p.begun = object
		return lines(dst, name, with(root.Raw(), object)), nil
	}
	if doc.Mended() || len(p.seams.open) > 0 {
		for _, e := range p.seams.join(name, ev.Data, doc) {
			if joined, err := jsonx.Parse(e.data); err == nil {
				p.follow(e.name, joined.Root())
			}
		}
	} else {
		p.follow(name, root)
	}
	if isPlain(ev.Raw) {
		return append(dst, ev.Raw...), nil
	}
	return lines(dst, name, ev.Data), nil
}

// with returns an event with another response in it.
func with(event, object []byte) []byte {
	return jsonx.Splice(event, []llm.Edit{{Name: "response", Value: object}})
}

// ours returns a response of the provider's under our id, and with what the
// gateway itself makes of the request.
func ours(object []byte, id string, r *llm.Request) []byte {
	t := r.Thread
	previous := []byte("null")
	if t.Previous != "" {
		previous = jsonx.AppendString(nil, t.Previous)
	}
	return jsonx.Splice(object, []llm.Edit{
		{Name: "id", Value: jsonx.AppendString(nil, id)},
		{Name: "store", Value: strconv.AppendBool(nil, t.Store)},
		{Name: "background", Value: strconv.AppendBool(nil, t.Background)},
		{Name: "previous_response_id", Value: previous},
	})
}

// isPlain reports whether a frame is an event line, a data line and a blank one:
// no id: or retry: line, and complete.
func isPlain(raw []byte) bool {
	event, rest, ok := bytes.Cut(raw, []byte{'\n'})
	if !ok || !bytes.HasPrefix(event, []byte("event:")) {
		return false
	}
	data, rest, ok := bytes.Cut(rest, []byte{'\n'})
	return ok && bytes.HasPrefix(data, []byte("data:")) && (string(rest) == "\n" || string(rest) == "\r\n")
}

// follow notes what an event adds to the answer.
func (p *passed) follow(name string, root jsonx.Value) {
	index, ok := root.Get("output_index").Int()
	if !ok || index < 0 || index >= maxAnswerItems {
		return
	}
	for int64(len(p.items)) <= index {
		p.items = append(p.items, &item{index: len(p.items)})
	}
	it := p.items[index]
	switch name {
	case "response.output_item.added":
		it.begin(root.Get("item"))
	case "response.output_item.done":
		*it = item{index: it.index, raw: appendFlat(nil, root.Get("item").Raw())}
	case "response.content_part.added", "response.reasoning_summary_part.added":
		it.parts = append(it.parts, part{kind: root.Get("part").Get("type").Text()})
	case "response.output_text.delta", "response.refusal.delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta":
		if n := len(it.parts); n > 0 {
			it.parts[n-1].text = append(it.parts[n-1].text, root.Get("delta").Text()...)
		}
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		it.args = append(it.args, root.Get("delta").Text()...)
	}
}

// begin takes over an item that has begun.
func (it *item) begin(v jsonx.Value) {
	it.open, it.id, it.kind = true, v.Get("id").Text(), v.Get("type").Text()
	it.callID, it.name, it.space = v.Get("call_id").Text(), v.Get("name").Text(), v.Get("namespace").Text()
	it.summary = true
	switch it.kind {
	case kindMessage, kindCall, kindCustomCall, kindReasoning:
	default: // what it comes to is only its provider's to say
		it.raw = appendFlat(nil, v.Raw())
	}
}

// cutOff ends the answer where it is: what is open stays half told.
func (p *passed) cutOff(dst []byte) []byte {
	p.cut = true
	for _, it := range p.items {
		if it.open {
			dst = p.done(dst, it, statusIncomplete)
		}
	}
	return dst
}

// ended returns the response as it ends here and not at the provider's.
func (p *passed) ended(o object) []byte {
	o.output = p.output()
	if p.begun == nil {
		return p.head.append(nil, o)
	}
	edits := []llm.Edit{
		{Name: "status", Value: jsonx.AppendString(nil, o.status)},
		{Name: "incomplete_details", Value: appendReason(nil, o.reason)},
		{Name: "output", Value: o.output},
	}
	if o.code != "" {
		edits = append(edits, llm.Edit{Name: "error", Value: appendError(nil, o.code, o.message)})
	}
	if o.usage != nil {
		edits = append(edits, llm.Edit{Name: "usage", Value: appendUsage(nil, *o.usage)})
	}
	return jsonx.Splice(p.begun, edits)
}

// finish returns the response as it ended.
func (p *passed) finish(f wire.Final) ([]byte, error) {
	switch {
	case p.cut:
		return p.ended(object{status: statusIncomplete, reason: "max_output_tokens", model: p.head.r.Model, usage: &f.Usage}), nil
	case p.held == nil:
		return nil, errors.New("no end of the answer")
	}
	return p.object, nil
}
