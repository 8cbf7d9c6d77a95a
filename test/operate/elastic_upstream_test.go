package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

// Prices of the talker's models, per token, and how a piece of its answers looks.
const (
	talkInput  = 1000 // nano-dollars
	talkOutput = 10_000
	talkPrompt = 20 // tokens that it counts of any prompt
	talkPiece  = 25 // tokens; it makes one of four bytes
	talkText   = "It was the best of times. It was the worst of times. It was the age of wisdom, and of foolishness.. "
	talkFloor  = 1024
)

// talker is a provider that speaks as OpenAI and as Anthropic do, and does what
// the prompt says: "say 500 text" makes it say so many tokens, or as many as it
// may. It counts what it says, exactly and honestly.
type talker struct {
	url  string
	gate chan struct{} // prompts with "wait" go on after their first piece when it is closed; those with "linger" never do after the last
	end  chan struct{}

	mu      sync.Mutex
	told    map[string]money.Amount // what was said to its end cost, by our request id
	bodies  []map[string]any
	waiting int // at the gate
	left    int // requests that were cancelled
}

func newTalker(t *testing.T) *talker {
	u := &talker{gate: make(chan struct{}), end: make(chan struct{}), told: map[string]money.Amount{}}
	u.url = harness.Serve(t, u, u.end).URL
	return u
}

// config is of a gateway in front of it, with one model of each family.
func (u *talker) config() string {
	model := `context: 100000, max_output: 50000, reasoning: false, price: {input: 1.00, output: 10.00}`
	return fmt.Sprintf(`
providers:
  openly: {kind: openai, base_url: "%s/v1", api_key: k, catalog: none}
  clerk:  {kind: anthropic, base_url: "%s/v1", api_key: k, catalog: none}
models:
  gpt:    {targets: [{provider: openly}], %s}
  claude: {targets: [{provider: clerk}], %s}
  thinks: {targets: [{provider: openly}], context: 100000, max_output: 50000, price: {input: 1.00, output: 10.00}}
sites: [{hosts: ["*"], contract: openai}]
`, u.url, u.url, model, model)
}

var talkOrder = regexp.MustCompile(`say (\d+) (text|tool|choices)( wait)?( linger)?`)

// order is what a prompt asks of a talker.
type order struct {
	tokens  int
	mode    string
	wait    bool // after the first piece
	linger  bool // after the last
	limit   int  // tokens of each choice
	usage   bool
	choices int
}

// ServeHTTP answers one request.
func (u *talker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	m := talkOrder.FindSubmatch(body)
	var asked struct {
		MaxTokens     int `json:"max_tokens"`
		MaxCompletion int `json:"max_completion_tokens"`
		N             int
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	var members map[string]any
	if err != nil || m == nil || json.Unmarshal(body, &asked) != nil || json.Unmarshal(body, &members) != nil {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	u.bodies = append(u.bodies, members)
	u.mu.Unlock()
	n, _ := strconv.Atoi(string(m[1]))
	o := order{tokens: n, mode: string(m[2]), wait: len(m[3]) > 0, linger: len(m[4]) > 0, limit: 50_000, usage: asked.StreamOptions.IncludeUsage, choices: max(asked.N, 1)}
	if limit := max(asked.MaxTokens, asked.MaxCompletion); limit > 0 {
		o.limit = limit
	}
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(frames ...string) bool {
		_, err := io.WriteString(w, strings.Join(frames, ""))
		return err == nil && http.NewResponseController(w).Flush() == nil && r.Context().Err() == nil
	}
	speak := u.chat
	if r.URL.Path == "/v1/messages" {
		speak = u.message
	}
	tokens, ok := speak(o, say, r)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !ok {
		u.left++
		return
	}
	u.told[r.Header.Get("X-Request-Id")] = money.Amount(talkPrompt*talkInput + tokens*talkOutput)
}

// pieces says what was ordered, each piece through frame, as often as there are
// choices. It returns how many tokens that was, and whether all may be said.
func (u *talker) pieces(o order, r *http.Request, say func(...string) bool, frame func(choice int, text string) string) (tokens int, cut, ok bool) {
	n := min(o.tokens, o.limit)
	for said := 0; said < n; said += talkPiece {
		piece := talkText[:4*min(talkPiece, n-said)]
		for choice := range o.choices {
			if !say(frame(choice, piece)) {
				return 0, false, false
			}
		}
		if said == 0 && o.wait && !u.await(r, u.gate) || said+talkPiece >= n && o.linger && !u.await(r, nil) {
			return 0, false, false
		}
	}
	return n * o.choices, n < o.tokens, true
}

// await waits at a gate, or for ever. It reports false if nobody listens any more.
func (u *talker) await(r *http.Request, gate <-chan struct{}) bool {
	u.mu.Lock()
	u.waiting++
	u.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-r.Context().Done():
	case <-u.end:
	}
	return false
}

func (u *talker) chat(o order, say func(...string) bool, r *http.Request) (int, bool) {
	chunk := func(choice int, delta, finish string) string {
		return fmt.Sprintf(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"m","system_fingerprint":"fp_1","choices":[{"index":%d,"delta":%s,"logprobs":null,"finish_reason":%s}]}`+"\n\n", choice, delta, finish)
	}
	for choice := range o.choices {
		first := `{"role":"assistant","content":""}`
		if o.mode == "tool" {
			first = `{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}`
		}
		if !say(chunk(choice, first, "null")) {
			return 0, false
		}
	}
	tokens, cut, ok := u.pieces(o, r, say, func(choice int, text string) string {
		if o.mode == "tool" {
			return chunk(choice, fmt.Sprintf(`{"tool_calls":[{"index":0,"function":{"arguments":%q}}]}`, text), "null")
		}
		return chunk(choice, fmt.Sprintf(`{"content":%q}`, text), "null")
	})
	if !ok {
		return 0, false
	}
	finish := map[bool]string{true: `"length"`, false: `"stop"`}[cut]
	for choice := range o.choices {
		if !say(chunk(choice, `{}`, finish)) {
			return 0, false
		}
	}
	if o.usage {
		say(fmt.Sprintf(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"m","choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`+"\n\n", talkPrompt, tokens, talkPrompt+tokens))
	}
	return tokens, say("data: [DONE]\n\n")
}

func (u *talker) message(o order, say func(...string) bool, r *http.Request) (int, bool) {
	event := func(name, format string, args ...any) string {
		return "event: " + name + "\ndata: {\"type\":\"" + name + "\"," + fmt.Sprintf(format, args...) + "}\n\n"
	}
	block, delta, reason := `{"type":"text","text":""}`, `{"type":"text_delta","text":%q}`, "end_turn"
	if o.mode == "tool" {
		block, delta, reason = `{"type":"tool_use","id":"toolu_1","name":"f","input":{}}`, `{"type":"input_json_delta","partial_json":%q}`, "tool_use"
	}
	if !say(event("message_start", `"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":%d,"output_tokens":1}}`, talkPrompt),
		event("content_block_start", `"index":0,"content_block":%s`, block)) {
		return 0, false
	}
	tokens, cut, ok := u.pieces(o, r, say, func(_ int, text string) string {
		return event("content_block_delta", `"index":0,"delta":`+delta, text)
	})
	if !ok {
		return 0, false
	}
	if cut {
		reason = "max_tokens"
	}
	return tokens, say(event("content_block_stop", `"index":0`),
		event("message_delta", `"delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":%d}`, reason, tokens),
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
}

// atGate waits until so many requests wait at the gate.
func (u *talker) atGate(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d at the gate", n), func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.waiting >= n
	})
}

// cost is what a request cost that the talker has answered to its end; 0: it has
// not.
func (u *talker) cost(request string) money.Amount {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.told[request]
}

// gone counts the requests that were cancelled.
func (u *talker) gone() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.left
}

// limits lists the limits on output that the talker was sent; -1: none.
func (u *talker) limits() (all []float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range u.bodies {
		limit := -1.0
		for _, name := range []string{"max_tokens", "max_completion_tokens"} {
			if n, ok := b[name].(float64); ok {
				limit = n
			}
		}
		all = append(all, limit)
	}
	return slices.Clip(all)
}

// talk is a request of a stream; more holds members in JSON.
func talk(path, model, prompt, more string) call {
	return call{path: path, body: fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"stream":true%s}`, model, prompt, more)}
}

// floorOf finds out what a request needs at least.
func floorOf(t *testing.T, g *harness.Gateway, q call) money.Amount {
	t.Helper()
	q.key = newCustomer(t, g, "0", fast()).key
	return usd(t, ask(t, g, q).is(t, http.StatusPaymentRequired).header.Get("X-Required-USD"))
}
