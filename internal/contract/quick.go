package contract

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/fault"
)

// PageOptions is what an error reference tells of the site that serves it. The
// zero value tells of the contract alone.
type PageOptions struct {
	Site    string // its name; empty: the contract's
	BaseURL string // where it is, such as https://api.example.com, without the path of a route; empty: an example
	Model   string // a model for the example; empty: a word to be replaced
}

func (o PageOptions) withDefaults(c *Contract) PageOptions {
	o.Site = cmp.Or(o.Site, c.name)
	o.BaseURL = strings.TrimRight(cmp.Or(o.BaseURL, "https://api.example.com"), "/")
	o.Model = cmp.Or(o.Model, "YOUR_MODEL")
	return o
}

// quickDebug is a command that prints the status of the smallest request, and
// what the status means.
type quickDebug struct {
	Command  string
	Meanings []statusMeaning
}

type statusMeaning struct {
	Status  int
	Meaning string
}

// smallest lists the surfaces that a request can be tried on, with the rest of
// the smallest body that each takes.
var smallest = []struct {
	surface string
	body    string // behind the model, if that stands in the body
	inPath  bool   // the model stands in the path
}{
	{"openai.chat", `"messages":[{"role":"user","content":"hi"}]}`, false},
	{"chat", `"messages":[{"role":"user","content":"hi"}]}`, false},
	{"anthropic.messages", `"max_tokens":16,"messages":[{"role":"user","content":"hi"}]}`, false},
	{"prompt", `"prompt":"hi"}`, true},
	{"openai.embeddings", `"input":"hi"}`, false},
}

// quick makes the command for the first route that a request can be tried on;
// nil: there is none.
func (c *Contract) quick(o PageOptions) *quickDebug {
	for _, try := range smallest {
		for _, r := range c.routes {
			if r.Surface != try.surface || r.Method != "POST" || r.Role != "api" || r.Kind == "billing" {
				continue
			}
			path, body := r.Path, "{"+try.body
			switch at := wildcard.FindStringIndex(path); {
			case try.inPath != (at != nil):
				continue
			case try.inPath:
				path = path[:at[0]] + o.Model + path[at[1]:]
			default:
				model, err := json.Marshal(o.Model)
				if err != nil {
					return nil // cannot be: a string
				}
				body = `{"model":` + string(model) + "," + try.body
			}
			return &quickDebug{Command: c.curl(o.BaseURL+path, body), Meanings: c.meanings(r.Envelope)}
		}
	}
	return nil
}

// wildcard is the place of a path that a name stands in for.
var wildcard = regexp.MustCompile(`\{[^}]*\}`)

func (c *Contract) curl(url, body string) string {
	key := c.keys.Inference[0] + "YOUR_API_KEY"
	head := "Authorization: Bearer " + key
	if c.keys.Headers[0] != "Authorization" {
		head = c.keys.Headers[0] + ": " + key
	}
	return "curl -s -o /dev/null -w '%{http_code}\\n' " + shell(url) +
		" \\\n  -H " + shell(head) +
		" \\\n  -H 'Content-Type: application/json'" +
		" \\\n  -d " + shell(body)
}

// shell quotes s as one word for a shell.
func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// tried lists the faults that somebody who tries a key out is likely to meet.
var tried = []fault.Code{
	fault.KeyInvalid, fault.BalanceInsufficient, fault.ModelNotFound, fault.RateLimited, fault.UpstreamFailed, fault.NoTarget,
}

// meanings tells what the statuses of an envelope mean to somebody who tries a
// key out, in the order of the statuses.
func (c *Contract) meanings(envelope string) []statusMeaning {
	out := []statusMeaning{{200, "It works."}}
	for _, code := range tried {
		status, says := c.Status(envelope, code), code.Entry().Public
		if i := slices.IndexFunc(out, func(m statusMeaning) bool { return m.Status == status }); i >= 0 {
			out[i].Meaning += " Or: " + says
			continue
		}
		out = append(out, statusMeaning{status, says})
	}
	slices.SortFunc(out, func(a, b statusMeaning) int { return a.Status - b.Status })
	return out
}
