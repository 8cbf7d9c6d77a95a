package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
func (x *exchange) answer(d Dialect) error {
	t := x.call.Terms()
	x.enc = x.encoder(d, t.Request)
	x.facts.Tried = t.Tried
	if t.CappedBy != "" {
		x.header("X-Output-Capped-By", t.CappedBy)
	}
	if len(t.Dropped) > 0 {
		x.header("X-Dropped-Params", dropped(x.asked.Own(t.Dropped)))
	}
	if t.Request.Stream {
		return x.stream()
	}
	return x.whole()
}

// header puts a header into the answer. Where the head has gone out it is a trailer,
// and a header for whoever gets the answer again.
func (x *exchange) header(name, value string) {
	h := x.w.Header()
	h.Set(name, value)
	if x.w.committed {
		h.Set(http.TrailerPrefix+name, value)
	}
}

// open asks for the answer. Who asked for a stream and has to wait for its first
// event is kept waiting as the dialect does: the head goes out then, and a failure
// can only be told within the stream.
func (x *exchange) open(d Dialect, req *llm.Request, w Wishes) (Call, error) {
	if p, ok := d.(Patient); ok && req.Stream {
		if media, beat := p.Waiting(); beat != "" {
			x.w.keepAlive(x.s.o.Heartbeat, cmp.Or(media, eventStream), []byte(beat))
			defer x.w.stopBeating()
		}
	}
	return x.caller.Open(x.r.Context(), req, w)
}

// maxDropped bounds how many bytes of a header tell what was left out: there can
// be something in every message, and clients take heads of some 16 KiB.
const maxDropped = 1024

// dropped lists paths, and counts those for which there is no room.
func dropped(paths []string) string {
	var b strings.Builder
	for i, p := range paths {
		if b.Len()+len(p) > maxDropped {
			return b.String() + " and " + strconv.Itoa(len(paths)-i) + " more"
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p)
	}
	return b.String()
}

// inHeader returns words of a provider's as they can stand in a header.
func inHeader(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' || r == ',' {
				return '_'
			}
			return r
		}, w)
	}
	return out
}

// whole writes an answer that is not streamed: nothing leaves before the charge
// is durable.
func (x *exchange) whole() error {
	for {
		ev, err := x.call.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return x.leftOr(err)
		}
		x.meet(ev)
		if _, err := x.enc.Event(nil, ev); err != nil {
			return unspeakable(err)
		}
	}
	h := x.w.Header()
	h["Content-Type"] = []string{x.media(jsonMedia)}
	bill, body, err := x.finish(nil)
	if err != nil {
		return err
	}
	x.remember()
	if err := x.s.o.Failpoints.Hit("crash_before_last_bytes"); err != nil {
		return err
	}
	h["X-Charge-Usd"] = []string{bill.Charge.String()}
	x.extraHeaders()
	x.free()
	x.w.whole(http.StatusOK, body)
	x.delivered(x.w.err == nil)
	return nil
}

// stream forwards events as they come, and the end after the charge is durable.
func (x *exchange) stream() error {
	pooled := frames.Get().(*[]byte)
	buf := (*pooled)[:0]
	defer func() {
		if cap(buf) <= keepFrames {
			*pooled = buf
			frames.Put(pooled)
		}
	}()
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
		if buf, err = x.forward(buf[:0], ev, &present); err != nil {
			return unspeakable(err)
		}
		if !present && !x.call.Drains() {
			x.left()
			return nil
		}
	}
	if !x.begun { // no event at all
		x.begin()
	}
	bill, buf, err := x.finish(buf[:0])
	if err != nil {
		return err
	}
	x.remember()
	x.w.stopBeating()
	if err := x.s.o.Failpoints.Hit("crash_before_last_bytes"); err != nil {
		return err
	}
	x.w.Header()["X-Charge-Usd"] = []string{bill.Charge.String()} // the trailer
	x.free()
	x.delivered(present && x.w.frame(buf))
	return nil
}

// forward appends to dst what an event gives, and sends it, with the head of the
// stream if it is the first. present says whether the caller is still there.
func (x *exchange) forward(dst []byte, ev llm.Event, present *bool) ([]byte, error) {
	if ev.Cut {
		x.capped()
	}
	if !*present && !x.claimed {
		return dst, nil
	}
	dst, err := x.enc.Event(dst, ev)
	if err != nil {
		return dst, err
	}
	if !x.begun {
		x.begin()
	}
	if ev.Content && !x.w.beating {
		x.keepAlive()
	}
	x.record(dst)
	switch {
	case !*present:
	case ev.More:
		*present = x.w.buffer(dst)
	default:
		*present = x.w.frame(dst)
	}
	return dst, nil
}

// begin sends the head of a stream, whose first event was encoded, unless it had
// to go out before.
func (x *exchange) begin() {
	x.begun = true
	x.extraHeaders()
	if !x.w.committed {
		x.w.stream(x.media(eventStream))
	}
}

// keepAlive keeps a stream open that has said something.
func (x *exchange) keepAlive() {
	if beat := x.enc.Heartbeat(nil); len(beat) > 0 {
		x.w.keepAlive(x.s.o.Heartbeat, eventStream, beat)
	}
}

// media is the media type of the answer, whose first event was encoded.
func (x *exchange) media(otherwise string) string {
	if t, ok := x.enc.(Typed); ok {
		return cmp.Or(t.MediaType(), otherwise)
	}
	return otherwise
}

// capped tells, in a trailer, of an answer that was ended for want of money, and
// in a header whoever gets it again.
func (x *exchange) capped() {
	h := x.w.Header()
	if h.Get("X-Output-Capped-By") == "" {
		h.Set(http.TrailerPrefix+"X-Output-Capped-By", "balance")
		h.Set("X-Output-Capped-By", "balance")
	}
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

// finish charges for the answer and appends its end, which shows the bill. Where
// the answer is kept for its idempotency key, that is made before the charge is
// durable, and with it.
func (x *exchange) finish(dst []byte) (Bill, []byte, error) {
	if x.claimed {
		return x.finishKept(dst)
	}
	bill, err := x.call.Finish(nil)
	if err != nil {
		return bill, dst, err
	}
	x.facts.Charge = bill.Charge
	if dst, err = x.enc.Finish(dst, x.final(bill)); err == nil && x.w.streaming {
		dst = x.closing(dst)
	}
	return bill, dst, err
}

func (x *exchange) finishKept(dst []byte) (Bill, []byte, error) {
	bill, err := x.call.Finish(func(b Bill) (k *Kept, err error) {
		if dst, err = x.enc.Finish(dst, x.final(b)); err != nil {
			return nil, err
		}
		if !x.w.streaming {
			return x.kept(dst), nil
		}
		dst = x.closing(dst)
		x.record(dst)
		return x.kept(x.said), nil
	})
	if err == nil {
		x.facts.Charge = bill.Charge
	}
	return bill, dst, err
}

// extraHeaders adds the headers that the contract has on successes, and those
// of the caller's limits.
func (x *exchange) extraHeaders() {
	x.allowances(x.caller)
	x.facts.Limits = x.caller.Quota()
	for _, kv := range x.site.Contract.ExtraHeaders(x.route.Envelope, x.facts) {
		x.header(kv[0], kv[1])
	}
}

// final is what the encoder needs for the end of the answer.
func (x *exchange) final(b Bill) Final {
	x.usage = b.Usage
	f := x.facts
	f.Charge, f.Balance, f.Usage, f.Took = b.Charge, b.Balance, &x.usage, x.s.o.Now().Sub(x.ev.Start)
	x.facts.Balance = b.Balance
	return Final{
		Model:  b.Model,
		Usage:  b.Usage,
		Extras: x.site.Contract.Extras(x.route.Surface, x.route.Envelope, f),
	}
}

// meet notes the first event with content, and tells what of the answer is left out,
// as the gateway has put it on the record.
func (x *exchange) meet(ev llm.Event) {
	if len(ev.Left) > 0 {
		x.header("X-Dropped-Output", dropped(inHeader(x.ev.Left)))
	}
	if ev.Content && x.ev.FirstEvent == 0 {
		x.ev.FirstEvent = max(x.s.o.Now().Sub(x.ev.Start), time.Nanosecond)
	}
}

// leftOr returns err, unless it came about because the caller left. An answer
// that is read on without him can fail for other reasons, too.
func (x *exchange) leftOr(err error) error {
	if x.gone() && (!x.call.Drains() || errors.Is(err, context.Canceled)) {
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
