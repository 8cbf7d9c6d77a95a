package dash

import (
	"net/http"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// receiptJSON is all that is known of one request.
type receiptJSON struct {
	ID          string        `json:"id"`
	Account     *string       `json:"account"`
	Key         *string       `json:"key"`
	Test        bool          `json:"test"`
	Site        *string       `json:"site"`
	Surface     *string       `json:"surface"`
	Model       *string       `json:"model"`       // as the caller named it
	AnsweredBy  *string       `json:"answered_by"` // if another model answered
	Stream      bool          `json:"stream"`
	Outcome     string        `json:"outcome"`
	Status      int           `json:"status"`
	Fault       *string       `json:"fault"`
	Tokens      tokensJSON    `json:"tokens"`
	Estimated   bool          `json:"estimated"`
	HoldUSD     money.Amount  `json:"hold_usd"`
	ChargeUSD   money.Amount  `json:"charge_usd"`
	AbsorbedUSD money.Amount  `json:"absorbed_usd"`
	RefundedUSD money.Amount  `json:"refunded_usd"`
	Price       *string       `json:"price"` // names the rates of the lines
	Lines       []lineJSON    `json:"lines"`
	Attempts    []attemptJSON `json:"attempts"`
	Dropped     []string      `json:"dropped_params"` // as the caller's dialect names them
	Left        []string      `json:"dropped_output"`
	Delivery    string        `json:"delivery"`
	StartedAt   *time.Time    `json:"started_at"`
	MS          float64       `json:"ms"`
}

type tokensJSON struct {
	Input        int64 `json:"input"`
	CachedInput  int64 `json:"cached_input"`
	CacheWrite   int64 `json:"cache_write"`
	CacheWrite1h int64 `json:"cache_write_1h"`
	Output       int64 `json:"output"`
	Reasoning    int64 `json:"reasoning"`
}

func tokensOut(t ledger.Tokens) tokensJSON {
	return tokensJSON{t.Input, t.CachedInput, t.CacheWrite, t.CacheWrite1h, t.Output, t.Reasoning}
}

type lineJSON struct {
	Kind      string        `json:"kind"`
	Units     int64         `json:"units"`
	RateUSD   *money.Amount `json:"rate_usd"` // per million units; of request, for it; null: none
	AmountUSD money.Amount  `json:"amount_usd"`
}

type attemptJSON struct {
	Target  string  `json:"target"`
	Outcome string  `json:"outcome"`
	Status  *int    `json:"status"` // the provider's; null: none came
	MS      float64 `json:"ms"`
}

// millis is a duration in milliseconds, to the microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func receipt(r *ledger.Receipt) receiptJSON {
	out := receiptJSON{
		ID: obs.RequestID(r.ID).String(), Test: r.Test, Site: orNull(r.Site), Surface: orNull(r.Surface), Model: orNull(r.Model),
		AnsweredBy: orNull(r.AnsweredBy), Stream: r.Stream, Outcome: r.Outcome, Status: r.Status, Fault: orNull(r.Fault),
		Tokens: tokensOut(r.Usage), Estimated: r.Usage.Estimated, HoldUSD: r.Hold, ChargeUSD: r.Charge,
		AbsorbedUSD: r.Absorbed, RefundedUSD: r.Refunded, Price: orNull(r.Price), Lines: []lineJSON{}, Attempts: []attemptJSON{},
		Dropped: append([]string{}, r.Dropped...), Left: append([]string{}, r.Left...),
		Delivery: r.Delivery, StartedAt: stampOf(r.Started), MS: millis(r.Took),
	}
	if r.Account != 0 {
		out.Account = orNull(account.ID(r.Account).String())
	}
	if r.Key != 0 {
		out.Key = orNull(account.KeyID(r.Key).String())
	}
	for _, l := range r.Lines {
		line := lineJSON{Kind: l.Kind, Units: l.Units, AmountUSD: l.Amount}
		if l.Rated {
			rate := money.Amount(l.Rate)
			line.RateUSD = &rate
		}
		out.Lines = append(out.Lines, line)
	}
	for _, a := range r.Attempts {
		out.Attempts = append(out.Attempts, attemptJSON{a.Target, a.Outcome, orNull(a.Status), millis(a.Took)})
	}
	return out
}

func (s *server) getRequest(c *call) error {
	if err := c.query().done(); err != nil {
		return err
	}
	id, err := requestOf(c)
	if err != nil {
		return err
	}
	r, err := s.Ledger.Receipt(c.ctx(), id)
	if err != nil {
		return err
	}
	if r == nil {
		return noRequest()
	}
	return c.write(http.StatusOK, receipt(r))
}

// whose reads the parameters account and key.
func (q *query) whose() (acc account.ID, key account.KeyID) {
	if s := q.text("account"); s != "" {
		var err error
		if acc, err = account.ParseID(s); err != nil {
			q.bad(invalid("account", "%s", err))
		}
	}
	if s := q.text("key"); s != "" {
		var err error
		if key, err = account.ParseKeyID(s); err != nil {
			q.bad(invalid("key", "%s", err))
		}
	}
	return acc, key
}

// span reads the parameters from and to.
func (q *query) span() (from, to time.Time) {
	from, to = q.time("from"), q.time("to")
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		q.bad(invalid("to", "must not be before from"))
	}
	return from, to
}

func (s *server) listRequests(c *call) error {
	q := c.query()
	f := ledger.Filter{Model: q.text("model"), Outcome: q.text("outcome"), Limit: q.page(), Cursor: q.text("cursor")}
	f.From, f.To = q.span()
	acc, key := q.whose()
	f.Account, f.Key = int64(acc), int64(key)
	if err := q.done(); err != nil {
		return err
	}
	page, next, err := s.Ledger.Receipts(c.ctx(), f)
	if err != nil {
		return argument(err, "receipts: ", map[string]string{"cursor": "cursor"})
	}
	out := list[receiptJSON]{Data: []receiptJSON{}, Next: orNull(next)}
	for _, r := range page {
		out.Data = append(out.Data, receipt(r))
	}
	return c.write(http.StatusOK, out)
}
