package sim

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/pontage/pontage/internal/token"
)

// Options set up a simulator. The zero value is a quick one with a real clock.
type Options struct {
	// Name is the value of the Server header; empty is "sim".
	Name string
	// Now is the clock of the answers' time stamps; nil is time.Now.
	Now func() time.Time
	// Count counts the tokens of a text; nil is token.Count.
	Count func(string) int64
	// Dir is where relative paths of recordings start; empty is the working
	// directory.
	Dir string

	FirstEvent time.Duration // pause before the response headers
	PerEvent   time.Duration // pause before each further event of a stream
	Events     int           // words, and so events, of a default text; 0: from 24 to 47, by the prompt
}

// Sim is the simulated providers of all models. It is an [http.RoundTripper]
// for the paths that end in /chat/completions, /completions, /responses, /responses/compact,
// /embeddings, /messages, /messages/count_tokens, /moderations,
// /images/generations, /images/edits, /images/variations, /audio/speech, /audio/transcriptions and /audio/translations,
// whatever the host, and is used by many goroutines at once. It takes any credential.
type Sim struct {
	name   string
	now    func() time.Time
	count  func(string) int64
	dir    string
	first  time.Duration
	per    time.Duration
	events int

	mu      sync.Mutex
	scripts map[string]*script
	tallies map[string]*tally
	total   tally
}

// script is what is left of a model's steps.
type script struct {
	steps []Step
	used  int // of the first step's times
}

// tally counts what a model has seen.
type tally struct{ calls, left int64 }

// Any stands for every model in [Sim.Script], [Sim.Calls] and [Sim.Cancelled].
const Any = "*"

// maxModelName bounds the length of a model's name in the tables, in bytes.
const maxModelName = 256

var _ http.RoundTripper = (*Sim)(nil)

// New returns a simulator without steps.
func New(o Options) *Sim {
	s := &Sim{
		name: o.Name, now: o.Now, count: o.Count, dir: o.Dir,
		first: o.FirstEvent, per: o.PerEvent, events: max(o.Events, 0),
		scripts: map[string]*script{}, tallies: map[string]*tally{},
	}
	if s.name == "" {
		s.name = "sim"
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.count == nil {
		s.count = token.Count
	}
	return s
}

// Script replaces the steps of a model, by the name that the provider knows it
// under; [Any] is for models without steps of their own. No steps at all bring
// the default answer back. It opens the recordings. The error is a
// *[StepError], and then nothing has changed.
func (s *Sim) Script(model string, steps []Step) error {
	return s.script(map[string][]Step{model: steps}, s.dir, func(string) string { return "steps" })
}

// LoadScript adds the steps of a file, JSON or YAML: an object of lists of
// steps by model. Recordings with a relative path are taken from the file's
// folder. All of it takes effect, or nothing.
func (s *Sim) LoadScript(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("open simulator script: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	src, err := io.ReadAll(io.LimitReader(f, MaxScript+1))
	if err != nil {
		return fmt.Errorf("read simulator script: %w", err)
	}
	if len(src) > MaxScript {
		return fmt.Errorf("simulator script %s is longer than %d bytes", file, MaxScript)
	}
	scripts, err := parseScript(src)
	if err == nil {
		err = s.script(scripts, filepath.Dir(file), func(model string) string { return model })
	}
	if err != nil {
		return fmt.Errorf("simulator script %s: %w", file, err)
	}
	return nil
}

// parseScript reads an object of lists of steps.
func parseScript(src []byte) (map[string][]Step, error) {
	doc, err := toJSON(src)
	if err != nil {
		return nil, err
	}
	var lists map[string]jsontext.Value
	if err := json.Unmarshal(doc, &lists); err != nil {
		return nil, wrong("script", "must be an object of lists of steps by model")
	}
	out := make(map[string][]Step, len(lists))
	for model, list := range lists {
		if out[model], err = decodeSteps(model, list); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// script checks and installs steps; at gives the path of a model's list in
// messages.
func (s *Sim) script(in map[string][]Step, dir string, at func(string) string) error {
	made := make(map[string]*script, len(in))
	for model, steps := range in {
		if model == "" || len(model) > maxModelName {
			return wrong("model", "must have from 1 to %d bytes", maxModelName)
		}
		if err := checkSteps(at(model), steps); err != nil {
			return err
		}
		own := append([]Step(nil), steps...)
		if err := loadRecordings(at(model), dir, own); err != nil {
			return err
		}
		made[model] = &script{steps: own}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	room := MaxModels - len(s.scripts)
	for model, sc := range made {
		if _, had := s.scripts[model]; !had && len(sc.steps) > 0 {
			room--
		}
	}
	if room < 0 {
		return wrong("model", "there are steps for %d models already", MaxModels)
	}
	for model, sc := range made {
		if len(sc.steps) == 0 {
			delete(s.scripts, model)
		} else {
			s.scripts[model] = sc
		}
	}
	return nil
}

// Reset drops all steps and sets all counters to zero. Streams that are open go
// on as they began.
func (s *Sim) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.scripts)
	clear(s.tallies)
	s.total = tally{}
}

// Calls returns how many requests for the model have come since the last Reset,
// or for all models if it is [Any]. Beyond [MaxModels] models only the total is
// kept.
func (s *Sim) Calls(model string) int64 { return s.tally(model).calls }

// Cancelled returns how many bodies of the model's answers were closed before
// their end.
func (s *Sim) Cancelled(model string) int64 { return s.tally(model).left }

func (s *Sim) tally(model string) tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	if model == Any {
		return s.total
	}
	if t := s.tallies[model]; t != nil {
		return *t
	}
	return tally{}
}

// take counts a request and returns the step for it.
func (s *Sim) take(model string) Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.calls++
	if t := s.tallyOf(model); t != nil {
		t.calls++
	}
	sc, name := s.scripts[model], model
	if sc == nil {
		sc, name = s.scripts[Any], Any
	}
	if sc == nil {
		return Step{}
	}
	st := sc.steps[0]
	sc.used++
	if st.Times >= 0 && sc.used >= max(st.Times, 1) {
		sc.steps, sc.used = sc.steps[1:], 0
		if len(sc.steps) == 0 {
			delete(s.scripts, name)
		}
	}
	return st
}

// tallyOf returns the counters of a model, new ones if there is room; s.mu is
// held.
func (s *Sim) tallyOf(model string) *tally {
	t := s.tallies[model]
	if t == nil && len(s.tallies) < MaxModels && len(model) <= maxModelName {
		t = &tally{}
		s.tallies[model] = t
	}
	return t
}

func (s *Sim) abandoned(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.left++
	if t := s.tallies[model]; t != nil {
		t.left++
	}
}

// announce tells a tracing client what a connection would.
func announce(r *http.Request, sent bool) {
	trace := httptrace.ContextClientTrace(r.Context())
	if trace == nil {
		return
	}
	if !sent {
		if trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
		}
		return
	}
	if trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	if trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
}
