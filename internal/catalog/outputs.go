package catalog

import (
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// appendOutputs appends to the numbers of a price's name what the price has of the
// classes of output and of tools; see [Price.ID].
func (p *Price) appendOutputs(numbers []int64) []int64 {
	if p.Reasoning != 0 || p.AudioOutput != 0 || p.ImageOutput != 0 {
		numbers = append(numbers, -8, int64(p.Reasoning), int64(p.AudioOutput), int64(p.ImageOutput))
	}
	if p.tools() {
		numbers = append(numbers, -9, int64(p.WebSearch), int64(p.FileSearch), int64(p.CodeExecution))
	}
	return numbers
}

// outputs reports whether a class of output has a rate of its own.
func (e *PriceEntry) outputs() bool {
	return e.Reasoning != nil || e.AudioOutput != nil || e.ImageOutput != nil
}

// tools reports whether calls of a tool have a price.
func (p *Price) tools() bool { return p.WebSearch != 0 || p.FileSearch != 0 || p.CodeExecution != 0 }

var errOutput = errors.New("parts of the output are more than the whole")

// textOutput returns how many tokens of the output are of no class of their own.
func textOutput(u *llm.Usage) (int64, error) {
	text := u.Output
	for _, n := range [...]int64{u.Reasoning, u.AudioOutput, u.ImageOutput} {
		if n < 0 {
			return 0, fmt.Errorf("usage %+v: negative", *u)
		}
		if text -= n; text < 0 {
			return 0, fmt.Errorf("usage %+v: %w", *u, errOutput)
		}
	}
	return text, nil
}

// outputs returns how many tokens are charged at each rate of the output: those of a
// class without one count as text.
func (p *Price) outputs(text int64, u *llm.Usage) (plain, thought, spoken, drawn int64) {
	plain, thought, spoken, drawn = text, u.Reasoning, u.AudioOutput, u.ImageOutput
	if p.Reasoning == 0 {
		plain, thought = plain+thought, 0
	}
	if p.AudioOutput == 0 {
		plain, spoken = plain+spoken, 0
	}
	if p.ImageOutput == 0 {
		plain, drawn = plain+drawn, 0
	}
	return plain, thought, spoken, drawn
}

// calls adds what calls of tools cost, and a line for each kind of them. They are whole
// nano-dollars, so that nothing is rounded.
func (p *Price) calls(c llm.Calls, total money.Amount, lines []Line) (money.Amount, []Line, error) {
	for _, x := range [...]struct {
		kind  string
		calls int64
		each  money.Amount
	}{
		{"web_search", c.WebSearch, p.WebSearch},
		{"file_search", c.FileSearch, p.FileSearch},
		{"code_execution", c.CodeExecution, p.CodeExecution},
	} {
		if x.calls < 0 {
			return 0, nil, fmt.Errorf("calls %+v: negative", c)
		}
		if x.calls == 0 || x.each == 0 {
			continue
		}
		rate := money.Rate(x.each) * 1_000_000
		cost, err := money.Cost(money.Line{Units: x.calls, Rate: rate})
		if err == nil {
			total, err = total.Add(cost)
		}
		if err != nil {
			return 0, nil, err
		}
		lines = append(lines, Line{Kind: x.kind, Units: x.calls, Rate: rate, Amount: cost})
	}
	return total, lines, nil
}

// worstOutput is the dearest rate at which output of r can be charged. Thoughts may be
// in any answer of a model that has a price for them, and so may images; sound is in
// what was asked to be spoken.
func (p *Price) worstOutput(r *llm.Request) money.Rate {
	worst := max(p.Output, p.Reasoning, p.ImageOutput)
	if r.Task == llm.TaskSpeech || r.Needs.Has(llm.NeedAudioOutput) {
		worst = max(worst, p.AudioOutput)
	}
	return worst
}

// worstCalls is what the tools that the provider may run for r cost at most: the
// dearest first, where there is a limit to all of them together. A model that searches
// for every answer does so once.
func (p *Price) worstCalls(m *Model, r *llm.Request) (money.Amount, error) {
	if r.Task != llm.TaskChat {
		return 0, nil
	}
	h := r.Hosted
	if h.WebSearch == 0 && m.searches() {
		h.WebSearch = 1
	}
	left := h.Total
	if left == 0 {
		left = 3 * llm.MostCalls
	}
	tools := [...]struct {
		calls int64
		each  money.Amount
	}{{h.WebSearch, p.WebSearch}, {h.FileSearch, p.FileSearch}, {h.CodeExecution, p.CodeExecution}}
	var sum money.Amount
	for range tools {
		dearest := 0
		for i := range tools {
			if tools[i].each > tools[dearest].each {
				dearest = i
			}
		}
		t := &tools[dearest]
		n := min(t.calls, left)
		cost, err := money.Cost(money.Line{Units: n, Rate: money.Rate(t.each) * 1_000_000})
		if err == nil {
			sum, err = sum.Add(cost)
		}
		if err != nil {
			return 0, err
		}
		left -= n
		t.each = 0
	}
	return sum, nil
}

// searches reports whether the model searches the web for every answer.
func (m *Model) searches() bool {
	if llm.Searches(m.ID) {
		return true
	}
	for _, t := range m.Targets {
		if llm.Searches(t.Model) {
			return true
		}
	}
	return false
}
