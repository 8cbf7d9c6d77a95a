package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// BenchmarkSettleDuringABackup measures how long 20 callers wait for their
// charges while a file of 256 MiB is backed up again and again, and while it is
// not.
func BenchmarkSettleDuringABackup(b *testing.B) {
	db, err := Open(b.Context(), filepath.Join(b.TempDir(), "pontage.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	e, err := ledger.Open(b.Context(), db.Journal(), ledger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if _, err := e.Credit(b.Context(), ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar}); err != nil {
		b.Fatal(err)
	}
	err = db.Update(b.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE ballast (b BLOB);
			WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 65536) INSERT INTO ballast SELECT randomblob(4000) FROM n`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	s := &spending{db: db, e: e}
	for _, backup := range []bool{false, true} {
		b.Run(map[bool]string{false: "without", true: "with"}[backup], func(b *testing.B) { s.measure(b, backup) })
	}
}

func (s *spending) measure(b *testing.B, backup bool) {
	ctx, cancel := context.WithCancel(b.Context())
	var copies sync.WaitGroup
	made, took := 0, time.Duration(0)
	if backup {
		dir := b.TempDir()
		copies.Go(func() {
			for begun := time.Now(); ; begun = time.Now() {
				path := filepath.Join(dir, "copy.db")
				if _, err := s.db.Backup(ctx, path); err != nil {
					return
				}
				made, took = made+1, took+time.Since(begun)
				_ = removeAll(path)
			}
		})
	}
	var mu sync.Mutex
	var all []time.Duration
	var callers sync.WaitGroup
	b.ResetTimer()
	for range 20 {
		callers.Go(func() {
			for range max(1, b.N/20) {
				d, err := s.spend(b.Context())
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				all = append(all, d)
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	callers.Wait()
	b.StopTimer()
	cancel()
	copies.Wait()
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(all[len(all)/2]), "p50-ms")
	b.ReportMetric(ms(all[len(all)*99/100]), "p99-ms")
	b.ReportMetric(ms(all[len(all)-1]), "max-ms")
	if made > 0 {
		b.ReportMetric(took.Seconds()/float64(made), "s/backup")
	}
}
