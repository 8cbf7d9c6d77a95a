package ledger

// This file is what a verification makes of the entries that statements have
// replaced: balances begin with their openings, lines of the usage report with
// their statements, and both must agree with the entries that were kept.

func place(test bool) int {
	if test {
		return 1
	}
	return 0
}

// openBalance begins a balance with its opening, which every stored row includes.
func (s *sums) openBalance(o BalanceRow) error {
	a := s.account(o.Account)
	a.opening, a.moved = o, true
	for i := range a.balances {
		b := &a.balances[i]
		b.credit, b.used = o.Credit[i], o.Used[i]
		b.rowCredit, b.rowUsed = b.credit, b.used
	}
	return nil
}

// openGrant does the same with what was left of a grant.
func (s *sums) openGrant(g GrantRow) error {
	b := &s.account(g.Account).balances[place(g.Test)]
	left := grantSum{seq: g.Seq, expires: g.ExpiresAt.UnixNano(), remaining: g.Remaining}
	b.grants = append(b.grants, &left)
	b.sortGrants()
	b.rowGrants = append(b.rowGrants, left)
	return nil
}

// state begins a line of the usage report with its statement.
func (s *sums) state(row UsageRow) error {
	id := row.UsageID
	a := s.account(id.Account)
	a.stated[place(id.Test)] += row.Charge
	u := s.line(a, id)
	u.row, u.row.UsageID = row, UsageID{}
	return nil
}

// keep adds an entry up to the floor, which openings include.
func (s *sums) keep(e *Entry, rep *Report) {
	rep.Entries++
	switch e.Kind {
	case KindTopup, KindGrant, KindAdjust, KindRefund, KindExpire, KindReduce:
	case KindUsage, KindAbsorbed:
		rep.differ("entry %d is there, but everything up to %d was replaced by statements", e.Seq, s.floor.Seq)
		return
	default:
		rep.differ("entry %d is malformed", e.Seq)
		return
	}
	a := s.account(e.Account)
	switch e.Kind {
	case KindExpire, KindReduce:
		a.kept[place(e.Test)] -= e.Amount
	default:
		a.kept[place(e.Test)] += e.Amount
	}
	if e.Kind == KindRefund {
		s.report(a, e, rep)
	}
}

// compareOpening holds an opening against what has led to it.
func (a *accountSum) compareOpening(id, floor int64, rep *Report) {
	for i, test := range []bool{false, true} {
		if a.opening.Credit[i] != a.kept[i] || a.opening.Used[i] != a.stated[i] {
			rep.differ("account %d, test %t: credit %s and used %s are stored of entry %d, the entries and statements up to it give %s and %s",
				id, test, a.opening.Credit[i], a.opening.Used[i], floor, a.kept[i], a.stated[i])
		}
	}
}
