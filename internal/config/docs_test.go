package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// docs/config.md is written from the types, so that it cannot drift from them.
func TestTheReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	golden(t, "../../docs/config.md", reference(t))
}

func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Written from the types of internal/config by its tests: go test ./internal/config -run TestTheReferenceIsCurrent -update -->

One YAML file. ` + "`pontage check --config FILE`" + ` reports everything that is wrong with it, each with its line: a member that is not known, a name
that leads nowhere, a value out of bounds. The file is loaded again when it changes and on SIGHUP; one with a mistake changes nothing. Some members need a restart:
` + "`server.listen`, `server.admin_listen`, `server.admin_token`, `server.body_limit`, `server.body_timeout`, `server.heartbeat`, `routing.backoff`, `store.url`, `store.retention`, `store.responses`" + `
and ` + "`listen` of `sites[]`" + `. A file that changes one of them is rejected as a whole, and the log names it.
` + "`GET /admin/v1/effective-config`" + ` shows what is in force, without secrets. An example is in ` + "`examples/pontage.yaml`" + `.

- ` + "`${NAME}`" + ` in a value is the environment variable NAME, which must be set; ` + "`$${`" + ` is a plain ` + "`${`" + `. What is in a variable never changes the
  structure of the file.
- A duration has a unit: ` + "`250ms`, `60s`, `1m30s`, `2h`" + `. A size has one too: ` + "`32MiB`, `500kB`" + `.
- Money is a decimal number with at most nine decimals, read exactly: dollars, or dollars per one million tokens.
- Patterns are names in which ` + "`*`" + ` stands for any characters, ` + "`/`" + ` among them, and ` + "`?`" + ` for any one.
- A file is at most ` + Size(MaxSize).String() + `; anchors and aliases work, merge keys (` + "`<<`" + `) do not.
`)
	section(t, &b, "The file", "", reflect.TypeFor[Config](), map[reflect.Type]bool{})
	return b.String()
}

// section writes the table of one type, and those of the types in it.
func section(t *testing.T, b *strings.Builder, title, intro string, typ reflect.Type, done map[reflect.Type]bool) {
	if done[typ] {
		return
	}
	done[typ] = true
	fmt.Fprintf(b, "\n## %s\n\n%s| member | type | default | meaning |\n|---|---|---|---|\n", title, intro)
	type child struct {
		title string
		typ   reflect.Type
	}
	var inside []child
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := fieldName(f)
		if name == "" {
			continue
		}
		doc, def := f.Tag.Get("doc"), f.Tag.Get("shown")
		if doc == "" {
			t.Errorf("%s.%s has no doc tag", typ.Name(), f.Name)
		}
		if def == "" {
			def = f.Tag.Get("default")
		}
		if def != "" {
			def = "`" + def + "`"
		}
		words, elem := describe(f)
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, words, def, doc)
		if elem != nil {
			inside = append(inside, child{where(title, name, f), elem})
		}
	}
	for _, c := range inside {
		section(t, b, c.title, "", c.typ, done)
	}
}

// where is the title of what is in a member.
func where(title, name string, f reflect.StructField) string {
	if title == "The file" {
		title = ""
	} else {
		title = strings.Trim(title, "`") + "."
	}
	switch {
	case f.Type.Kind() == reflect.Map || f.Tag.Get("key") != "":
		name += ".NAME"
	case f.Type.Kind() == reflect.Slice:
		name += "[]"
	}
	return "`" + title + name + "`"
}

// describe names a member's type for people, and the struct in it, if any.
func describe(f reflect.StructField) (string, reflect.Type) {
	typ := f.Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch reflect.Zero(typ).Interface().(type) {
	case Secret:
		return "secret", nil
	case []Secret:
		return "list of secrets", nil
	case Size:
		return "size", nil
	case Timeout:
		return "duration or `off`", nil
	case time.Duration:
		return "duration", nil
	case Percent:
		return "share", nil
	case money.Amount:
		return "dollars", nil
	case money.Rate:
		return "dollars per 1M tokens", nil
	case SitePlans:
		return "list of names, or names to plans", nil
	case []string:
		return "list", nil
	case map[string]string:
		return "names to values", nil
	case map[string][]string:
		return "names to lists", nil
	}
	switch {
	case f.Tag.Get("key") != "":
		return "names to sections, in order", typ.Elem()
	case typ.Kind() == reflect.Map:
		return "names to sections", typ.Elem()
	case typ.Kind() == reflect.Slice:
		return "list of sections", typ.Elem()
	case typ.Kind() == reflect.Struct:
		return "section", typ
	case typ.Kind() == reflect.Bool:
		return "true or false", nil
	case typ.Kind() == reflect.String:
		return "text", nil
	}
	return "number", nil
}

// A default in a tag is set by reflection, and a wrong one would panic.
func TestEveryDefaultCanBeRead(t *testing.T) {
	t.Parallel()
	for _, typ := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[Provider](), reflect.TypeFor[Quota](), reflect.TypeFor[Site](), reflect.TypeFor[Model]()} {
		v := reflect.New(typ).Elem()
		defaults(v, "")
		if typ != reflect.TypeFor[Model]() && v.IsZero() {
			t.Errorf("%s has no defaults at all", typ)
		}
	}
}

func TestSizesAndDurationsReadBackAsTheyAreShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"32MiB": "32MiB", "1024KiB": "1MiB", "1000B": "1kB", "0B": "0B", "7B": "7B", "2GB": "2GB", "1 GiB": "1GiB"} {
		s, err := ParseSize(in)
		if err != nil || s.String() != want {
			t.Errorf("ParseSize(%q) = %s, %v; want %s", in, s, err, want)
		}
		if back, err := ParseSize(s.String()); err != nil || back != s {
			t.Errorf("%s reads back as %d, %v", s, back, err)
		}
	}
	for _, bad := range []string{"", "32", "MiB", "-1MiB", "1.5MiB", "9999999999GiB", "1TiB", "32mib"} {
		if s, err := ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", bad, s)
		}
	}
	for d, want := range map[time.Duration]string{time.Minute: "1m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s", 250 * time.Millisecond: "250ms", 10 * time.Second: "10s", 0: "0s"} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestFactorsReadBackAsTheyAreShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1": "1", "2.50": "2.5", "0.1": "0.1", "1.000001": "1.000001", "10": "10"} {
		var f, back Factor
		if err := setScalar(reflect.ValueOf(&f).Elem(), in); err != nil || f.String() != want {
			t.Errorf("%q is %s, %v; want %s", in, f, err, want)
		}
		if err := setScalar(reflect.ValueOf(&back).Elem(), f.String()); err != nil || back != f {
			t.Errorf("%s reads back as %d, %v", f, back, err)
		}
	}
	for _, bad := range []string{"", "-1", "1.0000001", "1e1", "170%", "x"} {
		var f Factor
		if err := setScalar(reflect.ValueOf(&f).Elem(), bad); err == nil {
			t.Errorf("%q is %s, want an error", bad, f)
		}
	}
}
