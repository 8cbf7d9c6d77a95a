package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/ledger"
)

var insertHolds = verb{
	head: "INSERT INTO holds (id, grp, account_id, key_id, test, day, amount, state, charge, result, created, ended, detail) VALUES ",
	row:  "(?,?,?,?,?,?,?,?,0,NULL,?,0,?)",
}

func (t *journalTx) holds(opened []*ledger.HoldRow, ended []ledger.HoldEnd) error {
	err := t.j.each(insertHolds, len(opened), func(a []any, i int) []any {
		h := opened[i]
		return append(a, h.ID[:], h.Group[:], h.Account, h.Key, bit(h.Test), int64(h.Day), int64(h.Amount), int64(h.State), nanos(h.Created), h.Detail())
	})
	if err != nil {
		return err
	}
	for i := range ended {
		h := &ended[i]
		const q = "UPDATE holds SET state = ?, charge = ?, result = ?, ended = ? WHERE id = ? AND state = 1"
		var result any
		if h.Result != nil {
			result = h.Result
		}
		res, err := t.j.exec(q, int64(h.State), int64(h.Charge), result, nanos(h.At), h.ID[:])
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(fmt.Errorf("hold %x is not open", h.ID), err)
		}
	}
	return nil
}

const holdColumns = "id, grp, account_id, key_id, test, day, amount, state, charge, result, created, ended, detail"

func scanHold(s scanner) (h ledger.HoldRow, err error) {
	var id, group, detail []byte
	var test, created, ended int64
	err = s.Scan(&id, &group, &h.Account, &h.Key, &test, (*int32)(&h.Day), (*int64)(&h.Amount), (*uint8)(&h.State), (*int64)(&h.Charge),
		&h.Result, &created, &ended, &detail)
	if err != nil {
		return h, err
	}
	copy(h.ID[:], id)
	copy(h.Group[:], group)
	h.Test, h.Created, h.Ended = test != 0, fromNanos(created), fromNanos(ended)
	return h, h.SetDetail(detail)
}

// ReadHolds implements ledger.Journal.
func (l *ledgerJournal) ReadHolds(ctx context.Context, group [16]byte) (list []ledger.HoldRow, err error) {
	const q = "SELECT " + holdColumns + " FROM holds WHERE grp = ? ORDER BY place"
	err = eachRow(ctx, l.db.read, q, []any{group[:]}, func(rows *sql.Rows) error {
		h, err := scanHold(rows)
		list = append(list, h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return list, nil
}

// OpenHolds implements ledger.Reader.
func (s *snapshot) OpenHolds(ctx context.Context, yield func(ledger.HoldRow) error) error {
	return s.rows(ctx, "SELECT "+holdColumns+" FROM holds WHERE state = 1 ORDER BY place", nil, func(rows *sql.Rows) error {
		h, err := scanHold(rows)
		if err != nil {
			return fmt.Errorf("read open holds: %w", err)
		}
		return yield(h)
	})
}
