package compat

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// recordings is the recorded traffic of real providers. It lies outside of the
// repository, where PONTAGE_SHARED says, or in a folder shared beside it.
var recordings = &corpus{}

type corpus struct {
	once  sync.Once
	dir   string
	index map[string]recording
	err   error
}

type recording struct {
	ID, File, API, Kind string
	Status              int
}

// load reads the index. An empty one has no error: there are no recordings.
func (c *corpus) load() (map[string]recording, error) {
	c.once.Do(func() {
		c.index = map[string]recording{}
		c.dir = os.Getenv("PONTAGE_SHARED")
		if c.dir == "" {
			c.dir = "../../../shared"
		}
		f, err := os.Open(filepath.Join(c.dir, "fixtures", "index.ndjson"))
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		if err != nil {
			c.err = err
			return
		}
		defer func() { _ = f.Close() }()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r recording
			if c.err = json.Unmarshal(lines.Bytes(), &r); c.err != nil {
				return
			}
			c.index[r.ID] = r
		}
		c.err = lines.Err()
	})
	return c.index, c.err
}

// body returns the recorded answer, and whether it is a stream.
func (c *corpus) body(id string) ([]byte, bool) {
	r := c.index[id]
	b, err := os.ReadFile(filepath.Join(c.dir, "fixtures", filepath.FromSlash(r.File)))
	if err != nil {
		return []byte(err.Error()), false
	}
	var f struct{ Response struct{ Body string } }
	if err := json.Unmarshal(b, &f); err != nil {
		return []byte(err.Error()), false
	}
	return []byte(f.Response.Body), r.Kind == "sse"
}

// each runs a test for every recorded success of an API.
func (c *corpus) each(t *testing.T, api string, least int, test func(t *testing.T, r recording)) {
	t.Helper()
	index, err := c.load()
	if err != nil {
		t.Fatal(err)
	}
	if len(index) == 0 {
		if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" {
			t.Fatal("PONTAGE_REQUIRE_SHARED=1, and there are no recordings")
		}
		t.Skip("SKIPPED WITHOUT TESTING ANYTHING: no recordings (set PONTAGE_SHARED)")
	}
	n := 0
	for _, r := range index {
		if r.API == api && r.Status == 200 && (r.Kind == "sse" || r.Kind == "json") {
			n++
			t.Run(r.ID, func(t *testing.T) {
				t.Parallel()
				test(t, r)
			})
		}
	}
	if n < least {
		t.Errorf("%d recordings, want at least %d", n, least)
	}
}

// meaning is what both families can say of an answer.
type meaning struct {
	Text   string
	Calls  []string
	Finish string
	Input  int64
	Output int64
}

// invocation is a tool call in one spelling. Arguments that are no object, since
// the answer was cut, are spelled differently in each family: they are left out.
// None at all are an empty object in one of them.
func invocation(name, args string) string {
	var v map[string]any
	if args != "" && json.Unmarshal([]byte(args), &v) != nil || v["_raw"] != nil {
		return name + " ?"
	}
	if v == nil {
		return name + " {}"
	}
	b, _ := json.Marshal(v)
	return name + " " + string(b)
}

func ofCompletion(c openai.ChatCompletion) meaning {
	var m meaning
	if u := c.Usage; u.PromptTokens+u.CompletionTokens == u.TotalTokens {
		m.Input, m.Output = u.PromptTokens, u.CompletionTokens // else thoughts or audio are in the total only
	}
	if len(c.Choices) == 0 {
		return m
	}
	said := c.Choices[0].Message
	m.Text, m.Finish = said.Content+said.Refusal, c.Choices[0].FinishReason
	for _, t := range said.ToolCalls {
		if t.Type == "custom" {
			m.Calls = append(m.Calls, t.Custom.Name+" ?")
		} else {
			m.Calls = append(m.Calls, invocation(t.Function.Name, t.Function.Arguments))
		}
	}
	//lint:ignore SA1019 old servers still answer with it
	if f := said.FunctionCall; f.Name != "" {
		m.Calls = append(m.Calls, invocation(f.Name, f.Arguments))
	}
	switch {
	case m.Finish == "length":
		m.cut()
	case len(m.Calls) > 0:
		m.Finish = "tool_calls" // Ollama and others say stop
	case said.Refusal != "":
		m.Finish = "content_filter"
	case m.Finish == "" || m.Finish == "eos":
		m.Finish = "stop" // OpenRouter takes it back in its last chunk
	}
	return m
}

// finishes are the words of the one family for those of the other.
var finishes = map[anthropic.StopReason]string{
	"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter", "model_context_window_exceeded": "length",
}

func ofMessage(a anthropic.Message) meaning {
	u := a.Usage
	m := meaning{Text: spoken(a), Finish: finishes[a.StopReason], Input: u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens, Output: u.OutputTokens}
	if a.StopReason == "refusal" {
		m.Text += a.StopDetails.Explanation
	}
	for _, b := range a.Content {
		if b.Type == "tool_use" {
			m.Calls = append(m.Calls, invocation(b.Name, string(b.Input)))
		}
	}
	if m.Finish == "length" {
		m.cut()
	}
	return m
}

// cut forgets the arguments of a call in the middle of which the answer ended.
func (m *meaning) cut() {
	if n := len(m.Calls); n > 0 {
		m.Calls[n-1], _, _ = strings.Cut(m.Calls[n-1], " ")
	}
}

// hosted reports whether a message holds what only Anthropic's own tools make.
func hosted(a anthropic.Message) bool {
	for _, b := range a.Content {
		switch b.Type {
		case "text", "thinking", "redacted_thinking", "tool_use":
		default:
			return true
		}
	}
	return false
}

// same compares. Where the recording has no usage the gateway counts, and says
// so in the receipt; a caller of the other family is told.
func (m meaning) same(want meaning) bool {
	if want.Output == 0 {
		m.Input, m.Output, want.Input = 0, 0, 0
	}
	return reflect.DeepEqual(m, want)
}

// empty reports whether nothing was said: the gateway makes a failure of that.
func (m meaning) empty() bool { return m.Text == "" && len(m.Calls) == 0 }

// orderly reports whether an error is the SDK's own, made of what we sent.
func orderly(err error, stream bool) bool {
	var o *openai.Error
	var a *anthropic.Error
	return errors.As(err, &o) && o.Message != "" || errors.As(err, &a) && strings.Contains(a.RawJSON(), `"type":"error"`) ||
		stream && strings.Contains(err.Error(), `"code":"`) // a chunk with an error
}

// judge compares what an SDK made of a recording behind the gateway with what
// the family's own SDK made of it at first hand.
func judge(t *testing.T, where string, got, want meaning, err, direct error, stream bool) {
	t.Helper()
	switch {
	case err != nil && direct == nil && !want.empty():
		t.Errorf("%s: %v", where, err)
	case err != nil && !orderly(err, stream):
		t.Errorf("%s: an error without form: %v", where, err)
	case err == nil && direct == nil && !got.same(want):
		t.Errorf("%s: %+v, want %+v", where, got, want)
	}
}

// What the official SDK makes of a recorded answer at first hand, it makes of it
// behind the gateway; and the other family's SDK understands the same. Where the
// SDK fails at first hand, the gateway must at least fail in order.
func TestRecordedAnswersOfOpenAIAreTheSameBehindTheGateway(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	direct := openai.NewClient(option.WithBaseURL(upstream.URL()+"/openai/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	recordings.each(t, "openai.chat", 400, func(t *testing.T, r recording) {
		stream := r.Kind == "sse"
		prompt := play("recorded-" + r.ID)
		first := &testing.T{} // the SDK complains of some vendors' chunks
		want, derr := complete(first, direct, say(own(farGPT, "recorded", stream), prompt), stream)
		got, err := complete(&testing.T{}, g.openai(g.key), say(own(farGPT, "recorded", stream), prompt), stream)
		judge(t, "the same dialect", ofCompletion(got), ofCompletion(want), err, derr, stream)
		if derr == nil && (first.Failed() || len(want.Choices) != 1 || strings.HasPrefix(want.Choices[0].Message.Content, `[{"type":`)) {
			derr = errors.New("not comparable") // Mistral's text with thoughts is a list
		}
		other, err := message(t, g.anthropic(g.key), tell(own(farGPT, "recorded", stream), prompt), stream)
		judge(t, "the other dialect", ofMessage(other), ofCompletion(want), err, derr, stream)
	})
}

func TestRecordedAnswersOfAnthropicAreTheSameBehindTheGateway(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	direct := anthropic.NewClient(anthropicoption.WithBaseURL(upstream.URL()+"/anthropic"), anthropicoption.WithAPIKey("none"), anthropicoption.WithMaxRetries(0))
	recordings.each(t, "anthropic.messages", 150, func(t *testing.T, r recording) {
		stream := r.Kind == "sse"
		prompt := play("recorded-" + r.ID)
		want, derr := message(&testing.T{}, direct, tell(own(farClaude, "recorded", stream), prompt), stream)
		got, err := message(&testing.T{}, g.anthropic(g.key), tell(own(farClaude, "recorded", stream), prompt), stream)
		judge(t, "the same dialect", ofMessage(got), ofMessage(want), err, derr, stream)
		if err == nil && len(got.Content) != len(want.Content) {
			t.Errorf("%d blocks, want %d", len(got.Content), len(want.Content))
		}
		if derr == nil && hosted(want) {
			derr = errors.New("not comparable")
		}
		other, err := complete(t, g.openai(g.key), say(own(farClaude, "recorded", stream), prompt), stream)
		judge(t, "the other dialect", ofCompletion(other), ofMessage(want), err, derr, stream)
	})
}
