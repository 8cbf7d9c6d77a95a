package anthropic

import (
	"fmt"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// stopFrame is the event that ends a stream, and stopData its payload.
const (
	stopFrame = "event: message_stop\ndata: " + stopData + "\n\n"
	stopData  = `{"type":"message_stop"}`
)

// stream makes events of the protocol's own.
type stream struct {
	scanner  scanner
	request  *llm.Request
	model    []byte // see provider.Call.OwnName
	usage    llm.Usage
	finished bool // a stop reason has come
}

func newStream(x *provider.Exchange, c provider.Call, s scanner) *provider.Stream {
	return provider.NewEvents(x, &stream{scanner: s, request: c.Request, model: c.OwnName()}, !s.translate)
}

// Event makes an event of one of the protocol's own; see provider.Protocol.
func (s *stream) Event(r *provider.Reader, f provider.Frame, data []byte) (llm.Event, error) {
	k := &s.scanner
	switch ok := k.scan(data); {
	case !ok:
		return llm.Event{}, provider.ErrNotObject
	case k.failed || f.Name == "error":
		return llm.Event{}, provider.Classify(family, http.StatusOK, nil, data)
	case k.translate && k.finish == llm.FinishPause:
		return llm.Event{}, paused(data)
	}
	ev := llm.Event{
		Name: f.Name, Content: k.content, OutputBytes: k.bytes, Bytes: k.split, Weight: k.weight, Finish: k.finish,
		Ping: k.kind == ping, Last: k.kind == messageStop, Tier: k.counts.served(),
	}
	if k.news {
		ev.Calls = &k.calls
	}
	if k.kind == messageStart {
		ev.Finish = "" // null, or it means nothing yet
	}
	s.finished = s.finished || ev.Finish != ""
	if k.reported && (k.kind == messageStart || k.counts.spoke) { // else it says nothing of the output
		if u, ok := k.counts.usage(); ok {
			s.usage = u
			ev.Usage = &s.usage
		}
	}
	if k.translate {
		ev.Deltas, ev.Left = k.deltas, k.left.New()
		return ev, nil
	}
	var p [1]provider.Patch
	ev.Raw, ev.Data = r.Edit(f, data, provider.Rename(p[:0], data, k.modelAt, s.model))
	return ev, nil
}

// End ends a stream without its terminal event, which is well if a stop reason
// had come. The caller gets the event all the same.
func (s *stream) End() (llm.Event, error) {
	if !s.finished {
		return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without a stop reason: %w", io.ErrUnexpectedEOF))
	}
	return llm.Event{Raw: []byte(stopFrame), Data: []byte(stopData), Name: "message_stop", Last: true}, nil
}

// Complete reports whether a stop reason has come; see provider.Protocol.
func (s *stream) Complete() bool { return s.finished }

// Blame corrects a parameter; see provider.Source.
func (s *stream) Blame(err error) error { return blame(s.request, err) }
