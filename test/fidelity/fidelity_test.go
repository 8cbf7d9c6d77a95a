package fidelity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// atOnce is how many recordings are played at a time.
const atOnce = 8

// TestNothingIsLostInTranslation replays every recording in every dialect.
func TestNothingIsLostInTranslation(t *testing.T) {
	corpus := testkit.Fixtures(t)
	var v verdicts
	var played []*testkit.Fixture
	for _, e := range corpus.Entries {
		_, asks := apis[e.API]
		switch {
		case outside[e.API] != "":
			v.outside++
		case !asks:
			t.Errorf("%s: nobody has said what becomes of recordings of %s", e.ID, e.API)
		default:
			played = append(played, corpus.Load(t, e))
		}
	}
	w := newWorld(t, played)
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, f := range played {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			w.everyDialect(t, f, &v)
		})
	}
	wg.Wait()
	v.report(t)
	w.settle(t)
}

// everyDialect asks for one recording in each dialect that can ask for it.
func (w *world) everyDialect(t *testing.T, f *testkit.Fixture, v *verdicts) {
	own := speaks(apis[f.API].dialect)
	for i := range dialects {
		d := &dialects[i]
		if !d.asks(f) {
			continue
		}
		p := play{w: w, f: f, d: d, own: own}
		p.run(t)
		v.add(verdict{
			ID: f.ID, Provider: f.Provider, API: f.API, Dialect: d.name,
			Result: p.result(), Rule: p.rule, Differences: p.differences, Without: p.without,
		})
	}
}

// play is one recording in one dialect.
type play struct {
	w   *world
	f   *testkit.Fixture
	d   *dialect // of the caller
	own *dialect // of the recording

	asked       value // as JSON, also of a form
	form        *form // nil: asked is sent
	stream      bool  // it is asked for
	sse         bool  // the recorded answer is a stream
	rule        string
	without     []string
	differences []string
}

func (p *play) result() string {
	switch {
	case len(p.differences) > 0:
		return failed
	case p.rule != "":
		return refused
	}
	return passed
}

func (p *play) differ(format string, args ...any) {
	p.differences = append(p.differences, fmt.Sprintf(format, args...))
}

// recorded is the body of the recorded request, or nil.
func (p *play) recorded() value {
	if p.f.Request == nil || !isObject(value(p.f.Request.JSON)) {
		return nil
	}
	return value(p.f.Request.JSON)
}

// run asks, and judges what reached the provider, what came back and what was
// charged.
func (p *play) run(t *testing.T) {
	q := p.ask()
	p.w.up.take(p.f.ID)
	media, body := "application/json", []byte(p.asked)
	if p.form != nil {
		media, body = p.form.media, p.form.body
	}
	r, err := p.w.post(t, p.d, p.d.path(modelFor(p.f, p.d), p.stream), media, body)
	if err != nil {
		p.differ("no answer: %v", err)
		return
	}
	sent, reached := p.w.up.take(p.f.ID)
	switch {
	case r.status == 200 && r.sse && yes(in(p.asked, "background")):
		p.arrived(q, sent, r)
		p.told(t, r)
		return
	case r.status == 200 && yes(in(p.asked, "background")):
		p.rule = "background: the answer is fetched from the gateway's own store"
		p.later(reached)
		return
	case (r.status == 400 || r.status == 415) && !reached:
		p.refused(t, r)
		return
	case !reached:
		p.differ("the provider was not asked: %d %.400s", r.status, r.body)
		return
	}
	p.arrived(q, sent, r)
	if p.f.Response.Status != 200 {
		p.failure(t, r, meaning(p.f))
		return
	}
	want := p.own.answer(p.f.Provider, p.f.Response.Body(), p.sse)
	if want.prompted != "" {
		p.prompted(t, &want, r)
		return
	}
	if p.d != p.own && !want.tellable(p.d) {
		p.media(t, r)
		return
	}
	if p.d == p.own && p.d.name == "gemini.generate" && p.sse && want.failed == "" && want.speaks() && want.gaveUp() {
		p.ownWords(t, &want, r)
		return
	}
	if want.broken(p.sse) || p.d != p.own && want.paused() {
		p.broken(t, &want, r)
		return
	}
	if n := len(want.choices); n > 1 && p.d.oneAlone && p.d != p.own {
		p.several(t, r)
		return
	}
	if r.status != 200 {
		p.differ("status %d: %.400s", r.status, r.body)
		return
	}
	got := p.d.answer(p.vendor(), r.body, r.sse)
	p.heard(&want, &got, r)
	if p.d != p.own && p.d.schema != nil {
		p.differences = append(p.differences, p.d.schema(p.w.schemas, r.body, r.sse)...)
	}
	if got.failed == "" {
		p.bill(t, &want, r)
	}
}

// told judges a stream of an answer in the background. Its charge is another
// request's, which the answer does not name: it must be in what the account paid.
func (p *play) told(t *testing.T, r reply) {
	t.Helper()
	want, got := p.own.answer(p.f.Provider, p.f.Response.Body(), true), p.d.answer(p.vendor(), r.body, true)
	p.heard(&want, &got, r)
	p.w.paid(p.measured(*want.usage).cost())
}

// later waits until the provider was asked for an answer in the background, so that
// no other play takes that for its own.
func (p *play) later(reached bool) {
	for deadline := time.Now().Add(testkit.Patience); !reached; time.Sleep(5 * time.Millisecond) {
		if _, reached = p.w.up.take(p.f.ID); time.Now().After(deadline) {
			p.differ("the provider was not asked in the background")
			return
		}
	}
}

// vendor is whose reading an answer in our words needs: the recorded one where
// its bytes pass.
func (p *play) vendor() string {
	if p.d == p.own {
		return p.f.Provider
	}
	return ""
}

// ask makes the caller's request: the recorded one in its own dialect, and what
// another can say of it there. A recording without a request gets a small one.
func (p *play) ask() talk {
	recorded, name := p.recorded(), modelFor(p.f, p.d)
	p.sse = p.f.Response.Kind == "sse" || arrayed(p.f)
	p.stream = yes(in(recorded, "stream")) || p.f.API == "gemini.streamGenerateContent" || recorded == nil && p.f.Response.Kind == "sse"
	q := hello()
	if recorded != nil {
		q = p.own.heard(recorded)
	} else if p.own.family == "embeddings" {
		q.inputs = slices.Repeat([]string{"Hello"}, len(p.own.answer(p.f.Provider, p.f.Response.Body(), false).vectors))
	}
	if parts := p.parts(name); parts != nil {
		p.form = newForm(parts)
		p.asked = readForm(p.form.media, p.form.body)
		return q
	}
	if p.d == p.own && recorded != nil {
		if p.asked = withModel(recorded, name); p.d.named != nil {
			p.asked = p.d.named(recorded, name)
		}
		return q
	}
	if p.d.can != nil {
		p.without = q.beyond
		q = p.d.can(q)
	}
	if p.d.family == "chat" && !q.asksAnything() {
		q = p.d.can(hello())
	}
	if p.d.write == nil { // in its own dialect, and its request was not kept
		p.asked = p.d.small(name)
		return q
	}
	p.asked = p.d.write(q, name, p.stream)
	if lost := q.hear().lost(p.d.heard(p.asked).hear(), nil); lost != nil {
		p.differ("THE TEST put this wrongly: %v", lost)
	}
	return p.d.heard(p.asked)
}

// withModel sets the model of a request that has one.
func withModel(body value, name string) value {
	at := members(body)["model"]
	if at == nil {
		return body
	}
	i := strings.Index(string(body), `"model"`)
	for { // the one at the top, which may not be the first
		o := members(value(string(body[:i]) + `"model_"` + string(body[i+len(`"model"`):])))
		if o["model"] == nil {
			break
		}
		i += 1 + strings.Index(string(body[i+1:]), `"model"`)
	}
	j := i + strings.Index(string(body[i:]), string(at))
	return value(string(body[:j]) + string(quote(name)) + string(body[j+len(at):]))
}

var digits = regexp.MustCompile(`\.\d+`)

// refused notes by which rule the gateway refused to ask.
func (p *play) refused(t *testing.T, r reply) {
	kind, code := p.d.fail(r.body)
	_, wantKind, _ := p.d.face(faces["invalid"])
	field, message := text(in(r.body, "error", "param")), text(any1(r.body, "message"))
	if message == "" {
		message = text(in(r.body, "error", "message"))
	}
	if field == "" {
		field = text(in(r.body, "param"))
	}
	if field == "" {
		field, _, _ = strings.Cut(message, ": ")
		field, _, _ = strings.Cut(field, " cannot be honoured")
		field, _, _ = strings.Cut(field, " of type ")
	}
	if kind != wantKind || message == "" {
		p.differ("a refusal of the kind %q, code %q: %.300s", kind, code, r.body)
	}
	p.rule = digits.ReplaceAllString(strings.ReplaceAll(field, modelFor(p.f, p.d), "MODEL"), ".#")
	p.free(t, r)
}

// free checks that nothing was charged.
func (p *play) free(t *testing.T, r reply) {
	if r.charge != "" && r.charge != "0" && nano(t, r.charge).Sign() != 0 {
		p.differ("the answer says that %s was charged", r.charge)
	}
	rc := p.receipt(t, r)
	if charged := nano(t, rc.ChargeUSD); charged.Sign() != 0 {
		p.differ("the receipt says that %s was charged", rc.ChargeUSD)
		p.w.paid(charged)
	}
}

func (p *play) receipt(t *testing.T, r reply) harness.Receipt {
	return p.w.gw.Receipt(t, r.id, nil)
}

// failure checks how an error of the provider looks to the caller.
func (p *play) failure(t *testing.T, r reply, kind string) {
	status, wantKind, wantCode := p.d.face(faces[kind])
	gotKind, gotCode := p.d.fail(r.body)
	if r.status != status || gotKind != wantKind || wantCode != "" && gotCode != wantCode {
		p.differ("%d of the provider is %d %s %s to the caller, want %s: %d %s %s: %.300s", p.f.Response.Status, r.status, gotKind, gotCode, kind, status, wantKind, wantCode, r.body)
	}
	// The schema of the SDK lacks the type that the documentation has for 413.
	if schema := errorSchemas[p.d.name]; schema != "" && gotKind != "request_too_large" {
		p.differences = append(p.differences, p.w.schemas.check(schema, r.body)...)
	}
	p.free(t, r)
}

var errorSchemas = map[string]string{
	"openai.chat": "openai.json#ErrorResponse", "openai.responses": "openai.json#ErrorResponse", "openai.embeddings": "openai.json#ErrorResponse",
	"anthropic.messages": "anthropic.ErrorResponse.json", "anthropic.count_tokens": "anthropic.ErrorResponse.json",
}

// prompted checks what becomes of a prompt that was blocked: a refusal, but for
// callers of the same dialect, who are told in its own way. It is free.
func (p *play) prompted(t *testing.T, want *answer, r reply) {
	if p.d != p.own {
		p.failure(t, r, "policy")
		return
	}
	if got := p.d.answer(p.vendor(), r.body, r.sse); r.status != 200 || got.prompted != want.prompted {
		p.differ("status %d, blocked for %q, want %q", r.status, got.prompted, want.prompted)
	}
	p.free(t, r)
}

// media checks an answer that no other dialect can tell: it is refused, or broken
// off where it came to that, and free.
func (p *play) media(t *testing.T, r reply) {
	p.rule = "an image or a sound in the answer"
	switch r.status {
	case 400:
	case 200:
		p.endsBadly(r)
	default:
		p.differ("status %d: %.300s", r.status, r.body)
	}
	p.free(t, r)
}

// several checks an answer of more choices than the caller's dialect has: it
// cannot be passed on, and nothing is paid.
func (p *play) several(t *testing.T, r reply) {
	if r.status == 200 {
		p.endsBadly(r)
	}
	p.free(t, r)
}

// broken checks what becomes of an answer that is none: a status before anything
// was said, and an error in the stream afterwards. Nothing is charged.
func (p *play) broken(t *testing.T, a *answer, r reply) {
	switch {
	case r.status != 200:
		if r.status < 400 {
			p.differ("status %d for an answer that is none: %.300s", r.status, r.body)
		}
		if p.sse && a.speaks() {
			p.differ("status %d, though something was said already: %.300s", r.status, r.body)
		}
		if kind, _ := p.d.fail(r.body); kind == "no envelope" {
			p.differ("an error without its envelope: %.300s", r.body)
		}
	case !a.speaks() || !p.sse:
		p.differ("status 200 for an answer that is none: %.300s", r.body)
	default:
		p.endsBadly(r)
	}
	p.free(t, r)
}

// ownWords checks a stream that the model gave up, and that says so in the
// caller's own dialect. It is free.
func (p *play) ownWords(t *testing.T, want *answer, r reply) {
	got := p.d.answer(p.vendor(), r.body, r.sse)
	p.heard(want, &got, r)
	p.free(t, r)
}

// endsBadly checks that a stream ends with an error, and not in any way that
// looks finished.
func (p *play) endsBadly(r reply) {
	got := p.d.answer(p.vendor(), r.body, r.sse)
	if got.failed == "" || got.ended && p.d.name != "openai.responses" && r.sse {
		p.differ("the stream ends without an error, or well: %.300s", r.body[max(0, len(r.body)-300):])
	}
	for _, s := range got.choices {
		if s.finish != "" && s.finish != "error" {
			p.differ("the broken stream ends for the reason %q", s.raw)
		}
	}
}

// twentieths is how many of the price of tokens are owed: fifty in OpenAI's tier
// priority, and twenty-two in one region of Anthropic's, where that was asked for and
// given.
func (p *play) twentieths() int64 {
	const priority = `"priority"`
	if string(in(p.asked, "inference_geo")) == `"us"` && regional.Match(p.f.Response.Body()) {
		return 22
	}
	if string(in(p.asked, "service_tier")) == priority && bytes.Contains(p.f.Response.Body(), []byte(`"service_tier":`+priority)) {
		return 50
	}
	return 20
}

var regional = regexp.MustCompile(`"inference_geo": ?"us"`)

// bill checks that exactly what the recording says was used is charged.
func (p *play) bill(t *testing.T, want *answer, r reply) {
	rc := p.w.gw.Receipt(t, r.id, func(rc harness.Receipt) bool { return rc.Delivery == "complete" })
	charged := nano(t, rc.ChargeUSD)
	p.w.paid(charged)
	if r.charge == "" || nano(t, r.charge).Cmp(charged) != 0 {
		p.differ("the answer says that %q was charged, the receipt %s", r.charge, rc.ChargeUSD)
	}
	owed, outcome := new(big.Int), "ok"
	switch {
	case apis[p.f.API].free:
	case want.blocked():
		outcome = "blocked"
	case want.usage == nil: // counted here, and said to be
		owed = tokens{Input: rc.Tokens.Input, Output: rc.Tokens.Output}.cost()
		if !rc.Estimated || rc.Tokens.Input == 0 {
			p.differ("the provider counted nothing, and the receipt has %+v, estimated %t", rc.Tokens, rc.Estimated)
		}
	default:
		u := p.measured(*want.usage)
		if rc.Estimated != want.guessed || rc.Tokens.Input != u.Input || rc.Tokens.CachedInput != u.Cached || rc.Tokens.Output != u.Output || rc.Tokens.Reasoning != u.Reasoning {
			p.differ("the receipt has %+v, estimated %t, the recording %+v", rc.Tokens, rc.Estimated, u)
		}
		if most, err := json.Number(p.d.heard(p.asked).sets["max"]).Int64(); err == nil { // beyond his own limit it is not the caller's bill
			u.Output = min(u.Output, most*max(count(in(p.asked, "n")), 1))
		}
		owed = u.costs(p.twentieths())
	}
	if rc.Outcome != outcome || charged.Cmp(owed) != 0 {
		p.differ("outcome %s, charged %v, want %s and %v for %+v", rc.Outcome, charged, outcome, owed, want.usage)
	}
}
