package dash

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Wrong tokens: so many at once from one address, then one every so often.
const (
	wrongBurst  = 20
	wrongEvery  = 6 * time.Second
	maxWatched  = 10_000 // addresses; the rest share one allowance
	maxTokenLen = 4096
)

// authorize lets in who has the admin token. An address that has sent too many
// wrong ones is not even compared, right or wrong, until its wait is over.
func (s *server) authorize(r *http.Request) error {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return fail(http.StatusUnauthorized, codeUnauthorized, "", "send Authorization: Bearer and the admin token")
	}
	ok, wait := s.wrong.try(address(r), s.Now(), func() bool {
		if len(token) > maxTokenLen {
			return false
		}
		sum := sha256.Sum256([]byte(token))
		return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 && s.hasAny
	})
	switch {
	case wait > 0:
		f := fail(http.StatusTooManyRequests, codeTooMany, "", "too many wrong tokens from this address")
		f.retryAfter = wait
		return f
	case !ok:
		return fail(http.StatusUnauthorized, codeUnauthorized, "", "the admin token is not valid")
	}
	return nil
}

// address is who asks: an IPv4 address, or the /64 that an IPv6 address is in.
// Forwarding headers are not believed.
func address(r *http.Request) netip.Prefix {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

// throttle counts wrong tokens by address. The zero value is ready.
type throttle struct {
	mu    sync.Mutex
	debts map[netip.Prefix]time.Time // when nothing will be owed any more
}

// try calls check unless the address owes too much, and lets a wrong answer
// cost it. A wait above 0 means that check was not called.
func (t *throttle) try(from netip.Prefix, now time.Time, check func() bool) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	free, known := t.debts[from]
	if !known && len(t.debts) >= maxWatched {
		t.forget(now)
		if len(t.debts) >= maxWatched {
			from = netip.Prefix{}
			free = t.debts[from]
		}
	}
	if free.Before(now) {
		free = now
	}
	if wait := free.Add(wrongEvery).Sub(now) - wrongBurst*wrongEvery; wait > 0 {
		return false, wait
	}
	if check() {
		return true, 0
	}
	if t.debts == nil {
		t.debts = map[netip.Prefix]time.Time{}
	}
	t.debts[from] = free.Add(wrongEvery)
	return false, 0
}

func (t *throttle) forget(now time.Time) {
	for a, free := range t.debts {
		if !free.After(now) {
			delete(t.debts, a)
		}
	}
}
