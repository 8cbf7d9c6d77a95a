package app

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/gate"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
	"github.com/pontage/pontage/internal/wire"
)

// setup is everything that is made of one configuration. It does not change; a
// reload makes another.
type setup struct {
	config *config.Config
	plans  *gate.Plans
	sites  *wire.Sites
	list   []*wire.Site
	live   map[string]bool // ids of the targets in use
	norms  route.Norms
	kinds  map[string]served
}

// build makes a setup. Nothing is in force yet.
func (a *App) build(c *config.Config) (*setup, error) {
	kinds := a.providers(c)
	if err := uncheckable(c, kinds); err != nil {
		return nil, err
	}
	in, err := catalogInput(c, a.o.Dev)
	if err != nil {
		return nil, err
	}
	cat, err := catalog.Build(in)
	if err != nil {
		return nil, placed(c, err)
	}
	s := &setup{config: c, live: map[string]bool{}, kinds: kinds}
	if s.list, err = a.bind(c); err != nil {
		return nil, err
	}
	s.sites = wire.NewSites(s.list)
	s.plans = &gate.Plans{
		Views:   map[string]*catalog.View{},
		Targets: map[*catalog.Model][]*route.Target{},
		Tests:   map[*catalog.Model][]*route.Target{},

		Attempts:  c.Routing.Attempts,
		Deadline:  c.Routing.Deadline,
		Providers: slices.Collect(maps.Keys(c.Providers)),

		Pin: c.Routing.Affinity.TTL, LongPin: c.Routing.Affinity.LongTTL, StrictFrom: c.Routing.Affinity.StrictFrom,
	}
	s.plans.WarnsBalance, s.plans.TellsAbsorbed = c.Webhooks.Tells(string(ledger.EventBalanceWarning)), c.Webhooks.Tells(string(ledger.EventAbsorbed))
	s.plans.WarnBelow, s.plans.Surcharges = map[string]money.Amount{}, map[string]money.Rate{}
	br := c.Routing.Breaker
	s.norms = route.Norms{
		Failures: br.Failures, Window: br.Window, Sample: br.Requests, Share: br.Share,
		Open: br.Open, MaxOpen: br.MaxOpen, Budget: c.Routing.RetryBudget,
	}
	for _, site := range s.list {
		s.plans.Surcharges[site.Name] = site.Surcharge
		s.plans.WarnBelow[site.Name] = cmp.Or(site.WarnBelow, site.Contract.WarnBelow())
		view := cat.View(site.Name)
		s.plans.Views[site.Name] = view
		for _, m := range view.Models() {
			if _, done := s.plans.Targets[m]; done {
				continue
			}
			for _, t := range m.Targets {
				s.plans.Targets[m] = append(s.plans.Targets[m], kinds[t.Provider].targets(&a.health, s.norms, m.Kind, t)...)
			}
			s.plans.Tests[m] = a.testTargets(s.norms, m)
			for _, t := range slices.Concat(s.plans.Targets[m], s.plans.Tests[m]) {
				s.live[t.ID] = true
			}
		}
	}
	if c.Server.Docs {
		document(c, s.list, s.plans.Views)
	}
	return s, script(c, a.sim) // last: what fails scripts nothing
}

// bind makes the sites.
func (a *App) bind(c *config.Config) ([]*wire.Site, error) {
	var out []*wire.Site
	var errs []error
	names := siteNames(c)
	for i, sc := range c.Sites {
		con, err := loadContract(c, sc.Contract)
		if err != nil {
			errs = append(errs, badContract(c, i, err)...)
			continue
		}
		keys := con.KeyFormat()
		site := &wire.Site{
			Name:      names[i],
			Listener:  sc.Listen,
			Hosts:     sc.Hosts,
			Dashboard: sc.Role == roleDashboard,
			Contract:  con,
			Format:    account.Format{Prefixes: keys.Prefixes, Trim: keys.Trim},
			Limits: limit.Rule{
				RPS: sc.Limits.RPS, Burst: sc.Limits.Burst,
				Requests: sc.Limits.Requests, Per: sc.Limits.Per, Concurrency: sc.Limits.Concurrency,
				TokensPerMinute: sc.Limits.TokensPerMinute,
			},
			WarnBelow:  sc.BalanceWarningBelow,
			MaxKeys:    sc.MaxKeys,
			KeyBalance: sc.KeyBalance,
			Surcharge:  con.Surcharge(),
		}
		if sc.Selection != nil {
			site.Surcharge = money.Rate(*sc.Selection)
		}
		if sc.Listen == c.Server.Listen {
			site.Listener = ""
		}
		out = append(out, site)
	}
	for _, s := range out {
		s.KeySites = known(out, s)
	}
	return out, errors.Join(errs...)
}

// apiSite returns the site itself, or where it serves the account pages the
// first of its contract that serves the API, if there is one.
func apiSite(sites []*wire.Site, s *wire.Site) *wire.Site {
	for _, other := range sites {
		if s.Dashboard && !other.Dashboard && other.Contract.Name() == s.Contract.Name() {
			return other
		}
	}
	return s
}

// known names the sites whose keys are known at a site, if it is not the only
// one: account pages know those of every site with the same contract, and other
// sites know theirs, so that they can be told from keys of nobody.
func known(sites []*wire.Site, at *wire.Site) []string {
	var out []string
	for _, s := range sites {
		if s == at || (s.Contract.Name() == at.Contract.Name() && (s.Dashboard || at.Dashboard)) {
			out = append(out, s.Name)
		}
	}
	if len(out) == 1 {
		return nil
	}
	return out
}

// document writes the error reference of each site.
func document(c *config.Config, sites []*wire.Site, views map[string]*catalog.View) {
	for _, s := range sites {
		api := apiSite(sites, s)
		o := contract.PageOptions{BaseURL: baseURL(c, c.Sites[slices.Index(sites, api)])}
		if s.Name != "*" { // no name to a reader
			o.Site = s.Name
		}
		list := views[api.Name].Models()
		if first := slices.IndexFunc(list, func(m *catalog.Model) bool { return m.Kind == catalog.Chat }); first >= 0 {
			o.Model = list[first].ID // the example is a chat
		}
		s.Docs = &wire.Docs{Markdown: s.Contract.Page(o), HTML: s.Contract.HTML(o)}
	}
}

// baseURL is where callers reach a site, as far as the configuration tells.
func baseURL(c *config.Config, s config.Site) string {
	if s.URL != "" {
		return strings.TrimSuffix(s.URL, "/")
	}
	listen := cmp.Or(s.Listen, c.Server.Listen)
	if s.Hosts[0] == "*" {
		return "http://" + listen
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil || port == "80" || port == "0" {
		return "http://" + s.Hosts[0]
	}
	return "http://" + net.JoinHostPort(s.Hosts[0], port)
}

// loadContract loads a contract by its name, or by the path of its file.
func loadContract(c *config.Config, name string) (*contract.Contract, error) {
	if slices.Contains(contract.Embedded(), name) {
		return contract.Load(name)
	}
	con, err := contract.LoadFile(c.File(name))
	if err != nil {
		return nil, err
	}
	for _, r := range con.Routes() {
		if !built(r.Surface) {
			return nil, fmt.Errorf("%s: route %s %s: this gateway does not serve surface %s", name, r.Method, r.Path, r.Surface)
		}
	}
	return con, nil
}

// placed gives the problems of a catalogue the lines of the configuration.
func placed(c *config.Config, err error) error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	errs := list.Unwrap()
	for i, e := range errs {
		var p *catalog.Problem
		if errors.As(e, &p) {
			errs[i] = c.Problem(p.Path, p.Reason)
		}
	}
	return errors.Join(errs...)
}

// Check reports everything that is wrong with a configuration beyond its
// syntax: contracts that do not compile, models that do not add up, providers
// that cannot be reached.
func Check(c *config.Config) error {
	errs := []error{checkProviders(c)}
	in, err := catalogInput(c, false)
	if err != nil {
		return err
	}
	if cat, err := catalog.Build(in); err != nil {
		errs = append(errs, placed(c, err))
	} else {
		errs = append(errs, unpriced(c, cat))
	}
	seen := map[string]bool{}
	for i, s := range c.Sites {
		if seen[s.Contract] {
			continue
		}
		seen[s.Contract] = true
		if _, err := loadContract(c, s.Contract); err != nil {
			errs = append(errs, badContract(c, i, err)...)
		}
	}
	return errors.Join(errs...)
}

// badContract tells what is wrong with the contract of a site: in its own file,
// each mistake with its line; otherwise at the site.
func badContract(c *config.Config, site int, err error) []error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{c.Problem(fmt.Sprintf("sites[%d].contract", site), err.Error())}
	}
	return list.Unwrap()
}

// keyPrefix says how new keys of a site start; see dash.Deps.
func (a *App) keyPrefix(site, kind string) (host, prefix string, ok bool) {
	list := a.current.Load().list
	if len(list) == 0 {
		return "", "", false
	}
	s := list[0]
	if site != "" {
		i := slices.IndexFunc(list, func(s *wire.Site) bool {
			return strings.EqualFold(s.Name, site) || slices.ContainsFunc(s.Hosts, func(h string) bool { return h != "*" && strings.EqualFold(h, site) })
		})
		if i < 0 {
			return "", "", false
		}
		s = list[i]
		host = s.Name
	}
	keys := s.Contract.KeyFormat()
	prefixes := keys.Inference
	if kind == "billing" && len(keys.Billing) > 0 {
		prefixes = keys.Billing
	}
	return host, prefixes[0], true
}

// Reload puts another configuration in force. What cannot be changed while
// running (addresses, the store, the admin token) is an error, and after any
// error the old configuration stays. Requests that were admitted before go on
// as they were.
func (a *App) Reload(c *config.Config) error {
	a.reload.Lock()
	defer a.reload.Unlock()
	if fixed := needRestart(a.current.Load().config, c); len(fixed) > 0 {
		return fmt.Errorf("%s cannot change without a restart", strings.Join(fixed, ", "))
	}
	s, err := a.build(c)
	if err != nil {
		return err
	}
	a.gate.Swap(s.plans)
	if err := a.points.Hit(failpoint.CrashMidReload); err != nil {
		return err
	}
	a.wire.Swap(s.sites)
	a.inForce(s)
	a.health.keep(s.live, s.norms)
	a.look(s)
	return nil
}

// needRestart names what is not the same and cannot change while running.
// docs/config.md lists all of it.
func needRestart(old, c *config.Config) []string {
	var fixed []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"server.listen", old.Server.Listen == c.Server.Listen},
		{"the addresses of sites (listen)", slices.Equal(listeners(old), listeners(c))},
		{"server.admin_listen", old.Server.AdminListen == c.Server.AdminListen},
		{"server.admin_token", old.Server.AdminToken == c.Server.AdminToken},
		{"server.body_limit", old.Server.BodyLimit == c.Server.BodyLimit},
		{"server.body_timeout", old.Server.BodyTimeout == c.Server.BodyTimeout},
		{"server.heartbeat", old.Server.Heartbeat == c.Server.Heartbeat},
		{"routing.backoff", old.Routing.Backoff == c.Routing.Backoff},
		{"store.url", old.Store.URL == c.Store.URL},
		{"store.retention", old.Store.Retention == c.Store.Retention},
		{"store.responses", old.Store.Responses == c.Store.Responses},
	} {
		if !f.same {
			fixed = append(fixed, f.name)
		}
	}
	return fixed
}

// listeners are the addresses that sites have of their own, sorted.
func listeners(c *config.Config) []string {
	var out []string
	for _, s := range c.Sites {
		if s.Listen != "" && s.Listen != c.Server.Listen && !slices.Contains(out, s.Listen) {
			out = append(out, s.Listen)
		}
	}
	slices.Sort(out)
	return out
}

// KeyPrefix says how new keys of a site start, and by which of its hosts the
// site is known; the empty site is the first.
func (a *App) KeyPrefix(site, kind string) (host, prefix string, ok bool) {
	return a.keyPrefix(site, kind)
}
