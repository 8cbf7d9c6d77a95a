package contract

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// docsPath is where every site has its error reference.
const docsPath = "/docs/errors"

var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// answered lists the methods that a surface answers, where that is not POST. Those
// of one key of the account are others than those of the list, see [methodsOf].
var answered = map[string][]string{
	"openai.responses.item": {"GET", "DELETE"}, "openai.responses.input_items": {"GET"},
	"openai.models": {"GET"}, "anthropic.models": {"GET"}, "gemini.models": {"GET"},
	"account.balance": {"GET", "POST"}, "account.keys": {"GET", "POST"},
	"account.usage": {"GET"}, "account.usage_summary": {"GET"}, "account.transactions": {"GET"},
	"jobs": {"POST"}, "x402.endpoints": methods, "x402.status": methods, "x402.complete": methods,
}

// methodsOf lists the methods that a surface answers at a path.
func methodsOf(surface, path string) []string {
	switch one := strings.Contains(path, "{"); {
	case one && surface == "account.keys":
		return []string{"PUT", "DELETE"}
	case one && surface == "jobs":
		return []string{"GET", "DELETE"}
	}
	if list := answered[surface]; list != nil {
		return list
	}
	return []string{"POST"}
}

// Ending returns what follows the wildcard in the path, such as ":generateContent".
func (r Route) Ending() string {
	_, ending, _ := strings.Cut(r.Path, "}")
	return ending
}

var routeFields = []string{"surface", "envelope", "kind", "role", "answer", "detailed", "only", "status", "reasoning"}

func (p *parser) routes(n *yaml.Node) {
	mux := http.NewServeMux()
	for _, at := range p.mapping(n, "routes") {
		method, path, ok := strings.Cut(at.name, " ")
		if !ok || !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \t") {
			p.fail(at.key, "routes: %q is not a method (%s), a space and a path", at.name, strings.Join(methods, ", "))
			continue
		}
		if strings.Count(path, "{") > 1 || strings.ContainsAny(path, "%?#") || strings.HasSuffix(path, "{$}") {
			p.fail(at.key, "routes: %q: a path has at most one wildcard, and neither {$} nor %%, ? or #", at.name)
			continue
		}
		if path == docsPath {
			p.fail(at.key, "routes: %q: the error reference stands there", at.name)
		}
		if err := register(mux, at.name); err != nil {
			p.fail(at.key, "routes: %q: %v", at.name, err)
			continue
		}
		what := "route " + at.name
		f := p.fields(at.value, what, routeFields...)
		r := Route{Method: method, Path: path, Kind: "inference", Role: "api", Status: http.StatusOK}
		if v := f["surface"]; v == nil {
			p.fail(at.value, "%s: surface is missing", what)
		} else {
			r.Surface = p.choice(v, what+": surface", Surfaces()...)
		}
		if v := f["envelope"]; v == nil {
			p.fail(at.value, "%s: envelope is missing", what)
		} else if p.envelope(v, what) >= 0 {
			r.Envelope = v.Value
		}
		if v := f["kind"]; v != nil {
			r.Kind = p.choice(v, what+": kind", "inference", "billing", "any", "none")
		}
		if v := f["role"]; v != nil {
			r.Role = p.choice(v, what+": role", "api", "dashboard")
		}
		if v := f["reasoning"]; v != nil {
			if r.Reasoning = p.choice(v, what+": reasoning", "reasoning", "reasoning_content", "content"); r.Surface != "" && r.Surface != "openai.chat" {
				p.fail(v, "%s: reasoning is only for surface openai.chat", what)
			}
		}
		p.asked(&r, f, at, what)
		p.answer(&r, at.value, f, what)
		p.c.routes = append(p.c.routes, r)
	}
}

// asked checks that a route is one that its surface can answer, and that somebody
// is known to ask where something belongs to somebody.
func (p *parser) asked(r *Route, f map[string]*yaml.Node, at pair, what string) {
	if r.Surface == "" {
		return
	}
	if r.Kind == "none" && !strings.HasSuffix(r.Surface, ".models") {
		p.fail(f["kind"], "%s: kind none, which asks for no key, is only for lists of models", what)
	}
	one := strings.Contains(r.Path, "{")
	switch {
	case strings.HasPrefix(r.Surface, "gemini.") && r.Surface != "gemini.models" && !one:
		p.fail(at.key, "%s: surface %s has its model in the path, which needs a wildcard", what, r.Surface)
	case strings.HasPrefix(r.Surface, "openai.responses.") && r.Surface != "openai.responses.input_tokens" && r.Surface != "openai.responses.compact" && !one:
		p.fail(at.key, "%s: surface %s is of one response, whose id needs a wildcard", what, r.Surface)
	case r.Surface == "prompt" && !one:
		p.fail(at.key, "%s: surface prompt has its model in the path, which needs a wildcard", what)
	case strings.HasPrefix(r.Surface, "account.") && r.Surface != "account.keys" && one:
		p.fail(at.key, "%s: surface %s has no use for a wildcard", what, r.Surface)
	}
	if list := methodsOf(r.Surface, r.Path); !slices.Contains(list, r.Method) {
		p.fail(at.key, "%s: surface %s answers %s here", what, r.Surface, strings.Join(list, ", "))
	}
}

// method is what may follow the wildcard of a path that ends in a method, as in
// models/{model...}:generateContent.
var method = regexp.MustCompile(`^(.*/)(\{[^{}]*\}):([A-Za-z]+)$`)

// register tries a pattern on a real multiplexer, which panics where patterns
// are wrong or stand in each other's way.
func register(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			msg, _, _ := strings.Cut(fmt.Sprint(v), "\n")
			err = fmt.Errorf("not a pattern, or in the way of another one: %s", msg)
		}
	}()
	// A multiplexer knows no wildcard within a segment: the method goes before it.
	mux.Handle(method.ReplaceAllString(pattern, "$1:$3/$2"), http.NotFoundHandler())
	return nil
}
