package responses

import (
	"bytes"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
)

// item is one item of an answer in progress.
type item struct {
	kind  string // kindMessage, kindCall, kindCustomCall, kindReasoning or kindImage
	id    string
	index int
	open  bool

	status string // once it has ended

	raw []byte // in its provider's own words

	parts []part // of a message, and of reasoning

	tool         int // of a call: its number
	callID, name string
	space        string // namespace of the tool; empty: none
	args         []byte

	summary bool   // reasoning is told as its summary, and not as it was thought
	seal    string // of reasoning

	image, format string // of an image: its base64, and what kind of file that is
}

// argumentsOf is the member with what a call is called with, by its kind.
var argumentsOf = map[string]string{kindCall: "arguments", kindCustomCall: "input"}

// calls reports whether the item is a call of a tool.
func (it *item) calls() bool { return argumentsOf[it.kind] != "" }

// part is one part of an item's content.
type part struct {
	kind  string // output_text, refusal, reasoning_text or summary_text
	text  []byte
	notes []byte // annotations: elements with commas between them
	noted int
	logs  []byte // log probabilities: elements with commas between them
	runes int
}

// The kinds of parts of an answer.
const (
	partText    = "output_text"
	partRefusal = "refusal"
	partThought = "reasoning_text"
	partSummary = "summary_text"
)

// log adds log probabilities.
func (p *part) log(tokens []byte) {
	if len(p.logs) > 0 && len(tokens) > 0 {
		p.logs = append(p.logs, ',')
	}
	p.logs = append(p.logs, tokens...)
}

// append appends the part as it stands.
func (p *part) append(dst []byte) []byte {
	dst = append(append(append(dst, `{"type":"`...), p.kind...), `",`...)
	switch p.kind {
	case partRefusal:
		dst = jsonx.AppendString(append(dst, `"refusal":`...), string(p.text))
	case partText:
		dst = jsonx.AppendString(append(dst, `"text":`...), string(p.text))
		dst = append(append(append(dst, `,"annotations":[`...), p.notes...), `],"logprobs":[`...)
		dst = append(append(dst, p.logs...), ']')
	default:
		dst = jsonx.AppendString(append(dst, `"text":`...), string(p.text))
	}
	return append(dst, '}')
}

// append appends the item as it stands. Of one that has just begun nothing is
// told but what it is.
func (it *item) append(dst []byte, status string) []byte {
	if it.raw != nil {
		return append(dst, it.raw...)
	}
	dst = jsonx.AppendString(append(dst, `{"id":`...), it.id)
	dst = append(append(append(dst, `,"type":"`...), it.kind...), '"')
	switch it.kind {
	case kindMessage:
		dst = it.content(append(dst, `,"role":"assistant","content":`...))
	case kindCall, kindCustomCall:
		dst = jsonx.AppendString(append(dst, `,"call_id":`...), it.callID)
		dst = jsonx.AppendString(append(dst, `,"name":`...), it.name)
		if it.space != "" {
			dst = jsonx.AppendString(append(dst, `,"namespace":`...), it.space)
		}
		dst = append(append(append(dst, `,"`...), argumentsOf[it.kind]...), `":`...)
		dst = jsonx.AppendString(dst, string(it.args))
	case kindReasoning:
		if it.summary {
			dst = it.content(append(dst, `,"summary":`...))
		} else {
			dst = it.content(append(dst, `,"summary":[],"content":`...))
		}
		dst = append(dst, `,"encrypted_content":`...)
		if it.seal == "" {
			dst = append(dst, "null"...)
		} else {
			dst = jsonx.AppendString(dst, it.seal)
		}
	case kindImage:
		if dst = append(dst, `,"result":`...); status != statusCompleted {
			dst = append(dst, "null"...)
			break
		}
		dst = jsonx.AppendString(dst, it.image)
		dst = jsonx.AppendString(append(dst, `,"output_format":`...), it.format)
	}
	dst = jsonx.AppendString(append(dst, `,"status":`...), status)
	return append(dst, '}')
}

// content appends the parts as an array.
func (it *item) content(dst []byte) []byte {
	dst = append(dst, '[')
	for i := range it.parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = it.parts[i].append(dst)
	}
	return append(dst, ']')
}

// appendNote appends an annotation in this dialect's form. Those that name a URL
// are translated, and those that point into a document of the prompt have no
// counterpart and are left out.
func appendNote(dst []byte, c jsonx.Value, end int) []byte {
	of, start, stop := c, int64(end), int64(end)
	if inner := c.Get("url_citation"); inner.Exists() { // as chat completions have it
		of = inner
	}
	url := of.Get("url")
	if url.Kind() != jsonx.String {
		return dst
	}
	if n, ok := of.Get("start_index").Int(); ok {
		start = n
	}
	if n, ok := of.Get("end_index").Int(); ok {
		stop = n
	}
	title := of.Get("title")
	if title.Kind() != jsonx.String {
		title = url
	}
	dst = append(append(dst, `{"type":"url_citation","url":`...), url.Raw()...)
	dst = strconv.AppendInt(append(dst, `,"start_index":`...), start, 10)
	dst = strconv.AppendInt(append(dst, `,"end_index":`...), stop, 10)
	dst = append(append(dst, `,"title":`...), title.Raw()...)
	return append(dst, '}')
}

// frame appends a frame of one event, whose data begin with its type and number;
// members are the rest, brace and all, and no line breaks stand in them.
func frame(dst []byte, name string, number int64, members []byte) []byte {
	dst = append(append(dst, "event: "...), name...)
	dst = append(append(append(dst, "\ndata: {\"type\":\""...), name...), `","sequence_number":`...)
	dst = strconv.AppendInt(dst, number, 10)
	dst = append(append(dst, ','), members...)
	return append(dst, "\n\n"...)
}

// lines appends a frame of data that may have several lines.
func lines(dst []byte, name string, data []byte) []byte {
	dst = append(append(dst, "event: "...), name...)
	for more := true; more; {
		var line []byte
		line, data, more = bytes.Cut(data, []byte{'\n'})
		dst = append(append(dst, "\ndata: "...), line...)
	}
	return append(dst, "\n\n"...)
}
