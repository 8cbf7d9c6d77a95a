package contract

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/errors.md")

// shared finds the folder of the shared sources of truth, or skips the test.
func shared(t testing.TB) string {
	t.Helper()
	tried := []string{os.Getenv("PONTAGE_SHARED")}
	if tried[0] == "" {
		tried = nil
		for up := "../shared"; len(tried) < 8; up = "../" + up {
			tried = append(tried, up)
		}
	}
	for _, dir := range tried {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	msg := "NOT TESTED: the shared folder is not here (PONTAGE_SHARED): " + strings.Join(tried, ", ")
	if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" {
		t.Fatal(msg)
	}
	t.Skip(msg)
	return ""
}

// golden compares got with a golden file, or rewrites the file.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to write it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if that is meant:\n%s", path, diff)
	}
}

// load compiles an embedded contract.
func load(t testing.TB, name string) *Contract {
	t.Helper()
	c, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everything compiles the embedded contracts.
func everything(t testing.TB) []*Contract {
	t.Helper()
	var out []*Contract
	for _, name := range Embedded() {
		out = append(out, load(t, name))
	}
	return out
}

// headers returns the headers of an answer by name.
func headers(t testing.TB, r Rendered) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, kv := range r.Header {
		if _, dup := out[kv[0]]; dup {
			t.Errorf("header %s stands twice in %v", kv[0], r.Header)
		}
		out[kv[0]] = kv[1]
	}
	return out
}
