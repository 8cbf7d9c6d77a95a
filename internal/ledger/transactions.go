package ledger

import (
	"context"
	"math"
)

// maxPortions bounds how far back in the journal, which has no index by account,
// one page is looked for: in so many listings.
const maxPortions = 16

// Transactions returns the entries that move one balance of an account, newest
// first: at most limit of them, after the offset newest ones. Absorbed costs
// move no balance and are not among them. whole tells that there are no more for
// this page; without it the page would have gone further back than is looked.
func (e *Engine) Transactions(ctx context.Context, account int64, test bool, limit, offset int) (page []Entry, whole bool, err error) {
	before := int64(math.MaxInt64)
	for range maxPortions {
		found, more, err := e.journal.ListEntries(ctx, account, test, before, limit+offset)
		if err != nil {
			return nil, false, err
		}
		for _, x := range found {
			if offset > 0 {
				offset--
				continue
			}
			page = append(page, *x)
			if len(page) == limit {
				return page, true, nil
			}
		}
		if more == 0 {
			return page, true, nil
		}
		before = more
	}
	return page, false, nil
}
