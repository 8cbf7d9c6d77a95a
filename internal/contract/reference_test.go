package contract

import (
	"fmt"
	"os"
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

func codeOf(t *testing.T, name string) fault.Code {
	t.Helper()
	code, ok := fault.Lookup(name)
	if !ok {
		t.Fatalf("no fault %q", name)
	}
	return code
}

// Whoever writes a contract reads docs/contracts.md: it must know every
// section and placeholder.
func TestTheFormatIsDescribed(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/contracts.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(page)
	for _, s := range sections {
		if !strings.Contains(doc, "`"+s+"`") {
			t.Errorf("docs/contracts.md does not speak of section %s", s)
		}
	}
	for _, f := range declFields {
		if !strings.Contains(doc, "`"+f+"`") {
			t.Errorf("docs/contracts.md does not speak of %s in a fault", f)
		}
	}
	for _, p := range Placeholders() {
		if row := fmt.Sprintf("| `%s` | %s | %s |", p.Name, strings.Join(p.Where, "; "), p.Meaning); !strings.Contains(doc, row) {
			t.Errorf("docs/contracts.md lacks the row\n%s", row)
		}
	}
}

func TestTheExampleOfTheFormatStands(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/contracts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	src, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/contracts.md has no example")
	}
	c, err := Parse("docs/contracts.md", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"error":{"message":"You need $0.0035 and have $0.001.","code":"no_money"},"request_id":"req_1"}`
	if got := string(c.Render("object", short(), Facts{RequestID: "req_1"}).Body); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
