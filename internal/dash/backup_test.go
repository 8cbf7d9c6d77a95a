package dash

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// copied makes copies of n bytes of text, which may be more than there are.
func (w *world) copied(text string, n int64) func() (*Copy, error) {
	return func() (*Copy, error) {
		return &Copy{File: io.NopCloser(strings.NewReader(text)), Bytes: n, SHA256: sha256.Sum256([]byte(text)), Entries: 7, Schema: 5, At: w.time()}, nil
	}
}

// failing makes copies that fail.
func (w *world) failing(err error) func() (*Copy, error) {
	return func() (*Copy, error) { return nil, fmt.Errorf("%w here", err) }
}

// closing counts how often a copy was closed.
type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func TestABackupSaysWhatItIs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	text := strings.Repeat("pages", 500_000)
	f := &closing{}
	w.backup = func() (*Copy, error) {
		c, err := w.copied(text, int64(len(text)))()
		f.Reader, c.File = c.File, f
		return c, err
	}
	for n, method := range []string{"GET", "HEAD"} {
		got := w.do(method, "/admin/v1/backup", "").must(200)
		for name, want := range map[string]string{
			"Content-Length": "2500000", "Content-Type": "application/vnd.sqlite3", "Content-Disposition": `attachment; filename="pontage-20261120T120000Z.db"`,
			"X-Backup-Entries": "7", "X-Backup-Schema": "5", "X-Backup-At": "2026-11-20T12:00:00Z", "Cache-Control": "no-store",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got.header.Get(name), want)
			}
		}
		if method == "GET" && string(got.body) != text {
			t.Errorf("%d bytes came", len(got.body))
		}
		if f.closed != n+1 {
			t.Errorf("%s: it was closed %d times", method, f.closed)
		}
	}
	w.do("GET", "/admin/v1/backup?x=1", "").failed(400, "unknown_parameter", "x")
}

func TestABackupThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.backup = w.failing(ErrBusy)
	w.do("GET", "/admin/v1/backup", "").failed(409, "conflict", "")
	w.backup = w.failing(ErrNoSpace)
	if got := w.do("GET", "/admin/v1/backup", ""); got.status != 507 || got.at("error.message") != "there is no room for the copy here" {
		t.Errorf("no room: %d %s", got.status, got.body)
	}
	w.backup = w.failing(errors.New("secret path"))
	if got := w.do("GET", "/admin/v1/backup", ""); got.status != 500 || strings.Contains(string(got.body), "secret") {
		t.Errorf("another error: %d %s", got.status, got.body)
	}
	bare := setup(t, func(d *Deps) { d.Backup = nil })
	bare.do("GET", "/admin/v1/backup", "").failed(404, "not_found", "")
}
