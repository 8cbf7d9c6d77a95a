package responses

import (
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// The states of a response, and of its items.
const (
	statusQueued     = "queued"
	statusInProgress = "in_progress"
	statusCompleted  = "completed"
	statusIncomplete = "incomplete"
	statusFailed     = "failed"
)

// object is what a response says of itself beside the echo of its request.
type object struct {
	status    string
	model     string
	reason    string // why it is incomplete
	code      string // of what failed
	message   string // of what failed
	output    []byte // JSON array; nil: empty
	usage     *llm.Usage
	completed int64 // Unix seconds; 0: it is not
}

// response is what does not change while an answer is made.
type response struct {
	id      string
	created int64
	r       *llm.Request
}

// append appends the response as it stands.
func (h *response) append(dst []byte, o object) []byte {
	t := h.r.Thread
	dst = jsonx.AppendString(append(dst, `{"id":`...), h.id)
	dst = strconv.AppendInt(append(dst, `,"object":"response","created_at":`...), h.created, 10)
	dst = jsonx.AppendString(append(dst, `,"status":`...), o.status)
	dst = strconv.AppendBool(append(dst, `,"background":`...), t.Background)
	dst = append(dst, `,"completed_at":`...)
	if o.completed > 0 {
		dst = strconv.AppendInt(dst, o.completed, 10)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"error":`...)
	if o.code != "" {
		dst = appendError(dst, o.code, o.message)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"incomplete_details":`...)
	dst = appendReason(dst, o.reason)
	dst = h.echo(dst, "instructions", "null")
	dst = h.echo(dst, "max_output_tokens", "null")
	dst = h.echo(dst, "max_tool_calls", "null")
	dst = jsonx.AppendString(append(dst, `,"model":`...), o.model)
	dst = append(dst, `,"output":`...)
	if o.output != nil {
		dst = append(dst, o.output...)
	} else {
		dst = append(dst, "[]"...)
	}
	tier := llm.TierStandard
	if o.usage != nil {
		tier = o.usage.Tier
	}
	dst = h.settings(dst, tier)
	if o.usage != nil {
		dst = appendUsage(append(dst, `,"usage":`...), *o.usage)
	}
	dst = h.echo(dst, "metadata", "{}")
	return append(dst, '}')
}

// settings appends the echo of the settings that steer the answer.
func (h *response) settings(dst []byte, tier llm.Tier) []byte {
	dst = h.echo(dst, "parallel_tool_calls", "true")
	dst = append(dst, `,"previous_response_id":`...)
	if p := h.r.Thread.Previous; p != "" {
		dst = jsonx.AppendString(dst, p)
	} else {
		dst = append(dst, "null"...)
	}
	dst = h.echo(dst, "prompt_cache_key", "null")
	dst = h.echo(dst, "reasoning", `{"effort":null,"summary":null}`)
	dst = h.echo(dst, "safety_identifier", "null")
	dst = append(append(append(dst, `,"service_tier":"`...), tier.String()...), '"')
	dst = strconv.AppendBool(append(dst, `,"store":`...), h.r.Thread.Store)
	dst = h.echo(dst, "temperature", "1")
	dst = h.text(dst)
	dst = h.echo(dst, "tool_choice", `"auto"`)
	dst = h.tools(dst)
	dst = h.echo(dst, "top_logprobs", "0")
	dst = h.echo(dst, "top_p", "1")
	dst = h.echo(dst, "truncation", `"disabled"`)
	if user := h.r.Raw.Value("user"); user != nil && string(user) != "null" {
		dst = append(append(dst, `,"user":`...), user...)
	}
	return dst
}

// echo appends a member as the caller set it, or what holds without.
func (h *response) echo(dst []byte, name, otherwise string) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	if v := h.r.Raw.Value(name); v != nil && string(v) != "null" {
		return appendFlat(dst, v)
	}
	return append(dst, otherwise...)
}

// appendFlat appends JSON without its line breaks, which would end a line of an
// event: in JSON they stand between values only.
func appendFlat(dst, v []byte) []byte {
	start := len(dst)
	dst = append(dst, v...)
	for i, c := range dst[start:] {
		if c == '\n' || c == '\r' {
			dst[start+i] = ' '
		}
	}
	return dst
}

// text appends the echo of text, which always has a format.
func (h *response) text(dst []byte) []byte {
	dst = append(dst, `,"text":{"format":`...)
	raw, err := jsonx.Scan(h.r.Raw.Value("text"))
	if format := raw.Value("format"); err == nil && len(format) > 0 && string(format) != "null" {
		dst = appendFlat(dst, format)
	} else {
		dst = append(dst, `{"type":"text"}`...)
	}
	if verbosity := raw.Value("verbosity"); err == nil && len(verbosity) > 0 && string(verbosity) != "null" {
		dst = append(append(dst, `,"verbosity":`...), verbosity...)
	}
	return append(dst, '}')
}

// tools appends the echo of tools. Of a function the dialect demands parameters
// and strict, which callers may leave out.
func (h *response) tools(dst []byte) []byte {
	dst = append(dst, `,"tools":[`...)
	doc, err := jsonx.Parse(h.r.Raw.Value("tools"))
	if err != nil {
		return append(dst, ']')
	}
	for i, t := range doc.Root().Items() {
		if i > 0 {
			dst = append(dst, ',')
		}
		var missing []llm.Edit
		if t.Get("type").Is("function") {
			if !t.Get("parameters").Exists() {
				missing = append(missing, llm.Edit{Name: "parameters", Value: []byte("null")})
			}
			if !t.Get("strict").Exists() {
				missing = append(missing, llm.Edit{Name: "strict", Value: []byte("false")})
			}
		}
		dst = appendFlat(dst, jsonx.Splice(t.Raw(), missing))
	}
	return append(dst, ']')
}

func appendError(dst []byte, code, message string) []byte {
	dst = jsonx.AppendString(append(dst, `{"code":`...), code)
	dst = jsonx.AppendString(append(dst, `,"message":`...), message)
	return append(dst, '}')
}

// appendReason appends incomplete_details.
func appendReason(dst []byte, reason string) []byte {
	if reason == "" {
		return append(dst, "null"...)
	}
	return append(jsonx.AppendString(append(dst, `{"reason":`...), reason), '}')
}

// appendUsage appends the value of usage. Its details are always there.
func appendUsage(dst []byte, u llm.Usage) []byte {
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), u.Input, 10)
	dst = strconv.AppendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), u.CachedInput, 10)
	dst = strconv.AppendInt(append(dst, `,"cache_write_tokens":`...), u.CacheWrite+u.CacheWrite1h, 10)
	dst = strconv.AppendInt(append(dst, `},"output_tokens":`...), u.Output, 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), u.Reasoning, 10)
	dst = strconv.AppendInt(append(dst, `},"total_tokens":`...), u.Input+u.Output, 10)
	return append(dst, '}')
}
