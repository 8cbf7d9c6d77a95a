package rows

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/pontage/pontage/internal/testkit"
)

// threePrompts is a batch for a model.
func threePrompts(model string) string {
	return fmt.Sprintf(`{"modelId":%q,"requests":[{"id":"north","prompt":"Is the north bridge open?"},{"prompt":"And the south one?"},{"id":"west","prompt":"West?","maxTokens":40}]}`, model)
}

// batch is what is told of a batch.
type batch struct {
	ID      string `json:"batchId"`
	Status  string `json:"status"`
	Model   string `json:"model"`
	Summary struct {
		Total, Accepted, Completed, Failed int
	} `json:"summary"`
	Results []struct {
		ID, Status, Text, Error, Message string
		Tokens                           int
	} `json:"results"`
	CostUSD     json.Number `json:"costUsd"`
	CreatedAt   string      `json:"createdAt"`
	CompletedAt *string     `json:"completedAt"`
}

func (p *proof) batch(a *answer) batch {
	p.Helper()
	var b batch
	if err := json.Unmarshal(a.body, &b); err != nil {
		p.Fatalf("no batch: %v\n%s", err, a.body)
	}
	return b
}

// submitted leaves three prompts with the gateway.
func (p *proof) submitted(c caller, model string, changes ...change) (*answer, batch) {
	p.Helper()
	a := p.wants(p.ask(c, batchPath, threePrompts(model), changes...), http.StatusOK)
	b := p.batch(a)
	if b.ID == "" || b.Summary.Total != 3 || b.Summary.Accepted != 3 {
		p.Errorf("three prompts were left, and this was told of them: %s", a.body)
	}
	return a, b
}

// ended asks for a batch until it has come to a status.
func (p *proof) ended(c caller, id, status string) batch {
	p.Helper()
	var b batch
	p.until("the batch's status "+status, func() bool {
		b = p.batch(p.wants(p.ask(c, batchPath+"/"+id, "", method("GET")), http.StatusOK))
		return b.Status == status
	})
	return b
}

// anothersJob asks for a job that another account left here.
func anothersJob(p *proof) {
	owner, other := p.at(llmtuneHost, "3", nil), p.at(llmtuneHost, "3", nil)
	_, b := p.submitted(owner, "llmtune-good")
	colleague := p.anotherAt(owner, nil)
	for _, path := range []string{batchPath + "/", "/v1/batch/", "/v1/jobs/"} {
		noSuchJob(p, p.rejected(other, path+b.ID, "", method("GET")), b.ID)
		p.wants(p.ask(colleague, path+b.ID, "", method("GET")), http.StatusOK)
	}
	noSuchJob(p, p.rejected(other, "/v1/jobs/"+b.ID, "", method("DELETE")), b.ID)
	noSuchJob(p, p.rejected(other, batchPath+"/"+b.ID, "", method("DELETE")), b.ID)
	if got := p.ended(owner, b.ID, "completed"); got.Summary.Completed != 3 {
		p.Errorf("a stranger's DELETE: %+v", got)
	}
	p.note("another account's job is no job; another key of the same account sees it")
}

// batchRuns leaves prompts with the gateway and comes back for the answers.
func batchRuns(p *proof) {
	c := p.at(llmtuneHost, "3", nil)
	first, b := p.submitted(c, "llmtune-good", header("Idempotency-Key", "batch-1"))
	done := p.ended(c, b.ID, "completed")
	if done.ID != b.ID || done.Model != "llmtune-good" || done.Summary.Completed != 3 || done.Summary.Failed != 0 {
		p.Errorf("the batch: %+v", done)
	}
	if len(done.Results) != 3 || done.CompletedAt == nil || done.CreatedAt == "" {
		p.Fatalf("the batch: %+v", done)
	}
	for i, id := range []string{"north", "1", "west"} {
		if r := done.Results[i]; r.ID != id || r.Status != "completed" || r.Text != said || r.Tokens != 16 || r.Error != "" {
			p.Errorf("result %d: %+v", i, r)
		}
	}
	cost := 3 * usdOf(p, fairCharge)
	if got := usdOf(p, done.CostUSD.String()); got != cost {
		p.Errorf("costUsd is %s, and not %s", got, cost)
	}
	p.until("the last hold's end", func() bool { return isZero(c.ledger(p).HeldUSD) })
	l := c.ledger(p)
	if usdOf(p, l.ChargedUSD) != cost || l.Charges != 3 {
		p.Errorf("three answers: %+v", *l)
	}

	again, same := p.submitted(c, "llmtune-good", header("Idempotency-Key", "batch-1"))
	if string(again.body) != string(first.body) || same.ID != b.ID || again.header.Get("Idempotency-Replayed") != "true" {
		p.Errorf("the same batch again: %v %s", again.header, again.body)
	}
	p.wants(p.ask(c, batchPath, threePrompts("llmtune-kept"), header("Idempotency-Key", "batch-1")), http.StatusUnprocessableEntity)
	if after := c.ledger(p); *after != *l {
		p.Errorf("it was charged again: %+v became %+v", *l, *after)
	}
	batchFails(p)
	cancelled(p)
	batchOutlives(p)
}

// batchFails leaves prompts for an upstream that fails: every one of them tells
// so, and nothing is charged.
func batchFails(p *proof) {
	c := p.at(llmtuneHost, "3", nil)
	_, b := p.submitted(c, "llmtune-bad-501")
	var done batch
	p.until("the batch's end", func() bool {
		done = p.batch(p.got(c, "/v1/jobs/"+b.ID))
		return done.CompletedAt != nil
	})
	if done.Status != "failed" || done.Summary.Failed != 3 || done.Summary.Completed != 0 {
		p.Errorf("a batch that fails: %+v", done)
	}
	for _, r := range done.Results {
		if r.Status != "failed" || r.Error != "upstream_error" || r.Message == "" || r.Text != "" {
			p.Errorf("a result that failed: %+v", r)
		}
	}
	if l := c.ledger(p); l.BalanceUSD != "3.00" || l.Charges != 0 || !isZero(l.HeldUSD) {
		p.Errorf("a batch that failed was charged: %+v", *l)
	}
}

// batchOutlives kills the gateway while a batch runs: the next process answers
// it, and nothing is charged twice.
func batchOutlives(p *proof) {
	const name = "llmtune-stuck"
	g := startFive(p, []model{{name: name, answer: testkit.JSON(200, chatBody), more: "attempts: 1"}})
	c := p.atGateway(g, llmtuneHost, "3", nil)
	g.up[name].Queue(testkit.JSON(200, chatBody), testkit.Answer{HangHeaders: true}, testkit.Answer{HangHeaders: true})
	_, b := p.submitted(c, name)
	g.up[name].Request(2)
	p.until("the first answer", func() bool { return c.ledger(p).Charges == 1 })
	g.Kill()
	g.Run(p)
	done := p.ended(c, b.ID, "completed")
	if done.Summary.Completed != 3 || usdOf(p, done.CostUSD.String()) != 3*usdOf(p, fairCharge) {
		p.Errorf("a batch across a restart: %+v", done)
	}
	p.until("the holds' end", func() bool { return isZero(c.ledger(p).HeldUSD) })
	if l := c.ledger(p); l.Charges != 3 || usdOf(p, l.ChargedUSD) != 3*usdOf(p, fairCharge) {
		p.Errorf("a batch across a restart: %+v", *l)
	}
	if got := asked(g, name); got != 5 {
		p.Errorf("the upstream was asked %d times: one prompt was answered before, and two again", got)
	}
	g.settled(p)
	p.note("a batch goes on after kill -9")
}

// cancelled takes a batch back whose prompts wait for an upstream.
func cancelled(p *proof) {
	g := startFive(p, []model{{name: "llmtune-stuck", answer: testkit.Answer{HangHeaders: true}}})
	c := p.atGateway(g, llmtuneHost, "3", nil)
	_, b := p.submitted(c, "llmtune-stuck")
	g.up["llmtune-stuck"].Request(0)
	if l := c.ledger(p); isZero(l.HeldUSD) {
		p.Errorf("nothing is held for a batch that runs: %+v", *l)
	}
	p.wants(p.ask(c, batchPath+"/"+b.ID, "", method("DELETE")), http.StatusOK)
	p.until("the end of what was running", func() bool { return p.ended(c, b.ID, "cancelled").CompletedAt != nil })
	done := p.ended(c, b.ID, "cancelled")
	for _, r := range done.Results {
		if r.Status != "cancelled" || r.Text != "" {
			p.Errorf("a result of a cancelled batch: %+v", r)
		}
	}
	if done.Summary.Completed != 0 || done.Summary.Failed != 3 || usdOf(p, done.CostUSD.String()) != 0 {
		p.Errorf("a cancelled batch: %+v", done)
	}
	p.until("the holds' end", func() bool { return isZero(c.ledger(p).HeldUSD) })
	again := p.batch(p.wants(p.ask(c, "/v1/jobs/"+b.ID, "", method("DELETE")), http.StatusOK))
	if again.Status != "cancelled" {
		p.Errorf("cancelled a second time: %+v", again)
	}
	if l := c.ledger(p); l.BalanceUSD != "3.00" || l.Charges != 0 {
		p.Errorf("a cancelled batch was charged: %+v", *l)
	}
	g.settled(p)
	p.note("a batch of three prompts: its answers, what they cost, the same again by Idempotency-Key, and cancelled")
}
