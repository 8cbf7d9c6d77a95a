package ledger_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// The environment of the process that is to die.
const (
	crashDir   = "PONTAGE_TEST_CRASH_DIR"
	crashPoint = "PONTAGE_TEST_CRASH_POINT" // armed after crashAfter acknowledgements; before opening if that is 0
	crashAfter = "PONTAGE_TEST_CRASH_AFTER"
)

const (
	crashAccounts = 4
	crashInFlight = 32
	crashLimited  = 1 // the key with a limit
	crashKeyLimit = 50 * money.Cent
)

// crashChild works on the ledger in dir, and writes a line for every charge that
// was acknowledged, until it dies. It never returns.
func crashChild(dir string) {
	err := crashWork(dir)
	fmt.Fprintln(os.Stderr, "crash child:", err)
	os.Exit(3)
}

func crashWork(dir string) error {
	after, err := strconv.Atoi(os.Getenv(crashAfter))
	if err != nil {
		return err
	}
	fp := failpoint.New()
	arm := func() error { return fp.Arm(os.Getenv(crashPoint), 1) }
	if after == 0 {
		if err := arm(); err != nil {
			return err
		}
	}
	db, err := sqlite.Open(background, filepath.Join(dir, "pontage.db"))
	if err != nil {
		return err
	}
	e, err := ledger.Open(background, db.Journal(), ledger.Options{Failpoints: fp, Fatal: func(err error) { fmt.Fprintln(os.Stderr, "fatal:", err) }})
	if err != nil {
		return err
	}
	var acks atomic.Int64
	var out sync.Mutex
	ack := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Fprintf(os.Stdout, format+"\n", args...)
		if acks.Add(1) == int64(after) {
			_ = arm()
		}
	}
	failed := make(chan error, crashInFlight+1)
	left := e.OpenHolds()
	go func() {
		if err := crashJobs(left, ack); err != nil {
			failed <- err
		}
	}()
	for w := range crashInFlight {
		go func() { failed <- crashWorker(e, w, ack) }()
	}
	return <-failed
}

// crashJobs ends the durable holds that earlier processes have left.
func crashJobs(left []*ledger.Hold, ack func(string, ...any)) error {
	for i, hold := range left {
		if i%4 == 0 {
			if err := hold.VoidDurably(background, nil, nil); err != nil {
				return err
			}
			continue
		}
		s, err := hold.Settle(background, ledger.Settlement{Actual: hold.Amount(), Result: []byte("late")})
		if err != nil {
			return err
		}
		ack("charge %s %d", hexID(hold.Request()), s.Charge)
	}
	return nil
}

func hexID(id [16]byte) string { return hex.EncodeToString(id[:]) }

// crashRequest returns an id that no process has used before.
func crashRequest(rnd *rand.Rand) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(time.Now().UnixNano()))
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	return id
}

// crashJob takes two durable holds, charges one of them, and leaves or voids the
// other one.
func crashJob(e *ledger.Engine, rnd *rand.Rand, r ledger.Reservation, ack func(string, ...any)) error {
	rs := []ledger.Reservation{r, r}
	rs[1].Request = crashRequest(rnd)
	holds, err := e.HoldDurably(background, rs, ledger.DurableOptions{Group: r.Request})
	var short *ledger.Short
	if errors.As(err, &short) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, h := range holds {
		ack("held %s %d", hexID(h.Request()), h.Amount())
	}
	s, err := holds[0].Settle(background, ledger.Settlement{Actual: r.Amount / 2, Result: []byte("done")})
	if err != nil {
		return err
	}
	ack("charge %s %d", hexID(r.Request), s.Charge)
	if rnd.IntN(2) == 0 {
		return holds[1].VoidDurably(background, nil, nil)
	}
	return nil
}

func crashWorker(e *ledger.Engine, w int, ack func(string, ...any)) error {
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(w)))
	account := int64(1 + w%crashAccounts)
	keys := 0
	for {
		if rnd.IntN(50) == 0 || e.Balance(account).Posted == 0 {
			c, err := e.Credit(background, ledger.Credit{Account: account, Kind: ledger.KindTopup, Amount: money.Dollar})
			if err != nil {
				return err
			}
			ack("credit %d %d", account, c.Amount)
		}
		r := ledger.Reservation{Account: account, Key: account, Amount: money.Amount(1 + rnd.Int64N(int64(money.Cent)))}
		if account == crashLimited {
			r.KeyUSDPerDay = crashKeyLimit
		}
		r.Request = crashRequest(rnd)
		if rnd.IntN(16) == 0 {
			if err := crashJob(e, rnd, r, ack); err != nil && !errors.Is(err, ledger.ErrUnavailable) {
				return err
			}
			continue
		}
		var settlement ledger.Settlement
		key := fmt.Sprintf("w%d-%d", w, keys) // the processes before used the same ones
		if rnd.IntN(3) == 0 {
			c, st, err := e.Claim(background, ledger.IdemKey{Account: account, Key: key}, [32]byte{}, 0)
			if errors.Is(err, ledger.ErrUnavailable) {
				<-time.After(time.Millisecond)
				continue
			}
			if err != nil {
				return err
			}
			if st != nil {
				ack("answer %s %s", key, hexID(st.Request))
				keys++
				continue
			}
			settlement.Claim, settlement.Receipt = c, &ledger.Receipt{Model: key}
		}
		hold, err := e.Hold(r)
		var short *ledger.Short
		if errors.As(err, &short) || errors.Is(err, ledger.ErrUnavailable) {
			settlement.Claim.Release()
			<-time.After(time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		if rnd.IntN(8) == 0 {
			hold.Void(nil)
			settlement.Claim.Release()
			continue
		}
		settlement.Actual = money.Amount(rnd.Int64N(int64(r.Amount) * 3 / 2))
		s, err := hold.Settle(background, settlement)
		if err != nil {
			return err
		}
		ack("charge %s %d", hexID(r.Request), s.Charge)
		if settlement.Claim != nil {
			ack("answer %s %s", key, hexID(r.Request))
			keys++
		}
		e.Delivered(r.Request)
	}
}

// acknowledged is what a process said before it died.
type acknowledged struct {
	charges map[[16]byte]money.Amount
	credits map[int64]money.Amount
	answers map[string]string // key to request
	held    map[string]bool   // durably; requests
	replays int
	kills   int
}

func (a *acknowledged) read(t *testing.T, r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 3 {
			continue // cut off by the kill
		}
		switch f[0] {
		case "answer":
			if before, known := a.answers[f[1]]; known && before != f[2] {
				t.Errorf("key %s stood for request %s, and then for %s", f[1], before, f[2])
			} else if known {
				a.replays++
			}
			a.answers[f[1]] = f[2]
			continue
		case "held":
			a.held[f[1]] = true
			continue
		}
		n, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			t.Error(err)
		}
		switch f[0] {
		case "charge":
			id, err := hex.DecodeString(f[1])
			if err != nil || len(id) != 16 {
				t.Errorf("line %q", lines.Text())
				continue
			}
			a.charges[[16]byte(id)] = money.Amount(n)
		case "credit":
			account, _ := strconv.ParseInt(f[1], 10, 64)
			a.credits[account] += money.Amount(n)
		}
	}
}

// run lets a process work in dir until it dies at the point, or is killed after
// a while if the point is empty.
func (a *acknowledged) run(t *testing.T, dir, point string, after int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashPoint+"="+point, crashAfter+"="+strconv.Itoa(after))
	if point == "" {
		cmd.Env = append(cmd.Env, crashAfter+"=-1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	deadline := time.AfterFunc(20*time.Second, func() {
		t.Errorf("%s: the process did not die by itself", point)
		kill()
	})
	if point == "" {
		time.AfterFunc(time.Duration(after)*time.Millisecond, kill)
	}
	a.read(t, out)
	a.kills++
	err = cmd.Wait()
	deadline.Stop()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%s: the process ended with %v: %s", point, err, complaint.String())
	}
}

// check opens the ledger that a killed process has left, and compares it with
// what that process said.
func (a *acknowledged) check(t *testing.T, dir, point string) {
	t.Helper()
	h := &house{t: t, path: filepath.Join(dir, "pontage.db"), clock: newClock()}
	h.clock.at.Store(time.Now().UnixNano())
	h.reopen()
	defer h.close()
	h.verify()
	sqlFold(t, h)
	a.checkJobs(t, h, point)
	if !h.Idle() {
		t.Errorf("%s: something is held after recovery", point)
	}
	snap, err := h.db.Journal().Snapshot(background)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	found := map[[16]byte]money.Amount{}
	credit, spent := map[int64]money.Amount{}, map[int64]money.Amount{}
	days := map[ledger.Day]map[int64]money.Amount{}
	keyed := map[string]string{}
	err = snap.Entries(background, 0, func(e *ledger.Entry) error {
		switch e.Kind {
		case ledger.KindUsage:
			if _, twice := found[e.Request]; twice {
				t.Errorf("%s: request %x is charged twice", point, e.Request)
			}
			found[e.Request] = e.Amount
			if e.Model != "" {
				if _, twice := keyed[e.Model]; twice {
					t.Errorf("%s: key %s was charged twice", point, e.Model)
				}
				keyed[e.Model] = hexID(e.Request)
			}
			spent[e.Account] += e.Amount
			if days[e.Day] == nil {
				days[e.Day] = map[int64]money.Amount{}
			}
			days[e.Day][e.Key] += e.Amount
		case ledger.KindTopup:
			credit[e.Account] += e.Amount
		}
		if spent[e.Account] > credit[e.Account] {
			t.Errorf("%s: entry %d overdraws account %d", point, e.Seq, e.Account)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, request := range a.answers {
		if keyed[key] != request {
			t.Errorf("%s: key %s stands for request %s, but was charged for %q", point, key, request, keyed[key])
		}
	}
	lost := 0
	for id, amount := range a.charges {
		if got, ok := found[id]; !ok || got != amount {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%s: %d of %d acknowledged charges are lost or changed", point, lost, len(a.charges))
	}
	for account, amount := range a.credits {
		if credit[account] < amount {
			t.Errorf("%s: account %d was acknowledged %s, and has %s", point, account, amount, credit[account])
		}
	}
	for day, keys := range days {
		if keys[crashLimited] > crashKeyLimit {
			t.Errorf("%s: the limited key spent %s on %s", point, keys[crashLimited], day)
		}
	}
	if extra := len(found) - len(a.charges); extra > a.kills*(crashInFlight+1) {
		t.Errorf("%s: %d charges were durable and not acknowledged after %d kills", point, extra, a.kills)
	}
	t.Logf("%s: %d charges acknowledged, %d durable", point, len(a.charges), len(found))
}

// checkJobs looks for every durable hold that was acknowledged, and voids those
// that are open.
func (a *acknowledged) checkJobs(t *testing.T, h *house, point string) {
	t.Helper()
	rows, err := h.db.Read().QueryContext(background, "SELECT lower(hex(id)) FROM holds")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stored := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		stored[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for id := range a.held {
		if !stored[id] {
			t.Errorf("%s: the durable hold %s is lost", point, id)
		}
	}
	for _, hold := range h.OpenHolds() {
		if err := hold.VoidDurably(background, nil, nil); err != nil {
			t.Error(err)
		}
	}
}

// A process is killed at every point of a commit, a fold and a recovery, and at
// random moments, again and again on the same file. Nothing acknowledged is
// lost, nothing is charged twice, nothing is overdrawn and nothing stays held.
func TestAKillLosesNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	a := &acknowledged{charges: map[[16]byte]money.Amount{}, credits: map[int64]money.Amount{}, answers: map[string]string{}, held: map[string]bool{}}
	for _, c := range []struct {
		point string
		after int // acknowledgements; milliseconds if there is no point
	}{
		{failpoint.CrashAfterCommit, 150},
		{failpoint.CrashMidRecovery, 0},
		{failpoint.CrashBeforeBegin, 100},
		{"", 300},
		{failpoint.CrashMidRecovery, 0},
		{failpoint.CrashAfterInsert, 100},
		{failpoint.CrashBeforeCommit, 100},
		{failpoint.CrashAfterWake, 100},
		{failpoint.CrashMidFold, 200},
		{"", 900},
	} {
		a.run(t, dir, c.point, c.after)
		if c.point == "" || c.point == failpoint.CrashAfterCommit {
			continue // the next process finds what this one has left
		}
		a.check(t, dir, c.point)
	}
	// A slow machine gets little done in so many milliseconds, so it gets more of them.
	for range 20 {
		if len(a.charges) >= 300 && len(a.answers) >= 100 && a.replays >= 20 && len(a.held) >= 30 {
			break
		}
		a.run(t, dir, "", 900)
	}
	a.check(t, dir, "at last")
	if len(a.charges) < 300 {
		t.Errorf("only %d charges: the processes did next to nothing", len(a.charges))
	}
	if len(a.answers) < 100 || a.replays < 20 || len(a.held) < 30 {
		t.Errorf("only %d answers, %d of them replayed, and %d durable holds", len(a.answers), a.replays, len(a.held))
	}
}
