package prompt

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// clock stands still but for tick.
type clock struct{ now time.Time }

func (c *clock) tick(d time.Duration) { c.now = c.now.Add(d) }

func encode(t interface{ Fatal(...any) }, body string) (wire.Encoder, *clock) {
	c := &clock{time.Unix(7, 0)}
	d := New(Options{Now: func() time.Time { return c.now }})
	r, err := d.DecodeFor("org/m", []byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.Encoder(r), c
}

func whole(parts ...llm.Part) llm.Event {
	return llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: parts, Finish: llm.FinishStop}}}, Last: true}
}

var used = llm.Usage{Input: 3, CachedInput: 1, Output: 2}

const usage = `{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1,"cache_write_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}`

func TestAWholeAnswer(t *testing.T) {
	t.Parallel()
	hello := whole(llm.Part{Kind: llm.PartReasoning, Text: "hm"}, llm.Part{Text: "he\"llo"}, llm.Part{Kind: llm.PartRefusal, Text: "!"})
	for _, c := range []struct {
		name, body string
		final      wire.Final
		want       string
	}{
		{
			"plain", `{"prompt":"x"}`,
			wire.Final{Usage: used},
			`{"text":"he\"llo!","tokens":5,"model":"org/m","latency":1234,"metadata":{},"usage":` + usage + `}`,
		},
		{
			"metadata and another model", `{"metadata": {"a": [1.50, 1e400, "\u0061"]} ,"prompt":"x"}`,
			wire.Final{Usage: used, Model: "n"},
			`{"text":"he\"llo!","tokens":5,"model":"n","latency":1234,"metadata":{"a": [1.50, 1e400, "\u0061"]},"usage":` + usage + `}`,
		},
		{
			"null metadata and additions", `{"prompt":"x","metadata":null}`,
			wire.Final{Usage: used, Extras: []llm.Edit{{Name: "cost", Value: []byte(`"0.1"`)}, {Name: "usage", Value: nil}, {Name: "tokens", Value: []byte(`9`)}}},
			`{"text":"he\"llo!","tokens":9,"model":"org/m","latency":1234,"metadata":{},"cost":"0.1"}`,
		},
	} {
		e, at := encode(t, c.body)
		if out, err := e.Event(nil, llm.Event{Ping: true}); err != nil || len(out) > 0 {
			t.Errorf("%s: Event of a ping = %q, %v", c.name, out, err)
		}
		at.tick(1234567 * time.Microsecond)
		if out, err := e.Event(nil, hello); err != nil || len(out) > 0 {
			t.Errorf("%s: Event = %q, %v, want it kept back", c.name, out, err)
		}
		out, err := e.Finish([]byte("> "), c.final)
		if err != nil {
			t.Errorf("%s: Finish = %v", c.name, err)
		}
		if diff := cmp.Diff("> "+c.want, string(out)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if h := e.Heartbeat([]byte("x")); string(h) != "x" {
			t.Errorf("Heartbeat adds %q", h)
		}
	}
}

func TestLatencyIsNeverNegative(t *testing.T) {
	t.Parallel()
	e, at := encode(t, `{"prompt":"x"}`)
	at.tick(-time.Hour)
	if _, err := e.Event(nil, whole()); err != nil {
		t.Fatal(err)
	}
	if out, err := e.Finish(nil, wire.Final{}); err != nil || !strings.Contains(string(out), `"latency":0,`) {
		t.Errorf("Finish = %s, %v", out, err)
	}
}

func TestWhatCannotBeExpressedIsAnError(t *testing.T) {
	t.Parallel()
	for name, ev := range map[string]llm.Event{
		"no choice":     {Whole: &llm.Answer{}},
		"pause":         {Whole: &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishPause}}}},
		"foreign bytes": {Raw: []byte("{}")},
		"stream":        {Deltas: []llm.Delta{{Text: "x"}}},
		"tool call":     whole(llm.Part{Text: "x"}, llm.Part{Kind: llm.PartToolCall, ToolName: "f"}),
		"image":         whole(llm.Part{Kind: llm.PartImage, URL: "https://x/y"}),
	} {
		e, _ := encode(t, `{"prompt":"x"}`)
		if out, err := e.Event(nil, ev); err == nil {
			t.Errorf("%s: Event = %q, want an error", name, out)
		}
		if out, err := e.Finish(nil, wire.Final{}); err == nil {
			t.Errorf("%s: Finish of nothing = %q, want an error", name, out)
		}
	}
}

func TestACollectorYieldsTheFirstChoice(t *testing.T) {
	t.Parallel()
	var c Collector
	if text, err := c.Text(); err == nil {
		t.Errorf("Text of nothing = %q, want an error", text)
	}
	two := whole(llm.Part{Text: "a"}, llm.Part{Kind: llm.PartRedacted, Data: "r"}, llm.Part{Text: "b"})
	two.Whole.Choices = append(two.Whole.Choices, llm.Choice{Parts: []llm.Part{{Text: "c"}}, Finish: llm.FinishStop})
	for _, ev := range []llm.Event{{Ping: true}, two, {Usage: &used}} {
		if err := c.Add(ev); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := c.Text(); text != "ab" || err != nil {
		t.Errorf("Text = %q, %v, want ab", text, err)
	}
	var empty Collector
	if err := empty.Add(whole()); err != nil {
		t.Fatal(err)
	}
	if text, err := empty.Text(); text != "" || err != nil {
		t.Errorf("Text of an empty answer = %q, %v", text, err)
	}
}

// TestAnswersAreTrueJSON holds for any text and metadata: the answer is one
// document by the strict rules, and gives both back.
func TestAnswersAreTrueJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, prompt := rapid.String().Draw(t, "text"), rapid.StringN(1, -1, -1).Draw(t, "prompt")
		metadata := rapid.MapOf(rapid.String(), rapid.Float64Range(-1e9, 1e9)).Draw(t, "metadata")
		body, err := json.Marshal(map[string]any{"prompt": prompt, "metadata": metadata})
		if err != nil {
			t.Fatal(err)
		}
		e, _ := encode(t, string(body))
		if _, err := e.Event(nil, whole(llm.Part{Text: text})); err != nil {
			t.Fatal(err)
		}
		out, err := e.Finish(nil, wire.Final{Usage: used})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jsonx.Scan(out); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		var got struct {
			Text     string             `json:"text"`
			Metadata map[string]float64 `json:"metadata"`
		}
		if err := json.Unmarshal(out, &got); err != nil || got.Text != text {
			t.Fatalf("text = %q, %v, want %q", got.Text, err, text)
		}
		if diff := cmp.Diff(metadata, got.Metadata); diff != "" {
			t.Fatalf("metadata (-want +got):\n%s", diff)
		}
	})
}
