package jsonx

import (
	"bytes"
	"iter"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Value is one value of a [Doc]. The zero Value is one that is not there; all
// its methods are safe and say so.
type Value struct {
	doc *Doc
	i   uint32
}

// Kind returns the kind of v, [Absent] for the zero Value.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Absent
	}
	return v.doc.nodes[v.i].kind
}

// Exists reports whether v is there and is not null.
func (v Value) Exists() bool { k := v.Kind(); return k != Absent && k != Null }

// Raw returns the JSON text of v, nil for the zero Value.
func (v Value) Raw() []byte {
	if v.doc == nil {
		return nil
	}
	n := v.doc.nodes[v.i]
	return v.doc.body[n.start:n.end:n.end]
}

// Offset returns the place of v in the document.
func (v Value) Offset() int {
	if v.doc == nil {
		return 0
	}
	return int(v.doc.nodes[v.i].start)
}

// Get returns the member of the object v with the given name, or the zero Value
// if there is none or v is no object.
func (v Value) Get(name string) Value {
	for n, m := range v.Members() {
		if string(n) == name {
			return m
		}
	}
	return Value{}
}

// At returns element i of the array v, or the zero Value.
func (v Value) At(i int) Value {
	for j, e := range v.Items() {
		if j == i {
			return e
		}
	}
	return Value{}
}

// Members yields names and values of the object v in their order, nothing if v
// is no object. A name is valid as long as the document's bytes.
func (v Value) Members() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if v.Kind() != Object {
			return
		}
		nodes := v.doc.nodes
		for i, end := v.i+1, nodes[v.i].next; i < end; i = nodes[i+1].next {
			if !yield((Value{v.doc, i}).name(), Value{v.doc, i + 1}) {
				return
			}
		}
	}
}

// Items yields the elements of the array v in their order, nothing if v is no
// array.
func (v Value) Items() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.Kind() != Array {
			return
		}
		nodes := v.doc.nodes
		for n, i, end := 0, v.i+1, nodes[v.i].next; i < end; n, i = n+1, nodes[i].next {
			if !yield(n, Value{v.doc, i}) {
				return
			}
		}
	}
}

// Len returns the number of elements or members of v, 0 for other kinds.
func (v Value) Len() int {
	n := 0
	switch v.Kind() {
	case Array:
		for range v.Items() {
			n++
		}
	case Object:
		for range v.Members() {
			n++
		}
	}
	return n
}

// Inner returns the text of the string v between its quotes, escapes and all,
// and nil for other kinds.
func (v Value) Inner() []byte {
	if v.Kind() != String {
		return nil
	}
	n := v.doc.nodes[v.i]
	return v.doc.body[n.start+1 : n.end-1 : n.end-1]
}

// Text returns the string v with its escapes undone, and "" for other kinds;
// see [Value.Kind].
func (v Value) Text() string {
	if v.Kind() != String {
		return ""
	}
	if !v.doc.nodes[v.i].escaped {
		return string(v.Inner())
	}
	b, _ := jsontext.AppendUnquote(nil, v.Raw()) // checked when it was parsed
	return string(b)
}

// Is reports whether v is the string s.
func (v Value) Is(s string) bool {
	if v.Kind() != String {
		return false
	}
	if !v.doc.nodes[v.i].escaped {
		return string(v.Inner()) == s
	}
	return v.Text() == s
}

// Bool returns v as a truth value; ok is false for other kinds.
func (v Value) Bool() (b, ok bool) {
	k := v.Kind()
	return k == True, k == True || k == False
}

// Float returns the number v; ok is false for other kinds and for numbers that
// a float64 cannot hold.
func (v Value) Float() (f float64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.Raw()), 64)
	return f, err == nil
}

// Int returns the number v if it is a whole number of 64 bits, in whatever
// notation: 3, 3.0 and 3e0 are the same.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(v.Raw()), 10, 64); err == nil {
		return n, true
	}
	f, ok := v.Float()
	// Above 2⁵³ a float no longer tells neighbouring integers apart.
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// Size returns the number of values that v consists of, itself and member names
// included.
func (v Value) Size() int {
	if v.doc == nil {
		return 0
	}
	return int(v.doc.nodes[v.i].next - v.i)
}

// walkable is the size of a document up to which every path is looked for from
// the root: above, that could take quadratic time.
const walkable = 1024

// Path returns where v stands in its document: names and indexes joined with
// dots, as in "messages.0.role", and "" for the document itself. It is computed
// on demand.
func (v Value) Path() string {
	if v.doc == nil || v.i == 0 {
		return ""
	}
	if len(v.doc.nodes) > walkable {
		v.doc.once.Do(v.doc.index)
		return string(v.doc.path(nil, v.i))
	}
	var path []byte
	for at := uint32(0); at != v.i; {
		inside := Value{v.doc, at}
		n := uint32(0)
		for i := at + 1; ; n++ {
			value := i
			if inside.Kind() == Object {
				value, n = i+1, i
			}
			if next := v.doc.nodes[value].next; v.i >= next { // v comes later
				i = next
				continue
			}
			path = v.doc.step(path, parent{at, n})
			at = value
			break
		}
	}
	return string(path)
}

// step appends one step of a path.
func (d *Doc) step(path []byte, p parent) []byte {
	if p.node != 0 {
		path = append(path, '.')
	}
	if d.nodes[p.node].kind == Object {
		return append(path, Value{d, p.place}.name()...)
	}
	return strconv.AppendUint(path, uint64(p.place), 10)
}

// index finds the parents of all values in one pass.
func (d *Doc) index() {
	d.parents = make([]parent, len(d.nodes))
	for at := range d.nodes {
		v := Value{d, uint32(at)}
		switch v.Kind() {
		case Array:
			for i, e := range v.Items() {
				d.parents[e.i] = parent{v.i, uint32(i)}
			}
		case Object:
			for _, e := range v.Members() {
				d.parents[e.i] = parent{v.i, e.i - 1}
			}
		}
	}
}

// path appends the path of node i, by its parents.
func (d *Doc) path(dst []byte, i uint32) []byte {
	p := d.parents[i]
	if p.node != 0 {
		dst = d.path(dst, p.node)
	}
	return d.step(dst, p)
}

// name returns the member name at v without quotes and escapes.
func (v Value) name() []byte {
	if v.doc.nodes[v.i].escaped {
		return []byte(v.Text())
	}
	return v.Inner()
}

// intern returns the member name at v, without an allocation for the names that
// every request or answer has.
func (v Value) intern() string {
	name := v.name()
	if s, ok := common[string(name)]; ok {
		return s
	}
	return string(name)
}

// common holds frequent member names; it is never changed.
var common = func() map[string]string {
	m := make(map[string]string)
	for _, s := range []string{
		"model", "messages", "message", "stream", "stream_options", "temperature", "top_p", "top_k", "max_tokens",
		"max_completion_tokens", "tools", "tool_choice", "parallel_tool_calls", "response_format", "stop", "n", "seed",
		"user", "metadata", "store", "reasoning_effort", "verbosity", "service_tier", "prompt_cache_key", "input",
		"encoding_format", "dimensions", "system", "stop_sequences", "thinking", "output_config", "context_management",
		"id", "object", "created", "choices", "usage", "system_fingerprint", "type", "role", "content", "stop_reason",
		"stop_sequence", "stop_details", "data", "index", "delta", "content_block", "error", "obfuscation",
		"frequency_penalty", "presence_penalty", "logprobs", "input_tokens",
	} {
		m[s] = s
	}
	return m
}()

// Valid reports whether b is one valid JSON value, such as the arguments that a
// model wrote for a tool. Unlike [Parse] it allows two members of one name.
func Valid(b []byte) bool {
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true))
}

// IsObject reports whether b is a valid JSON object in the sense of [Valid].
func IsObject(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{' && Valid(b)
}
