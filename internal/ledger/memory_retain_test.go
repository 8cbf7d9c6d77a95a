package ledger

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
)

// What replaces usage that is too old, on a disk in memory.

// replaced is what a disk has of usage that is gone.
type replaced struct {
	floor      Floor
	openings   map[int64]BalanceRow // without grants
	grants     map[int64][]GrantRow // of openings
	statements map[UsageID]UsageRow
}

func newReplaced() replaced {
	return replaced{floor: Floor{Day: math.MinInt32}, openings: map[int64]BalanceRow{}, grants: map[int64][]GrantRow{}, statements: map[UsageID]UsageRow{}}
}

func (r *replaced) clone() replaced {
	return replaced{floor: r.floor, openings: maps.Clone(r.openings), grants: maps.Clone(r.grants), statements: maps.Clone(r.statements)}
}

// Summarise implements Tx.
func (t *memoryTx) Summarise(p *Pruning) error {
	if err := t.j.at(atSummarise, nil); err != nil {
		return err
	}
	t.summarised = p
	return nil
}

// Prune implements Tx.
func (t *memoryTx) Prune(p *Pruning) error {
	if err := t.j.at(atPrune, nil); err != nil {
		return err
	}
	d := t.j.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.floor.Seq != p.After {
		return fmt.Errorf("the floor is not at entry %d", p.After)
	}
	t.pruned = p
	return nil
}

// summarise adds statements, and replaces openings.
func (d *disk) summarise(p *Pruning) {
	for _, row := range p.Statements {
		old, known := d.statements[row.UsageID]
		if row.Refunded, row.Folded = 0, 0; known {
			row.sum(&old)
		}
		d.statements[row.UsageID] = row
	}
	for _, o := range p.Openings {
		if o.HasGrants {
			d.replaced.grants[o.Account] = o.Grants
		}
		d.openings[o.Account] = BalanceRow{Account: o.Account, Credit: o.Credit, Used: o.Used}
	}
}

// sum adds what another row of the same line has.
func (r *UsageRow) sum(o *UsageRow) {
	r.Requests, r.Charge, r.Refunded, r.Absorbed = r.Requests+o.Requests, r.Charge+o.Charge, r.Refunded+o.Refunded, r.Absorbed+o.Absorbed
	t, n := &r.Tokens, &o.Tokens
	t.Input, t.CachedInput, t.CacheWrite = t.Input+n.Input, t.CachedInput+n.CachedInput, t.CacheWrite+n.CacheWrite
	t.CacheWrite1h, t.Output, t.Reasoning = t.CacheWrite1h+n.CacheWrite1h, t.Output+n.Output, t.Reasoning+n.Reasoning
}

// sweptRows is how many rows of each kind go with one step besides those that it
// replaces.
const sweptRows = 500

// prune deletes what was summed up, and what else is as old. Snapshots keep the
// entries that they have.
func (d *disk) prune(p *Pruning) {
	d.entries = slices.Clone(d.entries)
	for seq := p.After + 1; seq <= p.Seq; seq++ {
		if e := d.entries[seq-1]; e.Kind == KindUsage || e.Kind == KindAbsorbed {
			d.entries[seq-1] = nil
		}
	}
	for _, id := range p.Requests {
		delete(d.receipts, id)
	}
	var old [][16]byte
	for id, r := range d.receipts {
		if r.Seq == 0 && bytes.Compare(id[:], p.Request[:]) <= 0 {
			old = append(old, id)
		}
	}
	slices.SortFunc(old, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range old[:min(len(old), sweptRows)] {
		delete(d.receipts, id)
	}
	days := slices.SortedFunc(maps.Keys(d.counters), func(a, b CounterID) int { return int(a.Day - b.Day) })
	for _, id := range days[:min(len(days), sweptRows)] {
		if id.Day <= p.Day {
			delete(d.counters, id)
		}
	}
	d.floor = p.Floor
}

// Floor implements Reader.
func (s *memorySnapshot) Floor(context.Context) (Floor, error) { return s.d.floor, nil }

// Opening implements Reader.
func (s *memorySnapshot) Opening(_ context.Context, account int64) (BalanceRow, error) {
	b, known := s.d.openings[account]
	if !known {
		return BalanceRow{Account: account}, nil
	}
	b.Grants = append(b.Grants, s.d.replaced.grants[account]...)
	slices.SortFunc(b.Grants, func(x, y GrantRow) int { return int(x.Seq - y.Seq) })
	return b, nil
}

// Openings implements Reader.
func (s *memorySnapshot) Openings(_ context.Context, yield func(BalanceRow) error) error {
	for _, id := range slices.Sorted(maps.Keys(s.d.openings)) {
		if err := yield(s.d.openings[id]); err != nil {
			return err
		}
	}
	return nil
}

// OpeningGrants implements Reader.
func (s *memorySnapshot) OpeningGrants(_ context.Context, yield func(GrantRow) error) error {
	for _, id := range slices.Sorted(maps.Keys(s.d.replaced.grants)) {
		for _, g := range s.d.replaced.grants[id] {
			if err := yield(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// Statements implements Reader.
func (s *memorySnapshot) Statements(_ context.Context, yield func(UsageRow) error) error {
	for _, r := range s.d.statements {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}
