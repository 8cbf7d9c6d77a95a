package contract

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
)

// docs/errors.md is this output: a row that changes makes the page stale, and
// this test fail.
func TestErrorReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	var cs []*Contract
	for _, name := range []string{"openai", "ninjachat"} {
		cs = append(cs, load(t, name))
	}
	for _, name := range Embedded() {
		if name != "openai" && name != "ninjachat" {
			cs = append(cs, load(t, name))
		}
	}
	golden(t, "../../docs/errors.md", Markdown(cs...))
}

func TestReferenceHasEveryFaultInEveryEnvelope(t *testing.T) {
	t.Parallel()
	for _, c := range everything(t) {
		seen := map[string]int{}
		for _, r := range Reference(c) {
			seen[r.Envelope+" "+r.Fault]++
			if r.Meaning == "" || r.Advice == "" || r.Charged == "" || !validJSON([]byte(r.Example)) {
				t.Errorf("%s: %+v", c.Name(), r)
			}
			if r.Status != c.Status(r.Envelope, codeOf(t, r.Fault)) {
				t.Errorf("%s: %s says %d", c.Name(), r.Fault, r.Status)
			}
		}
		if want := len(fault.All()) * len(c.Envelopes()); len(seen) != want {
			t.Errorf("%s: %d rows, want %d", c.Name(), len(seen), want)
		}
	}
}

func TestReferenceTellsRetryAsTheHeaderDoes(t *testing.T) {
	t.Parallel()
	says := map[string]string{"true": "yes", "false": "no", "": "up to you"}
	c := load(t, "openai")
	for _, r := range Reference(c) {
		h := headers(t, c.Render(r.Envelope, Sample(codeOf(t, r.Fault)), Facts{RequestID: "req_1"}))
		if want := says[h["x-should-retry"]]; r.Retry != want {
			t.Errorf("%s %s: retry %q, the header says %q", r.Envelope, r.Fault, r.Retry, want)
		}
	}
}

// strict reads a page as XML, and returns its text, its ids and what they are
// linked by.
func strict(t *testing.T, page []byte) (text string, ids map[string]int, links []string) {
	t.Helper()
	ids = map[string]int{}
	var b strings.Builder
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		token, err := d.Token()
		if err == io.EOF {
			return b.String(), ids, links
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		switch token := token.(type) {
		case xml.CharData:
			b.Write(token)
		case xml.StartElement:
			if name := token.Name.Local; name == "script" || name == "img" || name == "link" || name == "iframe" {
				t.Errorf("the page has a %s", name)
			}
			for _, a := range token.Attr {
				switch {
				case a.Name.Local == "id":
					ids[a.Value]++
				case a.Name.Local == "href":
					links = append(links, a.Value)
				case strings.HasPrefix(a.Name.Local, "on"):
					t.Errorf("the page has a handler %s", a.Name.Local)
				}
			}
		}
	}
}

func TestPagesForBrowsers(t *testing.T) {
	t.Parallel()
	for _, c := range everything(t) {
		page := c.HTML(PageOptions{Site: "a <site>", BaseURL: "https://a.example.com/", Model: `it's "<m>"`})
		text, ids, links := strict(t, page)
		for _, e := range fault.All() {
			if ids[e.Name] != 1 {
				t.Errorf("%s: %d elements have the id %s", c.Name(), ids[e.Name], e.Name)
			}
		}
		if want := len(c.Envelopes())*(len(fault.All())+1) + 1; len(ids) != want {
			t.Errorf("%s: %d ids, want %d", c.Name(), len(ids), want)
		}
		for id, n := range ids {
			if n > 1 {
				t.Errorf("%s: the id %s stands %d times", c.Name(), id, n)
			}
		}
		for _, l := range links {
			if id, ok := strings.CutPrefix(l, "#"); !ok || ids[id] == 0 {
				t.Errorf("%s: a link leads to %s", c.Name(), l)
			}
		}
		for _, want := range []string{
			"Errors of a <site>", "'https://a.example.com/", c.KeyFormat().Inference[0] + "YOUR_API_KEY", `it'\''s \"\u003cm\u003e\"`, "It works.",
			strings.Join(strings.Fields(c.About()), " "),
		} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("%s: the page does not say %s", c.Name(), want)
			}
		}
		for _, r := range Reference(c) {
			if !strings.Contains(text, r.Meaning) || !strings.Contains(text, r.Note) {
				t.Errorf("%s: the page does not tell the meaning of %s", c.Name(), r.Fault)
			}
		}
		for _, bad := range []string{"{{", "<no value>", "%!", "ZgotmplZ", "`"} {
			if bytes.Contains(page, []byte(bad)) {
				t.Errorf("%s: the page has %s in it", c.Name(), bad)
			}
		}
	}
}

func TestQuickDebugIsACommandOfTheSite(t *testing.T) {
	t.Parallel()
	want := `curl -s -o /dev/null -w '%{http_code}\n' 'https://ninja.example.com/api/v1/chat' \
  -H 'Authorization: Bearer nj_sk_YOUR_API_KEY' \
  -H 'Content-Type: application/json' \
  -d '{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}'
`
	page := string(load(t, "ninjachat").Page(PageOptions{BaseURL: "https://ninja.example.com", Model: "gpt-5-mini"}))
	for _, s := range []string{want, "| 200 | It works. |\n", "| 401 | The API key is not valid. |\n", "| 402 | The balance does not cover this request. |\n"} {
		if !strings.Contains(page, s) {
			t.Errorf("the page lacks\n%s", s)
		}
	}
	if page := string(load(t, "modelswitch").Page(PageOptions{})); !strings.Contains(page, "| 403 | The balance does not cover this request. |\n") || !strings.Contains(page, "https://api.example.com/v1/chat/completions") {
		t.Error("modelswitch: a balance that does not suffice is not told as 403, or the address is no example")
	}
	for surface, want := range map[string]string{
		"prompt, envelope: flat":             `'https://api.example.com/v1/m/YOUR_MODEL/x' \` + "\n",
		"anthropic.messages, envelope: flat": `"max_tokens":16`,
		"openai.models, envelope: flat":      "",
	} {
		path := "POST /v1/m/x"
		if strings.HasPrefix(surface, "prompt") {
			path = "POST /v1/m/{model}/x"
		} else if want == "" {
			path = "GET /v1/m/x"
		}
		c, err := Parse("c.yaml", []byte(strings.NewReplacer("POST /v1/chat", path, "chat, envelope: flat", surface, "[authorization]", "[x-api-key]").Replace(small)))
		if err != nil {
			t.Fatal(err)
		}
		page := string(c.Page(PageOptions{}))
		if want == "" && strings.Contains(page, "curl") {
			t.Errorf("%s: there is nothing to try, and the page has a command", surface)
		}
		if !strings.Contains(page, want) || want != "" && !strings.Contains(page, "'X-Api-Key: k_YOUR_API_KEY'") {
			t.Errorf("%s: the page lacks %s", surface, want)
		}
	}
}

func codeOf(t *testing.T, name string) fault.Code {
	t.Helper()
	code, ok := fault.Lookup(name)
	if !ok {
		t.Fatalf("no fault %q", name)
	}
	return code
}

// Whoever writes a contract reads docs/contracts.md: it must know every
// section, field, surface and placeholder. It is not parallel, since with
// -update it writes what others read.
func TestTheFormatIsDescribed(t *testing.T) {
	const path = "../../docs/contracts.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := region(t, string(page), "placeholders", placeholderTable())
	doc = region(t, doc, "answers", answerTables())
	golden(t, path, []byte(doc))
	for _, names := range [][]string{sections, routeFields, declFields, slices.Sorted(maps.Keys(meanings)), Surfaces(), answerTexts} {
		for _, name := range names {
			if !strings.Contains(doc, "`"+name+"`") {
				t.Errorf("docs/contracts.md does not speak of %s", name)
			}
		}
	}
}

// region replaces what stands between two marks of a page.
func region(t *testing.T, page, name, with string) string {
	t.Helper()
	head, rest, ok := strings.Cut(page, "<!-- "+name+":")
	mark, rest, closed := strings.Cut(rest, "-->\n")
	_, tail, ended := strings.Cut(rest, "<!-- end -->")
	if !ok || !closed || !ended {
		t.Fatalf("the page has no place for %s", name)
	}
	return head + "<!-- " + name + ":" + mark + "-->\n" + with + "<!-- end -->" + tail
}

func placeholderTable() string {
	var b strings.Builder
	b.WriteString("| name | where | meaning |\n|---|---|---|\n")
	for _, p := range Placeholders() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, strings.Join(p.Where, "; "), p.Meaning)
	}
	return b.String()
}

func answerTables() string {
	var b strings.Builder
	for i, surface := range answerSurfaces() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "### `%s`\n\n| name | meaning |\n|---|---|\n", surface)
		for _, l := range answers[surface].lists {
			fmt.Fprintf(&b, "| `{each: $%s, as: …}` | %s, each with the names below that begin with `%s:` |\n", l.name, l.about, l.name)
		}
		answerRows(&b, "", answers[surface].terms)
		for _, l := range answers[surface].lists {
			answerRows(&b, "`"+l.name+"`: ", l.terms)
		}
	}
	return b.String()
}

func answerRows(b *strings.Builder, list string, terms []answerTerm) {
	for _, t := range terms {
		var names []string
		for _, a := range aspects[t.kind] {
			names = append(names, "`"+t.name+a.ending+"`")
		}
		fmt.Fprintf(b, "| %s%s | %s |\n", list, strings.Join(names, ", "), t.about)
	}
}

// example returns the last YAML of docs/contracts.md, and the pieces before it.
func example(t *testing.T) (whole string, pieces []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/contracts.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		src, _, ok := strings.Cut(block, "```")
		if !ok {
			t.Fatal("a block of YAML does not end")
		}
		pieces = append(pieces, src)
	}
	if len(pieces) < 2 {
		t.Fatal("docs/contracts.md has no example")
	}
	return pieces[len(pieces)-1], pieces[:len(pieces)-1]
}

func TestTheExampleOfTheFormatStands(t *testing.T) {
	t.Parallel()
	src, pieces := example(t)
	for _, piece := range pieces {
		for line := range strings.Lines(piece) {
			if !strings.Contains(src, "\n"+line) && !strings.HasPrefix(src, line) {
				t.Errorf("a step has the line %q, and the whole file has not", line)
			}
		}
	}
	for line := range strings.Lines(src) {
		if strings.TrimSpace(line) != "" && !strings.Contains(strings.Join(pieces, ""), line) && !strings.Contains(line, "irch: an error object") && !strings.Contains(line, "messages, and in every") && !strings.HasPrefix(line, "about:") {
			t.Errorf("no step speaks of %q", line)
		}
	}
	c, err := Parse("docs/contracts.md", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"error":{"message":"You need $0.0035 and have $0.00.","code":"no_money"},"request_id":"req_1"}`
	if got := string(c.Render("object", short(), Facts{RequestID: "req_1"}).Body); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	d := Data{Values: Values{"balance": USD(3_509_999_999), "held": USD(1)}}
	want = `{"balance":"3.50","held":0.000000001,"currency":"USD"}`
	if got := string(c.Answer(routeOf(t, c, "GET /account"), false, d, Facts{})); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := c.Status("anthropic", fault.Overloaded); got != 529 {
		t.Errorf("overloaded is %d", got)
	}
}
