package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// stamp cuts to what the store keeps of a time, in UTC.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func noAccount(id ID) *fault.Error { return fault.New(fault.NotFound, "there is no account %s", id) }
func noKey(id KeyID) *fault.Error  { return fault.New(fault.NotFound, "there is no key %s", id) }

// CreateAccount makes an active account. A fault names a bad field.
func (r *Registry) CreateAccount(ctx context.Context, n NewAccount) (*Account, error) {
	if err := checkName(n.Name); err != nil {
		return nil, err
	}
	if err := checkPlan(n.Plan); err != nil {
		return nil, err
	}
	if err := checkWarnBelow(n.WarnBelow); err != nil {
		return nil, err
	}
	r.write.Lock()
	defer r.write.Unlock()
	a := &Account{ID: ID(newID()), Name: n.Name, Plan: n.Plan, Status: StatusActive, CreatedAt: stamp(r.now()), WarnBelow: n.WarnBelow}
	for r.accounts[a.ID] != nil {
		a.ID = ID(newID())
	}
	if err := r.store.PutAccount(ctx, *a); err != nil {
		return nil, fmt.Errorf("create account: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addAccount(a)
	return a, nil
}

// Account returns an account, or a NotFound fault.
func (r *Registry) Account(id ID) (*Account, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if o := r.accounts[id]; o != nil {
		return o.account, nil
	}
	return nil, noAccount(id)
}

// Accounts returns up to limit accounts in the order they were created, from
// the one after the given one on, and whether there are more. After 0 it starts
// with the first; after an account that does not exist it is a NotFound fault.
func (r *Registry) Accounts(after ID, limit int) (page []*Account, more bool, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := 0
	if after != 0 {
		o := r.accounts[after]
		if o == nil {
			return nil, false, noAccount(after)
		}
		from = o.place + 1
	}
	rest := r.order[from:]
	for _, o := range rest[:min(limit, len(rest))] {
		page = append(page, o.account)
	}
	return page, len(rest) > limit, nil
}

// UpdateAccount changes an account and returns it. A fault names a bad field,
// or is NotFound.
func (r *Registry) UpdateAccount(ctx context.Context, id ID, p AccountPatch) (*Account, error) {
	r.write.Lock()
	defer r.write.Unlock()
	old, err := r.Account(id)
	if err != nil {
		return nil, err
	}
	a := *old
	if p.Name != nil {
		a.Name = *p.Name
	}
	if p.Plan != nil {
		a.Plan = *p.Plan
	}
	if p.Status != nil {
		a.Status = *p.Status
	}
	if p.SetWarnBelow {
		a.WarnBelow = p.WarnBelow
	}
	for _, err := range []error{checkName(a.Name), checkPlan(a.Plan), checkWarnBelow(a.WarnBelow), checkOneOf("status", a.Status, StatusActive, StatusSuspended)} {
		if err != nil {
			return nil, err
		}
	}
	if err := r.store.PutAccount(ctx, a); err != nil {
		return nil, fmt.Errorf("update %s: %w", id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.accounts[id]
	o.account = &a
	for _, e := range o.keys {
		e.principal.Store(&Principal{Account: &a, Key: e.key()})
	}
	return &a, nil
}

// CreateKey makes an active key and returns it with its text, which is never to
// be had again. A fault names a bad field, or is NotFound.
func (r *Registry) CreateKey(ctx context.Context, n NewKey) (*Key, string, error) {
	k, err := n.key(r.now())
	if err != nil {
		return nil, "", err
	}
	r.write.Lock()
	defer r.write.Unlock()
	if err := r.makeRoom(ctx, n.Account); err != nil {
		return nil, "", err
	}
	k.ID = KeyID(newID())
	for r.keys[k.ID] != nil {
		k.ID = KeyID(newID())
	}
	secret := newSecret(n.Prefix)
	k.Prefix = secret[:len(n.Prefix)+shownChars]
	h := r.hasher.sum(secret)
	if err := r.store.PutKey(ctx, *k, h); err != nil {
		return nil, "", fmt.Errorf("create key: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookUp(h, r.addKey(r.accounts[n.Account], k, h))
	return k, secret, nil
}

// key checks all fields and fills in the defaults.
func (n NewKey) key(now time.Time) (*Key, error) {
	k := &Key{
		Account: n.Account, Name: n.Name, Kind: n.Kind, Site: strings.ToLower(n.Site), Test: n.Test, Active: true,
		CreatedAt: stamp(now), Limits: n.Limits, Models: slices.Clone(n.Models), OnDisconnect: n.OnDisconnect,
	}
	if k.Kind == "" {
		k.Kind = KindInference
	}
	if k.OnDisconnect == "" {
		k.OnDisconnect = DisconnectCancel
	}
	if !n.ExpiresAt.IsZero() {
		k.ExpiresAt = stamp(n.ExpiresAt)
		if k.Expired(now) {
			return nil, bad("expires_at", "must be in the future")
		}
		if k.ExpiresAt.Year() >= LastYear {
			return nil, bad("expires_at", "must be before the year %d", LastYear)
		}
	}
	for _, err := range []error{
		checkName(k.Name),
		checkOneOf("kind", k.Kind, KindInference, KindBilling),
		checkSite(k.Site),
		checkPrefix(n.Prefix),
		k.Limits.Validate(),
		checkModels(k.Models),
		checkOneOf("on_disconnect", k.OnDisconnect, DisconnectCancel, DisconnectDrain),
	} {
		if err != nil {
			return nil, err
		}
	}
	return k, nil
}

// makeRoom forgets the oldest revoked key of an account that has as many keys
// as it may. r.write is held.
func (r *Registry) makeRoom(ctx context.Context, id ID) error {
	o := r.accounts[id]
	if o == nil {
		return noAccount(id)
	}
	if len(o.keys) < MaxKeys {
		return nil
	}
	i := slices.IndexFunc(o.keys, func(e *entry) bool { return e.key().Revoked() })
	if i < 0 {
		return fault.New(fault.InvalidRequest, "the account has %d keys; revoke one first", MaxKeys)
	}
	gone := o.keys[i].key().ID
	if err := r.store.DeleteKey(ctx, gone); err != nil {
		return fmt.Errorf("forget revoked %s: %w", gone, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o.keys = slices.Delete(slices.Clone(o.keys), i, i+1)
	delete(r.keys, gone)
	return nil
}

// Key returns a key, revoked ones too, or a NotFound fault.
func (r *Registry) Key(id KeyID) (*Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e := r.keys[id]; e != nil {
		return e.key(), nil
	}
	return nil, noKey(id)
}

// Keys returns all keys of an account in the order they were created, revoked
// ones too, or a NotFound fault.
func (r *Registry) Keys(id ID) ([]*Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	o := r.accounts[id]
	if o == nil {
		return nil, noAccount(id)
	}
	keys := make([]*Key, len(o.keys))
	for i, e := range o.keys {
		keys[i] = e.key()
	}
	return keys, nil
}

// UpdateKey changes a key and returns it. A fault names a bad field, or is
// NotFound for a key that does not exist or is revoked.
func (r *Registry) UpdateKey(ctx context.Context, id KeyID, p KeyPatch) (*Key, error) {
	return r.change(ctx, id, func(k *Key) error {
		if k.Revoked() {
			return fault.New(fault.NotFound, "%s is revoked", id)
		}
		if p.Name != nil {
			k.Name = *p.Name
		}
		if p.Active != nil {
			k.Active = *p.Active
		}
		if p.Limits != nil {
			k.Limits = *p.Limits
		}
		if p.Models != nil {
			k.Models = slices.Clone(*p.Models)
		}
		for _, err := range []error{checkName(k.Name), k.Limits.Validate(), checkModels(k.Models)} {
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// RevokeKey makes a key invalid for ever and returns it. Revoking it again
// changes nothing. It is a NotFound fault if there is no such key.
func (r *Registry) RevokeKey(ctx context.Context, id KeyID) (*Key, error) {
	now := stamp(r.now())
	return r.change(ctx, id, func(k *Key) error {
		if !k.Revoked() {
			k.RevokedAt, k.Active = now, false
		}
		return nil
	})
}

// change makes a changed copy of a key the key.
func (r *Registry) change(ctx context.Context, id KeyID, edit func(*Key) error) (*Key, error) {
	r.write.Lock()
	defer r.write.Unlock()
	e := r.keys[id]
	if e == nil {
		return nil, noKey(id)
	}
	old := e.principal.Load()
	k := *old.Key
	if err := edit(&k); err != nil {
		return nil, err
	}
	if err := r.store.PutKey(ctx, k, e.hash); err != nil {
		return nil, fmt.Errorf("change %s: %w", id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.principal.Store(&Principal{Account: old.Account, Key: &k})
	if k.Revoked() {
		r.lookUp(e.hash, nil)
	}
	return &k, nil
}
