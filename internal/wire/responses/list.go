package responses

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Listed returns the items that a response was asked, as they are listed: each
// with its kind, an id, and what the dialect demands of it that a caller may
// leave out. Ids are the same every time.
func Listed(response string, input []byte) [][]byte {
	doc, err := jsonx.Parse(input)
	if err != nil {
		return nil
	}
	out := make([][]byte, 0, doc.Root().Len())
	for i, item := range doc.Root().Items() {
		out = append(out, listed(response, i, item))
	}
	return out
}

// prefixes begin the ids of items by their kinds.
var prefixes = map[string]string{
	kindMessage: "msg_", kindReasoning: "rs_", kindCall: "fc_", kindOutput: "fco_", kindCustomCall: "ctc_", kindCustomOutput: "ctco_", kindCompaction: "cmp_", kindImage: "ig_",
}

func listed(response string, n int, item jsonx.Value) []byte {
	kind := kindOf(item)
	set := func(name, value string) llm.Edit { return llm.Edit{Name: name, Value: jsonx.AppendString(nil, value)} }
	var edits []llm.Edit
	if !item.Get("type").Exists() {
		edits = append(edits, set("type", kind))
	}
	if !item.Get("id").Exists() {
		prefix := prefixes[kind]
		if prefix == "" {
			prefix = "item_"
		}
		edits = append(edits, set("id", prefix+strings.TrimPrefix(response, "resp_")+"_"+strconv.Itoa(n)))
	}
	switch kind {
	case kindMessage:
		edits = append(edits, llm.Edit{Name: "content", Value: parts(item)})
		if !item.Get("status").Exists() {
			edits = append(edits, set("status", statusCompleted))
		}
	case kindCall, kindOutput, kindCustomCall, kindCustomOutput:
		if !item.Get("status").Exists() {
			edits = append(edits, set("status", statusCompleted))
		}
	}
	return jsonx.Splice(item.Raw(), edits)
}

// parts returns the content of a message as an array.
func parts(item jsonx.Value) []byte {
	content := item.Get("content")
	said := item.Get("role").Is("assistant")
	if content.Kind() == jsonx.String {
		if said {
			return append(append([]byte(`[{"type":"output_text","text":`), content.Raw()...), `,"annotations":[],"logprobs":[]}]`...)
		}
		return append(append([]byte(`[{"type":"input_text","text":`), content.Raw()...), `}]`...)
	}
	out := []byte{'['}
	for _, part := range content.Items() {
		var edits []llm.Edit
		switch kind := part.Get("type"); {
		case kind.Is(partText):
			for _, name := range [...]string{"annotations", "logprobs"} {
				if !part.Get(name).Exists() {
					edits = append(edits, llm.Edit{Name: name, Value: []byte("[]")})
				}
			}
		case kind.Is("input_image") && !part.Get("detail").Exists():
			edits = append(edits, llm.Edit{Name: "detail", Value: []byte(`"auto"`)})
		}
		out = append(comma(out), jsonx.Splice(part.Raw(), edits)...)
	}
	return append(out, ']')
}

// Page is a page of a list of items: the first limit of them behind the one that
// after names, from the first on or from the last. It is not ok if after names
// none of them; empty: from the beginning.
func Page(items [][]byte, limit int, ascending bool, after string) (page []byte, ok bool) {
	if !ascending {
		items = slices.Clone(items)
		slices.Reverse(items)
	}
	ids := make([]string, len(items))
	for i, item := range items {
		if doc, err := jsonx.Parse(item); err == nil {
			ids[i] = doc.Root().Get("id").Text()
		}
	}
	from := 0
	if after != "" {
		from = slices.Index(ids, after) + 1
		if from == 0 {
			return nil, false
		}
	}
	to := min(from+limit, len(items))
	var first, last string
	if from < to {
		first, last = ids[from], ids[to-1]
	}
	page = append(page, `{"object":"list","data":[`...)
	page = append(page, bytes.Join(items[from:to], []byte{','})...)
	page = jsonx.AppendString(append(page, `],"first_id":`...), first)
	page = jsonx.AppendString(append(page, `,"last_id":`...), last)
	page = strconv.AppendBool(append(page, `,"has_more":`...), to < len(items))
	return append(page, '}'), true
}

// Status returns the status of a response.
func Status(object []byte) string { return statusOf(object) }

// WithStatus returns a response that was broken off, in that status: with an error,
// unless its code is empty. What it had come to stays if it has that status already.
func WithStatus(object []byte, status, code, message string) []byte {
	if statusOf(object) != status {
		object = Pending(object, status)
	}
	if code == "" {
		return object
	}
	return jsonx.Splice(object, []llm.Edit{{Name: "error", Value: appendError(nil, code, message)}})
}
