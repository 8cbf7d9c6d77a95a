// Package catalog knows the models: what each can do, where it is served, what
// it costs on which site, and how much a request to it can cost at most.
//
// [Build] merges the embedded table of facts with an operator's own entries
// and the overlays of sites. The result does not change; a reload builds a new
// one.
package catalog

import (
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// Modality is a kind of input.
type Modality string

// The modalities.
const (
	Text  Modality = "text"
	Image Modality = "image"
	Audio Modality = "audio"
	File  Modality = "file" // PDF and other documents
	Video Modality = "video"
)

// Modalities lists them all.
func Modalities() []Modality { return []Modality{Text, Image, Audio, File, Video} }

// The kinds of Model.
const (
	Chat          = "chat"
	Completion    = "completion" // continues a text; the oldest of all
	Embedding     = "embedding"
	Moderation    = "moderation"
	Images        = "image" // makes them
	Speech        = "speech"
	Transcription = "transcription"
)

// APIResponses is OpenAI's protocol of responses.
const APIResponses = "responses"

// Kinds lists them all.
func Kinds() []string {
	return []string{Chat, Completion, Embedding, Moderation, Images, Speech, Transcription}
}

// kindOf is the kind of model that does a task, and how it is called.
var kindOf = map[llm.Task][2]string{
	llm.TaskChat: {Chat, "a chat"}, llm.TaskCountTokens: {Chat, "a chat"},
	llm.TaskEmbed: {Embedding, "an embedding"}, llm.TaskModerate: {Moderation, "a moderation"},
	llm.TaskImage: {Images, "an image"}, llm.TaskSpeech: {Speech, "a speech"}, llm.TaskTranscribe: {Transcription, "a transcription"},
}

// does reports whether a model of this kind does what r asks for. A text can be
// continued by a chat model as well.
func (m *Model) does(r *llm.Request) bool {
	return m.Kind == kindOf[r.Task][0] || r.Dialect == llm.OpenAICompletions && m.Kind == Completion
}

// Target is one place where a model is served.
type Target struct {
	Provider string // name in the configuration
	Model    string // the provider's name of the model; in an [Entry], empty: the same
	Weight   int    // share among neighbouring targets; 0: the place in the list decides
	Cost     *Cost  // what the operator pays there; nil: unknown, or in an [Entry] the provider's list price
	API      string // how it is asked, if it is to be said: [APIResponses]
}

// Cost is what a target costs the operator, per million tokens and per request, and
// with a longer prompt, as far as that is known.
type Cost struct {
	Input, Output money.Rate
	Request       money.Amount
	Long          *Long
}

// The orders of targets, and the affinities of a conversation to one of them;
// docs/config.md says what they mean.
const (
	OrderPriority  = "priority"
	OrderLatency   = "least_latency"
	OrderCost      = "least_cost"
	AffinityPrefer = "prefer"
	AffinityStrict = "strict"
	AffinityOff    = "off"
)

// Model is one model as one site offers it. It is shared and never changed.
type Model struct {
	ID       string // what callers name; may contain "/"
	OwnedBy  string
	Class    string // of plans; empty: none
	Kind     string // one of Kinds
	Created  int64  // Unix seconds; 0: unknown
	Targets  []Target
	Attempts int    // in total, over all targets; 0: the router's default
	Order    string // of targets; empty: OrderPriority
	Affinity string // empty: AffinityPrefer, or with OrderLatency AffinityOff

	Context   int64 // tokens of prompt and answer together (embeddings: of one input); 0: unknown
	MaxOutput int64 // tokens of one answer; 0: unknown

	Price       Price
	PriceSource string // where the price is from, for people
	PriceDate   string // YYYY-MM-DD; empty: unknown

	Inputs      []Modality
	Tools       bool
	ForcedTool  bool // tool_choice required, any or a named tool
	Reasoning   bool // takes an effort or a budget, so that output may be thought which nobody sees
	JSONSchema  bool
	Temperature bool // takes one other than the default
	BatchInput  bool // embeddings: inputs as an array

	Enabled bool

	weights string // open or closed: the class where nothing else gives one
	shared  *Model // that this is a copy of; nil: it is itself
}

// WithSurcharge returns the model at its price and so many parts of a million more.
func (m *Model) WithSurcharge(s money.Rate) *Model {
	if s == 0 {
		return m
	}
	dear := *m
	dear.Price.Surcharge, dear.shared = s, m.Shared()
	return &dear
}

// Shared returns the model as its view has it, whatever its price was changed to.
func (m *Model) Shared() *Model {
	if m.shared != nil {
		return m.shared
	}
	return m
}

// Priced reports whether the model has a price. One without is refused, never
// free.
func (m *Model) Priced() bool { return m.Price.Set() }

// Takes reports whether the model takes input of the given kind.
func (m *Model) Takes(in Modality) bool {
	for _, x := range m.Inputs {
		if x == in {
			return true
		}
	}
	return false
}

// Check reports, as a *fault.Error, the first thing that keeps the model from
// serving r: ModelUnavailable (switched off, or without a price),
// InvalidParameter (the wrong kind of model; more output than it can give),
// ToolChoiceUnsupported, ImageInputUnsupported, InputModalityUnsupported,
// BatchInputUnsupported, or UnsupportedParameter.
//
// A limit on output that is beyond even the whole context passes: [Model.Quote]
// refuses it as ContextLengthExceeded, with the numbers.
func (m *Model) Check(r *llm.Request) error {
	if !m.Enabled {
		return fault.New(fault.ModelUnavailable, "The model %s is switched off.", m.ID).At("model").With("model", m.ID)
	}
	if !m.Priced() {
		return m.unpriced()
	}
	if !m.does(r) {
		return fault.New(fault.InvalidParameter, "%s is not %s model.", m.ID, kindOf[r.Task][1]).At("model").With("model", m.ID)
	}
	if e := m.lacks(r); e != nil {
		return e
	}
	beyond := m.Context > 0 && r.MaxOutput > m.Context
	if r.HasMaxOutput && m.MaxOutput > 0 && r.MaxOutput > m.MaxOutput && !beyond {
		return fault.New(fault.InvalidParameter, "Must be at most %d for %s.", m.MaxOutput, m.ID).
			At(limitName(r)).With("model", m.ID).With("limit", strconv.FormatInt(m.MaxOutput, 10))
	}
	return nil
}

func (m *Model) unpriced() *fault.Error {
	return fault.New(fault.ModelUnavailable, "The model %s has no price, so it cannot be used.", m.ID).At("model").With("model", m.ID)
}

// lacks finds the first need that the model does not meet, or nil. A forced
// tool goes first: it says more than the tools that come with it.
func (m *Model) lacks(r *llm.Request) error {
	order := [...]llm.Need{
		llm.NeedForcedTool, llm.NeedTools, llm.NeedImageInput, llm.NeedAudioInput, llm.NeedFileInput, llm.NeedVideoInput,
		llm.NeedAudioOutput, llm.NeedJSONSchema, llm.NeedReasoning, llm.NeedTemperature, llm.NeedBatchInput,
	}
	for _, n := range order {
		if r.Needs.Has(n) && !m.can(n) {
			return m.refuse(n, r.Needs[n])
		}
	}
	return nil
}

func (m *Model) can(n llm.Need) bool {
	switch n {
	case llm.NeedTools:
		return m.Tools
	case llm.NeedForcedTool:
		return m.Tools && m.ForcedTool
	case llm.NeedImageInput:
		return m.Takes(Image)
	case llm.NeedAudioInput:
		return m.Takes(Audio)
	case llm.NeedFileInput:
		return m.Takes(File)
	case llm.NeedVideoInput:
		return m.Takes(Video)
	case llm.NeedJSONSchema:
		return m.JSONSchema
	case llm.NeedReasoning:
		return m.Reasoning
	case llm.NeedTemperature:
		return m.Temperature
	case llm.NeedBatchInput:
		return m.BatchInput
	case llm.NeedAudioOutput:
		return m.Price.AudioOutput > 0 // what speaks has a price for it
	}
	return false
}

// lackWords are the refusals of needs, by need.
var lackWords = [llm.NeedCount]struct {
	code fault.Code
	text string // ends in the model's name
}{
	llm.NeedTools:       {fault.UnsupportedParameter, "Tools are not supported by "},
	llm.NeedForcedTool:  {fault.ToolChoiceUnsupported, "A tool cannot be forced with "},
	llm.NeedImageInput:  {fault.ImageInputUnsupported, "Images are not supported by "},
	llm.NeedAudioInput:  {fault.InputModalityUnsupported, "Audio input is not supported by "},
	llm.NeedFileInput:   {fault.InputModalityUnsupported, "Files are not supported by "},
	llm.NeedVideoInput:  {fault.InputModalityUnsupported, "Video input is not supported by "},
	llm.NeedAudioOutput: {fault.UnsupportedParameter, "Audio output is not supported by "},
	llm.NeedJSONSchema:  {fault.UnsupportedParameter, "Answers to a JSON schema are not supported by "},
	llm.NeedReasoning:   {fault.UnsupportedParameter, "Setting the reasoning effort is not supported by "},
	llm.NeedTemperature: {fault.UnsupportedParameter, "Only the default temperature is supported by "},
	llm.NeedBatchInput:  {fault.BatchInputUnsupported, "An array of inputs is not supported by "},
}

func (m *Model) refuse(n llm.Need, place string) *fault.Error {
	w := lackWords[n]
	return fault.New(w.code, "%s%s.", w.text, m.ID).At(place).With("model", m.ID)
}

// limitName is the name by which r limits its output.
func limitName(r *llm.Request) string {
	for _, name := range [...]string{"max_completion_tokens", "max_output_tokens", "maxTokens"} {
		if r.Raw.Value(name) != nil {
			return name
		}
	}
	return "max_tokens"
}
