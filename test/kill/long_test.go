package kill

import (
	"fmt"
	"maps"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// longResult is what a long run writes to build/kills-long.json.
type longResult struct {
	harness.Provenance
	Seed         int64            `json:"seed"`
	Complete     bool             `json:"complete"` // it reached both numbers, and nothing was found
	Kills        int              `json:"kills"`
	KillsBy      map[string]int   `json:"kills_by"` // both campaigns
	OtherEnds    int              `json:"other_ends"`
	Acknowledged int64            `json:"acknowledged"` // answers whose final bytes came, of both campaigns
	OfKeys       int64            `json:"acknowledged_by_key"`
	Refused      int              `json:"refused"`
	Left         int              `json:"left_by_their_caller"`
	CutOff       int              `json:"cut_off_by_a_kill"`
	Undelivered  int              `json:"charged_and_not_delivered"`
	MostAtOnce   int              `json:"charged_and_not_delivered_in_one_kill"`
	Credits      int              `json:"credits"`
	Refunds      int              `json:"refunds"`
	Bill         map[string]int64 `json:"upstream_bill_nanousd"`
	Found        map[crime]int    `json:"found"`
	Said         []string         `json:"said"`
}

// long is a run of both campaigns at once, until they have killed and answered
// enough.
type long struct {
	kills, acks int64
	until       time.Time
	seed        int64
	begun       time.Time
	told        time.Time

	over      atomic.Bool // the campaign of money has ended
	found     atomic.Bool // by the campaign of keys
	keyKills  atomic.Int64
	keyAcks   atomic.Int64
	keyEnds   atomic.Int64
	money     *campaign
	keysFound *findings // of all rounds, once they have ended
}

// A thousand kills and a million answers, and not one is lost or charged twice.
func TestALongRun(t *testing.T) {
	if os.Getenv("PONTAGE_KILLS_LONG") == "" {
		t.Skip("make kills-long runs this, for the better part of an hour")
	}
	limit, err := time.ParseDuration(os.Getenv("PONTAGE_KILLS_LONG_TIME"))
	if err != nil {
		t.Fatalf("PONTAGE_KILLS_LONG_TIME: %v", err)
	}
	now := time.Now()
	l := &long{
		kills: number(t, "PONTAGE_KILLS_LONG", 1000), acks: number(t, "PONTAGE_ACKS_LONG", 1_000_000),
		seed: number(t, "PONTAGE_SEED", now.UnixNano()), begun: now, told: now, until: now.Add(limit), keysFound: &findings{},
	}
	t.Run("campaigns", func(t *testing.T) {
		t.Run("money", func(t *testing.T) { t.Parallel(); l.ofMoney(t) })
		t.Run("keys", func(t *testing.T) { t.Parallel(); l.ofKeys(t) })
	})
	l.tell(t)
}

// ofMoney runs the campaign of money until it is enough.
func (l *long) ofMoney(t *testing.T) {
	defer l.over.Store(true)
	c := newCampaign(t, l.seed)
	l.money = c
	c.bulk, c.kills, c.floor = 85, 30, max(1, l.acks*13/10/l.kills)
	c.until = func(*findings) bool { return l.found.Load() || l.enough() || time.Now().After(l.until) }
	c.after = func(*campaign) { l.progress() }
	c.run()
	for _, said := range c.f.said {
		t.Error(said)
	}
	if c.f.deaths() >= oneRound() {
		c.f.reached(t, ofMoney())
	}
}

// ofKeys runs the campaign of keys again and again, as long as the other one
// goes on.
func (l *long) ofKeys(t *testing.T) {
	for n := int64(1); !l.over.Load() && !t.Failed(); n++ {
		k := newKeyed(newCampaign(t, l.seed+n))
		k.run()
		l.keyKills.Add(int64(k.f.deaths()))
		l.keyAcks.Add(k.priced.Load())
		l.keyEnds.Add(int64(k.f.ends))
		l.keysFound.join(k.f)
		for _, said := range k.f.said {
			l.found.Store(true)
			t.Errorf("round %d: %s", n, said)
		}
		k.f.reached(t, crashPoints())
	}
}

func (l *long) enough() bool {
	f := l.money.f
	return int64(f.deaths())+l.keyKills.Load() >= l.kills && int64(f.acks)+l.keyAcks.Load() >= l.acks
}

// progress says once a minute how far the run is.
func (l *long) progress() {
	if time.Since(l.told) < time.Minute {
		return
	}
	l.told = time.Now()
	f := l.money.f
	fmt.Printf("kills-long: after %v %d of %d kills, %d of %d answers acknowledged, %d findings\n", time.Since(l.begun).Round(time.Second),
		int64(f.deaths())+l.keyKills.Load(), l.kills, int64(f.acks)+l.keyAcks.Load(), l.acks, len(f.said))
}

// join adds what another campaign was killed by, and found.
func (f *findings) join(other *findings) {
	for way, n := range other.ways {
		for range n {
			f.died(way)
		}
	}
	if f.counts == nil {
		f.counts = map[crime]int{}
	}
	for c, n := range other.counts {
		f.counts[c] += n
	}
	f.said = append(f.said, other.said...)
}

// tell writes the result, and the line of it for docs/reliability.md.
func (l *long) tell(t *testing.T) {
	f, all := l.money.f, &findings{}
	all.join(f)
	all.join(l.keysFound)
	b := f.bill
	r := longResult{
		Provenance: harness.Provenanced(t, l.begun), Seed: l.seed, Complete: l.enough() && !t.Failed(),
		Kills: all.deaths(), KillsBy: maps.Clone(all.ways), OtherEnds: f.ends + int(l.keyEnds.Load()),
		Acknowledged: int64(f.acks) + l.keyAcks.Load(), OfKeys: l.keyAcks.Load(),
		Refused: f.refusals, Left: f.gone, CutOff: f.cut, Undelivered: f.undelivered, MostAtOnce: f.mostUndelivered,
		Credits: f.credits, Refunds: f.refunds, Found: all.counts, Said: append([]string{}, all.said...),
		Bill: map[string]int64{
			"upstream": b.upstream, "journal": b.journal, "guessed": b.guessed, "absorbed": b.absorbed, "blocked": b.blocked,
			"empty": b.empty, "cut_off": b.cut, "left": b.left, "not_recorded": b.unsaved,
		},
	}
	harness.WriteResult(t, "kills-long.json", r)
	fmt.Println("kills-long:", l.money.summary(time.Since(l.begun), l.seed))
	fmt.Println("bill:", &b)
	fmt.Printf("| %s | %s | %s | %d | %d | %d | %d | %d | %d | %d |\n", r.Date, r.Commit, r.Took, r.Kills, r.Acknowledged, r.CutOff,
		r.Undelivered, all.counts[lost], all.counts[double], len(all.said)-all.counts[lost]-all.counts[double])
	if !l.enough() && len(all.said) == 0 {
		t.Errorf("time is up: %d of %d kills, %d of %d answers", r.Kills, l.kills, r.Acknowledged, l.acks)
	}
}
