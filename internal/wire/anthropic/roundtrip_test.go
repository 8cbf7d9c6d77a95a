package anthropic

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

// event is one event of a stream, as a client reads it.
type event struct {
	Type    string
	Index   int
	Message *struct {
		ID, Model string
		Content   []any
		Usage     map[string]any
	}
	Block struct {
		Type, ID, Name, Data string
	} `json:"content_block"`
	Delta struct {
		Type, Text, Thinking, Signature string
		Partial                         string `json:"partial_json"`
		StopReason                      string `json:"stop_reason"`
	}
	Usage map[string]any
}

// client puts a stream together as the official clients do, and complains of
// everything that they would complain of.
type client struct {
	parts  []llm.Part
	open   int // index of the open block; -1: none
	state  string
	reason string
	usage  map[string]any
	last   string // data of the last frame but message_stop
}

func (c *client) read(stream string, schema *testkit.Schema) error {
	c.open = -1
	if !strings.HasSuffix(stream, "\n\n") {
		return fmt.Errorf("the stream does not end with a blank line")
	}
	for _, f := range strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(f, "\ndata: ")
		name, isEvent := strings.CutPrefix(name, "event: ")
		if !ok || !isEvent || strings.Contains(data, "\n") {
			return fmt.Errorf("frame %q", f)
		}
		var ev event
		if err := json.Unmarshal([]byte(data), &ev); err != nil {
			return fmt.Errorf("%s: %w", data, err)
		}
		if ev.Type != name {
			return fmt.Errorf("event %s holds %s", name, data)
		}
		if name == "ping" {
			continue
		}
		if schema != nil {
			if err := schema.Check([]byte(data)); err != nil {
				return fmt.Errorf("%s: %w", data, err)
			}
		}
		if err := c.event(&ev); err != nil {
			return fmt.Errorf("%s: %w", data, err)
		}
		if name != "message_stop" {
			c.last = data
		}
	}
	if c.state != "message_stop" {
		return fmt.Errorf("the stream ends with %s", c.state)
	}
	return nil
}

func (c *client) event(ev *event) error {
	before := c.state
	c.state = ev.Type
	switch ev.Type {
	case "message_start":
		if before != "" || ev.Message == nil || len(ev.Message.Content) != 0 || ev.Message.Model != "m" || !strings.HasPrefix(ev.Message.ID, "msg_") {
			return fmt.Errorf("bad start after %q", before)
		}
	case "content_block_start":
		if c.open >= 0 || ev.Index != len(c.parts) {
			return fmt.Errorf("block %d begins while %d is open, after %d blocks", ev.Index, c.open, len(c.parts))
		}
		c.open = ev.Index
		p := llm.Part{ToolID: ev.Block.ID, ToolName: ev.Block.Name, Data: ev.Block.Data}
		switch ev.Block.Type {
		case "text":
			p.Kind = llm.PartText
		case "thinking":
			p.Kind = llm.PartReasoning
		case "redacted_thinking":
			p.Kind = llm.PartRedacted
		case "tool_use":
			p.Kind = llm.PartToolCall
		default:
			return fmt.Errorf("block of type %q", ev.Block.Type)
		}
		c.parts = append(c.parts, p)
	case "content_block_delta":
		if ev.Index != c.open {
			return fmt.Errorf("delta of block %d while %d is open", ev.Index, c.open)
		}
		p := &c.parts[ev.Index]
		p.Text += ev.Delta.Text + ev.Delta.Thinking
		p.Signature += ev.Delta.Signature
		p.Args = append(p.Args, ev.Delta.Partial...)
	case "content_block_stop":
		if ev.Index != c.open {
			return fmt.Errorf("stop of block %d while %d is open", ev.Index, c.open)
		}
		c.open = -1
	case "message_delta":
		if c.open >= 0 {
			return fmt.Errorf("block %d is still open", c.open)
		}
		c.reason, c.usage = ev.Delta.StopReason, ev.Usage
	case "message_stop":
		if before != "message_delta" {
			return fmt.Errorf("message_stop after %s", before)
		}
	}
	return nil
}

// expected is what of an answer a message holds: a refusal is a text, and no
// text is empty.
func expected(parts []llm.Part, finish llm.Finish) ([]llm.Part, string) {
	reason := map[llm.Finish]string{llm.FinishStop: "end_turn", llm.FinishToolCalls: "end_turn", llm.FinishLength: "max_tokens", llm.FinishContentFilter: "refusal"}[finish]
	var out []llm.Part
	var called, refused bool
	for _, p := range parts {
		if p.Kind == llm.PartRefusal {
			refused = true
			p.Kind = llm.PartText
			if n := len(out); n > 0 && out[n-1].Kind == llm.PartText {
				out[n-1].Text += p.Text
				continue
			}
		} else if n := len(out); p.Kind == llm.PartText && n > 0 && out[n-1].Kind == llm.PartText {
			out[n-1].Text += p.Text
			continue
		}
		called = called || p.Kind == llm.PartToolCall
		out = append(out, p)
	}
	if reason == "end_turn" && refused {
		reason = "refusal"
	}
	if called && (finish == llm.FinishStop || finish == llm.FinishToolCalls) {
		reason = "tool_use"
	}
	return out, reason
}

var usage = llm.Usage{Input: 100, CachedInput: 20, CacheWrite: 5, CacheWrite1h: 3, Output: 7, Reasoning: 2}

func TestNothingIsLostInATranslatedStream(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "anthropic.RawMessageStreamEvent.json")
	rapid.Check(t, func(t *rapid.T) {
		deltas := testkit.Deltas(t, 0)
		want, reason := expected(testkit.Collect(deltas))
		e := NewMessages().Encoder(request(`,"stream":true`))
		var out []byte
		var err error
		for _, ev := range testkit.Events(t, deltas) {
			if out, err = e.Event(out, ev); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(string(out), "message_delta") || strings.Contains(string(out), "message_stop") {
			t.Fatal("the end is out before Finish")
		}
		if out, err = e.Finish(out, wire.Final{Usage: usage}); err != nil {
			t.Fatal(err)
		}
		var c client
		if err := c.read(string(out), schema); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if diff := cmp.Diff(want, c.parts, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("parts (-want +got):\n%s", diff)
		}
		if c.reason != reason {
			t.Fatalf("stop_reason = %s, want %s", c.reason, reason)
		}
		for name, n := range map[string]float64{"input_tokens": 72, "cache_creation_input_tokens": 8, "cache_read_input_tokens": 20, "output_tokens": 7} {
			if c.usage[name] != n {
				t.Fatalf("usage %v, want %s %v", c.usage, name, n)
			}
		}
	})
}

func TestNothingIsLostInATranslatedWhole(t *testing.T) {
	t.Parallel()
	schema := testkit.LoadSchema(t, "anthropic.Message.json")
	rapid.Check(t, func(t *rapid.T) {
		parts, finish := testkit.Collect(testkit.Deltas(t, 0))
		_, reason := expected(parts, finish)
		e := NewMessages().Encoder(request(``))
		if out, err := e.Event(nil, llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Parts: parts, Finish: finish}}}}); err != nil || len(out) > 0 {
			t.Fatalf("Event = %q, %v", out, err)
		}
		out, err := e.Finish(nil, wire.Final{Usage: usage, Model: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Check(out); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		var m struct {
			Model      string
			StopReason string `json:"stop_reason"`
			Content    []struct {
				Type, Text, Thinking, Signature, Data, ID, Name string
				Input                                           json.RawMessage
			}
			Usage struct {
				Input    int            `json:"input_tokens"`
				Creation map[string]int `json:"cache_creation"`
			}
		}
		if err := json.Unmarshal(out, &m); err != nil {
			t.Fatal(err)
		}
		var got []llm.Part
		for _, b := range m.Content {
			p := llm.Part{Text: b.Text + b.Thinking, Signature: b.Signature, Data: b.Data, ToolID: b.ID, ToolName: b.Name, Args: b.Input}
			p.Kind = map[string]llm.PartKind{"text": llm.PartText, "thinking": llm.PartReasoning, "redacted_thinking": llm.PartRedacted, "tool_use": llm.PartToolCall}[b.Type]
			got = append(got, p)
		}
		for i := range parts {
			if parts[i].Kind == llm.PartRefusal {
				parts[i].Kind = llm.PartText
			}
		}
		if diff := cmp.Diff(parts, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("content (-want +got):\n%s", diff)
		}
		if m.StopReason != reason || m.Model != "other" || m.Usage.Input != 72 || m.Usage.Creation["ephemeral_5m_input_tokens"] != 5 || m.Usage.Creation["ephemeral_1h_input_tokens"] != 3 {
			t.Fatalf("%s: want stop_reason %s", out, reason)
		}
	})
}
