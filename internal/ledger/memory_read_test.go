package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// What is read of a disk in memory.

// look returns the disk, locked, unless the process is over.
func (j *MemoryJournal) look() (*disk, error) {
	if err := j.at(atRead, nil); err != nil {
		return nil, err
	}
	j.disk.mu.Lock()
	return j.disk, nil
}

// ReadReceipt implements Journal.
func (j *MemoryJournal) ReadReceipt(_ context.Context, id [16]byte) (*ReceiptRow, error) {
	d, err := j.look()
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	r, known := d.receipts[id]
	if !known {
		return nil, nil
	}
	return &r, nil
}

// ReadEntry implements Journal.
func (j *MemoryJournal) ReadEntry(_ context.Context, seq int64) (*Entry, error) {
	d, err := j.look()
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	return d.entry(seq), nil
}

func (d *disk) entry(seq int64) *Entry {
	if seq < 1 || seq > int64(len(d.entries)) || d.entries[seq-1] == nil {
		return nil
	}
	e := *d.entries[seq-1]
	return &e
}

// ReadReference implements Journal.
func (j *MemoryJournal) ReadReference(_ context.Context, account int64, reference string) (*Entry, error) {
	d, err := j.look()
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	return d.entry(d.refs[turnKey{account: account, reference: reference}]), nil
}

// ReadRefund implements Journal.
func (j *MemoryJournal) ReadRefund(_ context.Context, request [16]byte, reference string) (*Entry, error) {
	d, err := j.look()
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	for key, seq := range d.refs {
		if e := d.entry(seq); key.reference == reference && e.Kind == KindRefund && e.Request == request {
			return e, nil
		}
	}
	return nil, nil
}

// ReadIdem implements Journal.
func (j *MemoryJournal) ReadIdem(_ context.Context, k IdemKey) (*IdemRow, error) {
	d, err := j.look()
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	r, known := d.idem[k]
	if !known {
		return nil, nil
	}
	return &r, nil
}

// ReadHolds implements Journal.
func (j *MemoryJournal) ReadHolds(_ context.Context, group [16]byte) (list []HoldRow, err error) {
	d, err := j.look()
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	for _, id := range d.places {
		if h := d.holds[id]; h.Group == group {
			list = append(list, h)
		}
	}
	return list, nil
}

var errListing = errors.New("a journal in memory has no listings")

// ListReceipts implements Journal.
func (j *MemoryJournal) ListReceipts(context.Context, Filter, [16]byte, int) ([]*ReceiptRow, [16]byte, error) {
	return nil, [16]byte{}, errListing
}

// ReadUsage implements Journal.
func (j *MemoryJournal) ReadUsage(context.Context, UsageFilter) ([]UsageRow, error) {
	return nil, errListing
}

// ListEntries implements Journal.
func (j *MemoryJournal) ListEntries(context.Context, TransactionFilter) ([]Entry, error) {
	return nil, errListing
}

// ListDigests implements Journal.
func (j *MemoryJournal) ListDigests(context.Context, DigestFilter) ([]Digest, error) {
	return nil, errListing
}

// Snapshot implements Journal.
func (j *MemoryJournal) Snapshot(context.Context) (Snapshot, error) {
	if err := j.at(atSnapshot, nil); err != nil {
		return nil, err
	}
	d := j.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	return &memorySnapshot{disk{
		mark: d.mark, entries: d.entries[:len(d.entries):len(d.entries)], places: d.places[:len(d.places):len(d.places)],
		balances: maps.Clone(d.balances), grants: maps.Clone(d.grants), counters: maps.Clone(d.counters), usage: maps.Clone(d.usage),
		receipts: maps.Clone(d.receipts), refs: maps.Clone(d.refs), idem: maps.Clone(d.idem), holds: maps.Clone(d.holds),
		events: maps.Clone(d.events), warned: maps.Clone(d.warned), digests: maps.Clone(d.digests), replaced: d.replaced.clone(),
	}}, nil
}

// memorySnapshot is a copy of a disk, which nobody changes.
type memorySnapshot struct{ d disk }

// Close implements Snapshot.
func (s *memorySnapshot) Close() error { return nil }

// Mark implements Reader.
func (s *memorySnapshot) Mark(context.Context) (Mark, error) { return s.d.mark, nil }

// Balances implements Reader.
func (s *memorySnapshot) Balances(_ context.Context, after, upTo int64, yield func(BalanceRow) error) error {
	for _, id := range slices.Sorted(maps.Keys(s.d.balances)) {
		if id <= after || id > upTo {
			continue
		}
		if err := yield(s.d.balances[id]); err != nil {
			return err
		}
	}
	return nil
}

// LastBalance implements Reader.
func (s *memorySnapshot) LastBalance(context.Context) (last int64, err error) {
	for id := range s.d.balances {
		last = max(last, id)
	}
	return last, nil
}

// Grants implements Reader.
func (s *memorySnapshot) Grants(_ context.Context, yield func(GrantRow) error) error {
	for _, id := range slices.Sorted(maps.Keys(s.d.grants)) {
		for _, g := range s.d.grants[id] {
			if err := yield(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// Counters implements Reader.
func (s *memorySnapshot) Counters(_ context.Context, since Day, yield func(CounterRow) error) error {
	for _, r := range s.d.counters {
		if r.Day >= since {
			if err := yield(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Usage implements Reader.
func (s *memorySnapshot) Usage(_ context.Context, since Day, yield func(UsageRow) error) error {
	for _, r := range s.d.usage {
		if r.Day >= since {
			if err := yield(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Entries implements Reader.
func (s *memorySnapshot) Entries(_ context.Context, after int64, yield func(*Entry) error) error {
	for _, e := range s.d.entries[min(after, int64(len(s.d.entries))):] {
		if e == nil {
			continue
		}
		row := *e
		if err := yield(&row); err != nil {
			return err
		}
	}
	return nil
}

// OpenHolds implements Reader.
func (s *memorySnapshot) OpenHolds(_ context.Context, yield func(HoldRow) error) error {
	for _, id := range s.d.places {
		if h := s.d.holds[id]; h.State == DurableOpen {
			if err := yield(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// Rows implements Reader.
func (s *memorySnapshot) Rows(ctx context.Context, after, upTo int64, yield func(e *Entry, row []byte) error) error {
	return s.Entries(ctx, after, func(e *Entry) error {
		if e.Seq > upTo {
			return nil
		}
		r := Row{Seq: e.Seq, Time: e.Time.UnixNano(), Kind: e.Kind.Number(), Account: e.Account, Key: e.Key, Day: int64(e.Day), Amount: int64(e.Amount), Detail: e.Detail()}
		if e.Request != [16]byte{} {
			r.Request = e.Request[:]
		}
		if e.Test {
			r.Test = 1
		}
		err := yield(e, r.Append(nil))
		*e = Entry{} // whoever keeps it has nothing
		return err
	})
}

// Unswept implements Reader. What goes with old usage goes with it at once.
func (s *memorySnapshot) Unswept(context.Context, Floor) (bool, error) { return false, nil }

// Digests implements Reader.
func (s *memorySnapshot) Digests(_ context.Context, yield func(Digest) error) error {
	for _, day := range slices.Sorted(maps.Keys(s.d.digests)) {
		if err := yield(s.d.digests[day]); err != nil {
			return err
		}
	}
	return nil
}

// Warned implements Reader.
func (s *memorySnapshot) Warned(_ context.Context, yield func(WarnedRow) error) error {
	for _, id := range slices.Sorted(maps.Keys(s.d.warned)) {
		if err := yield(WarnedRow{Account: id, Below: s.d.warned[id]}); err != nil {
			return err
		}
	}
	return nil
}

// Expiry implements Reader.
func (s *memorySnapshot) Expiry(context.Context) (first time.Time, err error) {
	for _, r := range s.d.idem {
		if first.IsZero() || r.ExpiresAt.Before(first) {
			first = r.ExpiresAt
		}
	}
	return first, nil
}

// Mismatches implements Reader.
func (s *memorySnapshot) Mismatches(_ context.Context, limit int) (found []string, err error) {
	say := func(format string, args ...any) {
		if len(found) < limit {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	charges := map[[16]byte]*Entry{}
	refunded, absorbed := map[[16]byte]money.Amount{}, map[[16]byte]money.Amount{}
	for _, e := range s.d.entries {
		if e == nil {
			continue
		}
		switch e.Kind {
		case KindUsage:
			if charges[e.Request] != nil {
				say("request %x was charged before entry %d", e.Request, e.Seq)
			}
			charges[e.Request] = e
		case KindRefund:
			refunded[e.Request] += e.Amount
		case KindAbsorbed:
			absorbed[e.Request] += e.Amount
		case KindTopup, KindGrant, KindAdjust, KindReduce, KindExpire:
			if e.Reference != "" && s.d.refs[turnKey{account: e.Account, reference: e.Reference}] != e.Seq {
				say("the reference of entry %d is not kept", e.Seq)
			}
		}
	}
	agrees := func(id [16]byte, seq, account int64, test bool) bool {
		e := charges[id]
		return e != nil && e.Seq == seq && e.Account == account && e.Test == test
	}
	for id, e := range charges {
		r := s.d.receipts[id]
		if what := r.Contradicts(e.Detail()); what != "" {
			say("receipt %x does not agree with its entry: %s", id, what)
		}
		if !agrees(id, r.Seq, r.Account, r.Test) || r.Key != e.Key || r.Charge != e.Amount || r.Refunded != refunded[id] || r.Refunded > r.Charge || r.Absorbed != absorbed[id] {
			say("receipt %x does not agree with its entries: %+v", id, r)
		}
	}
	for id, r := range s.d.receipts {
		if (r.Seq == 0) != (charges[id] == nil) || (r.Seq == 0 && (r.Charge != 0 || r.Refunded != 0)) {
			say("receipt %x has a charge but no entry", id)
		}
	}
	gone := func(id [16]byte) bool { return bytes.Compare(id[:], s.d.floor.Request[:]) <= 0 }
	for id := range refunded {
		if _, known := s.d.receipts[id]; !known && !gone(id) {
			say("request %x was refunded and has no receipt", id)
		}
	}
	for id, h := range s.d.holds {
		if h.State == DurablePosted && charges[id] == nil && gone(id) {
			continue
		}
		if e := charges[id]; (h.State == DurablePosted) != (e != nil) || (e != nil && (e.Amount != h.Charge || e.Day != h.Day || e.Account != h.Account)) {
			say("hold %x does not agree with its charge", id)
		}
	}
	for _, r := range s.d.idem {
		if r.Seq > s.d.floor.Seq && !agrees(r.Request, r.Seq, r.Account, r.Test) {
			say("the answer stored for request %x does not agree with its charge", r.Request)
		}
	}
	return found, nil
}
