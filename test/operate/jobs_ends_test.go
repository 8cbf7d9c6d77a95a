package operate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

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

// Cancelling breaks off what runs, although the key has answers read to their
// end when a connection breaks.
func TestACancelledBatchOfAKeyThatDrainsIsBrokenOff(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	hanging := testkit.JSON(200, whole)
	hanging.Gate = make(chan struct{})
	u.Always(hanging)
	g := batches(t, u)
	c := newCustomer(t, g, "1", map[string]any{"on_disconnect": "drain"})
	b := c.batch(t, nil, "one").job(t)
	u.Request(0)
	ask(t, g, call{method: "DELETE", path: "/v1/jobs/" + b.BatchID, key: c.key}).is(t, 200)
	if b = c.until(t, b.BatchID, over); b.Results[0].Status != "cancelled" {
		t.Errorf("%+v", b)
	}
	c.holds(t, money.Dollar, 0)
	g.Verify(t)
}

// A test key has nothing to do with what was paid for, and a live key nothing
// with tests.
func TestTestKeysAndLiveKeysDoNotSeeEachOthersJobs(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	hanging := testkit.JSON(200, whole)
	hanging.Gate = make(chan struct{})
	u.Always(hanging)
	g := batches(t, u)
	c := newCustomer(t, g, "1", nil)
	test := c
	k := g.NewKey(t, c.account, map[string]any{"test": true})
	test.id, test.key = k.ID, k.Key
	b := c.batch(t, nil, "one").job(t)
	u.Request(0)
	for _, method := range []string{"GET", "DELETE"} {
		ask(t, g, call{method: method, path: "/v1/jobs/" + b.BatchID, key: test.key}).is(t, 404)
	}
	if b = c.until(t, b.BatchID, func(batchState) bool { return true }); b.Status == "cancelled" {
		t.Errorf("a test key has cancelled a job that is paid for: %+v", b)
	}
	g.MustAdmin(t, "POST", "/admin/v1/accounts/"+c.account+"/credits", map[string]any{"amount_usd": "1", "kind": "topup", "test": true}, nil)
	other := test.batch(t, nil, "two").job(t)
	ask(t, g, call{method: "GET", path: "/v1/jobs/" + other.BatchID, key: c.key}).is(t, 404)
	test.until(t, other.BatchID, over)
}

// What runs when the process is stopped may go on as long as it drains, so that
// the provider is not asked, and paid, for it again.
func TestAStopLetsWhatRunsComeToItsEnd(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	held := make(chan struct{})
	slow := testkit.JSON(200, whole)
	slow.Gate = held
	u.Always(slow)
	g := batchesThat(t, u, "drain: 20s")
	c := newCustomer(t, g, "1", nil)
	b := c.batch(t, nil, "one").job(t)
	u.Request(0)
	stopped := make(chan error, 1)
	go func() { stopped <- g.Stop() }()
	select {
	case <-stopped:
		t.Error("it did not wait")
	case <-time.After(300 * time.Millisecond):
		close(held)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}
	g.Run(t)
	if b = c.until(t, b.BatchID, func(batchState) bool { return true }); b.Summary.Completed != 1 || len(u.Received()) != 1 {
		t.Errorf("%+v; the provider was asked %d times", b, len(u.Received()))
	}
	c.holds(t, money.Dollar-promptCost, 0)
}
