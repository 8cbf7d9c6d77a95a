package contract

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
)

// small is the smallest contract that stands, in numbered lines.
const small = `name: small
keys: {prefixes: {inference: [k_]}, whitespace: trim, headers: [authorization]}
routes:
  POST /v1/chat: {surface: chat, envelope: flat}
fallback: {/: flat}
retryable: [429, 503]
envelopes:
  flat:
    body: {error: $code, message: $message}
defaults:
  request: {status: 400}
  credential: {status: 401}
  permission: {status: 403}
  model: {status: 404}
  limit: {status: 429}
  money: {status: 402}
  idempotency: {status: 409}
  content: {status: 400}
  upstream: {status: 502}
  own_key: {status: 401}
  gateway: {status: 503}
faults:
  internal: {status: 500, code: oops}
`

func TestASmallContractStands(t *testing.T) {
	t.Parallel()
	c, err := Parse("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Render("flat", code(fault.Internal), Facts{})
	if string(r.Body) != `{"error":"oops","message":"An internal error occurred."}` || r.Status != 500 {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	if c.Name() != "small" || c.About() != "" || c.ModelCheckIsField() || !c.Retryable(503) || c.Retryable(500) || c.Status("flat", fault.KeyMissing) != 401 {
		t.Errorf("%+v", c)
	}
	want := KeyFormat{Prefixes: []string{"k_"}, Inference: []string{"k_"}, Trim: true, Headers: []string{"Authorization"}}
	if diff := cmp.Diff(want, c.KeyFormat()); diff != "" {
		t.Error(diff)
	}
	route := Route{Method: "POST", Path: "/v1/chat", Surface: "chat", Envelope: "flat", Kind: "inference", Role: "api", Status: 200}
	if got := c.Routes(); len(got) != 1 || got[0] != route {
		t.Errorf("routes %+v, want %+v", got, route)
	}
	if c.IdempotencyWait() != 30*time.Second || c.Controls("openai.chat") != nil {
		t.Errorf("waits %v, controls %v", c.IdempotencyWait(), c.Controls("openai.chat"))
	}
	if p := c.Precedence(); slices.Index(p, fault.DailySpendExceeded) > slices.Index(p, fault.BalanceInsufficient) || len(p) == 0 {
		t.Errorf("by default daily limits come before the balance: %v", p)
	}
}

// Each case replaces a piece of the small contract, and names the problem that
// must be told, with its line.
func TestEveryMistakeIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, new, want string }{
		"unknown section":             {"retryable:", "retriable:", `6: contract: unknown field "retriable"`},
		"missing section":             {"retryable: [429, 503]\n", "", `1: retryable is missing`},
		"unknown fault":               {"internal:", "infernal:", `23: faults: unknown fault "infernal"`},
		"unknown class":               {"money:", "cash:", `16: defaults: unknown class "cash"`},
		"fault without a row":         {"  money: {status: 402}\n", "", `1: fault balance_held has no row: name it under faults, or give class money a default`},
		"fault without a status":      {"  money: {status: 402}\n", "  money: {code: x}\n", `16: fault both_balance in envelope flat: no status`},
		"unknown placeholder":         {"$message", "$massage", `9: envelope flat.message: unknown placeholder "massage"`},
		"unknown placeholder in text": {"code: oops", "words: 'so {sorry}'", `23: fault internal.words: unknown placeholder "sorry"`},
		"placeholder out of place":    {"code: oops", "words: 'so {message}'", `placeholder "message" has no meaning in words`},
		"when of what is unknown":     {"$message", "[{when: $massage, as: 1}]", `unknown placeholder "massage"`},
		"a stray brace":               {"code: oops", "words: 'so }'", `23: fault internal.words: a brace that is no {placeholder}`},
		"a list in a text":            {"$message", "'x {details}'", `"details" cannot stand in a text`},
		"a list without each":         {"$message", "$details", `9: envelope flat.message: $details is a list`},
		"each of something else":      {"$message", "{each: $message, as: $field}", `each: must be $details`},
		"each without as":             {"$message", "{each: $details}", `a list is written {each: $details, as: …}`},
		"status too low":              {"status: 500", "status: 302", `23: fault internal.status: "302" is not a status from 400 to 599`},
		"status too high":             {"status: 500", "status: 600", `is not a status`},
		"status as words":             {"status: 500", "status: high", `is not a status`},
		"retryable twice":             {"[429, 503]", "[429, 429]", `6: retryable: "429" stands here twice`},
		"unknown surface":             {"surface: chat", "surface: chap", `4: route POST /v1/chat: surface: unknown "chap"`},
		"unknown envelope":            {"chat, envelope: flat", "chat, envelope: round", `4: route POST /v1/chat: unknown envelope "round"`},
		"unknown kind":                {"envelope: flat}", "envelope: flat, kind: odd}", `4: route POST /v1/chat: kind: unknown "odd"`},
		"no method":                   {"POST /v1/chat:", "/v1/chat:", `4: routes: "/v1/chat" is not a method`},
		"no pattern":                  {"POST /v1/chat:", "POST /v1/{}:", `4: routes: "POST /v1/{}": not a pattern`},
		"route twice":                 {"fallback:", "  POST /v1/chat: {surface: chat, envelope: flat}\nfallback:", `5: routes: "POST /v1/chat" stands here twice, first in line 4`},
		"routes in each other's way":  {"fallback:", "  POST /v1/{a}: {surface: chat, envelope: flat}\n  POST /{b}/chat: {surface: chat, envelope: flat}\nfallback:", `6: routes: "POST /{b}/chat": not a pattern, or in the way of another one`},
		"fault twice":                 {"  internal: {", "  internal: {status: 501}\n  internal: {", `24: faults: "internal" stands here twice, first in line 23`},
		"class twice":                 {"  money: {", "  money: {status: 403}\n  money: {", `17: defaults: "money" stands here twice`},
		"field twice":                 {"status: 500", "status: 500, status: 501", `"status" stands here twice`},
		"member twice":                {"error: $code", "error: $code, error?: $type", `member "error?" stands here twice`},
		"envelope without use":        {"defaults:", "  idle:\n    body: {x: $code}\ndefaults:", `10: envelope idle is used by no route, fallback or fault`},
		"envelope without body":       {"body: {error: $code, message: $message}", "headers: {}", `envelope flat: body is missing`},
		"envelope that is no object":  {"body: {error: $code, message: $message}", "body: $message", `9: envelope flat: must be a mapping`},
		"type that nobody gives":      {"$message", "$type", `no type`},
		"no type for a status":        {"    body: {", "    types: {5xx: bad}\n    body: {", `envelope flat: no type for status 400`},
		"row for an idle envelope":    {"code: oops", "in: {round: {code: x}}", `23: fault internal: unknown envelope "round"`},
		"row within a row":            {"code: oops", "in: {flat: {in: {}}}", `fault internal in flat: unknown field "in"`},
		"fixed without words":         {"code: oops", "fixed: true", `fixed without words`},
		"added twice":                 {"code: oops", "add: {message: x}", `23: fault internal: added member "message" stands in envelope flat already`},
		"extra that stands already":   {"defaults:", "extras: {x: {members: {error: 1}}}\ndefaults:", `extra x: member "error" stands in an envelope`},
		"extra of nothing":            {"defaults:", "extras: {x: {below: 1}}\ndefaults:", `extra x: adds neither members nor headers`},
		"extra with a fault's words":  {"defaults:", "extras: {x: {members: {y: $code}}}\ndefaults:", `placeholder "code" has no meaning in an extra`},
		"extra with odd money":        {"defaults:", "extras: {x: {below: 1e3, members: {y: 1}}}\ndefaults:", `"1e3" is not a positive number of dollars`},
		"header of ours":              {"code: oops", "headers: {retry-after: '1'}", `retry-after is written by the gateway`},
		"trailer of ours":             {"code: oops", "headers: {Trailer: x}", `Trailer is written by the gateway`},
		"id of the caller's":          {"code: oops", "headers: {X-Client-Request-ID: x}", `X-Client-Request-ID is written by the gateway`},
		"header that is none":         {"code: oops", "headers: {'a b': '1'}", `"a b" is not the name of a header`},
		"header twice":                {"code: oops", "headers: {x-a: '1', X-A: '2'}", `X-A stands here twice`},
		"fallback without root":       {"{/: flat}", "{/v1: flat}", `5: fallback: names no envelope for /`},
		"unknown rule of names":       {"whitespace: trim", "whitespace: trim, names: short", `keys.names: unknown "short"`},
		"unknown whitespace rule":     {"whitespace: trim", "whitespace: loose", `keys.whitespace: unknown "loose"`},
		"unknown key header":          {"[authorization]", "[cookie]", `keys.headers: unknown "cookie"`},
		"no key header":               {"[authorization]", "[]", `2: keys.headers: names no header`},
		"no prefix":                   {"[k_]", "[]", `names no prefix`},
		"prefix of two kinds":         {"[k_]}", "[k_], billing: [k_]}", `"k_" belongs to two kinds`},
		"precedence of a stranger":    {"defaults:", "precedence: [internal]\ndefaults:", `precedence: internal is neither of a limit`},
		"precedence twice":            {"defaults:", "precedence: [balance_held, balance_held]\ndefaults:", `"balance_held" stands here twice`},
		"stream of no route":          {"defaults:", "stream: {openai.chat: {body: {a: 1}, after: close}}\ndefaults:", `stream: no route has the surface "openai.chat"`},
		"stream without an end":       {"    body: {", "    stream: {event: x}\n    body: {", `after is missing`},
		"stream event of two lines":   {"    body: {", "    stream: {event: \"x\\ny\", after: close}\n    body: {", `is not a plain word`},
		"term of no argument":         {"defaults:", "terms: {param: {a: b}}\ndefaults:", `terms: "param" is not a placeholder`},
		"our credential's words":      {"  internal: {", "  upstream_auth: {words: '{upstream}'}\n  internal: {", `the provider's words about our own credential`},
		"number unknown to JSON":      {"$message", "0x10", `is not a number in JSON`},
		"a time":                      {"$message", "2026-01-01", `quote it`},
		"answer of a strange surface": {"chat, envelope: flat}", "chat, envelope: flat, answer: {a: 1}}", `4: route POST /v1/chat: the answers of surface chat cannot be shaped`},
		"answer that is missing":      {"surface: chat, ", "surface: jobs, ", `4: route POST /v1/chat: answer is missing`},
		"answer of another surface":   {"surface: chat, ", "surface: jobs, answer: {a: $balance_usd}, ", `4: route POST /v1/chat: answer.a: placeholder "balance_usd" has no meaning in an answer of jobs`},
		"answer of no surface":        {"surface: chat, ", "surface: jobs, answer: {a: $nonsense}, ", `4: route POST /v1/chat: answer.a: unknown placeholder "nonsense"`},
		"answer with a fault's words": {"surface: chat, ", "surface: jobs, answer: {a: $code}, ", `placeholder "code" has no meaning in an answer of jobs`},
		"answer of an outer value":    {"surface: chat, ", "surface: jobs, answer: {each: $results, as: $job}, ", `placeholder "job" has no meaning in an item of results of jobs`},
		"money without its aspect":    {"surface: chat, ", "surface: jobs, answer: {a: $charge}, ", `unknown placeholder "charge"`},
		"cents of no money":           {"surface: chat, ", "surface: jobs, answer: {a: $total_cents}, ", `unknown placeholder "total_cents"`},
		"list without each":           {"surface: chat, ", "surface: jobs, answer: {a: $results}, ", `answer.a: $results is a list: write {each: $results, as: …}`},
		"list in a text":              {"surface: chat, ", "surface: jobs, answer: {a: '{results}'}, ", `"results" cannot stand in a text`},
		"each of another surface":     {"surface: chat, ", "surface: jobs, answer: {each: $keys, as: $id}, ", `each: must be $results`},
		"each in an item":             {"surface: chat, ", "surface: jobs, answer: {each: $results, as: {each: $results, as: 1}}, ", `there is nothing to repeat in an item of results of jobs`},
		"each where there is no list": {"defaults:", "extras: {y: {members: {z: {each: $details, as: 1}}}}\ndefaults:", `must be $fallback_chain or $fallback_attempts`},
		"detailed of no models":       {"surface: chat, ", "surface: chat, detailed: {a: 1}, ", `4: route POST /v1/chat: detailed is only for surface openai.models`},
		"reasoning of no chat":        {"surface: chat, ", "surface: chat, reasoning: content, ", `4: route POST /v1/chat: reasoning is only for surface openai.chat`},
		"reasoning nowhere":           {"surface: chat, ", "surface: openai.chat, reasoning: somewhere, ", `reasoning: unknown "somewhere"`},
		"only of no models":           {"surface: chat, ", "surface: chat, only: chat, ", `only is only for surface openai.models`},
		"only of a strange kind":      {"surface: chat, ", "surface: openai.models, only: images, ", `only: unknown "images"`},
		"status without answer":       {"surface: chat, ", "surface: chat, status: 201, ", `4: route POST /v1/chat: status without answer`},
		"status of no success":        {"surface: chat, ", "surface: jobs, answer: {a: 1}, status: 302, ", `status: "302" is not a status from 200 to 299 that has a body`},
		"status without a body":       {"surface: chat, ", "surface: jobs, answer: {a: 1}, status: 204, ", `"204" is not a status`},
		"strange role":                {"surface: chat, ", "surface: chat, role: admin, ", `4: route POST /v1/chat: role: unknown "admin"`},
		"wildcard within a word":      {"POST /v1/chat:", "POST /v1/x{a}/y:", `not a pattern`},
		"two wildcards":               {"POST /v1/chat:", "POST /v1/{a}/x/{b}:", `4: routes: "POST /v1/{a}/x/{b}": a path has at most one wildcard`},
		"end of the path":             {"POST /v1/chat:", "POST /v1/{$}:", `4: routes: "POST /v1/{$}": a path has at most one wildcard, and neither {$}`},
		"path that is escaped":        {"POST /v1/chat:", "POST /v1/ch%61t:", `neither {$} nor %, ? or #`},
		"path with a query":           {"POST /v1/chat:", "POST /v1/chat?x=1:", `neither {$} nor %, ? or #`},
		"path of the reference":       {"POST /v1/chat:", "POST /docs/errors:", `4: routes: "POST /docs/errors": the error reference stands there`},
		"chat for everybody":          {"envelope: flat}", "envelope: flat, kind: none}", `4: route POST /v1/chat: kind none, which asks for no key, is only for lists of models`},
		"account for everybody":       {"POST /v1/chat: {surface: chat, ", "GET /u: {surface: account.usage, answer: {a: $limit}, kind: none, ", `4: route GET /u: kind none`},
		"prompt without its model":    {"surface: chat, ", "surface: prompt, ", `4: route POST /v1/chat: surface prompt has its model in the path`},
		"usage of something":          {"POST /v1/chat: {surface: chat, ", "GET /u/{x}: {surface: account.usage, answer: {a: $limit}, ", `4: route GET /u/{x}: surface account.usage has no use for a wildcard`},
		"chat by another method":      {"POST /v1/chat:", "GET /v1/chat:", `4: route GET /v1/chat: surface chat answers POST here`},
		"list by another method":      {"surface: chat, ", "surface: openai.models, ", `4: route POST /v1/chat: surface openai.models answers GET here`},
		"key by another method":       {"POST /v1/chat: {surface: chat, ", "PATCH /k/{id}: {surface: account.keys, answer: {a: $id}, ", `4: route PATCH /k/{id}: surface account.keys answers PUT, DELETE here`},
		"decimals of no money":        {"code: oops", "words: '{retry_after:2}'", `{retry_after:2}: only an exact amount of money, as text, can have its decimals cut`},
		"decimals of a number":        {"code: oops", "words: '{required_number:2}'", `only an exact amount of money`},
		"decimals twice":              {"code: oops", "words: '{balance:3}'", `only an exact amount of money`},
		"ten decimals":                {"code: oops", "words: '{required_usd:10}'", `an amount of money has 0 to 9 decimals`},
		"decimals that are none":      {"code: oops", "words: '{required_usd:x}'", `a brace that is no {placeholder}`},
		"wait without a unit":         {"defaults:", "idempotency: {wait: 30}\ndefaults:", `10: idempotency.wait: "30" is not a time from 0s to 10m0s`},
		"wait below nothing":          {"defaults:", "idempotency: {wait: -1s}\ndefaults:", `is not a time`},
		"wait without end":            {"defaults:", "idempotency: {wait: 11m}\ndefaults:", `is not a time`},
		"wait that is missing":        {"defaults:", "idempotency: {}\ndefaults:", `idempotency: wait is missing`},
		"responses of no route":       {"defaults:", "responses: {done: true}\ndefaults:", `responses: no route has the surface openai.responses`},
		"retention without members":   {"defaults:", "responses: {retention: {usual: 7, most: 9}}\ndefaults:", `responses.retention: members is missing`},
		"retention of no member":      {"defaults:", "responses: {retention: {members: [a b], usual: 7, most: 9}}\ndefaults:", `"a b" is not the name of a member`},
		"retention without end":       {"defaults:", "responses: {retention: {members: [a], usual: 7, most: 3651}}\ndefaults:", `is not a number of days from 1 to 3650`},
		"retention of no days":        {"defaults:", "responses: {retention: {members: [a], usual: 0, most: 9}}\ndefaults:", `responses.retention.usual: "0" is not a number of days`},
		"acknowledged as an error":    {"defaults:", "responses: {accepted: 404}\ndefaults:", `responses.accepted`},
		"streams of no boolean":       {"defaults:", "responses: {background_streams: no way}\ndefaults:", `responses.background_streams: must be true or false`},
		"control too deep":            {"defaults:", "controls: {a.b.c: {means: nothing}}\ndefaults:", `10: control a.b.c: is not a member, a member.within it, or header.NAME`},
		"control without a name":      {"defaults:", "controls: {a.: {means: nothing}}\ndefaults:", `is not a member`},
		"control of no header":        {"defaults:", "controls: {'header.a b': {means: nothing}}\ndefaults:", `"a b" is not the name of a header`},
		"control twice":               {"defaults:", "controls: {header.a: {means: nothing}, header.A: {means: nothing}}\ndefaults:", `"A" is not the name of a header, or stands here twice`},
		"control without meaning":     {"defaults:", "controls: {a: {value: true}}\ndefaults:", `control a: means is missing`},
		"control of strange meaning":  {"defaults:", "controls: {a: {means: magic}}\ndefaults:", `control a.means: unknown "magic"`},
		"control without value":       {"defaults:", "controls: {a: {means: sticky}}\ndefaults:", `control a: value is missing`},
		"control of no boolean":       {"defaults:", "controls: {a: {means: sticky, value: 'on'}}\ndefaults:", `control a.value: must be true or false`},
		"nothing with a value":        {"defaults:", "controls: {a: {means: nothing, value: true}}\ndefaults:", `nothing has no value`},
		"refuse without a fault":      {"defaults:", "controls: {a: {means: refuse}}\ndefaults:", `refuse needs a fault`},
		"refuse with no fault":        {"defaults:", "controls: {a: {means: refuse, fault: magic}}\ndefaults:", `control a.fault: unknown fault "magic"`},
		"unless of a header":          {"defaults:", "controls: {header.a: {means: nothing, unless: b}}\ndefaults:", `unless is the name of a member within a member`},
		"unless of no member":         {"defaults:", "controls: {a: {means: nothing, unless: b.c}}\ndefaults:", `unless is the name of a member within a member`},
		"control of strange surface":  {"defaults:", "controls: {a: {means: nothing, surfaces: [openai.chat, magic]}}\ndefaults:", `control a.surfaces: unknown "magic"`},
		"control of no surface":       {"defaults:", "controls: {a: {means: nothing, surfaces: []}}\ndefaults:", `control a.surfaces: names no surface`},
		"sticky with a fault":         {"defaults:", "controls: {a: {means: sticky, value: true, fault: internal}}\ndefaults:", `only refuse has a fault`},
		"extra of a strange surface":  {"defaults:", "extras: {x: {on: [answer], surfaces: [chap], members: {y: 1}}}\ndefaults:", `extra x.surfaces: unknown "chap"`},
		"extra of no route":           {"defaults:", "extras: {x: {on: [answer], surfaces: [jobs], members: {y: 1}}}\ndefaults:", `extra x.surfaces: no route has the surface "jobs"`},
		"extra of surfaces on errors": {"defaults:", "extras: {x: {surfaces: [chat], members: {y: 1}}}\ndefaults:", `an extra of single surfaces cannot be on error`},
		"extra of surfaces in a head": {"defaults:", "extras: {x: {on: [answer], surfaces: [chat], headers: {y: '1'}}}\ndefaults:", `headers cannot be bound to surfaces`},
		"extra that an answer has":    {"fallback:", "  GET /b: {surface: account.balance, envelope: flat, answer: {y: 1}}\nextras: {x: {members: {'y?': 1}}}\nfallback:", `extra x: member "y" stands in the answer of route GET /b already`},
		"alias":                       {"retryable: [429, 503]", "retryable: &a [429]\nprecedence: *a", `aliases are not allowed`},
		"broken YAML":                 {"[429, 503]", "[429, 503", `did not find expected`},
		"bytes that are no text":      {"oops", "o\xffps", `23: invalid`},
		"a control character":         {"oops", "o\x00ps", `23: control characters`},
		"two documents":               {"\nfaults:", "\n---\nfaults:", `single document`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(small, tc.old) {
				t.Fatalf("%q is not in the small contract", tc.old)
			}
			_, err := Parse("c.yaml", []byte(strings.Replace(small, tc.old, tc.new, 1)))
			if err == nil {
				t.Fatal("no error")
			}
			want := tc.want
			if want[0] >= '0' && want[0] <= '9' {
				want = "c.yaml:" + want
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("want %q in:\n%v", want, err)
			}
			var p *Problem
			if !errors.As(err, &p) || p.File != "c.yaml" {
				t.Errorf("%v holds no Problem of the file", err)
			}
		})
	}
}

// What follows from a mistake is not told beside it.
func TestOneMistakeIsToldOnce(t *testing.T) {
	t.Parallel()
	for old, new := range map[string]string{
		"money: {status: 402}":              "money: {status: 402.0}",
		"{error: $code, message: $message}": "{error: $type}\n    types: {400: a, 401: a, 402: a, 403: a, 404: a, 409: a, 5xx: b}",
	} {
		_, err := Parse("c.yaml", []byte(strings.Replace(small, old, new, 1)))
		if err == nil {
			t.Fatalf("%s: no error", new)
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) > 1 {
			t.Errorf("%s:\n%v", new, err)
		}
	}
}

func TestAllMistakesAreToldAtOnceInOrder(t *testing.T) {
	t.Parallel()
	src := strings.NewReplacer("trim", "loose", "surface: chat", "surface: chap", "$message", "$massage", "status: 500", "status: 50").Replace(small)
	_, err := Parse("c.yaml", []byte(src))
	var lines []int
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var p *Problem
		if errors.As(e, &p) {
			lines = append(lines, p.Line)
		}
	}
	if diff := cmp.Diff([]int{2, 4, 9, 23}, lines); diff != "" {
		t.Errorf("%s\n%v", diff, err)
	}
}

func TestProblemsOfOneFileAreBounded(t *testing.T) {
	t.Parallel()
	_, err := Parse("c.yaml", []byte(small+strings.Repeat("x: 1\n", 500)))
	if n := strings.Count(err.Error(), "\n"); n > maxProblems {
		t.Errorf("%d lines of problems", n)
	}
	if _, err := Parse("c.yaml", []byte(strings.Repeat("#", maxSource+1))); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a huge file: %v", err)
	}
	if _, err := Parse("c.yaml", []byte(strings.Repeat("[", 5000))); err == nil {
		t.Error("a deep file: no error")
	}
}

func TestOverridesHaveAnOrder(t *testing.T) {
	t.Parallel()
	src := strings.NewReplacer(
		"routes:\n", "routes:\n  POST /v1/messages: {surface: anthropic.messages, envelope: other}\n",
		"defaults:", "  other:\n    body: {error: $code, status: $status, message: $message}\ndefaults:",
		"gateway: {status: 503}", "gateway: {status: 503, code: of_class, in: {other: {status: 504, code: of_class_in_other}}}",
		"internal: {status: 500, code: oops}", "internal: {status: 500, in: {other: {words: Hm., fixed: true}}}\n  draining: {in: {other: {code: null}}}",
	).Replace(small)
	c, err := Parse("c.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		envelope string
		code     fault.Code
		want     string
	}{
		{"flat", fault.Internal, `{"error":"of_class","message":"An internal error occurred."}`},
		{"other", fault.Internal, `{"error":"of_class_in_other","status":500,"message":"Hm."}`},
		{"other", fault.Overloaded, `{"error":"of_class_in_other","status":504,"message":"The gateway is overloaded."}`},
		{"other", fault.Draining, `{"error":null,"status":504,"message":"The gateway is restarting."}`},
		{"flat", fault.Draining, `{"error":"of_class","message":"The gateway is restarting."}`},
	} {
		if got := string(c.Render(tc.envelope, code(tc.code), Facts{}).Body); got != tc.want {
			t.Errorf("%s %v: %s, want %s", tc.envelope, tc.code, got, tc.want)
		}
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{a: 1, b: 1.50, c: true, d: null, e: "", f: [], g: {}, "h": "1"}`:                             `{"a":1,"b":1.50,"c":true,"d":null,"e":"","f":[],"g":{},"h":"1"}`,
		`{a?: $param, b?: null, c?: "", d?: [], e?: {}, f?: 0, g?: "{param}!"}`:                        `{"f":0}`,
		`{a: $$status, b: "$5.00", c: "{{x}}", d: "$status!", e: "at {status}"}`:                       `{"a":"$status","b":"$5.00","c":"{x}","d":"$status!","e":"at 500"}`,
		`{a?: {b?: $param}, c: {d?: $param, e: $status}}`:                                              `{"c":{"e":500}}`,
		`{a: [$status, {b: $param}], "<&>": "<&>"}`:                                                    `{"a":[500,{"b":null}],"<&>":"<&>"}`,
		`{a: [{when: $param, as: 1}, {when: $status, as: {b: $status}}], c?: [{when: $param, as: 1}]}`: `{"a":[{"b":500}]}`,
		`{a: $limit, b: $used, c: $model, d: "{limit}/{used}"}`:                                        `{"a":7,"b":"1.50","c":null,"d":"7/1.50"}`,
	} {
		c, err := Parse("c.yaml", []byte(strings.Replace(small, "{error: $code, message: $message}", body, 1)))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got := string(c.Render("flat", code(fault.Internal).With("limit", "7").With("used", "1.50"), Facts{}).Body); got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
}

func TestASurfaceCanHaveAFrameOfItsOwn(t *testing.T) {
	t.Parallel()
	src := strings.Replace(small, "defaults:", "stream: {chat: {event: failed, body: {m: $message}, after: done}}\ndefaults:", 1)
	c, err := Parse("c.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	frame, done := c.RenderFrame("chat", "flat", fault.New(fault.Internal, "x"), Facts{})
	if want := "event: failed\ndata: {\"m\":\"x\"}\n\ndata: [DONE]\n\n"; string(frame) != want || !done {
		t.Errorf("%q, want %q", frame, want)
	}
	if frame, done = c.RenderFrame("openai.chat", "flat", fault.New(fault.Internal, "x"), Facts{}); string(frame) != "data: {\"error\":\"oops\",\"message\":\"x\"}\n\n" || done {
		t.Errorf("another surface: %q, %v", frame, done)
	}
}

func TestLoadNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"llmtune", "modelswitch", "nanogpt", "ninjachat", "openai", "samurai"}, Embedded()); diff != "" {
		t.Error(diff)
	}
	if _, err := Load("nonsense"); err == nil || !strings.Contains(err.Error(), "ninjachat, openai, samurai") {
		t.Errorf("Load(nonsense): %v", err)
	}
	if _, err := LoadFile(filepath.Join(t.TempDir(), "no.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("LoadFile of nothing: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	files, _ := filepath.Glob("../../contracts/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("fuzz.yaml", src)
		if (c == nil) == (err == nil) {
			t.Fatalf("contract %v with error %v", c, err)
		}
		if err != nil {
			return
		}
		c.quick(PageOptions{}.withDefaults(c)) // must not panic
		for _, r := range c.Routes() {
			if body := c.Answer(r, true, sampleData(r.Surface, strings.ToUpper), Facts{}); body != nil && !validJSON(body) {
				t.Fatalf("%s %s: %s", r.Method, r.Path, body)
			}
		}
		for _, env := range c.Envelopes() {
			for _, entry := range fault.All() {
				r := c.Render(env, Sample(entry.Code), Facts{RequestID: "req_1", HasBalance: true})
				if !validJSON(r.Body) || r.Status < 400 || r.Status > 599 {
					t.Fatalf("%s %s: %d %s", env, entry.Name, r.Status, r.Body)
				}
			}
		}
	})
}
