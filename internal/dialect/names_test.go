package dialect

import (
	"iter"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
)

// TestNamesOfToolsComeBack has names that not every protocol takes: they go out as
// others, in the history and in choices, too, and come back as they were.
func TestNamesOfToolsComeBack(t *testing.T) {
	t.Parallel()
	legal := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9_.:-]{1,128}`), rapid.StringMatching(`[a-z]{64,66}`), rapid.StringN(1, 20, 80))
		names := rapid.SliceOfNDistinct(name, 1, 5, rapid.ID[string]).Draw(t, "names")
		c := llm.Chat{ToolChoice: &llm.ToolChoice{Mode: llm.ToolAuto, Name: names[0], Allowed: slices.Clone(names)}}
		var m llm.Message
		for _, n := range names {
			c.Tools = append(c.Tools, llm.Tool{Name: n})
			m.Parts = append(m.Parts, llm.Part{Kind: llm.PartToolCall, ToolName: n})
		}
		c.Messages = []llm.Message{m}
		Rename(&c)
		ev := llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{}}}}
		seen := map[string]bool{}
		for i, n := range names {
			got := c.Tools[i].Name
			if !legal.MatchString(got) || seen[got] || legal.MatchString(n) && got != n {
				t.Fatalf("%q goes out as %q, beside %v", n, got, seen)
			}
			seen[got] = true
			if c.Messages[0].Parts[i].ToolName != got || c.ToolChoice.Allowed[i] != got {
				t.Fatalf("%q is called %q, and %q in the history", n, got, c.Messages[0].Parts[i].ToolName)
			}
			ev.Deltas = append(ev.Deltas, llm.Delta{Kind: llm.DeltaToolCall, ToolName: got})
			ev.Whole.Choices[0].Parts = append(ev.Whole.Choices[0].Parts, llm.Part{Kind: llm.PartToolCall, ToolName: got})
		}
		if c.ToolChoice.Name != c.Tools[0].Name {
			t.Fatalf("the choice is of %q", c.ToolChoice.Name)
		}
		Restore(ev, func() iter.Seq[string] { return slices.Values(names) })
		for i, n := range names {
			if a, b := ev.Deltas[i].ToolName, ev.Whole.Choices[0].Parts[i].ToolName; a != n || b != n {
				t.Fatalf("%q comes back as %q and %q", n, a, b)
			}
		}
	})
}

func TestANameThatStandsForNoneStays(t *testing.T) {
	t.Parallel()
	ev := llm.Event{Deltas: []llm.Delta{
		{Kind: llm.DeltaToolCall, ToolName: "plain"},
		{Kind: llm.DeltaToolCall, ToolName: "made_up_x0123456789abcdef"},
		{Kind: llm.DeltaText, Text: "x"},
	}}
	asked := 0
	Restore(ev, func() iter.Seq[string] {
		asked++
		return slices.Values([]string{"plain", strings.Repeat("n", 70)})
	})
	want := []llm.Delta{{Kind: llm.DeltaToolCall, ToolName: "plain"}, {Kind: llm.DeltaToolCall, ToolName: "made_up_x0123456789abcdef"}, {Kind: llm.DeltaText, Text: "x"}}
	if d := cmp.Diff(want, ev.Deltas); d != "" || asked != 1 {
		t.Errorf("asked %d times (-want +got):\n%s", asked, d)
	}
}
