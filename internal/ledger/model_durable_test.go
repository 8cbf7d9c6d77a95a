package ledger_test

import (
	"encoding/binary"
	"errors"
	"slices"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// What the model says of everything that outlives a process: idempotency keys,
// and the holds of jobs.

// claim returns a claim on the key for the request, or nil if the key must stand
// for an answer.
func (m *model) claim(k ledger.IdemKey, request [16]byte) *ledger.Claim {
	now := m.h.clock.now()
	want, known := m.keys[k]
	known = known && want.at.Add(ledger.IdemTTL).After(now)
	c, st, err := m.h.Claim(background, k, [32]byte{1}, 0)
	if err != nil || (st != nil) != known || (known && st.Request != want.request) {
		m.t.Fatalf("Claim(%+v) = %+v, %v; want %t, %x", k, st, err, known, want.request)
	}
	if _, _, err := m.h.Claim(background, k, [32]byte{2}, 0); !errors.Is(err, ledger.ErrIdemMismatch) {
		m.t.Fatalf("Claim(%+v) for another request = %v", k, err)
	}
	if known {
		return nil
	}
	if rapid.IntRange(0, 3).Draw(m.t, "give up") == 0 {
		c.Release()
		return nil
	}
	m.keys[k] = modelAnswer{request, now}
	return c
}

// Fact keeps for a key that its request was done, and may forget it again.
func (m *model) Fact(t *rapid.T) {
	m.t = t
	k, id := ledger.IdemKey{Account: 1, Key: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "key")}, request()
	c := m.claim(k, id)
	if c == nil {
		return
	}
	f, err := m.h.KeepFact(background, c, id)
	if err != nil {
		t.Fatal(err)
	}
	if !rapid.Bool().Draw(t, "forget") {
		return
	}
	if err := f.Forget(background); err != nil {
		t.Fatal(err)
	}
	delete(m.keys, k)
}

// Revoke takes back a charge, also one that was refunded in part, with the
// answer of its key.
func (m *model) Revoke(t *rapid.T) {
	m.t = t
	m.age()
	if len(m.paid) == 0 {
		t.Skip("nothing was paid")
	}
	p := m.paid[rapid.IntRange(0, len(m.paid)-1).Draw(t, "payment")]
	if p.hold == nil {
		t.Skip("of a process that is gone")
	}
	if err := p.hold.Revoke(background); err != nil {
		t.Fatal(err)
	}
	for k, a := range m.keys {
		if a.request == p.request {
			delete(m.keys, k)
		}
	}
	p.p.posted += p.left
	p.left, p.hold = 0, nil
}

// HoldDurably takes up to three reservations of one key, or none.
func (m *model) HoldDurably(t *rapid.T) {
	m.t = t
	r := m.drawReservation()
	r.Floor = 0
	var list []*modelHold
	var rs []ledger.Reservation
	total := money.Amount(0)
	for range rapid.IntRange(1, 3).Draw(t, "holds") {
		r.Request, r.Amount = request(), money.Amount(rapid.Int64Range(0, 50).Draw(t, "part"))
		h := m.states(r)
		h.durable, h.state, h.amount = true, ledger.DurableOpen, r.Amount
		list, rs, total = append(list, h), append(rs, r), total+r.Amount
	}
	// All but the last are taken for a moment, to see whether all of them fit.
	n := len(list) - 1
	for _, h := range list[:n] {
		h.move(h.amount, 1)
	}
	whole := *list[n]
	_, _, short := whole.expect()
	for _, h := range list[:n] {
		h.move(-h.amount, -1)
	}
	if free := whole.p.posted - whole.p.held; total > 0 && free < total && !slices.Contains(short, ledger.BucketBalance) {
		short = append([]ledger.Bucket{ledger.BucketBalance}, short...)
	}
	if free := r.KeyUSDPerDay - whole.key.spent - whole.key.spentHeld; r.KeyUSDPerDay > 0 && total > 0 && free < total && !slices.Contains(short, ledger.BucketKeyUSD) {
		at := 0
		if len(short) > 0 && short[0] == ledger.BucketBalance {
			at = 1
		}
		short = slices.Insert(short, at, ledger.BucketKeyUSD)
	}
	var group [16]byte
	binary.BigEndian.PutUint64(group[:], uint64(len(m.jobs)+1))
	holds, err := m.h.HoldDurably(background, rs, ledger.DurableOptions{Group: group})
	var s *ledger.Short
	if errors.As(err, &s) != (len(short) > 0) || (err == nil) != (len(short) == 0) {
		t.Fatalf("HoldDurably(%+v) = %v, want it to be short of %v", rs, err, short)
	}
	if s != nil {
		for i, b := range s.Buckets {
			if i >= len(short) || b.Bucket != short[i] || (b.Bucket == ledger.BucketBalance && b.Need != int64(total)) {
				t.Fatalf("HoldDurably(%+v) = %v, want it to be short of %v", rs, err, short)
			}
		}
		return
	}
	for i, h := range list {
		h.hold = holds[i]
		h.move(h.amount, 1)
	}
	m.holds = append(m.holds, list...)
	m.jobs = append(m.jobs, list)
}

// checkJobs holds the durable holds against what is stored of them.
func (m *model) checkJobs() {
	open := 0
	for _, h := range m.holds {
		if h.durable {
			open++
		}
	}
	if got := m.h.OpenHolds(); len(got) != open || m.h.Stats().OpenHolds != int64(len(m.holds)) {
		m.t.Fatalf("%d durable holds are open, want %d; %+v", len(got), open, m.h.Stats())
	}
	for i, list := range m.jobs {
		if i < len(m.jobs)-2 {
			continue // it was looked at before
		}
		var group [16]byte
		binary.BigEndian.PutUint64(group[:], uint64(i+1))
		rows, err := m.h.HoldsOf(background, group)
		if err != nil || len(rows) != len(list) {
			m.t.Fatalf("HoldsOf = %+v, %v", rows, err)
		}
		for k, h := range list {
			if r := rows[k]; r.ID != h.r.Request || r.State != h.state || r.Amount != h.amount || r.Charge != h.charge {
				m.t.Fatalf("hold %d of job %d: %+v, want %+v", k, i, r, h)
			}
		}
	}
}

// forget is what a new process knows: no hold but the durable ones.
func (m *model) forget() {
	open := map[[16]byte]*ledger.Hold{}
	for _, h := range m.h.OpenHolds() {
		open[h.Request()] = h
	}
	m.holds = slices.DeleteFunc(m.holds, func(h *modelHold) bool {
		if h.durable {
			h.hold = open[h.r.Request]
			if h.hold == nil {
				m.t.Fatalf("durable hold %x is gone", h.r.Request)
			}
			return false
		}
		h.move(-h.amount, -1)
		return true
	})
	for _, p := range m.paid {
		p.hold = nil
	}
}
