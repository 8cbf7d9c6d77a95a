package operate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// A long conversation in which every message has something that another
// dialect has no place for is answered with a head that clients take.
func TestALongConversationHasAShortHead(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, `{"id":"msg_1","type":"message","role":"assistant","model":"upstream-m","content":[{"type":"text","text":"Blue."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":34}}`))
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {up: {kind: anthropic, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: upstream-m}], context: 900000, max_output: 5000, price: {input: 1.00, output: 2.00}}}
`, u.URL)})
	c := newCustomer(t, g, "10", nil)
	said := strings.Repeat(`{"role":"user","name":"ada","content":"Why?"},`, 2000)
	r := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: `{"model":"m","max_tokens":9,"messages":[` + strings.TrimSuffix(said, ",") + `]}`}).is(t, 200)
	if got := r.header.Get("X-Dropped-Params"); !strings.HasPrefix(got, "messages.0.name, ") || len(got) > 2000 {
		t.Errorf("%d bytes: %.100s", len(got), got)
	}
	// Who was told nothing, as of a response in the background, finds it in the receipt.
	rc := g.Receipt(t, r.header.Get("X-Request-Id"), nil)
	if n := len(rc.Dropped); n != 33 || rc.Dropped[0] != "messages.0.name" || rc.Dropped[32] != "and 1968 more" || len(rc.Left) != 0 {
		t.Errorf("the receipt says %d: %q, and of the answer %q", n, rc.Dropped, rc.Left)
	}
}
