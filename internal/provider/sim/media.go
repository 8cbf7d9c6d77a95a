package sim

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// mediaPaths are the ends of the paths of what is not a conversation.
var mediaPaths = map[string]operation{
	"/moderations": opModerate, "/images/generations": opImage, "/images/edits": opImage, "/images/variations": opImage,
	"/audio/speech": opSpeech, "/audio/transcriptions": opTranscribe, "/audio/translations": opTranscribe,
}

// mediaAsk is a request for media, as far as the simulator looks at it.
type mediaAsk struct {
	Model          string         `json:"model"`
	Input          jsontext.Value `json:"input"`
	Prompt         string         `json:"prompt"`
	StreamFormat   string         `json:"stream_format"`
	N              int            `json:"n"`
	Stream         bool           `json:"stream"`
	ResponseFormat string         `json:"response_format"`
	file           int            // bytes of it
}

// readMedia reads a request, JSON or a form.
func readMedia(r *http.Request, body []byte) (a mediaAsk, err error) {
	media, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "multipart/form-data" {
		err = json.Unmarshal(body, &a)
		return a, err
	}
	f, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(maxRequest)
	if err != nil {
		return a, err
	}
	defer f.RemoveAll() //nolint:errcheck // all of it is in memory
	one := func(name string) string { return strings.Join(f.Value[name], "") }
	a.Model, a.Prompt, a.ResponseFormat, a.Stream = one("model"), one("prompt"), one("response_format"), one("stream") == "true"
	a.N, _ = strconv.Atoi(one("n"))
	for _, files := range f.File {
		for _, h := range files {
			a.file += int(h.Size)
		}
	}
	return a, nil
}

// media answers a request that is not a conversation.
func (x *exchange) media() *http.Response {
	a, err := readMedia(x.req, x.body)
	if err != nil {
		return x.refuse(refuse(http.StatusBadRequest, "", "", "The request body is not valid (simulated): %v", err))
	}
	empty := x.step.Fault == "empty" || x.step.Fault == "no_choices"
	switch x.op {
	case opModerate:
		return x.broken(moderation(a, empty), nil)
	case opImage:
		return x.image(a, empty)
	case opSpeech:
		return x.speech(a, empty)
	}
	return x.transcript(a)
}

// verdicts are the categories by the words that bring them about; some have none.
// Only what needs a text is not judged in images.
var verdicts = []struct {
	category, word string
	texts          bool
}{
	{"harassment", "idiot", true},
	{"harassment/threatening", "", true},
	{"hate", "hate", true},
	{"hate/threatening", "", true},
	{"illicit", "", true},
	{"illicit/violent", "", true},
	{"self-harm", "suicide", false},
	{"self-harm/intent", "", false},
	{"self-harm/instructions", "", false},
	{"sexual", "porn", false},
	{"sexual/minors", "", true},
	{"violence", "kill", false},
	{"violence/graphic", "", false},
}

// moderation flags each input that holds one of a few words.
func moderation(a mediaAsk, empty bool) []byte {
	var inputs []string
	var one string
	var list []jsontext.Value
	if json.Unmarshal(a.Input, &one) == nil {
		inputs = []string{one}
	} else if json.Unmarshal(a.Input, &list) == nil {
		for _, v := range list {
			inputs = append(inputs, string(v))
		}
		if len(list) > 0 && list[0].Kind() == '{' { // parts of one input
			inputs = []string{strings.Join(inputs, " ")}
		}
	}
	if empty {
		inputs = nil
	}
	model := a.Model
	if model == "" {
		model = "omni-moderation-latest"
	}
	dst := append(quote([]byte(`{"id":"modr-simulated","model":`), model), `,"results":[`...)
	for i, in := range inputs {
		if i > 0 {
			dst = append(dst, ',')
		}
		var is, score, kinds []byte
		flagged := false
		for j, v := range verdicts {
			if j > 0 {
				is, score, kinds = append(is, ','), append(score, ','), append(kinds, ',')
			}
			hit := v.word != "" && strings.Contains(strings.ToLower(in), v.word)
			flagged = flagged || hit
			is = strconv.AppendBool(append(quote(is, v.category), ':'), hit)
			score = append(append(quote(score, v.category), ':'), map[bool]string{true: "0.99", false: "0.0001"}[hit]...)
			kinds = append(append(quote(kinds, v.category), ':'), map[bool]string{true: `["text"]`, false: `["text","image"]`}[v.texts || !strings.Contains(in, `"image_url"`)]...)
		}
		dst = strconv.AppendBool(append(dst, `{"flagged":`...), flagged)
		dst = append(append(append(dst, `,"categories":{`...), is...), '}')
		dst = append(append(append(dst, `,"category_scores":{`...), score...), '}')
		dst = append(append(append(dst, `,"category_applied_input_types":{`...), kinds...), `}}`...)
	}
	return append(dst, `]}`...)
}

// drawnTokens are what one image takes, as gpt-image-1 counts a square one of low
// quality.
const drawnTokens = 272

// image draws n squares of a colour that the prompt decides.
func (x *exchange) image(a mediaAsk, empty bool) *http.Response {
	n := max(a.N, 1)
	if empty {
		n = 0
	}
	picture := quote(nil, base64.StdEncoding.EncodeToString(square(hash(hashStart, a.Prompt))))
	tokens := x.sim.count(a.Prompt)
	usage := func(images int) []byte {
		dst := member([]byte(`{"input_tokens":`), "", tokens)
		dst = member(dst, `,"input_tokens_details":{"text_tokens":`, tokens)
		dst = member(dst, `,"image_tokens":0},"output_tokens":`, int64(images)*drawnTokens)
		return append(member(dst, `,"total_tokens":`, tokens+int64(images)*drawnTokens), '}')
	}
	created := x.sim.now().Unix()
	if a.Stream {
		event := "image_generation"
		if strings.HasSuffix(x.req.URL.Path, "/edits") {
			event = "image_edit"
		}
		var dst []byte
		for range n {
			head := member([]byte(`,"created_at":`), "", created)
			head = append(append(append(head, `,"b64_json":`...), picture...), `,"size":"1024x1024","quality":"low","background":"opaque","output_format":"png"`...)
			dst = append(dst, "event: "+event+".partial_image\ndata: {\"type\":\""+event+".partial_image\",\"partial_image_index\":0"...)
			dst = append(append(dst, head...), "}\n\n"...)
			dst = append(dst, "event: "+event+".completed\ndata: {\"type\":\""+event+".completed\""...)
			dst = append(append(dst, head...), `,"usage":`...)
			dst = append(append(dst, usage(1)...), "}\n\n"...)
		}
		return x.response(http.StatusOK, "text/event-stream", &endSource{err: io.EOF}, dst)
	}
	dst := append(member([]byte(`{"created":`), "", created), `,"background":"opaque","output_format":"png","size":"1024x1024","quality":"low","data":[`...)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"b64_json":`...), picture...), '}')
	}
	dst = append(dst, ']')
	if x.step.Fault != "no_usage" {
		dst = append(append(dst, `,"usage":`...), usage(n)...)
	}
	return x.broken(append(dst, '}'), nil)
}

// square is a picture of 8 by 8 dots.
func square(seed uint64) []byte {
	img := image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.RGBA{byte(seed), byte(seed >> 8), byte(seed >> 16), 255}})
	var b bytes.Buffer
	_ = png.Encode(&b, img) // a buffer takes it
	return b.Bytes()
}
