package fidelity

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/pontage/pontage/test/harness"
)

// What may become of a recording in a dialect.
const (
	passed  = "passed"
	refused = "refused"
	failed  = "failed"
	known   = "known" // failed, and somebody knows
)

// defects are the recordings that are known to fail, in a dialect or in all of
// them, and why. One that does not any more fails the test, so that it goes from
// here.
var defects = map[string]string{}

// verdict is one line of build/fidelity.jsonl.
type verdict struct {
	ID          string   `json:"id"`
	Provider    string   `json:"provider"`
	API         string   `json:"api"`
	Dialect     string   `json:"dialect"`
	Result      string   `json:"result"`
	Rule        string   `json:"rule,omitempty"`
	Without     []string `json:"without,omitempty"` // what of the request only its own dialect can say, and was left out
	Differences []string `json:"differences,omitempty"`
}

// verdicts are all of them.
type verdicts struct {
	mu      sync.Mutex
	all     []verdict
	outside int // recordings that ask nothing that has a surface
}

func (v *verdicts) add(x verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = append(v.all, x)
}

// fewest is how many plays must pass, so that a corpus that was not found does
// not pass for a proof.
const fewest = 6090

var update = flag.Bool("update", false, "rewrite testdata")

// refusalsFile counts the refusals by rule: the dialect, the API of the
// provider, the field, how often, and why.
const refusalsFile = "testdata/refusals.tsv"

// report writes and prints all verdicts, and fails the test on each that is bad.
func (v *verdicts) report(t *testing.T) {
	slices.SortFunc(v.all, func(a, b verdict) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Dialect, b.Dialect))
	})
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	e.SetEscapeHTML(false)
	counts := map[[2]string]map[string]int{}
	total := map[string]int{}
	rules := map[string]int{}
	for i := range v.all {
		x := &v.all[i]
		switch why := cmp.Or(defects[x.ID+" "+x.Dialect], defects[x.ID]); {
		case why != "" && x.Result == failed:
			x.Result = known
			fmt.Printf("known: %s in %s: %s\n", x.ID, x.Dialect, why)
		case why != "" && x.Result == passed:
			t.Errorf("%s passes in %s: strike it from the list of defects", x.ID, x.Dialect)
		}
		if err := e.Encode(*x); err != nil {
			t.Error(err)
		}
		k := [2]string{x.Provider, x.Dialect}
		if counts[k] == nil {
			counts[k] = map[string]int{}
		}
		counts[k][x.Result]++
		total[x.Result]++
		switch x.Result {
		case failed:
			t.Errorf("%s (%s) asked in %s:\n\t%s", x.ID, x.API, x.Dialect, strings.Join(x.Differences, "\n\t"))
		case refused:
			rules[x.Dialect+"\t"+x.API+"\t"+x.Rule]++
		}
	}
	file := filepath.Join(harness.Root(t), "build", "fidelity.jsonl")
	if err := cmp.Or(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, lines.Bytes(), 0o644)); err != nil {
		t.Error(err)
	}
	fmt.Print(table(counts))
	fmt.Printf("%d passed, %d refused by rule, %d failed, %d known to fail; %d recordings ask nothing that has a surface\n",
		total[passed], total[refused], total[failed], total[known], v.outside)
	if total[passed] < fewest {
		t.Errorf("only %d plays passed, want %d at least", total[passed], fewest)
	}
	checkRules(t, rules)
}

// table shows the counts by provider and dialect.
func table(counts map[[2]string]map[string]int) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	var providers []string
	for k := range counts {
		if !slices.Contains(providers, k[0]) {
			providers = append(providers, k[0])
		}
	}
	slices.Sort(providers)
	var shown []string
	for _, d := range dialects {
		shown = append(shown, d.name)
	}
	fmt.Fprintf(w, "passed/refused/failed\t%s\n", strings.Join(shown, "\t"))
	for _, p := range providers {
		fmt.Fprint(w, p)
		for _, d := range shown {
			switch c := counts[[2]string{p, d}]; {
			case c == nil:
				fmt.Fprint(w, "\t")
			default:
				fmt.Fprintf(w, "\t%d/%d/%d", c[passed], c[refused], c[failed])
			}
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	return b.String()
}

// checkRules prints the refusals, and fails the test where there are more or
// fewer of a kind than the file counts, or no reason is written for one.
func checkRules(t *testing.T, rules map[string]int) {
	src, err := os.ReadFile(refusalsFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	allowed, reasons := map[string]int{}, map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(src)), "\n") {
		if f := strings.Split(line, "\t"); len(f) == 5 && f[0] != "dialect" {
			key := strings.Join(f[:3], "\t")
			allowed[key], _ = strconv.Atoi(f[3])
			reasons[key] = f[4]
		}
	}
	var keys []string
	for k := range rules {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := "dialect\tapi\tfield\trefusals\twhy\n"
	for _, k := range keys {
		fmt.Printf("refused: %3d  %s: %s\n", rules[k], strings.ReplaceAll(k, "\t", " "), reasons[k])
		if rules[k] != allowed[k] && !*update {
			t.Errorf("%s: %d refusals, and %s counts %d", strings.ReplaceAll(k, "\t", " "), rules[k], refusalsFile, allowed[k])
		}
		if reasons[k] == "" {
			t.Errorf("%s: no reason is written", strings.ReplaceAll(k, "\t", " "))
		}
		out += fmt.Sprintf("%s\t%d\t%s\n", k, rules[k], reasons[k])
	}
	for k, n := range allowed {
		if rules[k] == 0 && !*update {
			t.Errorf("%s: nothing is refused, and %s counts %d", strings.ReplaceAll(k, "\t", " "), refusalsFile, n)
		}
	}
	if *update {
		if err := os.WriteFile(refusalsFile, []byte(out), 0o644); err != nil {
			t.Error(err)
		}
	}
}
