package wire

import (
	"context"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Threads is a [Dialect] whose answers can be kept, to be read again and to be
// continued. Its requests have a Thread.
type Threads interface {
	Dialect
	// Continue returns r as it reads with what was said before, and with what its
	// references stand for. Its error is a *fault.Error.
	Continue(r *llm.Request, p Past) (*llm.Request, error)
	// Keeper returns the encoder of one answer to r, which can be kept.
	Keeper(r *llm.Request) Keeper
}

// Past is what was said before a request, in the JSON of its dialect.
type Past struct {
	Items [][]byte          // oldest first
	Stand map[string][]byte // what references stand for, as far as that is known
	IDs   []string          // of the answers that Items are of
}

// Keeper is an [Encoder] whose answer can be kept.
type Keeper interface {
	Encoder
	// Record returns what is to be kept: after Finish of the answer as it ended,
	// before the first event of one that is yet to be given.
	Record() Record
}

// Record is what is kept of one answer.
type Record struct {
	ID       string
	Previous string        // id of the answer that it continues; empty: none
	Past     []string      // ids of all answers that it continues
	Input    []byte        // what the request itself said, JSON
	Object   []byte        // the answer, JSON
	Items    []string      // ids of what either consists of
	Keep     time.Duration // for how long; 0: as long as is usual
	Usual    time.Duration // for how long that is at most; 0: any time
}

// Memory keeps answers for their callers. Its errors are *fault.Error, but for
// that of Keep.
type Memory interface {
	// Keeps reports whether answers are kept at all.
	Keeps() bool
	// Recall returns what a request continues and refers to.
	Recall(ctx context.Context, c Caller, t *llm.Thread) (Past, error)
	// Keep keeps an answer that was charged, durably.
	Keep(ctx context.Context, c Caller, r Record) error
	// Defer takes a request in to be answered when nobody waits. When it returns
	// the request is held for and will come to an end, whatever happens to the
	// process. kept, if it is not nil, is kept for the claimed idempotency key.
	Defer(ctx context.Context, c Caller, site *Site, req *llm.Request, r Record, kept *Kept) error
	// Follow returns what an answer says from its beginning, which was taken in with
	// Defer. Its error is a *fault.Error.
	Follow(ctx context.Context, c Caller, id string) (Events, error)
}

// largest is how many bytes of a request can be kept.
const largest = 12 << 20

// recall settles what a request asks of the gateway's memory, and returns it as
// it reads with what is remembered. Where nothing is kept, what asks for that is
// refused.
func (x *exchange) recall(d Dialect, r *llm.Request) (*llm.Request, error) {
	t := r.Thread
	if t == nil {
		return r, nil
	}
	if err := x.retain(t); err != nil {
		return r, err
	}
	m := x.s.o.Memory
	threads, ok := d.(Threads)
	if !ok || m == nil || !m.Keeps() {
		return r, forgetful(t)
	}
	if t.Store && len(r.Raw.Value("input")) > largest {
		if t.Asked || t.Background {
			return r, fault.New(fault.InvalidParameter, "An input of more than %d MiB cannot be stored.", largest>>20).At("store")
		}
		t.Store = false
	}
	if t.Previous == "" && len(t.References) == 0 {
		return r, nil
	}
	past, err := m.Recall(x.r.Context(), x.caller, t)
	if err != nil {
		return r, err
	}
	x.past = past.IDs
	return threads.Continue(r, past)
}

// forgetful refuses what cannot be had where nothing is kept. Who said nothing of
// it is told by his answer that it is not.
func forgetful(t *llm.Thread) error {
	for _, asked := range []struct {
		is   bool
		name string
	}{{t.Store && t.Asked, "store"}, {t.Background, "background"}, {t.Previous != "", "previous_response_id"}, {len(t.References) > 0, "input"}} {
		if asked.is {
			return fault.New(fault.UnsupportedParameter, "Responses are not stored here.").At(asked.name)
		}
	}
	t.Store = false
	return nil
}

// encoder returns the encoder of the answer to r.
func (x *exchange) encoder(d Dialect, r *llm.Request) Encoder {
	if threads, ok := d.(Threads); ok && r.Thread != nil && r.Thread.Store {
		return threads.Keeper(r)
	}
	e := d.Encoder(r)
	if t, ok := d.(Thoughtful); ok && x.route.Reasoning != "" {
		return t.Thoughts(e, r, x.route.Reasoning)
	}
	return e
}

// remember keeps an answer that was charged, if it is to be kept, before its last
// bytes leave: whoever has them may continue it. He has paid for the answer, and
// gets it whether or not it could be kept.
func (x *exchange) remember() {
	k, ok := x.enc.(Keeper)
	if !ok || x.asked == nil || x.asked.Thread == nil || !x.asked.Thread.Store {
		return
	}
	if err := x.s.o.Memory.Keep(context.WithoutCancel(x.r.Context()), x.caller, x.recordOf(k)); err != nil {
		x.ev.Error = "the response was not stored: " + err.Error()
	}
}

func (x *exchange) recordOf(k Keeper) Record {
	rec := k.Record()
	t := x.asked.Thread
	rec.Previous, rec.Past, rec.Keep, rec.Usual = t.Previous, x.past, t.Keep, t.Usual
	return rec
}

// later takes a request in that nobody waits for, and answers with how it stands.
func (x *exchange) later(d Dialect, r *llm.Request) error {
	if x.wanted != nil {
		return contract.Sample(x.wanted.code)
	}
	threads, ok := d.(Threads)
	if !ok {
		return fault.New(fault.Internal, "") // cannot be: recall has looked
	}
	rec, status := x.recordOf(threads.Keeper(r)), x.site.Contract.Responses().Acknowledged()
	body := jsonx.Splice(rec.Object, x.site.Contract.Extras(x.route.Surface, x.route.Envelope, x.facts))
	var kept *Kept
	if x.claimed {
		x.w.Header()["Content-Type"] = []string{jsonMedia}
		kept = x.kept(body)
		kept.Status = status
	}
	if err := x.s.o.Memory.Defer(x.r.Context(), x.caller, x.site, r, rec, kept); err != nil {
		return err
	}
	if posted, known := x.caller.Balance(); known {
		x.facts.Balance = posted
	}
	if r.Stream {
		return x.follow(rec.ID)
	}
	x.show(status, body)
	return nil
}

// follow answers with what a response in the background says from its beginning.
func (x *exchange) follow(id string) error {
	events, err := x.s.o.Memory.Follow(x.r.Context(), x.caller, id)
	if err != nil {
		return err
	}
	return x.tell(events)
}

// followAgain does so for who comes with his idempotency key again: what is kept
// for it is the response as it was taken in.
func (x *exchange) followAgain(k *Kept) error {
	doc, err := jsonx.Parse(k.Body)
	if err != nil {
		return fault.Wrap(fault.Internal, err) // cannot be: it is what was kept
	}
	if err := x.s.o.Failpoints.Hit(failpoint.CrashBeforeReplay); err != nil {
		return err
	}
	x.w.Header().Set(replayedHeader, "true")
	x.caller.Replayed(k)
	return x.follow(doc.Root().Get("id").Text())
}
