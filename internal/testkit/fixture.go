package testkit

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxLine bounds a line of the index, in bytes.
const maxLine = 1 << 20

// Shared returns the folder of the shared test data. It skips or fails the test
// as the package's comment says.
func Shared(tb testing.TB) string {
	tb.Helper()
	dir, err := findShared(os.Getenv("PONTAGE_SHARED"))
	if err == nil {
		return dir
	}
	if os.Getenv("PONTAGE_REQUIRE_SHARED") == "1" {
		tb.Fatalf("PONTAGE_REQUIRE_SHARED=1: %v", err)
	}
	tb.Skipf("SKIPPED WITHOUT TESTING ANYTHING: %v (set PONTAGE_SHARED)", err)
	return ""
}

// findShared returns named if it is set, or else looks upwards.
func findShared(named string) (string, error) {
	if named != "" {
		if _, err := os.Stat(filepath.Join(named, "fixtures")); err != nil {
			return "", errors.New("PONTAGE_SHARED names no folder with fixtures: " + named)
		}
		return named, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		shared := filepath.Join(filepath.Dir(dir), "shared")
		if _, err := os.Stat(filepath.Join(shared, "fixtures")); err == nil {
			return shared, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no folder shared with fixtures above " + here)
		}
	}
}

// Entry is one line of the index of recordings.
type Entry struct {
	ID         string   `json:"id"`
	File       string   `json:"file"`
	Provider   string   `json:"provider"`
	API        string   `json:"api"` // openai.chat, anthropic.messages, …
	Model      string   `json:"model"`
	Status     int      `json:"status"`
	Kind       string   `json:"kind"` // json, sse, text, binary
	Bytes      int64    `json:"bytes"`
	Stream     bool     `json:"stream"`
	HasRequest bool     `json:"has_request"`
	Tags       []string `json:"tags"`
	Session    string   `json:"session"`
	Provenance string   `json:"provenance"` // "modelled" for faults that were made, not recorded
}

// Has reports whether the entry has the tag.
func (e Entry) Has(tag string) bool { return slices.Contains(e.Tags, tag) }

// Filter chooses entries. A zero field does not choose.
type Filter struct {
	API        string
	Provider   string
	Status     int
	Kind       string
	Tags       []string // all of them
	Without    []string // none of them
	Streamed   *bool
	HasRequest bool
	Recorded   bool // leave out what is modelled
}

func (f Filter) fits(e Entry) bool {
	for _, tag := range f.Tags {
		if !e.Has(tag) {
			return false
		}
	}
	for _, tag := range f.Without {
		if e.Has(tag) {
			return false
		}
	}
	return (f.API == "" || f.API == e.API) &&
		(f.Provider == "" || f.Provider == e.Provider) &&
		(f.Status == 0 || f.Status == e.Status) &&
		(f.Kind == "" || f.Kind == e.Kind) &&
		(f.Streamed == nil || *f.Streamed == e.Stream) &&
		(!f.HasRequest || e.HasRequest) &&
		(!f.Recorded || e.Provenance != "modelled")
}

// Corpus is the index of all recordings.
type Corpus struct {
	Dir     string // of the recordings
	Entries []Entry
}

// Fixtures reads the index of the recordings and of the modelled faults.
func Fixtures(tb testing.TB) *Corpus {
	tb.Helper()
	c := &Corpus{Dir: filepath.Join(Shared(tb), "fixtures")}
	for _, name := range [...]string{"index.ndjson", "index-modelled.ndjson"} {
		if err := c.read(filepath.Join(c.Dir, name)); err != nil {
			tb.Fatalf("read %s: %v", name, err)
		}
	}
	return c
}

func (c *Corpus) read(file string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(src))
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return err
		}
		c.Entries = append(c.Entries, e)
	}
	return lines.Err()
}

// Filter returns the entries that fit, in the order of the index.
func (c *Corpus) Filter(f Filter) []Entry {
	var out []Entry
	for _, e := range c.Entries {
		if f.fits(e) {
			out = append(out, e)
		}
	}
	return out
}

// Fixture is one recorded interaction.
type Fixture struct {
	ID       string           `json:"id"`
	Provider string           `json:"provider"`
	API      string           `json:"api"`
	Model    string           `json:"model"`
	Tags     []string         `json:"tags"`
	Session  string           `json:"session"`
	Request  *RecordedRequest `json:"request"` // nil: only the response was kept
	Response RecordedResponse `json:"response"`
	Notes    jsontext.Value   `json:"notes"`

	File string `json:"-"` // where it was read from
}

// Recorded reads all recordings of one API, without what is modelled. It fails
// the test if there are none.
func Recorded(tb testing.TB, api string) []*Fixture {
	tb.Helper()
	c := Fixtures(tb)
	var out []*Fixture
	for _, e := range c.Filter(Filter{API: api, Recorded: true}) {
		out = append(out, c.Load(tb, e))
	}
	if len(out) == 0 {
		tb.Fatalf("there is no recording of %s", api)
	}
	return out
}

// Has reports whether the recording has the tag.
func (f *Fixture) Has(tag string) bool { return slices.Contains(f.Tags, tag) }

// Body returns the request's JSON body, compact, or nil if it has none.
func (f *Fixture) Body() []byte {
	if f.Request == nil || f.Request.JSON == nil || f.Request.JSON.Kind() == 'n' {
		return nil
	}
	body := f.Request.JSON.Clone()
	if body.Compact() != nil {
		return nil
	}
	return body
}

// RecordedRequest is what the client sent.
type RecordedRequest struct {
	Method  string            `json:"method"`
	Scheme  string            `json:"scheme"`
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Query   string            `json:"query"`
	Headers map[string]string `json:"headers"`
	Auth    []string          `json:"auth"`
	JSON    jsontext.Value    `json:"json"` // nil: a multipart body, or none

	Multipart []RecordedPart `json:"multipart"`
}

// RecordedPart is a part of a form: a setting, or what is known of a file, whose
// bytes were not kept.
type RecordedPart struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Filename string `json:"filename"` // empty: a setting
	Bytes    int    `json:"bytes"`    // of the file
}

// RecordedResponse is what the provider answered, decoded and not chunked.
type RecordedResponse struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Kind       string            `json:"kind"`
	Text       string            `json:"body"`
	BodyBase64 []byte            `json:"body_base64"`
}

// Body returns the bytes of the body.
func (r RecordedResponse) Body() []byte {
	if r.BodyBase64 != nil {
		return r.BodyBase64
	}
	return []byte(r.Text)
}

// Header returns the headers, without those that describe how the body was
// sent.
func (r RecordedResponse) Header() http.Header {
	h := http.Header{}
	for name, value := range r.Headers {
		switch strings.ToLower(name) {
		case "content-length", "content-encoding", "transfer-encoding", "connection":
		default:
			h.Set(name, value)
		}
	}
	return h
}

// Path returns the file of an entry.
func (c *Corpus) Path(e Entry) string { return filepath.Join(c.Dir, filepath.FromSlash(e.File)) }

// Load reads the recording of an entry.
func (c *Corpus) Load(tb testing.TB, e Entry) *Fixture {
	tb.Helper()
	return ReadFixture(tb, c.Path(e))
}

// ReadFixture reads one recording.
func ReadFixture(tb testing.TB, file string) *Fixture {
	tb.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		tb.Fatalf("read recording: %v", err)
	}
	f := &Fixture{File: file}
	// Members that are not listed above are for people.
	if err := json.Unmarshal(src, f); err != nil {
		tb.Fatalf("read recording %s: %v", file, err)
	}
	return f
}
