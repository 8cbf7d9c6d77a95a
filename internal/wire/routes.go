package wire

import (
	"net/http"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/contract"
)

// routes finds routes by path, then by method.
type routes struct {
	exact    map[string][]contract.Route
	patterns []pattern // that have a wildcard, the most specific first
}

// pattern is a path with one wildcard: what stands before it and behind. What
// it matches may hold slashes, since names of models do, and is never empty.
type pattern struct {
	prefix, suffix string
	routes         []contract.Route
}

func newRoutes(list []contract.Route) routes {
	r := routes{exact: map[string][]contract.Route{}}
	for _, rt := range list {
		prefix, rest, wild := strings.Cut(rt.Path, "{")
		if !wild {
			r.exact[rt.Path] = append(r.exact[rt.Path], rt)
			continue
		}
		_, suffix, _ := strings.Cut(rest, "}")
		i := slices.IndexFunc(r.patterns, func(p pattern) bool { return p.prefix == prefix && p.suffix == suffix })
		if i < 0 {
			i = len(r.patterns)
			r.patterns = append(r.patterns, pattern{prefix: prefix, suffix: suffix})
		}
		r.patterns[i].routes = append(r.patterns[i].routes, rt)
	}
	slices.SortStableFunc(r.patterns, func(a, b pattern) int {
		return len(b.prefix) + len(b.suffix) - len(a.prefix) - len(a.suffix)
	})
	return r
}

// wildcard returns what the pattern's wildcard stands for in path.
func (p *pattern) wildcard(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, p.prefix)
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, p.suffix)
	return rest, ok && rest != ""
}

// find returns the route and what its wildcard stands for. HEAD is GET whose
// body is not sent. Where the path is known and the method is not, allow lists
// the methods.
func (r routes) find(method, path string) (rt contract.Route, rest string, ok bool, allow string) {
	if rt, ok = pick(r.exact[path], method); ok {
		return rt, "", true, ""
	}
	known := r.exact[path]
	for i := range r.patterns {
		p := &r.patterns[i]
		name, matches := p.wildcard(path)
		if !matches {
			continue
		}
		if rt, ok = pick(p.routes, method); ok {
			return rt, name, true, ""
		}
		if len(known) == 0 {
			rest = name
		}
		known = append(slices.Clip(known), p.routes...)
	}
	if len(known) == 0 {
		return contract.Route{}, "", false, ""
	}
	var methods []string
	for _, k := range known {
		if !slices.Contains(methods, k.Method) {
			methods = append(methods, k.Method)
		}
	}
	return known[0], rest, false, strings.Join(methods, ", ")
}

// pick returns the route of a method.
func pick(list []contract.Route, method string) (contract.Route, bool) {
	for _, rt := range list {
		if rt.Method == method || (method == http.MethodHead && rt.Method == http.MethodGet) {
			return rt, true
		}
	}
	return contract.Route{}, false
}
