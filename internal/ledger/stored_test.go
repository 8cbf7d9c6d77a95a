package ledger

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is stored is outside input to whoever reads it: nothing in it may make
// the reader panic or take more memory than an answer may have.
func TestAMalformedAnswerIsAnError(t *testing.T) {
	t.Parallel()
	good := (&Stored{Header: [][2]string{{"A", "b"}}, Body: []byte(strings.Repeat("word ", 1000))}).doc()
	bomb := deflate(make([]byte, 64<<20))
	size := writer{}
	size.int(MaxStoredBody)
	beyond := writer{}
	beyond.int(MaxStoredBody + 1)
	for name, doc := range map[string][]byte{
		"nothing":              nil,
		"an unknown layout":    append([]byte{9}, good[1:]...),
		"no body":              good[:8],
		"half a body":          good[:len(good)-5],
		"no end":               good[:len(good)-1],
		"more than is said":    append([]byte{storedLayout, 0, bodyPlain, 2}, "abc"...),
		"less than is said":    {storedLayout, 0, bodyPlain, 8, 'a'},
		"a bomb":               append(append([]byte{storedLayout, 0, bodyDeflated}, size.b...), bomb...),
		"a size beyond bounds": append(append([]byte{storedLayout, 0, bodyDeflated}, beyond.b...), bomb...),
	} {
		if st, err := (&IdemRow{Kept: true, Doc: doc}).Stored(); err == nil {
			t.Errorf("%s: %d bytes", name, len(st.Body))
		}
	}
	if st, err := (&IdemRow{Kept: true, Doc: good}).Stored(); err != nil || len(st.Body) != 5000 {
		t.Errorf("a good one: %v", err)
	}
}

func TestAnyAnswerIsReadAsItWasPacked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want Stored
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			want.Header = append(want.Header, [2]string{rapid.String().Draw(t, "name"), rapid.String().Draw(t, "value")})
		}
		part := rapid.SliceOf(rapid.Byte()).Draw(t, "part")
		want.Body = bytes.Repeat(part, rapid.IntRange(0, 100).Draw(t, "times"))
		doc := want.doc()
		got, err := (&IdemRow{Kept: true, Doc: doc}).Stored()
		if err != nil || !bytes.Equal(got.Body, want.Body) || len(got.Header) != len(want.Header) {
			t.Fatalf("%v, %v", got, err)
		}
		for i := range want.Header {
			if got.Header[i] != want.Header[i] {
				t.Fatalf("field %d is %q", i, got.Header[i])
			}
		}
		if n := rapid.IntRange(0, len(doc)-1).Draw(t, "cut"); len(want.Body) > 0 || n < len(doc)-1 {
			if st, err := (&IdemRow{Kept: true, Doc: doc[:n]}).Stored(); err == nil {
				t.Fatalf("cut at %d: %v", n, st)
			}
		}
	})
}
