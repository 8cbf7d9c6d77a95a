package llm

import (
	"bytes"
	"encoding/json"
)

// Stream is an answer in progress. It belongs to one goroutine.
type Stream interface {
	// Next returns the next event. What the event refers to is valid until
	// the next call; the bytes of a whole answer belong to whoever gets them. It
	// returns io.EOF after a clean end, and only then: a provider that breaks
	// off midway is an error.
	Next() (Event, error)
	// Close releases the connection, and cancels the provider's work if it
	// has not ended. It may be called any number of times. Once it has
	// returned, nothing reads the request any more.
	Close() error
}

// Finish is why a choice ended, in the gateway's own words.
type Finish string

// The finishes.
const (
	FinishStop          Finish = "stop"
	FinishStopSequence  Finish = "stop_sequence" // Anthropic tells it apart from a natural end
	FinishLength        Finish = "length"
	FinishContextWindow Finish = "context_window" // ended because the context was full
	FinishToolCalls     Finish = "tool_calls"
	FinishContentFilter Finish = "content_filter"
	FinishPause         Finish = "pause_turn" // a server-side tool turn that is not finished
)

// And returns how an answer of several choices ended, of which some ended with f
// and then one with g: that of the last which was not filtered. It is stopped by
// a filter only if all of them are. Empty is no end.
func (f Finish) And(g Finish) Finish {
	if g == "" || (g == FinishContentFilter && f != "") {
		return f
	}
	return g
}

// Usage is what an answer used, in tokens. The classes of one side are disjoint
// parts of its total: Input = uncached text + CachedInput + CacheWrite +
// CacheWrite1h + ImageInput + AudioInput, and Output = text + Reasoning +
// AudioOutput + ImageOutput.
type Usage struct {
	Input        int64
	CachedInput  int64
	CacheWrite   int64 // written to the provider's cache for its short time
	CacheWrite1h int64 // written for an hour
	ImageInput   int64 // of images, neither read from a cache nor written to it
	AudioInput   int64 // of sound, likewise
	Output       int64
	Reasoning    int64
	AudioOutput  int64 // of sound
	ImageOutput  int64 // of images

	Calls Calls

	Images     int64 // made
	Characters int64 // spoken
	Seconds    int64 // heard, each begun one

	Tier Tier // that it was served in, as its provider says

	Estimated        bool // counted by us, since the provider did not say
	SecondsEstimated bool // so were Seconds; Estimated speaks of them only where they are paid for
}

// WithMedia returns u with so many tokens of its input those of images and of sound.
// What of them was read from the cache or written to it is told by nobody, so text
// is taken to have been there first; numbers beyond the input are cut to it.
func (u Usage) WithMedia(images, sound int64) Usage {
	left := max(u.Input-u.CachedInput-u.CacheWrite-u.CacheWrite1h, 0)
	u.AudioInput = min(max(sound, 0), left)
	u.ImageInput = min(max(images, 0), left-u.AudioInput)
	return u
}

// WithOutput returns u with so many tokens of its output thoughts, sound and images.
// Numbers beyond the output are cut to it, those that are named last first.
func (u Usage) WithOutput(thoughts, sound, images int64) Usage {
	u.Reasoning = min(max(thoughts, 0), u.Output)
	u.AudioOutput = min(max(sound, 0), u.Output-u.Reasoning)
	u.ImageOutput = min(max(images, 0), u.Output-u.Reasoning-u.AudioOutput)
	return u
}

// CutTo returns u with at most so many tokens of output: text goes first.
func (u Usage) CutTo(output int64) Usage {
	u.Output = min(u.Output, output)
	return u.WithOutput(u.Reasoning, u.AudioOutput, u.ImageOutput)
}

// WeightPerToken is what one token weighs, as [Event.Weight] has it.
const WeightPerToken = 6

// Event is one step of an answer.
type Event struct {
	// Raw is the provider's own bytes when the caller speaks its dialect: one
	// whole SSE frame with its framing (or a comment), or the whole body of an
	// answer that is not streamed. Data is the payload of the frame, and Name
	// its event name, if it has one.
	Raw  []byte
	Data []byte
	Name string

	// MediaType is the content type of an answer that is neither JSON nor
	// server-sent events, with its first event. Raw is then a piece of it, or
	// all of it.
	MediaType string

	// Deltas or Whole hold the meaning, when the caller speaks another dialect.
	Deltas []Delta
	Whole  *Answer

	// The facts, in both cases.
	Content     bool   // holds something the caller would miss: text, reasoning, a tool call, a refusal, an embedding
	Refusal     bool   // its content is a refusal and nothing else
	OutputBytes int    // bytes of text, reasoning and tool arguments in it
	Bytes       Parts  // what of OutputBytes is not text
	Weight      int    // an upper estimate of the tokens of that, in parts of WeightPerToken; of streams only
	Finish      Finish // a choice has ended with this event
	Usage       *Usage // the usage so far, if this event reports it: totals, not increments
	Calls       *Calls // of tools that the provider runs, so far, if this event tells of some: totals, and valid until the next one
	UsageOnly   bool   // holds nothing else but usage that the gateway asked for on its own account
	Ping        bool   // says only that the provider is alive
	Last        bool   // the dialect's terminal marker ([DONE], message_stop), or a whole answer: nothing follows
	Cut         bool   // the gateway ends the answer here: every choice that has not ended does so with Finish. Data and Name are of a frame that is not told
	More        bool   // the next event is already here, so flushing can wait for it
	Tier        Tier   // that the answer is served in, as far as its provider has said by now; Usage has it, too

	// Left are the kinds of output, in the provider's words, that the event holds
	// and the caller's dialect has no place for.
	Left []string
}

// Parts are the bytes of an output that are no text of the answer. Images and sound
// have as many as a text of as many tokens.
type Parts struct{ Reasoning, Audio, Image int }

// Add returns both together.
func (p Parts) Add(q Parts) Parts {
	return Parts{Reasoning: p.Reasoning + q.Reasoning, Audio: p.Audio + q.Audio, Image: p.Image + q.Image}
}

// DeltaKind tells what a Delta adds.
type DeltaKind uint8

// The kinds of Delta.
const (
	DeltaStart     DeltaKind = iota // the answer begins: ID and Model, perhaps Usage
	DeltaText                       // Text
	DeltaReasoning                  // Text
	DeltaSignature                  // Text seals the reasoning before it
	DeltaRedacted                   // Text is reasoning that only its provider can read
	DeltaRefusal                    // Text
	DeltaToolCall                   // tool call number Tool begins: ToolID and ToolName
	DeltaToolArgs                   // Text continues the JSON arguments of tool call number Tool, or the text for a custom tool
	DeltaCitation                   // Value is one annotation in the provider's JSON
	DeltaImage                      // Image, perhaps with a Signature
	DeltaFinish                     // Finish, StopSequence
)

// Delta is an increment of one choice of an answer.
type Delta struct {
	Kind         DeltaKind
	Choice       int
	Text         string
	Tool         int // number of the tool call within its choice, from 0
	ToolID       string
	ToolName     string
	Custom       bool // of a tool call, and its arguments: the tool is a custom one
	ID           string
	Model        string
	Finish       Finish
	StopSequence string
	Signature    string // of a tool call or a text; see [Part]
	Value        json.RawMessage
	Image        *Part           // of kind PartImage, whole: Data and MediaType, or URL
	Logprobs     json.RawMessage // of a text: an array of tokens with their log probabilities, as chat completions have it; nil: none
}

// Answer is a whole answer.
type Answer struct {
	ID      string
	Model   string
	Created int64 // Unix seconds; 0: unknown
	Choices []Choice
}

// Choice is one of the alternatives of an Answer.
type Choice struct {
	Parts        []Part
	Finish       Finish
	StopSequence string
	Logprobs     json.RawMessage // {"content": tokens, "refusal": tokens or null}; nil: none
}

// Log adds tokens of the text with their log probabilities, as [Delta] has them.
func (c *Choice) Log(tokens json.RawMessage) {
	const head, tail = `{"content":[`, `],"refusal":null}`
	inner := inside(tokens)
	if len(inner) == 0 {
		return
	}
	if before, some := bytes.CutSuffix(c.Logprobs, []byte(tail)); some {
		c.Logprobs = append(before, ',')
	} else {
		c.Logprobs = []byte(head)
	}
	c.Logprobs = append(append(c.Logprobs, inner...), tail...)
}

// inside returns the elements of an array, with commas between them.
func inside(array []byte) []byte {
	array = bytes.TrimSpace(array)
	if len(array) < 2 || array[0] != '[' {
		return nil
	}
	return bytes.TrimSpace(array[1 : len(array)-1])
}
