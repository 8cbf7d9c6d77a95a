package rows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/testkit"
)

// services are the documents whose rows are proved, in the order of the report.
var services = []string{"openai", "ninjachat", "llmtune", "nanogpt", "modelswitch", "samurai"}

// row is one documented behaviour.
type row struct {
	ID         string            `yaml:"id"`
	When       string            `yaml:"when"`
	Status     int               `yaml:"status"`
	Headers    map[string]string `yaml:"headers"`
	Body       map[string]any    `yaml:"body"`
	BodyAbsent []string          `yaml:"body_absent"`
	Closed     bool              `yaml:"closed"`
	Stream     string            `yaml:"stream"`
	Then       string            `yaml:"then"`
	Charged    any               `yaml:"charged"` // 0, or in words
}

// document is one service's public error reference.
type document struct {
	Service   string `yaml:"service"`
	BasePath  string `yaml:"base_path"`
	Auth      string `yaml:"auth"`
	Envelope  string `yaml:"envelope"`
	Envelopes any    `yaml:"envelopes"`
	Retryable []int  `yaml:"retryable"`
	Rows      []row  `yaml:"rows"`
}

func parseDocument(t testing.TB, src []byte) document {
	t.Helper()
	// Some sentences hold a comma and are not quoted, so that a part of them
	// looks like a member of its own. Unknown members are passed over.
	var d document
	if err := yaml.Load(src, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// documents reads the repository's copies.
func documents(t testing.TB) []document {
	t.Helper()
	var out []document
	for _, s := range services {
		src, err := os.ReadFile(filepath.Join("testdata", s+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parseDocument(t, src))
	}
	return out
}

func TestTheCopiesOfTheRowsAreCurrent(t *testing.T) {
	t.Parallel()
	shared := testkit.Shared(t)
	for _, s := range services {
		want, err := os.ReadFile(filepath.Join(shared, "contract", s+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("testdata", s+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("testdata/%s.yaml is not the document's text any more: copy it again", s)
		}
	}
}

func TestTheDocumentsHaveTheirRows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i, d := range documents(t) {
		want := []int{38, 21, 18, 66, 20, 27}[i]
		if len(d.Rows) != want {
			t.Errorf("%s has %d rows, and not %d", d.Service, len(d.Rows), want)
		}
		for _, r := range d.Rows {
			if seen[r.ID] || !strings.HasPrefix(r.ID, services[i]+"/") {
				t.Errorf("row %s stands twice, or in the wrong document", r.ID)
			}
			seen[r.ID] = true
		}
	}
	for id := range proofs {
		if !seen[id] {
			t.Errorf("%s is proved, and no row", id)
		}
	}
}

// differs compares a value of a JSON body with a documented pattern, and says
// where they differ; "" if they do not. closed: no member may be added.
func differs(got, want any, closed bool) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v is no object", got)
		}
		for name, pattern := range w {
			v, there := g[name]
			if !there {
				return name + " is missing"
			}
			if d := differs(v, pattern, closed); d != "" {
				return name + ": " + d
			}
		}
		if closed && len(g) > len(w) {
			return fmt.Sprintf("%v has more than %v", g, w)
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%v is no list of %d", got, len(w))
		}
		for i := range w {
			if d := differs(g[i], w[i], closed); d != "" {
				return fmt.Sprintf("%d: %s", i, d)
			}
		}
		return ""
	case string:
		if !fits(got, w) {
			return fmt.Sprintf("%#v, and not %s", got, w)
		}
		return ""
	case nil:
		if got != nil {
			return fmt.Sprintf("%#v, and not null", got)
		}
		return ""
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Sprintf("%#v, and not %#v", got, want)
	}
	return ""
}

// fits applies the placeholders of the documents to a value of a body.
func fits(got any, pattern string) bool {
	text, isText := got.(string)
	n, isNumber := got.(float64)
	switch pattern {
	case "<any>":
		return true
	case "<text>", "<id>":
		return isText && strings.TrimSpace(text) != ""
	case "<int>":
		return isNumber && n > 0 && n == float64(int64(n))
	case "<num>":
		return isNumber
	case "<iso>":
		_, err := time.Parse(time.RFC3339, text)
		return isText && err == nil
	}
	return isText && text == pattern
}

// headerFits is fits for the text of a header.
func headerFits(got, pattern string) bool {
	switch pattern {
	case "<int>":
		n, err := strconv.ParseInt(got, 10, 64)
		return err == nil && n > 0 && got == strconv.FormatInt(n, 10)
	case "<num>":
		_, err := strconv.ParseFloat(got, 64)
		return err == nil
	}
	return fits(got, pattern)
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, good, bad string
	}{
		{`{a: <text>}`, `{"a":"b","more":1}`, `{"a":" "}`},
		{`{a: <text>}`, `{"a":"b"}`, `{"a":1}`},
		{`{a: <int>}`, `{"a":3}`, `{"a":3.5}`},
		{`{a: <int>}`, `{"a":3}`, `{"a":0}`},
		{`{a: <int>}`, `{"a":3}`, `{"a":"3"}`},
		{`{a: <num>}`, `{"a":-3.5}`, `{"a":"-3.5"}`},
		{`{a: <iso>}`, `{"a":"2026-11-20T00:00:00Z"}`, `{"a":"tomorrow"}`},
		{`{a: <any>}`, `{"a":null}`, `{}`},
		{`{a: literal}`, `{"a":"literal"}`, `{"a":"Literal"}`},
		{`{a: 7}`, `{"a":7}`, `{"a":8}`},
		{`{a: true}`, `{"a":true}`, `{"a":"false"}`},
		{`{a: null}`, `{"a":null}`, `{"a":"None"}`},
		{`{a: [{b: x}, {b: y}]}`, `{"a":[{"b":"x"},{"b":"y","c":1}]}`, `{"a":[{"b":"y"},{"b":"x"}]}`},
		{`{a: [1]}`, `{"a":[1]}`, `{"a":[1,2]}`},
		{`{a: {b: x}}`, `{"a":{"b":"x"}}`, `{"a":"b"}`},
	} {
		var want map[string]any
		if err := yaml.Load([]byte(c.pattern), &want); err != nil {
			t.Fatal(err)
		}
		if d := differs(decoded(t, c.good), want, false); d != "" {
			t.Errorf("%s does not fit %s: %s", c.good, c.pattern, d)
		}
		if differs(decoded(t, c.bad), want, false) == "" {
			t.Errorf("%s fits %s", c.bad, c.pattern)
		}
	}
	if differs(decoded(t, `{"a":1,"b":2}`), map[string]any{"a": 1}, true) == "" {
		t.Error("a member more fits a closed body")
	}
	for _, bad := range []string{"", "0", "-1", "1.5", "soon", "+1"} {
		if headerFits(bad, "<int>") {
			t.Errorf("header %q fits <int>", bad)
		}
	}
	if !headerFits("12", "<int>") || headerFits("true", "false") {
		t.Error("headers are not compared")
	}
}

func decoded(t testing.TB, src string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(src), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
