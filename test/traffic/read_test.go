package traffic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// object is decoded JSON.
type object = map[string]any

func list(v any) []any { l, _ := v.([]any); return l }
func obj(v any) object { o, _ := v.(object); return o }
func str(v any) string { s, _ := v.(string); return s }

// num reads a count. Numbers are kept as they are written.
func num(v any) int64 {
	n, _ := v.(json.Number)
	f, ok := new(big.Float).SetString(n.String())
	if !ok {
		return 0
	}
	i, _ := f.Int64()
	return i
}

// first returns the first of v that is not null.
func first(v ...any) any {
	i := slices.IndexFunc(v, func(x any) bool { return x != nil })
	if i < 0 {
		return nil
	}
	return v[i]
}

// parse decodes one JSON object, or returns nil.
func parse(b []byte) object {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var o object
	if dec.Decode(&o) != nil {
		return nil
	}
	return o
}

// frame is a server-sent event, with the bytes it was made of.
type frame struct {
	raw     []byte
	name    string
	data    []byte // lines joined by LF
	hasData bool
	comment bool
	other   bool // has id:, retry: or unknown lines
	cut     bool // lacks its blank line
}

// frames splits a stream. Blank lines before an event belong to it.
func frames(body []byte) []frame {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	var out []frame
	var f frame
	var data [][]byte
	some := false
	end := func(cut bool) {
		if some {
			f.data, f.cut = bytes.Join(data, []byte("\n")), cut
			out = append(out, f)
		}
		f, data, some = frame{}, nil, false
	}
	for len(body) > 0 {
		i := bytes.IndexAny(body, "\r\n")
		next := i + 1
		switch {
		case i < 0:
			i, next = len(body), len(body)
		case body[i] == '\r' && i+1 < len(body) && body[i+1] == '\n':
			next = i + 2
		}
		line := body[:i]
		f.raw = append(f.raw, body[:next]...)
		body = body[next:]
		if len(line) == 0 {
			if some {
				end(false)
			}
			continue
		}
		some = true
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "data":
			data, f.hasData = append(data, value), true
		case "event":
			f.name = string(value)
		case "":
			f.comment = true
		default:
			f.other = true
		}
	}
	end(true)
	return out
}

// call is one call of a tool.
type call struct{ ID, Name, Args string }

// said is what one choice of an answer says.
type said struct {
	Text, Thought, Refusal string
	Signature              string // seals of reasoning, one after the other
	Redacted               string
	Calls                  []call
	Finish                 string
	other                  bool // something else a reader would miss: citations, images, audio, server tools
	calls                  map[int]int
}

func (s *said) some() bool {
	return s.Text+s.Thought+s.Refusal+s.Redacted+s.Signature != "" || len(s.Calls) > 0 || s.other
}

// answer is a whole answer, streamed or not.
type answer struct {
	Choices map[int]*said
	Usage   *tokens
	Model   string
	failed  bool // holds an error
	ended   bool // has its terminal marker
	vectors int
	data    bool // has data, as embeddings do
}

func (a *answer) choice(i int) *said {
	if a.Choices == nil {
		a.Choices = map[int]*said{}
	}
	if a.Choices[i] == nil {
		a.Choices[i] = &said{calls: map[int]int{}}
	}
	return a.Choices[i]
}

func (a *answer) some() bool {
	for _, s := range a.Choices {
		if s.some() {
			return true
		}
	}
	return a.vectors > 0
}

// blocked reports whether a filter stopped the answer, or the model refused and
// said nothing else.
func (a *answer) blocked() bool {
	last, refused, spoke := "", false, false
	for _, s := range a.Choices {
		if s.Finish != "" {
			last = s.Finish
		}
		refused = refused || s.Refusal != ""
		spoke = spoke || s.Text+s.Thought+s.Redacted != "" || len(s.Calls) > 0 || s.other
	}
	return last == "content_filter" || last == "refusal" || refused && !spoke
}

// tokens is a usage by the classes that have a price, plus reasoning, which is
// a part of output.
type tokens struct{ Input, Cached, Write, Write1h, Output, Reasoning int64 }

// cost prices tokens: every class at its rate, rounded up once, and the fee for
// the request.
func (u tokens) cost() *big.Int {
	sum := new(big.Int)
	add := func(n, rate int64) { sum.Add(sum, new(big.Int).Mul(big.NewInt(n), big.NewInt(rate))) }
	add(u.Input-u.Cached-u.Write-u.Write1h, rates.input)
	add(u.Cached, rates.cached)
	add(u.Write, rates.write)
	add(u.Write1h, rates.write1h)
	add(u.Output, rates.output)
	million := big.NewInt(1_000_000)
	sum.Add(sum, big.NewInt(999_999)).Div(sum, million)
	return sum.Add(sum, big.NewInt(rates.request))
}

// payloads returns the JSON objects of an OpenAI answer: its chunks, or itself.
func payloads(body []byte, sse bool) (out []object, done bool) {
	if !sse {
		return []object{parse(body)}, true
	}
	for _, f := range frames(body) {
		if d := bytes.TrimSpace(f.data); string(d) == "[DONE]" {
			return out, true
		} else if len(d) > 0 {
			out = append(out, parse(d))
		}
	}
	return out, false
}

// readOpenAI reads a chat completion or embeddings. vendor is who made it.
func readOpenAI(body []byte, sse bool, vendor string) answer {
	var a answer
	chunks, done := payloads(body, sse)
	a.ended = done
	var usage, groq object
	for _, o := range chunks {
		if o == nil {
			a.failed = true // not JSON
			continue
		}
		a.failed = a.failed || o["error"] != nil
		if a.Model == "" {
			a.Model = str(o["model"])
		}
		if u := obj(o["usage"]); u != nil && (usage == nil || num(u["total_tokens"])+num(u["prompt_tokens"]) > 0) {
			usage = u
		}
		if u := obj(obj(o["x_groq"])["usage"]); u != nil {
			groq = u
		}
		a.data = a.data || o["data"] != nil
		for _, d := range list(o["data"]) {
			if obj(d)["embedding"] != nil {
				a.vectors++
			}
		}
		for position, c := range list(o["choices"]) {
			a.openAIChoice(obj(c), position, sse)
		}
	}
	if usage == nil {
		usage = groq
	}
	a.Usage = openAIUsage(usage, vendor)
	return a
}

// openAIChoice reads a choice. Some vendors have both a delta and a message: the
// one of the two that belongs to a stream, or to a whole answer, counts.
func (a *answer) openAIChoice(c object, position int, sse bool) {
	if i, ok := c["index"].(json.Number); ok {
		position = int(num(i))
	}
	s := a.choice(position)
	a.failed = a.failed || c["error"] != nil
	m := obj(first(c["message"], c["delta"], object{}))
	if d := obj(c["delta"]); sse && d != nil {
		m = d
	}
	s.Text += str(m["content"])
	for _, part := range list(m["content"]) {
		s.Text += str(obj(part)["text"])
		s.Thought += str(obj(part)["thinking"])
		for _, thought := range list(obj(part)["thinking"]) {
			s.Thought += str(obj(thought)["text"])
		}
	}
	thought := str(m["reasoning_content"])
	if thought == "" {
		thought = str(m["reasoning"])
	}
	s.Thought += thought
	for _, d := range list(m["reasoning_details"]) {
		if thought == "" {
			s.Thought += str(obj(d)["text"]) + str(obj(d)["summary"])
		}
		s.Signature += str(obj(d)["signature"])
		s.Redacted += str(obj(d)["data"])
	}
	for _, b := range list(m["thinking_blocks"]) {
		s.Signature += opened(str(obj(b)["signature"]))
		s.Redacted += opened(str(obj(b)["data"]))
	}
	s.Refusal += str(m["refusal"])
	s.other = s.other || len(list(m["annotations"])) > 0 || len(list(m["images"])) > 0 || m["audio"] != nil || str(m["reasoning_encrypted"]) != ""
	for i, v := range list(m["tool_calls"]) {
		k, v := i, obj(v)
		if n, ok := v["index"].(json.Number); ok {
			k = int(num(n))
		}
		s.tool(k, str(v["id"]), obj(first(v["function"], v["custom"], object{})))
	}
	if fn := obj(m["function_call"]); fn != nil {
		s.tool(0, "", fn)
	}
	if r := str(c["finish_reason"]); r != "" {
		s.Finish = r
	}
	if r := str(c["native_finish_reason"]); r == "error" || r == "network_error" || s.Finish == "error" {
		a.failed = true
	}
}

// tool notes a tool call or a piece of one. A piece with a name and another id
// begins another call: some servers number all of them 0.
func (s *said) tool(k int, id string, fn object) {
	at, known := s.calls[k]
	if name := str(fn["name"]); !known || id != "" && name != "" && s.Calls[at].ID != "" && s.Calls[at].ID != id && s.Calls[at].Name != "" {
		at = len(s.Calls)
		s.calls[k] = at
		s.Calls = append(s.Calls, call{})
	}
	c := &s.Calls[at]
	if c.ID == "" {
		c.ID = id
	}
	if c.Name == "" {
		c.Name = str(fn["name"])
	}
	switch args := first(fn["arguments"], fn["input"]).(type) {
	case string:
		c.Args += args
	case object:
		b, _ := json.Marshal(args)
		c.Args += string(b)
	}
}

// openAIUsage reads a usage object as protocols.md §3.10 says. It returns nil
// where nothing was counted.
func openAIUsage(u object, vendor string) *tokens {
	in, out, total := num(first(u["prompt_tokens"], u["input_tokens"])), num(first(u["completion_tokens"], u["output_tokens"])), num(u["total_tokens"])
	details, more := obj(first(u["prompt_tokens_details"], u["input_tokens_details"])), obj(first(u["completion_tokens_details"], u["output_tokens_details"]))
	thought := max(num(more["reasoning_tokens"]), num(u["reasoning_tokens"]))
	switch {
	case vendor == "voyage" && in == 0: // a total and nothing else
		in = total
	case vendor == "xai" && total == in+out+thought: // thoughts stand outside
		out += thought
	case vendor == "gemini" && total > in+out: // thoughts are in the total only
		thought += total - in - out
		out = total - in
	case vendor == "mistral" && u["prompt_audio_seconds"] != nil && total > in+out: // so does sound
		in = total - out
	}
	if in == 0 {
		return nil
	}
	t := &tokens{
		Input: in, Output: out, Reasoning: min(thought, out),
		Cached: max(num(details["cached_tokens"]), num(u["prompt_cache_hit_tokens"]), num(u["cached_tokens"]), num(u["num_cached_tokens"]), num(u["cache_read_input_tokens"])),
		Write:  max(num(details["cache_write_tokens"]), num(details["cache_creation_tokens"]), num(u["cache_creation_input_tokens"])),
	}
	t.Cached = min(t.Cached, in) // some report more cached than there were
	t.Write1h = num(obj(u["cache_creation"])["ephemeral_1h_input_tokens"])
	t.Write -= t.Write1h
	return t
}

// readAnthropic reads a message, or a count of tokens.
func readAnthropic(body []byte, sse bool) answer {
	var a answer
	if !sse {
		o := parse(body)
		a.failed, a.ended, a.Model = o == nil || o["error"] != nil, true, str(o["model"])
		s := a.choice(0)
		for _, b := range list(o["content"]) {
			s.block(obj(b))
		}
		s.stop(o)
		a.vectors = len(list(o["input_tokens"]))
		a.Usage = anthropicUsage(obj(o["usage"]))
		return a
	}
	usage := object{}
	for _, f := range frames(body) {
		if a.ended { // some routers send a [DONE] as well
			break
		}
		if len(bytes.TrimSpace(f.data)) == 0 {
			continue
		}
		o := parse(f.data)
		s := a.choice(0)
		switch t := str(o["type"]); {
		case o == nil, t == "error", o["error"] != nil:
			a.failed = true
		case t == "message_start":
			a.Model = str(obj(o["message"])["model"])
			merge(usage, obj(obj(o["message"])["usage"]))
		case t == "content_block_start":
			s.block(obj(o["content_block"]))
		case t == "content_block_delta":
			s.delta(obj(o["delta"]))
		case t == "message_delta":
			s.stop(obj(o["delta"]))
			merge(usage, obj(o["usage"]))
		case t == "message_stop":
			a.ended = true
		}
	}
	a.Usage = anthropicUsage(usage)
	return a
}

// merge overwrites counts: those of message_delta are totals.
func merge(dst, src object) {
	for k, v := range src {
		if v != nil {
			dst[k] = v
		}
	}
}

func (s *said) block(b object) {
	s.calls[-1] = -1
	switch str(b["type"]) {
	case "text":
		s.Text += str(b["text"])
	case "thinking":
		s.Thought += str(b["thinking"])
		s.Signature += str(b["signature"])
	case "redacted_thinking":
		s.Redacted += str(b["data"])
	case "tool_use":
		c := call{ID: str(b["id"]), Name: str(b["name"])}
		if in := obj(b["input"]); len(in) > 0 {
			raw, _ := json.Marshal(in)
			c.Args = string(raw)
		}
		s.Calls = append(s.Calls, c)
		s.calls[-1] = len(s.Calls) - 1
	default:
		s.other = true
	}
	s.other = s.other || len(list(b["citations"])) > 0
}

func (s *said) delta(d object) {
	s.Text += str(d["text"])
	s.Thought += str(d["thinking"])
	s.Signature += str(d["signature"])
	s.other = s.other || d["citation"] != nil
	if at := s.calls[-1]; at >= 0 && len(s.Calls) > at {
		s.Calls[at].Args += str(d["partial_json"])
	}
}

func (s *said) stop(o object) {
	if r := str(o["stop_reason"]); r != "" {
		s.Finish = r
	}
	s.Refusal += str(obj(o["stop_details"])["explanation"])
}

// anthropicUsage reads a usage object; input_tokens leave out what was cached.
func anthropicUsage(u object) *tokens {
	plain, read, written := num(u["input_tokens"]), num(u["cache_read_input_tokens"]), num(u["cache_creation_input_tokens"])
	hour := num(obj(u["cache_creation"])["ephemeral_1h_input_tokens"])
	if plain+read+written == 0 {
		return nil
	}
	return &tokens{
		Input: plain + read + written, Cached: read, Write: written - hour, Write1h: hour,
		Output: num(u["output_tokens"]), Reasoning: num(obj(u["output_tokens_details"])["thinking_tokens"]),
	}
}

// tidy writes JSON in one way, so that arguments can be compared. What is no
// JSON stays.
func tidy(args string) string {
	dec := json.NewDecoder(strings.NewReader(args))
	dec.UseNumber()
	var v any
	if strings.TrimSpace(args) == "" {
		return "{}"
	}
	if dec.Decode(&v) != nil || dec.More() {
		return args
	}
	b, err := json.Marshal(v)
	if err != nil {
		return args
	}
	return string(b)
}

// String shows what was said, with the arguments of calls tidied.
func (s *said) String() string {
	out := fmt.Sprintf("text %q\nthought %q\nrefusal %q\nsignature %q\nredacted %q\n", s.Text, s.Thought, s.Refusal, s.Signature, s.Redacted)
	for _, c := range s.Calls {
		out += fmt.Sprintf("call %s(%s)\n", c.Name, tidy(c.Args))
	}
	return out
}
