package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/internal/contract"
)

func newCheckCommand(sys *system) *cobra.Command {
	var path, contractPath string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file or a contract, and report every error with its line",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var err error
			if contractPath != "" {
				path = contractPath
				_, err = contract.LoadFile(path)
			} else {
				_, err = loadConfig(path)
			}
			var problems []string
			for _, e := range flatten(err) {
				problems = append(problems, e.Error())
			}
			if asJSON {
				if err := printProblems(sys, path, problems); err != nil {
					return err
				}
				return found(problems)
			}
			for _, p := range problems {
				fmt.Fprintln(sys.out, printable(p))
			}
			if len(problems) == 0 {
				fmt.Fprintf(sys.out, "%s is good\n", path)
			} else {
				fmt.Fprintf(sys.out, "%d wrong\n", len(problems))
			}
			return found(problems)
		},
	}
	c.Flags().StringVar(&path, "config", "pontage.yaml", "configuration `file`")
	c.Flags().StringVar(&contractPath, "contract", "", "contract `file` to check instead, by itself")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printProblems(sys *system, path string, problems []string) error {
	if problems == nil {
		problems = []string{}
	}
	e := json.NewEncoder(sys.out)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"config": path, "ok": len(problems) == 0, "problems": problems})
}

func found(problems []string) error {
	if len(problems) > 0 {
		return errFound
	}
	return nil
}

// flatten lists the errors that were joined, at whatever depth.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}
