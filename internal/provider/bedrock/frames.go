package bedrock

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/provider"
)

// mediaEvents is the type of a stream.
const mediaEvents = "application/vnd.amazon.eventstream"

// maxFrame is the longest frame of a stream, in bytes. AWS sends none that is
// longer.
const maxFrame = 24 << 20

// minFrame is the length of a frame without headers and payload.
const minFrame = 16

// eventStream returns nil if the answer says that it is a stream of frames, or
// what is wrong with it instead: an error in JSON is classified.
func eventStream(x *provider.Exchange) error {
	media := x.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(media); err == nil && kind == mediaEvents {
		return nil
	}
	body, err := x.ReadAll(provider.MaxWhole)
	switch {
	case err != nil:
		return err
	case x.Header.Get("X-Amzn-Errortype") != "" || provider.HasError(body):
		return provider.Classify(family, http.StatusOK, x.Header, body)
	}
	return provider.BadAnswer(http.StatusOK, body, fmt.Errorf("content type %q where a stream of events was expected", media))
}

// frame is one message of a stream. Its payload is valid until the next one.
type frame struct {
	failed  bool   // it is an exception or an error
	name    string // of the event, the exception or the error
	payload []byte
}

// frames reads frames.
type frames struct {
	buf     *bufio.Reader
	decoder *eventstream.Decoder
	payload []byte
}

func newFrames(r io.Reader) *frames {
	return &frames{buf: bufio.NewReaderSize(r, 8<<10), decoder: eventstream.NewDecoder()}
}

// next returns the next frame, or io.EOF between two frames. Every other error is
// a *provider.Failure.
func (f *frames) next() (frame, error) {
	head, err := f.buf.Peek(4)
	if err == io.EOF && len(head) == 0 {
		return frame{}, io.EOF
	}
	if err != nil {
		return frame{}, broken(err)
	}
	if n := binary.BigEndian.Uint32(head); n > maxFrame || n < minFrame {
		return frame{}, provider.BadAnswer(http.StatusOK, nil, fmt.Errorf("a frame of the stream has %d bytes", n))
	}
	m, err := f.decoder.Decode(f.buf, f.payload)
	if err != nil {
		return frame{}, broken(err)
	}
	if cap(m.Payload) > cap(f.payload) {
		f.payload = m.Payload[:0]
	}
	out := frame{name: text(m, eventstreamapi.EventTypeHeader), payload: m.Payload}
	switch kind := text(m, eventstreamapi.MessageTypeHeader); kind {
	case eventstreamapi.EventMessageType:
	case eventstreamapi.ExceptionMessageType:
		out.failed, out.name = true, text(m, eventstreamapi.ExceptionTypeHeader)
	case eventstreamapi.ErrorMessageType:
		out.failed, out.name = true, text(m, eventstreamapi.ErrorCodeHeader)
		out.payload = append(jsonx.AppendString([]byte(`{"message":`), text(m, eventstreamapi.ErrorMessageHeader)), '}')
	default:
		return frame{}, provider.BadAnswer(http.StatusOK, nil, fmt.Errorf("a frame of the stream is of the kind %q", kind))
	}
	return out, nil
}

// known reports whether name is that of an event of a conversation. There may be
// others one day, of any media type, and they are to be passed over.
func known(name string) bool {
	switch name {
	case "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata":
		return true
	}
	return false
}

// text returns a header that is a text.
func text(m eventstream.Message, name string) string {
	if v, ok := m.Headers.Get(name).(eventstream.StringValue); ok {
		return string(v)
	}
	return ""
}

// broken is the failure of a stream that cannot be read on: it was cut, or its
// bytes are not those that were sent.
func broken(err error) error {
	var f *provider.Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return provider.Interrupted(io.ErrUnexpectedEOF)
	}
	return provider.BadAnswer(http.StatusOK, nil, fmt.Errorf("a frame of the stream: %w", err))
}

// buffered reports whether the next frame is already here.
func (f *frames) buffered() bool {
	have := f.buf.Buffered()
	if have < minFrame {
		return false
	}
	head, err := f.buf.Peek(4)
	return err == nil && int64(binary.BigEndian.Uint32(head)) <= int64(have)
}
