package ledger

// Mutation is a deliberate mistake that a build with the tag "mutation" makes
// when the environment variable PONTAGE_MUTATION names it. Tests that are worth
// their time fail then. In every other build the compiler removes it.
type Mutation string

// The mutations.
const (
	HoldUnchecked     Mutation = "hold_unchecked"      // a hold takes without looking at what is free
	EarlyReply        Mutation = "early_reply"         // Settle returns before the commit
	EarlyRelease      Mutation = "early_release"       // held drops before the commit
	LostFold          Mutation = "lost_fold"           // a fold skips its rows but moves the watermark
	FoldBeforeReplay  Mutation = "fold_before_replay"  // recovery moves the watermark and forgets to fold the tail
	DoubleApply       Mutation = "double_apply"        // recovery applies entries that a row already has
	VoidKeeps         Mutation = "void_keeps"          // Void gives nothing back
	ReferenceIgnored  Mutation = "reference_ignored"   // the same reference makes a second credit
	RefundUnbounded   Mutation = "refund_unbounded"    // refunds may exceed the charge
	ChargeAboveFunds  Mutation = "charge_above_funds"  // Settle charges the actual cost whatever is there
	AdmissionDayMoves Mutation = "admission_day_moves" // a charge counts on the day it settles
	AnswerIgnored     Mutation = "answer_ignored"      // a claim does not ask the journal
	AnswerStands      Mutation = "answer_stands"       // a revoked charge leaves its answer
	StatementLost     Mutation = "statement_lost"      // pruning drops what it should sum up
	HoldsForgotten    Mutation = "holds_forgotten"     // recovery does not take durable holds again
)

// Mutations returns every mutation.
func Mutations() []Mutation {
	return []Mutation{
		HoldUnchecked, EarlyReply, EarlyRelease, LostFold, FoldBeforeReplay, DoubleApply, VoidKeeps,
		ReferenceIgnored, RefundUnbounded, ChargeAboveFunds, AdmissionDayMoves,
		AnswerIgnored, AnswerStands, StatementLost, HoldsForgotten,
	}
}
