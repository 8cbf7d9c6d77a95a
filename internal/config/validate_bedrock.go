package config

import "regexp"

// regions are what names of regions at AWS look like.
var regions = regexp.MustCompile(`^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$`)

// Signs reports whether requests to the provider are signed, and need no key.
func (p Provider) Signs() bool { return p.AccessID != "" || p.Access != "" || p.Session != "" }

// bedrock reports what is wrong with the members that are for Bedrock alone.
func (v *validator) bedrock(path string, p Provider) {
	if p.Kind != "bedrock" {
		for _, m := range []struct {
			name string
			set  bool
		}{{"region", p.Region != ""}, {"access_key_id", p.AccessID != ""}, {"secret_access_key", p.Access != ""}, {"session_token", p.Session != ""}} {
			if m.set {
				v.bad(path+"."+m.name, "is for kind bedrock only")
			}
		}
		return
	}
	switch {
	case v.wrong(path + ".region"):
	case p.Region == "":
		v.bad(path+".region", "is missing; it is the region that serves the models, such as us-east-1")
	case !regions.MatchString(p.Region):
		v.bad(path+".region", "%q is not the name of a region, like us-east-1", clip(p.Region))
	}
	if !p.Signs() {
		return
	}
	switch {
	case v.wrong(path+".access_key_id") || v.wrong(path+".secret_access_key"):
	case p.AccessID == "":
		v.bad(path+".access_key_id", "is missing; it belongs to secret_access_key")
	case p.Access == "":
		v.bad(path+".secret_access_key", "is missing; it belongs to access_key_id")
	}
	for name, s := range map[string]Secret{"access_key_id": p.AccessID, "secret_access_key": p.Access, "session_token": p.Session} {
		if s != "" {
			v.credential(path+"."+name, s)
		}
	}
	if v.c.lines[path+".api_key"] > 0 || v.c.lines[path+".api_keys"] > 0 {
		v.bad(path+".access_key_id", "cannot stand beside api_key")
	}
}
