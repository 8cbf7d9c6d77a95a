package rows

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// nanoLimits are the rows about how often, and how much a day.
var nanoLimits = map[string]func(*proof){
	"nanogpt/429-rate":     nanoTooFast,
	"nanogpt/429-rpd":      requestsPerDay,
	"nanogpt/429-usd":      dollarsPerDay,
	"nanogpt/409-conflict": conflict,
}

// nanoTooFast uses up a key's own throughput and the site's.
func nanoTooFast(p *proof) {
	nanoQuick(p, nanoChat, chat("gpt-4o"), chat("gpt-4o", streamed))

	// The site's: 25 a second, for who has no limit of his own. Requests that are
	// refused for what they say count as well, and are quick.
	const rps, burst = 25, 25
	c := p.at(nanoHost, "3", nil)
	start := time.Now()
	passed, limited := 0, 0
	for round := 0; limited == 0; round++ {
		if round == 20 {
			p.Fatalf("nothing was refused of %d requests in %v", passed, time.Since(start))
		}
		for _, a := range p.atOnce(c, 100, nanoChat, "{") {
			switch a.status {
			case http.StatusBadRequest:
				passed++
			case http.StatusTooManyRequests:
				limited++
			default:
				p.Fatalf("status %d\n%s", a.status, a.body)
			}
		}
	}
	if most := burst + int(time.Since(start).Seconds()*rps) + 1; passed > most {
		p.Errorf("%d requests passed in %v, and %d may", passed, time.Since(start), most)
	}
	if passed < burst {
		p.Errorf("only %d requests passed, and %d may at once", passed, burst)
	}
	p.note("the site's 25 a second: of %d requests at once %d passed", passed+limited, passed)
}

// nanoQuick uses a key up to its throughput, and once more with each body; by
// the gateway's clock nothing passes before the time that is named, and one
// request after it.
func nanoQuick(p *proof, path string, bodies ...string) {
	p.Helper()
	g := startFive(p, nil)
	c := p.atNano(g, "3", limited(map[string]any{"rps": 0.001, "burst": 3})) // one in 1000 seconds
	for range 3 {
		p.paid(c, path, bodies[0])
	}
	var last *answer
	for _, body := range bodies {
		last = p.declined(c, path, body)
	}
	ms, err := strconv.Atoi(last.header.Get("retry-after-ms"))
	if err != nil || ms < 900_000 || ms > 1_000_000 {
		p.Fatalf("retry-after-ms is %d, %v", ms, err)
	}
	g.advance(p, fmt.Sprintf("%dms", ms-100_000))
	p.declined(c, path, bodies[0])
	g.advance(p, "100s")
	p.paid(c, path, bodies[0])
	p.declined(c, path, bodies[0])
	p.paid(p.anotherAt(c, nil), path, bodies[0])
	p.note("after the %d ms that it names one request passed, and none 100 s before (test clock)", ms)
	g.settled(p)
}

// atOnce sends n requests at once.
func (p *proof) atOnce(c caller, n int, path, body string, changes ...change) []*answer {
	p.Helper()
	out := make([]*answer, n)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			a, err := p.try(context.Background(), c, path, body, changes...)
			if err != nil {
				p.Errorf("%s: %v", path, err)
				a = &answer{}
			}
			out[i] = a
		})
	}
	wg.Wait()
	return out
}

// statuses counts answers by status.
func statuses(as []*answer) map[int]int {
	n := map[int]int{}
	for _, a := range as {
		n[a.status]++
	}
	return n
}

// beforeMidnight puts the gateway's clock forward to the given time before the
// next midnight, UTC, or the one after that.
func (g *gateway) beforeMidnight(p *proof, d time.Duration) {
	p.Helper()
	now := g.now(p)
	at := now.Truncate(24 * time.Hour).Add(24*time.Hour - d)
	if at.Before(now) {
		at = at.Add(24 * time.Hour)
	}
	g.advance(p, at.Sub(now).String())
}

// untilMidnight runs f and checks that the time its answer names is the one to
// the next midnight by the gateway's clock, rounded up to whole seconds.
func (p *proof) untilMidnight(g *gateway, f func() *answer) *answer {
	p.Helper()
	left := func() int64 {
		now := g.now(p)
		d := now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
		return int64((d + time.Second - 1) / time.Second)
	}
	most := left()
	a := f()
	least := left()
	got, err := strconv.ParseInt(a.header.Get("Retry-After"), 10, 64)
	if err != nil || got < least || got > most {
		p.Errorf("Retry-After is %q, and midnight is in %d to %d s", a.header.Get("Retry-After"), least, most)
	}
	return a
}

// expectsDaily sets the pattern of a row's error body whose sentence holds numbers,
// and of its Retry-After, which untilMidnight checks.
func (p *proof) expectsDaily(message string) {
	e := maps.Clone(p.row.Body["error"].(map[string]any))
	e["message"] = message
	p.row.Body = map[string]any{"error": e}
	p.row.Headers = map[string]string{"Retry-After": "<int>"}
}

// requestsPerDay uses up keys' requests of the day, a few minutes before it ends.
func requestsPerDay(p *proof) {
	g := startFive(p, nil)
	const before = 613 * time.Second
	g.beforeMidnight(p, before)
	account := p.atNano(g, "90", nil)
	perDay := func(n int) caller {
		return p.anotherAt(account, limited(map[string]any{"requests_per_day": n, "rps": nanoRPS}))
	}
	whole, stream := chat("gpt-4o", `"max_tokens":40`), chat("gpt-4o", `"max_tokens":40`, streamed)
	var spent []caller
	for _, limit := range []int{1, 2, 5} {
		c := perDay(limit)
		for i := range limit {
			p.paid(c, nanoChat, []string{whole, stream}[i%2])
		}
		p.expectsDaily(fmt.Sprintf("Daily request limit exceeded (%d/%d). Resets at midnight UTC.", limit, limit))
		for _, body := range []string{whole, stream} {
			p.untilMidnight(g, func() *answer { return p.declined(c, nanoChat, body) })
		}
		spent = append(spent, c)
	}
	p.paid(account, nanoChat, whole) // it is the key's limit, not the account's

	const limit, callers = 7, 50
	crowd := perDay(limit)
	words := fmt.Sprintf("Daily request limit exceeded (%d/%d). Resets at midnight UTC.", limit, limit)
	answers := p.atOnce(crowd, callers, nanoChat, whole)
	if got := statuses(answers); got[200] != limit || got[429] != callers-limit {
		p.Errorf("%d requests at once on a limit of %d: %v", callers, limit, got)
	}
	for _, a := range answers { // those in flight count, too
		if a.status == http.StatusTooManyRequests && p.text(a, "error", "message") != words {
			p.Errorf("while others are in flight: %s", a.body)
		}
	}
	p.expectsDaily(words)
	p.untilMidnight(g, func() *answer { return p.declined(crowd, nanoChat, whole) })

	g.advance(p, "9m")
	a := p.untilMidnight(g, func() *answer { return p.declined(crowd, nanoChat, whole) })
	g.advance(p, a.header.Get("Retry-After")+"s")
	for _, c := range append(spent, crowd) {
		p.paid(c, nanoChat, whole)
	}
	for range limit - 1 {
		p.paid(crowd, nanoChat, stream)
	}
	p.declined(crowd, nanoChat, whole)
	p.note("limits of 1, 2, 5 and 7, the last with %d requests at once; past midnight all of them answered again (test clock)", callers)
	g.settled(p)
}

// dollarsPerDay finds what a request is estimated at, and asks with keys whose
// dollars of the day are just enough for it, or a nano-dollar short.
func dollarsPerDay(p *proof) {
	g := startFive(p, []model{
		{name: "nano-plain", answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...), more: nanoPrice},
		{name: "nano-gated", answer: testkit.JSON(200, chatBody), more: nanoPrice},
	})
	g.beforeMidnight(p, 613*time.Second)
	account := p.atNano(g, "90", nil)
	perDay := func(n money.Amount) caller {
		return p.anotherAt(account, limited(map[string]any{"usd_per_day": n.String(), "rps": nanoRPS}))
	}
	over := func(c caller, body string, required, left money.Amount) {
		p.Helper()
		p.expectsDaily(fmt.Sprintf("Daily spending limit exceeded: this request needs $%s, and $%s is left today. Resets at midnight UTC.", required, left))
		p.untilMidnight(g, func() *answer { return p.declined(c, nanoChat, body) })
	}
	var last caller
	for _, body := range []string{
		chat("nano-plain", `"max_tokens":913`), chat("nano-plain", `"max_tokens":77`, streamed), chat("nano-plain", `"max_completion_tokens":5001`),
	} {
		required := p.mostOf(g, nanoChat, body)
		over(perDay(required-money.Nano), body, required, required-money.Nano)
		enough := perDay(required)
		charge := p.dollars(p.ledgerCharge(p.paid(enough, nanoChat, body)))
		if charge <= 0 || charge >= required {
			p.Errorf("charged %s of the %s that was estimated", charge, required)
		}
		over(enough, body, required, required-charge) // what is left would do for what it costs
		twice := perDay(required + charge)
		p.paid(twice, nanoChat, body)
		p.paid(twice, nanoChat, body)
		once := perDay(required + charge - money.Nano)
		p.paid(once, nanoChat, body)
		over(once, body, required, required-money.Nano)
		last = enough
	}
	body := chat("nano-plain", `"max_completion_tokens":5001`)
	dollarsAtOnce(p, g, perDay)
	a := p.untilMidnight(g, func() *answer { return p.ask(last, nanoChat, body) })
	g.advance(p, a.header.Get("Retry-After")+"s")
	p.paid(last, nanoChat, body)
	p.note("the estimate and not the charge decides, to the nano-dollar; past midnight the key answered again (test clock)")
	g.settled(p)
}

// dollarsAtOnce sends many requests at once that an upstream keeps waiting, on a
// limit for some of them.
func dollarsAtOnce(p *proof, g *gateway, perDay func(money.Amount) caller) {
	p.Helper()
	const fit, callers = 7, 50
	body := chat("nano-gated", `"max_tokens":600`)
	required := p.mostOf(g, nanoChat, body)
	c := perDay(fit*required + required - money.Nano)
	gate := make(chan struct{})
	held := testkit.JSON(200, chatBody)
	held.Gate = gate
	g.up["nano-gated"].Always(held)
	before := purseOf(p, c)
	came := make(chan *answer, callers)
	for range callers {
		go func() {
			a, err := p.try(context.Background(), c, nanoChat, body)
			if err != nil {
				p.Errorf("%v", err)
				a = &answer{}
			}
			came <- a
		}()
	}
	for range callers - fit {
		if a := <-came; a.status != http.StatusTooManyRequests {
			p.Errorf("status %d while %d are in flight\n%s", a.status, fit, a.body)
		}
	}
	if got := purseOf(p, c).held - before.held; got != fit*required {
		p.Errorf("%s is held for %d requests of %s", got, fit, required)
	}
	close(gate)
	for range fit {
		p.wants(<-came, http.StatusOK)
	}
	p.note("of %d requests at once on dollars for %d, just that many passed", callers, fit)
}

// purse is an account's money.
type purse struct{ posted, held money.Amount }

// purseOf reads it.
func purseOf(p *proof, c caller) purse {
	p.Helper()
	a := c.gw.AccountNow(p, c.account)
	return purse{p.dollars(a.BalanceUSD), p.dollars(a.HeldUSD)}
}

// ledgerCharge is what an exchange took from the balance, in dollars.
func (p *proof) ledgerCharge(a *answer) string {
	p.Helper()
	return (p.dollars(a.ledger.Before.BalanceUSD) - p.dollars(a.ledger.After.BalanceUSD)).String()
}

// conflict sends a request again, with its idempotency key, while the first one
// is still at the provider, and after it has been answered.
func conflict(p *proof) {
	c := p.nano("3", nil)
	conflicts(p, c, "nano-pending", "bridge-1", testkit.JSON(200, chatBody), chat("nano-pending"))
	conflicts(p, c, "nano-pending", "bridge-2", testkit.JSON(200, chatBody), chat("nano-pending", `"max_tokens":333`, `"temperature":0.4`))
	conflicts(p, c, "nano-pending", "bridge-3", testkit.SSE(chatStream...), chat("nano-pending", streamed))

	other := p.free(c, func() *answer {
		return p.ask(c, nanoChat, chat("nano-pending", `"max_tokens":334`), header("Idempotency-Key", "bridge-2"))
	})
	p.holds(other) // the key of another request
	if strings.Contains(string(other.body), "in_progress") {
		p.Errorf("the first request has ended\n%s", other.body)
	}
	p.note("refused at once while the first request was at its provider; afterwards the same answer again, free of charge. A payment in progress is deferred with x402")
}

// conflicts does that once: held is what the upstream answers in the end.
func conflicts(p *proof, c caller, model, name string, held testkit.Answer, body string) {
	p.Helper()
	up, idem := c.gw.up[model], header("Idempotency-Key", name)
	gate := make(chan struct{})
	held.Gate = gate
	n := len(up.Received())
	up.Queue(held)
	first := make(chan *answer, 1)
	before := c.ledger(p)
	go func() {
		a, err := p.try(context.Background(), c, nanoChat, body, idem)
		if err != nil {
			p.Errorf("the first request: %v", err)
			a = &answer{}
		}
		first <- a
	}()
	up.Request(n)
	during := c.ledger(p)
	again := p.holds(p.ask(c, nanoChat, body, idem))
	twin := p.holds(p.ask(p.anotherAt(c, nil), nanoChat, body, idem)) // another key of the account
	for _, a := range []*answer{again, twin} {
		p.advises(a)
		if s := a.header.Get("Retry-After"); !headerFits(s, "<int>") {
			p.Errorf("Retry-After is %q", s)
		}
	}
	if now := c.ledger(p); *now != *during || isZero(during.HeldUSD) {
		p.Errorf("the conflict moved money: %+v became %+v", *during, *now)
	}
	close(gate)
	one := p.wants(<-first, http.StatusOK)
	one.ledger = &ledgers{Before: before, After: c.ledger(p)}
	p.show(one)
	replay := p.free(c, func() *answer { return p.ask(c, nanoChat, body, idem) })
	p.show(p.wants(replay, http.StatusOK))
	if replay.header.Get("Idempotency-Replayed") != "true" || string(replay.body) != string(one.body) || !isZero(replay.header.Get("X-Charge-USD")) {
		p.Errorf("the replay: %v\n%s\n%s", replay.header, replay.body, one.body)
	}
	if after := c.ledger(p); after.Charges != before.Charges+1 || len(up.Received()) != n+1 {
		p.Errorf("charged %d times, sent %d times", after.Charges-before.Charges, len(up.Received())-n)
	}
}
