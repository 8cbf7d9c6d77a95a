package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Kind says what an entry is for, and thereby which two accounts it moves money
// between.
type Kind string

// The kinds of entries.
const (
	KindUsage    Kind = "usage"    // user → revenue
	KindTopup    Kind = "topup"    // cash → user
	KindGrant    Kind = "grant"    // promotion → user; may expire
	KindRefund   Kind = "refund"   // revenue → user; names the request it refunds
	KindAdjust   Kind = "adjust"   // adjustment → user, by the operator
	KindExpire   Kind = "expire"   // user → promotion: what was left of an expired grant
	KindAbsorbed Kind = "absorbed" // absorbed → revenue: cost above what could be charged; no balance moves
	KindReduce   Kind = "reduce"   // user → adjustment: an adjust with a negative amount
)

// kinds holds every kind at its number in the journal.
var kinds = [...]Kind{1: KindUsage, 2: KindTopup, 3: KindGrant, 4: KindRefund, 5: KindAdjust, 6: KindExpire, 7: KindAbsorbed, 9: KindReduce}

// Number returns the kind's number in the journal, or 0 for an unknown kind.
// Number 8 stays reserved: statements, which replace pruned entries, have a table
// of their own.
func (k Kind) Number() int64 {
	return int64(max(slices.Index(kinds[:], k), 0))
}

// KindOf is the reverse of [Kind.Number]. It returns "" for an unknown number.
func KindOf(n int64) Kind {
	if n < 0 || n >= int64(len(kinds)) {
		return ""
	}
	return kinds[n]
}

// Day is a day of UTC, counted from 1970-01-01.
type Day int32

// DayOf returns the day that t is in.
func DayOf(t time.Time) Day {
	s := t.Unix()
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return Day(d)
}

// Start returns 00:00 UTC of the day.
func (d Day) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String formats the day as 2006-01-02.
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// Tokens is what an answer used. The classes of one side are disjoint parts of
// its total: Input includes the three cache classes, and Reasoning is a part of
// Output. The fields are those of llm.Usage in its order.
type Tokens struct {
	Input        int64
	CachedInput  int64
	CacheWrite   int64
	CacheWrite1h int64
	Output       int64
	Reasoning    int64
	Estimated    bool
}

// Entry is one immutable movement of money in the journal.
type Entry struct {
	Seq       int64     // place in the journal, from 1, without gaps; given by the engine
	Time      time.Time // when it was written
	Kind      Kind
	Account   int64
	Key       int64 // 0 for entries that no key caused
	Test      bool  // moves the test balance
	Day       Day   // usage: the day the request was admitted; otherwise the day of Time
	Amount    money.Amount
	Request   [16]byte  // usage, absorbed and refund: the request
	Model     string    // usage, absorbed and refund
	Classes   []string  // usage: the plan classes it counted in
	Tokens    Tokens    // usage
	Grant     int64     // expire: the entry of the grant
	ExpiresAt time.Time // grant: zero if it does not expire
	Reference string    // credits: the caller's own reference, unique in its account
	Note      string
	Actor     Actor    // who caused it; empty: written before that was noted
	Seal      [16]byte // usage: of the receipt; zero: written before there were seals
}

// Actor is who caused an entry: [ActorOperator], [ActorOperator] with a name after
// a colon, [ActorKey] or [ActorSystem].
type Actor string

// The actors.
const (
	ActorOperator Actor = "operator" // whoever has the admin token
	ActorKey      Actor = "key"      // the entry's key, by using it
	ActorSystem   Actor = "system"   // an expiry, or what the gateway takes back itself
)

const maxActorName = 64 // bytes

// Operator returns the operator of that name; the empty name is that of one who
// gave none. The name must be at most 64 visible characters of ASCII.
func Operator(name string) (Actor, error) {
	a := ActorOperator
	if name != "" {
		a += Actor(":" + name)
	}
	return a, a.check()
}

func (a Actor) check() error {
	kind, name, named := strings.Cut(string(a), ":")
	switch Actor(kind) {
	case "", ActorKey, ActorSystem:
		if named {
			return fmt.Errorf("%q has no name", kind)
		}
	case ActorOperator:
		if named && (name == "" || len(name) > maxActorName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })) {
			return fmt.Errorf("must be 1 to %d visible characters of ASCII", maxActorName)
		}
	default:
		return fmt.Errorf("%q is none", kind)
	}
	return nil
}

// Effect returns what the entry adds to its balance.
func (e *Entry) Effect() money.Amount {
	switch e.Kind {
	case KindUsage, KindExpire, KindReduce:
		return -e.Amount
	case KindTopup, KindGrant, KindRefund, KindAdjust:
		return e.Amount
	case KindAbsorbed:
	}
	return 0
}

// counters returns the counters that the entry counts in. All of them belong to
// its account.
func (e *Entry) counters() []CounterID {
	if e.Kind != KindUsage {
		return nil
	}
	ids := make([]CounterID, 0, 1+len(e.Classes))
	if e.Key != 0 {
		ids = append(ids, CounterID{Day: e.Day, Scope: ScopeKey, ID: e.Key})
	}
	for _, class := range e.Classes {
		ids = append(ids, CounterID{Day: e.Day, Scope: planScope(e.Test), ID: e.Account, Class: class})
	}
	return ids
}

// usage returns the line of the usage report that the entry is part of.
func (e *Entry) usage() (UsageID, bool) {
	switch e.Kind {
	case KindUsage, KindRefund, KindAbsorbed:
		return UsageID{Day: e.Day, Account: e.Account, Key: e.Key, Test: e.Test, Model: e.Model}, true
	case KindTopup, KindGrant, KindAdjust, KindExpire, KindReduce:
	}
	return UsageID{}, false
}

// Versions of the layout that Detail writes: that of entries with a seal is one
// more. Layout 1 has no actor.
const entryLayout, sealedLayout = 2, 3

// Detail packs the fields of the entry that have no column of their own.
func (e *Entry) Detail() []byte {
	w := writer{b: make([]byte, 0, 72+len(e.Model)+len(e.Reference)+len(e.Note))}
	w.b = append(w.b, entryLayout)
	w.string(e.Model)
	w.strings(e.Classes)
	w.tokens(&e.Tokens)
	w.int(e.Grant)
	w.time(e.ExpiresAt)
	w.string(e.Reference)
	w.string(e.Note)
	w.string(string(e.Actor))
	if e.Seal != [16]byte{} {
		w.b[0] = sealedLayout
		w.b = append(w.b, e.Seal[:]...)
	}
	return w.b
}

// SetDetail fills in the fields that [Entry.Detail] packed. Strings and classes that
// the entry has already are kept: most are those of the entry before.
func (e *Entry) SetDetail(b []byte) error {
	r := reader{b: b}
	v := r.byte()
	if v < 1 || v > sealedLayout {
		return fmt.Errorf("entry %d: detail: unknown layout %d", e.Seq, v)
	}
	e.Model = r.sameString(e.Model)
	e.Classes = r.sameStrings(e.Classes)
	e.Tokens = r.tokens()
	e.Grant = r.int()
	e.ExpiresAt = r.time()
	e.Reference = r.string()
	e.Note = r.string()
	if v >= 2 {
		e.Actor = Actor(r.sameString(string(e.Actor)))
	} else {
		e.Actor = ""
	}
	e.Seal = [16]byte{}
	if v == sealedLayout {
		r.bytes(e.Seal[:])
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("entry %d: detail: %w", e.Seq, err)
	}
	return nil
}
