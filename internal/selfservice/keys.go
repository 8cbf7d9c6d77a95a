package selfservice

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// Bounds of what is read to list keys.
const (
	glance   = 1000   // newest receipts of the account, looked through for the last use of its keys
	lookups  = 20     // keys whose last use is older than those, and is looked up one by one
	maxLines = 50_000 // lines of a usage report
)

// keyring answers for account.keys. Billing keys are neither shown nor made,
// changed or revoked here: whoever came by one could lock the owner out with it,
// or make himself another and outlast its revocation. An inference key, where
// the route takes one, may change and revoke every inference key of the site,
// itself too; what binds it binds the keys it makes, see [Desk.create].
func (d *Desk) keyring(ctx context.Context, r *Request) (contract.Data, error) {
	if r.ID == "" {
		if err := r.allow("GET", "POST"); err != nil {
			return contract.Data{}, err
		}
		if r.Method == "GET" {
			return d.list(ctx, r)
		}
		return d.create(ctx, r)
	}
	if err := r.allow("PUT", "DELETE"); err != nil {
		return contract.Data{}, err
	}
	if r.Method == "PUT" {
		return d.change(ctx, r)
	}
	return d.revoke(ctx, r)
}

// visible reports whether a key is one that the caller can see: an inference key
// of his that works, or could, at this site on the balance of his own key.
func (r *Request) visible(k *account.Key) bool {
	return k.Account == r.Who.Account.ID && k.Kind == account.KindInference && !k.Revoked() && k.Test == r.test() &&
		(k.Site == "" || strings.EqualFold(k.Site, r.Site))
}

// noKey is the fault of an id that names no visible key. It is the same for keys
// that do not exist and for those that are nobody's business.
func noKey() *fault.Error { return fault.New(fault.NotFound, "There is no such key.").At("id") }

// find returns the visible key with the public id.
func (d *Desk) find(r *Request, id string) (*account.Key, error) {
	n, err := account.ParseKeyID(id)
	if err != nil {
		return nil, noKey()
	}
	k, err := d.accounts.Key(n)
	if err != nil || !r.visible(k) {
		return nil, noKey()
	}
	return k, nil
}

// ring returns the visible keys in the order they were made, and how many of them
// work.
func (d *Desk) ring(r *Request) (keys []*account.Key, active int, err error) {
	all, err := d.accounts.Keys(r.Who.Account.ID)
	if err != nil {
		return nil, 0, err
	}
	now := d.now()
	for _, k := range all {
		if !r.visible(k) {
			continue
		}
		keys = append(keys, k)
		if works(k, now) {
			active++
		}
	}
	return keys, active, nil
}

func works(k *account.Key, now time.Time) bool { return k.Active && !k.Expired(now) }

// list answers a GET. A key's last use is that of its newest request, charged or
// not, if it is among the newest ones of the account; else it is looked up for a
// few keys that were charged, and null for the others.
func (d *Desk) list(ctx context.Context, r *Request) (contract.Data, error) {
	keys, active, err := d.ring(r)
	if err != nil {
		return contract.Data{}, err
	}
	used, total, err := d.used(ctx, r)
	if err != nil {
		return contract.Data{}, err
	}
	last, err := d.lastUses(ctx, r, keys, used)
	if err != nil {
		return contract.Data{}, err
	}
	values := d.standing(r, active)
	if used != nil {
		values["total_requests"], values["total_charge"] = contract.Number(total.requests), contract.USD(total.charge)
	}
	rows := make([]contract.Values, 0, len(keys))
	for _, k := range keys {
		row := d.show(k)
		if used != nil {
			row["requests"], row["charge"] = contract.Number(used[k.ID].requests), contract.USD(used[k.ID].charge)
		}
		row["last_used_at"] = contract.Time(last[k.ID].UTC())
		rows = append(rows, row)
	}
	return contract.Data{Values: values, Lists: map[string][]contract.Values{"keys": rows}}, nil
}

// standing is how the account stands, which every answer about keys tells.
func (d *Desk) standing(r *Request, active int) contract.Values {
	p := d.purse(r)
	v := contract.Values{"active_keys": contract.Number(int64(active)), "has_credits": contract.Flag(p.posted > 0)}
	p.show(v)
	if requests, seconds := window(r.Rate); requests > 0 {
		v["rate_requests"], v["rate_seconds"] = contract.Number(requests), contract.Number(seconds)
	}
	if tokens := r.Rate.TokensPerMinute; tokens > 0 {
		v["rate_tokens"] = contract.Number(tokens)
	}
	return v
}

// show is a key without its use.
func (d *Desk) show(k *account.Key) contract.Values {
	return contract.Values{
		"id": contract.Text(k.ID.String()), "name": contract.Text(k.Name), "prefix": contract.Text(k.Prefix),
		"kind": contract.Text(k.Kind), "active": contract.Flag(works(k, d.now())), "test": contract.Flag(k.Test),
		"created_at": contract.Time(k.CreatedAt), "expires_at": contract.Time(k.ExpiresAt), "revoked_at": contract.Time(k.RevokedAt),
	}
}

// tell answers about one key, after a change to it.
func (d *Desk) tell(r *Request, k *account.Key, message string) (contract.Data, error) {
	_, active, err := d.ring(r)
	if err != nil {
		return contract.Data{}, err
	}
	values := d.standing(r, active)
	for name, v := range d.show(k) {
		values[name] = v
	}
	values["message"] = contract.Text(message)
	return contract.Data{Values: values}, nil
}

// used sums up what every key of the account was charged, and all of them. It is
// nil for an account that has had more keys than one report has lines.
func (d *Desk) used(ctx context.Context, r *Request) (map[account.KeyID]sums, sums, error) {
	rows, err := d.ledger.Usage(ctx, ledger.UsageFilter{
		Account: r.account(), Test: r.test(), GroupBy: []string{ledger.GroupKey}, Limit: maxLines + 1,
	})
	if err != nil {
		return nil, sums{}, err
	}
	if len(rows) > maxLines {
		return nil, sums{}, nil
	}
	used, total := make(map[account.KeyID]sums, len(rows)), sums{}
	for i := range rows {
		used[account.KeyID(rows[i].Key)] = sums{}.plus(&rows[i])
		total = total.plus(&rows[i])
	}
	return used, total, nil
}

// lastUses returns when the newest request of each key began, as far as it is
// found within the bounds; see [Desk.list].
func (d *Desk) lastUses(ctx context.Context, r *Request, keys []*account.Key, used map[account.KeyID]sums) (map[account.KeyID]time.Time, error) {
	last := make(map[account.KeyID]time.Time, len(keys))
	page, next, err := d.ledger.Receipts(ctx, ledger.Filter{Account: r.account(), Limit: glance})
	if err != nil {
		return nil, err
	}
	for _, receipt := range page {
		if id := account.KeyID(receipt.Key); last[id].IsZero() {
			last[id] = receipt.Started
		}
	}
	if next == "" {
		return last, nil
	}
	left := lookups
	for _, k := range keys {
		if !last[k.ID].IsZero() || used[k.ID].requests == 0 || left == 0 {
			continue
		}
		left--
		page, _, err := d.ledger.Receipts(ctx, ledger.Filter{Account: r.account(), Key: int64(k.ID), Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(page) > 0 {
			last[k.ID] = page[0].Started
		}
	}
	return last, nil
}

// create answers a POST: it makes an inference key for this site. What an
// operator tied the asking inference key to cannot be shed by making another
// one: the new key has the same models and way with callers who leave, and
// lives no longer; and since limits are counted by key, so that ten keys may do
// ten times as much, a key with limits of its own makes none. A billing key is
// the owner's and passes nothing on.
func (d *Desk) create(ctx context.Context, r *Request) (contract.Data, error) {
	n := account.NewKey{Account: r.Who.Account.ID, Kind: account.KindInference, Site: r.Site, Test: r.test(), Prefix: r.Prefix}
	var latest time.Time
	if k := r.Who.Key; k.Kind == account.KindInference {
		if k.Limits != (account.Limits{}) {
			return contract.Data{}, fault.New(fault.EndpointNotAllowed, "A key with limits of its own cannot make keys.")
		}
		n.Models, n.OnDisconnect, latest = k.Models, k.OnDisconnect, k.ExpiresAt
	}
	var err error
	if n.Name, n.ExpiresAt, err = readNewKey(r.Body, r.Plain, d.now(), latest); err != nil {
		return contract.Data{}, err
	}
	d.keys.Lock()
	defer d.keys.Unlock()
	if p := d.purse(r); p.posted < r.MinCredit {
		return contract.Data{}, poor(p, r.MinCredit)
	}
	if err := d.room(r); err != nil {
		return contract.Data{}, err
	}
	// The key itself must not be kept for who asks again, so that it is the fact
	// that is, from before there is the key. From here on nobody's leaving counts.
	ctx = context.WithoutCancel(ctx)
	undo, err := r.once(ctx)
	if err != nil {
		return contract.Data{}, err
	}
	k, secret, err := d.accounts.CreateKey(ctx, n)
	if err != nil {
		undo()
		return contract.Data{}, ours(err)
	}
	data, err := d.tell(r, k, "Keep this key now: it is not shown again.")
	if err != nil {
		return contract.Data{}, err
	}
	data.Values["key"] = contract.Text(secret)
	return data, nil
}

// ours makes a fault of a field that the caller did not give a defect of ours.
func ours(err error) error {
	if f := fault.From(err); f.Code == fault.InvalidParameter && !slices.Contains([]string{"name", "expires_at"}, f.Param) {
		return fault.Wrap(fault.Internal, err)
	}
	return err
}

// room refuses one more active key where there are as many as there may be.
// d.keys is held.
func (d *Desk) room(r *Request) error {
	_, active, err := d.ring(r)
	if err == nil && r.MaxKeys > 0 && active >= r.MaxKeys {
		err = fault.New(fault.InvalidRequest, "An account has at most %d active keys. Revoke one first.", r.MaxKeys)
	}
	return err
}

// poor is the fault of a balance that is below what making a key takes.
func poor(p purse, least money.Amount) *fault.Error {
	f := fault.New(fault.BalanceInsufficient, "Making a key takes a balance of at least $%s.", least)
	f.HasMoney, f.Required, f.Balance, f.Available, f.Held = true, least, p.posted, p.available, p.held
	f.LimitSource = "balance"
	return f
}

// change answers a PUT.
func (d *Desk) change(ctx context.Context, r *Request) (contract.Data, error) {
	if _, err := d.find(r, r.ID); err != nil {
		return contract.Data{}, err
	}
	patch, err := readKeyPatch(r.Body, r.Plain)
	if err != nil {
		return contract.Data{}, err
	}
	d.keys.Lock()
	defer d.keys.Unlock()
	k, err := d.find(r, r.ID)
	if err != nil {
		return contract.Data{}, err
	}
	if patch.Active != nil && *patch.Active && !k.Active {
		if k.Expired(d.now()) {
			return contract.Data{}, fault.New(fault.InvalidParameter, "The key has expired.").At("active")
		}
		if err := d.room(r); err != nil {
			return contract.Data{}, err
		}
	}
	k, err = d.accounts.UpdateKey(ctx, k.ID, patch)
	if err != nil {
		return contract.Data{}, gone(err)
	}
	return d.tell(r, k, "The key was changed.")
}

// revoke answers a DELETE.
func (d *Desk) revoke(ctx context.Context, r *Request) (contract.Data, error) {
	d.keys.Lock()
	defer d.keys.Unlock()
	k, err := d.find(r, r.ID)
	if err != nil {
		return contract.Data{}, err
	}
	if k, err = d.accounts.RevokeKey(ctx, k.ID); err != nil {
		return contract.Data{}, gone(err)
	}
	data, err := d.tell(r, k, "The key was revoked, for ever.")
	if err != nil {
		return contract.Data{}, err
	}
	data.Values["deleted"] = contract.Flag(true)
	return data, nil
}

// gone is the fault of a key that an operator revoked in the meantime.
func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return noKey()
	}
	return err
}
