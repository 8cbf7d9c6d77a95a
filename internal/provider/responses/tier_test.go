package responses

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

// What the response says at its end is the tier that it was served in; before that it
// is the one that was asked for.
func TestTheTierThatServedIsTold(t *testing.T) {
	t.Parallel()
	told := func(event, tier string) string {
		return strings.Replace(event, `"object":"response"`, `"object":"response","service_tier":`+tier, 1)
	}
	for _, translate := range []bool{false, true} {
		for _, c := range []struct {
			first, last string
			began, want llm.Tier
		}{
			{`"auto"`, `"priority"`, llm.TierStandard, llm.TierPriority},
			{`"priority"`, `"default"`, llm.TierPriority, llm.TierStandard},
			{`"flex"`, `null`, llm.TierFlex, llm.TierFlex},
			{`"ultrafast"`, `"ultrafast"`, llm.TierFast, llm.TierFast},
		} {
			evs, err := ask(t, events, frames(told(created, c.first), delta("output_text", 0, "hi"), told(completed, c.last)), true, translate)
			if err != nil || len(evs) != 3 || evs[1].Tier != c.began || testkit.Used(evs[2]).Tier != c.want || evs[2].Tier != c.want {
				t.Errorf("from %s to %s: %+v, %v", c.first, c.last, evs, err)
			}
		}
		evs, err := ask(t, jsonType, `{"object":"response","status":"completed","output":[{"type":"message","content":[]}],"usage":{"input_tokens":7,"output_tokens":3},"service_tier":"flex"}`, false, translate)
		if err != nil || testkit.Used(evs[0]).Tier != llm.TierFlex || evs[0].Tier != llm.TierFlex {
			t.Errorf("a whole response tells %+v, %v", evs, err)
		}
	}
}
