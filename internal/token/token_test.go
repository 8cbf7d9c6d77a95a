package token

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

func TestCountIsTheTokenizersOwn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"":             0,
		"hello world":  2,
		"hi":           1,
		"日本語のテキスト":     6,
		"a b c d e":    5,
		"tokenization": 2,
	} {
		if got := Count(text); got != want {
			t.Errorf("Count(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestCountOfALongTextIsThatOfItsParts(t *testing.T) {
	t.Parallel()
	line := "The quick brown fox jumps over the lazy dog. "
	one := Count(line)
	text := strings.Repeat(line, 5_000) // 225 kB: four chunks
	got, want := Count(text), one*5_000
	if got < want-5_010 || got > want+10 { // a space may join the next word
		t.Errorf("Count = %d, want about %d", got, want)
	}
}

func TestCountExtrapolatesBeyondItsBound(t *testing.T) {
	t.Parallel()
	unit := strings.Repeat(" the", 1024)
	text := strings.Repeat(unit, MaxCounted/len(unit)+MaxCounted/len(unit)/2)
	if got, want := Count(text), int64(len(text)/4); got < want || got > want+2 {
		t.Errorf("Count = %d, want %d", got, want)
	}
}

func TestCountCutsBetweenRunes(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("語", chunk) // three bytes each, no space anywhere
	if got := Count(text); got < chunk/4 || got > chunk*2 {
		t.Errorf("Count = %d, want about one token per rune or two", got)
	}
}

func TestUpperGrowsWithEveryPart(t *testing.T) {
	t.Parallel()
	base := llm.Size{ASCII: 300, Other: 20, Messages: 2}
	if got := Upper(base); got != 100+10+2*perMessage+perReply {
		t.Errorf("Upper(%+v) = %d", base, got)
	}
	for _, s := range []llm.Size{
		{ASCII: 303, Other: 20, Messages: 2},
		{ASCII: 300, Other: 22, Messages: 2},
		{ASCII: 300, Other: 20, Messages: 3},
		{ASCII: 300, Other: 20, Messages: 2, Images: 1},
		{ASCII: 300, Other: 20, Messages: 2, Media: 256},
		{ASCII: 300, Other: 20, Messages: 2, Pages: 1},
	} {
		if Upper(s) <= Upper(base) {
			t.Errorf("Upper(%+v) = %d, not above %d", s, Upper(s), Upper(base))
		}
	}
}

// shared finds the folder of recordings, or skips.
func shared(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PONTAGE_SHARED")
	for up := "../shared"; dir == "" && len(up) < 40; up = "../" + up {
		if _, err := os.Stat(filepath.Join(up, "fixtures", "index.ndjson")); err == nil {
			dir = up
		}
	}
	if dir == "" {
		if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" {
			t.Fatal("the folder of recordings is required and not there")
		}
		t.Skip("NOT TESTED: no folder of recordings; set PONTAGE_SHARED")
	}
	return dir
}

var encoded = regexp.MustCompile(`[A-Za-z0-9+/]{80}`)

func TestUpperIsNotBelowCount(t *testing.T) {
	t.Parallel()
	dir := shared(t)
	files, err := filepath.Glob(filepath.Join(dir, "fixtures", "*", "openai-chat", "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("found %d recordings (%v)", len(files), err)
	}
	texts, low := 0, 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Request *struct {
				JSON struct {
					Messages json.RawMessage `json:"messages"`
					Tools    json.RawMessage `json:"tools"`
				} `json:"json"`
			} `json:"request"`
		}
		if err := json.Unmarshal(raw, &f); err != nil || f.Request == nil || len(f.Request.JSON.Messages) > 50_000 {
			continue
		}
		text := string(f.Request.JSON.Messages) + string(f.Request.JSON.Tools)
		if encoded.MatchString(text) {
			continue // media and signatures are weighed otherwise
		}
		texts++
		if Upper(size(text)) < Count(text) {
			low++
		}
	}
	if texts < 100 || low > 0 {
		t.Errorf("Upper is below Count for %d of %d prompts, want none", low, texts)
	}
}

func BenchmarkCount(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 250)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Count(text)
	}
}

func BenchmarkCountWithoutSpaces(b *testing.B) {
	text := strings.Repeat("a", 64<<10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Count(text)
	}
}
