package harness

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Account is what the admin API says of an account; amounts are decimal dollars.
type Account struct {
	ID          string `json:"id"`
	Status      string `json:"status"`
	BalanceUSD  string `json:"balance_usd"`
	HeldUSD     string `json:"held_usd"`
	AvailUSD    string `json:"available_usd"`
	TestBalance string `json:"test_balance_usd"`
	TestHeldUSD string `json:"test_held_usd"`
}

// NewAccount makes an account with usd dollars ("0": none).
func (g *Gateway) NewAccount(t testing.TB, name, usd string) Account {
	t.Helper()
	var a Account
	g.MustAdmin(t, "POST", "/admin/v1/accounts", map[string]any{"name": name}, &a)
	if strings.Trim(usd, "0.") != "" {
		g.MustAdmin(t, "POST", "/admin/v1/accounts/"+a.ID+"/credits", map[string]any{"amount_usd": usd, "kind": "topup"}, nil)
	}
	return g.AccountNow(t, a.ID)
}

// AccountNow reads an account.
func (g *Gateway) AccountNow(t testing.TB, id string) Account {
	t.Helper()
	var a Account
	g.MustAdmin(t, "GET", "/admin/v1/accounts/"+id, nil, &a)
	return a
}

// Key is a new key.
type Key struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// NewKey makes a key; more holds members beside the name.
func (g *Gateway) NewKey(t testing.TB, account string, more map[string]any) Key {
	t.Helper()
	in := map[string]any{"name": "test"}
	for k, v := range more {
		in[k] = v
	}
	var k Key
	g.MustAdmin(t, "POST", "/admin/v1/accounts/"+account+"/keys", in, &k)
	return k
}

// Verify asks the ledger to recompute everything, and fails the test if
// anything differs.
func (g *Gateway) Verify(t testing.TB) {
	t.Helper()
	var v struct {
		OK          bool     `json:"ok"`
		Differences []string `json:"differences"`
	}
	g.MustAdmin(t, "GET", "/admin/v1/ledger/verify", nil, &v)
	if !v.OK {
		t.Errorf("the ledger does not verify: %v", v.Differences)
	}
}

// accounts reads all accounts.
func (g *Gateway) accounts(t testing.TB) []Account {
	t.Helper()
	var all []Account
	for path := "/admin/v1/accounts?limit=200"; ; {
		var page struct {
			Data []Account `json:"data"`
			Next string    `json:"next"`
		}
		g.MustAdmin(t, "GET", path, nil, &page)
		all = append(all, page.Data...)
		if page.Next == "" {
			return all
		}
		path = "/admin/v1/accounts?limit=200&cursor=" + url.QueryEscape(page.Next)
	}
}

// Settled waits, for at most ten seconds, until no account holds anything, and
// verifies the ledger. It returns how many accounts there are.
func (g *Gateway) Settled(t testing.TB) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		all := g.accounts(t)
		still := slices.IndexFunc(all, func(a Account) bool { return a.HeldUSD != "0.00" || a.TestHeldUSD != "0.00" })
		if still < 0 {
			g.Verify(t)
			return len(all)
		}
		if time.Now().After(deadline) {
			t.Errorf("something is still held: %+v", all[still])
			return len(all)
		}
	}
}

// Receipt is what the admin API tells of a request.
type Receipt struct {
	ID        string `json:"id"`
	Outcome   string `json:"outcome"`
	Fault     string `json:"fault"`
	Status    int    `json:"status"`
	ChargeUSD string `json:"charge_usd"`
	HoldUSD   string `json:"hold_usd"`
	Delivery  string `json:"delivery"`
	Estimated bool   `json:"estimated"`
	Tokens    struct {
		Input       int64 `json:"input"`
		CachedInput int64 `json:"cached_input"`
		Output      int64 `json:"output"`
		Reasoning   int64 `json:"reasoning"`
	} `json:"tokens"`
	Lines []struct {
		Kind      string `json:"kind"`
		Units     int64  `json:"units"`
		AmountUSD string `json:"amount_usd"`
	} `json:"lines"`
	Attempts []struct {
		Target  string  `json:"target"`
		Outcome string  `json:"outcome"`
		Status  int     `json:"status"`
		MS      float64 `json:"ms"`
	} `json:"attempts"`
	Dropped []string `json:"dropped_params"`
	Left    []string `json:"dropped_output"`
}

// Receipt waits, for at most five seconds, until the receipt of a request is
// there (receipts of uncharged requests are written a moment later) and the
// given condition, if any, holds.
func (g *Gateway) Receipt(t testing.TB, id string, until func(Receipt) bool) Receipt {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		var r Receipt
		status, b, err := g.Admin(context.Background(), "GET", "/admin/v1/requests/"+id, nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		if status == 200 && (until == nil || until(r)) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("receipt of %s: %d %s", id, status, b)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
