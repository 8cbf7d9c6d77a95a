package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client/admin"
)

func newAccountCommand(sys *system) *cobra.Command {
	c := group("account", "Make, show and suspend accounts")
	r := newRemote(sys, c)
	c.AddCommand(accountCreate(r), accountList(r), accountShow(r), accountUpdate(r),
		accountStatus(r, "suspend", "Refuse every request of an account from now on", "suspended"),
		accountStatus(r, "resume", "Let a suspended account go on", "active"))
	return c
}

func accountCreate(r *remote) *cobra.Command {
	var plan string
	c := &cobra.Command{
		Use: "create NAME", Short: "Make an account", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			a, err := api.CreateAccount(c.Context(), args[0], plan)
			if err != nil {
				return err
			}
			return r.account(a)
		},
	}
	c.Flags().StringVar(&plan, "plan", "", "`name` of its plan")
	return c
}

func accountList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the accounts", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			all, err := collect(admin.All(c.Context(), api.Accounts), 0)
			if err != nil {
				return err
			}
			return printList(r, all, []string{"ID", "NAME", "PLAN", "STATUS", "BALANCE", "HELD", "AVAILABLE", "CREATED"}, func(a admin.Account) []string {
				return []string{a.ID, a.Name, string(a.Plan), a.Status, dollars(a.BalanceUSD), dollars(a.HeldUSD), dollars(a.AvailableUSD), when(a.CreatedAt)}
			})
		},
	}
}

func accountShow(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "show ACCOUNT", Short: "Show an account and what limits it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			a, err := api.Account(c.Context(), args[0])
			if err != nil {
				return err
			}
			limits, err := collect(admin.All(c.Context(), func(ctx context.Context, cursor string) (*admin.List[admin.Counter], error) {
				return api.Limits(ctx, args[0], cursor)
			}), 0)
			if err != nil {
				return err
			}
			if r.json {
				return r.printJSON(struct {
					*admin.Account
					Limits []admin.Counter `json:"limits"`
				}{a, limits})
			}
			if err := r.account(a); err != nil || len(limits) == 0 {
				return err
			}
			var rows [][]string
			for _, l := range limits {
				if l.Limit == "" && (l.Used == "" || l.Used == "0" || l.Used == "0.00") {
					continue // neither limited nor used
				}
				rows = append(rows, []string{l.Counter, string(l.Key), string(l.Class), yes(l.Test, "test"), string(l.Limit), string(l.Used), string(l.Held), string(l.Per), whenever(l.ResetsAt)})
			}
			return r.table([]string{"LIMIT", "KEY", "CLASS", "", "OF", "USED", "HELD", "PER", "RESETS"}, rows)
		},
	}
}

func accountUpdate(r *remote) *cobra.Command {
	var name, plan, warn string
	c := &cobra.Command{
		Use: "update ACCOUNT", Short: "Change an account's name, plan or warning", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var p admin.AccountPatch
			if c.Flags().Changed("name") {
				p.Name = &name
			}
			if c.Flags().Changed("plan") {
				p.Plan = &plan
			}
			if c.Flags().Changed("warn-below") {
				below := admin.Text(warn)
				p.WarnBelowUSD = &below
			}
			if p == (admin.AccountPatch{}) {
				return usagef("say what to change: --name, --plan or --warn-below")
			}
			return r.patchAccount(c.Context(), args[0], p)
		},
	}
	c.Flags().StringVar(&name, "name", "", "new `name`")
	c.Flags().StringVar(&plan, "plan", "", "`name` of the new plan; empty: none")
	amountFlag(c.Flags(), &warn, "warn-below", "`dollars` of balance below which the webhook is told; 0: never; empty: as the site says")
	return c
}

func accountStatus(r *remote, use, short, status string) *cobra.Command {
	return &cobra.Command{
		Use: use + " ACCOUNT", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return r.patchAccount(c.Context(), args[0], admin.AccountPatch{Status: &status})
		},
	}
}

func (r *remote) patchAccount(ctx context.Context, id string, p admin.AccountPatch) error {
	api, err := r.admin()
	if err != nil {
		return err
	}
	a, err := api.UpdateAccount(ctx, id, p)
	if err != nil {
		return err
	}
	return r.account(a)
}

func (r *remote) account(a *admin.Account) error {
	return r.show(a, func() error {
		return r.facts("account", a.ID, "name", a.Name, "plan", string(a.Plan), "status", a.Status,
			"balance", dollars(a.BalanceUSD), "held", dollars(a.HeldUSD), "available", dollars(a.AvailableUSD), "test balance", dollars(a.TestBalanceUSD), "warned below", dollars(string(a.WarnBelowUSD)),
			"created", when(a.CreatedAt))
	})
}
