package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/app"
	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// What the demo account starts with.
const (
	demoName        = "demo"
	demoBalance     = 10 * money.Dollar
	demoTestBalance = 1000 * money.Dollar
)

func newDevCommand(sys *system) *cobra.Command {
	var addr, adminAddr, data string
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a gateway to play with: no configuration, a simulator, a demo account and key",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf := config.Dev(os.LookupEnv)
			conf.Server.Listen, conf.Server.AdminListen = addr, adminAddr
			abs, err := filepath.Abs(data)
			if err != nil {
				return err
			}
			conf.Store.URL = "sqlite:" + filepath.Join(abs, "pontage.db")
			envFile := filepath.Join(abs, "dev.env")
			old := readEnv(envFile)
			token := old["PONTAGE_ADMIN_TOKEN"]
			if token == "" {
				token = randomToken()
			}
			conf.Server.AdminToken = config.Secret(token)
			a, err := app.New(c.Context(), app.Options{
				Config: conf, Dir: ".", Dev: true,
				Log: sys.err, LogLevel: slog.LevelInfo, Version: version, Failpoints: sys.getenv("PONTAGE_FAILPOINTS"),
			})
			if err != nil {
				return err
			}
			d, err := demo(c.Context(), a, old)
			if err != nil {
				return err
			}
			d.base, d.admin, d.token = "http://"+a.Addr(), "http://"+a.AdminAddr(), token
			if err := d.write(envFile); err != nil {
				return err
			}
			d.greet(sys.out, envFile)
			return serve(c.Context(), a, func() error { return nil }, "")
		},
	}
	f := c.Flags()
	f.StringVar(&addr, "addr", "127.0.0.1:8080", "`address` of the API")
	f.StringVar(&adminAddr, "admin-addr", "127.0.0.1:8081", "`address` of the admin API")
	f.StringVar(&data, "data", "data", "`folder` for the database and dev.env")
	return c
}

// playground is what a developer is given.
type playground struct{ base, admin, token, key, testKey string }

// demo finds the demo account and its keys again, or makes them. Keys are kept
// as hashes, so the keys of an earlier run are known only from its dev.env.
func demo(ctx context.Context, a *app.App, old map[string]string) (playground, error) {
	reg := a.Accounts()
	acc, err := demoAccount(ctx, a)
	if err != nil {
		return playground{}, err
	}
	host, prefix, _ := a.KeyPrefix("", "inference")
	format := account.Format{Prefixes: []string{prefix}, Trim: true}
	make := func(test bool, variable string) (string, error) {
		if k := old[variable]; k != "" {
			if p, err := reg.Resolve(k, format, host); err == nil && p.Account.ID == acc.ID && p.Key.Test == test {
				return k, nil
			}
		}
		name := "demo"
		if test {
			name = "demo test"
		}
		_, secret, err := reg.CreateKey(ctx, account.NewKey{Account: acc.ID, Name: name, Kind: "inference", Test: test, Prefix: prefix})
		return secret, err
	}
	p := playground{}
	if p.key, err = make(false, "PONTAGE_API_KEY"); err != nil {
		return p, fmt.Errorf("demo key: %w", err)
	}
	if p.testKey, err = make(true, "PONTAGE_TEST_KEY"); err != nil {
		return p, fmt.Errorf("demo test key: %w", err)
	}
	return p, nil
}

// demoAccount finds or makes the demo account. Its credits have references, so
// that they are given once.
func demoAccount(ctx context.Context, a *app.App) (*account.Account, error) {
	var acc *account.Account
	page, _, err := a.Accounts().Accounts(0, 100)
	if err != nil {
		return nil, err
	}
	for _, x := range page {
		if x.Name == demoName {
			acc = x
		}
	}
	if acc == nil {
		if acc, err = a.Accounts().CreateAccount(ctx, account.NewAccount{Name: demoName}); err != nil {
			return nil, fmt.Errorf("demo account: %w", err)
		}
	}
	for _, c := range []ledger.Credit{
		{Amount: demoBalance, Reference: "demo"},
		{Amount: demoTestBalance, Reference: "demo test", Test: true},
	} {
		c.Account, c.Kind, c.Note = int64(acc.ID), ledger.KindGrant, "to play with"
		if _, err := a.Ledger().Credit(ctx, c); err != nil {
			return nil, fmt.Errorf("demo credit: %w", err)
		}
	}
	return acc, nil
}

func randomToken() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return "admin-" + hex.EncodeToString(b[:])
}

// readEnv reads NAME=value lines; a file that is not there has none.
func readEnv(path string) map[string]string {
	out := map[string]string{}
	b, err := os.ReadFile(path)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			out[name] = value
		}
	}
	return out
}

// write puts everything a script needs into dev.env, whole or not at all.
func (p playground) write(path string) error {
	text := fmt.Sprintf("PONTAGE_BASE_URL=%s\nPONTAGE_API_KEY=%s\nPONTAGE_TEST_KEY=%s\nPONTAGE_ADMIN_URL=%s\nPONTAGE_ADMIN_TOKEN=%s\n",
		p.base, p.key, p.testKey, p.admin, p.token)
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// greet prints what to paste.
func (p playground) greet(w io.Writer, envFile string) {
	fmt.Fprintf(w, `Pontage is ready: a simulator stands behind every model that no provider key in
your environment serves. The account "demo" has $%[5]s.

  curl %[1]s/v1/chat/completions -H "Authorization: Bearer %[2]s" \
    -H "Content-Type: application/json" \
    -d '{"model":"gpt-5-mini","messages":[{"role":"user","content":"Hello"}]}'

  # Python, openai
  from openai import OpenAI
  client = OpenAI(base_url="%[1]s/v1", api_key="%[2]s")
  print(client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)

  // JavaScript, openai
  import OpenAI from "openai";
  const client = new OpenAI({ baseURL: "%[1]s/v1", apiKey: "%[2]s" });
  console.log((await client.chat.completions.create({ model: "gpt-5-mini", messages: [{ role: "user", content: "Hello" }] })).choices[0].message.content);

  # Python, anthropic
  from anthropic import Anthropic
  client = Anthropic(base_url="%[1]s", api_key="%[2]s")
  print(client.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=[{"role": "user", "content": "Hello"}]).content[0].text)

Admin API: %[3]s. All of this is in %[4]s, for scripts:
  set -a; . %[4]s; set +a; %[6]s chat "Hello"

`, p.base, p.key, p.admin, envFile, demoBalance, os.Args[0])
}
