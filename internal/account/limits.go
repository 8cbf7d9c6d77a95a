package account

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/money"
)

// Limits is what one key may do. A zero field sets no limit.
//
// In JSON it is {rps, burst, requests, per, tokens_per_minute, requests_per_day,
// usd_per_day, concurrency}: per is a duration as Go writes it ("60s"), usd_per_day a
// decimal string, and a limit that is not set is left out.
type Limits struct {
	RPS            float64       // requests per second
	Burst          int64         // requests at once before RPS counts; 0: RPS rounded up
	Requests       int64         // requests in any window as long as Per
	Per            time.Duration // set exactly if Requests is
	RequestsPerDay int64         // of a UTC day
	USDPerDay      money.Amount  // of a UTC day
	Concurrency    int64         // requests in flight

	TokensPerMinute int64 // tokens of prompts and answers together
}

// Bounds of throughput limits; those of internal/limit, which is tested.
const (
	minRPS         = 0.001
	maxRPS         = 1_000_000
	maxBurst       = 1_000_000
	maxRequests    = 100_000
	minPer         = time.Millisecond
	maxPer         = 7 * 24 * time.Hour
	maxConcurrency = 1_000_000
	maxTokens      = 10_000_000_000
)

// Validate checks the limits; the fault it returns names the field, under
// "limits.". A limit of nothing is refused rather than taken for no limit.
func (l Limits) Validate() error {
	switch {
	case l.RPS != 0 && !(l.RPS >= minRPS && l.RPS <= maxRPS):
		return bad("limits.rps", "must be between %v and %d", minRPS, maxRPS)
	case l.Burst < 0 || l.Burst > maxBurst:
		return bad("limits.burst", "must be between 1 and %d", maxBurst)
	case l.Burst > 0 && l.RPS == 0:
		return bad("limits.burst", "has no meaning without rps")
	case l.Requests < 0 || l.Requests > maxRequests:
		return bad("limits.requests", "must be between 1 and %d", maxRequests)
	case l.Per != 0 && (l.Per < minPer || l.Per > maxPer):
		return bad("limits.per", "must be between %v and %v", minPer, maxPer)
	case l.Requests > 0 && l.Per == 0:
		return bad("limits.per", "is required with requests")
	case l.Requests == 0 && l.Per != 0:
		return bad("limits.per", "has no meaning without requests")
	case l.TokensPerMinute < 0 || l.TokensPerMinute > maxTokens:
		return bad("limits.tokens_per_minute", "must be between 1 and %d", int64(maxTokens))
	case l.RequestsPerDay < 0:
		return bad("limits.requests_per_day", "must be at least 1")
	case l.USDPerDay < 0:
		return bad("limits.usd_per_day", "must be greater than 0")
	case l.Concurrency < 0 || l.Concurrency > maxConcurrency:
		return bad("limits.concurrency", "must be between 1 and %d", maxConcurrency)
	}
	return nil
}

// limitsJSON is the outward form of Limits.
type limitsJSON struct {
	RPS            *float64      `json:"rps,omitzero"`
	Burst          *int64        `json:"burst,omitzero"`
	Requests       *int64        `json:"requests,omitzero"`
	Per            *string       `json:"per,omitzero"`
	Tokens         *int64        `json:"tokens_per_minute,omitzero"`
	RequestsPerDay *int64        `json:"requests_per_day,omitzero"`
	USDPerDay      *money.Amount `json:"usd_per_day,omitzero"`
	Concurrency    *int64        `json:"concurrency,omitzero"`
}

func nonzero[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// MarshalJSONTo writes the limits that are set.
func (l Limits) MarshalJSONTo(enc *jsontext.Encoder) error {
	out := limitsJSON{
		RPS: nonzero(l.RPS), Burst: nonzero(l.Burst), Requests: nonzero(l.Requests), Tokens: nonzero(l.TokensPerMinute),
		RequestsPerDay: nonzero(l.RequestsPerDay), USDPerDay: nonzero(l.USDPerDay), Concurrency: nonzero(l.Concurrency),
	}
	if l.Per != 0 {
		per := FormatPer(l.Per)
		out.Per = &per
	}
	return json.MarshalEncode(enc, out)
}

// UnmarshalJSONFrom merges an object into l: a member that is null takes the
// limit off, one that is absent leaves it as it is, and one that would mean
// "nothing at all" is an error. Unknown members are errors if dec was told so.
func (l *Limits) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '{' {
		return &json.SemanticError{JSONKind: dec.PeekKind()} // its place and type are filled in by the decoder
	}
	m := merge{
		RPS: member[float64]{&l.RPS}, Burst: member[int64]{&l.Burst}, Requests: member[int64]{&l.Requests}, Per: perMember{&l.Per},
		Tokens:         member[int64]{&l.TokensPerMinute},
		RequestsPerDay: member[int64]{&l.RequestsPerDay}, USDPerDay: member[money.Amount]{&l.USDPerDay}, Concurrency: member[int64]{&l.Concurrency},
	}
	return json.UnmarshalDecode(dec, &m)
}

// merge has one destination per member.
type merge struct {
	RPS            member[float64]      `json:"rps"`
	Burst          member[int64]        `json:"burst"`
	Requests       member[int64]        `json:"requests"`
	Per            perMember            `json:"per"`
	Tokens         member[int64]        `json:"tokens_per_minute"`
	RequestsPerDay member[int64]        `json:"requests_per_day"`
	USDPerDay      member[money.Amount] `json:"usd_per_day"`
	Concurrency    member[int64]        `json:"concurrency"`
}

var errNothing = errors.New("must be greater than 0; null takes the limit off")

type member[T float64 | int64 | money.Amount] struct{ to *T }

// UnmarshalJSONFrom sets the destination.
func (m *member[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == 'n' {
		*m.to = 0
		return dec.SkipValue()
	}
	var v T
	if err := json.UnmarshalDecode(dec, &v); err != nil {
		return err
	}
	if !(v > 0) || math.IsInf(float64(v), 0) {
		return errNothing
	}
	*m.to = v
	return nil
}

type perMember struct{ to *time.Duration }

// UnmarshalJSONFrom sets the destination.
func (m *perMember) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == 'n' {
		*m.to = 0
		return dec.SkipValue()
	}
	var s string
	if err := json.UnmarshalDecode(dec, &s); err != nil {
		return err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New(`must be a duration such as "60s"`)
	}
	if d <= 0 {
		return errNothing
	}
	*m.to = d
	return nil
}

// FormatPer writes a duration in whole seconds where it can, as the
// configuration does: "60s", not "1m0s".
func FormatPer(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

func index(field string, i int) string { return field + "." + strconv.Itoa(i) }
