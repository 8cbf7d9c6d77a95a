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
	ExtendUnchecked   Mutation = "extend_unchecked"    // an extension takes without looking at what is free
	WarningsForgotten Mutation = "warnings_forgotten"  // recovery does not know which balances were warned of
	EdgeIgnored       Mutation = "edge_ignored"        // every charge below the threshold warns
	FenceIgnored      Mutation = "fence_ignored"       // a batch is appended wherever the journal stands
	CommitAssumed     Mutation = "commit_assumed"      // an error of a commit is taken for success
	ClaimLapses       Mutation = "claim_lapses"        // a claim ends while its work goes on
	ExpireHeld        Mutation = "expire_held"         // a grant expires with what requests hold of it
	RevokeLost        Mutation = "revoke_lost"         // a charge that was revoked on its way stands
	AnswerPurged      Mutation = "answer_purged"       // answers are deleted before their time
	TurnsIgnored      Mutation = "turns_ignored"       // two may be about the same reference or refund at once
	VoidEarly         Mutation = "void_early"          // a durable hold is free before its end is on disk
)

// Mutations returns every mutation.
func Mutations() []Mutation {
	return []Mutation{
		HoldUnchecked, EarlyReply, EarlyRelease, LostFold, FoldBeforeReplay, DoubleApply, VoidKeeps,
		ReferenceIgnored, RefundUnbounded, ChargeAboveFunds, AdmissionDayMoves,
		AnswerIgnored, AnswerStands, StatementLost, HoldsForgotten, ExtendUnchecked, WarningsForgotten, EdgeIgnored,
		FenceIgnored, CommitAssumed, ClaimLapses, ExpireHeld, RevokeLost, AnswerPurged, TurnsIgnored, VoidEarly,
	}
}

// Mutated is for journals, which some mutations are about.
func Mutated(m Mutation) bool { return mutated(m) }
