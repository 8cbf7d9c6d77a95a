package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/store/sqlite"
)

func TestARestoreComparesTheSum(t *testing.T) {
	t.Parallel()
	g := setup(t)
	dir := t.TempDir()
	file, target := filepath.Join(dir, "backup.db"), filepath.Join(dir, "pontage.db")
	g.well("backup", file, "--db", g.path)
	o := sqlite.Restoring{Source: file, Target: target, Now: time.Now(), Verify: verified}
	if _, err := restore(t.Context(), o, strings.Repeat("ab", 32)); err == nil || !strings.Contains(err.Error(), "--sha256") {
		t.Errorf("restore with another sum = %v", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a target: %v", err)
	}
	sum, err := digest(file)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := restore(t.Context(), o, strings.ToUpper(sum)); err != nil || r.SHA256 != sum || !r.Verified {
		t.Errorf("restore = %+v, %v", r, err)
	}
}
