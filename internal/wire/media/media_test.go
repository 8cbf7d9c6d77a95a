package media

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
)

// part is one part of a form: a file if it has a filename.
type part struct{ name, filename, value string }

func formOf(parts ...part) (body []byte, headers map[string][]string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		d := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.filename != "" {
			d += fmt.Sprintf(`; filename=%q`, p.filename)
		}
		out, _ := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {d}})
		_, _ = out.Write([]byte(p.value))
	}
	_ = w.Close()
	return b.Bytes(), http.Header{"Content-Type": {w.FormDataContentType()}}
}

func TestRecordedRequestsDecode(t *testing.T) {
	t.Parallel()
	refused := map[string]string{ // by the provider as well, or not OpenAI's protocol
		"openai.openai-images-generations.6ebcb27d73":       "output_format",
		"openai.openai-moderations.none":                    "",
		"openrouter.openai-audio-transcriptions.47665b713e": "",
	}
	n := 0
	for api, d := range map[string]Dialect{
		"openai.moderations": Moderations(), "openai.images.generations": Images(), "openai.images.edits": ImageEdits(), "openai.audio.speech": Speech(),
	} {
		for _, f := range testkit.Recorded(t, api) {
			body := f.Body()
			if body == nil {
				continue
			}
			n++
			r, err := d.Decode(body, nil)
			var fe *fault.Error
			if want := refused[f.ID]; want != "" {
				if !errors.As(err, &fe) || fe.Param != want {
					t.Errorf("%s: %v, want a refusal at %s", f.ID, err, want)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", f.ID, err)
				continue
			}
			if !bytes.Equal(r.Raw.Splice(), body) {
				t.Errorf("%s: the body changes without an edit", f.ID)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d requests", n)
	}
}

func TestRequestsSayWhatTheyCost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    Dialect
		body string
		want llm.Request
	}{
		{Moderations(), `{"input":"abé"}`, llm.Request{Task: llm.TaskModerate, Dialect: llm.OpenAIModerations, Model: "omni-moderation-latest", Size: llm.Size{ASCII: 2, Other: 2}}},
		{Moderations(), `{"model":"m","input":["a",{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"https://x"}}]}`, llm.Request{Task: llm.TaskModerate, Dialect: llm.OpenAIModerations, Model: "m", Size: llm.Size{ASCII: 2, Images: 1}}},
		{Images(), `{"model":"m","prompt":"ab"}`, llm.Request{Task: llm.TaskImage, Dialect: llm.OpenAIImages, Model: "m", Images: 1, Size: llm.Size{ASCII: 2}}},
		{Images(), `{"model":"m","prompt":"ab","n":7,"stream":true}`, llm.Request{Task: llm.TaskImage, Dialect: llm.OpenAIImages, Model: "m", Images: 7, Stream: true, Size: llm.Size{ASCII: 2}}},
		{ImageEdits(), `{"model":"m","prompt":"ab","images":[{"image_url":"data:x"},{"file_id":"f"}],"mask":{"image_url":"x"}}`, llm.Request{Task: llm.TaskImage, Dialect: llm.OpenAIImageEdits, Model: "m", Images: 1, Size: llm.Size{ASCII: 2, Images: 3}}},
		{Speech(), `{"model":"m","input":"a\u00e9b","voice":"alloy"}`, llm.Request{Task: llm.TaskSpeech, Dialect: llm.OpenAISpeech, Model: "m", Stream: true, Characters: 3, Size: llm.Size{ASCII: 8}}},
		{Speech(), `{"model":"m","input":"a","voice":{"id":"v"}}`, llm.Request{Task: llm.TaskSpeech, Dialect: llm.OpenAISpeech, Model: "m", Stream: true, Characters: 1, Size: llm.Size{ASCII: 1}}},
	} {
		r, err := c.d.Decode([]byte(c.body), nil)
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if r.Task != c.want.Task || r.Dialect != c.want.Dialect || r.Model != c.want.Model || r.Stream != c.want.Stream || r.Images != c.want.Images ||
			r.Characters != c.want.Characters || r.Size != c.want.Size || r.Choices != 1 || r.Inputs != 1 {
			t.Errorf("%s: %+v", c.body, r)
		}
	}
	if r, err := Moderations().Decode([]byte(`{"input":[{"type":"image_url","image_url":{"url":"x"}}]}`), nil); err != nil || r.Needs[llm.NeedImageInput] != "input.0" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBadBodiesNameTheirField(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", maxSpoken+1)
	for _, c := range []struct {
		d           Dialect
		body, param string
		code        fault.Code
	}{
		{Moderations(), `{}`, "input", fault.MissingParameter},
		{Moderations(), `{"input":5}`, "input", fault.InvalidType},
		{Moderations(), `{"input":[]}`, "input", fault.InvalidParameter},
		{Moderations(), `{"input":[5]}`, "input.0", fault.InvalidType},
		{Moderations(), `{"input":[{"text":"a"}]}`, "input.0.type", fault.MissingParameter},
		{Moderations(), `{"input":[{"type":"text"}]}`, "input.0.text", fault.MissingParameter},
		{Moderations(), `{"input":[{"type":"sound"}]}`, "input.0.type", fault.InvalidParameter},
		{Moderations(), `{"input":[{"type":"image_url","image_url":{}}]}`, "input.0.image_url.url", fault.MissingParameter},
		{Moderations(), `{"input":"a","model":5}`, "model", fault.InvalidType},
		{Images(), `{"model":"m"}`, "prompt", fault.MissingParameter},
		{Images(), `{"prompt":"a"}`, "model", fault.MissingParameter},
		{Images(), `{"model":"m","prompt":"a","n":11}`, "n", fault.InvalidParameter},
		{Images(), `{"model":"m","prompt":"a","n":0}`, "n", fault.InvalidParameter},
		{Images(), `{"model":"m","prompt":"a","stream":"x"}`, "stream", fault.InvalidType},
		{Images(), `{"model":"m","prompt":"a","partial_images":4}`, "partial_images", fault.InvalidParameter},
		{Images(), `{"model":"m","prompt":"a","response_format":"x"}`, "response_format", fault.InvalidParameter},
		{Images(), `{"model":"m","prompt":"a","size":5}`, "size", fault.InvalidType},
		{ImageEdits(), `{"model":"m","prompt":"a"}`, "images", fault.MissingParameter},
		{ImageEdits(), `{"model":"m","prompt":"a","images":[]}`, "images", fault.InvalidParameter},
		{ImageEdits(), `{"model":"m","prompt":"a","images":["x"]}`, "images.0", fault.InvalidType},
		{ImageEdits(), `{"model":"m","prompt":"a","images":[{"image_url":5}]}`, "images.0.image_url", fault.InvalidType},
		{Speech(), `{"model":"m","voice":"v"}`, "input", fault.MissingParameter},
		{Speech(), `{"model":"m","input":"a"}`, "voice", fault.MissingParameter},
		{Speech(), `{"model":"m","input":"` + long + `","voice":"v"}`, "input", fault.InvalidParameter},
		{Speech(), `{"model":"m","input":"a","voice":"v","speed":5}`, "speed", fault.InvalidParameter},
		{Speech(), `{"model":"m","input":"a","voice":"v","response_format":"ogg"}`, "response_format", fault.InvalidParameter},
		{Speech(), `{"model":"m","input":"a","voice":"v","stream_format":"x"}`, "stream_format", fault.InvalidParameter},
		{Speech(), `{"model":"m",`, "", fault.InvalidJSON},
		{Transcriptions(), `{"model":"m"}`, "input_audio", fault.MissingParameter},
		{Transcriptions(), `{"model":"m","input_audio":{"format":"mp3"}}`, "input_audio.data", fault.MissingParameter},
		{Transcriptions(), `{"model":"m","input_audio":{"data":"eA=="}}`, "input_audio.format", fault.MissingParameter},
		{Transcriptions(), `{"model":"m","input_audio":{"data":"?","format":"mp3"}}`, "input_audio.data", fault.InvalidParameter},
		{Transcriptions(), `{"model":"m","input_audio":{"data":"","format":"mp3"}}`, "input_audio.data", fault.InvalidParameter},
		{Transcriptions(), `{"model":"m","input_audio":{"data":"eA==","format":"mp3"},"response_format":"xml"}`, "response_format", fault.InvalidParameter},
	} {
		_, err := c.d.Decode([]byte(c.body), nil)
		refusedAt(t, fmt.Sprintf("%.80s", c.body), err, c.param, c.code)
	}
}

func refusedAt(t *testing.T, name string, err error, param string, code fault.Code) {
	t.Helper()
	var fe *fault.Error
	if !errors.As(err, &fe) || fe.Param != param || fe.Code != code {
		t.Errorf("%s: %v (%+v), want %s at %q", name, err, fe, code, param)
	}
}

func TestFormsDecode(t *testing.T) {
	t.Parallel()
	body, h := formOf(part{"model", "", "m"}, part{"file", "a.mp3", strings.Repeat("x", 32_001)}, part{"prompt", "", "aé"}, part{"stream", "", "true"}, part{"temperature", "", "0.5"}, part{"anything", "", "else"})
	r, err := Transcriptions().Decode(body, h)
	if err != nil || r.Model != "m" || !r.Stream || r.Seconds != 33 || r.Heard != 3 || r.Size != (llm.Size{ASCII: 1, Other: 2}) || !bytes.Equal(r.Raw.Body, body) || r.Media != h["Content-Type"][0] {
		t.Errorf("%+v, %v", r, err)
	}
	body, h = formOf(part{"model", "", "m"}, part{"image[]", "a.png", "x"}, part{"image[]", "b.png", "x"}, part{"mask", "c.png", "x"}, part{"prompt", "", "ab"}, part{"n", "", "3"})
	r, err = ImageEdits().Decode(body, h)
	if err != nil || r.Images != 3 || r.Stream || r.Size != (llm.Size{ASCII: 2, Images: 3}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTranslationsAndVariationsDecode(t *testing.T) {
	t.Parallel()
	body, h := formOf(part{"model", "", "m"}, part{"file", "a.mp3", strings.Repeat("x", 32_001)}, part{"prompt", "", "ab"}, part{"stream", "", "anything"})
	r, err := Translations().Decode(body, h)
	if err != nil || r.Task != llm.TaskTranscribe || r.Dialect != llm.OpenAITranslations || r.Model != "m" || r.Stream || r.Seconds != 33 || r.Heard != 3 || r.Size != (llm.Size{ASCII: 2}) {
		t.Errorf("%+v, %v", r, err)
	}
	body, h = formOf(part{"image", "a.png", "x"}, part{"n", "", "2"}, part{"size", "", "256x256"})
	r, err = ImageVariations().Decode(body, h)
	if err != nil || r.Task != llm.TaskImage || r.Dialect != llm.OpenAIImageVariation || r.Model != "dall-e-2" || r.Images != 2 || r.Size != (llm.Size{Images: 1}) {
		t.Errorf("%+v, %v", r, err)
	}
	sound := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 32_001))
	r, err = Transcriptions().Decode([]byte(`{"model":"m","input_audio":{"data":"`+sound+`","format":"mp3"},"prompt":"ab","stream":true}`), nil)
	if err != nil || r.Model != "m" || !r.Stream || r.Seconds != 33 || r.Heard != 3 || r.Media != "" || r.Size != (llm.Size{ASCII: 2}) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = ImageEdits().Decode([]byte(`{"model":"m","prompt":"p","image":{"type":"image_url","url":"data:x"}}`), nil)
	if err != nil || r.Size.Images != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBadFormsNameTheirPart(t *testing.T) {
	t.Parallel()
	file, model, prompt, image := part{"file", "a.wav", "x"}, part{"model", "", "m"}, part{"prompt", "", "p"}, part{"image", "a.png", "x"}
	many := make([]part, maxParts+1)
	pictures := []part{model, prompt}
	for i := range many {
		many[i] = part{"include[]", "", "x"}
	}
	for range maxEdited + 1 {
		pictures = append(pictures, part{"image[]", "a.png", "x"})
	}
	for _, c := range []struct {
		name  string
		d     Dialect
		parts []part
		param string
		code  fault.Code
	}{
		{"no model", Transcriptions(), []part{file}, "model", fault.MissingParameter},
		{"an empty model", Transcriptions(), []part{file, {"model", "", ""}}, "model", fault.InvalidParameter},
		{"two models", Transcriptions(), []part{file, model, model}, "model", fault.InvalidParameter},
		{"a long model", Transcriptions(), []part{file, {"model", "", strings.Repeat("m", 257)}}, "model", fault.InvalidParameter},
		{"no file", Transcriptions(), []part{model}, "file", fault.MissingParameter},
		{"a file that is none", Transcriptions(), []part{model, {"file", "", "x"}}, "file", fault.MissingParameter},
		{"two files", Transcriptions(), []part{model, file, file}, "file", fault.InvalidParameter},
		{"an empty file", Transcriptions(), []part{model, {"file", "a", ""}}, "file", fault.InvalidParameter},
		{"a large file", Transcriptions(), []part{model, {"file", "a", strings.Repeat("x", maxAudio+1)}}, "file", fault.InvalidParameter},
		{"too warm", Transcriptions(), []part{model, file, {"temperature", "", "1.5"}}, "temperature", fault.InvalidParameter},
		{"no number", Transcriptions(), []part{model, file, {"temperature", "", "NaN"}}, "temperature", fault.InvalidParameter},
		{"an unknown format", Transcriptions(), []part{model, file, {"response_format", "", "xml"}}, "response_format", fault.InvalidParameter},
		{"a stream of what", Transcriptions(), []part{model, file, {"stream", "", "maybe"}}, "stream", fault.InvalidParameter},
		{"a long setting", Transcriptions(), []part{model, file, {"prompt", "", strings.Repeat("x", maxSetting+1)}}, "prompt", fault.InvalidParameter},
		{"no text", Transcriptions(), []part{model, file, {"prompt", "", "\xff"}}, "prompt", fault.InvalidParameter},
		{"no name", Transcriptions(), []part{model, file, {"", "", "x"}}, "", fault.InvalidRequest},
		{"many parts", Transcriptions(), many, "", fault.InvalidRequest},
		{"a translation of nothing", Translations(), []part{model}, "file", fault.MissingParameter},
		{"a translation by speakers", Translations(), []part{model, file, {"response_format", "", "diarized_json"}}, "response_format", fault.InvalidParameter},
		{"a variation of nothing", ImageVariations(), []part{model}, "image", fault.MissingParameter},
		{"a variation of two", ImageVariations(), []part{image, image}, "image", fault.InvalidParameter},
		{"a variation without a model", ImageVariations(), []part{image, {"model", "", ""}}, "model", fault.InvalidParameter},
		{"no image", ImageEdits(), []part{model, prompt}, "image", fault.MissingParameter},
		{"many images", ImageEdits(), pictures, "image", fault.InvalidParameter},
		{"two masks", ImageEdits(), []part{model, prompt, image, {"mask", "a", "x"}, {"mask", "a", "x"}}, "mask", fault.InvalidParameter},
		{"no prompt", ImageEdits(), []part{model, image}, "prompt", fault.MissingParameter},
		{"half an image", ImageEdits(), []part{model, prompt, image, {"n", "", "1.5"}}, "n", fault.InvalidParameter},
		{"eleven", ImageEdits(), []part{model, prompt, image, {"n", "", "11"}}, "n", fault.InvalidParameter},
	} {
		body, h := formOf(c.parts...)
		_, err := c.d.Decode(body, h)
		refusedAt(t, c.name, err, c.param, c.code)
	}
	body, h := formOf(model, file)
	_, err := Transcriptions().Decode(body[:len(body)-20], h)
	refusedAt(t, "cut", err, "", fault.InvalidRequest)
	_, err = Transcriptions().Decode(body, http.Header{"Content-Type": {"multipart/form-data"}})
	refusedAt(t, "no boundary", err, "Content-Type", fault.UnsupportedMediaType)
}

// wave makes a WAVE file of n bytes of sound.
func wave(n int, channels uint16, rate uint32, bits, format uint16, claims uint32, before ...byte) []byte {
	b := append([]byte("RIFF\x00\x00\x00\x00WAVE"), before...)
	b = append(b, "fmt \x10\x00\x00\x00"...)
	b = binary.LittleEndian.AppendUint16(b, format)
	b = binary.LittleEndian.AppendUint16(b, channels)
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, 1) // lies: that many bytes a second
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, bits)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), claims)
	return append(b, make([]byte, n)...)
}

// The length of a sound is taken from its bytes, so that no header can make it
// shorter than it is heard.
func TestLengthsOfSound(t *testing.T) {
	t.Parallel()
	list := []byte("LIST\x03\x00\x00\x00abc\x00")
	for _, c := range []struct {
		name        string
		file        []byte
		most, guess int64
	}{
		{"a second and a half", wave(24_000, 1, 16_000, 8, 1, 24_000), 2, 2},
		{"stereo", wave(64_000, 2, 8000, 16, 1, 64_000), 2, 2},
		{"floats", wave(64_000, 1, 16_000, 32, 3, 64_000), 1, 1},
		{"a chunk before", wave(16_000, 1, 16_000, 8, 1, 16_000, list...), 1, 1},
		{"claims less", wave(160_000, 1, 16_000, 8, 1, 1), 10, 10},
		{"claims more", wave(160_000, 1, 16_000, 8, 1, 1<<31), 10, 10},
		{"a rate that nobody plays", wave(16_000, 1, 100, 8, 1, 16_000), 17, 2},
		{"compressed", wave(16_000, 1, 16_000, 8, 85, 16_000), 17, 2},
		{"no bits", wave(16_000, 1, 16_000, 0, 1, 16_000), 17, 2},
		{"no sound in it", wave(0, 1, 16_000, 8, 1, 0), 1, 1},
		{"no header", []byte("RIFF\x00\x00\x00\x00WAVE"), 1, 1},
		{"no RIFF", make([]byte, 48_001), 49, 4},
		{"a byte", []byte{1}, 1, 1},
	} {
		if most, guess := length(c.file); most != c.most || guess != c.guess {
			t.Errorf("%s: at most %d seconds, about %d; want %d and %d", c.name, most, guess, c.most, c.guess)
		}
	}
}

// No file is heard for longer than it is held for, and none for less than a second.
func TestLengthsHaveBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		file := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "file")
		if rapid.Bool().Draw(t, "is one") {
			file = append(wave(rapid.IntRange(0, 5000).Draw(t, "bytes"), rapid.Uint16().Draw(t, "channels"), rapid.Uint32().Draw(t, "rate"),
				rapid.Uint16().Draw(t, "bits"), rapid.SampledFrom([]uint16{1, 2, 3}).Draw(t, "format"), rapid.Uint32().Draw(t, "claims")), file...)
		}
		most, guess := length(file)
		if guess < 1 || most < guess || most > int64(len(file))/lowest+1 {
			t.Fatalf("%d bytes last %d seconds at most and about %d", len(file), most, guess)
		}
	})
}

// What a provider sends passes, the newest piece kept back until the charge is
// durable.
func TestThePieceAtTheEndIsKeptBack(t *testing.T) {
	t.Parallel()
	e := Speech().Encoder(&llm.Request{Stream: true})
	var out []byte
	var err error
	for i, c := range []struct{ raw, want string }{{"aa", ""}, {"bb", "aa"}, {"", ""}, {"cc", "bb"}} {
		var raw []byte
		if c.raw != "" {
			raw = []byte(c.raw)
		}
		if out, err = e.Event(nil, llm.Event{Raw: raw}); err != nil || string(out) != c.want {
			t.Errorf("after piece %d: %q, %v; want %q", i, out, err, c.want)
		}
		if raw != nil {
			raw[0] = 'x' // providers use their buffers again
		}
	}
	if out, err := e.Finish(nil, wire.Final{Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}}); err != nil || string(out) != "cc" {
		t.Errorf("the end is %q, %v", out, err)
	}
	if b := e.Heartbeat(nil); len(b) != 0 {
		t.Errorf("sound beats: %q", b)
	}
	if out, err := Speech().Encoder(&llm.Request{Stream: true}).Finish(nil, wire.Final{}); err == nil {
		t.Errorf("no sound at all is %q", out)
	}
	for media, want := range map[string]string{"": `{"a":1,"w":1}`, "text/plain": `{"a":1}`} {
		e := Transcriptions().Encoder(&llm.Request{})
		if out, err := e.Event(nil, llm.Event{Raw: []byte(`{"a":1}`), MediaType: media}); err != nil || len(out) > 0 {
			t.Errorf("%s: %q left before the charge, %v", media, out, err)
		}
		if out, err := e.Finish(nil, wire.Final{Extras: []llm.Edit{{Name: "w", Value: []byte("1")}}}); err != nil || string(out) != want {
			t.Errorf("%q: %s, %v, want %s", media, out, err, want)
		}
	}
	b := e.(wire.Breaker).Break([]byte("x"), []byte("data: {}\n\n"), nil)
	if string(b) != "xevent: error\ndata: {}\n\n" {
		t.Errorf("an error is %q", b)
	}
	if _, err := e.Event(nil, llm.Event{Raw: []byte("aa"), MediaType: "audio/mpeg"}); err != nil || e.(wire.Typed).MediaType() != "audio/mpeg" {
		t.Errorf("sound is %q, %v", e.(wire.Typed).MediaType(), err)
	}
	if b := e.(wire.Breaker).Break([]byte("x"), []byte("data: {}\n\n"), nil); string(b) != "x" {
		t.Errorf("an error in sound is %q", b)
	}
}
