package main

import (
	"fmt"
	"strings"

	"github.com/pontage/pontage/client/admin"
	"github.com/pontage/pontage/internal/money"
)

// receipt prints all that is known of a request, so that its charge can be
// reckoned again by hand.
func (r *remote) receipt(v *admin.Receipt) error {
	status := fmt.Sprint(v.Status)
	if v.Fault != "" {
		status += " " + string(v.Fault)
	}
	err := r.facts("request", v.ID, "started", whenever(v.StartedAt), "took", millis(v.MS), "account", string(v.Account), "key", string(v.Key), "test", yes(v.Test, "yes"),
		"site", string(v.Site), "surface", string(v.Surface), "model", string(v.Model), "answered by", string(v.AnsweredBy),
		"outcome", v.Outcome, "status", status, "delivery", v.Delivery,
		"input tokens", count(v.Tokens.Input), "  of them cached", count(v.Tokens.CachedInput), "  of them written to cache", count(v.Tokens.CacheWrite+v.Tokens.CacheWrite1h), "output tokens", count(v.Tokens.Output), "  of them reasoning", count(v.Tokens.Reasoning),
		"estimated", yes(v.Estimated, "yes"), "held", dollars(v.HoldUSD), "charged", dollars(v.ChargeUSD), "refunded", some(v.RefundedUSD), "absorbed", some(v.AbsorbedUSD), "price", string(v.Price),
		"left out of the request", strings.Join(v.Dropped, ", "), "left out of the answer", strings.Join(v.Left, ", "))
	if err == nil && len(v.Lines) > 0 {
		err = r.lines(v)
	}
	if err != nil {
		return err
	}
	if because := reasons(v); len(because) > 0 {
		fmt.Fprintln(r.sys.out)
		for _, s := range because {
			fmt.Fprintln(r.sys.out, "- "+s)
		}
	}
	if len(v.Attempts) == 0 {
		return nil
	}
	fmt.Fprintln(r.sys.out)
	var rows [][]string
	for _, a := range v.Attempts {
		status := ""
		if a.Status != nil {
			status = fmt.Sprint(*a.Status)
		}
		rows = append(rows, []string{a.Target, a.Outcome, status, millis(a.MS)})
	}
	return r.table([]string{"ATTEMPT", "OUTCOME", "STATUS", "TOOK"}, rows)
}

// lines prints what was used, at which rate, and what that makes.
func (r *remote) lines(v *admin.Receipt) error {
	fmt.Fprintln(r.sys.out)
	rounded := false
	var rows [][]string
	for _, l := range v.Lines {
		row := []string{l.Kind, fmt.Sprint(l.Units), "", "", "", dollars(l.AmountUSD)}
		if l.RateUSD != "" {
			row[2], row[3], row[4] = "×", dollars(string(l.RateUSD)), "="
			if l.Kind != "request" {
				row[3], rounded = row[3]+" / 1M", true
			}
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		rows = append(rows, []string{"sum", "", "", "", "", dollars(sum(v.Lines).String())})
	}
	if err := r.table([]string{"LINE", "UNITS", "", "RATE", "", "AMOUNT"}, rows); err != nil {
		return err
	}
	if rounded {
		fmt.Fprintln(r.sys.out, "The sum is rounded up once, to a nano-dollar ($0.000000001); each line is what the sum grows by with it.")
	}
	return nil
}

// sum adds up lines. What the gateway sent is within its bounds.
func sum(lines []admin.Line) (total money.Amount) {
	for _, l := range lines {
		a, _ := money.ParseUSD(l.AmountUSD)
		total += a
	}
	return total
}

// outcomes says what each outcome means for the charge.
var outcomes = map[string]string{
	"ok":          "The answer came to its end and is charged as used.",
	"client_left": "The caller left before the answer ended: the prompt and what was produced until then are charged, at most what was held.",
	"blocked":     "A policy, or a refusal, stood in the answer's place: nothing is charged.",
	"refused":     "It was refused before a provider was asked: nothing is charged.",
	"failed":      "No provider gave an answer: nothing is charged.",
	"empty":       "The provider answered with nothing: nothing is charged.",
	"interrupted": "The provider broke off in the middle of the answer: nothing is charged.",
	"aborted":     "The gateway broke off: nothing is charged.",
	"replayed":    "Its idempotency key stood for an answer that was charged before: nothing is charged again.",
}

// reasons says in words why the charge is what it is.
func reasons(v *admin.Receipt) []string {
	var out []string
	add := func(holds bool, s string) {
		if holds && s != "" {
			out = append(out, s)
		}
	}
	charge, _ := money.ParseUSD(v.ChargeUSD)
	absorbed, _ := money.ParseUSD(v.AbsorbedUSD)
	add(true, outcomes[v.Outcome])
	add(v.Estimated, "The provider sent no usage, so tokens were counted here (estimated).")
	add(len(v.Lines) == 1 && v.Lines[0].Kind == "plan", "The account's plan paid for it.")
	add(absorbed > 0, "It cost "+dollars(v.AbsorbedUSD)+" more than could be charged, which the operator bears (absorbed).")
	add(len(v.Lines) > 0 && charge+absorbed < sum(v.Lines), "The charge ends at what was held.")
	add(some(v.RefundedUSD) != "", dollars(v.RefundedUSD)+" of the charge was given back (refunded).")
	return out
}
