package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/money"
)

// accounts implements [account.Store].
type accounts struct{ db *DB }

var _ account.Store = accounts{}

// Accounts returns the store of accounts and keys. It works as long as db is
// open.
func (db *DB) Accounts() account.Store { return accounts{db} }

// HasPepper reports whether the keys in the database, or those to come, are hashed
// with a certain pepper.
func (db *DB) HasPepper(ctx context.Context) (bool, error) {
	_, ok, err := accounts{db}.fingerprint(ctx)
	return ok, err
}

// fingerprint returns the fingerprint that is there, if there is one.
func (s accounts) fingerprint(ctx context.Context) (fp account.Hash, ok bool, err error) {
	var b []byte
	err = s.db.Read().QueryRowContext(ctx, `SELECT fingerprint FROM key_pepper WHERE id = 1`).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return fp, false, nil
	}
	if err != nil {
		return fp, false, fmt.Errorf("fingerprint of the key pepper: %w", err)
	}
	return account.Hash(b), true, nil
}

// Fingerprint keeps fp if there is no fingerprint yet, and returns the one there
// is.
func (s accounts) Fingerprint(ctx context.Context, fp account.Hash) (account.Hash, error) {
	if there, ok, err := s.fingerprint(ctx); ok || err != nil {
		return there, err
	}
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO key_pepper (id, fingerprint) VALUES (1, ?) ON CONFLICT DO NOTHING`, fp[:])
		return err
	})
	if err != nil {
		return account.Hash{}, fmt.Errorf("fingerprint of the key pepper: %w", err)
	}
	there, _, err := s.fingerprint(ctx)
	return there, err
}

// Load yields all accounts and then all keys, as they were created.
func (s accounts) Load(ctx context.Context, yieldAccount func(account.Account) error, yieldKey func(account.Key, account.Hash) error) error {
	tx, err := s.db.Read().BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one view of both tables
	if err != nil {
		return fmt.Errorf("load accounts: %w", err)
	}
	if err = loadAccounts(ctx, tx, yieldAccount); err == nil {
		err = loadKeys(ctx, tx, yieldKey)
	}
	if err = errors.Join(err, tx.Rollback()); err != nil {
		return fmt.Errorf("load accounts: %w", err)
	}
	return nil
}

func loadAccounts(ctx context.Context, tx *sql.Tx, yield func(account.Account) error) error {
	const q = `SELECT id, name, plan, status, created_at, warn_below FROM accounts ORDER BY place`
	return eachRow(ctx, tx, q, nil, func(rows *sql.Rows) error {
		var a account.Account
		var created int64
		var warn sql.NullInt64
		if err := rows.Scan(&a.ID, &a.Name, &a.Plan, &a.Status, &created, &warn); err != nil {
			return err
		}
		if warn.Valid {
			a.WarnBelow = (*money.Amount)(&warn.Int64)
		}
		a.CreatedAt = time.UnixMilli(created).UTC()
		return yield(a)
	})
}

func loadKeys(ctx context.Context, tx *sql.Tx, yield func(account.Key, account.Hash) error) error {
	const q = `SELECT id, account_id, hash, name, kind, site, test, prefix, active, revoked_at, expires_at, created_at, limits, models, on_disconnect
		FROM api_keys ORDER BY place`
	return eachRow(ctx, tx, q, nil, func(rows *sql.Rows) error {
		k, h, err := scanKey(rows)
		if err != nil {
			return err
		}
		return yield(k, h)
	})
}

func scanKey(rows *sql.Rows) (k account.Key, h account.Hash, err error) {
	var hash []byte
	var revoked, expires sql.NullInt64
	var created int64
	var limits, models string
	err = rows.Scan(&k.ID, &k.Account, &hash, &k.Name, &k.Kind, &k.Site, &k.Test, &k.Prefix, &k.Active, &revoked, &expires, &created, &limits, &models, &k.OnDisconnect)
	if err != nil {
		return k, h, err
	}
	k.CreatedAt = time.UnixMilli(created).UTC()
	k.RevokedAt, k.ExpiresAt = fromMillis(revoked), fromMillis(expires)
	if err := json.Unmarshal([]byte(limits), &k.Limits); err != nil {
		return k, h, fmt.Errorf("limits of %s: %w", k.ID, err)
	}
	if err := json.Unmarshal([]byte(models), &k.Models); err != nil {
		return k, h, fmt.Errorf("models of %s: %w", k.ID, err)
	}
	if len(k.Models) == 0 {
		k.Models = nil
	}
	return k, account.Hash(hash), nil
}

func fromMillis(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMilli(n.Int64).UTC()
}

func toMillis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// PutAccount inserts or replaces the account.
func (s accounts) PutAccount(ctx context.Context, a account.Account) error {
	var warn sql.NullInt64
	if a.WarnBelow != nil {
		warn = sql.NullInt64{Int64: int64(*a.WarnBelow), Valid: true}
	}
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO accounts (id, place, name, plan, status, created_at, warn_below)
			VALUES (?, (SELECT coalesce(max(place), 0) + 1 FROM accounts), ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, plan = excluded.plan, status = excluded.status, warn_below = excluded.warn_below`,
			a.ID, a.Name, a.Plan, a.Status, a.CreatedAt.UnixMilli(), warn)
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", a.ID, err)
	}
	return nil
}

// PutKey inserts or replaces the key. What a key is born with stays: its hash,
// account, kind, site, prefix and whether it is for testing.
func (s accounts) PutKey(ctx context.Context, k account.Key, h account.Hash) error {
	limits, err := json.Marshal(k.Limits)
	if err != nil {
		return fmt.Errorf("put %s: %w", k.ID, err)
	}
	models, err := json.Marshal(k.Models)
	if err != nil {
		return fmt.Errorf("put %s: %w", k.ID, err)
	}
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO api_keys (id, place, account_id, hash, name, kind, site, test, prefix, active, revoked_at, expires_at, created_at, limits, models, on_disconnect)
			VALUES (?, (SELECT coalesce(max(place), 0) + 1 FROM api_keys), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, active = excluded.active, revoked_at = excluded.revoked_at,
				expires_at = excluded.expires_at, limits = excluded.limits, models = excluded.models, on_disconnect = excluded.on_disconnect`,
			k.ID, k.Account, h[:], k.Name, k.Kind, k.Site, k.Test, k.Prefix, k.Active, toMillis(k.RevokedAt), toMillis(k.ExpiresAt),
			k.CreatedAt.UnixMilli(), string(limits), string(models), k.OnDisconnect)
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", k.ID, err)
	}
	return nil
}

// DeleteKey removes the key, if it is there.
func (s accounts) DeleteKey(ctx context.Context, id account.KeyID) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM api_keys WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", id, err)
	}
	return nil
}
