package wire

import (
	"context"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// Gateway is all that the edge needs of the rest of the house.
type Gateway interface {
	// Enter finds out who is calling and whether they may, now, as far as the
	// headers tell: key, kind of key, throughput. It returns a *fault.Error,
	// and with it the Caller if it is somebody who is known. A Caller must be
	// given back with Leave.
	Enter(ctx context.Context, v Visit) (Caller, error)
	// Recognize returns who is calling at a path or with a method that there is
	// not, for what every answer to him tells; nil: nobody who is known. It
	// takes nothing that would have to be given back.
	Recognize(v Visit) Caller
}

// Visit is what the headers of a request say.
type Visit struct {
	Site       *Site
	Route      contract.Route
	Credential string
	ID         obs.RequestID
	Event      *obs.Event // filled in along the way
}

// Caller is somebody with a key that is good here.
type Caller interface {
	// Open admits one request to its end: price, hold, provider. It returns
	// when content is in hand, or with a *fault.Error and nothing spent.
	Open(ctx context.Context, r *llm.Request, w Wishes) (Call, error)
	// Concerns takes note of what the request is for, as far as it could be read,
	// for what [Caller.Quota] says of it before Open.
	Concerns(r *llm.Request)
	// Claim claims an idempotency key for this one request, with the digest of
	// what is asked. If the key stands for an answer already, that is returned
	// instead; if the same request is being answered, Claim waits for that.
	// Otherwise the claim is the caller's until Leave, or until an answer that
	// was charged has taken it. It returns a *fault.Error: IdempotencyMismatch,
	// IdempotencyInProgress after wait, LedgerUnavailable.
	Claim(ctx context.Context, key string, digest [32]byte, wait time.Duration) (*Kept, error)
	// Replayed records that the request was answered by what was kept.
	Replayed(k *Kept)
	// Who is whose key asks; its parts are empty where keys are not looked at.
	Who() account.Principal
	// Rate is the throughput rule in force for the key.
	Rate() limit.Rule
	// Quota is the daily quota that the request counts in, as far as that is
	// known by now.
	Quota() contract.Limits
	// Allowances is what is left of every limit of requests or tokens by time
	// that the request counts in, as far as that is known by now; nil: of none.
	Allowances() []limit.Allowance
	// Models lists the models this caller may name.
	Models() []Model
	// Knows reports whether there is such a model, allowed to this caller or not.
	Knows(model string) bool
	// Test reports whether the key is a test key, whose requests reach nobody.
	Test() bool
	// Balance is the caller's posted balance. known is false where nobody knows
	// who is asking.
	Balance() (posted money.Amount, known bool)
	// Refused records that the request ended with e, before or within Open.
	// status is what the caller was sent; 499: the caller had left.
	Refused(e *fault.Error, status int)
	// Free gives back, of what Enter took, the place among the requests in
	// flight: whoever has the last bytes of an answer may send the next request.
	// It may be called often.
	Free()
	// Leave gives back what Enter took. It may be called once.
	Leave()
}

// Wishes are what a caller asks of one request beside what it says.
type Wishes struct {
	FullOutput bool // rather refuse than cap the output at what can be paid
	Impatient  bool // the caller's own client is already retrying
	NoFallback bool // neither another model nor another provider, if the first cannot answer
	Sticky     bool // the same, since that would lose what the provider has cached

	Models   []string // to ask after the request's own, in place of the configured fallbacks
	ModelsAt string   // the member that names them

	Order      []string   // providers that come first, in order
	Only       []string   // providers that may answer; empty: all
	OnlyAt     string     // the member or header that names them
	Ignore     []string   // providers that may not
	Sort       string     // order of targets in place of the model's: least_latency or least_cost; empty: the model's
	MaxInput   money.Rate // dearest price of a prompt, per million tokens; 0: any
	MaxOutput  money.Rate // dearest price of an answer, per million tokens; 0: any
	MaxRequest money.Amount
	MaxPriceAt string // the member that names them
	Selects    bool   // he chooses among the providers, by name or by their order: that may cost more
	Suffix     string // of the model's name, by which he does; empty: none
	Caching    bool   // the conversation stays where its prompt is cached, whatever the model says

	MaxImage      money.Amount // dearest price of an image; 0: any
	MaxCharacters money.Rate   // dearest price of a million characters of speech; 0: any
	MaxMinute     money.Amount // dearest price of a minute of sound that is heard; 0: any

	Session  string        // what the caller calls the conversation; empty: he does not
	Patience time.Duration // how long his client waits; 0: unknown
}

// routes reports whether the caller has a say in where the request goes.
func (w *Wishes) routes() bool {
	return w.Selects || w.NoFallback || w.Sticky || w.Caching || len(w.Models) > 0 || w.MaxPriceAt != ""
}

// Kept is an answer that an idempotency key stands for.
type Kept struct {
	Status  int
	Header  [][2]string
	Body    []byte
	Whole   bool     // false: the answer was too large to keep, and only the fact is known
	Request [16]byte // that was charged for it
}

// Model is one row of a models list.
type Model struct {
	ID        string
	Name      string
	OwnedBy   string
	Class     string
	Kind      string    // what it does, as the catalogue has it: chat, embedding, image, …
	Created   time.Time // zero: unknown
	Context   int64     // tokens; 0: unknown
	MaxOutput int64

	PerToken, PerRequest         bool // how it is charged
	Input, Output                money.Rate
	Request                      money.Amount
	Vision, Files, Audio, Video  bool
	Tools, Reasoning, JSONSchema bool
}

// Call is one answer that is being paid for. It belongs to one goroutine, and
// ends with exactly one of Finish, Left and Fail; Close ends one that has not,
// free of charge.
type Call interface {
	// Terms says what is known before the first byte.
	Terms() Terms
	// Next is that of llm.Stream; its errors are *fault.Error.
	Next() (llm.Event, error)
	// Finish charges for an answer whose stream has come to its end. When it
	// returns, the charge is durable. keep, if it is not nil, is called with the
	// bill before that, and what it returns is kept for the key that was claimed;
	// its error ends the call free of charge.
	Finish(keep func(Bill) (*Kept, error)) (Bill, error)
	// TakeBack takes the charge of Finish back, where the caller is told a
	// failure after all, and returns what stands of it: nothing, unless the
	// ledger cannot.
	TakeBack() money.Amount
	// Drains reports whether the answer is to be read to its end although the
	// caller has left.
	Drains() bool
	// Left charges for what was produced until the caller left.
	Left()
	// Fail ends the call free of charge. status is what the caller was sent;
	// 0: a status that was sent before, 499: the caller had left.
	Fail(e *fault.Error, status int)
	// Delivered records that the last bytes have left after Finish.
	Delivered()
	Close()
}

// Terms is what a caller is told about an answer before it begins.
type Terms struct {
	Request  *llm.Request // as it is answered: to another model, where a fallback had to
	CappedBy string       // "balance" if the output is capped at what can be paid
	Dropped  []string     // parameters that were dropped as harmless

	Tried []contract.Tried // models, in order, where the request names several
}

// Bill is what an answer cost.
type Bill struct {
	Charge  money.Amount
	Balance money.Amount // posted, after this charge
	Usage   llm.Usage
	Model   string
}
