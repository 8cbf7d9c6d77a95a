//go:build linux

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// The environment of the process whose power is cut.
const (
	powerDir  = "PONTAGE_TEST_POWER_DIR"
	powerSync = "PONTAGE_TEST_POWER_SYNC" // what synchronous is set to, behind the back of the check; empty: FULL stays
)

const (
	powerBursts  = 8 // of charges, with a pause for a checkpoint after each
	powerCharges = 48
	powerClients = 4
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(powerDir); dir != "" {
		if err := powerChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, "power child:", err)
			os.Exit(3)
		}
		os.Exit(0) // without closing anything
	}
	os.Exit(m.Run())
}

// powerChild charges, and says so on its output with one write for each charge,
// as an answer's last bytes would.
func powerChild(dir string) error {
	ctx := context.Background()
	db, err := Open(ctx, filepath.Join(dir, "pontage.db"))
	if err != nil {
		return err
	}
	if level := os.Getenv(powerSync); level != "" {
		if _, err := db.journal.conn.ExecContext(ctx, "PRAGMA synchronous = "+level); err != nil {
			return err
		}
		if _, err := db.checkpoint.conn.ExecContext(ctx, "PRAGMA synchronous = "+level); err != nil {
			return err
		}
	}
	e, err := ledger.Open(ctx, db.Journal(), ledger.Options{})
	if err != nil {
		return err
	}
	for burst := range powerBursts {
		var wg sync.WaitGroup
		errs := make([]error, powerClients)
		for c := range powerClients {
			wg.Go(func() { errs[c] = powerClient(ctx, e, burst, c) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		// The checkpoint after the burst moves the whole log, and the next burst
		// starts the log again from its beginning.
		db.checkpoint.frames.Store(-1)
		for db.checkpoint.frames.Load() < 0 {
			<-time.After(checkpointEvery / 10)
		}
		if burst == powerBursts/2 {
			db.checkpoint.frames.Store(restartAboveBytes) // the writer itself resets the log once
		}
	}
	return nil
}

func powerClient(ctx context.Context, e *ledger.Engine, burst, client int) error {
	rnd := rand.New(rand.NewPCG(uint64(burst), uint64(client)))
	for i := range powerCharges / powerClients {
		ref := fmt.Sprintf("b%dc%di%d", burst, client, i)
		var c ledger.Entry
		if err := patiently(func() (err error) {
			c, err = e.Credit(ctx, ledger.Credit{Account: int64(1 + client%2), Kind: ledger.KindTopup, Amount: money.Cent, Reference: ref})
			return err
		}); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "ack credit %d %s %d\n", c.Account, ref, c.Amount); err != nil {
			return err
		}
		r := ledger.Reservation{Account: c.Account, Key: c.Account, Amount: money.Cent}
		for k := range r.Request {
			r.Request[k] = byte(rnd.Uint32())
		}
		var hold *ledger.Hold
		if err := patiently(func() (err error) { hold, err = e.Hold(r); return err }); err != nil {
			return err
		}
		s, err := hold.Settle(ctx, ledger.Settlement{Actual: money.Amount(rnd.Int64N(int64(money.Cent)))})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "ack charge %x %d\n", r.Request, s.Charge); err != nil {
			return err
		}
	}
	return nil
}

// patiently asks again for a while, if the machine is so busy that a commit takes
// more than a second.
func patiently(do func() error) (err error) {
	for range 1000 {
		if err = do(); !errors.Is(err, ledger.ErrUnavailable) {
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
	return err
}
