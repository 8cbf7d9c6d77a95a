package dash

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyTheTokenOpensTheAdminAPI(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, headers := range map[string][]string{
		"none":            {"Authorization", ""},
		"wrong":           {"Authorization", "Bearer " + token + "x"},
		"part":            {"Authorization", "Bearer " + token[:len(token)-1]},
		"scheme":          {"Authorization", "Basic " + token},
		"bare":            {"Authorization", token},
		"empty":           {"Authorization", "Bearer "},
		"long":            {"Authorization", "Bearer " + strings.Repeat("x", 1<<20)},
		"in another name": {"Authorization", "", "X-Api-Key", token},
	} {
		got := w.do("GET", "/admin/v1/accounts", "", headers...).failed(401, "unauthorized", "")
		if got.header.Get("WWW-Authenticate") == "" || strings.Contains(string(got.body), token[:10]) {
			t.Errorf("%s: %v %s", name, got.header, got.body)
		}
	}
	w.do("GET", "/admin/v1/accounts?token="+strings.ReplaceAll(token, " ", "+"), "", "Authorization", "").failed(401, "unauthorized", "")
	w.do("GET", "/admin/v1/nothing", "", "Authorization", "").failed(401, "unauthorized", "") // paths are not told to strangers
	w.do("PUT", "/admin/v1/accounts", "", "Authorization", "").failed(401, "unauthorized", "")
	w.do("GET", "/admin/v1/accounts", "", "Authorization", "bearer  "+token).must(200)
	for _, open := range []string{"/healthz", "/readyz", "/metrics"} {
		w.do("GET", open, "", "Authorization", "").must(200)
	}
	closed := setup(t, func(d *Deps) { d.Token = secret("") })
	closed.do("GET", "/admin/v1/accounts", "", "Authorization", "Bearer ").failed(401, "unauthorized", "")
	closed.do("GET", "/admin/v1/accounts", "", "Authorization", "Bearer x").failed(401, "unauthorized", "")
}

func TestWrongTokensAreThrottledByAddress(t *testing.T) {
	t.Parallel()
	w := setup(t)
	wrong := []string{"Authorization", "Bearer wrong", "remote", "192.0.2.7:1000"}
	for range wrongBurst {
		w.do("GET", "/admin/v1/accounts", "", wrong...).failed(401, "unauthorized", "")
	}
	got := w.do("GET", "/admin/v1/accounts", "", wrong...).failed(429, "too_many_attempts", "")
	if got.header.Get("Retry-After") != "6" {
		t.Errorf("Retry-After = %s, want 6", got.header.Get("Retry-After"))
	}
	// Otherwise the answer to the next guess would still tell right from wrong.
	w.do("GET", "/admin/v1/accounts", "", "remote", "192.0.2.7:2000").failed(429, "too_many_attempts", "")
	w.do("GET", "/admin/v1/accounts", "", "remote", "[::ffff:192.0.2.7]:2000").failed(429, "too_many_attempts", "")
	w.do("GET", "/admin/v1/accounts", "", "remote", "192.0.2.8:1000").must(200)
	w.do("GET", "/admin/v1/accounts", "", "Authorization", "", "remote", "192.0.2.7:1000").failed(401, "unauthorized", "")
	w.do("GET", "/healthz", "", "remote", "192.0.2.7:1000").must(200)
	w.advance(6 * time.Second)
	w.do("GET", "/admin/v1/accounts", "", "remote", "192.0.2.7:1000").must(200)

	for i := range wrongBurst { // one IPv6 network is one address
		w.do("GET", "/admin/v1/accounts", "", "Authorization", "Bearer wrong", "remote", fmt.Sprintf("[2001:db8::%x]:1", i)).failed(401, "unauthorized", "")
	}
	w.do("GET", "/admin/v1/accounts", "", "remote", "[2001:db8::ffff]:1").failed(429, "too_many_attempts", "")
	w.do("GET", "/admin/v1/accounts", "", "remote", "[2001:db8:0:1::1]:1").must(200)
}

func TestThrottleWatchesABoundedNumberOfAddresses(t *testing.T) {
	t.Parallel()
	var th throttle
	now := time.Unix(0, 0)
	never := func() bool { return false }
	from := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }
	for i := range 2 * maxWatched {
		th.try(address(&http.Request{RemoteAddr: from(i)}), now, never)
	}
	if len(th.debts) > maxWatched+1 {
		t.Fatalf("%d addresses watched", len(th.debts))
	}
	if _, wait := th.try(address(&http.Request{RemoteAddr: "192.0.2.1:1"}), now, never); wait == 0 {
		t.Error("a flood of addresses opens the throttle")
	}
	if _, wait := th.try(address(&http.Request{RemoteAddr: from(0)}), now, never); wait != 0 {
		t.Error("the flood closes it to an address that was there before")
	}
	now = now.Add(48 * time.Hour)
	th.try(address(&http.Request{RemoteAddr: "192.0.2.1:1"}), now, never)
	if len(th.debts) != 1 {
		t.Errorf("%d addresses watched when all has been forgotten", len(th.debts))
	}
}

func TestParallelGuessesDoNotSlipThroughTheThrottle(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 100 {
		wg.Go(func() {
			got := w.do("GET", "/admin/v1/targets", "", "Authorization", "Bearer wrong", "remote", "192.0.2.9:1").status
			mu.Lock()
			defer mu.Unlock()
			statuses[got]++
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[int]int{401: wrongBurst, 429: 100 - wrongBurst}, statuses); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
