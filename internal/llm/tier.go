package llm

import (
	"bytes"
	"encoding/json"
)

// Tier is the tier of service that an answer was given in, as far as that costs
// another price.
type Tier uint8

// The tiers. Committed capacity (scale, Anthropic's priority) is paid for by itself
// and costs by the token what the standard does, as does what nobody knows.
const (
	TierStandard Tier = iota
	TierFlex
	TierPriority // OpenAI's and Google's; fast is another name for it
	TierFast     // Anthropic's speed of that name, and OpenAI's ultrafast

	TierRegional     // Anthropic's, in the region that an inference_geo names
	TierFastRegional // both
)

// TierNamed returns the tier that a service_tier names, in a request or an answer,
// in any case of letters.
func TierNamed(name []byte) Tier {
	switch string(name) {
	case "", "default", "standard", "auto": // nearly always
		return TierStandard
	}
	for _, prefix := range [...]string{"SERVICE_TIER_", "ON_DEMAND_"} { // Google's, and those of Vertex AI
		if n := len(prefix); len(name) > n && bytes.EqualFold(name[:n], []byte(prefix)) {
			name = name[n:]
		}
	}
	switch string(bytes.ToLower(name)) {
	case "flex":
		return TierFlex
	case "priority", "fast":
		return TierPriority
	case "ultrafast":
		return TierFast
	}
	return TierStandard
}

// String returns OpenAI's name of the tier.
func (t Tier) String() string {
	switch t {
	case TierFlex:
		return "flex"
	case TierPriority:
		return "priority"
	case TierFast, TierFastRegional:
		return "ultrafast"
	}
	return "default"
}

// SpeedNamed returns the tier that a speed names, as Anthropic has it.
func SpeedNamed(name []byte) Tier {
	if string(name) == "fast" {
		return TierFast
	}
	return TierStandard
}

// Regional reports whether an inference_geo names a region that a model is to run in,
// or ran in: Anthropic says that others cannot tell, or may run anywhere.
func Regional(geo []byte) bool {
	switch string(geo) {
	case "", "global", "not_available":
		return false
	}
	return true
}

// InRegion returns the tier of an answer at the same speed that was made in one region.
// Who has regions has no other tiers.
func (t Tier) InRegion() Tier {
	switch t {
	case TierStandard:
		return TierRegional
	case TierFast:
		return TierFastRegional
	}
	return t
}

// Tier returns the tier that the request asks for: the dearest, should it name two.
func (r *Request) Tier() Tier {
	var asked Tier
	regional := false
	for i := range r.Raw.Members {
		m := &r.Raw.Members[i]
		switch m.Name {
		case "service_tier", "serviceTier":
			asked = max(asked, TierNamed(textOf(r.Raw.Body[m.ValueStart:m.End])))
		case "speed": // of speech it is a number
			asked = max(asked, SpeedNamed(textOf(r.Raw.Body[m.ValueStart:m.End])))
		case "inference_geo":
			regional = Regional(textOf(r.Raw.Body[m.ValueStart:m.End]))
		}
	}
	if regional {
		return asked.InRegion()
	}
	return asked
}

// textOf returns the text of a JSON string, or nil for what is none.
func textOf(value []byte) []byte {
	value = bytes.TrimSpace(value)
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return nil
	}
	return []byte(text)
}
