// Package obs is what an operator sees: the one wide record of a request, the
// log, and the metrics.
package obs

import (
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Attempt is one try at one target.
type Attempt struct {
	Target  string        // "provider/model"
	Outcome string        // "ok", or the name of a fault
	Status  int           // the provider's HTTP status; 0: none came
	Took    time.Duration //
	Billed  bool          // the provider may bill us for it although it failed
}

// Skipped reports whether nobody was asked: a model or a target was passed over.
func (a *Attempt) Skipped() bool {
	return strings.HasPrefix(a.Outcome, "skipped: ") || a.Outcome == CacheBroken
}

// CacheBroken is the outcome of a target that had the conversation in its cache, and
// could not be asked or did not answer: another one did.
const CacheBroken = "cache_affinity: broken"

// Event is the one wide record of a request: filled in along the way by
// whoever knows something, logged once at the end, and kept as the receipt.
type Event struct {
	ID              string // "req_…"
	ClientRequestID string
	Start           time.Time
	Took            time.Duration
	FirstEvent      time.Duration // from Start to the first event with content; 0: none came

	Site    string
	Route   string // pattern, never a raw path
	Surface string
	Method  string
	Remote  string

	Account string // "acc_…"
	Key     string // "key_…", never the key itself
	Test    bool   // a test key on the test balance

	Model      string // as the caller named it
	AnsweredBy string // model that answered, if it is another one

	CacheAffinity string // broken: another target answered than has the conversation in its cache
	Provider      string // target that answered
	Stream        bool
	Attempts      []Attempt

	Outcome string // see internal/gate: ok, refused, upstream_failed, interrupted, client_left, empty, …
	Status  int    // HTTP status sent; 499 if the client had left before any was
	Fault   string // name of the fault; empty: none
	Error   string // for the log: the whole chain, redacted
	Panic   string

	InputTokens, CachedInputTokens, CacheWriteTokens, OutputTokens, ReasoningTokens int64
	Estimated                                                                       bool

	Hold, Charge, Absorbed money.Amount
	CappedBy               string   // "balance" if the output was capped at what could be paid
	Dropped                []string // parameters that were dropped as harmless
	Left                   []string // kinds of output that the caller's dialect has no place for, and that were left out
	Delivery               string   // complete, partial, none, unknown
	BytesIn, BytesOut      int64
}
