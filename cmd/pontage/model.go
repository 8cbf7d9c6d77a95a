package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client"
)

func newModelCommand(sys *system) *cobra.Command {
	c := group("model", "See which models there are")
	r := newCaller(sys, c)
	var search string
	list := &cobra.Command{
		Use: "list", Short: "List the models that the key may use", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := r.settings()
			if err != nil {
				return err
			}
			api, err := r.caller(s.baseURL, first(s.apiKey, s.testKey))
			if err != nil {
				return err
			}
			models, err := api.Models(c.Context())
			if err != nil {
				return err
			}
			return r.models(models, search)
		},
	}
	list.Flags().StringVar(&search, "search", "", "only models whose id holds this `text`")
	c.AddCommand(list)
	return c
}

func (r *remote) models(all []client.Model, search string) error {
	var found []client.Model
	for _, m := range all {
		if strings.Contains(strings.ToLower(m.ID), strings.ToLower(search)) {
			found = append(found, m)
		}
	}
	if r.json {
		entries := make([]json.RawMessage, len(found))
		for i, m := range found {
			entries[i] = m.Raw
		}
		return r.printJSON(map[string]any{"data": entries})
	}
	return printList(r, found, []string{"MODEL", "BY", "CONTEXT", "INPUT/1M", "OUTPUT/1M", "REQUEST"}, func(m client.Model) []string {
		var more struct {
			Context int64 `json:"context_length"`
			Pricing struct {
				Input   json.RawMessage `json:"input"`
				Output  json.RawMessage `json:"output"`
				Request json.RawMessage `json:"request"`
			} `json:"pricing"`
		}
		_ = json.Unmarshal(m.Raw, &more) // what is not told is not shown
		return []string{m.ID, m.OwnedBy, count(more.Context), price(more.Pricing.Input), price(more.Pricing.Output), price(more.Pricing.Request)}
	})
}

// price shows a number or decimal text as dollars.
func price(raw json.RawMessage) string {
	text := strings.Trim(string(raw), `"`)
	if text == "null" {
		text = ""
	}
	return dollars(text)
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// likedModels are what to talk to when nobody says: small and cheap.
var likedModels = [...]string{"gpt-5-mini", "gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"}

// pickModel chooses one of the models that are there.
func pickModel(models []client.Model) (string, error) {
	there := map[string]bool{}
	for _, m := range models {
		there[m.ID] = true
	}
	for _, id := range likedModels {
		if there[id] {
			return id, nil
		}
	}
	for _, m := range models {
		if !strings.Contains(m.ID, "embed") {
			return m.ID, nil
		}
	}
	return "", fmt.Errorf("there is no model to talk to among %d", len(models))
}
