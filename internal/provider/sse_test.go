package provider

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// plain is a frame with copies of its bytes.
type plain struct {
	Raw, Data, Name, Clean       string
	HasData, Comment, Stray, Cut bool
}

func readFrames(t testing.TB, src io.Reader, max int) ([]plain, error) {
	t.Helper()
	r := &Reader{src: src, max: max}
	var out []plain
	for range 1 << 20 {
		f, err := r.Next()
		if err != nil {
			return out, err
		}
		out = append(out, plain{
			string(f.Raw), string(f.Data), f.Name, string(r.Clean(f)),
			f.HasData, f.Comment, f.Stray, f.Cut,
		})
	}
	t.Fatal("the reader does not end")
	return nil, nil
}

func TestReaderSplitsFrames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     []plain
	}{
		{"one", "data: x\n\n", []plain{{Raw: "data: x\n\n", Data: "x", Clean: "data: x\n\n", HasData: true}}},
		{"no space", "data:x\n\n", []plain{{Raw: "data:x\n\n", Data: "x", Clean: "data:x\n\n", HasData: true}}},
		{"only one space goes", "data:  x \n\n", []plain{{Raw: "data:  x \n\n", Data: " x ", Clean: "data:  x \n\n", HasData: true}}},
		{"crlf", "event: a\r\ndata: x\r\n\r\n", []plain{{Raw: "event: a\r\ndata: x\r\n\r\n", Data: "x", Name: "a", Clean: "event: a\r\ndata: x\r\n\r\n", HasData: true}}},
		{"cr", "data: x\r\rdata: y\r\r", []plain{
			{Raw: "data: x\r\r", Data: "x", Clean: "data: x\r\r", HasData: true},
			{Raw: "data: y\r\r", Data: "y", Clean: "data: y\r\r", HasData: true},
		}},
		{"several lines", "data: x\ndata:\ndata: y\n\n", []plain{{Raw: "data: x\ndata:\ndata: y\n\n", Data: "x\n\ny", Clean: "data: x\ndata:\ndata: y\n\n", HasData: true}}},
		{"mark", "\xef\xbb\xbfdata: x\n\n", []plain{{Raw: "data: x\n\n", Data: "x", Clean: "data: x\n\n", HasData: true}}},
		{"comment", ": hello\n\ndata: x\n\n", []plain{
			{Raw: ": hello\n\n", Clean: ": hello\n\n", Comment: true},
			{Raw: "data: x\n\n", Data: "x", Clean: "data: x\n\n", HasData: true},
		}},
		{"empty lines before", "\n\n\ndata: x\n\n", []plain{{Raw: "\n\n\ndata: x\n\n", Data: "x", Clean: "\n\n\ndata: x\n\n", HasData: true}}},
		{"id and retry go", "id: 7\nretry: 5\nevent: a\ndata: x\n\n", []plain{{Raw: "id: 7\nretry: 5\nevent: a\ndata: x\n\n", Data: "x", Name: "a", Clean: "event: a\ndata: x\n\n", HasData: true, Stray: true}}},
		{"id alone goes", "id: 7\n\ndata: x\n\n", []plain{
			{Raw: "id: 7\n\n", Stray: true},
			{Raw: "data: x\n\n", Data: "x", Clean: "data: x\n\n", HasData: true},
		}},
		{"a bare event goes", "event: a\n\n", []plain{{Raw: "event: a\n\n", Name: "a"}}},
		{"empty data goes", "data:\n\n", []plain{{Raw: "data:\n\n", HasData: true}}},
		{"a comment with a bare event stays alone", ": c\nevent: a\n\n", []plain{{Raw: ": c\nevent: a\n\n", Name: "a", Clean: ": keep-alive\n\n", Comment: true}}},
		{"no end", "data: x", []plain{{Raw: "data: x", Data: "x", Clean: "data: x\n\n", HasData: true, Cut: true}}},
		{"one newline at the end", "data: x\n", []plain{{Raw: "data: x\n", Data: "x", Clean: "data: x\n\n", HasData: true, Cut: true}}},
		{"a line that is no field", "{\"a\":1}\n\n", []plain{{Raw: "{\"a\":1}\n\n", Stray: true}}},
		{"nothing but newlines", "\n\r\n\n", nil},
		{"nothing", "", nil},
	} {
		got, err := readFrames(t, strings.NewReader(c.in), MaxFrame)
		if err != io.EOF {
			t.Errorf("%s: Next() ends with %v, want EOF", c.name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: frames (-want +got):\n%s", c.name, d)
		}
	}
}

// twoReads gives its text in two reads.
func twoReads(s string, at int) io.Reader {
	return io.MultiReader(strings.NewReader(s[:at]), strings.NewReader(s[at:]))
}

const streams = "\xef\xbb\xbf: hi\r\n\r\ndata: {\"a\":1}\n\nevent: x\r\ndata: ü\r\ndata: 2\r\n\r\n\n\ndata: a\rdata: b\r\rid: 1\rdata: c\r\r\n: z\n\ndata:d\n\r\nevent:e\ndata: \r\n\ndata: last"

func TestFramesDoNotDependOnHowBytesArrive(t *testing.T) {
	t.Parallel()
	want, _ := readFrames(t, strings.NewReader(streams), MaxFrame)
	if len(want) < 8 {
		t.Fatalf("only %d frames in the sample", len(want))
	}
	for at := range streams {
		got, err := readFrames(t, twoReads(streams, at), MaxFrame)
		if err != io.EOF || !cmp.Equal(want, got) {
			t.Fatalf("split at %d: %v (-want +got):\n%s", at, err, cmp.Diff(want, got))
		}
	}
	got, _ := readFrames(t, iotest.OneByteReader(strings.NewReader(streams)), MaxFrame)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("byte by byte (-want +got):\n%s", d)
	}
	got, _ = readFrames(t, iotest.DataErrReader(strings.NewReader(streams)), MaxFrame)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("with EOF beside the data (-want +got):\n%s", d)
	}
}

func TestFramesOfAnyTextDoNotDependOnHowBytesArrive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"\n", "\r", "\r\n", "data: x", "data", "event: a", ":", "id: 1", "x", " ", "\xef\xbb\xbf"})).Draw(t, "text"), "")
		want, _ := readFrames(&testing.T{}, strings.NewReader(s), MaxFrame)
		all := ""
		for _, f := range want {
			all += f.Raw
		}
		if rest := strings.TrimPrefix(s, "\xef\xbb\xbf"); !strings.HasPrefix(rest, all) || strings.Trim(rest[len(all):], "\r\n") != "" {
			t.Fatalf("the frames of %q make %q", s, all)
		}
		at := rapid.IntRange(0, len(s)).Draw(t, "at")
		got, err := readFrames(&testing.T{}, twoReads(s, at), MaxFrame)
		if err != io.EOF || !cmp.Equal(want, got) {
			t.Fatalf("%q split at %d: %v (-want +got):\n%s", s, at, err, cmp.Diff(want, got))
		}
		one, _ := readFrames(&testing.T{}, iotest.OneByteReader(strings.NewReader(s)), MaxFrame)
		if !cmp.Equal(want, one) {
			t.Fatalf("%q byte by byte (-want +got):\n%s", s, cmp.Diff(want, one))
		}
	})
}

func TestReaderRefusesLongFrames(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"data: " + strings.Repeat("x", 9000) + "\n\n",
		strings.Repeat("data: x\n", 1500) + "\n",
		strings.Repeat(": x\n", 3000),
		strings.Repeat("\n", 9000),
	} {
		if _, err := readFrames(t, strings.NewReader(in), 8000); !errors.Is(err, ErrFrameTooLong) {
			t.Errorf("Next() of %d bytes with a cap of 8000 = %v, want %v", len(in), err, ErrFrameTooLong)
		}
	}
	big := "data: " + strings.Repeat("x", 5<<20) + "\n\n"
	got, err := readFrames(t, strings.NewReader(big+big), 6<<20)
	if err != io.EOF || len(got) != 2 || got[1].Raw != big {
		t.Errorf("two frames of 5 MiB: %d frames, %v", len(got), err)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	got, err := readFrames(t, io.MultiReader(strings.NewReader("data: x\n\ndata: y"), iotest.ErrReader(broken)), MaxFrame)
	if len(got) != 1 || !errors.Is(err, broken) {
		t.Errorf("frames before an error = %v, %v", got, err)
	}
	if _, err := readFrames(t, idle{}, MaxFrame); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source without progress gives %v", err)
	}
}

// idle is a reader that never gives anything.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestBufferedTellsOfWholeFrames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"data: a\n\ndata: b\n\n":         true,
		"data: a\n\ndata: b\r\n\r\n":     true,
		"data: a\n\ndata: b\n":           false,
		"data: a\n\ndata: b":             false,
		"data: a\n\n":                    false,
		"data: a\n\n: comment\n\ndata: ": true,
	} {
		r := &Reader{src: strings.NewReader(in), max: MaxFrame}
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if got := r.Buffered(); got != want {
			t.Errorf("Buffered() after the first frame of %q = %v, want %v", in, got, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(streams), 7)
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		if at < 0 || at > len(in) {
			at = len(in) / 2
		}
		want, err1 := readFrames(t, bytes.NewReader(in), 4096)
		got, err2 := readFrames(t, twoReads(string(in), at), 4096)
		if err1 != err2 || !cmp.Equal(want, got) {
			t.Fatalf("split at %d: %v, %v (-want +got):\n%s", at, err1, err2, cmp.Diff(want, got))
		}
	})
}

func TestReaderAllocatesLittle(t *testing.T) {
	in := []byte(strings.Repeat("event: content_block_delta\ndata: {\"delta\":{\"text\":\"hello\"}}\n\n", 1000))
	n := testing.AllocsPerRun(10, func() {
		r := &Reader{src: bytes.NewReader(in), max: MaxFrame}
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	})
	if n > 10 {
		t.Errorf("reading 1000 frames allocates %v times", n)
	}
}

func BenchmarkReader(b *testing.B) {
	in := []byte(strings.Repeat("data: {\"id\":\"chatcmpl-C6coQW3cjZg7Jq2RcHQDQsjz3ZJx5\",\"object\":\"chat.completion.chunk\",\"created\":1755695198,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" are\"},\"finish_reason\":null}]}\n\n", 100))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := &Reader{src: bytes.NewReader(in), max: MaxFrame}
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}
