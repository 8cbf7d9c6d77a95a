package chaos

import (
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// cell is a row as one caller sees it.
type cell struct {
	row
	id     string // of the cell, and the name of the models and targets in it
	by     surface
	stream bool
}

// errant is a provider of which some targets fail: those under /CELL/, as their
// row says. Under /good/ it answers well, in OpenAI's protocol.
type errant struct {
	shape string
	cells map[string]cell

	mu    sync.Mutex
	asked map[string]int // by the first two segments of the path, or the model
}

func (p *errant) count(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[what]
}

func (p *errant) saw(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[what]++
}

func (p *errant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	segments := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if segments[0] == "good" {
		model, stream := requested(body)
		p.saw("good/" + model)
		answer(w, stream)
		return
	}
	p.saw(segments[0] + "/" + segments[1])
	c, ok := p.cells[segments[0]]
	if !ok {
		http.Error(w, "there is no such cell", http.StatusTeapot)
		return
	}
	media := "application/json"
	if c.says["html"] != "" {
		media = "text/html"
	}
	w.Header().Set("Content-Type", media)
	if after := c.says["after"]; after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(c.status)
	_, _ = io.WriteString(w, c.body(p.shape))
}

// statusConfig has two models for each cell: CELL-one, of which the first of
// two targets fails, and CELL-all, of which both do.
func statusConfig(f family, cells []cell, url string) string {
	var b strings.Builder
	b.WriteString("routing: {attempts: 4, backoff: {base: 1ms, max: 2s}, breaker: {failures: 2, open: 10m, max_open: 10m}}\nproviders:\n")
	fmt.Fprintf(&b, "  good: {kind: openai, quirks: vllm, base_url: %q, api_key: %q, catalog: none}\n", url+"/good/v1", providerSecret)
	for _, c := range cells {
		for _, slot := range []string{"one", "a", "b"} {
			fmt.Fprintf(&b, "  %s-%s: {%s, api_key: %q, catalog: none}\n", c.id, slot, fmt.Sprintf(f.config, url+"/"+c.id+"/"+slot+"/v1"), providerSecret)
		}
	}
	b.WriteString("models:\n")
	for _, c := range cells {
		more := "context: 100000, max_output: 50000, price: " + price
		fmt.Fprintf(&b, "  %s-one: {targets: [{provider: %s-one, model: m%s}, {provider: good, model: %s}], %s}\n", c.id, c.id, f.api, c.id, more)
		fmt.Fprintf(&b, "  %s-all: {targets: [{provider: %s-a, model: m%s}, {provider: %s-b, model: m%s}], %s}\n", c.id, c.id, f.api, c.id, f.api, more)
	}
	return b.String()
}

// TestEveryStatusOfAProvider is the table of testdata/statuses.md: callers of
// one dialect ask whole, those of the other stream.
func TestEveryStatusOfAProvider(t *testing.T) {
	t.Parallel()
	rows := readTable(t)
	cells := 0
	for _, name := range slices.Sorted(maps.Keys(families)) {
		t.Run(name, func(t *testing.T) { cells += statusesOf(t, families[name], of(rows, name)) })
	}
	t.Logf("%d rows, %d cells", len(rows), cells)
}

// statusesOf goes through the rows of a family.
func statusesOf(t *testing.T, f family, rows []row) int {
	p := &errant{shape: f.shape, cells: map[string]cell{}, asked: map[string]int{}}
	var cells []cell
	for i, r := range rows {
		for _, by := range []surface{chat, messages} {
			c := cell{row: r, id: fmt.Sprintf("%d-%d-%s", r.status, i, by.name), by: by, stream: (by == messages) != (i%2 == 0)}
			cells = append(cells, c)
			p.cells[c.id] = c
		}
	}
	w := newWorld(t, "", statusConfig(f, cells, harness.Serve(t, p, nil).URL))
	paid := new(big.Int)
	for _, c := range cells {
		paid.Add(paid, c.oneFails(t, w, p))
		c.allFail(t, w, p)
	}
	states := w.targets(t)
	for _, c := range cells {
		for _, slot := range []string{"a", "b"} {
			if slot == "b" && !c.next {
				continue
			}
			if got := states[c.id+"-"+slot+"/m"].state(); got != c.row.state {
				t.Errorf("%s: target %s is held in %s, want %s", c, slot, got, c.row.state)
			}
		}
	}
	w.paid(t, paid)
	return len(cells)
}

// String names a cell and its row.
func (c cell) String() string {
	return fmt.Sprintf("%s %v %d %v", c.by.name, map[bool]string{true: "stream", false: "whole"}[c.stream], c.status, c.says)
}

// state names what is held against a target, in the words of the table.
func (x target) state() string {
	switch {
	case x.Target == "":
		return "no such target"
	case x.QuarantinedUntil != nil:
		return "quarantine"
	case x.Breaker != "closed":
		return "breaker"
	case x.CooldownUntil != nil, x.Failures > 0: // it may be over: the shortest is a second
		return "cooldown"
	}
	return "-"
}

// oneFails asks where the first of two targets fails. It returns the charge.
func (c cell) oneFails(t *testing.T, w *world, p *errant) *big.Int {
	r := w.ask(t.Context(), c.by, c.id+"-one", c.stream)
	first, second := p.count(c.id+"/one"), p.count("good/"+c.id)
	if !c.next {
		if wrong := c.by.wrong(c.face, c.after, r); wrong != "" || first != 1 || second != 0 {
			t.Errorf("%s: the targets were asked %d and %d times, want 1 and 0; %s", c, first, second, wrong)
		}
		return new(big.Int)
	}
	if r.err != nil || r.status != http.StatusOK || first != 1 || second != 1 {
		t.Errorf("%s: the targets were asked %d and %d times, want 1 and 1; %v %d %.200s", c, first, second, r.err, r.status, r.body)
	}
	if r.charge == nil || r.charge.Cmp(answerCost) != 0 {
		t.Errorf("%s: charged %v, want the second target's %v", c, r.charge, answerCost)
		return new(big.Int)
	}
	return r.charge
}

// allFail asks where all targets fail, until each has failed twice: as often as
// opens a breaker.
func (c cell) allFail(t *testing.T, w *world, p *errant) {
	first, second := 1, 0
	if c.next {
		second = 1
	}
	if c.retry {
		first, second = 2, 2
	}
	r := w.ask(t.Context(), c.by, c.id+"-all", c.stream)
	a, b := p.count(c.id+"/a"), p.count(c.id+"/b")
	if wrong := c.by.wrong(c.face, c.after, r); wrong != "" || a != first || b != second {
		t.Errorf("%s: both fail, and were asked %d and %d times, want %d and %d; %s", c, a, b, first, second, wrong)
	}
	if !c.retry {
		_ = w.ask(t.Context(), c.by, c.id+"-all", c.stream)
	}
}
