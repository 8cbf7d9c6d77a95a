package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client/admin"
)

func newWebhookCommand(sys *system) *cobra.Command {
	c := group("webhook", "See which events the webhook was told of, and tell it again")
	r := newRemote(sys, c)
	c.AddCommand(webhookList(r), webhookRetry(r))
	return c
}

func webhookList(r *remote) *cobra.Command {
	var state string
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List the events, those of the latest requests first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if state != "" && !slices.Contains([]string{"pending", "delivered", "failed"}, state) {
				return usagef("--state %q: want pending, delivered or failed", state)
			}
			if limit < 1 {
				return usagef("--limit %d: want at least 1", limit)
			}
			api, err := r.admin()
			if err != nil {
				return err
			}
			all, err := collect(admin.All(c.Context(), func(ctx context.Context, cursor string) (*admin.List[admin.Webhook], error) {
				return api.Webhooks(ctx, state, cursor)
			}), limit)
			if err != nil {
				return err
			}
			return printList(r, all, []string{"ID", "TYPE", "ACCOUNT", "STATE", "TRIES", "NEXT", "ENDED", "ERROR"}, func(w admin.Webhook) []string {
				return []string{w.ID, w.Type, accountOf(w), w.State, count(int64(w.Tries)), whenever(w.NextAt), whenever(w.EndedAt), string(w.Error)}
			})
		},
	}
	c.Flags().StringVar(&state, "state", "", "only of this `state`: pending, delivered, failed")
	c.Flags().IntVar(&limit, "limit", 50, "at most so many")
	return c
}

// accountOf returns the account that an event is about.
func accountOf(w admin.Webhook) string {
	var body struct {
		Data struct {
			Account string `json:"account"`
		} `json:"data"`
	}
	_ = json.Unmarshal(w.Body, &body) // another shape names none
	return body.Data.Account
}

func webhookRetry(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "retry EVENT", Short: "Deliver an event now, whatever became of it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := r.admin()
			if err != nil {
				return err
			}
			w, err := api.RetryWebhook(c.Context(), args[0])
			if err != nil {
				return err
			}
			return r.show(w, func() error {
				return r.facts("event", w.ID, "type", w.Type, "account", accountOf(*w), "state", w.State, "tries", fmt.Sprint(w.Tries), "next", whenever(w.NextAt))
			})
		},
	}
}
