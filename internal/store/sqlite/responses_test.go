package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/response"
)

func TestResponses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_790_000_000_000).UTC()
	mine, test := response.Owner{Account: 7}, response.Owner{Account: 7, Test: true}
	one := &response.Response{ID: "resp_1", Owner: mine, Created: at, Expires: at.Add(time.Hour), Ended: true, Input: []byte(`[1]`), Object: []byte(`{"a":1}`), Items: []string{"msg_1", "msg_2"}}
	two := &response.Response{ID: "resp_2", Owner: mine, Previous: "resp_1", Created: at.Add(time.Second), Expires: at.Add(2 * time.Hour), Job: [16]byte{9}, Input: []byte(`[2]`), Object: []byte(`{"b":2}`), Items: []string{"msg_2"}}
	three := &response.Response{ID: "resp_3", Owner: test, Created: at, Expires: at.Add(time.Hour), Ended: true, Input: []byte(`[]`), Object: []byte(`{}`), Items: []string{"msg_1"}}
	for _, r := range []*response.Response{one, three} {
		if err := db.Responses().Put(ctx, r, nil, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Responses().Put(ctx, two, []string{"resp_1"}, 1000); err != nil {
		t.Fatal(err)
	}
	if err := db.Responses().Put(ctx, one, nil, 1000); err == nil {
		t.Error("a response can be put twice")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	s := db.Responses()
	one.Expires = two.Expires // who continues it keeps it
	same := func(what string, got, want *response.Response, err error) {
		t.Helper()
		if want != nil {
			w := *want
			w.Items = nil
			want = &w
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
	}
	get := func(what, id string, now time.Time, want *response.Response) {
		t.Helper()
		got, err := s.Get(ctx, id, now)
		same(what, got, want, err)
	}
	find := func(what string, o response.Owner, item string, want *response.Response) {
		t.Helper()
		got, err := s.Find(ctx, o, item, at)
		same(what, got, want, err)
	}
	get("after another start", "resp_1", at, one)
	get("the other", "resp_2", at, two)
	get("unknown", "resp_9", at, nil)
	get("when its time is over", "resp_3", three.Expires, nil)
	find("an item", mine, "msg_1", one)
	find("an item that two have", mine, "msg_2", two)
	find("an item of the test keys", test, "msg_1", three)
	find("an item of nobody's", response.Owner{Account: 8}, "msg_1", nil)

	chunks := []response.Chunk{{First: 0, Last: 4, Packed: []byte("abc")}, {First: 5, Last: 6, Packed: []byte("de")}}
	for _, u := range []response.Update{
		{Object: []byte(`{}`), Events: []response.Chunk{{First: 0, Last: 9, Packed: []byte("another attempt")}}},
		{Object: []byte(`{"b":22}`), Items: []string{"msg_9"}, Events: chunks, Ended: true},
		{Object: []byte(`{"b":22}`), Ended: true},
	} {
		if err := s.Update(ctx, "resp_2", u); err != nil {
			t.Fatal(err)
		}
	}
	two.Object, two.Ended = []byte(`{"b":22}`), true
	for after, want := range map[int64]*response.Chunk{-1: &chunks[0], 0: &chunks[0], 3: &chunks[0], 4: &chunks[1], 5: &chunks[1], 6: nil} {
		c, err := s.Events(ctx, "resp_2", after)
		if diff := cmp.Diff(want, c); err != nil || diff != "" {
			t.Errorf("events behind %d: %v\n%s", after, err, diff)
		}
	}
	for id, want := range map[string]string{"resp_2": "6 true <nil>", "resp_1": "0 false <nil>"} {
		last, ok, err := s.LastEvent(ctx, id)
		if got := fmt.Sprint(last, ok, err); got != want {
			t.Errorf("the last event of %s is %s", id, got)
		}
	}
	var bytes int
	if err := db.Read().QueryRow("SELECT bytes FROM responses WHERE id = 'resp_2'").Scan(&bytes); err != nil || bytes != len(`[2]`)+len(`{"b":22}`)+len("abcde") {
		t.Errorf("it counts %d bytes, %v", bytes, err)
	}
	get("updated", "resp_2", at, two)
	find("an item of the update", mine, "msg_9", two)
	if err := s.Update(ctx, "resp_9", response.Update{Object: []byte(`{}`), Items: []string{"msg_8"}, Events: chunks, Ended: true}); err != nil {
		t.Errorf("an update of nothing: %v", err)
	}
	if err := s.Purge(ctx, at.Add(time.Hour), 10); err != nil {
		t.Fatal(err)
	}
	get("purged", "resp_3", at, nil)
	get("continued", "resp_1", at, one)
	if err := s.Delete(ctx, "resp_1"); err != nil {
		t.Fatal(err)
	}
	get("deleted", "resp_1", at, nil)
	find("an item of the deleted", mine, "msg_1", nil)
	get("beside it", "resp_2", at, two)
	if err := s.Attempt(ctx, "resp_2"); err != nil {
		t.Fatal(err)
	}
	two.Attempts = 1
	get("attempted again", "resp_2", at, two)
	if c, err := s.Events(ctx, "resp_2", -1); c != nil || err != nil {
		t.Errorf("events of another attempt: %v, %v", c, err)
	}
	if err := s.Update(ctx, "resp_2", response.Update{Object: two.Object, Events: chunks, Ended: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "resp_2"); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Events(ctx, "resp_2", -1); c != nil || err != nil {
		t.Errorf("events of the deleted: %v, %v", c, err)
	}
}

// An owner who keeps more than he may loses his oldest responses, nobody else's,
// and never the newest.
func TestResponsesMakeRoom(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTemp(t)
	at := time.UnixMilli(1_790_000_000_000).UTC()
	s := db.Responses()
	put := func(id string, account int64, bytes int, n int) {
		t.Helper()
		r := &response.Response{ID: id, Created: at.Add(time.Duration(n) * time.Second), Expires: at.Add(time.Hour), Input: make([]byte, bytes)}
		r.Owner.Account = 1
		if account == 2 {
			r.Owner.Account = 2
		}
		if err := s.Put(ctx, r, nil, 100); err != nil {
			t.Fatal(err)
		}
	}
	put("other", 2, 100, 0)
	for n := range 4 {
		put(fmt.Sprint("r", n), 1, 40, n)
	}
	put("large", 1, 500, 9)
	for id, kept := range map[string]bool{"other": true, "r0": false, "r1": false, "r2": false, "r3": false, "large": true} {
		if r, err := s.Get(ctx, id, at); err != nil || (r != nil) != kept {
			t.Errorf("%s: %v, %v, want kept %v", id, r != nil, err, kept)
		}
	}
	put("r5", 1, 60, 10)
	put("r6", 1, 40, 11)
	for id, kept := range map[string]bool{"large": false, "r5": true, "r6": true} {
		if r, err := s.Get(ctx, id, at); err != nil || (r != nil) != kept {
			t.Errorf("%s: %v, %v, want kept %v", id, r != nil, err, kept)
		}
	}
}

// However small the old ones are, they make room for large ones.
func TestManySmallResponsesMakeRoom(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTemp(t)
	const most = 4 * crowded
	at := time.UnixMilli(1_790_000_000_000).UTC()
	put := func(n, bytes int) {
		t.Helper()
		r := &response.Response{
			ID: fmt.Sprint("r", n), Owner: response.Owner{Account: 1}, Created: at.Add(time.Duration(n) * time.Second), Expires: at.Add(time.Hour),
			Input: make([]byte, bytes),
		}
		if err := db.Responses().Put(ctx, r, nil, most); err != nil {
			t.Fatal(err)
		}
		var all int
		if err := db.Read().QueryRow("SELECT sum(bytes) FROM responses").Scan(&all); err != nil || all > most {
			t.Fatalf("%d bytes are kept, %v; want at most %d", all, err, most)
		}
	}
	for n := range most {
		put(n, 1)
	}
	put(most, 3*crowded)
	var kept int
	if err := db.Read().QueryRow("SELECT count(*) FROM responses").Scan(&kept); err != nil || kept != crowded+1 {
		t.Errorf("%d are kept, %v; want %d", kept, err, crowded+1)
	}
}
