// Package media is OpenAI's dialect of everything that is not a conversation:
// moderations, images and sound. Bodies pass to a provider of the same dialect
// untouched; what is read of them is what a price needs, and what would be
// refused anyway. Facts of the wire are from OpenAI's OpenAPI description 2.3.0
// and from recorded traffic.
package media

import (
	"bytes"
	"errors"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Dialect is one of the operations. Its zero value decodes nothing; see
// [Moderations], [Images], [ImageEdits], [ImageVariations], [Speech],
// [Transcriptions], [Translations].
type Dialect struct {
	decode func(body []byte, headers map[string][]string) (*llm.Request, error)
	body   wire.Body
}

var _ wire.Forms = Dialect{}

// Moderations is the dialect of POST /v1/moderations.
func Moderations() Dialect { return Dialect{decode: decodeModeration} }

// Images is the dialect of POST /v1/images/generations.
func Images() Dialect { return Dialect{decode: decodeImage} }

// ImageEdits is the dialect of POST /v1/images/edits, a form or JSON.
func ImageEdits() Dialect { return Dialect{decode: decodeEdit, body: wire.Either} }

// ImageVariations is the dialect of POST /v1/images/variations, a form.
func ImageVariations() Dialect { return Dialect{decode: decodeVariation, body: wire.Form} }

// Speech is the dialect of POST /v1/audio/speech.
func Speech() Dialect { return Dialect{decode: decodeSpeech} }

// Transcriptions is the dialect of POST /v1/audio/transcriptions, a form, or JSON
// with the sound in it as OpenRouter takes it.
func Transcriptions() Dialect { return Dialect{decode: decodeTranscription, body: wire.Either} }

// Translations is the dialect of POST /v1/audio/translations, which makes English
// text of sound: a form.
func Translations() Dialect { return Dialect{decode: decodeTranslation, body: wire.Form} }

// Body tells whether bodies are forms or JSON.
func (d Dialect) Body() wire.Body { return d.body }

// Decode makes a request of a body, as [wire.Dialect] says.
func (d Dialect) Decode(body []byte, headers map[string][]string) (*llm.Request, error) {
	return d.decode(body, headers)
}

// Encoder returns the encoder of one answer to r.
func (Dialect) Encoder(r *llm.Request) wire.Encoder { return &encoder{stream: r.Stream} }

// encoder forwards the provider's bytes. It keeps the newest piece back, so that
// the last one leaves after the charge is durable.
type encoder struct {
	stream bool
	media  string // of an answer that is neither JSON nor events
	held   []byte
}

// Heartbeat appends nothing: neither sound nor a whole answer has room for it,
// and readers of these events expect none.
func (e *encoder) Heartbeat(dst []byte) []byte { return dst }

// MediaType returns the media type of what the provider sends.
func (e *encoder) MediaType() string { return e.media }

// Break names the event of an error, as readers of these streams expect. In sound
// there is no room for one.
func (e *encoder) Break(dst, frame []byte, _ *fault.Error) []byte {
	if e.media != "" {
		return dst
	}
	return append(append(dst, "event: error\n"...), frame...)
}

// Event appends what one event gives.
func (e *encoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Raw == nil {
		return dst, nil
	}
	if ev.MediaType != "" {
		e.media = ev.MediaType
	}
	if !e.stream {
		e.held = ev.Raw
		return dst, nil
	}
	dst = append(dst, e.held...)
	e.held = append(e.held[:0], ev.Raw...)
	return dst, nil
}

// Finish appends the end of the answer.
func (e *encoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if len(e.held) == 0 {
		return dst, errors.New("no answer")
	}
	if !e.stream && e.media == "" {
		return wire.AppendAnswer(dst, jsonx.Splice(e.held, f.Extras)), nil
	}
	return wire.AppendAnswer(dst, bytes.Clone(e.held)), nil
}
