package app

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/contract"
)

const small = `server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", admin_token: abcdefghijklmnopqrstuvwxyz}
store: {url: "sqlite:data/pontage.db"}
providers: {sim: {kind: sim}}
models: {m: {targets: [{provider: sim}], price: {input: 1, output: 2}}}
sites: [{hosts: ["*"], contract: openai}]
`

// parse reads a configuration that must be good, as of a file in dir.
func parse(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(filepath.Join(dir, "pontage.yaml"), []byte(text), func(string) (string, bool) { return "", false }, contract.Embedded()...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open makes a gateway in dir.
func open(t *testing.T, dir, text string) (*App, error) {
	t.Helper()
	return New(t.Context(), Options{Config: parse(t, dir, text), Dir: dir, Log: io.Discard})
}

func TestWhatKeepsAGatewayFromStartingIsAnErrorAndNotAPanic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := open(t, dir, small)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.close() }()
	if _, err := open(t, dir, small); err == nil || !strings.Contains(err.Error(), "store") {
		t.Errorf("the second process on one database: %v", err)
	}

	other := t.TempDir()
	busy := strings.Replace(small, `"127.0.0.1:0"`, `"`+first.Addr()+`"`, 1)
	if _, err := open(t, other, busy); err == nil || !strings.Contains(err.Error(), "server.listen") {
		t.Errorf("an address that is taken: %v", err)
	}
	again, err := open(t, other, small)
	if err != nil {
		t.Fatalf("what was made before the error was not closed: %v", err)
	}
	_ = again.close()
}

func TestThePepperIsMadeOnceAndWhole(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "pontage.db")
	first, err := pepper(db)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pepper(db)
	if err != nil || string(first) != string(second) || len(first) != 64 {
		t.Errorf("%q, then %q, %v", first, second, err)
	}
	info, err := os.Stat(db + ".pepper")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(db + ".pepper*")
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.WriteFile(db+".pepper", []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pepper(db); err == nil {
		t.Error("a pepper that was cut is taken")
	}
}
