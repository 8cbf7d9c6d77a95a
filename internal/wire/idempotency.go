package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/http"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/obs"
)

// The headers of idempotency keys, as draft-ietf-httpapi-idempotency-key-header
// and Stripe's API have them.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
)

// maxKept bounds the answer that is recorded to be kept, in bytes. Of a longer
// one only the fact is kept.
const maxKept = 1 << 20

// claim claims the idempotency key of the request, if it has one. done is true
// if the request was answered by what an earlier one of the same key was.
func (x *exchange) claim(body []byte) (done bool, err error) {
	if len(x.r.Header.Values(idempotencyHeader)) == 0 {
		return false, nil
	}
	key := x.r.Header.Get(idempotencyHeader)
	if !visible(key, 255) {
		return false, fault.New(fault.InvalidParameter, "Must be 1 to 255 visible ASCII characters.").At(idempotencyHeader)
	}
	kept, err := x.caller.Claim(x.r.Context(), key, x.digest(body), x.site.Contract.IdempotencyWait())
	if err != nil {
		return false, err
	}
	if kept == nil {
		x.claimed = true
		return false, nil
	}
	return true, x.replay(kept)
}

// digest is what two requests with one key must have in common: the contract,
// since two services answer the same request otherwise, method, path, the form of
// a stream, the provider that a header names, and the body. The boundaries of a form do not count: a client that
// tries again makes others.
func (x *exchange) digest(body []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(x.site.Contract.Name() + " " + x.r.Method + " " + x.r.URL.Path + "\n")) // never fails
	query := x.r.URL.Query()
	for _, name := range [...]string{"alt", "$alt"} {
		if v := query.Get(name); v != "" {
			h.Write([]byte("?" + name + "=" + v + "\n"))
		}
	}
	for _, c := range x.site.Contract.Controls(x.route.Surface) {
		if v := x.r.Header.Get(c.Header); c.Header != "" && c.Means == contract.ControlProviders && v != "" {
			h.Write([]byte(c.Header + ": " + v + "\n")) // another provider costs more, perhaps
		}
	}
	boundary, form := boundaryOf(x.r.Header)
	if !form {
		h.Write(body)
		return [sha256.Size]byte(h.Sum(nil))
	}
	for part := range bytes.SplitSeq(body, []byte("--"+boundary)) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // where it ends
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// replay answers with what was kept, free of charge.
func (x *exchange) replay(k *Kept) error {
	if !k.Whole {
		return fault.New(fault.IdempotencyNotStored, "The answer to this Idempotency-Key is not kept. It was given to the request %s.", obs.RequestID(k.Request)).With("request", obs.RequestID(k.Request).String())
	}
	if x.follows {
		return x.followAgain(k)
	}
	h := x.w.Header()
	for _, kv := range k.Header {
		h.Set(kv[0], kv[1])
	}
	if h.Get("Content-Type") == eventStream {
		streamed(h, eventStream)
	}
	h.Set(replayedHeader, "true")
	h["X-Charge-Usd"] = []string{x.facts.Charge.String()}
	x.extraHeaders()
	x.free()
	if err := x.s.o.Failpoints.Hit(failpoint.CrashBeforeReplay); err != nil {
		return err
	}
	x.w.whole(k.Status, k.Body)
	x.caller.Replayed(k)
	return nil
}

// record adds to what is kept of a stream.
func (x *exchange) record(b []byte) {
	if !x.claimed || x.tooLong {
		return
	}
	if len(x.said)+len(b) > maxKept {
		x.said, x.tooLong = nil, true
		return
	}
	x.said = append(x.said, b...)
}

// kept is the answer as it is kept, whose content type is set. It copies nothing
// of the body.
func (x *exchange) kept(body []byte) *Kept {
	k := &Kept{Status: http.StatusOK, Body: body, Whole: !x.tooLong && len(body) <= maxKept}
	h := x.w.Header()
	for _, name := range []string{"Content-Type", "X-Output-Capped-By", "X-Dropped-Params", "X-Dropped-Output"} {
		if v := h.Get(name); v != "" {
			k.Header = append(k.Header, [2]string{name, v})
		}
	}
	if !k.Whole {
		k.Body = nil
	}
	return k
}
