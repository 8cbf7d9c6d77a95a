package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client/admin"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/store/sqlite"
)

func newCreditCommand(sys *system) *cobra.Command {
	c := group("credit", "Add to a balance")
	r := newRemote(sys, c)
	var n admin.NewCredit
	var expires string
	add := &cobra.Command{
		Use: "add ACCOUNT DOLLARS", Short: "Add to the balance of an account", Args: cobra.ExactArgs(2),
		Example: "  pontage credit add acc_0123456789abc 25.00 --reference invoice-17\n  pontage credit add acc_0123456789abc --kind adjust -- -3.50",
		RunE: func(c *cobra.Command, args []string) error {
			at, err := sys.parseTime("expires", expires, 1)
			if err != nil {
				return err
			}
			if !at.IsZero() {
				n.ExpiresAt = &at
			}
			n.AmountUSD = bareDollars(args[1])
			api, err := r.admin()
			if err != nil {
				return err
			}
			e, err := api.Credit(c.Context(), args[0], n)
			if err != nil {
				return err
			}
			return r.entry(e)
		},
	}
	f := add.Flags()
	f.StringVar(&n.Kind, "kind", "topup", "topup, grant (which may expire) or adjust (which may be negative)")
	f.BoolVar(&n.Test, "test", false, "add to the test balance")
	f.StringVar(&expires, "expires", "", "`time` or duration until a grant ends")
	f.StringVar(&n.Reference, "reference", "", "your own `name` of the payment; the same twice is one entry")
	f.StringVar(&n.Note, "note", "", "`words` for whoever reads the ledger")
	c.AddCommand(add)
	return c
}

func (r *remote) entry(e *admin.Entry) error {
	return r.show(e, func() error {
		return r.facts("entry", fmt.Sprint(e.Entry), "account", e.Account, "kind", e.Kind, "test", yes(e.Test, "yes"), "request", string(e.Request),
			"amount", dollars(e.AmountUSD), "balance", dollars(e.BalanceUSD), "reference", string(e.Reference), "note", string(e.Note), "actor", string(e.Actor),
			"expires", whenever(e.ExpiresAt), "created", whenever(e.CreatedAt))
	})
}

func newUsageCommand(sys *system) *cobra.Command {
	var f admin.UsageFilter
	var by, from, to string
	c := &cobra.Command{
		Use: "usage", Short: "Sum up requests, tokens and charges", Args: cobra.NoArgs,
	}
	r := newRemote(sys, c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if f.From, f.To, err = sys.span(from, to); err != nil {
			return err
		}
		f.By = strings.Split(by, ",")
		api, err := r.admin()
		if err != nil {
			return err
		}
		u, err := api.Usage(c.Context(), f)
		if err != nil {
			return err
		}
		return r.show(u, func() error { return r.usage(u) })
	}
	c.Flags().StringVar(&by, "by", "day,model", "`what` to sum up by: day, account, key, model")
	c.Flags().StringVar(&f.Account, "account", "", "only this `account`")
	c.Flags().StringVar(&f.Key, "key", "", "only this `key`")
	c.Flags().StringVar(&f.Model, "model", "", "only this `model`")
	c.Flags().BoolVar(&f.Test, "test", false, "of test keys, in place of live ones")
	spanFlags(c, &from, &to)
	return c
}

func (r *remote) usage(u *admin.UsageReport) error {
	row := func(u admin.Usage) []string {
		return []string{
			u.Day, u.Account, u.Key, u.Model, fmt.Sprint(u.Requests), count(u.Tokens.Input), count(u.Tokens.CachedInput), count(u.Tokens.Output), count(u.Tokens.Reasoning),
			dollars(u.ChargeUSD), some(u.RefundedUSD), some(u.AbsorbedUSD),
		}
	}
	var rows [][]string
	for _, line := range u.Data {
		rows = append(rows, row(line))
	}
	if len(rows) > 1 {
		rows = append(rows, row(admin.Usage{Day: "total", Sums: u.Total}))
	}
	return r.table([]string{"DAY", "ACCOUNT", "KEY", "MODEL", "REQUESTS", "INPUT", "CACHED", "OUTPUT", "REASONING", "CHARGE", "REFUNDED", "ABSORBED"}, rows)
}

func spanFlags(c *cobra.Command, from, to *string) {
	c.Flags().StringVar(from, "from", "", "`time`, day, or duration before now")
	c.Flags().StringVar(to, "to", "", "`time`, day, or duration before now")
}

func (s *system) span(from, to string) (a, b time.Time, err error) {
	if a, err = s.parseTime("from", from, -1); err != nil {
		return a, b, err
	}
	b, err = s.parseTime("to", to, -1)
	return a, b, err
}

func newRequestCommand(sys *system) *cobra.Command {
	c := group("request", "Look into requests that have ended, and refund them")
	r := newRemote(sys, c)
	c.AddCommand(requestShow(r), requestList(r), requestRefund(r))
	return c
}

func requestShow(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "show REQUEST", Short: "Show all that is known of a request", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			v, err := api.Receipt(c.Context(), args[0])
			if err != nil {
				return err
			}
			return r.show(v, func() error { return r.receipt(v) })
		},
	}
}

func requestList(r *remote) *cobra.Command {
	var f admin.ReceiptFilter
	var from, to string
	c := &cobra.Command{
		Use: "list", Short: "List requests, the latest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.Limit < 1 {
				return usagef("--limit %d: want at least 1", f.Limit)
			}
			var err error
			if f.From, f.To, err = r.sys.span(from, to); err != nil {
				return err
			}
			api, err := r.admin()
			if err != nil {
				return err
			}
			most := f.Limit
			f.Limit = min(f.Limit, 200) // of one page
			all, err := collect(admin.All(c.Context(), func(ctx context.Context, cursor string) (*admin.List[admin.Receipt], error) {
				return api.Receipts(ctx, f, cursor)
			}), most)
			if err != nil {
				return err
			}
			return printList(r, all, []string{"ID", "STARTED", "ACCOUNT", "MODEL", "OUTCOME", "STATUS", "FAULT", "INPUT", "OUTPUT", "CHARGE", "TOOK"}, func(v admin.Receipt) []string {
				return []string{
					v.ID, whenever(v.StartedAt), string(v.Account), string(v.Model), v.Outcome, fmt.Sprint(v.Status), string(v.Fault), count(v.Tokens.Input), count(v.Tokens.Output),
					dollars(v.ChargeUSD), millis(v.MS),
				}
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.Account, "account", "", "only of this `account`")
	fl.StringVar(&f.Key, "key", "", "only with this `key`")
	fl.StringVar(&f.Model, "model", "", "only for this `model`")
	fl.StringVar(&f.Outcome, "outcome", "", "only with this `outcome`")
	fl.IntVar(&f.Limit, "limit", 50, "at most so many")
	spanFlags(c, &from, &to)
	return c
}

func requestRefund(r *remote) *cobra.Command {
	var n admin.NewRefund
	c := &cobra.Command{
		Use: "refund REQUEST", Short: "Give back what a request was charged", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			e, err := api.Refund(c.Context(), args[0], n)
			if err != nil {
				return err
			}
			return r.entry(e)
		},
	}
	amountFlag(c.Flags(), &n.AmountUSD, "amount", "`dollars` to give back (default: all that is left of the charge)")
	c.Flags().StringVar(&n.Reference, "reference", "", "your own `name` of the refund; the same twice is one entry")
	c.Flags().StringVar(&n.Note, "note", "", "`words` for whoever reads the ledger (required)")
	_ = c.MarkFlagRequired("note")
	return c
}

func newVerifyCommand(sys *system) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "verify", Short: "Recompute every balance from the ledger's entries", Args: cobra.NoArgs,
		Long: `Recompute every balance, counter, line of usage and digest of a day from the
ledger's entries, and compare them with what is stored and, of a running gateway,
what is in its memory. With --db a database file is read, whether or not a gateway has it open.

It exits with 1 and prints the differences if there are any.`,
	}
	r := newRemote(sys, c)
	c.Flags().StringVar(&path, "db", "", "database `file` to read in place of asking a gateway")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if path != "" {
			v, err := verifyFile(c.Context(), path)
			if err != nil {
				return err
			}
			return r.verification(v)
		}
		api, err := r.admin()
		if err != nil {
			return err
		}
		v, err := api.Verify(c.Context())
		if err != nil {
			return err
		}
		return r.verification(v)
	}
	return c
}

// verifyFile verifies a database file without changing it.
func verifyFile(ctx context.Context, path string) (v *admin.Verification, err error) {
	db, err := sqlite.OpenReadOnly(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rep, err := ledger.Verify(ctx, db.Journal())
	if err != nil {
		return nil, err
	}
	return &admin.Verification{
		OK: rep.OK, Entries: rep.Entries, Accounts: int64(rep.Accounts), Digests: int64(rep.Digests),
		Pending: int64(rep.PendingDigests), Old: int64(rep.OldDigests), Differences: append([]string{}, rep.Differences...),
	}, nil
}

func (r *remote) verification(v *admin.Verification) error {
	err := r.show(v, func() error {
		for _, d := range v.Differences {
			fmt.Fprintln(r.sys.out, printable(d))
		}
		digests := fmt.Sprintf("%d digests", v.Digests)
		if v.Pending > 0 {
			digests += fmt.Sprintf(", %d pending digests", v.Pending)
		}
		if v.Old > 0 {
			digests += fmt.Sprintf(", %d old digests", v.Old)
		}
		fmt.Fprintf(r.sys.out, "%d entries, %d accounts, %s, %d differences\n", v.Entries, v.Accounts, digests, len(v.Differences))
		return nil
	})
	if err == nil && (!v.OK || len(v.Differences) > 0) {
		return errFound
	}
	return err
}

func newTargetCommand(sys *system) *cobra.Command {
	c := group("target", "See how the providers are")
	r := newRemote(sys, c)
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "List the targets and their health", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			l, err := api.Targets(c.Context())
			if err != nil {
				return err
			}
			return printList(r, l.Data, []string{"TARGET", "HEALTHY", "BREAKER", "COOLDOWN", "QUARANTINE", "REASON", "REQUESTS", "FAILURES"}, func(t admin.Target) []string {
				return []string{
					t.Target, map[bool]string{true: "yes", false: "no"}[t.Healthy], t.Breaker, whenever(t.CooldownUntil), whenever(t.QuarantinedUntil), string(t.Reason),
					count(t.Requests), count(t.Failures),
				}
			})
		},
	})
	return c
}

func newConfigCommand(sys *system) *cobra.Command {
	c := group("config", "See what is configured")
	r := newRemote(sys, c)
	c.AddCommand(&cobra.Command{
		Use: "show", Short: "Show the configuration in force as JSON, without secrets", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			v, err := api.EffectiveConfig(c.Context())
			if err != nil {
				return err
			}
			return r.printJSON(v)
		},
	})
	return c
}
