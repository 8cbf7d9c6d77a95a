package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client"
	"github.com/pontage/pontage/client/admin"
)

// remote is how a command reaches a gateway.
type remote struct {
	sys     *system
	server  string
	actor   string
	baseURL string
	envFile string
	json    bool
}

// newRemote adds the flags of a command that talks to the admin API.
func newRemote(sys *system, c *cobra.Command) *remote {
	r := &remote{sys: sys}
	f := c.PersistentFlags()
	f.StringVar(&r.server, "server", "", "`URL` of the admin API (default $PONTAGE_ADMIN_URL, else "+admin.DefaultBaseURL+")")
	f.StringVar(&r.actor, "actor", "", "`name` that is noted with the entries that this makes (default $USER)")
	r.shared(c)
	return r
}

// newCaller adds the flags of a command that calls the API with a key.
func newCaller(sys *system, c *cobra.Command) *remote {
	r := &remote{sys: sys}
	c.PersistentFlags().StringVar(&r.baseURL, "base-url", "", "`URL` of the API (default $PONTAGE_BASE_URL, else "+client.DefaultBaseURL+")")
	r.shared(c)
	return r
}

func (r *remote) shared(c *cobra.Command) {
	f := c.PersistentFlags()
	f.BoolVar(&r.json, "json", false, "print JSON")
	f.StringVar(&r.envFile, "env-file", "data/dev.env", "`file` with PONTAGE_… settings, for what is not in the environment; \"pontage dev\" writes it")
}

// settings are the values that a command takes from its environment.
type settings struct {
	baseURL, apiKey, testKey, adminURL, adminToken string

	tokenIsFor string // URL for which there is a token in the file, which is not that of the command; empty: none
}

// maxEnvFile bounds the file of settings.
const maxEnvFile = 64 << 10

// settings reads the environment and the file. A credential and its URL are
// taken from the same place, so that neither is ever sent to the other's server.
func (r *remote) settings() (settings, error) {
	file, err := r.readEnvFile()
	if err != nil {
		return settings{}, err
	}
	env := r.sys.getenv
	s := settings{
		baseURL: env("PONTAGE_BASE_URL"), apiKey: env("PONTAGE_API_KEY"), testKey: env("PONTAGE_TEST_KEY"),
		adminURL: env("PONTAGE_ADMIN_URL"), adminToken: env("PONTAGE_ADMIN_TOKEN"),
	}
	if r.server != "" {
		s.adminURL = r.server
	}
	if r.baseURL != "" {
		s.baseURL = r.baseURL
	}
	if s.adminToken == "" && (s.adminURL == "" || s.adminURL == file["PONTAGE_ADMIN_URL"]) {
		s.adminURL, s.adminToken = file["PONTAGE_ADMIN_URL"], file["PONTAGE_ADMIN_TOKEN"]
	}
	if s.adminToken == "" && file["PONTAGE_ADMIN_TOKEN"] != "" {
		s.tokenIsFor = file["PONTAGE_ADMIN_URL"]
	}
	if s.apiKey == "" && s.testKey == "" && (s.baseURL == "" || s.baseURL == file["PONTAGE_BASE_URL"]) {
		s.baseURL, s.apiKey, s.testKey = file["PONTAGE_BASE_URL"], file["PONTAGE_API_KEY"], file["PONTAGE_TEST_KEY"]
	}
	return s, nil
}

func (r *remote) readEnvFile() (map[string]string, error) {
	f, err := os.Open(r.envFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	values := map[string]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxEnvFile)
	for lines.Scan() {
		line := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export ")
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[strings.TrimSpace(name)] = value
	}
	return values, lines.Err()
}

// admin returns a client of the admin API.
func (r *remote) admin() (*admin.Client, error) {
	s, err := r.settings()
	if err != nil {
		return nil, err
	}
	if s.adminToken == "" && s.tokenIsFor != "" {
		return nil, usagef("no admin token: that of %s is for %s and is not sent to %s; set PONTAGE_ADMIN_TOKEN", r.envFile, s.tokenIsFor, s.adminURL)
	}
	if s.adminToken == "" {
		return nil, usagef("no admin token: set PONTAGE_ADMIN_TOKEN")
	}
	actor := r.actor
	if user := r.sys.getenv("USER"); actor == "" && len(user) <= 64 && !strings.ContainsFunc(user, func(r rune) bool { return r <= ' ' || r > '~' }) {
		actor = user
	}
	c, err := admin.New(admin.Options{BaseURL: s.adminURL, Token: s.adminToken, HTTPClient: r.sys.http, Actor: actor})
	if err != nil {
		return nil, usagef("%w", err)
	}
	return c, nil
}

// caller returns a client of the API.
func (r *remote) caller(baseURL, key string) (*client.Client, error) {
	c, err := client.New(client.Options{BaseURL: baseURL, APIKey: key, HTTPClient: r.sys.http})
	if err != nil {
		return nil, usagef("%w", err)
	}
	return c, nil
}
