package fidelity

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
)

// value is JSON text. What a recording or an answer holds is read out of it
// piece by piece, so that numbers, names and their order stay as they were
// written.
type value = json.RawMessage

// in returns the member at a path of names, or nil where there is none or null.
func in(v value, path ...string) value {
	for _, name := range path {
		var o map[string]value
		if json.Unmarshal(v, &o) != nil {
			return nil
		}
		v = o[name]
	}
	if string(v) == "null" {
		return nil
	}
	return v
}

// any1 returns the first member of v that is there: servers of Google take two
// spellings.
func any1(v value, names ...string) value {
	for _, n := range names {
		if m := in(v, n); m != nil {
			return m
		}
	}
	return nil
}

// members returns the members of an object.
func members(v value) map[string]value {
	var o map[string]value
	_ = json.Unmarshal(v, &o)
	return o
}

// items returns the elements of an array.
func items(v value) []value {
	var l []value
	_ = json.Unmarshal(v, &l)
	return l
}

// text returns a string, or "".
func text(v value) string {
	var s string
	_ = json.Unmarshal(v, &s)
	return s
}

// isText reports whether v is a string.
func isText(v value) bool { return len(v) > 0 && v[0] == '"' }

// isObject reports whether v is an object.
func isObject(v value) bool { return len(v) > 0 && v[0] == '{' }

// yes reports whether v is true.
func yes(v value) bool { return string(v) == "true" }

// count reads a number of tokens.
func count(v value) int64 {
	f, ok := new(big.Float).SetString(string(v))
	if !ok {
		return 0
	}
	n, _ := f.Int64()
	return n
}

// quote writes a string as JSON.
func quote(s string) value {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return bytes.TrimSpace(b.Bytes())
}

// encode writes v as JSON.
func encode(v any) value {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // of values that are made here
	}
	return bytes.TrimSpace(b.Bytes())
}

// compact writes JSON without blanks, in its own order and spelling. What is no
// JSON stays as it is.
func compact(v value) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}

// sorted writes JSON in one way, whatever the order of its members.
func sorted(v value) string {
	dec := json.NewDecoder(bytes.NewReader(v))
	dec.UseNumber()
	var x any
	if dec.Decode(&x) != nil || dec.More() {
		return string(v)
	}
	return string(encode(numbers(x)))
}

// numbers writes equal numbers alike: 1, 1.0 and 1e0.
func numbers(x any) any {
	switch x := x.(type) {
	case json.Number:
		if f, err := x.Float64(); err == nil && strings.ContainsAny(x.String(), ".eE") {
			return f
		}
	case []any:
		for i := range x {
			x[i] = numbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = numbers(x[k])
		}
	}
	return x
}

// event is a server-sent event.
type event struct {
	name string
	data []byte // lines joined by LF
	cut  bool   // the blank line at its end is missing
	odd  bool   // has a field other than event and data
}

// events splits a stream. Comments are left out.
func events(body []byte) []event {
	var out []event
	var e event
	var data [][]byte
	some := false
	for len(body) > 0 {
		line, rest := nextLine(body)
		cut := len(rest) == 0 && len(line) == len(body)
		body = rest
		if len(line) > 0 {
			name, v, _ := bytes.Cut(line, []byte(":"))
			v = bytes.TrimPrefix(v, []byte(" "))
			switch string(name) {
			case "data":
				data, some = append(data, v), true
			case "event":
				e.name, some = string(v), true
			case "":
			default:
				e.odd, some = true, true
			}
		}
		if some && (len(line) == 0 || cut || len(body) == 0) {
			e.data, e.cut = bytes.Join(data, []byte("\n")), len(line) > 0
			out = append(out, e)
			e, data, some = event{}, nil, false
		}
	}
	return out
}

// nextLine cuts one line off, which ends with LF, CR or both.
func nextLine(b []byte) (line, rest []byte) {
	i := bytes.IndexAny(b, "\r\n")
	switch {
	case i < 0:
		return b, nil
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return b[:i], b[i+2:]
	}
	return b[:i], b[i+1:]
}
