package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/internal/app"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// restored is what a restore did.
type restored struct {
	Database string   `json:"database"`
	Entries  int64    `json:"entries"`
	LastSeq  int64    `json:"last_seq"`
	Was      int64    `json:"schema_of_backup"`
	Schema   int64    `json:"schema"`
	Epoch    int64    `json:"epoch"`
	SHA256   string   `json:"sha256"` // of the backup
	Verified bool     `json:"verified"`
	Aside    string   `json:"moved_aside,omitempty"`
	Warnings []string `json:"warnings"`
	Not      string   `json:"not_inside"`
}

func newRestoreCommand(sys *system) *cobra.Command {
	r := &remote{sys: sys}
	var db, sum string
	var force, noVerify bool
	c := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup in the place of a database", Args: cobra.ExactArgs(1),
		Long: `Check a backup, bring its schema up to date, verify it, and put it in the place of
a database that no gateway has open. The database appears whole or not at all. One that
is there is moved aside with --force, and never deleted.

A backup does not hold ` + notInside + `.`,
		RunE: func(c *cobra.Command, args []string) error {
			o := sqlite.Restoring{Source: args[0], Target: db, Force: force, Now: sys.now()}
			if !noVerify {
				o.Verify = verified
			}
			out, err := restore(c.Context(), o, sum)
			if err != nil {
				return err
			}
			return r.show(out, func() error {
				err := r.facts("database", out.Database, "entries", fmt.Sprint(out.Entries), "last entry", fmt.Sprint(out.LastSeq),
					"schema", fmt.Sprintf("%d, in the backup %d", out.Schema, out.Was), "epoch", fmt.Sprint(out.Epoch), "SHA-256 of the backup", out.SHA256,
					"verified", first(yes(out.Verified, "yes"), "no"), "moved aside", out.Aside, "not in it", out.Not)
				for _, w := range out.Warnings {
					fmt.Fprintln(sys.err, "warning: "+printable(w))
				}
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&db, "db", "data/pontage.db", "database `file` to put in place")
	f.BoolVar(&force, "force", false, "move a database that is there aside")
	f.StringVar(&sum, "sha256", "", "the `hex` that backup printed: refuse a file that has another")
	f.BoolVar(&noVerify, "no-verify", false, "do not recompute the balances of the backup")
	f.BoolVar(&r.json, "json", false, "print JSON")
	return c
}

// restore restores a backup. want is its SHA-256 in hex; empty: it is not known.
func restore(ctx context.Context, o sqlite.Restoring, want string) (*restored, error) {
	sum, err := digest(o.Source)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if want != "" && !strings.EqualFold(want, sum) {
		return nil, fmt.Errorf("restore: --sha256: %s has %s", o.Source, sum)
	}
	got, err := sqlite.Restore(ctx, o)
	if err != nil {
		return nil, err
	}
	out := &restored{
		Database: o.Target, Entries: got.Entries, LastSeq: got.Entries, Was: got.Was, Schema: got.Schema, Epoch: got.Epoch,
		SHA256: sum, Verified: o.Verify != nil, Aside: got.Aside, Not: notInside, Warnings: []string{},
	}
	if got.Unfenced != nil {
		out.Warnings = append(out.Warnings, "the database that was there could not be read, so a process that still has it open would not notice: "+got.Unfenced.Error())
	}
	if err := checkPepper(ctx, o.Target); err != nil {
		out.Warnings = append(out.Warnings, err.Error())
	}
	return out, nil
}

// checkPepper reports an error if the pepper at a database does not fit it.
func checkPepper(ctx context.Context, path string) error {
	db, err := sqlite.OpenReadOnly(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(app.CheckPepper(ctx, db, path), db.Close())
}

func newMigrateCommand(sys *system) *cobra.Command {
	r := &remote{sys: sys}
	var config, path string
	c := &cobra.Command{
		Use: "migrate", Short: "Bring the schema of a database up to date", Args: cobra.NoArgs,
		Long: `Bring the schema of a database up to date, which starting a gateway on it does, too.
It cannot be undone: make a backup first. No gateway may have the database open.
The database of a configuration is made if there is none; one named with --db must be there.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if path == "" {
				conf, err := loadConfig(config)
				if err != nil {
					return err
				}
				abs, err := filepath.Abs(config)
				if err != nil {
					return err
				}
				if path, err = app.StorePath(conf.Store.URL, filepath.Dir(abs)); err != nil {
					return err
				}
			} else if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("there is no database %s", path)
			}
			was, is, err := migrate(c.Context(), path)
			if err != nil {
				return err
			}
			v := struct {
				Database string `json:"database"`
				From     int64  `json:"from"` // 0: it was made
				To       int64  `json:"to"`
			}{path, was, is}
			return r.show(v, func() error {
				text := "%s: the schema was brought from version %d to %d\n"
				switch was {
				case is:
					text = "%s: the schema is up to date, at version %[3]d\n"
				case 0:
					text = "%s: was made, with schema version %[3]d\n"
				}
				_, err := fmt.Fprintf(sys.out, text, path, was, is)
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "pontage.yaml", "configuration `file` that names the database")
	f.StringVar(&path, "db", "", "database `file`, in place of that of a configuration")
	f.BoolVar(&r.json, "json", false, "print JSON")
	return c
}

func migrate(ctx context.Context, path string) (was, is int64, err error) {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return 0, 0, err
	}
	was, is = db.Schema()
	return was, is, db.Close()
}
