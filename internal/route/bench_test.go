package route

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

// BenchmarkOpen is what routing adds to a request that is answered at once.
func BenchmarkOpen(b *testing.B) {
	long := append(append([]byte(`{"model":"m","messages":[{"role":"user","content":"`), bytes.Repeat([]byte("word "), 20_000)...), `"}]}`...)
	for _, bc := range []struct {
		name    string
		targets int
		body    []byte
		session bool
	}{
		{"one target", 1, []byte(`{"model":"m"}`), false},
		{"one target, 100 KB", 1, long, false},
		{"three targets", 3, []byte(`{"model":"m"}`), false},
		{"three targets, 100 KB", 3, long, false},
		{"a conversation, three targets", 3, []byte(`{"model":"m"}`), true},
	} {
		b.Run(bc.name, func(b *testing.B) {
			w := setup()
			w.router.Pins = NewPins(time.Now, DefaultPins)
			p := Plan{HasSession: bc.session, Session: 7, Model: "m", Pin: time.Minute}
			for i := range bc.targets {
				t, _ := w.target(string(rune('a'+i)), says("hi"))
				t.Weight = 1
				t.Health = NewHealth(time.Now, Norms{})
				p.Targets = append(p.Targets, t)
			}
			req := &llm.Request{Dialect: llm.OpenAIChat, Stream: true, Raw: llm.Raw{Body: bc.body}}
			var log []obs.Attempt
			b.ReportAllocs()
			for b.Loop() {
				log = log[:0]
				a, err := w.router.Open(context.Background(), req, p, &log)
				if err != nil {
					b.Fatal(err)
				}
				_ = a.Close()
			}
		})
	}
}
