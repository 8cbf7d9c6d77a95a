package response

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// shelf is a store in memory.
type shelf map[string]*Response

func (s shelf) Put(_ context.Context, r *Response, continued []string, _ int64) error {
	s[r.ID] = r
	for _, id := range continued {
		s[id].Expires = r.Expires
	}
	return nil
}

func (s shelf) Get(_ context.Context, id string, now time.Time) (*Response, error) {
	if r := s[id]; r != nil && r.Expires.After(now) {
		return r, nil
	}
	return nil, nil
}

func (s shelf) Find(_ context.Context, o Owner, item string, _ time.Time) (*Response, error) {
	for _, r := range s {
		for _, i := range r.Items {
			if i == item && r.Owner == o {
				return r, nil
			}
		}
	}
	return nil, nil
}

func (s shelf) Update(_ context.Context, id string, u Update) error {
	s[id].Object, s[id].Ended = u.Object, u.Ended
	return nil
}

func (s shelf) Attempt(_ context.Context, id string) error             { s[id].Attempts++; return nil }
func (s shelf) Events(context.Context, string, int64) (*Chunk, error)  { return nil, nil }
func (s shelf) LastEvent(context.Context, string) (int64, bool, error) { return 0, false, nil }
func (s shelf) Delete(_ context.Context, id string) error              { delete(s, id); return nil }
func (s shelf) Purge(context.Context, time.Time, int) error            { return nil }

var ctx = context.Background()

func memory() (*Memory, shelf, *time.Time) {
	now := time.Unix(1_790_000_000, 0)
	s := shelf{}
	return New(s, time.Hour, func() time.Time { return now }), s, &now
}

func (m *Memory) say(t *testing.T, id, previous string, o Owner) {
	t.Helper()
	_, ids, err := m.Past(ctx, o, previous, nil)
	if previous == "" {
		ids, err = nil, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	err = m.Put(ctx, &Response{
		ID: id, Owner: o, Previous: previous, Ended: true, Items: []string{"in_" + id, "out_" + id},
		Input:  fmt.Appendf(nil, `[{"id":"in_%s"}]`, id),
		Object: fmt.Appendf(nil, `{"output":[{"id":"out_%s"}]}`, id),
	}, ids)
	if err != nil {
		t.Fatal(err)
	}
}

func TestAConversationGoesBackToItsBeginning(t *testing.T) {
	t.Parallel()
	m, _, now := memory()
	mine := Owner{Account: 1}
	m.say(t, "a", "", mine)
	*now = now.Add(50 * time.Minute)
	m.say(t, "b", "a", mine)
	*now = now.Add(50 * time.Minute) // a would be gone if nobody had continued it
	items, ids, err := m.Past(ctx, mine, "b", nil)
	if err != nil || fmt.Sprint(ids) != "[a b]" {
		t.Errorf("%v, %v", ids, err)
	}
	var all []string
	for _, i := range items {
		all = append(all, string(i))
	}
	if got, want := strings.Join(all, ","), `{"id":"in_a"},{"id":"out_a"},{"id":"in_b"},{"id":"out_b"}`; got != want {
		t.Errorf("items %s, want %s", got, want)
	}
	for _, id := range []string{"out_a", "in_b"} {
		if item, err := m.Item(ctx, mine, id); err != nil || string(item) != `{"id":"`+id+`"}` {
			t.Errorf("item %s = %s, %v", id, item, err)
		}
	}
	for _, o := range []Owner{{Account: 2}, {Account: 1, Test: true}} {
		if _, _, err := m.Past(ctx, o, "b", nil); !fault.Is(err, fault.PreviousResponseNotFound) {
			t.Errorf("%v continues it: %v", o, err)
		}
		if _, err := m.Get(ctx, o, "b"); !fault.Is(err, fault.ResponseNotFound) {
			t.Errorf("%v reads it: %v", o, err)
		}
		if err := m.Delete(ctx, o, "b"); !fault.Is(err, fault.ResponseNotFound) {
			t.Errorf("%v deletes it: %v", o, err)
		}
		if item, err := m.Item(ctx, o, "out_a"); item != nil || err != nil {
			t.Errorf("%v has an item of it: %s, %v", o, item, err)
		}
	}
	if err := m.Delete(ctx, mine, "a"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Past(ctx, mine, "b", nil); !fault.Is(err, fault.PreviousResponseNotFound) {
		t.Errorf("without its beginning it is continued: %v", err)
	}
	*now = now.Add(2 * time.Hour)
	if _, err := m.Get(ctx, mine, "b"); !fault.Is(err, fault.ResponseNotFound) {
		t.Errorf("when its time is over: %v", err)
	}
}

func TestAConversationHasBounds(t *testing.T) {
	t.Parallel()
	m, s, _ := memory()
	mine := Owner{Account: 1}
	if err := m.Put(ctx, &Response{ID: "x", Owner: mine, Input: make([]byte, MaxBytes+1)}, nil); !errors.Is(err, ErrTooLarge) || len(s) > 0 {
		t.Errorf("too large: %v", err)
	}
	for n := range MaxTurns + 1 {
		previous := fmt.Sprint("r", n-1)
		if n == 0 {
			previous = ""
		}
		if err := m.Put(ctx, &Response{ID: fmt.Sprint("r", n), Owner: mine, Previous: previous, Ended: true}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, ids, err := m.Past(ctx, mine, fmt.Sprint("r", MaxTurns-1), nil); err != nil || len(ids) != MaxTurns {
		t.Errorf("as long as may be: %d, %v", len(ids), err)
	}
	if _, _, err := m.Past(ctx, mine, fmt.Sprint("r", MaxTurns), nil); !fault.Is(err, fault.InvalidParameter) || fault.From(err).Param != "previous_response_id" {
		t.Errorf("longer: %v", err)
	}
	for n := range 3 {
		r := s[fmt.Sprint("r", n)]
		r.Input = make([]byte, MaxPast/2)
	}
	if _, _, err := m.Past(ctx, mine, "r2", nil); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("larger: %v", err)
	}
}

func TestWhatHasNotEndedIsNotContinued(t *testing.T) {
	t.Parallel()
	m, _, _ := memory()
	mine := Owner{Account: 1}
	if err := m.Put(ctx, &Response{ID: "a", Owner: mine, Job: [16]byte{1}, Input: []byte(`[]`), Object: []byte(`{}`)}, nil); err != nil {
		t.Fatal(err)
	}
	still := func(*Response) error { return nil }
	if _, _, err := m.Past(ctx, mine, "a", still); !fault.Is(err, fault.InvalidParameter) || fault.From(err).Param != "previous_response_id" {
		t.Errorf("while it runs: %v", err)
	}
	now := func(r *Response) error {
		r.Ended, r.Object = true, []byte(`{"output":[{"id":"x"}]}`)
		return nil
	}
	if items, _, err := m.Past(ctx, mine, "a", now); err != nil || len(items) != 1 {
		t.Errorf("when it is found to have ended: %s, %v", items, err)
	}
	if New(shelf{}, 0, time.Now).Keeps() || !m.Keeps() {
		t.Error("0 does not keep nothing")
	}
}
