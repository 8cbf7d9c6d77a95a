package contract

import (
	"net/http"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// Responses is what a contract has otherwise than OpenAI of responses. The zero
// value is as OpenAI has them.
type Responses struct {
	Retention []string // members of the body that say for how many days one is kept, which must say the same; empty: none does
	MostDays  int64    // that they may ask for; 0 asks for none to be kept
	UsualDays int64    // that one is kept at most if nobody asks; 0: as long as is configured
	Accepted  int      // status with which one in the background is acknowledged; 0: 200
	Polled    bool     // one in the background is not streamed
	Deleted   string   // what the answer to a deletion calls itself; empty: response
	Done      bool     // streams end with data: [DONE]
}

// Responses returns what the contract has otherwise than OpenAI of responses.
func (c *Contract) Responses() *Responses { return &c.responses }

// mostDays bounds how long a contract may let a response be kept.
const mostDays = 3650

func (p *parser) responses(n *yaml.Node) {
	r := &p.c.responses
	f := p.fields(n, "responses", "retention", "accepted", "background_streams", "deleted", "done")
	if !slices.ContainsFunc(p.c.routes, func(r Route) bool { return r.Surface == "openai.responses" }) {
		p.fail(n, "responses: no route has the surface openai.responses")
	}
	if v := f["retention"]; v != nil {
		p.retention(r, v)
	}
	if v := f["accepted"]; v != nil {
		r.Accepted = p.success(v, "responses.accepted")
	}
	if v := f["background_streams"]; v != nil {
		r.Polled = !p.boolean(v, "responses.background_streams")
	}
	if v := f["deleted"]; v != nil {
		r.Deleted = p.str(v, "responses.deleted")
	}
	if v := f["done"]; v != nil {
		r.Done = p.boolean(v, "responses.done")
	}
}

func (p *parser) retention(r *Responses, n *yaml.Node) {
	f := p.fields(n, "responses.retention", "members", "usual", "most")
	for _, name := range []string{"members", "usual", "most"} {
		if f[name] == nil {
			p.fail(n, "responses.retention: %s is missing", name)
			return
		}
	}
	for _, item := range p.list(f["members"], "responses.retention.members") {
		name := p.str(item, "responses.retention.members")
		if !memberRule.MatchString(name) {
			p.fail(item, "responses.retention.members: %q is not the name of a member", name)
		}
		r.Retention = append(r.Retention, name)
	}
	r.UsualDays, r.MostDays = p.days(f["usual"], "responses.retention.usual"), p.days(f["most"], "responses.retention.most")
}

func (p *parser) days(n *yaml.Node, what string) int64 {
	d, err := strconv.ParseInt(p.str(n, what), 10, 64)
	if err != nil || d < 1 || d > mostDays {
		p.fail(n, "%s: %s is not a number of days from 1 to %d", what, shown(n), mostDays)
	}
	return d
}

// Acknowledged returns the status with which a response in the background is
// acknowledged.
func (r *Responses) Acknowledged() int {
	if r.Accepted == 0 {
		return http.StatusOK
	}
	return r.Accepted
}
