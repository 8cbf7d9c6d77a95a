package llm

import (
	"encoding/json"
	"io"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// members finds top-level members the slow way: by decoding names in order.
func members(body string) []Member {
	var ms []Member
	depth, i := 0, 0
	skipString := func() {
		for i++; body[i] != '"'; i++ {
			if body[i] == '\\' {
				i++
			}
		}
		i++
	}
	for i < len(body) {
		switch c := body[i]; {
		case c == '"' && depth == 1:
			m := Member{Start: i}
			skipString()
			_ = json.Unmarshal([]byte(body[m.Start:i]), &m.Name)
			for body[i] != ':' {
				i++
			}
			i++
			for body[i] == ' ' {
				i++
			}
			m.ValueStart = i
			var v json.RawMessage
			dec := json.NewDecoder(stringReader(body[i:]))
			_ = dec.Decode(&v)
			i += int(dec.InputOffset())
			m.End = i
			ms = append(ms, m)
		case c == '{':
			depth++
			i++
		default:
			i++
		}
	}
	return ms
}

type reader struct{ s string }

func stringReader(s string) *reader { return &reader{s} }

func (r *reader) Read(p []byte) (int, error) {
	n := copy(p, r.s)
	r.s = r.s[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestSplice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body  string
		edits []Edit
		want  string
	}{
		{`{"model":"a","x":1}`, nil, `{"model":"a","x":1}`},
		{`{"model":"a","x":1}`, []Edit{{"model", []byte(`"b"`)}}, `{"model":"b","x":1}`},
		{` { "model" : "a" , "x" : 1 } `, []Edit{{"x", nil}}, ` { "model" : "a" } `},
		{`{"a":1,"b":2,"c":3}`, []Edit{{"a", nil}}, `{"b":2,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, []Edit{{"b", nil}}, `{"a":1,"c":3}`},
		{`{"a":1}`, []Edit{{"a", nil}}, `{}`},
		{`{"a":1}`, []Edit{{"a", nil}, {"z", []byte("0")}}, `{"z":0}`},
		{`{}`, []Edit{{"z", []byte("0")}, {"y", []byte("1")}}, `{"z":0,"y":1}`},
		{`{"a":{"b":[1,{"c":2}]}}`, []Edit{{"z", []byte("0")}}, `{"a":{"b":[1,{"c":2}]},"z":0}`},
	} {
		r := Raw{Body: []byte(c.body), Members: members(c.body)}
		if got := string(r.Splice(c.edits...)); got != c.want {
			t.Errorf("Splice(%s, %v) = %s, want %s", c.body, c.edits, got, c.want)
		}
	}
}

func TestSpliceKeepsWhatIsNotEdited(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		obj := rapid.MapOf(rapid.StringMatching(`[a-d]`), rapid.IntRange(0, 99)).Draw(t, "object")
		edits := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-f]`), 0, 4, func(s string) string { return s }).Draw(t, "edits")
		body, _ := json.Marshal(obj)
		r := Raw{Body: body, Members: members(string(body))}
		var es []Edit
		want := map[string]int{}
		for k, v := range obj {
			want[k] = v
		}
		for i, name := range edits {
			if i%2 == 0 {
				es = append(es, Edit{name, []byte("-1")})
				want[name] = -1
			} else {
				es = append(es, Edit{name, nil})
				delete(want, name)
			}
		}
		got := map[string]int{}
		if err := json.Unmarshal(r.Splice(es...), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("Splice(%s, %v) = %s, want %v (%v)", body, es, r.Splice(es...), want, err)
		}
	})
}

func TestFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, model, want string }{
		{`{"model":"a","n":1}`, "a much longer \"name\"", `{"model":"a much longer \"name\"","n":1}`},
		{`{ "x" : [1] , "model" : "long name" , "y":2 }`, "b", `{ "x" : [1] , "model" : "b" , "y":2 }`},
		{`{"x":1}`, "b", `{"x":1}`},
	} {
		r := &Request{Model: "a", Raw: Raw{Body: []byte(c.body), Members: members(c.body)}}
		got := r.For(c.model)
		if string(got.Raw.Body) != c.want || got.Model != c.model {
			t.Errorf("For(%q) of %s is %s, %q", c.model, c.body, got.Raw.Body, got.Model)
		}
		if want := members(c.want); !reflect.DeepEqual(got.Raw.Members, want) {
			t.Errorf("places in %s are %v, want %v", got.Raw.Body, got.Raw.Members, want)
		}
		if string(r.Raw.Body) != c.body || r.Model != "a" {
			t.Errorf("the request itself became %s", r.Raw.Body)
		}
	}
}
