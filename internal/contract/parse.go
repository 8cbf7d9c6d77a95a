package contract

import (
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/fault"
)

// sections are the fields of a contract's file, in the order of its reference.
var sections = []string{
	"name", "about", "keys", "routes", "fallback", "retryable", "precedence", "model_check", "idempotency", "controls", "suffixes", "provider_selection",
	"envelopes", "stream", "defaults", "faults", "details", "terms", "extras", "responses",
}

// parser builds a contract from its file.
type parser struct {
	reader
	root     *yaml.Node
	c        *Contract
	nodes    []*yaml.Node // of the envelopes, by their number
	used     []bool       // the envelopes
	defaults map[fault.Class]*decl
	faults   map[fault.Code]*decl
}

// Parse compiles a contract. name is what messages call the source. The error
// joins every mistake that was found, each a [*Problem] with its line.
func Parse(name string, src []byte) (*Contract, error) {
	p := &parser{
		reader:   reader{file: name},
		c:        &Contract{byName: map[string]int{}, surfaces: map[string]*frame{}, retryable: map[int]bool{}},
		defaults: map[fault.Class]*decl{},
		faults:   map[fault.Code]*decl{},
	}
	if p.root = p.document(src); p.root == nil {
		return nil, p.err()
	}
	f := p.fields(p.root, "contract", sections...)
	for _, need := range []string{"name", "keys", "routes", "fallback", "retryable", "envelopes", "faults"} {
		if f[need] == nil {
			p.fail(p.root, "%s is missing", need)
		}
	}
	p.head(f)
	p.section(f, "envelopes", p.envelopes)
	p.section(f, "routes", p.routes)
	p.section(f, "fallback", p.fallback)
	p.section(f, "stream", p.stream)
	p.section(f, "defaults", p.classes)
	p.section(f, "faults", p.codes)
	p.section(f, "details", p.details)
	p.section(f, "terms", p.terms)
	p.section(f, "extras", p.extras)
	p.section(f, "controls", p.controls)
	p.section(f, "suffixes", p.suffixes)
	p.section(f, "provider_selection", p.selection)
	p.section(f, "responses", p.responses)
	if len(p.c.envelopes) == 0 || len(p.c.elsewhere) == 0 {
		if len(p.problems) == 0 {
			p.fail(p.root, "no envelope, or no fallback for /")
		}
		return nil, p.err()
	}
	p.compile()
	if len(p.problems) > 0 {
		return nil, p.err()
	}
	return p.c, nil
}

func (p *parser) section(f map[string]*yaml.Node, name string, read func(*yaml.Node)) {
	if n := f[name]; n != nil {
		read(n)
	}
}

// head reads the small sections.
func (p *parser) head(f map[string]*yaml.Node) {
	if n := f["name"]; n != nil {
		p.c.name = p.name(n, "name")
	}
	if n := f["about"]; n != nil {
		p.c.about = p.str(n, "about")
	}
	if n := f["keys"]; n != nil {
		p.keys(n)
	}
	if n := f["retryable"]; n != nil {
		for _, item := range p.list(n, "retryable") {
			p.c.retryable[p.status(item, "retryable")] = true
		}
	}
	p.c.prec = []fault.Code{
		fault.PlanRequired, fault.DailyRequestsExceeded, fault.DailySpendExceeded, fault.PlanQuotaExceeded,
		fault.CreditsRequired, fault.BalanceInsufficient, fault.BalanceHeld,
	}
	if n := f["precedence"]; n != nil {
		p.c.prec = p.precedence(n)
	}
	if n := f["model_check"]; n != nil {
		p.c.modelInBy = p.choice(n, "model_check", "field", "apart") == "field"
	}
	p.c.wait = defaultWait
	if n := f["idempotency"]; n != nil {
		p.idempotency(n)
	}
}

// How long a request waits for another one with its Idempotency-Key.
const (
	defaultWait = 30 * time.Second
	maxWait     = 10 * time.Minute
)

func (p *parser) idempotency(n *yaml.Node) {
	v := p.fields(n, "idempotency", "wait")["wait"]
	if v == nil {
		p.fail(n, "idempotency: wait is missing")
		return
	}
	d, err := time.ParseDuration(p.str(v, "idempotency.wait"))
	if err != nil || d < 0 || d > maxWait {
		p.fail(v, "idempotency.wait: %s is not a time from 0s to %v", shown(v), maxWait)
	}
	p.c.wait = d
}

func (p *parser) keys(n *yaml.Node) {
	f := p.fields(n, "keys", "prefixes", "whitespace", "scheme", "headers", "names")
	k := &p.c.keys
	if v := f["prefixes"]; v == nil {
		p.fail(n, "keys: prefixes is missing")
	} else {
		by := p.fields(v, "keys.prefixes", "inference", "billing")
		if by["inference"] == nil {
			p.fail(v, "keys.prefixes: inference is missing")
		}
		for kind, to := range map[string]*[]string{"inference": &k.Inference, "billing": &k.Billing} {
			if by[kind] != nil {
				*to = p.prefixes(by[kind], "keys.prefixes."+kind)
			}
		}
		k.Prefixes = slices.Concat(k.Inference, k.Billing)
		for _, b := range k.Billing {
			if slices.Contains(k.Inference, b) {
				p.fail(v, "keys.prefixes: %q belongs to two kinds", b)
			}
		}
	}
	if v := f["whitespace"]; v == nil {
		p.fail(n, "keys: whitespace is missing; it is trim or strict")
	} else {
		k.Trim = p.choice(v, "keys.whitespace", "trim", "strict") == "trim"
	}
	if v := f["scheme"]; v != nil {
		k.Scheme = p.choice(v, "keys.scheme", "required", "optional") == "required"
	}
	if v := f["names"]; v != nil {
		k.Plain = p.choice(v, "keys.names", "any", "plain") == "plain"
	}
	if v := f["headers"]; v == nil {
		p.fail(n, "keys: headers is missing")
	} else {
		for _, item := range p.list(v, "keys.headers") {
			if h := p.choice(item, "keys.headers", "authorization", "x-api-key", "x-goog-api-key", "api-key"); h != "" {
				k.Headers = append(k.Headers, http.CanonicalHeaderKey(h))
			}
		}
		if len(k.Headers) == 0 {
			p.fail(v, "keys.headers: names no header")
		}
	}
}

func (p *parser) prefixes(n *yaml.Node, what string) []string {
	out := p.strings(n, what)
	if len(out) == 0 {
		p.fail(n, "%s: names no prefix", what)
	}
	for _, s := range out {
		if len(s) > 32 || strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			p.fail(n, "%s: %q is not 1 to 32 visible ASCII characters", what, s)
		}
	}
	return out
}

func (p *parser) precedence(n *yaml.Node) []fault.Code {
	var out []fault.Code
	for _, item := range p.list(n, "precedence") {
		code, ok := p.code(item, "precedence")
		if !ok {
			continue
		}
		switch code.Entry().Class {
		case fault.ClassLimit, fault.ClassMoney, fault.ClassModel:
			out = append(out, code)
		default:
			p.fail(item, "precedence: %s is neither of a limit, nor of money, nor of a model", item.Value)
		}
	}
	return out
}

// code reads the name of a fault.
func (p *parser) code(n *yaml.Node, what string) (fault.Code, bool) {
	code, ok := fault.Lookup(n.Value)
	if !ok {
		p.fail(n, "%s: unknown fault %q", what, n.Value)
	}
	return code, ok
}

// class reads the name of a class of faults.
func (p *parser) class(n *yaml.Node, what string) (fault.Class, bool) {
	var names []string
	for _, c := range fault.Classes() {
		if c.String() == n.Value {
			return c, true
		}
		names = append(names, c.String())
	}
	p.fail(n, "%s: unknown class %q; known are %s", what, n.Value, strings.Join(names, ", "))
	return 0, false
}

// envelope finds an envelope by the name in n, and marks it as used; -1: there
// is none.
func (p *parser) envelope(n *yaml.Node, what string) int {
	if i, ok := p.c.byName[n.Value]; ok && n.Kind == yaml.ScalarNode {
		p.used[i] = true
		return i
	}
	p.fail(n, "%s: unknown envelope %s", what, shown(n))
	return -1
}

func (p *parser) fallback(n *yaml.Node) {
	root := false
	for _, at := range p.mapping(n, "fallback") {
		if !strings.HasPrefix(at.name, "/") || (len(at.name) > 1 && strings.HasSuffix(at.name, "/")) {
			p.fail(at.key, "fallback: %q is not a path that starts and does not end with /", at.name)
			continue
		}
		root = root || at.name == "/"
		if i := p.envelope(at.value, "fallback "+at.name); i >= 0 {
			p.c.elsewhere = append(p.c.elsewhere, prefix{at.name, i})
		}
	}
	if !root {
		p.fail(n, "fallback: names no envelope for /")
	}
	sort.SliceStable(p.c.elsewhere, func(i, j int) bool {
		return len(p.c.elsewhere[i].path) > len(p.c.elsewhere[j].path)
	})
}

func (p *parser) envelopes(n *yaml.Node) {
	for _, at := range p.mapping(n, "envelopes") {
		what := "envelope " + at.name
		if p.name(at.key, what) == "" {
			continue
		}
		f := p.fields(at.value, what, "body", "headers", "types", "stream")
		e := &envelope{name: at.name}
		if f["body"] == nil {
			p.fail(at.value, "%s: body is missing", what)
		} else {
			e.members = p.members(f["body"], inBody, what)
		}
		if f["headers"] != nil {
			e.headers = p.headers(f["headers"], inBody, what)
		}
		if f["types"] != nil {
			e.types = p.types(f["types"], what+": types")
		}
		e.frame = &frame{members: e.members}
		if f["stream"] != nil {
			e.frame = p.frame(f["stream"], what+": stream", e.members)
		}
		p.c.byName[at.name] = len(p.c.envelopes)
		p.c.envelopes = append(p.c.envelopes, e)
		p.nodes = append(p.nodes, at.key)
		p.used = append(p.used, false)
	}
}

func (p *parser) types(n *yaml.Node, what string) map[string]string {
	out := map[string]string{}
	for _, at := range p.mapping(n, what) {
		if at.name != "4xx" && at.name != "5xx" {
			p.status(at.key, what)
		}
		out[at.name] = p.str(at.value, what+"."+at.name)
	}
	return out
}

// typeOf finds the type of a status in a table of types.
func typeOf(types map[string]string, status int) string {
	s := strconv.Itoa(status)
	if t, ok := types[s]; ok {
		return t
	}
	return types[s[:1]+"xx"]
}

func (p *parser) frame(n *yaml.Node, what string, members []member) *frame {
	f := p.fields(n, what, "event", "body", "after")
	out := &frame{members: members}
	if v := f["body"]; v != nil {
		out.members = p.members(v, inBody, what)
	}
	if v := f["event"]; v != nil {
		out.event = p.str(v, what+".event")
		if !tokenRule.MatchString(out.event) {
			p.fail(v, "%s: event %s is not a plain word", what, shown(v))
		}
	}
	if v := f["after"]; v == nil {
		p.fail(n, "%s: after is missing; it is close or done", what)
	} else {
		out.done = p.choice(v, what+".after", "close", "done") == "done"
	}
	return out
}

func (p *parser) stream(n *yaml.Node) {
	for _, at := range p.mapping(n, "stream") {
		if !slices.ContainsFunc(p.c.routes, func(r Route) bool { return r.Surface == at.name }) {
			p.fail(at.key, "stream: no route has the surface %q", at.name)
			continue
		}
		if at.value.Kind == yaml.MappingNode && !slices.ContainsFunc(at.value.Content, func(k *yaml.Node) bool { return k.Value == "body" }) {
			p.fail(at.value, "stream %s: body is missing", at.name)
			continue
		}
		p.c.surfaces[at.name] = p.frame(at.value, "stream "+at.name, nil)
	}
}

func (p *parser) details(n *yaml.Node) {
	p.c.details = map[fault.Code]words{}
	for _, at := range p.mapping(n, "details") {
		if code, ok := p.code(at.key, "details"); ok {
			p.c.details[code] = p.words(at.value, inDetail, "details."+at.name)
		}
	}
}

func (p *parser) terms(n *yaml.Node) {
	p.c.terms = map[string]map[string]string{}
	for _, at := range p.mapping(n, "terms") {
		if f, _ := inBody.find(at.name); (f.kind != kArg || f.arg == "") && !slices.Contains(answerTexts, at.name) {
			p.fail(at.key, "terms: %q is not a placeholder whose values can be renamed", at.name)
			continue
		}
		by := map[string]string{}
		for _, v := range p.mapping(at.value, "terms."+at.name) {
			by[v.name] = p.str(v.value, "terms."+at.name+"."+v.name)
		}
		p.c.terms[at.name] = by
	}
}
