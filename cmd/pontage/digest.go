package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client/admin"
)

func newLedgerCommand(sys *system) *cobra.Command {
	c := group("ledger", "Look into the ledger itself")
	c.AddCommand(ledgerDigests(newRemote(sys, c)))
	return c
}

func ledgerDigests(r *remote) *cobra.Command {
	var f admin.DigestFilter
	var from, to string
	most := 31
	c := &cobra.Command{
		Use: "digests", Short: "List the digests of the ledger's days, the first day first", Args: cobra.NoArgs,
		Long: `List the digests of the ledger's days. Each covers all entries of its day and the
digest of the day before: note one of them elsewhere, and nothing up to that day
can be altered later without its being another one. "pontage verify" recomputes
all of them.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if most < 1 {
				return usagef("--limit %d: want at least 1", most)
			}
			var err error
			if f.From, f.To, err = r.sys.span(from, to); err != nil {
				return err
			}
			api, err := r.admin()
			if err != nil {
				return err
			}
			f.Limit = min(most, 200) // of one page
			all, err := collect(admin.All(c.Context(), func(ctx context.Context, cursor string) (*admin.List[admin.Digest], error) {
				return api.Digests(ctx, f, cursor)
			}), most)
			if err != nil {
				return err
			}
			return printList(r, all, strings.Fields("DAY FIRST LAST SHA256"), func(d admin.Digest) []string {
				return []string{d.Day, fmt.Sprint(d.FirstEntry), fmt.Sprint(d.LastEntry), string(d.SHA256)}
			})
		},
	}
	c.Flags().IntVar(&most, "limit", most, "at most so many")
	spanFlags(c, &from, &to)
	return c
}
