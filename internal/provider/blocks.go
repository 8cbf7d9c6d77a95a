package provider

import "github.com/pontage/pontage/internal/llm"

// Blocks puts the pieces of an answer together, of a protocol that answers in
// blocks: each is a part.
func Blocks(deltas []llm.Delta) llm.Choice {
	var ch llm.Choice
	last := func() *llm.Part { return &ch.Parts[len(ch.Parts)-1] }
	for _, d := range deltas {
		switch d.Kind {
		case llm.DeltaText:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartText, Text: d.Text})
		case llm.DeltaReasoning:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartReasoning, Text: d.Text})
		case llm.DeltaSignature:
			if len(ch.Parts) == 0 || last().Kind != llm.PartReasoning || last().Signature != "" {
				ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartReasoning})
			}
			last().Signature = d.Text
		case llm.DeltaRedacted:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartRedacted, Data: d.Text})
		case llm.DeltaRefusal:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartRefusal, Text: d.Text})
		case llm.DeltaToolCall:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName})
		case llm.DeltaToolArgs:
			last().Args = append(last().Args, d.Text...)
		case llm.DeltaCitation:
			if len(ch.Parts) > 0 && last().Kind == llm.PartText {
				last().Cite(d.Value)
			}
		case llm.DeltaFinish:
			ch.Finish, ch.StopSequence = d.Finish, d.StopSequence
		}
	}
	return ch
}
