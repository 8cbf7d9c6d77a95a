package wire

import (
	"net"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
)

// Site binds hosts to one contract. It does not change.
type Site struct {
	Name      string // its first host; what keys and views are bound to
	Hosts     []string
	Contract  *contract.Contract
	Format    account.Format
	Limits    limit.Rule
	Docs      []byte       // its error reference in Markdown, which anybody may read at /docs/errors; nil: not served
	WarnBelow money.Amount // balance below which the contract's warning appears; 0: the contract's own

	routes    routes
	anthropic string // the envelope of Anthropic's surfaces; empty: it has none
}

// Sites is a set of sites, found by host.
type Sites struct {
	byHost map[string]*Site
	other  *Site // bound to "*"; nil: unknown hosts are refused
}

// NewSites returns the set. Later sites never take a host from earlier ones.
func NewSites(sites []*Site) *Sites {
	s := &Sites{byHost: make(map[string]*Site, len(sites))}
	for _, site := range sites {
		site.routes = newRoutes(site.Contract.Routes())
		for _, rt := range site.Contract.Routes() {
			if strings.HasPrefix(rt.Surface, "anthropic.") {
				site.anthropic = rt.Envelope
			}
		}
		for _, h := range site.Hosts {
			h = strings.ToLower(h)
			if h == "*" {
				if s.other == nil {
					s.other = site
				}
			} else if s.byHost[h] == nil {
				s.byHost[h] = site
			}
		}
	}
	return s
}

// Find returns the site for a Host header, or nil. The header decides nothing
// but this.
func (s *Sites) Find(host string) *Site {
	if len(s.byHost) == 0 {
		return s.other
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if site := s.byHost[strings.ToLower(strings.TrimSuffix(host, "."))]; site != nil {
		return site
	}
	return s.other
}

// routes finds routes by path, then by method.
type routes struct {
	exact map[string][]contract.Route
	tails []tail // patterns that end in {id...}
}

type tail struct {
	prefix string
	routes []contract.Route
}

func newRoutes(list []contract.Route) routes {
	r := routes{exact: map[string][]contract.Route{}}
	for _, rt := range list {
		prefix, _, isTail := strings.Cut(rt.Path, "{")
		if !isTail {
			r.exact[rt.Path] = append(r.exact[rt.Path], rt)
			continue
		}
		found := false
		for i := range r.tails {
			if r.tails[i].prefix == prefix {
				r.tails[i].routes = append(r.tails[i].routes, rt)
				found = true
			}
		}
		if !found {
			r.tails = append(r.tails, tail{prefix, []contract.Route{rt}})
		}
	}
	return r
}

// find returns the route and the rest of the path that its wildcard matched.
// HEAD is GET whose body is not sent.
// Where the path is known and the method is not, allow lists the methods.
func (r routes) find(method, path string) (rt contract.Route, rest string, ok bool, allow string) {
	cand := r.exact[path]
	if cand == nil {
		for _, t := range r.tails {
			if after, has := strings.CutPrefix(path, t.prefix); has && after != "" {
				cand, rest = t.routes, after
				break
			}
		}
	}
	for _, c := range cand {
		if c.Method == method || (method == http.MethodHead && c.Method == http.MethodGet) {
			return c, rest, true, ""
		}
	}
	for i, c := range cand {
		if i > 0 {
			allow += ", "
		}
		allow += c.Method
	}
	if len(cand) > 0 {
		return cand[0], rest, false, allow
	}
	return contract.Route{}, "", false, ""
}
