package endings

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
)

// said is the text of every answer: 24 bytes, which are counted as 6 tokens.
const said = "Twenty-four bytes, or 6."

// want is what becomes of a request.
type want struct {
	outcome, fault  string
	status          int // 0: 200
	in, cached, out int64
	counted         bool  // the input is counted here
	estimated       bool  // and so is the output, or the input
	absorbed        int64 // tokens of output
	all             bool  // what there was is charged, and the rest absorbed
	broken          bool  // the stream breaks after content
	tries           int   // 0: one
}

// ok is an answer that is charged.
func ok(in, out int64) *want { return &want{outcome: "ok", in: in, out: out} }

// free is an ending that is not.
func free(outcome string) *want { return &want{outcome: outcome} }

// failed is a failure before content.
func failed(outcome, fault string, status, tries int) *want {
	return &want{outcome: outcome, fault: fault, status: status, tries: tries}
}

// row is a way in which an answer ends.
type row struct {
	name          string
	play          play
	whole, stream *want
	claude        [2]*want // of Anthropic's, whole and streamed, where that differs; nil: it does not
	funds         string   // what the account has; "": enough
	hurried       bool     // the gateway gives up on the provider soon
	not           map[string]string
}

// Reasons why a combination does not come about.
var (
	onlyStreamed = map[string]string{"whole": "it is an event of a stream"}
	onlyOpenAI   = map[string]string{"anthropic": "the protocol has no such thing"}
	noTools      = map[string]string{"simple": "the dialect has no tools", "prompt": "the dialect has no tools"}
)

// unseen is a report of output that was all reasoning.
var unseen = [2]string{
	`{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":5}}`,
	`{"input_tokens":10,"output_tokens":5,"output_tokens_details":{"thinking_tokens":5}}`,
}

// failure is an error of both families.
func failure(kind, code string) [2]string {
	return [2]string{
		fmt.Sprintf(`{"error":{"message":"words","type":%q,"param":null,"code":%q}}`, kind, code),
		fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":"words"}}`, kind),
	}
}

var (
	interrupted = &want{outcome: "interrupted", fault: "stream_interrupted", broken: true}
	empty       = failed("empty", "empty_response", 502, 2)
	// unreported is where only the output is counted here, since the provider said
	// before it how long the prompt was.
	unreported = &want{outcome: "ok", in: 10, out: 6, estimated: true}
	// counted is where all is.
	counted = &want{outcome: "ok", out: 6, counted: true, estimated: true}
)

// answers are the rows with an answer that is charged.
var answers = []row{
	{name: "stop", play: play{text: said, finish: "stop", usage: usage(10, 5)}, whole: ok(10, 5), stream: ok(10, 5)},
	{name: "length", play: play{text: said, finish: "length", usage: usage(10, 5)}, whole: ok(10, 5), stream: ok(10, 5)},
	{name: "tool call", play: play{tool: true, finish: "tools", usage: usage(10, 5)}, whole: ok(10, 5), stream: ok(10, 5), not: noTools},
	{name: "length while thinking aloud", play: play{thought: said, finish: "length", usage: unseen}, whole: ok(10, 5), stream: ok(10, 5)},
	{name: "length, and which tokens were thoughts is not told", play: play{finish: "length", usage: usage(10, 5)}, whole: ok(10, 5), stream: ok(10, 5)},
	{name: "length while thinking", play: play{finish: "length", usage: unseen}, whole: ok(10, 5), stream: ok(10, 5)},

	{name: "usage: none", play: play{text: said, finish: "stop"}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: no output", play: play{text: said, finish: "stop", usage: usage(10, 0)}, whole: unreported, stream: unreported},
	{name: "usage: no input", play: play{text: said, finish: "stop", usage: usage(0, 5)}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: negative", play: play{text: said, finish: "stop", usage: usage(10, -5)}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: a negative prompt", play: play{text: said, finish: "stop", usage: usage(-10, 5)}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: a part above the whole", play: play{text: said, finish: "stop", usage: [2]string{
		`{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":50}}`,
		`{"input_tokens":10,"output_tokens":5,"output_tokens_details":{"thinking_tokens":50}}`,
	}}, whole: &want{outcome: "ok", in: 10, cached: 10, out: 5}, stream: &want{outcome: "ok", in: 10, cached: 10, out: 5}, claude: [2]*want{ok(10, 5), ok(10, 5)}},
	{name: "usage: cached", play: play{text: said, finish: "stop", usage: [2]string{
		`{"prompt_tokens":60,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":50}}`,
		`{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":50}`,
	}}, whole: &want{outcome: "ok", in: 60, cached: 50, out: 5}, stream: &want{outcome: "ok", in: 60, cached: 50, out: 5}},
	{name: "usage: texts", play: play{text: said, finish: "stop", usage: usage(`"10"`, `"5"`)}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: output as text", play: play{text: said, finish: "stop", usage: usage(10, `"5"`)}, whole: unreported, stream: unreported},
	{name: "usage: whole floats", play: play{text: said, finish: "stop", usage: usage("10.0", "0.5e1")}, whole: ok(10, 5), stream: ok(10, 5)},
	{name: "usage: half a token", play: play{text: said, finish: "stop", usage: usage(10, "5.5")}, whole: unreported, stream: unreported},
	{name: "usage: nulls", play: play{text: said, finish: "stop", usage: usage("null", "null")}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: null", play: play{text: said, finish: "stop", usage: ofBoth("null")}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: 2^40", play: play{text: said, finish: "stop", usage: usage(10, 1<<40)}, whole: counted, stream: counted},
	{name: "usage: 2^40 + 1", play: play{text: said, finish: "stop", usage: usage(10, 1<<40+1)}, whole: counted, stream: counted, claude: [2]*want{nil, unreported}},
	{name: "usage: 1e308", play: play{text: said, finish: "stop", usage: usage(10, "1e308")}, whole: unreported, stream: unreported},
	{name: "usage: beyond four contexts", play: play{text: said, finish: "stop", usage: usage(32_001, 5)}, whole: counted, stream: counted},
	{name: "usage: twice", play: play{text: said, finish: "stop", usage: usage(10, 2), again: usage(10, 5)}, stream: ok(10, 5), not: onlyStreamed},
	{name: "usage: before the end", play: play{text: said, finish: "stop", early: usage(10, 1)}, stream: unreported, not: onlyStreamed},
	{name: "usage: early, and then", play: play{text: said, finish: "stop", early: usage(10, 1), usage: usage(10, 5)}, stream: ok(10, 5), not: onlyStreamed},

	{name: "more output than was allowed", play: play{text: said, finish: "stop", usage: usage(10, 1500)}, whole: &want{outcome: "ok", in: 10, out: limit, absorbed: 500}, stream: &want{outcome: "ok", in: 10, out: limit, absorbed: 500}},
	{name: "more input than was reckoned", play: play{text: said, finish: "stop", usage: usage(3000, 5)}, whole: ok(3000, 5), stream: ok(3000, 5)},
	{name: "more input than there is money", play: play{text: said, finish: "stop", usage: usage(3000, 5)}, funds: "0.00235", whole: &want{outcome: "ok", in: 3000, out: 5, all: true}, stream: &want{outcome: "ok", in: 3000, out: 5, all: true}},
}

// frees are the rows that cost nothing.
var frees = []row{
	{name: "filter", play: play{finish: "filter", usage: usage(10, 1)}, whole: free("blocked"), stream: free("blocked")},
	{name: "filter after text", play: play{text: said, finish: "filter", usage: usage(10, 5)}, whole: free("blocked"), stream: free("blocked")},
	{name: "refusal", play: play{refusal: said, finish: "stop", usage: usage(10, 5)}, whole: free("blocked"), stream: free("blocked"), not: onlyOpenAI},
	{name: "policy", play: play{status: 400, body: failure("invalid_request_error", "content_policy_violation")}, whole: failed("blocked", "content_policy", 400, 1), stream: failed("blocked", "content_policy", 400, 1), not: onlyOpenAI},

	{name: "empty", play: play{finish: "stop", usage: usage(10, 0)}, whole: empty, stream: empty},
	{name: "empty, though it says it spoke", play: play{finish: "stop", usage: usage(10, 5)}, whole: empty, stream: empty},
	{name: "nothing, and no finish", play: play{usage: usage(10, 0)}, whole: empty, stream: empty},
	{name: "error", play: play{status: 500, body: failure("api_error", "")}, whole: failed("failed", "upstream_failed", 502, 2), stream: failed("failed", "upstream_failed", 502, 2)},
	{name: "error in a 200", play: play{body: failure("api_error", "")}, whole: failed("failed", "upstream_failed", 502, 2), stream: failed("failed", "upstream_failed", 502, 2)},
	{name: "error as the first event", play: play{breaks: "error"}, stream: failed("failed", "upstream_failed", 502, 2), not: onlyStreamed},
	{name: "no answer in time", play: play{holds: beforeHead}, hurried: true, whole: failed("failed", "upstream_timeout", 504, 1), stream: failed("failed", "upstream_timeout", 504, 1)},
	{name: "cut before content", play: play{breaks: "cut"}, whole: failed("failed", "upstream_failed", 502, 2), stream: failed("failed", "upstream_failed", 502, 2)},

	{name: "cut", play: play{text: said, breaks: "cut"}, whole: failed("failed", "upstream_failed", 502, 2), stream: interrupted},
	{name: "end without an end", play: play{text: said, breaks: "eof"}, stream: interrupted, not: onlyStreamed},
	{name: "error in the middle", play: play{text: said, breaks: "error"}, stream: &want{outcome: "interrupted", fault: "upstream_failed", broken: true}, not: onlyStreamed},
}

// vectors are the rows of embeddings, which only OpenAI's family has.
var vectors = []row{
	{name: "vector", play: play{text: said, usage: usage(10, 0)}, whole: ok(10, 0)},
	{name: "vector: no usage", play: play{text: said}, whole: &want{outcome: "ok", counted: true, estimated: true}},
	{name: "vector: a negative prompt", play: play{text: said, usage: usage(-10, 0)}, whole: &want{outcome: "ok", counted: true, estimated: true}},
	{name: "vector: output", play: play{text: said, usage: usage(10, 5)}, whole: ok(10, 0)},
	{name: "vector: nothing", play: play{usage: usage(10, 0)}, whole: empty},
	{name: "vector: error", play: play{status: 500, body: failure("api_error", "")}, whole: failed("failed", "upstream_failed", 502, 2)},
	{name: "vector: error in a 200", play: play{body: failure("api_error", "")}, whole: failed("failed", "upstream_failed", 502, 2)},
}

// reason is why a combination does not come about; "": it does.
func (r row) reason(d dialect, family int, stream bool) string {
	how := "whole"
	if stream {
		how = "stream"
	}
	for _, name := range []string{d.name, families[family], how} {
		if why := r.not[name]; why != "" {
			return why
		}
	}
	if stream && d.name == "prompt" {
		return "the dialect has no streams"
	}
	return ""
}

// wants is what becomes of a combination; nil: nobody has said.
func (r row) wants(family int, stream bool) *want {
	own, both := r.claude[0], r.whole
	if stream {
		own, both = r.claude[1], r.stream
	}
	if family == anthropic && own != nil {
		return own
	}
	return both
}

// TestEveryEndingCostsWhatTheTableSays.
func TestEveryEndingCostsWhatTheTableSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	room := make(chan struct{}, 16)
	never := 0
	for _, r := range slices.Concat(answers, frees) {
		for _, d := range []dialect{chat, messages, google, simple, prompt, respond} {
			for f := range families {
				for _, stream := range []bool{false, true} {
					if r.reason(d, f, stream) != "" {
						never++
						continue
					}
					at := fmt.Sprintf("%s, %s of %s, stream %v", r.name, d.name, families[f], stream)
					expected := r.wants(f, stream)
					if expected == nil {
						t.Errorf("%s: nobody has said what becomes of it", at)
						continue
					}
					room <- struct{}{}
					wg.Go(func() {
						defer func() { <-room }()
						model := families[f]
						if r.hurried {
							model = "hurried-" + model
						}
						w.one(t, at, r, d, model, stream, expected)
					})
				}
			}
		}
	}
	for _, r := range vectors {
		wg.Go(func() { w.one(t, r.name, r, embeddings, "embed", false, r.whole) })
	}
	wg.Wait()
	w.close(t)
	t.Logf("%d cells of %d rows; %d combinations do not come about", w.cells, len(answers)+len(frees)+len(vectors), never)
}

// one plays one cell.
func (w *world) one(t *testing.T, at string, r row, d dialect, model string, stream bool, want *want) {
	c, text := w.up.add(r.play)
	funds := r.funds
	if funds == "" {
		funds = "1"
	}
	p := w.payer(t, d, funds, nil)
	got := p.ask(t, d.at(model, stream), d.body(model, text, stream))
	status, faulty := 200, want.status != 0
	if faulty {
		status = want.status
	}
	switch {
	case got.err != nil, !faulty && got.status != 200, faulty && got.status < 400, faulty && d.host == "" && got.status != status:
		t.Errorf("%s: %d %v %.300s, want %d", at, got.status, got.err, got.body, status)
		return
	case stream && !faulty && finished(d, got.body) == want.broken:
		t.Errorf("%s: the stream ends with %.200q", at, got.body[max(0, len(got.body)-200):])
	case stream && want.broken && !strings.Contains(string(got.body), `"error"`):
		t.Errorf("%s: the stream breaks off without a word: %s", at, got.body)
	}
	tries := max(want.tries, 1)
	if n := c.asked(); n != tries {
		t.Errorf("%s: the provider was asked %d times, want %d", at, n, tries)
	}
	rc := w.receipt(t, got.id)
	w.check(t, at, want, p, rc)
	if nano(t, got.charged()).Cmp(nano(t, rc.ChargeUSD)) != 0 {
		t.Errorf("%s: X-Charge-USD is %q, the receipt says %s", at, got.charged(), rc.ChargeUSD)
	}
	delivery := "complete"
	switch {
	case faulty:
		delivery = "none"
	case want.broken:
		delivery = "partial"
	}
	if tried, _ := p.counter(t, "requests").(float64); tried != 1 {
		t.Errorf("%s: %v requests count in the key's throughput", at, tried)
	}
	if rc.Status != got.status || rc.Delivery != delivery || len(rc.Attempts) != tries {
		t.Errorf("%s: the receipt says status %d, delivery %s, %d attempts; want %d, %s, %d", at, rc.Status, rc.Delivery, len(rc.Attempts), got.status, delivery, tries)
	}
}

// TestTheNextTargetIsTriedBeforeContent: what failed before it is free, and the
// answer that came costs what it used.
func TestTheNextTargetIsTriedBeforeContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := play{text: said, finish: "stop", usage: usage(10, 5)}
	for _, r := range frees {
		if first := r.stream; first.tries != 2 {
			continue
		}
		for _, d := range []dialect{chat, messages, google, simple, prompt, respond} {
			for _, stream := range []bool{false, true} {
				if r.reason(d, openai, stream) != "" {
					continue
				}
				at := fmt.Sprintf("%s, %s, stream %v", r.name, d.name, stream)
				c, text := w.up.add(r.play)
				c.then = &good
				p := w.payer(t, d, "1", nil)
				got := p.ask(t, d.at("either", stream), d.body("either", text, stream))
				rc := w.receipt(t, got.id)
				w.check(t, at, ok(10, 5), p, rc)
				if got.status != 200 || c.asked() != 2 || len(rc.Attempts) != 2 || rc.Attempts[0].Outcome != r.stream.fault || rc.Attempts[1].Outcome != "ok" {
					t.Errorf("%s: %d, the provider was asked %d times, attempts %+v", at, got.status, c.asked(), rc.Attempts)
				}
			}
		}
	}
	w.close(t)
	if w.cells < 30 {
		t.Errorf("only %d cells", w.cells)
	}
}

// check holds the receipt, the balance and the key's day against what is wanted.
func (w *world) check(t *testing.T, at string, want *want, p payer, rc receipt) {
	t.Helper()
	in := want.in
	if want.counted {
		if in = rc.Tokens.Input; in < 5 || in > 60 {
			t.Errorf("%s: %d tokens of input were counted", at, in)
		}
	}
	charge := big.NewInt((in-want.cached)*inRate + want.cached*cachedRate + want.out*outRate)
	absorbed := big.NewInt(want.absorbed * outRate)
	if want.all {
		absorbed.Sub(charge, p.funds)
		charge.Set(p.funds)
	}
	if nano(t, rc.ChargeUSD).Cmp(charge) != 0 || nano(t, rc.AbsorbedUSD).Cmp(absorbed) != 0 {
		t.Errorf("%s: the receipt says that %s was charged and %s absorbed for %+v, want %v and %v", at, rc.ChargeUSD, rc.AbsorbedUSD, rc.Tokens, charge, absorbed)
	}
	if rc.Outcome != want.outcome || rc.Fault != want.fault || rc.Estimated != want.estimated {
		t.Errorf("%s: the receipt says %s, fault %q, estimated %v; want %s, %q, %v", at, rc.Outcome, rc.Fault, rc.Estimated, want.outcome, want.fault, want.estimated)
	}
	sum := new(big.Int)
	for _, l := range rc.Lines {
		sum.Add(sum, nano(t, l.AmountUSD))
	}
	if sum.Cmp(new(big.Int).Add(charge, absorbed)) != 0 {
		t.Errorf("%s: the lines sum to %v, charged and absorbed are %v and %v", at, sum, charge, absorbed)
	}
	paid, requests := p.spent(t)
	if counts := int64(charge.Sign()); paid.Cmp(charge) != 0 || requests != counts {
		t.Errorf("%s: the account has paid %v, and %d requests of the key's day are used; want %v and %d", at, paid, requests, charge, counts)
	}
	w.books(t, rc)
}

// finished reports whether a stream has the clean end of its dialect.
func finished(d dialect, body []byte) bool {
	switch d.name {
	case "messages":
		return strings.Contains(string(body), `"message_stop"`)
	case "google":
		return strings.Contains(string(body), `"finishReason"`) && strings.HasSuffix(string(body), "}\n\n")
	case "responses":
		return strings.Contains(string(body), "event: response.completed\n") || strings.Contains(string(body), "event: response.incomplete\n")
	}
	return strings.HasSuffix(string(body), "data: [DONE]\n\n")
}
