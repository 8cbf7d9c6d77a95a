package gate

import (
	"context"
	"errors"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
)

// The outcomes of a request, as receipts and metrics name them.
const (
	OutcomeOK          = "ok"
	OutcomeClientLeft  = "client_left"
	OutcomeBlocked     = "blocked"
	OutcomeRefused     = "refused"
	OutcomeFailed      = "failed"
	OutcomeEmpty       = "empty"
	OutcomeInterrupted = "interrupted"
	OutcomeAborted     = "aborted"
	OutcomeReplayed    = "replayed"
)

// owes is what a caller owes for a request.
type owes uint8

const (
	nothing  owes = iota // no money, and no request of any daily quota
	used                 // what the answer used
	produced             // the prompt and what was produced until it broke off, at most what was held
)

// reach is how much of an answer gets to the caller.
type reach uint8

const (
	toNobody reach = iota
	toWhereItBroke
	toTheEnd
)

// class is a way in which a request can end: a row of the table.
type class uint8

const (
	classOK class = iota
	classThought
	classCut
	classLeftAfter
	classDrained
	classLeftMidway
	classLeftWaiting
	classLeftEarly
	classBlocked
	classEmpty
	classFailed
	classInterrupted
	classAborted
	classUnrecorded
	classRefused
	classReplayed
	classCounted
	classes
)

// row is what follows from a class.
type row struct {
	when     string
	outcome  string
	owes     owes
	delivery reach // at most
	alone    bool  // nobody is left who could be told that the charge failed
}

// endings is the table of endings: it alone decides what a request costs.
// docs/ledger.md shows it.
var endings = [classes]row{
	classOK:          {"the answer came to its end: stop, length, tool calls", OutcomeOK, used, toTheEnd, false},
	classThought:     {"the caller's own limit was reached while the model was thinking, before a word", OutcomeOK, used, toTheEnd, false},
	classCut:         {"the balance was used up midway, and we ended the answer there as by length", OutcomeOK, produced, toTheEnd, false},
	classLeftAfter:   {"the caller left behind the last word of an answer, before its end", OutcomeOK, used, toWhereItBroke, true},
	classDrained:     {"the caller left, and his key wants it read to its end, or he can come back for it with his Idempotency-Key", OutcomeOK, used, toWhereItBroke, false},
	classLeftMidway:  {"the caller left in the middle", OutcomeClientLeft, produced, toWhereItBroke, true},
	classLeftWaiting: {"the caller left after a provider had accepted the request, before content", OutcomeClientLeft, produced, toNobody, true},
	classLeftEarly:   {"the caller left before a provider had accepted the request", OutcomeClientLeft, nothing, toNobody, false},
	classBlocked:     {"a policy block, a content filter, or a refusal in place of the answer", OutcomeBlocked, nothing, toTheEnd, false},
	classEmpty:       {"every provider that was asked answered with nothing", OutcomeEmpty, nothing, toNobody, false},
	classFailed:      {"no provider gave content: errors, time-outs, errors within a 200", OutcomeFailed, nothing, toNobody, false},
	classInterrupted: {"it failed in the middle: the provider broke off, or said an error", OutcomeInterrupted, nothing, toWhereItBroke, false},
	classAborted:     {"we broke off: a defect, a shutdown", OutcomeAborted, nothing, toWhereItBroke, false},
	classUnrecorded:  {"the charge was not on disk within ten seconds; it is taken back", OutcomeAborted, nothing, toWhereItBroke, false},
	classRefused:     {"we said no", OutcomeRefused, nothing, toNobody, false},
	classReplayed:    {"the Idempotency-Key stood for an answer", OutcomeReplayed, nothing, toTheEnd, false},
	classCounted:     {"tokens were counted", OutcomeOK, nothing, toTheEnd, false},
}

func (c class) row() *row { return &endings[c] }

// delivered is what the receipt says of the delivery when the request ends, if
// so much was sent by then, or will be.
func (r *row) delivered(sent reach) string {
	switch min(r.delivery, sent) {
	case toTheEnd:
		if r.owes == nothing {
			return ledger.DeliveryComplete
		}
		return ledger.DeliveryUnknown // until the last bytes have left
	case toWhereItBroke:
		return ledger.DeliveryPartial
	}
	return ledger.DeliveryNone
}

// classOf is how a request ends with e, before content or, midway, after.
func classOf(e *fault.Error, midway bool) class {
	switch {
	case e.Code == fault.Draining: // whose cause is a cancelled context, too
		return classAborted
	case errors.Is(e, context.Canceled):
		return classLeftEarly
	case e.Code == fault.ContentPolicy:
		return classBlocked
	case e.Code == fault.Internal:
		return classAborted
	case midway:
		return classInterrupted
	case e.Code == fault.EmptyResponse:
		return classEmpty
	case e.Code.Entry().Class == fault.ClassUpstream:
		return classFailed
	}
	return classRefused
}

// fault is the code of e in the receipt. Who leaves ends the provider's work, and
// nobody is at fault.
func (c class) fault(e *fault.Error) string {
	if c == classLeftEarly {
		return ""
	}
	return e.Code.String()
}

// finished is how a call ends whose answer came to its end.
func (call *Call) finished() class {
	switch {
	case call.hold == nil:
		return classCounted
	case call.blocked():
		return classBlocked
	case call.cut:
		return classCut
	case call.away():
		return classDrained
	case call.finish == llm.FinishLength && !call.said && !call.refused:
		return classThought
	}
	return classOK
}

// left is how a call ends whose caller has left, before its answer was read to
// its end. What we break off ourselves meanwhile is not the caller's bill.
func (call *Call) left() class {
	switch {
	case call.hold == nil:
		return classLeftEarly
	case call.blocked():
		return classBlocked
	case call.over(), call.cut:
		return classLeftAfter
	case call.c.g.o.Base.Err() != nil:
		return classAborted
	case call.answer == nil:
		return classLeftWaiting
	}
	return classLeftMidway
}

// away reports whether the caller has left, and not we who end his request.
func (call *Call) away() bool {
	return call.caller != nil && call.caller.Err() != nil && call.c.g.o.Base.Err() == nil
}
