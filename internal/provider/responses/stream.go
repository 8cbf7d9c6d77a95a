package responses

import (
	"fmt"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// stream makes events of the protocol's own.
type stream struct {
	scanner scanner
	request *llm.Request
	family  string
	model   []byte // see provider.Call.OwnName
	usage   llm.Usage
}

// Event makes an event of one of the protocol's own; see provider.Protocol.
func (s *stream) Event(r *provider.Reader, f provider.Frame, data []byte) (llm.Event, error) {
	if string(data) == "[DONE]" {
		return llm.Event{}, provider.ErrSkip // of chat completions; what ends a response is an event
	}
	k := &s.scanner
	switch ok := k.scan(data); {
	case !ok:
		return llm.Event{}, provider.ErrNotObject
	case k.failed || f.Name == "error":
		return llm.Event{}, provider.Classify(s.family, http.StatusOK, nil, k.fault(data))
	case k.images.Err() != nil:
		return llm.Event{}, k.images.Err()
	}
	ev := llm.Event{
		Name: f.Name, Content: k.content || k.refused, Refusal: k.refused && !k.content,
		OutputBytes: k.bytes, Bytes: k.split, Weight: k.weight, Finish: k.finish, Tier: k.tier,
		Ping: k.step == alive, Last: k.step == terminal,
	}
	if k.news {
		ev.Calls = &k.hosted
	}
	if u, ok := k.counts.usage(); ok {
		s.usage, s.usage.Tier = u, k.tier
		ev.Usage = &s.usage
	}
	if k.translate {
		ev.Deltas, ev.Left = k.deltas, k.left.New()
		return ev, nil
	}
	var p [1]provider.Patch
	ev.Raw, ev.Data = r.Edit(f, data, provider.Rename(p[:0], data, k.modelAt, s.model))
	return ev, nil
}

// End is the failure of a stream without its terminal event; see provider.Protocol.
func (s *stream) End() (llm.Event, error) {
	return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended before the response did: %w", io.ErrUnexpectedEOF))
}

// Complete is false until the terminal event; see provider.Protocol.
func (s *stream) Complete() bool { return false }

// Blame corrects a parameter; see provider.Source.
func (s *stream) Blame(err error) error { return blame(s.request, err) }
