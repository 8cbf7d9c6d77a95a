package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client/admin"
)

func newKeyCommand(sys *system) *cobra.Command {
	c := group("key", "Make, change and revoke API keys")
	r := newRemote(sys, c)
	c.AddCommand(keyCreate(r), keyList(r), keyUpdate(r), keyRevoke(r),
		keyActive(r, "activate", "Let a deactivated key work again", true),
		keyActive(r, "deactivate", "Make a key stop working for now", false))
	return c
}

func keyCreate(r *remote) *cobra.Command {
	var k admin.NewKey
	var l admin.Limits
	var expires string
	c := &cobra.Command{
		Use: "create ACCOUNT", Short: "Make a key; it is shown this once", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := r.sys.parseTime("expires", expires, 1)
			if err != nil {
				return err
			}
			if !at.IsZero() {
				k.ExpiresAt = &at
			}
			if l != (admin.Limits{}) {
				k.Limits = &l
			}
			api, err := r.admin()
			if err != nil {
				return err
			}
			made, err := api.CreateKey(c.Context(), args[0], k)
			if err != nil {
				return err
			}
			return r.key(made)
		},
	}
	f := c.Flags()
	f.StringVar(&k.Name, "name", "", "`name`, for people (required)")
	f.StringVar(&k.Kind, "kind", "", "inference (the default) or billing")
	f.StringVar(&k.Site, "site", "", "`host` of the only site where it works")
	f.BoolVar(&k.Test, "test", false, "make a test key: simulated answers, paid from the test balance")
	f.StringVar(&expires, "expires", "", "`time` or duration until it ends by itself")
	f.StringVar(&k.OnDisconnect, "on-disconnect", "", "cancel or drain: what happens to an answer whose caller left")
	f.StringSliceVar(&k.Models, "model", nil, "`pattern` of a model that it may use; several times for several")
	limitFlags(c, &l, "leave it out for no limit")
	_ = c.MarkFlagRequired("name")
	return c
}

// limitFlags adds the flags of limits. A limit of nothing is refused, with the
// words of without, which say how to have none.
func limitFlags(c *cobra.Command, l *admin.Limits, without string) {
	f := c.Flags()
	f.Float64Var(&l.RPS, "rps", 0, "requests a second")
	f.Int64Var(&l.Burst, "burst", 0, "requests at once, with --rps")
	f.Int64Var(&l.Requests, "requests", 0, "requests in any window of --per")
	f.StringVar(&l.Per, "per", "", "`duration` of the window of --requests, such as 60s")
	f.Int64Var(&l.TokensPerMinute, "tokens-per-minute", 0, "tokens of prompts and answers a minute")
	f.Int64Var(&l.RequestsPerDay, "requests-per-day", 0, "requests a UTC day")
	amountFlag(f, &l.USDPerDay, "usd-per-day", "`dollars` a UTC day")
	f.Int64Var(&l.Concurrency, "concurrency", 0, "requests at the same time")
	for _, name := range limitNames {
		if name == "per" {
			continue // a duration, which the gateway checks
		}
		limit := f.Lookup(strings.ReplaceAll(name, "_", "-"))
		limit.Value = positive{limit.Value, without}
	}
}

// limitNames are the limits as the admin API calls them; a flag has "-" for "_".
var limitNames = []string{"rps", "burst", "requests", "per", "tokens_per_minute", "requests_per_day", "usd_per_day", "concurrency"}

// limitsOff returns the limits that are taken off with those of the flag, which
// may be written either way. What has no meaning without a limit goes with it.
func limitsOff(c *cobra.Command, flags []string) ([]string, error) {
	var off []string
	for _, flag := range flags {
		name := strings.ReplaceAll(flag, "-", "_")
		if name == "per" || !slices.Contains(limitNames, name) {
			return nil, usagef("--no-limit %q: want some of rps, burst, requests, tokens-per-minute, requests-per-day, usd-per-day, concurrency", flag)
		}
		off = append(off, name)
		switch name {
		case "rps":
			off = append(off, "burst")
		case "requests":
			off = append(off, "per")
		}
	}
	for _, name := range off {
		if flag := strings.ReplaceAll(name, "_", "-"); c.Flags().Changed(flag) {
			return nil, usagef("--%s sets what --no-limit takes off", flag)
		}
	}
	return off, nil
}

func keyList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list ACCOUNT", Short: "List the keys of an account", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			all, err := collect(admin.All(c.Context(), func(ctx context.Context, cursor string) (*admin.List[admin.Key], error) {
				return api.Keys(ctx, args[0], cursor)
			}), 0)
			if err != nil {
				return err
			}
			return printList(r, all, []string{"ID", "PREFIX", "NAME", "KIND", "SITE", "", "STATUS", "LIMITS", "MODELS", "EXPIRES", "CREATED"}, func(k admin.Key) []string {
				return []string{
					k.ID, k.Prefix + "…", k.Name, k.Kind, string(k.Site), yes(k.Test, "test"), keyStatus(&k), limitText(k.Limits), strings.Join(k.Models, ","),
					whenever(k.ExpiresAt), when(k.CreatedAt),
				}
			})
		},
	}
}

func keyUpdate(r *remote) *cobra.Command {
	var name string
	var models, unlimited []string
	var l admin.Limits
	c := &cobra.Command{
		Use: "update KEY", Short: "Change a key's name, models or limits", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			off, err := limitsOff(c, unlimited)
			if err != nil {
				return err
			}
			p := admin.KeyPatch{NoLimits: off}
			if c.Flags().Changed("name") {
				p.Name = &name
			}
			if c.Flags().Changed("model") {
				p.Models = &models
			}
			if l != (admin.Limits{}) {
				p.Limits = &l
			}
			if p.Name == nil && p.Models == nil && p.Limits == nil && len(off) == 0 {
				return usagef("say what to change: --name, --model, a limit or --no-limit")
			}
			return r.patchKey(c.Context(), args[0], p)
		},
	}
	c.Flags().StringVar(&name, "name", "", "new `name`")
	c.Flags().StringSliceVar(&models, "model", nil, "`patterns` of the models that it may use, in place of those it has")
	c.Flags().StringSliceVar(&unlimited, "no-limit", nil, "`limits` to take off, such as rps,concurrency")
	limitFlags(c, &l, "--no-limit takes a limit off")
	return c
}

func keyRevoke(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "revoke KEY", Short: "End a key for good, from the next request on", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			k, err := api.RevokeKey(c.Context(), args[0])
			if err != nil {
				return err
			}
			return r.key(k)
		},
	}
}

func keyActive(r *remote, use, short string, active bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " KEY", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return r.patchKey(c.Context(), args[0], admin.KeyPatch{Active: &active})
		},
	}
}

func (r *remote) patchKey(ctx context.Context, id string, p admin.KeyPatch) error {
	api, err := r.admin()
	if err != nil {
		return err
	}
	k, err := api.UpdateKey(ctx, id, p)
	if err != nil {
		return err
	}
	return r.key(k)
}

func (r *remote) key(k *admin.Key) error {
	return r.show(k, func() error {
		if k.Key != "" {
			fmt.Fprintln(r.sys.err, "This is the only time that the key is shown.")
		}
		return r.facts("id", k.ID, "key", k.Key, "prefix", k.Prefix+"…", "account", k.Account, "name", k.Name, "kind", k.Kind, "site", string(k.Site), "test", yes(k.Test, "yes"),
			"status", keyStatus(k), "limits", limitText(k.Limits), "models", strings.Join(k.Models, ", "), "on disconnect", k.OnDisconnect,
			"expires", whenever(k.ExpiresAt), "created", when(k.CreatedAt))
	})
}

func keyStatus(k *admin.Key) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case !k.Active:
		return "inactive"
	}
	return "active"
}

// limitText says in a few words what limits a key.
func limitText(l admin.Limits) string {
	var parts []string
	add := func(set bool, format string, args ...any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(l.RPS != 0, "%v/s", l.RPS)
	add(l.Burst != 0, "burst %d", l.Burst)
	add(l.Requests != 0, "%d per %s", l.Requests, l.Per)
	add(l.TokensPerMinute != 0, "%d tokens a minute", l.TokensPerMinute)
	add(l.RequestsPerDay != 0, "%d a day", l.RequestsPerDay)
	add(l.USDPerDay != "" && l.USDPerDay != "0.00", "$%s a day", l.USDPerDay)
	add(l.Concurrency != 0, "%d at once", l.Concurrency)
	return strings.Join(parts, ", ")
}
