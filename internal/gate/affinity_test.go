package gate

import (
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
)

// What strict keeps is the cache of a prompt: one that is too short for that moves,
// and the receipt and the log tell that it has.
func TestAStrictConversationMovesWhileItIsShort(t *testing.T) {
	t.Parallel()
	for from, want := range map[int64]fault.Code{0: fault.FallbackBlocked, 1_000_000: 0} {
		c := chained(t, money.Dollar, catalog.Input{Fallbacks: map[string][]string{"first": {}}}, catalog.Overlay{})
		other := c.spread("", catalog.AffinityStrict)
		p := *c.g.plans.Load()
		p.Pin, p.LongPin, p.StrictFrom = time.Minute, time.Hour, from
		c.g.Swap(&p)
		c.g.o.Router.Pins = route.NewPins(c.now, 10)
		wish := Wishes{Session: "talk"}
		key := c.key(account.NewKey{})
		if _, _, err := c.open(key, asks("first", ""), wish); err != nil {
			t.Fatal(err)
		}
		home := c.up["first"]
		if len(other.calls) > 0 {
			home = other
		}
		home.open = down(fault.UpstreamFailed)
		_, caller, err := c.open(key, asks("first", ""), wish)
		if want != 0 {
			if !fault.Is(err, want) || caller.v.Event.CacheAffinity != "" {
				t.Errorf("from %d tokens: %v", from, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("from %d tokens: %v", from, err)
			continue
		}
		r := c.receipt(caller)
		if n := len(r.Attempts); n != 3 || r.Attempts[1].Outcome != "cache_affinity: broken" || r.Attempts[2].Outcome != "ok" || caller.v.Event.CacheAffinity != "broken" {
			t.Errorf("from %d tokens: attempts %+v, in the log %q", from, r.Attempts, caller.v.Event.CacheAffinity)
		}
	}
}
