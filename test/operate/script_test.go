package operate

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pontage/pontage/test/harness"
)

// TestCommands runs the scripts of testdata/script: what an operator and a
// developer type, what they see, and the exit codes. Beside the commands of
// testscript there are:
//
//	pontage CODE ARGS…     run the built binary, which must exit with CODE
//	free NAME…             put addresses that nobody listens on into variables
//	ready URL|ENVFILE      wait until a gateway in the background is ready, at that admin API or at that of the file it writes
//	json PATH VALUE        the last output is JSON, and has there text that the expression VALUE matches whole
//	let NAME PATH          put what the last output has there into a variable
//	gone URL               wait until nothing answers there
func TestCommands(t *testing.T) {
	t.Parallel()
	binary := harness.Binary(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pontage": pontage, "free": free, "ready": ready, "json": matchJSON, "let": let, "gone": gone,
		},
	})
}

func pontage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: pontage CODE ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("pontage", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("pontage: %v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("pontage %s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// wait polls until cond holds.
func wait(ts *testscript.TestScript, what string, cond func() bool) {
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func answers(url string) bool {
	resp, err := direct.Get(url)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func free(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: free NAME…")
	}
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer func() { _ = l.Close() }() // when all have been chosen
		ts.Setenv(name, l.Addr().String())
	}
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready URL|ENVFILE")
	}
	wait(ts, "a gateway that is ready", func() bool {
		if strings.HasPrefix(args[0], "http") {
			return answers(args[0] + "/readyz")
		}
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			return false
		}
		_, rest, _ := strings.Cut(string(b), "PONTAGE_ADMIN_URL=")
		url, _, _ := strings.Cut(rest, "\n")
		return answers(url + "/readyz")
	})
}

func gone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gone URL")
	}
	wait(ts, "the end of "+args[0], func() bool { return !answers(args[0] + "/healthz") })
}

// output returns what the last output has at a path.
func output(ts *testscript.TestScript, path string) string {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("the output is no JSON: %v", err)
	}
	if d.More() {
		ts.Fatalf("the output is more than one value")
	}
	found := dig(v, strings.Trim(path, "."))
	switch found := found.(type) {
	case string:
		return found
	case *int:
		return "<absent>"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	ts.Check(e.Encode(found))
	return strings.TrimSpace(b.String())
}

func matchJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH VALUE")
	}
	want, err := regexp.Compile("(?s)^(?:" + args[1] + ")$")
	ts.Check(err)
	if got := output(ts, args[0]); want.MatchString(got) == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: let NAME PATH")
	}
	got := output(ts, args[1])
	if got == "<absent>" {
		ts.Fatalf("there is no %s", args[1])
	}
	ts.Setenv(args[0], got)
}
