// Package contract is the outward face of one service, as data: which surfaces
// stand at which paths, what its keys look like, and how every fault of the
// registry looks in each of its envelopes. A contract is a YAML file; its format
// is described in docs/contracts.md. [Parse] compiles it and refuses a file that
// leaves anything open.
//
// A [Contract] does not change and is used by many goroutines at once.
package contract

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/contracts"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// Route says which surface stands at a method and path.
type Route struct {
	Method   string
	Path     string // as [net/http.ServeMux] has it, without the method: "/v1/models/{id...}", "/v1/models/{model}/inference"; or with one of Google's, "/v1/models/{model...}:generateContent"
	Surface  string // one of [Surfaces]
	Envelope string // how its failures look
	Kind     string // the kind of key it takes: inference, billing, any, none
	Role     string // of the sites that serve it: api, dashboard
	Only     string // of a list of models: chat or embedding; empty: both
	Status   int    // of a success that the contract shapes

	// Reasoning is the member of a chat completion's messages that has what the model
	// thought: reasoning, reasoning_content or content; empty: as it comes.
	Reasoning string

	answer   *node // nil: the surface's own shape
	detailed *node // nil: the same as answer
}

// KeyFormat is what the contract says about keys.
type KeyFormat struct {
	Prefixes  []string // every prefix that a key may have: Inference, then Billing
	Inference []string // prefixes of inference keys; new ones get the first
	Billing   []string // prefixes of billing keys; empty: the contract has none
	Trim      bool     // space around a key is forgiven
	Scheme    bool     // Authorization takes a key only behind Bearer; else it takes a bare one, too
	Plain     bool     // callers give new keys names of letters, digits, spaces, dashes and underscores
	Headers   []string // that may carry it, in this order: Authorization, X-Api-Key, X-Goog-Api-Key, Api-Key
}

// Limits are the numbers of the limit that is nearest to its end, for headers
// that tell them.
type Limits struct {
	Known     bool // false: there is nothing to tell
	Limit     int64
	Remaining int64
	Reset     time.Time
}

// Facts is what a rendering needs to know beside the failure.
type Facts struct {
	RequestID  string
	Balance    money.Amount  // the posted balance, after the answer's own charge
	HasBalance bool          // whose balance is known: not a stranger's
	WarnBelow  money.Amount  // instead of the contract's own bound for the warning; 0: the contract's
	Charge     money.Amount  // what the request was charged; normally nothing of a failure
	Took       time.Duration // from the request's arrival to the end of its answer; 0: unknown
	Usage      *llm.Usage    // nil: unknown, or there is none
	Limits     Limits
	Chain      []string // the models that the request names, where there are several
	Tried      []Tried  // what came of those that were tried, in order
}

// Contract is one compiled file.
type Contract struct {
	name      string
	about     string
	keys      KeyFormat
	routes    []Route
	elsewhere []prefix // longest first; the last is "/"
	retryable map[int]bool
	prec      []fault.Code
	modelInBy bool
	wait      time.Duration
	controls  []Control
	suffixes  []Suffix
	surcharge money.Rate
	responses Responses

	envelopes []*envelope
	byName    map[string]int
	surfaces  map[string]*frame // in-stream error by surface, where it is not the envelope's
	rows      [][]row           // by face (the envelope of the route) and code
	details   map[fault.Code]words
	terms     map[string]map[string]string
	extras    []extra
}

type prefix struct {
	path string
	face int
}

// envelope is the shape of an error.
type envelope struct {
	name    string
	members []member
	headers []header
	types   map[string]string // "402" or "5xx" to type; nil: rows name their type
	frame   *frame
}

// frame is the shape of an error in a stream.
type frame struct {
	event   string // SSE event name; empty: none
	members []member
	done    bool // data: [DONE] follows
}

// row is how one fault looks on one face.
type row struct {
	face       int // the envelope of the route
	status     int
	statusText string
	typ        string
	frameTyp   string // in a stream, which keeps the envelope of the route
	code       string
	param      string // where the failure names none
	words      []words
	fixed      bool // words come before the failure's own message
	envelope   *envelope
	add        []member
	headers    []header
	note       string
}

// Embedded lists the names of the contracts that come with the program, sorted.
func Embedded() []string {
	entries, err := contracts.Files.ReadDir(".")
	if err != nil {
		return nil // cannot be: the root of an embedded tree is there
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Load compiles the embedded contract of that name.
func Load(name string) (*Contract, error) {
	if !slices.Contains(Embedded(), name) {
		return nil, fmt.Errorf("contract %q: not one of %s, and not a file", name, strings.Join(Embedded(), ", "))
	}
	src, err := contracts.Files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, err
	}
	c, err := Parse("contracts/"+name+".yaml", src)
	if err == nil && c.name != name {
		err = fmt.Errorf("contracts/%s.yaml: name is %q", name, c.name)
	}
	return c, err
}

// maxSource bounds a contract's file, in bytes.
const maxSource = 1 << 20

// LoadFile reads and compiles a contract from a file of at most 1 MiB.
func LoadFile(path string) (*Contract, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	src, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return Parse(path, src)
}

// Name returns the contract's name.
func (c *Contract) Name() string { return c.name }

// About returns the contract's own description, one paragraph; it may be empty.
func (c *Contract) About() string { return c.about }

// Routes lists the routes in the order of the file.
func (c *Contract) Routes() []Route { return slices.Clone(c.routes) }

// KeyFormat returns what the contract says about keys.
func (c *Contract) KeyFormat() KeyFormat {
	k := c.keys
	k.Prefixes, k.Inference, k.Billing, k.Headers = slices.Clone(k.Prefixes), slices.Clone(k.Inference), slices.Clone(k.Billing), slices.Clone(k.Headers)
	return k
}

// KeyHeaders lists the headers that may carry a key, in the order in which they
// are looked at, and says whether Authorization takes it behind Bearer alone. The
// caller must not change the list.
func (c *Contract) KeyHeaders() (names []string, scheme bool) { return c.keys.Headers, c.keys.Scheme }

// Precedence lists the faults of money and limits in the order in which the
// first that holds is told, where several hold at once. The caller must not
// change the list.
func (c *Contract) Precedence() []fault.Code { return c.prec }

// ModelCheckIsField reports whether an unknown model is a bad field among the
// others rather than a failure of its own.
func (c *Contract) ModelCheckIsField() bool { return c.modelInBy }

// IdempotencyWait is how long a second request with the same Idempotency-Key
// waits for the first one before it is refused; 0: not at all.
func (c *Contract) IdempotencyWait() time.Duration { return c.wait }

// Controls lists what on a surface speaks to the gateway and goes no further, in
// the order of the file. The caller must not change the list.
func (c *Contract) Controls(surface string) []Control {
	other := func(d Control) bool { return len(d.Surfaces) > 0 && !slices.Contains(d.Surfaces, surface) }
	if !slices.ContainsFunc(c.controls, other) {
		return c.controls
	}
	return slices.DeleteFunc(slices.Clone(c.controls), other)
}

// Retryable reports whether the contract tells callers to repeat a request
// that ended with this status.
func (c *Contract) Retryable(status int) bool { return c.retryable[status] }

// Envelopes lists the names of the envelopes that routes answer in, in the
// order of the file.
func (c *Contract) Envelopes() []string {
	var out []string
	for i, e := range c.envelopes {
		if c.isFace(i) {
			out = append(out, e.name)
		}
	}
	return out
}

// Elsewhere returns the envelope of failures at a path that no route knows.
func (c *Contract) Elsewhere(path string) string {
	return c.envelopes[c.faceAt(path)].name
}

func (c *Contract) faceAt(path string) int {
	for _, p := range c.elsewhere {
		if p.path == "/" || path == p.path || strings.HasPrefix(path, p.path+"/") {
			return p.face
		}
	}
	return c.elsewhere[len(c.elsewhere)-1].face
}

// isFace reports whether a route or an unknown path answers in the envelope.
func (c *Contract) isFace(i int) bool {
	for _, p := range c.elsewhere {
		if p.face == i {
			return true
		}
	}
	for _, r := range c.routes {
		if r.Envelope == c.envelopes[i].name {
			return true
		}
	}
	return false
}

// face finds an envelope by name; an unknown one is that of unknown paths.
func (c *Contract) face(name string) int {
	if i, ok := c.byName[name]; ok {
		return i
	}
	return c.faceAt("/")
}

// row returns how a code looks on a face; a code out of range looks like
// [fault.Internal].
func (c *Contract) row(face int, code fault.Code) *row {
	if code == fault.None || int(code) >= len(c.rows[face]) {
		code = fault.Internal
	}
	return &c.rows[face][code]
}

// Status returns the HTTP status of a fault in an envelope.
func (c *Contract) Status(envelope string, code fault.Code) int {
	return c.row(c.face(envelope), code).status
}

// Code returns the code of a fault in an envelope; empty: it has none there.
func (c *Contract) Code(envelope string, code fault.Code) string {
	return c.row(c.face(envelope), code).code
}

// Surfaces lists every surface that a route may name. Not every one of them is
// served by every build; who serves them says so at start.
func Surfaces() []string {
	return []string{
		"openai.chat", "openai.responses", "openai.responses.item", "openai.responses.input_items", "openai.responses.cancel", "openai.responses.input_tokens", "openai.responses.compact", "openai.completions", "openai.embeddings", "openai.models", "openai.moderations",
		"openai.images", "openai.image_edits", "openai.image_variations", "openai.speech", "openai.transcriptions", "openai.translations",
		"anthropic.messages", "anthropic.count_tokens", "anthropic.models",
		"gemini.generate", "gemini.count_tokens", "gemini.embed", "gemini.models",
		"chat", "prompt",
		"account.balance", "account.keys", "account.usage", "account.usage_summary", "account.transactions",
		"jobs", "memory",
		"x402.endpoints", "x402.status", "x402.complete",
	}
}
