package provider

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

func TestUsualTopK(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect llm.Dialect
		k       int64
		want    bool
	}{
		{llm.GeminiGenerate, 64, true},
		{llm.GeminiGenerate, 40, true},
		{llm.GeminiGenerate, 1, false},
		{llm.GeminiGenerate, 20, false},
		{llm.AnthropicMessages, 64, false},
		{llm.OpenAIChat, 40, false},
	} {
		if got := UsualTopK(&llm.Request{Dialect: c.dialect}, c.k); got != c.want {
			t.Errorf("%s, %d: %v", c.dialect, c.k, got)
		}
	}
}

func TestOfTemperatureAndTopPOneIsEnough(t *testing.T) {
	t.Parallel()
	f := func(v float64) *float64 { return &v }
	same := func(a, b *float64) bool { return a == b || a != nil && b != nil && *a == *b }
	for _, c := range []struct{ temperature, topP, wantTemperature, wantTopP *float64 }{
		{nil, nil, nil, nil},
		{f(1), nil, f(1), nil},
		{nil, f(0.9), nil, f(0.9)},
		{f(1), f(0.95), nil, f(0.95)},
		{f(0.2), f(1), f(0.2), nil},
		{f(1), f(1), f(1), nil},
		{f(0.2), f(0.9), f(0.2), f(0.9)},
	} {
		var e Encoding
		a, b := e.OneCut(&llm.Chat{Temperature: c.temperature, TopP: c.topP})
		if !same(a, c.wantTemperature) || !same(b, c.wantTopP) {
			t.Errorf("%+v: %v, %v", c, a, b)
		}
		if left := c.temperature != nil && a == nil || c.topP != nil && b == nil; left != (len(e.Dropped) == 1) {
			t.Errorf("%+v: told %v", c, e.Dropped)
		}
	}
}
