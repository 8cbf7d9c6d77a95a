package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Bounds of a file. Aliases make a small file large, so what is read through
// them counts each time.
const (
	MaxSize  = 1 << 20 // bytes
	maxNodes = 200_000
	maxDepth = 100
)

// decoder turns YAML nodes into values and collects what is wrong. Types are
// finite, so a cycle of aliases ends at a type that does not fit.
type decoder struct {
	file     string
	env      func(string) (string, bool)
	problems []*Problem
	lines    map[string]int
	nodes    int
}

// document parses the one document of src. An empty file is an empty mapping.
func (d *decoder) document(src string) (root *yaml.Node, ok bool) {
	limits := loaderlimits.New(loaderlimits.DepthValue(maxDepth), loaderlimits.AliasNone())
	l, err := yaml.NewLoader(strings.NewReader(src), yaml.WithPlugin(limits))
	if err != nil {
		d.syntax(err)
		return nil, false
	}
	var doc, second yaml.Node
	if err := l.Load(&doc); err != nil && !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil, false
	}
	root = &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		root = doc.Content[0]
	}
	if root.Kind == 0 {
		return &yaml.Node{Kind: yaml.MappingNode, Line: 1}, true
	}
	if err := l.Load(&second); err == nil {
		d.bad("", &second, "only one document is allowed")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	return root, len(d.problems) == 0
}

func (d *decoder) bad(path string, n *yaml.Node, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	d.problems = append(d.problems, &Problem{File: d.file, Line: line, Path: path, Reason: unmark(fmt.Sprintf(format, args...))})
}

var typeSitePlans = reflect.TypeFor[SitePlans]()

// value reads n into v, which is settable.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.bad("", n, "the file has more than %d values, counting what aliases repeat", maxNodes)
		}
		return
	}
	if d.lines[path] == 0 {
		d.lines[path] = n.Line
	}
	switch {
	case v.Type() == typeSitePlans:
		d.sitePlans(path, n, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem())
	case v.Kind() == reflect.Struct:
		d.structure(path, n, v)
	case v.Kind() == reflect.Map:
		d.mapping(path, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// nothing reports whether n is null: a section whose members are commented out.
func nothing(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 &&
		(n.Value == "" || n.Value == "~" || n.Value == "null")
}

// members calls f for each member of a mapping, and reports what is no mapping
// and names that are there twice.
func (d *decoder) members(path string, n *yaml.Node, f func(name, path string, key, value *yaml.Node)) {
	if nothing(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.bad(path, n, "must be a mapping of names to values, not %s", kindOf(n))
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		name := unmark(key.Value)
		switch {
		case key.Kind != yaml.ScalarNode:
			d.bad(path, key, "a name must be a plain word, not %s", kindOf(key))
			continue
		case key.Value != name:
			d.bad(join2(path, name), key, "variables are not looked up in names, only in values")
			continue
		case seen[name] > 0:
			d.bad(join2(path, name), key, "is there twice (first in line %d)", seen[name])
			continue
		}
		seen[name] = key.Line
		d.lines[join2(path, name)] = key.Line
		f(name, join2(path, name), key, value)
	}
}

func join2(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if nothing(n) {
			return "nothing"
		}
		return "a single value"
	}
	return "an alias"
}

func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	t := v.Type()
	fields := make(map[string]int, t.NumField())
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		if name := fieldName(t.Field(i)); name != "" {
			fields[name] = i
			names = append(names, name)
		}
	}
	given := make([]bool, t.NumField())
	d.members(path, n, func(name, at string, key, value *yaml.Node) {
		i, ok := fields[name]
		if !ok {
			d.bad(at, key, "unknown field%s", meant(name, names))
			return
		}
		given[i] = true
		if t.Field(i).Tag.Get("key") != "" {
			d.named(at, value, v.Field(i))
			return
		}
		d.value(at, value, v.Field(i))
	})
	for i := range t.NumField() {
		if !given[i] {
			defaults(v.Field(i), t.Field(i).Tag.Get("default"))
		}
	}
}

// fieldName is the name of a field in a file; empty: it has none.
func fieldName(f reflect.StructField) string {
	name := f.Tag.Get("yaml")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// defaults sets v to what stands for it where the file says nothing.
func defaults(v reflect.Value, def string) {
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if f := v.Type().Field(i); fieldName(f) != "" {
				defaults(v.Field(i), f.Tag.Get("default"))
			}
		}
		return
	}
	if def != "" {
		if err := setScalar(v, def); err != nil {
			panic(fmt.Sprintf("config: default %q: %v", def, err)) // a tag in this package is wrong
		}
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	d.members(path, n, func(name, at string, _, value *yaml.Node) {
		x := reflect.New(v.Type().Elem()).Elem()
		d.value(at, value, x)
		v.SetMapIndex(reflect.ValueOf(name), x)
	})
}

// named reads a mapping whose order matters into a slice of structs with a Name.
func (d *decoder) named(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	d.members(path, n, func(name, at string, _, value *yaml.Node) {
		x := reflect.New(v.Type().Elem()).Elem()
		d.value(at, value, x)
		x.FieldByName("Name").SetString(name)
		v.Set(reflect.Append(v, x))
	})
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if nothing(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.bad(path, n, "must be a list, not %s", kindOf(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, min(len(n.Content), maxNodes))
	for i, c := range n.Content {
		x := reflect.New(v.Type().Elem()).Elem()
		d.value(fmt.Sprintf("%s[%d]", path, i), c, x)
		out = reflect.Append(out, x)
	}
	v.Set(out)
}

func (d *decoder) sitePlans(path string, n *yaml.Node, v reflect.Value) {
	p := v.Addr().Interface().(*SitePlans)
	if n.Kind == yaml.SequenceNode {
		d.list(path, n, reflect.ValueOf(&p.Names).Elem())
		return
	}
	d.mapping(path, n, reflect.ValueOf(&p.Own).Elem())
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.bad(path, n, "must be %s, not %s", wanted(v), kindOf(n))
		return
	}
	if nothing(n) {
		d.bad(path, n, "has no value")
		return
	}
	text, bad := expand(n.Value, d.env)
	for _, b := range bad {
		d.bad(path, n, "%s", b)
	}
	if len(bad) > 0 {
		return
	}
	if err := setScalar(v, text); err != nil {
		shown := ": " + fmt.Sprintf("%q", clip(text))
		if strings.ContainsRune(n.Value, refStart) {
			shown = "" // it came out of the environment, and may be a secret
		}
		d.bad(path, n, "%v%s", err, shown)
	}
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// syntax makes problems of the parser's error.
func (d *decoder) syntax(err error) {
	var all []*yaml.LoadError
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	if errors.As(err, &many) {
		all = many.Errors
	} else if errors.As(err, &one) {
		all = append(all, one)
	}
	for _, e := range all {
		line := e.Mark.Line
		if line == 0 {
			line = e.ContextMark.Line
		}
		d.problems = append(d.problems, &Problem{File: d.file, Line: line, Reason: "not YAML: " + unmark(e.Message)})
	}
	if len(all) == 0 {
		d.problems = append(d.problems, &Problem{File: d.file, Reason: "not YAML: " + unmark(err.Error())})
	}
}

// names lists the keys of a map, sorted.
func names[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
