package llm

import (
	"testing"
)

// Whatever spelling a provider or a caller has for a tier, it is known by what it
// costs; what nobody knows costs what the standard does.
func TestATierIsKnownByItsNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Tier{
		"": TierStandard, "auto": TierStandard, "default": TierStandard, "standard": TierStandard, "standard_only": TierStandard,
		"scale": TierStandard, "batch": TierStandard, "on_demand": TierStandard, "ON_DEMAND": TierStandard, "performance": TierStandard,
		"SERVICE_TIER_UNSPECIFIED": TierStandard, "SERVICE_TIER_STANDARD": TierStandard, "PROVISIONED_THROUGHPUT": TierStandard,
		"flex": TierFlex, "FLEX": TierFlex, "SERVICE_TIER_FLEX": TierFlex, "ON_DEMAND_FLEX": TierFlex,
		"priority": TierPriority, "Priority": TierPriority, "fast": TierPriority, "SERVICE_TIER_PRIORITY": TierPriority, "ON_DEMAND_PRIORITY": TierPriority,
		"ultrafast": TierFast,
	} {
		if got := TierNamed([]byte(name)); got != want {
			t.Errorf("%q is tier %d, want %d", name, got, want)
		}
	}
	if SpeedNamed([]byte("fast")) != TierFast || SpeedNamed([]byte("standard")) != TierStandard || SpeedNamed(nil) != TierStandard {
		t.Error("a speed is another tier")
	}
}

func TestARequestAsksForATier(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        Tier
	}{
		{"service_tier", `"priority"`, TierPriority},
		{"service_tier", `"prior\u0069ty"`, TierPriority},
		{"service_tier", ` "flex" `, TierFlex},
		{"service_tier", `"auto"`, TierStandard},
		{"service_tier", `null`, TierStandard},
		{"service_tier", `"`, TierStandard},
		{"service_tier", `"\q"`, TierStandard},
		{"service_tier", `["priority"]`, TierStandard},
		{"serviceTier", `"SERVICE_TIER_FLEX"`, TierFlex},
		{"speed", `"fast"`, TierFast},
		{"speed", `1.5`, TierStandard},
		{"user", `"priority"`, TierStandard},
		{"inference_geo", `"us"`, TierRegional},
		{"inference_geo", `"global"`, TierStandard},
		{"inference_geo", `null`, TierStandard},
	} {
		if got := with(c.name, c.value).Tier(); got != c.want {
			t.Errorf("%s: %s asks for tier %d, want %d", c.name, c.value, got, c.want)
		}
	}
	both := with("service_tier", `"flex"`)
	start := len(both.Raw.Body)
	both.Raw.Body = append(both.Raw.Body, `,"speed":"fast"`...)
	both.Raw.Members = append(both.Raw.Members, Member{Name: "speed", Start: start + 1, ValueStart: start + 9, End: start + 15})
	if got := both.Tier(); got != TierFast {
		t.Errorf("of two tiers %d is asked for", got)
	}
	start = len(both.Raw.Body)
	both.Raw.Body = append(both.Raw.Body, `,"inference_geo":"us"`...)
	both.Raw.Members = append(both.Raw.Members, Member{Name: "inference_geo", Start: start + 1, ValueStart: start + 17, End: start + 21})
	if got := both.Tier(); got != TierFastRegional {
		t.Errorf("fast and in one region is tier %d", got)
	}
}

func with(name, value string) *Request {
	body := []byte(`"` + name + `":` + value)
	return &Request{Raw: Raw{Body: body, Members: []Member{{Name: name, ValueStart: len(name) + 3, End: len(body)}}}}
}
