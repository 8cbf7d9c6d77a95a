package openai

import (
	"fmt"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// done is the payload of the last event, and doneFrame the whole of it.
const (
	done      = "[DONE]"
	doneFrame = "data: [DONE]\n\n"
)

// stream makes events of chunks.
type stream struct {
	scanner scanner
	request *llm.Request
	family  string
	model   []byte // see provider.Call.OwnName
	usage   llm.Usage
}

func newStream(x *provider.Exchange, p *Provider, c provider.Call) *provider.Stream {
	s := &stream{scanner: newScanner(p, c, true), request: c.Request, family: p.vendor.class(), model: c.OwnName()}
	out := provider.NewEvents(x, s, !s.scanner.translate)
	out.UsageMeans = true
	return out
}

// Event makes an event of a chunk; see provider.Protocol.
func (s *stream) Event(r *provider.Reader, f provider.Frame, data []byte) (llm.Event, error) {
	if string(data) == done {
		return s.last(r.Clean(f)), nil
	}
	k := &s.scanner
	switch ok := k.scan(data); {
	case !ok:
		return llm.Event{}, provider.ErrNotObject
	case k.failed || f.Name == "error":
		return llm.Event{}, provider.Classify(s.family, http.StatusOK, nil, data)
	case k.translate && k.media:
		return llm.Event{}, provider.Untold()
	case k.images.Err() != nil:
		return llm.Event{}, k.images.Err()
	}
	ev := llm.Event{
		Name: f.Name, Content: k.content || k.refused, Refusal: k.refused && !k.content, OutputBytes: k.bytes, Bytes: k.split, Weight: k.weight, Finish: k.finish, Tier: k.tier,
	}
	if k.news {
		ev.Calls = &k.hosted
	}
	if k.counted {
		s.usage = k.usage
		ev.Usage = &s.usage
		ev.UsageOnly = k.elements == 0 && !s.request.IncludeUsage
	}
	if k.translate {
		ev.Deltas, ev.Left = k.deltas, k.left.New()
		return ev, nil
	}
	var p [2]provider.Patch
	ev.Raw, ev.Data = r.Edit(f, data, k.patches(p[:0], data, s.model))
	return ev, nil
}

// patches appends what must be another for the caller: the model has its own name
// for it, and there is no null error.
func (s *scanner) patches(dst []provider.Patch, data, model []byte) []provider.Patch {
	gone := s.nullError != (provider.Span{})
	if gone && s.nullError.From < s.modelAt.From {
		dst, gone = append(dst, provider.Patch{At: s.nullError}), false
	}
	if dst = provider.Rename(dst, data, s.modelAt, model); gone {
		dst = append(dst, provider.Patch{At: s.nullError})
	}
	return dst
}

// last is the event that ends the stream.
func (s *stream) last(raw []byte) llm.Event {
	ev := llm.Event{Raw: raw, Data: []byte(done), Last: true}
	ev.Finish = s.scanner.conclude()
	ev.Deltas = s.scanner.deltas
	return ev
}

// End ends a stream without a terminal marker, which is well if all choices had
// ended; some vendors never send one. The caller gets it all the same.
func (s *stream) End() (llm.Event, error) {
	if !s.Complete() {
		return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without a finish reason: %w", io.ErrUnexpectedEOF))
	}
	return s.last([]byte(doneFrame)), nil
}

// Complete reports whether all choices have ended; see provider.Protocol.
func (s *stream) Complete() bool { return s.scanner.complete() }

// Blame corrects a parameter; see provider.Source.
func (s *stream) Blame(err error) error { return blame(s.request, !s.scanner.translate, err) }
