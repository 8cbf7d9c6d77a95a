package llm

import "testing"

func TestOneToolIsForced(t *testing.T) {
	t.Parallel()
	one, two := []Tool{{Name: "f"}}, []Tool{{Name: "f"}, {Name: "g"}}
	for _, c := range []struct {
		name   string
		tools  []Tool
		choice *ToolChoice
		want   bool
	}{
		{"nothing is said", one, nil, false},
		{"the only one may be called", one, &ToolChoice{Mode: ToolAuto}, false},
		{"the only one must not", one, &ToolChoice{Mode: ToolNone}, false},
		{"the only one must be", one, &ToolChoice{Mode: ToolRequired}, true},
		{"one of two must be", two, &ToolChoice{Mode: ToolRequired}, false},
		{"the only one that may be must be", two, &ToolChoice{Mode: ToolRequired, Allowed: []string{"g"}}, true},
		{"one is named", two, &ToolChoice{Mode: ToolNamed, Name: "g"}, true},
	} {
		if got := (&Chat{Tools: c.tools, ToolChoice: c.choice}).Forces(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
