package contract

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Problem is one mistake in a contract's file.
type Problem struct {
	File   string
	Line   int // from 1; 0: the file as a whole
	Reason string
}

// Error returns "file:line: reason".
func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Reason
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ": " + p.Reason
}

const (
	maxProblems = 100 // that are told of one file
	maxDepth    = 32  // of nesting in a file
)

// reader walks a YAML tree and gathers every mistake in it.
type reader struct {
	file     string
	problems []*Problem
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	r.problems = append(r.problems, &Problem{File: r.file, Line: line, Reason: fmt.Sprintf(format, args...)})
}

// err joins the problems in the order of the file.
func (r *reader) err() error {
	slices.SortStableFunc(r.problems, func(a, b *Problem) int { return a.Line - b.Line })
	// What is wrong with a row can show once in every envelope.
	seen := map[Problem]bool{}
	r.problems = slices.DeleteFunc(r.problems, func(p *Problem) bool {
		dup := seen[*p]
		seen[*p] = true
		return dup
	})
	var errs []error
	for i, p := range r.problems {
		if i == maxProblems {
			errs = append(errs, fmt.Errorf("%s: %d problems more", r.file, len(r.problems)-i))
			break
		}
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// document reads the one document of a file as a tree.
func (r *reader) document(src []byte) *yaml.Node {
	if len(src) > maxSource {
		r.fail(nil, "larger than %d bytes", maxSource)
		return nil
	}
	root := &yaml.Node{}
	if err := yaml.Load(src, root, yaml.WithUniqueKeys(false)); err != nil {
		r.problems = append(r.problems, r.syntax(src, err))
		return nil
	}
	n := root
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if !r.plain(n, 0) {
		return nil
	}
	return n
}

// syntax makes a problem of what the YAML library says.
func (r *reader) syntax(src []byte, err error) *Problem {
	p := &Problem{File: r.file, Reason: err.Error()}
	var several *yaml.LoadErrors
	if errors.As(err, &several) && len(several.Errors) > 0 {
		err = several.Errors[0]
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		p.Line, p.Reason = one.Mark.Line, strings.TrimPrefix(one.Message, "yaml: ")
	}
	if p.Line == 0 {
		p.Line = oddLine(src)
	}
	return p
}

// oddLine returns the first line with something that is no text, for which the
// YAML library gives no place; 0: there is none.
func oddLine(src []byte) int {
	for i, line := range bytes.Split(src, []byte("\n")) {
		if !utf8.Valid(line) || bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' && c != '\r' }) {
			return i + 1
		}
	}
	return 0
}

// plain checks that a tree has no aliases and does not nest too deep.
func (r *reader) plain(n *yaml.Node, depth int) bool {
	switch {
	case depth > maxDepth:
		r.fail(n, "nested deeper than %d", maxDepth)
		return false
	case n.Kind == yaml.AliasNode:
		r.fail(n, "aliases are not allowed here")
		return false
	}
	for _, c := range n.Content {
		if !r.plain(c, depth+1) {
			return false
		}
	}
	return true
}

// pair is a member of a mapping.
type pair struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// mapping reads a mapping with distinct plain keys, in its order. A value left
// empty is a mistake where null is not asked for.
func (r *reader) mapping(n *yaml.Node, what string) []pair {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s: must be a mapping", what)
		return nil
	}
	seen := make(map[string]int, len(n.Content)/2)
	var out []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!merge" || k.Value == "" {
			r.fail(k, "%s: a key must be a plain name", what)
			continue
		}
		if line, dup := seen[k.Value]; dup {
			r.fail(k, "%s: %q stands here twice, first in line %d", what, k.Value, line)
			continue
		}
		seen[k.Value] = k.Line
		out = append(out, pair{k.Value, k, v})
	}
	return out
}

// fields reads a mapping whose keys are all among the known ones, and returns
// its values by key.
func (r *reader) fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	for _, p := range r.mapping(n, what) {
		if !slices.Contains(known, p.name) {
			r.fail(p.key, "%s: unknown field %q; known are %s", what, p.name, strings.Join(known, ", "))
			continue
		}
		out[p.name] = p.value
	}
	return out
}

// str reads a text that is not empty.
func (r *reader) str(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Value == "" {
		r.fail(n, "%s: must be a text", what)
		return ""
	}
	return n.Value
}

// nullable reads a text, or null as the empty text.
func (r *reader) nullable(n *yaml.Node, what string) *string {
	s := ""
	if n.ShortTag() != "!!null" {
		s = r.str(n, what)
	}
	return &s
}

func (r *reader) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		r.fail(n, "%s: must be true or false", what)
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// status reads an HTTP status of an error.
func (r *reader) status(n *yaml.Node, what string) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 400 || v > 599 {
		r.fail(n, "%s: %s is not a status from 400 to 599", what, shown(n))
		return 0
	}
	return v
}

// success reads an HTTP status of an answer with a body.
func (r *reader) success(n *yaml.Node, what string) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 200 || v > 299 || v == 204 || v == 205 {
		r.fail(n, "%s: %s is not a status from 200 to 299 that has a body", what, shown(n))
		return 0
	}
	return v
}

// list reads a list of distinct texts. Each is the node of an item.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "%s: must be a list", what)
		return nil
	}
	seen := map[string]bool{}
	var out []*yaml.Node
	for _, item := range n.Content {
		v := r.str(item, what)
		if v == "" {
			continue
		}
		if seen[v] {
			r.fail(item, "%s: %q stands here twice", what, v)
			continue
		}
		seen[v] = true
		out = append(out, item)
	}
	return out
}

func (r *reader) strings(n *yaml.Node, what string) []string {
	var out []string
	for _, item := range r.list(n, what) {
		out = append(out, item.Value)
	}
	return out
}

// choice reads a text that is one of a few.
func (r *reader) choice(n *yaml.Node, what string, of ...string) string {
	v := r.str(n, what)
	if v != "" && !slices.Contains(of, v) {
		r.fail(n, "%s: unknown %q; must be one of %s", what, v, strings.Join(of, ", "))
		return ""
	}
	return v
}

// shown returns a node's value for a message, cut.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return "this"
	}
	v := n.Value
	if len(v) > 60 {
		v = v[:60] + "…"
	}
	return strconv.Quote(v)
}

// nameRule is what names of contracts, envelopes and extras look like.
var nameRule = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

func (r *reader) name(n *yaml.Node, what string) string {
	v := r.str(n, what)
	if v != "" && !nameRule.MatchString(v) {
		r.fail(n, "%s: %s must be small letters, digits and underscores", what, shown(n))
		return ""
	}
	return v
}
