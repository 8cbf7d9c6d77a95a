package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Stream is an answer as it comes. It belongs to one goroutine and must be
// closed.
//
//	s, err := c.Stream(ctx, r)
//	if err != nil { … }
//	defer s.Close()
//	for s.Next() {
//		fmt.Print(s.Event().Text())
//	}
//	if err := s.Err(); err != nil { … }
type Stream struct {
	ctx    context.Context // the request's: tells a caller who left from a connection that broke
	client *Client
	resp   *http.Response
	frames *frames
	first  []byte // read while opening, not yet given out
	event  Chunk
	given  bool // an event was given out
	ended  bool
	err    error
}

// Chunk is one event of a stream.
type Chunk struct {
	ID      string        `json:"id"`
	Model   string        `json:"model"`
	Choices []ChunkChoice `json:"choices"`
	Usage   *Usage        `json:"usage"` // in one of the last events

	Raw json.RawMessage `json:"-"` // the event as it came, valid until the next one
}

// ChunkChoice is what an event adds to one choice.
type ChunkChoice struct {
	Index        int     `json:"index"`
	Delta        Message `json:"delta"` // ToolCalls are increments
	FinishReason string  `json:"finish_reason"`
}

// Text returns what the event adds to the text of the first choice.
func (c *Chunk) Text() string {
	for _, choice := range c.Choices {
		if choice.Index == 0 {
			return choice.Delta.Content
		}
	}
	return ""
}

// Stream sends a chat request and returns its answer as it comes. It returns
// once the first event is there: until then failures are retried and fall back
// as those of [Client.ChatCompletions] do, and never after.
//
// The stream ends with ctx.
func (c *Client) Stream(ctx context.Context, r Request) (*Stream, error) {
	body, err := r.encode(true)
	if err != nil {
		return nil, err
	}
	return c.stream(ctx, r.Model, body, r.header())
}

// StreamRaw is [Client.Stream] for a body that is a whole JSON object. The
// member stream is set to true.
func (c *Client) StreamRaw(ctx context.Context, body []byte) (*Stream, error) {
	var r struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	err := json.Unmarshal(body, &r)
	if err == nil && !r.Stream {
		body, err = withMembers(body, map[string]json.RawMessage{"stream": json.RawMessage("true")})
	}
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return c.stream(ctx, r.Model, body, nil)
}

func (c *Client) stream(ctx context.Context, model string, body []byte, header http.Header) (*Stream, error) {
	var s *Stream
	err := c.do(ctx, call{
		method: http.MethodPost, path: "chat/completions", model: model, header: header,
		body: func(m string) ([]byte, error) { return withModel(body, model, m) },
		accept: func(resp *http.Response) (err error) {
			s, err = c.open(ctx, resp)
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// open reads up to the first event.
func (c *Client) open(ctx context.Context, resp *http.Response) (*Stream, error) {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		var r Response
		if err := c.whole(ctx, &r)(resp); err != nil {
			return nil, err
		}
		return nil, &Error{
			Status: resp.StatusCode, Code: "unreadable_answer", Message: "the answer is not a stream but " + resp.Header.Get("Content-Type"),
			RequestID: r.RequestID, Charge: r.ChargeUSD, Delivered: true, kind: ErrUpstream,
		}
	}
	s := &Stream{ctx: ctx, client: c, resp: resp, frames: newFrames(resp.Body, c.options.MaxBody)}
	data, err := s.frame()
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	s.first, s.ended = data, data == nil
	return s, nil
}

// Next goes to the next event. It returns false at the end, which was a good
// one if Err is nil.
func (s *Stream) Next() bool {
	if s.ended {
		return false
	}
	data, err := s.first, error(nil)
	if s.first = nil; data == nil {
		data, err = s.frame()
	}
	if err == nil && data == nil {
		s.ended = true
		return false
	}
	if err == nil {
		s.event = Chunk{Raw: data}
		if bad := json.Unmarshal(data, &s.event); bad != nil {
			err = &Error{Status: s.resp.StatusCode, Code: "unreadable_answer", Message: "an event is not what was expected: " + bad.Error(), kind: ErrUpstream, cause: bad}
		}
	}
	if err != nil {
		s.fail(err)
		return false
	}
	s.given = true
	return true
}

// fail ends the stream with err.
func (s *Stream) fail(err error) {
	var e *Error
	if errors.As(err, &e) {
		e.Delivered = e.Delivered || s.given
		e.RequestID = s.RequestID()
		e.Charge = s.ChargeUSD()
	}
	s.ended, s.err = true, err
}

// frame returns the payload of the next event, or nil after [DONE].
func (s *Stream) frame() ([]byte, error) {
	for {
		data, err := s.frames.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, s.truncated(io.ErrUnexpectedEOF)
		case errors.Is(err, errFrameTooLarge):
			return nil, &Error{Status: s.resp.StatusCode, Code: "answer_too_large", Message: err.Error(), RequestID: s.RequestID(), Delivered: true, kind: ErrUpstream}
		case err != nil && s.ctx.Err() != nil:
			return nil, ended(s.ctx, err)
		case err != nil:
			return nil, s.truncated(err)
		case len(data) == 0:
			continue // an event without data says nothing
		case string(data) == "[DONE]":
			// The trailer, with the charge, comes after the rest, which is nothing.
			_, _ = io.Copy(io.Discard, io.LimitReader(s.resp.Body, maxErrorBody))
			return nil, nil
		}
		if e := inBand(data); e != nil {
			e.Status, e.RequestID = s.resp.StatusCode, s.RequestID()
			// Read on to the end, so that the trailer is there.
			_, _ = io.Copy(io.Discard, io.LimitReader(s.resp.Body, maxErrorBody))
			e.Charge = s.ChargeUSD()
			return nil, e
		}
		return data, nil
	}
}

func (s *Stream) truncated(cause error) error {
	return &Error{
		Status: s.resp.StatusCode, Code: "stream_truncated", Message: "the stream ended before the answer did",
		RequestID: s.RequestID(), Retryable: true, kind: ErrInterrupted, cause: cause,
	}
}

// Event returns the event that the last Next came to.
func (s *Stream) Event() *Chunk { return &s.event }

// Err returns why the stream ended, or nil if it ended well or has not ended.
// A failure that came inside the stream is an [*Error] with Delivered set if
// there had been events before.
func (s *Stream) Err() error { return s.err }

// Close ends the stream at once, wherever it is. It may be called many times.
func (s *Stream) Close() error {
	s.ended = true
	return s.resp.Body.Close()
}

// RequestID returns the id that the gateway gave the request.
func (s *Stream) RequestID() string { return requestID(s.resp.Header) }

// Header returns the header of the answer.
func (s *Stream) Header() http.Header { return s.resp.Header }

// ChargeUSD returns what the answer cost, in dollars. It is known once the
// stream has ended; empty: not told.
func (s *Stream) ChargeUSD() string {
	if v := s.resp.Trailer.Get("X-Charge-USD"); v != "" {
		return v
	}
	return s.resp.Header.Get("X-Charge-USD")
}

var errFrameTooLarge = errors.New("an event of the stream is too large")

// frames reads server-sent events.
type frames struct {
	r    *bufio.Reader
	most int64
	data []byte
	read bool
}

func newFrames(r io.Reader, most int64) *frames {
	return &frames{r: bufio.NewReader(r), most: most}
}

// next returns the data of the next event: valid until the next call, and
// empty if the event has none. Lines end in LF or CRLF; comments and other
// fields are skipped.
func (f *frames) next() ([]byte, error) {
	f.data = f.data[:0]
	found := false
	for {
		line, err := f.line()
		if err != nil {
			// A whole event that no blank line ends counts: it may be the error
			// that tells why the stream is cut.
			if found && errors.Is(err, io.EOF) && (json.Valid(f.data) || string(f.data) == "[DONE]") {
				return f.data, nil
			}
			return nil, err
		}
		if len(line) == 0 {
			if found {
				return f.data, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		if found {
			f.data = append(f.data, '\n')
		}
		f.data = append(f.data, bytes.TrimPrefix(value, []byte(" "))...)
		found = true
		if int64(len(f.data)) > f.most {
			return nil, errFrameTooLarge
		}
	}
}

// line returns the next line without its end.
func (f *frames) line() ([]byte, error) {
	var long []byte
	for {
		part, err := f.r.ReadSlice('\n')
		if !f.read {
			f.read = true
			part = bytes.TrimPrefix(part, []byte("\xef\xbb\xbf"))
		}
		if err == nil && long == nil {
			return trimEnd(part), nil
		}
		long = append(long, part...)
		switch {
		case int64(len(long)) > f.most:
			return nil, errFrameTooLarge
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(long) > 0:
			return trimEnd(long), nil
		case err != nil:
			return nil, err
		default:
			return trimEnd(long), nil
		}
	}
}

func trimEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}
