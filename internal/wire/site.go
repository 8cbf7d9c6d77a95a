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
	Name       string // what keys and views are bound to: its first host, or its listener
	Listener   string // where it is served; empty: where everything is
	Hosts      []string
	Dashboard  bool     // serves what the contract keeps for account pages, and refuses the rest
	KeySites   []string // names of the sites whose keys are known here; empty: only its own
	Contract   *contract.Contract
	Format     account.Format
	Limits     limit.Rule
	Docs       *Docs        // its error reference, which anybody may read at /docs/errors; nil: not served
	MaxKeys    int          // most active keys that an account may make itself; 0: as many as it may have
	KeyBalance money.Amount // balance that it needs for that
	Surcharge  money.Rate   // on what costs more because a caller chooses a provider, in parts of a million
	WarnBelow  money.Amount // balance below which the contract's warning appears; 0: the contract's own

	routes    routes
	anthropic string // the envelope of Anthropic's surfaces; empty: it has none
	gemini    string // the envelope of Google's surfaces; empty: it has none
}

// Docs is a site's error reference.
type Docs struct{ Markdown, HTML []byte }

// Sites is a set of sites, found by listener and host.
type Sites struct {
	listeners map[string]*hosts
}

// hosts are the sites of one listener.
type hosts struct {
	byHost map[string]*Site
	other  *Site // bound to "*"; nil: unknown hosts are refused
}

// NewSites returns the set. Later sites never take a host from earlier ones.
func NewSites(sites []*Site) *Sites {
	s := &Sites{listeners: map[string]*hosts{}}
	for _, site := range sites {
		site.routes = newRoutes(site.Contract.Routes())
		for _, rt := range site.Contract.Routes() {
			if strings.HasPrefix(rt.Surface, "anthropic.") {
				site.anthropic = rt.Envelope
			}
			if strings.HasPrefix(rt.Surface, "gemini.") {
				site.gemini = rt.Envelope
			}
		}
		at := s.listeners[site.Listener]
		if at == nil {
			at = &hosts{byHost: map[string]*Site{}}
			s.listeners[site.Listener] = at
		}
		at.add(site)
	}
	return s
}

func (at *hosts) add(site *Site) {
	for _, h := range site.Hosts {
		h = strings.ToLower(h)
		if h == "*" {
			if at.other == nil {
				at.other = site
			}
		} else if at.byHost[h] == nil {
			at.byHost[h] = site
		}
	}
}

// Find returns the site for the Host header of a request to a listener, or nil.
// The header decides nothing but this.
func (s *Sites) Find(listener, host string) *Site {
	at := s.listeners[listener]
	if at == nil {
		return nil
	}
	if len(at.byHost) == 0 {
		return at.other
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if site := at.byHost[strings.ToLower(strings.TrimSuffix(host, "."))]; site != nil {
		return site
	}
	return at.other
}

// find returns the site of a request.
func (s *Sites) find(r *http.Request) *Site {
	if len(s.listeners) == 1 && s.listeners[""] != nil {
		return s.Find("", r.Host)
	}
	return s.Find(listener(r), r.Host)
}
