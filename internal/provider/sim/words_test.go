package sim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/token"
)

func TestEveryWordIsOneToken(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{openers[:], words[:], numbers[:], {" is", " are", " image", " images", "."}} {
		for _, w := range list {
			if n := token.Count("x" + w); n != 2 {
				t.Errorf("%q has %d tokens", w, n-1)
			}
		}
	}
}

func TestAGeneratedTextHasAsManyTokensAsPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 200).Draw(t, "pieces")
		a := ask{images: rapid.IntRange(0, 12).Draw(t, "images"), afterTool: rapid.Bool().Draw(t, "after a tool")}
		intro := rapid.SampledFrom([]string{"", a.intro()}).Draw(t, "intro")
		text := generate(&rng{state: rapid.Uint64().Draw(t, "seed")}, intro, n)
		if pieces, tokens := countPieces(text), token.Count(text); pieces != n || tokens != int64(n) {
			t.Fatalf("generate(%d) = %q: %d pieces, %d tokens", n, text, pieces, tokens)
		}
	})
}

func TestACutTextIsWholeAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		n := rapid.IntRange(0, 40).Draw(t, "chunks")
		c := newCutter(text, n)
		var pieces []string
		for !c.empty() {
			p := c.next()
			if p == "" || strings.ToValidUTF8(p, "") != p && strings.ToValidUTF8(text, "") == text {
				t.Fatalf("piece %q of %q", p, text)
			}
			pieces = append(pieces, p)
		}
		if diff := cmp.Diff(text, strings.Join(pieces, "")); diff != "" {
			t.Fatal(diff)
		}
		if want := min(n, len([]rune(text))); n > 0 && len(pieces) != want {
			t.Fatalf("%d pieces, want %d", len(pieces), want)
		}
	})
}

func TestCutKeepsToTheLimit(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		limit := int64(rapid.IntRange(0, 20).Draw(t, "limit"))
		short, n, cut := s.cut(text, limit)
		if n > limit || n != token.Count(short) || cut != (short != text) || !cut && token.Count(text) > limit {
			t.Fatalf("cut(%q, %d) = %q, %d, %v", text, limit, short, n, cut)
		}
	})
}
