package kill

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"strings"
	"time"
)

// examineDead reads what a process left behind, and compares it with what the
// clients saw.
func (c *campaign) examineDead(s *shift) {
	c.readDead(func(context.Context, *sql.DB) error {
		c.w.close(s, c.f)
		return nil
	})
}

// readDead reads what a process left behind, with SQL. Once the book has it, then
// looks for more.
func (c *campaign) readDead(then func(context.Context, *sql.DB) error) {
	dir := c.t.TempDir()
	defer func() { _ = os.RemoveAll(dir) }() // a long run makes thousands
	path, err := copyDatabase(c.g.DatabasePath(), dir)
	if err != nil {
		c.f.add(trouble, "copy the database: %v", err)
		return
	}
	c.verifyFile(path, "after "+c.life.name)
	db, err := open(path)
	if err != nil {
		c.f.add(trouble, "open the database: %v", err)
		return
	}
	defer func() { _ = db.Close() }()
	lines, err := c.w.book.read(context.Background(), db)
	if err != nil {
		c.f.add(wrong, "after %s: %v", c.life.name, err)
		return
	}
	c.w.book.add(lines, c.f)
	if err := then(context.Background(), db); err != nil {
		c.f.add(trouble, "after %s: read the database: %v", c.life.name, err)
	}
}

// examineLiving looks at a process that has just started: it verifies, says
// what the entries say, holds nothing, and has folded everything.
func (c *campaign) examineLiving() bool {
	c.verifyLiving()
	if !c.nothingHeld("after the start") {
		return false
	}
	db, err := open(c.g.DatabasePath())
	if err != nil {
		c.f.add(trouble, "open the database: %v", err)
		return false
	}
	defer func() { _ = db.Close() }()
	ctx := context.Background()
	for deadline := time.Now().Add(10 * time.Second); ; {
		lines, err := c.w.book.read(ctx, db)
		if err != nil {
			c.f.add(wrong, "%v", err)
			return false
		}
		c.w.book.add(lines, c.f)
		said := &findings{}
		c.balances(said)
		if err := c.w.book.folded(ctx, db, said); err != nil {
			c.f.add(trouble, "read the database: %v", err)
			return false
		}
		if !said.any() {
			c.exhausted()
			c.receipts()
			return !c.f.any()
		}
		// A grant may have expired between the two readings, and its fold takes
		// a moment. What is wrong stays wrong.
		if time.Now().After(deadline) {
			c.f.add(wrong, "after the start: %s", said.said[0])
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// balances compares what the process says of every account with its entries.
func (c *campaign) balances(f *findings) {
	for _, a := range c.w.accounts {
		var now struct {
			BalanceUSD string `json:"balance_usd"`
		}
		status, b, err := c.g.Admin(context.Background(), http.MethodGet, "/admin/v1/accounts/"+a.id, nil, &now)
		if err != nil || status != http.StatusOK {
			f.add(trouble, "account %s: %d %s %v", a.name, status, b, err)
			return
		}
		if has, err := nano(now.BalanceUSD); err != nil || has != c.w.book.purses[a.num].balance() {
			f.add(wrong, "account %s: it says $%s, its entries say $%s", a.name, now.BalanceUSD, usd(c.w.book.purses[a.num].balance()))
		}
	}
}

// counter is a limit as the admin API reports it.
type counter struct {
	Counter string `json:"counter"`
	Key     string `json:"key"`
	Used    any    `json:"used"`
	Held    any    `json:"held"`
}

// counters reads all limits of an account.
func (c *campaign) counters(a *payer) ([]counter, bool) {
	var all []counter
	cursor := ""
	for {
		var page struct {
			Data []counter `json:"data"`
			Next *string   `json:"next"`
		}
		status, b, err := c.g.Admin(context.Background(), http.MethodGet, "/admin/v1/accounts/"+a.id+"/limits?limit=100"+cursor, nil, &page)
		if err != nil || status != http.StatusOK {
			c.f.add(trouble, "limits of account %s: %d %s %v", a.name, status, b, err)
			return nil, false
		}
		all = append(all, page.Data...)
		if page.Next == nil {
			return all, true
		}
		cursor = "&cursor=" + *page.Next
	}
}

// something reports that a counter is neither 0 nor "0.00".
func something(v any) bool {
	switch v := v.(type) {
	case float64:
		return v != 0
	case string:
		n, err := nano(v)
		return err != nil || n != 0
	}
	return v != nil
}

// heldNow returns what is held anywhere.
func (c *campaign) heldNow() (what string, ok bool) {
	for _, a := range c.w.accounts {
		all, ok := c.counters(a)
		if !ok {
			return "", false
		}
		for _, x := range all {
			if something(x.Held) {
				return a.name + ": " + x.Counter + " of key " + x.Key, true
			}
		}
	}
	return "", true
}

// nothingHeld waits a moment until nothing is held: a client that has left is
// noticed when its answer ends at the latest.
func (c *campaign) nothingHeld(when string) bool {
	for deadline := time.Now().Add(10 * time.Second); ; {
		what, ok := c.heldNow()
		if !ok {
			return false
		}
		if what == "" {
			return true
		}
		if time.Now().After(deadline) {
			c.f.add(held, "%s something is held: %s", when, what)
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// verifyLiving asks the process to verify its ledger.
func (c *campaign) verifyLiving() {
	var v struct {
		OK          bool     `json:"ok"`
		Entries     int64    `json:"entries"`
		Differences []string `json:"differences"`
	}
	status, b, err := c.g.Admin(context.Background(), http.MethodGet, "/admin/v1/ledger/verify", nil, &v)
	switch {
	case err != nil || status != http.StatusOK:
		c.f.add(trouble, "verify: %d %s %v", status, b, err)
	case !v.OK || len(v.Differences) > 0:
		c.f.add(trouble, "the ledger does not verify: %v", v.Differences)
	case v.Entries < c.w.book.last:
		c.f.add(lost, "the ledger has %d entries, and had %d", v.Entries, c.w.book.last)
	}
}

// exhausted makes sure that a key whose requests of the day were used up in the
// life before has none in this one.
func (c *campaign) exhausted() {
	k := c.w.counted
	if k == nil {
		return
	}
	today := keyDay{k.num, daysSince(time.Now().UTC())}
	if c.w.book.days[today].requests < k.requestsPerDay || nearMidnight(time.Now().UTC()) {
		return
	}
	j := &job{n: c.w.next.Add(1), key: k, surface: chat, model: "gpt", ending: answers, used: usage{input: 1, output: 1}, prompt: 100, maxTokens: 10, chunks: 1, size: 16, started: make(chan struct{})}
	c.w.up.jobs.Store(j.n, j)
	j.do(http.DefaultClient, c.g.URL)
	if saw, _ := j.outcome(); saw != refused || j.status != http.StatusTooManyRequests {
		c.f.add(overspend, "%v: the key had used its %d requests of the day before the process died", j, k.requestsPerDay)
	}
}

// midnight lets the clock pass midnight in the middle of a stream. The charge
// belongs to the day before, and the key has a whole day before it.
func (c *campaign) midnight(s *shift) {
	now := time.Now().UTC()
	if nearMidnight(now.Add(10 * time.Second)) {
		return
	}
	k := c.w.newKey(c.t, c.g, c.w.limited, 2, 0)
	one := func(gate chan struct{}) *job {
		return &job{
			n: c.w.next.Add(1), key: k, surface: chat, model: "gpt", stream: true, ending: answers, prompt: 300, maxTokens: 300,
			used: usage{input: 10, cached: 3, output: 77}, chunks: 2, size: 32, gate: gate, started: make(chan struct{}),
		}
	}
	gate := make(chan struct{})
	across := one(gate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(across)
	}()
	select {
	case <-across.started:
	case <-done:
		c.f.add(trouble, "%v: it did not begin", across)
		return
	}
	ahead := now.Truncate(24 * time.Hour).Add(24*time.Hour + time.Second).Sub(now)
	status, b, err := c.g.Admin(context.Background(), http.MethodPost, "/admin/v1/test/clock", map[string]any{"advance": ahead.String()}, nil)
	if err != nil || status != http.StatusOK {
		c.f.add(trouble, "advance the clock: %d %s %v", status, b, err)
	}
	c.w.ahead = ahead
	close(gate)
	<-done
	want := []fate{acked, acked, acked, refused}
	for i, j := range []*job{across, s.run(one(nil)), s.run(one(nil)), s.run(one(nil))} {
		if saw, _ := j.outcome(); saw != want[i] {
			c.f.add(wrong, "%v: a key with two requests a day made one that ended after midnight; request %d of its is to be %s", j, i, want[i])
		}
	}
}

// receipt is what of a receipt the admin API is asked for here.
type receipt struct {
	ID          string `json:"id"`
	Outcome     string `json:"outcome"`
	ChargeUSD   string `json:"charge_usd"`
	AbsorbedUSD string `json:"absorbed_usd"`
	Delivery    string `json:"delivery"`
	Lines       []struct {
		AmountUSD string `json:"amount_usd"`
	} `json:"lines"`
}

// receipts asks the process for the receipts of one account's requests of the
// life before, and compares them with what the clients saw and the book has.
func (c *campaign) receipts() {
	if c.before == nil {
		return
	}
	a := c.w.accounts[c.rng.IntN(len(c.w.accounts))]
	found := map[string]receipt{}
	for cursor := ""; ; {
		var page struct {
			Data []receipt `json:"data"`
			Next *string   `json:"next"`
		}
		path := "/admin/v1/requests?limit=200&account=" + a.id + "&from=" + c.before.begun.Add(-time.Second).UTC().Format(time.RFC3339) + cursor
		status, b, err := c.g.Admin(context.Background(), http.MethodGet, path, nil, &page)
		if err != nil || status != http.StatusOK {
			c.f.add(trouble, "receipts of %s: %d %s %v", a.name, status, b, err)
			return
		}
		for _, r := range page.Data {
			if _, twice := found[r.ID]; twice {
				c.f.add(double, "request %s has two receipts", r.ID)
			}
			found[r.ID] = r
		}
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	for _, j := range c.before.jobs {
		if j.key.account == a {
			c.receipt(j, found)
		}
	}
	c.f.receipts += len(found)
}

// receipt compares one job with its receipt. One that was not charged may have
// lost its receipt with the process.
func (c *campaign) receipt(j *job, found map[string]receipt) {
	saw, id := j.outcome()
	r, ok := found[id]
	if !ok {
		if saw == acked && j.price() > 0 {
			c.f.add(lost, "%v: it has no receipt", j)
		}
		return
	}
	charge, err := nano(r.ChargeUSD)
	absorbed, err2 := nano(r.AbsorbedUSD)
	if err != nil || err2 != nil {
		c.f.add(wrong, "%v: its receipt charges %q and absorbs %q", j, r.ChargeUSD, r.AbsorbedUSD)
		return
	}
	switch saw {
	case acked:
		if charge+absorbed != j.price() && !j.wasCut() || r.Delivery != "complete" && r.Delivery != "unknown" && j.price() > 0 {
			c.f.add(wrong, "%v: its receipt charges %s, absorbs %s, and says delivery %s", j, r.ChargeUSD, r.AbsorbedUSD, r.Delivery)
		}
	case refused:
		if charge != 0 {
			c.f.add(wrong, "%v: its receipt charges %s", j, r.ChargeUSD)
		}
	case broken:
		if charge != 0 && r.Delivery != "unknown" && r.Delivery != "partial" {
			c.f.add(wrong, "%v: its receipt charges %s and says delivery %s", j, r.ChargeUSD, r.Delivery)
		}
	}
	var sum int64
	for _, l := range r.Lines {
		n, _ := nano(l.AmountUSD)
		sum += n
	}
	if r.Outcome == "ok" && sum != charge+absorbed {
		c.f.add(wrong, "%v: the lines of its receipt sum up to %s, charged is %s and absorbed %s", j, usd(sum), r.ChargeUSD, r.AbsorbedUSD)
	}
}

// health returns what /readyz says is wrong.
func (c *campaign) health() (degraded string, err error) {
	var r struct {
		Degraded []string `json:"degraded"`
	}
	status, err := c.g.Peek(context.Background(), "/readyz", &r)
	if err != nil || status == http.StatusOK {
		return "", err
	}
	return strings.Join(r.Degraded, " "), nil
}

// degraded is health where a process that is gone has none.
func (c *campaign) degraded() string {
	said, _ := c.health()
	return said
}
