package app

import (
	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/egress"
	"github.com/pontage/pontage/internal/route"
)

// fetcher returns who fetches what callers name by a URL, or nil if nobody does.
func fetcher(c config.Egress) route.Fetcher {
	if c.Images != "on" {
		return nil
	}
	return egress.New(egress.Options{
		Hosts: c.AllowHosts, HTTP: c.HTTP, MaxBytes: int64(c.MaxBytes), MaxTotal: int64(c.MaxTotal),
		MaxFiles: c.MaxFiles, Timeout: c.Timeout, Concurrency: c.Concurrency,
	})
}
