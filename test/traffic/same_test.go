package traffic

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// refusedHere are the recorded requests that do not pass our door, and the
// field that the refusal names. The providers refused most of them too.
var refusedHere = map[string]string{
	"anthropic.anthropic-messages.7c389555a6": "temperature",
	"anthropic.anthropic-messages.eb5d7e8521": "messages.0", // a text where a message should be
	"doubleword.openai-chat.def3fccd76":       "temperature",
	"openai.openai-chat.f05f661aff":           "temperature",
	"openai.openai-chat.18914fd904":           "max_tokens",             // 0
	"openai.openai-chat.ee8a04b30c":           "messages",               // an empty list
	"openrouter.openai-chat.168ac610ed":       "provider.quantizations", // which providers may answer is for us to read
	"openrouter.openai-chat.1a871cc998":       "provider.only",          // and there is none of that name
	"openrouter.openai-chat.03a0866cf1":       "provider.only",
	"perplexity.openai-chat.7ab4d309d5":       "response_format.json_schema.name", // OpenAI demands it, Perplexity does not
	"ollama.openai-embeddings.801261cd46":     "input",                            // Ollama's own form, with prompt
}

// otherThings are recordings under the name of a surface that are no answers of
// it, and must not pass as such.
var otherThings = map[string]string{
	"openai.openai-embeddings.136fb97c21": "a report of usage, not embeddings",
}

// TestRecordedTraffic runs everything against one gateway.
func TestRecordedTraffic(t *testing.T) {
	w := newWorld(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"same dialect", sameDialect},
		{"other dialect", otherDialect},
		{"other request", otherRequest},
		{"broken streams", brokenStreams},
		{"drips", drips},
		{"errors", recordedErrors}, // last: credentials are refused
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, w) })
	}
	w.closing(t)
}

// each runs f for every recording that fits, eight at a time.
func (w *world) each(fits func(*testkit.Fixture) bool, do func(*testkit.Fixture)) int {
	var wg sync.WaitGroup
	n := 0
	slots := make(chan struct{}, 8)
	for _, f := range w.fixtures {
		if !fits(f) {
			continue
		}
		n++
		slots <- struct{}{}
		wg.Go(func() {
			do(f)
			<-slots
		})
	}
	wg.Wait()
	return n
}

// hasBody reports whether the recording has a request in JSON.
func hasBody(f *testkit.Fixture) bool {
	return f.Request != nil && len(f.Request.JSON) > 0 && f.Request.JSON[0] == '{'
}

// request is the recorded request, or one that fits where only the answer was
// kept, for the given model.
func request(f *testkit.Fixture, model string) []byte {
	name, _ := json.Marshal(model)
	if hasBody(f) {
		return with(f.Request.JSON, "model", string(name))
	}
	stream := ""
	if f.Response.Kind == "sse" {
		stream = `,"stream":true`
	}
	switch f.API {
	case "openai.embeddings":
		return fmt.Appendf(nil, `{"model":%s,"input":"Hello"}`, name)
	case "anthropic.messages":
		return fmt.Appendf(nil, `{"model":%s,"max_tokens":100000,"messages":[{"role":"user","content":"Hello"}]%s}`, name, stream)
	}
	return fmt.Appendf(nil, `{"model":%s,"messages":[{"role":"user","content":"Hello"}]%s}`, name, stream)
}

// sameDialect sends every recorded request to its provider's kind: the caller
// gets the provider's bytes, and pays for what they say was used.
func sameDialect(t *testing.T, w *world) {
	p := w.purse(t)
	n := w.each(func(f *testkit.Fixture) bool { return f.Response.Status == 200 }, func(f *testkit.Fixture) {
		for _, alias := range []string{"", "al/" + f.ID} {
			model := "fx/" + f.ID
			if alias != "" {
				model = alias
			}
			oneRecording(t, p, f, model, alias)
		}
	})
	if n < 650 {
		t.Errorf("only %d recordings were replayed", n)
	}
	p.settle(t)
}

// read reads what a recording or an answer of its dialect says.
func read(f *testkit.Fixture, body []byte) answer {
	if strings.HasPrefix(f.API, "anthropic.") {
		return readAnthropic(body, f.Response.Kind == "sse")
	}
	return readOpenAI(body, f.Response.Kind == "sse", f.Provider)
}

func oneRecording(t *testing.T, p *purse, f *testkit.Fixture, model, alias string) {
	body := request(f, model)
	r := p.post(t, apis[f.API], body)
	if field, ok := refusedHere[f.ID]; ok {
		refusedAtOurDoor(t, p, f, r, field)
		return
	}
	sent, reached := p.w.up.last("fx/" + f.ID)
	if !reached {
		t.Errorf("%s: the request did not reach the provider: %d %s", f.ID, r.Status, r.Body)
		return
	}
	requestPasses(t, f, body, sent, alias != "")
	a := read(f, f.Response.Body())
	if why, ok := otherThings[f.ID]; ok {
		if r.Status != 502 || r.charged(t).Sign() != 0 {
			t.Errorf("%s (%s): %d %s", f.ID, why, r.Status, r.Body)
		}
		return
	}
	if broken(f, a) {
		brokenAnswer(t, p, f, a, r)
		return
	}
	if r.Status != 200 || r.Err != nil {
		t.Errorf("%s: %d %v %s", f.ID, r.Status, r.Err, r.Body)
		return
	}
	sameBytes(t, f, expected(f, alias, asksUsage(body)), r.Body, body)
	bill(t, p, f, a, r, body)
}

// asksUsage reports whether a request asks for the usage of its stream.
func asksUsage(body []byte) bool {
	asks, _ := obj(parse(body)["stream_options"])["include_usage"].(bool)
	return asks
}

// sameBytes compares, but for vectors that were asked for in another encoding.
func sameBytes(t *testing.T, f *testkit.Fixture, want, got, req []byte) {
	if f.API == "openai.embeddings" {
		if format := str(parse(req)["encoding_format"]); format != "" {
			sameVectors(t, f, want, got, format)
			return
		}
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s: bytes (-want +got):\n%.4000s", f.ID, d)
	}
}

// sameVectors compares embeddings by their numbers, and everything else as JSON.
func sameVectors(t *testing.T, f *testkit.Fixture, want, got []byte, format string) {
	a, b := parse(want), parse(got)
	for _, o := range []object{a, b} {
		for i, d := range list(o["data"]) {
			d := obj(d)
			if s, isText := d["embedding"].(string); isText != (format == "base64") && fmt.Sprintf("%p", o) == fmt.Sprintf("%p", b) {
				t.Errorf("%s: vector %d is not in %s: %.40v %v", f.ID, i, format, d["embedding"], s != "")
			}
			d["embedding"] = floats(d["embedding"])
		}
	}
	if u := obj(a["usage"]); u["prompt_tokens"] == nil { // Voyage has the sum alone, of which all is the prompt
		u["prompt_tokens"] = u["total_tokens"]
	}
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("%s: embeddings (-want +got):\n%.2000s", f.ID, d)
	}
}

// floats returns a vector as 32-bit numbers.
func floats(v any) (out []float32) {
	if s, ok := v.(string); ok {
		raw, _ := base64.StdEncoding.DecodeString(s)
		for ; len(raw) >= 4; raw = raw[4:] {
			out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
		}
		return out
	}
	for _, x := range list(v) {
		n, _ := x.(json.Number).Float64()
		out = append(out, float32(n))
	}
	return out
}

// bill checks that what was charged is what the recording says was used, in the
// header or trailer, in the receipt, and (see purse.settle) on the account. Output
// beyond the caller's own limit is not his bill: Anthropic, for one, counts that
// anew for each round of a search.
func bill(t *testing.T, p *purse, f *testkit.Fixture, a answer, r reply, body []byte) {
	charged := r.charged(t)
	p.pay(charged)
	if f.API == "anthropic.count_tokens" {
		if charged.Sign() != 0 {
			t.Errorf("%s: counting tokens cost %v", f.ID, charged)
		}
		return
	}
	rc := p.w.gw.Receipt(t, r.ID, func(rc harness.Receipt) bool { return rc.Delivery == "complete" })
	if got := nano(t, rc.ChargeUSD); got.Cmp(charged) != 0 {
		t.Errorf("%s: the receipt says %v, the answer %v", f.ID, got, charged)
	}
	want, outcome := new(big.Int), "ok"
	switch {
	case a.blocked():
		outcome = "blocked"
	case a.Usage == nil:
		estimated(t, f, rc, charged)
		return
	default:
		owed := *a.Usage
		ask := parse(body)
		if limit, ok := first(ask["max_completion_tokens"], ask["max_tokens"]).(json.Number); ok {
			most, _ := limit.Int64()
			owed.Output = min(owed.Output, most*max(int64(len(a.Choices)), 1))
		}
		want = owed.cost()
	}
	if rc.Outcome != outcome || rc.Estimated {
		t.Errorf("%s: outcome %s, estimated %v, want %s", f.ID, rc.Outcome, rc.Estimated, outcome)
	}
	if charged.Cmp(want) != 0 {
		t.Errorf("%s: charged %v, want %v for %+v; the receipt has %+v", f.ID, charged, want, a.Usage, rc.Tokens)
	}
	if a.Usage != nil && (rc.Tokens.Input != a.Usage.Input || rc.Tokens.CachedInput != a.Usage.Cached || rc.Tokens.Output != a.Usage.Output || rc.Tokens.Reasoning != a.Usage.Reasoning) {
		t.Errorf("%s: the receipt has %+v, the recording %+v", f.ID, rc.Tokens, *a.Usage)
	}
}

// estimated checks the bill of an answer whose provider did not say what it
// used: labelled, and priced by what the receipt says was counted.
func estimated(t *testing.T, f *testkit.Fixture, rc harness.Receipt, charged *big.Int) {
	want := tokens{Input: rc.Tokens.Input, Output: rc.Tokens.Output}.cost()
	if !rc.Estimated || rc.Tokens.Input == 0 || charged.Cmp(want) != 0 {
		t.Errorf("%s: charged %v for %+v, estimated %v, want %v and true", f.ID, charged, rc.Tokens, rc.Estimated, want)
	}
}

// refusedAtOurDoor checks a refusal that names a field.
func refusedAtOurDoor(t *testing.T, p *purse, f *testkit.Fixture, r reply, field string) {
	e := obj(parse(r.Body)["error"])
	named := str(e["param"]) == field
	if strings.HasPrefix(f.API, "anthropic.") {
		named = strings.HasPrefix(str(e["message"]), field)
	}
	if r.Status != 400 || !named || r.charged(t).Sign() != 0 {
		t.Errorf("%s: %d %s, want a refusal of %s", f.ID, r.Status, r.Body, field)
	}
	if _, reached := p.w.up.last("fx/" + f.ID); reached {
		t.Errorf("%s: a refused request reached the provider", f.ID)
	}
}

// spliced are the members of a request that may change on the way, by vendor:
// the limit of output and the options of a stream everywhere, and what a vendor
// refuses or spells differently.
var spliced = map[string][]string{
	"":           {"stream_options", "max_tokens", "max_completion_tokens"},
	"mistral":    {"seed", "random_seed", "store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"perplexity": {"store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"voyage":     {"store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"cerebras":   {"store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	"gemini":     {"store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
}

// requestPasses checks that the provider got the caller's bytes, member by
// member, at its own path and with its own credential.
func requestPasses(t *testing.T, f *testkit.Fixture, caller []byte, sent received, renamed bool) {
	t.Helper()
	path, header, want := "/"+providerOf(f)+"/v1"+strings.TrimPrefix(apis[f.API], "/v1"), "Authorization", "Bearer upstream-credential-of-"+providerOf(f)+"-7f3a9"
	switch {
	case providerOf(f) == "messages":
		header, want = "X-Api-Key", strings.TrimPrefix(want, "Bearer ")
	case f.Provider == "azure":
		header, want = "Api-Key", strings.TrimPrefix(want, "Bearer ")
	}
	if sent.path != path || sent.header.Get(header) != want {
		t.Errorf("%s: sent to %s with %s %q, want %s %q", f.ID, sent.path, header, sent.header.Get(header), path, want)
	}
	may := append(slices.Clone(spliced[""]), spliced[f.Provider]...)
	if got := valueOf(sent.body, "provider"); got != nil {
		t.Errorf("%s: which providers may answer is for us to read, and was sent on: %s", f.ID, got)
	}
	may = append(may, "provider")
	if renamed {
		may = append(may, "model")
	}
	if string(valueOf(caller, "stream")) != "true" {
		may = append(may, "stream") // a long answer in one piece is gathered
	}
	for _, m := range membersOf(caller) {
		if got := valueOf(sent.body, m.name); !slices.Contains(may, m.name) && !bytes.Equal(got, m.value(caller)) {
			t.Errorf("%s: member %s reached the provider as %.200s, sent was %.200s", f.ID, m.name, got, m.value(caller))
		}
	}
	for _, m := range membersOf(sent.body) {
		if !slices.Contains(may, m.name) && valueOf(caller, m.name) == nil {
			t.Errorf("%s: member %s was added: %.200s", f.ID, m.name, m.value(sent.body))
		}
	}
}

// broken reports whether a recorded answer with status 200 is none: it holds an
// error, says nothing, or ends too early.
func broken(f *testkit.Fixture, a answer) bool {
	if f.API == "anthropic.count_tokens" {
		return a.failed
	}
	if a.failed {
		return true
	}
	if f.Response.Kind == "sse" && !a.ended {
		for _, s := range a.Choices {
			if s.Finish == "" {
				return true
			}
		}
	}
	if a.some() {
		return false
	}
	for _, s := range a.Choices { // nothing was said, and there is a reason
		switch s.Finish {
		case "length", "max_tokens", "stop_sequence", "content_filter", "refusal", "model_context_window_exceeded", "pause_turn":
			return false
		}
	}
	return true
}

// brokenAnswer checks what becomes of an answer that is none: before content a
// status, after it an error in the stream and no clean end; nothing is charged.
func brokenAnswer(t *testing.T, p *purse, f *testkit.Fixture, a answer, r reply) {
	if r.Status != 200 {
		if r.Status < 400 || r.charged(t).Sign() != 0 || f.Response.Kind == "sse" && a.some() {
			t.Errorf("%s: %d %s, want an error in the stream", f.ID, r.Status, r.Body)
		}
		return
	}
	if !a.some() || f.Response.Kind != "sse" {
		t.Errorf("%s: %d %s, want a status of an error", f.ID, r.Status, r.Body)
		return
	}
	endsInError(t, f.ID, f.API, r.Body)
}

// endsInError checks that a stream ends with an error of its dialect, and not
// in any way that looks finished.
func endsInError(t *testing.T, id, api string, body []byte) {
	t.Helper()
	all := frames(body)
	if len(all) == 0 {
		t.Errorf("%s: the stream is empty", id)
		return
	}
	last := all[len(all)-1]
	e := obj(parse(last.data)["error"])
	good := e != nil && str(e["message"]) != "" && str(e["type"]) != "" && !last.cut
	if strings.HasPrefix(api, "anthropic.") {
		good = good && last.name == "error" && str(parse(last.data)["type"]) == "error"
	}
	if !good {
		t.Errorf("%s: the stream ends with %q, want an error", id, last.raw)
	}
	for _, clean := range []string{"[DONE]", `"message_stop"`} {
		if bytes.Contains(body, []byte(clean)) {
			t.Errorf("%s: the broken stream holds %s", id, clean)
		}
	}
	for _, f := range all {
		for _, c := range list(parse(f.data)["choices"]) {
			if str(obj(c)["finish_reason"]) != "" {
				t.Errorf("%s: the broken stream has a finish reason: %s", id, f.data)
			}
		}
		if str(obj(parse(f.data)["delta"])["stop_reason"]) != "" {
			t.Errorf("%s: the broken stream has a stop reason: %s", id, f.data)
		}
	}
}
