package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
)

// Vendors of the dialect have words of their own for how much to think.
func TestHowMuchToThinkIsUnderstoodInVendorsWords(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]*llm.Reasoning{
		`"reasoning_effort":"low"`:                            {Effort: "low"},
		`"reasoning":{"effort":"high"}`:                       {Effort: "high"},
		`"reasoning":{"max_tokens":2000,"exclude":true}`:      {Budget: 2000, Display: "omitted"},
		`"reasoning":{"enabled":true}`:                        {Adaptive: true},
		`"reasoning":{"enabled":false,"effort":"high"}`:       {Disabled: true},
		`"reasoning":{}`:                                      nil,
		`"reasoning":null,"thinking":null`:                    nil,
		`"thinking":{"type":"disabled"}`:                      {Disabled: true},
		`"thinking":{"type":"enabled"}`:                       {Adaptive: true},
		`"thinking":{"type":"enabled","budget_tokens":4096}`:  {Budget: 4096},
		`"thinking":{"type":"adaptive","budget_tokens":null}`: {Adaptive: true},
	} {
		_, c := decoded(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],`+member+`}`)
		if d := cmp.Diff(want, c.Reasoning); d != "" || len(c.Extra) > 0 {
			t.Errorf("%s (-want +got):\n%s extras %v", member, d, c.Extra)
		}
	}
	// What is no such word, or contradicts another, is for the provider to refuse.
	for member, want := range map[string]string{
		`"reasoning":{"effort":"most"}`:                               "reasoning",
		`"reasoning":{"effort":"low","max_tokens":5}`:                 "reasoning",
		`"reasoning":{"max_tokens":0}`:                                "reasoning",
		`"reasoning":true`:                                            "reasoning",
		`"reasoning":{"effort":"low","depth":1}`:                      "reasoning.depth",
		`"thinking":{"type":"deep"}`:                                  "thinking",
		`"thinking":{"type":"enabled","budget_tokens":0}`:             "thinking",
		`"thinking":{"type":"enabled","clear_thinking":false}`:        "thinking.clear_thinking",
		`"reasoning_effort":"low","thinking":{"type":"disabled"}`:     "thinking",
		`"reasoning":{"effort":"low"},"thinking":{"type":"disabled"}`: "reasoning thinking",
	} {
		_, c := decoded(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],`+member+`}`)
		var got []string
		for _, x := range c.Extra {
			got = append(got, x.Path)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: extras %q, want %q", member, g, want)
		}
	}
}
