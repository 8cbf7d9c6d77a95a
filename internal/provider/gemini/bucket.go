package gemini

import (
	"bytes"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// inBucket reports whether a URL names an object of Google's storage. It is read
// with the rights of whoever signs the request, which are the operator's and none
// of the caller's.
func inBucket(url string) bool {
	return len(url) >= 3 && strings.EqualFold(url[:3], "gs:")
}

const bucketRefused = "An object in a bucket is not read for callers: send it inline, or by an https URL."

// buckets refuses a request of Google's own dialect that names such an object.
func buckets(r *llm.Request) error {
	body := r.Raw.Body
	// Most requests hold no file; in some its name is hidden behind escapes.
	if r.DecodeChat == nil || !bytes.Contains(body, []byte("file")) && !bytes.Contains(body, []byte(`\u`)) {
		return nil
	}
	chat, err := r.DecodeChat()
	if err != nil {
		return err
	}
	if anyInBucket(chat.System) {
		return fault.New(fault.InputModalityUnsupported, bucketRefused).At("systemInstruction")
	}
	for i := range chat.Messages {
		if anyInBucket(chat.Messages[i].Parts) {
			return fault.New(fault.InputModalityUnsupported, bucketRefused).At("contents")
		}
	}
	return nil
}

func anyInBucket(parts []llm.Part) bool {
	for i := range parts {
		if inBucket(parts[i].URL) || anyInBucket(parts[i].Parts) {
			return true
		}
	}
	return false
}
