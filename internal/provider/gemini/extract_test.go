package gemini

import (
	"encoding/json"
	"slices"
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

// payloads returns the JSON objects of an answer: its events, the elements of its
// array, or itself.
func payloads(t *testing.T, body string) []object {
	t.Helper()
	texts := []string{body}
	switch trimmed := strings.TrimSpace(body); {
	case strings.HasPrefix(trimmed, "data:"):
		texts = nil
		for _, line := range strings.FieldsFunc(body, func(r rune) bool { return r == '\n' || r == '\r' }) {
			if data, ok := strings.CutPrefix(line, "data:"); ok {
				texts = append(texts, data)
			}
		}
	case strings.HasPrefix(trimmed, "["):
		var raws []json.RawMessage
		if err := json.Unmarshal([]byte(trimmed), &raws); err != nil {
			t.Fatal(err)
		}
		texts = nil
		for _, r := range raws {
			texts = append(texts, string(r))
		}
	}
	var out []object
	for _, s := range texts {
		var o object
		if err := json.Unmarshal([]byte(s), &o); err != nil {
			t.Fatalf("%v in %.100s", err, s)
		}
		out = append(out, o)
	}
	return out
}

// said is what one candidate says.
type said struct {
	Text, Thought string
	Seals         []string // signatures, in order
	Images        []string // types and bytes
	Tools         []string // names with arguments, as Go's own JSON
	Finish        string
}

// call adds a function call, read the slow way: pieces of arguments are put at
// their places.
func (s *said) call(fc object, pieces map[string]string) {
	if str(fc["name"]) != "" {
		args := obj(fc["args"])
		if args == nil {
			args = object{}
		}
		s.Tools = append(s.Tools, str(fc["name"])+" "+compact(args))
		clear(pieces)
	}
	if len(list(fc["partialArgs"])) == 0 {
		return
	}
	for _, p := range list(fc["partialArgs"]) {
		p := obj(p)
		pieces[strings.TrimPrefix(str(p["jsonPath"]), "$.")] += str(p["stringValue"])
	}
	last := len(s.Tools) - 1
	name, _, _ := strings.Cut(s.Tools[last], " ")
	s.Tools[last] = name + " " + compact(pieces)
}

func compact(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// extract reads an answer.
func extract(t *testing.T, body string) map[int]*said {
	t.Helper()
	out := map[int]*said{}
	pieces := map[string]string{}
	for _, o := range payloads(t, body) {
		for i, c := range list(o["candidates"]) {
			c := obj(c)
			if n, ok := c["index"].(float64); ok {
				i = int(n)
			}
			if out[i] == nil {
				out[i] = &said{}
			}
			for _, p := range list(obj(c["content"])["parts"]) {
				p := obj(p)
				switch {
				case p["functionCall"] != nil:
					out[i].call(obj(p["functionCall"]), pieces)
				case p["thought"] == true:
					out[i].Thought += str(p["text"])
				case p["inlineData"] != nil:
					out[i].Images = append(out[i].Images, str(obj(p["inlineData"])["mimeType"])+" "+str(obj(p["inlineData"])["data"]))
				default:
					out[i].Text += str(p["text"])
				}
				_, text := p["text"]
				if s := str(p["thoughtSignature"]); s != "" && (text || p["functionCall"] != nil) {
					out[i].Seals = append(out[i].Seals, s)
				}
			}
			switch f := c["finishReason"].(type) {
			case string:
				out[i].Finish = f
			case float64:
				out[i].Finish = map[float64]string{1: "STOP"}[f]
			}
		}
	}
	return out
}

// reported is the usage that an answer reports: the last word on each number.
func reported(t *testing.T, body string) object {
	t.Helper()
	u := object{}
	for _, o := range payloads(t, body) {
		for k, v := range obj(o["usageMetadata"]) {
			u[k] = v
		}
	}
	return u
}

// filtered are the reasons that mean a filter.
var filtered = []string{"SAFETY", "RECITATION", "MODEL_ARMOR"}

// canonical is the gateway's word for a reason.
func canonical(s *said) string {
	switch {
	case slices.Contains(filtered, s.Finish):
		return "content_filter"
	case s.Finish == "MAX_TOKENS":
		return "length"
	case len(s.Tools) > 0:
		return "tool_calls"
	}
	return "stop"
}

// framed returns a recorded stream as the upstream sends it when it is asked for
// events: some were recorded as one array.
func framed(t *testing.T, f *testkit.Fixture) string {
	t.Helper()
	body := string(f.Response.Body())
	if f.Response.Kind == "sse" {
		return body
	}
	var raws []json.RawMessage
	if err := json.Unmarshal([]byte(body), &raws); err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	var b strings.Builder
	for _, r := range raws {
		b.WriteString("data: " + strings.ReplaceAll(strings.ReplaceAll(string(r), "\r", ""), "\n", " ") + "\r\n\r\n")
	}
	return b.String()
}
