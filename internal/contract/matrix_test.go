package contract

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// Every fault × every envelope × {before content, in the middle of a stream},
// for each contract that comes with the program. A fault without a row cannot
// get here: Parse refuses it.
func TestFailureMatrix(t *testing.T) {
	t.Parallel()
	for _, name := range Embedded() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := load(t, name)
			var b bytes.Buffer
			for _, env := range c.Envelopes() {
				for _, entry := range fault.All() {
					facts := Facts{RequestID: "req_1", Balance: 350 * money.Cent, HasBalance: entry.Class != fault.ClassCredential}
					e := Sample(entry.Code)
					r := c.Render(env, e, facts)
					fmt.Fprintf(&b, "=== %s %s: %d\n", env, entry.Name, r.Status)
					for _, kv := range r.Header {
						fmt.Fprintf(&b, "%s: %s\n", kv[0], kv[1])
					}
					frame, done := c.RenderFrame("", env, e, facts)
					fmt.Fprintf(&b, "%s\n--- midway, done %v\n%s", r.Body, done, frame)
				}
			}
			golden(t, "testdata/matrix/"+name+".txt", b.Bytes())
		})
	}
}
