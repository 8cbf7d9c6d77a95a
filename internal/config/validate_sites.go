package config

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func (v *validator) sites() {
	if len(v.c.Sites) == 0 && !v.wrong("sites") {
		v.bad("sites", "is empty: leave it out for one site with every host")
	}
	taken := map[string]int{} // listener and host → site
	named := map[string]int{} // name → site
	for i := range v.c.Sites {
		s := &v.c.Sites[i]
		path := fmt.Sprintf("sites[%d]", i)
		if s.Listen != "" {
			v.address(path+".listen", s.Listen)
			if s.Listen == v.c.Server.AdminListen && !strings.HasSuffix(s.Listen, ":0") {
				v.bad(path+".listen", "must not be the address of the admin API")
			}
		}
		v.hosts(path, i, s, taken)
		v.siteName(path, i, s, named)
		v.baseURL(path+".url", s.URL)
		v.contract(path+".contract", s.Contract)
		v.oneOf(path+".role", s.Role, roles)
		v.limits(path+".limits", s.Limits)
		v.within(path+".max_keys", int64(s.MaxKeys), 0, maxKeys)
		if s.KeyBalance < 0 {
			v.bad(path+".key_balance", "must not be negative")
		}
		if s.BalanceWarningBelow < 0 {
			v.bad(path+".balance_warning_below", "must not be negative")
		}
		v.overlay(path, s)
	}
}

func (v *validator) overlay(path string, s *Site) {
	known := v.classNames(*s)
	v.classes(path+".classes", s.Classes)
	v.models(path+".models", s.Models)
	for _, m := range names(s.Models) {
		v.class(path+".models."+m+".class", s.Models[m].Class, known)
	}
	v.fallbacks(path+".fallbacks", s.Fallbacks)
	v.plans(path+".plans", s.Plans.Own, known)
	for i, name := range s.Plans.Names {
		if _, ok := v.c.Plans[name]; !ok {
			v.bad(fmt.Sprintf("%s.plans[%d]", path, i), "there is no plan %q%s", clip(name), meant(name, names(v.c.Plans)))
		}
	}
	if sold := v.sold(s); s.DefaultPlan != "" && !slices.Contains(sold, s.DefaultPlan) {
		v.bad(path+".default_plan", "there is no plan %q here%s", clip(s.DefaultPlan), meant(s.DefaultPlan, sold))
	}
}

// sold lists the plans of a site.
func (v *validator) sold(s *Site) []string {
	if s.Plans.Names != nil {
		return s.Plans.Names
	}
	return append(names(v.c.Plans), names(s.Plans.Own)...)
}

func (v *validator) hosts(path string, site int, s *Site, taken map[string]int) {
	if len(s.Hosts) == 0 && !v.wrong(path+".hosts") {
		v.bad(path+".hosts", "is empty")
	}
	listen := s.Listen
	if listen == "" {
		listen = v.c.Server.Listen
	}
	for i, h := range s.Hosts {
		at := fmt.Sprintf("%s.hosts[%d]", path, i)
		if v.wrong(at) {
			continue
		}
		if !isHost(h) {
			v.bad(at, "%q is not a host name without port, nor *", clip(h))
			continue
		}
		key := listen + " " + strings.ToLower(h)
		if first, ok := taken[key]; ok {
			v.bad(at, "%q is bound already, by sites[%d]", clip(h), first)
			continue
		}
		taken[key] = site
	}
}

// siteName reports sites that keys could not tell apart: a site is called by its
// first host, or by its address where that serves every host.
func (v *validator) siteName(path string, site int, s *Site, named map[string]int) {
	if len(s.Hosts) == 0 {
		return
	}
	name := strings.ToLower(s.Hosts[0])
	if name == "*" && s.Listen != "" {
		name = s.Listen
	}
	if first, ok := named[name]; ok && !v.wrong(path+".hosts[0]") {
		v.bad(path+".hosts[0]", "%q is the first host of sites[%d], too: keys are bound to a site by that", clip(name), first)
		return
	}
	named[name] = site
}

// isHost reports whether h is *, a name or an IP address.
func isHost(h string) bool {
	if h == "*" {
		return true
	}
	if h == "" || len(h) > 253 || strings.HasPrefix(h, ".") || strings.HasSuffix(h, ".") {
		return false
	}
	return !strings.ContainsFunc(h, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
	})
}

func (v *validator) contract(path, name string) {
	if v.wrong(path) {
		return
	}
	if strings.ContainsAny(name, "/\\") || filepath.Ext(name) == ".yaml" || filepath.Ext(name) == ".yml" {
		if info, err := os.Stat(v.c.File(name)); err != nil || info.IsDir() {
			v.bad(path, "there is no contract file %q", clip(name))
		}
		return
	}
	if name == "" || (len(v.contracts) > 0 && !slices.Contains(v.contracts, name)) {
		v.bad(path, "there is no contract %q%s", clip(name), meant(name, v.contracts))
	}
}

func (v *validator) limits(path string, l Limits) {
	for _, f := range []struct {
		name    string
		n, most int64
	}{{"requests", l.Requests, maxRequests}, {"burst", l.Burst, maxAtOnce}, {"concurrency", l.Concurrency, maxAtOnce}, {"tokens_per_minute", l.TokensPerMinute, maxPerMinute}} {
		v.within(path+"."+f.name, f.n, 0, f.most)
	}
	if at := path + ".rps"; !v.wrong(at) && l.RPS != 0 && !(l.RPS >= minRPS && l.RPS <= maxRPS) {
		v.bad(at, "must be from %v to %d", minRPS, maxRPS)
	}
	switch {
	case v.wrong(path+".per") || v.wrong(path+".requests"):
	case l.Requests > 0 && l.Per == 0:
		v.bad(path+".requests", "needs per, the window in which they are counted, like 60s")
	case l.Requests == 0 && l.Per > 0:
		v.bad(path+".per", "needs requests, how many there may be in it")
	case l.Per > 0:
		v.span(path+".per", l.Per, time.Millisecond, 24*time.Hour)
	}
	if l.Burst > 0 && l.RPS == 0 && !v.wrong(path+".rps") {
		v.bad(path+".burst", "needs rps")
	}
}

// fill gives a rate its burst.
func (l *Limits) fill() {
	if l.RPS > 0 && l.Burst == 0 {
		l.Burst = int64(math.Ceil(min(l.RPS, maxRPS)))
	}
}
