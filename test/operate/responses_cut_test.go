package operate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// What a provider of the same dialect said until it broke off is kept, with whole
// characters, whoever cut them in two.
func TestWhatAProviderBrokeOffIsKept(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {up: {kind: openai, quirks: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1")})
	c := newCustomer(t, g, "1", nil)
	const message, searching = `"output_index":0,"item_id":"msg_1","content_index":0`, `{"id":"ws_1","type":"web_search_call","status":"in_progress","action":{"type":"search","query":"q"}}`
	for i, halves := range [][2]string{{`\ud83d`, `\ude00`}, {"\xf0\x9f", "\x98\x80"}} {
		var events []string
		say := func(name, members string) {
			events = append(events, "event: "+name+"\ndata: {\"type\":\""+name+"\",\"sequence_number\":"+fmt.Sprint(len(events))+","+members+"}\n\n")
		}
		say("response.created", `"response":{"id":"resp_x","object":"response","created_at":1,"status":"in_progress","model":"upstream-m","output":[],"error":null,"incomplete_details":null,`+
			`"instructions":null,"metadata":{},"parallel_tool_calls":true,"temperature":1,"tool_choice":"auto","tools":[],"top_p":1}`)
		say("response.output_item.added", `"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}`)
		say("response.content_part.added", message+`,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}`)
		say("response.output_text.delta", message+`,"delta":"Hi `+halves[0]+`","logprobs":[]`)
		say("response.output_item.added", `"output_index":1,"item":`+searching)
		say("response.output_text.delta", message+`,"delta":"`+halves[1]+`!","logprobs":[]`)
		broken := testkit.SSE()
		broken.Frames = nil
		for _, e := range events {
			broken.Frames = append(broken.Frames, testkit.Frame{Data: e})
		}
		u.Queue(broken)
		all := c.reads(t, call{path: responsesPath, body: inBackground}).rest()
		last := all[len(all)-1]
		id := idOf(t, all[0])
		kept := c.untilResponse(t, id, "failed")
		official(t, "Response", kept.body)
		if kept.at(t, "output.0.content.0.text") != "Hi 😀!" || kept.at(t, "output.0.status") != "incomplete" || kept.at(t, "output.1.status") != "failed" || last.at(t, "response") != kept.at(t, "") {
			t.Errorf("%d: kept as %s, and it ends with %s", i, kept.body, last.frame)
		}
		again := spell(c.reads(t, fromStart(id)).rest())
		if again != spell(all) || strings.Contains(again, "\ufffd") || !strings.Contains(again, `"delta":"Hi "`) || !strings.Contains(again, "😀!\"") && !strings.Contains(again, `\ud83d\ude00!"`) {
			t.Errorf("%d: told again: %s", i, again)
		}
	}
	c.holds(t, money.Dollar, 0)
	g.Verify(t)
}
