package app

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/route"
	"github.com/pontage/pontage/internal/store/sqlite"
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
	path := filepath.Join(t.TempDir(), "pontage.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	first, err := pepper(t.Context(), db, path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pepper(t.Context(), db, path)
	if err != nil || string(first) != string(second) || len(first) != 64 {
		t.Errorf("%q, then %q, %v", first, second, err)
	}
	info, err := os.Stat(path + ".pepper")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := CheckPepper(t.Context(), db, path); err != nil {
		t.Errorf("before any key: %v", err)
	}
	if _, err := account.Open(t.Context(), db.Accounts(), first, time.Now); err != nil {
		t.Fatal(err)
	}
	if err := CheckPepper(t.Context(), db, path); err != nil {
		t.Errorf("the right one: %v", err)
	}
	for name, c := range map[string]struct{ content, says string }{
		"cut":     {"short", "want at least 32"},
		"another": {strings.Repeat("x", 64), "not the one"},
		"missing": {"", "put back the file " + path + ".pepper"},
	} {
		if err := os.WriteFile(path+".pepper", []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.content == "" {
			if err := os.Remove(path + ".pepper"); err != nil {
				t.Fatal(err)
			}
		}
		_, err := pepper(t.Context(), db, path)
		if err == nil && name == "another" {
			err = CheckPepper(t.Context(), db, path)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if name == "missing" && CheckPepper(t.Context(), db, path) == nil {
			t.Error("a pepper that is missing is not told")
		}
		left, err := filepath.Glob(path + ".pepper*")
		if err != nil || len(left) > 1 || (name == "missing" && len(left) > 0) {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
	}
}

func TestCheckFindsWhatServeCannotWorkWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.script"), []byte("m: [{nonsense: 1}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	sim := "{kind: sim}"
	for name, c := range map[string]struct{ with, want string }{
		"a vendor that nobody knows": {"{kind: openai, quirks: nonsense, api_key: none}", "pontage.yaml:3: providers.sim.quirks"},
		"a script that says nothing": {"{kind: sim, script: bad.script}", "pontage.yaml:3: providers.sim.script"},
	} {
		err := Check(parse(t, dir, strings.Replace(small, sim, c.with, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := Check(parse(t, dir, small)); err != nil {
		t.Errorf("a good one: %v", err)
	}
	src, err := os.ReadFile("../../contracts/openai.yaml")
	if err != nil {
		t.Fatal(err)
	}
	painted := strings.Replace(string(src), "routes:\n", "routes:\n  GET /v1/x402: {surface: x402.endpoints, envelope: openai}\n", 1)
	if err := os.WriteFile(filepath.Join(dir, "painted.yaml"), []byte(painted), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "pontage.yaml:5: sites[0].contract: painted.yaml: route GET /v1/x402: this gateway does not serve surface x402.endpoints"
	if err := Check(parse(t, dir, strings.Replace(small, "contract: openai", "contract: painted.yaml", 1))); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a surface that nobody serves: %v", err)
	}
}

// A model that is named and has no price at a site that offers it is a mistake
// of the configuration: every request for it would be refused.
func TestCheckFindsModelsWithoutAPrice(t *testing.T) {
	t.Parallel()
	const named, price = "{targets: [{provider: sim}]}", "{price: {input: 1, output: 2}}"
	for name, tt := range map[string]struct{ models, sites, want string }{
		"priced nowhere":          {"m: " + named, `[{hosts: ["*"], contract: openai}]`, "pontage.yaml:3: models.m: has no price"},
		"without sites":           {"m: " + named, "", "pontage.yaml:3: models.m: has no price"},
		"switched off":            {"m: {targets: [{provider: sim}], enabled: false}", `[{hosts: ["*"], contract: openai}]`, ""},
		"priced by the catalogue": {"gpt-4o: " + named, `[{hosts: ["*"], contract: openai}]`, ""},
		"priced at its site":      {"m: " + named, `[{hosts: ["*"], contract: openai, models: {m: ` + price + `}}]`, ""},
		"priced at one of two":    {"m: " + named, `[{hosts: [a.test], contract: openai, models: {m: ` + price + `}}, {hosts: ["*"], contract: openai}]`, "pontage.yaml:3: models.m: has no price"},
		"of a site":               {"gpt-4o: " + named, `[{hosts: ["*"], contract: openai, models: {m: ` + named + `}}]`, "pontage.yaml:4: sites[0].models.m: has no price"},
	} {
		text := "server: {admin_token: t}\nproviders: {sim: {kind: sim}}\nmodels: {" + tt.models + "}\n"
		if tt.sites != "" {
			text += "sites: " + tt.sites + "\n"
		}
		err := Check(parse(t, t.TempDir(), text))
		if got := fmt.Sprint(err); (tt.want == "") != (err == nil) || tt.want != "" && (!strings.Contains(got, tt.want) || strings.Contains(got, "\n")) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// The reference of the configuration lists what needs a restart.
func TestWhatNeedsARestartIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(doc), "need a restart:")
	list, _, ended := strings.Cut(list, "rejected as a whole")
	if !ok || !ended {
		t.Fatal("docs/config.md does not say what needs a restart")
	}
	old := parse(t, t.TempDir(), small)
	c := *old
	c.Server.Listen, c.Server.AdminListen, c.Server.AdminToken, c.Server.BodyLimit, c.Server.BodyTimeout, c.Server.Heartbeat = "x:1", "x:2", "other", 1, 1, 1
	c.Routing.Backoff.Base++
	c.Store.URL, c.Store.Retention = "sqlite:other.db", 1
	c.Sites = append(slices.Clone(c.Sites), config.Site{Listen: "x:3"})
	names := needRestart(old, &c)
	if len(names) != 10 {
		t.Errorf("%d members need a restart: %v", len(names), names)
	}
	for _, name := range names {
		if name == "the addresses of sites (listen)" {
			name = "listen` of `sites[]"
		}
		if !strings.Contains(list, "`"+name+"`") {
			t.Errorf("docs/config.md does not list %s", name)
		}
	}
}

func TestABadReloadScriptsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := open(t, dir, small)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.close() }()
	if err := os.WriteFile(filepath.Join(dir, "good.script"), []byte(`m: [{status: 503, body: "{}"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(small, "{kind: sim}", "{kind: sim, script: good.script}", 1)
	bad := parse(t, dir, text)
	bad.Sites[0].Contract = "gone.yaml" // a file that went since it was checked
	if err := a.Reload(bad); err == nil {
		t.Fatal("a contract that is not there was put in force")
	}
	if got := asked(t, a); got != 200 {
		t.Errorf("after a reload that failed the simulator answers %d", got)
	}
	if err := a.Reload(parse(t, dir, text)); err != nil {
		t.Fatal(err)
	}
	if got := asked(t, a); got != 503 {
		t.Errorf("after a good reload the simulator answers %d, want what its script says", got)
	}
}

// asked asks the simulator, and returns its status.
func asked(t *testing.T, a *App) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://simulator.invalid/v1/chat/completions",
		strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.sim.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestAReloadChangesTheBreakersOfTargetsInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := open(t, dir, small)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.close() }()
	before := a.health.targets["sim/m"].health
	if err := a.Reload(parse(t, dir, small+"routing: {breaker: {failures: 2, open: 7s, max_open: 9s}}\n")); err != nil {
		t.Fatal(err)
	}
	after := a.health.targets["sim/m"].health
	want := route.DefaultNorms
	want.Failures, want.Open, want.MaxOpen = 2, 7*time.Second, 9*time.Second
	if got := after.Norms(); got != want || after != before {
		t.Errorf("norms %+v, want %+v, of the same health", got, want)
	}
}
