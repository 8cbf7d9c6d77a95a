package ledger

import (
	"context"
	"maps"
)

// simBook is which entries belong to which day, as far as the batches say.
type simBook struct {
	closed []Digest
	open   Day // newest of those on which the other entries were committed, and of their own times
}

func (b *simBook) last() Digest {
	if len(b.closed) == 0 {
		return Digest{}
	}
	return b.closed[len(b.closed)-1]
}

// digest makes a step of the digester, which has no goroutine here.
func (s *sim) digest() {
	l := s.life
	if err := l.e.digestAll(context.Background(), &l.digested); err != nil {
		s.fail("digest: %v", err)
	}
	s.note("digested up to %s", l.digested.Day)
}

// today is the day of the process that runs.
func (s *sim) today() Day { return max(s.life.day, DayOf(s.wall)) }

// close takes in the day that a batch closes. It must close one if it has the
// first entry of a later one.
func (m *simModel) close(b *Batch) {
	book, last, today := &m.book, m.book.last(), m.s.today()
	open := book.open
	if len(book.closed) > 0 {
		open = max(open, last.Day+1)
	}
	c := b.Closed
	switch {
	case c == nil && len(b.Entries) > 0 && b.After > last.Last && open < today:
		m.s.fail("entry %d is of %s, and entries %d to %d of %s belong to no day that is closed", b.After+1, today, last.Last+1, b.After, open)
	case c != nil && (c.First != last.Last+1 || c.Last != b.After || c.Last < c.First || c.Made || c.Day >= today || (last.Last > 0 && c.Day <= last.Day)):
		m.s.fail("on %s, after entry %d, %+v is closed; the one before was %+v", today, b.After, c, last)
	case c != nil:
		book.closed, book.open = append(book.closed, *c), 0
		m.s.stats.days++
	}
	for _, e := range b.Entries {
		book.open = max(book.open, today, DayOf(e.Time))
	}
	for i := range b.Digested {
		m.digested(&b.Digested[i])
	}
}

// digested takes in a digest, which must be of a closed day, and come after the
// one before.
func (m *simModel) digested(d *Digest) {
	for i := range m.book.closed {
		c := &m.book.closed[i]
		if c.Day != d.Day {
			continue
		}
		if !d.Made || d.First != c.First || d.Last != c.Last || (c.Made && c.Sum != d.Sum) {
			m.s.fail("the digest is %+v, want one of %+v", d, c)
		}
		if i > 0 && !m.book.closed[i-1].Made {
			m.s.fail("%s has a digest, the day before has none", d.Day)
		}
		c.Made, c.Sum = true, d.Sum
		return
	}
	m.s.fail("%s has a digest, and was never closed", d.Day)
}

// allDigested finds closed days without their digest at the end, and digests
// that a verification did not look at.
func (s *sim) allDigested(rep Report) {
	for _, c := range s.model.book.closed {
		if got := s.disk.digests[c.Day]; got != c || !c.Made {
			s.fail("the digest is %+v at the end, want %+v", got, c)
		}
	}
	if n := len(s.model.book.closed); len(s.disk.digests) != n || rep.Digests+rep.OldDigests != n {
		s.fail("%d days were closed, there are %d digests, and %d and %d old ones were verified", n, len(s.disk.digests), rep.Digests, rep.OldDigests)
	}
}

// noneDeleted finds digests that could be deleted, or lose their sum, unseen.
func (s *sim) noneDeleted() {
	ctx, disk := context.Background(), s.disk.digests
	defer func() { s.disk.digests = disk }()
	for day := range disk {
		for _, deleted := range []bool{true, false} {
			s.disk.digests = maps.Clone(disk)
			if d := disk[day]; deleted {
				delete(s.disk.digests, day)
			} else if d.Made {
				d.Made, d.Sum = false, [32]byte{}
				s.disk.digests[day] = d
			} else {
				continue
			}
			if rep, err := Verify(ctx, &MemoryJournal{disk: s.disk}); err != nil || rep.OK {
				s.fail("the digest of %s is not missed (deleted: %t), %v", day, deleted, err)
			}
		}
	}
}
