package anthropic

import (
	"errors"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// whole is an answer in one piece.
type whole struct {
	x       *provider.Exchange
	scanner scanner
	call    provider.Call
	usage   llm.Usage
}

// Next returns the answer; see provider.Source.
func (w *whole) Next() (llm.Event, error) {
	body, err := w.x.ReadJSON()
	if err != nil {
		return llm.Event{}, err
	}
	k := &w.scanner
	switch ok := k.scan(body); {
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	case k.failed:
		return llm.Event{}, provider.Classify(family, http.StatusOK, w.x.Header, body)
	case k.translate && k.finish == llm.FinishPause:
		return llm.Event{}, paused(body)
	case !k.known:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has no content"))
	}
	ev := llm.Event{Content: k.content, OutputBytes: k.bytes, Bytes: k.split, Finish: k.finish, Last: true, Tier: k.counts.served()}
	if k.news {
		ev.Calls = &k.calls
	}
	if u, ok := k.counts.usage(); ok {
		w.usage = u
		ev.Usage = &w.usage
	}
	if k.translate && w.call.Request.Task == llm.TaskCountTokens {
		return ev, nil
	}
	if k.translate {
		ev.Left = k.left.New()
		ev.Whole = &llm.Answer{ID: k.id, Model: k.model, Choices: []llm.Choice{provider.Blocks(k.deltas)}}
		return ev, nil
	}
	body = provider.Patched(body, provider.Rename(nil, body, k.modelAt, w.call.OwnName()))
	ev.Raw, ev.Data = body, body
	return ev, nil
}

// Blame corrects a parameter; see provider.Source.
func (w *whole) Blame(err error) error { return blame(w.call.Request, err) }
