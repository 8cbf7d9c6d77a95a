package gemini

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// TestEveryMemberOfAConversationIsAccountedFor sets each member of a conversation
// by itself: the request changes, or the member is told as dropped, or it is
// refused. A member that nobody thought of fails here.
func TestEveryMemberOfAConversationIsAccountedFor(t *testing.T) {
	t.Parallel()
	set := map[string]llm.Chat{
		"System":           {System: text("S")},
		"Messages":         {Messages: []llm.Message{user(text("Ho")...)}},
		"Tools":            {Tools: []llm.Tool{{Name: "f"}}},
		"ToolChoice":       {ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}},
		"ParallelTools":    {Tools: []llm.Tool{{Name: "f"}}, ParallelTools: ptr(false)},
		"Format":           {Format: &llm.Format{JSON: true}},
		"Reasoning":        {Reasoning: &llm.Reasoning{Effort: "low"}},
		"MaxOutput":        {MaxOutput: ptr(int64(5))},
		"Temperature":      {Temperature: ptr(0.5)},
		"TopP":             {TopP: ptr(0.5)},
		"TopK":             {TopK: ptr(int64(5))},
		"FrequencyPenalty": {FrequencyPenalty: ptr(0.5)},
		"PresencePenalty":  {PresencePenalty: ptr(0.5)},
		"Seed":             {Seed: ptr(int64(5))},
		"Stop":             {Stop: []string{"x"}},
		"Choices":          {Choices: 2},
		"User":             {User: "u"},
		"Extra":            {Extra: []llm.Extra{{Path: "x", Value: []byte("1")}}},
	}
	p := New(Options{})
	base, err := p.encode(provider.Call{Request: chat(&llm.Chat{Messages: []llm.Message{user(text("Hi")...)}}), Model: "gemini-2.5-flash"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range reflect.TypeFor[llm.Chat]().NumField() {
		name := reflect.TypeFor[llm.Chat]().Field(i).Name
		c, ok := set[name]
		if !ok {
			t.Errorf("nobody thought of %s", name)
			continue
		}
		if c.Messages == nil {
			c.Messages = []llm.Message{user(text("Hi")...)}
		}
		e, err := p.encode(provider.Call{Request: chat(&c), Model: "gemini-2.5-flash"})
		if err == nil && string(e.Body) == string(base.Body) && len(e.Dropped) == 0 {
			t.Errorf("%s is lost", name)
		}
	}
}

// TestNothingThatIsSaidIsLost draws conversations: of those that are not refused,
// every word, name, argument and result is in the request, in its order within
// its kind, or the place where it stood is told as dropped.
func TestNothingThatIsSaidIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := 0
		word := func() string {
			n++
			return "w" + num(n) + "w" + rapid.StringMatching(`["\\é<{ ]{0,3}`).Draw(t, "word")
		}
		c, words := conversation(t, word)
		name := rapid.SampledFrom([]string{"gemini-2.5-pro", "gemini-3-pro-preview"}).Draw(t, "model")
		e, err := New(Options{Name: "google"}).encode(provider.Call{Request: chat(c), Model: name})
		if err != nil {
			var fe *fault.Error
			if !errors.As(err, &fe) || fe.Param == "" {
				t.Fatalf("refused without a name: %v", err)
			}
			return
		}
		var out object
		if err := json.Unmarshal(e.Body, &out); err != nil {
			t.Fatalf("%v in %s", err, e.Body)
		}
		said := strings.Join(texts(out, "text", "output", "error", "name", "data", "fileUri", "a", "thoughtSignature", "description"), "\x00")
		for at, w := range words {
			if !strings.Contains(said, w) && !slices.Contains(e.Dropped, at) {
				t.Fatalf("%q at %s is lost, dropped %v:\n%s", w, at, e.Dropped, e.Body)
			}
		}
		for _, x := range c.Extra {
			if !slices.Contains(e.Dropped, x.Path) {
				t.Fatalf("%s is lost", x.Path)
			}
		}
	})
}

// conversation draws a conversation, and returns its words by their places.
func conversation(t *rapid.T, word func() string) (*llm.Chat, map[string]string) {
	words := map[string]string{}
	c := &llm.Chat{}
	say := func(at string) string {
		w := word()
		words[at] = w
		return w
	}
	if rapid.Bool().Draw(t, "system") {
		c.System = text(say("system"))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "tools") {
		c.Tools = append(c.Tools, llm.Tool{Name: "f" + num(i), Description: say("tools." + num(i))})
	}
	var open []string
	for i := range rapid.IntRange(1, 6).Draw(t, "messages") {
		var m llm.Message
		at := "messages." + num(i)
		if i%2 == 1 {
			m.Role = llm.RoleAssistant
			open = nil
		} else {
			m.Role = rapid.SampledFrom([]llm.Role{llm.RoleUser, llm.RoleUser, llm.RoleSystem}).Draw(t, "role")
			for _, id := range open {
				m.Parts = append(m.Parts, answered(id, llm.Part{Text: say(at + "." + id)}))
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			j := len(m.Parts)
			here := place(at, j)
			p := llm.Part{Text: say(here)}
			switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
			case m.Role == llm.RoleUser && kind == 1:
				p = llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: p.Text}
			case m.Role == llm.RoleUser && kind == 2:
				p = llm.Part{Kind: llm.PartFile, URL: "https://x/" + p.Text}
			case m.Role == llm.RoleAssistant && kind == 1:
				args, _ := json.Marshal(map[string]string{"a": p.Text})
				p = called("c"+num(i)+"_"+num(j), "f", string(args))
				open = append(open, p.ToolID)
			case m.Role == llm.RoleAssistant && kind == 2:
				p = llm.Part{Kind: llm.PartReasoning, Text: p.Text}
			case m.Role == llm.RoleAssistant && kind == 3:
				p.Signature = llm.Seal("google", say(here+".state"))
			}
			m.Parts = append(m.Parts, p)
		}
		c.Messages = append(c.Messages, m)
	}
	for _, x := range []string{"verbosity", "store", "metadata"} {
		if rapid.Bool().Draw(t, x) {
			c.Extra = append(c.Extra, llm.Extra{Path: x, Value: []byte("1")})
		}
	}
	return c, words
}
