package response

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
)

// ErrTooLarge says that a response has more bytes than are remembered.
var ErrTooLarge = errors.New("the response is too large to be kept")

// Memory keeps responses for their owners. Its methods may be called by many
// goroutines.
type Memory struct {
	store Store
	keep  time.Duration
	now   func() time.Time
}

// New returns a memory that keeps responses for so long. It keeps none at all if
// that is not above 0; see [Memory.Keeps].
func New(s Store, keep time.Duration, now func() time.Time) *Memory {
	return &Memory{store: s, keep: keep, now: now}
}

// Usually is how long a response is kept for which nobody says otherwise.
func (m *Memory) Usually() time.Duration { return m.keep }

// Keeps reports whether anything is kept.
func (m *Memory) Keeps() bool { return m.keep > 0 }

// Put keeps a response from now on. continued are the ids of those that it
// continues, which are kept as long. Its error is ErrTooLarge, or the store's.
func (m *Memory) Put(ctx context.Context, r *Response, continued []string) error {
	if r.size() > MaxBytes {
		return ErrTooLarge
	}
	r.Expires = m.now().Add(cmp.Or(r.Keep, m.keep))
	if err := m.store.Purge(ctx, m.now(), purged); err != nil {
		return fmt.Errorf("responses: %w", err)
	}
	if err := m.store.Put(ctx, r, continued, MaxAccount); err != nil {
		return fmt.Errorf("responses: %w", err)
	}
	return nil
}

// Update replaces what is kept of a response. Its error is ErrTooLarge, or the
// store's.
func (m *Memory) Update(ctx context.Context, id string, u Update) error {
	if len(u.Object) > MaxBytes {
		return ErrTooLarge
	}
	return m.store.Update(ctx, id, u)
}

// Attempt counts, durably, that a response begins to be told once more.
func (m *Memory) Attempt(ctx context.Context, id string) error {
	if err := m.store.Attempt(ctx, id); err != nil {
		return fmt.Errorf("responses: %w", err)
	}
	return nil
}

// Events returns some of the events of a response that follow the one with that
// number, and the number of the last of them. There are none behind the last, and
// of a response whose events are not kept.
func (m *Memory) Events(ctx context.Context, id string, after int64) (events []byte, last int64, err error) {
	c, err := m.store.Events(ctx, id, after)
	if err != nil {
		return nil, after, fmt.Errorf("responses: %w", err)
	}
	if c == nil {
		return nil, after, nil
	}
	events, err = c.After(after)
	return events, c.Last, err
}

// Get returns an owner's response. Its error is a ResponseNotFound fault if the
// owner has no such response, or not any more.
func (m *Memory) Get(ctx context.Context, o Owner, id string) (*Response, error) {
	r, err := m.get(ctx, o, id)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fault.NoResponse(shown(id))
	}
	return r, nil
}

func (m *Memory) get(ctx context.Context, o Owner, id string) (*Response, error) {
	r, err := m.store.Get(ctx, id, m.now())
	if err != nil {
		return nil, fmt.Errorf("responses: %w", err)
	}
	if r == nil || r.Owner != o {
		return nil, nil
	}
	return r, nil
}

// Any returns a response whoever it belongs to, or nil.
func (m *Memory) Any(ctx context.Context, id string) (*Response, error) {
	return m.store.Get(ctx, id, m.now())
}

// LastEvent returns the number of the last event of a response; not ok: none is
// kept.
func (m *Memory) LastEvent(ctx context.Context, id string) (last int64, ok bool, err error) {
	if last, ok, err = m.store.LastEvent(ctx, id); err != nil {
		return last, ok, fmt.Errorf("responses: %w", err)
	}
	return last, ok, nil
}

// shown is an id as an error tells it.
func shown(id string) string { return id[:min(len(id), 64)] }

// Delete forgets an owner's response.
func (m *Memory) Delete(ctx context.Context, o Owner, id string) error {
	if _, err := m.Get(ctx, o, id); err != nil {
		return err
	}
	return m.store.Delete(ctx, id)
}

// Forget deletes a response whoever it belongs to, which nobody was told of.
func (m *Memory) Forget(ctx context.Context, id string) error { return m.store.Delete(ctx, id) }

// Past returns what was asked and said up to a response, oldest first: items in
// JSON, and the ids of all responses that they are of. settle brings a response
// that a job answers up to date. The error is a PreviousResponseNotFound fault for
// an id that the owner has no response of, or not any more, be it of one further
// back; and a fault of the parameter if it has not ended, or goes too far back.
func (m *Memory) Past(ctx context.Context, o Owner, id string, settle func(*Response) error) (items [][]byte, ids []string, err error) {
	var turns []*Response
	size := 0
	for at := id; at != ""; {
		r, err := m.get(ctx, o, at)
		if err != nil {
			return nil, nil, err
		}
		if r == nil {
			return nil, nil, fault.New(fault.PreviousResponseNotFound, "Previous response with id '%s' not found.", shown(at)).At(previousID)
		}
		if !r.Ended {
			if err := settle(r); err != nil {
				return nil, nil, err
			}
		}
		if !r.Ended {
			return nil, nil, fault.New(fault.InvalidParameter, "The response %s has not ended yet.", shown(at)).At(previousID)
		}
		turns = append(turns, r)
		if size += r.size(); size > MaxPast || len(turns) > MaxTurns {
			return nil, nil, fault.New(fault.InvalidParameter, "The conversation is too long to be continued.").At(previousID)
		}
		at = r.Previous
	}
	for i := len(turns) - 1; i >= 0; i-- {
		ids = append(ids, turns[i].ID)
		items = append(items, elements(turns[i].Input)...)
		items = append(items, said(turns[i].Object)...)
	}
	return items, ids, nil
}

// previousID is the parameter that names what is continued.
const previousID = "previous_response_id"

// Item returns the owner's item with that id, in JSON; nil: there is none.
func (m *Memory) Item(ctx context.Context, o Owner, id string) ([]byte, error) {
	r, err := m.store.Find(ctx, o, id, m.now())
	if err != nil {
		return nil, fmt.Errorf("responses: %w", err)
	}
	if r == nil {
		return nil, nil
	}
	for _, list := range [][][]byte{output(r.Object), elements(r.Input)} {
		for _, item := range list {
			doc, err := jsonx.Parse(item)
			if err == nil && doc.Root().Get("id").Is(id) {
				return item, nil
			}
		}
	}
	return nil, nil
}

// elements are the elements of a JSON array.
func elements(array []byte) [][]byte {
	doc, err := jsonx.Parse(array)
	if err != nil {
		return nil
	}
	return raws(doc.Root())
}

// said are the items of a response that the conversation goes on with: none of one
// that broke off, in the middle of a call perhaps.
func said(object []byte) [][]byte {
	doc, err := jsonx.Parse(object)
	if err != nil {
		return nil
	}
	if status := doc.Root().Get("status"); status.Is("failed") || status.Is("cancelled") {
		return nil
	}
	return raws(doc.Root().Get("output"))
}

// output are the items that a response has.
func output(object []byte) [][]byte {
	doc, err := jsonx.Parse(object)
	if err != nil {
		return nil
	}
	return raws(doc.Root().Get("output"))
}

// raws are the elements of a list as they stand there.
func raws(list jsonx.Value) (out [][]byte) {
	for _, v := range list.Items() {
		out = append(out, v.Raw())
	}
	return out
}
