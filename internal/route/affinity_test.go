package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// conversation is a request of a caller of a dialect.
func conversation(t *testing.T, body string) *llm.Request {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return &llm.Request{Raw: raw, Stream: true, Size: llm.Size{ASCII: int64(len(body))}}
}

var long = strings.Repeat("A bridge is long. ", CachedFrom/10)

func TestTheTurnsOfAConversationAreOneSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, second, other string }{
		"chat completions": {
			`{"model":"m","messages":[{"role":"system","content":"` + long + `"},{"role":"user","content":"Is \"user\" open?"}]}`,
			`{"model":"m","messages":[{"role":"system","content":"` + long + `"},{"role":"user","content":"Is \"user\" open?"},{"role":"assistant","content":"Yes."},{"role":"user","content":"And now?"}]}`,
			`{"model":"m","messages":[{"role":"system","content":"` + long + `"},{"role":"user","content":"Is \"user\" closed?"}]}`,
		},
		"messages": {
			`{"system":"` + long + `","tools":[{"name":"a"}],"messages":[ {"role":"user","content":[{"type":"text","text":"[Hi]"}]} ]}`,
			`{"system":"` + long + `","tools":[{"name":"a"}],"messages":[ {"role":"user","content":[{"type":"text","text":"[Hi]"}]} , {"role":"assistant","content":"Yes"}]}`,
			`{"system":"` + long + `","tools":[{"name":"b"}],"messages":[ {"role":"user","content":[{"type":"text","text":"[Hi]"}]} ]}`,
		},
		"contents": {
			`{"contents":[{"parts":[{"text":"` + long + `"}]}]}`,
			`{"contents":[{"parts":[{"text":"` + long + `"}]},{"role":"model","parts":[{"text":"Yes"}]}]}`,
			`{"contents":[{"parts":[{"text":"Other ` + long + `"}]}]}`,
		},
		"a name of the cache": {
			`{"prompt_cache_key":"k","input":"Hello"}`, `{"prompt_cache_key":"k","input":"And now?"}`, `{"prompt_cache_key":"l","input":"Hello"}`,
		},
		"a user": {
			`{"metadata":{"user_id":"u_session_1"},"messages":[]}`, `{"metadata":{"user_id":"u_session_1"},"messages":[{"role":"user"}]}`, `{"metadata":{"user_id":"u_session_2"},"messages":[]}`,
		},
		"a conversation": {
			`{"conversation":{"id":"c1"},"input":"a"}`, `{"conversation":{"id":"c1"},"input":"b"}`, `{"conversation":{"id":"c2"},"input":"a"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := func(body string, scope int64) uint64 {
				key, ok := Session(conversation(t, body), "", scope)
				if !ok {
					t.Fatalf("no session: %s", body)
				}
				return key
			}
			if session(c.first, 1) != session(c.second, 1) {
				t.Error("the second turn is another session")
			}
			if session(c.first, 1) == session(c.other, 1) {
				t.Error("another conversation is the same session")
			}
			if session(c.first, 1) == session(c.first, 2) {
				t.Error("two callers share a session")
			}
		})
	}
}

func TestWhatNoProviderCachesIsNoSession(t *testing.T) {
	t.Parallel()
	short := conversation(t, `{"messages":[{"role":"user","content":"Hi"}]}`)
	if _, ok := Session(short, "", 1); ok {
		t.Error("a short prompt is a session")
	}
	a, ok := Session(short, "mine", 1)
	if b, _ := Session(conversation(t, `{"messages":[]}`), "mine", 1); !ok || a != b {
		t.Error("a session that the caller names is none, or two")
	}
	embed := conversation(t, `{"input":"`+long+`"}`)
	embed.Task = llm.TaskEmbed
	if _, ok := Session(embed, "mine", 1); ok {
		t.Error("embeddings are a session")
	}
	// Whatever stands there, it is looked at in bounds and without harm.
	for _, body := range []string{`{"messages":[]}`, `{"messages":[1,2]}`, `{"messages":{}}`, `{"messages":""}`, `{"metadata":[],"conversation":7,"prompt_cache_key":null}`} {
		r := conversation(t, body)
		r.Size.ASCII = CachedFrom
		if _, ok := Session(r, "", 1); !ok {
			t.Errorf("%s: no session", body)
		}
	}
}

func TestASessionStaysWhereItIs(t *testing.T) {
	t.Parallel()
	b := setup()
	var p Plan
	for i := range 4 {
		target, _ := b.target(fmt.Sprint("t", i), says("hi"))
		target.Weight = 1
		p.Targets = append(p.Targets, target)
	}
	p.Targets[3].Weight = 3
	p.HasSession = true
	where, won := map[uint64]string{}, map[string]int{}
	for session := range uint64(600) {
		p.Session = session
		for range 2 {
			_, a, err := b.open(p)
			if err != nil {
				t.Fatal(err)
			}
			if at := where[session]; at != "" && at != a.Target() {
				t.Fatalf("session %d was at %s and is at %s", session, at, a.Target())
			}
			where[session] = a.Target()
		}
		won[where[session]]++
	}
	if won["t0"] < 60 || won["t3"] < 220 || won["t3"] > 380 {
		t.Errorf("sessions by target: %v; want about 100 and 300", won)
	}
	// Who goes away takes its own sessions along, and they come back to it.
	b.broken(p.Targets[0])
	p.Targets[0].Health.openUntil = b.clock.t.Add(DefaultNorms.Open)
	for session, at := range where {
		p.Session = session
		_, a, err := b.open(p)
		if err != nil || (at == "t0") == (a.Target() == at) {
			t.Fatalf("session %d was at %s and is at %s while t0 is out of use (%v)", session, at, a.Target(), err)
		}
	}
	b.clock.t = b.clock.t.Add(DefaultNorms.Open)
	for session, at := range where {
		p.Session = session
		if _, a, err := b.open(p); err != nil || a.Target() != at {
			t.Fatalf("session %d is at %s and not back at %s (%v)", session, a.Target(), at, err)
		}
	}
}

func TestASessionThatMayNotMoveDoesNot(t *testing.T) {
	t.Parallel()
	b := setup()
	down, _ := b.target("down", fail(fault.UpstreamOverloaded, false, true))
	up, calls := b.target("up", says("hi"))
	up.Model = "other"
	if _, _, err := b.open(Plan{Targets: []*Target{down, up}, Stay: SameTarget}); !fault.Is(err, fault.UpstreamOverloaded) || calls.calls != 0 {
		t.Errorf("%v after %d calls elsewhere", err, calls.calls)
	}
	// The other model of the same provider is another cache, but no other provider.
	up.Provider = down.Provider
	if _, _, err := b.open(Plan{Targets: []*Target{down, up}, Stay: SameProvider}); !fault.Is(err, fault.UpstreamOverloaded) || len(b.log) != 2 {
		t.Errorf("%v: %s", err, b.outcomes())
	}
	if _, _, err := b.open(Plan{Targets: []*Target{down, up}, Stay: SameTarget}); !fault.Is(err, fault.UpstreamOverloaded) || len(b.log) != 1 {
		t.Errorf("%v: %s", err, b.outcomes())
	}
}

func TestStateGoesBackToWhoIssuedIt(t *testing.T) {
	t.Parallel()
	b := setup()
	one, _ := b.target("one/m", says("hi"))
	two, _ := b.target("two/m", says("hi"))
	one.Name, two.Name = "one", "two"
	p := Plan{Targets: []*Target{one, two}}
	ask := func(body string) string {
		t.Helper()
		b.log = nil
		a, err := b.router.Open(t.Context(), conversation(t, body), p, &b.log)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		return a.Target()
	}
	sealed := func(issuers ...string) string {
		var parts []string
		for _, i := range issuers {
			parts = append(parts, `{"signature":"`+llm.Seal(i, "state")+`"}`)
		}
		return `{"messages":[` + strings.Join(parts, ",") + `]}`
	}
	for body, want := range map[string]string{
		`{"messages":[]}`:       "one/m",
		sealed("two"):           "two/m",
		sealed("two", "one"):    "one/m",
		sealed("one", "two"):    "two/m",
		sealed("nobody"):        "one/m",
		`{"x":"pontage1."}`:     "one/m",
		`{"x":"pontage1.!.?"}`:  "one/m",
		`{"x":"pontage1.dHdv"}`: "one/m",
	} {
		if got := ask(body); got != want {
			t.Errorf("%s went to %s, want %s", body, got, want)
		}
	}
	// Where the issuer is out of use another one answers.
	two.Health.cooldown = b.clock.t.Add(DefaultNorms.Open)
	if got := ask(sealed("two")); got != "one/m" {
		t.Errorf("the issuer is cooling: %s", got)
	}
}

func TestProvidersThatTheCallerPrefersComeFirst(t *testing.T) {
	t.Parallel()
	b := setup()
	var p Plan
	for _, name := range []string{"one", "two", "three"} {
		target, _ := b.target(name, fail(fault.UpstreamFailed, false, true))
		target.Name = name
		p.Targets = append(p.Targets, target)
	}
	p.Prefer = []string{"Three", "nobody", "TWO"}
	if _, _, err := b.open(p); err == nil || b.outcomes() != "three:upstream_failed two:upstream_failed one:upstream_failed" {
		t.Errorf("%s (%v)", b.outcomes(), err)
	}
}
