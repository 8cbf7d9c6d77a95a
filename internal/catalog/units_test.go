package catalog

import (
	"cmp"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

func price(t *testing.T, kind string, e PriceEntry) Price {
	t.Helper()
	return e.price(kind, func(field, reason string) { t.Errorf("%s: %s", field, reason) })
}

func TestUnitsAreChargedExactly(t *testing.T) {
	t.Parallel()
	image, minute, chars := money.Dollar/25, money.Amount(6_000_000), money.Rate(15*money.Dollar)
	in, out, seen := money.Rate(5*money.Dollar), money.Rate(40*money.Dollar), money.Rate(10*money.Dollar)
	for _, c := range []struct {
		name  string
		p     Price
		u     llm.Usage
		want  money.Amount
		lines []string
	}{
		{"three images", price(t, Images, PriceEntry{Image: &image}), llm.Usage{Images: 3, Input: 7, Output: 9}, 120_000_000, []string{"image"}},
		{"an image by tokens", price(t, Images, PriceEntry{Input: &in, Output: &out}), llm.Usage{Images: 1, Input: 10, Output: 100}, 4_050_000, []string{"input", "output"}},
		{"speech", price(t, Speech, PriceEntry{Characters: &chars}), llm.Usage{Characters: 1001}, 15_015_000, []string{"characters"}},
		{"a second of sound", price(t, Transcription, PriceEntry{Minute: &minute}), llm.Usage{Seconds: 1}, 100_000, []string{"audio_seconds"}},
		{"a minute of sound", price(t, Transcription, PriceEntry{Minute: &minute}), llm.Usage{Seconds: 60}, 6_000_000, []string{"audio_seconds"}},
		{
			"images that are read", price(t, Images, PriceEntry{Input: &in, Output: &out, ImageInput: &seen}),
			llm.Usage{Images: 1, Input: 310, CachedInput: 10, ImageInput: 200, Output: 100},
			50_000 + 500_000 + 2_000_000 + 4_000_000,
			[]string{"input", "cached_input", "image_input", "output"},
		},
		{"images that are read, without a price of their own", price(t, Images, PriceEntry{Input: &in, Output: &out}), llm.Usage{Input: 300, ImageInput: 200}, 1_500_000, []string{"input"}},
		{"sound", price(t, Transcription, PriceEntry{Input: &in, Output: &out, AudioInput: &seen}), llm.Usage{Input: 37, AudioInput: 37, Output: 12}, 370_000 + 480_000, []string{"audio_input", "output"}},
		{"nothing", price(t, Images, PriceEntry{Image: &image}), llm.Usage{}, 0, nil},
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
	for _, u := range []llm.Usage{{Input: 3, ImageInput: 2, AudioInput: 2}, {Input: 3, CachedInput: 2, ImageInput: 2}, {Input: 1, AudioInput: -1}} {
		if _, _, err := price(t, Images, PriceEntry{Input: &in, Output: &out}).Cost(u); err == nil {
			t.Errorf("%+v has a price", u)
		}
	}
	if _, _, err := price(t, Images, PriceEntry{Image: &image}).Cost(llm.Usage{Images: -1}); err == nil {
		t.Error("a negative number of images has a price")
	}
}

func TestAQuoteCoversUnits(t *testing.T) {
	t.Parallel()
	image, minute, chars := money.Dollar/25, money.Amount(6_000_001), money.Rate(15*money.Dollar)
	in, out := money.Rate(5*money.Dollar), money.Rate(40*money.Dollar)
	for _, c := range []struct {
		name string
		kind string
		e    PriceEntry
		r    llm.Request
		most llm.Usage
	}{
		{"images", Images, PriceEntry{Image: &image}, llm.Request{Task: llm.TaskImage, Images: 4}, llm.Usage{Images: 4}},
		{"images by tokens", Images, PriceEntry{Input: &in, Output: &out}, llm.Request{Task: llm.TaskImage, Images: 2}, llm.Usage{Images: 2, Input: 2 * 100, Output: 2 * 6000}},
		{"speech", Speech, PriceEntry{Characters: &chars}, llm.Request{Task: llm.TaskSpeech, Characters: 4096}, llm.Usage{Characters: 4096}},
		{"sound", Transcription, PriceEntry{Minute: &minute}, llm.Request{Task: llm.TaskTranscribe, Seconds: 61}, llm.Usage{Seconds: 61}},
		{"sound by tokens", Transcription, PriceEntry{Input: &in, Output: &out}, llm.Request{Task: llm.TaskTranscribe, Seconds: 61}, llm.Usage{Seconds: 61, Input: 100 + 976, Output: 6000}},
		{"a second by tokens", Transcription, PriceEntry{Input: &in, Output: &out}, llm.Request{Task: llm.TaskTranscribe, Seconds: 1}, llm.Usage{Seconds: 1, Input: 100 + 480, Output: 6000}},
	} {
		m := &Model{ID: "m", Kind: c.kind, Enabled: true, MaxOutput: 6000, Price: price(t, c.kind, c.e)}
		if err := m.Check(&c.r); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		q, err := m.Quote(&c.r, 100, nil)
		cost, _, err2 := m.Price.Cost(c.most)
		if err != nil || err2 != nil || q.Hold != cost || q.Elastic {
			t.Errorf("%s: holds %v, and costs %v at most (%v, %v)", c.name, q.Hold, cost, err, err2)
		}
	}
}

// Invariant I8 of what is not a conversation: whatever is used within what was
// asked for costs no more than the hold, in whatever units it is charged for.
func TestNoUsageOfUnitsCostsMoreThanTheHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { unitsCovered(rapidDraws{t}) })
}

// unitsCovered draws a request for images, speech, a transcript, embeddings or
// moderation, and something it uses, which must not cost more than is held.
func unitsCovered(t draws) {
	of := []struct {
		kind string
		task llm.Task
	}{
		{Images, llm.TaskImage},
		{Speech, llm.TaskSpeech},
		{Transcription, llm.TaskTranscribe},
		{Embedding, llm.TaskEmbed},
		{Moderation, llm.TaskModerate},
	}[t.between(0, 4, "kind")]
	e := drawUnits(t, of.kind)
	m := &Model{
		ID: "m", Kind: of.kind, Enabled: true, MaxOutput: []int64{0, 1, 6000}[t.between(0, 2, "max output")],
		Price: e.price(of.kind, func(field, reason string) { t.Fatalf("price %s: %s", field, reason) }),
	}
	r := llm.Request{Task: of.task}
	upper := t.between(0, 1<<21, "upper")
	input, output := upper, int64(0)
	if of.task != llm.TaskEmbed && of.task != llm.TaskModerate {
		output = cmp.Or(m.MaxOutput, unknownOutput)
	}
	switch of.task {
	case llm.TaskImage:
		r.Images = t.between(1, 10, "n")
		input, output = input*r.Images, output*r.Images
	case llm.TaskSpeech:
		r.Characters = t.between(0, 1<<20, "characters")
	case llm.TaskTranscribe:
		r.Seconds = t.between(0, 1<<20, "seconds")
		input += SoundTokens(r.Seconds)
	}
	q, err := m.Quote(&r, upper, nil)
	if err != nil {
		t.Fatalf("quote: %v", err)
	}
	u := llm.Usage{Input: input, Output: output, Images: r.Images, Characters: r.Characters, Seconds: r.Seconds}
	if t.either("less than that") {
		u = drawUsage(t, input, output, false)
		u.Tier = m.Price.Billed(r.Tier(), u.Tier)
		u.Images, u.Characters, u.Seconds = t.between(0, r.Images, "made"), t.between(0, r.Characters, "spoken"), t.between(0, r.Seconds, "heard")
	}
	cost, _, err := m.Price.Cost(u)
	if err != nil {
		t.Fatalf("cost of %+v: %v", u, err)
	}
	if cost > q.Hold || q.Floor != q.Hold || e.Free && q.Hold != 0 {
		t.Fatalf("%+v costs %d, and %d is held, %d at least", u, cost, q.Hold, q.Floor)
	}
}

// drawUnits draws a price of a kind of model that does not converse: by tokens, by
// its own unit, for the request, any of them together, or free.
func drawUnits(t draws, kind string) PriceEntry {
	rate := func(name string) *money.Rate {
		r := money.Rate(t.between(int64(MinRate), int64(MaxRate), name))
		return &r
	}
	each := func(name string) *money.Amount {
		a := money.Amount(t.between(1, int64(MaxRequest), name))
		return &a
	}
	var e PriceEntry
	ways := t.between(0, 7, "ways")
	if ways&1 != 0 {
		e.Input, e.Output = rate("input"), rate("output")
		if t.either("cached known") {
			e.CachedInput = rate("cached")
		}
	}
	if ways&1 != 0 && t.either("its own output known") {
		switch kind {
		case Images:
			e.ImageOutput = rate("drawn")
		case Speech:
			e.AudioOutput = rate("spoken")
		}
	}
	if ways&2 != 0 {
		e.Request = each("request")
	}
	if ways&4 != 0 {
		switch kind {
		case Images:
			e.Image = each("image")
		case Speech:
			e.Characters = rate("characters")
		case Transcription:
			e.Minute = each("minute")
		}
	}
	if reflect.ValueOf(e).IsZero() {
		e.Free = true
	}
	return e
}

func TestAPriceByTokensKeepsItsName(t *testing.T) {
	t.Parallel()
	// As receipts written before there were other units have it.
	p := Price{Input: 250_000_000, Output: 2_000_000_000, CachedInput: 25_000_000, CacheWrite: 250_000_000, CacheWrite1h: 250_000_000, PerToken: true}
	if got := p.ID(); got != "33172e5f" {
		t.Errorf("the price is named %s", got)
	}
	other := p
	other.Image, other.PerUnit = money.Dollar, true
	if other.ID() == p.ID() {
		t.Error("a price for images is named like one without")
	}
}

func TestAPriceIsOfItsKind(t *testing.T) {
	t.Parallel()
	image, minute, chars := money.Dollar, money.Dollar, money.Rate(money.Dollar)
	for field, e := range map[string]PriceEntry{"image": {Image: &image}, "minute": {Minute: &minute}, "characters": {Characters: &chars}} {
		var got []string
		e.price(Chat, func(f, _ string) { got = append(got, f) })
		if !slices.Equal(got, []string{field}) {
			t.Errorf("a chat model with a price for %s: bad are %v", field, got)
		}
	}
	zero := money.Amount(0)
	var got []string
	PriceEntry{Image: &zero}.price(Images, func(f, _ string) { got = append(got, f) })
	if !slices.Equal(got, []string{"image"}) {
		t.Errorf("an image for nothing: bad are %v", got)
	}
}

// What is missing of a price is named in the units of the kind of model.
func TestAnEmptyPriceIsAdvisedByKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		Chat: "is empty: give input and output, or request, or free: true", Completion: "is empty: give input and output, or request, or free: true",
		Embedding: "is empty: give input, or request, or free: true", Moderation: "is empty: give input, or request, or free: true",
		Images:        "is empty: give image, or input and output, or request, or free: true",
		Speech:        "is empty: give characters, or input and output, or request, or free: true",
		Transcription: "is empty: give minute, or input and output, or request, or free: true",
	} {
		var got []string
		PriceEntry{}.price(kind, func(field, reason string) { got = append(got, field+reason) })
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	if len(Kinds()) != 7 {
		t.Error("a kind has no row here")
	}
}

// The quote of a request with an image or a sound in it is at the dearest rate of
// its prompt, and that of a text alone is not.
func TestAQuoteReckonsWithMediaInThePrompt(t *testing.T) {
	t.Parallel()
	in, out, seen := money.Rate(5*money.Dollar), money.Rate(40*money.Dollar), money.Rate(10*money.Dollar)
	for _, c := range []struct {
		name string
		r    llm.Request
		dear bool
	}{
		{"a text", llm.Request{Choices: 1, HasMaxOutput: true}, false},
		{"a text to be drawn", llm.Request{Task: llm.TaskImage, Choices: 1, Images: 1}, false},
		{"an image to be edited", llm.Request{Task: llm.TaskImage, Choices: 1, Images: 1, Size: llm.Size{Images: 1}}, true},
		{"an image to be seen", llm.Request{Choices: 1, HasMaxOutput: true, Size: llm.Size{Images: 1}}, true},
		{"sound", llm.Request{Task: llm.TaskTranscribe, Choices: 1, Seconds: 60}, true},
		{"what goes on", llm.Request{Choices: 1, HasMaxOutput: true, Thread: &llm.Thread{Previous: "resp_1"}}, true},
	} {
		for _, e := range []PriceEntry{{Input: &in, Output: &out, ImageInput: &seen}, {Input: &in, Output: &out, AudioInput: &seen}} {
			m := &Model{ID: "m", Price: price(t, Chat, e), MaxOutput: 1000}
			q, err := m.Quote(&c.r, 100, nil)
			if err != nil {
				t.Fatal(err)
			}
			u := llm.Usage{Input: q.Input, Output: q.Output}
			if c.dear {
				u.ImageInput = u.Input
				if e.AudioInput != nil {
					u.ImageInput, u.AudioInput = 0, u.Input
				}
			}
			if cost, _, err := m.Price.Cost(u); err != nil || cost != q.Hold {
				t.Errorf("%s: holds %s, want %s (%v)", c.name, q.Hold, cost, err)
			}
		}
	}
}
