package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
)

// Load reads the configuration at path. env looks up environment variables, as
// [os.LookupEnv] does. contracts are the names of the contracts that there are;
// if none is given, a contract's name is not checked.
//
// Its error joins a *[Problem] for everything that is wrong.
func Load(path string, env func(string) (string, bool), contracts ...string) (*Config, error) {
	src, err := ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, src, env, contracts...)
}

// ReadFile reads a file of at most [MaxSize] bytes.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	src, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(src) > MaxSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, MaxSize)
	}
	return src, nil
}

// Parse reads the configuration in src, as [Load] does. name is that of the
// file: it stands in errors, and paths in the file are relative to its folder.
func Parse(name string, src []byte, env func(string) (string, bool), contracts ...string) (*Config, error) {
	c := &Config{name: name, lines: map[string]int{}}
	d := &decoder{file: name, env: env, lines: c.lines}
	if len(src) > MaxSize {
		d.bad("", nil, "larger than %d bytes", MaxSize)
		return nil, join(d.problems)
	}
	marked, line := mark(string(bytes.TrimPrefix(src, []byte("\ufeff"))))
	if line > 0 {
		return nil, &Problem{File: name, Line: line, Reason: "characters U+E000 to U+E002 are not allowed"}
	}
	root, ok := d.document(marked)
	if !ok {
		return nil, join(d.problems)
	}
	d.value("", root, reflect.ValueOf(c).Elem())
	if d.nodes > maxNodes {
		return nil, join(d.problems) // what was not read cannot be judged
	}
	c.fill()
	v := newValidator(c, contracts, d.problems)
	v.all()
	if err := join(v.problems); err != nil {
		return nil, err
	}
	return c, nil
}

// fill sets what depends on more than the member itself.
func (c *Config) fill() {
	for name, p := range c.Providers {
		if c.lines["providers."+name+".kind"] == 0 {
			p.Kind = kind(name, p)
		}
		if p.Catalog == "" {
			p.Catalog = whose(name, p)
		}
		if p.BaseURL == "" {
			p.BaseURL = baseURL(name, p)
		}
		if p.Kind == "azure" {
			p.BaseURL = azureURL(p.BaseURL, p.Version)
		}
		c.Providers[name] = p
	}
	if c.lines["sites"] == 0 {
		c.Sites = []Site{{}}
		defaults(reflect.ValueOf(&c.Sites[0]).Elem(), "")
	}
	for i := range c.Sites {
		if s := &c.Sites[i]; c.lines[fmt.Sprintf("sites[%d].hosts", i)] == 0 {
			s.Hosts = []string{"*"}
		}
		c.Sites[i].Limits.fill()
	}
}

// File returns where a file lies that the configuration names.
func (c *Config) File(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(c.name), path)
}

// Credentials lists the provider's credentials, at least one; an empty one
// means that none is sent.
func (p Provider) Credentials() []Secret {
	switch {
	case len(p.APIKeys) > 0:
		return p.APIKeys
	case p.APIKey == "none":
		return []Secret{""}
	}
	return []Secret{p.APIKey}
}
