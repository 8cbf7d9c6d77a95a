package operate

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/test/harness"
)

// pages are the documents that tell people what to type and where to look.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := harness.Root(t)
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "catalogs/*.md", "examples/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(b)
		}
	}
	if len(out) < 6 || out["README.md"] == "" {
		t.Fatalf("%d pages found", len(out))
	}
	return out
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	named    = regexp.MustCompile("`((?:docs|internal|test|contracts|catalogs|cmd|client|examples|tools|data)/[A-Za-z0-9_./*-]*)`")
	makes    = regexp.MustCompile("`make ([a-z-]+)[^`]*`|(?m)^make ([a-z-]+)")
	commands = regexp.MustCompile("`(?:build/)?pontage ([^`]+)`|(?m)^(?:build/)?pontage (.+)$")
	flags    = regexp.MustCompile(`--[a-z][a-z-]+`)
	words    = regexp.MustCompile(`^[a-z]+$`)
)

// TestEveryLinkLeadsSomewhere: links and paths in the documentation name what is
// there, and links to a heading name one of that page.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	root, all, links := harness.Root(t), pages(t), 0
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" {
				continue // of the world outside
			}
			links++
			target := page
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(page), u.Path)
			}
			b, err := os.ReadFile(filepath.Join(root, target))
			if info, serr := os.Stat(filepath.Join(root, target)); serr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if u.Fragment != "" && !anchors(string(b))[u.Fragment] {
				t.Errorf("%s links to %s, and there is no such heading", page, m[1])
			}
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "data/") {
				continue // made while it runs
			}
			if found, err := filepath.Glob(filepath.Join(root, m[1])); (err != nil || len(found) == 0) && !strings.Contains(m[1], "NAME") {
				t.Errorf("%s speaks of %s, which is not there", page, m[1])
			}
		}
	}
	if links < 8 {
		t.Errorf("%d links found", links)
	}
}

// anchors are the names that a page's headings have.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(strings.ReplaceAll(m[1], "`", ""))
		out[strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N}\s_-]`).ReplaceAllString(name, ""), " ", "-")] = true
	}
	return out
}

// TestEveryCommandOfTheDocumentationExists: make targets, and commands of the
// binary with their flags.
func TestEveryCommandOfTheDocumentationExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(harness.Root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets, typed, help := 0, 0, map[string]string{}
	for page, text := range pages(t) {
		for _, m := range makes.FindAllStringSubmatch(text, -1) {
			targets++
			if name := m[1] + m[2]; !bytes.Contains(makefile, []byte("\n"+name+":")) {
				t.Errorf("%s says make %s, and there is no such target", page, name)
			}
		}
		for _, m := range commands.FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(m[1]+m[2], " #")
			if line = strings.TrimSpace(line); !words.MatchString(strings.Fields(line)[0]) {
				continue
			}
			typed++
			checkCommand(t, page, line, help)
		}
	}
	if targets < 5 || typed < 6 {
		t.Errorf("%d make targets and %d commands found", targets, typed)
	}
	for _, target := range []string{"run", "test", "check", "rows", "bench", "kills", "mutants", "compat"} {
		if !bytes.Contains(makefile, []byte("\n"+target+":")) {
			t.Errorf("there is no make %s", target)
		}
	}
}

// checkCommand asks the binary about a command line that a page shows, without
// running it.
func checkCommand(t *testing.T, page, line string, help map[string]string) {
	t.Helper()
	var path []string
	for _, w := range strings.Fields(line) {
		if !words.MatchString(w) || len(path) == 2 {
			break
		}
		path = append(path, w)
	}
	text, ok := help[strings.Join(path, " ")]
	if !ok {
		cmd := exec.CommandContext(t.Context(), harness.Binary(t), append(path, "--help")...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s shows pontage %s: %v\n%s", page, line, err, out)
		}
		text = string(out)
		help[strings.Join(path, " ")] = text
	}
	// "pontage chat why is the sky blue": what follows a command without commands
	// of its own is an argument.
	known := strings.Contains(text, "pontage "+strings.Join(path, " ")+" ")
	if len(path) == 2 && !known {
		known = strings.Contains(text, "pontage "+path[0]+" [") && !strings.Contains(text, "[command]")
	}
	if !known {
		t.Errorf("%s shows pontage %s, and there is no such command", page, line)
	}
	for _, f := range flags.FindAllString(line, -1) {
		if !strings.Contains(text, f+" ") && !strings.Contains(text, f+"\n") {
			t.Errorf("%s shows pontage %s, and there is no %s", page, line, f)
		}
	}
}

// The command that a page shows for a first try works at its site.
func TestTheExampleOfTheErrorReferenceIsAModelThatChats(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: `
providers: {sim: {kind: sim}}
models:
  a-embed: {kind: embedding, targets: [{provider: sim}], price: {input: 1.00}}
  m: {targets: [{provider: sim}], price: {input: 1.00, output: 2.00}}
sites: [{hosts: ["*"], contract: openai}, {hosts: [app.localhost], contract: llmtune, role: dashboard}, {hosts: [api.localhost], contract: llmtune}]
`})
	pages := ask(t, g, call{method: "GET", host: "app.localhost", path: "/docs/errors"}).is(t, 200)
	if !strings.Contains(string(pages.body), "'http://api.localhost") || strings.Contains(string(pages.body), "'http://app.localhost") {
		t.Errorf("the example asks the host of the account pages:\n%.1200s", pages.body)
	}
	page := ask(t, g, call{method: "GET", path: "/docs/errors"}).is(t, 200)
	if !strings.Contains(string(page.body), `{"model":"m","messages":`) {
		t.Errorf("the example asks another model than m:\n%.1200s", page.body)
	}
}

// TestTheErrorReferenceIsServed at every site, to anybody: every fault with the
// status that the site's contract gives it, and nothing of another contract.
func TestTheErrorReferenceIsServed(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: twoSites})
	for host, name := range map[string]string{openaiHost: "openai", ninjaHost: "ninjachat"} {
		r := ask(t, g, call{method: "GET", host: host, path: "/docs/errors"}).is(t, 200)
		if got := r.header.Get("Content-Type"); got != "text/markdown; charset=utf-8" {
			t.Errorf("%s: Content-Type is %q", host, got)
		}
		rows, err := contract.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, envelope := range rows.Envelopes() {
			for _, e := range fault.All() {
				row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| %d \\| .* \\| `%s` \\| ", rows.Status(envelope, e.Code), e.Name))
				if !row.Match(r.body) {
					t.Errorf("%s: there is no row of %s for %s", host, e.Name, envelope)
				}
			}
		}
		other := map[string]string{"openai": "## ninjachat", "ninjachat": "## openai"}[name]
		if strings.Contains(string(r.body), other) {
			t.Errorf("%s tells of the other contract", host)
		}
	}
	any := harness.Start(t, harness.Options{Config: oneSite}) // at every host
	if page := ask(t, any, call{method: "GET", path: "/docs/errors"}).is(t, 200); !strings.Contains(string(page.body), "\n## openai\n") {
		t.Errorf("a site of every host is not called by its contract:\n%.600s", page.body)
	}
	off := harness.Start(t, harness.Options{Config: oneSite, Server: "docs: false"})
	ask(t, off, call{method: "GET", path: "/docs/errors"}).is(t, 404)
}
