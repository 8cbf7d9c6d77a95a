package openai

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// object is decoded JSON.
type object = map[string]any

// payloads returns the JSON objects of an answer: its chunks, or itself.
func payloads(t *testing.T, f *testkit.Fixture) []object {
	t.Helper()
	texts := []string{string(f.Response.Body())}
	if f.Response.Kind == "sse" {
		texts = nil
		for _, line := range strings.FieldsFunc(string(f.Response.Body()), func(r rune) bool { return r == '\n' || r == '\r' }) {
			if data, ok := strings.CutPrefix(line, "data:"); ok && strings.TrimSpace(data) != done {
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

func list(v any) []any   { l, _ := v.([]any); return l }
func obj(v any) object   { o, _ := v.(object); return o }
func str(v any) string   { s, _ := v.(string); return s }
func num(v any) int64    { n, _ := v.(float64); return int64(n) }
func some(v any) bool    { return v != nil && v != "" }
func first(v ...any) any { return v[slices.IndexFunc(v, func(x any) bool { return x != nil })] }

// said is what one choice of an answer says, read the slow way.
type said struct {
	Text, Thought, Refusal string
	Tools                  []string // name and arguments
	Finish                 string
}

// heard returns what a choice says: of a stream its delta, of a whole answer its
// message, even if there are both.
func heard(f *testkit.Fixture, choice object) object {
	if f.Response.Kind == "sse" {
		return obj(first(choice["delta"], choice["message"], object{}))
	}
	return obj(first(choice["message"], choice["delta"], object{}))
}

// extract reads an answer into its choices.
func extract(t *testing.T, f *testkit.Fixture) map[int]*said {
	out := map[int]*said{}
	open := map[string]int{} // choice and index of a call, to its place
	for _, chunk := range payloads(t, f) {
		for position, c := range list(chunk["choices"]) {
			c := obj(c)
			index := position
			if i, ok := c["index"].(float64); ok {
				index = int(i)
			}
			s := out[index]
			if s == nil {
				s = &said{}
				out[index] = s
			}
			m := heard(f, c)
			s.Text += str(m["content"])
			for _, part := range list(m["content"]) {
				s.Text += str(obj(part)["text"])
				for _, thought := range list(obj(part)["thinking"]) {
					s.Thought += str(obj(thought)["text"])
				}
			}
			thought := str(first(m["reasoning_content"], m["reasoning"], ""))
			s.Thought += thought
			if thought == "" {
				for _, d := range list(m["reasoning_details"]) {
					s.Thought += str(obj(d)["text"]) + str(obj(d)["summary"])
				}
			}
			s.Refusal += str(m["refusal"])
			for i, call := range list(m["tool_calls"]) {
				k := i
				if n, ok := obj(call)["index"].(float64); ok {
					k = int(n)
				}
				fn := obj(first(obj(call)["function"], obj(call)["custom"], object{}))
				at := fmt.Sprint(index, ".", k)
				place, known := open[at]
				if !known || some(obj(call)["id"]) && some(fn["name"]) {
					place = len(s.Tools)
					open[at] = place
					s.Tools = append(s.Tools, str(fn["name"])+" ")
				}
				s.Tools[place] += str(first(fn["arguments"], fn["input"], ""))
			}
			if fn := obj(m["function_call"]); fn != nil {
				if some(fn["name"]) {
					s.Tools = append(s.Tools, str(fn["name"])+" ")
				}
				s.Tools[len(s.Tools)-1] += str(fn["arguments"])
			}
			if r := str(c["finish_reason"]); r != "" && s.Finish == "" {
				s.Finish = r
			}
		}
	}
	return out
}

func hasContent(t *testing.T, f *testkit.Fixture) bool {
	for _, o := range payloads(t, f) {
		for _, d := range list(o["data"]) {
			if obj(d)["embedding"] != nil {
				return true
			}
		}
		for _, c := range list(o["choices"]) {
			m := heard(f, obj(c))
			if m["audio"] != nil || len(list(m["annotations"])) > 0 || len(list(m["images"])) > 0 || some(m["reasoning_encrypted"]) || len(list(m["reasoning_details"])) > 0 {
				return true
			}
		}
	}
	for _, s := range extract(t, f) {
		if s.Text+s.Thought+s.Refusal != "" || len(s.Tools) > 0 {
			return true
		}
	}
	return false
}
