package sim

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
)

// recording is the response of a recorded interaction.
type recording struct {
	status int
	header http.Header
	body   []byte
	sse    bool
}

// readRecording reads a file of one interaction: a JSON object whose member
// "response" has status, headers, and the body as text (body) or in base64
// (body_base64). Other members are not looked at.
func readRecording(dir, name string) (*recording, error) {
	if dir != "" && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	src, err := io.ReadAll(io.LimitReader(f, MaxRecording+1))
	if err != nil {
		return nil, err
	}
	if len(src) > MaxRecording {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, MaxRecording)
	}
	var file struct {
		Response *struct {
			Status     int               `json:"status"`
			Headers    map[string]string `json:"headers"`
			Kind       string            `json:"kind"`
			Body       *string           `json:"body"`
			BodyBase64 []byte            `json:"body_base64"`
		} `json:"response"`
	}
	if err := json.Unmarshal(src, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := file.Response
	if r == nil {
		return nil, fmt.Errorf("%s: response: is missing", name)
	}
	if r.Status < 200 || r.Status > 599 {
		return nil, fmt.Errorf("%s: response.status: must be from 200 to 599, not %d", name, r.Status)
	}
	out := &recording{status: r.Status, header: http.Header{}, body: r.BodyBase64}
	if r.Body != nil {
		if r.BodyBase64 != nil && *r.Body != "" {
			return nil, fmt.Errorf("%s: response has both body and body_base64", name)
		}
		if r.BodyBase64 == nil {
			out.body = []byte(*r.Body)
		}
	}
	for k, v := range r.Headers {
		if err := out.set(k, v); err != nil {
			return nil, fmt.Errorf("%s: response.headers: %w", name, err)
		}
	}
	out.sse = r.Kind == "sse" || strings.HasPrefix(out.header.Get("Content-Type"), "text/event-stream")
	return out, nil
}

// set keeps a header, unless it describes a body that is not there any more:
// recordings hold bodies decoded and not chunked.
func (r *recording) set(name, value string) error {
	switch http.CanonicalHeaderKey(name) {
	case "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection":
		return nil
	}
	if !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
		return errors.New("has a header that is not one: " + name)
	}
	r.header.Add(name, value)
	return nil
}

// load reads the recordings of steps.
func loadRecordings(at, dir string, steps []Step) error {
	total := 0
	for i := range steps {
		st := &steps[i]
		if st.Replay == "" {
			continue
		}
		field := fmt.Sprintf("%s[%d].replay", at, i)
		r, err := readRecording(dir, st.Replay)
		if err != nil {
			return wrong(field, "%v", err)
		}
		if total += len(r.body); total > MaxReplays {
			return wrong(field, "makes the recordings longer than %d bytes together", MaxReplays)
		}
		st.recorded = r
	}
	return nil
}
