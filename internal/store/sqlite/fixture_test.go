package sqlite

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
)

// unpack puts a database of an earlier version at path.
func unpack(t *testing.T, fixture, path string) {
	t.Helper()
	f, err := os.Open(fixture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, b)
}

// Databases of every earlier version are brought up to date with all that is in
// them. What only reads them says what to do. test/parts starts the program on
// them.
func TestDatabasesOfEarlierVersionsAreBroughtUpToDate(t *testing.T) {
	t.Parallel()
	fixtures, err := filepath.Glob("testdata/schema-*.db.gz")
	if err != nil || len(fixtures) < 3 {
		t.Fatal(fixtures, err)
	}
	for _, fixture := range fixtures {
		t.Run(filepath.Base(fixture), func(t *testing.T) {
			t.Parallel()
			var want struct{ Entries int64 }
			if b, err := os.ReadFile(strings.Replace(fixture, ".db.gz", ".json", 1)); err != nil || json.Unmarshal(b, &want) != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "pontage.db")
			unpack(t, fixture, path)
			source, err := OpenSource(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			was, _ := source.Schema()
			current, err := UpToDate(t.Context(), source)
			if err = errors.Join(err, source.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenReadOnly(t.Context(), path); !current && (!errors.Is(err, ErrOlder) || !strings.Contains(err.Error(), "pontage migrate")) {
				t.Errorf("OpenReadOnly = %v, want ErrOlder that says what to do", err)
			}
			for range 2 {
				db, err := Open(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				from, to := db.Schema()
				if from != was || to < from {
					t.Errorf("the schema was %d, and is said to have been %d, to be %d", was, from, to)
				}
				was = to
				e, err := ledger.Open(t.Context(), db.Journal(), ledger.Options{})
				if err != nil {
					t.Fatal(err)
				}
				rep, err := e.Verify(t.Context())
				if err = errors.Join(err, e.Close(), db.Close()); err != nil || !rep.OK || rep.Entries != want.Entries {
					t.Errorf("%v, %+v, want %d entries", err, rep, want.Entries)
				}
			}
		})
	}
}
