package fields

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
)

func value(t testing.TB, text string) jsonx.Value {
	t.Helper()
	doc, err := jsonx.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s) = %v", text, err)
	}
	return doc.Root()
}

func TestChecksAcceptAndRefuse(t *testing.T) {
	t.Parallel()
	type check func(p *Problems, v jsonx.Value) bool
	number := func(p *Problems, v jsonx.Value) bool { _, ok := p.Number(v, 0, 2); return ok }
	integer := func(p *Problems, v jsonx.Value) bool { _, ok := p.Integer(v, 1, 128); return ok }
	open := func(p *Problems, v jsonx.Value) bool { _, ok := p.Integer(v, 1, 1<<62); return ok }
	budget := func(p *Problems, v jsonx.Value) bool { _, ok := p.Number(v, -0.5, 1e21); return ok }
	boolean := func(p *Problems, v jsonx.Value) bool { _, ok := p.Bool(v); return ok }
	text := func(p *Problems, v jsonx.Value) bool { return p.Text(v, 3) }
	name := func(p *Problems, v jsonx.Value) bool { return p.Name(v, 4) }
	one := func(p *Problems, v jsonx.Value) bool { return p.OneOf(v, "low", "medium", "high") }
	array := func(p *Problems, v jsonx.Value) bool { return p.Array(v, 1, 2) }
	stringsOf := func(p *Problems, v jsonx.Value) bool { return p.Strings(v, 0, 2) }
	pairs := func(p *Problems, v jsonx.Value) bool { return p.Pairs(v, 2, 3, 3) }
	const invalid, wrong = fault.InvalidParameter, fault.InvalidType
	for _, c := range []struct {
		name    string
		check   check
		value   string
		code    fault.Code // None: accepted
		message string
		field   string
	}{
		{"number", number, `0`, fault.None, "", ""},
		{"number", number, `2.0`, fault.None, "", ""},
		{"number", budget, `-1`, invalid, "Must be between -0.5 and 1000000000000000000000", "v"},
		{"number", number, `2.01`, invalid, "Must be between 0 and 2", "v"},
		{"number", number, `-1e-9`, invalid, "Must be between 0 and 2", "v"},
		{"number", number, `1e999`, invalid, "Must be between 0 and 2", "v"},
		{"number", number, `"hot"`, wrong, "Must be a number", "v"},
		{"integer", integer, `1`, fault.None, "", ""},
		{"integer", integer, `128.0`, fault.None, "", ""},
		{"integer", integer, `0`, invalid, "Must be between 1 and 128", "v"},
		{"integer", integer, `129`, invalid, "Must be between 1 and 128", "v"},
		{"integer", integer, `1.5`, wrong, "Must be a whole number", "v"},
		{"integer", integer, `"1"`, wrong, "Must be a whole number", "v"},
		{"integer", integer, `true`, wrong, "Must be a whole number", "v"},
		{"open", open, `0`, invalid, "Must be at least 1", "v"},
		{"open", open, `99999999999999999999`, invalid, "Is too large", "v"},
		{"open", open, `1e400`, invalid, "Is too large", "v"},
		{"open", open, `-1e400`, invalid, "Must be at least 1", "v"},
		{"open", open, `-99999999999999999999`, invalid, "Must be at least 1", "v"},
		{"bool", boolean, `false`, fault.None, "", ""},
		{"bool", boolean, `"true"`, wrong, "Must be true or false", "v"},
		{"text", text, `"日本語"`, fault.None, "", ""},
		{"text", text, `"abcd"`, invalid, "Must have at most 3 characters", "v"},
		{"text", text, `""`, invalid, "Must not be empty", "v"},
		{"text", text, `{}`, wrong, "Must be a string", "v"},
		{"name", name, `"a_-9"`, fault.None, "", ""},
		{"name", name, `"\u0061\u005f"`, fault.None, "", ""},
		{"name", name, `"\u0020"`, invalid, "Must consist of letters, digits, underscores and dashes", "v"},
		{"name", name, `"a b"`, invalid, "Must consist of letters, digits, underscores and dashes", "v"},
		{"name", name, `"a@"`, invalid, "Must consist of letters, digits, underscores and dashes", "v"},
		{"one of", one, `"high"`, fault.None, "", ""},
		{"one of", one, `"huge"`, invalid, "Must be one of low, medium or high", "v"},
		{"one of", one, `1`, wrong, "Must be a string", "v"},
		{"array", array, `[1]`, fault.None, "", ""},
		{"array", array, `[]`, invalid, "Must not be empty", "v"},
		{"array", array, `[1,2,3]`, invalid, "Must have at most 2 elements", "v"},
		{"array", array, `{}`, wrong, "Must be an array", "v"},
		{"strings", stringsOf, `["a","b"]`, fault.None, "", ""},
		{"strings", stringsOf, `["a",1]`, wrong, "Must be a string", "v.1"},
		{"pairs", pairs, `{"a":"b"}`, fault.None, "", ""},
		{"pairs", pairs, `{"a":1}`, wrong, "Must be a string", "v.a"},
		{"pairs", pairs, `{"abcd":"b"}`, invalid, "Must have a name of at most 3 characters", "v.abcd"},
		{"pairs", pairs, `{"a":"bcde"}`, invalid, "Must have at most 3 characters", "v.a"},
		{"pairs", pairs, `{"a":"","b":"","c":""}`, invalid, "Must have at most 2 members", "v"},
		{"object", (*Problems).Object, `{}`, fault.None, "", ""},
		{"object", (*Problems).Object, `[]`, wrong, "Must be an object", "v"},
	} {
		var p Problems
		ok := c.check(&p, value(t, `{"v":`+c.value+`}`).Get("v"))
		err := p.Err()
		if c.code == fault.None {
			if !ok || err != nil {
				t.Errorf("%s(%s) = %v, %v, want accepted", c.name, c.value, ok, err)
			}
			continue
		}
		want := []fault.Detail{{Field: c.field, Code: c.code, Message: c.message}}
		var fe *fault.Error
		if ok || !errors.As(err, &fe) {
			t.Errorf("%s(%s) = %v, %v, want refused", c.name, c.value, ok, err)
		} else if diff := cmp.Diff(want, fe.Details); diff != "" {
			t.Errorf("%s(%s) (-want +got):\n%s", c.name, c.value, diff)
		}
	}
	for _, c := range []check{number, integer, boolean, text, name, one, array, stringsOf, pairs, (*Problems).Object, (*Problems).String} {
		for _, body := range []string{`{}`, `{"v":null}`} {
			var p Problems
			if ok := c(&p, value(t, body).Get("v")); ok || p.Err() != nil {
				t.Errorf("a check of v in %s = %v, %v, want neither", body, ok, p.Err())
			}
		}
	}
}

func TestProblemsComeInTheOrderOfTheRequest(t *testing.T) {
	t.Parallel()
	r := value(t, `{"a":1,"b":{"c":2},"d":[{"e":3}]}`)
	var p Problems
	p.Require(r.Get("d").At(0), "role")
	p.Invalid(r.Get("b").Get("c"), "bad")
	p.Invalid(r.Get("a"), "bad")
	p.Require(r, "model")
	var fe *fault.Error
	if !errors.As(p.Err(), &fe) {
		t.Fatal("no error")
	}
	var got []string
	for _, d := range fe.Details {
		got = append(got, d.Field)
	}
	if diff := cmp.Diff([]string{"model", "a", "b.c", "d.0.role"}, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if fe.Param != "model" || fe.Code != fault.MissingParameter || fe.Message != "Required" {
		t.Errorf("first = %v", fe)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	v := value(t, `[`+strings.Repeat(`1,`, 1000)+`1]`)
	var p Problems
	p.Strings(v, 0, 5000)
	var fe *fault.Error
	if !errors.As(p.Err(), &fe) || len(fe.Details) != MaxProblems {
		t.Errorf("got %d details, want %d", len(fe.Details), MaxProblems)
	}
}

func TestParseSaysWhereABodyIsBad(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{`:   "The request body is not a valid JSON object: unexpected end at byte 1.",
		` []`: "The request body is not a valid JSON object: not an object at byte 1.",
		``:    "The request body is not a valid JSON object: unexpected end at byte 0.",
	} {
		_, err := Parse([]byte(body))
		if e := fault.From(err); e == nil || e.Code != fault.InvalidJSON || e.Message != want {
			t.Errorf("Parse(%q) = %v, want %q", body, err, want)
		}
	}
}

func TestSchemasAreCheckedLeniently(t *testing.T) {
	t.Parallel()
	var s Schemas
	for _, c := range []struct{ schema, field string }{
		{`{}`, ""},
		{`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`, ""},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","definitions":{"x":{}},"properties":{"a":{"$ref":"#/definitions/x"}}}`, ""},
		{`{"type":"integer","minimum":0,"exclusiveMinimum":true}`, ""}, // draft 4
		{`{"type":"array","items":[{"type":"string"}]}`, ""},           // draft 7
		{`{"type":"string","pattern":"^(?!x)\\p{L}+$"}`, ""},           // not Go's dialect
		{`{"$ref":"https://example.com/other.json#/$defs/x"}`, ""},
		{`{"$ref":"other.json#x"}`, ""},
		{`{"$ref":"https://example.com/other.json"}`, ""},                                      // never fetched
		{`{"type":["string","null"],"enum":["a",null],"strict":true,"x-made-up":{"a":1}}`, ""}, // unknown keywords
		{`{"type":"strin"}`, "s.type"},
		{`{"type":"object","properties":{"a":{"type":"text"}}}`, "s.properties.a.type"},
		{`{"type":"object","properties":[]}`, "s.properties"},
		{`{"required":"a"}`, "s.required"},
		{`{"$ref":"#/definitions/none"}`, "s"},
		{`{"minLength":-1}`, "s.minLength"},
		{`[]`, "s"},
		{`"x"`, "s"},
		{`true`, "s"}, // a valid schema, but not for a provider
	} {
		for range 2 { // the second time may come from memory
			var p Problems
			s.Check(&p, value(t, `{"s":`+c.schema+`}`).Get("s"))
			e := fault.From(p.Err())
			switch {
			case c.field == "" && e != nil:
				t.Errorf("Check(%s) = %v, want good", c.schema, e)
			case c.field != "" && (e == nil || e.Param != c.field):
				t.Errorf("Check(%s) = %v, want a problem at %s", c.schema, e, c.field)
			case e != nil && (e.Code != fault.InvalidJSONSchema || !strings.HasPrefix(e.Message, "Is not a valid JSON Schema")):
				t.Errorf("Check(%s) = %v", c.schema, e)
			case e != nil && (strings.Contains(e.Message, "schema:///") || strings.Contains(e.Message, "\n")):
				t.Errorf("Check(%s) says %q", c.schema, e.Message)
			}
		}
	}
}

func TestSchemasWithNumbersBeyondAllMeasureAreNotJudged(t *testing.T) {
	t.Parallel()
	for _, n := range []string{`1e1000001`, `-1E+1000000`, `1e-1000000`, `1e99999999999999999999`} {
		for _, schema := range []string{`{"multipleOf":` + n + `}`, `{"type":"x","properties":{"a":{"enum":[0,` + n + `]}}}`} {
			var p Problems
			var s Schemas
			s.Check(&p, value(t, schema))
			if err := p.Err(); err != nil || len(s.good) > 0 {
				t.Errorf("Check(%s) = %v, want no judgement", schema, err)
			}
		}
	}
	var p Problems
	var s Schemas
	if s.Check(&p, value(t, `{"type":"x","maximum":1e308,"minimum":-2.5e-300}`)); p.Err() == nil {
		t.Error("a schema with large numbers is not judged")
	}
}

func TestSchemasNeedNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		``:                "Required",
		`"name":null`:     "Required",
		`"name":"a_-9"`:   "",
		`"name":"\u0061"`: "",
		`"name":""`:       "Must not be empty",
		`"name":5`:        "Must be a string",
		`"name":"a.b"`:    "Must consist of letters, digits, underscores and dashes",
		`"name":"abcde"`:  "Must have at most 4 characters",
	} {
		var p Problems
		p.SchemaName(value(t, `{"s":{`+name+`}}`).Get("s"), 4)
		switch e := fault.From(p.Err()); {
		case want == "" && e != nil:
			t.Errorf("SchemaName of %s = %v, want good", name, e)
		case want != "" && (e == nil || e.Code != fault.InvalidJSONSchema || e.Param != "s.name" || e.Message != want):
			t.Errorf("SchemaName of %s = %v, want %s", name, e, want)
		}
	}
	var full Problems
	for range MaxProblems {
		full.SchemaName(value(t, `{}`), 4)
	}
	full.SchemaName(value(t, `{"name":5}`), 4)
	if e := fault.From(full.Err()); len(e.Details) != MaxProblems {
		t.Errorf("%d details, want %d", len(e.Details), MaxProblems)
	}
}

func TestSchemasForgetRatherThanGrow(t *testing.T) {
	t.Parallel()
	var s Schemas
	s.Check(&Problems{}, value(t, `{}`))
	for i := range maxSchemaCache - 1 {
		s.good[key{uint64(i), -1}] = struct{}{}
	}
	s.Check(&Problems{}, value(t, `{"title":"one too many"}`))
	if len(s.good) != 1 {
		t.Errorf("%d schemas are remembered, want only the last", len(s.good))
	}
}

func BenchmarkSchemaKnown(b *testing.B) {
	v := value(b, `{"type":"object","properties":{"a":{"type":"string","description":"`+strings.Repeat("words ", 100)+`"}},"required":["a"],"additionalProperties":false}`)
	var s Schemas
	var p Problems
	b.ReportAllocs()
	for b.Loop() {
		s.Check(&p, v)
	}
}

func BenchmarkSchemaNew(b *testing.B) {
	v := value(b, `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"array","items":{"type":"integer"}}},"required":["a"],"additionalProperties":false}`)
	b.ReportAllocs()
	for b.Loop() {
		var s Schemas
		var p Problems
		s.Check(&p, v)
	}
}

func TestSchemasAreCheckedWithinBounds(t *testing.T) {
	t.Parallel()
	bad := func(n int) string { return `{"type":"x","title":"` + fmt.Sprint(n) + `"}` }
	var p Problems
	var s Schemas
	large := `{"type":"x","properties":{"a":{}`
	for i := range maxValues {
		large += fmt.Sprintf(`,"p%d":{}`, i)
	}
	s.Check(&p, value(t, large+`}}`))
	s.Check(&p, value(t, `{"type":"x","description":"`+strings.Repeat("x", maxSchema)+`"}`))
	if err := p.Err(); err != nil {
		t.Errorf("schemas beyond the bounds = %v, want no judgement", err)
	}
	good := `{"type":"object","properties":{"a":{}`
	for i := range maxValues/2 - 10 {
		good += fmt.Sprintf(`,"p%d":{}`, i)
	}
	for i := range maxNew/maxValues + 2 {
		s.Check(&p, value(t, good+fmt.Sprintf(`},"title":"%d"}`, i)))
	}
	s.Check(&p, value(t, bad(1)))
	if err := p.Err(); err != nil {
		t.Errorf("a schema after too many others = %v, want no judgement", err)
	}
	var fresh Problems
	if s.Check(&fresh, value(t, bad(2))); fresh.Err() == nil {
		t.Error("the bound of one request acts on the next")
	}
}
