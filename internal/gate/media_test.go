package gate

import (
	"testing"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// What a provider of images or sound does not tell is not free where the price is
// by tokens and by nothing else: it is reckoned, never above what was held, and
// said to be estimated.
func TestUntoldTokensOfMediaAreReckoned(t *testing.T) {
	t.Parallel()
	in, out := perMillion, 10*perMillion
	tokens := catalog.Price{Input: in, Output: out, PerToken: true}
	with := func(set func(*catalog.Price)) catalog.Price {
		p := tokens
		p.PerUnit = true
		set(&p)
		return p
	}
	image := llm.Request{Task: llm.TaskImage, Images: 4, Size: llm.Size{ASCII: 30}}
	edit := llm.Request{Task: llm.TaskImage, Images: 1, Size: llm.Size{ASCII: 30, Images: 1}}
	speech := llm.Request{Task: llm.TaskSpeech, Characters: 30, Size: llm.Size{ASCII: 30}}
	sound := llm.Request{Task: llm.TaskTranscribe, Seconds: 1000, Heard: 60}
	check := llm.Request{Task: llm.TaskModerate, Size: llm.Size{ASCII: 30}}
	for _, c := range []struct {
		name  string
		r     llm.Request
		p     catalog.Price
		told  *llm.Usage
		bytes int64
		want  llm.Usage
	}{
		{"images by tokens", image, tokens, &llm.Usage{Images: 3, Estimated: true}, 0, llm.Usage{Images: 3, Input: 26, Output: 3000, ImageOutput: 3000, Estimated: true}},
		{"images by tokens that are told", image, tokens, &llm.Usage{Images: 3, Input: 5, Output: 6}, 0, llm.Usage{Images: 3, Input: 5, Output: 6}},
		{"images that have a price of their own", image, with(func(p *catalog.Price) { p.Image = money.Dollar }), &llm.Usage{Images: 3, Estimated: true}, 0, llm.Usage{Images: 3, Estimated: true}},
		{"images by the piece", image, catalog.Price{PerUnit: true, Image: money.Dollar}, &llm.Usage{Images: 3, Estimated: true}, 0, llm.Usage{Images: 3, Estimated: true}},
		{"images by the piece, with tokens that cannot be true", image, catalog.Price{PerUnit: true, Image: money.Dollar}, &llm.Usage{Images: 3, Input: 1 << 41}, 0, llm.Usage{Images: 3, Input: 26, Estimated: true}},
		{"images that have a price of their own, with tokens that cannot be true", image, with(func(p *catalog.Price) { p.Image = money.Dollar }), &llm.Usage{Images: 3, Input: 1 << 41}, 0, llm.Usage{Images: 3, Estimated: true}},
		{"an edit by tokens", edit, tokens, &llm.Usage{Images: 1, Estimated: true}, 0, llm.Usage{Images: 1, Input: 26 + 2048, ImageInput: 2048, Output: 1000, ImageOutput: 1000, Estimated: true}},
		{"speech by tokens", speech, tokens, &llm.Usage{Characters: 30}, 0, llm.Usage{Characters: 30, Input: 26, Output: 1000, AudioOutput: 1000, Estimated: true}},
		{"speech by characters as well", speech, with(func(p *catalog.Price) { p.Characters = perMillion }), &llm.Usage{Characters: 30}, 0, llm.Usage{Characters: 30}},
		{"sound by tokens", sound, tokens, &llm.Usage{Seconds: 60, Estimated: true}, 41, llm.Usage{Seconds: 60, Input: 976, AudioInput: 960, Output: 11, Estimated: true}},
		{"sound by tokens that are told", sound, tokens, &llm.Usage{Seconds: 60, Input: 600, Output: 11}, 0, llm.Usage{Seconds: 60, Input: 600, Output: 11}},
		{"sound by the minute as well", sound, with(func(p *catalog.Price) { p.Minute = money.Dollar }), &llm.Usage{Seconds: 60}, 41, llm.Usage{Seconds: 60}},
		{"sound by the minute, with tokens that are told", sound, with(func(p *catalog.Price) { p.Minute = money.Dollar }), &llm.Usage{Seconds: 60, SecondsEstimated: true, Input: 600, Output: 11}, 0, llm.Usage{Seconds: 60, SecondsEstimated: true, Input: 600, Output: 11, Estimated: true}},
		{"sound by tokens, its length a guess", sound, tokens, &llm.Usage{Seconds: 60, SecondsEstimated: true, Input: 600, Output: 11}, 0, llm.Usage{Seconds: 60, SecondsEstimated: true, Input: 600, Output: 11}},
		{"sound by tokens, of which its length is told", sound, tokens, &llm.Usage{Seconds: 60}, 41, llm.Usage{Seconds: 60, Input: 976, AudioInput: 960, Output: 11, Estimated: true}},
		{"a verdict that is free", check, catalog.Price{PerToken: true}, nil, 0, llm.Usage{}},
		{"images that are free", image, catalog.Price{PerToken: true}, &llm.Usage{Images: 3, Estimated: true}, 0, llm.Usage{Images: 3, Estimated: true}},
		{"sound that nobody told of", sound, tokens, nil, 41, llm.Usage{Seconds: 60, SecondsEstimated: true, Input: 976, AudioInput: 960, Output: 11, Estimated: true}},
		{"sound by the minute that nobody told of", sound, catalog.Price{PerUnit: true, Minute: money.Dollar}, nil, 0, llm.Usage{Seconds: 60, SecondsEstimated: true, Input: 16, Estimated: true}},
		{"sound by tokens that cannot be true", sound, tokens, &llm.Usage{Seconds: 60, Input: -1}, 41, llm.Usage{Seconds: 60, Input: 976, AudioInput: 960, Output: 11, Estimated: true}},
		{"sound by the minute as well that nobody told of", sound, with(func(p *catalog.Price) { p.Minute = money.Dollar }), nil, 41, llm.Usage{Seconds: 60, SecondsEstimated: true, Estimated: true}},
		{"speech by characters as well that nobody told of", speech, with(func(p *catalog.Price) { p.Characters = perMillion }), nil, 40, llm.Usage{Characters: 30, Estimated: true}},
		{"speech that nobody told of", speech, catalog.Price{PerUnit: true, Characters: perMillion}, nil, 0, llm.Usage{Characters: 30, Input: 26, Estimated: true}},
		{"speech by tokens that nobody told of", speech, tokens, nil, 40, llm.Usage{Characters: 30, Input: 26, Output: 10, AudioOutput: 10, Estimated: true}},
		{"an edit that nobody told of", edit, tokens, nil, 0, llm.Usage{Input: 26 + 2048, ImageInput: 2048, Estimated: true}},
		{"a verdict by tokens", check, tokens, nil, 0, llm.Usage{Input: 26, Estimated: true}},
	} {
		m := &catalog.Model{ID: "m", Price: c.p, MaxOutput: 1000, Context: 100_000}
		q, err := m.Quote(&c.r, upper(&c.r), nil)
		if err != nil {
			t.Fatal(err)
		}
		call := &Call{req: &c.r, model: m, quote: q, hold: &ledger.Hold{}, produced: c.bytes}
		if c.told != nil {
			call.report(*c.told)
		}
		got := call.used()
		if got != c.want {
			t.Errorf("%s: used %+v, want %+v", c.name, got, c.want)
		}
		cost, _, err := m.Price.Cost(got)
		if err != nil || cost > q.Hold {
			t.Errorf("%s: costs %s, and %s was held (%v)", c.name, cost, q.Hold, err)
		}
		if c.p.Input > 0 && cost == 0 && got.Images+got.Characters+got.Seconds+got.Input > 0 {
			t.Errorf("%s: costs nothing", c.name)
		}
	}
}
