package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/money"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/config.md")

// vars makes an environment of pairs.
func vars(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// anything is an environment in which everything is set.
func anything(name string) (string, bool) { return "value-of-" + name, true }

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites):\n%s", path, diff)
	}
}

var contracts = []string{"openai", "ninjachat", "llmtune", "nanogpt", "modelswitch", "samurai"}

func TestTheDesignsExampleLoads(t *testing.T) {
	t.Parallel()
	c, err := Load("testdata/design.yaml", anything, contracts...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(c.Redacted(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/design.json", string(b)+"\n")

	m := c.Models["gpt-5-mini"]
	if diff := cmp.Diff([]Target{{Provider: "openai"}, {Provider: "local", Model: "my-mini", Weight: 1}}, m.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if *m.Price.Input != 250_000_000 || *m.Price.CachedInput != 25_000_000 || m.Price.CacheWrite != nil || !*m.Enabled || m.Reasoning != nil {
		t.Errorf("gpt-5-mini = %+v, price %+v", m, m.Price)
	}
	if got := []string{c.Classes[0].Name, c.Classes[1].Name, c.Classes[2].Name}; !cmp.Equal(got, []string{"pro", "closed", "open"}) {
		t.Errorf("classes = %v: their order is the file's", got)
	}
	if q := c.Plans["pro"].Classes["pro"]; *q.RequestsPerDay != 650 || q.Billing != "metered" {
		t.Errorf("quota = %+v", q)
	}
	ninja := c.Sites[1]
	if *ninja.Models["gpt-5-mini"].Price.Request != 3_000_000 || ninja.Limits.Per != time.Minute || ninja.BalanceWarningBelow != 5*money.Dollar {
		t.Errorf("ninja = %+v", ninja)
	}
	if p := c.Providers["local"]; p.Timeouts.FirstEvent != Timeout(30*time.Second) || p.Catalog != "" || p.Credentials()[0] != "" {
		t.Errorf("local = %+v", p)
	}
	if c.Providers["openai"].APIKey.Reveal() != "value-of-OPENAI_API_KEY" {
		t.Error("openai's key is not the variable's value")
	}
	if diff := cmp.Diff([]string{"free", "pro"}, c.Sites[2].Plans.Names); diff != "" {
		t.Errorf("samurai's plans (-want +got):\n%s", diff)
	}
}

func TestEveryExampleLoads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, f := range files {
		if _, err := Load(f, anything, contracts...); err != nil {
			t.Error(err)
		}
	}
}

func TestAnEmptyFileHasAllDefaults(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"", "\n# nothing\n", "{}", "server:\nmodels:\nsites:\n  - {}\n"} {
		c, err := Parse("c.yaml", []byte(src), vars())
		if err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		want := Server{Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", BodyLimit: 32 << 20, BodyTimeout: time.Minute, Heartbeat: 15 * time.Second, Drain: 2 * time.Minute, Docs: true}
		if diff := cmp.Diff(want, c.Server); diff != "" {
			t.Errorf("%q: server (-want +got):\n%s", src, diff)
		}
		if c.Routing.Attempts != 3 || c.Routing.Backoff.Base != 250*time.Millisecond || c.Store.URL != "sqlite:data/pontage.db" {
			t.Errorf("%q: routing %+v, store %+v", src, c.Routing, c.Store)
		}
		if len(c.Sites) != 1 || !cmp.Equal(c.Sites[0].Hosts, []string{"*"}) || c.Sites[0].Contract != "openai" || c.Sites[0].Role != "api" {
			t.Errorf("%q: sites = %+v", src, c.Sites)
		}
	}
}

func TestEveryMistakeIsReportedWithItsLine(t *testing.T) {
	t.Parallel()
	_, err := Load("testdata/bad/everything.yaml", vars(), contracts...)
	if err == nil {
		t.Fatal("all of it was accepted")
	}
	golden(t, "testdata/bad/everything.txt", err.Error()+"\n")
}

func TestMistakesAreReported(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, c := range []struct{ name, src, want string }{
		{"unknown field", "server:\n  listne: x\n", `c.yaml:2: server.listne: unknown field (did you mean "listen"?)`},
		{"unknown section", "\n\nmodel: {}\n", `c.yaml:3: model: unknown field (did you mean "models"?)`},
		{"nothing near", "xyzzy: 1\n", "c.yaml:1: xyzzy: unknown field"},
		{"twice", "store: {}\nstore: {}\n", "c.yaml:2: store: is there twice (first in line 1)"},
		{"not YAML", "server:\n  - a\n b: [\n", "not YAML"},
		{"a list", "- a\n", "c.yaml:1: must be a mapping of names to values, not a list"},
		{"a value", "hello\n", "c.yaml:1: must be a mapping of names to values, not a single value"},
		{"two documents", "store: {}\n---\nstore: {}\n", "c.yaml:2: only one document is allowed"},
		{"rubbish behind", "store: {}\n---\n[\n", "not YAML"},
		{"a merge key", "models:\n  a: &a {context: 1}\n  b: {<<: *a}\n", "c.yaml:3: models.b.<<: unknown field"},
		{"a variable in a name", "providers: {${X}: {kind: sim}}\n", "c.yaml:1: providers.${X}: variables are not looked up in names"},
		{"a variable that is not set", "server:\n  admin_token: a-${NOPE}\n", "c.yaml:2: server.admin_token: the environment variable NOPE is not set"},
		{"no variable", "server: {admin_token: \"${A-B}\"}\n", `c.yaml:1: server.admin_token: "A-B" is not the name`},
		{"half a variable", "server: {admin_token: \"${A\"}\n", "c.yaml:1: server.admin_token: ${ begins a variable"},
		{"marks of ours", "store:\n  url: \"\uE000X\uE001\"\n", "c.yaml:2: characters U+E000 to U+E002 are not allowed"},
		{"too deep", "server: " + deep, "not YAML: exceeded max depth"},
		{"no value", "server: {listen: }\n", "c.yaml:1: server.listen: has no value"},
		{"a list for a text", "server: {listen: [a]}\n", "c.yaml:1: server.listen: must be a text, not a list"},
		{"a yes", "server: {docs: yes}\n", `c.yaml:1: server.docs: must be true or false: "yes"`},
		{"a float for money", "models: {m: {price: {input: 1e-1, output: .5}}}\n", `models.m.price.input: must be a decimal number of dollars`},
		{"the same address", "server: {listen: \"127.0.0.1:1\", admin_listen: \"127.0.0.1:1\"}\n", "server.admin_listen: must not be the address of the API"},
		// Outside these bounds another limit than the one written would be enforced.
		{"more requests than are counted", "sites: [{limits: {requests: 100001, per: 60s}}]\n", "sites[0].limits.requests: must be from 0 to 100000"},
		{"too short a retention", "store: {retention: 839h59m}\n", "store.retention: must be from 840h to 876000h"},
		{"an endless retention", "store: {retention: 99999999h}\n", "store.retention: is too long: no duration is longer than 2562047h"},
		{"no end of a timer", "server: {drain: 1h99999999999999999999s}\n", "server.drain: is too long"},
		{"a retention in days", "store: {retention: 90d}\n", "store.retention: must be a duration with a unit"},
		{"too short a window", "sites: [{limits: {requests: 1, per: 1us}}]\n", "sites[0].limits.per: must be from 1ms to 24h"},
		{"too high a rate", "sites: [{limits: {rps: 1000001}}]\n", "sites[0].limits.rps: must be from 0.001 to 1000000"},
		{"too low a rate", "sites: [{limits: {rps: 0.0001}}]\n", "sites[0].limits.rps: must be from 0.001 to 1000000"},
		{"too large a burst", "sites: [{limits: {rps: 1, burst: 1000001}}]\n", "sites[0].limits.burst: must be from 0 to 1000000"},
		{"too many at once", "sites: [{limits: {concurrency: 1000001}}]\n", "sites[0].limits.concurrency: must be from 0 to 1000000"},
		{"a webhook without a secret", "webhooks:\n  url: https://h.example\n", "c.yaml:1: webhooks.secret: is missing"},
		{"a secret without a webhook", "webhooks:\n  secret: 0123456789abcdef\n", "webhooks.url: is missing"},
		{"a short secret", "webhooks:\n  url: https://h.example\n  secret: 0123456789abcde\n", "c.yaml:3: webhooks.secret: is shorter than 16 bytes"},
		{"no URL", "webhooks: {url: h.example, secret: 0123456789abcdef}\n", "webhooks.url: must be a URL like"},
		{"a password in the URL", "webhooks: {url: \"https://u:p@h.example\", secret: 0123456789abcdef}\n", "webhooks.url: must not hold credentials"},
		{"an unknown event", "webhooks:\n  url: https://h.example\n  secret: 0123456789abcdef\n  events: [absorbd]\n", `c.yaml:4: webhooks.events[0]: "absorbd" is not one of balance_warning, absorbed (did you mean "absorbed"?)`},
		{"an event twice", "webhooks: {url: https://h.example, secret: 0123456789abcdef, events: [absorbed, absorbed]}\n", "webhooks.events[1]: is there twice"},
		{"no event", "webhooks: {url: https://h.example, secret: 0123456789abcdef, events: []}\n", "webhooks.events: is empty"},
		{"another member", "webhooks: {urls: [a]}\n", `webhooks.urls: unknown field (did you mean "url"?)`},
		{"a cycle of aliases", "sites: &s [*s]\n", "must be a mapping of names to values, not a list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("c.yaml", []byte(c.src), vars("X", "x"), contracts...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse = %v\nwant %s in it", err, c.want)
			}
		})
	}
}

func TestBoundsOfAFile(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("# comment\n"), MaxSize/10+1)
	if _, err := Parse("c.yaml", big, vars()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a large file: %v", err)
	}
	path := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(path, big, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, vars()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a large file on disk: %v", err)
	}
	if _, err := Load(path+".none", vars()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}

	// Ten thousand sites that share one table of a thousand models.
	var bomb strings.Builder
	bomb.WriteString("sites:\n - &s\n  models:\n")
	for i := range 1000 {
		bomb.WriteString("   m" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + ": {context: 1}\n")
	}
	bomb.WriteString(strings.Repeat(" - *s\n", 10_000))
	_, err := Parse("c.yaml", []byte(bomb.String()), vars())
	if err == nil || !strings.Contains(err.Error(), "more than 200000 values") {
		t.Errorf("a bomb of aliases: %.300v", err)
	}

	var many strings.Builder
	for i := range 300 {
		many.WriteString("x" + strings.Repeat("y", i) + ": 1\n")
	}
	_, err = Parse("c.yaml", []byte(many.String()), vars())
	if err == nil || strings.Count(err.Error(), "\n") != maxProblems || !strings.HasSuffix(err.Error(), "and 200 more") {
		t.Errorf("300 mistakes: %.100v…", err)
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	env := vars("KEY", "k # {x}: y", "HOST", "127.0.0.1", "N", "7", "ON", "false", "EMPTY", "")
	c, err := Parse("c.yaml", []byte(`# ${UNSET} in a comment is nothing
server: {listen: "${HOST}:80", admin_token: ${KEY}, docs: ${ON}}
models: {m: {context: ${N}, owned_by: "a$${N}b${EMPTY}$"}}
`), env)
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.Listen != "127.0.0.1:80" || c.Server.AdminToken.Reveal() != "k # {x}: y" || c.Server.Docs || c.Models["m"].Context != 7 {
		t.Errorf("server = %+v, models = %+v", c.Server, c.Models)
	}
	if got := c.Models["m"].OwnedBy; got != "a${N}b$" {
		t.Errorf("escaped = %q", got)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-value"
	env := vars("S", secret, "BAD", secret+" "+secret)
	c, err := Parse("c.yaml", []byte(`server: {admin_token: ${S}}
providers: {a: {api_key: ${S}}, b: {api_keys: [${S}, other]}}
webhooks: {url: "https://h.example/p", secret: "${S}-16-bytes"}
`), env)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c.Redacted())
	if err != nil {
		t.Fatal(err)
	}
	direct, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(b), string(direct), c.Server.AdminToken.String()} {
		if strings.Contains(shown, secret) || !strings.Contains(shown, redacted) {
			t.Errorf("shown: %s", shown)
		}
	}
	_, err = Parse("c.yaml", []byte("server: {drain: ${S}, body_limit: ${S}}\nproviders: {a: {api_key: ${BAD}, kind: sim}, b: {api_key: ${BAD}}}\n"), env)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("an error shows what is in a variable: %v", err)
	}
	if got := withoutPassword("redis://u:" + secret + "@h:1/0?password=" + secret); strings.Contains(got, secret) {
		t.Errorf("withoutPassword = %s", got)
	}
}

func TestProblemsOfOthersHaveLinesToo(t *testing.T) {
	t.Parallel()
	c, err := Parse("c.yaml", []byte("providers: {sim: {kind: sim}}\nmodels:\n  gpt-4.1:\n    targets: [{provider: sim}]\n    price:\n      input: 1\n"), vars())
	if err != nil {
		t.Fatal(err)
	}
	for path, line := range map[string]int{
		"models.gpt-4.1.price.input": 6, "models.gpt-4.1.price.output": 5, "models.gpt-4.1.targets[0].provider": 4,
		"models.other": 2, "models.gpt-4.1.kind": 3, "plans.x": 1,
	} {
		if p := c.Problem(path, "is wrong"); p.Line != line || !strings.HasPrefix(p.Error(), "c.yaml:") {
			t.Errorf("Problem(%s) = %v, want line %d", path, p, line)
		}
	}
}

func TestContractFilesAreFoundBesideTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "c.yaml")
	c, err := Parse(name, []byte("sites: [{contract: mine.yaml}]"), vars(), contracts...)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.File(c.Sites[0].Contract); got != filepath.Join(dir, "mine.yaml") {
		t.Errorf("File = %s", got)
	}
	if _, err := Parse(name, []byte("sites: [{contract: yours.yaml}]"), vars(), contracts...); err == nil {
		t.Error("a contract file that is not there was accepted")
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/design.yaml", "testdata/bad/everything.yaml", "../../examples/pontage.yaml"} {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("sites: &s [*s]"))
	f.Add([]byte("server: {admin_token: $${A}${B}}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("c.yaml", src, vars("A", "a", "B", "[b"), contracts...)
		if (c == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", c, err)
		}
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if strings.ContainsAny(line, "\uE000\uE001\uE002") {
					t.Errorf("an error shows our marks: %q", line)
				}
			}
			return
		}
		if _, err := json.Marshal(c.Redacted()); err != nil {
			t.Fatal(err)
		}
	})
}
