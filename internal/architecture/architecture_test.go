package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pontage/pontage/"

// allowed is every package of the product and what it may import of the others.
// Arrows point down: a package may import only what stands in its row, and
// leaves of a family (wire/*, provider/*, store/*) never a sibling.
var allowed = map[string][]string{
	// vocabulary
	"internal/money":      {},
	"internal/fault":      {"internal/money"},
	"internal/llm":        {},
	"internal/jsonx":      {"internal/llm"},
	"internal/token":      {"internal/llm"},
	"internal/obs":        {"internal/money"},
	"internal/failpoint":  {},
	"internal/fields":     {"internal/fault", "internal/jsonx", "internal/llm"},
	"internal/completion": {"internal/jsonx", "internal/llm"},
	"internal/dialect":    {"internal/fields", "internal/jsonx", "internal/llm"},
	"internal/vector":     {},

	// one subject each
	"internal/contract": {"internal/fault", "internal/money", "internal/llm", "contracts"},
	"internal/account":  {"internal/fault", "internal/money"},
	"internal/catalog":  {"internal/fault", "internal/money", "internal/llm", "catalogs"},
	"internal/config":   {"internal/money"},
	"internal/egress":   {"internal/fault", "internal/llm"},
	"internal/job":      {"internal/account", "internal/fault"},
	"internal/response": {"internal/account", "internal/fault", "internal/jsonx"},
	"internal/ledger":   {"internal/money", "internal/failpoint"},
	"internal/limit":    {},
	"internal/outbox":   {"internal/account", "internal/ledger", "internal/money", "internal/obs"},
	"internal/provider": {"internal/fault", "internal/llm", "internal/jsonx"},
	"internal/wire":     {"internal/account", "internal/contract", "internal/failpoint", "internal/fault", "internal/jsonx", "internal/limit", "internal/llm", "internal/money", "internal/obs"},

	// adapters
	"internal/wire/openai":        {"internal/wire", "internal/dialect", "internal/completion", "internal/fault", "internal/fields", "internal/llm", "internal/jsonx", "internal/token", "internal/vector"},
	"internal/wire/media":         {"internal/wire", "internal/fault", "internal/fields", "internal/llm", "internal/jsonx"},
	"internal/provider/media":     {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx"},
	"internal/wire/anthropic":     {"internal/wire", "internal/dialect", "internal/completion", "internal/fault", "internal/fields", "internal/llm", "internal/jsonx", "internal/token"},
	"internal/wire/gemini":        {"internal/wire", "internal/dialect", "internal/fault", "internal/fields", "internal/llm", "internal/jsonx", "internal/token"},
	"internal/wire/simple":        {"internal/wire", "internal/completion", "internal/fault", "internal/fields", "internal/llm", "internal/jsonx", "internal/token"},
	"internal/wire/prompt":        {"internal/wire", "internal/completion", "internal/fault", "internal/fields", "internal/llm", "internal/jsonx"},
	"internal/wire/responses":     {"internal/wire", "internal/dialect", "internal/fault", "internal/fields", "internal/llm", "internal/jsonx", "internal/token"},
	"internal/provider/openai":    {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx", "internal/vector"},
	"internal/provider/anthropic": {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx"},
	"internal/provider/bedrock":   {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx"},
	"internal/provider/gather":    {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx"},
	"internal/provider/responses": {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx"},
	"internal/provider/gemini":    {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx"},
	"internal/provider/sim":       {"internal/provider", "internal/fault", "internal/llm", "internal/jsonx", "internal/token"},
	"internal/store/sqlite":       {"internal/account", "internal/job", "internal/ledger", "internal/money", "internal/failpoint", "internal/obs", "internal/outbox", "internal/response"},
	"internal/route":              {"internal/provider", "internal/fault", "internal/jsonx", "internal/llm", "internal/obs"},

	// the path of a request, and of an operator
	"internal/gate":        {"internal/account", "internal/catalog", "internal/fault", "internal/ledger", "internal/limit", "internal/llm", "internal/money", "internal/obs", "internal/route", "internal/token"},
	"internal/selfservice": {"internal/account", "internal/contract", "internal/fault", "internal/fields", "internal/jsonx", "internal/ledger", "internal/limit", "internal/money", "internal/obs"},
	"internal/dash":        {"internal/account", "internal/catalog", "internal/failpoint", "internal/fault", "internal/ledger", "internal/limit", "internal/llm", "internal/money", "internal/obs", "internal/outbox", "internal/route", "internal/provider"},

	// tests' own
	"internal/architecture": {},
	"internal/testkit":      {"internal/llm"},

	// what people use
	"contracts":    {},
	"catalogs":     {},
	"client":       {},
	"client/admin": {"client"},
	"internal/app": {"*"},
	"cmd/pontage":  {"*"},
}

// mayUseHTTP lists who may import net/http: the edges.
var mayUseHTTP = []string{
	"internal/wire", "internal/provider", "internal/dash", "internal/app", "internal/obs", "internal/outbox", "internal/egress",
	"client", "cmd", "test", "internal/testkit",
	"internal/contract", // tries route patterns on a ServeMux
}

// linked lists the modules that the product may link directly.
var linked = []string{
	"github.com/aws/aws-sdk-go-v2/aws", // the signer and the frames of Bedrock, and no client of a service
	"github.com/fsnotify/fsnotify",
	"github.com/go-json-experiment/json",
	"github.com/pressly/goose/v3",
	"github.com/prometheus/client_golang",
	"github.com/santhosh-tekuri/jsonschema/v6",
	"github.com/spf13/cobra",
	"github.com/spf13/pflag", // the flags of cobra, which its interface names
	"github.com/tiktoken-go/tokenizer",
	"go.yaml.in/yaml/v4",
	"golang.org/x/oauth2", // access tokens of service accounts
	"golang.org/x/sys",
	"modernc.org/sqlite",
	"modernc.org/libc",
}

type file struct {
	pkg, path string
	ast       *ast.File
	test      bool
}

// sources parses every Go file of the module but those of nested modules.
func sources(t *testing.T) []file {
	t.Helper()
	root := "../.."
	var out []file
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			base := d.Name()
			if rel != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "build" || base == "node_modules" || base == "depsonly") {
				return filepath.SkipDir
			}
			if rel != "." {
				if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
					return filepath.SkipDir
				}
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out = append(out, file{pkg: filepath.ToSlash(filepath.Dir(rel)), path: rel, ast: f, test: strings.HasSuffix(path, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("%d files found: is the walk right?", len(out))
	}
	return out
}

func imports(f file) []string {
	var out []string
	for _, i := range f.ast.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

func TestArrowsPointDown(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test || strings.HasPrefix(f.pkg, "test/") {
			continue
		}
		row, known := allowed[f.pkg]
		if !known {
			t.Errorf("%s: package %s is not in the plan: give it a row here and a line in docs/architecture.md", f.path, f.pkg)
			continue
		}
		for _, i := range imports(f) {
			ours, is := strings.CutPrefix(i, module)
			if is && !slices.Contains(row, "*") && !slices.Contains(row, ours) {
				t.Errorf("%s imports %s: that arrow is not in the plan", f.path, ours)
			}
		}
	}
}

func TestOnlyTheEdgesKnowHTTP(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test || !slices.Contains(imports(f), "net/http") {
			continue
		}
		if !slices.ContainsFunc(mayUseHTTP, func(p string) bool { return f.pkg == p || strings.HasPrefix(f.pkg, p+"/") }) {
			t.Errorf("%s imports net/http", f.path)
		}
	}
}

func TestOnlyPlannedModulesAreLinked(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test || strings.HasPrefix(f.pkg, "test/") || strings.HasPrefix(f.pkg, "internal/testkit") {
			continue
		}
		for _, i := range imports(f) {
			first, _, _ := strings.Cut(i, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(i, module) {
				continue
			}
			if !slices.ContainsFunc(linked, func(m string) bool { return i == m || strings.HasPrefix(i, m+"/") }) {
				t.Errorf("%s imports %s, which the product may not link: add it here with a reason in docs/adr", f.path, i)
			}
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	t.Parallel()
	docs, seen := map[string][]string{}, map[string]bool{}
	for _, f := range sources(t) {
		if f.test || strings.HasSuffix(f.ast.Name.Name, "_test") {
			continue
		}
		seen[f.pkg] = true
		if f.ast.Doc != nil {
			docs[f.pkg] = append(docs[f.pkg], f.path)
		}
	}
	for pkg := range seen {
		if len(docs[pkg]) != 1 {
			t.Errorf("package %s has its comment in %v, want one file", pkg, docs[pkg])
		}
	}
}

func TestNothingRunsByItself(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", f.path)
			}
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test || strings.HasPrefix(f.pkg, "test/") || f.ast.Name.Name == "main" {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no comment", f.path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
						t.Errorf("%s: type %s has no comment", f.path, ts.Name.Name)
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

func TestGoModReplacesNothing(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			t.Errorf("go.mod: %s: a replace breaks go install", line)
		}
	}
	// SQLite's Go translation works only with the libc it was made with.
	if !strings.Contains(string(b), "modernc.org/sqlite v1.60.1") || !strings.Contains(string(b), "modernc.org/libc v1.77.1") {
		t.Error("go.mod: modernc.org/sqlite and modernc.org/libc must move together")
	}
}
