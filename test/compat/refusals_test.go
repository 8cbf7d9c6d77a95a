package compat

import (
	"maps"
	"slices"
	"strings"
)

// refusals are requests that a service refuses or fails to answer, each brought
// about in truth: by the key, by the request, or by the provider.
func (s *service) refusals(k *keyring) []refusal {
	hello := asks("gpt-5-mini", play("text"), "")
	limits := func(l map[string]any) map[string]any { return map[string]any{"limits": l} }
	k.answered(s.Key, map[string]string{"Idempotency-Key": "mine"})
	mute := `{"model":"gpt-5-mini","max_tokens":50}`
	out := []refusal{
		{Name: "no messages", Key: s.Key, Body: mute, Fault: "missing_parameter", Param: "messages"},
		{Name: "a bad value", Key: s.Key, Body: asks("gpt-4o", play("text"), `,"temperature":3`), Fault: "invalid_parameter", Param: "temperature"},
		{
			Name: "a bad JSON schema", Key: s.Key, Fault: "invalid_json_schema", Param: "response_format.json_schema.schema.type", Surfaces: []string{"chat"},
			Body: asks("gpt-5-mini", play("text"), `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":12}}}`),
		},
		{Name: "an unknown key", Key: strings.Repeat("x", 3) + s.Key, Body: hello, Fault: "key_invalid"},
		{Name: "an inactive key", Key: k.inactive(), Body: hello, Fault: "key_inactive"},
		{Name: "a key without the model", Key: k.make("1", map[string]any{"models": []string{"gpt-4o"}}), Body: hello, Fault: "model_not_allowed", Param: "model"},
		{Name: "an unknown model", Key: s.Key, Body: asks("gpt-nothing", play("text"), ""), Fault: "model_not_found", Param: "model"},
		{Name: "a model that is switched off", Key: s.Key, Body: asks("gpt-4", play("text"), ""), Fault: "model_unavailable", Param: "model"},
		{Name: "too large", Key: s.Key, Body: asks("gpt-5-mini", strings.Repeat("large ", bodyLimit/6), ""), Fault: "body_too_large"},
		{Name: "over the rate", Key: k.spent(limits(map[string]any{"requests": 1, "per": "1h"})), Body: hello, Fault: "rate_limited", Tries: 1},
		{Name: "over the day", Key: k.spent(limits(map[string]any{"requests_per_day": 1})), Body: hello, Fault: "daily_requests_exceeded"},
		{Name: "an idempotency key for another body", Key: s.Key, Body: asks("gpt-5-mini", play("text")+" Again.", ""), Header: map[string]string{"Idempotency-Key": "mine"}, Fault: "idempotency_mismatch"},
	}
	switch s.Name {
	case "samurai":
		out = append(out,
			refusal{Name: "over the plan", Key: k.spent(map[string]any{"plan": "single"}), Body: hello, Fault: "plan_quota_exceeded"},
			refusal{Name: "not in the plan", Key: k.make("1", map[string]any{"plan": "free"}), Body: asks("o1", play("text"), ""), Fault: "plan_required"},
			refusal{Name: "no balance", Key: k.make("", nil), Body: asks("o1", play("text"), ""), Fault: "credits_required"})
	default:
		out = append(out, refusal{Name: "no balance", Key: k.make("", nil), Body: hello, Fault: "balance_insufficient"})
	}
	if s.Name == "nanogpt" {
		out = append(out, refusal{
			Name: "a request that is running", Key: s.Key, Body: asks("gpt-5-mini", play("hang")+note("busy"), ""),
			Header: map[string]string{"Idempotency-Key": "busy"}, Fault: "idempotency_in_progress", Surfaces: []string{"chat whole"},
		})
	}
	for _, play := range slices.Sorted(maps.Keys(breaking)) {
		out = append(out, refusal{Name: "a provider that plays " + play, Key: s.Key, Body: asks(play+"-"+s.Name+"-SDK-MODE", "[play:"+play+"]", ""), Fault: breaking[play]})
	}
	return out
}
