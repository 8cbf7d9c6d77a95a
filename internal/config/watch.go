package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Times of [Watch].
const (
	settle = 100 * time.Millisecond // quiet after which a change is believed to be whole
	most   = time.Second            // to wait for quiet, in a folder where something always happens
	poll   = 10 * time.Second       // for file systems that report nothing
)

// Watch calls changed, from its own goroutine and never twice at once, whenever
// the content of the file at path has become another. It returns nil when ctx
// ends, and an error if it cannot watch at all.
//
// It watches folders, not the file, so it survives editors that write a new file
// and rename it, and links that are swapped, as Kubernetes does. A file that is
// gone or cannot be read is no change.
func Watch(ctx context.Context, path string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer func() { _ = w.Close() }() // nothing is lost by it
	if err := w.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	follow(w, path)
	last := fingerprint(path)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	var since time.Time // the first event that was not looked into; zero: none
	soon := func() {
		if since.IsZero() {
			since = time.Now()
		}
		quiet.Reset(min(settle, max(0, most-time.Since(since))))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
			soon()
		case <-w.Errors: // an overflow: look for ourselves
			soon()
		case <-tick.C:
			soon()
		case <-quiet.C:
			since = time.Time{}
			follow(w, path)
			if now := fingerprint(path); now != last && now != (mark32{}) {
				last = now
				changed()
			}
		}
	}
}

// follow watches the folder of the file that path leads to, where that is
// another one. Watching a folder twice is watching it once.
func follow(w *fsnotify.Watcher, path string) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.Dir(real) == filepath.Dir(path) {
		return
	}
	_ = w.Add(filepath.Dir(real)) // polling stands in for it
}

type mark32 [sha256.Size]byte

// fingerprint is of a file's content; zero: it cannot be read.
func fingerprint(path string) mark32 {
	src, err := ReadFile(path)
	if err != nil {
		return mark32{}
	}
	return sha256.Sum256(src)
}
