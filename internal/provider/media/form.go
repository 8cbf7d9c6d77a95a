package media

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// renameInForm returns the form with another model. Every other part has its
// header and its bytes as they were.
func renameInForm(r *llm.Request, model string) ([]byte, error) {
	_, params, err := mime.ParseMediaType(r.Media)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err)
	}
	in := multipart.NewReader(bytes.NewReader(r.Raw.Body), params["boundary"])
	var body bytes.Buffer
	body.Grow(len(r.Raw.Body) + len(model))
	out := multipart.NewWriter(&body)
	if err := out.SetBoundary(params["boundary"]); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err)
	}
	for {
		part, err := in.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fault.Wrap(fault.InvalidRequest, err)
		}
		w, err := out.CreatePart(part.Header)
		if err != nil {
			return nil, fault.Wrap(fault.InvalidRequest, err)
		}
		if part.FormName() == "model" {
			_, _ = io.WriteString(w, model) // a buffer takes it
			continue
		}
		if _, err := io.Copy(w, part); err != nil {
			return nil, fault.Wrap(fault.InvalidRequest, err)
		}
	}
	_ = out.Close()
	return body.Bytes(), nil
}
