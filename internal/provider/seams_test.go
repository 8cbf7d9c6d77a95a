package provider

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
)

// pieces puts deltas together, by kind, choice and tool.
func pieces(deltas []llm.Delta) map[string]string {
	out := map[string]string{}
	for _, d := range deltas {
		out[fmt.Sprint(d.Kind, d.Choice, d.Tool)] += d.Text
	}
	return out
}

// TestACharacterInTwoPiecesIsOne cuts texts between bytes, and between the halves
// of surrogate pairs, in several choices and calls at once.
func TestACharacterInTwoPiecesIsOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s seams
		want := map[string]string{}
		var got []llm.Delta
		lanes := []llm.Delta{{Kind: llm.DeltaText}, {Kind: llm.DeltaText, Choice: 1}, {Kind: llm.DeltaToolArgs, Choice: 2}, {Kind: llm.DeltaToolArgs, Choice: 2, Tool: 1}}
		var rest [4][]string
		for i, d := range lanes {
			text := strings.ToValidUTF8(rapid.StringOf(rapid.SampledFrom([]rune("aé漢😀\"\\\n\u07ff\uffff𠮷"))).Draw(t, "text"), "")
			want[fmt.Sprint(d.Kind, d.Choice, d.Tool)] = text
			rest[i] = cutUp(text, rapid.Bool().Draw(t, "escaped"))
		}
		for {
			var live []int
			for i := range rest {
				if len(rest[i]) > 0 {
					live = append(live, i)
				}
			}
			if len(live) == 0 {
				break
			}
			i := rapid.SampledFrom(live).Draw(t, "lane")
			n := rapid.IntRange(1, len(rest[i])).Draw(t, "pieces")
			d := lanes[i]
			d.Text = Fragment([]byte(strings.Join(rest[i][:n], "")))
			rest[i] = rest[i][n:]
			joined := s.join([]llm.Delta{d})
			for _, d := range joined {
				if !utf8.ValidString(d.Text) || d.Text == "" {
					t.Fatalf("a delta holds %q", d.Text)
				}
			}
			got = append(got, joined...)
		}
		for lane, text := range pieces(got) {
			if text != want[lane] {
				t.Errorf("%s: %q, want %q", lane, text, want[lane])
			}
			delete(want, lane)
		}
		for lane, text := range want {
			if text != "" {
				t.Errorf("%s: nothing, want %q", lane, text)
			}
		}
		if len(s.open) > 0 {
			t.Errorf("left open: %v", s.open)
		}
	})
}

// cutUp returns a text as the inside of a JSON string, in the smallest pieces that
// a server could send it in: bytes, or code units if all is escaped.
func cutUp(text string, ascii bool) (out []string) {
	if !ascii {
		b, _ := json.Marshal(text)
		inner := string(b[1 : len(b)-1])
		for i := 0; i < len(inner); {
			n := 1
			if inner[i] == '\\' {
				n = map[bool]int{true: 6, false: 2}[inner[i+1] == 'u']
			}
			out = append(out, inner[i:i+n])
			i += n
		}
		return out
	}
	for _, r := range text {
		if r >= 0x10000 {
			r -= 0x10000
			out = append(out, fmt.Sprintf(`\u%04x`, 0xd800+r>>10))
			r = 0xdc00 + r&0x3ff
		}
		out = append(out, fmt.Sprintf(`\u%04X`, r))
	}
	return out
}

// TestHalfACharacterIsTold has halves that nothing completes.
func TestHalfACharacterIsTold(t *testing.T) {
	t.Parallel()
	text := func(s string) llm.Delta { return llm.Delta{Kind: llm.DeltaText, Text: Fragment([]byte(s))} }
	end := llm.Delta{Kind: llm.DeltaFinish}
	for name, c := range map[string]struct {
		deltas []llm.Delta
		want   string
	}{
		"bytes, and the end":         {[]llm.Delta{text("a\xe6\xbc"), end}, "a\ufffd"},
		"a half, and the end":        {[]llm.Delta{text(`a\ud83d`), end}, "a\ufffd"},
		"a half, and text":           {[]llm.Delta{text(`a\ud83d`), text("b")}, "a\ufffdb"},
		"two first halves":           {[]llm.Delta{text(`a\ud83d`), text(`\ud83d`), text(`\ude00`)}, "a\ufffd😀"},
		"a second half":              {[]llm.Delta{text("a"), text(`\ude00b`)}, "a\ufffdb"},
		"a backslash before":         {[]llm.Delta{text(`a\\ud83d`), text("b")}, `a\ud83db`},
		"thoughts, and then text":    {[]llm.Delta{{Kind: llm.DeltaReasoning, Text: "a\xe6"}, text("b")}, "a\ufffdb"},
		"text, and then a call":      {[]llm.Delta{text("a\xe6"), {Kind: llm.DeltaToolCall}, text("b")}, "a\ufffdb"},
		"a half that stands for one": {[]llm.Delta{text(`\ud83d`)}, ""},
	} {
		var s seams
		got := ""
		for _, d := range c.deltas {
			for _, d := range s.join([]llm.Delta{d}) {
				got += d.Text
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestAWholeAnswerHasWholeCharacters joins what stands in one text, however it was
// cut.
func TestAWholeAnswerHasWholeCharacters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ToValidUTF8(rapid.StringOf(rapid.SampledFrom([]rune("aé漢😀\"\\\n\u07ff\uffff𠮷"))).Draw(t, "text"), "")
		got := ""
		for _, piece := range cutUp(text, rapid.Bool().Draw(t, "escaped")) {
			got += Fragment([]byte(piece))
		}
		if got = entire(got); got != text {
			t.Errorf("%q, want %q", got, text)
		}
	})
	for in, want := range map[string]string{
		`a\ud83d`: "a\ufffd", `\ude00b`: "\ufffdb", `\ud83d`: "\ufffd", "\xed": "\ufffd", "": "",
	} {
		if got := entire(Fragment([]byte(in))); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
