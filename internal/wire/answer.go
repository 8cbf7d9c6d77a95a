package wire

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// frames holds the buffers of streams. A buffer that grew beyond keepFrames is
// left to the collector.
var frames = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

const keepFrames = 256 << 10

// answer writes an answer whose first content is in hand. Errors that it
// returns are still to be told to the caller.
func (x *exchange) answer(req *llm.Request, enc Encoder) error {
	t := x.call.Terms()
	h := x.w.Header()
	if t.CappedBy != "" {
		h.Set("X-Output-Capped-By", t.CappedBy)
	}
	if len(t.Dropped) > 0 {
		h.Set("X-Dropped-Params", strings.Join(t.Dropped, ", "))
	}
	x.ev.AnsweredBy = t.AnsweredBy
	if req.Stream {
		return x.stream(enc)
	}
	return x.whole(enc)
}

// whole writes an answer that is not streamed: nothing leaves before the charge
// is durable.
func (x *exchange) whole(enc Encoder) error {
	for {
		ev, err := x.call.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return x.leftOr(err)
		}
		x.meet(ev)
		if _, err := enc.Event(nil, ev); err != nil {
			return unspeakable(err)
		}
	}
	bill, err := x.call.Finish()
	if err != nil {
		return err
	}
	x.facts.Charge, x.facts.Balance = bill.Charge, bill.Balance
	body, err := enc.Finish(nil, x.final(bill))
	if err != nil {
		return err
	}
	if err := x.s.o.Failpoints.Hit("crash_before_last_bytes"); err != nil {
		return err
	}
	h := x.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["X-Charge-Usd"] = []string{bill.Charge.String()}
	for _, kv := range x.site.Contract.ExtraHeaders(x.route.Envelope, x.facts) {
		h.Set(kv[0], kv[1])
	}
	x.w.whole(http.StatusOK, body)
	x.delivered(x.w.err == nil)
	return nil
}

// stream forwards events as they come, and the end after the charge is durable.
func (x *exchange) stream(enc Encoder) error {
	pooled := frames.Get().(*[]byte)
	buf := (*pooled)[:0]
	defer func() {
		if cap(buf) <= keepFrames {
			*pooled = buf
			frames.Put(pooled)
		}
	}()
	h := x.w.Header()
	h["Trailer"] = []string{"X-Charge-Usd"}
	x.w.stream()
	x.w.keepAlive(x.s.o.Heartbeat, enc.Heartbeat(nil))
	defer x.w.stopBeating()
	present := true
	for {
		ev, err := x.call.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return x.leftOr(err)
		}
		x.meet(ev)
		if !present {
			continue
		}
		buf, err = enc.Event(buf[:0], ev)
		if err != nil {
			return unspeakable(err)
		}
		if ev.More {
			present = x.w.buffer(buf)
		} else {
			present = x.w.frame(buf)
		}
		if !present && !x.call.Drains() {
			x.left()
			return nil
		}
	}
	bill, err := x.call.Finish()
	if err != nil {
		return err
	}
	x.facts.Charge, x.facts.Balance = bill.Charge, bill.Balance
	x.w.stopBeating()
	buf, err = enc.Finish(buf[:0], x.final(bill))
	if err != nil {
		return err
	}
	if err := x.s.o.Failpoints.Hit("crash_before_last_bytes"); err != nil {
		return err
	}
	h["X-Charge-Usd"] = []string{bill.Charge.String()} // the trailer
	x.delivered(present && x.w.frame(buf))
	return nil
}

// unspeakable is the fault of an answer that the caller's dialect cannot say,
// such as several choices where there can be one: the provider gave what nobody
// had asked for.
func unspeakable(err error) error {
	var e *fault.Error
	if errors.As(err, &e) {
		return err
	}
	return fault.Wrap(fault.UpstreamFailed, fmt.Errorf("encode answer: %w", err))
}

// final is what the encoder needs for the end of the answer.
func (x *exchange) final(b Bill) Final {
	return Final{
		Model:  b.Model,
		Usage:  b.Usage,
		Extras: x.site.Contract.Extras(x.route.Surface, x.route.Envelope, x.facts),
	}
}

// meet notes the first event with content.
func (x *exchange) meet(ev llm.Event) {
	if ev.Content && x.ev.FirstEvent == 0 {
		x.ev.FirstEvent = max(x.s.o.Now().Sub(x.ev.Start), time.Nanosecond)
	}
}

// leftOr returns err, unless it came about because the caller left.
func (x *exchange) leftOr(err error) error {
	if x.gone() {
		x.left()
		return nil
	}
	return x.told(err)
}

// left ends the call for a caller who has gone.
func (x *exchange) left() {
	x.call.Left()
	x.call = nil
	if !x.w.committed {
		x.nobody()
	}
}

// delivered ends a call that was paid for.
func (x *exchange) delivered(complete bool) {
	x.ev.Delivery = "partial"
	if complete {
		x.ev.Delivery = "complete"
		x.call.Delivered()
	}
	x.call.Close()
	x.call = nil
}
