package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many are reported at once.
const maxProblems = 100

// Problem is one thing wrong with a configuration.
type Problem struct {
	File   string
	Line   int    // from 1; 0: unknown
	Path   string // of the member: "sites[1].hosts[0]"; empty: the file as a whole
	Reason string
}

// Error returns "file:line: path: reason".
func (p *Problem) Error() string {
	s := p.File
	if p.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, p.Line)
	}
	if p.Path != "" {
		s += ": " + p.Path
	}
	return s + ": " + p.Reason
}

// Problem makes a problem of the member at path, with the line of it or of the
// nearest member around it. It lets those that know more than this package
// (which models there are, what a contract can do) report in the same form.
func (c *Config) Problem(path, reason string) *Problem {
	return &Problem{File: c.name, Line: lineOf(c.lines, path), Path: path, Reason: reason}
}

// lineOf returns the line of path, or of the nearest path around it.
func lineOf(lines map[string]int, path string) int {
	for {
		if n := lines[path]; n > 0 {
			return n
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return lines[""]
		}
		path = path[:cut]
	}
}

// join makes one error of problems, in the order of their lines, or nil.
func join(problems []*Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b *Problem) int { return a.Line - b.Line })
	more := len(problems) - maxProblems
	if more > 0 {
		problems = problems[:maxProblems]
	}
	errs := make([]error, 0, len(problems)+1)
	for _, p := range problems {
		errs = append(errs, p)
	}
	if more > 0 {
		errs = append(errs, fmt.Errorf("%s: and %d more", problems[0].File, more))
	}
	return errors.Join(errs...)
}

// nearest returns the name that word was probably meant to be, or nothing.
func nearest(word string, names []string) string {
	best, least := "", len(word)/3+2 // at most a third of it, rounded up, may be wrong
	for _, n := range names {
		if d := distance(word, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the edit distance of a and b, which are short.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// meant returns ", did you mean …?" if one of names is near to word.
func meant(word string, names []string) string {
	if n := nearest(word, names); n != "" {
		return fmt.Sprintf(" (did you mean %q?)", n)
	}
	return ""
}
