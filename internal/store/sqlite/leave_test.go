package sqlite

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/job"
)

// A caller who leaves in the middle of it leaves no transaction behind, neither
// where others write nor where they read.
func TestACallerWhoLeavesLeavesNoTransactionBehind(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, err := Open(ctx, filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := db.Jobs()
	j := &job.Job{ID: job.ID{1}, Model: "m", Created: time.Now(), Items: []job.Item{{Name: "0", Request: [16]byte{1}, Body: []byte("{}"), Pinned: []byte("{}")}}}
	if err := s.Put(ctx, j); err != nil {
		t.Fatal(err)
	}
	for n := range uint32(1000) {
		some, leave := context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(time.Millisecond))))
		many := &job.Job{ID: job.ID{9, byte(n), byte(n >> 8)}, Created: time.Now()}
		for i := range byte(20) {
			many.Items = append(many.Items, job.Item{Request: [16]byte{9, byte(n), byte(n >> 8), i}, Body: []byte("{}"), Pinned: []byte("{}")})
		}
		_ = s.Put(some, many)
		leave()
		if err := s.Cancel(ctx, j.ID, time.Now()); err != nil {
			t.Fatalf("after somebody left: %v", err)
		}
	}
	for range 1000 {
		some, leave := context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(300*time.Microsecond))))
		_, _ = s.Get(some, j.ID)
		leave()
		if got, err := s.Get(ctx, j.ID); err != nil || got == nil {
			t.Fatalf("after a reader left: %v", err)
		}
	}
	late := &job.Job{ID: job.ID{2}, Model: "m", Created: time.Now()}
	if err := s.Put(ctx, late); err != nil {
		t.Fatal(err)
	}
	for range 4 * readers {
		if got, err := s.Get(ctx, late.ID); err != nil || got == nil {
			t.Fatalf("a reader sees what was: %v, %v", got, err)
		}
	}
}
