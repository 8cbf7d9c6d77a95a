package catalog

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// classed is a price with every class of output and every tool: 10 for text, 20 for
// thoughts, 64 for sound, 30 for images; 10, 2.5 and 30 thousandths of a dollar.
func classed() PriceEntry {
	in, out, thought, sound, drawn := money.Rate(money.Dollar), money.Rate(10*money.Dollar), money.Rate(20*money.Dollar), money.Rate(64*money.Dollar), money.Rate(30*money.Dollar)
	web, files, code := money.Dollar/100, money.Dollar/400, 3*money.Dollar/100
	return PriceEntry{Input: &in, Output: &out, Reasoning: &thought, AudioOutput: &sound, ImageOutput: &drawn, WebSearch: &web, FileSearch: &files, CodeExecution: &code}
}

func TestClassesOfOutputAndToolsAreChargedExactly(t *testing.T) {
	t.Parallel()
	all := price(t, Chat, classed())
	in, out, request := money.Rate(money.Dollar), money.Rate(10*money.Dollar), money.Amount(3_000_000)
	plain := price(t, Chat, PriceEntry{Input: &in, Output: &out})
	web := money.Dollar / 100
	flat := price(t, Chat, PriceEntry{Request: &request, WebSearch: &web})
	u := llm.Usage{Input: 7, Output: 100, Reasoning: 20, AudioOutput: 30, ImageOutput: 40, Calls: llm.Calls{WebSearch: 3, FileSearch: 2, CodeExecution: 1}}
	for _, c := range []struct {
		name  string
		p     Price
		u     llm.Usage
		want  money.Amount
		lines []string
	}{
		{
			"all of them", all, u, 7_000 + 10*10_000 + 20*20_000 + 30*64_000 + 40*30_000 + 3*10_000_000 + 2*2_500_000 + 30_000_000,
			[]string{"input", "output", "reasoning", "audio_output", "image_output", "web_search", "file_search", "code_execution"},
		},
		{"none has a price of its own", plain, u, 7_000 + 100*10_000, []string{"input", "output"}},
		{"a flat price and searches", flat, u, 30_000_000 + 3_000_000, []string{"web_search", "request"}},
		{"text alone", all, llm.Usage{Output: 5}, 50_000, []string{"output"}},
		{"thoughts alone", all, llm.Usage{Output: 5, Reasoning: 5}, 100_000, []string{"reasoning"}},
		{"a search alone", all, llm.Usage{Calls: llm.Calls{WebSearch: 1}}, 10_000_000, []string{"web_search"}},
	} {
		got, lines, err := c.p.Cost(c.u)
		var kinds []string
		var sum money.Amount
		for _, l := range lines {
			kinds, sum = append(kinds, l.Kind), sum+l.Amount
		}
		if err != nil || got != c.want || sum != got || !slices.Equal(kinds, c.lines) {
			t.Errorf("%s: costs %v in %v (%v), want %v in %v", c.name, got, lines, err, c.want, c.lines)
		}
	}
	for _, u := range []llm.Usage{
		{Output: 3, Reasoning: 2, AudioOutput: 2},
		{Output: 3, ImageOutput: 4},
		{Output: 3, AudioOutput: -1},
		{Output: 3, Reasoning: -1},
		{Output: 3, ImageOutput: -1},
		{Calls: llm.Calls{WebSearch: -1}},
		{Calls: llm.Calls{FileSearch: -1}},
		{Calls: llm.Calls{CodeExecution: -1}},
	} {
		if _, _, err := all.Cost(u); err == nil {
			t.Errorf("%+v has a price", u)
		}
	}
}

func TestPricesOfClassesAndToolsAreChecked(t *testing.T) {
	t.Parallel()
	in, zero, none, neg, dear := money.Rate(money.Dollar), money.Rate(0), money.Amount(0), money.Amount(-1), MaxRequest+1
	of := func(change func(*PriceEntry)) PriceEntry {
		e := classed()
		change(&e)
		return e
	}
	for _, c := range []struct {
		name, kind string
		e          PriceEntry
		want       []string
	}{
		{"all", Chat, classed(), nil},
		{"nothing for thoughts", Chat, of(func(e *PriceEntry) { e.Reasoning = &zero }), []string{"reasoning"}},
		{"nothing for sound and images", Chat, of(func(e *PriceEntry) { e.AudioOutput, e.ImageOutput = &zero, &zero }), []string{"audio_output", "image_output"}},
		{"nothing for tools", Chat, of(func(e *PriceEntry) { e.WebSearch, e.FileSearch, e.CodeExecution = &none, &neg, &dear }), []string{"web_search", "file_search", "code_execution"}},
		{"tools of what does not converse", Images, classed(), []string{"web_search", "file_search", "code_execution"}},
		{"classes without tokens", Chat, PriceEntry{Request: classed().WebSearch, Reasoning: &in}, []string{"input"}},
		{"free, but for its searches", Chat, PriceEntry{Free: true, WebSearch: classed().WebSearch}, []string{"free"}},
		{"free, but for its thoughts", Chat, PriceEntry{Free: true, Reasoning: &in}, []string{"free"}},
		{"searches alone", Chat, PriceEntry{WebSearch: classed().WebSearch}, []string{""}},
	} {
		var got []string
		c.e.price(c.kind, func(field, _ string) { got = append(got, field) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: wrong fields %q, want %q", c.name, got, c.want)
		}
	}
}

// What is held is what the dearest answer costs that there may be, to a nano-dollar.
func TestAQuoteIsTheDearestAnswer(t *testing.T) {
	t.Parallel()
	hosted := func(change func(*llm.Hosted)) (h llm.Hosted) {
		change(&h)
		return h
	}
	for _, c := range []struct {
		name   string
		model  string
		drop   func(*Price)
		spoken bool
		hosted llm.Hosted
		rate   money.Amount // nano-dollars a token
		calls  money.Amount
	}{
		{"images may be in any answer", "m", nil, false, llm.Hosted{}, 30_000, 0},
		{"sound in what is to be spoken", "m", nil, true, llm.Hosted{}, 64_000, 0},
		{"thoughts in any answer", "m", func(p *Price) { p.ImageOutput = 0 }, false, llm.Hosted{}, 20_000, 0},
		{"text is the dearest", "m", func(p *Price) { p.ImageOutput, p.Reasoning = 0, 1_000_000 }, false, llm.Hosted{}, 10_000, 0},
		{"a search that is limited", "m", nil, false, hosted(func(h *llm.Hosted) { h.Search(3) }), 30_000, 30_000_000},
		{"a search that is not", "m", nil, false, hosted(func(h *llm.Hosted) { h.Search(0) }), 30_000, 100_000_000},
		{"two searches", "m", nil, false, hosted(func(h *llm.Hosted) { h.Search(3); h.Search(4) }), 30_000, 70_000_000},
		{"files and code", "m", nil, false, hosted(func(h *llm.Hosted) { h.SearchFiles(0); h.Run() }), 30_000, 25_000_000 + 30_000_000},
		{"all, limited together", "m", nil, false, hosted(func(h *llm.Hosted) { h.Search(0); h.SearchFiles(0); h.Run(); h.Limit(13) }), 30_000, 30_000_000 + 100_000_000 + 2*2_500_000},
		{"one of all", "m", nil, false, hosted(func(h *llm.Hosted) { h.Search(0); h.SearchFiles(0); h.Run(); h.Limit(1) }), 30_000, 30_000_000},
		{"tools without a price", "m", func(p *Price) { p.WebSearch, p.FileSearch, p.CodeExecution = 0, 0, 0 }, false, hosted(func(h *llm.Hosted) { h.Search(0); h.Run() }), 30_000, 0},
		{"beyond belief", "m", nil, false, hosted(func(h *llm.Hosted) { h.Search(1 << 40) }), 30_000, 100 * money.Dollar},
		{"a model that always searches", "gpt-4o-search-preview", nil, false, llm.Hosted{}, 30_000, 10_000_000},
		{"a target that does", "perplexity", nil, false, llm.Hosted{}, 30_000, 10_000_000},
	} {
		m := chatModel(price(t, Chat, classed()), 0, 1000)
		m.ID = c.model
		if c.model == "perplexity" {
			m.Targets = []Target{{Provider: "p", Model: "sonar-pro"}}
		}
		if c.drop != nil {
			c.drop(&m.Price)
		}
		r := &llm.Request{Choices: 1, HasMaxOutput: true, MaxOutput: 50, Hosted: c.hosted}
		if c.spoken {
			r.Needs.Add(llm.NeedAudioOutput, "modalities")
		}
		q, err := m.Quote(r, 100, nil)
		if want := 100*1000 + 50*c.rate + c.calls; err != nil || q.Hold != want {
			t.Errorf("%s: holds %d, want %d (%v)", c.name, q.Hold, want, err)
		}
	}
	for _, kind := range []struct {
		kind string
		r    llm.Request
		rate money.Amount
	}{{Images, llm.Request{Task: llm.TaskImage, Images: 1}, 30_000}, {Speech, llm.Request{Task: llm.TaskSpeech}, 64_000}} {
		e := classed()
		e.WebSearch, e.FileSearch, e.CodeExecution = nil, nil, nil
		m := &Model{ID: "m", Kind: kind.kind, Price: price(t, kind.kind, e), MaxOutput: 1000}
		if q, err := m.Quote(&kind.r, 0, nil); err != nil || q.Hold != 1000*kind.rate {
			t.Errorf("%s: holds %d, want %d (%v)", kind.kind, q.Hold, 1000*kind.rate, err)
		}
	}
}

// A model speaks that has a price for it.
func TestAModelSpeaksForAPrice(t *testing.T) {
	t.Parallel()
	r := &llm.Request{Choices: 1}
	r.Needs.Add(llm.NeedAudioOutput, "modalities")
	m := chatModel(price(t, Chat, classed()), 0, 1000)
	if err := m.Check(r); err != nil {
		t.Errorf("refused: %v", err)
	}
	m.Price.AudioOutput = 0
	if err := m.Check(r); !fault.Is(err, fault.UnsupportedParameter) {
		t.Errorf("not refused: %v", err)
	}
}

// Prices with classes and tools have names of their own, and those without keep theirs.
func TestAPricesNameHasItsClassesAndTools(t *testing.T) {
	t.Parallel()
	p := price(t, Chat, classed())
	seen := map[string]bool{p.ID(): true}
	for _, drop := range []func(*Price){
		func(p *Price) { p.Reasoning = 0 }, func(p *Price) { p.AudioOutput = 0 }, func(p *Price) { p.ImageOutput = 0 },
		func(p *Price) { p.WebSearch = 0 }, func(p *Price) { p.FileSearch = 0 }, func(p *Price) { p.CodeExecution = 0 },
		func(p *Price) { p.Reasoning, p.AudioOutput = p.AudioOutput, p.Reasoning }, func(p *Price) { p.WebSearch, p.FileSearch = p.FileSearch, p.WebSearch },
	} {
		q := p
		drop(&q)
		if seen[q.ID()] {
			t.Errorf("%+v has the name of another price", q)
		}
		seen[q.ID()] = true
	}
}

// What is cut goes from the text first, and no part is ever above the whole.
func TestOutputIsCutFromItsText(t *testing.T) {
	t.Parallel()
	u := llm.Usage{Output: 100, Reasoning: 20, AudioOutput: 30, ImageOutput: 40}
	for most, want := range map[int64]llm.Usage{
		200: u,
		95:  {Output: 95, Reasoning: 20, AudioOutput: 30, ImageOutput: 40},
		60:  {Output: 60, Reasoning: 20, AudioOutput: 30, ImageOutput: 10},
		10:  {Output: 10, Reasoning: 10},
		0:   {},
	} {
		if got := u.CutTo(most); got != want {
			t.Errorf("%d: %+v, want %+v", most, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-1<<40, 1<<40)
		u := llm.Usage{Output: rapid.Int64Range(0, 1<<40).Draw(t, "output")}.WithOutput(n.Draw(t, "thoughts"), n.Draw(t, "sound"), n.Draw(t, "images"))
		if _, err := textOutput(&u); err != nil {
			t.Fatal(err)
		}
	})
}
