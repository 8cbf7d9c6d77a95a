package sim

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// response makes a response of a body to come.
func (x *exchange) response(status int, contentType string, src source, ready []byte) *http.Response {
	h := make(http.Header, 6+len(x.step.Headers))
	h.Set("Content-Type", contentType)
	h.Set("Server", x.sim.name)
	if x.family == familyAnthropic {
		h.Set("Request-Id", "req_"+x.id)
	} else {
		h.Set("X-Request-Id", "req_"+x.id)
		h.Set("Openai-Processing-Ms", "0")
	}
	for name, value := range x.step.Headers {
		h.Set(name, value)
	}
	if x.step.ContentType != "" {
		h.Set("Content-Type", x.step.ContentType)
	}
	return x.plain(status, h, src, ready)
}

// plain makes a response with exactly these headers.
func (x *exchange) plain(status int, h http.Header, src source, ready []byte) *http.Response {
	sim, model := x.sim, x.model // and not x, which holds the prompt
	b := newBody(x.req.Context(), src, func() { sim.abandoned(model) })
	b.buf = ready
	if end, ok := src.(*endSource); ok && end.filling == nil {
		b.settle(end.err)
	}
	return &http.Response{
		Status:        strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        h,
		Body:          b,
		ContentLength: -1,
		Request:       x.req,
	}
}

// whole answers with a body that is there already.
func (x *exchange) whole(status int, made []byte) *http.Response {
	resp := x.response(status, "application/json", &endSource{err: io.EOF}, made)
	return sized(resp, len(made))
}

func sized(r *http.Response, n int) *http.Response {
	r.ContentLength = int64(n)
	r.Header.Set("Content-Length", strconv.Itoa(n))
	return r
}

// fail answers with an error of the family.
func (x *exchange) fail(e apiError) *http.Response {
	resp := x.whole(e.status, appendError(nil, x.family, e, x.id))
	setRetryAfter(resp.Header, &x.step)
	return resp
}

// refuse answers a request that no provider would take. The step, if any, is
// spent all the same.
func (x *exchange) refuse(b *badRequest) *http.Response {
	e := b.api
	if x.family == familyAnthropic && e.status != http.StatusBadRequest {
		e.kind = anthropicError("", e.status).kind
	}
	return x.whole(e.status, appendError(nil, x.family, e, x.id))
}

// raw answers as a raw step says.
func (x *exchange) raw() *http.Response {
	st := &x.step
	status := either0(st.Status, http.StatusOK)
	if st.Body == nil && status >= 400 {
		return x.fail(apiErrorOf(x.family, "", status))
	}
	made := []byte(literal(st.Body))
	resp := x.whole(status, made)
	if st.ContentType == "" {
		resp.Header.Set("Content-Type", sniff(made))
	}
	setRetryAfter(resp.Header, st)
	return resp
}

// sniff guesses the type of a raw body.
func sniff(b []byte) string {
	b = bytes.TrimLeft(b, "\ufeff \r\n\t")
	switch {
	case len(b) == 0, jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true)):
		return "application/json"
	case bytes.HasPrefix(b, []byte("data:")), bytes.HasPrefix(b, []byte("event:")), bytes.HasPrefix(b, []byte(":")):
		return "text/event-stream"
	case b[0] == '<':
		return "text/html; charset=UTF-8"
	default:
		return "text/plain; charset=UTF-8"
	}
}

// broken answers with a whole body, or with what the fault leaves of it. a is
// what made says, if it is a conversation's answer.
func (x *exchange) broken(made []byte, a *answer) *http.Response {
	const contentType = "application/json"
	status := either0(x.step.Status, http.StatusOK)
	switch k := x.fault.kind; k {
	case faultCut, faultHangStream:
		return x.response(status, contentType, &endSource{err: brokenEnd(k)}, made[:len(made)/2])
	case faultTruncated, faultBadJSON:
		return x.whole(status, made[:len(made)/2])
	case faultErrorInStream:
		return x.whole(status, appendError(nil, x.family, apiErrorOf(x.family, "", 503), x.id))
	case faultPings:
		return x.response(status, contentType, &endSource{per: x.perEvent()}, nil)
	case faultHugeLine:
		head, tail := `{"simulated":"`, `"}`
		if a != nil {
			head, tail = a.filler(false)
		}
		return x.response(status, contentType, &endSource{filling: x.filling(head, tail)}, nil)
	default:
		return x.whole(status, made)
	}
}

func (x *exchange) filling(head, tail string) *filling {
	n := x.step.Bytes
	if n == 0 {
		n = defaultHuge
	}
	return &filling{head: head, tail: tail, left: n}
}

func (x *exchange) perEvent() time.Duration {
	return x.pace(x.step.PerEventMS, slowEventMS, x.sim.per)
}

// stream answers with a stream.
func (x *exchange) stream(a *answer) *http.Response {
	src := &streamSource{ev: a.events(), per: x.perEvent(), strike: x.strike(a)}
	resp := x.response(http.StatusOK, "text/event-stream; charset=utf-8", src, nil)
	resp.Header.Set("Cache-Control", "no-cache")
	resp.TransferEncoding = []string{"chunked"}
	return resp
}

// strike is the fault of the step, as it strikes in a stream. a is nil in a
// recording.
func (x *exchange) strike(a *answer) strike {
	k := strike{kind: x.fault.kind, after: x.fault.after}
	if x.step.After != nil {
		k.after = *x.step.After
	}
	switch x.fault.kind {
	case faultCut, faultTruncated, faultHangStream:
	case faultHTTP:
		k.kind = faultErrorInStream
		k.frame = appendErrorFrame(nil, x.family, apiErrorOf(x.family, x.step.Fault, x.status()), x.id)
	case faultErrorInStream:
		k.frame = appendErrorFrame(nil, x.family, apiErrorOf(x.family, "", 503), x.id)
	case faultPings:
		k.frame = []byte(": keep-alive\n\n")
		if x.family == familyAnthropic {
			k.frame = []byte("event: ping\ndata: {\"type\":\"ping\"}\n\n")
		}
	case faultBadJSON:
		head, _ := a.filler(true)
		k.frame = []byte(head + "\n\n")
	case faultHugeLine:
		k.fill = *x.filling(a.filler(true))
	default:
		k.kind = faultNone
	}
	return k
}

// replay answers with a recording.
func (x *exchange) replay() *http.Response {
	r := x.step.recorded
	h := r.header.Clone() // the body is shared: no source writes to what is ready
	for name, value := range x.step.Headers {
		h.Set(name, value)
	}
	if x.step.ContentType != "" {
		h.Set("Content-Type", x.step.ContentType)
	}
	status := either0(x.step.Status, r.status)
	if r.sse {
		src := &streamSource{ev: &recordedEvents{r.body}, per: x.perEvent(), strike: x.strike(nil)}
		return x.plain(status, h, src, nil)
	}
	switch x.fault.kind {
	case faultCut, faultHangStream, faultTruncated:
		half := r.body[:len(r.body)/2]
		return x.plain(status, h, &endSource{err: brokenEnd(x.fault.kind)}, half)
	}
	return sized(x.plain(status, h, &endSource{err: io.EOF}, r.body), len(r.body))
}
