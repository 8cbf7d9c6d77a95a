package gate

import (
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/token"
)

// Tokens that a conversation costs beside its texts, as OpenAI's tokenizers
// count them; other providers differ by little.
const (
	tokensPerMessage = 4
	tokensPerAnswer  = 3
	tokensPerImage   = 765
	bytesPerToken    = 4 // of English text, for output that was seen only as bytes
)

// implausible is how many times a model's context a report of usage may be
// before it is taken for a mistake, and unknownContext stands in for a context
// that is not known.
const (
	implausible    = 4
	unknownContext = 4 << 20
)

// report takes note of what a provider says that was used so far: the last report
// counts. No output cannot be true once there was some, so that is no report of it.
func (call *Call) report(u llm.Usage) {
	call.usage, call.tier = &u, u.Tier
	call.told = u.Output > 0 || call.produced == 0
}

// used returns the usage to charge for: what the provider reported if that can
// be true, else what was counted here, labelled as estimated. So is the output
// alone that came after the last report.
func (call *Call) used() llm.Usage {
	u := call.usedTokens()
	u.Calls = call.calls
	return u
}

// usedTokens is that without the calls of tools.
func (call *Call) usedTokens() llm.Usage {
	if u := call.usage; u != nil && call.plausible(*u) {
		all := call.reckoned(*u)
		all.Estimated = all.Estimated || all.SecondsEstimated && call.model.Price.Minute > 0
		if !call.told && !call.model.Price.PerUnit { // or the price by the piece takes its place
			all, all.Estimated = call.estimated(all, max(u.Output, call.estimateOutput())), true
		}
		return all
	}
	u := llm.Usage{Estimated: true}
	switch {
	case call.hold == nil:
		return u
	case call.req.Task == llm.TaskModerate && call.model.Price.Input == 0:
		return llm.Usage{} // there is nothing to count
	}
	if told := call.usage; told != nil { // counted by the request, not by the provider
		u.Images, u.Characters, u.Seconds = told.Images, told.Characters, told.Seconds
	} else { // no image is known to be made, but what is spoken or heard is the prompt
		u.Characters, u.Seconds, u.SecondsEstimated = call.req.Characters, call.req.Heard, call.req.Heard > 0
	}
	if p := call.model.Price; p.PerUnit && p.PerToken {
		return u // the price by the piece takes the place of that by tokens
	}
	u.Tier = call.tier
	if u = call.reckoned(u); u.Input == 0 {
		u.Input = min(countInput(call.req), call.quote.Input)
	}
	return call.estimated(u, call.estimateOutput())
}

// reckoned adds the tokens that a provider of images or sound did not tell, where
// the price is by them and by nothing else. No tokenizer counts pictures: an image
// is taken for the largest that the model makes, as it was held for, and so is
// speech. Sound that is heard is counted by its length.
func (call *Call) reckoned(u llm.Usage) llm.Usage {
	r, p := call.req, call.model.Price
	if u.Input+u.Output > 0 || p.Input == 0 || call.hold == nil {
		return u
	}
	switch {
	case r.Task == llm.TaskImage && p.Image == 0:
		u.Output = call.quote.Output / max(r.Images, 1) * u.Images
		u.ImageOutput = u.Output
	case r.Task == llm.TaskSpeech && p.Characters == 0:
		u.Output = call.quote.Output
		u.AudioOutput = u.Output
	case r.Task == llm.TaskTranscribe && p.Minute == 0:
		u.Input = catalog.SoundTokens(u.Seconds)
	default:
		return u
	}
	heard := u.Input
	u.Input, u.Estimated = min(u.Input+countInput(r), call.quote.Input), true
	return u.WithMedia(token.Upper(r.Size)-token.Upper(llm.Size{ASCII: r.Size.ASCII, Other: r.Size.Other, Messages: r.Size.Messages}), heard)
}

// plausible reports whether a provider's usage can be true: nothing negative,
// no part larger than its whole, and not beyond all that the model can hold.
func (call *Call) plausible(u llm.Usage) bool {
	for _, n := range []int64{u.Input, u.CachedInput, u.CacheWrite, u.CacheWrite1h, u.ImageInput, u.AudioInput, u.Output, u.Reasoning, u.AudioOutput, u.ImageOutput} {
		if n < 0 || n > 1<<40 {
			return false
		}
	}
	context := call.model.Context
	if context <= 0 {
		context = unknownContext
	}
	most := implausible * context * int64(max(call.req.Choices, call.req.Inputs, 1))
	return u.CachedInput+u.CacheWrite+u.CacheWrite1h+u.ImageInput+u.AudioInput <= u.Input && u.Reasoning+u.AudioOutput+u.ImageOutput <= u.Output &&
		u.Input <= most && u.Output <= most
}

// estimateOutput counts the output from its bytes, at most what was allowed.
func (call *Call) estimateOutput() int64 {
	return min((call.produced+bytesPerToken-1)/bytesPerToken, call.allowed())
}

// estimated returns u with so many tokens of output, of which those of a class are what
// was told of it, or what its bytes come to if that is more.
func (call *Call) estimated(u llm.Usage, output int64) llm.Usage {
	u.Output = output
	of := func(told int64, n int) int64 { return max(told, (int64(n)+bytesPerToken-1)/bytesPerToken) }
	return u.WithOutput(of(u.Reasoning, call.split.Reasoning), of(u.AudioOutput, call.split.Audio), of(u.ImageOutput, call.split.Image))
}

// produce takes note of so many bytes of output.
func (call *Call) produce(n int64, split llm.Parts) {
	call.produced += n
	call.split = call.split.Add(split)
}

// ran takes note of how often tools have run at the provider so far. What cannot be
// true says nothing.
func (call *Call) ran(c llm.Calls) {
	if c.Believable() {
		call.calls = c
	}
}

// allowed is the most tokens of output that the caller asked for, of all choices
// together: his own limit, what the provider was told instead, or what the model
// can give.
func (call *Call) allowed() int64 {
	if call.capOutput > 0 {
		return call.capOutput * int64(max(call.req.Choices, 1))
	}
	return call.quote.Output
}

// tokens is what usage counts among the tokens per minute: no more output than
// was allowed.
func (call *Call) tokens(u llm.Usage) int64 { return u.Input + min(u.Output, call.allowed()) }

// countInput counts the tokens of a prompt. It decodes the whole request and
// runs a tokenizer, so it is kept off the path of requests whose provider says
// what they used.
func countInput(req *llm.Request) int64 {
	if req.DecodeChat == nil {
		return token.Upper(req.Size)
	}
	chat, err := req.DecodeChat()
	if err != nil {
		return token.Upper(req.Size)
	}
	n := int64(tokensPerAnswer) + countParts(chat.System)
	if len(chat.System) > 0 {
		n += tokensPerMessage
	}
	for _, m := range chat.Messages {
		n += tokensPerMessage + countParts(m.Parts)
	}
	for _, t := range chat.Tools {
		n += token.Count(t.Name) + token.Count(t.Description) + token.Count(string(t.Schema)) + tokensPerMessage
	}
	if chat.Format != nil {
		n += token.Count(string(chat.Format.Schema))
	}
	return n
}

func countParts(parts []llm.Part) int64 {
	var n int64
	for _, p := range parts {
		switch p.Kind {
		case llm.PartImage, llm.PartAudio, llm.PartFile, llm.PartVideo:
			n += tokensPerImage
		case llm.PartToolCall:
			n += token.Count(p.ToolName) + token.Count(string(p.Args))
		}
		n += token.Count(p.Text) + countParts(p.Parts)
	}
	return n
}
