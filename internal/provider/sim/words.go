package sim

import (
	"strings"
	"unicode/utf8"
)

// The words of generated texts. Each, with the space before it, is one token of
// the o200k vocabulary, and so is a full stop: a text of n pieces has n tokens,
// which words_test.go checks. That keeps the counting of tokens out of the path
// of an answer.
var (
	openers = [...]string{" The", " This", " Each", " Every", " Some", " Here", " There", " Most", " Our", " One"}
	words   = [...]string{
		" quiet", " green", " small", " open", " early", " simple", " gentle", " bright", " river", " garden",
		" morning", " letter", " window", " road", " house", " story", " answer", " question", " number", " table",
		" water", " light", " stone", " paper", " music", " summer", " winter", " evening", " market", " village",
		" keeps", " gives", " takes", " shows", " finds", " makes", " holds", " moves", " turns", " brings",
		" slowly", " often", " always", " again", " together", " nearby", " today", " under", " over", " with",
		" and", " or", " of", " in", " near", " after", " before", " while", " because", " through",
	}
	numbers = [...]string{" no", " one", " two", " three", " four", " five", " six", " seven", " eight", " nine", " many"}
)

const greeting = "This is a simulated answer."

// rng is splitmix64: the same numbers for the same seed, on every machine.
type rng struct{ state uint64 }

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *rng) below(n int) int { return int(r.next() % uint64(n)) }

// hash is FNV-1a of 64 bits, continued from h; start with [hashStart].
func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

const hashStart uint64 = 14695981039346656037

// generate writes a text of exactly n pieces (n ≥ 0) that begins with intro,
// cut off where n is less than intro has.
func generate(r *rng, intro string, n int) string {
	if have := countPieces(intro); have >= n {
		return firstPieces(intro, n)
	}
	var b strings.Builder
	b.Grow(len(intro) + 8*n)
	b.WriteString(intro)
	sentence := 0
	for left := n - countPieces(intro); left > 0; left-- {
		switch {
		case sentence > 0 && left == 1, sentence > 4 && r.below(4) == 0:
			b.WriteByte('.')
			sentence = 0
		case sentence == 0:
			b.WriteString(openers[r.below(len(openers))])
			sentence = 1
		default:
			b.WriteString(words[r.below(len(words))])
			sentence++
		}
	}
	return b.String()
}

// maxPiece bounds a piece, in bytes.
const maxPiece = 64

// piece returns the length of the first piece of s: a word with the space
// before it, a mark of punctuation, or [maxPiece] bytes of anything else. It is
// 0 for an empty s only, and never splits a character.
func piece(s string) int {
	for i := range s {
		if i > 0 && isBreak(s[i]) || i >= maxPiece {
			return i
		}
	}
	return len(s)
}

func isBreak(c byte) bool {
	switch c {
	case ' ', '\n', '.', ',', ':', ';', '!', '?':
		return true
	}
	return false
}

func countPieces(s string) int {
	n := 0
	for s != "" {
		s = s[piece(s):]
		n++
	}
	return n
}

// firstPieces returns the first n pieces of s.
func firstPieces(s string, n int) string {
	end := 0
	for ; n > 0 && end < len(s); n-- {
		end += piece(s[end:])
	}
	return s[:end]
}

// cutter hands out a text in pieces. Its zero value has none.
type cutter struct {
	rest  string
	runes int // of rest; counted when chunks is set
	left  int // chunks to come; 0: by words
}

// newCutter cuts s into n chunks of about the same number of characters, or as
// many as it has characters; or into words if n is 0.
func newCutter(s string, n int) cutter {
	c := cutter{rest: s}
	if n > 0 {
		c.runes = utf8.RuneCountInString(s)
		c.left = min(n, c.runes)
	}
	return c
}

func (c *cutter) empty() bool { return c.rest == "" }

// next returns the next piece, which is empty only if there is none.
func (c *cutter) next() string {
	if c.left == 0 {
		n := piece(c.rest)
		p := c.rest[:n]
		c.rest = c.rest[n:]
		return p
	}
	take := c.runes / c.left
	c.runes -= take
	c.left--
	end := 0
	for range take {
		_, size := utf8.DecodeRuneInString(c.rest[end:])
		end += size
	}
	p := c.rest[:end]
	c.rest = c.rest[end:]
	return p
}
