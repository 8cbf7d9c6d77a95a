package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// What is known of the delivery of an answer.
const (
	DeliveryUnknown  = "unknown"  // charged; whether the last bytes left is not known
	DeliveryComplete = "complete" // the last bytes were handed to the network
	DeliveryPartial  = "partial"  // some of the answer was
	DeliveryNone     = "none"     // nothing was
)

// Line is one part of a charge.
type Line struct {
	Kind   string // input, cached_input, cache_write, output, request, …
	Units  int64
	Amount money.Amount
	Rate   money.Rate // per million units; of request, for it
	Rated  bool       // there is a rate: not where a plan pays, nor in receipts of layout 1
}

// Attempt is one try at one target.
type Attempt struct {
	Target  string // provider/model
	Outcome string // ok, or the name of a fault
	Status  int    // the provider's HTTP status; 0: none came
	Took    time.Duration
}

// Receipt is all that is known of one request afterwards.
type Receipt struct {
	ID           [16]byte // time-ordered UUID of the request
	Account, Key int64
	Test         bool
	Site         string
	Surface      string
	Model        string // as the caller named it
	AnsweredBy   string // model that answered, if it is another one
	Outcome      string
	Fault        string // name of the fault; empty: none
	Delivery     string // one of the deliveries; empty is unknown
	Status       int
	Stream       bool
	Usage        Tokens
	Hold         money.Amount // what was held
	Charge       money.Amount // what was charged
	Absorbed     money.Amount // cost above what could be charged
	Refunded     money.Amount // filled in when read
	Lines        []Line       // sum to Charge, unless some was absorbed
	Price        string       // names the rates that Lines were reckoned at; empty: none were
	Attempts     []Attempt
	Dropped      []string // members of the request that were left out as harmless; see [Names]
	Left         []string // kinds of output that the answer has no place for; see [Names]
	Started      time.Time
	Took         time.Duration
}

// Versions of the layout that Doc writes. Layout 1 has neither price nor rates, and
// layout 3 has what was left out; where nothing was, layout 2 says all.
const (
	receiptLayout = 2
	leavingLayout = 3
)

// Bounds of what a receipt says was left out.
const (
	MaxLeft     = 32  // names in one list; the next element counts the others
	MaxLeftName = 128 // bytes of one name
)

// Names returns names as a receipt keeps them: the first MaxLeft, each cut to
// MaxLeftName bytes of valid UTF-8, and behind them "and N more" if there are more.
func Names(all []string) []string {
	if len(all) == 0 {
		return nil
	}
	out := make([]string, 0, min(len(all), MaxLeft+1))
	for _, s := range all[:min(len(all), MaxLeft)] {
		out = append(out, strings.ToValidUTF8(s[:min(len(s), MaxLeftName)], ""))
	}
	if n := len(all) - MaxLeft; n > 0 {
		out = append(out, "and "+strconv.Itoa(n)+" more")
	}
	return out
}

// Doc packs the fields of the receipt that have no column of their own.
func (r *Receipt) Doc() []byte {
	w := writer{b: make([]byte, 0, 96+len(r.Site)+len(r.Surface)+len(r.AnsweredBy)+32*len(r.Lines)+48*len(r.Attempts))}
	leaves := len(r.Dropped)+len(r.Left) > 0
	if leaves {
		w.b = append(w.b, leavingLayout)
	} else {
		w.b = append(w.b, receiptLayout)
	}
	w.string(r.Site)
	w.string(r.Surface)
	w.string(r.AnsweredBy)
	w.string(r.Fault)
	w.int(int64(r.Status))
	w.bool(r.Stream)
	w.tokens(&r.Usage)
	w.int(int64(len(r.Lines)))
	for _, l := range r.Lines {
		w.string(l.Kind)
		w.int(l.Units)
		w.int(int64(l.Amount))
		w.bool(l.Rated)
		w.int(int64(l.Rate))
	}
	w.string(r.Price)
	w.int(int64(len(r.Attempts)))
	for _, a := range r.Attempts {
		w.string(a.Target)
		w.string(a.Outcome)
		w.int(int64(a.Status))
		w.dur(a.Took)
	}
	w.dur(r.Took)
	if leaves {
		w.strings(r.Dropped)
		w.strings(r.Left)
	}
	return w.b
}

// SetDoc fills in the fields that [Receipt.Doc] packed.
func (r *Receipt) SetDoc(b []byte) error {
	d := reader{b: b}
	v := d.byte()
	if v < 1 || v > leavingLayout {
		return fmt.Errorf("receipt %x: unknown layout %d", r.ID, v)
	}
	r.Site = d.string()
	r.Surface = d.string()
	r.AnsweredBy = d.string()
	r.Fault = d.string()
	r.Status = int(d.int())
	r.Stream = d.bool()
	r.Usage = d.tokens()
	r.Lines, r.Price, r.Attempts, r.Dropped, r.Left = nil, "", nil, nil, nil
	for range d.count() {
		l := Line{Kind: d.string(), Units: d.int(), Amount: money.Amount(d.int())}
		if v >= 2 {
			l.Rated, l.Rate = d.bool(), money.Rate(d.int())
		}
		r.Lines = append(r.Lines, l)
	}
	if v >= 2 {
		r.Price = d.string()
	}
	for range d.count() {
		r.Attempts = append(r.Attempts, Attempt{Target: d.string(), Outcome: d.string(), Status: int(d.int()), Took: d.dur()})
	}
	r.Took = d.dur()
	if v >= leavingLayout {
		r.Dropped, r.Left = d.strings(), d.strings()
	}
	if err := d.end(); err != nil {
		return fmt.Errorf("receipt %x: %w", r.ID, err)
	}
	return nil
}

// ReceiptRow is a receipt as a [Journal] stores it.
type ReceiptRow struct {
	ID           [16]byte
	Seq          int64 // the usage entry; 0: nothing was charged
	Account, Key int64
	Test         bool
	Model        string
	Outcome      string
	Delivery     string
	Started      time.Time
	Hold         money.Amount
	Charge       money.Amount
	Absorbed     money.Amount
	Refunded     money.Amount
	Doc          []byte
}

// row packs the receipt. It keeps nothing of r that may change.
func (r *Receipt) row() *ReceiptRow {
	return &ReceiptRow{
		ID: r.ID, Account: r.Account, Key: r.Key, Test: r.Test, Model: r.Model, Outcome: r.Outcome,
		Delivery: r.Delivery, Started: r.Started, Hold: r.Hold, Charge: r.Charge, Absorbed: r.Absorbed, Doc: r.Doc(),
	}
}

// Receipt unpacks the row.
func (w *ReceiptRow) Receipt() (*Receipt, error) {
	r := &Receipt{
		ID: w.ID, Account: w.Account, Key: w.Key, Test: w.Test, Model: w.Model, Outcome: w.Outcome,
		Delivery: w.Delivery, Started: w.Started, Hold: w.Hold, Charge: w.Charge, Absorbed: w.Absorbed, Refunded: w.Refunded,
	}
	if r.Delivery == "" {
		r.Delivery = DeliveryUnknown
	}
	if err := r.SetDoc(w.Doc); err != nil {
		return nil, err
	}
	return r, nil
}

// OutcomeAborted is the outcome of a request whose charge was taken back.
const OutcomeAborted = "aborted"

// abort returns what the receipt says once its charge is taken back. unrecorded: the
// charge was not on disk in time; otherwise the answer could not be made of it.
func (w *ReceiptRow) abort(unrecorded bool) (*Aborted, error) {
	r, err := w.Receipt()
	if err != nil {
		return nil, err
	}
	// The names are those of internal/fault. The head of a stream has left before.
	status := 500
	if r.Fault = "internal"; unrecorded {
		r.Fault, status = "ledger_unavailable", 503
	}
	if !r.Stream {
		r.Status = status
	}
	return &Aborted{ID: r.ID, Doc: r.Doc()}, nil
}
