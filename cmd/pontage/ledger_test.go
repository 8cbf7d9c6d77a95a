package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
)

// tamper changes the database behind the gateway's back.
func (g *gateway) tamper(query string) error {
	return g.db.Update(context.Background(), func(tx *sql.Tx) error {
		_, err := tx.Exec(query)
		return err
	})
}

func TestVerify(t *testing.T) {
	t.Parallel()
	g := setup(t)
	acc := g.value("id", "account", "create", "demo")
	g.well("credit", "add", acc, "10")
	g.spend(acc, g.value("id", "key", "create", acc, "--name", "k"), money.Cent)
	if out := g.well("verify"); !strings.HasSuffix(out, "2 entries, 1 accounts, 0 digests, 0 differences\n") {
		t.Errorf("verify: %s", out)
	}
	if out := g.well("verify", "--db", g.path, "--json"); !strings.Contains(out, `"ok": true`) || !strings.Contains(out, `"entries": 2`) {
		t.Errorf("verify --db beside a running gateway: %s", out)
	}
	if err := g.tamper("UPDATE entries SET amount = amount + 1 WHERE kind = 1"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify"}, {"verify", "--db", g.path}} {
		if r := g.run(args...); r.code != exitWrong || !strings.Contains(r.out, "differences") || strings.Contains(r.out, " 0 differences") {
			t.Errorf("pontage %v after a charge was changed on disk = %+v", args, r)
		}
	}
	if r := g.run("verify", "--db", filepath.Join(t.TempDir(), "no.db")); r.code != exitWrong || !strings.Contains(r.err, "no such file") {
		t.Errorf("verify of no file = %+v", r)
	}
}

func TestDigests(t *testing.T) {
	t.Parallel()
	g := setup(t)
	if r := g.run("ledger", "digests"); r.code != exitWell || r.err != "none\n" {
		t.Errorf("ledger digests on the first day = %+v", r)
	}
	acc := g.value("id", "account", "create", "demo")
	g.well("credit", "add", acc, "10")
	g.well("credit", "add", acc, "10")
	sum := strings.Repeat("ab", 32)
	if err := g.tamper("INSERT INTO day_digests VALUES (20000, 1, 1, 1, x'" + sum + "'), (20001, 2, 2, 1, x'" + sum + "')"); err != nil {
		t.Fatal(err)
	}
	like(t, g.well("ledger", "digests"), `DAY FIRST LAST SHA256 2024-10-04 1 1 `+sum+` 2024-10-05 2 2 `+sum)
	like(t, g.well("ledger", "digests", "--from", "2024-10-05"), `DAY FIRST LAST SHA256 2024-10-05 2 2 `+sum)
	like(t, g.well("ledger", "digests", "--limit", "1"), `DAY FIRST LAST SHA256 2024-10-04 1 1 `+sum)
	if r := g.run("verify", "--db", g.path); r.code != exitWrong || !strings.Contains(r.out, "the digest of 2024-10-04") {
		t.Errorf("verify of a made-up digest = %+v", r)
	}
	if err := g.tamper("DELETE FROM day_digests WHERE day = 20000; UPDATE day_digests SET first_seq = 1, sum = NULL; UPDATE ledger_mark SET closed_to = 2"); err != nil {
		t.Fatal(err)
	}
	if out := g.well("verify", "--db", g.path); !strings.HasSuffix(out, "2 entries, 1 accounts, 0 digests, 1 pending digests, 0 differences\n") {
		t.Errorf("verify of a day that was just closed: %s", out)
	}
	if out := g.well("verify", "--db", g.path, "--json"); !strings.Contains(out, `"pending_digests": 1`) || !strings.Contains(out, `"old_digests": 0`) {
		t.Errorf("verify of a day that was just closed: %s", out)
	}
}
