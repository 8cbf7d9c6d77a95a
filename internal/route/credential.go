package route

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// Bounds of how long a credential that was refused is kept out of use: twice as
// long each time, since a key is not mended by asking again.
const (
	quarantineFor = time.Minute
	quarantineMax = time.Hour
)

// Credential is what is known of one credential of a provider. All targets that
// use it share it: who is refused for one model is refused for all, but for a 403,
// which may be of the model. Its methods may be called by many goroutines.
type Credential struct {
	id     string
	now    func() time.Time
	notify func(Change)
	shared bool // by targets of several models

	doubtful atomic.Bool // span > 0, for who only wants to know that it is not

	mu      sync.Mutex
	until   time.Time     // the end of the quarantine
	span    time.Duration // of the quarantine, or of the last one; 0: the credential is good
	why     fault.Code
	probing bool
}

// NewCredential returns a credential of which nothing is known. notify is told of
// every change of its state; nil: nobody is.
func NewCredential(id string, now func() time.Time, notify func(Change)) *Credential {
	return &Credential{id: id, now: now, notify: notify}
}

// Share says that targets of several models use the credential. It comes before they
// do.
func (c *Credential) Share() { c.shared = true }

// quarantined returns the end of the quarantine, if it is under way.
func (c *Credential) quarantined(now time.Time) (until time.Time, why fault.Code, is bool) {
	if !c.doubtful.Load() {
		return time.Time{}, fault.None, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.until, c.why, now.Before(c.until)
}

// claim asks to use the credential. One that is in doubt is used by one request at
// a time, the probe.
func (c *Credential) claim() (ok, probe bool) {
	if !c.doubtful.Load() {
		return true, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.span == 0 {
		return true, false
	}
	if c.probing {
		return false, false
	}
	c.probing = true
	return true, true
}

// release gives back a probe's place without a verdict.
func (c *Credential) release() {
	c.mu.Lock()
	c.probing = false
	c.mu.Unlock()
}

// accepted records that the provider took the credential.
func (c *Credential) accepted() {
	if !c.doubtful.Load() {
		return
	}
	c.mu.Lock()
	was := c.span
	c.span, c.until, c.probing = 0, time.Time{}, false
	c.doubtful.Store(false)
	c.mu.Unlock()
	if was > 0 {
		c.tell(Change{State: StateInUse})
	}
}

// refused records that the provider did not. What was under way when the
// quarantine began does not make it longer.
func (c *Credential) refused(why fault.Code) {
	c.mu.Lock()
	now := c.now()
	c.probing = false
	if now.Before(c.until) {
		c.mu.Unlock()
		return
	}
	c.span = min(max(2*c.span, quarantineFor), quarantineMax)
	c.until, c.why = now.Add(c.span), why
	c.doubtful.Store(true)
	change := Change{State: StateQuarantined, Reason: why.String(), For: c.span}
	c.mu.Unlock()
	c.tell(change)
}

func (c *Credential) tell(change Change) {
	if c.notify != nil {
		change.Credential = c.id
		c.notify(change)
	}
}

// State is how a target or a credential stands.
type State string

// The states.
const (
	StateInUse       State = "in_use"
	StateOpen        State = "open"        // the breaker: it failed too often
	StateCooling     State = "cooling"     // the provider asked for quiet
	StateQuarantined State = "quarantined" // the provider refused the credential
)

// Change is a change of the state of a target or of a credential, told once.
type Change struct {
	Target     string // id; empty: it is about a credential
	Credential string // id
	State      State
	Reason     string        // name of the fault; empty: none
	For        time.Duration // how long, as far as is known; 0: it is in use
}
