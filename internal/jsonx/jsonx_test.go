package jsonx

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

func TestScanRefusesWhatIsNotOneStrictObject(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}" }
	for _, c := range []struct {
		body   string
		reason string // "": accepted
		offset int
	}{
		{`{}`, "", 0},
		{" \n{\"a\":1}\r\t ", "", 0},
		{deep(MaxDepth), "", 0},
		{deep(MaxDepth + 1), "nesting too deep", 5 + MaxDepth - 1},
		{``, "unexpected end", 0},
		{`  `, "unexpected end", 2},
		{`{"a":1`, "unexpected end", 6},
		{`{"a":"`, "unexpected end", 6},
		{`[]`, "not an object", 0},
		{`null`, "not an object", 0},
		{` "x"`, "not an object", 1},
		{`{"a":1,}`, "invalid character ',' at start of value", 6},
		{`{"a":1}{}`, "more after the end of the document", 7},
		{`{"a":1} x`, "more after the end of the document", 8},
		{`{"a":1,"a":2}`, `duplicate member name "a"`, 7},
		{`{"a":{"b":1,"\u0062":2}}`, `duplicate member name "b"`, 12},
		{"{\"a\":\"\xff\"}", "invalid UTF-8", 6},
		{`{"a":"\ud800"}`, "invalid surrogate pair `\\ud800\"}` in string", 6},
		{"{\"a\":\"\x01\"}", "invalid character '\\x01' in string (expecting non-control character)", 6},
		{`{"a":01}`, "invalid character '1' after object value (expecting ',' or '}')", 6},
		{`{"a":NaN}`, "invalid character 'N' at start of value", 5},
		{`{'a':1}`, "invalid character '\\'' at start of value", 1},
	} {
		_, err := Scan([]byte(c.body))
		var se *SyntaxError
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("Scan(%.40q) = %v, want no error", c.body, err)
		case c.reason != "" && !errors.As(err, &se):
			t.Errorf("Scan(%.40q) = %v, want a SyntaxError", c.body, err)
		case c.reason != "" && (se.Reason != c.reason || se.Offset != c.offset):
			t.Errorf("Scan(%.40q) = %q at %d, want %q at %d", c.body, se.Reason, se.Offset, c.reason, c.offset)
		}
	}
}

func TestScanBoundsTheNumberOfValues(t *testing.T) {
	t.Parallel()
	body := `{"a":[` + strings.Repeat("0,", MaxValues) + `0]}`
	var se *SyntaxError
	if _, err := Scan([]byte(body)); !errors.As(err, &se) || se.Reason != "too many values" {
		t.Errorf("Scan of %d values = %v, want too many values", MaxValues+3, err)
	}
}

func TestScanFindsMembers(t *testing.T) {
	t.Parallel()
	body := ` { "model" : "m" , "\u0061b": [1,{"model":2}] ,"n":-1.5e3} `
	raw, err := Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"model", `"m"`}, {"ab", `[1,{"model":2}]`}, {"n", `-1.5e3`}}
	if len(raw.Members) != len(want) {
		t.Fatalf("Scan(%s) has %d members, want %d", body, len(raw.Members), len(want))
	}
	for i, w := range want {
		m := raw.Members[i]
		if m.Name != w[0] || body[m.ValueStart:m.End] != w[1] || body[m.Start] != '"' {
			t.Errorf("member %d = %q %s at %d, want %q %s", i, m.Name, body[m.ValueStart:m.End], m.Start, w[0], w[1])
		}
	}
	if got, want := string(raw.Splice(llm.Edit{Name: "ab"}, llm.Edit{Name: "x", Value: []byte("1")})), ` { "model" : "m" ,"n":-1.5e3,"x":1} `; got != want {
		t.Errorf("Splice = %s, want %s", got, want)
	}
}

func TestValuesReadWithTheirTypes(t *testing.T) {
	t.Parallel()
	d, err := Parse([]byte(`{"s":"a\"\u00e9é","i":3,"f":3.0,"e":1e2,"half":0.5,"big":9007199254740993,"huge":1e400,"t":true,"z":null,"a":[[],[1,{"k":"v"}]],"o":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := d.Root()
	if got := r.Get("s").Text(); got != `a"éé` || !r.Get("s").Is(`a"éé`) || r.Get("s").Is("a") {
		t.Errorf("text = %q", got)
	}
	for name, want := range map[string]int64{"i": 3, "f": 3, "e": 100, "big": 9007199254740993} {
		if got, ok := r.Get(name).Int(); !ok || got != want {
			t.Errorf("Int of %s = %d, %v, want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"half", "huge", "s", "t", "z", "a", "absent"} {
		if got, ok := r.Get(name).Int(); ok {
			t.Errorf("Int of %s = %d, want none", name, got)
		}
	}
	if f, ok := r.Get("half").Float(); !ok || f != 0.5 {
		t.Errorf("Float of half = %v, %v", f, ok)
	}
	if _, ok := r.Get("huge").Float(); ok {
		t.Error("Float of 1e400 is accepted")
	}
	if b, ok := r.Get("t").Bool(); !b || !ok {
		t.Error("Bool of true is not")
	}
	if r.Get("z").Exists() || r.Get("none").Exists() || !r.Get("o").Exists() {
		t.Error("Exists is wrong of null, absent or an empty object")
	}
	v := r.Get("a").At(1).At(1).Get("k")
	if v.Path() != "a.1.1.k" || !v.Is("v") || r.Path() != "" || r.Get("a").At(0).Path() != "a.0" {
		t.Errorf("Path = %q, %q, %q", v.Path(), r.Path(), r.Get("a").At(0).Path())
	}
	if r.Get("a").Len() != 2 || r.Len() != 11 || r.Get("s").Len() != 0 {
		t.Errorf("Len = %d, %d", r.Get("a").Len(), r.Len())
	}
	var zero Value
	if zero.Get("x").At(3).Raw() != nil || zero.Path() != "" || zero.Text() != "" || zero.Inner() != nil || zero.Kind() != Absent {
		t.Error("the zero Value is not empty")
	}
}

// document draws any JSON document as encoding/json writes it.
func document(t *rapid.T, depth int) any {
	switch k := rapid.IntRange(0, 7).Draw(t, "kind"); {
	case k == 0:
		return nil
	case k == 1:
		return rapid.Bool().Draw(t, "bool")
	case k == 2:
		return rapid.Int32().Draw(t, "number")
	case k >= 3 && k <= 5 || depth == 0:
		return rapid.String().Draw(t, "string")
	case k == 6:
		out := make([]any, rapid.IntRange(0, 4).Draw(t, "len"))
		for i := range out {
			out[i] = document(t, depth-1)
		}
		return out
	}
	out := map[string]any{}
	for _, name := range rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "names") {
		out[name] = document(t, depth-1)
	}
	return out
}

func TestEveryValueIsAtItsPath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body, _ := json.Marshal(document(t, 4))
		if rapid.Bool().Draw(t, "large") { // large documents find paths in another way
			body = []byte(`[` + string(body) + strings.Repeat(`,0`, walkable) + `,` + string(body) + `]`)
		}
		d, err := Parse(body)
		if err != nil {
			t.Fatalf("Parse(%s) = %v", body, err)
		}
		var walk func(v Value, path string)
		walk = func(v Value, path string) {
			if got := v.Path(); got != path {
				t.Fatalf("Path = %q, want %q in %s", got, path, body)
			}
			if !json.Valid(v.Raw()) {
				t.Fatalf("Raw at %q = %s", path, v.Raw())
			}
			join := func(s string) string {
				if v.i == 0 {
					return s
				}
				return path + "." + s
			}
			for i, e := range v.Items() {
				walk(e, join(fmt.Sprint(i)))
			}
			for n, e := range v.Members() {
				walk(e, join(string(n)))
			}
		}
		walk(d.Root(), "")
	})
}

func TestAppendStringIsReadBackTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		var got string
		out := AppendString(nil, s)
		if err := json.Unmarshal(out, &got); err != nil || got != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Fatalf("AppendString(%q) = %s, read back as %q (%v)", s, out, got, err)
		}
		if d, err := Parse(out); err != nil || utf8.ValidString(s) && d.Root().Text() != s {
			t.Fatalf("Parse(%s) = %v", out, err)
		}
	})
}

func TestAppendStringLeavesMarkupAlone(t *testing.T) {
	t.Parallel()
	if got := string(AppendString(nil, "<a>&\u2028\x7f\x00")); got != "\"<a>&\u2028\x7f\\u0000\"" {
		t.Errorf("AppendString = %s", got)
	}
}

func TestCountTellsASCIIApart(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][2]int64{"": {0, 0}, "hello": {5, 0}, "héllo wörld, how are you": {22, 4}, "日本語日本語日本語": {0, 27}} {
		if a, o := Count([]byte(s)); a != want[0] || o != want[1] {
			t.Errorf("Count(%q) = %d, %d, want %v", s, a, o, want)
		}
	}
}

func TestValidAllowsWhatModelsWrite(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{`{"a":1,"a":2}`: true, ` {}`: true, `{`: false, `[1]`: false, ``: false, `"x"`: false, `{} {}`: false} {
		if got := IsObject([]byte(s)); got != want {
			t.Errorf("IsObject(%s) = %v, want %v", s, got, want)
		}
	}
}

func prompt(size int) []byte {
	line := "The quick brown fox jumps over the lazy dog, and says \\\"hello\\\".\\n"
	return []byte(`{"model":"gpt-5-mini","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"` +
		strings.Repeat(line, size/len(line)) + `"}],"temperature":0.5,"stream":true}`)
}

func TestScanAllocatesLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	body := prompt(100_000)
	if got := testing.AllocsPerRun(100, func() { _, _ = Scan(body) }); got > 4 {
		t.Errorf("Scan allocates %v times, want at most 4", got)
	}
}

func BenchmarkScan(b *testing.B) {
	for _, size := range []int{200, 1_000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body := prompt(size)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Scan(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzScan compares with the decoder's own verdict and takes the places apart.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":"c\n"}],"d":null}`, `{"a":1,"a":2}`, `[`, "{\"\xff\":1}", ` {"\u0061" : "é"} `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, err := Scan(body)
		valid := jsontext.Value(body).IsValid() && strings.HasPrefix(strings.TrimLeft(string(body), " \t\r\n"), "{")
		if err == nil != valid && !strings.Contains(fmt.Sprint(err), "too") {
			t.Fatalf("Scan(%q) = %v, want valid %v", body, err, valid)
		}
		if err != nil {
			return
		}
		if got := raw.Splice(); string(got) != string(body) && len(raw.Members) > 0 {
			t.Fatalf("Splice() = %q, want %q", got, body)
		}
		d, _ := Parse(body)
		for name, v := range d.Root().Members() {
			if string(raw.Value(string(name))) != string(v.Raw()) {
				t.Fatalf("member %q is %s, want %s", name, raw.Value(string(name)), v.Raw())
			}
		}
	})
}

func TestSpliceLeavesWhatIsNoObjectAlone(t *testing.T) {
	t.Parallel()
	edits := []llm.Edit{{Name: "a", Value: []byte("1")}}
	for body, want := range map[string]string{`{}`: `{"a":1}`, `{"a":0}`: `{"a":1}`, `[]`: `[]`, `x`: `x`, ``: ``} {
		if got := string(Splice([]byte(body), edits)); got != want {
			t.Errorf("Splice(%s) = %s, want %s", body, got, want)
		}
	}
	if got := string(Splice([]byte(` {"b":2} `), nil)); got != ` {"b":2} ` {
		t.Errorf("Splice without edits = %s", got)
	}
}
