package sim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// message1 is an Anthropic answer as far as tests look.
type message1 struct {
	Content []struct {
		Type      string `json:"type"`
		Text      string `json:"text"`
		Thinking  string `json:"thinking"`
		Signature string `json:"signature"`
	} `json:"content"`
	StopReason   string `json:"stop_reason"`
	StopSequence string `json:"stop_sequence"`
	Usage        struct {
		Input    int64 `json:"input_tokens"`
		Write    int64 `json:"cache_creation_input_tokens"`
		Read     int64 `json:"cache_read_input_tokens"`
		Output   int64 `json:"output_tokens"`
		Creation struct {
			M5 int64 `json:"ephemeral_5m_input_tokens"`
			H1 int64 `json:"ephemeral_1h_input_tokens"`
		} `json:"cache_creation"`
		Out struct {
			Thinking int64 `json:"thinking_tokens"`
		} `json:"output_tokens_details"`
	} `json:"usage"`
}

func TestAnthropicThinkingStopsAndLimits(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	for _, c := range []struct {
		name, rest, stop string
		blocks           []string
	}{
		{"plain", `"max_tokens":500,`, "end_turn", []string{"text"}},
		{"cut", `"max_tokens":5,`, "max_tokens", []string{"text"}},
		{"nothing", `"max_tokens":0,`, "max_tokens", nil},
		{"stop", `"max_tokens":500,"stop_sequences":["zzz","answer"],`, "stop_sequence", []string{"text"}},
		{"thinking", `"max_tokens":5000,"thinking":{"type":"enabled","budget_tokens":1024},`, "end_turn", []string{"thinking", "text"}},
		{"disabled", `"max_tokens":5000,"thinking":{"type":"disabled"},`, "end_turn", []string{"text"}},
		{"tool", `"max_tokens":500,"tool_choice":{"type":"any"},"tools":[{"name":"f","input_schema":{"type":"object"}},{"type":"web_search_20250305","name":"web_search"}],`, "tool_use", []string{"tool_use"}},
		{"json", `"max_tokens":500,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},`, "end_turn", []string{"text"}},
	} {
		body := ask1(t, s, messagesPath, `{"model":"m",`+c.rest+`"messages":[{"role":"user","content":"Hello"}]}`).body
		m := decode[message1](t, body)
		var kinds []string
		for _, b := range m.Content {
			kinds = append(kinds, b.Type)
			if b.Type == "thinking" && (b.Signature == "" || b.Thinking == "" || m.Usage.Out.Thinking == 0) {
				t.Errorf("%s: %s has no text, signature or tokens", c.name, body)
			}
		}
		if diff := cmp.Diff(c.blocks, kinds); diff != "" || m.StopReason != c.stop {
			t.Errorf("%s: stop_reason %s, want %s; blocks (-want +got):\n%s", c.name, m.StopReason, c.stop, diff)
		}
		if c.name == "stop" && m.StopSequence != "answer" {
			t.Errorf("stop_sequence = %q", m.StopSequence)
		}
	}
	omitted := decode[message1](t, ask1(t, s, messagesPath, `{"model":"m","max_tokens":500,"thinking":{"type":"adaptive","display":"omitted"},"messages":[{"role":"user","content":"Hello"}]}`).body)
	if b := omitted.Content[0]; b.Type != "thinking" || b.Thinking != "" || b.Signature == "" {
		t.Errorf("omitted thinking = %+v", b)
	}
}

func TestCacheMarksSplitTheInput(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	const mark = `,"cache_control":{"type":"ephemeral"}`
	body := func(system, one, two string) string {
		return `{"model":"m","max_tokens":9,"system":[{"type":"text","text":"You are a very patient teacher."` + system + `}],"messages":[{"role":"user","content":[{"type":"text","text":"first part"` + one + `},{"type":"text","text":"second part"` + two + `}]}]}`
	}
	usage := func(b string) (in, write, read, h1 int64) {
		u := decode[message1](t, ask1(t, s, messagesPath, b).body).Usage
		if u.Write != u.Creation.M5+u.Creation.H1 {
			t.Errorf("%s: the parts of what was written do not add up: %+v", b, u)
		}
		return u.Input, u.Write, u.Read, u.Creation.H1
	}
	total, write, read, _ := usage(body("", "", ""))
	if write != 0 || read != 0 {
		t.Errorf("without marks: write %d, read %d", write, read)
	}
	in, write1, read, _ := usage(body("", mark, ""))
	if write1 == 0 || read != 0 || in+write1 != total {
		t.Errorf("one mark: input %d, write %d, read %d of %d", in, write1, read, total)
	}
	in, write, read, _ = usage(body(mark, mark, ""))
	if read == 0 || write == 0 || read+write != write1 || in+write+read != total {
		t.Errorf("two marks: input %d, write %d, read %d of %d", in, write, read, total)
	}
	if _, write, _, h1 := usage(body("", `,"cache_control":{"type":"ephemeral","ttl":"1h"}`, "")); h1 != write || h1 != write1 {
		t.Errorf("an hour: write %d, of it 1h %d", write, h1)
	}
	u := decode[completion](t, ask1(t, s, chatPath, `{"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"You are patient."`+mark+`}]},{"role":"user","content":[{"type":"text","text":"part"`+mark+`}]}]}`).body).Usage
	if u.In.Cached == 0 || u.In.Write == 0 || u.In.Cached+u.In.Write >= u.Prompt {
		t.Errorf("OpenAI's numbers: %+v", u)
	}
}

func TestCountTokensAgreesWithTheMessage(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	const rest = `"model":"m","system":"Be kind.","tools":[{"name":"f","description":"does","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"How are you?"}]}`
	counted := decode[struct {
		Input int64 `json:"input_tokens"`
	}](t, ask1(t, s, countPath, `{`+rest).body)
	used := decode[message1](t, ask1(t, s, messagesPath, `{"max_tokens":5,`+rest).body)
	if counted.Input == 0 || counted.Input != used.Usage.Input {
		t.Errorf("count_tokens says %d, the message %d", counted.Input, used.Usage.Input)
	}
}
