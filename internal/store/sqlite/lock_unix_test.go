//go:build unix

package sqlite

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A child that was forked a moment ago has every file of its parent, and with
// them the lock, until it runs its program.
func TestALockEndsWithItsDatabaseThoughAChildHasTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pontage.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Dup(int(db.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
