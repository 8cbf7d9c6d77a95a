package chaos

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// muteWord is where a [muteToxic] stops passing anything on.
const muteWord = "-mute-"

// muteToxic passes data on until muteWord has come by, and then swallows all of
// it: the other side has gone without a word.
type muteToxic struct{}

// Pipe implements toxics.Toxic.
func (muteToxic) Pipe(stub *toxics.ToxicStub) {
	muted := false
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			if muted {
				continue
			}
			var data []byte
			if data, _, muted = bytes.Cut(c.Data, []byte(muteWord)); len(data) > 0 {
				stub.Output <- &stream.StreamChunk{Data: data, Timestamp: c.Timestamp}
			}
		}
	}
}

var registered sync.Once

// toxic starts a proxy in front of an address, with toxics in JSON. It returns
// where it listens. It is stopped when the test ends.
func toxic(t testing.TB, upstream string, list ...string) string {
	t.Helper()
	registered.Do(func() { toxics.Register("mute", new(muteToxic)) })
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	for _, x := range list {
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(x)); err != nil {
			t.Fatalf("toxic %s: %v", x, err)
		}
	}
	return p.Listen
}
