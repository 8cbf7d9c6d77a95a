package rows

import (
	"fmt"
	"net/http"
)

// samuraiCredits are the rows of samurai about credits, which pro models are
// paid from.
var samuraiCredits = map[string]func(*proof){
	"samurai/402-payg":     noCredits,
	"samurai/payg-instant": topUp,
	"samurai/payg-apart":   creditsApart,
}

// proPlan is a plan with a class that is paid from credits besides.
const proPlan = "free: {classes: {open: {requests_per_day: 5}}}, pro: {classes: {open: {requests_per_day: 20}, closed: {requests_per_day: 10}, pro: {requests_per_day: 3, billing: metered}}}"

// o1Charge is what a good answer of o1 costs: 11 tokens at $15 a million, and 5
// at $60.
const o1Charge = "0.000465"

// noCredits asks for pro models without credits, with too few of them, and
// with the class spent as well.
func noCredits(p *proof) {
	c := p.atPlan(samuraiHost, "0", "pro", nil)
	a := p.retries(p.refused(c, chatPath, chat("o1")), "false")
	p.says(p.text(a, "error", "message"), "redits")
	p.left(a, 650, 650)
	p.refused(c, chatPath, chat("o1", streamed))
	p.refused(c, chatPath, chat("gpt-4o", `"quality":"hd"`))
	p.wantsError(p.free(c, func() *answer { return p.ask(c, samuraiMessages, message("o1")) }), 402, "insufficient_credits")
	p.paid(c, chatPath, chat("gpt-4o")) // which takes no credits
	p.paid(c, chatPath, chat("deepseek-chat"))
	c.credit(p, "0.000000001")
	a = p.refused(c, chatPath, chat("o1"))
	if got := a.header.Get("X-Available-USD"); got != "0.000000001" {
		p.Errorf("X-Available-USD is %s", got)
	}

	// 402 before 429: no credits and a class that is spent.
	g := startSamurai(p, plans(p, proPlan))
	p.apart(g.gateway)
	c = p.atPlan(samuraiHost, "0.5", "pro", nil)
	for range 3 {
		p.paid(c, chatPath, chat("o1", `"max_tokens":50`))
	}
	p.wantsError(p.ask(c, chatPath, chat("o1")), 429, "rate_limit_exceeded")
	c.credit(p, "-"+c.ledger(p).BalanceUSD)
	p.refused(c, chatPath, chat("o1"))
	p.note("402 before 429")
	g.settled(p)
}

// topUp adds credits after a refusal.
func topUp(p *proof) {
	c := p.atPlan(samuraiHost, "0", "pro", nil)
	for _, more := range [][]string{nil, {streamed}} {
		p.wantsError(p.ask(c, chatPath, chat("o1", more...)), 402, "insufficient_credits")
		c.gw.MustAdmin(p, "POST", "/admin/v1/accounts/"+c.account+"/credits", map[string]any{"amount_usd": "5", "kind": "topup"}, nil)
		p.show(p.paid(c, chatPath, chat("o1", more...)))
		c.credit(p, "-"+c.ledger(p).BalanceUSD)
	}
	p.wantsError(p.ask(c, chatPath, chat("o1")), 402, "insufficient_credits")
}

// creditsApart uses every class of a plan, with an eye on credits and counters.
func creditsApart(p *proof) {
	g := startSamurai(p, plans(p, proPlan))
	p.apart(g.gateway)
	c := p.atPlan(samuraiHost, "7", "pro", nil)
	for _, m := range []string{"gpt-4o", "llama-3.3-70b", "claude-sonnet-4-5"} {
		for _, more := range [][]string{nil, {`"max_tokens":500`}} {
			a := p.paid(c, chatPath, chat(m, more...))
			p.show(a)
			if a.ledger.After.BalanceUSD != "7.00" || !isZero(a.header.Get("X-Charge-USD")) {
				p.Errorf("%s took credits: %+v, %s", m, *a.ledger.After, a.header.Get("X-Charge-USD"))
			}
		}
	}
	for i, body := range []string{chat("o1"), chat("o1", `"max_tokens":50`), chat("gpt-4o", `"quality":"hd"`)} {
		a := p.left(p.paid(c, chatPath, body), 3, 2-i)
		p.show(a)
		if charge := a.header.Get("X-Charge-USD"); isZero(charge) || (i < 2 && charge != o1Charge) {
			p.Errorf("%s: charged %s", body, charge)
		}
	}
	if got := fmt.Sprint(p.counted(c)); got != "map[closed:4 open:2 pro:3]" {
		p.Errorf("counted: %s", got)
	}
	p.wantsError(p.free(c, func() *answer { return p.ask(c, chatPath, chat("o1")) }), 429, "rate_limit_exceeded")
	p.left(p.paid(c, chatPath, chat("gpt-4o")), 10, 5)

	// Many at once neither pass the quota nor pay for more than was answered.
	many := p.atPlan(samuraiHost, "7", "pro", nil)
	results := make(chan int)
	for range 30 {
		go func() {
			a, err := p.try(p.Context(), many, chatPath, chat("o1", `"max_tokens":50`))
			if err != nil {
				a = &answer{}
			}
			results <- a.status
		}()
	}
	count := map[int]int{}
	for range 30 {
		count[<-results]++
	}
	if l := many.ledger(p); fmt.Sprint(count) != "map[200:3 429:27]" || l.ChargedUSD != "0.001395" || l.BalanceUSD != "6.998605" {
		p.Errorf("thirty at once with three left: %v, %+v", count, *l)
	}

	// Within quota no credits are needed at all, and those of others are not used.
	poor := p.atPlan(samuraiHost, "0", "pro", nil)
	p.paid(poor, chatPath, chat("gpt-4o"))
	p.wants(p.ask(poor, chatPath, chat("o1")), http.StatusPaymentRequired)
	g.settled(p)
}
