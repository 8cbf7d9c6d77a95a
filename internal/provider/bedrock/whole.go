package bedrock

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// whole is an answer in one piece.
type whole struct {
	x       *provider.Exchange
	scanner scanner
	blame   func(error) error
	usage   llm.Usage
}

// Next returns the answer; see provider.Source.
func (w *whole) Next() (llm.Event, error) {
	body, err := w.x.ReadAll(provider.MaxWhole)
	if err != nil {
		return llm.Event{}, err
	}
	k := &w.scanner
	switch ok := k.whole(bytes.TrimSpace(body)); {
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	case !k.known && w.x.Header.Get("X-Amzn-Errortype") != "":
		return llm.Event{}, provider.Classify(family, http.StatusOK, w.x.Header, body)
	case k.malformed():
		return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, fmt.Errorf("the model stopped with %s", k.reason))
	case !k.known:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has no output"))
	}
	ev := llm.Event{
		Content: k.content, OutputBytes: k.bytes, Finish: k.finish, Last: true,
		Whole: &llm.Answer{Choices: []llm.Choice{choice(k.deltas)}},
	}
	if u, ok := k.counts.usage(); ok {
		w.usage = u
		ev.Usage = &w.usage
	}
	return ev, nil
}

// Blame hides what must not be seen; see provider.Source.
func (w *whole) Blame(err error) error { return w.blame(err) }

// choice puts the pieces of an answer together: every block is a part.
func choice(deltas []llm.Delta) llm.Choice {
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
		case llm.DeltaToolCall:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName})
		case llm.DeltaToolArgs:
			last().Args = append(last().Args, d.Text...)
		case llm.DeltaFinish:
			ch.Finish = d.Finish
		}
	}
	return ch
}
