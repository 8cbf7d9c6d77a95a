package catalog

import (
	"slices"
	"testing"

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
	in, out := money.Rate(5*money.Dollar), money.Rate(40*money.Dollar)
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
