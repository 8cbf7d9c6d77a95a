package dash

import (
	"encoding/hex"
	"net/http"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// digestJSON is the digest of one day of the journal.
type digestJSON struct {
	Day        string     `json:"day"`
	FirstEntry int64      `json:"first_entry"`
	LastEntry  int64      `json:"last_entry"`
	ClosedAt   *time.Time `json:"closed_at"`
	SHA256     *string    `json:"sha256"` // null: not reckoned yet
}

func (s *server) listDigests(c *call) error {
	q := c.query()
	f := ledger.DigestFilter{Limit: q.page()}
	f.From, f.To = q.span()
	cursor := q.text("cursor")
	if cursor != "" {
		day, err := time.Parse(time.DateOnly, cursor)
		if err != nil {
			q.bad(invalid("cursor", "is not one of ours"))
		}
		f.After = ledger.DayOf(day)
	}
	if err := q.done(); err != nil {
		return err
	}
	limit := f.Limit
	f.Limit++ // one more, to know whether there is another page
	digests, err := s.Ledger.Digests(c.ctx(), f)
	if err != nil {
		return err
	}
	out := list[digestJSON]{Data: []digestJSON{}}
	if len(digests) > limit {
		digests = digests[:limit]
		out.Next = orNull(digests[limit-1].Day.String())
	}
	for _, d := range digests {
		v := digestJSON{Day: d.Day.String(), FirstEntry: d.First, LastEntry: d.Last, ClosedAt: stampOf(d.ClosedAt)}
		if d.Made {
			v.SHA256 = orNull(hex.EncodeToString(d.Sum[:]))
		}
		out.Data = append(out.Data, v)
	}
	return c.write(http.StatusOK, out)
}
