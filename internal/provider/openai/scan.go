package openai

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/vector"
)

// scanner takes the facts out of chunks and whole answers, in one pass over
// each, and their meaning too if the caller speaks another dialect. What it
// remembers from chunk to chunk are the choices and the tool calls.
type scanner struct {
	quirks    *vendor
	translate bool
	texts     bool // choices hold a text, and not a message
	stream    bool // of chunks
	searches  bool // the web, if it cites something
	always    bool // the web, in any case

	// Of the whole answer.
	started bool
	id      string
	model   string
	created int64
	choices []choice
	calls   []call
	hosted  llm.Calls // of tools at the provider
	told    bool      // by a usage object
	cited   bool      // something that was found
	images  provider.Images
	left    provider.Leavings
	tier    llm.Tier // as last told

	// Of the present chunk.
	data      []byte
	modelAt   provider.Span // of the value of model
	nullError provider.Span // of the member "error": null, with one comma
	failed    bool          // an error, or a finish reason that means one
	known     bool          // has choices, usage or data
	elements  int           // of choices or data
	content   bool          // besides a refusal
	media     bool          // a sound, or what else nobody tells
	refused   bool          // some of a refusal
	bytes     int           //
	split     llm.Parts     // of bytes
	news      bool          // something new is known of tools at the provider
	weight    int           // of streams
	finish    llm.Finish
	counted   bool // usage holds something
	usage     llm.Usage
	deltas    []llm.Delta
	logprobs  []json.RawMessage // of whole answers, by choice
	usageAt   int               // of the first member of usage; 0: there is none
	untold    bool              // usage has no tokens of the prompt
	vectors   []provider.Span   // of embeddings, where bytes are no 32-bit numbers
}

// choice is what is known of one alternative.
type choice struct {
	index    int
	finished bool
	said     bool // the finish was passed on
	calls    int  // that were seen
	begun    int  // that were passed on
}

// call is a tool call under way.
type call struct {
	choice, index int
	number        int // from 0, in the order of beginning
	id            string
	begun         bool   // the name is known
	held          string // arguments that came before the name
	name          string
	custom        bool   // of a custom tool
	unnamed       bool   // the server gave no id
	args          []byte // of one without an id, as far as they have come
}

// maxChoices and maxCalls bound what an answer can make us remember.
const (
	maxChoices = 1024
	maxCalls   = 4096
)

// newScanner returns the scanner of one answer.
func newScanner(p *Provider, c provider.Call, stream bool) scanner {
	s := scanner{quirks: &p.vendor, translate: !p.passes(c.Request), texts: p.texts, stream: stream, images: provider.Images{Dialect: c.Request.Dialect}}
	s.searches, s.always = searchesFor(c)
	return s
}

// scan reads one chunk, or a whole answer; it reports whether data is a JSON
// object.
func (s *scanner) scan(data []byte) bool {
	s.data = data
	s.modelAt, s.failed, s.known, s.content, s.refused, s.counted = provider.Span{}, false, false, false, false, false
	s.usageAt, s.vectors = 0, s.vectors[:0]
	s.nullError, s.elements, s.bytes, s.weight, s.finish, s.deltas = provider.Span{}, 0, 0, 0, "", s.deltas[:0]
	s.media, s.split = false, llm.Parts{}
	c := provider.Walk(data)
	if c.Kind() != '{' {
		return false
	}
	var n, elsewhere counts
	c.Enter('{')
	previous := c.Offset()
	for first := true; ; first = false {
		key, ok := c.Key()
		if !ok {
			break
		}
		s.member(&c, key, &n, &elsewhere)
		if string(key) == "error" && !s.failed {
			s.nullError = s.cut(previous, c.Offset(), first)
		}
		previous = c.Offset()
	}
	if !c.Done() {
		return false
	}
	s.usage, s.counted = n.usage(s.quirks.hiddenThoughts)
	s.untold = !n.hasPrompt
	if !s.counted {
		s.usage, s.counted = elsewhere.usage(false)
	}
	s.news = s.ran(&n)
	s.usage.Tier = s.tier
	return true
}

// cut returns what must go for a member to go: it and the comma before it, or
// behind it if it is the first.
func (s *scanner) cut(previous, end int, first bool) provider.Span {
	if !first {
		return provider.Span{From: previous, To: end}
	}
	for end < len(s.data) && s.data[end] != ',' && s.data[end] != '}' {
		end++
	}
	if end < len(s.data) && s.data[end] == ',' {
		end++
	}
	return provider.Span{From: previous, To: end}
}

// member reads one member of the top level.
func (s *scanner) member(c *provider.Cursor, key []byte, n, elsewhere *counts) {
	switch string(key) {
	case "choices":
		s.known = true
		s.readChoices(c, elsewhere)
	case "usage":
		s.known = true
		if c.Kind() == '{' {
			s.usageAt = c.Offset() + 1
		}
		n.read(c)
	case "x_groq":
		readGroq(c, elsewhere)
	case "error":
		if !c.Null() {
			s.failed = true
			c.Skip()
		}
	case "model":
		c.Kind()
		from := c.Offset()
		text, ok := c.Text()
		s.modelAt = provider.Span{}
		if ok {
			s.modelAt = provider.Span{From: from, To: c.Offset()}
		}
		if s.translate && s.model == "" {
			s.model = provider.Unescape(text)
		}
	case "id":
		if text, ok := c.Text(); ok && s.translate && s.id == "" {
			s.id = provider.Unescape(text)
		}
	case "created":
		if at, ok := c.Int(); ok {
			s.created = at
		}
	case "object": // vLLM and Mistral have errors without a member of that name
		if text, ok := c.Text(); ok && string(text) == "error" {
			s.failed = true
		}
	case "service_tier":
		if tier, ok := c.Tier(llm.TierNamed); ok {
			s.tier = tier
		}
	case "data":
		s.known = true
		s.readEmbeddings(c)
	default:
		c.Skip()
	}
}

// readGroq reads Groq's own member, which older models report usage in.
func readGroq(c *provider.Cursor, n *counts) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) == "usage" {
			n.read(c)
			continue
		}
		c.Skip()
	}
}

// readEmbeddings looks whether there is a vector.
func (s *scanner) readEmbeddings(c *provider.Cursor) {
	if !c.Enter('[') {
		return
	}
	for c.More() {
		s.elements++
		if !c.Enter('{') {
			continue
		}
		for {
			key, ok := c.Key()
			if !ok {
				break
			}
			if string(key) == "embedding" {
				c.Kind()
				from := c.Offset()
				v := c.Value()
				s.content = len(v) > 2 || s.content
				if s.quirks.form != vector.Float32 {
					s.vectors = append(s.vectors, provider.Span{From: from, To: from + len(v)})
				}
				continue
			}
			c.Skip()
		}
	}
}

func (s *scanner) readChoices(c *provider.Cursor, n *counts) {
	if !c.Enter('[') {
		return
	}
	for position := 0; c.More(); position++ {
		s.elements++
		s.readChoice(c, position, n)
	}
}

// readChoice reads one choice. The index may come after the delta, so both are
// noted first where the meaning is wanted. Perplexity sends the whole message
// so far beside each delta, and Moonshot may tell the usage here.
func (s *scanner) readChoice(c *provider.Cursor, position int, n *counts) {
	if !c.Enter('{') {
		return
	}
	var delta, message, text, finish, native, logprobs []byte
	index := int64(position)
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "index":
			if i, ok := c.Int(); ok && i >= 0 && i < maxChoices {
				index = i
			}
		case "delta":
			delta = c.Value()
		case "message":
			message = c.Value()
		case "finish_reason":
			finish, _ = c.Text()
		case "native_finish_reason":
			native, _ = c.Text()
		case "logprobs":
			logprobs = c.Value()
		case "text":
			text, _ = c.Text()
		case "usage":
			if len(s.choices) > 1 || index > 0 { // each has its own
				c.Skip()
				continue
			}
			n.read(c)
		case "error":
			if !c.Null() {
				s.failed = true
				c.Skip()
			}
		default:
			c.Skip()
		}
	}
	if c.Err() {
		return
	}
	// Perplexity sends both: beside a delta all that was said before it, and an
	// empty delta beside a whole message.
	body := message
	if body == nil || s.stream && delta != nil {
		body = delta
	}
	ch := s.choice(int(index))
	if s.translate && !s.started {
		s.start()
	}
	before := len(s.deltas)
	s.readMessage(body, ch)
	if s.stream {
		s.log(before, ch, logprobs)
	} else {
		s.keep(ch, logprobs)
	}
	if s.texts && len(text) > 0 { // elsewhere it says again what stands in the delta
		s.text(llm.DeltaText, ch, text)
	}
	s.end(ch, string(finish), string(native))
}

// keep notes the log probabilities of a choice of a whole answer.
func (s *scanner) keep(ch int, logprobs []byte) {
	if !s.translate || len(logprobs) == 0 || string(logprobs) == "null" {
		return
	}
	for len(s.logprobs) <= ch {
		s.logprobs = append(s.logprobs, nil)
	}
	s.logprobs[ch] = json.RawMessage(string(logprobs))
}

// log gives the log probabilities of a chunk to its text, which is among the deltas
// from the given one on.
func (s *scanner) log(from, ch int, logprobs []byte) {
	if !s.translate || s.texts || len(logprobs) == 0 || logprobs[0] != '{' {
		return
	}
	var tokens []byte
	c := provider.Walk(logprobs)
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		if v := c.Value(); string(key) == "content" && len(v) > 2 && v[0] == '[' {
			tokens = v
		}
	}
	if tokens == nil {
		return
	}
	of := json.RawMessage(string(tokens))
	for i := from; i < len(s.deltas); i++ {
		if d := &s.deltas[i]; d.Kind == llm.DeltaText {
			d.Logprobs = of
			return
		}
	}
	s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaText, Choice: s.choices[ch].index, Logprobs: of})
}

// start passes on that the answer begins.
func (s *scanner) start() {
	s.started = true
	s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaStart, ID: s.id, Model: s.model})
}

// choice returns the place of a choice in s.choices.
func (s *scanner) choice(index int) int {
	for i := range s.choices {
		if s.choices[i].index == index {
			return i
		}
	}
	if len(s.choices) >= maxChoices {
		return 0
	}
	s.choices = append(s.choices, choice{index: index})
	return len(s.choices) - 1
}

// end reads a finish reason.
func (s *scanner) end(ch int, reason, native string) {
	if reason == "" {
		return
	}
	if failedFor(reason) || native == "error" || native == "network_error" {
		s.failed = true
		return
	}
	at := &s.choices[ch]
	at.finished = true
	f := finishOf(reason)
	s.finish = s.finish.And(f)
	s.say(at, f)
}

// say passes a finish on, once per choice. Whether there were tool calls is
// seen from the calls: compatible servers often say stop.
func (s *scanner) say(at *choice, f llm.Finish) {
	if !s.translate || at.said {
		return
	}
	at.said = true
	if f == llm.FinishStop && at.calls > 0 {
		f = llm.FinishToolCalls
	}
	s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaFinish, Choice: at.index, Finish: f})
}

// failedFor reports whether a finish reason says that the server gave the answer
// up: Mistral and OpenRouter, Z.ai, DeepSeek, vLLM, Google.
func failedFor(reason string) bool {
	switch word(reason) {
	case "error", "network_error", "insufficient_system_resource", "abort", "function_call_filter":
		return true
	}
	return false
}

// word is a finish reason without what Google adds: "content_filter: RECITATION".
func word(reason string) string {
	w, _, _ := strings.Cut(reason, ":")
	return w
}

// finishOf maps a finish reason; what nobody knows is a natural end.
func finishOf(reason string) llm.Finish {
	switch word(reason) {
	case "length", "max_tokens":
		return llm.FinishLength
	case "model_length", "model_context_window_exceeded":
		return llm.FinishContextWindow
	case "tool_calls", "function_call":
		return llm.FinishToolCalls
	case "content_filter", "sensitive":
		return llm.FinishContentFilter
	}
	return llm.FinishStop
}

// complete reports whether every choice that was seen has ended.
func (s *scanner) complete() bool {
	for i := range s.choices {
		if !s.choices[i].finished {
			return false
		}
	}
	return len(s.choices) > 0
}

// conclude ends the choices that never said why they did, and returns why the
// first of them must have.
func (s *scanner) conclude() (f llm.Finish) {
	s.deltas = s.deltas[:0]
	for i := range s.choices {
		at := &s.choices[i]
		if !at.finished {
			at.finished = true
			end := llm.FinishStop
			if at.calls > 0 {
				end = llm.FinishToolCalls
			}
			if f == "" {
				f = end
			}
			s.say(at, end)
		}
	}
	return f
}

// newID makes an id for a tool call that came without one. It is the same each
// time the same answer is read.
func (s *scanner) newID(k *call) string {
	return "call_" + provider.ShortHash(s.id, strconv.Itoa(k.choice), strconv.Itoa(k.number))
}
