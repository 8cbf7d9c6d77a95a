package gemini

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

// Google tells the tier with the usage, and in the head of the answer.
func TestTheTierThatServedIsTold(t *testing.T) {
	t.Parallel()
	const text = `"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]`
	for member, want := range map[string]llm.Tier{
		`"serviceTier":"priority"`:               llm.TierPriority,
		`"serviceTier":"SERVICE_TIER_FLEX"`:      llm.TierFlex,
		`"serviceTier":"STANDARD"`:               llm.TierStandard,
		`"trafficType":"ON_DEMAND_PRIORITY"`:     llm.TierPriority,
		`"trafficType":"PROVISIONED_THROUGHPUT"`: llm.TierStandard,
	} {
		body := fmt.Sprintf(`{%s,"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1,"totalTokenCount":4,%s}}`, text, member)
		for _, stream := range []bool{false, true} {
			kind, sent := "application/json", body
			if stream {
				kind, sent = "text/event-stream", frames(body)
			}
			evs, err := ask(kind, sent, stream)
			if err != nil || testkit.Used(evs[0]).Tier != want || evs[0].Tier != want {
				t.Errorf("%s: %+v, %v; want tier %d", member, evs, err, want)
			}
		}
	}
	for name, want := range map[string]llm.Tier{"priority": llm.TierPriority, "standard": llm.TierStandard, "": llm.TierStandard} {
		if got := tierOf(http.Header{"X-Gemini-Service-Tier": {name}}); got != want {
			t.Errorf("the head says %q: tier %d, want %d", name, got, want)
		}
	}
}
