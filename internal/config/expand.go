package config

import (
	"fmt"
	"strings"
)

// A reference to a variable is marked before the YAML is parsed, since braces
// mean something there ({key: ${VAR}} would not parse), and looked up after, so
// that no value of a variable can change the structure of the file.
const (
	refStart = '\uE000'
	refEnd   = '\uE001'
	dollar   = '\uE002' // a plain "${"
)

// mark replaces ${NAME} and $${ by marks. Lines stay as they are. If src has
// such marks already, it returns the line of the first; else 0.
func mark(src string) (marked string, line int) {
	if i := strings.IndexAny(src, string([]rune{refStart, refEnd, dollar})); i >= 0 {
		return "", 1 + strings.Count(src[:i], "\n")
	}
	var b strings.Builder
	for {
		i := strings.Index(src, "${")
		if i < 0 {
			b.WriteString(src)
			return b.String(), 0
		}
		if i > 0 && src[i-1] == '$' {
			b.WriteString(src[:i-1])
			b.WriteRune(dollar)
			src = src[i+2:]
			continue
		}
		b.WriteString(src[:i])
		src = src[i+2:]
		end := strings.IndexAny(src, "} \t\r\n{:#,[]'\"")
		if end < 0 || src[end] != '}' {
			b.WriteString("${") // reported if it turns out to be in a value
			continue
		}
		b.WriteRune(refStart)
		b.WriteString(src[:end])
		b.WriteRune(refEnd)
		src = src[end+1:]
	}
}

// expand puts the values of variables in the place of marks. It names what is
// wrong in the second result.
func expand(s string, env func(string) (string, bool)) (string, []string) {
	var bad []string
	if strings.Contains(s, "${") {
		bad = append(bad, "${ begins a variable like ${NAME}; write $${ for the characters themselves")
	}
	if !strings.ContainsRune(s, refStart) {
		return strings.ReplaceAll(s, string(dollar), "${"), bad
	}
	var b strings.Builder
	for s != "" {
		before, rest, found := strings.Cut(s, string(refStart))
		b.WriteString(strings.ReplaceAll(before, string(dollar), "${"))
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, string(refEnd))
		s = after
		if !isVariable(name) {
			bad = append(bad, fmt.Sprintf("%q is not the name of an environment variable", name))
			continue
		}
		v, ok := env(name)
		if !ok {
			bad = append(bad, fmt.Sprintf("the environment variable %s is not set", name))
		}
		b.WriteString(v)
	}
	return b.String(), bad
}

func isVariable(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// unmark gives a text with marks back as it was written, for messages.
func unmark(s string) string {
	return strings.NewReplacer(string(refStart), "${", string(refEnd), "}", string(dollar), "$${").Replace(s)
}
