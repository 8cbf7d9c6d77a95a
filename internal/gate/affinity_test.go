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

// Who asks for the cache has his conversation at one target, although the order of the
// model would have it at another; who asks for an hour's cache, for as long as that.
func TestAConversationStaysAsLongAsItsCacheIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name   string
		wishes Wishes
		more   string
		pin    time.Duration // 0: it is no conversation for the router
	}{
		{"by latency it goes anywhere", Wishes{}, "", 0},
		{"with a cache", Wishes{Caching: true}, "", time.Minute},
		{"with that of an hour", Wishes{Caching: true}, `,"ttl":"1h"`, time.Hour},
	} {
		c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
		c.spread(catalog.OrderLatency, "")
		p := *c.g.plans.Load()
		p.Pin, p.LongPin = time.Minute, time.Hour
		c.g.Swap(&p)
		k.wishes.Session = "talk"
		call, _, err := c.open(c.key(account.NewKey{}), asks("first", k.more), k.wishes)
		if err != nil {
			t.Fatal(err)
		}
		plan := call.plan(p.Targets[call.model], k.wishes)
		if plan.HasSession != (k.pin > 0) || plan.Pin != k.pin {
			t.Errorf("%s: session %v, for %v, want %v", k.name, plan.HasSession, plan.Pin, k.pin)
		}
	}
}
