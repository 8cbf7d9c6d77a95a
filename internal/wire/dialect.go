package wire

import (
	"net/url"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// Dialect is the format of one inbound surface. It is pure: it reads and writes
// bytes and does no input or output of its own. It is used by many goroutines
// at once.
type Dialect interface {
	// Decode makes a request of a body. It returns a *fault.Error: InvalidJSON
	// for what is not JSON, nests too deep or names a member twice; one Error
	// with every bad field in Details otherwise, and with it, if the dialect
	// can, the request as far as it is known. headers are the caller's.
	// The request keeps body: it must not be changed afterwards.
	Decode(body []byte, headers map[string][]string) (*llm.Request, error)

	// Encoder returns the encoder of one answer to r.
	Encoder(r *llm.Request) Encoder
}

// ModelInPath is a [Dialect] whose requests name their model in the path, not in
// the body. Its Decode refuses every body, for want of a model.
type ModelInPath interface {
	// DecodeFor is Decode for a request to the named model. An empty name is one
	// more bad field, model.
	DecodeFor(model string, body []byte, headers map[string][]string) (*llm.Request, error)
}

// Body is what the bodies of requests are.
type Body uint8

// The bodies.
const (
	JSON   Body = iota
	Form        // multipart/form-data
	Either      // as its content type says
)

// Forms is a [Dialect] whose bodies may be forms. Its Decode finds the boundary in
// the headers, and notes the content type of a form in the request.
type Forms interface {
	Dialect
	Body() Body
}

// MethodInPath is a [Dialect] of a family whose paths end in a method, as in
// models/m:streamGenerateContent, and whose queries say how it is to be answered.
type MethodInPath interface {
	// At returns the dialect of requests to paths with that ending and with that
	// query. Its error is a *fault.Error.
	At(ending string, query url.Values) (Dialect, error)
}

// Encoder turns one answer into the bytes a caller sees. It belongs to one
// goroutine. All methods append to dst and return it.
type Encoder interface {
	// Event appends what one event gives, which may be nothing. For a stream
	// that is whole SSE frames. Terminal markers ([DONE], message_stop) and a
	// whole answer are kept back for Finish: they leave after the charge is
	// durable. It returns an error for an answer that cannot be expressed.
	Event(dst []byte, ev llm.Event) ([]byte, error)

	// Finish appends the end of the answer: what was kept back.
	Finish(dst []byte, f Final) ([]byte, error)

	// Heartbeat appends what keeps an idle stream open.
	Heartbeat(dst []byte) []byte
}

// Patient is a [Dialect] whose streams can be kept open before their first event.
type Patient interface {
	// Waiting returns what does so, and the media type of the stream. Clients must
	// bear it in front of everything else. An empty beat: nothing does; an empty
	// media type: server-sent events.
	Waiting() (media, beat string)
}

// Thoughtful is a [Dialect] that can tell what a model thought in one or another
// member of its answers.
type Thoughtful interface {
	Dialect
	// Thoughts returns e, of an answer to r, with the thoughts in that member.
	Thoughts(e Encoder, r *llm.Request, member string) Encoder
}

// Breaker is an [Encoder] whose dialect has more to say of a stream that failed
// than the contract does.
type Breaker interface {
	// Break appends what a stream ends with that has failed because of err. frame
	// is the event that the contract has for it, which stands in it. Where a
	// stream has no room for an error it appends nothing, and the connection breaks.
	Break(dst, frame []byte, err *fault.Error) []byte
}

// Typed is an [Encoder] of answers that may be something else than JSON or, if they
// are streamed, server-sent events. Such a stream breaks with its connection,
// unless the encoder is a [Breaker], too.
type Typed interface {
	// MediaType returns the media type of the answer, once its first event was
	// encoded; empty: what it would be otherwise.
	MediaType() string
}

// AppendAnswer appends a whole answer to dst. If that is nil it returns the
// answer itself, since whole answers can be large.
func AppendAnswer(dst, answer []byte) []byte {
	if dst == nil {
		return answer
	}
	return append(dst, answer...)
}

// Final is what is known once an answer has ended and was paid for.
type Final struct {
	Model  string     // that answered, as the caller may name it; empty: as asked
	Usage  llm.Usage  // what was charged for
	Extras []llm.Edit // members that the contract adds to the body, or to the last data frame before the end
}
