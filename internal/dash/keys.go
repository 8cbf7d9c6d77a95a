package dash

import (
	"net/http"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/account"
)

// keyJSON is a key, with its text only in the answer that makes it.
type keyJSON struct {
	ID           string         `json:"id"`
	Key          *string        `json:"key,omitzero"`
	Prefix       string         `json:"prefix"`
	Account      string         `json:"account"`
	Name         string         `json:"name"`
	Kind         string         `json:"kind"`
	Site         *string        `json:"site"`
	Test         bool           `json:"test"`
	Active       bool           `json:"active"`
	Limits       account.Limits `json:"limits"`
	Models       []string       `json:"models"`
	OnDisconnect string         `json:"on_disconnect"`
	ExpiresAt    *time.Time     `json:"expires_at"`
	RevokedAt    *time.Time     `json:"revoked_at"`
	CreatedAt    time.Time      `json:"created_at"`
}

func keyOut(k *account.Key) keyJSON {
	return keyJSON{
		ID: k.ID.String(), Prefix: k.Prefix, Account: k.Account.String(), Name: k.Name, Kind: k.Kind, Site: orNull(k.Site),
		Test: k.Test, Active: k.Active, Limits: k.Limits, Models: k.Models, OnDisconnect: k.OnDisconnect,
		ExpiresAt: stampOf(k.ExpiresAt), RevokedAt: stampOf(k.RevokedAt), CreatedAt: k.CreatedAt,
	}
}

// keyOf finds the key of the path.
func (s *server) keyOf(c *call) (*account.Key, error) {
	id, err := account.ParseKeyID(c.r.PathValue("key"))
	if err != nil {
		return nil, fail(http.StatusNotFound, codeNotFound, "", "there is no such key")
	}
	return s.Accounts.Key(id)
}

func (s *server) createKey(c *call) error {
	a, err := s.accountOf(c)
	if err != nil {
		return err
	}
	var in struct {
		Name         *string         `json:"name"`
		Kind         *string         `json:"kind"`
		Site         *string         `json:"site"`
		Test         *bool           `json:"test"`
		Limits       *account.Limits `json:"limits"`
		Models       []string        `json:"models"`
		ExpiresAt    *time.Time      `json:"expires_at"`
		OnDisconnect *string         `json:"on_disconnect"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Name == nil {
		return missing("name")
	}
	n := account.NewKey{
		Account: a.ID, Name: *in.Name, Kind: deref(in.Kind), Test: deref(in.Test), Limits: deref(in.Limits),
		Models: in.Models, ExpiresAt: deref(in.ExpiresAt), OnDisconnect: deref(in.OnDisconnect),
	}
	if n.Kind == "" {
		n.Kind = account.KindInference
	}
	if n.Site, n.Prefix, err = s.start(deref(in.Site), n.Kind); err != nil {
		return err
	}
	k, secret, err := s.Accounts.CreateKey(c.ctx(), n)
	if err != nil {
		return err
	}
	out := keyOut(k)
	out.Key = &secret
	return c.write(http.StatusCreated, out)
}

// start says how a new key starts, and what its site is called.
func (s *server) start(site, kind string) (host, prefix string, err error) {
	if s.KeyPrefix == nil && site == "" {
		return "", "sk-", nil
	}
	ok := s.KeyPrefix != nil
	if ok {
		host, prefix, ok = s.KeyPrefix(site, kind)
	}
	if !ok {
		return "", "", invalid("site", "there is no site at that host")
	}
	return host, prefix, nil
}

func (s *server) listKeys(c *call) error {
	a, err := s.accountOf(c)
	if err != nil {
		return err
	}
	q := c.query()
	limit, cursor := q.page(), q.text("cursor")
	if err := q.done(); err != nil {
		return err
	}
	page, next, err := s.keyPage(a.ID, cursor, limit)
	if err != nil {
		return err
	}
	out := list[keyJSON]{Data: []keyJSON{}, Next: next}
	for _, k := range page {
		out.Data = append(out.Data, keyOut(k))
	}
	return c.write(http.StatusOK, out)
}

// keyPage returns a page of an account's keys and the cursor of the next.
func (s *server) keyPage(a account.ID, cursor string, limit int) (page []*account.Key, next *string, err error) {
	page, err = s.Accounts.Keys(a)
	if err != nil {
		return nil, nil, err
	}
	if cursor != "" {
		i := slices.IndexFunc(page, func(k *account.Key) bool { return k.ID.String() == cursor })
		if i < 0 {
			return nil, nil, badCursor()
		}
		page = page[i+1:]
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1].ID.String()
		next = &last
	}
	return page, next, nil
}

func (s *server) updateKey(c *call) error {
	if _, err := s.keyOf(c); err != nil {
		return err
	}
	body, err := c.body() // before the lock: nobody waits for a slow sender
	if err != nil {
		return err
	}
	s.patchMu.Lock()
	defer s.patchMu.Unlock()
	k, err := s.keyOf(c)
	if err != nil {
		return err
	}
	var in struct {
		Active opt[bool]           `json:"active"`
		Limits opt[account.Limits] `json:"limits"`
		Models opt[[]string]       `json:"models"`
		Name   opt[string]         `json:"name"`
	}
	in.Limits.v = k.Limits // a patch is merged into what there is
	if err := decode(body, &in); err != nil {
		return err
	}
	if k.Revoked() {
		return fail(http.StatusConflict, codeConflict, "", "the key is revoked")
	}
	var p account.KeyPatch
	if p.Active, err = in.Active.ptr("active"); err != nil {
		return err
	}
	if p.Name, err = in.Name.ptr("name"); err != nil {
		return err
	}
	if in.Limits.null {
		in.Limits.v = account.Limits{}
	}
	if in.Limits.set {
		p.Limits = &in.Limits.v
	}
	if in.Models.set { // null is every model
		p.Models = &in.Models.v
	}
	if k, err = s.Accounts.UpdateKey(c.ctx(), k.ID, p); err != nil {
		return err
	}
	return c.write(http.StatusOK, keyOut(k))
}

func (s *server) revokeKey(c *call) error {
	k, err := s.keyOf(c)
	if err != nil {
		return err
	}
	if k, err = s.Accounts.RevokeKey(c.ctx(), k.ID); err != nil {
		return err
	}
	return c.write(http.StatusOK, keyOut(k))
}
