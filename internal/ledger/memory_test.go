package ledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// disk is what a database in memory has committed. It outlives every process.
type disk struct {
	mu       sync.Mutex
	mark     Mark
	entries  []*Entry // by number; nil: it was pruned. Snapshots share the array, which is only appended to
	balances map[int64]BalanceRow
	grants   map[int64][]GrantRow
	counters map[CounterID]CounterRow
	usage    map[UsageID]UsageRow
	receipts map[[16]byte]ReceiptRow
	refs     map[turnKey]int64
	idem     map[IdemKey]IdemRow
	holds    map[[16]byte]HoldRow
	events   map[[16]byte]Event
	warned   map[int64]money.Amount
	digests  map[Day]Digest
	places   [][16]byte // ids of holds in the order of their making
	replaced
}

func newDisk() *disk {
	return &disk{
		balances: map[int64]BalanceRow{}, grants: map[int64][]GrantRow{}, counters: map[CounterID]CounterRow{}, usage: map[UsageID]UsageRow{},
		receipts: map[[16]byte]ReceiptRow{}, refs: map[turnKey]int64{}, idem: map[IdemKey]IdemRow{}, holds: map[[16]byte]HoldRow{},
		events: map[[16]byte]Event{}, warned: map[int64]money.Amount{}, digests: map[Day]Digest{}, replaced: newReplaced(),
	}
}

// journalCall names a moment of the writer's work, at which it can be stopped.
type journalCall string

const (
	atStart     journalCall = "start"
	atSnapshot  journalCall = "snapshot"
	atBegin     journalCall = "begin"
	atInsert    journalCall = "insert"
	atPurge     journalCall = "purge"
	atFold      journalCall = "fold"
	atSummarise journalCall = "summarise"
	atPrune     journalCall = "prune"
	atCommit    journalCall = "commit"    // nothing is durable yet
	atCommitted journalCall = "committed" // everything is; the reply is on its way
	atRollback  journalCall = "rollback"
	atRead      journalCall = "read" // by anybody
)

// MemoryJournal is a [Journal] on a disk in memory, as one process has it open.
// It refuses what the tables of a database would refuse. Listings and reports
// are not kept.
type MemoryJournal struct {
	disk *disk
	mu   sync.RWMutex // for At, while an engine is at work
	// At is called at every moment of the work. Its error is what the call
	// returns; if it panics the process is over, and nothing more happens.
	At func(at journalCall, b *Batch) error
	// Committed is called with what has just become durable.
	Committed func(b *Batch)
}

// NewMemoryJournal returns a journal on an empty disk.
func NewMemoryJournal() *MemoryJournal { return &MemoryJournal{disk: newDisk()} }

func (j *MemoryJournal) at(at journalCall, b *Batch) error {
	j.mu.RLock()
	do := j.At
	j.mu.RUnlock()
	if do == nil {
		return nil
	}
	return do(at, b)
}

// from sets At while an engine is at work.
func (j *MemoryJournal) from(do func(at journalCall, b *Batch) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.At = do
}

// Start implements Journal.
func (j *MemoryJournal) Start(context.Context) (Mark, error) {
	if err := j.at(atStart, nil); err != nil {
		return Mark{}, err
	}
	j.disk.mu.Lock()
	defer j.disk.mu.Unlock()
	j.disk.mark.Epoch++
	return j.disk.mark, nil
}

// Begin implements Journal.
func (j *MemoryJournal) Begin() (Tx, error) {
	if err := j.at(atBegin, nil); err != nil {
		return nil, err
	}
	return &memoryTx{j: j, lowWater: -1}, nil
}

// memoryTx keeps what is to be done until it is committed.
type memoryTx struct {
	j        *MemoryJournal
	batch    *Batch
	expired  []IdemKey
	folds    []*Fold
	lowWater int64
	ended    bool

	summarised, pruned *Pruning
}

// Insert implements Tx. It checks what the tables of a database would.
func (t *memoryTx) Insert(b *Batch) error {
	if err := t.j.at(atInsert, b); err != nil {
		return err
	}
	d := t.j.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if (b.Epoch != d.mark.Epoch || b.After != d.mark.LastSeq) && !mutated(FenceIgnored) {
		return ErrFenced
	}
	t.batch = b
	return d.admits(b)
}

// admits returns an error if a constraint of a table forbids the batch.
func (d *disk) admits(b *Batch) error {
	if c := b.Closed; c != nil && d.digests[c.Day].Last != 0 {
		return fmt.Errorf("day %s is closed already", c.Day)
	}
	refs := map[turnKey]bool{}
	for i, e := range b.Entries {
		if e.Seq != b.After+1+int64(i) || e.Seq <= int64(len(d.entries)) {
			return fmt.Errorf("entry %d is there already, or leaves a gap", e.Seq)
		}
		if e.Reference != "" {
			k := turnKey{account: e.Account, reference: e.Reference}
			if d.refs[k] != 0 || refs[k] {
				return fmt.Errorf("reference %q is there already", e.Reference)
			}
			refs[k] = true
		}
	}
	keys := map[IdemKey]bool{}
	for _, r := range b.Answers {
		old, known := d.idem[r.IdemKey]
		forgotten := slices.ContainsFunc(b.Forgotten, func(f *IdemRow) bool { return f.IdemKey == old.IdemKey && f.Request == old.Request })
		if keys[r.IdemKey] || (known && !forgotten && old.ExpiresAt.After(r.Claimed)) {
			return errors.New("an idempotency key stands for an answer already")
		}
		keys[r.IdemKey] = true
	}
	opened := map[[16]byte]bool{}
	for _, h := range b.Opened {
		if _, known := d.holds[h.ID]; known || opened[h.ID] {
			return fmt.Errorf("hold %x is there already", h.ID)
		}
		opened[h.ID] = true
	}
	for i := range b.Ended {
		if d.holds[b.Ended[i].ID].State != DurableOpen && !opened[b.Ended[i].ID] {
			return fmt.Errorf("hold %x is not open", b.Ended[i].ID)
		}
	}
	return nil
}

// Purge implements Tx.
func (t *memoryTx) Purge(by time.Time, limit int) (next time.Time, err error) {
	if err := t.j.at(atPurge, nil); err != nil {
		return time.Time{}, err
	}
	d := t.j.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	rows := maps.Clone(d.idem)
	t.batch.answer(rows)
	left := slices.SortedFunc(maps.Values(rows), func(a, b IdemRow) int {
		return cmp.Or(a.ExpiresAt.Compare(b.ExpiresAt), bytes.Compare(a.Request[:], b.Request[:]))
	})
	for len(left) > 0 && len(t.expired) < limit && !left[0].ExpiresAt.After(by) {
		t.expired = append(t.expired, left[0].IdemKey)
		left = left[1:]
	}
	if len(left) > 0 {
		next = left[0].ExpiresAt
	}
	return next, nil
}

// answer changes the answers as the batch says.
func (b *Batch) answer(rows map[IdemKey]IdemRow) {
	for _, r := range b.Forgotten {
		if rows[r.IdemKey].Request == r.Request {
			delete(rows, r.IdemKey)
		}
	}
	for _, r := range b.Answers {
		rows[r.IdemKey] = *r
	}
}

// Fold implements Tx.
func (t *memoryTx) Fold(f *Fold) error {
	if err := t.j.at(atFold, nil); err != nil {
		return err
	}
	t.folds = append(t.folds, f)
	if f.LowWater >= 0 {
		t.lowWater = f.LowWater
	}
	return nil
}

// Rollback implements Tx.
func (t *memoryTx) Rollback() error {
	if t.ended {
		return nil
	}
	t.ended = true
	return t.j.at(atRollback, nil)
}

// Commit implements Tx.
func (t *memoryTx) Commit() error {
	if t.ended {
		return errors.New("the transaction has ended")
	}
	t.ended = true
	if err := t.j.at(atCommit, t.batch); err != nil {
		return err
	}
	t.j.disk.commit(t)
	if t.j.Committed != nil {
		t.j.Committed(t.batch)
	}
	return t.j.at(atCommitted, t.batch)
}

func (d *disk) commit(t *memoryTx) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := t.batch
	for _, r := range b.Receipts {
		row := *r
		if old := d.receipts[r.ID]; row.Seq != 0 || old.ID != r.ID {
			d.receipts[r.ID] = row
		}
	}
	for _, e := range b.Entries {
		row := *e
		d.entries = append(d.entries, &row)
		d.mark.LastSeq = e.Seq
		if e.Reference != "" {
			d.refs[turnKey{account: e.Account, reference: e.Reference}] = e.Seq
		}
		if r, known := d.receipts[e.Request]; known && e.Kind == KindRefund {
			r.Refunded += e.Amount
			d.receipts[e.Request] = r
		}
	}
	for _, a := range b.Aborted {
		if r, known := d.receipts[a.ID]; known {
			r.Outcome, r.Doc = OutcomeAborted, a.Doc
			d.receipts[a.ID] = r
		}
	}
	for _, m := range b.Delivered {
		if r, known := d.receipts[m.ID]; known && (r.Delivery == "" || r.Delivery == DeliveryUnknown) {
			r.Delivery = m.Delivery
			d.receipts[m.ID] = r
		}
	}
	b.answer(d.idem)
	for _, k := range t.expired {
		delete(d.idem, k)
	}
	for _, h := range b.Opened {
		d.holds[h.ID] = *h
		d.places = append(d.places, h.ID)
	}
	for i := range b.Ended {
		end := &b.Ended[i]
		h := d.holds[end.ID]
		h.State, h.Charge, h.Result, h.Ended = end.State, end.Charge, end.Result, end.At
		d.holds[end.ID] = h
	}
	for _, v := range b.Events {
		if _, known := d.events[v.ID]; !known {
			d.events[v.ID] = *v
		}
	}
	if c := b.Closed; c != nil {
		d.digests[c.Day] = *c
		d.mark.ClosedTo = c.Last
	}
	for _, made := range b.Digested {
		d.mark.DigestedTo = max(d.mark.DigestedTo, made.Last)
		if old, known := d.digests[made.Day]; known && !old.Made && old.Last == made.Last {
			d.digests[made.Day] = made
		}
	}
	for _, w := range b.Warned {
		d.warned[w.Account] = w.Below
		if w.Below == 0 {
			delete(d.warned, w.Account)
		}
	}
	for _, f := range t.folds {
		d.fold(f)
	}
	if t.lowWater >= 0 {
		d.mark.LowWater = t.lowWater
	}
	if t.summarised != nil {
		d.summarise(t.summarised)
	}
	if t.pruned != nil {
		d.prune(t.pruned)
	}
}

func (d *disk) fold(f *Fold) {
	for _, r := range f.Balances {
		if r.HasGrants {
			d.grants[r.Account] = r.Grants
		}
		d.balances[r.Account] = r
	}
	for _, r := range f.Counters {
		old := d.counters[r.CounterID]
		r.Requests, r.Spent = r.Requests+old.Requests, r.Spent+old.Spent
		d.counters[r.CounterID] = r
	}
	for _, r := range f.Usage {
		old := d.usage[r.UsageID]
		r.sum(&old)
		d.usage[r.UsageID] = r
	}
}
