package main

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// emptyMeans are the flags whose empty value says something. Every other one
// must not be given empty: a variable of a script that is not set would do what
// leaving the flag out does, such as refunding all.
var emptyMeans = []string{
	"pontage account update --plan",       // none
	"pontage account update --warn-below", // as the site says
	"pontage model list --search",         // every model
}

// refuseEmpty makes the flags of a command refuse empty text.
func refuseEmpty(c *cobra.Command) {
	refuse := func(f *pflag.Flag) {
		switch f.Value.Type() {
		case "string":
		case "stringSlice":
			f.DefValue = strings.TrimSuffix(strings.TrimPrefix(f.DefValue, "["), "]") // the help looks at the type of the value to leave out "[]"
		default:
			return // these never take it
		}
		if !slices.Contains(emptyMeans, c.CommandPath()+" --"+f.Name) {
			f.Value = nonempty{f.Value}
		}
	}
	c.PersistentFlags().VisitAll(refuse)
	c.Flags().VisitAll(refuse)
}

// nonempty is a value of a flag that is not empty, nor any item of it.
type nonempty struct{ pflag.Value }

// Set implements pflag.Value.
func (v nonempty) Set(text string) error {
	if text == "" {
		return errors.New("must not be empty; leave it out if that is what is meant")
	}
	if v.Type() == "stringSlice" && slices.Contains(strings.Split(text, ","), "") {
		return errors.New("an item must not be empty")
	}
	return v.Value.Set(text)
}

// positive is a number of a flag that is greater than 0.
type positive struct {
	pflag.Value
	without string // how to say that there is no limit
}

// Set implements pflag.Value.
func (v positive) Set(text string) error {
	if err := v.Value.Set(text); err != nil {
		return err
	}
	if n, err := strconv.ParseFloat(v.String(), 64); err != nil || !(n > 0) || math.IsInf(n, 0) {
		return errors.New("must be greater than 0; " + v.without)
	}
	return nil
}

// amount is an amount of dollars of a flag.
type amount struct{ pflag.Value }

// Set implements pflag.Value.
func (v amount) Set(text string) error { return v.Value.Set(bareDollars(text)) }

// amountFlag adds a flag of dollars.
func amountFlag(f *pflag.FlagSet, p *string, name, usage string) {
	f.StringVar(p, name, "", usage)
	flag := f.Lookup(name)
	flag.Value = amount{flag.Value}
}

// bareDollars takes the sign of the dollar off an amount: $5, -$5 and $-5 are
// what 5, -5 and -5 are. A sign alone stays, since it is not the same as nothing.
func bareDollars(text string) string {
	rest, negative := strings.CutPrefix(text, "-")
	if rest = strings.TrimPrefix(rest, "$"); rest == "" {
		return text
	}
	return yes(negative, "-") + rest
}
