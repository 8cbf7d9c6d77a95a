package anthropic

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

// The speed is of usage, and once it was told it holds for what is reported later. A
// service_tier is committed capacity, and costs nothing else.
func TestTheSpeedThatServedIsTold(t *testing.T) {
	t.Parallel()
	for usage, want := range map[string]llm.Tier{
		`"speed":"fast"`:            llm.TierFast,
		`"speed":"standard"`:        llm.TierStandard,
		`"speed":null`:              llm.TierStandard,
		`"service_tier":"priority"`: llm.TierStandard,
		`"service_tier":"standard","speed":"f\u0061st"`: llm.TierFast,
		`"inference_geo":"us"`:                          llm.TierRegional,
		`"inference_geo":"us","speed":"fast"`:           llm.TierFastRegional,
		`"speed":"fast","inference_geo":"us"`:           llm.TierFastRegional,
		`"speed":"standard","inference_geo":"us"`:       llm.TierRegional,
		`"inference_geo":"global"`:                      llm.TierStandard,
		`"inference_geo":"not_available"`:               llm.TierStandard,
		`"inference_geo":null`:                          llm.TierStandard,
	} {
		evs, err := ask(t, "application/json", `{"type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1,`+usage+`}}`, false)
		if err != nil || testkit.Used(evs[0]).Tier != want || evs[0].Tier != want {
			t.Errorf("%s: %+v, %v; want tier %d", usage, evs, err, want)
		}
		stream := frame("message_start", `{"type":"message_start","message":{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":0,`+usage+`}}}`) +
			frame("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}`) +
			frame("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`) +
			frame("message_stop", `{"type":"message_stop"}`)
		evs, err = ask(t, "text/event-stream", stream, true)
		if err != nil || len(evs) != 4 || testkit.Used(evs[0]).Tier != want || evs[1].Tier != want || testkit.Used(evs[2]).Tier != want {
			t.Errorf("a stream with %s: %+v, %v; want tier %d", usage, evs, err, want)
		}
	}
}
