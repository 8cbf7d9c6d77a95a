package bedrock

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pontage/pontage/internal/llm"
)

// read reads a stream of frames to its end.
func read(r io.Reader) (events []llm.Event, err error) {
	s := &stream{frames: newFrames(r), scanner: scanner{issuer: "aws", stream: true}, blame: func(err error) error { return err }}
	for {
		ev, err := s.Next()
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		ev.Deltas = append([]llm.Delta(nil), ev.Deltas...)
		events = append(events, ev)
		if ev.Last {
			return events, nil
		}
	}
}

// TestFramesCutOrSpoiledAnywhereAreNeverWell cuts a stream behind each byte, and
// changes each: what is left is the answer, without its numbers at most, or a
// failure.
func TestFramesCutOrSpoiledAnywhereAreNeverWell(t *testing.T) {
	t.Parallel()
	body := script(t, start, hello, `contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"漢字"}}`, `contentBlockStop {"contentBlockIndex":0}`, ends, usage8)
	numbers := len(message(t, "event", "metadata", strings.TrimPrefix(usage8, "metadata ")))
	const whole = "start |text Hé\n|text 漢字|finish stop"
	try := func(what string, at int, b []byte) {
		events, err := read(bytes.NewReader(b))
		got := strings.Join(said(events), "|")
		switch told := at >= len(body)-numbers; {
		case !strings.HasPrefix(whole, got):
			t.Errorf("%s %d: said %q", what, at, got)
		case told != (err == nil):
			t.Errorf("%s %d: said %q, %v", what, at, got, err)
		case told && got != whole:
			t.Errorf("%s %d: said %q", what, at, got)
		}
	}
	for at := range body {
		try("cut behind", at, body[:at])
		for bit := range 8 {
			b := bytes.Clone(body)
			b[at] ^= 1 << bit
			try("spoiled at", at, b)
		}
	}
	events, err := read(iotest.OneByteReader(bytes.NewReader(body)))
	if got := strings.Join(said(events), "|"); err != nil || got != whole || events[len(events)-1].Usage == nil {
		t.Errorf("byte by byte: said %q, %v", got, err)
	}
}
