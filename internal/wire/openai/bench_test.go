package openai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

func prompt(size int) []byte {
	line := "The quick brown fox jumps over the lazy dog, and says \\\"hello\\\".\\n"
	return []byte(`{"model":"gpt-5-mini","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"` +
		strings.Repeat(line, size/len(line)) + `"}],"temperature":0.5,"max_tokens":100,"stream":true}`)
}

func tools(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}],"tools":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"function","function":{"name":"tool_%d","description":"does a thing","parameters":{"type":"object","properties":{"a":{"type":"string","description":"first"},"b":{"type":"array","items":{"type":"integer"}}},"required":["a"],"additionalProperties":false}}}`, i)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func BenchmarkDecode(b *testing.B) {
	d := NewChat(Options{})
	for name, body := range map[string][]byte{"1KB": prompt(1_000), "100KB": prompt(100_000), "30tools": tools(30)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(body, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFrame(b *testing.B) {
	data := `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}`
	for name, ev := range map[string]llm.Event{
		"passed":     {Raw: []byte("data: " + data + "\n\n"), Data: []byte(data)},
		"translated": {Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "hello"}}},
	} {
		b.Run(name, func(b *testing.B) {
			e := NewChat(Options{}).Encoder(request(b, `,"stream":true`))
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Event(buf[:0], ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Allocations are a ceiling, since they are what a busy gateway pays for twice.
func TestTheHotPathAllocatesLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	d := NewChat(Options{})
	small := prompt(1_000)
	if got := testing.AllocsPerRun(100, func() { _, _ = d.Decode(small, nil) }); got > 9 {
		t.Errorf("Decode of 1 KB allocates %v times, want at most 9", got)
	}
	body := prompt(100_000)
	if got := testing.AllocsPerRun(100, func() { _, _ = d.Decode(body, nil) }); got > 9 {
		t.Errorf("Decode allocates %v times, want at most 9", got)
	}
	many := tools(30)
	_, _ = d.Decode(many, nil)
	if got := testing.AllocsPerRun(100, func() { _, _ = d.Decode(many, nil) }); got > 16 {
		t.Errorf("Decode of known tools allocates %v times, want at most 16", got)
	}
	var e wire.Encoder = d.Encoder(request(t, `,"stream":true`))
	ev := raw(one)
	buf := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(100, func() { _, _ = e.Event(buf, ev) }); got > 0 {
		t.Errorf("a frame that passes allocates %v times, want none", got)
	}
	e = d.Encoder(request(t, `,"stream":true`))
	ev = llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaText, Text: "hello"}}}
	_, _ = e.Event(nil, ev)
	if got := testing.AllocsPerRun(100, func() { _, _ = e.Event(buf, ev) }); got > 0 {
		t.Errorf("a translated chunk allocates %v times, want none", got)
	}
}
