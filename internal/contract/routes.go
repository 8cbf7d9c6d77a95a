package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

var routeFields = []string{"surface", "envelope", "kind", "role", "answer", "detailed", "only", "status"}

func (p *parser) routes(n *yaml.Node) {
	mux := http.NewServeMux()
	for _, at := range p.mapping(n, "routes") {
		method, path, ok := strings.Cut(at.name, " ")
		if !ok || !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \t") {
			p.fail(at.key, "routes: %q is not a method (%s), a space and a path", at.name, strings.Join(methods, ", "))
			continue
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
		p.answer(&r, at.value, f, what)
		p.c.routes = append(p.c.routes, r)
	}
}

// register tries a pattern on a real multiplexer, which panics where patterns
// are wrong or stand in each other's way.
func register(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			msg, _, _ := strings.Cut(fmt.Sprint(v), "\n")
			err = fmt.Errorf("not a pattern, or in the way of another one: %s", msg)
		}
	}()
	mux.Handle(pattern, http.NotFoundHandler())
	return nil
}
