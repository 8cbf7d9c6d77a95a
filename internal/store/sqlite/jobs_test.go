package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/job"
)

func TestJobs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_790_000_000_000).UTC()
	one := &job.Job{
		ID: job.ID{1}, Account: 7, Key: 8, Test: true, Site: "s", Surface: "jobs", Model: "m/x", Created: at,
		Items: []job.Item{{Name: "b", Request: [16]byte{2}, Body: []byte(`{"prompt":"hi"}`), Pinned: []byte("{}")}, {Name: "a", Request: [16]byte{1}, Body: []byte("{}"), Pinned: []byte("[]")}},
	}
	two := &job.Job{ID: job.ID{2}, Account: 7, Key: 8, Created: at, Items: []job.Item{{Name: "0", Request: [16]byte{3}, Body: []byte("b"), Pinned: []byte("p")}}}
	for _, j := range []*job.Job{two, one} {
		if err := db.Jobs().Put(ctx, j); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Jobs().Put(ctx, one); err == nil {
		t.Error("a job can be put twice")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	s := db.Jobs()
	want := func(what string, id job.ID, want *job.Job) {
		t.Helper()
		got, err := s.Get(ctx, id)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
	}
	want("after another start", one.ID, one)
	want("unknown", job.ID{9}, nil)
	open, err := s.Open(ctx)
	if diff := cmp.Diff([]*job.Job{one, two}, open); err != nil || diff != "" {
		t.Errorf("open: %v\n%s", err, diff)
	}
	for i := range 2 { // the second time changes nothing
		later := at.Add(time.Duration(i+1) * time.Hour)
		if err := s.Cancel(ctx, one.ID, later); err != nil {
			t.Fatal(err)
		}
		if err := s.End(ctx, one.ID, later); err != nil {
			t.Fatal(err)
		}
	}
	one.Cancelled, one.Ended = at.Add(time.Hour), at.Add(time.Hour)
	want("ended", one.ID, one)
	if open, err = s.Open(ctx); err != nil || len(open) != 1 || open[0].ID != two.ID {
		t.Errorf("open: %v, %v", open, err)
	}
	if err := s.Purge(ctx, one.Ended, 10); err != nil {
		t.Fatal(err)
	}
	want("not old enough", one.ID, one)
	if err := s.Purge(ctx, one.Ended.Add(time.Millisecond), 10); err != nil {
		t.Fatal(err)
	}
	want("purged", one.ID, nil)
	want("still open", two.ID, two)
	if err := s.Delete(ctx, two.ID); err != nil {
		t.Fatal(err)
	}
	want("deleted", two.ID, nil)
	var left int
	if err := db.Read().QueryRowContext(ctx, "SELECT count(*) FROM job_items").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d items are left, %v", left, err)
	}
}
