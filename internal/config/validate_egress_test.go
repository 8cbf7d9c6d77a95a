package config

import (
	"strings"
	"testing"
	"time"
)

func TestWhatIsWrongWithEgressIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`{images: yes}`, "egress.images: "},
		{`{allow_hosts: []}`, "egress.allow_hosts: is empty"},
		{`{allow_hosts: ["https://a.example"]}`, "egress.allow_hosts[0]: "},
		{`{allow_hosts: [a.example, "*"]}`, "egress.allow_hosts[1]: "},
		{`{allow_hosts: ["a.example:443"]}`, "egress.allow_hosts[0]: "},
		{`{allow_hosts: ["a.*.example"]}`, "egress.allow_hosts[0]: "},
		{`{max_bytes: 1B}`, "egress.max_bytes: must be from 1KiB to 100MiB"},
		{`{max_total: 1GiB}`, "egress.max_total: must be from 1KiB to 100MiB"},
		{`{max_files: 0}`, "egress.max_files: "},
		{`{timeout: 1h}`, "egress.timeout: must be from 100ms to 5m"},
		{`{concurrency: 0}`, "egress.concurrency: "},
		{`{deadline: 1h}`, "egress.deadline: must be from 100ms to 10m"},
		{`{at_once: 0}`, "egress.at_once: "},
		{`{proxy: x}`, "egress.proxy: must be the URL"},
		{`{proxy: "https://x"}`, "egress.proxy: must be the URL"},
		{`{proxy: "http://x/path"}`, "egress.proxy: must be the URL"},
		{`{cookies: x}`, "egress.cookies: unknown field"},
	} {
		_, err := Parse("c.yaml", []byte("egress: "+c.text), vars())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
	c, err := Parse("c.yaml", []byte(`egress: {images: on, allow_hosts: [a.example, "*.b.example"], http: true, timeout: 3s, proxy: "http://me:secret@proxy:3128"}`), vars())
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Egress; e.Images != "on" || len(e.AllowHosts) != 2 || !e.HTTP || e.Timeout != 3*time.Second || e.MaxFiles != 16 || e.MaxBytes != 10<<20 || e.AtOnce != 4 || e.Proxy != "http://me:secret@proxy:3128" {
		t.Errorf("%+v", e)
	}
	if c, err := Parse("c.yaml", nil, vars()); err == nil && c.Egress.Images != "off" {
		t.Errorf("without the section: %+v", c.Egress)
	}
}
