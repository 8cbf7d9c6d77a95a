package responses

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"pgregory.net/rapid"
)

// escaped is a text as the inside of a JSON string, with nothing but ASCII.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < 0x20 || r > 0x7e && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// pieces cuts the inside of a JSON string: escapes stay whole, characters need not.
func pieces(t *rapid.T, inner string) (out []string) {
	for inner != "" {
		n := 0
		for more := true; more && n < len(inner); more = rapid.Bool().Draw(t, "more") {
			switch {
			case strings.HasPrefix(inner[n:], `\u`):
				n += 6
			case inner[n] == '\\':
				n += 2
			default:
				n++
			}
		}
		out, inner = append(out, inner[:n]), inner[n:]
	}
	return out
}

// However texts that come side by side are cut, what is kept of them has whole
// characters only, and all of them.
func TestCutCharactersAreKeptWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab\\\"é€😀🇪\n")))
		var want [2]string
		var rest [2][]string
		for i := range rest {
			want[i] = text.Draw(t, "text")
			inner := strings.ReplaceAll(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(want[i]), "\n", `\n`)
			if rapid.Bool().Draw(t, "escaped") {
				inner = escaped(want[i])
			}
			rest[i] = pieces(t, inner)
		}
		var l Listener
		p := passed{stream: stream{head: response{r: &llm.Request{Thread: &llm.Thread{}}}}}
		var got [2]string
		hear := func(frame string) {
			for e := range l.Events([]byte(frame)) {
				doc, err := jsonx.Parse(e.data)
				if err != nil {
					t.Fatalf("%v: %q", err, e.data)
				}
				if i, _ := doc.Root().Get("output_index").Int(); strings.HasSuffix(e.name, "arguments.delta") {
					got[i] += doc.Root().Get("delta").Text()
				}
			}
			_, data, _ := strings.Cut(strings.TrimSuffix(frame, "\n\n"), "\ndata: ")
			if _, err := p.frame(nil, llm.Event{Raw: []byte(frame), Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
		}
		const call = `"item":{"type":"function_call","id":"fc","call_id":"c","name":"f"}`
		for i := range rest {
			hear(fmt.Sprintf("event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"output_index\":%d,%s}\n\n", i, call))
		}
		for len(rest[0])+len(rest[1]) > 0 {
			i := rapid.IntRange(0, 1).Draw(t, "whose")
			if len(rest[i]) == 0 {
				i = 1 - i
			}
			hear(fmt.Sprintf("event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"delta\":\"%s\",\"output_index\":%d}\n\n", rest[i][0], i))
			rest[i] = rest[i][1:]
		}
		for i := range got {
			if kept := string(p.items[i].args); got[i] != want[i] || kept != want[i] {
				t.Errorf("of %q is told %q, and kept %q", want[i], got[i], kept)
			}
		}
	})
}

// Half of a character whose other half never comes is told as one that nobody knows
// before what ends its text; the halves of other texts wait.
func TestHalfACharacterIsTold(t *testing.T) {
	t.Parallel()
	const name = "response.output_text.delta"
	for _, half := range []string{`\ud83d`, "\xe6", "\xf0\x9f\x98"} {
		var l Listener
		var got []string
		say := func(name, members string) {
			for e := range l.Events([]byte("event: " + name + "\ndata: {" + members + "}\n\n")) {
				got = append(got, strings.TrimPrefix(e.name, "response.")+" "+string(e.data))
			}
		}
		say(name, `"output_index":0,"content_index":0,"delta":"Hi `+half+`"`)
		say(name, `"output_index":1,"content_index":0,"delta":"`+half+`","logprobs":[{"token":"x"}]`)
		say(name, `"output_index":2,"content_index":0,"delta":"`+half+`"`)
		say(name, `"output_index":2,"content_index":0,"delta":"no"`)
		say("response.output_text.done", `"output_index":0,"content_index":0,"text":"Hi 😀"`)
		say("response.completed", `"response":{}`)
		want := []string{
			`output_text.delta {"output_index":0,"content_index":0,"delta":"Hi "}`,
			`output_text.delta {"output_index":1,"content_index":0,"delta":"","logprobs":[{"token":"x"}]}`,
			`output_text.delta {"output_index":2,"content_index":0,"delta":"` + "\ufffd" + `no"}`,
			`output_text.delta {"output_index":0,"content_index":0,"delta":"` + "\ufffd" + `"}`,
			`output_text.done {"output_index":0,"content_index":0,"text":"Hi 😀"}`,
			`output_text.delta {"output_index":1,"content_index":0,"delta":"` + "\ufffd" + `","logprobs":[]}`,
			`completed {"response":{}}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q:\n%s", half, strings.Join(got, "\n"))
		}
	}
}
