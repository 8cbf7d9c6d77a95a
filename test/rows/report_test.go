package rows

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/pontage/pontage/test/harness"
)

// The results of a row.
const (
	passed   = "passed"
	failed   = "failed"
	deferred = "deferred"
)

// line is what the report says of one row.
type line struct {
	ID       string         `json:"id"`
	Result   string         `json:"result"`
	Reason   string         `json:"reason"`
	Request  *shownRequest  `json:"request"`
	Response *shownResponse `json:"response"`
	Ledger   *ledgers       `json:"ledger"`
	More     []shown        `json:"more,omitempty"` // other ways to the same row
}

// shown is one exchange, as evidence.
type shown struct {
	Request  *shownRequest  `json:"request"`
	Response *shownResponse `json:"response"`
	Ledger   *ledgers       `json:"ledger"`
}

type shownRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body"` // JSON as it is, anything else as text
}

type shownResponse struct {
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Body     any               `json:"body"`
	Trailers map[string]string `json:"trailers,omitempty"`
}

// ledgers are an account's before and after an exchange.
type ledgers struct {
	Before *ledgerState `json:"before"`
	After  *ledgerState `json:"after"`
}

// ledgerState is what the admin API tells of an account's money.
type ledgerState struct {
	Account      string `json:"account"`
	BalanceUSD   string `json:"balance_usd"`
	HeldUSD      string `json:"held_usd"`
	AvailableUSD string `json:"available_usd"`
	Charges      int64  `json:"charges"` // how many
	ChargedUSD   string `json:"charged_usd"`
}

// report gathers the lines and writes them after each row, so that the file is
// there whatever happens to the test. A row that has not ended yet counts as
// failed.
type report struct {
	path string
	secrets

	mu    sync.Mutex
	order []string
	lines map[string]line
}

func newReport(t testing.TB, docs []document) *report {
	t.Helper()
	r := &report{path: filepath.Join(harness.Root(t), "build", "rows.jsonl"), lines: map[string]line{}}
	for _, d := range docs {
		for _, row := range d.Rows {
			r.order = append(r.order, row.ID)
			r.lines[row.ID] = line{ID: row.ID, Result: failed, Reason: "it did not run"}
		}
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		t.Fatal(err)
	}
	r.write(t)
	return r
}

// add takes the line of a row that has ended.
func (r *report) add(t testing.TB, l line) {
	t.Helper()
	r.mu.Lock()
	r.lines[l.ID] = l
	r.mu.Unlock()
	r.write(t)
}

// write replaces the file.
func (r *report) write(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, id := range r.order {
		if err := enc.Encode(r.lines[id]); err != nil {
			t.Errorf("report: %v", err)
		}
	}
	if leaked := r.leaked(b.String()); leaked != "" {
		t.Errorf("report: a key that starts with %s stands in it", leaked)
		return
	}
	if err := os.WriteFile(r.path+".new", b.Bytes(), 0o644); err != nil {
		t.Errorf("report: %v", err)
		return
	}
	if err := os.Rename(r.path+".new", r.path); err != nil {
		t.Errorf("report: %v", err)
	}
}

// counts returns how many rows ended how.
func (r *report) counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := map[string]int{}
	for _, l := range r.lines {
		n[l.Result]++
	}
	return n
}

// shownKey is how many characters of a key the report shows.
const shownKey = 12

// secrets are the keys that no report may hold.
type secrets struct {
	mu   sync.Mutex
	keys []string
}

func (s *secrets) hide(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

// leaked returns the beginning of a key that stands in text.
func (s *secrets) leaked(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if strings.Contains(text, k) {
			return k[:shownKey]
		}
	}
	return ""
}

var (
	bearer = regexp.MustCompile(`(?i)\b(bearer +\S{12})\S+`)
	alike  = regexp.MustCompile(`(?i)\b((?:sk-|nj_sk_)[\w-]+)`)
)

// redact cuts every key in text, and everything that looks like one.
func (s *secrets) redact(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		text = strings.ReplaceAll(text, k, k[:shownKey]+"…")
	}
	text = alike.ReplaceAllStringFunc(text, begin)
	return bearer.ReplaceAllString(text, "$1…")
}

// begin returns the beginning of a key.
func begin(key string) string {
	if len(key) <= shownKey {
		return key
	}
	return key[:shownKey] + "…"
}

func (s *secrets) headers(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		text := strings.Join(values, ", ")
		if name == "X-Api-Key" {
			text = begin(text)
		}
		out[name] = s.redact(text)
	}
	return out
}

// maxShown bounds the text of one body in the report, in bytes.
const maxShown = 16 << 10

// body shows JSON as JSON and anything else as text.
func (s *secrets) body(b []byte) any {
	text := s.redact(string(b))
	if len(text) <= maxShown && utf8.ValidString(text) && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return text
}

func TestSecretsAreCut(t *testing.T) {
	t.Parallel()
	var s secrets
	s.hide("sk-pontage-abcdefghijkl")
	got := s.redact("sk-pontage-abcdefghijkl nj_sk_0123456789 sk-short Bearer 0123456789abcdef")
	if want := "sk-pontage-a… nj_sk_012345… sk-short Bearer 0123456789ab…"; got != want || s.leaked(got) != "" {
		t.Errorf("%s, want %s", got, want)
	}
	if got := s.headers(http.Header{"X-Api-Key": {"0123456789abcdef"}})["X-Api-Key"]; got != "0123456789ab…" {
		t.Errorf("x-api-key: %s", got)
	}
	if s.leaked("x sk-pontage-abcdefghijkl") == "" {
		t.Error("a leak is not seen")
	}
}
