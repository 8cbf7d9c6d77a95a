package media

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Bounds of forms. A part that is no file is a setting.
const (
	maxParts   = 64
	maxSetting = 128 << 10
	maxEdited  = 16       // images of one edit
	maxAudio   = 25 << 20 // bytes
)

// form collects the parts of a body, and what is wrong with them.
type form struct {
	r        *llm.Request
	settings map[string][]string
	files    map[string][]file
	details  []fault.Detail
}

// file is a part that holds a file.
type file struct {
	name string
	data []byte
}

func (f *form) bad(field string, code fault.Code, message string) {
	f.details = append(f.details, fault.Detail{Field: field, Code: code, Message: message})
}

// done returns the request and one *fault.Error of all that is wrong.
func (f *form) done() (*llm.Request, error) {
	if len(f.details) > 0 {
		return f.r, fault.Fields(f.details)
	}
	return f.r, nil
}

// readForm splits a body into its parts. Its error is a *fault.Error.
func readForm(body []byte, headers map[string][]string, t llm.Task, d llm.Dialect) (*form, error) {
	media := http.Header(headers).Get("Content-Type")
	f := &form{
		r:        &llm.Request{Task: t, Dialect: d, Choices: 1, Inputs: 1, Raw: llm.Raw{Body: body}, Media: media},
		settings: map[string][]string{}, files: map[string][]file{},
	}
	_, params, err := mime.ParseMediaType(media)
	if err != nil || params["boundary"] == "" {
		return nil, fault.NotMedia("multipart/form-data")
	}
	in := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for n := 0; ; n++ {
		part, err := in.NextRawPart()
		switch {
		case err == io.EOF:
			return f, nil
		case err != nil:
			return nil, fault.New(fault.InvalidRequest, "The form is not complete: its last boundary is missing, or a part of it is broken.")
		case n == maxParts:
			return nil, fault.New(fault.InvalidRequest, "A form has at most %d parts.", maxParts)
		}
		data, err := io.ReadAll(part) // of a body that is in memory
		if err != nil {
			return nil, fault.New(fault.InvalidRequest, "The form is not complete: a part of it breaks off.")
		}
		name := part.FormName()
		switch {
		case name == "":
			return nil, fault.New(fault.InvalidRequest, "A part of the form has no name.")
		case part.FileName() != "":
			f.files[name] = append(f.files[name], file{part.FileName(), data})
		case len(data) > maxSetting || !utf8.Valid(data):
			f.bad(name, fault.InvalidParameter, "Must be text of at most "+strconv.Itoa(maxSetting)+" bytes; a file has a filename")
		default:
			f.settings[name] = append(f.settings[name], string(data))
		}
	}
}

// one returns a setting that may be given once; empty: it is not there.
func (f *form) one(name string) string {
	switch v := f.settings[name]; len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	}
	f.bad(name, fault.InvalidParameter, "Must be given once")
	return ""
}

// text returns a setting that is needed and has at most max characters.
func (f *form) text(name string, max int) string {
	v := f.one(name)
	switch {
	case len(f.settings[name]) == 0:
		f.bad(name, fault.MissingParameter, "Required")
	case v == "" && len(f.settings[name]) == 1:
		f.bad(name, fault.InvalidParameter, "Must not be empty")
	case utf8.RuneCountInString(v) > max:
		f.bad(name, fault.InvalidParameter, "Must be at most "+strconv.Itoa(max)+" characters")
	}
	return v
}

// oneOf checks a setting that has a fixed set of values.
func (f *form) oneOf(name string, values ...string) string {
	v := f.one(name)
	if v == "" {
		return ""
	}
	for _, x := range values {
		if v == x {
			return v
		}
	}
	f.bad(name, fault.InvalidParameter, "Must be one of "+strings.Join(values, ", "))
	return ""
}

// number checks a number; it returns otherwise if there is none.
func (f *form) number(name string, low, high, otherwise float64) float64 {
	v := f.one(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n >= low && n <= high) {
		f.bad(name, fault.InvalidParameter, "Must be a number from "+decimal(low)+" to "+decimal(high))
		return otherwise
	}
	return n
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (f *form) stream() {
	f.r.Stream = f.oneOf("stream", "true", "false", "True", "False", "1", "0") != "" && truth(f.one("stream"))
}

func truth(s string) bool { return s == "true" || s == "True" || s == "1" }

// weigh counts a text towards the prompt.
func (f *form) weigh(text string) {
	for i := range len(text) {
		if text[i] < utf8.RuneSelf {
			f.r.Size.ASCII++
		} else {
			f.r.Size.Other++
		}
	}
}

func decodeEdit(body []byte, headers map[string][]string) (*llm.Request, error) {
	if !wire.IsForm(headers) {
		return decodeEditJSON(body)
	}
	f, err := readForm(body, headers, llm.TaskImage, llm.OpenAIImageEdits)
	if err != nil {
		return nil, err
	}
	f.r.Model = f.text("model", maxModel)
	f.weigh(f.text("prompt", maxPrompt))
	images := len(f.files["image"]) + len(f.files["image[]"])
	switch {
	case images == 0:
		f.bad("image", fault.MissingParameter, "Required")
	case images > maxEdited:
		f.bad("image", fault.InvalidParameter, "Must be at most "+strconv.Itoa(maxEdited)+" images")
	}
	if len(f.files["mask"]) > 1 {
		f.bad("mask", fault.InvalidParameter, "Must be given once")
	}
	f.r.Size.Images = int64(images + len(f.files["mask"]))
	f.images()
	f.oneOf("response_format", "url", "b64_json")
	f.oneOf("output_format", "png", "jpeg", "webp")
	f.number("output_compression", 0, 100, 0)
	f.number("partial_images", 0, maxPartial, 0)
	f.stream()
	return f.done()
}

// decodeVariation reads a request for other images like one. OpenAI has a single
// model for it, which is taken if none is named.
func decodeVariation(body []byte, headers map[string][]string) (*llm.Request, error) {
	f, err := readForm(body, headers, llm.TaskImage, llm.OpenAIImageVariation)
	if err != nil {
		return nil, err
	}
	if f.r.Model = "dall-e-2"; len(f.settings["model"]) > 0 {
		f.r.Model = f.text("model", maxModel)
	}
	f.file("image")
	f.r.Size.Images = 1
	f.images()
	f.oneOf("response_format", "url", "b64_json")
	return f.done()
}

// file returns the bytes of the one file of that name; nil: it is not as it must be.
func (f *form) file(name string) []byte {
	switch files := f.files[name]; {
	case len(files) == 0:
		f.bad(name, fault.MissingParameter, "Required")
	case len(files) > 1:
		f.bad(name, fault.InvalidParameter, "Must be given once")
	case len(files[0].data) == 0:
		f.bad(name, fault.InvalidParameter, "Must not be empty")
	default:
		return files[0].data
	}
	return nil
}

// images reads how many images are to be made.
func (f *form) images() {
	n := f.number("n", 1, maxImages, 1)
	if n != float64(int64(n)) {
		f.bad("n", fault.InvalidParameter, "Must be a whole number")
	}
	f.r.Images = int64(n)
}

func decodeTranscription(body []byte, headers map[string][]string) (*llm.Request, error) {
	if !wire.IsForm(headers) {
		return decodeTranscriptionJSON(body)
	}
	f, err := readSound(body, headers, llm.OpenAITranscriptions, "json", "text", "srt", "verbose_json", "vtt", "diarized_json")
	if err != nil {
		return nil, err
	}
	f.stream()
	return f.done()
}

func decodeTranslation(body []byte, headers map[string][]string) (*llm.Request, error) {
	f, err := readSound(body, headers, llm.OpenAITranslations, "json", "text", "srt", "verbose_json", "vtt")
	if err != nil {
		return nil, err
	}
	return f.done()
}

// readSound reads a form with a file that is to be heard, and the forms that its
// text may have.
func readSound(body []byte, headers map[string][]string, d llm.Dialect, formats ...string) (*form, error) {
	f, err := readForm(body, headers, llm.TaskTranscribe, d)
	if err != nil {
		return nil, err
	}
	f.r.Model = f.text("model", maxModel)
	if sound := f.file("file"); len(sound) > maxAudio {
		f.bad("file", fault.InvalidParameter, "Must be at most 25 MiB")
	} else if sound != nil {
		f.r.Seconds, f.r.Heard = length(sound)
	}
	f.weigh(f.one("prompt"))
	f.number("temperature", 0, 1, 0)
	f.oneOf("response_format", formats...)
	return f, nil
}
