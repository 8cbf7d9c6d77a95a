package gemini

import (
	"encoding/json"
	"strings"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxChoices is how many candidates of one answer are told apart.
const maxChoices = 128

// scanner takes the facts out of events and whole answers, which have the same
// form, in one pass over each, and their meaning too if the caller speaks another
// dialect.
type scanner struct {
	translate bool
	stream    bool
	thinker   bool   // signatures of calls go out as those of thoughts: the caller's calls hold none
	issuer    string // of seals
	request   string // our id of the request, for ids of calls where the answer has none

	// Of the whole answer.
	id, model string
	counts    counts
	choices   []choice
	started   bool
	images    provider.Images
	left      provider.Leavings
	calls     llm.Calls // of tools at the provider
	queries   []string  // that were searched for
	flat      bool      // however many, they are billed as one

	// Of the present event.
	failed   bool
	known    bool // it is an answer
	blocked  bool
	media    bool // there is a sound, or what else nobody tells
	modelAt  provider.Span
	content  bool
	bytes    int
	split    llm.Parts // of bytes
	news     bool      // something new is known of tools at the provider
	weight   int       // of streams
	finish   llm.Finish
	broken   []byte // why the model gave the answer up
	reported bool   // there was usage
	deltas   []llm.Delta
}

// choice is the state of one candidate.
type choice struct {
	seen     bool
	finished bool
	tools    int      // calls that have begun
	open     *partial // the call whose arguments come in pieces
}

// newScanner returns the scanner of one answer.
func (p *Provider) newScanner(c provider.Call) scanner {
	return scanner{
		translate: !passes(c.Request), stream: c.Request.Stream,
		thinker: c.Request.Dialect == llm.AnthropicMessages || c.Request.Dialect == llm.OpenAIResponses,
		issuer:  p.name, request: c.RequestID, flat: flat(c.Model), images: provider.Images{Dialect: c.Request.Dialect},
	}
}

// complete reports whether every candidate has ended.
func (s *scanner) complete() bool {
	some := false
	for i := range s.choices {
		if c := &s.choices[i]; c.seen {
			some = true
			if !c.finished {
				return false
			}
		}
	}
	return some
}

// scan reads one event, or a whole answer; it reports whether data is a JSON
// object.
func (s *scanner) scan(data []byte) bool {
	s.failed, s.known, s.blocked, s.media, s.modelAt, s.content, s.reported = false, false, false, false, provider.Span{}, false, false
	s.bytes, s.weight, s.finish, s.broken, s.deltas = 0, 0, "", nil, s.deltas[:0]
	s.split, s.news = llm.Parts{}, false
	c := provider.Walk(data)
	if c.Kind() != '{' {
		return false
	}
	var candidates []byte
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "candidates":
			candidates, s.known = c.Value(), true
		case "promptFeedback":
			s.feedback(&c)
		case "usageMetadata":
			s.reported = true
			s.counts.read(&c)
		case "error":
			if !c.Null() {
				s.failed = true
				c.Skip()
			}
		default:
			s.member(&c, key)
		}
	}
	if !c.Done() {
		return false
	}
	if s.translate && !s.started && s.known {
		s.started = true
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaStart, ID: s.id, Model: s.model})
	}
	s.candidates(candidates)
	return true
}

// member reads one of the lesser members of an answer.
func (s *scanner) member(c *provider.Cursor, key []byte) {
	switch string(key) {
	case "responseId":
		if text, ok := c.Text(); ok && s.id == "" {
			s.id = provider.Unescape(text)
		}
	case "modelVersion":
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
		if len(text) > 0 { // else it is the model that was asked
			s.flat = flat(string(text))
		}
	case "totalTokens": // of countTokens
		s.known, s.content, s.reported = true, true, true
		s.counts.set(&s.counts.prompt, c)
	case "embedding", "embeddings":
		s.known, s.content = true, true
		c.Skip()
	default:
		c.Skip()
	}
}

// feedback reads what the filter says of the prompt.
func (s *scanner) feedback(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) != "blockReason" {
			c.Skip()
			continue
		}
		if reason, ok := c.Text(); ok && len(reason) > 0 {
			s.blocked, s.known = true, true
		}
	}
}

// candidates reads the list of candidates.
func (s *scanner) candidates(list []byte) {
	c := provider.Walk(list)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for n := 0; c.More(); n++ {
		s.candidate(&c, n)
	}
}

// candidate reads one candidate, the nth of the list.
func (s *scanner) candidate(c *provider.Cursor, n int) {
	if !c.Enter('{') {
		return
	}
	var content, reason, grounding, citations []byte
	index := int64(n)
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "content":
			content = c.Value()
		case "finishReason":
			reason = c.Value()
		case "index":
			if v, ok := c.Int(); ok {
				index = v
			}
		case "groundingMetadata":
			grounding = c.Value()
		case "citationMetadata":
			citations = c.Value()
		default:
			c.Skip()
		}
	}
	if index < 0 || index >= maxChoices {
		return
	}
	for int64(len(s.choices)) <= index {
		s.choices = append(s.choices, choice{})
	}
	s.choices[index].seen = true
	s.parts(content, int(index))
	s.grounded(grounding)
	s.cite(grounding, citations, int(index))
	s.end(unquoted(reason), int(index))
}

// unquoted returns the inside of a string, or a number as it is written.
func unquoted(v []byte) []byte {
	if len(v) >= 2 && v[0] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

// end notes why a candidate ended. Whether there were calls is seen from them.
func (s *scanner) end(reason []byte, index int) {
	f, failed := finishOf(reason)
	ch := &s.choices[index]
	if failed {
		s.broken, ch.finished = reason, true
		f = llm.FinishContentFilter // told in the provider's own words, and free
	}
	if f == "" {
		return
	}
	s.flush(index)
	ch.finished = true
	if f == llm.FinishStop && ch.tools > 0 {
		f = llm.FinishToolCalls
	}
	s.finish = s.finish.And(f)
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaFinish, Choice: index, Finish: f})
	}
}

// parts reads the parts of a content.
func (s *scanner) parts(content []byte, index int) {
	c := provider.Walk(content)
	if c.Kind() != '{' {
		return
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) != "parts" || !c.Enter('[') {
			if string(key) != "parts" {
				c.Skip()
			}
			continue
		}
		for c.More() {
			s.part(&c, index)
		}
	}
}

// part is a part of a content. Texts are the insides of JSON strings.
type part struct {
	text, signature, call []byte
	isText, thought       bool
	media                 []byte // inline, or where it is
	kind, other           []byte // of a kind that nobody asked for who speaks another dialect
}

func (s *scanner) part(c *provider.Cursor, index int) {
	if !c.Enter('{') {
		return
	}
	var p part
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "text":
			p.text, p.isText = c.Text()
		case "thought":
			p.thought = c.Kind() == 't'
			c.Skip()
		case "thoughtSignature":
			p.signature, _ = c.Text()
		case "functionCall":
			p.call = c.Value()
		case "inlineData", "fileData":
			p.media = c.Value()
		case "executableCode", "codeExecutionResult", "toolCall", "toolResponse":
			p.kind, p.other = key, c.Value()
		default:
			c.Skip()
		}
	}
	switch {
	case p.call != nil:
		s.call(p, index)
	case p.isText:
		s.text(p, index)
	case p.media != nil:
		s.show(p, index)
	case p.other != nil:
		s.content = true
		s.add(len(p.other), nil)
		s.left.Add(p.kind)
		s.ran(p.kind)
	}
}

// show notes an image. One that is a thought is a draft, and no answer.
func (s *scanner) show(p part, index int) {
	s.content = true
	image := mediaOf(p.media)
	if kind, _, _ := strings.Cut(image.MediaType, "/"); !strings.EqualFold(kind, "image") {
		s.media = s.media || !p.thought
		n := provider.SoundBytes(len(p.media))
		s.add(n, nil)
		s.split.Audio += n
		return
	}
	s.bytes, s.split.Image = s.bytes+provider.ImageBytes, s.split.Image+provider.ImageBytes
	if s.stream {
		s.weight += provider.ImageWeight
	}
	switch {
	case !s.translate:
	case p.thought:
		s.left.Add([]byte("thought image"))
	default:
		d := llm.Delta{Kind: llm.DeltaImage, Choice: index, Image: s.images.Take(image)}
		if len(p.signature) > 0 {
			d.Signature = s.seal(p.signature)
		}
		if d.Image != nil {
			s.deltas = append(s.deltas, d)
		}
	}
}

// mediaOf reads what is inline, or where it is.
func mediaOf(v []byte) (p llm.Part) {
	c := provider.Walk(v)
	if !c.Enter('{') {
		return p
	}
	for {
		key, ok := c.Key()
		if !ok {
			return p
		}
		text, _ := c.Text()
		switch string(key) {
		case "mimeType":
			p.MediaType = provider.Unescape(text)
		case "data":
			p.Data = provider.Unescape(text)
		case "fileUri":
			p.URL = provider.Unescape(text)
		}
	}
}

// add counts output of so many bytes.
func (s *scanner) add(n int, text []byte) {
	s.bytes += n
	if s.stream && len(text) > 0 {
		s.weight += provider.Weight(text)
	}
}

// seal wraps a signature, of which inner is the inside of a JSON string.
func (s *scanner) seal(inner []byte) string {
	return llm.Seal(s.issuer, provider.Unescape(inner))
}

// text notes a piece of text or of thoughts. The signature of a text is optional
// state; it goes out only where a text can hold it.
func (s *scanner) text(p part, index int) {
	if len(p.text) > 0 {
		s.content = true
		s.add(provider.TextLen(p.text), p.text)
		if p.thought {
			s.split.Reasoning += provider.TextLen(p.text)
		}
	}
	if !s.translate {
		return
	}
	d := llm.Delta{Kind: llm.DeltaText, Choice: index, Text: provider.Fragment(p.text)}
	if p.thought {
		d.Kind = llm.DeltaReasoning
	} else if len(p.signature) > 0 {
		d.Signature = s.seal(p.signature)
	}
	if d.Text != "" || d.Signature != "" {
		s.deltas = append(s.deltas, d)
	}
	if p.thought && len(p.signature) > 0 {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaSignature, Choice: index, Text: s.seal(p.signature)})
	}
}

// annotation is a citation in the form that the gateway's dialects read.
type annotation struct {
	URL   string `json:"url"`
	Title string `json:"title,omitempty"`
}

// cite notes where an answer has its facts from.
func (s *scanner) cite(grounding, citations []byte, index int) {
	if !s.translate || grounding == nil && citations == nil {
		return
	}
	type source struct{ URI, Title string }
	var g struct {
		GroundingChunks []struct{ Web, RetrievedContext, Maps source }
	}
	var q struct {
		CitationSources, Citations []source
	}
	_ = json.Unmarshal(grounding, &g) // what is of another form is not told
	_ = json.Unmarshal(citations, &q)
	sources := append(q.CitationSources, q.Citations...)
	for _, c := range g.GroundingChunks {
		sources = append(sources, c.Web, c.RetrievedContext, c.Maps)
	}
	for _, x := range sources {
		if x.URI == "" {
			continue
		}
		if v, err := json.Marshal(annotation{x.URI, x.Title}); err == nil {
			s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaCitation, Choice: index, Value: v})
		}
	}
}
