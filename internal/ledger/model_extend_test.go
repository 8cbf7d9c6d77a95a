package ledger_test

import (
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/money"
)

func (m *model) Extend(t *rapid.T) {
	m.t = t
	h := m.pick()
	m.holds = append(m.holds, h)
	by := money.Amount(rapid.Int64Range(0, 100).Draw(t, "by"))
	got, err := h.hold.Extend(by)
	if h.durable {
		if err == nil {
			t.Fatal("Extend of a durable hold")
		}
		return
	}
	more := min(by, max(0, h.free()))
	h.move(more, 0)
	h.amount += more
	if err != nil || got != more || h.hold.Amount() != h.amount {
		t.Fatalf("Extend(%d) = %d, %v, and holds %d; want %d, and %d", by, got, err, h.hold.Amount(), more, h.amount)
	}
}
