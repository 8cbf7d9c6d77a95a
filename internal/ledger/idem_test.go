package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

var (
	keyA  = ledger.IdemKey{Account: 1, Key: "a"}
	one   = [32]byte{1}
	other = [32]byte{2}
)

// claim claims a key that must stand for nothing.
func (h *house) claim(k ledger.IdemKey, fp [32]byte) *ledger.Claim {
	h.t.Helper()
	c, st, err := h.Claim(background, k, fp, 0)
	if err != nil || c == nil || st != nil {
		h.t.Fatalf("Claim(%+v) = %v, %+v, %v; want a claim", k, c, st, err)
	}
	return c
}

// replay claims a key that must stand for an answer.
func (h *house) replay(k ledger.IdemKey, fp [32]byte) *ledger.Stored {
	h.t.Helper()
	c, st, err := h.Claim(background, k, fp, 0)
	if err != nil || c != nil || st == nil {
		h.t.Fatalf("Claim(%+v) = %v, %+v, %v; want an answer", k, c, st, err)
	}
	return st
}

// refused claims a key that must be refused.
func (h *house) refused(k ledger.IdemKey, fp [32]byte, want error) {
	h.t.Helper()
	if c, st, err := h.Claim(background, k, fp, 0); c != nil || st != nil || !errors.Is(err, want) {
		h.t.Fatalf("Claim(%+v) = %v, %+v, %v; want %v", k, c, st, err, want)
	}
}

// render returns the function that renders st.
func render(st *ledger.Stored) func(ledger.Settled) (*ledger.Stored, error) {
	return func(ledger.Settled) (*ledger.Stored, error) { return st, nil }
}

// answered settles a new hold with the claim.
func (h *house) answered(c *ledger.Claim, st *ledger.Stored) [16]byte {
	h.t.Helper()
	hold := h.hold(reserve(money.Cent))
	if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent, Claim: c, Render: render(st)}); err != nil {
		h.t.Fatal(err)
	}
	return hold.Request()
}

func random(n int) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{})
	_, _ = c.Read(b)
	return b
}

func TestAKeyStandsForItsAnswer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	many := make([][2]string, 33)
	fact := func(status int) *ledger.Stored { return &ledger.Stored{Status: status} }
	cases := map[string]struct{ give, want *ledger.Stored }{
		"nothing at all": {nil, fact(0)},
		"the fact only":  {&ledger.Stored{Status: 200, Header: [][2]string{{"A", "b"}}, Body: []byte("secret")}, fact(200)},
		"no body":        {&ledger.Stored{Status: 204, Kept: true}, nil},
		"a body":         {&ledger.Stored{Status: 200, Header: [][2]string{{"Content-Type", "application/json"}, {"X", ""}}, Body: []byte(`{"a":1}`), Kept: true}, nil},
		"a long body":    {&ledger.Stored{Status: 200, Body: []byte(strings.Repeat("word and ", ledger.MaxStoredBody/9)), Kept: true}, nil},
		"noise":          {&ledger.Stored{Status: 200, Body: random(ledger.MaxStoredBody), Kept: true}, nil},
		"too long":       {&ledger.Stored{Status: 200, Body: random(ledger.MaxStoredBody + 1), Kept: true}, fact(200)},
		"a long header":  {&ledger.Stored{Status: 200, Header: [][2]string{{"X", strings.Repeat("x", 8<<10)}}, Kept: true}, fact(200)},
		"many fields":    {&ledger.Stored{Status: 200, Header: many, Kept: true}, fact(200)},
	}
	for name, c := range cases {
		k := ledger.IdemKey{Account: 1, Key: name}
		want := c.want
		if want == nil {
			want = new(*c.give)
		}
		want.Request, want.Fingerprint, want.At = h.answered(h.claim(k, one), c.give), one, h.clock.now()
		c.want = want
		cases[name] = c
	}
	check := func() {
		t.Helper()
		for name, c := range cases {
			k := ledger.IdemKey{Account: 1, Key: name}
			got := h.replay(k, one)
			if diff := cmp.Diff(c.want, got, cmp.Comparer(bytes.Equal)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			h.refused(k, other, ledger.ErrIdemMismatch)
		}
		if h.Stats().LastSeq != int64(1+len(cases)) {
			t.Errorf("replays are charged: %+v", h.Stats())
		}
		h.verify()
	}
	check()
	h.reopen()
	check()
	if got := h.number("SELECT max(length(doc)) FROM idem WHERE k = CAST('a long body' AS BLOB)"); got > 50_000 {
		t.Errorf("a long body takes %d bytes", got)
	}
	h.claim(ledger.IdemKey{Account: 2, Key: "a body"}, one)
	h.claim(ledger.IdemKey{Account: 1, Test: true, Key: "a body"}, one)
}

func TestAKeyMustMakeSense(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, k := range []ledger.IdemKey{{}, {Account: 1}, {Key: "a"}, {Account: 1, Key: strings.Repeat("k", 256)}} {
		if c, st, err := h.Claim(background, k, one, 0); err == nil {
			t.Errorf("Claim(%+v) = %v, %v; want an error", k, c, st)
		}
	}
	h.topup(1, money.Dollar)
	for _, k := range []ledger.IdemKey{{Account: 1, Key: strings.Repeat("k", 255)}, {Account: 1, Key: "\x00\xff' --"}} {
		h.answered(h.claim(k, one), nil)
		h.replay(k, one)
	}
}

// The answer shows the charge and the balance, and Settle returns the same.
func TestAnAnswerShowsWhatSettleReturns(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	hold := h.hold(reserve(40))
	var seen ledger.Settled
	s, err := hold.Settle(background, ledger.Settlement{Actual: 120, Render: func(s ledger.Settled) (*ledger.Stored, error) {
		seen = s
		h.topup(1, 7) // in between
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := ledger.Settled{Charge: 100, Absorbed: 20, Balance: 0}
	if seen != want {
		t.Errorf("Render was called with %+v, want %+v", seen, want)
	}
	want.Seq = 3
	if s != want {
		t.Errorf("Settle = %+v, want %+v", s, want)
	}
	if b := h.Balance(1); b.Posted != 7 {
		t.Errorf("Balance = %+v", b)
	}
}

func TestAnAnswerThatCannotBeRenderedIsNotCharged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	no := errors.New("no")
	for name, fail := range map[string]func() error{
		"an error": func() error { return no },
		"a panic":  func() error { panic(no) },
	} {
		for _, claimed := range []bool{true, false} {
			hold := h.hold(reserve(money.Cent))
			s := ledger.Settlement{Actual: 3 * money.Cent, Render: func(ledger.Settled) (*ledger.Stored, error) { return nil, fail() }}
			if claimed {
				s.Claim = h.claim(keyA, one)
			}
			err := func() (err error) {
				defer func() {
					if v := recover(); v != nil {
						err = v.(error)
					}
				}()
				_, err = hold.Settle(background, s)
				return err
			}()
			if !errors.Is(err, no) {
				t.Errorf("%s: Settle = %v", name, err)
			}
			if b := h.Balance(1); b.Posted != money.Dollar || b.Held != 0 || !h.Idle() || h.Stats().LastSeq != 1 {
				t.Errorf("%s: Balance = %+v, %+v", name, b, h.Stats())
			}
		}
	}
	h.claim(keyA, other).Release()
	h.verify()
}

func TestAClaimIsUsedOnceForItsBalance(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.topup(2, money.Dollar)
	settle := func(account int64, c *ledger.Claim) error {
		r := reserve(money.Cent)
		r.Account, r.Key = account, account
		_, err := h.hold(r).Settle(background, ledger.Settlement{Actual: money.Cent, Claim: c})
		return err
	}
	c := h.claim(keyA, one)
	if err := settle(2, c); err == nil {
		t.Error("settled with the claim of another account")
	}
	c = h.claim(keyA, one) // the other was released
	c.Release()
	c.Release()
	if err := settle(1, c); err == nil {
		t.Error("settled with a claim that was released")
	}
	c = h.claim(keyA, one)
	if err := settle(1, c); err != nil {
		t.Error(err)
	}
	c.Release()
	if err := settle(1, c); err == nil {
		t.Error("settled twice with a claim")
	}
	h.replay(keyA, one)
	(*ledger.Claim)(nil).Release()
	if b, o := h.Balance(1), h.Balance(2); b.Posted != 99*money.Cent || o.Posted != money.Dollar || !h.Idle() {
		t.Errorf("Balance = %+v and %+v", b, o)
	}
}

func TestClaimsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &hung{gate: make(chan struct{})}
		e, _ := stuck(t, j)
		j.hang = false
		claim := func(ctx context.Context, fp [32]byte, wait time.Duration) (*ledger.Claim, *ledger.Stored, error) {
			return e.Claim(ctx, keyA, fp, wait)
		}
		first, _, err := claim(background, one, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := claim(background, one, 0); !errors.Is(err, ledger.ErrIdemInProgress) {
			t.Errorf("without patience: %v", err)
		}
		if _, _, err := claim(background, other, time.Hour); !errors.Is(err, ledger.ErrIdemMismatch) {
			t.Errorf("another request: %v", err)
		}
		begun := time.Now()
		if _, _, err := claim(background, one, time.Minute); !errors.Is(err, ledger.ErrIdemInProgress) || time.Since(begun) != time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		if _, _, err := claim(ctx, one, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute+time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}

		// Whoever came first is the next to have it.
		var order []int
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				c, st, err := claim(background, one, time.Hour)
				if err != nil || st != nil {
					t.Errorf("waiter %d: %v, %v", i, st, err)
					return
				}
				order = append(order, i)
				c.Release()
			})
			synctest.Wait()
		}
		first.Release()
		wg.Wait()
		if diff := cmp.Diff([]int{0, 1, 2}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		// Nobody waits any more, so that the key is free for any request.
		last, _, err := claim(background, other, 0)
		if err != nil {
			t.Fatal(err)
		}

		// An engine that stops leaves nobody waiting.
		var ended error
		wg.Go(func() { _, _, ended = claim(background, other, time.Hour) })
		synctest.Wait()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if !errors.Is(ended, ledger.ErrUnavailable) {
			t.Errorf("waiter of an engine that stopped: %v", ended)
		}
		last.Release()
		if _, _, err := claim(background, other, 0); !errors.Is(err, ledger.ErrUnavailable) {
			t.Errorf("claim of an engine that stopped: %v", err)
		}
	})
}

func TestAFailedCommitLeavesNoClaimWaiting(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold, c := h.hold(reserve(money.Cent)), h.claim(keyA, one)
	begun := h.slow()
	if err := h.fp.Arm(failpoint.CommitError, 1); err != nil {
		t.Fatal(err)
	}
	done := settling(hold, ledger.Settlement{Actual: money.Cent, Claim: c})
	begun()
	if _, _, err := h.Claim(background, keyA, one, time.Minute); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Claim = %v", err)
	}
	if err := <-done; !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Settle = %v", err)
	}
	h.reopen()
	h.claim(keyA, one) // the charge was not durable
}

// Whoever asks for a key at whatever moment gets the one answer that was charged,
// however often the work fails before.
func TestManyWithTheSameKeyAtOnceAreOneCharge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 1000*money.Dollar)
	const keys, callers = 24, 24
	var charged [keys]atomic.Int64
	together(keys*callers, func(n int) {
		i := n % keys
		rnd := rand.New(rand.NewPCG(3, uint64(n)))
		k := ledger.IdemKey{Account: 1, Key: fmt.Sprint("key ", i)}
		for {
			if h.fatal.Load() != nil {
				t.Error("the engine has stopped")
				return
			}
			c, st, err := h.Claim(background, k, one, time.Duration(rnd.IntN(2))*time.Minute)
			if errors.Is(err, ledger.ErrIdemInProgress) || errors.Is(err, ledger.ErrUnavailable) {
				<-time.After(time.Millisecond)
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			if st != nil {
				if !bytes.Equal(st.Body, st.Request[:]) {
					t.Errorf("key %d: body %x of request %x", i, st.Body, st.Request)
				}
				return
			}
			hold, err := h.Hold(reserve(money.Cent))
			if err != nil {
				c.Release()
				continue
			}
			if rnd.IntN(3) == 0 {
				hold.Void(nil)
				c.Release()
				continue
			}
			id := hold.Request()
			_, err = hold.Settle(background, ledger.Settlement{Actual: money.Cent, Claim: c, Render: func(ledger.Settled) (*ledger.Stored, error) {
				if rnd.IntN(3) == 0 {
					return nil, errors.New("no")
				}
				return &ledger.Stored{Status: 200, Body: id[:], Kept: true}, nil
			}})
			if err == nil {
				charged[i].Add(1)
			}
		}
	})
	for i := range charged {
		if n := charged[i].Load(); n != 1 {
			t.Errorf("key %d was charged %d times", i, n)
		}
	}
	if b := h.Balance(1); b.Posted != 1000*money.Dollar-keys*money.Cent || !h.Idle() {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestAnAnswerStandsForADay(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100*money.Dollar)
	h.answered(h.claim(keyA, one), nil)
	h.clock.advance(ledger.IdemTTL - 1)
	h.replay(keyA, one)
	h.clock.advance(1)
	late := h.claim(keyA, other)
	h.clock.advance(-time.Hour) // the wall clock moves back
	h.answered(late, nil)
	h.replay(keyA, other)
	h.clock.advance(time.Hour)
	h.verify()
	h.reopen()
	h.replay(keyA, other)
}

func TestExpiredAnswersAreDeletedInPortions(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100*money.Dollar)
	together(300, func(i int) {
		h.answered(h.claim(ledger.IdemKey{Account: 1, Key: fmt.Sprint(i)}, one), nil)
	})
	h.clock.advance(ledger.IdemTTL / 2)
	h.answered(h.claim(keyA, one), nil)
	if n := h.number("SELECT count(*) FROM idem"); n != 301 {
		t.Fatalf("%d answers are stored", n)
	}
	h.clock.advance(ledger.IdemTTL / 2)
	h.topup(1, 1)
	if n := h.number("SELECT count(*) FROM idem"); n != 301-64 {
		t.Errorf("%d answers are left after one transaction", n)
	}
	eventually(t, "the others are deleted too", func() bool { return h.number("SELECT count(*) FROM idem") == 1 })
	h.replay(keyA, one)
	h.clock.advance(ledger.IdemTTL)
	h.reopen()
	h.topup(1, 1)
	eventually(t, "the last one is deleted", func() bool { return h.number("SELECT count(*) FROM idem") == 0 })
	h.verify()
}
