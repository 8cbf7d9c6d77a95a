package media

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Bounds of OpenAI's description.
const (
	maxModel   = 256
	maxPrompt  = 32_000 // characters of a prompt for an image
	maxSpoken  = 4096   // characters
	maxImages  = 10
	maxPartial = 3
	maxInputs  = 2048 // texts and images of one moderation
)

// checker collects what is wrong with a body.
type checker struct {
	p fields.Problems
	r *llm.Request
}

func open(body []byte, t llm.Task, d llm.Dialect) (*checker, jsonx.Value, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, jsonx.Value{}, err
	}
	return &checker{r: &llm.Request{Task: t, Dialect: d, Choices: 1, Inputs: 1, Raw: doc.Members()}}, doc.Root(), nil
}

func (c *checker) done() (*llm.Request, error) { return c.r, c.p.Err() }

// model reads the model. Where there is an otherwise, OpenAI takes that if none is
// named.
func (c *checker) model(root jsonx.Value, otherwise string) {
	v := root.Get("model")
	switch {
	case !v.Exists() && otherwise != "":
		c.r.Model = otherwise
	case !v.Exists():
		c.p.Missing(root, "model")
	case c.p.Text(v, maxModel):
		c.r.Model = v.Text()
	}
}

func (c *checker) weigh(text []byte) {
	ascii, other := jsonx.Count(text)
	c.r.Size.ASCII += ascii
	c.r.Size.Other += other
}

func decodeModeration(body []byte, _ map[string][]string) (*llm.Request, error) {
	c, root, err := open(body, llm.TaskModerate, llm.OpenAIModerations)
	if err != nil {
		return nil, err
	}
	c.model(root, "omni-moderation-latest")
	in, ok := c.p.Require(root, "input")
	switch {
	case !ok:
	case in.Kind() == jsonx.String:
		c.weigh(in.Inner())
	case in.Kind() != jsonx.Array:
		c.p.Type(in, "a string or an array")
	case c.p.Array(in, 1, maxInputs):
		c.inputs(in)
	}
	return c.done()
}

// inputs checks a list of texts, or of texts and images of one input.
func (c *checker) inputs(list jsonx.Value) {
	for _, v := range list.Items() {
		switch {
		case c.p.Full():
			return
		case v.Kind() == jsonx.String:
			c.weigh(v.Inner())
		case v.Kind() != jsonx.Object:
			c.p.Type(v, "a string or an object")
		case c.p.OneOf(v.Get("type"), "text", "image_url") && v.Get("type").Is("text"):
			if t, ok := c.p.Require(v, "text"); ok && c.p.String(t) {
				c.weigh(t.Inner())
			}
		case v.Get("type").Is("image_url"):
			if u, ok := c.p.Require(v, "image_url"); ok && c.p.Object(u) {
				if link, ok := c.p.Require(u, "url"); ok {
					c.p.String(link)
				}
			}
			c.r.Size.Images++
			c.r.Needs.Add(llm.NeedImageInput, v.Path())
		case !v.Get("type").Exists():
			c.p.Missing(v, "type")
		}
	}
}

func decodeImage(body []byte, _ map[string][]string) (*llm.Request, error) {
	c, root, err := open(body, llm.TaskImage, llm.OpenAIImages)
	if err != nil {
		return nil, err
	}
	c.image(root)
	return c.done()
}

// decodeEditJSON reads an edit whose images are links, or stand in the body.
func decodeEditJSON(body []byte) (*llm.Request, error) {
	c, root, err := open(body, llm.TaskImage, llm.OpenAIImageEdits)
	if err != nil {
		return nil, err
	}
	c.image(root)
	// xAI has an image where OpenAI has a list of one.
	if one := root.Get("image"); one.Exists() && !root.Get("images").Exists() {
		c.edited(one)
	} else if list, ok := c.p.Require(root, "images"); ok && c.p.Array(list, 1, maxEdited) {
		for _, v := range list.Items() {
			c.edited(v)
		}
	}
	if mask := root.Get("mask"); mask.Exists() {
		c.edited(mask)
	}
	return c.done()
}

// edited checks an image that is to be edited. How vendors name its place differs.
func (c *checker) edited(v jsonx.Value) {
	if !c.p.Object(v) {
		return
	}
	c.r.Size.Images++
	for _, name := range []string{"image_url", "url", "file_id", "type"} {
		c.p.String(v.Get(name))
	}
}

// image checks what all requests for images have in common.
func (c *checker) image(root jsonx.Value) {
	c.model(root, "")
	if prompt, ok := c.p.Require(root, "prompt"); ok && c.p.Text(prompt, maxPrompt) {
		c.weigh(prompt.Inner())
	}
	c.r.Images = 1
	if n, ok := c.p.Integer(root.Get("n"), 1, maxImages); ok {
		c.r.Images = n
	}
	c.p.OneOf(root.Get("response_format"), "url", "b64_json")
	c.p.OneOf(root.Get("output_format"), "png", "jpeg", "webp")
	c.p.Integer(root.Get("output_compression"), 0, 100)
	c.p.Integer(root.Get("partial_images"), 0, maxPartial)
	for _, name := range []string{"size", "quality", "background", "moderation", "style", "user"} {
		c.p.String(root.Get(name))
	}
	c.r.Stream, _ = c.p.Bool(root.Get("stream"))
}

func decodeSpeech(body []byte, _ map[string][]string) (*llm.Request, error) {
	c, root, err := open(body, llm.TaskSpeech, llm.OpenAISpeech)
	if err != nil {
		return nil, err
	}
	c.model(root, "")
	if in, ok := c.p.Require(root, "input"); ok && c.p.Text(in, maxSpoken) {
		c.weigh(in.Inner())
		c.r.Characters = int64(utf8.RuneCountInString(in.Text()))
	}
	if v, ok := c.p.Require(root, "voice"); ok && v.Kind() != jsonx.Object { // an object names a voice of one's own
		c.p.Text(v, 256)
	}
	c.p.Short(root.Get("instructions"), maxSpoken)
	c.p.OneOf(root.Get("response_format"), "mp3", "opus", "aac", "flac", "wav", "pcm")
	c.p.OneOf(root.Get("stream_format"), "sse", "audio")
	c.p.Number(root.Get("speed"), 0.25, 4)
	c.r.Stream = true // sound is played while it comes
	return c.done()
}

// decodeTranscriptionJSON reads a request that has its sound in base64.
func decodeTranscriptionJSON(body []byte) (*llm.Request, error) {
	c, root, err := open(body, llm.TaskTranscribe, llm.OpenAITranscriptions)
	if err != nil {
		return nil, err
	}
	c.model(root, "")
	if in, ok := c.p.Require(root, "input_audio"); ok && c.p.Object(in) {
		c.sound(in)
	}
	if p := root.Get("prompt"); c.p.Short(p, maxSetting) {
		c.weigh(p.Inner())
	}
	c.p.String(root.Get("language"))
	c.p.Number(root.Get("temperature"), 0, 1)
	c.p.OneOf(root.Get("response_format"), "json", "text", "srt", "verbose_json", "vtt", "diarized_json")
	c.r.Stream, _ = c.p.Bool(root.Get("stream"))
	return c.done()
}

// sound checks a sound that stands in the body.
func (c *checker) sound(in jsonx.Value) {
	if f, ok := c.p.Require(in, "format"); ok {
		c.p.Text(f, 16)
	}
	data, ok := c.p.Require(in, "data")
	if !ok || !c.p.String(data) {
		return
	}
	file, err := base64.StdEncoding.DecodeString(data.Text())
	switch {
	case err != nil:
		c.p.Invalid(data, "Must be base64")
	case len(file) == 0:
		c.p.Invalid(data, "Must not be empty")
	case len(file) > maxAudio:
		c.p.Invalid(data, "Must be at most 25 MiB")
	default:
		c.r.Seconds, c.r.Heard = length(file)
	}
}
