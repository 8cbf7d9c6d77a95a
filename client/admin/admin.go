// Package admin calls the admin API of a Pontage gateway: accounts, keys,
// credits, receipts, usage, health. Its types are those of
// docs/admin.openapi.yaml; amounts are dollars as decimal text, so that nobody
// rounds them. It needs the standard library and package client only.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/client"
)

// DefaultBaseURL is where a gateway on this machine serves its admin API.
const DefaultBaseURL = "http://127.0.0.1:8081"

// Options say whom to call.
type Options struct {
	BaseURL    string       // of the admin listener, without /admin/v1; empty: DefaultBaseURL
	Token      string       // the admin token
	HTTPClient *http.Client // nil: one with a timeout of 60 seconds
	Actor      string       // who calls, noted with every entry that it makes: at most 64 visible characters of ASCII; empty: not told
}

// Client calls one admin API. It is used by many goroutines at once. Every
// error of the API is a [*client.Error]. What reads is tried twice, what
// changes something once.
type Client struct {
	read, write, root *client.Client
	long              *client.Client // for what takes as long as it takes
}

// New returns a Client. It reports an error for a base URL that is none.
func New(o Options) (*Client, error) {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Timeout: 60 * time.Second}
	}
	root := strings.TrimSuffix(strings.TrimRight(o.BaseURL, "/"), "/admin/v1")
	base := root + "/admin/v1"
	header := http.Header{}
	if o.Actor != "" {
		header.Set("X-Pontage-Actor", o.Actor)
	}
	read, err := client.New(client.Options{BaseURL: base, APIKey: o.Token, HTTPClient: o.HTTPClient, MaxRetries: 1, Header: header})
	if err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "API key:", "admin token:", 1))
	}
	write, _ := client.New(client.Options{BaseURL: base, APIKey: o.Token, HTTPClient: o.HTTPClient, MaxRetries: -1, Header: header})
	// The paths beside the API need no token and get none. A base URL without a
	// path would be given one.
	bare, err := client.New(client.Options{BaseURL: root + "/.", HTTPClient: o.HTTPClient, MaxRetries: -1})
	if err != nil {
		return nil, err
	}
	patient := *o.HTTPClient
	patient.Timeout = 0
	long, _ := client.New(client.Options{BaseURL: base, APIKey: o.Token, HTTPClient: &patient, MaxRetries: -1})
	return &Client{read: read, write: write, root: bare, long: long}, nil
}

// List is one page of a list.
type List[T any] struct {
	Data []T  `json:"data"`
	Next Text `json:"next"` // cursor of the next page; empty: this is the last
}

// maxPages bounds a walk over a list.
const maxPages = 100_000

// All walks over the pages of a list. It stops after the first error, which it
// yields.
//
//	for a, err := range admin.All(ctx, func(ctx context.Context, cursor string) (*admin.List[admin.Account], error) {
//		return c.Accounts(ctx, cursor)
//	}) { … }
func All[T any](ctx context.Context, page func(ctx context.Context, cursor string) (*List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		cursor := Text("")
		for range maxPages {
			l, err := page(ctx, string(cursor))
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, v := range l.Data {
				if !yield(v, nil) {
					return
				}
			}
			if l.Next == "" || l.Next == cursor {
				return
			}
			cursor = l.Next
		}
	}
}

// Webhooks lists the events that the webhook is told of, of that state (empty:
// any), from a cursor on; see [All].
func (c *Client) Webhooks(ctx context.Context, state, cursor string) (*List[Webhook], error) {
	return get[List[Webhook]](ctx, c.read, "webhooks", query("state", state, "cursor", cursor))
}

// RetryWebhook delivers an event now, whatever became of it.
func (c *Client) RetryWebhook(ctx context.Context, id string) (*Webhook, error) {
	return send[Webhook](ctx, c.write, http.MethodPost, "webhooks/"+url.PathEscape(id)+"/retry", nil)
}

// CreateAccount makes an account. An empty plan is none.
func (c *Client) CreateAccount(ctx context.Context, name, plan string) (*Account, error) {
	return send[Account](ctx, c.write, http.MethodPost, "accounts", struct {
		Name string `json:"name"`
		Plan string `json:"plan,omitempty"`
	}{name, plan})
}

// Accounts lists the accounts from a cursor on; see [All].
func (c *Client) Accounts(ctx context.Context, cursor string) (*List[Account], error) {
	return get[List[Account]](ctx, c.read, "accounts", query("cursor", cursor))
}

// Account returns one account.
func (c *Client) Account(ctx context.Context, id string) (*Account, error) {
	return get[Account](ctx, c.read, "accounts/"+url.PathEscape(id), nil)
}

// UpdateAccount changes what is not nil.
func (c *Client) UpdateAccount(ctx context.Context, id string, p AccountPatch) (*Account, error) {
	return send[Account](ctx, c.read, http.MethodPatch, "accounts/"+url.PathEscape(id), p)
}

// Credit adds to, or with kind adjust takes from, the balance of an account.
func (c *Client) Credit(ctx context.Context, account string, n NewCredit) (*Entry, error) {
	return send[Entry](ctx, c.write, http.MethodPost, "accounts/"+url.PathEscape(account)+"/credits", n)
}

// CreateKey makes a key. Only this answer holds its text, in Key.
func (c *Client) CreateKey(ctx context.Context, account string, n NewKey) (*Key, error) {
	return send[Key](ctx, c.write, http.MethodPost, "accounts/"+url.PathEscape(account)+"/keys", n)
}

// Keys lists the keys of an account from a cursor on; see [All].
func (c *Client) Keys(ctx context.Context, account, cursor string) (*List[Key], error) {
	return get[List[Key]](ctx, c.read, "accounts/"+url.PathEscape(account)+"/keys", query("cursor", cursor))
}

// UpdateKey changes what is not nil.
func (c *Client) UpdateKey(ctx context.Context, id string, p KeyPatch) (*Key, error) {
	return send[Key](ctx, c.read, http.MethodPatch, "keys/"+url.PathEscape(id), p)
}

// RevokeKey ends a key for good, from the next request on.
func (c *Client) RevokeKey(ctx context.Context, id string) (*Key, error) {
	return send[Key](ctx, c.read, http.MethodDelete, "keys/"+url.PathEscape(id), nil)
}

// Limits lists what limits an account and its keys; see [All].
func (c *Client) Limits(ctx context.Context, account, cursor string) (*List[Counter], error) {
	return get[List[Counter]](ctx, c.read, "accounts/"+url.PathEscape(account)+"/limits", query("cursor", cursor))
}

// Receipt returns what is known of one request.
func (c *Client) Receipt(ctx context.Context, id string) (*Receipt, error) {
	return get[Receipt](ctx, c.read, "requests/"+url.PathEscape(id), nil)
}

// Receipts lists requests, the latest first, from a cursor on; see [All].
func (c *Client) Receipts(ctx context.Context, f ReceiptFilter, cursor string) (*List[Receipt], error) {
	return get[List[Receipt]](ctx, c.read, "requests", query("account", f.Account, "key", f.Key, "model", f.Model, "outcome", f.Outcome,
		"from", stamp(f.From), "to", stamp(f.To), "limit", number(f.Limit), "cursor", cursor))
}

// Refund gives back what a request was charged, or some of it.
func (c *Client) Refund(ctx context.Context, request string, n NewRefund) (*Entry, error) {
	return send[Entry](ctx, c.write, http.MethodPost, "requests/"+url.PathEscape(request)+"/refund", n)
}

// Usage sums up requests.
func (c *Client) Usage(ctx context.Context, f UsageFilter) (*UsageReport, error) {
	test := ""
	if f.Test {
		test = "true"
	}
	return get[UsageReport](ctx, c.read, "usage", query("group_by", strings.Join(f.By, ","), "account", f.Account, "key", f.Key, "model", f.Model,
		"test", test, "from", stamp(f.From), "to", stamp(f.To)))
}

// Verify recomputes every balance from the ledger's entries.
func (c *Client) Verify(ctx context.Context) (*Verification, error) {
	return get[Verification](ctx, c.read, "ledger/verify", nil)
}

// Digests lists the digests of the ledger's days, the first day first, from a
// cursor on; see [All].
func (c *Client) Digests(ctx context.Context, f DigestFilter, cursor string) (*List[Digest], error) {
	return get[List[Digest]](ctx, c.read, "ledger/digests", query("from", stamp(f.From), "to", stamp(f.To), "limit", number(f.Limit), "cursor", cursor))
}

// EffectiveConfig returns the configuration in force, without secrets.
func (c *Client) EffectiveConfig(ctx context.Context) (json.RawMessage, error) {
	raw, err := get[json.RawMessage](ctx, c.read, "effective-config", nil)
	if err != nil {
		return nil, err
	}
	return *raw, nil
}

// Targets lists the targets and how they are.
func (c *Client) Targets(ctx context.Context) (*List[Target], error) {
	return get[List[Target]](ctx, c.read, "targets", nil)
}

// AdvanceClock moves the clock of a test process forward.
func (c *Client) AdvanceClock(ctx context.Context, by time.Duration) error {
	_, err := send[json.RawMessage](ctx, c.write, http.MethodPost, "test/clock", struct {
		Advance string `json:"advance"`
	}{by.String()})
	return err
}

// ArmFault makes a test process fail at a point, times times.
func (c *Client) ArmFault(ctx context.Context, point string, times int) error {
	_, err := send[json.RawMessage](ctx, c.write, http.MethodPost, "test/fault", struct {
		Point string `json:"point"`
		Times int    `json:"times"`
	}{point, times})
	return err
}

// ScriptSim makes a model of the simulator go through steps, a JSON array.
func (c *Client) ScriptSim(ctx context.Context, model string, steps json.RawMessage) error {
	_, err := send[json.RawMessage](ctx, c.write, http.MethodPut, "test/sim", struct {
		Model string          `json:"model"`
		Steps json.RawMessage `json:"steps"`
	}{model, steps})
	return err
}

// Probe is the answer of /healthz or /readyz.
type Probe struct {
	OK       bool
	Degraded []string  // what keeps it from taking traffic
	Reasons  []string  // the same with why, for people
	Date     time.Time // the server's clock, to the second; zero: not told
}

// Alive asks whether the process answers. It needs no token.
func (c *Client) Alive(ctx context.Context) (Probe, error) { return c.probe(ctx, "healthz") }

// Ready asks whether it may take traffic. It needs no token.
func (c *Client) Ready(ctx context.Context) (Probe, error) { return c.probe(ctx, "readyz") }

func (c *Client) probe(ctx context.Context, path string) (Probe, error) {
	resp, err := c.root.Do(ctx, http.MethodGet, path, nil)
	var e *client.Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusServiceUnavailable:
		return degraded(e.Body), nil
	case err != nil:
		return Probe{}, err
	}
	p := degraded(resp.Body)
	p.OK = true
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		p.Date = at
	}
	return p, nil
}

// degraded reads what a probe names; another shape names nothing.
func degraded(body []byte) Probe {
	var v struct {
		Degraded []string `json:"degraded"`
		Reasons  []string `json:"reasons"`
	}
	_ = json.Unmarshal(body, &v)
	return Probe{Degraded: v.Degraded, Reasons: v.Reasons}
}

func get[T any](ctx context.Context, c *client.Client, path string, q url.Values) (*T, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return send[T](ctx, c, http.MethodGet, path, nil)
}

// send makes one call and decodes its answer. A nil body is none.
func send[T any](ctx context.Context, c *client.Client, method, path string, body any) (*T, error) {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	resp, err := c.Do(ctx, method, path, raw)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if len(strings.TrimSpace(string(resp.Body))) == 0 { // 204 of a test control
		return v, nil
	}
	if err := json.Unmarshal(resp.Body, v); err != nil {
		return nil, fmt.Errorf("%s %s: unreadable answer: %w", method, path, err)
	}
	return v, nil
}

// query makes a query of names and values, without the empty ones.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
