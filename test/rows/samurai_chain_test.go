package rows

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// samuraiChain is the row of samurai about models that answer for others.
var samuraiChain = map[string]func(*proof){"samurai/fallback-chain": chain}

// The models of the documented chain, in its order.
const (
	chainFirst  = "gpt-4o"
	chainSecond = "claude-3-5-sonnet-20241022"
	chainThird  = "gemini-2.0-flash"
	chainLast   = "deepseek-chat"
)

// down is what a model's upstream says while it is down.
var down = says(503, "server_error", "server_is_overloaded", "Acme is down.")

// chain takes one model of the chain down after the other.
func chain(p *proof) {
	up := func(name string) model {
		return model{name: name, answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...)}
	}
	// The first is down in whatever form it is asked.
	ms := []model{{name: chainFirst, answer: down}, up(chainSecond), up(chainThird), up(chainLast)}
	g := p.apart(startFive(p, ms))
	c := p.at(samuraiHost, "0", nil)
	chainAnswers(p, c, chainSecond, "closed", []string{"acme-gpt-4o/acme-gpt-4o:upstream_overloaded", "acme-claude-3-5-sonnet-20241022/acme-claude-3-5-sonnet-20241022:ok"})
	g.settled(p)

	// What is down in the middle of the chain is skipped.
	ms[1] = model{name: chainSecond, url: nobody(p)}
	g = p.apart(startFive(p, ms))
	c = p.at(samuraiHost, "0", nil)
	chainAnswers(p, c, chainThird, "closed", []string{"acme-gpt-4o/acme-gpt-4o:upstream_overloaded", "acme-gemini-2.0-flash/acme-gemini-2.0-flash:ok"})
	g.settled(p)

	// The last of them is of another class, and counts there.
	ms[2] = model{name: chainThird, answer: says(500, "server_error", "internal", "Acme has a defect")}
	g = p.apart(startFive(p, ms))
	c = p.at(samuraiHost, "0", nil)
	chainAnswers(p, c, chainLast, "open", []string{"acme-gpt-4o/acme-gpt-4o:upstream_overloaded", "acme-gemini-2.0-flash/acme-gemini-2.0-flash:upstream_failed", "acme-deepseek-chat/acme-deepseek-chat:ok"})
	// A chain begins with the model that is asked for.
	a := p.paid(c, chatPath, chat(chainThird))
	if got := p.json(a)["model"]; got != chainLast {
		p.Errorf("in place of %s answers %v", chainThird, got)
	}
	g.settled(p)

	// Where all are down it costs nothing and counts nowhere.
	ms[3] = model{name: chainLast, answer: down}
	g = p.apart(startFive(p, ms))
	c = p.at(samuraiHost, "0", nil)
	for _, more := range [][]string{nil, {streamed}} {
		a := p.free(c, func() *answer { return p.ask(c, chatPath, chat(chainFirst, more...)) })
		p.left(p.retries(p.wantsError(a, 503, "model_unavailable"), "true"), freeClosed, freeClosed)
	}
	if got := fmt.Sprint(p.counted(c)); got != "map[closed:0 open:0]" {
		p.Errorf("all are down, and counted: %s", got)
	}
	g.settled(p)
	chainOfCredits(p)
}

// chainAnswers asks for the first of the chain, in each shape, whole and
// streamed, and checks who answers, what is counted, and what is recorded.
func chainAnswers(p *proof, c caller, by, class string, attempts []string) {
	p.Helper()
	limit := map[string]int{"open": freeOpen, "closed": freeClosed}[class]
	whole := p.paid(c, chatPath, chat(chainFirst))
	p.show(whole)
	if got := p.json(whole)["model"]; got != by {
		p.Errorf("%v answers, and not %s", got, by)
	}
	p.left(whole, limit, limit-1)
	p.recorded(whole, chainFirst, by, attempts)

	stream := p.paid(c, chatPath, chat(chainFirst, streamed))
	p.show(stream)
	for i, e := range events(stream.body) {
		var chunk struct{ Model string }
		if e.data == "[DONE]" {
			continue
		}
		if err := json.Unmarshal([]byte(e.data), &chunk); err != nil || chunk.Model != by {
			p.Errorf("chunk %d is of %q, and not of %s: %v", i, chunk.Model, by, err)
		}
	}
	if got, err := readChatStream(stream.body); got != said || err != nil {
		p.Errorf("streamed: %q, %v", got, err)
	}
	p.left(stream, limit, limit-2)
	p.recorded(stream, chainFirst, by, attempts)

	other := p.paid(c, samuraiMessages, message(chainFirst), xAPIKey)
	if got := p.json(other)["model"]; got != by {
		p.Errorf("%s: %v answers, and not %s", samuraiMessages, got, by)
	}
	first := strings.SplitN(string(p.paid(c, samuraiMessages, message(chainFirst, streamed), xAPIKey).body), "\n\n", 2)[0]
	if !strings.Contains(first, `"model":"`+by+`"`) {
		p.Errorf("%s: the first event is %s", samuraiMessages, first)
	}
	want := map[string]int64{"open": 0, "closed": 0}
	want[class] = 4
	if got := p.counted(c); fmt.Sprint(got) != fmt.Sprint(want) {
		p.Errorf("counted: %v, and not %v", got, want)
	}
	if l := c.ledger(p); !isZero(l.ChargedUSD) || l.Charges != 4 {
		p.Errorf("the plan pays: %+v", *l)
	}
	p.note("%s answers for %s, counted in class %s", by, chainFirst, class)
}

// recorded checks what the receipt of an answer tells: who was asked for, who
// answered, and that every one of the attempts is listed.
func (p *proof) recorded(a *answer, asked, by string, attempts []string) {
	p.Helper()
	id := a.header.Get("X-Request-ID")
	var r struct {
		Model      string
		AnsweredBy string `json:"answered_by"`
		Attempts   []struct{ Target, Outcome string }
	}
	p.world.five.Receipt(p, id, func(r harness.Receipt) bool { return r.Outcome != "" })
	p.world.five.MustAdmin(p, "GET", "/admin/v1/requests/"+id, nil, &r)
	var made []string
	for _, at := range r.Attempts {
		made = append(made, at.Target+":"+at.Outcome)
	}
	if r.Model != asked || r.AnsweredBy != by {
		p.Errorf("the receipt says that %q answered for %q", r.AnsweredBy, r.Model)
	}
	for _, want := range attempts {
		if !strings.Contains(strings.Join(made, "\n"), want) {
			p.Errorf("the receipt's attempts are %v, without %s", made, want)
		}
	}
	if n := len(made); n > 0 && made[n-1] != attempts[len(attempts)-1] {
		p.Errorf("the last attempt is %s", made[n-1])
	}
}

// chainOfCredits takes a model down that is paid from credits: the next one is
// paid for at its own price, and one of another class by the plan.
func chainOfCredits(p *proof) {
	ms := []model{
		{name: "o1-down", answer: down, site: samuraiHost, fallbacks: []string{"o1-cheap", chainLast}},
		{name: "o1-cheap", answer: testkit.JSON(200, chatBody), more: "price: {input: 3, output: 7}"},
		{name: "o1-alone", answer: down, site: samuraiHost, fallbacks: []string{"o1-gone", chainLast}},
		{name: "o1-gone", answer: down},
		{name: "closed-down", answer: down, site: samuraiHost, fallbacks: []string{"o1-cheap", chainLast}},
	}
	g := p.apart(startFive(p, ms))
	c := p.atPlan(samuraiHost, "2", "pro", nil)
	a := p.left(p.paid(c, chatPath, chat("o1-down")), 650, 649)
	p.show(a)
	// 11 tokens at $3 a million, and 5 at $7.
	if got := a.header.Get("X-Charge-USD"); got != "0.000068" || a.ledger.After.BalanceUSD != "1.999932" || p.json(a)["model"] != "o1-cheap" {
		p.Errorf("charged %s: %+v\n%s", got, *a.ledger.After, a.body)
	}
	a = p.left(p.paid(c, chatPath, chat("o1-alone")), 4500, 4499)
	p.show(a)
	if got := a.header.Get("X-Charge-USD"); !isZero(got) || a.ledger.After.BalanceUSD != "1.999932" || p.json(a)["model"] != chainLast {
		p.Errorf("the plan pays, and not $%s: %+v\n%s", got, *a.ledger.After, a.body)
	}
	if got := fmt.Sprint(p.counted(c)); got != "map[closed:0 open:1 pro:1]" {
		p.Errorf("counted: %s", got)
	}
	// A fallback that is not in the plan is passed over.
	free := p.at(samuraiHost, "2", nil)
	a = p.left(p.paid(free, chatPath, chat("closed-down")), freeOpen, freeOpen-1)
	p.recorded(a, "closed-down", chainLast, []string{"acme-closed-down/acme-closed-down:upstream_overloaded", "o1-cheap:skipped: plan_required", "upstream/deepseek-chat:ok"})
	p.note("a model paid from credits: the one that answers is charged at its price, or counted in its class")
	g.settled(p)
}
