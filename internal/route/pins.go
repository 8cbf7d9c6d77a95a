package route

import (
	"sync"
	"time"
)

// Pins remember where conversations were answered last, for as long as their
// providers keep the beginnings of their prompts. One that had to move to another
// target does not move back while it goes on: it would pay for its cache again. What
// is forgotten, or not known to another process, is where hashing puts it. Their
// methods may be called by many goroutines.
type Pins struct {
	now  func() time.Time
	most int

	mu         sync.Mutex
	young, old map[pinKey]pin // at most so many in each; what is used is in young
}

// DefaultPins is how many conversations are remembered: some megabytes.
const DefaultPins = 32 << 10

type pinKey struct {
	session uint64
	model   string
}

type pin struct {
	target string // id
	until  time.Time
}

// NewPins returns pins that remember at least the last so many conversations, and at
// most twice as many.
func NewPins(now func() time.Time, most int) *Pins {
	return &Pins{now: now, most: most, young: map[pinKey]pin{}}
}

// find returns the id of the target where the conversation is; empty: it is not known,
// or was not used for too long.
func (p *Pins) find(k pinKey) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.young[k]
	if !ok {
		at, ok = p.old[k]
	}
	if !ok || !p.now().Before(at.until) {
		return ""
	}
	return at.target
}

// put notes that the conversation is at t for so long.
func (p *Pins) put(k pinKey, t *Target, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.young[k]; !ok && len(p.young) >= p.most {
		p.old, p.young = p.young, make(map[pinKey]pin, p.most)
	}
	p.young[k] = pin{t.ID, p.now().Add(d)}
}

// pinKey is the conversation of the plan.
func (p *Plan) pinKey() pinKey { return pinKey{p.Session, p.Model} }

// pins reports whether it is remembered where the request is answered.
func (r *Router) pins(p *Plan) bool {
	return r.Pins != nil && p.HasSession && p.Pin > 0 && len(p.Targets) > 1
}

// pinned returns the target where the conversation is, of these; nil: none.
func (r *Router) pinned(order []*Target, p *Plan) *Target {
	if !r.pins(p) {
		return nil
	}
	if id := r.Pins.find(p.pinKey()); id != "" {
		for _, t := range order {
			if t.ID == id {
				return t
			}
		}
	}
	return nil
}
