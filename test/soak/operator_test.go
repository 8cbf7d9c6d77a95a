package soak

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/test/harness"
)

// operator gives credit and takes it back, changes the configuration, and looks
// at everything.
type operator struct {
	t      testing.TB
	s      *traffic
	config string

	rich, tight, limited harness.Account
	topUps, refunds      int
	reloads              int
	looks                int
}

// settle makes the accounts and their keys.
func (o *operator) settle() {
	g := o.s.g
	o.rich, o.tight, o.limited = g.NewAccount(o.t, "rich", "100000"), g.NewAccount(o.t, "tight", "0.002"), g.NewAccount(o.t, "limited", "1000")
	o.s.rich, o.s.tight = o.buyer(o.rich, nil), o.buyer(o.tight, nil)
	o.renew()
}

func (o *operator) buyer(a harness.Account, limits map[string]any) buyer {
	more := map[string]any{}
	if limits != nil {
		more["limits"] = limits
	}
	b := buyer{open: o.s.g.NewKey(o.t, a.ID, more).Key}
	more["site"] = jobHost
	b.jobs = o.s.g.NewKey(o.t, a.ID, more).Key
	return b
}

// renew gives those with limits new keys, which they soon exhaust.
func (o *operator) renew() {
	b := o.buyer(o.limited, map[string]any{"requests_per_day": 40, "usd_per_day": "0.0021", "rps": 50, "burst": 50, "concurrency": 4})
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	o.s.limited = b
}

// money tops up, with references that are used twice, and refunds.
func (o *operator) money(rng *rand.Rand) {
	for o.s.pause(time.Duration(50+rng.IntN(100)) * time.Millisecond) {
		in := map[string]any{"amount_usd": fmt.Sprintf("0.0000%03d", 1+rng.IntN(999)), "kind": "topup", "reference": fmt.Sprintf("soak-%d", o.s.next.Add(1))}
		var entries [2]struct {
			Entry int64 `json:"entry"`
		}
		for i := range entries {
			if status, b, err := o.s.g.Admin(context.Background(), "POST", "/admin/v1/accounts/"+o.tight.ID+"/credits", in, &entries[i]); err != nil || status >= 400 && status != http.StatusServiceUnavailable {
				o.s.note("top-up: %d %s %v", status, b, err)
			}
		}
		if a, b := entries[0].Entry, entries[1].Entry; a != b && a != 0 && b != 0 {
			o.s.note("one reference is entry %d, and entry %d", a, b)
		}
		o.topUps++
		if rng.IntN(3) == 0 {
			o.giveBack()
		}
	}
}

// giveBack refunds some request that was charged.
func (o *operator) giveBack() {
	var id requestID
	o.s.mu.Lock()
	for some, what := range o.s.seen {
		if what.fate == acked && !what.free {
			id = some
			break
		}
	}
	o.s.mu.Unlock()
	if id == (requestID{}) {
		return
	}
	status, b, err := o.s.g.Admin(context.Background(), "POST", "/admin/v1/requests/"+obs.RequestID(id).String()+"/refund", map[string]any{"note": "soak"}, nil)
	switch {
	case err == nil && status == http.StatusCreated:
		o.refunds++
	case err != nil || status != http.StatusServiceUnavailable && !(status == http.StatusConflict && bytes.Contains(b, []byte("refunded entirely"))):
		o.s.note("refund of %s: %d %s %v", obs.RequestID(id), status, b, err)
	}
}

// configure reloads the configuration, changed and unchanged, and renews keys.
func (o *operator) configure(*rand.Rand) {
	for n := 1; o.s.pause(1500 * time.Millisecond); n++ {
		o.renew()
		if n%2 == 0 {
			o.s.g.Reconfigure(o.t, fmt.Sprintf("# %d\n%s", n, o.config))
		} else if err := o.s.g.Signal(syscall.SIGHUP); err != nil {
			o.s.note("SIGHUP: %v", err)
		}
		o.reloads++
	}
}

// look reads what operators read, and makes the process fail a little.
func (o *operator) look(rng *rand.Rand) {
	pages := []string{
		"/admin/v1/ledger/verify", "/admin/v1/requests?limit=200", "/admin/v1/usage?group_by=day,model,key", "/admin/v1/targets",
		"/admin/v1/accounts?limit=50", "/admin/v1/effective-config", "/admin/v1/accounts/" + o.limited.ID + "/limits?limit=50",
	}
	for n := 1; o.s.pause(700 * time.Millisecond); n++ {
		page := pages[n%len(pages)]
		if status, b, err := o.s.g.Admin(context.Background(), "GET", page, nil, nil); err != nil || status != http.StatusOK {
			o.s.note("GET %s: %d %s %v", page, status, b, err)
		} else if page == pages[0] && !bytes.Contains(b, []byte(`"ok":true`)) {
			o.s.note("the ledger does not verify: %s", b)
		}
		o.looks++
		if rng.IntN(15) == 0 {
			point := []string{failpoint.HandlerPanic, failpoint.SlowFsync}[rng.IntN(2)]
			if status, b, err := o.s.g.Admin(context.Background(), "POST", "/admin/v1/test/fault", map[string]any{"point": point, "times": 1}, nil); err != nil || status != http.StatusOK {
				o.s.note("arm %s: %d %s %v", point, status, b, err)
			}
		}
	}
}
