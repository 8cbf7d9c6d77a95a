package responses

import (
	"bytes"
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// minOutput is the least that the protocol lets anybody limit the output to, in
// tokens.
const minOutput = 16

// encrypted is the member of include that asks for reasoning in a form that can
// be sent back.
const encrypted = `"reasoning.encrypted_content"`

// logged is the member of include that asks for log probabilities.
const logged = `"message.output_text.logprobs"`

// splice returns the caller's body with what must change, and every other byte
// as it was. What only the server that stored it can know is refused: the
// gateway expands responses that it has stored itself before it comes to this.
func (p *Provider) splice(c provider.Call) ([]byte, error) {
	r := c.Request
	for _, name := range [...]string{"previous_response_id", "conversation"} {
		if set(r.Raw.Value(name)) {
			return nil, fault.New(fault.UnsupportedParameter, "%s cannot be honoured for this model.", name).At(name)
		}
	}
	edits := make([]llm.Edit, 0, 6)
	if c.Model != r.Model {
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, c.Model)})
	}
	if string(r.Raw.Value("store")) != "false" {
		edits = append(edits, llm.Edit{Name: "store", Value: []byte("false")})
	}
	for _, name := range [...]string{"background", "previous_response_id", "conversation"} {
		if r.Raw.Value(name) != nil {
			edits = append(edits, llm.Edit{Name: name})
		}
	}
	if c.CapOutput > 0 && !r.HasMaxOutput {
		if c.CapOutput < minOutput {
			return nil, tooFew(c.CapOutput)
		}
		edits = append(edits, llm.Edit{Name: "max_output_tokens", Value: strconv.AppendInt(nil, c.CapOutput, 10)})
	}
	if v := r.Raw.Value("include"); c.Reasons && !bytes.Contains(v, []byte(encrypted)) {
		edits = append(edits, llm.Edit{Name: "include", Value: include(v)})
	}
	input, n, err := p.ownInput(r)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		edits = append(edits, llm.Edit{Name: "input", Value: input})
	}
	if len(edits) == 0 {
		return r.Raw.Body, nil
	}
	return r.Raw.Splice(edits...), nil
}

// set reports whether a member is there and not null.
func set(v []byte) bool { return v != nil && string(v) != "null" }

func tooFew(n int64) error {
	return fault.New(fault.UnsupportedParameter, "This model's output cannot be limited to less than %d tokens; %d is too low.", minOutput, n).At("max_output_tokens")
}

// include returns the list v with one more member.
func include(v []byte) []byte {
	c := provider.Walk(v)
	if c.Kind() != '[' {
		return []byte("[" + encrypted + "]")
	}
	c.Enter('[')
	empty := !c.More()
	end := bytes.LastIndexByte(v, ']')
	out := append(make([]byte, 0, len(v)+len(encrypted)+1), v[:end]...)
	if !empty {
		out = append(out, ',')
	}
	return append(append(out, encrypted...), v[end:]...)
}

// sealMark is in every text that llm.Seal wrote.
var sealMark = []byte(`"pontage1.`)

// ownInput returns the input without the reasoning that another provider sealed,
// and with the state of our own as it was given to us. n is how many items are
// not as they came; with none of them it returns nil. Its error is a *fault.Error
// that names a compaction of another provider's: without it nothing is left of the
// conversation.
func (p *Provider) ownInput(r *llm.Request) (input []byte, n int, err error) {
	v := r.Raw.Value("input")
	if !bytes.Contains(v, sealMark) {
		return nil, 0, nil
	}
	c := provider.Walk(v)
	if c.Kind() != '[' {
		return nil, 0, nil
	}
	out := append(make([]byte, 0, len(v)), '[')
	c.Enter('[')
	for i := 0; c.More(); i++ {
		item := c.Value()
		if bytes.Contains(item, sealMark) {
			own, changed, ok := p.ownItem(item)
			if !ok {
				return nil, 0, fault.New(fault.UnsupportedParameter, "Only the provider that compacted this conversation can read it.").At("input." + strconv.Itoa(i))
			}
			if changed {
				n++
			}
			item = own
		}
		if item == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	if n == 0 || c.Err() {
		return nil, 0, nil
	}
	return append(out, ']'), n, nil
}

// ownItem returns an item as this provider may see it; nil: not at all. Only
// reasoning and compactions that hold a seal are changed. It is not ok for a
// compaction of another provider's.
func (p *Provider) ownItem(item []byte) (own []byte, changed, ok bool) {
	raw, err := jsonx.Scan(item)
	kind := string(raw.Value("type"))
	if err != nil || kind != `"reasoning"` && kind != `"compaction"` {
		return item, false, true
	}
	c := provider.Walk(raw.Value("encrypted_content"))
	inner, _ := c.Text()
	issuer, state, sealed := llm.Unseal(provider.Unescape(inner))
	switch {
	case !sealed:
		return item, false, true
	case issuer != p.name:
		return nil, true, kind == `"reasoning"`
	}
	id, blob := unpack(state)
	edits := []llm.Edit{{Name: "encrypted_content", Value: jsonx.AppendString(nil, blob)}}
	if id != "" {
		edits = append(edits, llm.Edit{Name: "id", Value: jsonx.AppendString(nil, id)})
	}
	return raw.Splice(edits...), true, true
}

// pack makes one text of a reasoning item's id and its encrypted content, and
// unpack takes it apart. The protocol wants both back.
func pack(id, blob string) string {
	if blob == "" {
		return ""
	}
	return id + " " + blob
}

func unpack(state string) (id, blob string) {
	for i := range len(state) {
		if state[i] == ' ' {
			return state[:i], state[i+1:]
		}
	}
	return "", state
}
