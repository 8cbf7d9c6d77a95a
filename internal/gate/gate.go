// Package gate is the path of one request, and the order of its steps: who is
// it and may they, what will it cost at most, hold that, find a provider that
// answers; and at the end, whatever the end is, charge or give back, once.
//
// Until content is in hand nothing has been spent and any refusal is free. From
// then on a [Call] ends in exactly one of the ways of the table in endings.go.
package gate

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/route"
)

// Options are what a Gate is made of; all must be set but Now and Base.
type Options struct {
	Accounts *account.Registry
	Ledger   *ledger.Engine
	Limiter  *limit.Limiter
	Router   *route.Router
	Now      func() time.Time // nil: time.Now
	Base     context.Context  // ends when the process goes down, and with it every answer; nil: never
}

// Gate admits requests. It is used by many goroutines at once.
type Gate struct {
	o     Options
	plans atomic.Pointer[Plans]

	drains atomic.Int64 // answers that are read on although their callers have left
}

// Plans is what the configuration in force says of models and where they are
// served. It does not change; a reload makes another.
type Plans struct {
	Views   map[string]*catalog.View           // by site
	Targets map[*catalog.Model][]*route.Target // where live keys' requests go
	Tests   map[*catalog.Model][]*route.Target // where test keys' requests go: the simulator

	Attempts  int           // most tries for a model that does not say; 0: the router's default
	Deadline  time.Duration // from the start of a request, for new tries and waits; 0: none
	Providers []string      // that are configured, for callers who name some

	Pin, LongPin time.Duration // how long a conversation stays where it was last answered, and one that asks for an hour's cache; 0: that is not remembered
	StrictFrom   int64         // tokens of a prompt from which catalog.AffinityStrict holds; shorter ones may move

	Surcharges map[string]money.Rate // by site: what a caller's choice of a provider costs, in parts of a million of the price; absent: nothing

	WarnsBalance  bool                    // a charge that takes a live balance below its threshold is an event
	WarnBelow     map[string]money.Amount // that threshold by site, where the account has none of its own; absent: none
	TellsAbsorbed bool                    // what cannot be charged to a live key is an event
}

// New returns a gate with the given plans in force.
func New(o Options, p *Plans) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Base == nil {
		o.Base = context.Background()
	}
	g := &Gate{o: o}
	g.Swap(p)
	return g
}

// Swap puts other plans in force for requests admitted from now on. Those
// admitted before keep the prices and targets they were admitted with.
func (g *Gate) Swap(p *Plans) { g.plans.Store(p) }

// Visit is what the headers of a request say.
type Visit struct {
	Site       string
	KeySites   []string // whose keys are good here; empty: those of Site
	Kind       string   // of keys that the route takes: inference, billing, any, or none: it takes no notice of keys
	Format     account.Format
	Limits     limit.Rule // the site's, for every key
	Precedence []fault.Code
	Credential string
	ID         [16]byte
	Event      *obs.Event
}

// Caller is somebody with a key that is good at one site, for one request.
type Caller struct {
	g       *Gate
	v       Visit
	who     account.Principal
	view    *catalog.View
	plans   *Plans
	release func()
	terms   terms         // of the request, once its model is known
	claim   *ledger.Claim // of an idempotency key; nil: none
	digest  [32]byte      // what was claimed for
	ended   bool          // Open has ended the request: its receipt is written
}

// Enter resolves the key and takes one request's worth of throughput. Its
// errors are *fault.Error: KeyMissing, KeyInvalid, KeyInactive, KeyWrongKind,
// RateLimited, ConcurrencyLimited; Overloaded while a reload is under way. With
// KeyWrongKind and those of throughput it returns the Caller as well, for what is
// told and recorded of a refusal. A Caller is given back with Leave.
func (g *Gate) Enter(_ context.Context, v Visit) (*Caller, error) {
	c := &Caller{g: g, v: v, who: nobody, plans: g.plans.Load(), release: func() {}}
	if v.Kind != "none" {
		var err error
		if c.who, err = g.o.Accounts.Resolve(v.Credential, v.Format, v.keySites()...); err != nil {
			return nil, err
		}
		v.Event.Account, v.Event.Key, v.Event.Test = c.who.Account.ID.String(), c.who.Key.ID.String(), c.who.Key.Test
	}
	who := c.who
	if c.view = c.plans.Views[v.Site]; c.view == nil {
		// The site was found, and then a reload took it away or gave it another name.
		e := fault.New(fault.Overloaded, "")
		e.RetryAfter = heldRetry
		return nil, e
	}
	if v.Kind == "none" {
		return c, nil
	}
	if v.Kind != "any" && v.Kind != "" && who.Key.Kind != v.Kind {
		return c, fault.KeyOfKind(v.Kind, who.Key.Kind)
	}
	release, exceeded := g.o.Limiter.Take(int64(who.Key.ID), throughput(who.Key.Limits, v.Limits))
	if exceeded != nil {
		return c, tooOften(exceeded)
	}
	c.release = release
	return c, nil
}

// Recognize returns who is calling, where nothing is asked of us that there is:
// for what every answer to him tells. It takes no throughput. It returns nil if
// no good key says who it is.
func (g *Gate) Recognize(v Visit) *Caller {
	c := &Caller{g: g, v: v, plans: g.plans.Load(), release: func() {}}
	var err error
	if c.who, err = g.o.Accounts.Resolve(v.Credential, v.Format, v.keySites()...); err != nil {
		return nil
	}
	if c.view = c.plans.Views[v.Site]; c.view == nil {
		return nil
	}
	v.Event.Account, v.Event.Key, v.Event.Test = c.who.Account.ID.String(), c.who.Key.ID.String(), c.who.Key.Test
	return c
}

// nobody is whoever asks where keys are not looked at.
var nobody = account.Principal{Account: &account.Account{}, Key: &account.Key{}}

// stranger reports whether nobody knows who is asking.
func (c *Caller) stranger() bool { return c.who.Account.ID == 0 }

func (v *Visit) keySites() []string {
	if len(v.KeySites) > 0 {
		return v.KeySites
	}
	return []string{v.Site}
}

// Who returns whose key asks; two empty parts where keys are not looked at.
func (c *Caller) Who() account.Principal { return c.who }

// Rate returns the throughput rule that is in force for the key.
func (c *Caller) Rate() limit.Rule { return throughput(c.who.Key.Limits, c.v.Limits) }

// throughput is a key's own rule, and the site's where it has none.
func throughput(own account.Limits, site limit.Rule) limit.Rule {
	r := limit.Rule{RPS: own.RPS, Burst: own.Burst, Requests: own.Requests, Per: own.Per, Concurrency: own.Concurrency, TokensPerMinute: own.TokensPerMinute}
	if r.RPS == 0 && r.Requests == 0 {
		r.RPS, r.Burst, r.Requests, r.Per = site.RPS, site.Burst, site.Requests, site.Per
	}
	if r.TokensPerMinute == 0 {
		r.TokensPerMinute = site.TokensPerMinute
	}
	if r.Concurrency == 0 {
		r.Concurrency = site.Concurrency
	}
	return r
}

func tooOften(x *limit.Exceeded) *fault.Error {
	code := fault.RateLimited
	if x.Source == limit.Concurrency {
		code = fault.ConcurrencyLimited
	}
	e := fault.New(code, "").With("limit", strconv.FormatInt(x.Limit, 10))
	if x.Per > 0 {
		e.With("per", x.Per.String())
	}
	e.RetryAfter, e.LimitSource = x.Wait, string(x.Source)
	if e.RetryAfter == 0 {
		e.RetryAfter = heldRetry // a slot may come free any moment
	}
	return e
}

// tooMany is the refusal of a request that is expected to use n tokens.
func tooMany(x *limit.Exceeded, n int64) *fault.Error {
	e := tooOften(x)
	e.Message = fmt.Sprintf("Too many tokens: %d per minute are allowed, and this request is expected to use %d.", x.Limit, n)
	return e
}

// Free gives back the slot that Enter took, once nothing is left to do but to
// send off the last bytes: whoever has them may send the next request. It may be
// called often.
func (c *Caller) Free() { c.release() }

// Leave gives back the slot that Enter took, and a claim that no charged answer
// has taken. It may be called once.
func (c *Caller) Leave() {
	c.claim.Release()
	c.release()
}

// Test reports whether the key is a test key.
func (c *Caller) Test() bool { return c.who.Key.Test }

// Balance is the account's posted balance, of the kind the key spends; nothing
// where nobody knows who is asking.
func (c *Caller) Balance() money.Amount {
	b := c.g.o.Ledger.Balance(int64(c.who.Account.ID))
	if c.who.Key.Test {
		return b.TestPosted
	}
	return b.Posted
}

// Models lists the models that this caller may name, sorted by id.
func (c *Caller) Models() []*catalog.Model {
	all := c.view.Models()
	if len(c.who.Key.Models) == 0 {
		return all
	}
	var some []*catalog.Model
	for _, m := range all {
		if c.who.Key.Allows(m.ID) {
			some = append(some, m)
		}
	}
	return some
}

// Knows reports whether there is such a model at this site.
func (c *Caller) Knows(model string) bool {
	_, ok := c.view.Model(model)
	return ok
}

// Refused records that the request ended with e, before or within Open, and
// gives back the claim.
func (c *Caller) Refused(e *fault.Error, status int) {
	c.claim.Release()
	if c.ended {
		return
	}
	how := classOf(e, false)
	c.record(how, how.fault(e), status, toNobody)
}

// record keeps the receipt of a request that cost nothing.
func (c *Caller) record(how class, code string, status int, sent reach) {
	ev := c.v.Event
	ev.Outcome = how.row().outcome
	if c.stranger() {
		return
	}
	r := c.receipt()
	r.Fault, r.Outcome, r.Status, r.Delivery = code, ev.Outcome, status, how.row().delivered(sent)
	c.g.o.Ledger.Record(r)
}

// receipt returns a receipt with what the event knows by now.
func (c *Caller) receipt() *ledger.Receipt {
	ev := c.v.Event
	r := &ledger.Receipt{
		ID:      c.v.ID,
		Account: int64(c.who.Account.ID),
		Key:     int64(c.who.Key.ID),
		Test:    c.who.Key.Test,
		Site:    ev.Site, Surface: ev.Surface, Model: ev.Model, AnsweredBy: ev.AnsweredBy,
		Stream:  ev.Stream,
		Started: ev.Start,
		Took:    max(c.g.o.Now().Sub(ev.Start), 0),
	}
	for _, a := range ev.Attempts {
		r.Attempts = append(r.Attempts, ledger.Attempt{Target: a.Target, Outcome: a.Outcome, Status: a.Status, Took: a.Took})
	}
	return r
}
