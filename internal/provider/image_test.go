package provider

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

func TestImagesHaveATypeWhereverItCanBeKnown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   llm.Part
		want string
	}{
		{llm.Part{Data: "AAAA", MediaType: "image/webp"}, "image/webp"},
		{llm.Part{Data: "/9j/4AAQ"}, "image/jpeg"},
		{llm.Part{Data: "AAAA"}, "image/png"},
		{llm.Part{URL: "https://a.example/b.JPG"}, "image/jpeg"},
		{llm.Part{URL: "https://a.example/b"}, ""},
	} {
		m := Images{Dialect: llm.OpenAIChat}
		got := m.Take(c.in)
		if m.Err() != nil || got == nil || got.Kind != llm.PartImage || got.MediaType != c.want || got.Data != c.in.Data || got.URL != c.in.URL {
			t.Errorf("%+v: %+v, %v, want the type %q", c.in, got, m.Err(), c.want)
		}
	}
}

func TestImagesThatCannotBeTold(t *testing.T) {
	t.Parallel()
	code := func(m *Images) fault.Code {
		var f *Failure
		if errors.As(m.Err(), &f) {
			return f.Fault.Code
		}
		return 0
	}
	for _, d := range []llm.Dialect{llm.AnthropicMessages, llm.Prompt, llm.OpenAICompletions, ""} {
		m := Images{Dialect: d}
		if got := m.Take(llm.Part{Data: "AAAA"}); got != nil || code(&m) != fault.UnsupportedParameter {
			t.Errorf("%s: %+v, %v", d, got, m.Err())
		}
	}
	m, half := Images{Dialect: llm.OpenAIChat}, strings.Repeat("A", MaxWhole/2)
	for i, want := range []fault.Code{0, 0, fault.UpstreamFailed} {
		if got := m.Take(llm.Part{Data: half + half[:i/2]}); code(&m) != want || (got == nil) != (want != 0) {
			t.Errorf("image %d: %v", i, m.Err())
		}
	}
}

func TestKindsOfOutputAreToldOnce(t *testing.T) {
	t.Parallel()
	var l Leavings
	l.Add([]byte("a"))
	l.Add([]byte("b"))
	l.Add([]byte("a"))
	first := l.New()
	l.Add([]byte("b"))
	l.Add([]byte(strings.Repeat("c", 100)))
	if d := cmp.Diff([][]string{{"a", "b"}, {strings.Repeat("c", maxKind)}, {}}, [][]string{first, l.New(), l.New()}); d != "" {
		t.Error(d)
	}
	for i := range 100 {
		l.Add([]byte{'d', byte(i)})
	}
	if n := len(l.New()); n != maxLeft-3 {
		t.Errorf("%d more, want %d", n, maxLeft-3)
	}
}

func TestMediaOfAnAssistantAreRefused(t *testing.T) {
	t.Parallel()
	for kind, refused := range map[llm.PartKind]bool{llm.PartText: false, llm.PartToolCall: false, llm.PartImage: true, llm.PartAudio: true, llm.PartVideo: true, llm.PartFile: true} {
		for _, role := range []string{"user", "assistant"} {
			var e Encoding
			e.Join(nil, Turn{Role: role, Parts: []llm.Part{{}, {Kind: kind}}, Paths: []string{"m.0", "m.1"}}, "m")
			if (e.Err != nil) != (refused && role == "assistant") || e.Err != nil && e.Err.Param != "m.1" {
				t.Errorf("%d of the %s: %v", kind, role, e.Err)
			}
		}
	}
}
