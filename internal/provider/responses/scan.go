package responses

import (
	"bytes"
	"encoding/json"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// scanner takes the facts out of events and whole answers, in one pass over
// each, and their meaning too if the caller speaks another dialect. What it
// remembers from event to event are the items of the output.
type scanner struct {
	issuer    string // of sealed reasoning
	translate bool
	stream    bool

	// Of the whole answer.
	started bool // DeltaStart was passed on
	id      string
	model   string
	created int64
	items   []item
	calls   int // of tools, that have begun
	images  provider.Images
	left    provider.Leavings
	hosted  llm.Calls // of tools at the provider
	rooms   []string  // containers in which code ran
	tier    llm.Tier  // as last told

	// Of the present event.
	step    step
	failed  bool   // there is an error
	problem []byte // the error object; nil: the event itself is one
	known   bool   // it is a response: it has an output
	status  string
	reason  string // why it is incomplete
	output  []byte // of a response: its items
	modelAt provider.Span
	content bool // besides a refusal
	refused bool // some of a refusal
	bytes   int
	split   llm.Parts // of bytes
	news    bool      // something new is known of tools at the provider
	weight  int       // of streams
	finish  llm.Finish
	counts  counts
	deltas  []llm.Delta
}

// step is what an event is about.
type step uint8

const (
	other    step = iota
	alive         // says only that the provider is
	head          // the response as it begins
	terminal      // the response as it ended
	itemAdded
	itemDone
	textDelta
	refusalDelta
	summaryPart
	summaryDelta
	thoughtDelta
	argsDelta
	annotated
	hostedDelta // of a tool that the provider runs itself
	draft       // of an image
	failure
)

var suffix = []byte(".delta")

// stepOf maps the types of events; they are looked up without an allocation.
func stepOf(name []byte) step {
	switch string(name) {
	case "response.output_text.delta":
		return textDelta
	case "response.refusal.delta":
		return refusalDelta
	case "response.reasoning_summary_text.delta":
		return summaryDelta
	case "response.reasoning_summary_part.added":
		return summaryPart
	case "response.reasoning_text.delta":
		return thoughtDelta
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		return argsDelta
	case "response.output_text.annotation.added":
		return annotated
	case "response.output_item.added":
		return itemAdded
	case "response.output_item.done":
		return itemDone
	case "response.created", "response.in_progress", "response.queued":
		return head
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done":
		return terminal
	case "error":
		return failure
	case "keepalive", "ping":
		return alive
	case "response.image_generation_call.partial_image":
		return draft
	}
	if bytes.HasSuffix(name, suffix) {
		return hostedDelta
	}
	return other
}

// newScanner returns the scanner of one answer.
func (p *Provider) newScanner(c provider.Call, stream bool) scanner {
	return scanner{issuer: p.name, translate: !passes(c.Request), stream: stream, images: provider.Images{Dialect: c.Request.Dialect}}
}

// frame are the members of an event beside its type.
type frame struct {
	index, part                int64  // output_index, summary_index
	indexed                    bool   // there is an output_index
	name                       []byte // item_id
	delta                      []byte
	item, annotation, response []byte
	logprobs                   []byte
	from                       int // where the response stands
}

// scan reads one event, or a whole answer; it reports whether data is a JSON
// object.
func (s *scanner) scan(data []byte) bool {
	s.step, s.failed, s.problem, s.known, s.status, s.reason, s.output = other, false, nil, false, "", "", nil
	s.modelAt, s.content, s.refused, s.bytes, s.weight, s.finish = provider.Span{}, false, false, 0, 0, ""
	s.counts, s.deltas = counts{}, s.deltas[:0]
	s.split, s.news = llm.Parts{}, false
	c := provider.Walk(data)
	if c.Kind() != '{' {
		return false
	}
	var f frame
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "type":
			name, _ := c.Text()
			s.step = stepOf(name)
		case "output_index":
			f.index, f.indexed = c.Int()
		case "item_id":
			f.name, _ = c.Text()
		case "summary_index":
			f.part, _ = c.Int()
		case "delta":
			if c.Kind() != '"' {
				c.Skip()
				continue
			}
			f.delta, _ = c.Text()
		case "item":
			f.item = c.Value()
		case "annotation":
			f.annotation = c.Value()
		case "logprobs":
			f.logprobs = c.Value()
		case "response":
			c.Kind()
			f.from = c.Offset()
			f.response = c.Value()
		default:
			s.member(&c, key)
		}
	}
	if !c.Done() {
		return false
	}
	if !f.indexed {
		f.index = s.place(&f)
	}
	s.meaning(&f)
	if s.counts.tools.Told {
		s.hosted, s.news = s.counts.tools.Calls, true
	}
	return true
}

// meaning reads what the type of the event says there is.
func (s *scanner) meaning(f *frame) {
	switch s.step {
	case failure:
		s.failed = true
	case head:
		s.response(f)
		s.start()
	case terminal:
		s.response(f)
		s.end()
	case itemAdded:
		s.added(f.index, f.item)
	case itemDone:
		s.done(f.index, f.item)
	case textDelta:
		s.at(f.index).said = true
		s.text(llm.DeltaText, f.delta)
		s.log(f.logprobs)
	case refusalDelta:
		s.at(f.index).said = true
		s.text(llm.DeltaRefusal, f.delta)
	case summaryPart:
		if it := s.at(f.index); f.part > 0 && it.thought == fromSummary {
			s.gap()
		}
	case summaryDelta:
		s.thought(s.at(f.index), fromSummary, f.delta)
	case thoughtDelta:
		s.thought(s.at(f.index), fromContent, f.delta)
	case argsDelta:
		s.args(s.at(f.index), f.delta)
	case annotated:
		s.cite(s.at(f.index), f.annotation)
	case hostedDelta:
		s.content = true
		s.add(f.delta)
	case draft:
		s.content = true
	case other:
		if s.known && !s.stream { // a whole answer
			s.end()
		}
	}
}

// response reads the response within an event.
func (s *scanner) response(f *frame) {
	c := provider.Walk(f.response)
	if c.Kind() != '{' {
		return
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		s.member(&c, key)
		if string(key) == "model" && s.modelAt != (provider.Span{}) {
			s.modelAt.From += f.from
			s.modelAt.To += f.from
		}
	}
}

// member reads one member of a response.
func (s *scanner) member(c *provider.Cursor, key []byte) {
	switch string(key) {
	case "id":
		if text, ok := c.Text(); ok && s.id == "" {
			s.id = provider.Unescape(text)
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
	case "created_at":
		if at, ok := c.Int(); ok {
			s.created = at
		}
	case "status":
		text, _ := c.Text()
		s.status = string(text)
	case "error":
		if !c.Null() {
			s.failed, s.problem = true, c.Value()
		}
	case "incomplete_details":
		s.why(c)
	case "output":
		s.known = true
		s.output = c.Value()
	case "usage":
		s.counts.read(c)
	case "service_tier":
		if tier, ok := c.Tier(llm.TierNamed); ok {
			s.tier = tier
		}
	default:
		c.Skip()
	}
}

// why reads why a response is incomplete.
func (s *scanner) why(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		text, _ := c.Text()
		if string(key) == "reason" {
			s.reason = string(text)
		}
	}
}

// start passes on that the answer begins, once.
func (s *scanner) start() {
	if s.started || !s.translate {
		return
	}
	s.started = true
	s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaStart, ID: s.id, Model: s.model})
}

// end reads a response that has ended: what it holds, if no events have told,
// and why it ended. Whether there were tool calls is seen from the calls.
func (s *scanner) end() {
	switch s.status {
	case "failed", "cancelled", "queued", "in_progress":
		s.failed = true
		return
	}
	if s.failed {
		return
	}
	s.start()
	s.rest()
	s.finish = llm.FinishStop
	switch {
	case s.reason == "content_filter":
		s.finish = llm.FinishContentFilter
	case s.reason != "" || s.status == "incomplete":
		s.finish = llm.FinishLength
	case s.calls > 0:
		s.finish = llm.FinishToolCalls
	}
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaFinish, Finish: s.finish})
	}
}

// rest reads the items of a response that no event has told to the end: all of
// them if there were none. Items that have begun may be numbered otherwise, but
// stand in the same order.
func (s *scanner) rest() {
	c := provider.Walk(s.output)
	if c.Kind() != '[' {
		return
	}
	var output [][]byte
	c.Enter('[')
	for c.More() {
		output = append(output, c.Value())
	}
	begun := len(s.items)
	if begun > 0 && begun != len(output) {
		return
	}
	for i, v := range output {
		if begun == 0 {
			s.done(int64(i), v)
		} else if it := &s.items[i]; !it.over {
			s.done(it.index, v)
		}
	}
}

// fault returns the error in the words that provider.Classify reads.
func (s *scanner) fault(data []byte) []byte {
	if s.problem == nil {
		return data
	}
	out, err := json.Marshal(map[string]json.RawMessage{"error": s.problem})
	if err != nil {
		return data
	}
	return out
}
