package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrExists is wrapped by [Restore] when the target is there and was not to be
// moved aside.
var ErrExists = errors.New("the database exists already")

// Restoring says how a backup is put in place.
type Restoring struct {
	Source string // the backup
	Target string // the database
	Force  bool   // move a database that is there aside
	Now    time.Time
	// Verify looks at what is about to be put in place, opened for reading; nil:
	// only its structure is checked.
	Verify func(context.Context, *DB) error
}

// Restored tells what was put in place.
type Restored struct {
	Copy
	Was      int64  // version of the backup's schema, which was brought up to date
	Epoch    int64  // of the journal: higher than any in the backup and the database that was moved
	Aside    string // where the database that was there is now; empty: there was none
	Unfenced error  // why the database that was there could not be marked as taken over; nil: it was
}

// Restore puts a copy of the backup in the place of the target, after it has
// checked it and brought its schema up to date. The target appears at once and
// whole, or not at all: until then a database that is there stays as it is. Nothing
// is ever deleted. It fails if a process has the target open ([ErrInUse]).
//
// A process that has the database open all the same, because locks do not reach
// it, is fenced: what was moved aside takes no more charges from it.
func Restore(ctx context.Context, o Restoring) (r Restored, err error) {
	target := resolve(o.Target)
	fail := func(err error) (Restored, error) {
		return Restored{}, fmt.Errorf("restore %s: %w", target, err)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return fail(err)
	}
	_, seen := os.Lstat(target + ".lock")
	lock, err := lockFile(target + ".lock")
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil && errors.Is(seen, fs.ErrNotExist) {
			_ = os.Remove(lock.Name()) // what did not come about leaves nothing behind; while it is held, see lockFile
		}
		err = errors.Join(err, unlockFile(lock))
	}()
	old, err := present(target)
	if err != nil {
		return fail(err)
	}
	if old && !o.Force {
		return fail(fmt.Errorf("%w; --force moves it aside", ErrExists))
	}
	tmp := target + restoreTemp
	if err := removeAll(tmp); err != nil { // of a restore that died
		return fail(err)
	}
	if r, err = prepare(ctx, o, tmp); err != nil {
		return fail(errors.Join(err, removeAll(tmp)))
	}
	if old {
		var epoch int64
		if epoch, r.Unfenced = fence(ctx, target); r.Unfenced == nil {
			r.Epoch = max(r.Epoch, epoch)
		}
		r.Aside = free(target + "." + o.Now.UTC().Format("20060102T150405Z"))
	}
	r.Epoch++
	if err := setEpoch(ctx, tmp, r.Epoch); err != nil {
		return fail(errors.Join(err, removeAll(tmp)))
	}
	if err := swap(tmp, target, r.Aside); err != nil {
		return fail(errors.Join(err, removeAll(tmp)))
	}
	return r, nil
}

// present reports whether there is anything of a database at path.
func present(path string) (bool, error) {
	for _, suffix := range []string{"", "-wal"} {
		switch _, err := os.Lstat(path + suffix); {
		case err == nil:
			return true, nil
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return false, nil
}

// prepare makes tmp what the target is to become, but for its epoch.
func prepare(ctx context.Context, o Restoring, tmp string) (r Restored, err error) {
	if err := whole(o.Source); err != nil {
		return r, err
	}
	source, err := OpenSource(ctx, o.Source)
	if err != nil {
		return r, err
	}
	r.Copy, err = source.Backup(ctx, tmp)
	if err = errors.Join(err, source.Close()); err != nil {
		return r, err
	}
	if err := examine(ctx, tmp, OpenSource, (*DB).Check); err != nil {
		return r, err
	}
	db, err := Open(ctx, tmp) // which brings the schema up to date
	if err != nil {
		return r, err
	}
	r.Was, r.Schema = db.Schema()
	err = db.read.QueryRowContext(ctx, "SELECT epoch FROM ledger_mark WHERE id = 1").Scan(&r.Epoch)
	if err = errors.Join(err, db.Close()); err != nil {
		return r, err
	}
	if o.Verify == nil {
		return r, nil
	}
	return r, examine(ctx, tmp, OpenReadOnly, func(db *DB, ctx context.Context) error { return o.Verify(ctx, db) })
}

// whole makes sure that a file is as long as its header says: SQLite does not
// miss a page that nothing points to, nor mind what follows the last one. A file
// with a log beside it has its newest header there.
func whole(path string) (err error) {
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 100)
	if _, err := io.ReadFull(f, head); err != nil || !bytes.HasPrefix(head, magic) {
		return ignoreEOF(err) // what it is instead is said by whoever opens it
	}
	if !bytes.Equal(head[24:28], head[92:96]) {
		return nil // a very old SQLite wrote it, and left the number of pages out
	}
	pages := int64(binary.BigEndian.Uint32(head[28:]))
	size := int64(binary.BigEndian.Uint16(head[16:]))
	if size == 1 {
		size = 1 << 16
	}
	if want := size * pages; pages > 0 && info.Size() != want {
		return fmt.Errorf("%s is damaged: it has %d bytes, and its header says %d", path, info.Size(), want)
	}
	return nil
}

// examine opens a file for a look.
func examine(ctx context.Context, path string, open func(context.Context, string) (*DB, error), look func(*DB, context.Context) error) error {
	db, err := open(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(look(db, ctx), db.Close())
}

// fence moves the epoch of a database on, so that a process that believes to own
// it fails at its next batch, and returns it. Its log is moved into it, too.
func fence(ctx context.Context, path string) (epoch int64, err error) {
	if _, err := identify(ctx, path); err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", fileURL(path, fmt.Sprintf("_pragma=synchronous(FULL)&_pragma=busy_timeout(%d)", busyTimeout.Milliseconds())))
	if err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, "UPDATE ledger_mark SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch").Scan(&epoch)
	return epoch, errors.Join(err, db.Close())
}

// setEpoch sets the epoch of a database that nobody has open, and leaves it
// synced and without a log.
func setEpoch(ctx context.Context, path string, epoch int64) error {
	db, err := sql.Open("sqlite", fileURL(path, "_pragma=synchronous(FULL)"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "UPDATE ledger_mark SET epoch = ? WHERE id = 1", epoch)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := single(ctx, path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// free returns the first of path, path-2, path-3, … that there is nothing at.
func free(path string) string {
	name := path
	for n := 2; ; n++ {
		if there, err := present(name); err != nil || !there {
			return name
		}
		name = fmt.Sprintf("%s-%d", path, n)
	}
}

// swap puts tmp in the place of target, in one step, and keeps what was there as
// aside. A log must not stay beside a database that it does not belong to: SQLite
// would believe it. One is there only if the old database could not be closed well.
func swap(tmp, target, aside string) error {
	if aside != "" {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Link(target+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := syncDir(filepath.Dir(target)); err != nil {
			return err
		}
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.Remove(target + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := os.Rename(tmp, target); err != nil {
		return err
	}
	return errors.Join(removeAll(tmp), syncDir(filepath.Dir(target)))
}
