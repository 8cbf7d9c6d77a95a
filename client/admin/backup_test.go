package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// What has not come whole and unchanged is an error.
func TestABackupComesWholeOrIsAnError(t *testing.T) {
	t.Parallel()
	const text = "a whole database"
	sum := sha256.Sum256([]byte(text))
	for name, c := range map[string]struct {
		change func(h http.Header)
		body   string
		says   string // empty: it is well
	}{
		"whole":          {body: text},
		"cut off":        {body: text[:5], says: "broke off after 5 bytes"},
		"changed":        {body: "A whole database", says: "not those that were sent"},
		"without digest": {change: func(h http.Header) { h.Del("Repr-Digest") }, body: text, says: "no digest"},
		"another digest": {change: func(h http.Header) { h.Set("Repr-Digest", "sha-256=:YQ==:") }, body: text, says: "no digest"},
		"without number": {change: func(h http.Header) { h.Del("X-Backup-Entries") }, body: text, says: "unreadable answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/admin/v1/backup" || r.Header.Get("Authorization") != "Bearer t" {
					t.Errorf("%s with %q", r.URL.Path, r.Header.Get("Authorization"))
				}
				h := w.Header()
				h.Set("Content-Length", strconv.Itoa(len(text)))
				h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
				h.Set("X-Backup-Entries", "7")
				h.Set("X-Backup-Schema", "5")
				h.Set("X-Backup-At", "2026-11-20T01:02:03.5Z")
				if c.change != nil {
					c.change(h)
				}
				_, _ = io.WriteString(w, c.body)
			}))
			defer s.Close()
			api, err := New(Options{BaseURL: s.URL, Token: "t", HTTPClient: s.Client()})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			b, err := api.Backup(t.Context(), &got)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Backup = %v, want an error that says %q", err, c.says)
				}
				return
			}
			if err != nil || got.String() != text || b.Bytes != int64(len(text)) || b.Entries != 7 || b.Schema != 5 || b.TakenAt.Nanosecond() != 5e8 || b.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("Backup = %+v, %v", b, err)
			}
		})
	}
}
