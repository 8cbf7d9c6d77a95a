package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// Store keeps accounts and keys. Each verb is one transaction, durable when it
// returns, and safe to repeat.
type Store interface {
	// Fingerprint keeps fp if the store has no fingerprint yet, and returns the
	// one it has.
	Fingerprint(ctx context.Context, fp Hash) (Hash, error)

	// Load calls account for every account and then key for every key, each in
	// the order they were created. It stops at the first error.
	Load(ctx context.Context, account func(Account) error, key func(Key, Hash) error) error

	// PutAccount inserts the account, or replaces the one with its ID.
	PutAccount(ctx context.Context, a Account) error

	// PutKey inserts the key, or replaces the one with its ID. A hash that
	// belongs to another key is an error.
	PutKey(ctx context.Context, k Key, h Hash) error

	// DeleteKey removes the key, if it is there.
	DeleteKey(ctx context.Context, id KeyID) error
}

// shards of the lookup by hash; adding a key copies one of them.
const shards = 256

// Registry answers who stands behind a credential. All accounts and keys are in
// memory; a change is written to the store first and then acts on the next
// request. It is used by many goroutines at once, and nothing is to be closed.
type Registry struct {
	store  Store
	now    func() time.Time
	hasher *hasher

	byHash [shards]atomic.Pointer[map[Hash]*entry] // replaced under mu

	write sync.Mutex // serialises changes, so that readers do not wait for the store

	mu       sync.RWMutex
	accounts map[ID]*owner
	order    []*owner // as created
	keys     map[KeyID]*entry
}

// owner is an account with its keys.
type owner struct {
	account *Account
	place   int      // in Registry.order
	keys    []*entry // as created
}

// entry is one key's place; its principal is replaced by every change.
type entry struct {
	hash      Hash
	principal atomic.Pointer[Principal]
}

func (e *entry) key() *Key { return e.principal.Load().Key }

// Open loads everything from the store. The pepper is the secret under which
// keys are hashed, at least 16 bytes; Open refuses another one than the store's
// keys were hashed with, because none of them would be valid.
func Open(ctx context.Context, store Store, pepper []byte, now func() time.Time) (*Registry, error) {
	if err := CheckPepper(ctx, store, pepper); err != nil {
		return nil, err
	}
	r := &Registry{
		store: store, now: now, hasher: newHasher(pepper),
		accounts: make(map[ID]*owner), keys: make(map[KeyID]*entry),
	}
	if err := r.load(ctx); err != nil {
		return nil, fmt.Errorf("load accounts and keys: %w", err)
	}
	return r, nil
}

// CheckPepper refuses another pepper than the store's keys were hashed with. A
// store that has none yet keeps the fingerprint of this one.
func CheckPepper(ctx context.Context, store Store, pepper []byte) error {
	if len(pepper) < 16 {
		return errors.New("the key pepper must be at least 16 bytes")
	}
	fp := newHasher(pepper).sum("pontage key pepper")
	stored, err := store.Fingerprint(ctx, fp)
	if err != nil {
		return fmt.Errorf("read fingerprint of the key pepper: %w", err)
	}
	if stored != fp {
		return errors.New("the key pepper is not the one that the stored keys were hashed with")
	}
	return nil
}

func (r *Registry) load(ctx context.Context) error {
	var byHash [shards]map[Hash]*entry
	err := r.store.Load(ctx, func(a Account) error {
		r.addAccount(&a)
		return nil
	}, func(k Key, h Hash) error {
		o := r.accounts[k.Account]
		if o == nil {
			return fmt.Errorf("%s belongs to %s, which does not exist", k.ID, k.Account)
		}
		e := r.addKey(o, &k, h)
		if k.Revoked() {
			return nil
		}
		if byHash[h[0]] == nil {
			byHash[h[0]] = make(map[Hash]*entry)
		}
		byHash[h[0]][h] = e
		return nil
	})
	for i := range byHash {
		r.byHash[i].Store(&byHash[i])
	}
	return err
}

// addAccount and addKey change the maps; r.mu is held, or nobody else is there.
func (r *Registry) addAccount(a *Account) {
	o := &owner{account: a, place: len(r.order)}
	r.accounts[a.ID] = o
	r.order = append(r.order, o)
}

func (r *Registry) addKey(o *owner, k *Key, h Hash) *entry {
	e := &entry{hash: h}
	e.principal.Store(&Principal{Account: o.account, Key: k})
	o.keys = append(o.keys, e)
	r.keys[k.ID] = e
	return e
}

// lookUp makes the key findable by its hash, or with a nil entry no longer.
func (r *Registry) lookUp(h Hash, e *entry) {
	shard := &r.byHash[h[0]]
	old := *shard.Load()
	next := make(map[Hash]*entry, len(old)+1)
	for k, v := range old {
		next[k] = v
	}
	if e == nil {
		delete(next, h)
	} else {
		next[h] = e
	}
	shard.Store(&next)
}

// Resolve says who stands behind a credential, as it came in a header of a
// request to a place where keys of sites are good. It returns a *fault.Error: KeyMissing if there is none;
// KeyInvalid, without a word more, if it is malformed, unknown, revoked, for
// another site, or longer than [MaxCredential]; KeyExpired; KeyInactive if the
// key is switched off or its account suspended.
//
// It takes no lock. Only the hash of a well-formed key is ever looked up.
func (r *Registry) Resolve(credential string, f Format, sites ...string) (Principal, error) {
	key, err := f.clean(credential)
	if err != nil {
		return Principal{}, err
	}
	h := r.hasher.sum(key)
	e := (*r.byHash[h[0]].Load())[h]
	if e == nil {
		return Principal{}, fault.New(fault.KeyInvalid, "")
	}
	p := e.principal.Load()
	switch k := p.Key; {
	case k.Revoked(),
		k.Site != "" && !among(sites, k.Site):
		return Principal{}, fault.New(fault.KeyInvalid, "")
	case !k.ExpiresAt.IsZero() && k.Expired(r.now()):
		return Principal{}, fault.New(fault.KeyExpired, "")
	case p.Account.Status != StatusActive:
		return Principal{}, fault.New(fault.KeyInactive, "The account of this API key is suspended.")
	case !k.Active:
		return Principal{}, fault.New(fault.KeyInactive, "")
	}
	return *p, nil
}

// among reports whether site is one of sites.
func among(sites []string, site string) bool {
	for _, s := range sites {
		if strings.EqualFold(s, site) {
			return true
		}
	}
	return false
}
