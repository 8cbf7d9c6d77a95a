package config

import (
	"errors"
	"os"
	"regexp"
)

// publishers are whose models on Vertex AI are spoken to.
var publishers = []string{"google", "anthropic"}

// What ids of projects and names of locations look like: both stand in the
// address.
var (
	projectID = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]{0,99}$`)
	location  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,49}$`)
)

// vertex judges what only Vertex AI has.
func (v *validator) vertex(path string, p Provider) {
	if p.Kind != "vertex" {
		for _, f := range [...]struct{ name, value string }{
			{"key_file", p.KeyFile}, {"project", p.Project}, {"location", p.Location}, {"publisher", p.Publisher},
		} {
			if f.value != "" {
				v.bad(path+"."+f.name, "is for kind vertex only")
			}
		}
		return
	}
	if p.Project != "" && !projectID.MatchString(p.Project) {
		v.bad(path+".project", "%q is not the id of a project", clip(p.Project))
	}
	if p.Location != "" && !location.MatchString(p.Location) {
		v.bad(path+".location", "%q is not a location, such as us-central1 or global", clip(p.Location))
	}
	if p.Publisher != "" {
		v.oneOf(path+".publisher", p.Publisher, publishers)
	}
	switch {
	case p.KeyFile == "" && p.Publisher == "anthropic":
		v.bad(path+".key_file", "is missing: Claude is reached with a service account only")
	case p.KeyFile == "":
		return
	case v.c.lines[path+".api_key"] > 0 || v.c.lines[path+".api_keys"] > 0:
		v.bad(path+".key_file", "cannot stand beside api_key")
	}
	if p.Project == "" && !v.wrong(path+".project") {
		v.bad(path+".project", "is missing: it is needed with key_file")
	}
	if p.KeyFile == "" {
		return
	}
	if _, err := os.Stat(v.c.File(p.KeyFile)); err != nil {
		v.bad(path+".key_file", "cannot be read: %v", errors.Unwrap(err))
	}
}
