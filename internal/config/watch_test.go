package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watching starts a Watch of path and returns where its calls arrive.
func watching(t *testing.T, path string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- Watch(ctx, path, func() { calls <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch = %v", err)
		}
	})
	return calls
}

// until repeats a change, each time another one, until it is seen: the first may
// be made before the watch has begun.
func until(t *testing.T, calls <-chan struct{}, change func(n int)) {
	t.Helper()
	late := time.After(20 * time.Second)
	for n := 0; ; n++ {
		change(n)
		select {
		case <-calls:
			return
		case <-time.After(time.Second):
		case <-late:
			t.Fatal("no change was seen")
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(n int) string { return "# " + time.Duration(n).String() + "\n" }

func TestWatchSeesAFileWrittenInPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, "")
	calls := watching(t, path)
	until(t, calls, func(n int) { write(t, path, content(n)) })
}

func TestWatchSeesAFileRenamedOverIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, "")
	calls := watching(t, path)
	rename := func(n int) {
		write(t, path+"~", content(n))
		if err := os.Rename(path+"~", path); err != nil {
			t.Fatal(err)
		}
	}
	until(t, calls, rename)
	until(t, calls, func(n int) { rename(n + 1000) }) // and again: the watch is not of the file that is gone
}

// Kubernetes mounts c.yaml → ..data/c.yaml and swaps the link ..data.
func TestWatchSeesALinkSwapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := func(from, to string) {
		t.Helper()
		if err := os.Symlink(from, to); err != nil {
			t.Fatal(err)
		}
	}
	version := func(n int) string {
		name := "..v" + time.Duration(n).String()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "c.yaml"), content(n))
		return name
	}
	link(version(0), filepath.Join(dir, "..data"))
	path := filepath.Join(dir, "c.yaml")
	link(filepath.Join("..data", "c.yaml"), path)
	calls := watching(t, path)
	until(t, calls, func(n int) {
		link(version(n+1), filepath.Join(dir, "..tmp"))
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWatchSeesTheFileBehindALink(t *testing.T) {
	t.Parallel()
	target, path := filepath.Join(t.TempDir(), "real.yaml"), filepath.Join(t.TempDir(), "c.yaml")
	write(t, target, "")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	calls := watching(t, path)
	until(t, calls, func(n int) { write(t, target, content(n)) })
}

func TestWatchIsQuietAboutWhatIsNoChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "a: 1\n")
	calls := watching(t, path)
	until(t, calls, func(n int) { write(t, path, content(n)) })
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for len(calls) > 0 {
		<-calls
	}
	write(t, path, string(was))                   // the same again
	write(t, filepath.Join(dir, "other"), "else") // another file
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	select {
	case <-calls:
		t.Error("something was reported, and the content is the same")
	case <-time.After(5 * settle):
	}
	write(t, path, "b: 2\n")
	select {
	case <-calls:
	case <-time.After(20 * time.Second):
		t.Error("a change after that was not reported")
	}
}

func TestWatchNeedsAFolder(t *testing.T) {
	t.Parallel()
	if err := Watch(t.Context(), filepath.Join(t.TempDir(), "none", "c.yaml"), func() {}); err == nil {
		t.Error("Watch of a folder that is not there = nil")
	}
}
