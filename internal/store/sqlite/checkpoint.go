package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
)

// Pace of checkpoints.
const (
	pageSize          = 4096
	checkpointEvery   = 200 * time.Millisecond
	restartAboveBytes = int64(64 * 1024 * 1024) // size of the log above which the writer itself resets it
)

// checkpointer moves the log into the database on a connection of its own, so
// that a commit never pays for it. It is passive: it never waits for anybody and
// nobody waits for it.
type checkpointer struct {
	conn   *sql.Conn
	kick   chan struct{}
	quit   chan struct{}
	done   chan struct{}
	once   sync.Once
	frames atomic.Int64 // pages in the log when it was last looked at
	points atomic.Pointer[failpoint.Set]
}

// Arm lets tests make the process fail at the points of checkpoints. nil: off.
func (db *DB) Arm(s *failpoint.Set) { db.checkpoint.points.Store(s) }

// dies makes the process die at the point, at some moment of what comes next, if
// the point is armed.
func (c *checkpointer) dies(point string) bool {
	s := c.points.Load()
	if s.Left(point) == 0 {
		return false
	}
	go func() { _ = s.Hit(point) }()
	return true
}

func newCheckpointer(conn *sql.Conn) *checkpointer {
	c := &checkpointer{conn: conn, kick: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c
}

// wake says that something was committed.
func (c *checkpointer) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

func (c *checkpointer) run() {
	defer close(c.done)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-c.kick:
		}
		pause.Reset(checkpointEvery)
		select {
		case <-c.quit:
			return
		case <-pause.C:
		}
		c.dies(failpoint.CrashMidCheckpoint)
		// An error here costs nothing but a longer log: the writer, which sees
		// its size, reports what is wrong with the disk.
		if frames, err := checkpoint(c.conn, "PASSIVE"); err == nil {
			c.frames.Store(frames)
		}
	}
}

// checkpoint runs a checkpoint and returns how many pages the log has. Pages
// that were moved count until the log starts again from its beginning.
func checkpoint(conn *sql.Conn, mode string) (frames int64, err error) {
	var busy, moved int64
	row := conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint("+mode+")")
	if err := row.Scan(&busy, &frames, &moved); err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return frames, nil
}

// close stops the goroutine and closes the connection. A nil checkpointer has
// nothing to close.
func (c *checkpointer) close() (err error) {
	if c == nil {
		return nil
	}
	c.once.Do(func() {
		close(c.quit)
		<-c.done
		err = c.conn.Close()
	})
	return err
}
