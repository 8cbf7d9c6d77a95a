package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/dash"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// backup makes a copy of the database beside it, for one caller at a time.
func (a *App) backup(ctx context.Context) (*dash.Copy, error) {
	if !a.copying.CompareAndSwap(false, true) {
		return nil, dash.ErrBusy
	}
	made, err := a.copyDatabase(ctx)
	if err != nil {
		a.copying.Store(false)
		if errors.Is(err, sqlite.ErrNoSpace) {
			err = fmt.Errorf("%w beside the database: %w", dash.ErrNoSpace, err)
		}
		return nil, err
	}
	return made, nil
}

func (a *App) copyDatabase(ctx context.Context) (*dash.Copy, error) {
	path := a.db.TempBackup()
	// Of a copy whose file could not be removed.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	c := &dash.Copy{At: a.clock.now()}
	held, err := a.db.Backup(ctx, path)
	if err != nil {
		return nil, err
	}
	c.Entries, c.Schema, c.Bytes = held.Entries, held.Schema, held.Bytes
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err == nil && n != c.Bytes {
		err = fmt.Errorf("%s has %d bytes, not %d", path, n, c.Bytes)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	sum.Sum(c.SHA256[:0])
	c.File = &copyFile{File: f, app: a}
	return c, nil
}

// copyFile is a copy that goes when it is closed.
type copyFile struct {
	*os.File
	app *App
}

// Close removes the copy, and makes room for the next.
func (c *copyFile) Close() error {
	defer c.app.copying.Store(false)
	return errors.Join(c.File.Close(), os.Remove(c.Name()))
}

// pepperEnv is the variable that holds the pepper, if no file shall.
const pepperEnv = "PONTAGE_KEY_PEPPER"

// pepper returns the secret that keys are hashed with: PONTAGE_KEY_PEPPER, or
// the content of a file beside the database, which is made together with the
// database. Without it no key can be checked, so it belongs in every backup. path
// is the database as it was named: a link may lead to it.
func pepper(ctx context.Context, db *sqlite.DB, path string) ([]byte, error) {
	b, err := readPepper(path)
	if !errors.Is(err, os.ErrNotExist) {
		return b, err
	}
	// Another one beside keys that were hashed already would be a trap.
	hashed, herr := db.HasPepper(ctx)
	if herr != nil {
		return nil, herr
	}
	if hashed {
		return nil, fmt.Errorf("the keys in %s were hashed with a pepper that is missing: put back the file %s.pepper, or set %s", path, path, pepperEnv)
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	b = []byte(hex.EncodeToString(raw))
	if err := keepNew(path+".pepper", b); err != nil {
		return nil, fmt.Errorf("key pepper: %w", err)
	}
	return b, nil
}

// readPepper returns the pepper that is there for a database.
func readPepper(db string) ([]byte, error) {
	if env := os.Getenv(pepperEnv); env != "" {
		return []byte(env), nil
	}
	path := db + ".pepper"
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key pepper: %w", err)
	}
	if len(b) < 32 {
		return nil, fmt.Errorf("key pepper %s: %d bytes, want at least 32", path, len(b))
	}
	return b, nil
}

// CheckPepper reports an error if the pepper that is there for the database at
// path is not the one that the keys of db were hashed with. It changes nothing.
func CheckPepper(ctx context.Context, db *sqlite.DB, path string) error {
	hashed, err := db.HasPepper(ctx)
	if err != nil || !hashed {
		return err
	}
	b, err := readPepper(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no key pepper here, and no key can be checked without the one that the keys were hashed with: put it into %s.pepper, or into %s (%w)", path, pepperEnv, os.ErrNotExist)
	}
	if err != nil {
		return err
	}
	return account.CheckPepper(ctx, db.Accounts(), b)
}

// keepNew writes a file whole or not at all, and so that it is on disk before
// anything that depends on it.
func keepNew(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new*") // nobody else may read it
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // where it was not renamed
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
