package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// switches are the values of a member that is on or off.
var switches = []string{"off", "on"}

// hostPattern is a host's name, or every name below one.
var hostPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// maxHosts bounds a list of hosts.
const maxHosts = 1000

func (v *validator) egress() {
	e := v.c.Egress
	v.oneOf("egress.images", e.Images, switches)
	if len(e.AllowHosts) > maxHosts {
		v.bad("egress.allow_hosts", "has more than %d names", maxHosts)
	}
	if e.AllowHosts != nil && len(e.AllowHosts) == 0 && !v.wrong("egress.allow_hosts") {
		v.bad("egress.allow_hosts", "is empty: leave it out for every public host")
	}
	for i, h := range e.AllowHosts {
		if at := fmt.Sprintf("egress.allow_hosts[%d]", i); !v.wrong(at) && (len(h) > 255 || !hostPattern.MatchString(h)) {
			v.bad(at, "%q is not the name of a host, like files.example.com or *.example.com", clip(h))
		}
	}
	v.size("egress.max_bytes", e.MaxBytes)
	v.size("egress.max_total", e.MaxTotal)
	v.within("egress.max_files", int64(e.MaxFiles), 1, 100)
	v.span("egress.timeout", e.Timeout, 100*time.Millisecond, 5*time.Minute)
	if e.Deadline != 0 {
		v.span("egress.deadline", e.Deadline, 100*time.Millisecond, 10*time.Minute)
	}
	v.within("egress.concurrency", int64(e.Concurrency), 1, 10_000)
	v.within("egress.at_once", int64(e.AtOnce), 1, 100)
	if u, err := url.Parse(e.Proxy); e.Proxy != "" && !v.wrong("egress.proxy") &&
		(err != nil || u.Scheme != "http" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "") {
		v.bad("egress.proxy", "must be the URL of an HTTP proxy, like http://proxy.internal:3128")
	}
}

// size reports a number of bytes of files that is out of bounds.
func (v *validator) size(path string, s Size) {
	if !v.wrong(path) && (s < 1<<10 || s > 100<<20) {
		v.bad(path, "must be from 1KiB to 100MiB")
	}
}
