package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// The price of every model here, in nano-dollars per token: input, output.
const (
	inRate  = 1000
	outRate = 2000
)

// allowed is the max_tokens of hello.
const allowed = 1000

// lie is a usage that a provider reports for one word, and what becomes of it.
type lie struct {
	openai, anthropic string // usage objects; "": none at all
	in, out           int64  // what is reported; -1: what the gateway counts itself
}

var lies = map[string]lie{
	"honest":       {`{"prompt_tokens":10,"completion_tokens":3}`, `{"input_tokens":10,"output_tokens":3}`, 10, 3},
	"missing":      {"", "", -1, -1},
	"null":         {`null`, `null`, -1, -1},
	"empty":        {`{}`, `{}`, -1, -1},
	"zero":         {`{"prompt_tokens":0,"completion_tokens":0}`, `{"input_tokens":0,"output_tokens":0}`, -1, -1},
	"negative":     {`{"prompt_tokens":-10,"completion_tokens":-3}`, `{"input_tokens":-10,"output_tokens":-3}`, -1, -1},
	"half-minus":   {`{"prompt_tokens":10,"completion_tokens":-3}`, `{"input_tokens":10,"output_tokens":-3}`, -1, -1},
	"absurd":       {`{"prompt_tokens":10,"completion_tokens":999999999999}`, `{"input_tokens":10,"output_tokens":999999999999}`, -1, -1},
	"overflow":     {`{"prompt_tokens":99999999999999999999999,"completion_tokens":3}`, `{"input_tokens":99999999999999999999999,"output_tokens":3}`, -1, -1},
	"text":         {`{"prompt_tokens":"10","completion_tokens":"3"}`, `{"input_tokens":"10","output_tokens":"3"}`, -1, -1},
	"a-list":       {`[1,2]`, `[1,2]`, -1, -1},
	"a-number":     {`7`, `7`, -1, -1},
	"cached-minus": {`{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-5}}`, `{"input_tokens":10,"output_tokens":3,"cache_read_input_tokens":-5}`, -1, -1},
	"more-thought": {`{"prompt_tokens":10,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":900}}`, `{"input_tokens":10,"output_tokens":3,"output_tokens_details":{"thinking_tokens":900}}`, 10, 3},
	"a-bit-much":   {`{"prompt_tokens":10,"completion_tokens":4000}`, `{"input_tokens":10,"output_tokens":4000}`, 10, 4000}, // the caller allowed 1,000
	"long-prompt":  {`{"prompt_tokens":2000,"completion_tokens":3}`, `{"input_tokens":2000,"output_tokens":3}`, 2000, 3},
	"no-output":    {`{"prompt_tokens":10,"completion_tokens":0}`, `{"input_tokens":10,"output_tokens":0}`, 10, -1},
	"exponent":     {`{"prompt_tokens":10,"completion_tokens":3e1}`, `{"input_tokens":10,"output_tokens":3e1}`, -2, -2},
}

// TestProvidersThatLieAboutTheirUsage: what cannot be true is not believed, and
// counted here instead; what can be true is charged, as far as there is money.
func TestProvidersThatLieAboutTheirUsage(t *testing.T) {
	t.Parallel()
	srv := harness.Serve(t, http.HandlerFunc(liar), nil)
	var b strings.Builder
	fmt.Fprintf(&b, "providers:\n  openai: {kind: openai, quirks: openai, base_url: %q, api_key: %q, catalog: none}\n  anthropic: {kind: anthropic, base_url: %q, api_key: %q, catalog: none}\nmodels:\n",
		srv.URL+"/openai/v1", providerSecret, srv.URL+"/messages", providerSecret)
	for name := range lies {
		for _, to := range []string{"openai", "anthropic"} {
			fmt.Fprintf(&b, "  %q: {targets: [{provider: %s, model: %q}], context: 8000, max_output: 4000, price: {input: 1, output: 2}}\n", to+"/"+name, to, name)
		}
	}
	w := newWorld(t, srv, "", b.String())
	before := w.goroutines(t)
	n := 0
	for name, l := range lies {
		for _, p := range pairings() {
			for _, stream := range []bool{false, true} {
				n++
				oneLie(t, w, name, l, p, stream)
			}
		}
	}
	t.Logf("%d answers", n)
	w.quiet(t, new(big.Int))
	poor(t, w)
	w.closing(t, before)
}

// liar answers with one word and the usage that the model is named after.
func liar(rw http.ResponseWriter, r *http.Request) {
	var in struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	a := &ask{w: rw, r: r, stream: in.Stream, anthropic: strings.HasPrefix(r.URL.Path, "/messages/")}
	a.words = family(a.anthropic)
	usage := lies[in.Model].openai
	if a.anthropic {
		usage = lies[in.Model].anthropic
	}
	if usage == "" {
		usage = "null"
		a.words.whole = strings.Replace(a.words.whole, `,"usage":%s`, `,"note":%s`, 1)
		a.words.finish = strings.Replace(a.words.finish, `"usage":%s`, `"note":%s`, 1)
	}
	if a.anthropic && in.Model != "honest" { // what message_start says would be believed
		a.words.begin = strings.Replace(a.words.begin, `"usage":{"input_tokens":10,"output_tokens":1}`, `"usage":{"input_tokens":0,"output_tokens":0}`, 1)
	}
	a.answer("Hello", usage)
}

func oneLie(t *testing.T, w *world, name string, l lie, p pairing, stream bool) {
	at := fmt.Sprintf("%s, %s of %s, stream %v", name, p.s.name, p.provider(), stream)
	r := w.post(t, p.s, p.s.hello(p.provider()+"/"+name, stream))
	if r.Status != 200 || r.Err != nil || stream && !finished(p.s, r.Body) {
		t.Errorf("%s: %d %v %.300s", at, r.Status, r.Err, r.Body)
		return
	}
	rc := w.gw.Receipt(t, r.ID, func(rc harness.Receipt) bool { return rc.Delivery == "complete" })
	tok, charge := rc.Tokens, r.charged(t)
	want := new(big.Int).SetInt64(tok.Input*inRate + min(tok.Output, allowed)*outRate)
	if charge.Cmp(want) != 0 || nano(t, rc.ChargeUSD).Cmp(want) != 0 {
		t.Errorf("%s: charged %v for %+v, want %v", at, charge, tok, want)
	}
	switch {
	case l.in == -2: // 3e1 is a strange way to say 30, and may be believed or not
		if tok.Output > 30 {
			t.Errorf("%s: charged for %+v", at, tok)
		}
	case l.in == -1:
		if !rc.Estimated || tok.Input < 1 || tok.Input > 50 || tok.Output < 1 || tok.Output > 10 {
			t.Errorf("%s: charged for %+v, estimated %v, want a count of our own", at, tok, rc.Estimated)
		}
	case l.out == -1:
		if !rc.Estimated || tok.Input != l.in || tok.Output < 1 || tok.Output > 10 {
			t.Errorf("%s: charged for %+v, estimated %v, want %d and a count of our own", at, tok, rc.Estimated, l.in)
		}
	default:
		if rc.Estimated || tok.Input != l.in || tok.Output != l.out || tok.Reasoning > tok.Output {
			t.Errorf("%s: charged for %+v, estimated %v, want %d and %d", at, tok, rc.Estimated, l.in, l.out)
		}
	}
	for _, bad := range []string{"-3", "-10", "99999999"} {
		// In another dialect the usage is ours.
		if p.anthropic != (p.s.shape == "anthropic") && bytes.Contains(r.Body, []byte("tokens\":"+bad)) {
			t.Errorf("%s: the answer repeats the lie: %s", at, r.Body)
		}
	}
}

// poor checks that a lie cannot take a balance below zero: an account that can
// pay for little more than what it asked for meets a provider that counts its
// prompt otherwise.
func poor(t *testing.T, w *world) {
	a := w.gw.NewAccount(t, "poor", "0.0009")
	key := w.gw.NewKey(t, a.ID, nil).Key
	body := `{"model":"openai/long-prompt","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}`
	r := w.do(t, http.MethodPost, chat.path, strings.NewReader(body), http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + key}})
	if r.Status != 200 || r.charged(t).Cmp(big.NewInt(900_000)) != 0 {
		t.Errorf("poor: %d, charged %v, want all there was: 900000", r.Status, r.charged(t))
	}
	eventually(t, func() (bool, string) {
		now := w.gw.AccountNow(t, a.ID)
		return nano(t, now.BalanceUSD).Sign() == 0 && nano(t, now.HeldUSD).Sign() == 0, fmt.Sprintf("poor: %+v", now)
	})
}
