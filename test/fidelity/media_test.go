package fidelity

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/testkit"
)

// Prices of models that are paid by what they make or hear, in nano-dollars: for
// an image, for a million characters, and for a minute, which sixty divides.
const (
	perImage      = 41_000_017
	perCharacters = 15_000_000_019
	perMinute     = 6_000_060
)

var (
	imagePrice  = "image: " + usd(perImage) + ", input: " + usd(rates.input) + ", output: " + usd(rates.output)
	speechPrice = "characters: " + usd(perCharacters)
	soundPrice  = "minute: " + usd(perMinute) + ", input: " + usd(rates.input) + ", output: " + usd(rates.output)
)

// readNothing reads a request that asks for nothing that a bill depends on.
func readNothing(value) talk { return talk{} }

// modelAdded names the model in a request that may lack it.
func modelAdded(body value, model string) value {
	o := members(body)
	o["model"] = quote(model)
	return encode(o)
}

// readCompletionsRequest reads the limit of a text to go on: that of each of its
// choices, of which every prompt has as many.
func readCompletionsRequest(body value) talk {
	q := talk{}
	each := count(in(body, "max_tokens"))
	if each == 0 {
		each = 16
	}
	prompts := items(in(body, "prompt"))
	if len(prompts) == 0 || !isText(prompts[0]) && prompts[0][0] != '[' {
		prompts = []value{nil}
	}
	q.set("max", encode(each*int64(len(prompts))))
	return q
}

// readCompletions reads texts that go on.
func readCompletions(vendor string, body []byte, sse bool) answer {
	a := readChat(vendor, body, sse)
	chunks := []value{body}
	if sse {
		chunks = nil
		for _, e := range events(body) {
			chunks = append(chunks, e.data)
		}
	}
	for _, c := range chunks {
		for i, x := range items(in(c, "choices")) {
			if n := in(x, "index"); n != nil {
				i = int(count(n))
			}
			a.choice(i).text += text(in(x, "text"))
		}
	}
	return a
}

// small makes a request of one member beside the model.
func small(member, v string) func(string) value {
	return func(model string) value { return encode(object{"model": model, member: v}) }
}

func smallMessages(model string) value { return writeMessagesRequest(hello(), model, false) }
func smallGemini(model string) value   { return writeGeminiRequest(hello(), model, false) }

// readPassed reads an answer of which nothing is judged but that it passes, and
// that it has the named member.
func readPassed(member string) func(string, []byte, bool) answer {
	return func(_ string, body []byte, _ bool) answer {
		a := answer{ended: true, failed: string(in(body, "error"))}
		if in(body, member) == nil && a.failed == "" {
			a.failed = "no " + member
		}
		a.pass(body)
		return a
	}
}

// pass takes a body for all that is said.
func (a *answer) pass(body []byte) {
	if a.failed == "" {
		s := a.choice(0)
		s.text, s.finish, s.raw = string(body), "stop", "stop"
	}
}

// readImages counts images, each of which has its bytes or its address.
func readImages(vendor string, body []byte, sse bool) answer {
	a := readPassed("data")(vendor, body, sse)
	u := tokens{}
	if told := chatUsage(in(body, "usage"), vendor); told != nil {
		u = *told
	} else {
		a.guessed = true
	}
	for _, x := range items(in(body, "data")) {
		if any1(x, "b64_json", "url") == nil {
			a.complain("an image without bytes and address: %.100s", x)
		}
		u.Images++
	}
	a.usage = &u
	return a
}

// readSound takes anything for sound that is no JSON, but for that in which Mistral
// wraps it. What was said is counted in the request.
func readSound(_ string, body []byte, _ bool) answer {
	a := answer{ended: true, usage: &tokens{}}
	if wrapped, err := base64.StdEncoding.DecodeString(text(in(body, "audio_data"))); err == nil && len(wrapped) > 0 {
		body = wrapped
	}
	if len(body) == 0 || isObject(body) {
		a.failed = "no sound"
	}
	a.pass(body)
	return a
}

// readTranscript reads a transcript, whole or as events.
func readTranscript(_ string, body []byte, sse bool) answer {
	a := answer{ended: !sse}
	last := value(body)
	if sse {
		for _, e := range events(body) {
			if text(in(e.data, "type")) == "transcript.text.done" {
				a.ended, last = true, e.data
			}
		}
	}
	if a.failed = string(in(last, "error")); in(last, "text") == nil && a.failed == "" {
		a.failed = "no text"
	}
	a.pass(body)
	u := in(last, "usage")
	for _, v := range []value{in(u, "seconds"), in(u, "prompt_audio_seconds"), in(last, "duration")} {
		if a.usage == nil && v != nil {
			a.usage = &tokens{Seconds: ceil(v)}
		}
	}
	n := tokens{Input: count(any1(u, "input_tokens", "prompt_tokens")), Output: count(any1(u, "output_tokens", "completion_tokens"))}
	if in(u, "prompt_audio_seconds") != nil { // sound is in the total only
		n.Input = count(in(u, "total_tokens")) - n.Output
	}
	a.guessed = a.usage == nil // of the file, whose length is a guess, and paid for
	if a.usage != nil {
		n.Seconds = a.usage.Seconds
	}
	a.usage = &n
	return a
}

func ceil(v value) int64 {
	s, _ := strconv.ParseFloat(string(v), 64)
	n := int64(s)
	if float64(n) < s {
		n++
	}
	return n
}

// measured adds to what an answer tells what only its request does: characters
// that were spoken, and how long a file is as far as its size says.
func (p *play) measured(u tokens) tokens {
	switch p.f.API {
	case "openai.audio.speech":
		u.Characters = int64(utf8.RuneCountInString(text(in(p.asked, "input"))))
	case "openai.audio.transcriptions":
		if u.Seconds == 0 {
			u.Seconds = (p.form.heard + 15_999) / 16_000
		}
		// Recordings of JSON have the beginning of their sound alone: no more is
		// believed than so many bytes can last.
		if sound, err := base64.StdEncoding.DecodeString(text(in(p.asked, "input_audio", "data"))); err == nil && len(sound) > 0 {
			u.Seconds = min(u.Seconds, int64(len(sound)+999)/1000)
		}
	}
	return u
}

// units adds what is paid for beside tokens to a sum, in nano-dollars by the
// million.
func (u tokens) units(sum *big.Int) {
	for _, x := range [...][2]int64{{u.Images * 1_000_000, perImage}, {u.Characters, perCharacters}, {u.Seconds * 1_000_000, perMinute / 60}} {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(x[0]), big.NewInt(x[1])))
	}
}

// form is a body in parts.
type form struct {
	media string // its content type
	body  []byte
	heard int64 // bytes of its files
}

// parts are those of the caller's form, with the name of the model; nil: he sends
// JSON. Bytes of files were not recorded, so some are made of the same number. A
// transcript whose request was not kept is of a small file.
func (p *play) parts(model string) []testkit.RecordedPart {
	var parts []testkit.RecordedPart
	switch {
	case p.f.Request != nil && p.f.Request.Multipart != nil:
		parts = slices.DeleteFunc(slices.Clone(p.f.Request.Multipart), func(x testkit.RecordedPart) bool { return x.Name == "model" })
	case p.recorded() == nil && p.d.name == "openai.audio.transcriptions":
		parts = []testkit.RecordedPart{{Name: "file", Filename: "a.mp3", Bytes: 600_000}}
	default:
		return nil
	}
	return append(parts, testkit.RecordedPart{Name: "model", Value: model})
}

func newForm(parts []testkit.RecordedPart) *form {
	var b bytes.Buffer
	f := &form{}
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		if p.Filename == "" {
			_ = w.WriteField(p.Name, p.Value)
			continue
		}
		file, _ := w.CreateFormFile(p.Name, p.Filename)
		_, _ = io.WriteString(file, strings.Repeat("sound or image\n", p.Bytes/15+1)[:p.Bytes])
		f.heard += int64(p.Bytes)
	}
	_ = w.Close()
	f.media, f.body = w.FormDataContentType(), b.Bytes()
	return f
}

// readForm writes a form as JSON, each part under its name with its header and
// its bytes; what is no form stays as it is.
func readForm(media string, body []byte) value {
	kind, params, _ := mime.ParseMediaType(media)
	if kind != "multipart/form-data" {
		return body
	}
	o := object{}
	for in := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		part, err := in.NextRawPart()
		if err != nil {
			return encode(o)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return encode(o)
		}
		name := part.FormName()
		switch list, _ := o[name].([]any); {
		case name == "model" || name == "stream":
			o[name] = string(b)
		default:
			o[name] = append(list, part.Header, b)
		}
	}
}
