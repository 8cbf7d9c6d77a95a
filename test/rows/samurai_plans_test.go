package rows

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/testkit"
)

// samuraiPlans are the rows of samurai about plans and their daily quotas.
var samuraiPlans = map[string]func(*proof){
	"samurai/200-chat": func(p *proof) {
		g := p.apart(startFive(p, samuraiModels(p)))
		c := p.at(samuraiHost, "0", nil)
		a := p.holds(p.paid(c, chatPath, chat("llama-3.3-70b")))
		if got := p.json(a)["model"]; got != "llama-3.3-70b" || !isZero(a.header.Get("X-Charge-USD")) {
			p.Errorf("model %v, charged %s", got, a.header.Get("X-Charge-USD"))
		}
		p.left(a, freeOpen, freeOpen-1)
		everyAnswer(p)
		everyPlan(p)
		g.settled(p)
	},
	"samurai/403-plan":      notInPlan,
	"samurai/429-daily":     planSpent,
	"samurai/429-words":     words,
	"samurai/429-per-class": perClass,
	"samurai/429-resets":    resets,
}

// everyAnswer looks for what is left of the quota on answers of every kind.
func everyAnswer(p *proof) {
	c := p.at(samuraiHost, "0", nil)
	get := func(path string) *answer { return p.ask(c, path, "", method("GET")) }
	post := func(status int, path, body string, changes ...change) *answer {
		return p.wants(p.ask(c, path, body, changes...), status)
	}
	// Before the class is known, it is the class that is nearest to its end.
	p.left(p.wants(get("/v1/models"), 200), freeClosed, freeClosed)
	p.left(p.wants(get("/v1/models/gpt-4o"), 200), freeClosed, freeClosed)
	p.left(p.wants(get("/v1/models/gpt-17"), 404), freeClosed, freeClosed)
	p.left(post(400, chatPath, "{"), freeClosed, freeClosed)
	p.left(post(415, chatPath, chat("gpt-4o"), header("Content-Type", "text/plain")), freeClosed, freeClosed)
	p.left(post(403, chatPath, chat("o1")), freeClosed, freeClosed)
	p.left(post(404, chatPath, chat("gpt-17")), freeClosed, freeClosed)
	p.left(post(422, chatPath, chat("gpt-4o", `"temperature":7`)), freeClosed, freeClosed)
	// Then it is the request's own; a stream tells what is left with itself in flight.
	p.left(post(200, chatPath, chat("gpt-4o")), freeClosed, freeClosed-1)
	p.left(post(200, chatPath, chat("gpt-4o", streamed)), freeClosed, freeClosed-2)
	p.left(post(200, chatPath, chat("llama-3.3-70b", streamed)), freeOpen, freeOpen-1)
	p.left(post(503, chatPath, chat("samurai-bad-500")), freeClosed, freeClosed-2)
	p.left(post(400, chatPath, chat("tiny-talk", `"tools":[{"type":"function","function":{"name":"lift"}}]`)), freeOpen, freeOpen-1)
	p.left(post(200, samuraiMessages, message("gpt-4o")), freeClosed, freeClosed-3)
	p.left(post(200, samuraiMessages, message("deepseek-chat", streamed), xAPIKey), freeOpen, freeOpen-2)
	p.left(post(200, samuraiMessages+"/count_tokens", message("gpt-4o")), freeClosed, freeClosed-3)
	p.left(post(200, "/v1/embeddings", `{"model":"text-embedding-3-small","input":"bridge"}`), freeClosed, freeClosed-4)
	p.world.five.arm(p, "handler_panic")
	p.left(post(500, chatPath, chat("gpt-4o")), freeClosed, freeClosed-4)
	if got := fmt.Sprint(p.counted(c)); got != "map[closed:4 open:2]" {
		p.Errorf("counted: %s", got)
	}
	// Who nobody knows has no quota.
	if got := post(401, chatPath, chat("gpt-4o"), noKey).header.Get("X-RateLimit-Limit-Requests"); got != "" {
		p.Errorf("a stranger has a quota of %s", got)
	}
	p.note("quota headers on the models list, whole and streamed answers of both shapes, embeddings, and 400, 403, 404, 415, 422, 500, 503; none on 401, where nobody knows whose")
}

// everyPlan asks for each class on each plan, and looks at the quota of each.
func everyPlan(p *proof) {
	models := map[string]string{"open": "llama-3.3-70b", "closed": "gpt-4o", "pro": "o1"}
	for plan, limits := range map[string]map[string]int{
		"":        {"open": 150, "closed": 70}, // none of its own: the site's default
		"free":    {"open": 150, "closed": 70},
		"starter": {"open": 2000, "closed": 1000},
		"pro":     {"open": 4500, "closed": 2500, "pro": 650},
	} {
		c := p.atPlan(samuraiHost, "1", plan, nil)
		for class, m := range models {
			if limit := limits[class]; limit > 0 {
				p.left(p.paid(c, chatPath, chat(m)), limit, limit-1)
			} else {
				p.wants(p.ask(c, chatPath, chat(m)), http.StatusForbidden)
			}
		}
	}
	p.note("free, starter and pro: 150/70, 2000/1000, 4500/2500/650")
}

// notInPlan asks for models of a class that the plan does not have, by name and
// by what is asked of the model, with other things wrong besides.
func notInPlan(p *proof) {
	g := startSamurai(p, plans(p, "free: {classes: {open: {requests_per_day: 5}, closed: {requests_per_day: 1}, pro: {requests_per_day: 0}}}, starter: {classes: {open: {}}}"))
	p.apart(g.gateway)
	for _, plan := range []string{"", "free", "starter"} {
		c := p.atPlan(samuraiHost, "9", plan, nil)
		for _, more := range [][]string{nil, {streamed}, {`"quality":"hd"`}} {
			a := p.retries(p.refused(c, chatPath, chat("o1", more...)), "false")
			if got := p.text(a, "error", "message"); got != "Your plan does not include pro models." {
				p.Errorf("the message is %q", got)
			}
		}
		p.wantsError(p.ask(c, samuraiMessages, message("o1")), 403, "permission_denied")
		for class, n := range p.counted(c) {
			if n != 0 {
				p.Errorf("%d refusals were counted in class %s", n, class)
			}
		}
	}
	// The class is that of the request: quality hd makes a pro request of any model.
	c := p.atPlan(samuraiHost, "0", "starter", nil)
	p.says(p.text(p.refused(c, chatPath, chat("gpt-4o")), "error", "message"), "closed-source models")
	p.says(p.text(p.refused(c, chatPath, chat("llama-3.3-70b", `"quality":"hd"`)), "error", "message"), "pro models")
	p.paid(c, chatPath, chat("llama-3.3-70b")) // without limit

	// 403 before 402 and 429: no credits and a class that is spent.
	c = p.atPlan(samuraiHost, "0", "free", nil)
	p.paid(c, chatPath, chat("gpt-4o"))
	p.wantsError(p.ask(c, chatPath, chat("gpt-4o")), 429, "rate_limit_exceeded")
	p.refused(c, chatPath, chat("o1"))
	p.refused(c, chatPath, chat("gpt-4o", `"quality":"hd"`))
	p.note("403 before 402 and 429; quality hd puts a request in class pro whatever its model")
	g.settled(p)
}

// planSpent asks for more than the plan has left, a thousand requests at once and
// then one by one.
func planSpent(p *proof) {
	g := startSamurai(p, asItIs)
	p.apart(g.gateway)
	c := p.at(samuraiHost, "0", nil)
	atOnce(p, g, c, 1000, freeClosed)
	before := g.now(p)
	a := p.refused(c, chatPath, chat("gpt-4o"))
	after := g.now(p)
	wait, _ := strconv.ParseInt(a.header.Get("Retry-After"), 10, 64)
	if most, least := ceil(midnight(before).Sub(before)), ceil(midnight(before).Sub(after)); wait < least || wait > most {
		p.Errorf("Retry-After is %d, and the day ended in %d to %d s", wait, least, most)
	}
	p.left(a, freeClosed, 0)
	p.retries(a, "false") // it takes longer than SDKs wait
	p.refused(c, chatPath, chat("gpt-4o", streamed))
	p.refused(c, chatPath, chat("claude-sonnet-4-5"))
	p.refused(c, "/v1/embeddings", `{"model":"text-embedding-3-small","input":"bridge"}`)
	p.wantsError(p.ask(c, samuraiMessages, message("gpt-4o")), 429, "rate_limit_exceeded")
	p.refused(p.anotherAt(c, nil), chatPath, chat("gpt-4o")) // the plan is the account's, not the key's

	// The 71st, one by one.
	c = p.atPlan(samuraiHost, "0", "free", nil)
	for i := range freeClosed {
		p.left(p.wants(p.ask(c, chatPath, chat("gemini-2.0-flash")), http.StatusOK), freeClosed, freeClosed-1-i)
	}
	p.left(p.refused(c, chatPath, chat("gemini-2.0-flash")), freeClosed, 0)

	// In the last minute of the day waiting helps.
	g.advance(p, midnight(g.now(p)).Sub(g.now(p)).Truncate(time.Second).String())
	g.settled(p)
}

// atOnce sends n requests that are all in flight together, of which only as many
// as are left may be answered.
func atOnce(p *proof, g *samuraiGateway, c caller, n, left int) {
	p.Helper()
	open := make(chan struct{})
	late := testkit.JSON(200, strings.Replace(chatBody, "acme-m", "gpt-4o", 1))
	late.Gate = open
	up := testkit.NewUpstream(p)
	up.Always(late)
	g.instead.Store(up)
	defer g.instead.Store(nil)
	results := make(chan int, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
			defer cancel()
			a, err := p.try(ctx, c, chatPath, chat("gpt-4o"))
			if err != nil {
				p.Errorf("%v", err)
				results <- 0
				return
			}
			results <- a.status
		})
	}
	count := map[int]int{}
	for range n - left { // those that are refused while the others are in flight
		count[<-results]++
	}
	up.Request(left - 1)
	close(open)
	all.Wait()
	close(results)
	for status := range results {
		count[status]++
	}
	if got := fmt.Sprint(count); got != fmt.Sprintf("map[200:%d 429:%d]", left, n-left) {
		p.Errorf("%d requests at once with %d left: %s", n, left, got)
	}
	if asked := len(up.Received()); asked != left {
		p.Errorf("the upstream was asked %d times", asked)
	}
	if l := c.ledger(p); l.Charges != int64(left) || !isZero(l.ChargedUSD) || !isZero(l.HeldUSD) {
		p.Errorf("%d answers: %+v", left, *l)
	}
	if got := p.counted(c)["closed"]; got != int64(left) {
		p.Errorf("%d were counted", got)
	}
	p.note("%d requests at once with %d left: %d answers, %d refusals", n, left, count[200], count[429])
}

// ceil is a time in seconds, rounded up.
func ceil(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// words spends each class, and reads what the refusals of each say.
func words(p *proof) {
	g := startSamurai(p, plans(p, "free: {classes: {open: {requests_per_day: 150}, closed: {requests_per_day: 70}}}, few: {classes: {open: {requests_per_day: 3}, closed: {requests_per_day: 2}, pro: {requests_per_day: 4, billing: metered}}}"))
	p.apart(g.gateway)
	says := func(a *answer, class string) {
		p.Helper()
		p.wantsError(a, 429, "rate_limit_exceeded")
		if got, want := p.text(a, "error", "message"), "Daily request limit reached for "+class+" models. Resets at midnight UTC."; got != want {
			p.Errorf("%q, and not %q", got, want)
		}
	}
	free := p.at(samuraiHost, "0", nil)
	for range freeOpen {
		p.wants(p.ask(free, chatPath, chat("llama-3.3-70b")), http.StatusOK)
	}
	says(p.left(p.ask(free, chatPath, chat("deepseek-chat")), freeOpen, 0), "open-source")

	c := p.atPlan(samuraiHost, "1", "few", nil)
	for m, n := range map[string]int{"llama-3.3-70b": 3, "gpt-4o": 2, "o1": 4} {
		for i := range n {
			p.left(p.wants(p.ask(c, chatPath, chat(m)), http.StatusOK), n, n-1-i)
		}
	}
	says(p.free(c, func() *answer { return p.ask(c, chatPath, chat("tiny-talk", streamed)) }), "open-source")
	says(p.free(c, func() *answer { return p.ask(c, chatPath, chat("gpt-5")) }), "closed-source")
	says(p.free(c, func() *answer { return p.ask(c, chatPath, chat("o1")) }), "pro")
	says(p.free(c, func() *answer { return p.ask(c, chatPath, chat("llama-3.3-70b", `"quality":"hd"`)) }), "pro")
	if got := fmt.Sprint(p.counted(c)); got != "map[closed:2 open:3 pro:4]" {
		p.Errorf("counted: %s", got)
	}
	g.settled(p)
}

// perClass spends one class; the other one goes on.
func perClass(p *proof) {
	g := startSamurai(p, plans(p, "free: {classes: {open: {requests_per_day: 9}, closed: {requests_per_day: 3}}}"))
	p.apart(g.gateway)
	c := p.at(samuraiHost, "0", nil)
	for range 3 {
		p.wants(p.ask(c, chatPath, chat("gpt-4o")), http.StatusOK)
	}
	for i := range 4 {
		p.wantsError(p.ask(c, chatPath, chat("gpt-4o")), 429, "rate_limit_exceeded")
		p.show(p.left(p.paid(c, chatPath, chat("llama-3.3-70b")), 9, 8-2*i))
		p.left(p.paid(c, chatPath, chat("deepseek-chat", streamed)), 9, 7-2*i)
	}
	// And another account's closed class is its own.
	p.left(p.paid(p.at(samuraiHost, "0", nil), chatPath, chat("gpt-4o")), 3, 2)
	g.settled(p)
}

// resets lets the day end.
func resets(p *proof) {
	g := startSamurai(p, plans(p, "free: {classes: {open: {requests_per_day: 7}, closed: {requests_per_day: 2}}}"))
	p.apart(g.gateway)
	c := p.at(samuraiHost, "0", nil)
	for range 2 {
		p.wants(p.ask(c, chatPath, chat("gpt-4o")), http.StatusOK)
	}
	p.left(p.paid(c, chatPath, chat("llama-3.3-70b")), 7, 6)
	p.wantsError(p.ask(c, chatPath, chat("gpt-4o")), 429, "rate_limit_exceeded")

	// Half a minute before the day ends it is still the same day.
	now := g.now(p)
	g.advance(p, (midnight(now).Sub(now) - 30*time.Second).String())
	a := p.wantsError(p.ask(c, chatPath, chat("gpt-4o")), 429, "rate_limit_exceeded")
	p.retries(a, "false")
	ms, err := strconv.ParseInt(a.header.Get("retry-after-ms"), 10, 64)
	if err != nil || ms > 30_000 {
		p.Fatalf("retry-after-ms is %q", a.header.Get("retry-after-ms"))
	}
	g.advance(p, (time.Duration(ms) * time.Millisecond).String())
	p.show(p.left(p.paid(c, chatPath, chat("gpt-4o")), 2, 1))
	p.left(p.paid(c, chatPath, chat("gpt-4o", streamed)), 2, 0)
	p.left(p.paid(c, chatPath, chat("llama-3.3-70b")), 7, 6)
	p.wantsError(p.ask(c, chatPath, chat("gpt-4o")), 429, "rate_limit_exceeded")
	if now := g.now(p); !strings.HasPrefix(a.header.Get("X-RateLimit-Reset-Requests"), now.Format("2006-01-02")) {
		p.Errorf("it said it resets at %s, and it is %s", a.header.Get("X-RateLimit-Reset-Requests"), now)
	}
	p.note("after the %d ms that it named, in the next day, the same request passed (test clock)", ms)
	g.settled(p)
}
