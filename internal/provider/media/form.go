package media

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// eachPart calls f for the parts of a request's form, which was checked. Its
// error is a *fault.Error.
func eachPart(r *llm.Request, f func(*multipart.Part) error) error {
	_, params, err := mime.ParseMediaType(r.Media)
	if err != nil {
		return fault.Wrap(fault.InvalidRequest, err)
	}
	in := multipart.NewReader(bytes.NewReader(r.Raw.Body), params["boundary"])
	for {
		p, err := in.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f(p)
		}
		if err != nil {
			return fault.Wrap(fault.InvalidRequest, err)
		}
	}
}

// part is a part of a form: a setting, or a file.
type part struct {
	name, file string // file is empty: a setting
	data       []byte
}

// parts reads the parts of a request's form.
func parts(r *llm.Request) (list []part, err error) {
	err = eachPart(r, func(p *multipart.Part) error {
		data, err := io.ReadAll(p) // of a body that is in memory
		list = append(list, part{p.FormName(), p.FileName(), data})
		return err
	})
	return list, err
}

// renameInForm returns the form with another model, and without the settings of
// one name, if it is not empty. Every other part has its header and its bytes as
// they were. A form that names no model gets one if it is not the caller's own.
func renameInForm(r *llm.Request, model, without string) ([]byte, error) {
	if model == r.Model && without == "" {
		return r.Raw.Body, nil
	}
	var body bytes.Buffer
	body.Grow(len(r.Raw.Body) + len(model))
	out := multipart.NewWriter(&body)
	_, params, err := mime.ParseMediaType(r.Media)
	if err == nil {
		err = out.SetBoundary(params["boundary"])
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err)
	}
	named := false
	err = eachPart(r, func(p *multipart.Part) error {
		if without != "" && p.FormName() == without && p.FileName() == "" {
			return nil
		}
		w, err := out.CreatePart(p.Header)
		switch {
		case err != nil:
			return err
		case p.FormName() == "model" && p.FileName() == "":
			named = true
			_, err = io.WriteString(w, model)
		default:
			_, err = io.Copy(w, p)
		}
		return err
	})
	if err == nil && !named && model != r.Model {
		err = out.WriteField("model", model)
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err)
	}
	_ = out.Close() // a buffer takes it
	return body.Bytes(), nil
}

// soundForm makes the form of a request that has its sound in JSON, without the
// settings of one name, if it is not empty. Its error is a *fault.Error for a member
// that a form cannot hold.
func soundForm(r *llm.Request, model, without string) (body []byte, media string, err error) {
	doc, err := jsonx.Parse(r.Raw.Body)
	if err != nil {
		return nil, "", fault.From(err)
	}
	var b bytes.Buffer
	b.Grow(len(r.Raw.Body))
	out := multipart.NewWriter(&b)
	_ = out.WriteField("model", model) // a buffer takes it, here and below
	for key, v := range doc.Root().Members() {
		name := string(key)
		switch {
		case !v.Exists() || name == "model" || name == without:
		case name == "input_audio":
			sound, err := base64.StdEncoding.DecodeString(v.Get("data").Text())
			if err != nil {
				return nil, "", fault.New(fault.InvalidParameter, "Must be base64").At("input_audio.data")
			}
			w, _ := out.CreateFormFile("file", "audio."+v.Get("format").Text())
			_, _ = w.Write(sound)
		case v.Kind() == jsonx.Object:
			return nil, "", fault.New(fault.UnsupportedParameter, "%s cannot be honoured for this model.", name).At(name)
		case v.Kind() == jsonx.Array:
			for _, x := range v.Items() {
				_ = out.WriteField(name+"[]", scalar(x))
			}
		default:
			_ = out.WriteField(name, scalar(v))
		}
	}
	_ = out.Close()
	return b.Bytes(), out.FormDataContentType(), nil
}

// scalar returns a value as a form has it.
func scalar(v jsonx.Value) string {
	if v.Kind() == jsonx.String {
		return v.Text()
	}
	return string(v.Raw())
}

// soundJSON makes the JSON of a request that has its sound in a form.
func soundJSON(r *llm.Request, model, without string) ([]byte, error) {
	return inJSON(r, model, without, func(e *provider.Encoding, files []part) error {
		for _, f := range files {
			e.Name("input_audio")
			e.Open('{')
			e.Text("data", base64.StdEncoding.EncodeToString(f.data))
			e.Text("format", soundFormat(f))
			e.Close('}')
		}
		return nil
	})
}

// editJSON makes the JSON of an edit that has its images in a form.
func editJSON(r *llm.Request, model string) ([]byte, error) {
	return inJSON(r, model, "", func(e *provider.Encoding, files []part) error {
		images := files[:0]
		for _, f := range files {
			if f.name != "image" && f.name != "image[]" {
				return fault.New(fault.UnsupportedParameter, "%s cannot be honoured for this model.", f.name).At(f.name)
			}
			images = append(images, f)
		}
		name := "image"
		if len(images) > 1 {
			name = "images"
		}
		if e.Name(name); len(images) > 1 {
			e.Open('[')
			defer e.Close(']')
		}
		for _, f := range images {
			if len(images) > 1 {
				e.Element()
			}
			e.Open('{')
			e.Text("type", "image_url")
			e.Text("url", "data:"+imageType(f.data)+";base64,"+base64.StdEncoding.EncodeToString(f.data))
			e.Close('}')
		}
		return nil
	})
}

// inJSON makes JSON of a form: its settings but for those of one name, if it is not
// empty, and what write makes of its files.
func inJSON(r *llm.Request, model, without string, write func(e *provider.Encoding, files []part) error) ([]byte, error) {
	list, err := parts(r)
	if err != nil {
		return nil, err
	}
	var e provider.Encoding
	e.Open('{')
	e.Text("model", model)
	var files []part
	lists := map[string][]string{}
	var names []string // of lists, in their order
	for _, p := range list {
		name, is := strings.CutSuffix(p.name, "[]")
		switch {
		case p.file != "":
			files = append(files, p)
		case p.name == "model" || p.name == without:
		case is:
			if lists[name] == nil {
				names = append(names, name)
			}
			lists[name] = append(lists[name], string(p.data))
		default:
			e.Raw(p.name, value(p.name, string(p.data)))
		}
	}
	for _, name := range names {
		e.Name(name)
		e.Open('[')
		for _, v := range lists[name] {
			e.Element()
			e.String(v)
		}
		e.Close(']')
	}
	if err := write(&e, files); err != nil {
		return nil, err
	}
	e.Close('}')
	return e.Body, nil
}

// numbers are the settings that are none but numbers in JSON, and switches those
// that are true or false.
var (
	numbers  = []string{"temperature", "n", "output_compression", "partial_images"}
	switches = []string{"stream", "diarize"}
)

// value returns a setting of a form as JSON has it.
func value(name, v string) []byte {
	if slices.Contains(numbers, name) {
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return strconv.AppendFloat(nil, f, 'g', -1, 64)
		}
	}
	if slices.Contains(switches, name) {
		return strconv.AppendBool(nil, strings.EqualFold(v, "true") || v == "1")
	}
	return jsonx.AppendString(nil, v)
}

// soundFormat tells what a file of sound is, by its name or else by its first
// bytes.
func soundFormat(f part) string {
	if ext := strings.TrimPrefix(strings.ToLower(path.Ext(f.file)), "."); ext != "" {
		return ext
	}
	_, subtype, _ := strings.Cut(soundType(f.data, ""), "/")
	if subtype == "mpeg" {
		return "mp3"
	}
	return subtype
}
