package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"time"
)

// Digest is the SHA-256 of what was entered on one day of UTC, and of the digest
// before it: whoever knows one of them can tell later whether anything up to its
// last entry has been altered. Its entries are those between two others in the
// journal, whatever their own times say; the day is that of the process that
// wrote them.
type Digest struct {
	Day         Day
	First, Last int64 // entries, both included; there is at least one
	ClosedAt    time.Time
	Made        bool // Sum is known; it is reckoned some time after the day was closed
	Sum         [32]byte
}

// DigestFilter chooses digests.
type DigestFilter struct {
	From, To time.Time // days from that of From to that of To, both included; zero: no bound
	After    Day       // only later days; 0: no bound
	Limit    int       // at least 1
}

// Row is an entry as it is stored, column by column. A journal that was tampered
// with may hold rows that are no entries.
type Row struct {
	Seq, Time, Kind, Account, Key, Test, Day, Amount int64
	Request                                          []byte // nil: null
	Detail                                           []byte
}

// Append appends the bytes of the row that digests cover. No two rows have the
// same.
func (r *Row) Append(b []byte) []byte {
	w := writer{b: b}
	for _, n := range [...]int64{r.Seq, r.Time, r.Kind, r.Account, r.Key, r.Test, r.Day, r.Amount} {
		w.int(n)
	}
	w.bool(r.Request != nil)
	w.int(int64(len(r.Request)))
	w.b = append(w.b, r.Request...)
	w.int(int64(len(r.Detail)))
	return append(w.b, r.Detail...)
}

// digestHead makes the digests of this program no other hash of the same bytes.
const digestHead = "pontage ledger digest 1\n"

// begin returns the hash that the rows of the digest are to be written to.
func (d *Digest) begin(before [32]byte) hash.Hash {
	w := writer{b: append([]byte(digestHead), before[:]...)}
	w.int(int64(d.Day))
	w.int(d.First)
	w.int(d.Last)
	h := sha256.New()
	_, _ = h.Write(w.b) // a hash takes everything
	return h
}

// dayBook says which entries belong to which day. Only the committer's goroutine
// touches it.
type dayBook struct {
	open     Day   // the day of the entries that belong to no closed day yet
	closedTo int64 // the last entry of the day that was closed last
}

// recover reads which days were closed. Entries after those belong to the day of
// the newest one, but to a later one than was closed. What the mark covers is not
// closed again if its digest is gone: that would hide it.
func (b *dayBook) recover(ctx context.Context, e *Engine, r Reader, mark Mark) error {
	*b = dayBook{open: e.today(), closedTo: mark.ClosedTo}
	closed := false
	err := r.Digests(ctx, func(d Digest) error {
		b.open, closed = d.Day+1, true
		return nil
	})
	if err != nil || e.lastSeq <= b.closedTo {
		b.open = max(b.open, e.today()) // the clock may have been set back since
		return err
	}
	newest, err := e.journal.ReadEntry(ctx, e.lastSeq)
	if err != nil || newest == nil {
		return errors.Join(fmt.Errorf("journal: entry %d cannot be read", e.lastSeq), err)
	}
	if day := DayOf(newest.Time); !closed || day > b.open {
		b.open = day
	}
	return nil
}

// due returns the day that is to be closed before the next batch, or nil.
func (b *dayBook) due(today Day, last int64, now time.Time) *Digest {
	if today <= b.open {
		return nil
	}
	if last <= b.closedTo {
		b.open = today // nothing was entered
		return nil
	}
	return &Digest{Day: b.open, First: b.closedTo + 1, Last: last, ClosedAt: now}
}

// wait returns how long it is until a day may have to be closed. The wall clock
// may be set, so it is looked at now and then.
func (b *dayBook) wait(last int64, now time.Time) time.Duration {
	if last <= b.closedTo {
		return idleWait
	}
	return min((b.open + 1).Start().Sub(now), purgeLook)
}

// closed notes that d is durable.
func (b *dayBook) closed(d *Digest, today Day) {
	b.closedTo, b.open = d.Last, today
}

// digester reckons the digests of closed days, and then what replaces usage that
// is too old, on a goroutine of its own: a day may have very many entries, and no
// charge may wait for them.
type digester struct {
	kick chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// Pace of the digester.
const (
	digestPortion = 20_000      // entries that are read at once
	digestRetry   = time.Minute // after a failure to read
)

func (e *Engine) startDigester() {
	ctx, stop := context.WithCancel(context.Background())
	e.digester = digester{kick: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	e.digester.wake()
	go e.digest(ctx)
}

// wake says that a day was closed.
func (d *digester) wake() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// close ends the goroutine, if there is one.
func (d *digester) close() {
	if d.stop == nil {
		return
	}
	d.stop()
	<-d.done
}

func (e *Engine) digest(ctx context.Context) {
	defer close(e.digester.done)
	var before Digest // the newest that was handed to the committer
	for {
		retry := idleWait
		if err := e.digestAll(ctx, &before); err != nil {
			retry = digestRetry // who reads the digests sees that one is missing
		} else if err := e.retain(ctx); err != nil {
			retry = digestRetry // and what is too old stays until then
		}
		timer := time.NewTimer(retry)
		select {
		case <-e.digester.kick:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// digestAll reckons what is missing, oldest first, since each needs the one
// before.
func (e *Engine) digestAll(ctx context.Context, before *Digest) error {
	list, mark, err := e.allDigests(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		switch {
		case before.Made && d.Day <= before.Day: // it may be on its way still
			continue
		case !d.Made && d.Last > mark.DigestedTo: // one that has lost its sum stays without
			if err := e.makeDigest(ctx, before.Sum, &d); err != nil {
				return err
			}
			e.queue.digested(d)
		}
		*before = d
	}
	return nil
}

func (e *Engine) allDigests(ctx context.Context) (list []Digest, mark Mark, err error) {
	snap, err := e.journal.Snapshot(ctx)
	if err != nil {
		return nil, mark, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	if mark, err = snap.Mark(ctx); err != nil {
		return nil, mark, err
	}
	err = snap.Digests(ctx, func(d Digest) error { list = append(list, d); return nil })
	return list, mark, err
}

// makeDigest reckons d. It reads in portions, so that it does not keep the log
// of the journal from being reset, and rests in between.
func (e *Engine) makeDigest(ctx context.Context, before [32]byte, d *Digest) error {
	h := d.begin(before)
	for after := d.First - 1; after < d.Last; after += digestPortion {
		if after >= d.First {
			if err := rest(ctx, digestRest); err != nil {
				return err
			}
		}
		upTo := min(after+digestPortion, d.Last)
		if err := e.hashRows(ctx, h, after, upTo); err != nil {
			return err
		}
	}
	h.Sum(d.Sum[:0])
	d.Made = true
	return nil
}

// hashRows writes the rows after one up to another to h.
func (e *Engine) hashRows(ctx context.Context, h hash.Hash, after, upTo int64) (err error) {
	snap, err := e.journal.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	next := after
	err = snap.Rows(ctx, after, upTo, func(x *Entry, row []byte) error {
		if next++; x.Seq != next {
			return fmt.Errorf("journal: entry %d follows %d", x.Seq, next-1)
		}
		_, err := h.Write(row)
		return err
	})
	if err == nil && next != upTo {
		err = fmt.Errorf("journal: entry %d is missing", next+1)
	}
	return err
}

// digestRest is how long the digester rests after each portion.
const digestRest = 50 * time.Millisecond

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// digested hands a digest to the committer.
func (q *queue) digested(d Digest) {
	q.mu.Lock()
	q.digests = append(q.digests, d)
	q.mu.Unlock()
	q.wake()
}

// Digests returns the digests of closed days, oldest first. A day is closed by
// the first entry of a later one, or a moment after midnight.
func (e *Engine) Digests(ctx context.Context, f DigestFilter) ([]Digest, error) {
	if err := e.sync(ctx, &barrier{}); err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return e.journal.ListDigests(ctx, f)
}

// chain recomputes the digests while all entries are read.
type chain struct {
	list []Digest
	at   int       // place in list of the digest whose entries come now
	old  int       // digests of which entries are gone
	h    hash.Hash // nil: none of them has come
	sum  [32]byte  // of the digest before
	last int64     // its last entry
	mark Mark
}

// skip skips the digests of which some entries are gone.
func (c *chain) skip(floor int64, rep *Report) {
	for c.at < len(c.list) && c.list[c.at].First <= floor {
		c.sound(rep)
		c.sum, c.last = c.list[c.at].Sum, c.list[c.at].Last
		c.at++
		c.old++
	}
}

// sound says if the digest whose turn it is does not follow the one before, or
// has no sum though it had one, and reports whether it is as it should be.
func (c *chain) sound(rep *Report) bool {
	d := &c.list[c.at]
	switch {
	case d.First != c.last+1 || d.Last < d.First:
		rep.differ("the digest of %s is of entries %d to %d, the one before ends at entry %d", d.Day, d.First, d.Last, c.last)
	case !d.Made && d.Last <= c.mark.DigestedTo:
		rep.differ("the digest of %s is missing, though it was reckoned", d.Day)
	case d.Made && d.Last > c.mark.DigestedTo:
		rep.differ("the digest of %s is there, though it was not reckoned yet", d.Day)
	default:
		return true
	}
	return false
}

// covers reports that some digest covers the entry.
func (c *chain) covers(seq int64) bool {
	return len(c.list) > 0 && seq <= c.list[len(c.list)-1].Last
}

// add adds the row of the next entry.
func (c *chain) add(seq int64, row []byte, rep *Report) {
	for c.at < len(c.list) && seq > c.list[c.at].Last {
		c.end(rep)
	}
	if c.at == len(c.list) || seq < c.list[c.at].First {
		return
	}
	if c.h == nil {
		c.h = c.list[c.at].begin(c.sum)
	}
	_, _ = c.h.Write(row) // a hash takes everything
}

// end compares the digest whose entries have come.
func (c *chain) end(rep *Report) {
	d := &c.list[c.at]
	if c.h == nil {
		c.h = d.begin(c.sum)
	}
	var sum [32]byte
	c.h.Sum(sum[:0])
	switch {
	case !c.sound(rep):
	case !d.Made:
		rep.PendingDigests++
	case d.Sum != sum:
		rep.differ("the digest of %s does not agree with entries %d to %d: they, or the digest before, are not what they were", d.Day, d.First, d.Last)
	default:
		rep.Digests++
	}
	// What is stored, so that a difference does not show on all later days.
	c.sum, c.last, c.h = d.Sum, d.Last, nil
	c.at++
}

// finish ends those whose entries are the last of the journal, or missing.
func (c *chain) finish(rep *Report) {
	for c.at < len(c.list) {
		c.end(rep)
	}
	if c.last != c.mark.ClosedTo {
		rep.differ("days are closed up to entry %d, but their digests are of entries up to %d: some are missing, or made up", c.mark.ClosedTo, c.last)
	}
}
