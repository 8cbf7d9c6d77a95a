package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// object is decoded JSON.
type object = map[string]any

func list(v any) []any   { l, _ := v.([]any); return l }
func obj(v any) object   { o, _ := v.(object); return o }
func str(v any) string   { s, _ := v.(string); return s }
func number(v any) int64 { n, _ := v.(float64); return int64(n) }

// payloads returns the JSON objects of an answer: its events, or itself.
func payloads(t *testing.T, f *testkit.Fixture) []object {
	t.Helper()
	texts := []string{string(f.Response.Body())}
	if f.Response.Kind == "sse" {
		texts = nil
		for _, line := range strings.FieldsFunc(string(f.Response.Body()), func(r rune) bool { return r == '\n' || r == '\r' }) {
			if data, ok := strings.CutPrefix(line, "data:"); ok && strings.TrimSpace(data) != "[DONE]" {
				texts = append(texts, data)
			}
		}
	}
	var out []object
	for _, s := range texts {
		var o object
		if err := json.Unmarshal([]byte(s), &o); err != nil {
			t.Fatalf("%s: %v in %.100s", f.ID, err, s)
		}
		out = append(out, o)
	}
	return out
}

// said is what an answer says.
type said struct {
	Text, Thought, Seal, Refusal string
	Redacted, Tools              []string
	Citations                    int
	Finish, Sequence             string
	Hosted                       bool // blocks of the provider's own tools
}

// block takes over a content block, as it stands or as it begins.
func (s *said) block(b object) {
	switch b["type"] {
	case "text":
		s.Text += str(b["text"])
		s.Citations += len(list(b["citations"]))
	case "thinking":
		s.Thought += str(b["thinking"])
		s.Seal += str(b["signature"])
	case "redacted_thinking":
		s.Redacted = append(s.Redacted, str(b["data"]))
	case "tool_use":
		s.Tools = append(s.Tools, str(b["name"])+" ")
	default:
		s.Hosted = true
	}
}

// extract reads an answer the slow way. Arguments are compared as they are
// decoded, since streams bring them as text.
func extract(t *testing.T, f *testkit.Fixture) (s said) {
	ending := func(o object) {
		if r := str(o["stop_reason"]); r != "" {
			s.Finish, s.Sequence = r, str(o["stop_sequence"])
			s.Refusal = str(obj(o["stop_details"])["explanation"])
		}
	}
	kinds, args := map[int64]string{}, map[int64]string{}
	for _, o := range payloads(t, f) {
		switch o["type"] {
		case "message":
			for _, b := range list(o["content"]) {
				s.block(obj(b))
				if obj(b)["type"] == "tool_use" {
					s.Tools[len(s.Tools)-1] += again(t, obj(b)["input"])
				}
			}
			ending(o)
		case "content_block_start":
			b := obj(o["content_block"])
			kinds[number(o["index"])] = str(b["type"])
			s.block(b)
			if input := obj(b["input"]); len(input) > 0 && b["type"] == "tool_use" {
				args[number(o["index"])] = again(t, input)
			}
		case "content_block_delta":
			d := obj(o["delta"])
			s.Text += str(d["text"])
			s.Thought += str(d["thinking"])
			s.Seal += str(d["signature"])
			args[number(o["index"])] += str(d["partial_json"])
			if d["citation"] != nil {
				s.Citations++
			}
		case "content_block_stop":
			if i := number(o["index"]); kinds[i] == "tool_use" {
				s.Tools[len(s.Tools)-1] += normal(t, args[i])
				delete(kinds, i)
			}
		case "message_delta":
			ending(obj(o["delta"]))
			for i, kind := range kinds { // cut in the middle: it has no stop
				if kind == "tool_use" && args[i] != "" {
					s.Tools[len(s.Tools)-1] += normal(t, args[i])
				}
			}
		}
	}
	return s
}

// again writes decoded JSON; its keys are sorted.
func again(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// normal writes JSON like again does; what is cut stays as it is.
func normal(t *testing.T, text string) string {
	if text == "" {
		return "{}"
	}
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	return again(t, v)
}
