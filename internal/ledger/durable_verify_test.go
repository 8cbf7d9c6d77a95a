package ledger_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
)

func TestVerifyComparesDurableHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ do, finds string }{
		"posted without a charge": {"UPDATE holds SET state = 2 WHERE place = 1", "hold req_"},
		"another charge":          {"UPDATE holds SET charge = charge + 1 WHERE place = 2", "posted"},
		"another account":         {"UPDATE holds SET account_id = 9 WHERE place = 2", "posted"},
		"another day":             {"UPDATE holds SET day = day + 1 WHERE place = 2", "posted"},
		"voided with a charge":    {"UPDATE holds SET state = 3 WHERE place = 2", "was charged"},
		"open with a charge":      {"UPDATE holds SET state = 1, charge = 0 WHERE place = 2", "was charged"},
		"not in memory":           {"UPDATE holds SET state = 1 WHERE place = 3", "memory"},
		"in memory only":          {"UPDATE holds SET state = 3 WHERE place = 1", "memory only"},
		"another amount":          {"UPDATE holds SET amount = amount + 1 WHERE place = 1", "memory has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, 100)
			holds := h.durably(several(reserve(0), 10, 10, 10)...)
			if _, err := holds[1].Settle(background, ledger.Settlement{Actual: 5}); err != nil {
				t.Fatal(err)
			}
			if err := holds[2].VoidDurably(background, nil, nil); err != nil {
				t.Fatal(err)
			}
			h.verify()
			err := h.db.Update(background, func(tx *sql.Tx) error {
				_, err := tx.Exec(c.do)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			rep, err := h.Verify(background)
			if err != nil || rep.OK || !strings.Contains(strings.Join(rep.Differences, "\n"), c.finds) {
				t.Errorf("Verify = %+v, %v; want it to find %q", rep, err, c.finds)
			}
		})
	}
}
