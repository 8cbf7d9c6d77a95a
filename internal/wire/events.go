package wire

import (
	"context"
	"io"
	"net/url"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Events are what an answer says to one of those who read it, event by event: an
// answer that nobody waits for goes on without them. They belong to one goroutine.
type Events interface {
	// Next waits for events, and returns them as whole frames. Its error is [io.EOF]
	// behind the last, the cause with which ctx ended, or a *fault.Error if the rest
	// cannot be told.
	Next(ctx context.Context) ([]byte, error)
	// Heartbeat returns what keeps an idle stream open.
	Heartbeat() []byte
	// Break returns what a stream ends with that cannot be told to its end, in which
	// frame is the event that the contract has for that. The answer may go on.
	Break(frame []byte) []byte
	// Close gives back what they take.
	Close()
}

// Teller is a [Desk] that tells some of its answers event by event.
type Teller interface {
	Desk
	// Tell returns what is asked for so; nil: it is not, and Answer answers. Its
	// error is a *fault.Error.
	Tell(ctx context.Context, q Question) (Events, error)
}

// askedInBody takes over from the body of a GET that it asks for a stream: there,
// and not in the query, the official SDK for Go says so. Any other body says
// nothing, as ever.
func (x *exchange) askedInBody(query url.Values) error {
	if x.r.ContentLength == 0 || query.Has("stream") {
		return nil
	}
	body, err := readBody(x.w.rw, x.r, x.s.o.BodyLimit, x.s.o.BodyTimeout)
	x.body, x.w.unread = body, err != nil
	if err != nil {
		return err
	}
	if doc, err := jsonx.Parse(body); err == nil {
		if stream, _ := doc.Root().Get("stream").Bool(); stream {
			query.Set("stream", "true")
		}
	}
	return nil
}

// tell writes events as they come, until there are no more or the caller leaves.
func (x *exchange) tell(events Events) error {
	defer events.Close()
	x.events = events
	x.ev.Stream = true
	x.extraHeaders()
	x.w.stream(eventStream)
	x.w.keepAlive(x.s.o.Heartbeat, eventStream, events.Heartbeat())
	defer x.w.stopBeating()
	for {
		frames, err := events.Next(x.r.Context())
		switch {
		case err == io.EOF:
			x.ev.Outcome = "ok"
			x.free()
			x.w.frame(x.closing(nil))
			return nil
		case err != nil && x.gone(), err == nil && !x.w.frame(frames):
			x.ev.Outcome = "client_left"
			return nil
		case err != nil:
			x.w.stopBeating()
			return err
		}
	}
}

// waits refuses a stream of an answer that nobody waits for, where the contract has
// none.
func (x *exchange) waits(r *llm.Request) error {
	if t := r.Thread; t != nil && t.Background && r.Stream && x.site.Contract.Responses().Polled {
		return wrong("stream", fault.InvalidParameter, "An answer in the background is not streamed: ask for it until its status is completed")
	}
	return nil
}

// closing appends what a stream of a response ends with, behind its last event.
func (x *exchange) closing(dst []byte) []byte {
	if x.spoken() == surfaceResponses && x.site.Contract.Responses().Done {
		return append(dst, "data: [DONE]\n\n"...)
	}
	return dst
}

// spoken is the surface whose frames a stream has: what is kept of an answer is
// told as the answer is.
func (x *exchange) spoken() string {
	if x.events == nil {
		return x.route.Surface
	}
	return strings.TrimSuffix(x.route.Surface, ".item")
}
