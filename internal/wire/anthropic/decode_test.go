package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestMessagesDecodeAsRecorded compares conversations with golden files.
func TestMessagesDecodeAsRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no golden files")
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewMessages().Decode(body, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		chat, err := r.DecodeChat()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := json.MarshalIndent(chat, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(name, ".json") + ".golden"
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// refusals are the recorded requests that must be refused, and their first bad
// field. Each was refused by Anthropic as well.
var refusals = map[string]string{
	"anthropic.anthropic-messages.7c389555a6": "temperature",
	"anthropic.anthropic-messages.eb5d7e8521": "messages.0",
}

func TestEveryRecordedRequestDecodesOrNamesAField(t *testing.T) {
	t.Parallel()
	for api, decode := range map[string]func([]byte, map[string][]string) (*llm.Request, error){
		"anthropic.messages":     NewMessages().Decode,
		"anthropic.count_tokens": NewCountTokens().Decode,
	} {
		for _, x := range testkit.Recorded(t, api) {
			body := x.Body()
			if body == nil {
				continue
			}
			r, err := decode(body, nil)
			if err != nil {
				var fe *fault.Error
				if !errors.As(err, &fe) || fe.Param == "" || fe.Param != refusals[x.ID] || x.Response.Status == 200 {
					t.Errorf("%s (status %d): %v", x.ID, x.Response.Status, err)
				}
				continue
			}
			if want, refused := refusals[x.ID]; refused {
				t.Errorf("%s is accepted, want a refusal at %s", x.ID, want)
			}
			if !bytes.Equal(r.Raw.Splice(), body) {
				t.Errorf("%s: the body changes without an edit", x.ID)
			}
			chat, err := r.DecodeChat()
			if err != nil {
				t.Errorf("%s: DecodeChat: %v", x.ID, err)
				continue
			}
			nothingIsLost(t, x.ID, body, chat)
		}
	}
}

// nothingIsLost checks that every string and every cache marker of the
// conversation is in a field or in an extra.
func nothingIsLost(t *testing.T, id string, body []byte, chat *llm.Chat) {
	t.Helper()
	have := map[string]bool{}
	marks := 0
	var walk func(ps []llm.Part)
	walk = func(ps []llm.Part) {
		for _, p := range ps {
			for _, s := range []string{p.Text, p.URL, p.Data, p.Name, p.FileID, p.ToolID, p.ToolName, p.Signature} {
				have[s] = true
			}
			collect(p.Args, have)
			collect(p.Citations, have)
			if p.Cache != nil {
				marks++
			}
			walk(p.Parts)
		}
	}
	walk(chat.System)
	for _, m := range chat.Messages {
		walk(m.Parts)
	}
	for _, tool := range chat.Tools {
		have[tool.Name], have[tool.Description] = true, true
		collect(tool.Schema, have)
		if tool.Cache != nil {
			marks++
		}
	}
	for _, e := range chat.Extra {
		collect(e.Value, have)
		marks += bytes.Count(e.Value, []byte(`"cache_control"`))
		if e.Path == "cache_control" {
			marks++
		}
	}
	var doc struct {
		System, Messages, Tools json.RawMessage
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	collect(doc.System, want)
	collect(doc.Messages, want)
	collect(doc.Tools, want)
	for s := range want {
		switch s {
		case "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "base64", "url", "file",
			"user", "assistant", "system", "ephemeral", "5m", "1h", "text/plain", "image/png", "image/jpeg", "application/pdf",
			"custom", "direct", "image/webp":
			continue // kinds, roles and media types
		}
		if !have[s] {
			t.Errorf("%s: %.200q is lost", id, s)
		}
	}
	if n := bytes.Count(body, []byte(`"cache_control":{`)); n != marks {
		t.Errorf("%s: %d of %d cache markers are kept", id, marks, n)
	}
}

// collect gathers the strings of a JSON value, names left out.
func collect(raw []byte, into map[string]bool) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			into[v] = true
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
}

func TestUnknownMembersSurvive(t *testing.T) {
	t.Parallel()
	body := `{"model":"m","max_tokens":5,"speed":"fast", "messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"brand_new","a":1.50}],"note":1}],"tools":[{"type":"bash_20250124","name":"bash"},{"name":"a","input_schema":{},"defer_loading":true}]}`
	r, err := NewMessages().Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Raw.Splice(llm.Edit{Name: "model", Value: []byte(`"n"`)})); got != strings.Replace(body, `"m"`, `"n"`, 1) {
		t.Errorf("Splice = %s", got)
	}
	chat, _ := r.DecodeChat()
	var got []string
	for _, e := range chat.Extra {
		got = append(got, e.Path+"="+string(e.Value))
	}
	want := []string{`speed="fast"`, `messages.0.content.1={"type":"brand_new","a":1.50}`, "messages.0.note=1", `tools.0={"type":"bash_20250124","name":"bash"}`, "tools.1.defer_loading=true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("extras (-want +got):\n%s", diff)
	}
}

// What @langchain/anthropic 0.3 sends for what its user left open.
func TestMinusOneLeavesSamplingOpen(t *testing.T) {
	t.Parallel()
	r, err := NewMessages().Decode([]byte(`{"model":"m","temperature":1,"top_k":-1,"top_p":-1,"stream":false,"max_tokens":4000,"thinking":{"type":"disabled"},"messages":[{"role":"user","content":"hi"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	chat, err := r.DecodeChat()
	if err != nil || chat.TopK != nil || chat.TopP != nil || len(chat.Extra) > 0 {
		t.Errorf("top_k %v, top_p %v, extra %v, %v", chat.TopK, chat.TopP, chat.Extra, err)
	}
}

func TestThinkingHasOneSetting(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]llm.Reasoning{
		`"thinking":{"type":"disabled"}`:                                                      {Disabled: true},
		`"thinking":{"type":"adaptive","display":"omitted"}`:                                  {Adaptive: true, Display: "omitted"},
		`"thinking":{"type":"enabled","budget_tokens":2048}`:                                  {Budget: 2048},
		`"output_config":{"effort":"high"}`:                                                   {Effort: "high"},
		`"thinking":{"type":"adaptive"},"output_config":{"effort":"max"}`:                     {Effort: "max"},
		`"output_config":{"effort":"max"},"thinking":{"type":"adaptive"}`:                     {Effort: "max"},
		`"output_config":{"effort":"low"},"thinking":{"type":"enabled","budget_tokens":2048}`: {Effort: "low"},
	} {
		r, err := NewMessages().Decode([]byte(`{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"x"}],`+members+`}`), nil)
		if err != nil {
			t.Fatalf("%s: %v", members, err)
		}
		chat, _ := r.DecodeChat()
		if diff := cmp.Diff(&want, chat.Reasoning); diff != "" {
			t.Errorf("%s (-want +got):\n%s", members, diff)
		}
		if kept := len(chat.Extra) == 1 && chat.Extra[0].Path == "thinking.budget_tokens"; kept != (want.Effort == "low") {
			t.Errorf("%s: extras = %v", members, chat.Extra)
		}
	}
}

func TestDecodeNeverPanics(t *testing.T) {
	t.Parallel()
	base, err := os.ReadFile("testdata/agent.json")
	if err != nil {
		t.Fatal(err)
	}
	wild := []any{nil, true, 1.5, -3, "x", "", []any{}, map[string]any{}, []any{nil}, map[string]any{"type": "text"}, []any{[]any{}}}
	d, count := NewMessages(), NewCountTokens()
	rapid.Check(t, func(t *rapid.T) {
		var doc any
		if err := json.Unmarshal(base, &doc); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			doc = change(t, doc, wild)
		}
		body, _ := json.Marshal(doc)
		for _, decode := range []func([]byte, map[string][]string) (*llm.Request, error){d.Decode, count.Decode} {
			if r, err := decode(body, nil); err == nil {
				_, _ = r.DecodeChat()
			}
		}
	})
}

// change replaces one value somewhere in doc.
func change(t *rapid.T, doc any, wild []any) any {
	if rapid.IntRange(0, 4).Draw(t, "here") > 0 {
		switch v := doc.(type) {
		case []any:
			if len(v) > 0 {
				i := rapid.IntRange(0, len(v)-1).Draw(t, "index")
				v[i] = change(t, v[i], wild)
				return v
			}
		case map[string]any:
			if names := slices.Sorted(maps.Keys(v)); len(names) > 0 {
				n := rapid.SampledFrom(names).Draw(t, "name")
				v[n] = change(t, v[n], wild)
				return v
			}
		}
	}
	return wild[rapid.IntRange(0, len(wild)-1).Draw(t, "wild")]
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	d := NewMessages()
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := d.Decode(body, nil)
		if err != nil {
			return
		}
		if got := r.Raw.Splice(); string(got) != string(body) {
			t.Fatalf("Splice() = %q, want %q", got, body)
		}
		if _, err := r.DecodeChat(); err != nil {
			t.Fatal(err)
		}
	})
}
