package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Provenance says of a result where it comes from.
type Provenance struct {
	Date    string  `json:"date"`   // of its beginning
	Commit  string  `json:"commit"` // of the binary
	Machine string  `json:"machine"`
	Took    string  `json:"took"`
	Seconds float64 `json:"seconds"`
}

// Provenanced is that of a run that began then and ends now.
func Provenanced(t testing.TB, begun time.Time) Provenance {
	t.Helper()
	var built struct{ Version string }
	out, err := exec.Command(Binary(t), "version", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &built)
	}
	if err != nil {
		t.Errorf("the version of the binary: %v", err)
	}
	took := time.Since(begun)
	return Provenance{
		Date: begun.UTC().Format(time.DateOnly), Commit: built.Version, Machine: machine(),
		Took: took.Round(time.Second).String(), Seconds: took.Seconds(),
	}
}

// machine names the processors and the system.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.Version())
}

// WriteResult writes a result as JSON to a file of build/.
func WriteResult(t testing.TB, name string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	path := filepath.Join(Root(t), "build", name)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o644)
	}
	if err != nil {
		t.Errorf("write %s: %v", name, err)
	}
}
