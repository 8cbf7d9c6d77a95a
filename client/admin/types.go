package admin

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// Account is who pays.
type Account struct {
	ID               string    `json:"id"`
	Name             string    `json:"name"`
	Plan             Text      `json:"plan"`   // empty: none
	Status           string    `json:"status"` // active or suspended
	BalanceUSD       string    `json:"balance_usd"`
	HeldUSD          string    `json:"held_usd"` // by requests in flight
	AvailableUSD     string    `json:"available_usd"`
	TestBalanceUSD   string    `json:"test_balance_usd"`
	TestHeldUSD      string    `json:"test_held_usd"`
	TestAvailableUSD string    `json:"test_available_usd"`
	WarnBelowUSD     Text      `json:"warn_below_usd"` // "0.00": never; empty: the site's
	CreatedAt        time.Time `json:"created_at"`
}

// AccountPatch is what to change of an account; nil leaves alone.
type AccountPatch struct {
	Name   *string `json:"name,omitempty"`
	Plan   *string `json:"plan,omitempty"`
	Status *string `json:"status,omitempty"` // active or suspended

	WarnBelowUSD *Text `json:"warn_below_usd,omitempty"` // "0": never; empty: the site's
}

// Text is text that may be missing: empty, it is null.
type Text string

// MarshalJSON writes a string, or null.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// NewCredit is money to add. The same reference twice is one entry.
type NewCredit struct {
	AmountUSD string     `json:"amount_usd"`
	Kind      string     `json:"kind"` // topup, grant or adjust
	Test      bool       `json:"test,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // of a grant
	Reference string     `json:"reference,omitempty"`
	Note      string     `json:"note,omitempty"`
}

// NewRefund is what to give back. The same reference twice is one entry.
type NewRefund struct {
	AmountUSD string `json:"amount_usd,omitempty"` // empty: all that is left
	Reference string `json:"reference,omitempty"`  // unique in the account, credits included
	Note      string `json:"note"`
}

// Entry is one line of the ledger.
type Entry struct {
	Entry      int64      `json:"entry"` // its place in the journal
	Account    string     `json:"account"`
	Kind       string     `json:"kind"`
	AmountUSD  string     `json:"amount_usd"` // negative: taken from the account
	Test       bool       `json:"test"`
	Request    Text       `json:"request"` // of a refund; empty: none
	ExpiresAt  *time.Time `json:"expires_at"`
	Reference  Text       `json:"reference"`
	Note       Text       `json:"note"`
	Actor      Text       `json:"actor"` // operator, operator:NAME, key:ID or system; empty: not known
	CreatedAt  *time.Time `json:"created_at"`
	BalanceUSD string     `json:"balance_usd"` // now, of the balance that was moved
}

// Limits are the limits of a key; zero values are none.
type Limits struct {
	RPS             float64 `json:"rps,omitempty"`
	Burst           int64   `json:"burst,omitempty"`
	Requests        int64   `json:"requests,omitempty"` // in any window of Per
	Per             string  `json:"per,omitempty"`      // "60s"
	TokensPerMinute int64   `json:"tokens_per_minute,omitempty"`
	RequestsPerDay  int64   `json:"requests_per_day,omitempty"`
	USDPerDay       string  `json:"usd_per_day,omitempty"`
	Concurrency     int64   `json:"concurrency,omitempty"`
}

// NewKey is a key to make.
type NewKey struct {
	Name         string     `json:"name"`
	Kind         string     `json:"kind,omitempty"` // inference or billing; empty: inference
	Site         string     `json:"site,omitempty"` // host; empty: every site
	Test         bool       `json:"test,omitempty"`
	Limits       *Limits    `json:"limits,omitempty"`
	Models       []string   `json:"models,omitempty"` // globs; empty: all
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	OnDisconnect string     `json:"on_disconnect,omitempty"` // cancel or drain
}

// Key is a credential. Key holds its text only in the answer that made it.
type Key struct {
	ID           string     `json:"id"`
	Key          string     `json:"key,omitempty"`
	Prefix       string     `json:"prefix"`
	Account      string     `json:"account"`
	Name         string     `json:"name"`
	Kind         string     `json:"kind"`
	Site         Text       `json:"site"`
	Test         bool       `json:"test"`
	Active       bool       `json:"active"`
	Limits       Limits     `json:"limits"`
	Models       []string   `json:"models"`
	OnDisconnect string     `json:"on_disconnect"`
	ExpiresAt    *time.Time `json:"expires_at"`
	RevokedAt    *time.Time `json:"revoked_at"`
	CreatedAt    time.Time  `json:"created_at"`
}

// KeyPatch is what to change of a key; nil leaves alone. Limits are merged, and
// those that NoLimits names ("rps", "per", …) are taken off.
type KeyPatch struct {
	Active   *bool     `json:"active,omitempty"`
	Limits   *Limits   `json:"limits,omitempty"`
	NoLimits []string  `json:"-"`
	Models   *[]string `json:"models,omitempty"`
	Name     *string   `json:"name,omitempty"`
}

// MarshalJSON writes a limit that is taken off as null.
func (p KeyPatch) MarshalJSON() ([]byte, error) {
	type plain KeyPatch
	if len(p.NoLimits) == 0 {
		return json.Marshal(plain(p))
	}
	limits := map[string]json.RawMessage{}
	if p.Limits != nil {
		b, err := json.Marshal(p.Limits)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &limits); err != nil {
			return nil, err
		}
	}
	for _, name := range p.NoLimits {
		limits[name] = nil
	}
	return json.Marshal(struct {
		plain
		Limits map[string]json.RawMessage `json:"limits"`
	}{plain(p), limits})
}

// Counter is one limit and what is used of it.
type Counter struct {
	Counter  string     `json:"counter"` // balance_usd, requests_per_day, usd_per_day, …
	Key      Text       `json:"key"`     // empty: the account's own
	Class    Text       `json:"class"`   // of the plan
	Test     bool       `json:"test"`
	Limit    Quantity   `json:"limit"` // empty: no limit
	Used     Quantity   `json:"used"`
	Held     Quantity   `json:"held"`
	Per      Text       `json:"per"` // window of a throughput limit
	ResetsAt *time.Time `json:"resets_at"`
}

// Quantity is a number or an amount of money, as decimal text. Money has a point
// in it: "0.00". Empty, it is null.
type Quantity string

// MarshalJSON writes a number, an amount of money as a string, or null.
func (q Quantity) MarshalJSON() ([]byte, error) {
	if q == "" || strings.Contains(string(q), ".") {
		return json.Marshal(Text(q))
	}
	return json.Marshal(json.Number(q))
}

// UnmarshalJSON takes a number, a string or null.
func (q *Quantity) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*q = ""
		return nil
	}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(q))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*q = Quantity(n)
	return nil
}

// Receipt is all that is known of one request. Empty text is what is not known
// or was not there.
type Receipt struct {
	ID          string     `json:"id"`
	Account     Text       `json:"account"`
	Key         Text       `json:"key"`
	Test        bool       `json:"test"`
	Site        Text       `json:"site"`
	Surface     Text       `json:"surface"`
	Model       Text       `json:"model"`       // as the caller named it
	AnsweredBy  Text       `json:"answered_by"` // if another model answered
	Stream      bool       `json:"stream"`
	Outcome     string     `json:"outcome"`
	Status      int        `json:"status"`
	Fault       Text       `json:"fault"`
	Tokens      Tokens     `json:"tokens"`
	Estimated   bool       `json:"estimated"`
	HoldUSD     string     `json:"hold_usd"`
	ChargeUSD   string     `json:"charge_usd"`
	AbsorbedUSD string     `json:"absorbed_usd"` // cost above what could be charged
	RefundedUSD string     `json:"refunded_usd"`
	Price       Text       `json:"price"` // names the rates of Lines; empty: none
	Lines       []Line     `json:"lines"` // what was used at its price; more than the charge where some was absorbed
	Attempts    []Attempt  `json:"attempts"`
	Dropped     []string   `json:"dropped_params"` // members of the request that were left out as harmless; at most 32, and "and N more"
	Left        []string   `json:"dropped_output"` // kinds of output that the answer has no place for, likewise
	Delivery    string     `json:"delivery"`       // complete, partial, none or unknown
	StartedAt   *time.Time `json:"started_at"`
	MS          float64    `json:"ms"`
}

// Tokens are what a request used. CachedInput and the cache writes are parts of
// Input, Reasoning is a part of Output.
type Tokens struct {
	Input        int64 `json:"input"`
	CachedInput  int64 `json:"cached_input"`
	CacheWrite   int64 `json:"cache_write"`
	CacheWrite1h int64 `json:"cache_write_1h"`
	Output       int64 `json:"output"`
	Reasoning    int64 `json:"reasoning"`
}

// Line is a part of a charge.
type Line struct {
	Kind      string `json:"kind"`
	Units     int64  `json:"units"`
	RateUSD   Text   `json:"rate_usd"` // for a million units, of request for it; empty: none
	AmountUSD string `json:"amount_usd"`
}

// Attempt is one try at one target.
type Attempt struct {
	Target  string  `json:"target"`
	Outcome string  `json:"outcome"`
	Status  *int    `json:"status"` // the provider's; nil: none came
	MS      float64 `json:"ms"`
}

// ReceiptFilter says which receipts; zero values do not restrict.
type ReceiptFilter struct {
	Account, Key, Model, Outcome string
	From, To                     time.Time
	Limit                        int // of one page
}

// UsageFilter says which usage, and by what it is summed up.
type UsageFilter struct {
	By                  []string // day, account, key, model; empty: day
	Account, Key, Model string
	Test                bool // that of test keys, in place of that of live ones
	From, To            time.Time
}

// UsageReport is usage summed up. It has no pages.
type UsageReport struct {
	Data  []Usage `json:"data"`
	Next  Text    `json:"next"` // empty
	Total Sums    `json:"total"`
}

// Usage is one line of a report; what it is not summed up by is empty.
type Usage struct {
	Day     string `json:"day,omitempty"`
	Account string `json:"account,omitempty"`
	Key     string `json:"key,omitempty"`
	Model   string `json:"model,omitempty"`
	Sums
}

// Sums are what many requests used.
type Sums struct {
	Requests    int64  `json:"requests"`
	Tokens      Tokens `json:"tokens"`
	ChargeUSD   string `json:"charge_usd"`
	RefundedUSD string `json:"refunded_usd"` // on the day of the refund
	AbsorbedUSD string `json:"absorbed_usd"`
}

// DigestFilter chooses days. Its zero members choose all.
type DigestFilter struct {
	From, To time.Time // days from that of From to that of To
	Limit    int       // of a page
}

// Digest proves that what was entered on one day, and before, is what it was.
type Digest struct {
	Day        string     `json:"day"`
	FirstEntry int64      `json:"first_entry"`
	LastEntry  int64      `json:"last_entry"`
	ClosedAt   *time.Time `json:"closed_at"`
	SHA256     Text       `json:"sha256"` // empty: it is not reckoned yet
}

// Verification is what recomputing the ledger gave.
type Verification struct {
	OK          bool     `json:"ok"`
	Entries     int64    `json:"entries"`
	Accounts    int64    `json:"accounts"`
	Digests     int64    `json:"digests"`         // of days, that were recomputed
	Pending     int64    `json:"pending_digests"` // of days that ended a moment ago: they are being reckoned
	Old         int64    `json:"old_digests"`     // of days that cannot be recomputed, since statements have replaced their usage
	Differences []string `json:"differences"`
}

// Webhook is an event that the operator's webhook is told of.
type Webhook struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`  // balance_warning or absorbed
	State   string          `json:"state"` // pending, delivered or failed
	Tries   int             `json:"tries"`
	NextAt  *time.Time      `json:"next_at"`
	EndedAt *time.Time      `json:"ended_at"`
	Error   Text            `json:"error"` // of the last try
	Body    json.RawMessage `json:"body"`  // what is posted
}

// Target is one place a request can go, and how it is.
type Target struct {
	Target           string     `json:"target"`
	Provider         string     `json:"provider"`
	Model            string     `json:"model"`
	Healthy          bool       `json:"healthy"`
	Breaker          string     `json:"breaker"` // closed, open or half_open
	CooldownUntil    *time.Time `json:"cooldown_until"`
	QuarantinedUntil *time.Time `json:"quarantined_until"`
	Reason           Text       `json:"reason"`
	Requests         int64      `json:"requests"`
	Failures         int64      `json:"failures"`
	LatencyMS        *int64     `json:"latency_ms"` // to the first content of its streams lately; nil: unknown
}
