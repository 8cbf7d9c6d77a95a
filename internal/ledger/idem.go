package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// IdemKey names a caller's idempotency key: one account, one balance.
type IdemKey struct {
	Account int64
	Test    bool
	Key     string // 1 to 255 bytes
}

// Bounds of idempotency keys.
const (
	IdemTTL       = 24 * time.Hour // how long a key stands for its answer
	MaxStoredBody = 1 << 20        // bytes of a body that is kept
	maxIdemKey    = 255            // bytes
)

// Errors of [Engine.Claim].
var (
	ErrIdemMismatch   = errors.New("the idempotency key belongs to another request")
	ErrIdemInProgress = errors.New("the request of the idempotency key is in progress")
)

func (k *IdemKey) check() error {
	switch {
	case k.Account == 0:
		return errors.New("idempotency key: account: missing")
	case k.Key == "":
		return errors.New("idempotency key: empty")
	case len(k.Key) > maxIdemKey:
		return fmt.Errorf("idempotency key: longer than %d bytes", maxIdemKey)
	}
	return nil
}

// Claim is the right to do what an idempotency key stands for. There is at most
// one for each key. It lives in memory: if the process dies, so did the work. It
// ends when the charge that it was settled with is durable, or with Release.
type Claim struct {
	e   *Engine
	key IdemKey
	fp  [32]byte
	at  time.Time // when the key was looked up, and stood for nothing

	state  claimState // guarded by claims.mu
	stored *Stored    // set before the op is queued, as is row
	row    *IdemRow
}

type claimState int

// States of a claim.
const (
	claimOpen     claimState = iota
	claimUsed                // its answer is on its way to the journal
	claimDone                // its answer is durable
	claimRevoking            // its answer is being taken back
	claimEnded
)

// Claim makes the request with the fingerprint fp the one that k stands for.
//
// If k stands for nothing, Claim returns a claim, which the caller settles with
// or releases. If it stands for the answer of a request with this fingerprint,
// Claim returns that answer, which must not be changed. If such a request is in
// flight, Claim waits for it: its answer is returned, or the claim handed on if
// it was released; [ErrIdemInProgress] when it has waited that long, or at once
// if wait is 0. A request with another fingerprint gives [ErrIdemMismatch]. The
// other errors are those of ctx, and of what is unavailable: [ErrUnavailable].
func (e *Engine) Claim(ctx context.Context, k IdemKey, fp [32]byte, wait time.Duration) (*Claim, *Stored, error) {
	if err := e.Ready(); err != nil {
		return nil, nil, err
	}
	if err := k.check(); err != nil {
		return nil, nil, err
	}
	for {
		s, mine, err := e.claims.enter(k)
		if err != nil {
			return nil, nil, err
		}
		if mine {
			return e.lookUp(ctx, k, fp, s)
		}
		select {
		case <-s.looked:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		if s.stored != nil {
			return s.stored.answer(fp)
		}
		w, err := e.claims.queueUp(k, s, fp, wait > 0)
		if err != nil {
			return nil, nil, err
		}
		if w != nil {
			return e.claims.await(ctx, k, w, wait)
		}
	}
}

// answer is what a claim with the fingerprint gets.
func (st *Stored) answer(fp [32]byte) (*Claim, *Stored, error) {
	if st.Fingerprint != fp {
		return nil, nil, ErrIdemMismatch
	}
	return nil, st, nil
}

// lookUp looks for an answer on disk, while others wait for what it finds.
func (e *Engine) lookUp(ctx context.Context, k IdemKey, fp [32]byte, s *slot) (*Claim, *Stored, error) {
	c := &Claim{e: e, key: k, fp: fp, at: e.now()}
	row, err := e.journal.ReadIdem(ctx, k)
	if err == nil && row != nil && row.ExpiresAt.After(c.at) && !mutated(AnswerIgnored) {
		s.stored, err = row.Stored()
	}
	if err != nil {
		err = fmt.Errorf("idempotency key: %w", err)
	}
	if err = e.claims.found(s, c, err); err != nil {
		return nil, nil, err
	}
	if s.stored != nil {
		return s.stored.answer(fp)
	}
	return c, nil, nil
}

// Release gives the claim up if nothing was settled with it: whoever waits for
// it longest gets it. Otherwise, and on nil, it does nothing. It is for defer.
func (c *Claim) Release() {
	if c == nil {
		return
	}
	t := &c.e.claims
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.state == claimOpen {
		t.handOn(c)
	}
}

// use takes the claim for an answer of the account's balance. It returns the
// claim as the table has it, so that a Settlement and with it a receipt can stay
// on its caller's stack.
func (c *Claim) use(e *Engine, account int64, test bool) (*Claim, error) {
	t := &e.claims
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.slots[c.key]
	switch {
	case t.err != nil:
		return nil, t.err
	case c.e != e || c.key.Account != account || c.key.Test != test:
		return nil, errors.New("the claim is of another account or balance")
	case c.state != claimOpen || s == nil || s.claim != c:
		return nil, errors.New("the claim has ended")
	}
	c.state = claimUsed
	return s.claim, nil
}

// claims holds every key that is being looked up or is in flight. A key leaves
// it only when what it stands for can be read from the journal, or is nothing.
type claims struct {
	mu    sync.Mutex
	slots map[IdemKey]*slot // guarded by mu; at most one per request in flight
	err   error             // guarded by mu: why there are no more claims
}

// slot is a key of which something is known in memory only.
type slot struct {
	looked  chan struct{} // closed once the journal has been asked
	stored  *Stored       // what it had; read after looked
	claim   *Claim        // guarded by claims.mu; nil: none yet, or no longer
	waiters []*waiter     // guarded by claims.mu; for the claim, in the order of their coming
}

// waiter waits for a claim to end.
type waiter struct{ told chan verdict }

// verdict is one of its members.
type verdict struct {
	claim  *Claim
	stored *Stored
	err    error
}

// enter returns the key's slot. If there was none it is the caller's, who must
// look the key up.
func (t *claims) enter(k IdemKey) (s *slot, mine bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return nil, false, t.err
	}
	if s = t.slots[k]; s != nil {
		return s, false, nil
	}
	s = &slot{looked: make(chan struct{})}
	t.slots[k] = s
	return s, true, nil
}

// found ends the look-up of a slot: it has an answer, or is c's now, or err.
func (t *claims) found(s *slot, c *Claim, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		err = t.err
	}
	if err == nil && s.stored == nil {
		s.claim = c
	} else if t.slots[c.key] == s {
		delete(t.slots, c.key)
	}
	close(s.looked)
	return err
}

// queueUp lets the caller wait for the slot's claim to end. It returns nil if
// that has happened already.
func (t *claims) queueUp(k IdemKey, s *slot, fp [32]byte, patient bool) (*waiter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.slots[k] != s || s.claim == nil:
		return nil, nil
	case mutated(ClaimLapses):
		delete(t.slots, k)
		return nil, nil
	case s.claim.fp != fp:
		return nil, ErrIdemMismatch
	case !patient:
		return nil, ErrIdemInProgress
	}
	w := &waiter{told: make(chan verdict, 1)}
	s.waiters = append(s.waiters, w)
	return w, nil
}

// await waits to be told, for so long.
func (t *claims) await(ctx context.Context, k IdemKey, w *waiter, wait time.Duration) (*Claim, *Stored, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case v := <-w.told:
		return v.claim, v.stored, v.err
	case <-timer.C:
		err = ErrIdemInProgress
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if t.leave(k, w) {
		return nil, nil, err
	}
	v := <-w.told // at the same moment
	return v.claim, v.stored, v.err
}

// leave takes the waiter out, and reports whether it had not been told yet.
func (t *claims) leave(k IdemKey, w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.slots[k]
	if s == nil {
		return false
	}
	i := slices.Index(s.waiters, w)
	if i < 0 {
		return false
	}
	s.waiters = slices.Delete(s.waiters, i, i+1)
	return true
}

// handOn ends the claim without an answer. The first who waits has it next. The
// caller holds the mutex.
func (t *claims) handOn(c *Claim) {
	c.state = claimEnded
	s := t.slots[c.key]
	if s == nil || s.claim != c {
		return
	}
	if len(s.waiters) == 0 {
		delete(t.slots, c.key)
		return
	}
	w := s.waiters[0]
	s.waiters = slices.Delete(s.waiters, 0, 1)
	s.claim = &Claim{e: c.e, key: c.key, fp: c.fp, at: c.at}
	w.told <- verdict{claim: s.claim}
}

// free ends a claim whose answer will not be, or is no longer, in the journal.
func (t *claims) free(c *Claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handOn(c)
}

// done ends a claim whose answer can be read from the journal, unless it is
// being taken back at this moment.
func (t *claims) done(c *Claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.state == claimUsed {
		t.finish(c)
	}
}

// stand ends a claim whose answer could not be taken back.
func (t *claims) stand(c *Claim) {
	if c == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finish(c)
}

func (t *claims) finish(c *Claim) {
	c.state = claimDone
	s := t.slots[c.key]
	if s == nil || s.claim != c {
		return
	}
	delete(t.slots, c.key)
	for _, w := range s.waiters {
		w.told <- verdict{stored: c.stored}
	}
}

// revoke puts a claim whose answer is durable back into flight: others wait
// until it is known whether the answer stands. A look-up that is on its way ends
// first. If the key has another claim by now, the answer had expired.
func (t *claims) revoke(ctx context.Context, c *Claim) error {
	if c == nil {
		return nil
	}
	for {
		looked := t.tryRevoke(c)
		if looked == nil {
			return nil
		}
		select {
		case <-looked:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tryRevoke returns the look-up that it must wait for, or nil.
func (t *claims) tryRevoke(c *Claim) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.slots[c.key]
	if s != nil && s.claim == nil {
		return s.looked
	}
	c.state = claimRevoking
	if s == nil && t.err == nil {
		s = &slot{looked: make(chan struct{}), claim: c}
		close(s.looked)
		t.slots[c.key] = s
	}
	return nil
}

// close ends every claim: nobody will hear of an answer any more.
func (t *claims) close(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	for k, s := range t.slots {
		delete(t.slots, k)
		for _, w := range s.waiters {
			w.told <- verdict{err: err}
		}
		s.claim, s.waiters = nil, nil
	}
}
