package openai

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// parrot is an encoder that says what it is told.
type parrot struct{ event, end string }

func (p parrot) Heartbeat(dst []byte) []byte { return append(dst, ": hm\n\n"...) }

func (p parrot) Event(dst []byte, _ llm.Event) ([]byte, error) { return append(dst, p.event...), nil }

func (p parrot) Finish(dst []byte, _ wire.Final) ([]byte, error) { return append(dst, p.end...), nil }

func TestThoughtsAreToldWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	for said, want := range map[string][3]string{ // as reasoning, as reasoning_content, and in content
		`{"role":"assistant","content":"a","reasoning_content":"h\n"}`: {
			`{"role":"assistant","content":"a","reasoning":"h\n"}`, `{"role":"assistant","content":"a","reasoning_content":"h\n"}`, `{"role":"assistant","content":"h\na"}`,
		},
		`{ "reasoning" : "h", "content": null, "thinking_blocks":[{"thinking":"h"}]}`: {
			`{"reasoning":"h","content":null,"thinking_blocks":[{"thinking":"h"}]}`, `{"reasoning_content":"h","content":null,"thinking_blocks":[{"thinking":"h"}]}`, `{"content":"h","thinking_blocks":[{"thinking":"h"}]}`,
		},
		`{"reasoning":"h","reasoning_details":[1.00]}`: {
			`{"reasoning":"h","reasoning_details":[1.00]}`, `{"reasoning_content":"h","reasoning_details":[1.00]}`, `{"reasoning_details":[1.00],"content":"h"}`,
		},
		`{"reasoning_content":null,"reasoning":"h","content":"a"}`: {
			`{"reasoning":"h","content":"a"}`, `{"reasoning_content":"h","content":"a"}`, `{"content":"ha"}`,
		},
		`{"reasoning":"h","reasoning_content":"h","content":""}`: {
			`{"reasoning":"h","content":""}`, `{"reasoning_content":"h","content":""}`, `{"content":"h"}`,
		},
		`{"content":[{"type":"text","text":"a"}],"reasoning":"h"}`: {
			`{"content":[{"type":"text","text":"a"}],"reasoning":"h"}`, `{"content":[{"type":"text","text":"a"}],"reasoning_content":"h"}`, `{"content":[{"type":"text","text":"h"},{"type":"text","text":"a"}]}`,
		},
		`{"content":[ ],"reasoning":"h"}`:          {`{"content":[ ],"reasoning":"h"}`, `{"content":[ ],"reasoning_content":"h"}`, `{"content":[{"type":"text","text":"h"}]}`},
		`{"reasoning_content":null,"content":"a"}`: {`{"reasoning":null,"content":"a"}`, `{"reasoning_content":null,"content":"a"}`, `{"content":"a"}`},
		`{"content":"\"reasoning\": it is"}`:       {`{"content":"\"reasoning\": it is"}`, `{"content":"\"reasoning\": it is"}`, `{"content":"\"reasoning\": it is"}`},
		// Some have one member for form's sake.
		`{"reasoning":"","reasoning_content":"h","content":"a"}`: {
			`{"reasoning":"h","content":"a"}`, `{"reasoning_content":"h","content":"a"}`, `{"content":"ha"}`,
		},
		`{"reasoning_content":"h","reasoning":"","content":"a"}`: {
			`{"reasoning":"h","content":"a"}`, `{"reasoning_content":"h","content":"a"}`, `{"content":"ha"}`,
		},
		`{"reasoning":{"steps":["h"]},"content":"a"}`: {
			`{"reasoning":{"steps":["h"]},"content":"a"}`, `{"reasoning":{"steps":["h"]},"content":"a"}`, `{"reasoning":{"steps":["h"]},"content":"a"}`,
		},
		// Halves of characters are what others have the other half of.
		"{\"reasoning_content\":\"h\xe6\"}": {"{\"reasoning\":\"h\xe6\"}", "{\"reasoning_content\":\"h\xe6\"}", "{\"content\":\"h\xe6\"}"},
		`{"reasoning_content":"\ud83d"}`:    {`{"reasoning":"\ud83d"}`, `{"reasoning_content":"\ud83d"}`, `{"content":"\ud83d"}`},
	} {
		for i, member := range []string{"reasoning", "reasoning_content", "content"} {
			for kind, frame := range map[string]string{"delta": ": hm\n\ndata: @\n\n", "message": "@\n"} {
				// Only messages are looked at: what else has that name is another thing.
				around := func(m string) string {
					return strings.Replace(frame, "@", `{"id":"x", "reasoning":"u","choices":[{"index":0,"`+kind+`":`+m+`,"finish_reason": null},{"index":1,"`+kind+`":`+m+`}],"usage":{"reasoning":"u"}}`, 1)
				}
				in := parrot{event: around(said), end: "data: [DONE]\n\n"}
				if kind == "message" {
					in = parrot{end: around(said)}
				}
				e := new(Chat).Thoughts(in, &llm.Request{Stream: kind == "delta"}, member)
				got, err := e.Event([]byte("before: \"reasoning\"\n"), llm.Event{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err = e.Finish(got, wire.Final{}); err != nil {
					t.Fatal(err)
				}
				wanted := "before: \"reasoning\"\n" + around(want[i])
				if kind == "delta" {
					wanted += in.end
				}
				if string(got) != wanted {
					t.Errorf("%s in %s:\n%q, want\n%q", said, member, got, wanted)
				}
			}
		}
	}
	for _, odd := range []string{"data: {\"reasoning\n\n", "data: \"reasoning\"\n\n", `data: {"choices":[{"delta":{"reasoning":` + "\n\n"} {
		if got, _ := new(Chat).Thoughts(parrot{event: odd}, &llm.Request{Stream: true}, "content").Event(nil, llm.Event{}); string(got) != odd {
			t.Errorf("%q becomes %q", odd, got)
		}
	}
}
