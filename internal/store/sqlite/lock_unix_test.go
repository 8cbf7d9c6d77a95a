//go:build unix

package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
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

// A lock whose file was removed while somebody waited for it keeps nobody away.
func TestALockIsThatOfTheFileThatIsThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	const rounds, crowd = 200, 4
	var holders atomic.Int32
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() {
			for range rounds {
				f, err := lockFile(path)
				if errors.Is(err, ErrInUse) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				runtime.Gosched()
				holders.Add(-1)
				if err := errors.Join(os.Remove(path), unlockFile(f)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// The same holds for the lock of who only looks, and of a restore.
func TestALockThatIsGivenUpIsFreeThoughChildrenAreForked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pontage.db")
	write(t, path+".lock", nil)
	var stop atomic.Bool
	var children sync.WaitGroup
	for range 4 {
		children.Go(func() {
			for !stop.Load() {
				if err := exec.Command("true").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 500 {
		if used, err := InUse(path); err != nil || used {
			t.Errorf("InUse = %t, %v", used, err)
			break
		}
		if _, err := Restore(t.Context(), Restoring{Source: path + "-none", Target: path}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Restore of nothing = %v", err)
			break
		}
	}
	stop.Store(true)
	children.Wait()
}
