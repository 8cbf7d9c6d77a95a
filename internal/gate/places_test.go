package gate

import (
	"testing"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// A caller limits each way in which a model is paid by its own name.
func TestDearerThanAllowedIsRefusedByName(t *testing.T) {
	t.Parallel()
	price := catalog.Price{
		Input: 2 * perMillion, Output: 4 * perMillion, Request: money.Cent, PerToken: true, PerRequest: true, PerUnit: true,
		Image: 4 * money.Cent, Characters: 15 * perMillion, Minute: money.Cent,
	}
	m := &catalog.Model{ID: "m", Price: price}
	seen, heard := *m, *m // a prompt is as dear as the dearest that may be in it
	seen.Price.ImageInput, heard.Price.AudioInput = 3*perMillion, 3*perMillion
	for _, m := range []*catalog.Model{&seen, &heard} {
		w := Wishes{MaxInput: 2 * perMillion, MaxPriceAt: "provider.max_price"}
		if e := fault.From(tooDear(m, &w)); e == nil || e.Param != "provider.max_price.prompt" {
			t.Errorf("%+v: %v", m.Price, e)
		}
		if w.MaxInput = 3 * perMillion; tooDear(m, &w) != nil {
			t.Errorf("%+v: %v", m.Price, tooDear(m, &w))
		}
	}
	for param, w := range map[string][2]Wishes{ // too little, and enough
		"prompt":     {{MaxInput: perMillion}, {MaxInput: 2 * perMillion}},
		"completion": {{MaxOutput: perMillion}, {MaxOutput: 4 * perMillion}},
		"request":    {{MaxRequest: money.Cent - 1}, {MaxRequest: money.Cent}},
		"image":      {{MaxImage: money.Cent}, {MaxImage: 4 * money.Cent}},
		"characters": {{MaxCharacters: perMillion}, {MaxCharacters: 15 * perMillion}},
		"minute":     {{MaxMinute: money.Cent - 1}, {MaxMinute: money.Cent}},
	} {
		for i, wishes := range w {
			wishes.MaxPriceAt = "provider.max_price"
			err := tooDear(m, &wishes)
			if f := fault.From(err); i == 0 && (err == nil || f.Code != fault.InvalidParameter || f.Param != "provider.max_price."+param) || i == 1 && err != nil {
				t.Errorf("%s: %v", param, err)
			}
		}
	}
}
