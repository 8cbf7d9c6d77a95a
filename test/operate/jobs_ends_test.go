package operate

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// An answer that is long, and longer still once it is quoted, ends its request
// as any other does.
func TestALongAnswerInABatchIsKeptAndCharged(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	text, err := json.Marshal(strings.Repeat("<\n\x01", 200<<10))
	if err != nil {
		t.Fatal(err)
	}
	u.Always(testkit.JSON(200, strings.Replace(whole, `"Blue."`, string(text), 1)))
	g := batches(t, u)
	c := newCustomer(t, g, "1", nil)
	b := c.until(t, c.batch(t, nil, "one").job(t).BatchID, over)
	if b.Summary.Completed != 1 || len(b.Results[0].Text) < 100<<10 || !strings.HasPrefix(b.Results[0].Text, "<\n\x01<") {
		t.Errorf("%+v, %d bytes", b.Summary, len(b.Results[0].Text))
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}
