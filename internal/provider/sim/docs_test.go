package sim

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestTheDocumentationKnowsEveryFieldAndFault(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(src)
	for _, f := range Faults() {
		if !strings.Contains(doc, "\n| `"+f+"` |") {
			t.Errorf("docs/simulator.md does not describe the fault %s", f)
		}
	}
	for _, v := range []any{Step{}, Usage{}, ToolCall{}} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name != "" && !strings.Contains(doc, name) {
				t.Errorf("docs/simulator.md does not describe the field %s", name)
			}
		}
	}
	examples := 0
	for i, block := range strings.Split(doc, "```yaml\n") {
		block, _, ok := strings.Cut(block, "```")
		if i == 0 || !ok {
			continue
		}
		examples++
		if strings.HasPrefix(block, "- ") {
			if _, err := ParseSteps([]byte(block)); err != nil {
				t.Errorf("%v in\n%s", err, block)
			}
		} else if _, err := parseScript([]byte(block)); err != nil {
			t.Errorf("%v in\n%s", err, block)
		}
	}
	if examples < 4 {
		t.Errorf("only %d examples were found", examples)
	}
}
