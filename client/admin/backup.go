package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Backup is what a gateway says of a copy of its database.
type Backup struct {
	Bytes   int64
	SHA256  string // of the file, in hex
	Entries int64  // that were ever made: the number of the newest one
	Schema  int64  // version
	TakenAt time.Time
}

// Backup writes a copy of the gateway's database to w: an SQLite file, which holds
// all that was committed when the copy was begun. What has come whole and
// unchanged is no error; after one, what was written to w is worth nothing. It
// takes as long as it takes: bound it by ctx.
func (c *Client) Backup(ctx context.Context, w io.Writer) (*Backup, error) {
	resp, err := c.long.Open(ctx, http.MethodGet, "backup")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b := &Backup{}
	h := resp.Header
	digest, ok := strings.CutPrefix(h.Get("Repr-Digest"), "sha-256=:")
	want, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(digest, ":"))
	if !ok || err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("backup: the answer has no digest that can be read: %q", h.Get("Repr-Digest"))
	}
	var errs [3]error
	b.Entries, errs[0] = strconv.ParseInt(h.Get("X-Backup-Entries"), 10, 64)
	b.Schema, errs[1] = strconv.ParseInt(h.Get("X-Backup-Schema"), 10, 64)
	b.TakenAt, errs[2] = time.Parse(time.RFC3339Nano, h.Get("X-Backup-At"))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("backup: unreadable answer: %w", err)
	}
	sum := sha256.New()
	if b.Bytes, err = io.Copy(io.MultiWriter(w, sum), resp.Body); err != nil {
		return nil, fmt.Errorf("backup: it broke off after %d bytes: %w", b.Bytes, err)
	}
	if got := sum.Sum(nil); string(got) != string(want) {
		return nil, fmt.Errorf("backup: %d bytes came, and not those that were sent: their SHA-256 is %x, not %x", b.Bytes, got, want)
	}
	b.SHA256 = hex.EncodeToString(want)
	return b, nil
}
