package testkit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema checks documents against one of the official schemas.
type Schema struct{ s *jsonschema.Schema }

var (
	mu       sync.Mutex
	compiled = map[string]*Schema{}
)

// LoadSchema returns a schema of the folder schemas: a file such as
// "anthropic.Message.json", or a component of openai.json such as
// "openai.json#CreateChatCompletionResponse".
func LoadSchema(t testing.TB, name string) *Schema {
	t.Helper()
	dir := filepath.Join(Shared(t), "schemas")
	mu.Lock()
	defer mu.Unlock()
	if s, ok := compiled[name]; ok {
		return s
	}
	file, component, isComponent := strings.Cut(name, "#")
	raw, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	at := "file:///" + file
	if isComponent {
		fromOpenAPI(doc)
		at += "#/components/schemas/" + component
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) { return anyRegexp(s), nil })
	if err := c.AddResource("file:///"+file, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(at)
	if err != nil {
		t.Fatalf("compile %s: %v", name, err)
	}
	compiled[name] = &Schema{s}
	return compiled[name]
}

// Check returns what is wrong with a document, or nil.
func (s *Schema) Check(doc []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	return s.s.Validate(v)
}

// fromOpenAPI makes JSON Schema of OpenAPI's own words, nullable, and leaves out
// references to where a reader came from, which are of an older draft.
func fromOpenAPI(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			fromOpenAPI(e)
		}
	case map[string]any:
		for _, e := range v {
			fromOpenAPI(e)
		}
		delete(v, "$recursiveAnchor")
		delete(v, "$recursiveRef")
		if v["nullable"] == true {
			delete(v, "nullable")
			inner := map[string]any{}
			for k, e := range v {
				inner[k] = e
				delete(v, k)
			}
			v["anyOf"] = []any{inner, map[string]any{"type": "null"}}
		}
	}
}

type anyRegexp string

func (r anyRegexp) String() string        { return string(r) }
func (anyRegexp) MatchString(string) bool { return true }
