// Package llm is the vocabulary between the callers' dialects and the
// providers' protocols: a request, an answer in progress, and what they hold.
//
// A caller's dialect (wire/*) makes a [Request] of a body; a provider opens a
// [Stream] for it. Where both speak the same dialect, bytes pass through:
// [Request.Raw] goes out with a few members spliced, and each [Event] carries
// the provider's bytes beside the few facts that the gateway needs. Where they
// differ, [Request.DecodeChat] gives the whole conversation as a [Chat], and
// events carry [Delta]s.
package llm

import (
	"encoding/json"
	"slices"
	"time"
)

// Dialect names a wire format by the surface it belongs to.
type Dialect string

// The dialects.
const (
	OpenAIChat           Dialect = "openai.chat"
	OpenAIResponses      Dialect = "openai.responses"
	OpenAIInputTokens    Dialect = "openai.responses.input_tokens"
	OpenAICompact        Dialect = "openai.responses.compact" // a chat whose answer only its provider can make and read
	OpenAICompletions    Dialect = "openai.completions"
	OpenAIEmbeddings     Dialect = "openai.embeddings"
	OpenAIModerations    Dialect = "openai.moderations"
	OpenAIImages         Dialect = "openai.images"
	OpenAIImageEdits     Dialect = "openai.image_edits"
	OpenAIImageVariation Dialect = "openai.image_variations"
	OpenAISpeech         Dialect = "openai.speech"
	OpenAITranscriptions Dialect = "openai.transcriptions"
	OpenAITranslations   Dialect = "openai.translations"
	AnthropicMessages    Dialect = "anthropic.messages"
	AnthropicCountTokens Dialect = "anthropic.count_tokens"
	GeminiGenerate       Dialect = "gemini.generate"
	GeminiCountTokens    Dialect = "gemini.count_tokens"
	GeminiEmbed          Dialect = "gemini.embed"
	Simple               Dialect = "chat"   // {model, messages} → {message, choices, usage, model}
	Prompt               Dialect = "prompt" // {prompt} → {text, tokens, model, latency, metadata}
)

// Task is what is asked of a model.
type Task uint8

// The tasks.
const (
	TaskChat Task = iota
	TaskEmbed
	TaskCountTokens
	TaskModerate
	TaskImage      // make or edit images
	TaskSpeech     // text to sound
	TaskTranscribe // sound to text
)

// Need is something a request asks of the model that not every model can do.
type Need uint8

// The needs, in the order in which they are checked.
const (
	NeedTools       Need = iota
	NeedForcedTool       // tool_choice required, any, or a named tool
	NeedImageInput       //
	NeedAudioInput       //
	NeedFileInput        // PDF and other documents
	NeedVideoInput       //
	NeedAudioOutput      //
	NeedJSONSchema       // structured output by schema
	NeedReasoning        // an explicit reasoning effort or thinking budget
	NeedTemperature      // a temperature other than the default
	NeedBatchInput       // the inputs of an embeddings request as an array, of one even
	NeedCount            // how many needs there are; not a need
)

// Needs is what a request needs, and where in the request it says so.
type Needs [NeedCount]string

// Add records the place of the first occurrence of n, a path with dots such as
// "messages.0.content.1". An empty place is recorded as "messages".
func (n *Needs) Add(need Need, place string) {
	if place == "" {
		place = "messages"
	}
	if n[need] == "" {
		n[need] = place
	}
}

// Has reports whether need was recorded.
func (n *Needs) Has(need Need) bool { return n[need] != "" }

// Size is what is known of a prompt's length without counting tokens.
type Size struct {
	ASCII    int64 // bytes below 0x80 of text, tool definitions and schemas
	Other    int64 // bytes from 0x80 on
	Messages int64
	Images   int64 // images, audio clips and documents, counted and not weighed
	Media    int64 // bytes of inline media, base64 as sent
	Pages    int64 // of documents, as far as they can be counted, or else as many as there can be
}

// OwnBody is the size up to which a request's body is never used again for
// another request.
const OwnBody = 4 << 10

// Request is one request of a caller, decoded as far as the gateway needs.
// It is not changed after the dialect has made it, and may be sent to several
// targets one after another.
//
// It lives as long as the caller's request. Afterwards the bytes of Raw, and so
// of everything that was cut out of it, are used for somebody else's if there
// are more than [OwnBody] of them: who keeps some longer copies them.
type Request struct {
	Task    Task
	Dialect Dialect
	Model   string // as the caller named it

	Stream       bool
	IncludeUsage bool // the caller asked for usage in the stream
	Functions    bool // of chat completions: he offers functions and no tools, and is told calls as theirs
	MaxOutput    int64
	HasMaxOutput bool  // the caller set MaxOutput (0 is a legal value)
	UsualOutput  int64 // tokens that the surface allows who sets no limit, or fewer if the model gives fewer; 0: as many as the model gives
	Choices      int   // how many answers are wanted; ≥ 1
	Inputs       int   // embeddings: how many inputs; ≥ 1
	Images       int64 // how many are to be made
	Characters   int64 // that are to be spoken
	Seconds      int64 // of sound to be heard, at most
	Heard        int64 // the same, as far as it can be guessed; no more than Seconds

	Needs  Needs
	Size   Size
	Hosted Hosted // tools that the provider may run

	Decoded time.Time // when it was decoded; zero where the dialect's answers do not tell how long they took

	Raw     Raw                 // the body as it came
	Media   string              // its content type; empty: JSON. Of any other Raw has no members
	Headers map[string][]string // the caller's headers that a provider of the same dialect may see (anthropic-beta, anthropic-version); canonical names

	// DecodeChat decodes the whole conversation, for a target that speaks
	// another dialect. It returns a *fault.Error for what only a full decode
	// can find wrong. It decodes once, however often it is called, so the Chat
	// is shared and must not be changed. Nil for tasks without a conversation.
	DecodeChat func() (*Chat, error)

	// Place returns the caller's own name of a place in the Chat, which providers
	// of another dialect name as chat completions do ("messages.2.content.0",
	// "response_format"). Nil: the same.
	Place func(path string) string

	// Thread is what the request asks of the gateway's own memory. Nil: the dialect
	// knows nothing of the kind.
	Thread *Thread
}

// Own names places in the Chat as the caller does; see Place. A nil request names
// them as they are.
func (r *Request) Own(paths []string) []string {
	if r == nil || r.Place == nil || len(paths) == 0 {
		return paths
	}
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = r.Place(p)
	}
	return slices.Compact(out)
}

// Thread is what a request asks of the gateway's memory of answers.
type Thread struct {
	Store      bool          // the answer is to be kept
	Asked      bool          // the caller said so himself, or that it is not
	Background bool          // nobody waits for the answer
	Keep       time.Duration // for how long the answer is to be kept; 0: as long as is usual
	Usual      time.Duration // for how long that is at most; 0: any time
	Previous   string        // id of the answer that this one continues; empty: none
	References []string      // ids of items that stand for what was said before
	Past       int           // how many items of the request are not its own, but of what it continues
}

// PromptName is what the dialect calls the prompt, for errors that concern it: a
// conversation is in messages, a text in prompt.
func (r *Request) PromptName() string {
	if r.Dialect == OpenAICompletions {
		return "prompt"
	}
	return "messages"
}

// For returns the request as one to another model: the same question, with that
// name wherever the request says it.
func (r *Request) For(model string) *Request {
	other := *r
	other.Model = model
	name, err := json.Marshal(model)
	if err == nil { // a text is always a JSON value
		other.Raw = r.Raw.With("model", name)
	}
	return &other
}

// Member is one member of a JSON object, by its places in the body.
type Member struct {
	Name       string
	Start      int // of the name's opening quote
	ValueStart int
	End        int // just after the value
}

// Raw is a JSON object as it came, with the places of its top-level members in
// their order.
type Raw struct {
	Body    []byte
	Members []Member
}

// Value returns the bytes of the named member, or nil.
func (r Raw) Value(name string) []byte {
	for _, m := range r.Members {
		if m.Name == name {
			return r.Body[m.ValueStart:m.End]
		}
	}
	return nil
}

// With returns r with the value of a member replaced by another JSON text. A
// member that is not there changes nothing. It copies the body.
func (r Raw) With(name string, value []byte) Raw {
	for i, m := range r.Members {
		if m.Name != name {
			continue
		}
		out := Raw{Body: make([]byte, 0, len(r.Body)+len(value)), Members: slices.Clone(r.Members)}
		out.Body = append(out.Body, r.Body[:m.ValueStart]...)
		out.Body = append(out.Body, value...)
		out.Body = append(out.Body, r.Body[m.End:]...)
		moved := len(value) - (m.End - m.ValueStart)
		out.Members[i].End += moved
		for j := i + 1; j < len(out.Members); j++ {
			out.Members[j].Start += moved
			out.Members[j].ValueStart += moved
			out.Members[j].End += moved
		}
		return out
	}
	return r
}

// Edit sets a top-level member to Value (JSON text), or removes it if Value is
// nil.
type Edit struct {
	Name  string
	Value []byte
}

// Splice returns a new body with the edits made and every other byte as it was.
// A member that is set and not there is added at the end. Edits of one name
// twice are the caller's mistake: the first wins.
func (r Raw) Splice(edits ...Edit) []byte {
	extra := 0
	for _, e := range edits {
		extra += len(e.Name) + len(e.Value) + 4
	}
	out := make([]byte, 0, len(r.Body)+extra)
	if len(r.Members) == 0 {
		out = append(out, '{')
		out = appendMissing(out, r, edits, true)
		return append(out, '}')
	}
	out = append(out, r.Body[:r.Members[0].Start]...)
	first := true
	for i, m := range r.Members {
		e, edited := find(edits, m.Name)
		if edited && e.Value == nil {
			continue
		}
		if !first {
			// What stands between two members, as it was before this one.
			out = append(out, r.Body[r.Members[i-1].End:m.Start]...)
		}
		first = false
		if edited {
			out = append(out, r.Body[m.Start:m.ValueStart]...)
			out = append(out, e.Value...)
		} else {
			out = append(out, r.Body[m.Start:m.End]...)
		}
	}
	out = appendMissing(out, r, edits, first)
	return append(out, r.Body[r.Members[len(r.Members)-1].End:]...)
}

func find(edits []Edit, name string) (Edit, bool) {
	for _, e := range edits {
		if e.Name == name {
			return e, true
		}
	}
	return Edit{}, false
}

// appendMissing adds the members that are set but do not stand in r.
func appendMissing(out []byte, r Raw, edits []Edit, first bool) []byte {
	for _, e := range edits {
		if e.Value == nil || r.Value(e.Name) != nil {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(out, '"')
		out = append(out, e.Name...)
		out = append(out, `":`...)
		out = append(out, e.Value...)
	}
	return out
}
