package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/client"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"
	simplePath   = "/v1/chat"
)

// drain reads an open stream to its end.
func drain(t *testing.T, resp *http.Response) *reply {
	t.Helper()
	r := &reply{status: resp.StatusCode, header: resp.Header}
	r.body, r.broke = io.ReadAll(resp.Body)
	r.trailer = resp.Trailer
	_ = resp.Body.Close()
	if r.broke != nil {
		t.Errorf("%v behind %s", r.broke, tail(r.body))
	}
	return r
}

// begin opens a stream, which must be admitted.
func begin(t *testing.T, c customer, q call) *http.Response {
	t.Helper()
	q.key = c.key
	resp, err := open(t.Context(), c.g, q)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", resp.StatusCode, drain(t, resp).body)
	}
	return resp
}

func (r *reply) request() string { return r.header.Get("X-Request-Id") }

// accounted is a receipt, with what was absorbed.
type accounted struct {
	harness.Receipt
	AbsorbedUSD string `json:"absorbed_usd"`
}

func receiptOf(t *testing.T, g *harness.Gateway, id string) accounted {
	t.Helper()
	g.Receipt(t, id, func(r harness.Receipt) bool { return r.Outcome != "" })
	var a accounted
	g.MustAdmin(t, "GET", "/admin/v1/requests/"+id, nil, &a)
	if usd(t, a.AbsorbedUSD) != 0 {
		t.Errorf("%s was absorbed of request %s", a.AbsorbedUSD, id)
	}
	return a
}

// On a balance of six floors six streams without a limit are answered at the
// same time, each to its end, and every nano-dollar is accounted for. Without
// shares the first of them would have held everything.
func TestStreamsShareASmallBalance(t *testing.T) {
	t.Parallel()
	const n = 6
	for _, model := range []string{"gpt", "claude"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			u := newTalker(t)
			g := harness.Start(t, harness.Options{Config: u.config()})
			q := talk(chatPath, model, "say 300 text wait", "")
			floor := floorOf(t, g, q)
			c := newCustomer(t, g, (n*floor + 123).String(), fast())
			var streams []*http.Response
			for range n {
				streams = append(streams, begin(t, c, q))
			}
			u.atGate(t, n)
			if a := c.now(t); usd(t, a.HeldUSD) != n*floor || usd(t, a.AvailUSD) != 123 {
				t.Errorf("%s is held, want %d times %s", a.HeldUSD, n, floor)
			}
			q.key = c.key
			if r := ask(t, g, q); !r.isHeld(t) || usd(t, r.header.Get("X-Required-USD")) != floor {
				t.Errorf("one too many: %d %s", r.status, r.body)
			}
			close(u.gate)
			for _, s := range streams {
				r := drain(t, s)
				const cost = talkPrompt*talkInput + 300*talkOutput
				if got := usd(t, r.trailer.Get("X-Charge-Usd")); got != cost || u.cost(r.request()) != cost {
					t.Errorf("charged %s, want %s", got, money.Amount(cost))
				}
				if a := receiptOf(t, g, r.request()); a.Estimated || usd(t, a.HoldUSD) != floor || a.Outcome != "ok" {
					t.Errorf("receipt: %+v", a)
				}
			}
			settled(t, g)
			if a := c.now(t); usd(t, a.BalanceUSD) != n*floor+123-n*(talkPrompt*talkInput+300*talkOutput) {
				t.Errorf("%s is left", a.BalanceUSD)
			}
		})
	}
}

// parsed is a stream as a client understands it.
type parsed struct {
	text, args string
	finish     map[int]string
	output     int64 // tokens, as told
	frames     int
}

// parse reads a stream of chunks strictly: every one must be of the schema, no
// choice goes on after its end, and the marker is last.
func parse(t *testing.T, r *reply) parsed {
	t.Helper()
	schema := testkit.LoadSchema(t, "openai.json#CreateChatCompletionStreamResponse")
	p := parsed{finish: map[int]string{}}
	body, ok := strings.CutSuffix(string(r.body), "data: [DONE]\n\n")
	if !ok {
		t.Fatalf("the stream ends with %s", tail(r.body))
	}
	for _, f := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(f, "data: ")
		if !ok {
			continue // a comment
		}
		if err := schema.Check([]byte(data)); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		var c client.Chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		p.frames++
		for _, ch := range c.Choices {
			if p.finish[ch.Index] != "" {
				t.Errorf("choice %d goes on after its end: %s", ch.Index, data)
			}
			p.text += ch.Delta.Content
			var calls []struct{ Function struct{ Arguments string } }
			if ch.Delta.ToolCalls != nil && json.Unmarshal(ch.Delta.ToolCalls, &calls) != nil {
				t.Errorf("%s is no list of calls", ch.Delta.ToolCalls)
			}
			for _, call := range calls {
				p.args += call.Function.Arguments
			}
			p.finish[ch.Index] = ch.FinishReason
		}
		if c.Usage != nil {
			p.output = int64(c.Usage.CompletionTokens)
		}
	}
	return p
}

// A stream that has nothing more to be paid from ends where the money does, in
// good order, and is charged for what came.
func TestAStreamThatRunsOutEndsForItsLength(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, model, mode, more string
		choices                 int
	}{
		{chatPath, "gpt", "text", ``, 1},
		{chatPath, "gpt", "text", `,"stream_options":{"include_usage":true}`, 1},
		{chatPath, "gpt", "choices", `,"n":2,"stream_options":{"include_usage":true}`, 2},
		{chatPath, "gpt", "tool", `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]`, 1},
		{chatPath, "claude", "text", `,"stream_options":{"include_usage":true}`, 1},
		{chatPath, "claude", "tool", `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]`, 1},
		{simplePath, "gpt", "text", ``, 1},
		{simplePath, "claude", "text", ``, 1},
	} {
		t.Run(fmt.Sprint(c.path, c.model, c.mode, len(c.more)), func(t *testing.T) {
			t.Parallel()
			u := newTalker(t)
			g := harness.Start(t, harness.Options{Config: u.config()})
			lingers := talk(c.path, c.model, "say 9000 "+c.mode+" wait linger", c.more)
			q := talk(c.path, c.model, "say 9000 "+c.mode+" wait listen", c.more) // needs the same
			floor := floorOf(t, g, q)
			who := newCustomer(t, g, (2 * floor).String(), fast())
			first := begin(t, who, lingers)
			second := begin(t, who, q) // its cap is what is left, and it has it
			u.atGate(t, 2)
			close(u.gate)
			r := drain(t, first)
			p := parse(t, r)
			if len(p.finish) != c.choices {
				t.Errorf("choices ended with %v", p.finish)
			}
			for i, f := range p.finish {
				if f != "length" {
					t.Errorf("choice %d ended with %q", i, f)
				}
			}
			said := p.text + p.args
			if len(said) < 2000*c.choices || len(said) >= 4*9000 || !strings.HasPrefix(said, "It was the best") {
				t.Errorf("%d bytes were said", len(said))
			}
			a := receiptOf(t, g, r.request())
			tokens := int64(len(said)+3) / 4
			if a.Outcome != "ok" || !a.Estimated || a.Tokens.Output != tokens || a.Fault != "" || a.Delivery != "complete" {
				t.Errorf("%d bytes, and the receipt %+v", len(said), a)
			}
			cost := money.Amount(a.Tokens.Input*talkInput + tokens*talkOutput)
			if got := usd(t, r.trailer.Get("X-Charge-Usd")); got != cost || usd(t, a.ChargeUSD) != cost || cost > usd(t, a.HoldUSD) || a.Tokens.Input < 1 {
				t.Errorf("charged %s of %s held, want %s", got, a.HoldUSD, cost)
			}
			if r.header.Get("X-Output-Capped-By") != "balance" { // two floors are less than the longest answer
				t.Errorf("headers %v", r.header)
			}
			if strings.Contains(c.more, "include_usage") && p.output != tokens {
				t.Errorf("the usage tells %d tokens, want %d", p.output, tokens)
			}
			rest := drain(t, second)
			if p := parse(t, rest); p.finish[0] != "length" {
				t.Errorf("the other one ended with %v", p.finish)
			}
			charge := usd(t, rest.trailer.Get("X-Charge-Usd"))
			if told := u.cost(rest.request()); told != charge || receiptOf(t, g, rest.request()).Estimated {
				t.Errorf("the other one is charged %s, and cost %s", charge, told)
			}
			eventually(t, "the upstream of the first is cancelled", func() bool { return u.gone() == 1 })
			settled(t, g)
			if left := usd(t, who.now(t).BalanceUSD); left != 2*floor-cost-charge || left < 0 {
				t.Errorf("%s is left", left)
			}
		})
	}
}

// Where the longest answer could have been paid when the stream began, no header
// tells of a cap, and a trailer has to.
func TestAStreamThatRunsOutUnforeseenSaysSoInATrailer(t *testing.T) {
	t.Parallel()
	u := newTalker(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	q := talk(chatPath, "gpt", "say 9000 text wait", "")
	floor := floorOf(t, g, q)
	worst := floor - talkFloor*talkOutput + 50_000*talkOutput
	c := newCustomer(t, g, worst.String(), fast())
	first := begin(t, c, q)
	u.atGate(t, 1)
	rest := usd(t, c.now(t).AvailUSD)
	other := begin(t, c, talk(chatPath, "gpt", "say 10 text wait linger", fmt.Sprintf(`,"max_tokens":%d`, (rest-floor)/talkOutput+talkFloor-5)))
	if left := usd(t, c.now(t).AvailUSD); left > 10*talkOutput {
		t.Fatalf("%s is free", left)
	}
	close(u.gate)
	r := drain(t, first)
	if p := parse(t, r); p.finish[0] != "length" || len(p.text) < 4*3000 || len(p.text) > 4*6250 {
		t.Errorf("%d bytes, ended with %v", len(p.text), p.finish)
	}
	if r.header.Get("X-Output-Capped-By") != "" || r.trailer.Get("X-Output-Capped-By") != "balance" || u.limits()[0] != -1 {
		t.Errorf("header %v, trailer %v, limits %v", r.header, r.trailer, u.limits())
	}
	receiptOf(t, g, r.request())
	_ = other.Body.Close()
	settled(t, g)
}

// Crowds of streams of every length share a balance down to its end.
func TestACrowdOfStreamsSpendsABalance(t *testing.T) {
	t.Parallel()
	const callers = 24
	u := newTalker(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	floor := floorOf(t, g, talk(chatPath, "gpt", "say 2000 text", ""))
	begun := 12*floor + 77
	c := newCustomer(t, g, begun.String(), fast())
	var spent, answers, cut, held atomic.Int64
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if a := c.now(t); strings.HasPrefix(a.BalanceUSD, "-") || strings.HasPrefix(a.AvailUSD, "-") {
				t.Errorf("below zero: %+v", a)
			}
		}
	})
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(i)))
			for range 10_000 {
				path, model := chatPath, []string{"gpt", "claude"}[rng.IntN(2)]
				if rng.IntN(4) == 0 {
					path = simplePath
				}
				q := talk(path, model, fmt.Sprintf("say %d text", 25+rng.IntN(2500)), "")
				q.key = c.key
				r, err := try(t.Context(), g, q)
				switch {
				case err != nil || r.broke != nil:
					t.Error(err, r)
					return
				case r.status == http.StatusOK:
					a := receiptOf(t, g, r.request())
					charge := usd(t, a.ChargeUSD)
					spent.Add(int64(charge))
					answers.Add(1)
					if told := u.cost(r.request()); !a.Estimated && told != charge {
						t.Errorf("charged %s, and it cost %s", charge, told)
					}
					if a.Estimated {
						cut.Add(1)
					}
					if charge > usd(t, a.HoldUSD) {
						t.Errorf("charged %s of %s held", charge, a.HoldUSD)
					}
				case r.isHeld(t):
					held.Add(1)
				case r.at(t, "error.code") == "insufficient_balance" || r.at(t, "error.code") == "balance_insufficient":
					return
				default:
					if path == chatPath || r.status != http.StatusPaymentRequired {
						t.Errorf("%d %s", r.status, r.body)
					}
					if r.header.Get("X-Should-Retry") == "false" {
						return
					}
				}
			}
			t.Error("no end of it")
		})
	}
	wg.Wait()
	close(stop)
	watch.Wait()
	settled(t, g)
	left := usd(t, c.now(t).BalanceUSD)
	if left < 0 || left >= floor || left != begun-money.Amount(spent.Load()) {
		t.Errorf("%s is left of %s after charges of %s; a floor is %s", left, begun, money.Amount(spent.Load()), floor)
	}
	if answers.Load() < 6 {
		t.Errorf("only %d answers", answers.Load())
	}
	t.Logf("%d answers, %d of them cut off, %d told to come back", answers.Load(), cut.Load(), held.Load())
}

// Who is rich notices nothing: the worst is held, and the provider is sent no
// limit. Who is not is answered as far as everything that is free would pay, if
// it can be watched or not.
func TestWhatIsHeldAtFirst(t *testing.T) {
	t.Parallel()
	u := newTalker(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	q := talk(chatPath, "gpt", "say 50 text", "")
	floor := floorOf(t, g, q)
	input := floor - talkFloor*talkOutput
	worst := input + 50_000*talkOutput
	whole := call{path: chatPath, body: strings.Replace(q.body, `"stream":true`, `"stream":false`, 1)}
	for i, x := range []struct {
		name    string
		q       call
		balance money.Amount
		hold    money.Amount
		limit   float64
		capped  string
	}{
		{"rich", q, 8 * worst, worst, -1, ""},
		{"by the clerk", talk(chatPath, "claude", "say 50 text", ""), 8 * worst, worst, 50_000, ""},
		{"an eighth", q, 4 * worst, worst / 2, -1, ""},
		{"capped", q, 16 * floor, 2 * floor, float64((16*floor - input) / talkOutput), "balance"},
		{"the floor", q, floor, floor, talkFloor, "balance"},
		{"thinks", talk(chatPath, "thinks", "say 50 text", ""), 16 * floor, 16 * floor, float64((16*floor - input) / talkOutput), "balance"},
		{"a limit of its own", talk(chatPath, "gpt", "say 50 text", `,"max_tokens":1000`), 16 * floor, input + 1000*talkOutput, 1000, ""},
		{"a message, which always has one", talk(messagesPath, "gpt", "say 50 text", `,"max_tokens":1000`), 16 * floor, input + 1000*talkOutput, 1000, ""},
	} {
		c := newCustomer(t, g, x.balance.String(), fast())
		x.q.key = c.key
		r := ask(t, g, x.q).is(t, http.StatusOK)
		if a := receiptOf(t, g, r.request()); usd(t, a.HoldUSD) != x.hold || r.header.Get("X-Output-Capped-By") != x.capped || a.Estimated {
			t.Errorf("%s: %s is held, want %s; capped by %q", x.name, a.HoldUSD, x.hold, r.header.Get("X-Output-Capped-By"))
		}
		if got := u.limits()[i]; got != x.limit {
			t.Errorf("%s: the provider was sent the limit %v, want %v", x.name, got, x.limit)
		}
	}
	whole.key = newCustomer(t, g, (16 * floor).String(), fast()).key
	_ = ask(t, g, whole) // the talker only streams: what counts is what was held
	if got := u.limits()[8]; got != float64((16*floor-input)/talkOutput) {
		t.Errorf("a whole answer is limited to %v", got)
	}
	poor := newCustomer(t, g, (floor - 1).String(), fast())
	q.key = poor.key
	if r := ask(t, g, q).is(t, http.StatusPaymentRequired); usd(t, r.header.Get("X-Required-USD")) != floor || r.header.Get("X-Should-Retry") != "false" {
		t.Errorf("with a nano-dollar less than the floor: %s %v", r.body, r.header)
	}
	settled(t, g)
}

// What a stream holds besides what it was let in with stands in the way for a
// while, and no longer.
func TestWhatAStreamHasGrownToIsHeld(t *testing.T) {
	t.Parallel()
	u := newTalker(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	floor := floorOf(t, g, talk(chatPath, "gpt", "say 1500 text", ""))
	c := newCustomer(t, g, (2 * floor).String(), fast())
	// 1,500 tokens may be 2,000: a floor is not enough for them.
	s := begin(t, c, talk(chatPath, "gpt", "say 1500 text linger", ""))
	u.atGate(t, 1)
	eventually(t, "the hold has grown", func() bool { return usd(t, c.now(t).HeldUSD) > floor })
	q := talk(chatPath, "gpt", "say 10 text", "")
	q.key = c.key
	if r := ask(t, g, q); !r.isHeld(t) {
		t.Errorf("while it is held: %d %s", r.status, r.body)
	}
	_ = s.Body.Close()
	eventually(t, "it is given back", func() bool { return usd(t, c.now(t).HeldUSD) == 0 })
	c.credit(t, floor.String())
	ask(t, g, q).is(t, http.StatusOK)
	settled(t, g)
}

// The answer that a key stands for can be one that was cut off, and costs once.
func TestAnAnswerThatWasCutOffIsReplayed(t *testing.T) {
	t.Parallel()
	u := newTalker(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	q := talk(chatPath, "claude", "say 9000 text wait", "")
	floor := floorOf(t, g, q)
	c := newCustomer(t, g, (2 * floor).String(), fast())
	keyed := q
	keyed.header = map[string]string{"Idempotency-Key": "k1"}
	first := begin(t, c, keyed)
	_ = first.Body.Close() // who leaves can come back
	second := begin(t, c, q)
	u.atGate(t, 2)
	close(u.gate)
	drain(t, second)
	a := receiptOf(t, g, first.Header.Get("X-Request-Id"))
	if a.Outcome != "ok" || !a.Estimated || usd(t, a.ChargeUSD) <= 0 {
		t.Errorf("receipt: %+v", a)
	}
	before := c.now(t).BalanceUSD
	keyed.key = c.key
	r := ask(t, g, keyed).is(t, http.StatusOK)
	if p := parse(t, r); p.finish[0] != "length" || int64(len(p.text)+3)/4 != a.Tokens.Output {
		t.Errorf("replayed: %d bytes, ended with %v; charged for %d tokens", len(p.text), p.finish, a.Tokens.Output)
	}
	if r.header.Get("Idempotency-Replayed") != "true" || r.header.Get("X-Output-Capped-By") != "balance" || c.now(t).BalanceUSD != before {
		t.Errorf("replayed with %v", r.header)
	}
	settled(t, g)
}
