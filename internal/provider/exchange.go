package provider

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Outgoing is the HTTP request of one attempt.
type Outgoing struct {
	URL      *url.URL
	Header   http.Header // becomes the request's own
	Body     []byte      // not read any more once the exchange is closed, or Post has failed
	Family   string      // whose error tables to use; see [Classify]
	Timeouts Timeouts    // complete; see [Timeouts.Or]
	Stream   bool        // a stream is expected, so the timers of streams apply
}

// Exchange is an answer of status 2xx under way, with the timers over it. It
// belongs to one goroutine, which must close it. Every error but io.EOF is a
// *[Failure].
type Exchange struct {
	Header http.Header

	caller context.Context
	watch  *watch
	sent   *payload
	body   io.ReadCloser
	family string
	length int64 // of the body, as the server says; -1: unknown
	ended  bool  // the body was read to its end
	over   bool  // nothing of interest follows
}

// Post sends a request and returns once headers of success have come. It never
// follows a redirect and never retries what was written. An error is a
// *[Failure]: of the connection, of a timer, or what [Classify] makes of an
// answer that is not 2xx. If ctx ends, the failure's cause is the context's
// error and it asks for nothing. The exchange ends when ctx ends.
func Post(ctx context.Context, rt http.RoundTripper, o Outgoing) (*Exchange, error) {
	if o.Header["Accept-Encoding"] == nil {
		o.Header["Accept-Encoding"] = identity // else every coding is welcome, by RFC 9110 §12.5.3
	}
	w := newWatch(ctx, o.Timeouts, o.Stream)
	sent := newPayload(o.Body)
	req := &http.Request{
		Method:        http.MethodPost,
		URL:           o.URL,
		Host:          o.URL.Host,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        o.Header,
		Body:          sent.reader(),
		GetBody:       func() (io.ReadCloser, error) { return sent.reader(), nil },
		ContentLength: int64(len(o.Body)),
	}
	resp, err := rt.RoundTrip(req.WithContext(w.traced()))
	if err != nil {
		defer sent.withdraw()
		defer w.stop()
		return nil, w.failure(ctx, err, true)
	}
	w.headers()
	x := &Exchange{
		Header: resp.Header, caller: ctx, watch: w, sent: sent, body: resp.Body,
		family: o.Family, length: resp.ContentLength,
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
			x.abort()
			return nil, BadAnswer(resp.StatusCode, nil, fmt.Errorf("content encoding %q was not asked for", enc))
		}
		return x, nil
	}
	defer x.abort()
	// A body that breaks off is still an answer with a status, unless it was
	// the caller who left.
	body, err := x.readUpTo(maxErrorBody)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	return nil, Classify(o.Family, resp.StatusCode, resp.Header, body)
}

// identity is the value of a header, shared by all requests and never changed.
var identity = []string{"identity"}

// Read reads from the body. Its errors are *[Failure] or io.EOF.
func (x *Exchange) Read(p []byte) (int, error) {
	x.watch.enter()
	n, err := x.body.Read(p)
	x.watch.leave()
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		x.ended = true
		return n, io.EOF
	}
	return n, x.watch.failure(x.caller, err, false)
}

// ReadAll reads the whole body, which may have at most limit bytes, and closes
// the exchange.
func (x *Exchange) ReadAll(limit int) ([]byte, error) {
	defer x.Close()
	body, err := x.readUpTo(limit)
	if err != nil {
		return nil, err
	}
	if len(body) > limit {
		return nil, BadAnswer(http.StatusOK, nil, fmt.Errorf("answer is longer than %d bytes", limit))
	}
	return body, nil
}

// ReadJSON is [Exchange.ReadAll] for an answer of at most [MaxWhole] bytes in JSON,
// without the space before it: some providers send empty lines to keep the connection
// open.
func (x *Exchange) ReadJSON() ([]byte, error) {
	body, err := x.ReadAll(MaxWhole)
	return bytes.TrimLeft(body, " \t\r\n"), err
}

// maxGuess is how much memory a length that a server claims is trusted with.
const maxGuess = 1 << 20

// readUpTo reads to the end, but no further than one byte past limit. An error
// comes with what was read.
func (x *Exchange) readUpTo(limit int) ([]byte, error) {
	size := 4 << 10
	if x.length > 0 && x.length < maxGuess {
		size = int(x.length) + 1 // one more, so that the end is seen at once
	}
	buf := make([]byte, 0, size)
	for len(buf) <= limit {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := x.Read(buf[len(buf):min(cap(buf), limit+1)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// Meaning tells the timers that an event with meaning was seen, and whether it
// had content.
func (x *Exchange) Meaning(content bool) { x.watch.meaning(content) }

// Streams reports whether the answer says that it is a stream of events.
func (x *Exchange) Streams() bool {
	kind, _, err := mime.ParseMediaType(x.Header.Get("Content-Type"))
	return err == nil && kind == "text/event-stream"
}

// EventStream returns nil if the answer says that it is a stream of events, or
// what is wrong with it instead: an error in JSON is classified.
func (x *Exchange) EventStream() error {
	if x.Streams() {
		return nil
	}
	media := x.Header.Get("Content-Type")
	body, err := x.readUpTo(maxErrorBody)
	x.abort()
	if err != nil {
		return err
	}
	if HasError(body) {
		return Classify(x.family, http.StatusOK, x.Header, body)
	}
	return BadAnswer(http.StatusOK, body, fmt.Errorf("content type %q where a stream of events was expected", media))
}

// Over notes that the answer is complete, so that Close may wait a moment for
// the end of the body, and the connection can be used again.
func (x *Exchange) Over() { x.over = true }

// Close ends the exchange; it may be called any number of times. Unless the
// answer was complete, the provider's work is cancelled.
func (x *Exchange) Close() error {
	if x.over && !x.ended {
		x.drain()
	}
	return x.abort()
}

// drainFor and drainBytes bound how long and how far Close looks for the end of
// the body behind the last event.
const (
	drainFor   = 20 * time.Millisecond
	drainBytes = 4 << 10
)

func (x *Exchange) drain() {
	hurry := time.AfterFunc(drainFor, func() { x.watch.cancel(context.Canceled) })
	defer hurry.Stop()
	var p [512]byte
	for total := 0; total < drainBytes; {
		n, err := x.body.Read(p[:])
		if err != nil {
			break
		}
		total += n
	}
	x.ended = true
}

func (x *Exchange) abort() error {
	x.watch.stop()
	x.over, x.ended = true, true
	err := x.body.Close()
	x.sent.withdraw()
	return err
}

// Family returns whose error tables to use; see [Outgoing].
func (x *Exchange) Family() string { return x.family }
