package account

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/fault"
)

func TestNewKeyResolvesToItsAccount(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k, secret := f.key(t, NewKey{Name: "first"})
	p, err := f.Resolve(secret, strict, "any.example")
	if err != nil {
		t.Fatal(err)
	}
	if p.Account != f.acc || p.Key != k {
		t.Errorf("Resolve = %v, %v", p.Account, p.Key)
	}
	if len(secret) != len("sk-test-")+36 || !strings.HasPrefix(secret, k.Prefix) || len(k.Prefix) != len("sk-test-")+6 {
		t.Errorf("key of %d characters, shown as %q", len(secret), k.Prefix)
	}
	want := &Key{ID: k.ID, Account: f.acc.ID, Name: "first", Kind: KindInference, Prefix: k.Prefix, Active: true, CreatedAt: f.t, OnDisconnect: DisconnectCancel}
	if diff := cmp.Diff(want, k, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestStrangersLearnNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	_, other := f.key(t, NewKey{Site: "a.example"})
	gone, revoked := f.key(t, NewKey{})
	if _, err := f.RevokeKey(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]string{
		"unknown":      newSecret("sk-test-"),
		"typo":         secret[:20] + swap(secret[20]) + secret[21:],
		"cut":          secret[:len(secret)-1],
		"longer":       secret + "A",
		"other prefix": newSecret("sk-other-"),
		"prefix alone": "sk-test-",
		"long":         strings.Repeat("a", 1<<20),
		"sql":          "' OR '1'='1",
		"nul":          "sk-test-" + strings.Repeat("\x00", 36),
		"utf-8":        "sk-test-" + strings.Repeat("é", 18),
		"space before": " " + secret,
		"space after":  secret + "\t",
		"newline":      secret[:10] + "\n" + secret[10:],
		"doubled":      "Bearer " + secret,
		"other site":   other,
		"revoked":      revoked,
	} {
		_, err := f.Resolve(credential, strict, "b.example")
		if diff := cmp.Diff(fault.New(fault.KeyInvalid, ""), fault.From(err)); diff != "" {
			t.Errorf("%s: every stranger is answered the same (-want +got)\n%s", name, diff)
		}
	}
	if _, err := f.Resolve("", strict, ""); code(err) != fault.KeyMissing {
		t.Errorf("no credential: %v", err)
	}
	if _, err := f.Resolve(secret, strict, "b.example"); err != nil {
		t.Errorf("the good key: %v", err)
	}
}

func swap(c byte) string {
	if c == 'x' {
		return "y"
	}
	return "x"
}

func TestTrimForgivesWhiteSpaceAndADoubledBearer(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	for _, s := range []string{secret, " " + secret, secret + "\r\n", "\t" + secret + "  ", "Bearer " + secret, "bearer  " + secret + " "} {
		if _, err := f.Resolve(s, trim, ""); err != nil {
			t.Errorf("Resolve(%q) = %v", s, err)
		}
	}
	for _, s := range []string{" ", "Bearer", "Bearer  "} {
		if _, err := f.Resolve(s, trim, ""); code(err) != fault.KeyMissing {
			t.Errorf("Resolve(%q) = %v, want key_missing", s, err)
		}
	}
	for _, s := range []string{secret[:12] + " " + secret[12:], "Bearer Bearer " + secret, "Token " + secret} {
		if _, err := f.Resolve(s, trim, ""); code(err) != fault.KeyInvalid {
			t.Errorf("Resolve(%q) = %v, want key_invalid", s, err)
		}
	}
}

func TestEveryPrefixOfAContractWorksAndNoneMeansAny(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	for _, prefixes := range [][]string{{"mk-", "sk-test-"}, {"sk-", "sk-test-", "sk-test-x"}, nil} {
		if _, err := f.Resolve(secret, Format{Prefixes: prefixes}, ""); err != nil {
			t.Errorf("prefixes %q: %v", prefixes, err)
		}
	}
	for _, prefixes := range [][]string{{"sk-"}, {"sk-test"}, {""}} {
		if _, err := f.Resolve(secret, Format{Prefixes: prefixes}, ""); code(err) != fault.KeyInvalid {
			t.Errorf("prefixes %q: %v", prefixes, err)
		}
	}
}

func TestSiteOfAKeyIsCompared(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k, secret := f.key(t, NewKey{Site: "Ninja.LocalHost"})
	if k.Site != "ninja.localhost" {
		t.Errorf("site = %q", k.Site)
	}
	for site, want := range map[string]fault.Code{"ninja.localhost": fault.None, "NINJA.localhost": fault.None, "": fault.KeyInvalid, "samurai.localhost": fault.KeyInvalid} {
		if _, err := f.Resolve(secret, strict, site); code(err) != want {
			t.Errorf("on %q: %v, want %v", site, err, want)
		}
	}
}

func TestKeysOfSeveralSitesAreGoodInOnePlace(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, a := f.key(t, NewKey{Site: "a.example"})
	_, b := f.key(t, NewKey{Site: "b.example"})
	_, c := f.key(t, NewKey{Site: "c.example"})
	for name, want := range map[string]fault.Code{a: fault.None, b: fault.None, c: fault.KeyInvalid} {
		if _, err := f.Resolve(name, strict, "pages.example", "A.example", "b.example"); code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestKeyExpiresAtItsInstant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{ExpiresAt: f.t.Add(time.Hour)})
	f.advance(time.Hour - 1)
	if _, err := f.Resolve(secret, strict, ""); err != nil {
		t.Errorf("a nanosecond before: %v", err)
	}
	f.advance(1)
	if _, err := f.Resolve(secret, strict, ""); code(err) != fault.KeyExpired {
		t.Errorf("at the instant: %v", err)
	}
}

func TestResolvingWhileKeysChange(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := f.Resolve(secret, strict, ""); err != nil {
					t.Errorf("a key that nobody touched: %v", err)
					return
				}
			}
		})
	}
	for range 100 {
		k, s := f.key(t, NewKey{})
		if _, err := f.Resolve(s, strict, ""); err != nil {
			t.Errorf("a new key: %v", err)
		}
		if _, err := f.RevokeKey(t.Context(), k.ID); err != nil {
			t.Error(err)
		}
		if _, err := f.Resolve(s, strict, ""); code(err) != fault.KeyInvalid {
			t.Errorf("a revoked key: %v", err)
		}
	}
	close(done)
	wg.Wait()
}

// Not parallel: it counts allocations.
func TestResolveDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	f := setup(t)
	_, secret := f.key(t, NewKey{})
	if n := testing.AllocsPerRun(200, func() {
		if _, err := f.Resolve(secret, trim, ""); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations, want at most 1", n)
	}
}

func FuzzResolve(f *testing.F) {
	fx := setup(f)
	_, secret := fx.key(f, NewKey{})
	for _, s := range []string{"", secret, " " + secret, "Bearer " + secret, "sk-test-", secret[:20]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, credential string) {
		for _, format := range []Format{strict, trim, {}, {Trim: true}} {
			_, err := fx.Resolve(credential, format, "")
			if c := code(err); err == nil && !strings.Contains(credential, secret) || err != nil && c != fault.KeyInvalid && c != fault.KeyMissing {
				t.Errorf("Resolve(%q, %+v) = %v", credential, format, err)
			}
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	f := setup(b)
	_, secret := f.key(b, NewKey{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Resolve(secret, strict, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHMAC(b *testing.B) {
	f := setup(b)
	_, secret := f.key(b, NewKey{})
	b.ReportAllocs()
	for b.Loop() {
		f.hasher.sum(secret)
	}
}

func BenchmarkResolveStranger(b *testing.B) {
	f := setup(b)
	secret := newSecret("sk-test-")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Resolve(secret, strict, ""); err == nil {
			b.Fatal("resolved")
		}
	}
}
