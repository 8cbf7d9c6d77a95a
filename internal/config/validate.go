package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What values may be.
var (
	kinds      = []string{"openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "sim"}
	apis       = []string{"responses"}
	modelKinds = []string{"chat", "completion", "embedding", "moderation", "image", "speech", "transcription"}
	roles      = []string{"api", "dashboard"}
	billings   = []string{"included", "metered"}
	events     = []string{"balance_warning", "absorbed"}
	inputs     = []string{"text", "image", "audio", "file", "video"}
	orders     = []string{"priority", "least_latency", "least_cost"}
	affinity   = []string{"prefer", "strict", "off"}
	weights    = []string{"open", "closed"} // classes that models have without any configuration
)

// Bounds of numbers.
const (
	maxAttempts = 10
	maxWeight   = 1000
	maxTokens   = 1 << 40
	maxName     = 200
	maxBody     = 1 << 30
	maxLimit    = math.MaxInt32 // of requests a day
	maxKeys     = 10_000        // of one account; account.MaxKeys

	// Of throughput: those of internal/limit, which would enforce its own bound
	// in place of what is beyond.
	maxRequests  = 100_000
	maxAtOnce    = 1_000_000
	maxPerMinute = 10_000_000_000
	minRPS       = 0.001
	maxRPS       = 1_000_000
)

// validator judges a configuration as a whole, after it was decoded.
type validator struct {
	c         *Config
	contracts []string
	problems  []*Problem
	faulty    map[string]bool // paths of problems
}

// newValidator returns one that knows what decoding has found already.
func newValidator(c *Config, contracts []string, problems []*Problem) *validator {
	v := &validator{c: c, contracts: contracts, problems: problems, faulty: make(map[string]bool, len(problems))}
	for _, p := range problems {
		v.faulty[p.Path] = true
	}
	return v
}

func (v *validator) bad(path, format string, args ...any) {
	v.problems = append(v.problems, v.c.Problem(path, fmt.Sprintf(format, args...)))
	v.faulty[path] = true
}

// wrong reports whether a fault was found at path already, so that nothing more
// is said of what follows from it.
func (v *validator) wrong(path string) bool { return v.faulty[path] }

// oneOf reports a value that is none of list.
func (v *validator) oneOf(path, value string, list []string) {
	if !v.wrong(path) && !slices.Contains(list, value) {
		v.bad(path, "%q is not one of %s%s", clip(value), strings.Join(list, ", "), meant(value, list))
	}
}

// within reports a number that is not from low to high.
func (v *validator) within(path string, n, low, high int64) {
	if !v.wrong(path) && (n < low || n > high) {
		v.bad(path, "must be from %d to %d", low, high)
	}
}

func (v *validator) all() {
	c := v.c
	v.server()
	if path, ok := strings.CutPrefix(c.Store.URL, "sqlite:"); !v.wrong("store.url") && (!ok || path == "") {
		v.bad("store.url", "must be sqlite: and a path, like sqlite:data/pontage.db")
	}
	v.span("store.responses", c.Store.Responses, 0, maxRetention)
	if c.Store.Retention != 0 {
		v.span("store.retention", c.Store.Retention, minRetention, maxRetention)
	}
	if c.Shared.URL != "" {
		v.bad("shared.url", "must be empty: several nodes are not supported yet")
	}
	for _, name := range names(c.Providers) {
		v.provider("providers."+name, name, c.Providers[name])
	}
	v.classes("classes", c.Classes)
	v.models("models", c.Models)
	v.fallbacks("fallbacks", c.Fallbacks)
	everywhere := v.classNames(c.Sites...)
	v.plans("plans", c.Plans, everywhere)
	v.sites()
	v.routing()
	v.webhooks()
	v.egress()
	for _, m := range names(c.Models) {
		v.class("models."+m+".class", c.Models[m].Class, everywhere)
	}
}

func (v *validator) server() {
	s := v.c.Server
	v.address("server.listen", s.Listen)
	v.address("server.admin_listen", s.AdminListen)
	if s.Listen == s.AdminListen && !strings.HasSuffix(s.Listen, ":0") && s.Listen != "" {
		v.bad("server.admin_listen", "must not be the address of the API, server.listen")
	}
	if !v.wrong("server.body_limit") && (s.BodyLimit < 1<<10 || s.BodyLimit > maxBody) {
		v.bad("server.body_limit", "must be from 1KiB to 1GiB")
	}
	v.span("server.body_timeout", s.BodyTimeout, time.Millisecond, time.Hour)
	v.span("server.heartbeat", s.Heartbeat, time.Millisecond, time.Hour)
	v.span("server.drain", s.Drain, 0, 24*time.Hour)
}

// span reports a duration that is not from low to high.
func (v *validator) span(path string, d, low, high time.Duration) {
	if !v.wrong(path) && (d < low || d > high) {
		v.bad(path, "must be from %s to %s", duration(low), duration(high))
	}
}

func (v *validator) address(path, addr string) {
	if v.wrong(path) {
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || strconv.FormatUint(n, 10) != port {
		v.bad(path, "%q is not host:port", clip(addr))
	}
}

func (v *validator) provider(path, name string, p Provider) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r)
	}) || len(name) > maxName {
		v.bad(path, "a provider's name is made of letters, digits, dots, dashes and underscores")
	}
	v.oneOf(path+".kind", p.Kind, kinds)
	if !v.wrong(path + ".catalog") {
		if p.Catalog != "" && p.Catalog != "none" && !slices.Contains(vendorNames(), p.Catalog) {
			v.oneOf(path+".catalog", p.Catalog, append(vendorNames(), "none"))
		}
	}
	v.baseURL(path+".base_url", p.BaseURL)
	v.healthCheck(path+".health_check", p)
	switch {
	case p.Kind != "azure" && p.Version != "":
		v.bad(path+".api_version", "is for kind azure only")
	case p.Kind == "azure" && p.BaseURL == "" && !v.wrong(path+".base_url"):
		v.bad(path+".base_url", "is missing; it is the resource's address, such as https://name.openai.azure.com")
	case p.Version != "" && !azureVersion.MatchString(p.Version):
		v.bad(path+".api_version", "must be a date like 2024-10-21, perhaps with -preview")
	}
	v.bedrock(path, p)
	v.vertex(path, p)
	if p.Kind == "sim" {
		v.simulator(path, p)
		return
	}
	if p.Script != "" {
		v.bad(path+".script", "is for kind sim only")
	}
	if (p.Kind != "vertex" || p.KeyFile == "") && !p.Signs() {
		v.credentials(path, p)
	}
}

func (v *validator) simulator(path string, p Provider) {
	for field, set := range map[string]bool{
		"base_url": p.BaseURL != "", "api_key": p.APIKey != "", "api_keys": p.APIKeys != nil,
	} {
		if set {
			v.bad(path+"."+field, "has no meaning for kind sim")
		}
	}
	if p.Script != "" {
		if _, err := os.Stat(v.c.File(p.Script)); err != nil {
			v.bad(path+".script", "cannot be read: %v", errors.Unwrap(err))
		}
	}
}

func (v *validator) credentials(path string, p Provider) {
	one, many := v.c.lines[path+".api_key"] > 0, v.c.lines[path+".api_keys"] > 0
	switch {
	case one && many:
		v.bad(path+".api_keys", "cannot stand beside api_key")
	case many && len(p.APIKeys) == 0 && !v.wrong(path+".api_keys"):
		v.bad(path+".api_keys", "is empty")
	case !one && !many:
		v.bad(path+".api_key", "is missing; write none if the provider needs no key")
	}
	if one {
		v.credential(path+".api_key", p.APIKey)
	}
	for i, k := range p.APIKeys {
		v.credential(fmt.Sprintf("%s.api_keys[%d]", path, i), k)
	}
}

// healthCheck reports a look that cannot be made.
func (v *validator) healthCheck(path string, p Provider) {
	c := p.HealthCheck
	if c.Interval != 0 {
		v.span(path+".interval", c.Interval, time.Second, time.Hour)
	}
	switch {
	case p.Kind == "sim" && c != HealthCheck{}:
		v.bad(path, "has no meaning for kind sim")
	case c.Path != "" && c.Interval == 0 && !v.wrong(path+".interval"):
		v.bad(path+".path", "has no meaning without an interval")
	case strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '?' || r == '#' || r == '%' }) || strings.Contains(c.Path, "..") || strings.Contains(c.Path, "://"):
		v.bad(path+".path", "must be a path behind base_url, like models")
	}
}

// credential reports what cannot stand in a header. It shows nothing of it.
func (v *validator) credential(path string, s Secret) {
	switch {
	case v.wrong(path):
	case s == "":
		v.bad(path, "is empty; write none if the provider needs no key")
	case strings.ContainsFunc(string(s), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		v.bad(path, "holds a space, a line break or a character outside ASCII")
	}
}

func (v *validator) baseURL(path, s string) {
	if s == "" || v.wrong(path) {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		v.bad(path, "must be a URL like https://api.example.com/v1")
	case u.User != nil || u.Fragment != "":
		v.bad(path, "must not hold credentials or a fragment")
	}
}

// minSecret is the least length of what events are signed with, in bytes.
const minSecret = 16

func (v *validator) webhooks() {
	w := v.c.Webhooks
	v.baseURL("webhooks.url", w.URL)
	known := !v.wrong("webhooks.url") && !v.wrong("webhooks.secret")
	switch {
	case known && w.URL != "" && w.Secret == "":
		v.bad("webhooks.secret", "is missing: events are signed with it")
	case known && w.URL == "" && w.Secret != "":
		v.bad("webhooks.url", "is missing: it says where events are posted to")
	case known && w.Secret != "" && len(w.Secret) < minSecret:
		v.bad("webhooks.secret", "is shorter than %d bytes", minSecret)
	}
	if w.Events != nil && len(w.Events) == 0 && !v.wrong("webhooks.events") {
		v.bad("webhooks.events", "is empty: leave it out for all of them")
	}
	for i, e := range w.Events {
		at := fmt.Sprintf("webhooks.events[%d]", i)
		if v.oneOf(at, e, events); slices.Contains(w.Events[:i], e) {
			v.bad(at, "is there twice")
		}
	}
}

func (v *validator) routing() {
	r := v.c.Routing
	v.within("routing.attempts", int64(r.Attempts), 1, maxAttempts)
	v.within("routing.retry_budget", int64(r.RetryBudget), 1, 1000)
	v.span("routing.deadline", r.Deadline, time.Second, 24*time.Hour)
	v.span("routing.backoff.base", r.Backoff.Base, 0, time.Minute)
	v.span("routing.backoff.max", r.Backoff.Max, r.Backoff.Base, 10*time.Minute)
	v.span("routing.affinity.ttl", r.Affinity.TTL, 0, 24*time.Hour)
	v.span("routing.affinity.long_ttl", r.Affinity.LongTTL, r.Affinity.TTL, 24*time.Hour)
	v.within("routing.affinity.strict_from", r.Affinity.StrictFrom, 0, 10_000_000)
	v.within("routing.breaker.failures", int64(r.Breaker.Failures), 1, 1000)
	v.span("routing.breaker.window", r.Breaker.Window, time.Second, time.Hour)
	v.within("routing.breaker.requests", int64(r.Breaker.Requests), 2, 1_000_000)
	v.within("routing.breaker.share", int64(r.Breaker.Share), 1, 100)
	v.span("routing.breaker.open", r.Breaker.Open, time.Second, time.Hour)
	v.span("routing.breaker.max_open", r.Breaker.MaxOpen, r.Breaker.Open, 24*time.Hour)
}
