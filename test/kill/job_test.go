package kill

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Surfaces that a job may ask.
const (
	chat     = "/v1/chat/completions"
	messages = "/v1/messages"
	simple   = "/v1/chat"
	vectors  = "/v1/embeddings"
)

// ending is what the upstream does with a job.
type ending string

const (
	answers  ending = "answers"  // ends well
	overruns ending = "overruns" // ends well, and used more than it was allowed
	stumbles ending = "stumbles" // fails at the first attempt, ends well at the second
	blocks   ending = "blocks"   // ends well by refusing: free
	fails    ending = "fails"    // 500 at every attempt
	empty    ending = "empty"    // says nothing at every attempt
	cuts     ending = "cuts"     // breaks off after some content
)

// fate is what the client saw of a job.
type fate string

const (
	pending fate = ""
	acked   fate = "acked"   // the final bytes came
	refused fate = "refused" // an error came, before the answer or within it
	left    fate = "left"    // the client went away first
	broken  fate = "broken"  // the connection broke: the gateway has gone
)

// usage is what an answer used, in tokens. input includes cached.
type usage struct{ input, cached, output int64 }

// tariff is the price of a model: nano-dollars per million tokens, and per request.
type tariff struct{ input, cached, output, request int64 }

// of is the exact price of u: rounded up to a whole nano-dollar, once. It is
// reckoned apart from the product, on purpose.
func (p tariff) of(u usage) int64 {
	sum := new(big.Int)
	for _, x := range [][2]int64{{u.input - u.cached, p.input}, {u.cached, p.cached}, {u.output, p.output}} {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(x[0]), big.NewInt(x[1])))
	}
	sum.Add(sum, big.NewInt(999_999))
	return sum.Div(sum, big.NewInt(1_000_000)).Int64() + p.request
}

// tariffs are the models and their prices, odd enough to need rounding.
var tariffs = map[string]tariff{
	"gpt":     {input: 137_000_001, cached: 41_100_007, output: 1_013_000_003},
	"claude":  {input: 3_001_000_001, cached: 300_300_007, output: 15_007_000_009},
	"flat":    {request: 310_007},
	"embed":   {input: 20_000_001, cached: 20_000_001},
	"shaky":   {input: 137_000_001, cached: 41_100_007, output: 1_013_000_003},
	"brittle": {input: 137_000_001, cached: 41_100_007, output: 1_013_000_003},
}

// usd writes nano-dollars as decimal dollars.
func usd(nano int64) string {
	sign := ""
	if nano < 0 {
		sign, nano = "-", -nano
	}
	return fmt.Sprintf("%s%d.%09d", sign, nano/1e9, nano%1e9)
}

// nano reads decimal dollars.
func nano(usd string) (int64, error) {
	digits, negative := strings.CutPrefix(usd, "-")
	whole, part, _ := strings.Cut(digits, ".")
	if len(part) > 9 {
		return 0, fmt.Errorf("%q has more than nine decimals", usd)
	}
	n, ok := new(big.Int).SetString(whole+part+strings.Repeat("0", 9-len(part)), 10)
	if !ok || !n.IsInt64() {
		return 0, fmt.Errorf("%q is not an amount", usd)
	}
	if negative {
		return -n.Int64(), nil
	}
	return n.Int64(), nil
}

// job is one request, what the upstream is to do with it, and what became of it.
type job struct {
	n         int64
	key       *key
	surface   string
	model     string
	stream    bool
	prompt    int // bytes
	maxTokens int64
	ending    ending
	used      usage
	chunks    int           // pieces of the answer
	size      int           // bytes of each
	first     time.Duration // before the upstream's answer
	pace      time.Duration // between pieces
	leaves    int           // the client goes after so many pieces; 0: it stays
	hurry     time.Duration // it goes then, whatever has come; 0: it does not
	lag       time.Duration // between the last piece and the usage
	rambles   bool          // the upstream says as much as it may, up to what is used
	tariff    *tariff       // nil: that of the model
	gate      chan struct{} // the upstream waits for it after its first piece; nil: it does not

	mu         sync.Mutex
	request    string // id, from the gateway or from the upstream
	fate       fate
	status     int
	said       string // of a refusal
	reached    bool   // the upstream
	attempts   int
	capped     bool          // it would have said more
	reported   int64         // answers that the upstream finished, with their usage
	started    chan struct{} // closed when the client has the first piece
	toldUSD    string        // X-Charge-USD
	retryAfter int           // seconds, of a refusal
	cut        bool          // it ended for want of money, in the middle
}

// price is what the job costs if it ends well.
func (j *job) price() int64 { return j.priceOf(func(u usage) usage { return u }) }

// owed is what of that the client owes at most: no more output than he allowed.
func (j *job) owed() int64 {
	return j.priceOf(func(u usage) usage {
		if j.limited() {
			u.output = min(u.output, j.maxTokens)
		}
		return u
	})
}

// limited reports whether the client sends a limit of its own.
func (j *job) limited() bool { return j.maxTokens > 0 && j.surface != simple }

// priceOf is the price of what is billable of the job's usage.
func (j *job) priceOf(billable func(usage) usage) int64 {
	if j.ending == blocks {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cost(billable(j.used))
}

// cost is the price of a usage. The caller holds mu.
func (j *job) cost(u usage) int64 {
	if j.tariff != nil {
		return j.tariff.of(u)
	}
	return tariffs[j.model].of(u)
}

// grows reports whether the job's hold grows with its answer, which then may be
// cut off.
func (j *job) grows() bool { return j.stream && j.maxTokens == 0 }

// wasCut reports whether the client saw that it was.
func (j *job) wasCut() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cut
}

// finished returns how often the upstream finished an answer, and what it asks
// for one.
func (j *job) finished() (times, cost int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.reported, j.cost(j.used)
}

// report notes that the upstream tells the usage of an answer.
func (j *job) report() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reported++
	if j.ending == empty {
		j.used.output = 0
	}
}

// arrive notes an attempt at the upstream, which may say most tokens; 0: as many
// as it likes. It returns which attempt it is.
func (j *job) arrive(most int64) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reached = true
	j.attempts++
	if j.rambles && most > 0 && j.attempts == 1 && j.used.output > most {
		j.used.output, j.capped = most, true
	}
	return j.attempts
}

func (j *job) meet(request string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if request != "" {
		j.request = request
	}
}

func (j *job) end(f fate, status int, said string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fate == pending {
		j.fate, j.status, j.said = f, status, said
	}
}

// outcome returns what the client saw, and the request's id.
func (j *job) outcome() (fate, string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fate, j.request
}

func (j *job) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return fmt.Sprintf("job %d (%s %s stream=%t %s, account %s, request %s: %s %d %s)", j.n, j.surface, j.model, j.stream, j.ending, j.key.account.name, j.request, j.fate, j.status, j.said)
}

// draw makes up a job.
func draw(rng *rand.Rand, n int64, k *key) *job {
	j := &job{n: n, key: k, surface: chat, model: "gpt", ending: answers, started: make(chan struct{})}
	j.stream = rng.IntN(3) > 0
	switch r := rng.IntN(100); {
	case r < 20:
		j.surface, j.model = messages, "claude"
	case r < 26:
		j.surface = messages
	case r < 32:
		j.model = "claude"
	case r < 40:
		j.model = "flat"
	case r < 46:
		j.surface, j.stream = simple, false
	}
	j.prompt = 200 + rng.IntN(3000)
	j.chunks, j.size = 1+rng.IntN(8), 8+rng.IntN(60)
	if rng.IntN(12) == 0 {
		j.chunks, j.size = 20+rng.IntN(30), 2048 // a larger answer
	}
	if rng.IntN(3) > 0 || j.surface == messages {
		j.maxTokens = 300
	}
	j.used.input = 1 + rng.Int64N(int64(j.prompt)/16)
	j.used.cached = rng.Int64N(j.used.input + 1)
	j.used.output = 1 + rng.Int64N(300)
	switch rng.IntN(4) {
	case 0: // at once
	case 1:
		j.first, j.pace = time.Duration(rng.IntN(80))*time.Millisecond, time.Duration(rng.IntN(20))*time.Millisecond
	default:
		j.first, j.pace = time.Duration(rng.IntN(15))*time.Millisecond, time.Duration(rng.IntN(3))*time.Millisecond
	}
	// On little money it is capped. In a stream it would have to show what it bills.
	if j.maxTokens == 0 && j.surface == chat && !j.stream && rng.IntN(2) == 0 {
		j.rambles, j.used.output = true, 300+rng.Int64N(5700)
	}
	j.misfortune(rng)
	j.leaving(rng)
	if rng.IntN(25) == 0 {
		j.embed()
	}
	return j
}

// embed makes the job one for an embedding, which ends well.
func (j *job) embed() {
	j.surface, j.model, j.ending, j.stream, j.rambles = vectors, "embed", answers, false, false
	j.used.cached, j.used.output, j.chunks, j.leaves, j.hurry, j.lag = 0, 0, 1, 0, 0, 0
}

// leaving lets the client of some jobs go: at any moment, after some of the
// answer, or when all that is missing is its usage.
func (j *job) leaving(rng *rand.Rand) {
	switch rng.IntN(40) {
	case 0, 1:
		j.leaves = 1 + rng.IntN(j.chunks)
	case 2:
		j.first = max(j.first, 5*time.Millisecond)
		j.hurry = time.Duration(1 + rng.Int64N(int64(j.first+3*time.Millisecond)))
	case 3:
		if j.rambles {
			return
		}
		j.stream = j.surface != simple
		j.leaves, j.lag = j.chunks, time.Duration(5+rng.IntN(25))*time.Millisecond
	}
}

// misfortune gives some jobs another ending.
func (j *job) misfortune(rng *rand.Rand) {
	switch r := rng.IntN(100); {
	case r < 6:
		j.ending, j.rambles = overruns, false
		j.used.output = 2000 + rng.Int64N(4000)
	case r < 16: // without a limit, and says what it uses: its hold grows with it
		j.ending, j.surface, j.stream, j.maxTokens, j.rambles = overruns, chat, true, 0, false
		j.used.output = 2000 + rng.Int64N(2000)
		j.chunks, j.size, j.pace = 24, int(j.used.output)/6, 4*time.Millisecond
	case r < 19:
		j.ending = blocks
		j.surface, j.model = chat, "gpt"
	// What fails has targets of its own, and so breakers of its own.
	case r < 23:
		j.ending, j.model = fails, "brittle"
	case r < 25:
		j.ending, j.model = empty, "brittle"
	case r < 28:
		j.ending, j.model = stumbles, "shaky"
	case r < 32:
		j.ending, j.model, j.chunks = cuts, "shaky", max(j.chunks, 2)
	case r < 44:
		j.model = "shaky"
	}
}
