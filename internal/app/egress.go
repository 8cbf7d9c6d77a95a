package app

import (
	"net/url"

	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/egress"
	"github.com/pontage/pontage/internal/route"
)

// fetcher returns who fetches what callers name by a URL, or nil if nobody does.
func fetcher(c config.Egress) route.Fetcher {
	if c.Images != "on" {
		return nil
	}
	var proxy *url.URL
	if c.Proxy != "" {
		proxy, _ = url.Parse(c.Proxy) // the configuration was judged
	}
	return egress.New(egress.Options{
		Hosts: c.AllowHosts, HTTP: c.HTTP, MaxBytes: int64(c.MaxBytes), MaxTotal: int64(c.MaxTotal),
		MaxFiles: c.MaxFiles, Timeout: c.Timeout, Deadline: c.Deadline, Concurrency: c.Concurrency, AtOnce: c.AtOnce, Proxy: proxy,
	})
}
