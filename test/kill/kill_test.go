package kill

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// fewKills is how many there are when nobody says.
const fewKills = 6

// number reads an environment variable.
func number(t testing.TB, name string, absent int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number", name, text)
	}
	return n
}

func newCampaign(t testing.TB, seed int64, env ...string) *campaign {
	return &campaign{t: t, env: env, rng: rand.New(rand.NewPCG(uint64(seed), 0)), f: &findings{}}
}

// Whatever moment the process is killed at, every answer that came to its end is
// charged once and exactly, nobody spends more than they have, and nothing stays
// held.
func TestNoMoneyIsLostOrMadeWhenTheProcessIsKilled(t *testing.T) {
	kills := int(number(t, "PONTAGE_KILLS", fewKills))
	seed := number(t, "PONTAGE_SEED", time.Now().UnixNano())
	c := newCampaign(t, seed)
	c.until = func(f *findings) bool { return f.deaths() >= kills }
	begun := time.Now()
	c.run()
	f, summary := c.f, c.summary(time.Since(begun), seed)
	fmt.Println("kill:", summary)
	fmt.Println("bill:", &f.bill)
	fmt.Println("died at:", f.ways)
	for _, said := range f.said {
		t.Error(said)
	}
	if kills >= oneRound() {
		f.reached(t, ofMoney())
	}
	for _, surface := range []string{chat, messages, simple, vectors} {
		if f.surfaces[surface] == 0 {
			t.Errorf("nothing was acknowledged at %s", surface)
		}
	}
	if f.acks < kills*20 || f.credits == 0 || f.refusals == 0 {
		t.Errorf("too little was going on to prove anything: %s", summary)
	}
	if median, _ := c.readiness(); median > 2*time.Second {
		t.Errorf("it takes %v until the process is ready again, want 2 s at most", median)
	}
}

// summary is what a campaign of money has to say, in one line.
func (c *campaign) summary(took time.Duration, seed int64) string {
	f := c.f
	median, most := c.readiness()
	return fmt.Sprintf("kills=%d (outside=%d points=%d) other_ends=%d acknowledged=%d entries=%d refused=%d left=%d cut_off=%d credits=%d refunds=%d absorbed=%d receipts_read=%d "+
		"lost=%d double=%d overspend=%d held=%d wrong=%d trouble=%d undelivered=%d (most in one kill: %d) ready_median=%v ready_max=%v took=%v seed=%d",
		f.deaths(), f.kills, f.crashes, f.ends, f.acks, f.entries, f.refusals, f.gone, f.cut, f.credits, f.refunds, f.absorbed, f.receipts,
		f.counts[lost], f.counts[double], f.counts[overspend], f.counts[held], f.counts[wrong], f.counts[trouble], f.undelivered, f.mostUndelivered,
		median.Round(time.Millisecond), most.Round(time.Millisecond), took.Round(time.Second), seed)
}

// Whoever asks with a key until he has an answer has paid for one, and has the
// same again whenever he asks: whole or streamed, or a job, though callers leave,
// charges come too late, and the process is killed all the time.
func TestAKeyIsChargedOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	seed := number(t, "PONTAGE_SEED", time.Now().UnixNano())
	k := newKeyed(newCampaign(t, seed))
	begun := time.Now()
	k.run()
	f := k.f
	summary := fmt.Sprintf("kills=%d (outside=%d points=%d) keys=%d entries=%d taken_back=%d took=%v seed=%d",
		f.deaths(), f.kills, f.crashes, k.keys.Load(), len(k.w.book.charges), len(k.w.book.refunds), time.Since(begun).Round(time.Second), seed)
	fmt.Println("keys:", summary)
	for _, said := range f.said {
		t.Error(said)
	}
	f.reached(t, crashPoints())
	if f.deaths() < 12 || k.keys.Load() < 100 || len(k.w.book.refunds) == 0 {
		t.Errorf("too little was going on to prove anything: %s", summary)
	}
}
