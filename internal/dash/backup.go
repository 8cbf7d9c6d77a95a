package dash

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Copy is a copy of everything durable, in a file that is gone once it is closed.
type Copy struct {
	File    io.ReadCloser
	Bytes   int64
	SHA256  [32]byte
	Entries int64 // that were ever made: the number of the newest one
	Schema  int64 // version
	At      time.Time
}

// ErrBusy is wrapped by errors of [Deps].Backup while another backup is made or
// read.
var ErrBusy = errors.New("another backup is being made")

// ErrNoSpace is wrapped by errors of [Deps].Backup when there is no room for the
// copy.
var ErrNoSpace = errors.New("there is no room for the copy")

// Pace of the caller who reads a backup: so many bytes in that time, at least.
const (
	backupPortion  = 1 << 20
	backupPatience = time.Minute
)

// unhurried lets a call take longer than the server gives to a request: its
// deadline is that of reading, and would end the call's context.
func (c *call) unhurried() {
	// A writer that cannot do it has no deadline either.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
}

// backup answers with a copy of the database.
func (s *server) backup(c *call) error {
	if err := c.query().done(); err != nil {
		return err
	}
	c.unhurried()
	b, err := s.Backup(c.ctx())
	switch {
	case errors.Is(err, ErrBusy):
		f := fail(http.StatusConflict, codeConflict, "", "%s; wait for its end", ErrBusy)
		f.cause = err
		return f
	case errors.Is(err, ErrNoSpace):
		f := fail(http.StatusInsufficientStorage, codeNoSpace, "", "%s", err)
		f.cause = err
		return f
	case err != nil:
		return err
	}
	defer func() { _ = b.File.Close() }()
	h := c.w.Header()
	h.Set("Content-Type", "application/vnd.sqlite3")
	h.Set("Content-Length", strconv.FormatInt(b.Bytes, 10))
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", "pontage-"+b.At.UTC().Format("20060102T150405Z")+".db"))
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(b.SHA256[:])+":")
	h.Set("X-Backup-Entries", strconv.FormatInt(b.Entries, 10))
	h.Set("X-Backup-Schema", strconv.FormatInt(b.Schema, 10))
	h.Set("X-Backup-At", b.At.UTC().Format(time.RFC3339Nano))
	c.wrote = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	// Whoever reads too slowly, or has left, finds fewer bytes than were promised.
	control := http.NewResponseController(c.w)
	for {
		_ = control.SetWriteDeadline(time.Now().Add(backupPatience))
		switch _, err := io.CopyN(c.w, b.File, backupPortion); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("send the backup: %w", err)
		}
	}
}
