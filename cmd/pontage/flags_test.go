package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pontage/pontage/internal/money"
)

// A variable of a script that is not set must not do what leaving the flag out
// does.
func TestEmptyFlags(t *testing.T) {
	t.Parallel()
	g := setup(t)
	acc := g.value("id", "account", "create", "demo")
	g.well("credit", "add", acc, "10")
	key := g.value("id", "key", "create", acc, "--name", "k", "--model", "m")
	id := g.spend(acc, key, money.Dollar)
	for _, args := range [][]string{
		{"request", "refund", id, "--note", "x", "--amount", ""},
		{"request", "refund", id, "--note", "x", "--reference="},
		{"credit", "add", acc, "1", "--reference", ""},
		{"credit", "add", acc, "1", "--kind", "grant", "--expires", ""},
		{"key", "create", acc, "--name", "x", "--expires", ""},
		{"key", "create", acc, "--name", "x", "--model", ""},
		{"key", "create", acc, "--name", "x", "--model", "a", "--model", ""},
		{"key", "create", acc, "--name", "x", "--model", "a,"},
		{"key", "create", acc, "--name", "x", "--usd-per-day", ""},
		{"key", "update", key, "--model", ""},
		{"usage", "--account", ""},
		{"account", "list", "--server", ""},
	} {
		flag := args[len(args)-2]
		if !strings.HasPrefix(flag, "--") {
			flag = "--reference"
		}
		if r := g.run(args...); r.code != exitUsage || !strings.Contains(r.err, flag) || !strings.Contains(r.err, "must not be empty") {
			t.Errorf("pontage %q = %+v", args, r)
		}
	}
	if got := g.value("balance_usd", "account", "show", acc); got != "9.00" {
		t.Errorf("the balance is %s afterwards, want 9.00", got)
	}
	g.well("account", "update", acc, "--plan", "", "--warn-below", "")
}

// Every flag with text is one that refuses to be empty, or is listed.
func TestEveryFlagRefusesEmpty(t *testing.T) {
	t.Parallel()
	root := newRoot(&system{now: time.Now})
	watch(root, new(bool))
	listed := map[string]bool{}
	for _, name := range emptyMeans {
		listed[name] = true
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		see := func(f *pflag.Flag) {
			name := c.CommandPath() + " --" + f.Name
			if err := f.Value.Set(""); (err == nil) != listed[name] {
				t.Errorf("%s '' = %v", name, err)
			}
			delete(listed, name)
		}
		c.PersistentFlags().VisitAll(see)
		c.Flags().VisitAll(see)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	for name := range listed {
		t.Errorf("%s is listed, and is not there", name)
	}
}

// A limit of nothing is refused, never taken for no limit.
func TestLimitFlags(t *testing.T) {
	t.Parallel()
	g := setup(t)
	acc := g.value("id", "account", "create", "demo")
	key := g.value("id", "key", "create", acc, "--name", "k", "--rps", "5", "--burst", "7", "--requests", "60", "--per", "60s", "--concurrency", "4", "--usd-per-day", "2.5")
	for _, flag := range []string{"--rps", "--burst", "--requests", "--tokens-per-minute", "--requests-per-day", "--usd-per-day", "--concurrency"} {
		for _, value := range []string{"0", "-1", "NaN", "Inf", "0.00", "", "lots"} {
			if r := g.run("key", "create", acc, "--name", "x", flag+"="+value); r.code != exitUsage || !strings.Contains(r.err, flag) {
				t.Errorf("key create %s=%s = %+v", flag, value, r)
			}
			if r := g.run("key", "update", key, flag+"="+value); r.code != exitUsage || !strings.Contains(r.err, flag) {
				t.Errorf("key update %s=%s = %+v", flag, value, r)
			}
		}
		if r := g.run("key", "create", acc, "--name", "x", flag, "0"); !strings.Contains(r.err, "must be greater than 0; leave it out for no limit") {
			t.Errorf("key create %s 0 = %+v", flag, r)
		}
		if r := g.run("key", "update", key, flag, "0"); !strings.Contains(r.err, "must be greater than 0; --no-limit takes a limit off") {
			t.Errorf("key update %s 0 = %+v", flag, r)
		}
	}
	for _, args := range [][]string{{"--no-limit", "moon"}, {"--no-limit", "per"}, {"--no-limit", ""}, {"--no-limit", "rps", "--rps", "5"}, {"--no-limit", "rps", "--burst", "5"}} {
		if r := g.run(append([]string{"key", "update", key}, args...)...); r.code != exitUsage || !strings.Contains(r.err, "--no-limit") {
			t.Errorf("key update %q = %+v", args, r)
		}
	}
	if out := g.well("key", "list", acc, "--json"); strings.Count(out, `"id"`) != 1 {
		t.Errorf("a refused key was made:\n%s", out)
	}
	if out := g.well("key", "update", key, "--no-limit", "rps,usd-per-day", "--concurrency", "3"); !strings.Contains(out, "  60 per 1m, 3 at once\n") && !strings.Contains(out, "  60 per 60s, 3 at once\n") {
		t.Errorf("after rps and usd-per-day were taken off:\n%s", out)
	}
	if out := g.well("key", "update", key, "--no-limit", "requests", "--no-limit", "concurrency"); strings.Contains(out, "limits") {
		t.Errorf("after all limits were taken off:\n%s", out)
	}
}

// Dollars are written in the same ways wherever they are given.
func TestDollars(t *testing.T) {
	t.Parallel()
	g := setup(t)
	acc := g.value("id", "account", "create", "demo")
	for _, tt := range []struct{ text, balance string }{{"20", "20.00"}, {"$5", "25.00"}, {"-$5.5", "19.50"}, {"$-5", "14.50"}, {"-0.5", "14.00"}} {
		g.well("credit", "add", acc, "--kind", "adjust", "--", tt.text)
		if got := g.value("balance_usd", "account", "show", acc); got != tt.balance {
			t.Errorf("credit add %s makes %s, want %s", tt.text, got, tt.balance)
		}
	}
	id := g.spend(acc, g.value("id", "key", "create", acc, "--name", "k", "--usd-per-day", "$0.5"), money.Dollar)
	for _, text := range []string{"$", "-", "-$", "$$1", "--1", "-$-1", "5$"} {
		if r := g.run("credit", "add", acc, "--kind", "adjust", "--", text); r.code != exitUsage {
			t.Errorf("credit add %s = %+v", text, r)
		}
		for _, args := range [][]string{{"request", "refund", id, "--note", "x", "--amount"}, {"key", "create", acc, "--name", "x", "--usd-per-day"}, {"account", "update", acc, "--warn-below"}} {
			if r := g.run(append(args, text)...); r.code != exitUsage {
				t.Errorf("pontage %v %s = %+v", args, text, r)
			}
		}
	}
	if got := g.value("amount_usd", "request", "refund", id, "--note", "x", "--amount", "$0.25"); got != "0.25" {
		t.Errorf("refund of $0.25 is %s", got)
	}
	if got := g.value("warn_below_usd", "account", "update", acc, "--warn-below", "$2"); got != "2.00" {
		t.Errorf("a warning below $2 is below %s", got)
	}
}
