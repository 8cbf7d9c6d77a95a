package ledger_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
)

// The tests must be able to see the mistakes that ledgers make. This builds them
// with the mistakes in, and runs them once per mistake: each must fail.
func TestEveryMutationIsCaught(t *testing.T) {
	if os.Getenv("PONTAGE_MUTATION") != "" {
		t.Skip("this is a mutant")
	}
	if os.Getenv("PONTAGE_TEST_MUTATIONS") == "" {
		t.Skip("SKIPPED: set PONTAGE_TEST_MUTATIONS=1 to see every deliberate mistake caught by the tests beside the code (minutes)")
	}
	mutant := filepath.Join(t.TempDir(), "mutant.test")
	build := exec.Command("go", "test", "-tags", "mutation", "-c", "-o", mutant, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := func(m ledger.Mutation) (failed []string, err error) {
		cmd := exec.Command(mutant, "-test.short", "-test.skip", "TheModel|Drain|Mutation|Allocations", "-test.timeout", "60s")
		cmd.Env = append(os.Environ(), "PONTAGE_MUTATION="+string(m))
		out, err := cmd.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
				failed = append(failed, strings.Fields(name)[0])
			}
		}
		return failed, err
	}
	if failed, err := run("none"); err != nil {
		t.Fatalf("without a mutation: %v, %v", failed, err)
	}
	for _, m := range ledger.Mutations() {
		failed, err := run(m)
		if err == nil {
			t.Errorf("%s: no test noticed", m)
		}
		t.Logf("%s: noticed by %s", m, strings.Join(failed, " "))
	}
}
