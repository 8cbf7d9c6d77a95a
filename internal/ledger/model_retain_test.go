package ledger_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/ledger"
)

// Retain lets the time pass after which usage is replaced by statements.
func (m *model) Retain(t *rapid.T) {
	m.t = t
	if rapid.IntRange(0, 2).Draw(t, "rarely") > 0 {
		t.Skip("there would be nothing but old entries")
	}
	m.h.clock.advance(ledger.MinRetention + time.Duration(rapid.IntRange(0, 48).Draw(t, "hours"))*time.Hour)
	m.age()
}

// age has everything replaced that is old enough, but for days of which a job
// holds something.
func (m *model) age() {
	before := ledger.DayOf(m.h.clock.now().Add(-ledger.MinRetention))
	if !slices.ContainsFunc(m.paid, func(p *payment) bool { return p.day < before }) {
		return
	}
	m.h.digests()
	if err := m.h.Retain(background); err != nil {
		m.t.Fatal(err)
	}
	for _, h := range m.holds {
		if h.durable {
			before = min(before, h.hold.Day())
		}
	}
	m.paid = slices.DeleteFunc(m.paid, func(p *payment) bool {
		if p.day >= before {
			return false
		}
		m.old = append(m.old, p.request)
		return true
	})
}
