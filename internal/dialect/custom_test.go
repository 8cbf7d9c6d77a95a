package dialect

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

func named(names ...string) func() map[string]bool {
	return func() map[string]bool {
		m := map[string]bool{}
		for _, n := range names {
			m[n] = true
		}
		return m
	}
}

// streamed gives the pieces of a call's arguments, and returns the text that comes of
// them.
func streamed(t interface{ Fatalf(string, ...any) }, name string, pieces ...string) string {
	in := Inputs{Names: named("shell")}
	ev := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolCall, Choice: 1, Tool: 2, ToolID: "c", ToolName: name}}}
	in.Restore(&ev)
	if want := name == "shell"; len(ev.Deltas) != 1 || ev.Deltas[0].Custom != want {
		t.Fatalf("the call of %s begins %+v", name, ev.Deltas)
	}
	var out strings.Builder
	for _, p := range pieces {
		ev := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolArgs, Choice: 1, Tool: 2, Text: p}, {Kind: llm.DeltaText, Text: "said"}}}
		in.Restore(&ev)
		for _, d := range ev.Deltas {
			switch {
			case d.Kind == llm.DeltaText && d.Text == "said":
			case d.Kind != llm.DeltaToolArgs || d.Custom != (name == "shell") || d.Text == "" || d.Choice != 1 || d.Tool != 2:
				t.Fatalf("a piece %q gives %+v", p, ev.Deltas)
			default:
				out.WriteString(d.Text)
			}
		}
	}
	return out.String()
}

// TestTheInputOfACustomToolIsReadAsItComes cuts the arguments that a provider has
// for a custom tool anywhere: what comes of them is the text.
func TestTheInputOfACustomToolIsReadAsItComes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\\"{}\x{1F600}é\n\t/ua-f0-9]{0,20}`)).Draw(t, "text")
		var body string
		if rapid.Bool().Draw(t, "escaped") {
			body = escape(text)
		} else {
			body = string(jsonx.AppendString(nil, text))
		}
		gap := rapid.SampledFrom([]string{"", " ", "\n  "})
		args := gap.Draw(t, "a") + "{" + gap.Draw(t, "b") + `"input"` + gap.Draw(t, "c") + ":" + gap.Draw(t, "d") + body + gap.Draw(t, "e") + "}"
		var pieces []string
		for rest := args; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			for n < len(rest) && rest[n]&0xc0 == 0x80 { // whole characters, as a provider.Stream gives them
				n++
			}
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got := streamed(t, "shell", pieces...); got != text {
			t.Fatalf("%q: %q, want %q", pieces, got, text)
		}
	})
}

// escape writes every character of a text as escapes.
func escape(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	var out strings.Builder
	for _, r := range string(b[1 : len(b)-1]) {
		switch {
		case r < 0x80:
			out.WriteRune(r)
		case r < 0x10000:
			out.WriteString(hex4(r))
		default:
			r -= 0x10000
			out.WriteString(hex4(0xd800+r>>10) + hex4(0xdc00+r&0x3ff))
		}
	}
	return `"` + out.String() + `"`
}

func hex4(r rune) string {
	const digits = "0123456789aBcDeF"
	return `\u` + string([]byte{digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15]})
}

func TestWhatIsNoInputIsGivenAsItIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{`{"command":"ls"}`, `{"command":"ls"}`},
		{`{"input":["ls"]}`, `{"input":["ls"]}`},
		{`{"input":5}`, `{"input":5}`},
		{`ls -l`, `ls -l`},
		{`[1]`, `[1]`},
		{`{}`, ``},
		{`{ }`, ``},
		{``, ``},
		{`null`, ``},
		{`{"input":""}`, ``},
		{`{"input":null}`, ``},
		{`"ls"`, `ls`},
		{`{"input":"a\qb\u12"}`, `a\qb\u12`},
		{`{"input":"\ud83d!"}`, "\uFFFD!"},
		{`{"input":"\ude00"}`, "\uFFFD"},
		{strings.Repeat(" ", 100) + `{"input":"x"}`, `x`},
	} {
		if got := streamed(t, "shell", c.args); got != c.want {
			t.Errorf("%s: %q, want %q", c.args, got, c.want)
		}
		var pieces []string
		for i := range len(c.args) {
			pieces = append(pieces, c.args[i:i+1])
		}
		if got := streamed(t, "shell", pieces...); got != c.want {
			t.Errorf("%s, byte by byte: %q, want %q", c.args, got, c.want)
		}
		ev := llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Text: "hm"}, {Kind: llm.PartToolCall, ToolName: "shell", Args: json.RawMessage(c.args)}}}}}}
		in := Inputs{Names: named("shell")}
		in.Restore(&ev)
		if p := ev.Whole.Choices[0].Parts[1]; !p.Custom || p.Text != c.want || p.Args != nil {
			t.Errorf("%s, whole: %+v, want %q", c.args, p, c.want)
		}
	}
	if got := streamed(t, "other", `{"input":`, `"x"}`); got != `{"input":"x"}` {
		t.Errorf("the arguments of a function: %q", got)
	}
}

// TestACallThatIsOneAlreadyStays has a provider that knows custom tools itself.
// What may stand before the input has a bound, beyond which it is the text itself.
func TestWhatStandsBeforeTheInputIsBounded(t *testing.T) {
	t.Parallel()
	for spaces, want := range map[int]string{maxOpening - 1: "x", maxOpening: "{" + strings.Repeat(" ", maxOpening) + `"input":"x"}`} {
		if got := streamed(t, "shell", "{", strings.Repeat(" ", spaces), `"input":"x"}`); got != want {
			t.Errorf("%d spaces: %d bytes, want %d", spaces, len(got), len(want))
		}
	}
}

func TestACallThatIsOneAlreadyStays(t *testing.T) {
	t.Parallel()
	in := Inputs{Names: named("shell")}
	ev := llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolCall, ToolName: "shell", Custom: true}, {Kind: llm.DeltaToolArgs, Custom: true, Text: `{"input":"x"}`}}}
	in.Restore(&ev)
	if len(ev.Deltas) != 2 || ev.Deltas[1].Text != `{"input":"x"}` {
		t.Errorf("%+v", ev.Deltas)
	}
	ev = llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.PartToolCall, ToolName: "shell", Custom: true, Text: "{}"}}}}}}
	in.Restore(&ev)
	if p := ev.Whole.Choices[0].Parts[0]; p.Text != "{}" || !p.Custom {
		t.Errorf("%+v", p)
	}
	// Who has defined none is told of a function.
	ev = llm.Event{
		Deltas: []llm.Delta{{Kind: llm.DeltaToolCall, Tool: 1, ToolName: "other", Custom: true}, {Kind: llm.DeltaToolArgs, Tool: 1, Custom: true, Text: "x"}},
		Whole:  &llm.Answer{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.PartToolCall, ToolName: "other", Custom: true, Text: "x", Args: []byte("x")}}}}},
	}
	in.Restore(&ev)
	if p := ev.Whole.Choices[0].Parts[0]; ev.Deltas[0].Custom || ev.Deltas[1].Custom || ev.Deltas[1].Text != "x" || p.Custom || string(p.Args) != "x" {
		t.Errorf("%+v", ev)
	}
}
