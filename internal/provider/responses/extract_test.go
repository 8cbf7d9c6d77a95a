package responses

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

// object is decoded JSON.
type object = map[string]any

func list(v any) []any { l, _ := v.([]any); return l }
func obj(v any) object { o, _ := v.(object); return o }
func str(v any) string { s, _ := v.(string); return s }
func num(v any) int64  { n, _ := v.(float64); return int64(n) }

// one returns the body of a recording. Of several streams in one it is the first.
func one(f *testkit.Fixture) string {
	body := string(f.Response.Body())
	if f.Response.Kind != "sse" {
		return strings.TrimLeft(body, " \r\n")
	}
	frames := strings.SplitAfter(body, "\n\n")
	for i, frame := range frames {
		if strings.Contains(frame, `"type":"response.completed"`) && i+1 < len(frames) {
			return strings.Join(frames[:i+1], "")
		}
	}
	return body
}

// payloads returns the JSON objects of an answer: its events, or itself.
func payloads(t *testing.T, f *testkit.Fixture) []object {
	t.Helper()
	texts := []string{one(f)}
	if f.Response.Kind == "sse" {
		texts = nil
		for _, line := range strings.FieldsFunc(one(f), func(r rune) bool { return r == '\n' || r == '\r' }) {
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

// response returns the response of an answer as it ended.
func response(t *testing.T, f *testkit.Fixture) object {
	all := payloads(t, f)
	last := all[len(all)-1]
	if r := obj(last["response"]); r != nil {
		return r
	}
	return last
}

// outputs returns the items of an answer: of their own events, in which reasoning
// is sealed otherwise than in the last one, or of the response.
func outputs(t *testing.T, f *testkit.Fixture) []object {
	var out []object
	for _, o := range payloads(t, f) {
		if str(o["type"]) == "response.output_item.done" {
			out = append(out, obj(o["item"]))
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, it := range list(response(t, f)["output"]) {
		out = append(out, obj(it))
	}
	return out
}

// said is what an answer says, read the slow way.
type said struct {
	Text, Thought, Refusal string
	Tools                  []string // id, name and arguments
	Seals                  []string
	Citations              int
	Finish                 string
}

// extract reads an answer by the items that it ended with.
func extract(t *testing.T, f *testkit.Fixture) *said {
	s := &said{Finish: "stop"}
	for _, it := range outputs(t, f) {
		switch str(it["type"]) {
		case "message":
			for _, p := range list(it["content"]) {
				s.Text += str(obj(p)["text"])
				s.Refusal += str(obj(p)["refusal"])
				s.Citations += len(list(obj(p)["annotations"]))
			}
		case "reasoning":
			var parts []string
			for _, p := range append(list(it["content"]), list(it["summary"])...) {
				if text := str(obj(p)["text"]); text != "" {
					parts = append(parts, text)
				}
			}
			s.Thought += strings.Join(parts, "\n\n")
			if blob := str(it["encrypted_content"]); blob != "" {
				s.Seals = append(s.Seals, str(it["id"])+" "+blob)
			}
		case "function_call", "custom_tool_call":
			args := str(it["arguments"]) + str(it["input"])
			if args == "" {
				args = "{}"
			}
			s.Tools = append(s.Tools, str(it["call_id"])+" "+str(it["name"])+" "+args)
			s.Finish = "tool_calls"
		}
	}
	switch str(obj(response(t, f)["incomplete_details"])["reason"]) {
	case "max_output_tokens":
		s.Finish = "length"
	case "content_filter":
		s.Finish = "content_filter"
	}
	return s
}

// understand reads events, or a whole answer.
func understand(evs []llm.Event) *said {
	s := &said{}
	seal := func(text string) {
		if issuer, state, ok := llm.Unseal(text); ok && issuer == "up" {
			s.Seals = append(s.Seals, state)
		} else {
			s.Seals = append(s.Seals, "not ours: "+text)
		}
	}
	for _, e := range evs {
		for _, d := range e.Deltas {
			switch d.Kind {
			case llm.DeltaText:
				s.Text += d.Text
			case llm.DeltaReasoning:
				s.Thought += d.Text
			case llm.DeltaRefusal:
				s.Refusal += d.Text
			case llm.DeltaSignature:
				seal(d.Text)
			case llm.DeltaCitation:
				s.Citations++
			case llm.DeltaToolCall:
				s.Tools = append(s.Tools, d.ToolID+" "+d.ToolName+" ")
			case llm.DeltaToolArgs:
				s.Tools[d.Tool] += d.Text
			case llm.DeltaFinish:
				s.Finish = string(d.Finish)
			}
		}
		if e.Whole == nil {
			continue
		}
		for _, c := range e.Whole.Choices {
			s.Finish += string(c.Finish)
			for _, p := range c.Parts {
				switch p.Kind {
				case llm.PartText:
					s.Text += p.Text
					var cited []json.RawMessage
					_ = json.Unmarshal(p.Citations, &cited)
					s.Citations += len(cited)
				case llm.PartReasoning:
					s.Thought += p.Text
					if p.Signature != "" {
						seal(p.Signature)
					}
				case llm.PartRefusal:
					s.Refusal += p.Text
				case llm.PartToolCall:
					s.Tools = append(s.Tools, p.ToolID+" "+p.ToolName+" "+string(p.Args))
				}
			}
		}
	}
	return s
}
