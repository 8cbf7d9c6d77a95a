package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// notInside is what a backup does not hold.
const notInside = "the key pepper (pontage.db.pepper or PONTAGE_KEY_PEPPER), without which no key can be checked, and the configuration"

// saved is what a backup is found to hold.
type saved struct {
	File        string    `json:"file"`
	Entries     int64     `json:"entries"`
	LastSeq     int64     `json:"last_seq"`
	Schema      int64     `json:"schema"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256"`
	TakenAt     time.Time `json:"taken_at"`
	Verified    bool      `json:"verified"`
	NotVerified string    `json:"not_verified,omitempty"` // why
	NotInside   string    `json:"not_inside"`
}

// backup is one run of the command.
type backup struct {
	*remote
	db       string
	force    bool
	noVerify bool
}

func newBackupCommand(sys *system) *cobra.Command {
	b := &backup{}
	c := &cobra.Command{
		Use: "backup FILE", Short: "Write a consistent copy of the database", Args: cobra.ExactArgs(1),
		Long: `Write a copy of everything that is committed at this moment, of a running gateway
over its admin API, or with --db of a database file, whether or not a gateway
has it open. The file appears whole, synced, checked and verified, or not at all.

It does not hold ` + notInside + `.`,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := b.run(c.Context(), args[0])
			if err != nil {
				return err
			}
			return b.show(s, func() error {
				err := b.facts("file", s.File, "taken", whenever(&s.TakenAt), "entries", fmt.Sprint(s.Entries), "last entry", fmt.Sprint(s.LastSeq), "schema", fmt.Sprint(s.Schema),
					"bytes", fmt.Sprint(s.Bytes), "SHA-256", s.SHA256, "verified", first(yes(s.Verified, "yes"), "no: "+s.NotVerified), "not in it", s.NotInside)
				return err
			})
		},
	}
	b.remote = newRemote(sys, c)
	c.Flags().StringVar(&b.db, "db", "", "database `file` to copy in place of asking a gateway")
	c.Flags().BoolVar(&b.force, "force", false, "replace a file that is there")
	c.Flags().BoolVar(&b.noVerify, "no-verify", false, "do not recompute the balances of the copy")
	return c
}

func (b *backup) run(ctx context.Context, path string) (s *saved, err error) {
	if err := b.mayWrite(path); err != nil {
		return nil, err
	}
	// Beside the target, so that it can take its place in one step.
	dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-")
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tmp := filepath.Join(dir, "copy.db")
	s = &saved{File: path, NotInside: notInside}
	if b.db != "" {
		err = b.local(ctx, tmp, s)
	} else {
		err = b.fetch(ctx, tmp, s)
	}
	if err == nil {
		err = b.examine(ctx, tmp, s)
	}
	if err != nil {
		return nil, err
	}
	return s, put(tmp, path, b.force)
}

// mayWrite refuses a file that must not be replaced.
func (b *backup) mayWrite(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	switch {
	case err != nil:
		return fmt.Errorf("backup: %w", err)
	case !info.Mode().IsRegular():
		return usagef("backup: %s is not a file", path)
	case !b.force:
		return fmt.Errorf("backup: %s exists; --force replaces it", path)
	}
	if b.db != "" {
		if db, err := os.Stat(b.db); err == nil && os.SameFile(db, info) {
			return usagef("backup: %s is the database itself", path)
		}
	}
	busy, err := sqlite.InUse(path)
	if err == nil && busy {
		err = fmt.Errorf("%s is a database that a gateway has open", path)
	}
	return err
}

// local copies a database file.
func (b *backup) local(ctx context.Context, tmp string, s *saved) error {
	db, err := sqlite.OpenSource(ctx, b.db)
	if err != nil {
		return err
	}
	s.TakenAt = b.sys.now().UTC()
	held, err := db.Backup(ctx, tmp)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	s.Entries, s.Schema, s.Bytes = held.Entries, held.Schema, held.Bytes
	s.SHA256, err = digest(tmp)
	return err
}

// digest returns the SHA-256 of a file in hex.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, f.Close())
}

// fetch asks a gateway for a copy.
func (b *backup) fetch(ctx context.Context, tmp string, s *saved) error {
	api, err := b.admin()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	held, err := api.Backup(ctx, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	s.Entries, s.Schema, s.Bytes, s.SHA256, s.TakenAt = held.Entries, held.Schema, held.Bytes, held.SHA256, held.TakenAt
	return nil
}

// examine reads the copy back: it must be sound, hold what was said, and add up.
func (b *backup) examine(ctx context.Context, tmp string, s *saved) (err error) {
	db, err := sqlite.OpenSource(ctx, tmp)
	if err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Check(ctx); err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	if s.LastSeq, err = db.LastEntry(ctx); err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	if s.LastSeq != s.Entries {
		return fmt.Errorf("the copy ends with entry %d, and should with %d", s.LastSeq, s.Entries)
	}
	if b.noVerify {
		s.NotVerified = "--no-verify"
		return nil
	}
	current, err := sqlite.UpToDate(ctx, db)
	if err != nil {
		return err
	}
	if !current {
		s.NotVerified = "its schema is older than this program; restoring it brings the schema up to date and verifies it"
		return nil
	}
	if err := verified(ctx, db); err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	s.Verified = true
	return nil
}

// verified reports an error if a database does not add up.
func verified(ctx context.Context, db *sqlite.DB) error {
	rep, err := ledger.Verify(ctx, db.Journal())
	if err == nil && !rep.OK {
		err = fmt.Errorf("it does not add up, see pontage verify --db:\n%s", strings.Join(rep.Differences, "\n"))
	}
	return err
}

// put moves a file to where it belongs, for good.
func put(tmp, path string, force bool) error {
	// A link fails where somebody else was faster.
	if err := os.Link(tmp, path); err != nil {
		if errors.Is(err, fs.ErrExist) && !force {
			return fmt.Errorf("backup: %s exists; --force replaces it", path)
		}
		if err := os.Rename(tmp, path); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
