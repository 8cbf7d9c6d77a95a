package bedrock

import (
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
	body, err := w.x.ReadJSON()
	if err != nil {
		return llm.Event{}, err
	}
	k := &w.scanner
	switch ok := k.whole(body); {
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	case !k.known && w.x.Header.Get("X-Amzn-Errortype") != "":
		return llm.Event{}, provider.Classify(family, http.StatusOK, w.x.Header, body)
	case k.malformed():
		return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, fmt.Errorf("the model stopped with %s", k.reason))
	case k.media:
		return llm.Event{}, provider.Untold()
	case !k.known:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has no output"))
	}
	ev := llm.Event{
		Content: k.content, OutputBytes: k.bytes, Bytes: k.split, Finish: k.finish, Last: true, Left: k.left.New(),
		Whole: &llm.Answer{Choices: []llm.Choice{provider.Blocks(k.deltas)}},
	}
	if u, ok := k.counts.usage(); ok {
		w.usage = u
		ev.Usage = &w.usage
	}
	return ev, nil
}

// Blame hides what must not be seen; see provider.Source.
func (w *whole) Blame(err error) error { return w.blame(err) }
