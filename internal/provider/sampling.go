package provider

import "github.com/pontage/pontage/internal/llm"

// UsualTopK reports whether a caller's top_k says no more than what holds at Google
// without it: 64, or 40 with older models. Google's command-line program sends it
// in every request, so that it is no wish, and a target that knows no top_k may do
// without.
func UsualTopK(r *llm.Request, k int64) bool {
	return r.Dialect == llm.GeminiGenerate && (k == 64 || k == 40)
}

// OneCut returns the temperature and top_p of a conversation for models of Claude,
// of which the later refuse to take both: of two the one is left out, and told, that
// says what holds without it. Where neither does both are returned.
func (e *Encoding) OneCut(c *llm.Chat) (temperature, topP *float64) {
	temperature, topP = c.Temperature, c.TopP
	switch {
	case temperature == nil || topP == nil:
	case *topP == 1:
		topP = nil
		e.Drop("top_p")
	case *temperature == 1:
		temperature = nil
		e.Drop("temperature")
	}
	return temperature, topP
}
