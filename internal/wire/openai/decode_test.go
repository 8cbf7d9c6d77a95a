package openai

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pontage/pontage/internal/llm"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestChatDecodesAsRecorded compares conversations with golden files:
// testdata/NAME.json is a request, NAME.golden what it decodes to.
func TestChatDecodesAsRecorded(t *testing.T) {
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
		r, err := NewChat(Options{}).Decode(body, nil)
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

func TestStateOfToolCallsIsTakenOver(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]struct {
		state string
		extra []string
	}{
		`{"google":{"thought_signature":"s"}}`:             {"s", nil},
		`{"google":{"thought_signature":"s","x":1},"y":2}`: {"s", []string{"messages.1.tool_calls.0.extra_content.y", "messages.1.tool_calls.0.extra_content.google.x"}},
		`{"google":{"thought_signature":1}}`:               {"", []string{"messages.1.tool_calls.0.extra_content"}},
		`"x"`:                                              {"", []string{"messages.1.tool_calls.0.extra_content"}},
		`null`:                                             {"", nil},
	} {
		body := `{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":` + content + `}]},{"role":"tool","tool_call_id":"c","content":"r"}]}`
		r, err := NewChat(Options{}).Decode([]byte(body), nil)
		if err != nil {
			t.Fatal(err)
		}
		chat, err := r.DecodeChat()
		if err != nil {
			t.Fatal(err)
		}
		var extra []string
		for _, x := range chat.Extra {
			extra = append(extra, x.Path)
		}
		if got := chat.Messages[1].Parts[0].Signature; got != want.state || !slices.Equal(extra, want.extra) {
			t.Errorf("%s: state %q, extra %v", content, got, extra)
		}
	}
}

// Copies of what was thought are told once, and different thoughts each.
func TestThoughtsAreTakenOverOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		message string
		want    []string
	}{
		"in the message and its part":    {`"reasoning":"hm","content":[{"type":"text","text":"a","reasoning":"hm"}]`, []string{"hm"}},
		"in both parts":                  {`"content":[{"type":"text","text":"a","reasoning":"hm"},{"type":"text","text":"b","reasoning":"hm"}]`, []string{"hm"}},
		"under two names":                {`"reasoning":"hm","content":[{"type":"text","text":"a","reasoning_content":"hm"}]`, []string{"hm"}},
		"something else in the part":     {`"reasoning":"hm","content":[{"type":"text","text":"a","reasoning":"so"}]`, []string{"hm", "so"}},
		"signed, and again without that": {`"thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"}],"content":[{"type":"text","text":"a","reasoning":"hm"}]`, []string{"hm s"}},
		"two seals": {
			`"thinking_blocks":[{"type":"redacted_thinking","data":"x"},{"type":"redacted_thinking","data":"y"}],"content":[{"type":"text","text":"a","thinking_blocks":[{"type":"redacted_thinking","data":"x"},{"type":"redacted_thinking","data":"y"}]}]`,
			[]string{"x", "y"},
		},
	} {
		r, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant",`+c.message+`}]}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		chat, err := r.DecodeChat()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range chat.Messages[1].Parts {
			if p.Kind != llm.PartText {
				got = append(got, strings.TrimSpace(p.Text+p.Data+" "+p.Signature))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The Agents SDK of OpenAI (0.20) puts the members of the assistant's message beside
// the text in it, and those of a call on the message of the call. The calls come
// again on their own.
func TestWhatAMessageSaysOfItselfInItsParts(t *testing.T) {
	t.Parallel()
	body := `{"model":"m","messages":[{"role":"user","content":"a"},` +
		`{"role":"assistant","content":[{"type":"text","text":"Let me see.","role":"assistant","refusal":null,"annotations":[],"reasoning_content":"hm","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"g"}}}]}]},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"g"}}}],"extra_content":{"google":{"thought_signature":"g"}}},` +
		`{"role":"tool","tool_call_id":"c","content":"r"}]}`
	r, err := NewChat(Options{}).Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	chat, err := r.DecodeChat()
	if err != nil {
		t.Fatal(err)
	}
	want := []llm.Part{{Kind: llm.PartReasoning, Text: "hm", Signature: "s"}, {Kind: llm.PartText, Text: "Let me see."}}
	if diff := cmp.Diff(want, chat.Messages[1].Parts); diff != "" {
		t.Errorf("the text and its thoughts (-want +got):\n%s", diff)
	}
	if p := chat.Messages[2].Parts; len(p) != 1 || p[0].ToolID != "c" || p[0].Signature != "g" {
		t.Errorf("the call: %+v", p)
	}
	if p := chat.Messages[3].Parts; len(p) != 1 || p[0].Kind != llm.PartToolResult {
		t.Errorf("the result: %+v", p)
	}
	var extra []string
	for _, x := range chat.Extra {
		extra = append(extra, x.Path)
	}
	slices.Sort(extra)
	if want := []string{"messages.1.content.0.role", "messages.1.content.0.tool_calls", "messages.2.extra_content"}; !slices.Equal(extra, want) {
		t.Errorf("extra %v, want %v", extra, want)
	}
}

// TestDecodeNeverPanics feeds requests with values of any kind in any place.
func TestDecodeNeverPanics(t *testing.T) {
	t.Parallel()
	base := `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]},
		{"role":"assistant","content":"x","tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"i","content":"r"}],
		"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"f"}},
		"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"stop":["a"],"stream_options":{"include_usage":true},"n":1,"logit_bias":{"1":1}}`
	wild := []any{nil, true, 1.5, -3, "x", "", []any{}, map[string]any{}, []any{nil}, map[string]any{"type": "text"}, []any{[]any{}}}
	d := NewChat(Options{})
	rapid.Check(t, func(t *rapid.T) {
		var doc any
		if err := json.Unmarshal([]byte(base), &doc); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			doc = change(t, doc, wild)
		}
		body, _ := json.Marshal(doc)
		r, err := d.Decode(body, nil)
		if err == nil {
			_, _ = r.DecodeChat()
		}
		if e := NewEmbeddings(Options{}); true {
			_, _ = e.Decode(body, nil)
		}
	})
}

// change replaces one value somewhere in doc.
func change(t *rapid.T, doc any, wild []any) any {
	if rapid.IntRange(0, 3).Draw(t, "here") > 0 {
		switch v := doc.(type) {
		case []any:
			if len(v) > 0 {
				i := rapid.IntRange(0, len(v)-1).Draw(t, "index")
				v[i] = change(t, v[i], wild)
				return v
			}
		case map[string]any:
			names := slices.Sorted(maps.Keys(v))
			if len(names) > 0 {
				n := rapid.SampledFrom(names).Draw(t, "name")
				v[n] = change(t, v[n], wild)
				return v
			}
		}
	}
	return wild[rapid.IntRange(0, len(wild)-1).Draw(t, "wild")]
}

func FuzzDecodeChat(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"n":0}`))
	d := NewChat(Options{})
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

func FuzzDecodeEmbeddings(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":["x",[1]],"encoding_format":"base64"}`))
	f.Add([]byte(`{"model":"m","input":[[1,2],[3]]}`))
	d := NewEmbeddings(Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := d.Decode(body, nil); err == nil && r.Inputs < 1 {
			t.Fatalf("Decode(%q) counts %d inputs", body, r.Inputs)
		}
		if out, err := recode(body, true); err == nil && len(out) > 0 {
			_, _ = recode(out, false)
		}
	})
}

func TestManyUnknownMembersCostNoMoreThanTheirNumber(t *testing.T) {
	t.Parallel()
	const n = 90_000
	body := `{"model":"m","messages":[` + strings.Repeat(`{"role":"user","content":"x","a":1},`, n) + `{"role":"user","content":"x"}]}`
	r, err := NewChat(Options{}).Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	chat, err := r.DecodeChat()
	if err != nil || len(chat.Extra) != n || chat.Extra[n-1].Path != "messages.89999.a" {
		t.Fatalf("DecodeChat finds %d extras, %v", len(chat.Extra), err)
	}
	if took := time.Since(start); took > 10*time.Second { // quadratic: minutes
		t.Errorf("DecodeChat takes %v", took)
	}
}
