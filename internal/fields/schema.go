package fields

import (
	"bytes"
	"errors"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
)

// The bounds of schema checking.
// What goes beyond is left to the provider.
const (
	maxSchema      = 64 << 10 // bytes of one schema
	maxValues      = 2048     // JSON values in one schema, member names included
	maxNew         = 8192     // JSON values in all schemas of one request that are not known yet
	maxSchemaCache = 4096     // schemas known to be good
	maxExponent    = 400      // of a number in a schema; float64 ends at 308
)

// Schemas checks that JSON Schemas are themselves valid. It remembers the good
// ones, since agents send the same tools with every turn: a check costs about
// 0.1 ms, remembering one some nanoseconds. The zero value is ready for use, by
// any number of goroutines.
//
// It is lenient where providers are: a schema is good if it is valid under
// draft 2020-12, 7 or 4 (or the draft it names), regular expressions are not
// looked at, references to other documents are neither fetched nor refused, and
// one with a number far beyond float64 is not judged: it would be computed exactly.
type Schemas struct {
	mu   sync.RWMutex
	good map[key]struct{}
	seed maphash.Seed
	init sync.Once
}

// key identifies a schema. The hash is seeded at random, so that nobody can
// prepare a bad schema that looks like a good one.
type key struct {
	hash uint64
	size int
}

// Check records a problem with [fault.InvalidJSONSchema] if v is not a valid
// schema, with the path of the part that is wrong.
func (s *Schemas) Check(p *Problems, v jsonx.Value) {
	if !v.Exists() || len(v.Raw()) > maxSchema || v.Size() > maxValues {
		return
	}
	if v.Kind() != jsonx.Object {
		p.Add(v, fault.InvalidJSONSchema, "Is not a valid JSON Schema: must be an object")
		return
	}
	s.init.Do(func() { s.seed, s.good = maphash.MakeSeed(), map[key]struct{}{} })
	k := key{maphash.Bytes(s.seed, v.Raw()), len(v.Raw())}
	s.mu.RLock()
	_, known := s.good[k]
	s.mu.RUnlock()
	if known {
		return
	}
	if p.schemas += v.Size(); p.schemas > maxNew || immense(v) {
		return
	}
	if path, reason, ok := check(v.Raw()); !ok {
		p.AddBelow(v, path, fault.InvalidJSONSchema, reason)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.good) >= maxSchemaCache {
		clear(s.good)
	}
	s.good[k] = struct{}{}
}

// immense reports whether a number with an exponent beyond the bound stands
// anywhere in v.
func immense(v jsonx.Value) bool {
	switch v.Kind() {
	case jsonx.Number:
		i := bytes.IndexAny(v.Raw(), "eE")
		if i < 0 {
			return false
		}
		n, err := strconv.Atoi(string(v.Raw()[i+1:]))
		return err != nil || n > maxExponent || n < -maxExponent
	case jsonx.Array:
		for _, e := range v.Items() {
			if immense(e) {
				return true
			}
		}
	case jsonx.Object:
		for _, e := range v.Members() {
			if immense(e) {
				return true
			}
		}
	}
	return false
}

// check compiles a schema under one draft after another. What it reports is
// what the newest says.
func check(raw []byte) (path, reason string, ok bool) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return "", "Is not a valid JSON Schema", false
	}
	for i, draft := range []*jsonschema.Draft{jsonschema.Draft2020, jsonschema.Draft7, jsonschema.Draft4} {
		err := compile(draft, doc)
		if err == nil {
			return "", "", true
		}
		if i == 0 {
			path, reason = explain(err)
		}
	}
	return path, reason, false
}

// here is the address that a schema gets while it is checked.
const here = "schema:///"

func compile(draft *jsonschema.Draft, doc any) error {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(draft)
	c.UseLoader(elsewhere{})
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) { return anyRegexp(s), nil })
	if err := c.AddResource(here, doc); err != nil {
		return err
	}
	_, err := c.Compile(here)
	if outside(err) {
		return nil
	}
	return err
}

// outside reports whether all that is wrong is that a part of another document
// was not found there.
func outside(err error) bool {
	var part *jsonschema.JSONPointerNotFoundError
	var anchor *jsonschema.AnchorNotFoundError
	return errors.As(err, &part) && !strings.HasPrefix(part.URL, here+"#") || errors.As(err, &anchor) && anchor.URL != here
}

// explain finds the deepest part that is wrong.
func explain(err error) (path, reason string) {
	var invalid *jsonschema.SchemaValidationError
	var ve *jsonschema.ValidationError
	if !errors.As(err, &invalid) || !errors.As(invalid.Err, &ve) {
		return "", "Is not a valid JSON Schema: " + strings.ReplaceAll(err.Error(), here, "")
	}
	for len(ve.Causes) > 0 {
		deepest := ve.Causes[0]
		for _, c := range ve.Causes[1:] {
			if len(c.InstanceLocation) > len(deepest.InstanceLocation) {
				deepest = c
			}
		}
		ve = deepest
	}
	reason = "Is not a valid JSON Schema"
	if out := ve.DetailedOutput(); out.Error != nil {
		reason += ": " + out.Error.String()
	}
	return strings.Join(ve.InstanceLocation, "."), reason
}

// elsewhere stands for every document but the one that is checked: it fetches
// nothing and accepts all.
type elsewhere struct{}

// Load returns the schema that allows everything.
func (elsewhere) Load(string) (any, error) { return true, nil }

// anyRegexp is a regular expression that is not looked at: JSON Schema's dialect
// is not Go's.
type anyRegexp string

func (r anyRegexp) String() string        { return string(r) }
func (anyRegexp) MatchString(string) bool { return true }
