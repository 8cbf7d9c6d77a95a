package parts

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
	"github.com/pontage/pontage/test/harness"
)

// crowd makes accounts in a database that no gateway has open, each with a key
// and a dollar.
func crowd(t *testing.T, target string, n int) []*caller {
	t.Helper()
	dir := t.TempDir()
	if quick, err := os.MkdirTemp("/dev/shm", "crowd"); err == nil { // where a sync costs nothing
		dir = quick
		t.Cleanup(func() { _ = os.RemoveAll(quick) })
	}
	path := filepath.Join(dir, "pontage.db")
	const pepper = "PONTAGE_KEY_PEPPER of a crowd that is no secret"
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ledger.Open(t.Context(), db.Journal(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := account.Open(t.Context(), db.Accounts(), []byte(pepper), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]*caller, n)
	var all sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				a, err := reg.CreateAccount(t.Context(), account.NewAccount{Name: fmt.Sprint("account ", i)})
				if err != nil {
					t.Error(err)
					return
				}
				_, key, err := reg.CreateKey(t.Context(), account.NewKey{Account: a.ID, Name: "k", Kind: account.KindInference, Prefix: "sk-pontage-"})
				if err == nil {
					_, err = e.Credit(t.Context(), ledger.Credit{Account: int64(a.ID), Kind: ledger.KindTopup, Amount: money.Dollar})
				}
				if err != nil {
					t.Error(err)
					return
				}
				out[i] = &caller{account: a.ID.String(), key: key, credit: money.Dollar}
			}
		})
	}
	all.Wait()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// Ten thousand accounts are served, and one that makes a fifth of the traffic
// takes nothing from the others: every answer is right, and so is every balance.
func TestACrowdAndOneHotAccount(t *testing.T) {
	t.Parallel()
	const accounts, callers = 10_000, 48
	u := newUpstream(t)
	g := harness.Prepare(t, harness.Options{Config: u.config(), Env: []string{"PONTAGE_KEY_PEPPER=PONTAGE_KEY_PEPPER of a crowd that is no secret"}})
	few := harness.Start(t, harness.Options{Config: u.config()})
	all := crowd(t, filepath.Join(g.Dir, "pontage.db"), accounts)
	g.Run(t)
	t.Logf("%d KiB of memory an account", (rss(t, g)-rss(t, few))<<10/accounts)
	for _, c := range all {
		c.g = g
	}
	hot := all[0]
	asked := make([]atomic.Int64, accounts)
	var refused, order atomic.Int64
	var lastCold atomic.Int64 // place of the last answer of the others among all
	var group sync.WaitGroup
	queue := make(chan int, accounts*5/4)
	for i := 1; i < accounts; i++ {
		queue <- i
		if i%4 == 0 {
			queue <- 0
		}
	}
	close(queue)
	for n := range callers {
		group.Go(func() {
			stream := rand.New(rand.NewPCG(uint64(n), 1))
			for i := range queue {
				s := stream.IntN(2) == 0
				a := ask(t.Context(), g, all[i].key, "hi", s, nil)
				place := order.Add(1)
				if !a.whole(s) {
					refused.Add(1)
					if refused.Load() < 5 {
						t.Errorf("account %d: %v", i, a)
					}
					continue
				}
				asked[i].Add(1)
				if i != 0 {
					lastCold.Store(place)
				}
			}
		})
	}
	group.Wait()
	if n := g.Settled(t); n != accounts {
		t.Errorf("there are %d accounts", n)
	}
	if total := order.Load(); lastCold.Load() < total-callers*2 || refused.Load() != 0 {
		t.Errorf("%d answers, %d of them wrong; the last one of the others was number %d", total, refused.Load(), lastCold.Load())
	}
	hot.spent(t, int(asked[0].Load()))
	for i := 1; i < accounts; i += 97 {
		all[i].spent(t, int(asked[i].Load()))
	}
	t.Logf("%d answers, %d of the hot account", order.Load(), asked[0].Load())
}
