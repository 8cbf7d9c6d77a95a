package catalog

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

func TestCheckRefusesWhatTheModelCannotDo(t *testing.T) {
	t.Parallel()
	p := entry(t, "1", "2").must(t, Chat)
	plain := &Model{ID: "m", Kind: Chat, Price: p, Inputs: []Modality{Text}, Enabled: true, Context: 1000, MaxOutput: 100}
	able := chatModel(p, 1000, 100)
	able.Inputs = Modalities()
	need := func(n llm.Need, place string) *llm.Request {
		r := &llm.Request{}
		r.Needs.Add(n, place)
		return r
	}
	both := need(llm.NeedTools, "tools")
	both.Needs.Add(llm.NeedForcedTool, "tool_choice")
	off, unpriced := *able, *able
	off.Enabled = false
	unpriced.Price = Price{}
	embedding := &Model{ID: "e", Kind: Embedding, Price: p, Inputs: []Modality{Text}, Enabled: true}
	batch := need(llm.NeedBatchInput, "input")
	batch.Task = llm.TaskEmbed
	for _, c := range []struct {
		name  string
		model *Model
		req   *llm.Request
		code  fault.Code // None: it passes
		param string
	}{
		{"nothing asked", plain, &llm.Request{}, fault.None, ""},
		{"switched off", &off, &llm.Request{}, fault.ModelUnavailable, "model"},
		{"without a price", &unpriced, &llm.Request{}, fault.ModelUnavailable, "model"},
		{"tools", plain, need(llm.NeedTools, "tools"), fault.UnsupportedParameter, "tools"},
		{"a forced tool says more than tools", plain, both, fault.ToolChoiceUnsupported, "tool_choice"},
		{"an image", plain, need(llm.NeedImageInput, "messages.0.content.1"), fault.ImageInputUnsupported, "messages.0.content.1"},
		{"sound", plain, need(llm.NeedAudioInput, ""), fault.InputModalityUnsupported, "messages"},
		{"a file", plain, need(llm.NeedFileInput, ""), fault.InputModalityUnsupported, "messages"},
		{"a film", plain, need(llm.NeedVideoInput, ""), fault.InputModalityUnsupported, "messages"},
		{"speech", able, need(llm.NeedAudioOutput, "modalities"), fault.UnsupportedParameter, "modalities"},
		{"a schema", plain, need(llm.NeedJSONSchema, "response_format"), fault.UnsupportedParameter, "response_format"},
		{"thinking", plain, need(llm.NeedReasoning, "reasoning_effort"), fault.UnsupportedParameter, "reasoning_effort"},
		{"a temperature", plain, need(llm.NeedTemperature, "temperature"), fault.UnsupportedParameter, "temperature"},
		{"several inputs", embedding, batch, fault.BatchInputUnsupported, "input"},
		{"chat with an embedding model", embedding, &llm.Request{}, fault.InvalidParameter, "model"},
		{"embedding with a chat model", able, &llm.Request{Task: llm.TaskEmbed}, fault.InvalidParameter, "model"},
		{"as long as can be", able, &llm.Request{HasMaxOutput: true, MaxOutput: 100}, fault.None, ""},
		{"longer", able, &llm.Request{HasMaxOutput: true, MaxOutput: 101}, fault.InvalidParameter, "max_tokens"},
		{"longer than the context is Quote's", able, &llm.Request{HasMaxOutput: true, MaxOutput: 1001}, fault.None, ""},
		{"all that it can", able, both, fault.None, ""},
		{"all that it can see", able, need(llm.NeedImageInput, ""), fault.None, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.model.Check(c.req)
			if c.code == fault.None {
				if err != nil {
					t.Errorf("Check = %v, want nil", err)
				}
				return
			}
			f := fault.From(err)
			if f == nil || f.Code != c.code || f.Param != c.param || f.Message == "" || !strings.Contains(f.Message, c.model.ID) {
				t.Errorf("Check = %v, want %v at %s with a message that names the model", err, c.code, c.param)
			}
		})
	}
}

func TestEveryNeedIsDecided(t *testing.T) {
	t.Parallel()
	m := &Model{ID: "m", Kind: Chat, Price: Price{PerRequest: true}, Enabled: true}
	for n := range llm.NeedCount {
		r := &llm.Request{}
		r.Needs.Add(n, "place")
		if err := m.Check(r); err == nil || fault.From(err).Code == fault.Internal {
			t.Errorf("need %d of a model that can do nothing: Check = %v", n, err)
		}
	}
}

func TestTheLimitIsCalledAsTheCallerDid(t *testing.T) {
	t.Parallel()
	body := []byte(`{"max_completion_tokens":500}`)
	r := &llm.Request{HasMaxOutput: true, MaxOutput: 500, Raw: llm.Raw{Body: body, Members: []llm.Member{{Name: "max_completion_tokens", Start: 1, ValueStart: 25, End: 28}}}}
	err := chatModel(Price{PerRequest: true}, 0, 100).Check(r)
	if got := fault.From(err); got == nil || got.Param != "max_completion_tokens" {
		t.Errorf("Check = %v, want it at max_completion_tokens", err)
	}
}

func TestMatchIsWhatTheRegularExpressionSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		glob, id string
		want     bool
	}{
		{"*", "openai/gpt-4o", true},
		{"gpt-*", "gpt-4o", true},
		{"gpt-*", "openai/gpt-4o", false},
		{"*/gpt-?o", "openai/gpt-4o", true},
		{"o1*", "o1", true},
		{"", "", true},
		{"", "a", false},
		{"[a]", "a", false},
	} {
		if got := Match(c.glob, c.id); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.glob, c.id, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		glob := rapid.StringMatching(`[ab/*?]{0,8}`).Draw(t, "glob")
		id := rapid.StringMatching(`[ab/]{0,10}`).Draw(t, "id")
		re := strings.NewReplacer("*", ".*", "?", ".").Replace(glob)
		if want := regexp.MustCompile("^(?s:" + re + ")$").MatchString(id); Match(glob, id) != want {
			t.Fatalf("Match(%q, %q) = %v, want %v", glob, id, !want, want)
		}
	})
}
